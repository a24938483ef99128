"""Information, intervals and directions against closed forms."""

import dataclasses

import numpy as np
import pytest
from fit_problems import LINEAR, Problem, linear, number

from ketjax.fit.identifiability import spectrum
from ketjax.fit.uncertainty import (
    INTERVAL,
    departures,
    hessian,
    information,
    prior_interval,
    uncertainty,
)


def test_linear_problem_has_the_closed_form_posterior():
    free, problem = linear()
    optimum = LINEAR.mean
    found = information(problem, optimum)
    np.testing.assert_allclose(found.gradient, 0.0, atol=1e-10)
    np.testing.assert_allclose(found.covariance, LINEAR.covariance, rtol=1e-10)
    np.testing.assert_allclose(found.prior, np.diag(1 / LINEAR.priors**2), rtol=1e-12)
    known = uncertainty(free, found)
    errors = np.sqrt(np.diag(LINEAR.covariance))
    np.testing.assert_allclose(known["standard_error"], errors, rtol=1e-10)
    np.testing.assert_allclose(known["high"], optimum + INTERVAL * errors, rtol=1e-9)
    correlation = LINEAR.covariance / np.outer(errors, errors)
    np.testing.assert_allclose(known["correlation"], correlation, rtol=1e-9)
    np.testing.assert_allclose(known["prior_share"], (errors / LINEAR.priors) ** 2, rtol=1e-9)


def test_hessian_of_a_linear_problem_is_its_information():
    _, problem = linear()
    expected = np.linalg.inv(LINEAR.covariance)
    np.testing.assert_allclose(hessian(problem, LINEAR.mean), expected, rtol=1e-7)


def test_delta_method_and_interval_within_bounds():
    free = [number("share", 0.3, low=0.0, high=0.4, scale="logit", prior=1.0)]
    problem = Problem(free, lambda x: 100 * (x - 0.39))
    theta = problem.theta_of([0.39])
    known = uncertainty(free, information(problem, theta))
    assert 0.0 < float(known["low"][0]) < 0.39 < float(known["high"][0]) < 0.4
    error = float(known["theta_error"][0])
    slope = (0.39 - 0.0) * (0.4 - 0.39) / 0.4  # of a logit between 0 and 0.4
    assert float(known["standard_error"][0]) == pytest.approx(slope * error, rel=1e-6)
    assert not bool(known["at_bound"][0])
    assert bool(uncertainty(free, information(problem, problem.theta_of([0.3995])))["at_bound"][0])


def test_prior_interval_is_cut_off_at_the_bounds():
    free = [number("a", 1.0, low=0.0, high=np.inf, scale="log", prior=0.5), number("b", 0.0)]
    free.append(number("c", 0.0, low=-1.0, high=1.0, prior=1.0))
    low, high = prior_interval(free)
    np.testing.assert_allclose([low[:2], high[:2]], [[-INTERVAL] * 2, [INTERVAL] * 2], rtol=1e-6)
    assert -1 < low[2] < -0.9 and 0.9 < high[2] < 1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_eigenvalues_count_the_data_in_priors_whatever_the_unit(scale: float):
    # Three times as precise as the prior of a, as precise as that of b, and nothing on c.
    free = [number(name, 0.0, prior=scale) for name in "abc"]
    problem = Problem(free, lambda x: np.array([3.0, 1.0]) * x[:2] / scale)
    found = spectrum(information(problem, np.zeros(3)))
    np.testing.assert_allclose(found.eigenvalues, [9.0, 1.0, 0.0], atol=1e-9)
    assert found.rank == 2
    assert [one.kind for one in found.directions] == ["sloppy", "sloppy", "flat"]
    assert found.directions[2].participants == (("c", pytest.approx(1.0), 1),)
    assert found.directions[2].structural


def test_transform_does_not_change_the_spectrum():
    def asked(x: np.ndarray) -> np.ndarray:
        return np.array([4.0 * np.log(x[0]) + x[1], x[1]])

    wide = [number("a", 2.0, low=0.0, scale="log", prior=0.5), number("b", 0.1)]
    narrow = [dataclasses.replace(wide[0], low=1.0, high=9.0), wide[1]]
    spectra = []
    for free in (wide, narrow):
        problem = Problem(free, asked)
        spectra.append(spectrum(information(problem, problem.theta_of([3.0, 0.2]))).eigenvalues)
    np.testing.assert_allclose(*spectra, rtol=1e-5)


def test_product_of_two_numbers_is_one_flat_direction_in_words():
    free = [number(name, 1.0, low=0.0, scale="log", prior=0.5) for name in ("gain", "scale")]
    free.append(number("level", 0.0))
    problem = Problem(free, lambda x: np.array([10 * x[0] * x[1], 5 * x[2], 10 * x[0] * x[1] + 2]))
    found = information(problem, problem.theta_of([2.0, 0.5, 0.1]))
    seen = spectrum(found, precision=1e-7)
    assert seen.rank == 2
    flat = seen.directions[-1]
    assert flat.kind == "flat" and flat.structural
    assert {name for name, *_ in flat.participants} == {"gain", "scale"}
    assert [share for _, share, _ in flat.participants] == pytest.approx([0.5, 0.5], abs=1e-6)
    assert "gain up with scale down" in flat.text or "scale up with gain down" in flat.text
    known = uncertainty(free, found)
    # Along the ridge only the prior holds them: half of its variance is left to each, and across
    # it half of 1/(1 + eigenvalue), here 2 * (10 * 0.5)^2 for each of the two.
    assert known["prior_share"].to_numpy()[:2] == pytest.approx(0.5 + 0.5 / 101, rel=1e-4)
    assert list(known["verdict"].values[2:]) == ["identifiable"]
    assert float(known["correlation"][0, 1]) < -0.98


def test_fewer_residuals_than_numbers():
    free = [number(name, 0.0) for name in "abcd"]
    problem = Problem(free, lambda x: np.array([x[0] + x[1]]))
    found = spectrum(information(problem, np.zeros(4)))
    np.testing.assert_allclose(found.eigenvalues, [2.0, 0.0, 0.0, 0.0], atol=1e-9)
    assert found.rank == 1


def test_what_is_not_finite_is_refused():
    free = [number("a", 0.0)]
    with pytest.raises(ValueError, match="not finite"):
        information(Problem(free, lambda x: x * np.nan), np.zeros(1))


def test_departures_are_those_of_the_prior():
    free = [number("a", 2.0, low=0.0, scale="log", prior=0.5)]
    assert departures(free, np.array([[2.0], [2.0 * np.e]])).ravel() == pytest.approx([0.0, 2.0])
