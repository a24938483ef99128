"""Other indices of all outputs at once: Morris, PRCC and derivative-based."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ketjax.sensitivity.designs import least_prcc_samples
from ketjax.sensitivity.sobol import CONSTANT, FAILED, bootstrap_weights, still

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MorrisIndices:
    """Elementary effects of some outputs, (output, factor), in the unit of the output.

    Attributes:
        mu: Mean effect of a step from one end of the factor's range to the other.
        mu_star: Mean of its absolute value.
        mu_star_error: Bootstrap standard error.
        sigma: Standard deviation: interactions, and what is not linear.
        groups: (output,) trajectories that counted.
        reason: (output,) one of `sobol.REASONS`.
    """

    mu: Floats
    mu_star: Floats
    mu_star_error: Floats
    sigma: Floats
    groups: NDArray[np.int64]
    reason: NDArray[np.int8]


def morris(
    y: NDArray,
    points: Floats,
    *,
    resamples: int = 200,
    seed: int = 1,
    max_failed_share: float = 0.0,
    scale: float = 0.0,
) -> MorrisIndices:
    """Elementary effects (Morris 1991; mu* of Campolongo et al. 2007).

    Args:
        y: Outputs, (output, row), trajectory after trajectory; NaN where a row failed: its
            trajectory is left out.
        points: `designs.trajectories`, (trajectory, factor + 1, factor).
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        max_failed_share: Share of trajectories left out above which nothing is said.
        scale: As of `sobol.indices`.

    Returns:
        The indices; NaN where the output is constant or too many failed.
    """
    number, _, factors = points.shape
    step = np.diff(points, axis=1)
    mover = np.abs(step).argmax(axis=2)  # (trajectory, step): which factor moved
    by = np.take_along_axis(step, mover[..., None], axis=2)[..., 0]
    grouped = y.reshape(len(y), number, factors + 1).astype(np.float64)
    effects = np.empty((len(y), number, factors))
    np.put_along_axis(effects, mover[None], np.diff(grouped, axis=2) / by, axis=2)
    whole = np.asarray(np.isfinite(grouped).all(axis=2))
    groups = whole.sum(axis=1)
    reason = np.zeros(len(y), np.int8)
    reason[still(y, scale)] = CONSTANT
    reason[groups < max(2, (1 - max_failed_share) * number - 1e-9)] = FAILED
    share = np.where(whole, 1.0, 0.0)[..., None]
    effects = np.where(whole[..., None], effects, 0.0)
    count = np.maximum(groups, 1)[:, None]
    mu = effects.sum(axis=1) / count
    mu_star = np.abs(effects).sum(axis=1) / count
    squares = (share * (effects - mu[:, None]) ** 2).sum(axis=1)
    sigma = np.sqrt(squares / np.maximum(count - 1, 1))
    weights = bootstrap_weights(number, resamples, seed)[1:]
    counted = np.matmul(weights, share)
    resampled = np.matmul(weights, np.abs(effects)) / np.where(counted > 0, counted, np.nan)
    error = np.nanstd(resampled, axis=1, ddof=1) if resamples > 1 else np.full(mu.shape, np.nan)
    none = reason != 0
    for part in (mu, mu_star, sigma, error):
        part[none] = np.nan
    return MorrisIndices(mu, mu_star, error, sigma, groups, reason)


@dataclass(frozen=True, eq=False)
class PartialCorrelations:
    """Partial rank correlation of each output with each factor, the others held.

    Attributes:
        prcc: (output, factor) [1].
        low: Lower end of the interval.
        high: Upper end.
        groups: (output,) samples that counted.
        reason: (output,) one of `sobol.REASONS`.
    """

    prcc: Floats
    low: Floats
    high: Floats
    groups: NDArray[np.int64]
    reason: NDArray[np.int8]


def partial_rank_correlations(
    y: NDArray,
    points: Floats,
    *,
    resamples: int = 200,
    seed: int = 1,
    reach: float = 1.96,
    max_failed_share: float = 0.0,
    scale: float = 0.0,
) -> PartialCorrelations:
    """Partial rank correlation coefficients of all outputs by one solve a resample.

    Equation (Z: centred ranks of the factors, y those of an output, W: weights of the samples):
        b = (Z'WZ)^-1 Z'Wy,  s = y'Wy - y'WZ b,  r_i = b_i / sqrt(b_i^2 + s ((Z'WZ)^-1)_ii)
        interval: tanh(artanh r_i +- reach SD(artanh r_i over resamples))

    Resamples keep the ranks of the whole.

    Args:
        y: Outputs, (output, sample); NaN where a row failed: the sample is left out.
        points: Factors, (sample, factor), any increasing function of their numbers.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        reach: Half-width of the interval in standard errors.
        max_failed_share: Share of samples left out above which nothing is said.
        scale: As of `sobol.indices`.

    Returns:
        The correlations; NaN where the output is constant or too few samples are left, as
        `designs.least_prcc_samples` has it.
    """
    from scipy.stats import rankdata

    samples, factors = points.shape
    prcc, low, high = np.full((3, len(y), factors), np.nan)
    whole = np.isfinite(y)
    groups = whole.sum(axis=1)
    reason = np.zeros(len(y), np.int8)
    reason[still(y, scale)] = CONSTANT
    least = max(least_prcc_samples(factors), (1 - max_failed_share) * samples - 1e-9)
    reason[groups < least] = FAILED
    kinds, belongs = np.unique(whole, axis=0, return_inverse=True)
    for k, kind in enumerate(kinds):
        own = np.flatnonzero((belongs.ravel() == k) & (reason == 0))
        if not own.size:
            continue
        z = _standard(rankdata(points[kind], axis=0))
        ranks = _standard(rankdata(y[own][:, kind], axis=1).T)
        found = np.stack(
            [_partial(z, ranks, w) for w in bootstrap_weights(len(z), resamples, seed)]
        )
        with np.errstate(divide="ignore"):
            centre = np.arctanh(found)
        # Infinite where all is explained, NaN where a resample says nothing.
        resampled = np.ma.masked_invalid(centre[1:])
        width = reach * resampled.std(axis=0, ddof=1).filled(0.0)
        prcc[own], low[own], high[own] = (
            found[0], np.tanh(centre[0] - width), np.tanh(centre[0] + width)
        )  # fmt: skip
    return PartialCorrelations(prcc, low, high, groups, reason)


def _partial(z: Floats, ranks: Floats, weights: Floats) -> Floats:
    """Partial correlations (output, factor) of weighted samples; NaN of too few distinct ones."""
    if np.count_nonzero(weights) < z.shape[1] + 2:
        return np.full((ranks.shape[1], z.shape[1]), np.nan)
    z, ranks = z - weights @ z, ranks - weights @ ranks
    weighted = z * weights[:, None]
    inverse = np.linalg.inv(weighted.T @ z)
    slopes = inverse @ (weighted.T @ ranks)  # (factor, output)
    left = np.maximum(weights @ (ranks * (ranks - z @ slopes)), 0.0)
    found = slopes / np.sqrt(slopes**2 + left * np.diag(inverse)[:, None])
    return np.clip(found.T, -1.0, 1.0)


@dataclass(frozen=True, eq=False)
class DerivativeIndices:
    """Mean squared derivatives of some outputs, and what they say about total indices.

    Attributes:
        mean_square: (output, factor) of the derivative from one end of the cube to the other.
        bound: Upper bound on the total Sobol index [1], by Poincare's inequality.
        bound_error: Its standard error, the variance of the output taken as known.
        groups: (output,) points that counted.
        reason: (output,) one of `sobol.REASONS`.
    """

    mean_square: Floats
    bound: Floats
    bound_error: Floats
    groups: NDArray[np.int64]
    reason: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class SquaredSlopes:
    """Sums over points of squared derivatives, which can be added.

    Attributes:
        points: (output,) points that counted.
        square: (output, factor) sum of squares.
        fourth: (output, factor) sum of fourth powers.
    """

    points: NDArray[np.int64]
    square: Floats
    fourth: Floats

    @classmethod
    def of(cls, slopes: Floats) -> SquaredSlopes:
        """Those of derivatives (output, factor, point); a point with a NaN does not count."""
        whole = np.asarray(np.isfinite(slopes).all(axis=1))
        squares = np.where(whole[:, None], slopes, 0.0) ** 2
        return cls(whole.sum(axis=1), squares.sum(axis=2), (squares**2).sum(axis=2))

    def __add__(self, other: SquaredSlopes) -> SquaredSlopes:
        """Sums over the points of both."""
        return SquaredSlopes(
            self.points + other.points, self.square + other.square, self.fourth + other.fourth
        )


def derivative_based(
    slopes: SquaredSlopes, variance: Floats, constant: float = 1 / math.pi**2
) -> DerivativeIndices:
    """Derivative-based indices (Sobol and Kucherenko 2009).

    Equation:
        nu_i = E[(df/ds_i)^2],  ST_i <= c nu_i / V
        c: 1/pi^2 where s is uniform between 0 and 1, 1 where s is standard normal

    Args:
        slopes: Derivatives at points of the factors' own laws.
        variance: Of the output, (output,).
        constant: c.

    Returns:
        The indices; NaN where the output does not vary.
    """
    reason = np.where(variance > 0, 0, CONSTANT).astype(np.int8)
    reason[slopes.points < 2] = FAILED
    count = np.maximum(slopes.points, 2)[:, None]
    mean_square = slopes.square / count
    spread = np.maximum(slopes.fourth / count - mean_square**2, 0.0)
    scale = np.where(reason == 0, constant / np.where(variance > 0, variance, 1.0), np.nan)
    mean_square[reason == FAILED] = np.nan
    return DerivativeIndices(
        mean_square,
        mean_square * scale[:, None],
        np.sqrt(spread / count) * scale[:, None],
        slopes.points,
        reason,
    )


def _standard(ranks: Floats) -> Floats:
    """Columns with mean 0 and length 1."""
    centred = ranks - ranks.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)
