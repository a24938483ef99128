"""A grid of studies, dose by interval by route, over the processes of a machine or of a cluster.

    python studies/grid.py [--patients 1000] [--out out/grid] [--workers 2 | --scheduler tls://...]

Each study is a store of its own in the folder. What is there already is not run again, a study that
was interrupted goes on: the same command resumes the grid. Numbers of studies pass the scheduler,
nothing else; workers must see the folder. At the end the summaries stand in `grid.csv`, and
`grid.png` shows them.
"""

import argparse
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import ketjax
from ketjax.analysis import aggregate
from ketjax.cluster import Workers, solve_on
from ketjax.console import mistakes, progress
from ketjax.dataset import read_attributes
from ketjax.figures import save
from ketjax.tables import formatted

MANIFEST = Path(__file__).with_name("grid.toml")
DAYS, END = 28, 672.0  # of treatment; last visit [h]
ROUTES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "intravenous": ({"duration": "40 min"}, ("0.25 mg/kg", "0.5 mg/kg", "1 mg/kg")),
    "subcutaneous": ({}, ("0.25 mg/kg", "0.5 mg/kg", "1 mg/kg")),
    "intranasal": ({"drug": "esketamine"}, ("28 mg", "56 mg", "84 mg")),
    "oral": ({}, ("0.5 mg/kg", "1 mg/kg", "2 mg/kg")),
}
"""Route: what its doses have beside drug and time, and their amounts."""

INTERVALS = ("2 day", "3.5 day", "7 day", "14 day")
GRID = [
    (route, amount, every)
    for route, (_, amounts) in ROUTES.items()
    for amount, every in product(amounts, INTERVALS)
]


def study_of(k: int, patients: int | None) -> ketjax.Study:
    """Study k of the grid."""
    route, amount, every = GRID[k]
    base = ketjax.Study.read(MANIFEST)
    own, _ = ROUTES[route]
    dose: dict[str, Any] = {
        "drug": "ketamine",
        "route": route,
        "amount": amount,
        "time": "0 h",
        **own,
    }
    count = int(np.ceil(DAYS / float(every.split()[0])))
    dose["repeat"] = {"every": every, "count": count}
    name = f"{route}_{amount}_every_{every}".replace(" ", "_").replace("/", "_per_")
    changes = {} if patients is None else {"patients": patients}
    arms = {"course": {"expectancy": "open_label", "doses": [dose]}}
    return base.replace(name=name, arms=arms, **changes)


def run_study(folder: str, k: int, patients: int | None = None) -> dict[str, Any]:
    """Run study k of the grid into the folder, or go on with it."""
    study = study_of(k, patients)
    path = Path(folder) / f"{study.name}.zarr"
    ketjax.run(study, path, resume=path.exists())
    return {"patients": study.population.patients}


def outcome_of(path: Path) -> dict[str, float]:
    """What a course of treatment came to.

    Output times are dense after the first dose alone, so dissociation is that of the first dose.
    The last visit is one interval after the last dose, when a next one would be due.
    """
    dataset = ketjax.open_store(path)
    clinical = ketjax.summarise(dataset, hours=[END]).sel(arm="course").isel(hour=0)
    felt = aggregate(dataset, ["dissociation"], quantiles=[0.5])["dissociation_mean"]
    names = ("response", "remission", "remission_low", "remission_high", "madrs_change", "n_failed")
    found = {name: float(clinical[name]) for name in names}
    return found | {"first_dissociation": float(felt.max("time").squeeze())}


def plot(found: list[dict[str, float]]) -> Figure:
    """Remission by dose and interval, a panel a route; dissociation stands with the doses."""
    figure = Figure(figsize=(3.1 * len(ROUTES) + 1, 3.6), layout="constrained")
    row = figure.subplots(1, len(ROUTES))
    remission, dissociation = (
        np.reshape([one[name] for one in found], (len(ROUTES), -1, len(INTERVALS)))
        for name in ("remission", "first_dissociation")
    )
    highest = remission.max()
    for axes, (route, (given, amounts)), part, felt in zip(
        row, ROUTES.items(), remission, dissociation[..., 0], strict=True
    ):
        image = axes.imshow(part, cmap="viridis", vmin=0, vmax=highest, aspect="auto")
        axes.set_title(f"{given.get('drug', 'ketamine')}, {route}", fontsize=10)
        axes.set_xticks(range(len(INTERVALS)), [f"{every}s" for every in INTERVALS], fontsize=8)
        labels = [f"{amount}\n({most:.1f})" for amount, most in zip(amounts, felt, strict=True)]
        axes.set_yticks(range(len(amounts)), labels, fontsize=8)
        for (i, j), value in np.ndenumerate(part):
            shade = "black" if value > 0.6 * highest else "white"
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=shade, fontsize=9)
    figure.colorbar(image, ax=row, label="Remission at day 28 [% of patients]")
    figure.supxlabel("one dose every (day 28 is one interval after the last dose)", fontsize=9)
    figure.supylabel("dose (highest mean dissociation\nafter the first [CADSS points])", fontsize=9)
    return figure


def main() -> None:
    """Run what is missing and summarise all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patients", type=int, help="of each study, instead of the manifest's")
    parser.add_argument("--out", type=Path, default=Path("out/grid"))
    parser.add_argument("--workers", type=int, default=0, help="processes of this machine")
    parser.add_argument("--scheduler", default="", help="address of a Dask scheduler")
    asked = parser.parse_args()
    with mistakes():
        asked.out.mkdir(parents=True, exist_ok=True)
        studies = [study_of(k, asked.patients) for k in range(len(GRID))]
        paths = [asked.out / f"{study.name}.zarr" for study in studies]
        missing = [
            k for k, path in enumerate(paths)
            if not path.exists() or not read_attributes(path)["complete"]
        ]  # fmt: skip
        total = sum(study.population.patients for study in studies)
        done = total - sum(studies[k].population.patients for k in missing)
        work = partial(run_study, patients=asked.patients)
        with progress("grid", total) as show:
            show(done, total)

            def tell(patients: float) -> None:
                nonlocal done
                done += round(patients)
                show(done, total)

            if asked.workers or asked.scheduler:
                workers = Workers(asked.workers, asked.scheduler)
                if lost := solve_on(workers, asked.out, missing, tell, work):
                    names = ", ".join(studies[k].name for k in lost)
                    raise SystemExit(f"given up, each ended its workers: {names}")
            else:
                for k in missing:
                    tell(work(str(asked.out), k)["patients"])
        found = [outcome_of(path) for path in paths]
        head = ["route", "amount", "every", *found[0]]
        lines = [[*place, *one.values()] for place, one in zip(GRID, found, strict=True)]
        text = formatted(head, lines, "csv")
        (asked.out / "grid.csv").write_text(text, encoding="utf-8")
        shown = [[*line[:3], *(f"{value:.3g}" for value in line[3:])] for line in lines]
        sys.stdout.write(formatted(head, shown, "text"))
        print(f"{asked.out / 'grid.csv'}, {save(plot(found), asked.out / 'grid.png')}")


if __name__ == "__main__":
    main()
