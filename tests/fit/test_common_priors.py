"""Numbers whose class has a value in common: against the normal law that they have together."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from fit_problems import Problem, number
from scipy.linalg import eigh
from scipy.stats import multivariate_normal

from ketjax.fit.identifiability import spectrum
from ketjax.fit.posterior import posterior
from ketjax.fit.settings import SharedPrior, with_common
from ketjax.fit.uncertainty import (
    departures,
    in_units,
    information,
    prior_interval,
    uncertainty,
)

CLASS = {"pair": SharedPrior(of=("a", "b"), spread=0.5, common=1.0)}
FREE = with_common([number("a", 0.0), number("b", 1.0), number("c", 2.0, prior=3.0)], CLASS)
CENTRE = np.array([0.5, 0.5, 2.0])
PRIOR = np.array([[1.25, 1.0, 0.0], [1.0, 1.25, 0.0], [0.0, 0.0, 9.0]])
DESIGN = np.array([[2.0, 0.0, 0.3], [0.4, -0.2, 0.5], [1.0, 1.0, 0.1], [0.0, 0.0, 0.4]])
SEEN = np.array([3.0, -0.5, 2.5, 1.5])
STEPS = 1e-6 * np.eye(2)
COVARIANCE = np.linalg.inv(DESIGN.T @ DESIGN + np.linalg.inv(PRIOR))
MEAN = COVARIANCE @ (DESIGN.T @ SEEN + np.linalg.solve(PRIOR, CENTRE))


class Together(Problem):
    """Linear data, and priors that are correlated."""

    def __init__(self) -> None:
        """Keep the problem."""
        super().__init__(FREE, lambda x: DESIGN @ x - SEEN)
        self._matrix = np.linalg.inv(np.linalg.cholesky(PRIOR))

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Of the data and, last, of the priors."""
        return np.concatenate([DESIGN @ theta - SEEN, self._matrix @ (theta - CENTRE)])

    def residuals_and_jacobian(self, theta, width: float = 0.0) -> tuple[Any, Any]:
        """As the protocol has it, exact."""
        return self.residuals(np.asarray(theta)), np.vstack([DESIGN, self._matrix])


def test_members_know_the_prior_that_their_class_gives_them():
    law = (0.5, pytest.approx(np.sqrt(1.25)))
    assert FREE[0].law == FREE[1].law == law
    assert FREE[2].law == (2.0, 3.0)
    np.testing.assert_allclose(departures(FREE, CENTRE + np.sqrt(np.diag(PRIOR))), np.ones(3))
    np.testing.assert_allclose(prior_interval(FREE)[1], np.full(3, 1.96), atol=1e-3)


def test_errors_are_those_of_the_normal_law():
    found = information(Together(), MEAN)
    np.testing.assert_allclose(found.gradient, 0, atol=1e-9)
    np.testing.assert_allclose(found.covariance, COVARIANCE, rtol=1e-9)
    known = uncertainty(FREE, found)
    np.testing.assert_allclose(known["standard_error"], np.sqrt(np.diag(COVARIANCE)), rtol=1e-9)
    share = np.diag(COVARIANCE) / np.diag(PRIOR)
    np.testing.assert_allclose(known["prior_share"], share, rtol=1e-9)
    # Given the others, the prior of a member is narrower than by itself.
    conditional = 1 / np.diag(np.linalg.inv(PRIOR))
    alone = np.diag(DESIGN.T @ DESIGN) * conditional
    np.testing.assert_allclose(known["data_alone"], alone, rtol=1e-9)


def test_eigenvalues_are_those_of_data_against_priors():
    found = spectrum(information(Together(), MEAN))
    values, vectors = eigh(DESIGN.T @ DESIGN, np.linalg.inv(PRIOR))
    np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-9)
    moves = vectors.T[::-1] / np.sqrt(np.diag(PRIOR))  # in SDs of the priors
    moves /= np.linalg.norm(moves, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(np.sum(moves * found.vectors, axis=1)), 1, rtol=1e-9)


def test_draws_need_no_weights():
    drawn = posterior(Together(), FREE, MEAN, 2000)
    assert drawn.effective == pytest.approx(2000, rel=1e-6)
    errors = np.sqrt(np.diag(COVARIANCE))
    assert np.all(np.abs(drawn.mean() - MEAN) < 4 * errors / np.sqrt(2000))
    scaled = np.cov(drawn.numbers.T) / np.outer(errors, errors)
    np.testing.assert_allclose(scaled, COVARIANCE / np.outer(errors, errors), atol=0.1)


def test_bounds_cut_the_law_of_a_class_off():
    free = [dataclasses.replace(one, low=-0.5, high=1.2) for one in FREE[:2]]
    pair: Any = PRIOR[:2, :2]
    law = multivariate_normal(CENTRE[:2], pair)
    matrix = np.linalg.inv(np.linalg.cholesky(pair))

    class Cut(Problem):
        def residuals(self, theta: np.ndarray) -> np.ndarray:
            numbers = in_units(free, theta)
            return np.concatenate([[2.0 * (numbers[0] - 1.0)], matrix @ (numbers - CENTRE[:2])])

        def residuals_and_jacobian(self, theta, width: float = 0.0) -> tuple[Any, Any]:
            ends = [(self.residuals(theta + s), self.residuals(theta - s)) for s in STEPS]
            return self.residuals(theta), np.array([(a - b) / 2e-6 for a, b in ends]).T

    problem = Cut(free, lambda x: x)
    drawn = posterior(problem, free, problem.theta_of([0.8, 0.6]), 3000)
    x, y = np.meshgrid(np.linspace(-0.5, 1.2, 400), np.linspace(-0.5, 1.2, 400), indexing="ij")
    density = law.pdf(np.stack([x, y], -1)) * np.exp(-2.0 * (x - 1.0) ** 2)
    expected = [(density * f).sum() / density.sum() for f in (x, y)]
    assert drawn.effective > 500  # the proposal knows the bounds of each number alone
    np.testing.assert_allclose(drawn.mean(), expected, atol=0.04)
