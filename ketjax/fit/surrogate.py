"""A surrogate of the residuals of data: what they would be where nobody asked the objective.

Each residual is a polynomial of second degree, with a cubic term for each number, fitted to
residuals and all their slopes at a few points. Asking it costs nothing, so that chains can walk
through the density that it stands for; the objective itself then corrects what they drew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ketjax.fit.uncertainty import Floats

RIDGES = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)  # of second and third derivatives; the best is taken
TINY = 1e-9  # of all others, so that few points give an answer too
TRAJECTORIES = 100  # of each chain
STEPS = 8  # of a trajectory: with the size below a quarter of the way round a normal law
SIZE = 0.2  # of a step in SDs, varied by a fifth so that no chain goes round in circles


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Where the objective was asked.

    Attributes:
        v: Numbers in about their SDs, from the most likely ones on, shape (point, free).
        residuals: Of data, shape (point, residual).
        slopes: Of them by v, shape (point, residual, free).
    """

    v: Floats
    residuals: Floats
    slopes: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class Surrogate:
    """Residuals as polynomials.

    Equation:
        r_i(v) = c_i + g_i'v + v'H_i v / 2 + sum_k t_ik v_k^3 / 6

    Attributes:
        constant: c, shape (residual,).
        slopes: g, shape (residual, free).
        curvature: H, symmetric, shape (residual, free, free).
        cubic: t, shape (residual, free).
    """

    constant: Floats
    slopes: Floats
    curvature: Floats
    cubic: Floats

    def __call__(self, v: Floats) -> tuple[Floats, Floats]:
        """Residuals and their slopes.

        Args:
            v: Points, shape (point, free).

        Returns:
            Shapes (point, residual) and (point, residual, free).
        """
        count, free = v.shape
        wide = np.swapaxes(self.curvature, 0, 1).reshape(free, -1)
        bent = (v @ wide).reshape(count, self.constant.size, free)
        turned = 0.5 * self.cubic * (v**2)[:, None]
        rise = self.slopes + 0.5 * bent + turned / 3
        residuals = self.constant + (rise @ v[..., None])[..., 0]
        return residuals, self.slopes + bent + turned


def fitted(points: Points) -> tuple[Surrogate, float]:
    """The surrogate that tells best what a point is like that it has not seen.

    Equation:
        sum over points of |r - r(v)|^2 + |dr/dv - dr(v)/dv|^2, + ridge (|H|^2 + |t|^2), is least

    Args:
        points: At least one; with few of them second and third derivatives stay small.

    Returns:
        The surrogate, and the SD of its error in half the sum of squared residuals, at points that
        were left out one by one; infinite for fewer than three points.
    """
    count, free = points.v.shape
    rows = np.concatenate([_terms(points.v)[:, None], _slopes_of_terms(points.v)], axis=1)
    asked = np.concatenate([points.residuals[:, None], np.swapaxes(points.slopes, 1, 2)], axis=1)
    squares, products = (np.swapaxes(rows, 1, 2) @ other for other in (rows, asked))
    bent = np.arange(rows.shape[-1]) > free
    truth = 0.5 * np.sum(points.residuals**2, axis=1)

    def solved(ridge: float, without: int | None = None) -> Floats:
        left, right = squares.sum(0) + np.diag(np.where(bent, ridge, TINY)), products.sum(0)
        if without is not None:
            left, right = left - squares[without], right - products[without]
        return np.linalg.solve(left, right)

    def error(ridge: float) -> float:
        told = [rows[k, 0] @ solved(ridge, k) for k in range(count)]
        return float(
            np.std([0.5 * one @ one - true for one, true in zip(told, truth, strict=True)])
        )

    errors = {RIDGES[-1]: np.inf} if count < 3 else {ridge: error(ridge) for ridge in RIDGES}
    ridge = min(errors, key=errors.__getitem__)
    constant, slopes, pairs, cubic = np.split(
        solved(ridge).T, np.cumsum([1, free, free * (free + 1) // 2]), axis=1
    )
    curvature = np.zeros((len(constant), free, free))
    first, second = np.triu_indices(free)
    curvature[:, first, second] = curvature[:, second, first] = pairs
    return Surrogate(constant[:, 0], slopes, curvature, cubic), errors[ridge]


def _terms(v: Floats) -> Floats:
    """1, v_a, v_a v_b or v_a^2 / 2 of each pair, and v_a^3 / 6, shape (point, term)."""
    first, second = np.triu_indices(v.shape[1])
    half = np.where(first == second, 0.5, 1.0)
    ones = np.ones((len(v), 1))
    return np.concatenate([ones, v, half * v[:, first] * v[:, second], v**3 / 6], axis=1)


def _slopes_of_terms(v: Floats) -> Floats:
    """Derivatives of the terms by v, shape (point, free, term)."""
    count, free = v.shape
    first, second = np.triu_indices(free)
    pair = np.arange(first.size)
    bent = np.zeros((count, free, first.size))
    bent[:, first, pair] = v[:, second]
    bent[:, second, pair] = v[:, first]
    flat = np.broadcast_to(np.eye(free), (count, free, free))
    zero = np.zeros((count, free, 1))
    return np.concatenate([zero, flat, bent, flat * (v**2 / 2)[:, None]], axis=2)


def walk(
    density: Callable[[Floats], tuple[Floats, Floats]],
    start: Floats,
    random: np.random.Generator,
    trajectories: int = TRAJECTORIES,
) -> Floats:
    """Where chains end that walk through a density by Hamiltonian Monte Carlo, each on its own.

    Source: Neal 2011, Handbook of Markov Chain Monte Carlo, chapter 5.

    Args:
        density: Its logarithm at points, shape (chain,), and the slopes of that, (chain, free).
        start: Where they begin, shape (chain, free).
        random: Random numbers.
        trajectories: Of each chain; independent draws are the ends of chains, one each.

    Returns:
        Shape (chain, free).
    """
    here, (height, slope) = start, density(start)
    for one in random.spawn(trajectories):
        # Of their own for each trajectory, so that a chain does not depend on how many there are.
        pushing, choosing = one.spawn(2)
        push = pushing.standard_normal(here.shape)
        luck, chance = choosing.uniform(size=(len(here), 2)).T
        size = SIZE * (0.8 + 0.4 * luck[:, None])
        there, higher, steeper = here, height, slope
        energy = height - 0.5 * np.sum(push**2, axis=1)
        # A trajectory that runs away ends at no number, and is not taken.
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(STEPS):
                push = push + 0.5 * size * steeper
                there = there + size * push
                higher, steeper = density(there)
                push = push + 0.5 * size * steeper
            gained = higher - 0.5 * np.sum(push**2, axis=1) - energy
        taken = np.log(chance) < gained
        height = np.where(taken, higher, height)
        here, slope = (
            np.where(taken[:, None], new, old) for new, old in ((there, here), (steeper, slope))
        )
    return here
