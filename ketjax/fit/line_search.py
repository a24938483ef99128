"""How far to go along a direction: to where an objective fell enough and its slope is small.

The strong conditions of Wolfe make the curvature along a step positive, which L-BFGS needs. A point
that is not finite ends the bracket like one that is too high. `scipy.optimize.line_search` cannot
have such points, and the searches of optax are traced by jax.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

FALL = 1e-4  # least share of the fall that the first slope promises
FLAT = 0.9  # largest share of the first slope that is left
TRIES = 12
# An objective in single precision is known to about this share: a rise within it counts as none
# where the slope has become small.
NOISE = 1e-6


class Evaluated(Protocol):
    """An objective and its gradient at a point."""

    @property
    def value(self) -> float:
        """The objective [1]."""
        ...

    @property
    def gradient(self) -> np.ndarray:
        """Its slopes, shape (free,)."""
        ...

    @property
    def finite(self) -> bool:
        """Whether both are."""
        ...


P = TypeVar("P", bound=Evaluated)


@dataclasses.dataclass(frozen=True)
class _End:
    """One end of the bracket: share of the direction, objective, slope along it."""

    share: float
    value: float
    slope: float


def line_search(
    at: Callable[[float], P],
    origin: P,
    direction: np.ndarray,
    *,
    first: float = 1.0,
    last: float = np.inf,
) -> P | None:
    """Find a step that meets the strong conditions of Wolfe.

    Equation:
        f(a) <= f(0) + FALL a f'(0),  |f'(a)| <= FLAT |f'(0)|

    Args:
        at: The objective at the origin and a share of the direction.
        origin: The objective where the search begins; finite.
        direction: Along which the objective falls at the origin, shape (free,).
        first: Share of the direction that is tried first.
        last: Largest share; it is taken if the objective falls all the way.

    Returns:
        The point; after `TRIES` the best that fell; None if none did.
    """
    begin = _End(0.0, origin.value, float(origin.gradient @ direction))
    low, high = begin, None
    best: P | None = None
    share = first
    for _ in range(TRIES):
        point = at(share)
        if not point.finite:
            high = _End(share, np.inf, np.nan)
        else:
            end = _End(share, point.value, float(point.gradient @ direction))
            if not _fell(end, begin) or (low.share > 0 and end.value > low.value):
                high = end
            else:
                best = point
                if abs(end.slope) <= FLAT * abs(begin.slope):
                    return point
                outwards = 1 if high is None or high.share > low.share else -1
                if end.slope * outwards >= 0:
                    high = low
                low = end
        if high is not None:
            share = _between(low, high)
        elif share >= last:
            return best
        else:
            share = min(4 * share, last)
    return best


def _fell(end: _End, begin: _End) -> bool:
    """Whether the objective fell enough, or the slope did where the objective cannot tell."""
    if end.value <= begin.value + FALL * end.share * begin.slope:
        return True
    near = end.value <= begin.value + NOISE * abs(begin.value)
    return near and abs(end.slope) <= FLAT * abs(begin.slope)


def _between(low: _End, high: _End) -> float:
    """Lowest share of the cubic through both ends and slopes, a tenth of the bracket from either.

    The middle if there is no such cubic; nearer the finite end if the other is not.
    """
    width = high.share - low.share
    if not np.isfinite(high.value):
        return low.share + 0.25 * width
    a = low.slope + high.slope - 3 * (high.value - low.value) / width
    inside = a * a - low.slope * high.slope
    part = 0.5
    if inside >= 0:
        root = np.copysign(np.sqrt(inside), width)
        below = high.slope - low.slope + 2 * root
        if below != 0:
            part = 1 - (high.slope + root - a) / below
    return low.share + float(np.clip(part, 0.1, 0.9)) * width
