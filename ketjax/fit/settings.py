"""How a fit weighs what it knows: trials that differ, and priors with something in common."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from ketjax.arms import Section
from ketjax.fit.free import Free

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
