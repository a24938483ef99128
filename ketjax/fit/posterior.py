"""Draws of the free numbers from what data and priors leave possible.

A normal law about the optimum proposes, the objective itself corrects: importance sampling with
Pareto-smoothed weights. It is done in numbers z in which the prior, cut off at the bounds, is
standard normal: what the data do not tell then has the prior's law exactly, bounds included. Those
whose class has a value in common are departures instead, whose priors are correlated; of them a
proposal beyond the bounds is drawn again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from scipy.optimize import least_squares

from ketjax.fit import pareto
from ketjax.fit.free import Free
from ketjax.fit.uncertainty import Floats, Objective, departures, in_units, reach, scales_of

MOST_EVALUATIONS = 30  # of the objective, to find the centre
TOLERANCE = 1e-4  # least relative fall for which the search goes on; float32 tells no less
MOST_ROUNDS = 1000  # of proposals, of which some must lie within the bounds
FEW = 100.0  # effective draws below which a summary of them is rough; assumed


class PriorNumbers:
    """Numbers z in which the prior within the bounds is standard normal, or cut off if in a class.

    Equation:
        d = (scale(x) - centre)/SD,  in [a, b] by the bounds;  Phi: standard normal law
        Phi(z) = (Phi(d) - Phi(a)) / (Phi(b) - Phi(a));  in a class z = d

    Attributes:
        free: What may move.
        limits: Ends of each, shape (2, free); infinite but in a class.
    """

    def __init__(self, free: Sequence[Free]) -> None:
        """Keep the laws.

        Args:
            free: What may move.
        """
        self.free = tuple(free)
        self._ends = reach(free)
        self._own = np.array([one.common is None for one in free])
        self.limits: Floats = np.where(self._own, [[-np.inf], [np.inf]], self._ends)

    def to_theta(self, z: Floats) -> Floats:
        """Numbers without bounds, of the same shape (..., free)."""
        with jax.enable_x64(True):
            return np.asarray(self._theta(jnp.asarray(z, jnp.float64)))

    def of_theta(self, theta: Floats) -> Floats:
        """Numbers z, of the same shape (..., free); infinite on a bound."""
        d = departures(self.free, in_units(self.free, theta))
        columns = []
        with jax.enable_x64(True):
            for k, (low, high) in enumerate(zip(*self._ends, strict=True)):
                at = d[..., k]
                if not self._own[k]:
                    columns.append(at)
                    continue
                below, room, above = self._shares(low, high)
                # From the nearer end, so that neither loses digits.
                left = ndtri(jnp.clip((ndtr(at) - below) / room, 0, 1))
                right = -ndtri(jnp.clip((ndtr(-at) - above) / room, 0, 1))
                columns.append(np.where(at < 0, left, right))
        return np.stack(columns, axis=-1)

    def stretching(self, z: Floats) -> Floats:
        """Logarithm of the density of departures d over that of z, shape (...,); a constant apart.

        Equation:
            (d'd - z'z) / 2
        """
        d = departures(self.free, in_units(self.free, self.to_theta(z)))
        return 0.5 * np.sum(np.where(self._own, d**2 - z**2, 0.0), axis=-1)

    def slopes(self, z: Floats) -> Floats:
        """Change of each number without bounds for a change of z, shape (free,)."""
        with jax.enable_x64(True):
            at = jnp.asarray(z, jnp.float64)
            return np.asarray(jax.jvp(self._theta, (at,), (jnp.ones_like(at),))[1])

    def _theta(self, z: jax.Array) -> jax.Array:
        columns = []
        for k, (one, low, high) in enumerate(zip(self.free, *self._ends, strict=True)):
            departure = at = z[..., k]
            if self._own[k]:
                below, room, above = self._shares(low, high)
                left, right = below + room * ndtr(at), above + room * ndtr(-at)
                departure = jnp.where(at < 0, ndtri(left), -ndtri(right))
            centre, deviation = one.law
            number = _from_scale(one.scale, centre + deviation * departure)
            columns.append(one.transform.inverse(number))
        return jnp.stack(columns, axis=-1)

    @staticmethod
    def _shares(low: float, high: float) -> tuple[float, float, float]:
        """Parts of the standard normal law below the bounds, between them and above them."""
        below, above = float(ndtr(float(low))), float(ndtr(-float(high)))
        return below, 1.0 - below - above, above


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior:
    """Weighted draws.

    Attributes:
        free: What may move.
        theta: Numbers without bounds, shape (draw, free).
        numbers: In their own units, shape (draw, free).
        weights: Smoothed, adding to one, shape (draw,).
        shape: k of the Pareto law of the largest weights.
        failed: Draws at which the objective was not finite; their weight is zero.
        centre: Where the proposal was centred, numbers without bounds, shape (free,).
    """

    free: tuple[Free, ...]
    theta: Floats
    numbers: Floats
    weights: Floats
    shape: float
    failed: int
    centre: Floats

    @property
    def effective(self) -> float:
        """Effective number of draws."""
        return pareto.effective(self.weights)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the draws; nothing where they can be used."""
        count = self.weights.size
        found = []
        if self.failed:
            found.append(f"{self.failed} of {count} draws could not be simulated: no weight")
        if not pareto.trusted(self.shape, count):
            found.append(
                f"the weights have a heavy tail (k = {self.shape:.2f}): the posterior is far from "
                "normal; take the profiles, or more draws with a wider proposal"
            )
        if self.effective < FEW:
            found.append(
                f"only {self.effective:.0f} effective draws of {count}: quantiles are rough; "
                "take more draws"
            )
        return tuple(found)

    def mean(self) -> Floats:
        """Weighted means in their own units, shape (free,)."""
        return self.weights @ self.numbers

    def quantiles(self, levels: Sequence[float]) -> Floats:
        """Weighted quantiles in their own units, shape (level, free)."""
        found = []
        for column in self.numbers.T:
            order = np.argsort(column)
            share = np.cumsum(self.weights[order]) - 0.5 * self.weights[order]
            found.append(np.interp(levels, share, column[order]))
        return np.array(found).T

    def resampled(self, count: int, seed: int = 1) -> Floats:
        """Draws of equal weight in their own units, shape (count, free)."""
        return self.numbers[pareto.resample(self.weights, count, seed)]


