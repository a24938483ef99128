"""How far are the courses of a whole population from those at a thousandth of the tolerance?

    python benchmarks/accuracy.py [patients]

The first study at its own settings, in float32 and float64, against rtol 1e-6 in float64: for each
readout the largest difference over patients, arms, regions and times in units of its scale, with
the 99th percentile over patients; then the solver's own estimates.
"""

import sys
from pathlib import Path

import numpy as np

from ketjax.model.readouts import READOUTS
from ketjax.population import draw
from ketjax.preparation import recipe_of, simulation_of
from ketjax.study import Study

FIRST = Path(__file__).parents[1] / "studies" / "s01_single_infusion.toml"

if __name__ == "__main__":
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    study = Study.read(FIRST)
    recipe = recipe_of(study)
    drawn = draw(recipe, np.arange(patients))
    tight = simulation_of(study.replace(rtol=1e-6, dtype="float64"), recipe)
    exact = tight.solve(drawn)
    print(f"reference: {tight.mesh.steps} steps, failed {int((exact.status != 0).sum())}")
    for dtype in ("float32", "float64"):
        simulation = simulation_of(study.replace(dtype=dtype), recipe)
        found = simulation.solve(drawn)
        rows = []
        for name, readout in READOUTS.items():
            error = np.abs(found.readouts[name] - exact.readouts[name]) / readout.scale
            worst = error.reshape(-1, patients).max(axis=0)
            rows.append((float(worst.max()), float(np.quantile(worst, 0.99)), name))
        rows.sort(reverse=True)
        print(
            f"{dtype}: rtol {study.solver.rtol:g}, {simulation.mesh.steps} steps, "
            f"failed {int((found.status != 0).sum())}, "
            f"estimated error over tolerance: median {np.median(found.error):.2g}, "
            f"99 % {np.quantile(found.error, 0.99):.2g}, most {found.error.max():.2g}"
        )
        for largest, most, name in rows[:8]:
            print(f"  {name:28} largest {largest:.1e}   99 % of patients below {most:.1e}")
