"""Targets of a fit: published summaries, one line a summary, read and checked.

The table that comes with the package is `profiles.csv`. Its weights: 1; a half where the spread or
the number of patients is assumed or unverified, or the number derived; a quarter where the number
itself is unverified; 0 where it says the same as other lines or is conditioned on (all assumed).
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ketjax import manifest
from ketjax.analysis.survival import RELAPSE_RULES
from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fit.quantities import OPTIONAL, QUANTITIES, Quantity, standard_error
from ketjax.units import parse

PROFILES = Path(__file__).parent / "profiles.csv"
NEEDED = (
    *("profile", "arm", "design", "quantity", "time", "mean"),
    *("spread", "n", "unit", "source", "weight"),
)
COLUMNS = (*NEEDED, *OPTIONAL, "note")
FILLED = ("profile", "arm", "design", "quantity", "time", "mean", "n", "unit", "source", "weight")
LEFT_OUT = {
    "correlation of dissociation at 40 min with relief": "no quantity of the list is a correlation",
    "share with a systolic rise of 40 mmHg (label)": "on any day of dosing: not in the list",
    "concentrations for analgesia, dissociation, anaesthesia": "thresholds, no course of an arm",
    "concentration in anaesthesia with nitrous oxide": "the doses are not known",
    "pain at 100 ng/mL of S-ketamine": "a concentration that is held; pain is not in the list",
    "half-life between plasma and pain": "a parameter, no readout",
    "linearity of pain against concentration": "a correlation coefficient",
}
"""Lines of the table of published targets that `profiles.csv` leaves out, and why."""
NOBODY = Quantity("", "", "", "1", ())


@dataclasses.dataclass(frozen=True)
class Target:
    """One published summary.

    Attributes:
        profile: Group of summaries that belong together.
        arm: Arm of the fit that stands for the trial's.
        design: Trial design, which the arm has.
        quantity: One of `QUANTITIES`.
        time: When [h] after the first event of the arm; where there is a rule, until when.
        mean: The number published [unit of the quantity].
        spread: SD over patients [unit], NaN if the quantity needs none; a difference or an effect
            size has that whose mean over n patients has the published error.
        n: Patients; of an effect that is pooled over trials, all of them.
        source: Where it was published.
        weight: What it counts for, 1 for most.
        versus: Arm to compare with, or empty.
        stop: End of a window [h], NaN if there is none.
        censored: Patients of n who left before `time`.
        baseline: Mean score at entry of the trial [points], NaN if it is not known.
        rule: By which responders relapse, or empty.
        note: What is weak about it.
        line: Where it stands in its file.
    """

    profile: str
    arm: str
    design: str
    quantity: str
    time: float
    mean: float
    spread: float
    n: int
    source: str
    weight: float = 1.0
    versus: str = ""
    stop: float = math.nan
    censored: int = 0
    baseline: float = math.nan
    rule: str = ""
    note: str = ""
    line: int = 0

    @property
    def kind(self) -> Quantity:
        """What it is a number of."""
        return QUANTITIES[self.quantity]

    @property
    def error(self) -> float:
        """Standard error of the number published [unit of the quantity]."""
        return standard_error(self.kind, self.mean, self.spread, self.n)

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that it speaks of."""
        return (self.arm, self.versus) if self.versus else (self.arm,)

    @property
    def last(self) -> float:
        """The last time that it needs [h]."""
        return self.time if math.isnan(self.stop) else max(self.time, self.stop)

    @property
    def name(self) -> str:
        """What tells it from the others of its table, in words."""
        words = [f"{self.profile} {self.arm}: {self.quantity} at {self.time:g} h"]
        words += [f"to {self.stop:g} h"] if not math.isnan(self.stop) else []
        words += [f"against {self.versus}"] if self.versus else []
        words += [f"by {self.rule}"] if self.rule else []
        return " ".join((*words, f"({self.source})"))


def read_targets(path: str | Path = PROFILES) -> tuple[Target, ...]:
    """Read a table of targets.

    Args:
        path: CSV with the columns of `COLUMNS`, those of `OPTIONAL` and "note" if they are used;
            times with their unit, the other numbers in the unit of the line.

    Returns:
        The targets in the order of the table.

    Raises:
        StudyError: With every problem of the table, each with its line.
    """
    try:
        return _read(manifest.read_text(Path(path)))
    except StudyError as error:
        raise StudyError(error.problems, source=str(path)) from None


