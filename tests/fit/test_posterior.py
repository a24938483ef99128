"""Draws against closed forms: normal, cut off, bent; and smoothed weights against a known tail."""

import numpy as np
import pytest
from fit_problems import LINEAR, Problem, linear, number
from scipy.stats import genpareto, truncnorm

from ketjax.fit import pareto
from ketjax.fit.posterior import PriorNumbers, posterior


def test_linear_problem_needs_no_correction():
    free, problem = linear()
    drawn = posterior(problem, free, LINEAR.mean, 2000)
    assert drawn.effective == pytest.approx(2000, rel=1e-9)
    assert drawn.shape == -np.inf
    assert not drawn.warnings
    errors = np.sqrt(np.diag(LINEAR.covariance))
    assert np.all(np.abs(drawn.mean() - LINEAR.mean) < 4 * errors / np.sqrt(2000))
    covariance = np.cov(drawn.numbers.T)
    scaled = covariance / np.outer(errors, errors)
    expected = LINEAR.covariance / np.outer(errors, errors)
    np.testing.assert_allclose(scaled, expected, atol=0.1)


def test_what_the_data_do_not_tell_has_the_law_of_the_prior_within_its_bounds():
    free = [number("known", 1.0), number("unknown", 0.0, low=-0.5, high=2.0)]
    problem = Problem(free, lambda x: 5 * (x[0] - 1.5))
    drawn = posterior(problem, free, problem.theta_of([1.4, 0.0]), 2000)
    assert drawn.effective > 1990
    law = truncnorm(-0.5, 2.0)
    levels = (0.025, 0.25, 0.5, 0.75, 0.975)
    np.testing.assert_allclose(drawn.quantiles(levels)[:, 1], law.ppf(levels), atol=0.08)
    assert -0.5 < drawn.numbers[:, 1].min() and drawn.numbers[:, 1].max() < 2.0
    assert drawn.mean()[0] == pytest.approx((25 * 1.5 + 1.0) / 26, abs=0.02)


def test_optimum_on_a_bound_still_draws_within_it():
    # The data want 3, the bound is 1: what is left of their law piles up below it.
    free = [number("held", 0.0, low=-1.0, high=1.0, prior=2.0)]
    problem = Problem(free, lambda x: 2 * (x - 3))
    drawn = posterior(problem, free, problem.theta_of([1 - 1e-6]), 2000)
    centre, spread = 12 / (4 + 0.25), np.sqrt(1 / 4.25)
    law = truncnorm((-1 - centre * 1) / spread, (1 - centre) / spread, centre, spread)
    levels = (0.05, 0.5, 0.95)
    np.testing.assert_allclose(drawn.quantiles(levels)[:, 0], law.ppf(levels), atol=0.04)
    assert drawn.numbers.max() <= 1.0


def test_banana_is_corrected_by_weights():
    free = [number("x", 0.0), number("y", 0.0, prior=3.0)]
    problem = Problem(free, lambda x: 2.0 * (x[1] - x[0] ** 2))
    drawn = posterior(problem, free, np.zeros(2), 3000, degrees=5, inflation=1.6)
    # By quadrature on a grid.
    x, y = np.meshgrid(np.linspace(-5, 5, 801), np.linspace(-12, 20, 1601), indexing="ij")
    density = np.exp(-0.5 * (4 * (y - x**2) ** 2 + x**2 + y**2 / 9))
    expected = [(density * f).sum() / density.sum() for f in (x**2, y)]
    gx, gy = drawn.numbers.T
    found = [drawn.weights @ f for f in (gx**2, gy)]
    np.testing.assert_allclose(found, expected, rtol=0.07)
    unweighted = np.mean(gy)
    assert abs(unweighted - expected[1]) > 0.3  # the proposal alone is wrong
    assert drawn.effective < 2500


