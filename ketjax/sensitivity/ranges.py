"""From what a manifest varies to the law of each factor: what is not said comes from the table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from ketjax.errors import Problem, check_range, show
from ketjax.fit.free import (
    PRIOR_BY_STATUS,
    PRIOR_OF_CORRELATION,
    PRIOR_OF_SPREAD,
    Kind,
    scale_of,
    table,
    unfit,
)
from ketjax.model.laws import FIXED, Law
from ketjax.model.parameters import Row, leaf
from ketjax.population import DEFAULT_CORRELATIONS, SHARED_EFFECTS, Recipe
from ketjax.population.distributions import holds
from ketjax.posteriors import SPREAD
from ketjax.sensitivity.factors import LAWS, Asked, groups
from ketjax.units import display
from ketjax.variation import AROUND
from ketjax.vocabulary import support

NORMAL_95 = 1.96


@dataclasses.dataclass(frozen=True)
class Factor:
    """One number that is varied.

    Attributes:
        name: Path, path and ".spread", or "path ~ path".
        kind: What of the parameter it is.
        paths: The parameter, or the two that correlate.
        unit: Of the number.
        value: Where it stands otherwise [unit].
        law: From which it is drawn.
        origin: Where the law comes from, in words.
        named: Whether it was asked for by name; else it came with a group.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...]
    unit: str
    value: float
    law: Law
    origin: str
    named: bool


def resolve(
    asked: Mapping[str, Asked], recipe: Recipe, problems: list[Problem], place: str = ""
) -> tuple[Factor, ...]:
    """What is written, completed from the table of parameters and the population.

    Args:
        asked: What is written, by name; a parameter that is named and in a group is as named.
        recipe: Who is drawn where nothing is varied.
        problems: What is wrong is added here.
        place: Where the table stands.

    Returns:
        Factors in the order of the table: typical values, spreads, correlations.
    """
    found: dict[str, Factor] = {}
    laws, members = recipe.laws(), groups()
    collective = {*members, *(name + SPREAD for name in members)}
    # What is named comes last, and so stands above what its group says.
    for one in sorted(asked.values(), key=lambda one: one.name not in collective):
        for name in _expanded(one.name, members):
            said: list[Problem] = []
            factor = _factor(one, name, recipe, laws, said, f"{place}.{show(one.name)}")
            if name == one.name:
                problems += said
            if factor is not None and not said:
                found[name] = factor
    order = {path: k for k, path in enumerate(table())}
    kinds = ("typical value", "spread", "correlation")
    return tuple(
        sorted(found.values(), key=lambda f: (kinds.index(f.kind), [order[p] for p in f.paths]))
    )


def _expanded(name: str, members: Mapping[str, list[str]]) -> list[str]:
    """The parameters, or their spreads, behind a name."""
    base = name.removesuffix(SPREAD)
    if name in members:
        return members[name]
    if name not in table() and base in members:
        return [path + SPREAD for path in members[base]]
    return [name]


def _factor(
    asked: Asked,
    name: str,
    recipe: Recipe,
    laws: Mapping[str, tuple[float, Law]],
    problems: list[Problem],
    place: str,
) -> Factor | None:
    """One factor; None, and why added to the problems, if it cannot vary."""
    named = name == asked.name
    if "~" in name:
        return _correlation(asked, name, recipe, laws, problems, place)
    path = name if name in table() else name.removesuffix(SPREAD)
    kind: Kind = "typical value" if name in table() else "spread"
    row = table()[path]
    problems += [dataclasses.replace(p, place=place) for p in unfit(name, kind, row)]
    if problems:
        return None
    if kind == "spread":
        law = laws.get(path, (0.0, FIXED))[1]
        if law.kind not in AROUND:
            message = "the parameter has no law with a spread here"
            hint = "give it a law in [population.laws]"
            problems.append(Problem(place, message, str(law), "what varies", hint, "no_law"))
            return None
        unit = row.unit if law.kind == "normal" else "1"
        drawn = _drawn(
            asked, law.spread, unit, "log", PRIOR_OF_SPREAD, (0.0, math.inf), problems, place
        )
        return drawn and Factor(name, kind, (path,), unit, law.spread, *drawn, named)
    value = float(leaf(recipe.typical_patient(), path))
    if path in laws and asked.range == "law" and asked.low is None and asked.factor is None:
        drawn = laws[path][1], "law between patients"
        return Factor(name, kind, (path,), row.unit, value, *drawn, named)
    if asked.range == "law" and asked.low is None and asked.factor is None:
        message, hint = "it does not vary between patients", "write low and high, or factor"
        problems.append(Problem(place, message, path, "what has a law", hint, "no_law"))
        return None
    if row.status == "switch" and not named:
        problems.append(Problem(place, "an experiment's switch", path))
        return None
    if path in recipe.own_laws and recipe.own_laws[path].kind in LAWS and not recipe.typical:
        message = "its law in [population.laws] has no typical value"
        problems.append(Problem(place, message, path, hint="remove that law", code="no_value"))
        return None
    law, origin = _of_value(asked, row, value, problems, place)
    return law and Factor(name, kind, (path,), row.unit, value, law, origin, named)


