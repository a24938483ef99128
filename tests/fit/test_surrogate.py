"""The surrogate against polynomials, its chains and draws against known densities."""

import dataclasses

import numpy as np
import pytest
from fit_problems import Problem, number

from ketjax.fit.posterior import posterior
from ketjax.fit.surrogate import Points, Surrogate, fitted, walk


def polynomial(residuals: int, free: int) -> Surrogate:
    random = np.random.default_rng(3)
    curvature = 0.3 * random.normal(size=(residuals, free, free))
    return Surrogate(
        random.normal(size=residuals),
        random.normal(size=(residuals, free)),
        curvature + np.swapaxes(curvature, 1, 2),
        0.4 * random.normal(size=(residuals, free)),
    )


def test_slopes_of_a_surrogate_are_those_of_its_residuals():
    surrogate, v, step = polynomial(3, 4), np.random.default_rng(1).normal(size=(2, 4)), 1e-5
    _, slopes = surrogate(v)
    for k, one in enumerate(np.eye(4)):
        rise = surrogate(v + step * one)[0] - surrogate(v - step * one)[0]
        np.testing.assert_allclose(slopes[..., k], rise / (2 * step), rtol=1e-7)


def test_a_polynomial_is_found_again():
    truth = polynomial(3, 4)
    v = np.random.default_rng(2).normal(size=(10, 4))
    found, error = fitted(Points(v, *truth(v)))
    for field in dataclasses.fields(Surrogate):
        ours, theirs = getattr(found, field.name), getattr(truth, field.name)
        np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert error < 0.05


def test_one_point_gives_the_linear_surrogate():
    truth = polynomial(2, 3)
    found, error = fitted(Points(np.zeros((1, 3)), *truth(np.zeros((1, 3)))))
    np.testing.assert_allclose(found.slopes, truth.slopes, rtol=1e-6)
    assert not found.curvature.any() and not found.cubic.any()
    assert error == np.inf


def test_chains_end_as_a_normal_law_has_it():
    mean, root = np.array([0.5, -1.0]), np.array([[1.0, 0.0], [0.8, 0.5]])
    precision = np.linalg.inv(root @ root.T)

    def density(u):
        pull = (u - mean) @ precision
        return -0.5 * np.sum((u - mean) * pull, axis=1), -pull

    start = np.full((2000, 2), 3.0)
    ends = walk(density, start, np.random.default_rng(4))
    np.testing.assert_allclose(ends.mean(axis=0), mean, atol=4 / np.sqrt(2000))
    np.testing.assert_allclose(np.cov(ends.T), root @ root.T, atol=0.12)
    few = walk(density, start[:5], np.random.default_rng(4))
    np.testing.assert_allclose(few, ends[:5], rtol=1e-9)


def test_banana_needs_no_weights_with_a_surrogate():
    free = [number("x", 0.0), number("y", 0.0, prior=3.0)]
    problem = Problem(free, lambda x: 2.0 * (x[1] - x[0] ** 2))
    drawn = posterior(problem, free, np.zeros(2), 1000, points=8)
    assert drawn.effective > 950
    assert drawn.surrogate_error < 0.1
    x, y = np.meshgrid(np.linspace(-5, 5, 801), np.linspace(-12, 20, 1601), indexing="ij")
    density = np.exp(-0.5 * (4 * (y - x**2) ** 2 + x**2 + y**2 / 9))
    expected = [(density * f).sum() / density.sum() for f in (x**2, y)]
    found = [drawn.weights @ f for f in (drawn.numbers[:, 0] ** 2, drawn.numbers[:, 1])]
    np.testing.assert_allclose(found, expected, rtol=0.15)


def test_surrogate_raises_the_number_of_draws_that_count():
    free = [number(name, 0.3, low=-1.5, high=2.5, prior=0.8) for name in "abcdefgh"]

    def residuals(x):
        return np.append(2 * np.exp(0.6 * x) - 2.4, 0.4 * x.sum() + 0.1 * x.sum() ** 2 - 1)

    problem = Problem(free, residuals)
    plain = posterior(problem, free, problem.start(), 400)
    better = posterior(problem, free, problem.start(), 400, points=8)
    assert better.effective > 250
    assert better.effective > 1.5 * plain.effective
    reference = posterior(problem, free, problem.start(), 6000, degrees=8, inflation=1.2)
    assert reference.effective > 400
    error = np.sqrt(
        np.var(better.numbers, axis=0) * (1 / better.effective + 1 / reference.effective)
    )
    assert np.all(np.abs(better.mean() - reference.mean()) < 4 * error)


def test_draws_keep_within_the_limits_of_a_class():
    free = [number(name, 0.0, low=-0.6, high=0.9) for name in "ab"]
    free = [dataclasses.replace(one, common=(0.0, 1.0)) for one in free]
    problem = Problem(free, lambda x: 0.5 * (x[:1] - 0.2))
    drawn = posterior(problem, free, problem.theta_of([0.1, 0.1]), 300, points=4)
    assert drawn.failed == 0
    assert -0.6 < drawn.numbers.min() and drawn.numbers.max() < 0.9


def test_points_that_cannot_be_simulated_are_left_out():
    free = [number("a", 0.0)]
    problem = Problem(free, lambda x: np.where(x > 1, np.nan, 1.0) * x)
    drawn = posterior(problem, free, np.zeros(1), 100, points=10)
    assert 0 < drawn.failed < 50


def test_nothing_that_can_be_simulated_is_a_message():
    free = [number("a", 0.0)]
    problem = Problem(free, lambda x: x * np.nan)
    with pytest.raises(ValueError):
        posterior(problem, free, np.zeros(1), 10, points=2)
