"""Sobol indices of all outputs at once: first, total and second order, with bootstrap intervals.

Equation (f_A, f_B: output at base samples; f_ABi: at A with column i of B; f_BAi the reverse):
    first   S_i  = mean(f_B (f_ABi - f_A)) / V, with f_BAi also mean(f_A (f_BAi - f_B)) / V
    total   ST_i = mean((f_A - f_ABi)^2) / (2 V), with f_BAi also mean((f_B - f_BAi)^2) / (2 V)
    second  S_ij = mean(f_BAi f_ABj - f_A f_B) / V - S_i - S_j, with i and j also exchanged
    V: variance of f_A and f_B together; outputs are measured from their mean over all rows

Saltelli et al. 2010 and Jansen 1999, as SALib has them. Where there are rows of both kinds both
estimates are averaged, which SALib does not do: the same rows say more. The bootstrap draws base
samples; points of a Sobol sequence are more even than that, so that its intervals are wide rather
than narrow. Everything is a product of weights and a block of outputs: no loop over outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ketjax.backend import usable_cores

Floats = NDArray[np.float64]

OK, CONSTANT, FAILED = 0, 1, 2
REASONS = {OK: "computed", CONSTANT: "constant", FAILED: "too_many_rows_failed"}
"""Why indices of an output are there, or are not."""

ROUNDING = 8.0  # rounding errors of the outputs' own type: what varies by less is constant
BLOCK_BYTES = 4 * 2**20  # of outputs that are worked on together
FEWEST = 4  # base samples of which anything is said


@dataclass(frozen=True, eq=False)
class SobolIndices:
    """Indices of some outputs; NaN where `reason` is not 0.

    Attributes:
        first: (output, factor) [1].
        first_error: Bootstrap standard error.
        total: (output, factor) [1].
        total_error: Bootstrap standard error.
        second: (output, factor, factor) [1], upper triangle; None if not asked.
        second_error: Bootstrap standard error, None if not asked.
        variance: (output,) of the output.
        mean: (output,) of the output.
        groups: (output,) base samples that counted.
        reason: (output,) one of `REASONS`.
    """

    first: Floats
    first_error: Floats
    total: Floats
    total_error: Floats
    second: Floats | None
    second_error: Floats | None
    variance: Floats
    mean: Floats
    groups: NDArray[np.int64]
    reason: NDArray[np.int8]


def indices(
    y: NDArray,
    factors: int,
    *,
    second_order: bool = False,
    resamples: int = 200,
    seed: int = 1,
    symmetric: bool = True,
    max_failed_share: float = 0.0,
    scale: float = 0.0,
) -> SobolIndices:
    """Indices of all outputs.

    Args:
        y: Outputs, (output, row), rows of whole base samples in the order of `designs.Saltelli`;
            NaN where a row failed: its base sample is left out.
        factors: Number of factors.
        second_order: Whether there are rows of B with columns of A.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        symmetric: Average both estimates where there are two.
        max_failed_share: Share of base samples left out above which nothing is said.
        scale: Size of the outputs where they are at work; an output that varies by no more than
            rounding of that, or of itself, is constant.

    Returns:
        The indices.
    """
    group = factors * (2 if second_order else 1) + 2
    grouped = y.reshape(len(y), -1, group)
    outputs, samples = grouped.shape[:2]
    found = _empty(outputs, factors, second_order)
    size = max(1, int(BLOCK_BYTES / (8 * samples * group)))

    def fill(first: int) -> None:
        some = np.arange(first, min(first + size, outputs))
        for places, whole in _alike(grouped[some]):
            own = some[places]
            found.groups[own] = whole.sum()
            least = max(FEWEST, (1 - max_failed_share) * samples - 1e-9)
            if whole.sum() < least:
                found.reason[own] = FAILED
                continue
            block = grouped[own][:, whole].astype(np.float64)
            flat = block.reshape(len(block), -1)
            moves = ~still(flat, scale, y.dtype) & (_base(block).var(axis=1) > 0)
            found.mean[own] = block.mean(axis=(1, 2))
            found.reason[own[~moves]] = CONSTANT
            found.variance[own[~moves]] = 0.0
            if moves.any():
                _estimate(found, own[moves], block[moves], factors, symmetric, resamples, seed)

    # Threads of BLAS wait for each other by spinning: beside other programs that costs many times
    # the work. So each block of outputs has one thread, and blocks stand side by side.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(fill, range(0, outputs, size)))
    return found


def _estimate(
    found: SobolIndices,
    own: NDArray[np.int64],
    block: Floats,
    factors: int,
    symmetric: bool,
    resamples: int,
    seed: int,
) -> None:
    """Fill in the indices of outputs that vary, block of (output, sample, row of a sample)."""
    samples = block.shape[1]
    block = block - block.mean(axis=(1, 2), keepdims=True)
    a, b = block[..., 0], block[..., -1]
    ab, ba = block[..., 1 : factors + 1], block[..., factors + 1 : -1]
    both = symmetric and ba.shape[-1] > 0
    firsts = b[..., None] * (ab - a[..., None])
    totals = (a[..., None] - ab) ** 2 / 2
    if both:
        firsts = (firsts + a[..., None] * (ba - b[..., None])) / 2
        totals = (totals + (b[..., None] - ba) ** 2 / 2) / 2
    # Sums over samples of all that the indices are made of, whole and resampled, are one product.
    everything = np.concatenate(
        [firsts, totals, np.stack([(a + b) / 2, (a**2 + b**2) / 2, a * b], axis=-1)], axis=-1
    )
    weights = bootstrap_weights(samples, resamples, seed)
    sums = np.matmul(weights, everything)  # (output, resample, quantity); the first is the whole
    variance = sums[..., -2] - sums[..., -3] ** 2
    variance = np.where(variance > 0, variance, np.nan)  # a resample may hold nothing that varies
    first, total = (
        part / variance[..., None]
        for part in (sums[..., :factors], sums[..., factors : 2 * factors])
    )
    found.variance[own] = variance[:, 0]
    found.first[own], found.total[own] = first[:, 0], total[:, 0]
    found.first_error[own], found.total_error[own] = _spread(first), _spread(total)
    if found.second is None or found.second_error is None:
        return
    for i in range(factors - 1):
        products = ba[..., i : i + 1] * ab[..., i + 1 :]
        if both:
            products = (products + ab[..., i : i + 1] * ba[..., i + 1 :]) / 2
        joint = np.matmul(weights, products) - sums[..., -1:]
        second = joint / variance[..., None] - first[..., i : i + 1] - first[..., i + 1 :]
        found.second[own, i, i + 1 :] = second[:, 0]
        found.second_error[own, i, i + 1 :] = _spread(second)


@lru_cache(8)
def bootstrap_weights(samples: int, resamples: int, seed: int) -> Floats:
    """Weights of samples: the first row weighs all alike, each other one is a resample.

    Args:
        samples: Number of samples.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        (1 + resample, sample), the sum of each row 1.
    """
    random = np.random.default_rng(seed)
    drawn = random.multinomial(samples, np.full(samples, 1 / samples), resamples)
    weights = np.concatenate([np.ones((1, samples)), drawn]) / samples
    weights.flags.writeable = False  # it is kept
    return weights


def _spread(resampled: Floats) -> Floats:
    """Standard deviation over resamples, which follow the whole in axis 1."""
    if resampled.shape[1] < 3:
        return np.full(resampled[:, 0].shape, np.nan)
    spread = resampled[:, 1:].std(axis=1, ddof=1)
    if np.isfinite(spread).all():
        return spread
    enough = np.isfinite(resampled[:, 1:]).sum(axis=1) > 1
    filled = np.where(enough[:, None], resampled[:, 1:], 0.0)
    return np.where(enough, np.nanstd(filled, axis=1, ddof=1), np.nan)


def _base(block: Floats) -> Floats:
    """Outputs at the base samples, (output, 2 sample): what the variance is taken of."""
    return block[..., [0, -1]].reshape(len(block), -1)


def still(y: NDArray, scale: float = 0.0, kept_in: Any = None) -> NDArray[np.bool_]:
    """Outputs that vary by no more than rounding, of what is finite, (output,).

    Args:
        y: Outputs, (output, row).
        scale: As of `indices`.
        kept_in: Type in which they were kept, if it is not that of `y`.
    """
    finite = np.isfinite(y)
    least = np.min(y, axis=1, where=finite, initial=np.inf)
    greatest = np.max(y, axis=1, where=finite, initial=-np.inf)
    size = np.maximum(np.maximum(np.abs(least), np.abs(greatest)), scale)
    with np.errstate(invalid="ignore"):
        return ~(greatest - least > ROUNDING * np.finfo(kept_in or y.dtype).eps * size)


def _alike(grouped: NDArray) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Outputs that lack the same base samples, and which samples are whole."""
    whole = np.asarray(np.isfinite(grouped).all(axis=2))
    if whole.all():
        yield np.arange(len(grouped)), whole[0]
        return
    kinds, belongs = np.unique(whole, axis=0, return_inverse=True)
    for k, kind in enumerate(kinds):
        yield np.flatnonzero(belongs.ravel() == k), kind


def _empty(outputs: int, factors: int, second_order: bool) -> SobolIndices:
    """Nothing known yet."""
    first, first_error, total, total_error = np.full((4, outputs, factors), np.nan)
    second, second_error = (
        np.full((2, outputs, factors, factors), np.nan) if second_order else (None, None)
    )
    variance, mean = np.full((2, outputs), np.nan)
    return SobolIndices(
        first,
        first_error,
        total,
        total_error,
        second,
        second_error,
        variance,
        mean,
        np.zeros(outputs, np.int64),
        np.zeros(outputs, np.int8),
    )
