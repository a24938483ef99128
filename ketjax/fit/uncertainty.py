"""How well a fit knows its numbers: information at the optimum, standard errors, intervals.

Everything is local: the residuals are taken as linear about the optimum. `profile` and `posterior`
ask the objective itself, at the price of many evaluations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import jax
import numpy as np
import xarray as xr
from jax.scipy.special import ndtr, ndtri
from numpy.typing import ArrayLike, NDArray

from ketjax.fit.free import Free

Floats = NDArray[np.float64]

INTERVAL = 1.959963984540054  # standard normal number of a two-sided interval of 95 %
IDENTIFIABLE = 0.1  # posterior over prior variance below which a number is identifiable; assumed
NOT_IDENTIFIABLE = 0.5  # the same, from which on it is not: the prior says the more; assumed
AT_BOUND = (
    0.01  # distance to a bound, as a share of the range, at which a number lies on it; assumed
)
STEP = 1e-3  # of a number without bounds, for differences of gradients


class Objective(Protocol):
    """What is asked of an objective: half a sum of squared residuals, the priors' last.

    Attributes:
        names: Of the free numbers.
    """

    names: tuple[str, ...]

    def value_and_gradient(self, theta: Floats, width: float = 0.0) -> tuple[float, Floats]:
        """The objective and its gradient, of shape (free,)."""
        ...

    def residuals_and_jacobian(self, theta: Floats, width: float = 0.0) -> tuple[Floats, Floats]:
        """Residuals (residual,) and their derivatives (residual, free)."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Information:
    """What data and priors say about the free numbers, near some point.

    Equation:
        data = Jd' Jd,  prior = Jp' Jp,  J: derivatives of the residuals of data and of priors

    Attributes:
        names: Of the free numbers.
        theta: The point, numbers without bounds, shape (free,).
        residuals: Of the data, shape (residual,).
        jacobian: Of the data, shape (residual, free).
        prior_residuals: Of the priors, shape (free,).
        prior_jacobian: Derivatives of them, shape (free, free); diagonal unless numbers have a
            value in common.
    """

    names: tuple[str, ...]
    theta: Floats
    residuals: Floats
    jacobian: Floats
    prior_residuals: Floats
    prior_jacobian: Floats

    @property
    def data(self) -> Floats:
        """Information of the data on the numbers without bounds, shape (free, free)."""
        return self.jacobian.T @ self.jacobian

    @property
    def prior(self) -> Floats:
        """Information of the priors on the numbers without bounds, shape (free, free)."""
        return self.prior_jacobian.T @ self.prior_jacobian

    @property
    def scales(self) -> Scales:
        """SDs of the priors, and what makes them independent."""
        return scales_of(self.prior)

    @property
    def scaled_covariance(self) -> Floats:
        """Posterior covariance in SDs of the priors, shape (free, free)."""
        scales = self.scales
        # Through singular values of J: its square loses half of the digits of a flat direction.
        jacobian = self.jacobian / scales.slope @ scales.root
        _, singular, directions = np.linalg.svd(jacobian, full_matrices=False)
        lost = singular**2 / (1 + singular**2)
        independent = np.eye(len(self.names)) - (directions.T * lost) @ directions
        return scales.root @ independent @ scales.root

    @property
    def covariance(self) -> Floats:
        """Posterior covariance of the numbers without bounds, shape (free, free)."""
        slope = self.scales.slope
        return self.scaled_covariance / np.outer(slope, slope)

    @property
    def gradient(self) -> Floats:
        """Of the whole objective, shape (free,); zero at an optimum."""
        return self.jacobian.T @ self.residuals + self.prior_jacobian.T @ self.prior_residuals


@dataclasses.dataclass(frozen=True, eq=False)
class Scales:
    """Priors of numbers without bounds, near some point.

    Equation:
        covariance of the priors = D R D,  D = diag(1/slope),  R = root root

    Attributes:
        slope: One over the SD of each, whatever the others are, shape (free,).
        root: The symmetric root of their correlations, shape (free, free); I where none has a value
            in common with another.
    """

    slope: Floats
    root: Floats