def posterior(
    objective: Objective,
    free: Sequence[Free],
    theta: Floats,
    draws: int,
    *,
    seed: int = 1,
    degrees: float = np.inf,
    inflation: float = 1.0,
    known: Callable[[Floats], float | None] = lambda _: None,
    tell: Callable[[Floats, float], None] = lambda *_: None,
) -> Posterior:
    """Draw from the posterior.

    Equation:
        target   exp(-objective(theta(z)) + stretching(z)), as `PriorNumbers` has it
        proposal normal, or Student's t, about the target's mode with covariance
                 inflation^2 (J'J + W'W)^-1,  J: derivatives of the residuals of data by z,
                 W: those of the priors by departures

    Args:
        objective: What was minimised; a method `value(theta, width)` is used if it has one.
        free: What may move, in the order of the objective.
        theta: The optimum, numbers without bounds, shape (free,).
        draws: How many; each takes one evaluation of the objective.
        seed: Of the random numbers; a larger number of draws begins with the same ones.
        degrees: Of freedom of Student's t, above 2; infinite for a normal proposal.
        inflation: Of the SDs of the proposal.
        known: Gives the objective at a draw if it was found before, else None.
        tell: Called with each draw and the objective there.

    Returns:
        Draws and their weights.

    Raises:
        ValueError: The objective is finite at no draw, or no proposal lies within the bounds.
    """
    prior = PriorNumbers(free)
    centre, covariance = _mode(objective, prior, np.asarray(theta, float))
    factor = np.asarray(np.linalg.cholesky(covariance) * inflation, np.float64)
    u = _proposed(prior, centre, factor, seed, draws, degrees)
    z = centre + u @ factor.T
    thetas = prior.to_theta(z)
    numbers = in_units(prior.free, thetas)
    value = getattr(objective, "value", None) or (
        lambda theta, width: objective.value_and_gradient(theta, width)[0]
    )
    found = np.full(draws, np.inf)
    for j, one in enumerate(thetas):
        whole = known(one)
        if whole is None:
            whole = float(value(one, 0.0)) if np.all(np.isfinite(one)) else np.inf
        found[j] = whole
        tell(one, whole)
    finite = np.isfinite(found)
    if not finite.any():
        raise ValueError("the objective is finite at no draw")
    distance = np.sum(u**2, axis=1)
    proposed = -0.5 * distance
    if np.isfinite(degrees):
        proposed = -0.5 * (degrees + len(prior.free)) * np.log1p(distance / degrees)
    logs = np.where(finite, -found + prior.stretching(z) - proposed, -np.inf)
    weights, shape = pareto.smooth(logs)
    failed = int(np.sum(~finite))
    at = prior.to_theta(centre)
    return Posterior(prior.free, thetas, numbers, weights, shape, failed, at)


