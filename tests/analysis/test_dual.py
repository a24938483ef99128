"""Weights of least relative entropy: closed forms, another optimiser, other chunks."""

import dask.array as da
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, ndtri

from ketjax.analysis.weights import Unreachable, fit, survey


def laid(*rows: np.ndarray, chunk: int = 7_000, eligible: np.ndarray | None = None) -> da.Array:
    """Features as the dual takes them."""
    use = np.ones(rows[0].size) if eligible is None else eligible
    whole = np.vstack([use, *rows])
    parts = [whole[:, start : start + chunk] for start in range(0, whole.shape[1], chunk)]
    return da.concatenate([da.from_array(part) for part in parts], axis=1)


def normal(number: int = 200_000) -> np.ndarray:
    """Quantiles of the standard normal distribution: a sample without chance."""
    return ndtri((np.arange(number) + 0.5) / number)


def test_a_mean_tilts_a_normal_feature() -> None:
    """Shift s: multiplier s / sd^2, the same SD, ESS n exp(-s^2/sd^2), entropy s^2 / (2 sd^2)."""
    sd, shift = 3.0, 1.5
    x = 40.0 + sd * normal()
    features = laid(x, (x - 41.5) ** 2)
    found = fit(features, [40.0 + shift, 0.0], fitted=[True, False])
    assert found.weighted[0] == pytest.approx(41.5, abs=1e-8)
    assert np.sqrt(found.weighted[1]) == pytest.approx(sd, rel=1e-3)  # the sample has finite tails
    assert found.multipliers == pytest.approx([shift / sd**2, 0.0], rel=1e-3)
    assert found.effective == pytest.approx(x.size * np.exp(-((shift / sd) ** 2)), rel=2e-3)
    assert found.entropy == pytest.approx(shift**2 / (2 * sd**2), rel=1e-3)
    assert found.price[0] == pytest.approx(found.entropy, rel=1e-3)
    weights = found.weights(features.compute())
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert weights @ x == pytest.approx(41.5, rel=1e-12)
    assert found.largest == pytest.approx(weights.max(), rel=1e-12)
    assert found.effective == pytest.approx(1 / (weights @ weights), rel=1e-12)


def test_a_share_splits_the_patients_in_two() -> None:
    """Each side has equal weights: entropy is that of two coins."""
    x = (np.arange(1_000) < 200).astype(float)
    found = fit(laid(x), [0.5])
    entropy = 0.5 * np.log(0.5 / 0.2) + 0.5 * np.log(0.5 / 0.8)
    assert found.entropy == pytest.approx(entropy, rel=1e-9)
    assert found.multipliers[0] == pytest.approx(np.log(0.5 / 0.2 * 0.8 / 0.5), rel=1e-9)
    assert found.largest == pytest.approx(0.5 / 200, rel=1e-9)


def test_an_error_draws_the_target_towards_the_patients() -> None:
    """Normal feature and Gaussian target: the mean of both by their precision."""
    x = 2.0 * normal()
    found = fit(laid(x), [1.0], errors=[1.0])
    assert found.weighted[0] == pytest.approx(4.0 / (4.0 + 1.0), rel=1e-3)
    assert found.multipliers[0] == pytest.approx((1.0 - found.weighted[0]) / 1.0**2, rel=1e-9)


def cloud(number: int = 3_000) -> np.ndarray:
    """Skewed, dependent and bounded features."""
    z = np.random.default_rng(3).standard_normal((3, number))
    return np.stack([np.exp(0.5 * z[0]), 100 * z[1] + 40 * z[0], (z[2] + z[0] < 0.3).astype(float)])


VALUES, ERRORS = np.array([1.4, 20.0, 0.5]), np.array([0.0, 10.0, 0.0])


