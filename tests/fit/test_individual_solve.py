"""Many posterior modes at once, against closed forms and another optimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize

from ketjax.fit.individual_solve import CONVERGED, FAILED, LIMIT, Problem, find_modes

TIMES = np.array([0.2, 0.5, 1.0, 2.0, 4.0])
RNG = np.random.default_rng(2)
PATIENTS = 12
TRUTH = RNG.standard_normal((PATIENTS, 2))


def curve(eta: np.ndarray) -> np.ndarray:
    """A decay whose height and rate are log-normal."""
    return 10 * np.exp(0.4 * eta[..., :1] - np.exp(0.5 * eta[..., 1:]) * TIMES)


def predict(eta, patients):
    """The same with slopes."""
    f = curve(eta)
    rate = np.exp(0.5 * eta[:, 1:])
    return f, np.stack([0.4 * f, -0.5 * rate * TIMES * f], axis=-1)


def spread(f, patients):
    """An additive and a proportional part."""
    sd = np.hypot(0.3, 0.15 * f)
    return sd, 0.15**2 * f / sd


SEEN = curve(TRUTH) + spread(curve(TRUTH), None)[0] * RNG.standard_normal((PATIENTS, TIMES.size))


def solve(values=SEEN, predict=predict, spread=spread, free: int = 2, **more):
    more = {"iterations": 200, "tolerance": 1e-14} | more
    return find_modes(Problem(values, free, predict, spread), **more)


def objective(eta: np.ndarray, seen: np.ndarray) -> float:
    f = curve(eta)
    sd = np.hypot(0.3, 0.15 * f)
    return float(np.sum(0.5 * ((seen - f) / sd) ** 2 + np.log(sd)) + 0.5 * eta @ eta)


def test_modes_are_those_of_another_optimiser():
    found = solve()
    assert (found.status == CONVERGED).all()
    for k in range(PATIENTS):
        options = {"gtol": 1e-9}
        other = minimize(objective, np.zeros(2), args=(SEEN[k],), method="BFGS", options=options)
        np.testing.assert_allclose(found.eta[k], other.x, atol=1e-6)
        assert found.objective[k] == pytest.approx(other.fun, abs=1e-10)
    assert found.gradient.max() < 1e-6
    np.testing.assert_array_equal(found.first, np.tile(curve(np.zeros(2)), (PATIENTS, 1)))


def test_linear_patients_have_the_posterior_in_closed_form():
    design = RNG.standard_normal((4, 3))
    values = RNG.standard_normal((5, 4))
    found = solve(
        values,
        lambda eta, _: (eta @ design.T, np.broadcast_to(design, (len(eta), 4, 3))),
        lambda f, _: (np.full_like(f, 0.5), np.zeros_like(f)),
        3,
    )
    covariance = np.linalg.inv(design.T @ design / 0.25 + np.eye(3))
    np.testing.assert_allclose(found.eta, values @ design @ covariance / 0.25, atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.tile(covariance, (5, 1, 1)), atol=1e-12)


def test_without_information_everybody_is_usual():
    huge = solve(spread=lambda f, _: (np.full_like(f, 1e9), np.zeros_like(f)))
    np.testing.assert_allclose(huge.eta, 0, atol=1e-12)
    np.testing.assert_allclose(huge.covariance, np.tile(np.eye(2), (PATIENTS, 1, 1)), atol=1e-12)
    nobody_seen = solve(np.full_like(SEEN, np.nan))
    np.testing.assert_array_equal(nobody_seen.eta, 0)


def test_observations_that_are_not_there_do_not_count():
    padded = np.concatenate([SEEN, np.full((PATIENTS, 2), np.nan)], axis=1)

    def wider(eta, patients):
        f, slopes = predict(eta, patients)
        pad = ((0, 0), (0, 2))
        return np.pad(f, pad, constant_values=np.nan), np.pad(slopes, (*pad, (0, 0)))

    np.testing.assert_allclose(solve(padded, wider).eta, solve().eta, atol=1e-9)


def test_a_hopeless_patient_changes_no_bit_of_the_others():
    impossible = SEEN.copy()
    impossible[3] = 1e30
    others = np.arange(PATIENTS) != 3
    usual, found = solve(), solve(impossible)
    for name in ("eta", "covariance", "objective", "iterations", "values"):
        np.testing.assert_array_equal(getattr(found, name)[others], getattr(usual, name)[others])


def test_a_patient_who_cannot_be_marched_is_marked():
    def broken(eta, patients):
        f, slopes = predict(eta, patients)
        f[patients == 3] = np.nan
        return f, slopes

    found = solve(predict=broken)
    assert found.status[3] == FAILED and np.isnan(found.eta[3]).all()
    assert (np.delete(found.status, 3) == CONVERGED).all()
    np.testing.assert_array_equal(np.delete(found.eta, 3, 0), np.delete(solve().eta, 3, 0))


def test_a_region_that_cannot_be_marched_is_left_alone():
    def broken(eta, patients):
        f, slopes = predict(eta, patients)
        f[eta[:, 0] > 0.5] = np.nan
        return f, slopes

    found = solve(predict=broken)
    assert (found.status != FAILED).all()
    assert (found.eta[:, 0] <= 0.5).all()
    inside = solve().eta[:, 0] < 0.3
    np.testing.assert_allclose(found.eta[inside], solve().eta[inside], atol=1e-6)


def test_too_few_iterations_are_told():
    told = []
    found = solve(iterations=1, tell=lambda *numbers: told.append(numbers))
    assert (found.status == LIMIT).all()
    assert [numbers[0] for numbers in told] == [0, 1]
