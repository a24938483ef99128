"""From a table of published summaries to a fitted set to a prediction: python studies/fit_tutorial.py

Two minutes on two cores the first time, when programs are compiled; less than half of one later.
"""

import sys
from pathlib import Path

import ketjax
from ketjax.fit import Fit, examine, objective_of, optimum_of, run
from ketjax.study import Study

HERE = Path(__file__).parent
ARMS = '''
[arms.pooled]
expectancy = "pooled"
[[arms.pooled.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
time = "0 h"
duration = "40 min"
'''


def main(folder: Path, patients: int = 2000, **changes: object) -> None:
    """Walk through a fit; everything is written below `folder`."""
    # 1. The table says what was published, the manifest what was done and what may move. Reading
    #    checks both together: every arm, unit and name of a parameter.
    fit = Fit.read(HERE / "fit_tutorial.toml").replace(**changes)
    print(f"{len(fit.summaries)} summaries, {len(fit.unknowns)} free numbers")

    # 2. The search moves the free numbers until the simulated trials give the published numbers.
    #    A prior about the start keeps what the table does not tell.
    print(run(fit, folder / "tutorial.fit", overwrite=True).text())

    # 3. How well are they known? An interval hardly shorter than its prior was not learned here.
    theta = optimum_of(folder / "tutorial.fit", fit.unknowns)
    known = examine(objective_of(fit), fit.unknowns, theta, folder / "tutorial.fit", draws=200)
    print(ketjax.tables.formatted(*known.table(), "text"))

    # 4. Prediction: day 7 of the pooled trials was not fitted. They found 39.8 % (Han2016).
    ...