def _mode(objective: Objective, prior: PriorNumbers, theta: Floats) -> tuple[Floats, Floats]:
    """Most likely z, and the covariance about it."""
    numbers = len(prior.free)
    kept: dict[bytes, tuple[Floats, Floats]] = {}

    def evaluate(z: Floats) -> tuple[Floats, Floats]:
        key = z.tobytes()
        if key not in kept:
            residuals, jacobian = objective.residuals_and_jacobian(prior.to_theta(z))
            data, priors = np.split(np.asarray(jacobian, float), [-numbers])
            # Of departures, not of numbers without bounds; I unless some have a value in common.
            whitening = priors / scales_of(priors.T @ priors).slope
            kept.clear()
            kept[key] = (
                np.concatenate([np.asarray(residuals, float)[:-numbers], whitening @ z]),
                np.vstack([data * prior.slopes(z), whitening]),
            )
        return kept[key]

    # An optimum on a bound lies at infinity here, or where a search cannot begin.
    edges = 0.999 * prior.limits
    start = np.clip(prior.of_theta(theta), np.maximum(edges[0], -3.0), np.minimum(edges[1], 3.0))
    found = least_squares(
        lambda z: evaluate(z)[0],
        start,
        bounds=(prior.limits[0], prior.limits[1]),
        jac=lambda z: evaluate(z)[1],  # pyright: ignore[reportArgumentType]
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        gtol=TOLERANCE,
        max_nfev=MOST_EVALUATIONS,
    )
    data, whitening = np.split(found.jac, [-numbers])
    root = np.linalg.inv(whitening)
    _, singular, rows = np.linalg.svd(data @ root, full_matrices=False)
    lost = singular**2 / (1 + singular**2)
    return found.x, root @ (np.eye(numbers) - (rows.T * lost) @ rows) @ root.T


def _proposed(
    prior: PriorNumbers, centre: Floats, factor: Floats, seed: int, draws: int, degrees: float
) -> Floats:
    """Standard normal numbers, or of Student's t, of proposals within the limits, (draw, free)."""
    one, other = np.random.default_rng(seed).spawn(2)
    kept = np.zeros((0, centre.size))
    for _ in range(MOST_ROUNDS):
        u = one.standard_normal((draws, centre.size))
        if np.isfinite(degrees):
            u /= np.sqrt(other.chisquare(degrees, draws) / degrees)[:, None]
        z = centre + u @ factor.T
        inside = np.all((z > prior.limits[0]) & (z < prior.limits[1]), axis=1)
        kept = np.concatenate([kept, u[inside]])
        if len(kept) >= draws:
            return kept[:draws]
    raise ValueError("all but all of the posterior lies beyond the bounds")


def _from_scale(scale: str, number: jax.Array) -> jax.Array:
    """The inverse of `on_scale`."""
    maps: dict[str, Callable[[jax.Array], jax.Array]] = {
        "identity": lambda x: x,
        "log": jnp.exp,
        "logit": jax.nn.sigmoid,
        "atanh": jnp.tanh,
    }
    return maps[scale](number)
