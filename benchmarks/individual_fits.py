"""How long do 1,000 individual fits of 10 observations take, and do they find what was put in?

    python benchmarks/individual_fits.py [PATIENTS]

Synthetic patients of the model's own population: only what is fitted varies between them.
"""

import sys
import time
from pathlib import Path

import numpy as np

import ketjax
from ketjax.fit.individual_data import Observation
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_run import solve
from ketjax.fit.individual_simulation import simulate
from ketjax.fit.individual_solve import CONVERGED

SEED = 5
SCORES = (0.0, 4.0, 24.0, 48.0, 72.0, 168.0, 336.0)  # [h]
PLASMA = (2 / 3, 1.5, 4.0)  # [h]
PLAN = """
name = "benchmark"
set = "table"
data = ""
free = [
  "score.baseline",
  "score.weight_potentiation",
  "potentiation.potentiation_loss_rate",
  "expectancy.gain",
  "pharmacokinetics.hepatic_intrinsic_clearance",
]

[error]
plasma_ketamine = { additive = "2 ng/mL", proportional = 0.15 }

[arms.ketamine]
expectancy = "midazolam_parallel"

[[arms.ketamine.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
time = "0 h"
duration = "40 min"
"""


def main(patients: int = 1000) -> None:
    """Print seconds, how searches ended, and recovery."""
    design = [("madrs_rated", time) for time in SCORES]
    design += [("plasma_ketamine", time) for time in PLASMA]
    empty = tuple(
        Observation(f"synthetic-{k}", "ketamine", quantity, time, 0.0)
        for k in range(patients)
        for quantity, time in design
    )
    begun = time.perf_counter()
    march = IndividualMarch(IndividualPlan.parse(PLAN, Path(), empty))
    truth = np.random.default_rng(SEED).standard_normal((patients, len(march.plan.free)))
    seen = simulate(march.plan, march, truth, SEED)
    march.predict(truth[:1], np.arange(1))
    prepared = time.perf_counter()
    plan = IndividualPlan.parse(PLAN, Path(), seen)
    modes = solve(plan, march)
    done = time.perf_counter()
    well = modes.status == CONVERGED
    print(f"ketjax {ketjax.__version__}, {patients} patients, {len(design)} observations each")
    print(f"structure, programs, mesh and data: {prepared - begun:.1f} s")
    print(f"fits: {done - prepared:.1f} s, {well.mean():.1%} converged, {modes.iterations.max()} "
          f"iterations at most, {np.median(modes.iterations):g} in the median")  # fmt: skip
    print("parameter                                     correlation  in 95 % interval  shrinkage")
    for k, path in enumerate(plan.free):
        eta, error = modes.eta[:, k], np.sqrt(modes.covariance[:, k, k])
        inside = np.abs(eta - truth[:, k]) < 1.96 * error
        print(f"{path:<45} {np.corrcoef(eta, truth[:, k])[0, 1]:>11.2f}  {inside.mean():>16.1%}"
              f"  {1 - eta.var():>9.2f}")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
