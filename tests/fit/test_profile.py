"""Profiles against closed forms."""

import numpy as np
import pytest
from fit_problems import LINEAR, Problem, linear, number
from scipy.optimize import brentq

from ketjax.errors import StudyError
from ketjax.fit.profile import RISE, as_dataset, profile


def test_linear_problem_has_the_interval_of_its_standard_error():
    free, problem = linear()
    found = profile(problem, free, LINEAR.mean, ["a", "c"])
    errors = np.sqrt(2 * RISE * np.diag(LINEAR.covariance))
    for k, one in zip((0, 2), found, strict=True):
        assert one.low == pytest.approx(LINEAR.mean[k] - errors[k], rel=1e-6)
        assert one.high == pytest.approx(LINEAR.mean[k] + errors[k], rel=1e-6)
        assert not one.open_low and not one.open_high
        rise = 0.5 * (one.values - LINEAR.mean[k]) ** 2 / LINEAR.covariance[k, k]
        np.testing.assert_allclose(one.objective - one.objective.min(), rise, atol=1e-6)
    assert problem.evaluations < 80


def test_likelihood_that_is_no_parabola():
    # One observation of a rate: deviance of a Poisson count of 4, as a signed root.
    count = 4.0

    def root(x: np.ndarray) -> np.ndarray:
        rate = x[0]
        half = rate - count - count * np.log(rate / count)
        return np.sign(rate - count) * np.sqrt(2 * max(half, 0.0)) + 0 * x

    free = [number("rate", 4.0, low=0.0, scale="log", prior=1e4)]
    problem = Problem(free, lambda x: root(x)[0] if abs(x[0] - count) > 1e-9 else 0.0)
    (found,) = profile(problem, free, problem.theta_of([4.0 + 1e-7]), ["rate"])

    def rise(rate: float) -> float:
        return rate - count - count * np.log(rate / count) - RISE

    assert found.low == pytest.approx(brentq(rise, 0.1, 4), rel=2e-3)
    assert found.high == pytest.approx(brentq(rise, 4, 20), rel=2e-3)


def test_others_make_up_along_a_curved_ridge():
    # Only a*b is seen: the prior of the one holds the other.
    free = [number(name, 1.0, low=0.0, scale="log", prior=0.5) for name in "ab"]
    problem = Problem(free, lambda x: 100 * (np.log(x[0] * x[1]) - np.log(2.0)))
    each = np.sqrt(2.0)
    (found,) = profile(problem, free, problem.theta_of([each, each]), ["a"])
    # log a + log b = log 2 all but exactly: SD of log a is 0.5/sqrt(2).
    reach = np.sqrt(2 * RISE) * 0.5 / np.sqrt(2)
    assert np.log(found.low / each) == pytest.approx(-reach, rel=5e-3)
    assert np.log(found.high / each) == pytest.approx(reach, rel=5e-3)
    products = np.exp(found.theta.sum(axis=1))
    np.testing.assert_allclose(products, 2.0, rtol=1e-2)
    assert found.data.max() < 0.02


def test_side_without_an_end_is_open_and_keeps_to_the_bound():
    free = [number("a", 0.0, low=-1.0, high=1.0, prior=1.0), number("b", 0.0)]
    problem = Problem(free, lambda x: 3 * np.maximum(x[0], 0.0) * np.ones(1) + 0 * x[1])
    (found,) = profile(problem, free, problem.theta_of([-1e-3, 0.0]), ["a"])
    assert found.open_low and not found.open_high
    assert found.low == -1.0
    assert found.high == pytest.approx(np.sqrt(2 * RISE / 10), rel=1e-2)
    assert np.all(found.values > -1) and np.all(np.diff(found.values) > 0)
    assert "open to the left" in found.text


def test_lower_place_is_told():
    # Two valleys; the fit ended in the higher one.
    free = [number("a", 0.0, prior=2.0)]
    problem = Problem(free, lambda x: 0.6 * (x - 2) * (x + 2))
    told: list[str] = []
    (found,) = profile(problem, free, np.array([0.5]), ["a"], tell=told.append)
    assert found.objective.min() < problem.value(np.array([0.5]))
    assert any("lower by" in line for line in told)


def test_unknown_name_is_refused_with_the_nearest():
    free, problem = linear()
    with pytest.raises(StudyError, match="unknown free number"):
        profile(problem, free, LINEAR.mean, ["e"])


def test_dataset_pads_the_shorter_profile():
    free, problem = linear()
    found = profile(problem, free, LINEAR.mean, ["a", "d"])
    dataset = as_dataset(found)
    assert dataset["value"].dims == ("number", "point")
    assert float(dataset["rise"].min()) == 0.0
    assert dataset.attrs["rise_of_interval"] == pytest.approx(1.9207, abs=1e-4)
