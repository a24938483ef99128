"""Write the synthetic tables of `individuals.toml`: the model's own patients, seen with noise.

python fits/make_individuals.py
"""

import csv
import tomllib
from pathlib import Path

import numpy as np

import ketjax  # noqa: F401  sets the compiler's flags before jax starts
from ketjax.fit.individual_data import Covariate, Observation
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_simulation import simulate
from ketjax.population import Recipe, draw

FOLDER = Path(__file__).parent
PATIENTS, SEED = 40, 11
SCORES = (0.0, 4.0, 24.0, 48.0, 72.0, 168.0, 240.0, 336.0)  # [h]
PLASMA = (2 / 3, 1.5, 4.0)  # [h]


def main() -> None:
    """Write both tables."""
    rng = np.random.default_rng(SEED)
    drawn = draw(Recipe(seed=SEED), range(PATIENTS)).parameters.demography
    known, seen, lines = [], [], []
    for k in range(PATIENTS):
        name = f"synthetic-{k + 1:02}"
        arm = "midazolam" if k % 4 == 3 else "ketamine"
        weight, age = round(float(drawn.weight[k]), 1), round(float(drawn.age[k]))
        sex = "female" if drawn.female[k] else "male"
        known += [
            Covariate(name, "demography.weight", weight),
            Covariate(name, "demography.age", age),
            Covariate(name, "demography.female", float(drawn.female[k])),
        ]
        lines.append((name, f"{weight} kg", f"{age} year", sex))
        seen += [Observation(name, arm, "madrs_rated", time, 0.0) for time in SCORES]
        if arm == "ketamine":
            seen += [Observation(name, arm, "plasma_ketamine", time, 0.0) for time in PLASMA]
    document = tomllib.loads((FOLDER / "individuals.toml").read_text("utf-8"))
    del document["covariates"]
    plan = IndividualPlan.parse(document, FOLDER, tuple(seen), tuple(known))
    march = IndividualMarch(plan)
    eta = rng.standard_normal((PATIENTS, len(plan.free)))
    observations = simulate(plan, march, eta, SEED)
    write("synthetic_patients.csv", ("patient", "weight", "age", "sex"), lines)
    rows = [
        (o.patient, o.arm, o.quantity, f"{o.time:.6g} h", f"{o.value:.4g}", o.unit)
        for o in observations
    ]
    head = ("patient", "arm", "quantity", "time", "value", "unit")
    write("synthetic_observations.csv", head, rows)


def write(name: str, head: tuple[str, ...], rows: list[tuple]) -> None:
    """Write one table beside this file."""
    with (FOLDER / name).open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([head, *rows])


if __name__ == "__main__":
    main()
