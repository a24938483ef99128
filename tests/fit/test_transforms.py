"""Maps of bounded numbers: there and back, within the bounds, slopes by differences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.fit.transforms import IDENTITY, between

MAPS = [
    IDENTITY,
    between(0.0, math.inf),
    between(1.0, math.inf),
    between(0.0, 1.0),
    between(-0.95, 0.95),
    between(1e-4, 0.03),
    between(-2.0, 3.0),
]
EVERY = pytest.mark.parametrize("transform", MAPS, ids=str)
FREE = np.linspace(-6.0, 6.0, 25)


@EVERY
def test_there_and_back(transform):
    back = transform.inverse(transform.forward(FREE))
    # A lower bound of 1 above numbers near exp(-6) costs 400 of the smallest steps.
    np.testing.assert_allclose(back, FREE, rtol=0, atol=2e-12)


@EVERY
def test_within_its_bounds_and_increasing(transform):
    x = np.asarray(transform.forward(FREE))
    assert np.all(np.diff(x) > 0)
    assert np.all((transform.low < x) & (x < transform.high))


@EVERY
def test_slope_is_that_of_differences(transform):
    step = 1e-5
    slope = jax.vmap(jax.grad(transform.forward))(jnp.asarray(FREE))
    differences = (transform.forward(FREE + step) - transform.forward(FREE - step)) / (2 * step)
    np.testing.assert_allclose(slope, differences, rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(transform.log_slope(FREE)), slope, rtol=1e-12)


def test_far_out_it_stays_finite():
    transform = between(0.0, 2.0)
    far = jnp.asarray([-800.0, 800.0])
    assert np.all(np.isfinite(transform.forward(far)))
    assert np.all(np.isfinite(jax.vmap(jax.grad(transform.forward))(far)))
    assert np.all(np.isfinite(transform.log_slope(far)))


def test_bounds_choose_the_map():
    assert between(-math.inf, math.inf) is IDENTITY
    assert between(0.0, math.inf).kind == "log"
    assert between(0.0, 1.0).kind == "logit"
    with pytest.raises(ValueError, match="nothing lies between"):
        between(1.0, 1.0)
    with pytest.raises(ValueError, match="needs a lower one"):
        between(-math.inf, 1.0)