def targets_text(targets: Sequence[Target]) -> str:
    """A table that `read_targets` reads back: the same targets but for their lines.

    Args:
        targets: What it shall hold.

    Returns:
        CSV; numbers in the unit of their quantity, times in hours.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for target in targets:
        cells = {name: getattr(target, name) for name in COLUMNS if name != "unit"}
        numbers = {
            name: "" if math.isnan(cells[name]) else repr(cells[name])
            for name in ("mean", "spread", "weight", "baseline")
        }
        times = {
            name: "" if math.isnan(cells[name]) else f"{cells[name]!r} h"
            for name in ("time", "stop")
        }
        unit = {"unit": target.kind.unit, "censored": target.censored or ""}
        writer.writerow({**cells, **numbers, **times, **unit})
    return text.getvalue()


def digest(targets: Sequence[Target]) -> str:
    """The SHA-256 of what targets say, wherever they stand; 64 hexadecimal digits."""
    lines = "\n".join(repr(dataclasses.replace(target, line=0)) for target in targets)
    return hashlib.sha256(lines.encode()).hexdigest()


def _read(text: str) -> tuple[Target, ...]:
    reader = csv.DictReader(io.StringIO(text), restkey="", restval="")
    given = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = given
    problems = [
        Problem(name, "a column is missing", "", ", ".join(COLUMNS), "add it", "missing", "1")
        for name in NEEDED
        if name not in given
    ]
    for k, name in enumerate(given):
        found = check_name(name, name, COLUMNS, "column")
        if name in given[:k]:
            found = [Problem(name, "a column is given twice", "", "", "keep one", "duplicate")]
        problems += [dataclasses.replace(problem, position="1") for problem in found]
    if problems:
        raise StudyError(problems)
    targets: list[Target] = []
    seen: dict[str, int] = {}
    for cells in reader:
        found = []
        target = _target(cells, reader.line_num, found)
        if target is not None:
            first = seen.setdefault(target.name, reader.line_num)
            if first != reader.line_num:
                message = f"the same summary stands in line {first}"
                found.append(Problem("quantity", message, target.name, "", "keep one", "duplicate"))
            targets.append(target)
        problems += [dataclasses.replace(p, position=str(reader.line_num)) for p in found]
    if not targets and not problems:
        problems.append(Problem("", "the table has no line", hint="add a summary", code="empty"))
    if problems:
        raise StudyError(problems)
    return tuple(targets)


def _target(cells: dict[str, str], line: int, problems: list[Problem]) -> Target | None:
    """One line; None, and what is wrong with it added to the problems, if it cannot be read."""
    if extra := cells.pop("", None):
        hint = "put text that holds a comma in double quotes"
        message = "more cells than columns"
        problems.append(Problem("", message, show(list(extra)), "", hint, "wrong_type"))
    cell = {name: (cells.get(name) or "").strip() for name in COLUMNS}
    for name in FILLED:
        if not cell[name]:
            problems.append(Problem(name, "this is missing", hint="fill the cell", code="missing"))
    quantity = QUANTITIES.get(cell["quantity"], NOBODY)
    if cell["quantity"] and quantity is NOBODY:
        problems += check_name("quantity", cell["quantity"], QUANTITIES, "quantity")
    if quantity is NOBODY:
        return None
    unit_known = True
    if cell["unit"]:
        wrong = check_name("unit", cell["unit"], quantity.spellings, f"unit of {quantity.name}")
        problems += wrong
        unit_known = not wrong
    problems += _misplaced(cell, quantity)
    number = partial(_number, cell, problems)
    unit = cell["unit"] if unit_known else ""
    target = Target(
        *(cell[name] for name in ("profile", "arm", "design", "quantity")),
        time=number("time", "h"),
        mean=number("mean", quantity.unit, given=unit),
        spread=number("spread", quantity.unit, given=unit),
        n=_whole(cell, "n", problems),
        source=cell["source"],
        weight=number("weight", "1"),
        versus=cell["versus"],
        stop=number("stop", "h"),
        censored=_whole(cell, "censored", problems),
        baseline=number("baseline", "points"),
        rule=cell["rule"],
        note=cell["note"],
        line=line,
    )
    problems += _out_of_range(target, cell)
    return None if problems else target


def _misplaced(cell: dict[str, str], quantity: Quantity) -> list[Problem]:
    """Cells that a quantity needs and lacks, or has and cannot use."""
    needed = quantity.needs
    needed += ("spread",) if quantity.error in ("mean", "quantile") else ()
    problems = [
        Problem(name, f"{quantity.name} needs this", hint="fill the cell", code="missing")
        for name in needed
        if not cell[name]
    ]
    for name in (*OPTIONAL, "spread"):
        if cell[name] and name not in (*needed, *quantity.takes):
            message = f"of no use to {quantity.name}"
            hint = "leave the cell empty"
            if name == "spread":
                hint += ": its error follows from mean and n"
            problems.append(Problem(name, message, show(cell[name]), "", hint, "no_use"))
    if cell["rule"]:
        problems += check_name("rule", cell["rule"], RELAPSE_RULES, "relapse rule")
    return problems


def _number(
    cell: dict[str, str], problems: list[Problem], name: str, unit: str, given: str | None = None
) -> float:
    """The number of a cell in [unit]; NaN if there is none or it cannot be read.

    Times have their unit in the cell, all others in that of the line, `given`.
    """
    text = cell[name]
    if not text or given == "":
        return math.nan
    if given is not None:
        text = f"{text} {given}"
    try:
        return parse(f"{text} {unit}" if unit == "points" and given is None else text, unit)
    except StudyError as error:
        problems += [problem.under(name) for problem in error.problems]
        return math.nan


def _whole(cell: dict[str, str], name: str, problems: list[Problem]) -> int:
    """The count in a cell; zero if there is none or it cannot be read."""
    text = cell[name]
    if text and not text.isdecimal():
        least = 1 if name == "n" else 0
        allowed = f"a whole number of patients, at least {least}"
        problems.append(Problem(name, "not a count", show(text), allowed, "", "wrong_type"))
    return int(text) if text.isdecimal() else 0


def _out_of_range(target: Target, cell: dict[str, str]) -> list[Problem]:
    """Numbers that a summary of this kind cannot have; cells that could not be read are left."""
    problems: list[Problem] = []
    quantity = target.kind

    def check(name: str, low: float, high: float, unit: str, **more) -> None:
        value = getattr(target, name)
        if cell[name] and not math.isnan(value):
            problems.extend(check_range(name, value, low, high, unit, given=cell[name], **more))

    check("time", 0.0, math.inf, "h")
    check("weight", 0.0, math.inf, "1")
    if cell["n"].isdecimal():
        check("n", 2.0 if quantity.error == "spread" else 1.0, math.inf, "patients")
    if not math.isnan(target.stop) and not target.stop > target.time:
        problems.append(
            Problem("stop", "the window is empty", cell["stop"], f"after {cell['time']}",
                    "", "empty_range")
        )  # fmt: skip
    if target.censored and target.censored >= target.n:
        problems.append(
            Problem(
                "censored", "nobody is left whose course is known",
                f"{target.censored} of {target.n}", "fewer than n", "remove the line", "censored",
            )
        )  # fmt: skip
    if not math.isnan(target.spread) and not target.spread > 0:
        message, hint = "not positive", "a spread of zero would outweigh everything else"
        problems.append(
            Problem("spread", message, show(cell["spread"]), "above 0", hint, "out_of_range")
        )
    if quantity.error == "share":
        check("mean", 0.0, 1.0, "1")
    elif quantity.error == "spread" and not target.mean > 0 and not math.isnan(target.mean):
        problems.append(
            Problem("mean", "not positive", show(cell["mean"]), "above 0", "", "out_of_range")
        )
    if target.versus and target.versus == target.arm:
        allowed = "another arm"
        problems.append(Problem("versus", "the arm itself", target.arm, allowed, "", "same_arm"))
    return problems
