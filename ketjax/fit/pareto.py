"""Pareto-smoothed importance weights (Vehtari, Simpson, Gelman, Yao and Gabry 2024, JMLR 25:72).

The largest weights are replaced by quantiles of a generalised Pareto law fitted to them (Zhang and
Stephens 2009, Technometrics 51:316). Its shape k says how far means by these weights can be
trusted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketjax.fit.uncertainty import Floats

EQUAL = 1e-9  # logarithms of weights that differ by less are equal
LEAST_TAIL = 5  # weights of which a tail can be fitted
PRIOR_SHAPE, PRIOR_COUNT = 0.5, 10  # of the shape, as if seen in ten more (Vehtari et al.)
PRIOR_SCALE = 3  # of Zhang and Stephens


def smooth(logarithms: ArrayLike) -> tuple[Floats, float]:
    """Smooth importance weights.

    Args:
        logarithms: Of the raw weights, up to a constant, shape (draw,); -inf for no weight.

    Returns:
        Weights that add to one, shape (draw,), and k: minus infinity where all are equal, infinite
        where there are too few to say. Below min(1 - 1/log10(draws), 0.7) the weights can be used.

    Raises:
        ValueError: No draw has a finite weight, or some logarithm is NaN or plus infinity.
    """
    logs = np.array(logarithms, dtype=np.float64)
    if np.any(np.isnan(logs)) or np.any(logs == np.inf):
        raise ValueError("logarithms of weights are finite, or -inf for no weight")
    largest = logs.max(initial=-np.inf)
    if not np.isfinite(largest):
        raise ValueError("no draw has any weight")
    logs -= largest
    shape = np.inf
    if np.ptp(logs) < EQUAL:
        shape = -np.inf
    else:
        count = int(np.ceil(min(0.2 * logs.size, 3 * np.sqrt(logs.size))))
        order = np.argsort(logs, kind="stable")
        tail = order[-count:]
        cut = np.exp(logs[order[-count - 1]]) if logs.size > count else 0.0
        excess = np.exp(logs[tail]) - cut
        # Tied with the cut there is no tail to fit.
        if count >= LEAST_TAIL and excess[0] > 0:
            shape, scale = fit_tail(excess)
            places = (np.arange(count) + 0.5) / count
            quantiles = _quantile(places, shape, scale)
            logs[tail] = np.minimum(np.log(cut + quantiles), 0.0)
    weights = np.exp(logs)
    return weights / weights.sum(), float(shape)


def fit_tail(excess: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto law.

    Args:
        excess: Above the threshold, positive, rising, shape (n,).

    Returns:
        Shape k, drawn to 0.5 as if by ten more numbers, and scale.
    """
    n = excess.size
    guesses = 30 + int(np.sqrt(n))
    b = 1 - np.sqrt(guesses / (np.arange(1, guesses + 1) - 0.5))
    b = b / (PRIOR_SCALE * excess[int(n / 4 + 0.5) - 1]) + 1 / excess[-1]
    shapes = np.mean(np.log1p(-b[:, None] * excess), axis=1)
    likelihood = n * (np.log(-b / shapes) - shapes - 1)
    weights = np.exp(likelihood - likelihood.max())
    b_mean = float(np.sum(b * weights) / weights.sum())
    shape = float(np.mean(np.log1p(-b_mean * excess)))
    scale = -shape / b_mean
    return (n * shape + PRIOR_COUNT * PRIOR_SHAPE) / (n + PRIOR_COUNT), scale


def trusted(shape: float, draws: int) -> bool:
    """Whether means by smoothed weights converge with this many draws."""
    return shape < min(1 - 1 / np.log10(max(draws, 11)), 0.7)


def effective(weights: Floats) -> float:
    """Draws of equal weight that say as much: 1 / sum of squared weights that add to one."""
    return float(weights.sum() ** 2 / np.sum(weights**2))


def resample(weights: Floats, count: int, seed: int) -> np.ndarray:
    """Systematic resampling: which draws stand for all, each as often as its weight says.

    Args:
        weights: Of the draws, not negative, shape (draw,).
        count: Draws that are wanted.
        seed: Of the one random number that it takes.

    Returns:
        Places of the draws, rising, shape (count,); each w/sum(w) * count times, rounded up or
        down.
    """
    above = np.cumsum(weights) / np.sum(weights)
    above[-1] = 1.0
    points = (np.arange(count) + np.random.default_rng(seed).random()) / count
    return np.searchsorted(above, points, side="right")


def _quantile(share: Floats, shape: float, scale: float) -> Floats:
    """Quantiles of a generalised Pareto law above zero."""
    if shape == 0:
        return -scale * np.log1p(-share)
    return scale * np.expm1(-shape * np.log1p(-share)) / shape
