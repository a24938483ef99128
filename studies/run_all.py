"""Run every study and draw its figure.

    python studies/run_all.py [--patients 2000] [--out out/studies] [NAME ...]

Each study is a manifest beside this file with its question on top; its story, `NAME.md`, gives the
answer. A study that is there already is not run again; `--overwrite` does.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

import ketjax
from ketjax.figures import plot_outcomes, plot_panels, plot_response, save

FOLDER = Path(__file__).parent
Plot = Callable[[xr.Dataset], Figure]

FIGURES: dict[str, Plot] = {
    "s01_single_infusion": plot_response,
    "s02_dose_rat": partial(
        plot_panels,
        variables=("dialysate_glutamate", "mtorc1", "synapse_gain"),
        title="More ketamine is not more surge: the rat from 3 to 200 mg/kg",
    ),
    "s03_dose_human": partial(
        plot_outcomes,
        hours=(24.0, 168.0),
        title="Dose of one infusion, in a trial against saline",
    ),
    "s04_blockers": partial(
        plot_panels,
        variables=(
            "dialysate_glutamate",
            "bdnf",
            "mtorc1",
            "potentiation",
            "synapse_gain",
            "madrs",
        ),
        title="What is left of the cascade when one link is blocked",
    ),
}
"""Study to what draws it."""


def main() -> None:
    """Run and draw."""
    parser = argparse.ArgumentParser(description="Run every study and draw its figure.")
    parser.add_argument("names", nargs="*", default=list(FIGURES), help="studies; all if none")
    parser.add_argument("--patients", type=int, default=2000, help="of studies of populations")
    parser.add_argument("--out", type=Path, default=Path("out/studies"), help="folder")
    parser.add_argument("--overwrite", action="store_true", help="run again")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - FIGURES.keys():
        parser.error(f"no such study: {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    for name in chosen.names:
        study = ketjax.Study.read(FOLDER / f"{name}.toml")
        if not study.population.typical:
            study = study.replace(patients=chosen.patients)
        store, before = chosen.out / f"{name}.zarr", time.perf_counter()
        if chosen.overwrite or not store.exists():
            ketjax.run(study, store, overwrite=chosen.overwrite)
        figure = save(FIGURES[name](ketjax.open_store(store)), chosen.out / f"{name}.png")
        print(f"{name:28} {time.perf_counter() - before:6.1f} s  {figure}", flush=True)
    print(f"{'all':28} {time.perf_counter() - began:6.1f} s")


if __name__ == "__main__":
    main()
