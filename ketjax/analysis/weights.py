"""Weights of patients that meet targets, as near to equal weights as the targets allow.

Of all weights with sum 1 under which feature k has the mean t_k, those of least relative entropy to
equal ones are w_i = exp(lambda . f_i) / Z. The multipliers lambda minimise a convex function of as
many unknowns as there are targets (Jaynes 1957, doi:10.1103/PhysRev.106.620; its dual with
Gaussian errors of the targets: Dudik 2007, J Mach Learn Res 8:1217), whatever the number of
patients. Newton's method needs moments of the features alone, summed chunk by chunk: memory is a
few chunks. Another chunking changes multipliers and weights by less than 1e-9 of their size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import ArrayLike, NDArray

from ketjax.errors import KetjaxError

Numbers = NDArray[np.float64]

CLOSE = 1e-10
"""A target is met within this many standard deviations of its feature."""

FLAT = 1e-11
"""Least curvature of standardised features: dependent ones have no single solution."""

MOST_STEPS = 100
SHORTEST_STEP = 2.0**-40


class Unreachable(KetjaxError):
    """No weights meet these targets together, though they meet any smaller set of them.

    Attributes:
        places: Which targets.
        without: What the first of them is when the others are met; NaN if it is the only one.
    """

    exit_code = 2

    def __init__(self, places: Sequence[int], without: float = np.nan) -> None:
        """Keep which targets they are."""
        self.places, self.without = tuple(places), without
        super().__init__(f"no weights meet the targets {list(self.places)} together")


@dataclass(frozen=True)
class Survey:
    """What the features are without weights; arrays of shape (target,).

    Attributes:
        patients: Patients that may have a weight.
        gaps: How many of them lack a finite number.
        low, high: Least and greatest number: weighted means lie between.
        mean: Mean.
        deviation: Standard deviation, 1 where all numbers are equal.
    """

    patients: int
    gaps: NDArray[np.int64]
    low: Numbers
    high: Numbers
    mean: Numbers
    deviation: Numbers


@dataclass(frozen=True)
class Weighting:
    """The weights and what they do; arrays of shape (target,).

    Attributes:
        centre, scale: By which features are standardised: x = (f - centre) / scale.
        slope: Multipliers of standardised features [1], 0 where a target is held out.
        log_sum: Logarithm of the sum of exp(slope . x) over the patients.
        weighted: Weighted means of the features.
        price: What a target costs when it comes last [nat]: by how much the least relative entropy
            (with errors: plus half the squared misfits) falls when that target is given up. Unless
            `fit` is asked for exact prices, to second order in the multiplier:
            lambda_k^2 / (2 (H^-1)_kk) with the Hessian H of the dual, which is exact where the
            features are normal. 0 where a target is held out.
        patients: Patients that may have a weight.
        effective: Effective sample size (sum w)^2 / sum w^2 (Kish 1965).
        entropy: Relative entropy sum w log(n w) to equal weights [nat].
        largest: The largest weight [1].
        passes: How often all features were read.
    """

    centre: Numbers
    scale: Numbers
    slope: Numbers
    log_sum: float
    weighted: Numbers
    price: Numbers
    patients: int
    effective: float
    entropy: float
    largest: float
    passes: int

    @property
    def multipliers(self) -> Numbers:
        """Multipliers in one over the unit of each feature."""
        return self.slope / self.scale

    @property
    def accepted(self) -> float:
        """Share of the patients that acceptance-rejection keeps: patient i with w_i / max w [1]."""
        return 1.0 / (self.patients * self.largest)

    def weights(self, block: NDArray) -> Numbers:
        """Weights of the patients of one chunk, 0 for those that may not have one.

        Args:
            block: Features as `fit` takes them, shape (1 + target, patient).

        Returns:
            Weights [1], shape (patient,).
        """
        used = self.slope != 0.0
        x = (block[1:][used] - self.centre[used, None]) / self.scale[used, None]
        exponent = np.where(block[0] > 0, self.slope[used] @ x - self.log_sum, -np.inf)
        return np.exp(exponent)

    def by_chunk(self, features: da.Array) -> Iterator[Numbers]:
        """Weights of the patients of one chunk after the other."""
        for block in _blocks(features):
            yield self.weights(compute(block)[0])


def survey(features: da.Array) -> Survey:
    """Look at all features once.

    Args:
        features: Shape (1 + target, patient). Row 0 is 1 for patients that may have a weight, else
            0; there the other rows are not looked at.

    Returns:
        Their ranges and unweighted moments.
    """
    parts = compute(*[delayed(_look)(block) for block in _blocks(features)])
    count, gaps, low, high, mean, square = parts[0]
    for n, more, least, most, average, spread in parts[1:]:
        total = max(count + n, 1)
        apart = average - mean
        mean = mean + apart * n / total
        square = square + spread + apart**2 * count * n / total
        low, high = np.minimum(low, least), np.maximum(high, most)
        count, gaps = count + n, gaps + more
    deviation = np.sqrt(square / max(count, 1))
    return Survey(count, gaps, low, high, mean, np.where(high > low, deviation, 1.0))


def fit(
    features: da.Array,
    values: ArrayLike,
    errors: ArrayLike | None = None,
    fitted: ArrayLike | None = None,
    seen: Survey | None = None,
    *,
    exact_prices: bool = False,
) -> Weighting:
    """Weights of least relative entropy to equal ones that meet the targets.

    Equation:
        minimise sum_i w_i log(n w_i) + sum_k ((sum_i w_i f_ki - t_k) / s_k)^2 / 2, by the dual
        log sum_i exp(sum_k lambda_k (f_ki - t_k)) + sum_k (s_k lambda_k)^2 / 2

    Args:
        features: As for `survey`, finite.
        values: Targets t_k in the unit of their features.
        errors: Standard errors s_k of the targets; 0, or None for all, asks for the exact value.
        fitted: Whether a target shapes the weights; else it is only looked at.
        seen: What `survey` returned, if it has been called.
        exact_prices: Fit again without each target, to say what it costs.

    Returns:
        The weights and what they do.

    Raises:
        Unreachable: No weights meet the exact targets.
    """
    seen = seen or survey(features)
    target = np.asarray(values, float)
    error = np.zeros_like(target) if errors is None else np.asarray(errors, float)
    rows = np.flatnonzero(np.ones(target.shape, bool) if fitted is None else np.asarray(fitted))
    dual = _Dual(features, target, error, seen)
    try:
        slope, last = dual.solve(rows, np.zeros_like(target))
    except _Unbounded:
        raise dual.contradiction(rows) from None
    price = dual.prices(rows, slope, last, exact_prices)
    final = dual.moments(np.arange(target.size), slope)
    return Weighting(
        centre=target,
        scale=seen.deviation,
        slope=slope,
        log_sum=final.value,
        weighted=target + seen.deviation * final.mean,
        price=price,
        patients=seen.patients,
        effective=1.0 / final.squares,
        entropy=float(slope @ final.mean) - final.value + np.log(seen.patients),
        largest=final.largest,
        passes=dual.passes,
    )


@dataclass(frozen=True)
class _Moments:
    """Moments of standardised features under w ~ exp(slope . x)."""

    value: float  # logarithm of the sum of exp(slope . x)
    mean: Numbers
    curvature: Numbers  # covariance
    squares: float  # sum of the squared weights
    largest: float  # largest weight


class _Unbounded(Exception):  # noqa: N818 - an answer of the dual, translated by who asked
    """The dual falls below what any weights could give."""


class _Dual:
    """The dual function over the chunks of the features."""

    def __init__(self, features: da.Array, target: Numbers, error: Numbers, seen: Survey) -> None:
        self.blocks = _blocks(features)
        self.target, self.scale, self.seen = target, seen.deviation, seen
        self.penalty = (error / self.scale) ** 2
        self.passes = 0

    def moments(self, rows: NDArray[np.intp], slope: Numbers) -> _Moments:
        """One pass over all patients."""
        self.passes += 1
        part = delayed(_sums)
        centre, scale, chosen = self.target[rows], self.scale[rows], slope[rows]
        sums = compute(*[part(block, rows, centre, scale, chosen) for block in self.blocks])
        shift = max(total[0] for total in sums)
        total, squares, first, second = (
            sum(np.exp(power * (part[0] - shift)) * part[index] for part in sums)
            for index, power in ((1, 1), (2, 2), (3, 1), (4, 1))
        )
        mean = np.asarray(first / total)
        return _Moments(
            value=float(shift + np.log(total)),
            mean=mean,
            curvature=np.asarray(second / total) - np.outer(mean, mean),
            squares=float(squares / total**2),
            largest=float(1.0 / total),
        )

    def height(self, slope: Numbers, moments: _Moments) -> float:
        """The dual function."""
        return moments.value + 0.5 * float(self.penalty @ slope**2)

    def solve(self, rows: NDArray[np.intp], slope: Numbers) -> tuple[Numbers, _Moments]:
        """Newton's method with a line search, for the targets in these rows alone."""
        penalty = self.penalty[rows]
        lowest = self._lowest(rows)
        now = self.moments(rows, slope)
        for _ in range(MOST_STEPS):
            height = self.height(slope, now)
            gradient = now.mean + penalty * slope[rows]
            if np.abs(gradient).max(initial=0.0) <= CLOSE:
                return slope, now
            if height < lowest - 1e-6:
                raise _Unbounded
            step = -_inverse(now.curvature + np.diag(penalty)) @ gradient
            length, fall = 1.0, float(gradient @ step)
            while True:
                trial = slope.copy()
                trial[rows] += length * step
                new = self.moments(rows, trial)
                if self.height(trial, new) <= height + 1e-4 * length * fall + 1e-12 * (
                    1.0 + abs(height)
                ):
                    break
                length /= 2.0
                if length < SHORTEST_STEP:
                    raise _Unbounded
            slope, now = trial, new
        raise _Unbounded

    def prices(
        self, rows: NDArray[np.intp], slope: Numbers, last: _Moments, exact: bool
    ) -> Numbers:
        """What each target costs when it comes last [nat]."""
        price = np.zeros_like(slope)
        inverse = _inverse(last.curvature + np.diag(self.penalty[rows]))
        for place, row in enumerate(rows):
            price[row] = slope[row] ** 2 / (2.0 * inverse[place, place])
            if exact:
                rest = np.delete(rows, place)
                start = slope.copy()  # where the quadratic has its minimum without the target
                start[rows] -= inverse[:, place] * slope[row] / inverse[place, place]
                start[row] = 0.0
                without = self.height(*self.solve(rest, start))
                price[row] = without - self.height(slope, last)
        return price

    def contradiction(self, rows: NDArray[np.intp]) -> Unreachable:
        """A smallest set of exact targets that no weights meet: drop what can be dropped."""
        core = [int(row) for row in rows if self.penalty[row] == 0.0]
        for row in tuple(core):
            rest = np.array([other for other in core if other != row], np.intp)
            try:
                self.solve(rest, np.zeros_like(self.target))
            except _Unbounded:
                core.remove(row)
        if len(core) < 2:
            return Unreachable(core)
        first = core[0]
        slope, _ = self.solve(np.array(core[1:], np.intp), np.zeros_like(self.target))
        mean = self.moments(np.array(core, np.intp), slope).mean[0]
        return Unreachable(core, float(self.target[first] + self.scale[first] * mean))

    def _lowest(self, rows: NDArray[np.intp]) -> float:
        """What the dual cannot fall below if some weights meet the exact targets.

        All the weight may lie on one patient, and each soft target may be missed by its range.
        """
        soft = rows[self.penalty[rows] > 0.0]
        target, seen = self.target[soft], self.seen
        miss = np.maximum(np.abs(seen.low[soft] - target), np.abs(seen.high[soft] - target))
        return -0.5 * float(np.sum((miss / self.scale[soft]) ** 2 / self.penalty[soft]))