def test_draws_are_reproducible_and_a_larger_number_begins_with_them():
    free, problem = linear()
    one, same = (posterior(problem, free, LINEAR.mean, 20, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.numbers, same.numbers)
    more = posterior(problem, free, LINEAR.mean, 30, seed=3)
    np.testing.assert_allclose(more.numbers[:20], one.numbers, rtol=1e-12)
    other = posterior(problem, free, LINEAR.mean, 20, seed=4)
    assert np.all(other.numbers != one.numbers)
    np.testing.assert_array_equal(one.resampled(50, 2), same.resampled(50, 2))


def test_draws_that_fail_have_no_weight_and_are_told():
    free = [number("a", 0.0)]
    problem = Problem(free, lambda x: np.where(x > 1, np.nan, 0.0) * x)
    drawn = posterior(problem, free, np.zeros(1), 400)
    assert 0 < drawn.failed < 120
    assert not drawn.weights[drawn.numbers[:, 0] > 1].any()
    assert any("could not be simulated" in text for text in drawn.warnings)


def test_few_effective_draws_are_told():
    free = [number(name, 0.0) for name in "abc"]
    problem = Problem(free, lambda x: 3 * x**3 - 1)
    drawn = posterior(problem, free, np.full(3, 0.6), 100)
    assert drawn.effective < 100
    assert any("effective draws" in text for text in drawn.warnings)


@pytest.mark.parametrize("scale", ["identity", "log", "logit", "atanh"])
def test_prior_numbers_are_their_own_inverse(scale: str):
    ends = {"identity": (-3, 5), "log": (0.1, 9), "logit": (0.01, 0.9), "atanh": (-0.8, 0.9)}
    low, high = ends[scale]
    free = [number("a", 0.4, low=low, high=high, scale=scale, prior=0.7)]
    prior = PriorNumbers(free)
    z = np.linspace(-3.5, 3.5, 29)[:, None]
    np.testing.assert_allclose(prior.of_theta(prior.to_theta(z)), z, atol=1e-6)
    at, step = np.array([0.7]), 1e-5
    slope = (prior.to_theta(at + step) - prior.to_theta(at - step)) / (2 * step)
    np.testing.assert_allclose(prior.slopes(at), slope, rtol=1e-6)


@pytest.mark.parametrize("rate", [1.25, 1.5, 2.0, 4.0])
def test_shape_of_a_known_tail(rate: float):
    # Weights of an exponential law proposed by a faster one: a Pareto tail of shape 1 - 1/rate.
    shapes, means = [], []
    for seed in range(12):
        x = np.random.default_rng(seed).exponential(1 / rate, 4000)
        weights, shape = pareto.smooth((rate - 1) * x)
        shapes.append(shape)
        means.append(weights @ x)
    assert np.mean(shapes) == pytest.approx(1 - 1 / rate, abs=0.06)
    if rate <= 2:
        assert np.mean(means) == pytest.approx(1.0, abs=0.06)
    assert pareto.trusted(float(np.mean(shapes)), 4000) == (rate < 3)


@pytest.mark.parametrize("shape", [-0.2, 0.3, 0.8])
def test_fitted_tail_is_that_of_scipy(shape: float):
    excess = np.sort(genpareto.rvs(shape, scale=2.5, size=5000, random_state=1))
    found, scale = pareto.fit_tail(excess)
    likely, _, size = genpareto.fit(excess, floc=0)
    assert found == pytest.approx(likely, abs=0.01)
    assert scale == pytest.approx(size, rel=0.02)


def test_equal_weights_are_left_alone():
    weights, shape = pareto.smooth(np.full(10, -700.0))
    np.testing.assert_allclose(weights, 0.1)
    assert shape == -np.inf
    assert pareto.effective(weights) == pytest.approx(10)


def test_weights_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="no draw"):
        pareto.smooth([-np.inf, -np.inf])
    with pytest.raises(ValueError, match="finite"):
        pareto.smooth([0.0, np.nan])


def test_systematic_resampling_rounds_up_or_down():
    weights = np.random.default_rng(0).dirichlet(np.ones(30))
    weights[[0, 7, 29]] = 0.0
    weights /= weights.sum()
    counts = np.bincount(pareto.resample(weights, 100, 5), minlength=30)
    assert counts.sum() == 100
    assert np.all(np.abs(counts - 100 * weights) < 1)
    assert not counts[[0, 7, 29]].any()
