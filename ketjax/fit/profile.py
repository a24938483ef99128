"""Profile of the objective along one number: how far it can go while the others make up for it.

The number is fixed ever further from the optimum, the others are optimised again. Unlike a standard
error this does not take the residuals as linear.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from scipy.optimize import least_squares
from scipy.stats import chi2

from ketjax.errors import StudyError, check_name
from ketjax.fit.free import Free
from ketjax.fit.uncertainty import (
    AT_BOUND,
    Floats,
    Information,
    Objective,
    at_bound,
    in_units,
    information,
)

RISE = float(chi2.ppf(0.95, 1)) / 2  # of the objective, at the ends of a 95 % interval
MARGIN = 0.1  # above that rise at which a side is done; assumed
STRIDE = 0.7  # first step, in posterior SDs of the number
QUICK, SLOW = 0.7, 0.15  # rise between two points above, below which the next step changes
MOST_POINTS = 30  # on each side
MOST_FAILURES = 4  # places, ever nearer, at which the objective is not finite, before a side ends
BOUND = AT_BOUND / 10  # distance to a bound at which a side ends, over that of the start to it
TOLERANCE = 1e-6  # least relative fall of the objective for which optimising goes on
MOST_EVALUATIONS = 30  # of the objective, for one point
REFINED = 2  # points that are put where the rise is expected
LOWER = 1e-2  # fall below the objective of the optimum that is worth a word


@dataclasses.dataclass(frozen=True)
class _Point:
    """The best objective where one number is fixed."""

    theta: Floats
    value: float
    data: float

    def rise(self, optimum: float) -> float:
        """Above the objective at the optimum."""
        return self.value - optimum


@dataclasses.dataclass(frozen=True)
class Profile:
    """The profile of one number.

    Attributes:
        name: Of the number.
        theta: All numbers without bounds at each point, shape (point, free), the number rising.
        values: The number in its unit, shape (point,).
        objective: Its least value at each point, shape (point,).
        data: The part of it that is not of the priors, shape (point,).
        low: Lower end of the 95 % interval [unit]; the bound if it is open.
        high: Upper end [unit].
        open_low: Whether the objective does not rise enough on the way down to the bound.
        open_high: The same on the way up.
    """

    name: str
    theta: Floats
    values: Floats
    objective: Floats
    data: Floats
    low: float
    high: float
    open_low: bool
    open_high: bool

    @property
    def text(self) -> str:
        """The interval as a sentence."""
        ends = [f"{end:.4g}" for end in (self.low, self.high)]
        if self.open_low and self.open_high:
            return f"{self.name}: open on both sides, no end within the bounds"
        if self.open_low:
            return f"{self.name}: open to the left, up to {ends[1]}"
        if self.open_high:
            return f"{self.name}: from {ends[0]}, open to the right"
        return f"{self.name}: from {ends[0]} to {ends[1]}"


def profile(
    objective: Objective,
    free: Sequence[Free],
    theta: Floats,
    names: Sequence[str],
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Profile, ...]:
    """Profiles of some numbers.

    Args:
        objective: What was minimised.
        free: What may move, in the order of the objective.
        theta: The optimum, numbers without bounds, shape (free,).
        names: Whose profiles.
        tell: Called with a line about each number that is done.

    Returns:
        One profile for each name.

    Raises:
        StudyError: A name is not that of a free number.
    """
    known = [one.name for one in free]
    problems = [p for name in names for p in check_name("profile", name, known, "free number")]
    if problems:
        raise StudyError(problems)
    start = information(objective, theta)
    found = []
    for name in names:
        k = known.index(name)
        at_optimum = _point(start.theta, start.residuals, start.prior_residuals)
        sides = [_walk(objective, free[k], start, at_optimum, k, sign) for sign in (-1, 1)]
        found.append(_profile(free, k, at_optimum, *sides))
        tell(found[-1].text)
        if (fall := at_optimum.value - found[-1].objective.min()) > LOWER:
            tell(f"{name}: lower by {fall:.3g} than where the fit ended; go on with the fit there")
    return tuple(found)


def as_dataset(profiles: Sequence[Profile]) -> xr.Dataset:
    """Profiles side by side, the shorter ones padded with NaN.

    Args:
        profiles: At least one.

    Returns:
        `value`, `objective`, `rise`, `data` over `number` and `point`; `low`, `high`, `open_low`,
        `open_high` over `number`. The rise counts from the least objective of all.
    """
    count = max(one.values.size for one in profiles)
    least = min(one.objective.min() for one in profiles)

    def padded(part: str) -> np.ndarray:
        rows = [getattr(one, part) for one in profiles]
        return np.array([np.pad(r, (0, count - r.size), constant_values=np.nan) for r in rows])

    series = {"value": "values", "objective": "objective", "data": "data"}
    return xr.Dataset(
        {name: (("number", "point"), padded(part)) for name, part in series.items()}
        | {"rise": (("number", "point"), padded("objective") - least)}
        | {
            name: ("number", [getattr(one, name) for one in profiles])
            for name in ("low", "high", "open_low", "open_high")
        },
        coords={"number": [one.name for one in profiles]},
        attrs={"rise_of_interval": RISE},
    )


def _point(theta: Floats, residuals: Floats, priors: Floats) -> _Point:
    data = 0.5 * float(residuals @ residuals)
    return _Point(theta, data + 0.5 * float(priors @ priors), data)


def _walk(
    objective: Objective, one: Free, start: Information, optimum: _Point, k: int, sign: int
) -> list[_Point]:
    """Points from the optimum outward, nearest first, until the rise is reached or the bound."""
    covariance = start.covariance
    # Where the others go while this one moves by one, if all is linear.
    tangent = covariance[:, k] / covariance[k, k]
    step = STRIDE * np.sqrt(covariance[k, k])
    points = [optimum]
    failures = 0
    while len(points) <= MOST_POINTS and failures < MOST_FAILURES:
        last = points[-1]
        (number,) = in_units([one], last.theta[[k]])
        outward = sign * (number - one.start) > 0
        if last.rise(optimum.value) > RISE + MARGIN or (outward and at_bound(one, number, BOUND)):
            break
        found = _best(objective, last.theta + sign * step * tangent, k)
        if found is None:
            failures += 1
            step /= 4
            continue
        points.append(found)
        gained = found.value - last.value
        if len(points) > 2:  # how the others went tells more than how they began
            moved = points[-1].theta - points[-2].theta
            tangent = moved / moved[k]
        if gained > QUICK:
            step /= 2
        elif gained < SLOW:
            step *= 2
    if points[-1].rise(optimum.value) > RISE:
        for _ in range(REFINED):
            points = _refined(objective, points, optimum.value, k)
    return points[1:]


def _best(objective: Objective, guess: Floats, k: int) -> _Point | None:
    """The least objective where number k is fixed; None if it is not finite at the guess."""
    others = np.arange(guess.size) != k
    kept: dict[bytes, tuple[Floats, Floats]] = {}

    def evaluate(some: Floats) -> tuple[Floats, Floats]:
        key = some.tobytes()
        if key not in kept:
            theta = guess.copy()
            theta[others] = some
            residuals, jacobian = objective.residuals_and_jacobian(theta)
            kept.clear()
            kept[key] = np.asarray(residuals, float), np.asarray(jacobian, float)[:, others]
        return kept[key]

    theta = guess.copy()
    residuals = evaluate(guess[others])[0]
    if not np.all(np.isfinite(residuals)):
        return None
    if others.any():
        found = least_squares(
            lambda some: evaluate(some)[0],
            guess[others],
            jac=lambda some: evaluate(some)[1],  # pyright: ignore[reportArgumentType]
            x_scale="jac",
            ftol=TOLERANCE,
            xtol=TOLERANCE,
            gtol=TOLERANCE,
            max_nfev=MOST_EVALUATIONS,
        )
        theta[others], residuals = found.x, found.fun
    own = residuals.size - theta.size
    return _point(theta, residuals[:own], residuals[own:])


def _refined(objective: Objective, points: list[_Point], optimum: float, k: int) -> list[_Point]:
    """The points and one more, where the rise is expected."""
    j = next(j for j, one in enumerate(points) if one.rise(optimum) > RISE)
    inner, outer = points[j - 1], points[j]
    share = _crossing(inner.rise(optimum), outer.rise(optimum))
    if not 0.01 < share < 0.99:
        return points
    guess = inner.theta + share * (outer.theta - inner.theta)
    found = _best(objective, guess, k)
    return points if found is None else [*points[:j], found, *points[j:]]


def _crossing(inner: float, outer: float) -> float:
    """Where between two points the rise is that of the interval, as a share of the way.

    The root of a rise is taken as linear, which it is where the objective is a parabola.
    """
    low, high = np.sqrt(max(inner, 0.0)), np.sqrt(outer)
    return float((np.sqrt(RISE) - low) / (high - low))


def _profile(
    free: Sequence[Free], k: int, optimum: _Point, below: list[_Point], above: list[_Point]
) -> Profile:
    """A profile of the points of both sides."""
    one, ends, opens = free[k], [], []
    for side, bound in ((below, one.low), (above, one.high)):
        points = [optimum, *side]
        crossed = [j for j, point in enumerate(points) if point.rise(optimum.value) > RISE]
        opens.append(not crossed)
        if not crossed:
            ends.append(bound)
            continue
        inner, outer = points[crossed[0] - 1], points[crossed[0]]
        share = _crossing(inner.rise(optimum.value), outer.rise(optimum.value))
        u = inner.theta[k] + share * (outer.theta[k] - inner.theta[k])
        ends.append(float(in_units([one], np.array([u]))[0]))
    points = [*reversed(below), optimum, *above]
    theta = np.array([point.theta for point in points])
    return Profile(
        one.name,
        theta,
        in_units(free, theta)[:, k],
        np.array([point.value for point in points]),
        np.array([point.data for point in points]),
        *ends,
        *opens,
    )
