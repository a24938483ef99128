"""A design from its file to its folder: search, table, an arm for a study, a figure."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ketjax.design.courses import Schedule
from ketjax.design.objective import Objective, Worth
from ketjax.design.plan import DAY, Design
from ketjax.design.report import Report
from ketjax.design.search import Found, maximise
from ketjax.errors import StoreError
from ketjax.figures import plot_design, save

MANIFEST, TABLE, ARM, FIGURE = "manifest.json", "design.csv", "regimen.toml", "design.png"
# Where the manifest has what an option of the command can change.
OPTIONS = {"patients": "population", "infusions": "design", "starts": "search", "dtype": "solver"}
PERCENTILES = (10, 50, 90)
LATER = (1.0, 3.0, 8.0)  # after a session, when the figure looks again [h]


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a design stands: searching so many infusions, out of so many at most."""

    infusions: int
    most: int
    marches: int
    worth: Worth


def read(path: Path, changes: Mapping[str, Any]) -> Design:
    """Read a design and change what the options of a command say.

    Args:
        path: The TOML file.
        changes: Settings of `OPTIONS`, as the manifest writes them.

    Returns:
        The design, checked anew.

    Raises:
        StudyError: With every problem.
    """
    document = Design.read(path).to_dict()
    for name, value in changes.items():
        document[OPTIONS[name]][name] = value
    return Design.parse(document, path.parent)


def run(
    design: Design,
    folder: Path,
    *,
    overwrite: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> Report:
    """Carry a design out.

    Args:
        design: What is asked.
        folder: Where it is written: manifest, table, the best schedule as an arm, a figure.
        overwrite: Delete a design that is there. Nothing else is ever deleted.
        tell: Called after each march.

    Returns:
        What was found.

    Raises:
        StoreError: The folder is taken.
        TooManyFailures: No schedule keeps the cap, or nobody could be marched.
    """
    _make(folder, overwrite)
    objective = Objective(design)
    report = search(objective, tell)
    _ = report.best  # before anything is written
    text = json.dumps(design.to_dict(), indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, "utf-8")
    (folder / TABLE).write_text(report.table(), "utf-8")
    (folder / ARM).write_text(report.arm_text(), "utf-8")
    save(plot_design(*datasets(objective, report)), folder / FIGURE)
    return report


def search(objective: Objective, tell: Callable[[Progress], None] | None = None) -> Report:
    """The best schedule of each number of infusions."""
    found: list[Found] = []
    counted = []
    most = objective.design.design.infusions
    marches = 0
    for infusions in range(1, most + 1):

        def told(worth: Worth, infusions: int = infusions) -> None:
            nonlocal marches
            marches += 1
            if tell is not None:
                tell(Progress(infusions, most, marches, worth))

        before = found[-1].schedule if found else None
        one = maximise(objective, infusions, before, told)
        counted.append(objective.counted(one.worth))
        # The states of a march are large, and nothing goes back through this one.
        course = dataclasses.replace(one.worth.course, tapes=[])
        found.append(dataclasses.replace(one, worth=dataclasses.replace(one.worth, course=course)))
    return Report(objective.design, found, counted)


def datasets(objective: Objective, report: Report) -> tuple[xr.Dataset, xr.Dataset]:
    """What the figure shows: all numbers of infusions, and the best schedule in time."""
    d, rows = report.design.design, report.rows()
    best = report.found[report.best].schedule
    column = {name: [row[name] for row in rows] for name in rows[0]}
    found = xr.Dataset(
        {
            "share": ("infusions", column["share"]),
            "share_se": ("infusions", column["share_se"]),
            "counted": ("infusions", column["share_counted"]),
            "counted_se": ("infusions", column["share_counted_se"]),
            "cap": ("infusions", column["cap"]),
        },
        {"infusions": column["infusions"]},
        {
            "outcome": d.outcome,
            "day": d.day,
            "best": best.infusions,
            "name": report.design.name,
            "patients": objective.courses.count,
        },
    )
    capped = d.cap is not None and d.cap.share is None
    limit = d.cap.dissociation if d.cap is not None and capped else math.nan
    return found, _in_time(objective, best, limit)


def _in_time(objective: Objective, best: Schedule, limit: float) -> xr.Dataset:
    """The population's course under a schedule."""
    end, span = objective.design.design.end, objective.design.span
    times = np.arange(0.0, end, DAY)
    later = (best.starts[:, None] + span + np.array(LATER)).ravel()
    times = np.unique(np.concatenate([times, later[later < end]]))
    # Not so near to an infusion that a step would have no length.
    since = times[:, None] - best.starts
    apart = ~((since > -span) & (since < span)).any(axis=1)
    frame = objective.courses.frame(best, np.concatenate([times[apart], best.starts]))
    time, score, dissociation = objective.courses.watch(frame, best)
    low, median, high = np.nanpercentile(score, PERCENTILES, axis=1)
    return xr.Dataset(
        {
            "low": ("time", low),
            "median": ("time", median),
            "high": ("time", high),
            "mean_dissociation": ("time", np.nanmean(dissociation, axis=1)),
            "amount": ("infusion", best.amounts),
            "start": ("infusion", best.starts),
        },
        {"time": time},
        {"unit": objective.design.unit, "limit": limit},
    )


def _make(folder: Path, overwrite: bool) -> None:
    """Make the folder, or see that it is one that may be written to."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise StoreError(f"{folder}: is no folder; choose another place (--out)")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MANIFEST).exists() or not (folder / ARM).exists():
            raise StoreError(f"{folder}: holds something that is no design; choose another (--out)")
        if not overwrite:
            raise StoreError(
                f"{folder}: exists already; replace it (--overwrite), or choose another folder "
                "(--out)"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