def scales_of(prior: Floats) -> Scales:
    """Scales of priors, from their information, shape (free, free)."""
    own = np.diag(prior)
    if np.array_equal(prior, np.diag(own)):  # no rounding where nothing has to be turned
        return Scales(np.sqrt(own), np.eye(own.size))
    covariance = np.linalg.inv(prior)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    values, vectors = np.linalg.eigh(correlation)
    return Scales(1 / deviation, (vectors * np.sqrt(values)) @ vectors.T)


def information(objective: Objective, theta: ArrayLike, width: float = 0.0) -> Information:
    """Gauss-Newton information of data and priors.

    Args:
        objective: What was minimised.
        theta: Where, numbers without bounds, shape (free,).
        width: Smoothing of yes-or-no outcomes [points].

    Returns:
        The two parts, kept apart.

    Raises:
        ValueError: The derivatives are not finite, or a number lies on its bound to the last digit.
    """
    theta = np.array(theta, dtype=np.float64)
    residuals, jacobian = objective.residuals_and_jacobian(theta, width)
    residuals, jacobian = np.asarray(residuals, float), np.asarray(jacobian, float)
    if not (np.all(np.isfinite(residuals)) and np.all(np.isfinite(jacobian))):
        raise ValueError("the residuals or their derivatives are not finite here")
    own = residuals.size - theta.size
    slopes = np.diag(jacobian[own:])
    fixed = [name for name, slope in zip(objective.names, slopes, strict=True) if slope == 0]
    if fixed:
        raise ValueError(f"on its bound to the last digit: {', '.join(fixed)}")
    parts = (residuals[:own], jacobian[:own], residuals[own:], jacobian[own:])
    return Information(tuple(objective.names), theta, *parts)


def hessian(
    objective: Objective, theta: ArrayLike, width: float = 0.0, step: float = STEP
) -> Floats:
    """Second derivatives of the objective, by central differences of its gradient.

    The Gauss-Newton information leaves out what the curvature of the residuals adds; where the two
    differ much, intervals by information are not to be trusted.

    Args:
        objective: What was minimised.
        theta: Where, numbers without bounds, shape (free,).
        width: Smoothing of yes-or-no outcomes [points].
        step: Of each number without bounds.

    Returns:
        Symmetric matrix, shape (free, free); two evaluations of the objective for each number.
    """
    theta = np.array(theta, dtype=np.float64)
    rows = []
    for k in range(theta.size):
        ahead, behind = theta.copy(), theta.copy()
        ahead[k] += step
        behind[k] -= step
        rise = objective.value_and_gradient(ahead, width)[1]
        fall = objective.value_and_gradient(behind, width)[1]
        rows.append((np.asarray(rise, float) - np.asarray(fall, float)) / (2 * step))
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


def in_units(free: Sequence[Free], theta: ArrayLike) -> Floats:
    """Numbers within their bounds.

    Args:
        free: What may move.
        theta: Numbers without bounds, shape (..., free).

    Returns:
        Numbers in their own units, of the same shape.
    """
    theta = np.asarray(theta, dtype=np.float64)
    with jax.enable_x64(True):
        columns = [one.transform.forward(theta[..., k]) for k, one in enumerate(free)]
        return np.stack([np.asarray(column) for column in columns], axis=-1)


def slopes_in_units(free: Sequence[Free], theta: ArrayLike) -> Floats:
    """Change of each number in its unit for a change of the number without bounds, (free,)."""
    theta = np.asarray(theta, dtype=np.float64)
    with jax.enable_x64(True):
        logs = [float(one.transform.log_slope(u)) for one, u in zip(free, theta, strict=True)]
    return np.exp(logs)


def departures(free: Sequence[Free], numbers: ArrayLike) -> Floats:
    """How far numbers are from the centres of their priors, in SDs of these.

    Args:
        free: What may move.
        numbers: In their own units, shape (..., free).

    Returns:
        Departures [1], of the same shape.
    """
    numbers = np.asarray(numbers, dtype=np.float64)
    with jax.enable_x64(True):
        columns = [one.departure(numbers[..., k]) for k, one in enumerate(free)]
        return np.stack([np.asarray(column) for column in columns], axis=-1)


