"""The posterior of a parameter set: draws of its numbers together, with weights.

A posterior is CSV, one line a draw. A column is called as the free numbers of a fit are: by its
path for a typical value, path and ".spread" for the spread of a law, "path ~ path" for a
correlation; numbers are in house units. A column "weight" says how much each draw counts.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from ketjax import manifest
from ketjax.arms import Section
from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fields import ParameterRow, context_of, refuse
from ketjax.variation import AROUND

SPREAD = ".spread"  # ends the name of a spread
WEIGHT = "weight"
STARTS = 2**20  # starting points of a systematic choice
Kind = Literal["parameters", "laws", "correlations"]
Listed = Field(strict=False)  # a list of TOML becomes a tuple


class Posterior(Section):
    """Draws of some numbers of a set.

    Attributes:
        names: of the numbers.
        draws: the numbers of each draw [house units].
        weights: of the draws [1]; all the same if empty.
    """

    names: Annotated[tuple[str, ...], Listed]
    draws: Annotated[tuple[Annotated[tuple[float, ...], Listed], ...], Listed]
    weights: Annotated[tuple[float, ...], Listed] = ()

    def kinds(self) -> list[tuple[Kind, str]]:
        """What of a set each number is, and its path or pair."""
        return [kind_of(name) for name in self.names]

    def resampled(self, count: int, seed: int) -> Posterior:
        """Draws of equal weight, chosen systematically in proportion to their weights.

        A draw of weight w among weights of sum W is chosen floor(n w/W) or ceil(n w/W) times. As
        many draws as there are, of equal weight, are these draws.

        Args:
            count: n, how many.
            seed: of the starting point.

        Returns:
            Another posterior, in the order of this one.
        """
        weights = np.array(self.weights or [1.0] * len(self.draws))
        start = (np.random.default_rng(seed).integers(STARTS) + 0.5) / STARTS
        ends = np.cumsum(weights) * (count / weights.sum())
        chosen = np.searchsorted(ends, np.arange(count) + start, side="right")
        return Posterior(names=self.names, draws=tuple(self.draws[k] for k in chosen))


def kind_of(name: str) -> tuple[Kind, str]:
    """What of a set a column of a posterior is, and its path or pair in order."""
    if "~" in name:
        return "correlations", " ~ ".join(sorted(part.strip() for part in name.split("~")))
    if name.endswith(SPREAD):
        return "laws", name.removesuffix(SPREAD)
    return "parameters", name


def write_posterior(posterior: Posterior, path: Path) -> None:
    """Write a posterior as CSV; reading gives the same numbers to the bit."""
    weighted = [WEIGHT] if posterior.weights else []
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*weighted, *posterior.names])
    for k, draw in enumerate(posterior.draws):
        weight = posterior.weights[k : k + 1]
        writer.writerow([repr(float(number)) for number in (*weight, *draw)])
    path.write_text(buffer.getvalue(), encoding="utf-8")


def _read(value: Any, info: ValidationInfo) -> Any:
    """The posterior of a file that a set names; tables are left to pydantic."""
    if not isinstance(value, str):
        return value
    path = context_of(info).folder / value
    try:
        return _table(manifest.read_text(path))
    except StudyError as error:
        raise StudyError(
            [
                Problem("", f"{path}: {p.message}", p.value, p.allowed, p.hint, p.code)
                if not p.place
                else Problem(p.place, p.message, p.value, p.allowed, p.hint, p.code)
                for p in error.problems
            ]
        ) from None


def _table(text: str) -> Posterior:
    lines = [line for line in csv.reader(io.StringIO(text)) if any(map(str.strip, line))]
    head = [name.strip() for name in lines[0]]
    problems, draws, weights = [], [], []
    for k, line in enumerate(lines[1:], start=1):
        if len(line) != len(head):
            given, allowed = f"{len(line)} cells", f"{len(head)} cells"
            problems.append(Problem(f"draw {k}", "the line has another length than the head",
                                    given, allowed, "", "wrong_type"))  # fmt: skip
            continue
        numbers = [_number(cell) for cell in line]
        problems += [
            Problem(f"draw {k}, {show(name)}", "this is no finite number", show(cell),
                    "a number in the unit of the table", "", "wrong_type")
            for name, cell, number in zip(head, line, numbers, strict=True)
            if not math.isfinite(number)
        ]  # fmt: skip
        draws.append(tuple(x for name, x in zip(head, numbers, strict=True) if name != WEIGHT))
        weights += [x for name, x in zip(head, numbers, strict=True) if name == WEIGHT]
    if head.count(WEIGHT) > 1:
        problems.append(Problem(show(WEIGHT), "given twice", "", "one column", "", "duplicate"))
    refuse(problems)
    names = tuple(name for name in head if name != WEIGHT)
    return Posterior(names=names, draws=tuple(draws), weights=tuple(weights))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _check(posterior: Posterior | None, info: ValidationInfo) -> Posterior | None:
    """Refuse columns that no set can have and numbers that they cannot be."""
    if posterior is None:
        return None
    problems: list[Problem] = []
    if not posterior.draws or not posterior.names:
        hint = "one line a draw under a head of names"
        problems.append(Problem("", "the posterior is empty", "", "", hint, "empty"))
    lengths = {len(draw) for draw in posterior.draws} - {len(posterior.names)}
    if lengths or len(posterior.weights) not in (0, len(posterior.draws)):
        message = "names, draws and weights are not of one length"
        refuse([Problem("", message, "", "a number for each name in each draw", code="shape")])
    rows = context_of(info).vocabulary.parameters
    seen = set()
    for column, name in enumerate(posterior.names):
        place = show(name)
        if (meant := kind_of(name)) in seen:
            problems.append(Problem(place, "given twice", "", "one column", "", "duplicate"))
        seen.add(meant)
        numbers = [draw[column] for draw in posterior.draws]
        problems += _misplaced(place, *meant, rows) or _out_of_range(place, *meant, numbers, rows)
    if any(weight < 0 for weight in posterior.weights):
        k = next(k for k, weight in enumerate(posterior.weights) if weight < 0)
        given = f"{posterior.weights[k]:g} of draw {k + 1}"
        problems.append(Problem("weight", "negative", given, "0 or more", "", "out_of_range"))
    elif posterior.weights and not sum(posterior.weights) > 0:
        problems.append(Problem("weight", "all are 0", "", "a positive sum", "", "out_of_range"))
    refuse(problems)
    return posterior


def _misplaced(
    place: str, kind: Kind, name: str, rows: Mapping[str, ParameterRow]
) -> list[Problem]:
    """Why there can be no such column."""
    paths = name.split(" ~ ")
    if kind == "correlations" and (len(paths) != 2 or paths[0] == paths[1]):
        allowed = '"path ~ path", two different parameters'
        return [Problem(place, "two paths are needed", "", allowed, "", "wrong_type")]
    if unknown := [p for path in paths for p in check_name(place, path, rows, "parameter")]:
        return unknown
    row = rows[paths[0]]
    if kind == "parameters" and not row.varies:
        message = "this is the same for all patients and cannot differ between draws"
        return [Problem(place, message, "", "a parameter of patients", "", "fixed")]
    if kind == "laws" and row.law not in AROUND:
        message = f"the law of this parameter is {row.law}, which has no spread"
        allowed = f"a law among {', '.join(AROUND)}"
        return [Problem(place, message, "", allowed, "", "no_law")]
    return []


def _out_of_range(
    place: str, kind: Kind, name: str, numbers: list[float], rows: Mapping[str, ParameterRow]
) -> list[Problem]:
    """The first number that cannot be, with the draw in which it stands."""
    for k, number in enumerate(numbers, start=1):
        at = f"{place} of draw {k}"
        if kind == "parameters":
            row = rows[name]
            found = check_range(at, number, row.low, row.high, row.unit)
        else:
            between = (0, math.inf) if kind == "laws" else (-1, 1)
            allowed = "above 0" if kind == "laws" else "between -1 and 1, both excluded"
            wrong = Problem(at, "outside the allowed range", f"{number:g}", allowed, "",
                            "out_of_range")  # fmt: skip
            found = [] if between[0] < number < between[1] else [wrong]
        if found:
            return found
    return []


CheckedPosterior = Annotated[Posterior, BeforeValidator(_read), AfterValidator(_check)]