def _of_value(
    asked: Asked, row: Row, value: float, problems: list[Problem], place: str
) -> tuple[Law | None, str]:
    """Law of a typical value."""
    scale, prior = scale_of(row), PRIOR_BY_STATUS[row.status]
    least, greatest = support(row)
    low, high = _or(row.low, -math.inf), _or(row.high, math.inf)
    if asked.range == "bounds" and asked.low is None and asked.factor is None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            message, hint = "the table has no range for it", "write low and high, or factor"
            problems.append(Problem(place, message, row.path, "", hint, "no_range"))
            return None, ""
        law = "log-uniform" if scale == "log" and low > 0 else "uniform"
        return Law(law, low=low, high=high), f"range of the table, {law}"
    if not low <= value <= high:  # a species, or the study, leaves the plausible range
        low, high = -math.inf, math.inf
    low, high = max(low, least), min(high, greatest)
    if scale == "identity":
        ranged = math.isfinite(high - low)
        prior *= 0.5 * (high - low) if ranged else abs(value) or 1.0
    ends = (low, high) if asked.low is None and asked.factor is None else (least, greatest)
    drawn = _drawn(asked, value, row.unit, scale, prior, ends, problems, place)
    if drawn is None:
        return None, ""
    law, origin = drawn
    return law, origin + (f" {row.status}" if origin == "prior by status" else "")


def _drawn(
    asked: Asked,
    value: float,
    unit: str,
    scale: str,
    prior: float,
    ends: tuple[float, float],
    problems: list[Problem],
    place: str,
) -> tuple[Law, str] | None:
    """Law of a number, and where it comes from; None, and why added, if there is none."""
    least, greatest = ends
    if asked.low is not None and asked.high is not None:
        low, high, law = asked.low, asked.high, asked.law or "uniform"
        for key, end in (("low", low), ("high", high)):
            problems += check_range(f"{place}.{key}", end, least, greatest, unit)
        if not low < high:
            given = f"{display(low, unit)} to {display(high, unit)}"
            problems.append(
                Problem(place, "the range is empty", given, "low < high", "", "empty_range")
            )
        elif law == "log-uniform" and low <= 0:
            message, given = "a log-uniform law begins above 0", display(low, unit)
            problems.append(Problem(f"{place}.low", message, given, "above 0", "", "sign"))
        return None if problems else (Law(law, low=low, high=high), f"{law}, as written")
    if asked.factor is not None:
        low, high = value / asked.factor, value * asked.factor
        if not value > 0:
            message, hint = "a share of it is nothing", "write low and high"
            given = display(value, unit)
            problems.append(Problem(place, message, given, "a positive value", hint, "sign"))
        elif high > greatest or low < least:
            message, hint = "the factor leaves what it can be", "write low and high"
            given = f"{display(low, unit)} to {display(high, unit)}"
            allowed = f"from {least:g} to {greatest:g}"
            problems.append(Problem(place, message, given, allowed, hint, "out_of_range"))
        return None if problems else (Law("log-uniform", low=low, high=high), "factor, as written")
    kind = {"log": "log-normal", "logit": "logit-normal", "identity": "normal"}[scale]
    law = Law(
        kind,
        prior,
        low=least if math.isfinite(least) and not (kind == "log-normal" and least <= 0) else None,
        high=greatest if math.isfinite(greatest) else None,
    )
    if not holds(law, value):
        message = f"at its value a prior on a {scale} scale does not vary"
        hint = "write low and high"
        problems.append(Problem(place, message, display(value, unit), "", hint, "no_spread"))
        return None
    return law, "prior by status"


def _correlation(
    asked: Asked,
    name: str,
    recipe: Recipe,
    laws: Mapping[str, tuple[float, Law]],
    problems: list[Problem],
    place: str,
) -> Factor | None:
    """A correlation of random effects."""
    paths = tuple(name.split(" ~ "))
    for path in paths:
        if path not in laws or path in SHARED_EFFECTS:
            message, allowed = f"{path} has no random effect of its own here", "what varies"
            problems.append(Problem(place, message, "", allowed, "", "no_law"))
    if asked.factor is not None or asked.range != "status":
        message = "a correlation has neither factor nor range"
        problems.append(Problem(place, message, hint="write low and high", code="ambiguous"))
    if problems:
        return None
    fixed = {**DEFAULT_CORRELATIONS, **recipe.correlations}
    value = fixed.get(name, fixed.get(" ~ ".join(reversed(paths)), 0.0))
    if asked.low is None:
        reach = NORMAL_95 * PRIOR_OF_CORRELATION
        ends = (math.tanh(math.atanh(value) + way * reach) for way in (-1, 1))
        law, origin = Law("uniform", low=next(ends), high=next(ends)), "95 % of its prior, uniform"
    else:
        drawn = _drawn(asked, value, "1", "identity", 0.0, (-0.99, 0.99), problems, place)
        if drawn is None:
            return None
        law, origin = drawn
    return Factor(name, "correlation", paths, "1", value, law, origin, True)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
