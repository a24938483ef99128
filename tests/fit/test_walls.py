"""Walls against their equation, by derivatives that jax takes of them."""

from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.fit.walls import MARGIN, Walls

WEIGHT = np.array([1.0, 0.5, 1.0, 1.0, 0.0])
PROFILE = np.array(["A", "A", "A", "B", "C"])
START = np.array([0.5, -1.0, 0.3, 2.0, 9.0])


@pytest.fixture(scope="module")
def walls() -> Walls:
    targets = [
        SimpleNamespace(weight=weight, profile=profile)
        for weight, profile in zip(WEIGHT.tolist(), PROFILE.tolist(), strict=True)
    ]
    return Walls(cast(Any, SimpleNamespace(summaries=targets)), START)


def test_walls_stand_where_a_profile_would_be_met_worse(walls) -> None:
    assert walls.profiles == ("A", "B")  # of the third every weight is zero
    with jax.enable_x64(True):
        np.testing.assert_allclose(walls.residuals(jnp.asarray(START)), [1.0, 1.0], rtol=1e-12)
        inside = walls.residuals(jnp.asarray(START * [1, 1, 1, 1 - MARGIN, 5]))
        np.testing.assert_allclose(inside, [1.0, 0.0], atol=1e-12)
        beyond = walls.residuals(jnp.asarray(1.1 * START))
        np.testing.assert_allclose(beyond, (0.1 + MARGIN) / MARGIN, rtol=1e-12)
        assert np.isfinite(jax.jacobian(walls.residuals)(jnp.zeros(5))).all()


def test_bend_is_what_gauss_newton_does_not_see(walls) -> None:
    """Second derivatives of half the squares, but for those of the root along its own rise."""
    where = 1.02 * START + np.array([0.1, 0.0, -0.1, 0.0, 0.0])
    with jax.enable_x64(True):
        height = np.asarray(walls.residuals(jnp.asarray(where)))
        rise = np.asarray(jax.jacobian(walls.residuals)(jnp.asarray(where)))
        exact = jax.hessian(lambda d: 0.5 * jnp.sum(walls.residuals(d) ** 2))(jnp.asarray(where))
    seen = rise.T @ rise + np.diag(walls.bend(where) ** 2)
    for r, slope in zip(height, rise, strict=True):
        # r = (q - 1 + MARGIN) / MARGIN, and q bends by -q' q' / q
        seen -= r * MARGIN * np.outer(slope, slope) / (1 - MARGIN + r * MARGIN)
    np.testing.assert_allclose(seen, exact, rtol=1e-9, atol=1e-9)
    assert not walls.bend(0.5 * START).any()
