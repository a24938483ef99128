"""Structure: zeros, dependencies and sparse derivatives against jax.jacfwd and plain reading."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ivp_problems import POLLU_RATES, pollu
from jax import lax

from ketjax.solve.derivatives import linearise
from ketjax.solve.structure import (
    dependencies,
    evaluate,
    hoist,
    trace,
    without_zeros,
    zero_outputs,
)

LANES = 3


def smooth(t, y, p):
    a, b, c = y
    return (
        jnp.exp(-a) * p + jnp.log(b) / (1.0 + c**2) + t,
        jnp.power(b, p) * jnp.tanh(c) - jnp.sqrt(a),
        jax.nn.sigmoid(a * b) + jax.nn.softplus(c - a) + jnp.sin(t),
    )


def switched(t, y, p):
    a, b, c = y
    return (
        jnp.where(a > 0.4, a * b, jnp.maximum(c, 0.1)),
        jnp.minimum(jnp.abs(b - c), 2.0) - lax.clamp(0.0, a, 1.0),
        lax.stop_gradient(a) * c + jnp.where(t > 1.0, 0.0, p),
    )


def nested(t, y, p):
    a, b, c = y
    inner = jax.jit(lambda u, v: jax.checkpoint(jnp.cos)(u) * jax.nn.relu(v))
    summed, _ = lax.scan(lambda total, _: (total * b + a, None), c, None, length=3)
    return inner(a, b), summed, lax.cond(t < 1.0, lambda: a * p, lambda: c * c)


def dense(rhs, t, y, p):
    """Jacobian (row, column, patient) by jax.jacfwd over all entries."""
    full = jax.jacfwd(lambda y: jnp.stack(rhs(t, y, p)))(y)
    return np.stack([np.einsum("rpp->rp", block) for block in full], axis=1)


@pytest.mark.parametrize("rhs", [smooth, switched, nested])
def test_sparse_jacobian_equals_jacfwd(rhs):
    generator = np.random.default_rng(1)
    y = tuple(jnp.asarray(generator.uniform(0.1, 1.5, LANES)) for _ in range(3))
    t, p = jnp.asarray(0.7), jnp.asarray(generator.uniform(1.0, 2.0, LANES))
    values, rows = linearise(trace(rhs, t, y, p), (t, *y, p), range(4))
    np.testing.assert_allclose(jnp.stack(values), jnp.stack(rhs(t, y, p)), rtol=1e-14)
    found = np.zeros((3, 3, LANES))
    for row, coefficients in enumerate(rows):
        for column, value in coefficients.items():
            if column:
                found[row, column - 1] = value
    np.testing.assert_allclose(found, dense(rhs, t, y, p), rtol=1e-12, atol=1e-14)
    _, by_time = jax.jvp(lambda t: jnp.stack(rhs(t, y, p)), (t,), (jnp.ones_like(t),))
    own = [np.broadcast_to(coefficients.get(0, 0.0), LANES) for coefficients in rows]
    np.testing.assert_allclose(own, by_time, rtol=1e-12, atol=1e-14)


def test_pollu_jacobian_and_its_sparsity():
    generator = np.random.default_rng(2)
    y = tuple(jnp.asarray(generator.uniform(0.1, 1.0, LANES)) for _ in range(20))
    program = trace(pollu, jnp.asarray(0.0), y, POLLU_RATES)
    _, rows = linearise(program, (0.0, *y, *POLLU_RATES), range(21))
    expected = dense(pollu, 0.0, y, POLLU_RATES)
    pattern = {(row, column - 1) for row, entry in enumerate(rows) for column in entry}
    assert pattern == set(zip(*np.nonzero(np.any(expected, axis=2)), strict=True))
    assert len(pattern | {(index, index) for index in range(20)}) == 86
    for row, coefficients in enumerate(rows):
        for column, value in coefficients.items():
            own = np.broadcast_to(value, LANES)
            np.testing.assert_allclose(own, expected[row, column - 1], rtol=1e-12)


def test_derivatives_can_be_differentiated_again():
    def slope(a):
        program = trace(lambda a: jnp.exp(-a) * a**2, a)
        return linearise(program, (a,), (0,))[1][0][0]

    a = jnp.asarray([0.3, 0.9])
    _, second = jax.jvp(slope, (a,), (jnp.ones(2),))
    np.testing.assert_allclose(second, jnp.exp(-a) * (2.0 - 4.0 * a + a**2), rtol=1e-13)


def test_zeros_spread_through_products_sums_and_choices():
    def function(a, b):
        return a * b, a / (1.0 + b), jnp.where(b > 0.0, a, 0.0), a + b, jnp.exp(a), -a - 2.0 * a

    program = trace(function, jnp.ones(2), jnp.ones(2))
    assert zero_outputs(program, [True, False]) == [True, True, True, False, False, True]
    assert not any(zero_outputs(program, [False, False]))


def test_dependencies_follow_values_and_conditions():
    def function(a, b, c):
        return jnp.where(a > 0.0, b, 1.0), a * c, c

    program = trace(function, *(jnp.ones(2),) * 3)
    assert dependencies(program, [False] * 3) == [{0, 1}, {0, 2}, {2}]
    assert dependencies(program, [False, False, True]) == [{0, 1}, set(), set()]


def test_program_without_zeros_is_smaller_and_equal():
    def function(b, c):
        nothing = jnp.zeros(2)
        return nothing * jnp.exp(b) + c - nothing, nothing - b, nothing * c

    program = trace(function, jnp.ones(2), jnp.ones(2))
    smaller = without_zeros(program)
    assert len(smaller.equations) == 2
    values = (jnp.full(2, 3.0), jnp.full(2, 5.0))
    for found, expected in zip(evaluate(smaller, values), function(*values), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_hoisted_program_is_the_same_without_costly_work_on_constants():
    def rhs(t, y, p):
        volume, exponent = p
        rate = jnp.exp(exponent) / volume
        return y * rate - t, y / volume + jnp.log(volume) * y, (y + t) / (y * volume)

    y = jnp.linspace(0.5, 2.0, LANES)
    values = (jnp.asarray(0.3), y, jnp.linspace(1.0, 3.0, LANES), jnp.asarray(0.7))
    program = trace(rhs, values[0], values[1], values[2:])
    constants, remainder = hoist(program, [True, True, False, False])
    known = evaluate(constants, values)
    for found, expected in zip(
        evaluate(remainder, (*values, *known)), evaluate(program, values), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    names = [equation.primitive.name for equation in remainder.equations]
    assert "exp" not in names and "log" not in names
    assert names.count("div") == 1  # only the quotient whose divisor changes
    assert all(not {0, 1} & reads for reads in dependencies(constants, [False] * 4))
