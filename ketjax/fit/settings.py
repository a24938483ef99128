"""How a fit moves, and how it weighs what it knows: trials that differ, priors in common."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from ketjax.arms import Section
from ketjax.errors import Problem, StudyError, check_range
from ketjax.fields import Integer, refuse
from ketjax.fit.free import Free
from ketjax.units import parse

COMMON = 1.0  # SD of what a class has in common, on the scale of its priors; assumed


def _listed(value: object) -> object:
    """A correlation has one name, whichever way it is written."""
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(
        " ~ ".join(sorted(part.strip() for part in name.split("~")))
        if isinstance(name, str) and "~" in name
        else name
        for name in value
    )


def some(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list without a name."""
    if not names:
        hint = "name one, or leave the key out"
        raise StudyError(Problem("", "the list is empty", "[]", "at least one", hint, "empty"))
    return names


def _read_points(value: Any) -> float:
    """A number of points that is not negative."""
    points = parse(value, "points")
    refuse(check_range("", points, 0.0, math.inf, "points", given=value))
    return points


class Optimise(Section):
    """`[optimise]`: how the free numbers are moved. All defaults are choices, none is measured.

    Attributes:
        methods: one after the other, each from where the one before ended.
        iterations: at most, of each method.
        learning_rate: of adam, in numbers without bounds.
        starts: searches, the first from the start of each number, the others from the prior.
        seed: of the other starts.
        checkpoint_every: iterations between two states that are kept.
        tolerance: least fall of the objective, as a share of it, over `patience` iterations.
        patience: iterations without that fall after which a search ends.
        gradient_tolerance: a search ends where no slope in a number without bounds is larger.
        width: extra smoothing of yes-or-no outcomes at the beginning [points]; it shrinks in the
            first method, and the last ends without it.
        no_profile_worse: whether no profile may end farther from its targets than it began.
    """

    methods: Annotated[
        tuple[Literal["adam", "lbfgs", "gauss_newton"], ...],
        Field(strict=False),
        AfterValidator(some),
    ] = ("adam", "lbfgs")
    iterations: Annotated[Integer, Field(ge=1, le=100_000)] = 200
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    starts: Annotated[Integer, Field(ge=1, le=10_000)] = 1
    seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 1
    checkpoint_every: Annotated[Integer, Field(ge=1)] = 10
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    patience: Annotated[Integer, Field(ge=1)] = 20
    gradient_tolerance: Annotated[float, Field(ge=0)] = 1e-3
    width: Annotated[float, BeforeValidator(_read_points)] = 2.0
    no_profile_worse: bool = False


class LikelihoodSettings(Section):
    """`[likelihood]`: how the targets of a trial belong together.

    Attributes:
        trial_effects: "shared" if what a trial differs by is one number for all its targets of a
            kind; "independent" if each target differs by its own.
    """

    trial_effects: Literal["shared", "independent"] = "shared"


class SharedPrior(Section):
    """One `[shared.NAME]`: free numbers of a class, such as what designs make patients expect.

    Their priors are not about their own starts but about a value that they have in common, on the
    scale of their priors; of that value a weak prior is known, about the mean of the starts.

    Attributes:
        of: the numbers, as `[free]` names them.
        spread: SD of each about the common value, on that scale.
        common: SD of the common value about the mean of the starts, on that scale; assumed.
    """

    of: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    spread: Annotated[float, Field(gt=0)]
    common: Annotated[float, Field(gt=0)] = COMMON


def with_common(free: Sequence[Free], shared: Mapping[str, SharedPrior]) -> tuple[Free, ...]:
    """Free numbers that know the prior that their class gives them.

    Args:
        free: What may move.
        shared: Classes, whose members move on one scale.

    Returns:
        The same numbers, members of a class with `common`.
    """
    laws = {}
    for one in shared.values():
        centre = float(np.mean([member.law[0] for member in free if member.name in one.of]))
        laws |= dict.fromkeys(one.of, (centre, math.hypot(one.spread, one.common)))
    return tuple(dataclasses.replace(one, common=laws.get(one.name)) for one in free)
