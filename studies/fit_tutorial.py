"""From a table of published summaries to a fitted set to a prediction.

Two minutes on two cores the first time, when programs are compiled; then less than one.
"""

from pathlib import Path

import numpy as np

import ketjax
from ketjax.fit.examination import draw_text, examine, optimum_of
from ketjax.fit.run import objective_of, read, run
from ketjax.fit.starts import draw_starts
from ketjax.fit.uncertainty import in_units
from ketjax.study import Study
from ketjax.tables import formatted

HERE, DRAWS = Path(__file__).parent, 200


def main(folder: Path, fitted: int = 128, predicted: int = 8000) -> dict:
    """Walk through a fit; all is written into `folder`, and the two predictions are returned."""
    # 1. The table (fit_tutorial.csv) says what was published, the manifest what was done in the
    #    trials and what may move. Reading checks both, with every mistake at once.
    fit = read(HERE / "fit_tutorial.toml", {"patients": fitted})
    print(f"{len(fit.summaries)} published summaries, {len(fit.unknowns)} free numbers\n")
    # 2. The search moves the free numbers until simulated trials give what was published. Few
    #    summaries say little: a prior about the start keeps what they do not tell.
    print(run(fit, folder, overwrite=True).text())

    # 3. How well are the numbers known? One whose interval is hardly narrower than its prior was
    #    not learned here. Draws from the posterior carry what is not known into a prediction.
    theta = optimum_of(folder, fit.unknowns)
    found = examine(objective_of(fit), fit.unknowns, theta, folder, draws=DRAWS, overwrite=True)
    print(formatted(*found.table(), "text"), found.closing(), sep="\n")

    # 4. A parameter set is a file that studies name, its posterior a table beside it. Before the
    #    fit nothing is set, and draws come from the priors of the free numbers.
    prior = in_units(fit.unknowns, draw_starts(fit.unknowns, DRAWS, seed=1))
    (folder / "prior.csv").write_text(draw_text(fit.unknowns, prior, np.ones(DRAWS)))
    nothing = '[provenance]\nname = "before"\nspecies = "human"\n'
    sets = {"before": ("prior", nothing), "after": ("posterior", (folder / "set.toml").read_text())}

    # 5. Predict what was not fitted: day 7 of the pooled trials, where 39.8 % responded (Han 2016),
    #    and an arm with less than half the dose. An ordinary study, once with each set.
    shown, manifest = {}, (HERE / "fit_tutorial_prediction.toml").read_text()
    for name, (draws, text) in sets.items():
        (folder / f"{name}.toml").write_text(f'posterior = "{draws}.csv"\n{text}')
        study = Study.parse(f'set = "{name}.toml"\n{manifest}', folder=folder)
        study = study.replace(patients=predicted)
        store = ketjax.run(study, folder / f"{name}.zarr", overwrite=True)
        shown[name] = ketjax.summarise(ketjax.open_store(store), hours=[24, 168])
        columns = ["response", "response_draws_low", "response_draws_high"]  # [%]
        print(name, shown[name][columns].to_dataframe().round(1).to_string(), sep="\n")
    return shown


if __name__ == "__main__":
    main(Path("out") / "fit_tutorial.fit")
