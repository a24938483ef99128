"""Run every study and draw its figure.

    python studies/run_all.py [--patients 2000] [--out out/studies] [NAME ...]

Each study is a manifest beside this file with its question on top; its story, `NAME.md`, gives the
answer, and `NAME.csv` beside the figure the numbers that it quotes. A study that is there already
is not run again; `--overwrite` does.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import ketjax
from ketjax.analysis.survival import RELAPSE_STATES
from ketjax.figures import plot_outcomes, plot_panels, plot_response, plot_survival, save
from ketjax.tables import formatted

FOLDER = Path(__file__).parent
HOURS = (2.0, 24.0, 168.0, 336.0, 672.0, 1344.0)
Plot = Callable[[xr.Dataset], Figure]
RELAPSED = {state: code for code, state in RELAPSE_STATES.items()}["relapsed"]

SHOWN_REGIONS = {
    "prefrontal_cortex": ("ca1_subiculum", "prefrontal"),
    "CA1_and_subiculum": ("ca1_subiculum", "hippocampus"),
    "dentate_and_entorhinal": ("dentate_entorhinal", "hippocampus"),
}
"""Name to arm and region: what the regions study shows side by side."""


def plot_regions(dataset: xr.Dataset) -> Figure:
    """Draw regions as if they were arms."""
    variables = ("dialysate_glutamate", "bdnf", "mtorc1")
    variables += ("synaptic_protein", "potentiation", "synapse_gain")
    parts = [
        dataset[[*variables, "status"]].sel(arm=arm, region=region).assign_coords(arm=name)
        for name, (arm, region) in SHOWN_REGIONS.items()
    ]
    shown = xr.concat([part.drop_vars("region") for part in parts], "arm", data_vars="all")
    return plot_panels(shown, variables, title="Surge and synapses by region, one infusion")


FIGURES: dict[str, Plot] = {
    "s01_single_infusion": partial(
        plot_response, title="One infusion, of ketamine, midazolam or saline"
    ),
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
    "s05_routes": partial(
        plot_panels,
        variables=(
            "plasma_ketamine",
            "plasma_norketamine",
            "interneuron_block",
            "dialysate_glutamate",
            "dissociation",
            "madrs",
        ),
        title="Five routes in usual doses",
    ),
    "s06_courses": partial(
        plot_survival,
        title="Open infusions: responders without relapse (20 points or more at two visits)",
    ),
    "s07_antidepressant": partial(
        plot_outcomes,
        hours=(24.0, 168.0, 672.0, 1344.0),
        title="Ketamine and a daily antidepressant, each in its own trial design",
    ),
    "s08_psychotherapy": partial(
        plot_panels,
        variables=("synapse_gain", "potentiation", "learning", "madrs"),
        title="Four sessions near or far from one infusion: a hypothesis",
        linear=True,
    ),
    "s09_default_mode": partial(
        plot_panels,
        variables=(
            "default_mode_connectivity",
            "salience_connectivity",
            "network_excess",
            "rumination",
            "madrs",
        ),
        title="Networks and rumination after one infusion",
    ),
    "s10_inflammation": partial(
        plot_panels,
        variables=("il6", "crp", "inflammation", "bdnf", "synapse_density", "madrs"),
        title="Six infusions in patients who differ in inflammation alone",
        linear=True,
    ),
    "s11_presynaptic": partial(
        plot_panels,
        variables=("vesicle_pool", "dialysate_glutamate", "bdnf", "synapse_gain", "madrs"),
        title="A direct effect on release beside disinhibition",
    ),
    "s12_rivals": partial(
        plot_panels,
        variables=(
            "dialysate_glutamate",
            "bdnf",
            "potentiation",
            "synapse_gain",
            "habenula",
            "madrs",
        ),
        title="Each explanation alone",
    ),
    "s13_safety": partial(
        plot_panels,
        variables=(
            "plasma_ketamine",
            "dissociation",
            "systolic_pressure",
            "heart_rate",
            "sedation",
            "unresponsive",
            "heat_pain",
            "madrs",
        ),
        title="What is felt and measured in the first day, by dose",
    ),
    "s14_regions": plot_regions,
}
"""Study to what draws it."""


def numbers(dataset: xr.Dataset, laws: Iterable[str] = ()) -> str:
    """Each arm's mean course of each readout in a few numbers, as CSV.

    A readout without a region in its name is of the whole patient or of prefrontal cortex; of the
    score the fall [%] is given, of the rated score the patients in whom it has halved [%]. The 5th
    and 95th percentiles are of patients; a single patient has none. Of relapse the responders who
    are still well are given, by time from the visit at which response was judged. Where a parameter
    has a law of the study, the patients with the lowest and the highest fifth of it follow.
    """
    spreads = {"": None, "5 % ": 0.05, "95 % ": 0.95}
    if dataset.sizes["patient"] == 1:
        spreads = {"": None}
    hours = [hour for hour in HOURS if hour <= float(dataset["time"][-1])]
    lines = []
    for who, part in parts(dataset, laws):
        for name, values in courses(part):
            values = values.transpose("arm", "time", "patient").compute()
            means = values.mean("patient")
            seen = values.sel(time=hours, method="nearest")
            found = [
                seen.mean("patient") if share is None else seen.quantile(share, "patient")
                for share in spreads.values()
            ]
            for arm in values["arm"].values:
                one = means.sel(arm=arm).dropna("time")
                cells = [one.max(), one["time"][int(np.argmax(one.to_numpy()))], one.min(), one[-1]]
                cells += [cell for values in found for cell in values.sel(arm=arm)]
                lines.append([name, f"{arm}{who}", *(f"{float(cell):.4g}" for cell in cells)])
    times = [f"{what}at {hour:g} h" for what in spreads for hour in hours]
    return formatted(["readout", "arm", "highest", "at", "lowest", "end", *times], lines, "csv")


def parts(dataset: xr.Dataset, laws: Iterable[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """All patients, and those with the lowest and the highest fifth of some parameters."""
    yield "", dataset
    for path in laws:
        order = np.argsort(dataset[path].to_numpy())
        fifth = order.size // 5
        yield f", lowest fifth of {path}", dataset.isel(patient=np.sort(order[:fifth]))
        yield f", highest fifth of {path}", dataset.isel(patient=np.sort(order[-fifth:]))


def courses(dataset: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    """What has a course in time, with its name."""
    for name, values in dataset.data_vars.items():
        if name == "time_to_relapse":
            lost = (values <= dataset["time"]) & (dataset["relapse_state"] == RELAPSED)
            seen = values.notnull() & (dataset["time"] <= values.max("patient"))
            yield "without relapse [% of responders]", (100.0 * ~lost).where(seen)
        if "time" not in values.dims:
            continue
        if "region" in values.dims:
            yield str(name), values.sel(region="prefrontal")
            yield f"{name}, hippocampus", values.sel(region="hippocampus")
        elif name == "madrs":
            yield "fall of madrs [%]", 100 * (1 - values / values.isel(time=0))
        elif name == "madrs_rated":
            yield "response [%]", 100.0 * (values <= dataset["baseline_madrs"] / 2)
        else:
            yield str(name), values


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
        dataset = ketjax.open_store(store)
        figure = save(FIGURES[name](dataset), chosen.out / f"{name}.png")
        (chosen.out / f"{name}.csv").write_text(numbers(dataset, study.population.laws), "utf-8")
        print(f"{name:28} {time.perf_counter() - before:6.1f} s  {figure}", flush=True)
    print(f"{'all':28} {time.perf_counter() - began:6.1f} s")


if __name__ == "__main__":
    main()
