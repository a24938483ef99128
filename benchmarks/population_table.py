"""Does the drawn population reproduce the population table of the science base?

    python benchmarks/population_table.py [patients]

The table (`extensions_dynamics.md`, section 4.2) holds means of four samples of 500 patients, with
kinetics of the typical patient times one log-normal exposure factor of CV 0.3 and no genotypes.
Two populations are compared with it: `as fitted` has exactly that; `ketjax` is the one a study
draws, with kinetic parameters, weight, age and genotypes of each patient. Falls are fractions of
baseline times the baseline of each trial; response and remission include rating noise.
"""

import dataclasses
import math
import sys

import numpy as np

from ketjax.model.parameters import Parameters, leaf, replace
from ketjax.population import Population, Recipe, draw
from ketjax.population.designs import random_normals
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import Simulation, Solution, Treatment

DAY = 24.0


def course(
    drug: str, route: str, amount: float, per_kg: bool, days: tuple[float, ...], hours: float
) -> Regimen:
    """Doses of one drug on the given days [d]."""
    return Regimen(tuple(Dose(drug, route, amount, per_kg, day * DAY, hours) for day in days))


def infused(amount: float, design: str, *days: float) -> Treatment:
    """Intravenous ketamine [mg/kg] over 40 min, or a sham infusion."""
    drug = "ketamine" if amount else "saline"
    return Treatment(course(drug, "intravenous", amount, True, days or (0.0,), 2 / 3), design)


def sprayed(amount: float, design: str, *days: float) -> Treatment:
    """Nasal esketamine [mg], or a sham spray."""
    drug = "esketamine" if amount else "saline"
    return Treatment(course(drug, "intranasal", amount, False, days, 0.0), design)


TWO, THREE = (0, 3, 7, 10), (0, 2, 4, 7, 9, 11)
FOUR_WEEKS = tuple(d for week in range(4) for d in (7 * week, 7 * week + 3))
ARMS = {
    "P01 ketamine": infused(0.5, "midazolam_parallel"),
    "P01 midazolam": infused(0.0, "midazolam_parallel"),
    "P02 open label": infused(0.5, "open_label"),
    "P02 pooled": infused(0.5, "pooled"),
    "P04 placebo": sprayed(0.0, "nasal_placebo", 0, 3),
    "P04 28 mg": sprayed(28.0, "nasal_placebo", 0, 3),
    "P04 84 mg": sprayed(84.0, "nasal_placebo", 0, 3),
    "P05 two": infused(0.5, "repeated_saline", *TWO),
    "P05 three": infused(0.5, "repeated_saline", *THREE),
    "P05 placebo": infused(0.0, "repeated_saline", *TWO),
    "P06 esketamine": sprayed(84.0, "nasal_placebo_new_antidepressant", *FOUR_WEEKS),
    "P06 placebo": sprayed(0.0, "nasal_placebo_new_antidepressant", *FOUR_WEEKS),
    # The printed placebo rows with repeated dosing are those of a single sham session.
    "P04 placebo, 1": sprayed(0.0, "nasal_placebo", 0),
    "P05 placebo, 1": infused(0.0, "repeated_saline", 0),
    "P06 placebo, 1": sprayed(0.0, "nasal_placebo_new_antidepressant", 0),
}
TIMES = (0.0, 2.0, 24.0, 72.0, 168.0, 192.0, 336.0, 648.0)
# Arm, hour, quantity, baseline of the trial, printed value of the table.
TABLE = (
    ("P01 ketamine", 24, "change", 33.0, -17.3),
    ("P01 ketamine", 24, "SD", 33.0, 10.9),
    ("P01 ketamine", 24, "response", 33.0, 54.5),
    ("P01 midazolam", 24, "change", 33.0, -9.6),
    ("P01 midazolam", 24, "response", 33.0, 25.3),
    ("P02 open label", 2, "change", 33.0, -16.0),
    ("P02 open label", 24, "response", 33.0, 56.3),
    ("P02 open label", 72, "response", 33.0, 46.9),
    ("P02 pooled", 24, "response", 33.0, 46.1),
    ("P02 pooled", 24, "remission", 33.0, 26.4),
    ("P02 pooled", 72, "response", 33.0, 41.0),
    ("P02 pooled", 72, "remission", 33.0, 23.1),
    ("P02 pooled", 168, "response", 33.0, 34.6),
    ("P02 pooled", 168, "remission", 33.0, 19.3),
    ("P04 placebo", 2, "change", 35.0, -8.9),
    ("P04 placebo", 24, "change", 35.0, -6.4),
    ("P04 placebo", 192, "change", 35.0, -5.8),
    ("P04 28 mg", 2, "change", 31.3, -11.2),
    ("P04 28 mg", 24, "change", 31.3, -13.1),
    ("P04 28 mg", 192, "change", 31.3, -13.5),
    ("P04 84 mg", 2, "change", 35.0, -14.3),
    ("P04 84 mg", 24, "change", 35.0, -17.6),
    ("P04 84 mg", 192, "change", 35.0, -16.8),
    ("P05 two", 336, "change", 35.0, -16.1),
    ("P05 three", 336, "change", 35.0, -17.3),
    ("P05 placebo", 336, "change", 35.0, -4.2),
    ("P06 esketamine", 648, "change", 37.5, -22.0),
    ("P06 placebo", 648, "change", 37.4, -15.9),
    ("P04 placebo, 1", 192, "change", 35.0, -5.8),
    ("P05 placebo, 1", 336, "change", 35.0, -4.2),
    ("P06 placebo, 1", 648, "change", 37.4, -15.9),
)


