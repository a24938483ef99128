"""Small objectives with known answers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from scipy.special import expit, logit

from ketjax.fit.free import Free

STEP = 1e-6


def number(
    name: str,
    start: float,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    scale: Any = "identity",
    prior: float = 1.0,
) -> Free:
    """A free number that is no parameter."""
    return Free(name, "typical value", (name,), "1", start, low, high, scale, prior)


class Problem:
    """An objective of residuals that are a function of the numbers in their units."""

    def __init__(self, free: Sequence[Free], residuals: Callable[[np.ndarray], Any]) -> None:
        """Keep the problem; derivatives are central differences."""
        self.free, self._residuals = tuple(free), residuals
        self.names = tuple(one.name for one in free)
        self.evaluations = 0

    def theta_of(self, numbers: Sequence[float]) -> np.ndarray:
        """Numbers without bounds."""
        with jax.enable_x64(True):
            pairs = zip(self.free, numbers, strict=True)
            return np.array([float(one.transform.inverse(x)) for one, x in pairs])

    def start(self) -> np.ndarray:
        """Where the priors are centred."""
        return self.theta_of([one.start for one in self.free])

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Of the data and, last, of the priors."""
        numbers = np.array([_forward(one, u) for one, u in zip(self.free, theta, strict=True)])
        priors = [_departure(one, x) for one, x in zip(self.free, numbers, strict=True)]
        data = np.atleast_1d(np.asarray(self._residuals(numbers), float))
        return np.concatenate([data, priors])

    def residuals_and_jacobian(self, theta, width: float = 0.0):
        """As the protocol has it."""
        self.evaluations += 1
        columns = []
        for k in range(len(theta)):
            step = STEP * (np.arange(len(theta)) == k)
            difference = self.residuals(theta + step) - self.residuals(theta - step)
            columns.append(difference / (2 * STEP))
        jacobian = np.array(columns).T
        # Differences leave rounding where the priors of other numbers are.
        own = len(jacobian) - len(theta)
        jacobian[own:] = np.diag(np.diag(jacobian[own:]))
        return self.residuals(theta), jacobian

    def value_and_gradient(self, theta, width: float = 0.0):
        """As the protocol has it."""
        residuals, jacobian = self.residuals_and_jacobian(theta, width)
        return 0.5 * float(residuals @ residuals), jacobian.T @ residuals

    def value(self, theta, width: float = 0.0) -> float:
        """The objective alone."""
        residuals = self.residuals(np.asarray(theta))
        return 0.5 * float(residuals @ residuals)


def _forward(one: Free, u: float) -> float:
    """From a number without bounds to one within them."""
    if np.isfinite(one.high):
        return one.low + (one.high - one.low) * expit(u)
    return one.low + np.exp(u) if np.isfinite(one.low) else u


def _departure(one: Free, number: float) -> float:
    """From the start, in SDs of the prior."""
    scale = {"identity": float, "log": np.log, "logit": logit, "atanh": np.arctanh}[one.scale]
    return (scale(number) - scale(one.start)) / one.prior


class Linear(Problem):
    """The same with exact derivatives of linear residuals in numbers without bounds."""

    def __init__(self, free: Sequence[Free], design: np.ndarray, seen: np.ndarray) -> None:
        """Keep the problem."""
        super().__init__(free, lambda x: design @ x - seen)
        self._jacobian = np.vstack([design, np.diag([1 / one.prior for one in free])])

    def residuals_and_jacobian(self, theta, width: float = 0.0):
        """As the protocol has it."""
        self.evaluations += 1
        return self.residuals(np.asarray(theta)), self._jacobian.copy()


@dataclasses.dataclass(frozen=True)
class Answer:
    """The posterior of a linear problem with normal errors and priors."""

    priors: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray


def linear() -> tuple[tuple[Free, ...], Linear]:
    """Four numbers, six observations."""
    return FREE, Linear(FREE, DESIGN, SEEN)


FREE = tuple(
    number(name, start, prior=prior)
    for name, start, prior in (("a", 0, 1), ("b", 1, 0.5), ("c", -2, 3), ("d", 10, 4))
)
DESIGN = np.random.default_rng(5).normal(size=(6, 4))
SEEN = DESIGN @ np.array([0.3, 1.2, -1.0, 9.0]) + np.random.default_rng(6).normal(size=6)


def _answer() -> Answer:
    priors = np.array([one.prior for one in FREE])
    starts = np.array([one.start for one in FREE])
    covariance = np.linalg.inv(DESIGN.T @ DESIGN + np.diag(1 / priors**2))
    return Answer(priors, covariance @ (DESIGN.T @ SEEN + starts / priors**2), covariance)


LINEAR = _answer()