def test_the_multipliers_are_those_of_another_optimiser() -> None:
    x = cloud()
    found = fit(laid(*x), VALUES, ERRORS)

    def dual(standard: np.ndarray) -> float:
        multipliers = standard / x.std(axis=1)
        soft = 0.5 * ((ERRORS * multipliers) ** 2).sum()
        return logsumexp(multipliers @ (x - VALUES[:, None])) + soft

    other = minimize(dual, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    assert found.multipliers == pytest.approx(other.x / x.std(axis=1), rel=1e-5)


def test_chunks_and_their_order_change_rounding_alone() -> None:
    x = cloud()
    one = fit(laid(*x, chunk=3_000), VALUES, ERRORS)
    for chunk in (101, 999):
        many = fit(laid(*x, chunk=chunk), VALUES, ERRORS)
        assert many.multipliers == pytest.approx(one.multipliers, rel=1e-9)
        assert many.effective == pytest.approx(one.effective, rel=1e-9)
    again = fit(laid(*x, chunk=101), VALUES, ERRORS)
    assert (again.slope == fit(laid(*x, chunk=101), VALUES, ERRORS).slope).all()


def test_the_price_is_what_giving_a_target_up_saves() -> None:
    """To second order, so the error falls with the shift; or exactly."""
    x = cloud()
    for shift, error in ((1.0, 0.15), (0.1, 0.015)):
        values = x.mean(axis=1) + shift * np.array([0.05, -8.0, 0.03])
        whole = fit(laid(*x), values)
        exact = fit(laid(*x), values, exact_prices=True)
        for k in range(3):
            rest = fit(laid(*x), values, fitted=[other != k for other in range(3)])
            assert exact.price[k] == pytest.approx(whole.entropy - rest.entropy, rel=1e-6)
            assert whole.price[k] == pytest.approx(exact.price[k], rel=error)


def test_who_is_held_out_does_not_count() -> None:
    x = cloud()
    fitted = [True, True, False]
    found = fit(laid(*x), VALUES, fitted=fitted)
    assert found.multipliers == pytest.approx([*fit(laid(*x[:2]), VALUES[:2]).multipliers, 0.0])
    assert found.weighted[2] != pytest.approx(VALUES[2], abs=1e-3)
    assert found.price[2] == 0.0


def test_patients_that_failed_have_no_weight() -> None:
    x = cloud(500)
    use = (np.arange(500) % 7 > 0).astype(float)
    x[:, use == 0] = np.nan
    features = laid(*x, chunk=90, eligible=use)
    seen = survey(features)
    assert seen.patients == use.sum() and not seen.gaps.any()
    assert seen.deviation == pytest.approx(np.nanstd(x, axis=1), rel=1e-12)
    found = fit(features, VALUES, ERRORS)
    kept = fit(laid(*x[:, use > 0]), VALUES, ERRORS)
    assert found.multipliers == pytest.approx(kept.multipliers, rel=1e-9)
    weights = found.weights(features.compute())
    assert (weights[use == 0] == 0).all() and weights.sum() == pytest.approx(1.0)


def test_targets_that_no_weights_meet_are_named() -> None:
    x = np.linspace(0.0, 1.0, 501)
    rows = (x, (x - 0.9) ** 2, np.sin(9 * x))
    with pytest.raises(Unreachable) as caught:  # near 0.9 on average, far from it one by one
        fit(laid(*rows), [0.9, 0.4, 0.8])
    assert set(caught.value.places) == {0, 1}
    without = fit(laid(*rows), [0.9, 0.4, 0.8], fitted=[False, True, False]).weighted[0]
    assert caught.value.without == pytest.approx(without, abs=1e-6)
    soft = fit(laid(*rows), [0.9, 0.4, 0.8], errors=[0.05, 0.0, 0.0])
    assert soft.weighted[1] == pytest.approx(0.4)


def test_equal_targets_share_their_multiplier() -> None:
    x = cloud()
    found = fit(laid(x[1], x[1]), [20.0, 20.0])
    single = fit(laid(x[1]), [20.0])
    assert found.multipliers.sum() == pytest.approx(single.multipliers[0], rel=1e-6)
    assert found.price == pytest.approx([0.0, 0.0], abs=1e-6)


def test_rejection_keeps_the_share_it_says() -> None:
    x = normal(20_000)
    features = laid(x)
    found = fit(features, [0.3])
    weights = found.weights(features.compute())
    kept = np.random.default_rng(1).uniform(size=x.size) < weights / weights.max()
    assert kept.mean() == pytest.approx(found.accepted, abs=4 * np.sqrt(found.accepted / x.size))
    assert x[kept].mean() == pytest.approx(0.3, abs=4 / np.sqrt(kept.sum()))
    assert found.accepted * x.size < found.effective  # weights waste less