def as_fitted(population: Population, seed: int) -> Population:
    """The population of the fit: typical kinetics times one exposure factor of CV 0.3."""
    groups = (
        "pharmacokinetics.",
        "metabolites.",
        "absorption.",
        "depots.",
        "demography.",
        "brain.",
    )
    typical = Parameters()
    values = {p: leaf(typical, p) for p in population.varying if p.startswith(groups)}
    z = random_normals(seed, ("exposure",), population.patient)[0]
    factor = np.exp(z * math.sqrt(math.log1p(0.3**2)))
    values["brain.fraction_unbound_plasma"] = typical.brain.fraction_unbound_plasma * factor
    return dataclasses.replace(population, parameters=replace(population.parameters, values))


def measured(solution: Solution, arm: str, hour: float, quantity: str, baseline: float) -> float:
    """One figure of the table from a simulated population."""
    k, i = list(ARMS).index(arm), TIMES.index(hour)
    score = solution.readouts["madrs"][k]
    rated = solution.readouts["madrs_rated"][k]
    if quantity == "change":
        return float(np.mean(score[i] / score[0] - 1) * baseline)
    if quantity == "SD":
        return float(np.std(rated[i] - rated[0]))
    if quantity == "response":
        return float(100 * np.mean(rated[i] <= rated[0] / 2))
    return float(100 * np.mean(rated[i] <= 10))


if __name__ == "__main__":
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    recipe = Recipe(seed=11)
    simulation = Simulation(recipe, ARMS, TIMES, names=("madrs", "madrs_rated"))
    drawn = draw(recipe, np.arange(patients))
    solutions = {
        "as fitted": simulation.solve(as_fitted(drawn, recipe.seed)),
        "ketjax": simulation.solve(drawn),
    }
    print(f"{'arm':16} {'hour':>5} {'quantity':10} {'table':>7} {'as fitted':>10} {'ketjax':>8}")
    for arm, hour, quantity, baseline, printed in TABLE:
        a, b = (measured(s, arm, hour, quantity, baseline) for s in solutions.values())
        print(f"{arm:16} {hour:5d} {quantity:10} {printed:7.1f} {a:10.1f} {b:8.1f}")
