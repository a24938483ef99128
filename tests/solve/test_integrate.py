"""integrate against published end values, closed forms and its promises about input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ivp_problems import (
    INFUSION_VALUES,
    LINEAR,
    LINEAR_TIMES,
    POLLU_RATES,
    POLLU_START,
    REPEATED_BOLUS,
    STIFF,
    bolus,
    pollu,
)

from ketjax.solve import RODAS3, RODAS4, RODAS5P, Status, System, integrate


@pytest.mark.parametrize("name", STIFF)
def test_stiff_problem_reaches_published_end_values(name):
    rhs, y0, parameters, end, atol, expected = STIFF[name]
    solution = integrate(rhs, y0, (0.0, end), parameters, rtol=1e-7, atol=atol)
    np.testing.assert_allclose(solution.states[-1, :, 0], expected, rtol=1e-5)
    assert solution.status.tolist() == [Status.OK]


@pytest.mark.parametrize("name", LINEAR)
def test_linear_problem_equals_its_closed_form(name):
    rhs, y0, parameters, edges, expected = LINEAR[name]
    solution = integrate(rhs, y0, LINEAR_TIMES, parameters, 1e-10, 1e-20, edges=edges)
    for state, values in expected.items():
        values = np.asarray(values)
        large = values > 1e-12
        np.testing.assert_allclose(solution.states[large, state, 0], values[large], rtol=1e-8)


def test_repeated_bolus_equals_superposition():
    dose_times = (12.0, 24.0, 36.0)
    times = (*LINEAR_TIMES[:-1], 36.0, 48.0)
    doses = jnp.array([100.0] * 4)
    system = System(
        bolus, (0.0,), 0.15, jump=lambda y, k, dose: (y[0] + dose,), impulses=doses,
        method=RODAS5P, rtol=1e-10, atol=1e-14,
    )  # fmt: skip
    mesh = system.make_mesh((0.0,), 0.15, times, dose_times, impulses=doses)
    (amount,) = system.march(mesh, (0.0,), 0.15, impulses=doses).readouts
    before_dose = np.asarray(REPEATED_BOLUS) - 100.0 * np.isin(
        LINEAR_TIMES, (0.0, 12.0, 24.0, 48.0)
    )
    np.testing.assert_allclose(np.delete(amount[:, 0], -2), before_dose, rtol=1e-8, atol=1e-12)


def test_infusion_as_forcing_equals_closed_form():
    rate = jnp.array([150.0, 0.0])
    system = System(
        lambda t, y, p: (p[1] - p[0] * y[0],), (0.0,), 0.15, forcing=rate, method=RODAS5P,
        rtol=1e-10, atol=1e-14,
    )  # fmt: skip
    mesh = system.make_mesh((0.0,), 0.15, LINEAR_TIMES, (2.0 / 3.0,), forcing=rate)
    (amount,) = system.march(mesh, (0.0,), 0.15, forcing=rate).readouts
    np.testing.assert_allclose(amount[:, 0], INFUSION_VALUES, rtol=1e-8)


def test_every_patient_of_a_spread_population_is_accurate():
    k1 = np.logspace(np.log10(0.035), np.log10(3.5), 100)
    parameters = (jnp.asarray(k1), *POLLU_RATES[1:])
    loose = integrate(pollu, POLLU_START, (0.0, 60.0), parameters, 1e-4, 1e-9, method=RODAS3)
    tight = integrate(pollu, POLLU_START, (0.0, 60.0), parameters, 1e-7, 1e-13, method=RODAS4)
    assert np.all(loose.status == Status.OK) and loose.steps < tight.steps
    difference = np.abs(loose.states[-1] - tight.states[-1])
    assert np.all(difference < 1e-6 + 1e-3 * np.abs(tight.states[-1]))


def test_explosion_is_reported_and_masked():
    rate = jnp.array([0.1, 2.0])
    solution = integrate(lambda t, y, k: (k * y[0] ** 2,), (1.0,), (0.0, 0.25, 1.0), rate)
    assert solution.status[1] != Status.OK
    assert np.isnan(solution.states[-1, 0, 1])
    np.testing.assert_allclose(
        solution.states[1, 0], 1.0 / (1.0 - 0.25 * np.array([0.1, 2.0])), 1e-5
    )


def test_step_limit_is_reported():
    solution = integrate(bolus, (1.0,), (0.0, 1.0, 1e4), 1.0, 1e-10, 1e-14, max_steps=20)
    assert solution.status.tolist() == [Status.MAX_STEPS]
    assert np.isnan(solution.states[-1]).all()


def test_single_precision_when_64_bits_are_off():
    with jax.enable_x64(False):
        solution = integrate(bolus, (100.0,), (0.0, 1.0, 8.0), 0.15, rtol=1e-5, atol=1e-6)
    assert solution.states.dtype == np.float32
    np.testing.assert_allclose(
        solution.states[:, 0, 0], 100.0 * np.exp([0.0, -0.15, -1.2]), rtol=1e-4
    )


def test_mesh_can_be_used_again():
    first = integrate(bolus, (100.0,), (0.0, 8.0), 0.15)
    second = integrate(bolus, (100.0,), (0.0, 8.0), 0.15, mesh=first.mesh)
    np.testing.assert_array_equal(first.states, second.states)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": (0.0, 2.0, 1.0)}, r"times\[2\] = 1.0 does not exceed times\[1\]"),
        ({"times": (0.0, np.nan)}, r"times\[1\] is nan"),
        ({"times": (0.0,)}, "at least one more time"),
        ({"edges": (5.0,)}, r"edges\[0\] = 5.0 is not inside"),
        ({"rtol": 1e-15}, "below 2.2e-15"),
        ({"atol": (1e-9, 1e-9)}, "atol has 2 entries for 1 states"),
        ({"atol": 0.0}, "finite and positive"),
        ({"y0": 1.0}, "give a tuple"),
        ({"y0": (np.ones(3),), "parameters": np.ones(4)}, r"lengths \[3, 4\]"),
        ({"y0": (np.ones(3), np.ones(3, np.float32))}, "mixes the dtypes"),
        ({"y0": (1.0, 2.0)}, "returned 1 entries for 2 states"),
    ],
)
def test_wrong_input_is_explained(change, message):
    arguments = {"y0": (1.0,), "times": (0.0, 1.0), "parameters": 1.0} | change
    with pytest.raises(ValueError, match=message):
        integrate(bolus, **arguments)


def test_wide_arrays_without_64_bits_are_refused():
    with jax.enable_x64(False), pytest.raises(ValueError, match="64-bit numbers are off"):
        integrate(bolus, (np.ones(2),), (0.0, 1.0), 1.0)
