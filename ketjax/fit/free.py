"""What a fit may move: typical values, spreads and correlations, as a manifest writes them.

[free]
"score.weight_potentiation" = {}
"score.weight_potentiation.spread" = { start = 0.3, low = 0.1, high = 0.8 }
"expectancy.course_gain ~ expectancy.gain" = { prior = 0.3 }

What is left out comes from the table of parameters: the start is its value, the bounds are its
range, and the prior is normal about the start, on the scale of its law, with an SD by its status.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import jax
import numpy as np
from pydantic import BeforeValidator, PlainSerializer

from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fields import refuse
from ketjax.fit.transforms import Transform, between, on_scale
from ketjax.model.laws import Law
from ketjax.model.parameters import Row, rows
from ketjax.posteriors import SPREAD
from ketjax.schedule import SHARED
from ketjax.units import display, is_plain, parse
from ketjax.variation import AROUND
from ketjax.vocabulary import support

Kind = Literal["typical value", "spread", "correlation"]
Scale = Literal["log", "logit", "identity", "atanh"]
KEYS = ("start", "low", "high", "prior")
SCALES: dict[str, Scale] = {"log-normal": "log", "logit-normal": "logit", "normal": "identity"}

# SD of the prior on the scale of the parameter, by status; all assumed. On a scale without unit it
# is a share of half the range, or of the start where there is no range.
PRIOR_BY_STATUS = {
    "measured": 0.15,
    "derived": 0.3,
    "fitted": 0.3,
    "assumed": 0.5,
    "switch": 0.5,
}
PRIOR_OF_SPREAD = 0.5  # of the logarithm; assumed
PRIOR_OF_CORRELATION = 0.5  # of its inverse hyperbolic tangent; assumed
SPREAD_REACH = 3.0  # bounds of a spread, in SDs of its prior from the start; assumed
CORRELATION_REACH = 0.95  # bounds of a correlation, either way; assumed


@dataclasses.dataclass(frozen=True)
class Asked:
    """One line of `[free]` as it is written; what is None is left to the table.

    Attributes:
        name: The path, the path and ".spread", or "path ~ path".
        kind: What of the parameter is free.
        paths: The parameters.
        start: Where the search begins [unit].
        low: Lower bound [unit].
        high: Upper bound [unit].
        prior: SD of the prior on the scale of the parameter.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...]
    start: float | None = None
    low: float | None = None
    high: float | None = None
    prior: float | None = None


