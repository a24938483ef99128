"""Designs of a sensitivity analysis: rows of numbers between 0 and 1, one for each factor.

The rows of a Saltelli design and of a Morris design stand in the order that SALib gives them.
Saltelli rows are made when they are asked for: only their base points are held.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BITS = 32  # of a coordinate of a Sobol sequence: its points are multiples of 2**-BITS
HALF_STEP = 2.0 ** -(BITS + 1)  # so that no coordinate is 0, where laws have no end


def power_of_two(number: int) -> int:
    """The least power of two that is not below a number of points."""
    return 1 << max(0, number - 1).bit_length()


def sobol_points(samples: int, dimensions: int, seed: int) -> Floats:
    """Points of a scrambled Sobol sequence, (sample, dimension), between 0 and 1, both excluded.

    Args:
        samples: A power of two; the first half, quarter ... of the points are such designs too.
        dimensions: Coordinates of a point.
        seed: Of the scrambling.
    """
    from scipy.stats import qmc  # half a second to load

    sequence = qmc.Sobol(dimensions, scramble=True, bits=BITS, rng=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the balance of other numbers of points
        return sequence.random(samples) + HALF_STEP


@dataclass(frozen=True, eq=False)
class Saltelli:
    """Rows for Sobol indices: A, A with each column of B, B with each column of A, and B.

    Attributes:
        a: Base points, (sample, factor).
        b: Other base points, (sample, factor).
        second_order: Whether there are rows of B with columns of A.
    """

    a: Floats
    b: Floats
    second_order: bool

    @classmethod
    def of(cls, samples: int, factors: int, seed: int, *, second_order: bool) -> Saltelli:
        """The design of so many base samples; see `sobol_points`."""
        points = sobol_points(samples, 2 * factors, seed)
        return cls(points[:, :factors], points[:, factors:], second_order)

    @property
    def group(self) -> int:
        """Rows of one base sample."""
        return self.a.shape[1] * (2 if self.second_order else 1) + 2

    @property
    def rows(self) -> int:
        """Rows of the design."""
        return len(self.a) * self.group

    def cube(self, rows: NDArray[np.int64]) -> Floats:
        """Some rows, (row, factor).

        Args:
            rows: Their numbers, a base sample's rows one after the other.
        """
        base, place = rows // self.group, rows % self.group
        factors = self.a.shape[1]
        from_b = place > factors  # what the row is made of, but for one column
        cube = np.where(from_b[:, None], self.b[base], self.a[base])
        column = np.where(from_b, place - factors - 1, place - 1)
        mixed = np.flatnonzero((column >= 0) & (place < self.group - 1))
        other = np.where(from_b[:, None], self.a[base], self.b[base])
        cube[mixed, column[mixed]] = other[mixed, column[mixed]]
        return cube


@dataclass(frozen=True, eq=False)
class Plain:
    """Rows that are written out, (row, factor)."""

    points: Floats

    @property
    def rows(self) -> int:
        """Rows of the design."""
        return len(self.points)

    def cube(self, rows: NDArray[np.int64]) -> Floats:
        """Some rows, (row, factor)."""
        return self.points[rows]


def trajectories(number: int, factors: int, levels: int, seed: int) -> Floats:
    """Morris trajectories: each row differs from the one before in one factor (Morris 1991).

    Args:
        number: Trajectories.
        factors: Numbers in a row.
        levels: Levels of each factor, even; a step is levels/(2 (levels - 1)).
        seed: Of everything that is random.

    Returns:
        Rows between 0 and 1, both included, (trajectory, factor + 1, factor).
    """
    random = np.random.default_rng(seed)
    step = levels / (2 * (levels - 1))
    lower = random.integers(0, levels // 2, (number, 1, factors)) / (levels - 1)
    upward = random.random((number, 1, factors)) < 1 / 2
    order = np.argsort(random.random((number, factors)), axis=1)  # when each factor moves
    place = np.argsort(order, axis=1)[:, None, :]
    moved = np.arange(factors + 1)[None, :, None] > place
    return lower + step * (moved == upward)


def one_at_a_time(factors: int, middle: Floats, low: float, high: float) -> Floats:
    """The middle, then each factor low and each factor high, (1 + 2 factors, factor).

    Args:
        factors: Numbers in a row.
        middle: Row of which one number moves at a time, (factor,).
        low: Where it moves.
        high: Where else.
    """
    cube = np.tile(middle, (1 + 2 * factors, 1))
    for end, shift in ((low, 1), (high, 1 + factors)):
        np.fill_diagonal(cube[shift : shift + factors], end)
    return cube


def latin_hypercube(samples: int, factors: int, seed: int) -> Floats:
    """Points of which each interval of each factor holds one, (sample, factor)."""
    from scipy.stats import qmc

    points = qmc.LatinHypercube(factors, rng=seed).random(samples)
    return np.clip(points, HALF_STEP, 1 - HALF_STEP)


def nested(samples: int) -> tuple[int, ...]:
    """Sizes at which convergence is looked at: an eighth of the base samples, a quarter, and so on.

    Fewer than eight samples tell nothing.
    """
    sizes = [samples >> shift for shift in (3, 2, 1, 0)]
    return tuple(size for size in sizes if size >= min(8, samples))


def least_prcc_samples(factors: int) -> int:
    """Samples below which partial correlations of so many factors have no interval.

    A resample holds about 0.63 of the samples, and a regression on all factors must leave some.
    """
    return 2 * (factors + 2)


def quantile_of_normal(confidence: float) -> float:
    """How many standard errors an interval reaches to either side."""
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2)) if 0 < confidence < 1 else math.nan
