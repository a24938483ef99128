"""The exceptions of ketjax, each with the exit code that the command line returns for it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


class KetjaxError(Exception):
    """The root of every error that ketjax raises on purpose."""

    exit_code = 1


class TooManyFailures(KetjaxError):
    """The run is complete, but more patients failed than the study allows."""

    exit_code = 3


class StoreError(KetjaxError):
    """A store exists already, or does not hold what was expected of it."""

    exit_code = 4


class EnvironmentFault(KetjaxError):
    """The machine lacks something: a device, disk space, a library."""

    exit_code = 5


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what the user gave.

    Attributes:
        place: where it stands, for instance `arms.ketamine.doses[0].amount`.
        message: what is wrong.
        value: what was given, as text; empty if nothing was given.
        allowed: what may stand there.
        hint: what to do.
        code: a stable name of the kind of problem.
        position: line, or line:column, in the file; empty if there is none.
    """

    place: str
    message: str
    value: str = ""
    allowed: str = ""
    hint: str = ""
    code: str = "invalid"
    position: str = ""

    def under(self, place: str) -> Problem:
        """The same problem, its place read relative to the given one."""
        separator = "." if place and self.place and not self.place.startswith("[") else ""
        return replace(self, place=place + separator + self.place)

    def __str__(self) -> str:
        """One block: the place and the message, then what is known, one line each."""
        place = f"{self.place}: " if self.place else ""
        lines = [f"{place}{self.message}  [{self.code}]"]
        details = (("given", self.value), ("allowed", self.allowed), ("hint", self.hint))
        lines += [f"  {label + ':':<8} {text}" for label, text in details if text]
        return "\n".join(lines)


class StudyError(KetjaxError, ValueError):
    """What the user asks for is wrong; holds every problem that was found, not only the first.

    Attributes:
        problems: what is wrong, in the order of the study.
        source: the file it was read from, or an empty text.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | Problem, source: str = "") -> None:
        """Keep the problems; a single one needs no tuple."""
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        """All problems, one block each, begun by file and line where these are known."""
        blocks = []
        for problem in self.problems:
            where = ":".join(filter(None, (self.source, problem.position)))
            blocks.append(f"{where}: {problem}" if where else str(problem))
        return "\n\n".join(blocks)


def show(value: Any) -> str:
    """A value as it is quoted in a message: escaped, on one line, at most 80 characters."""
    text = f'"{repr(value)[1:-1]}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint that names the known names nearest to the one given; empty if none is near.

    Besides names spelt alike, those that begin with the one given are near, and those that have
    the same last part: a parameter looked for in the wrong group.
    """
    text, names = str(name).lower(), sorted(known)
    near = difflib.get_close_matches(text, names, n=3, cutoff=0.6)
    last = text.rpartition(".")[2]
    if len(last) > 2:
        near += [other for other in names if other.startswith(text) or other.endswith(f".{last}")]
    return f"did you mean {' or '.join(list(dict.fromkeys(near))[:3])}?" if near else ""


def check_name(place: str, name: object, known: Iterable[str], what: str) -> list[Problem]:
    """Nothing if the name is known, else one problem that lists the nearest names.

    Args:
        place: where the name stands.
        name: the name given.
        known: the names that exist.
        what: what the name is meant to name, for instance "drug".

    Returns:
        No problem, or one.
    """
    names = sorted(known)
    if name in names:
        return []
    more = f", and {len(names) - 12} more" if len(names) > 12 else ""
    allowed = ", ".join(names[:12]) + more
    hint = did_you_mean(name, names)
    return [Problem(place, f"unknown {what}", show(name), allowed, hint, "unknown_name")]


def check_range(
    place: str,
    value: float,
    low: float,
    high: float,
    unit: str = "1",
    *,
    open_high: bool = False,
    given: object = None,
) -> list[Problem]:
    """Nothing if the value is finite and lies in the range, else one problem.

    Args:
        place: where the value stands.
        value: the value, in the unit named.
        low: the least value allowed.
        high: the greatest value allowed, infinite if there is none.
        unit: the unit of all three.
        open_high: whether the value must stay below `high`.
        given: the text that the value was read from, to be quoted.

    Returns:
        No problem, or one.
    """
    unit = "" if unit == "1" else f" {unit}"
    if math.isfinite(value) and low <= value and (value < high if open_high else value <= high):
        return []
    if math.isinf(high):
        allowed = f"finite, at least {_brief(low)}{unit}"
    else:
        below = "below " if open_high else ""
        allowed = f"from {_brief(low)}{unit} to {below}{_brief(high)}{unit}"
    message = "outside the allowed range" if math.isfinite(value) else "not a finite number"
    code = "out_of_range" if math.isfinite(value) else "not_finite"
    quoted = f"{show(given)}, that is " if isinstance(given, str) else ""
    return [Problem(place, message, f"{quoted}{_brief(value)}{unit}", allowed, "", code)]


def _brief(value: float) -> str:
    """The shortest text that is exactly this number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