def reach(free: Sequence[Free]) -> tuple[Floats, Floats]:
    """Bounds as departures [SD of the prior], infinite where there is none."""
    low, high = [], []
    with jax.enable_x64(True), np.errstate(all="ignore"):
        for one in free:
            # A scale that ends before the bound has no number there: no bound for the prior.
            below, above = (float(one.departure(end)) for end in (one.low, one.high))
            low.append(-np.inf if np.isnan(below) else below)
            high.append(np.inf if np.isnan(above) else above)
    return np.array(low), np.array(high)


def prior_interval(free: Sequence[Free]) -> tuple[Floats, Floats]:
    """95 % intervals of the priors within the bounds, in departures.

    Args:
        free: What may move.

    Returns:
        Lower and upper ends [SD of the prior], each of shape (free,).
    """
    low, high = reach(free)
    with jax.enable_x64(True):
        below, above = np.asarray(ndtr(low)), np.asarray(ndtr(high))
        tail = float(ndtr(-INTERVAL))
        ends = (below + share * (above - below) for share in (tail, 1 - tail))
        lower, upper = (np.asarray(ndtri(end)) for end in ends)
    return lower, upper


def uncertainty(free: Sequence[Free], found: Information) -> xr.Dataset:
    """Standard errors, intervals and correlations of the free numbers.

    Equation:
        C = (data + prior)^-1;  SE(theta_k) = sqrt(C_kk);  SE(x_k) = SE(theta_k) dx_k/dtheta_k
        interval: x(theta_k - 1.96 SE), x(theta_k + 1.96 SE), which keeps to the bounds
        prior share: posterior variance over prior variance
        data alone: what the data say about a number where all others are known, over what its prior
            says then

    Args:
        free: What may move, in the order of the information.
        found: Information at the optimum.

    Returns:
        Dataset over `number`: `value`, `standard_error`, `low`, `high` in the number's `unit`,
        `relative_standard_error`, `theta`, `theta_error`; `departure`, `departure_low`,
        `departure_high`, `prior_low`, `prior_high` in SDs of the prior; `prior_share`,
        `data_alone`, `verdict` ("identifiable", "weakly", "not"), `at_bound`; and `correlation`
        over `number` and `other` (of the numbers without bounds).
    """
    theta, covariance = found.theta, found.covariance
    error = np.sqrt(np.diag(covariance))
    value = in_units(free, theta)
    low, high = in_units(free, theta - INTERVAL * error), in_units(free, theta + INTERVAL * error)
    standard_error = error * slopes_in_units(free, theta)
    prior_low, prior_high = prior_interval(free)
    share = np.diag(found.scaled_covariance)
    with np.errstate(divide="ignore"):
        relative = standard_error / np.abs(value)
    columns = {
        "value": value,
        "standard_error": standard_error,
        "low": low,
        "high": high,
        "relative_standard_error": relative,
        "theta": theta,
        "theta_error": error,
        "departure": departures(free, value),
        "departure_low": departures(free, low),
        "departure_high": departures(free, high),
        "prior_low": prior_low,
        "prior_high": prior_high,
        "prior_share": share,
        "data_alone": np.diag(found.data) / np.diag(found.prior),
        "verdict": np.array([verdict(one) for one in share]),
        "at_bound": np.array([at_bound(f, x) for f, x in zip(free, value, strict=True)]),
        "unit": np.array([one.unit for one in free]),
    }
    return xr.Dataset(
        {name: ("number", column) for name, column in columns.items()}
        | {"correlation": (("number", "other"), covariance / np.outer(error, error))},
        coords={"number": list(found.names), "other": list(found.names)},
    )


def verdict(prior_share: float) -> str:
    """Whether the data tell a number: by the share of the prior's variance that is left."""
    if prior_share < IDENTIFIABLE:
        return "identifiable"
    return "weakly" if prior_share < NOT_IDENTIFIABLE else "not"


def at_bound(one: Free, number: float, share: float = AT_BOUND) -> bool:
    """Whether a number all but lies on a bound.

    Args:
        one: What may move.
        number: Its value [unit].
        share: Distance to the bound that is none, over that of the start to it.
    """
    low, high = number - one.low, one.high - number
    return bool(low < share * (one.start - one.low) or high < share * (one.high - one.start))
