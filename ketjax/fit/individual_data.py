"""Observed courses of patients, one line an observation, and what is known of each patient.

Both are tables as CSV, read and checked; every problem is told with its line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ketjax import manifest
from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fit.free import table
from ketjax.model.readouts import READOUTS
from ketjax.observation import RATED, READABLE
from ketjax.population import COVARIATES
from ketjax.units import parse
from ketjax.vocabulary import support

COLUMNS = ("patient", "arm", "quantity", "time", "value", "unit", "sd")
NEEDED = COLUMNS[:-1]
SEX = {"female": 1.0, "male": 0.0}
KNOWN: dict[str, str] = {
    **COVARIATES,
    "sex": "demography.female",
    "cyp2b6_variants": "demography.cyp2b6_variants",
    "met_alleles": "demography.met_alleles",
}
"""What can be known of a patient, and the parameter that it is."""

OBSERVABLE = (*(name for name, row in READOUTS.items() if not row.regional), RATED)
"""What can be observed of a patient: every readout that has no region, and the score as rated."""

TOGETHER = 1e-6  # [h]: times nearer to each other are the same
PATIENTS_NAMED = 3  # in one message


@dataclasses.dataclass(frozen=True)
class Observation:
    """One line.

    Attributes:
        patient: Who, by any name.
        arm: Arm that the patient is in.
        quantity: One of `OBSERVABLE`.
        time: When [h] after the first event of the arm.
        value: What was observed [unit of the quantity].
        sd: SD of its residual [unit of the quantity], NaN where `[error]` says it.
        line: Where it stands in its file.
    """

    patient: str
    arm: str
    quantity: str
    time: float
    value: float
    sd: float = math.nan
    line: int = 0

    @property
    def unit(self) -> str:
        """Unit of the quantity."""
        return READABLE[self.quantity].unit


@dataclasses.dataclass(frozen=True)
class Covariate:
    """One cell of the table of patients.

    Attributes:
        patient: Who.
        path: The parameter that is known.
        value: Its value [unit of the parameter].
        line: Where it stands in its file.
    """

    patient: str
    path: str
    value: float
    line: int = 0


def read_observations(path: str | Path) -> tuple[Observation, ...]:
    """Read a table of observations.

    Args:
        path: CSV with the columns of `COLUMNS`, `sd` if it is used; times with their unit, value
            and sd in the unit of the line.

    Returns:
        The observations in the order of the table.

    Raises:
        StudyError: With every problem of the table, each with its line.
    """
    found: list[Observation] = []
    seen: dict[tuple, int] = {}
    arms: dict[str, tuple[str, int]] = {}

    def one(cell: dict[str, str], line: int, problems: list[Problem]) -> None:
        observation = _observation(cell, line, problems)
        if observation is None:
            return
        o = observation
        arm, first = arms.setdefault(o.patient, (o.arm, line))
        if arm != o.arm:
            message = f"the patient {o.patient} is in the arm {arm} as well (line {first})"
            hint = "give the second course a patient of its own name"
            problems.append(Problem("arm", message, show(o.arm), "one arm", hint, "two_arms"))
        first = seen.setdefault((o.patient, o.quantity, round(o.time / TOGETHER)), line)
        if first != line:
            message = f"the same observation stands in line {first}"
            given = f"{o.patient}, {o.quantity} at {o.time:g} h"
            problems.append(Problem("time", message, given, "", "keep one", "duplicate"))
        found.append(o)

    _read(path, COLUMNS, NEEDED, one)
    return tuple(found)


def read_covariates(path: str | Path) -> tuple[Covariate, ...]:
    """Read a table of patients.

    Args:
        path: CSV with a column `patient` and any of `KNOWN`; cells with their unit, "female" or
            "male", counts of alleles; an empty cell is not known.

    Returns:
        What is known, cell by cell.

    Raises:
        StudyError: With every problem of the table, each with its line.
    """
    found: list[Covariate] = []
    lines: dict[str, int] = {}

    def one(cell: dict[str, str], line: int, problems: list[Problem]) -> None:
        patient = cell["patient"]
        if not patient:
            problems.append(Problem("patient", "this is missing", "", "", "fill it", "missing"))
        first = lines.setdefault(patient, line)
        if first != line:
            message = f"the same patient stands in line {first}"
            problems.append(Problem("patient", message, show(patient), "", "keep one", "duplicate"))
        for name, text in cell.items():
            if name != "patient" and text:
                value = _known(name, text, problems)
                found.append(Covariate(patient, KNOWN[name], value, line))

    _read(path, ("patient", *KNOWN), ("patient",), one)
    return tuple(found)


def by_patient(observations: Sequence[Observation]) -> dict[str, tuple[Observation, ...]]:
    """Observations of each patient, patients as they first appear, times increasing."""
    found: dict[str, list[Observation]] = {}
    for one in observations:
        found.setdefault(one.patient, []).append(one)
    return {
        patient: tuple(sorted(some, key=lambda one: (one.time, one.quantity)))
        for patient, some in found.items()
    }


def times_of(observations: Sequence[Observation]) -> np.ndarray:
    """Times at which somebody is seen [h], the start included, increasing, each once."""
    times = np.unique([0.0, *(one.time for one in observations)])
    return times[np.concatenate([[True], np.diff(times) > TOGETHER])]


def several(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = len(names) - PATIENTS_NAMED
    return ", ".join(names[:PATIENTS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(
    path: str | Path,
    columns: Sequence[str],
    needed: Sequence[str],
    one: Callable[[dict[str, str], int, list[Problem]], None],
) -> None:
    """Hand each line on; every problem of the table in one error."""
    try:
        problems: list[Problem] = []
        count = 0
        for cell, line, found in _lines(manifest.read_text(Path(path)), columns, needed):
            count += 1
            one(cell, line, found)
            problems += [dataclasses.replace(p, position=str(line)) for p in found]
        if not count:
            problems.append(Problem("", "the table has no line", hint="add one", code="empty"))
        if problems:
            raise StudyError(problems)
    except StudyError as error:
        raise StudyError(error.problems, source=str(path)) from None


def _lines(
    text: str, columns: Sequence[str], needed: Sequence[str]
) -> Iterator[tuple[dict[str, str], int, list[Problem]]]:
    """Cells, number and problems of each line, once the head is in order."""
    reader = csv.DictReader(io.StringIO(text), restkey="", restval="")
    given = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = given
    problems = [
        Problem(name, "a column is missing", "", ", ".join(columns), "add it", "missing", "1")
        for name in needed
        if name not in given
    ]
    for k, name in enumerate(given):
        found = check_name(name, name, columns, "column")
        if name in given[:k]:
            found = [Problem(name, "a column is given twice", "", "", "keep one", "duplicate")]
        problems += [dataclasses.replace(problem, position="1") for problem in found]
    if problems:
        raise StudyError(problems)
    for cells in reader:
        found = []
        if extra := cells.pop("", None):
            hint = "put text that holds a comma in double quotes"
            found.append(
                Problem("", "more cells than columns", show(list(extra)), "", hint, "wrong_type")
            )
        yield {name: (cells[name] or "").strip() for name in given}, reader.line_num, found


def _observation(cell: dict[str, str], line: int, problems: list[Problem]) -> Observation | None:
    """One line; None, and what is wrong with it added to the problems, if it cannot be read."""
    before = len(problems)
    for name in NEEDED:
        if not cell[name]:
            problems.append(Problem(name, "this is missing", hint="fill the cell", code="missing"))
    quantity = cell["quantity"]
    if quantity and quantity not in OBSERVABLE:
        if quantity in READABLE and READABLE[quantity].regional:
            message = "the readout has a region, and an observation has none"
            problems.append(Problem("quantity", message, show(quantity), code="regional"))
        else:
            problems += check_name("quantity", quantity, OBSERVABLE, "quantity")
    if len(problems) > before:
        return None
    unit = READABLE[quantity].unit

    def number(name: str, text: str, unit: str) -> float:
        try:
            return parse(text, unit)
        except StudyError as error:
            problems.extend(problem.under(name) for problem in error.problems)
            return math.nan

    time = number("time", cell["time"], "h")
    value = number("value", f"{cell['value']} {cell['unit']}", unit)
    sd = number("sd", f"{cell['sd']} {cell['unit']}", unit) if cell.get("sd") else math.nan
    if len(problems) == before:
        problems += check_range("time", time, 0.0, math.inf, "h", given=cell["time"])
        if sd <= 0:
            hint = "an SD of zero would outweigh everything else"
            problems.append(
                Problem("sd", "not positive", show(cell["sd"]), "above 0", hint, "out_of_range")
            )
        if quantity == RATED:
            most = float(table()["score.rating_maximum"].value)
            problems += check_range("value", value, 0.0, most, unit, given=cell["value"])
    if len(problems) > before:
        return None
    return Observation(cell["patient"], cell["arm"], quantity, time, value, sd, line)


def _known(name: str, text: str, problems: list[Problem]) -> float:
    """One cell of the table of patients [unit of the parameter]; NaN if it cannot be read."""
    row = table()[KNOWN[name]]
    if name == "sex":
        problems += check_name(name, text, SEX, "sex")
        return SEX.get(text, math.nan)
    try:
        value = parse(text, row.unit)
    except StudyError as error:
        problems += [problem.under(name) for problem in error.problems]
        return math.nan
    low, high = support(row)
    if row.law.kind == "categorical" and not value.is_integer():
        problems.append(Problem(name, "not a count", show(text), "0, 1 or 2", "", "wrong_type"))
    problems += check_range(name, value, max(low, 0.0), high, row.unit, given=text)
    return value


def values_by_path(
    covariates: Sequence[Covariate], patients: Sequence[str], unknown: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """What is known, one number a patient.

    Args:
        covariates: Cells.
        patients: In which order.
        unknown: By path, the value where nothing is known [unit].

    Returns:
        By path, shape (patient,); paths of which something is known of somebody.
    """
    place = {patient: k for k, patient in enumerate(patients)}
    found: dict[str, np.ndarray] = {}
    for one in covariates:
        if one.path not in found:
            found[one.path] = np.full(len(patients), unknown[one.path])
        found[one.path][place[one.patient]] = one.value
    return found
