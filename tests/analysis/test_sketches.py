"""Sketches against the numbers themselves: stated errors, and no trace of order or parts."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ketjax.analysis import sketches
from ketjax.analysis.bins import Ruler
from ketjax.analysis.sketches import Sketch, packed, unpacked
from ketjax.analysis.tallies import Tally
from ketjax.analysis.whole_numbers import sums, sums_of_squares

SHARES = (0.0, 0.05, 0.25, 0.5, 0.9, 1.0)
NUMBERS = st.lists(
    st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, -0.0, 1e-30, 24.0, 24.0, 1e6]),
    min_size=1,
    max_size=60,
)


def pieces(sketch: Sketch) -> list[tuple]:
    """Everything in a sketch."""
    return [
        tuple(v.tolist() if isinstance(v, np.ndarray) else v for v in vars(row).values())
        for row in sketch.rows
    ]


@settings(max_examples=150, deadline=None)
@given(NUMBERS, st.sampled_from([0.01, 1.0, 30.0, 1e5]))
def test_quantiles_lie_within_the_stated_error(numbers: list[float], scale: float) -> None:
    values, ruler = np.array([numbers], np.float32), Ruler.of(scale)
    exact = np.quantile(values[0].astype(np.float64), SHARES)
    # Order statistics on both sides of a quantile may each be off by their own error.
    low = np.quantile(values[0].astype(np.float64), SHARES, method="lower")
    high = np.quantile(values[0].astype(np.float64), SHARES, method="higher")
    allowed = np.maximum(ruler.quantile_error(low), ruler.quantile_error(high))
    found = Sketch.of(values, ruler).quantiles(SHARES)[0]
    assert (np.abs(found - exact) <= allowed).all()
    assert found[0] == values.min() and found[-1] == values.max()


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.randoms(use_true_random=False), st.booleans())
def test_order_and_parts_leave_no_trace(numbers: list[float], random, weighted: bool) -> None:
    ruler, values = Ruler.of(30.0), np.array([numbers, numbers[::-1]], np.float32)
    weight = np.array([random.uniform(0.0, 4.0) for _ in numbers]) if weighted else None
    whole = Sketch.of(values, ruler, weight)
    order = random.sample(range(len(numbers)), len(numbers))
    cuts = sorted(random.randint(0, len(numbers)) for _ in range(3))
    parts = [
        Sketch.of(values[:, own], ruler, None if weight is None else weight[own])
        for own in np.split(np.array(order), cuts)
    ]
    random.shuffle(parts)
    merged = parts[0]
    for part in parts[1:]:
        merged.merge(part)
    assert pieces(merged) == pieces(whole)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=40))
def test_sums_of_whole_numbers_are_exact(numbers: list[int]) -> None:
    rows, most = np.array([numbers], np.float64), float(max(map(abs, numbers)) + 1)
    assert sums(rows, most) == [sum(numbers)]
    assert sums_of_squares(rows, most) == [sum(number**2 for number in numbers)]


def population(size: int = 3000) -> NDArray[np.float32]:
    random = np.random.default_rng(7)
    return (30.0 * np.exp(0.4 * random.standard_normal((4, size)))).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_are_those_of_the_rounded_numbers(dtype: str) -> None:
    values, ruler = population().astype(dtype), Ruler.of(30.0)
    sketch = Sketch.of(values, ruler)
    rounded = np.rint(values.astype(np.float64) / ruler.unit)
    for row, numbers in enumerate(rounded):
        whole = [int(number) for number in numbers]
        mean = Fraction(sum(whole), len(whole))
        about = sum(number**2 for number in whole) - mean * sum(whole)
        assert sketch.mean()[row] == pytest.approx(float(mean) * ruler.unit, rel=1e-15)
        spread = math.sqrt(about / (len(whole) - 1)) * ruler.unit
        assert sketch.deviation()[row] == pytest.approx(spread, rel=1e-14)
    exact = values.astype(np.float64)
    assert np.abs(sketch.mean() - exact.mean(axis=1)).max() <= ruler.unit / 2
    np.testing.assert_allclose(sketch.deviation(), exact.std(axis=1, ddof=1), rtol=1e-6)


def test_blocks_larger_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Sketch.of(population(), Ruler.of(30.0))
    monkeypatch.setattr(sketches, "PIECE", 700)
    assert pieces(Sketch.of(population(), Ruler.of(30.0))) == pieces(whole)


def test_rows_that_need_no_counting() -> None:
    """All values in one bin and one unit; float64 takes the way of the others."""
    ruler, random = Ruler.of(1.0), np.random.default_rng(5)
    near = random.uniform(-1e-7, 1e-7, (6, 500))
    near[0], near[4] = 0.0, random.uniform(-1.0, 2.0, 500)
    values = (near + np.array([0.0, 0.0, 1.0, -3.5, 0.0, 1e4])[:, None]).astype(np.float32)
    known = [Sketch.of(row[None].astype(np.float64), ruler) for row in values]
    for row, one in zip(values, known, strict=True):
        assert pieces(Sketch.of(row[None], ruler)) == pieces(one)
    assert pieces(Sketch.of(values, ruler)) == [row for one in known for row in pieces(one)]


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_tallies_count_as_numpy_does(dtype: str) -> None:
    random = np.random.default_rng(9)
    mass = np.ones(1000, np.int32) if dtype == "int32" else np.rint(random.uniform(0, 2**21, 1000))
    tally = Tally(mass)
    for width in (1, 7, 3, 5000, 40):
        tally.bins[:] = random.integers(0, width, 1000)
        known = np.bincount(tally.bins, mass, width)
        np.testing.assert_array_equal(tally.counts(width), known)


def test_weights() -> None:
    """Against numpy with the same weights; whole weights count patients."""
    values, ruler = population(), Ruler.of(30.0)
    weight = np.random.default_rng(3).exponential(size=values.shape[1])
    weight /= weight.mean()
    found, exact = Sketch.of(values, ruler, weight), values.astype(np.float64)
    share = {"weights": weight, "method": "inverted_cdf", "axis": 1}
    known = np.quantile(exact, [0.05, 0.5, 0.95], **share).T
    gap = np.abs(found.quantiles([0.05, 0.5, 0.95]) - known)
    assert (gap <= ruler.quantile_error(known) + np.finfo(float).eps).all()
    np.testing.assert_allclose(found.mean(), np.average(exact, axis=1, weights=weight), rtol=1e-6)
    number = weight.sum() ** 2 / (weight**2).sum()
    np.testing.assert_allclose(found.effective(), number, rtol=1e-6)
    mean = np.average(exact, axis=1, weights=weight, keepdims=True)
    variance = np.average((exact - mean) ** 2, axis=1, weights=weight)
    known = np.sqrt(variance * number / (number - 1))
    np.testing.assert_allclose(found.deviation(), known, rtol=1e-5)
    twice = Sketch.of(values[:, :5], ruler, np.full(5, 2.0))
    plain = Sketch.of(values[:, :5], ruler)
    np.testing.assert_allclose(twice.mean(), plain.mean(), rtol=1e-7)


def test_what_is_not_finite_is_left_out() -> None:
    values = np.array([[1.0, np.nan, 3.0, np.inf], [np.nan] * 4, [5.0] * 4], np.float32)
    sketch = Sketch.of(values, Ruler.of(1.0))
    assert sketch.patients().tolist() == [2, 0, 4]
    assert sketch.mean()[0] == 2.0 and np.isnan(sketch.mean()[1])
    assert np.isnan(sketch.quantiles([0.5])[1, 0]) and sketch.quantiles([0.5])[2, 0] == 5.0
    assert sketch.deviation()[2] == 0.0 and np.isnan(sketch.deviation()[1])


def test_sketches_come_back_from_arrays() -> None:
    sketch = Sketch.of(np.array([[-3.0, 4.5], [np.nan, np.nan]], np.float32), Ruler.of(1.0))
    again = Sketch(sketch.ruler, unpacked(packed(sketch.rows)))
    assert pieces(again) == pieces(sketch)


def test_different_readouts_are_not_merged() -> None:
    one, other = (Sketch.of(np.ones((1, 2), np.float32), Ruler.of(s)) for s in (1.0, 30.0))
    with pytest.raises(ValueError, match="different readouts"):
        one.merge(other)