@dataclasses.dataclass(frozen=True)
class Free:
    """One number that a fit may move.

    Attributes:
        name: As the manifest writes it.
        kind: What of the parameter it is.
        paths: The parameter, or the two that correlate.
        unit: Of start and bounds.
        start: Where the search begins [unit].
        low: Lower bound [unit], infinite if there is none.
        high: Upper bound [unit], infinite if there is none.
        scale: On which the prior is normal about the start.
        prior: SD of the prior on that scale.
        common: Centre and SD on that scale of a number whose class has a value in common: its prior
            whatever the others of its class are, which stands above start and `prior`.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...]
    unit: str
    start: float
    low: float
    high: float
    scale: Scale
    prior: float
    common: tuple[float, float] | None = None

    @property
    def law(self) -> tuple[float, float]:
        """Centre and SD of the prior on the scale, whatever the other numbers are."""
        if self.common is not None:
            return self.common
        with jax.enable_x64(True):
            return float(on_scale(self.scale, np.float64(self.start))), self.prior

    @property
    def transform(self) -> Transform:
        """The map into the bounds from a number without any."""
        return between(self.low, self.high)

    def departure(self, number: jax.typing.ArrayLike) -> jax.Array:
        """How far a value is from the centre of the prior, in SDs of it [1].

        Args:
            number: Value [unit].
        """
        centre, deviation = self.law
        return (on_scale(self.scale, number) - centre) / deviation


@cache
def table() -> Mapping[str, Row]:
    """The table of parameters by path."""
    return {row.path: row for row in rows()}


def scale_of(row: Row, kind: str | None = None) -> Scale:
    """On which scale a parameter moves: that of its law, else that of the values it can have.

    Args:
        row: The parameter.
        kind: Kind of the law, if it is not that of the table.
    """
    kind = kind or row.law.kind
    if kind in SCALES:
        return SCALES[kind]
    low, high = support(row)
    if low < 0:
        return "identity"
    return "logit" if high == 1 else "log"


def _read(value: Any) -> dict[str, Asked]:
    """What is free, by name; nested tables and dotted keys are the same."""
    if not isinstance(value, dict) or not value:
        allowed = 'a table such as { "score.weight_potentiation" = {} }'
        raise StudyError(
            Problem("", "free parameters are needed", show(value), allowed, "", "wrong_type")
        )
    problems: list[Problem] = []
    found: dict[str, Asked] = {}
    pending = list(value.items())
    while pending:
        name, given = pending.pop(0)
        known = name in table() or name.endswith(SPREAD) or "~" in name
        if not known and isinstance(given, dict) and not set(given) <= set(KEYS):
            pending = [(f"{name}.{key}", inner) for key, inner in given.items()] + pending
            continue
        if isinstance(given, dict) and name in table() and "spread" in given:
            # [free.score.weight_potentiation] with a table `spread` frees that, and itself if it
            # says anything of itself.
            pending.insert(0, (name + SPREAD, given["spread"]))
            given = {key: inner for key, inner in given.items() if key != "spread"}
            if not given:
                continue
        asked = _asked(name, given, problems)
        if asked is None:
            continue
        if asked.name in found:
            problems.append(Problem(name, "given twice", show(given), code="duplicate"))
        found[asked.name] = asked
    refuse(problems)
    order = {path: k for k, path in enumerate(table())}
    kinds = ("typical value", "spread", "correlation")
    # In the order of the table, whatever the order of the file.
    return dict(
        sorted(
            found.items(),
            key=lambda item: (kinds.index(item[1].kind), [order[p] for p in item[1].paths]),
        )
    )


def _asked(name: str, given: Any, problems: list[Problem]) -> Asked | None:
    """One line; None, and what is wrong with it added to the problems, if it makes no sense."""
    kind: Kind = "typical value"
    paths: tuple[str, ...] = (name,)
    if "~" in name:
        kind, paths = "correlation", tuple(sorted(part.strip() for part in name.split("~")))
        if len(paths) != 2 or paths[0] == paths[1]:
            allowed = '"path ~ path", two different parameters'
            problems.append(Problem(name, "two paths are needed", "", allowed, "", "wrong_type"))
            return None
    elif name.endswith(SPREAD) and name not in table():
        kind, paths = "spread", (name.removesuffix(SPREAD),)
    before = len(problems)
    for path in paths:
        unknown = check_name(name, path, table(), "parameter")
        problems += unknown
        if not unknown:
            problems += unfit(name, kind, table()[path])
    if not isinstance(given, dict):
        allowed = "a table: {} for the defaults, or { start = .., low = .., high = .., prior = .. }"
        problems.append(Problem(name, "a table is needed", show(given), allowed, "", "wrong_type"))
    if len(problems) > before:
        return None
    for key in given:
        problems += check_name(f"{name}.{key}", key, KEYS, "key")
    unit, prior_unit = units_of(kind, table()[paths[0]])
    units = dict.fromkeys(KEYS[:3], unit) | {"prior": prior_unit}
    numbers: dict[str, float] = {}
    for key in units.keys() & given.keys():
        try:
            numbers[key] = parse(given[key], units[key])
        except StudyError as error:
            problems += [problem.under(f"{name}.{key}") for problem in error.problems]
    if not numbers.get("prior", 1.0) > 0:
        shown = show(given["prior"])
        problems.append(
            Problem(f"{name}.prior", "not positive", shown, "above 0", "", "out_of_range")
        )
    asked_name = " ~ ".join(paths) if kind == "correlation" else name
    return Asked(asked_name, kind, paths, **numbers) if len(problems) == before else None


def units_of(kind: Kind, row: Row) -> tuple[str, str]:
    """Unit of the number that is free, and of the SD of its prior."""
    if kind == "typical value":
        return row.unit, row.unit if scale_of(row) == "identity" else "1"
    return (row.unit if kind == "spread" and row.law.kind == "normal" else "1"), "1"


def unfit(name: str, kind: Kind, row: Row) -> list[Problem]:
    """Why a parameter can be free in no fit at all."""
    if row.path.startswith(SHARED):
        message = "the schedule of an arm is made of it, before any patient is: it has no gradient"
        hint = "set it in [parameters]"
        return [Problem(name, message, row.path, "a parameter of patients", hint, "shared")]
    if row.law.kind == "categorical" and kind != "correlation":
        message = f"categories have no {kind}"
        return [Problem(name, message, row.path, "a parameter with a scale", "", "categorical")]
    return []


def _write(free: dict[str, Asked]) -> dict[str, dict[str, float | str]]:
    """What is free, as the manifest writes it."""
    written = {}
    for name, asked in free.items():
        unit, prior_unit = units_of(asked.kind, table()[asked.paths[0]])
        units = dict.fromkeys(KEYS[:3], unit) | {"prior": prior_unit}
        written[name] = {
            key: number if is_plain(units[key]) else display(number, units[key])
            for key in KEYS
            if (number := getattr(asked, key)) is not None
        }
    return written


FreeTable = Annotated[dict[str, Asked], BeforeValidator(_read), PlainSerializer(_write)]


def resolve(asked: Asked, start: float, law: Law, problems: list[Problem]) -> Free | None:
    """What is written, completed from the table of parameters.

    Args:
        asked: A line of `[free]`.
        start: Value, spread or correlation of the population as it is without the fit [unit].
        law: Law of the parameter in that population.
        problems: What is wrong is added here.

    Returns:
        The number that is free; None if it makes no sense.
    """
    row = table()[asked.paths[0]]
    unit, _ = units_of(asked.kind, row)
    if asked.kind == "spread":  # the population may have another law than the table
        unit = row.unit if law.kind == "normal" else "1"
    place = f"free.{show(asked.name)}"
    start = start if asked.start is None else asked.start
    least, greatest = -math.inf, math.inf  # what it can be at all
    if asked.kind == "correlation":
        scale: Scale = "atanh"
        least, greatest = -1.0, 1.0
        low, high, prior = -CORRELATION_REACH, CORRELATION_REACH, PRIOR_OF_CORRELATION
    elif asked.kind == "spread":
        scale, prior, least = "log", PRIOR_OF_SPREAD, 0.0
        reach = math.exp(SPREAD_REACH * (asked.prior or prior))
        low, high = start / reach, start * reach
    else:
        scale = scale_of(row, law.kind if law.kind in AROUND else None)
        least, greatest = support(row)
        if law.kind in AROUND:  # a law about a value beyond its truncation would not vary
            least, greatest = (
                max(least, _or(law.low, least)),
                min(greatest, _or(law.high, greatest)),
            )
        low, high = max(_or(row.low, least), least), min(_or(row.high, greatest), greatest)
        prior = PRIOR_BY_STATUS[row.status]
        if scale == "identity":
            ranged = math.isfinite(high - low)
            prior *= 0.5 * (high - low) if ranged else abs(start) or 1.0
    low, high = _or(asked.low, low), _or(asked.high, high)
    found: list[Problem] = []
    if not low < high:
        ends = f"{display(low, unit)} to {display(high, unit)}"
        found.append(Problem(place, "the bounds are empty", ends, "low < high", "", "empty_range"))
    elif scale == "log" and low < 0:
        message = "the parameter moves on a logarithmic scale, where nothing is negative"
        ends = f"{display(low, unit)} to {display(high, unit)}"
        found.append(Problem(place, message, ends, "0 or more", "raise low", "sign"))
    else:
        for key, bound in (("low", asked.low), ("high", asked.high)):
            if bound is not None:
                found += check_range(f"{place}.{key}", bound, least, greatest, unit)
    if not found and not low < start < high:
        edge = start in (low, high)
        message = "the start lies on a bound" if edge else "the start lies outside the bounds"
        hint = f"write start, as in {{ start = {show(_inside(low, high, unit))} }}, or other bounds"
        bounds = f"between {display(low, unit)} and {display(high, unit)}, both excluded"
        found.append(Problem(place, message, display(start, unit), bounds, hint, "start"))
    problems += found
    if found:
        return None
    prior = prior if asked.prior is None else asked.prior
    return Free(asked.name, asked.kind, asked.paths, unit, start, low, high, scale, prior)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _inside(low: float, high: float, unit: str) -> float | str:
    """Some number between the bounds, for a hint."""
    middle = low + 0.5 * (high - low) if math.isfinite(high) else low + 1.0
    number = float(f"{middle:.3g}")
    return number if is_plain(unit) else display(number, unit)
