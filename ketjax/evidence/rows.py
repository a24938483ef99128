"""The evidence table: one line a finding, read and checked. The lines are data, `table.csv`.

A line names a finding with its source and interval, and how the model is asked for it: experiment
(a study beside the table), arm, readout, statistic, times, and what it is compared with.
"""

import csv
import dataclasses
import math
from pathlib import Path

from ketjax.errors import Problem, StudyError, check_name
from ketjax.evidence.statistics import CONTRASTS, STATISTICS

FOLDER = Path(__file__).parent
KINDS = ("built in", "calibrated", "predicted")
"""Follows from an equation; was used to set a parameter; neither."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One finding.

    Attributes:
        id: Its name.
        claim: Number of the claim that it bears on.
        stage: Where in the cascade it stands.
        kind: One of `KINDS`.
        source: Citation key of the source list, or the publication.
        condition: What was done and seen.
        experiment: Study that simulates it.
        arm: Arm of the study.
        versus: Arm to compare with; empty for the same.
        contrast: How to compare; empty for no comparison.
        readout: What is read.
        versus_readout: Readout to compare with; empty for the same.
        region: Region of a regional readout.
        statistic: What is made of it.
        start: Time, or start of the window [h].
        stop: End of the window [h]; NaN for a single time.
        unit: Unit of the numbers.
        expected: What was found: a number or a direction.
        low: Lower end of what the source leaves open.
        high: Upper end.
        reason: Why it fails, where it is known to and should not.
    """

    id: str
    claim: int
    stage: str
    kind: str
    source: str
    condition: str
    experiment: str
    arm: str
    versus: str
    contrast: str
    readout: str
    versus_readout: str
    region: str
    statistic: str
    start: float
    stop: float
    unit: str
    expected: str
    low: float
    high: float
    reason: str


def read_rows(path: Path = FOLDER / "table.csv") -> tuple[Evidence, ...]:
    """Read the table.

    Args:
        path: A table with the columns of `Evidence`.

    Returns:
        The findings in the order of the table.

    Raises:
        StudyError: A line makes no sense; all problems at once.
    """
    rows, problems, seen = [], [], set()
    with path.open(newline="", encoding="utf-8") as file:
        for line, cells in enumerate(csv.DictReader(file), start=2):
            place = f"line {line}"
            try:
                row = _row_of(cells)
            except (TypeError, ValueError, KeyError) as error:
                problems.append(Problem(place, f"cannot be read: {error}", code="wrong_type"))
                continue
            problems += _problems_of(row, place)
            if row.id in seen:
                problems.append(Problem(place, "is listed twice", row.id, code="duplicate"))
            seen.add(row.id)
            rows.append(row)
    if problems:
        raise StudyError(problems)
    return tuple(rows)


def _row_of(cells: dict[str, str]) -> Evidence:
    numbers = {name: float(cells[name]) for name in ("start", "low", "high")}
    stop = float(cells["stop"]) if cells["stop"] else math.nan
    return Evidence(**{**cells, **numbers, "claim": int(cells["claim"]), "stop": stop})


def _problems_of(row: Evidence, place: str) -> list[Problem]:
    problems = check_name(f"{place}, kind", row.kind, KINDS, "kind")
    problems += check_name(f"{place}, statistic", row.statistic, STATISTICS, "statistic")
    problems += check_name(f"{place}, contrast", row.contrast, CONTRASTS, "contrast")
    if not row.low < row.high:
        text = f"{row.low:g} to {row.high:g}"
        problems.append(Problem(place, "the interval is empty", text, code="empty_range"))
    if not (FOLDER / f"{row.experiment}.toml").is_file():
        problems.append(Problem(place, "there is no such experiment", row.experiment))
    return problems
