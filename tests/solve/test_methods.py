"""Each Rosenbrock method has the order it claims, and meets the order conditions of its stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.solve.methods import RODAS3, RODAS4, RODAS5P, ROS4
from ketjax.solve.rosenbrock import step
from ketjax.solve.structure import trace

METHODS = [RODAS3, ROS4, RODAS4, RODAS5P]


def pendulum(t, y, p):
    return y[1], -p * jnp.sin(y[0])


def driven(t, y, p):
    return y[0] * (jnp.cos(t) * p - y[0]), jnp.exp(-t) - y[0] * y[1]


def march(method, rhs, y, steps, end):
    """End values and the sum of the embedded error estimates after equal steps."""
    h = end / steps

    def body(y, t):
        return step(method, trace(rhs, t, y, 1.0), t, h, y, (1.0,))

    y, errors = jax.lax.scan(body, y, h * jnp.arange(steps, dtype=float))
    return jnp.concatenate(y), jnp.stack([jnp.max(jnp.abs(error)) for error in errors])


def slope(steps, errors):
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("rhs", [pendulum, driven])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_observed_order(method, rhs):
    y = (jnp.array([0.8]), jnp.array([0.3]))
    run = jax.jit(march, static_argnums=(0, 1, 3, 4))
    exact, _ = run(RODAS5P, rhs, y, 1024, 2.0)
    steps = np.array([48, 64, 96, 128])
    results = [run(method, rhs, y, int(count), 2.0) for count in steps]
    global_errors = [np.max(np.abs(value - exact)) for value, _ in results]
    local_errors = [float(np.max(error)) for _, error in results]
    assert slope(steps, global_errors) == pytest.approx(method.order, abs=0.2)
    assert slope(steps, local_errors) == pytest.approx(method.error_order + 1, abs=0.2)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_stage_times_and_couplings_agree(method):
    """Row sums of the untransformed coefficients: alpha = A 1 and gamma = Gamma 1."""
    size = method.stages
    couplings, a = np.zeros((size, size)), np.zeros((size, size))
    for row in range(size):
        couplings[row, :row], a[row, :row] = method.c[row], method.a[row]
    gamma = np.linalg.inv(np.eye(size) / method.gamma - couplings)
    np.testing.assert_allclose(gamma.sum(axis=1), method.gamma_sum, atol=1e-12)
    np.testing.assert_allclose((a @ gamma).sum(axis=1), method.alpha, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_stiff_decay_is_damped_at_once(method):
    y = (jnp.array([1.0]),)
    program = trace(lambda t, y, k: (-k * y[0],), 0.0, y, 1e9)
    (after,), _ = step(method, program, 0.0, 1.0, y, (1e9,))
    # The coefficients of Ros4 are printed with five digits of gamma.
    assert abs(float(after[0])) < (1e-4 if method is ROS4 else 1e-6)