def _inverse(hessian: Numbers) -> Numbers:
    """Inverse of a matrix that rounding may have left with eigenvalues below zero."""
    values, vectors = np.linalg.eigh(hessian)
    return (vectors / np.maximum(values, FLAT)) @ vectors.T


def _blocks(features: da.Array) -> list:
    """The chunks as delayed arrays, each with all rows, in the order of the patients."""
    whole: Any = features
    return list(whole.rechunk({0: -1}).to_delayed().ravel())


def _look(block: NDArray) -> tuple:
    """Number of patients, gaps, range, mean and sum of squares about it, of one chunk."""
    x = _eligible(block)
    if not x.shape[1]:
        zero = np.zeros(len(x))
        return 0, zero.astype(int), zero + np.inf, zero - np.inf, zero, zero
    mean = x.mean(axis=1)
    return (
        x.shape[1],
        (~np.isfinite(x)).sum(axis=1),
        x.min(axis=1),
        x.max(axis=1),
        mean,
        ((x - mean[:, None]) ** 2).sum(axis=1),
    )


def _sums(
    block: NDArray, rows: NDArray[np.intp], centre: Numbers, scale: Numbers, slope: Numbers
) -> tuple:
    """Largest exponent of one chunk, and its sums of weights, squares, features and products."""
    x = (_eligible(block, rows) - centre[:, None]) / scale[:, None]
    if not x.shape[1]:
        return -np.inf, 0.0, 0.0, np.zeros(len(x)), np.zeros((len(x), len(x)))
    exponent = slope @ x
    shift = float(exponent.max())
    weight = np.exp(exponent - shift)
    weighted = x * weight
    return shift, weight.sum(), weight @ weight, weighted.sum(axis=1), weighted @ x.T


def _eligible(block: NDArray, rows: NDArray[np.intp] | None = None) -> Numbers:
    """Features of the patients that may have a weight."""
    used = block[0] > 0
    x = block[1:] if rows is None else block[1 + rows]
    return x if used.all() else x[:, used]
