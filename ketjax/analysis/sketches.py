"""Sketches: what is kept of a readout's patients when the patients themselves are not kept.

A sketch counts patients in bins that nobody has to choose, and sums in whole numbers. Whole numbers
add up to the same bits in any order, so sketches of any parts of a population, merged in any order,
are the sketch of the population.

Bins: the leading bits of the float32 number |x| + t are a bin number; above t bins are a constant
share of the value wide, below it a constant width, and t is a small part of the readout's scale.
Sums: values are rounded to whole multiples of a fine unit.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ketjax.analysis.bins import UNIT, Ruler
from ketjax.analysis.tallies import Tally
from ketjax.analysis.whole_numbers import sums, sums_of_squares

GRAIN = 2.0**-20
"""What weights are rounded to, as a part of their mean [1]."""

PIECE = 131_072
"""Patients looked at together: as much as a processor's cache holds best."""


@dataclasses.dataclass(eq=False)
class Row:
    """The sketch of one readout in one arm at one time.

    Attributes:
        patients: How many.
        mass: Sum of their weights; one each without weights, else in units of `GRAIN`.
        mass_squared: Sum of the squares of the weights, in units of that squared.
        total: Sum of weight times value [unit of the ruler].
        squares: Sum of weight times value squared [its square, with weights divided by `UNIT`].
        least: Least value [unit of the readout].
        greatest: Greatest value [unit of the readout].
        first: Number of the first bin.
        counts: Mass in each bin from `first` on; the ends are not empty.
    """

    patients: int = 0
    mass: int = 0
    mass_squared: int = 0
    total: int = 0
    squares: int = 0
    least: float = math.inf
    greatest: float = -math.inf
    first: int = 0
    counts: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, other: "Row") -> None:
        """Take in the patients of another sketch of the same readout."""
        for name in ("patients", "mass", "mass_squared", "total", "squares"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
        if not other.counts.size:
            return
        if not self.counts.size:
            self.first, self.counts = other.first, other.counts.copy()
            return
        first = min(self.first, other.first)
        end = max(self.first + self.counts.size, other.first + other.counts.size)
        if end - first > self.counts.size:
            wider = np.zeros(end - first, np.int64)
            wider[self.first - first :][: self.counts.size] = self.counts
            self.first, self.counts = first, wider
        self.counts[other.first - first :][: other.counts.size] += other.counts


@dataclasses.dataclass(eq=False)
class Sketch:
    """Sketches of one readout side by side, one for each time (and region).

    Attributes:
        ruler: Bins and unit.
        rows: One for each time, in the order of the values that were sketched.
        weighted: Whether patients count by weights.
    """

    ruler: Ruler
    rows: list[Row]
    weighted: bool = False

    @classmethod
    def of(
        cls,
        values: NDArray[np.floating],
        ruler: Ruler,
        weight: NDArray[np.floating] | None = None,
    ) -> Self:
        """Sketch some patients.

        Args:
            values: Shape (row, patient), float32 or float64; what is not finite is left out.
            ruler: Bins and unit of the readout.
            weight: Weights of the patients in units of their mean over the population [1]; None
                counts each as one.
        """
        heavy = None if weight is None else np.rint(np.asarray(weight, np.float64) / GRAIN)
        sketch = cls(ruler, [Row() for _ in values], heavy is not None)
        for start in range(0, values.shape[1], PIECE):
            here = slice(start, start + PIECE)
            parts = _rows(values[:, here], ruler, None if heavy is None else heavy[here])
            if not start:
                sketch.rows = parts
                continue
            for row, part in zip(sketch.rows, parts, strict=True):
                row.add(part)
        return sketch

    def merge(self, other: Self) -> Self:
        """Take in the patients of another sketch.

        Raises:
            ValueError: The sketches are of different readouts.
        """
        alike = (self.ruler, len(self.rows), self.weighted)
        if alike != (other.ruler, len(other.rows), other.weighted):
            raise ValueError("sketches of different readouts, or with and without weights")
        for mine, theirs in zip(self.rows, other.rows, strict=True):
            mine.add(theirs)
        return self

    def patients(self) -> NDArray[np.int64]:
        """Patients in each row."""
        return np.array([row.patients for row in self.rows], np.int64)

    def effective(self) -> NDArray[np.float64]:
        """Effective sample size of each row; without weights the number of patients."""
        return np.array([r.mass**2 / r.mass_squared if r.mass_squared else 0.0 for r in self.rows])

    def mean(self) -> NDArray[np.float64]:
        """Mean of each row [unit of the readout]; within half a unit of the ruler."""
        grain = GRAIN if self.weighted else 1.0
        means = [r.total / r.mass / grain if r.mass else math.nan for r in self.rows]
        return self.ruler.unit * np.array(means)

    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each row [unit of the readout], NaN for fewer than two patients.

        With weights it rests on the effective sample size, as in `summarise`.
        """
        return self.ruler.unit * np.array([self._deviation(row) for row in self.rows])

    def _deviation(self, row: Row) -> float:
        """Of one row [unit of the ruler]; whole numbers are divided last."""
        n, total = row.mass, row.total
        if self.weighted:
            number = row.mass**2 / row.mass_squared if row.mass_squared else 0.0
            if number <= 1.0:
                return math.nan
            mass = GRAIN * n
            about = row.squares / mass / UNIT - (total / mass) ** 2
            return math.sqrt(max(0.0, about * number / (number - 1.0)))
        return math.sqrt((n * row.squares - total**2) / (n * (n - 1))) if n > 1 else math.nan

    def quantiles(self, fractions: Sequence[float]) -> NDArray[np.float64]:
        """Quantiles of each row, within `Ruler.quantile_error` of those of the numbers.

        Without weights they lie between order statistics as numpy's do; with weights a quantile is
        the least number that patients with at least that share of the weight do not exceed.

        Args:
            fractions: Between 0 and 1.

        Returns:
            Shape (row, fraction) [unit of the readout]; NaN without patients.
        """
        return np.array([self._quantiles(row, np.asarray(fractions, float)) for row in self.rows])

    def _quantiles(self, row: Row, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        if not row.mass:
            return np.full(fractions.shape, math.nan)
        above = np.cumsum(row.counts)

        def at(mass: NDArray[np.float64]) -> NDArray[np.float64]:
            """Value below which so much lies, evenly spread within each bin."""
            place = np.minimum(np.searchsorted(above, mass), above.size - 1)
            low, high = self.ruler.edges(row.first + place)
            share = 1.0 - (above[place] - mass) / row.counts[place]
            return np.clip(low + np.clip(share, 0.0, 1.0) * (high - low), row.least, row.greatest)

        if self.weighted:
            return at(fractions * row.mass)
        rank = fractions * (row.patients - 1)
        before = np.floor(rank)
        after = np.minimum(before + 1, row.patients - 1)
        here, there = at(np.stack([before, after]) + 0.5)
        ends = np.where(fractions == 0.0, row.least, row.greatest)
        inner = here + (rank - before) * (there - here)
        return np.where((fractions == 0.0) | (fractions == 1.0), ends, inner)


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Memory in which rows are worked on, one group after the other: fresh memory costs more."""

    tally: Tally
    numbers: NDArray[np.float64]

    @classmethod
    def of(cls, shape: tuple[int, int], weight: NDArray[np.float64] | None) -> Self:
        """Memory for rows of patients with weights."""
        mass = np.ones(shape, np.int32) if weight is None else np.broadcast_to(weight, shape)
        return cls(Tally(mass.ravel()), np.empty(shape))


def _rows(
    values: NDArray[np.floating], ruler: Ruler, weight: NDArray[np.float64] | None
) -> list[Row]:
    """Sketches of rows of at most `PIECE` patients; weights in units of `GRAIN`."""
    with np.errstate(over="ignore"):
        single = np.asarray(values, np.float32)
    count, size = single.shape
    if not size:
        return [Row() for _ in range(count)]
    together = min(count, max(1, PIECE // size))  # rows that fill the cache
    bench = _Bench.of((together, size), weight)
    rows: list[Row] = []
    for start in range(0, count, together):
        here = slice(start, start + together)
        if count - start < together:
            bench = _Bench.of((count - start, size), weight)
        limits = np.array([single[here].min(axis=1), single[here].max(axis=1)])
        lowest, highest = float(limits[0].min()), float(limits[1].max())
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            rows += [_finite(row, ruler, weight) for row in values[here]]
            continue
        ends = ruler.number(limits, lowest)
        # Ends of float64 are not as they were.
        if weight is None and values.dtype == np.float32 and (ends[0] == ends[1]).all():
            units = _units(limits, ruler)
            if (units[0] == units[1]).all():
                rows += _even(size, units[0], limits, ends[0])
                continue
        most = max(-lowest, highest) / ruler.unit + 1.0
        rows += _group(values[here], single[here], limits, ends, most, ruler, weight, bench)
    return rows


def _finite(values: NDArray[np.floating], ruler: Ruler, weight: NDArray[np.float64] | None) -> Row:
    """Sketch of a row of which some values may not be finite."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float32))
    own = None if weight is None else weight[finite]
    return _rows(values[None, finite], ruler, own)[0]


def _even(
    patients: int,
    units: NDArray[np.float32],
    limits: NDArray[np.float32],
    first: NDArray[np.int32],
) -> list[Row]:
    """Sketches of rows whose ends share a bin and a unit, and so all their values do."""
    whole = [int(unit) for unit in units.tolist()]
    totals, squares = ([patients * unit**power for unit in whole] for power in (1, 2))
    counts = [np.full(1, patients) for _ in whole]
    return _listed((patients, patients, patients), totals, squares, limits, first, counts)


def _group(
    values: NDArray[np.floating],
    single: NDArray[np.float32],
    limits: NDArray[np.float32],
    ends: NDArray[np.int32],
    most: float,
    ruler: Ruler,
    weight: NDArray[np.float64] | None,
    bench: _Bench,
) -> list[Row]:
    """Sketches of rows of finite values that fit the cache together."""
    shape, numbers = single.shape, bench.numbers
    work = bench.tally.bins.view(np.float32).reshape(shape)
    width = ends[1] - ends[0] + 1
    end = np.cumsum(width, dtype=np.int32)
    begin = end - width
    ruler.number(single, float(limits[0].min()), work, (ends[0] - begin)[:, None])
    together = bench.tally.counts(int(end[-1]))
    counts = [together[slice(*own)] for own in zip(begin.tolist(), end.tolist(), strict=True)]
    # Multiplying by powers of two and rounding to whole numbers lose nothing in float32 either.
    numbers[:] = _units(values, ruler, work if values.dtype == np.float32 else numbers)
    patients = shape[1]
    if weight is None:
        masses = patients, patients, patients
        totals, squares = sums(numbers, most), sums_of_squares(numbers, most)
    else:
        heaviest = float(weight.max()) + 1.0
        mass, about = sums(weight[None], heaviest), sums_of_squares(weight[None], heaviest)
        masses = patients, mass[0], about[0]
        shares = GRAIN * weight * numbers
        most_share = GRAIN * heaviest * most + 1.0
        totals = sums(np.rint(shares), most_share)
        squares = sums(np.rint(shares * numbers * UNIT), most_share * (UNIT * most + 1.0))
    return _listed(masses, totals, squares, limits, ends[0], counts)


def _units(
    values: NDArray[np.floating], ruler: Ruler, out: NDArray[np.floating] | None = None
) -> NDArray[np.floating]:
    """Values as whole numbers of units."""
    return np.rint(np.multiply(values, values.dtype.type(1.0 / ruler.unit), out=out), out=out)


def _listed(
    masses: tuple[int, int, int],
    totals: Iterable[int],
    squares: Iterable[int],
    limits: NDArray[np.float32],
    first: NDArray[np.int32],
    counts: Iterable[NDArray[np.int64]],
) -> list[Row]:
    """Rows of the same patients, whose number, mass and squared mass come first."""
    columns = totals, squares, *limits.tolist(), first.tolist(), counts
    return [Row(*masses, *row) for row in zip(*columns, strict=True)]


def packed(rows: Sequence[Row]) -> dict[str, NDArray]:
    """Rows as plain arrays, to be kept on disk.

    Returns:
        By name: numbers of the rows, shape (row,) or (row, 2) for sums, which are high * 2^62 +
        low; and `counts` of all rows one after the other, `width` of them each.
    """
    limbs = np.array([[*divmod(r.total, 2**62), *divmod(r.squares, 2**62)] for r in rows], np.int64)
    return {
        "patients": np.array([row.patients for row in rows], np.int64),
        "total": limbs[:, :2],
        "squares": limbs[:, 2:],
        "least": np.array([row.least for row in rows]),
        "greatest": np.array([row.greatest for row in rows]),
        "first": np.array([row.first for row in rows], np.int32),
        "width": np.array([row.counts.size for row in rows], np.int32),
        "counts": np.concatenate([np.zeros(0, np.int64), *(row.counts for row in rows)]),
    }


def unpacked(arrays: dict[str, NDArray]) -> list[Row]:
    """Rows again from what `packed` made of rows without weights."""
    ends = np.cumsum(arrays["width"], dtype=np.int64)
    rows = []
    for k, patients in enumerate(arrays["patients"].tolist()):
        total, squares = (
            int(high) * 2**62 + int(low) for high, low in (arrays["total"][k], arrays["squares"][k])
        )
        counts = arrays["counts"][ends[k] - arrays["width"][k] : ends[k]].astype(np.int64)
        ends_of = float(arrays["least"][k]), float(arrays["greatest"][k])
        first = int(arrays["first"][k])
        rows.append(Row(patients, patients, patients, total, squares, *ends_of, first, counts))
    return rows
