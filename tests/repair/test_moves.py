"""Steps into a box: against the closed form of a half-space, and lane by lane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketjax.repair.comparison import Costs, compare
from ketjax.repair.moves import Box, move

SLOPE = np.array([0.6, 0.8])  # of length one


def plane(e, places):
    """One number that is linear in two effects."""
    del places
    return SLOPE @ e[None], np.broadcast_to(SLOPE[None, :, None], (1, 2, e.shape[1]))


def curved(e, places):
    """Two numbers that saturate, and a patient whose march fails."""
    y = np.stack([np.tanh(e[0]) + 0.1 * e[1] ** 2, np.exp(0.3 * e[1])])
    slopes = np.stack(
        [[1 - np.tanh(e[0]) ** 2, 0.2 * e[1]], [np.zeros_like(e[1]), 0.3 * np.exp(0.3 * e[1])]]
    )
    y[:, places == 3] = np.nan
    return y, slopes


BOX = Box(np.array([0.3, 1.1]), np.array([0.6, 1.4]), np.array([0.3, 0.3]))


def drawn(number=64, seed=3):
    return np.random.default_rng(seed).standard_normal((2, number))


def test_a_patient_goes_the_shortest_way_to_a_plane():
    box = Box(np.array([1.0]), np.array([np.inf]), np.array([1.0]))
    start = drawn()
    found = move(plane, start, box, steps=10)
    y = SLOPE @ start
    short = np.maximum(1.0 - y, 0.0)
    away = found.effects - start
    assert found.inside.all()
    # Along the normal of the plane, and no farther than the margin beyond it.
    np.testing.assert_allclose(away, SLOPE[:, None] * (SLOPE @ away), atol=1e-9)
    length = np.sqrt((away**2).sum(axis=0))
    assert (length >= short).all()
    assert (length <= short + box.margin + 1e-9).all()


def test_who_is_inside_does_not_move():
    start = drawn()
    inside = BOX.holds(curved(start, np.arange(64))[0])
    assert 0 < inside.sum() < 64
    found = move(curved, start, BOX, steps=8)
    np.testing.assert_array_equal(found.effects[:, inside], start[:, inside])
    assert (found.evaluations[inside] == 1).all()


def test_inside_means_inside_the_box():
    start = drawn()
    found = move(curved, start, BOX, steps=8)
    values = curved(found.effects, np.arange(64))[0]
    np.testing.assert_array_equal(BOX.holds(values), found.inside)
    assert found.inside.mean() > 0.9


def test_a_failing_patient_is_marked_and_stays():
    start = drawn()
    found = move(curved, start, BOX, steps=8)
    assert found.failed.nonzero()[0].tolist() == [3]
    assert not found.inside[3]
    np.testing.assert_array_equal(found.effects[:, 3], start[:, 3])
    assert found.evaluations[3] == 1


@given(st.integers(0, 63))
def test_nobody_depends_on_who_is_beside(who):
    start = drawn()
    together = move(curved, start, BOX, steps=8)
    alone = move(lambda e, places: curved(e, places + who), start[:, [who]], BOX, steps=8)
    np.testing.assert_allclose(alone.effects[:, 0], together.effects[:, who], rtol=1e-9)
    assert alone.inside[0] == together.inside[who]


@given(st.floats(-2, 2), st.booleans())
def test_slopes_of_violations_are_those_of_differences(y, upper):
    box = Box(np.array([-np.inf if upper else 0.0]), np.array([0.0 if upper else np.inf]),
              np.array([2.0]))  # fmt: skip
    step = 1e-6
    _, slope = box.violations(np.array([[y]]))
    (high, _), (low, _) = (box.violations(np.array([[y + d]])) for d in (step, -step))
    np.testing.assert_allclose(slope, (high - low) / (2 * step), atol=1e-4)


def test_costs_count_what_was_spent():
    costs = Costs(1000, 10, 190, 5, 3000, 2.0, 200)
    assert costs.by_rejection == 100
    assert costs.by_repair == pytest.approx((1000 + 6000 + 200) / 200)
    assert costs.of_a_repair == pytest.approx(6200 / 190)


def test_comparison_sees_patients_at_a_bound_and_a_narrower_spread():
    rng = np.random.default_rng(1)
    exact, narrow = rng.standard_normal((2, 2000)), 0.5 * rng.standard_normal((2, 2000)) + 1.0
    box = Box(np.array([0.0]), np.array([1.0]), np.array([1.0]))
    even, edge = rng.random((1, 2000)), 0.005 * rng.random((1, 2000))
    nobody = np.empty((2, 0)), np.empty((1, 0))
    found = compare(("a", "b"), box, (exact, even), nobody, (narrow, edge), narrow - 1.0)
    assert found.edge[0] == pytest.approx(0.02, abs=0.01)
    assert found.edge[1] == 1.0
    assert found.moved[0] == pytest.approx(np.sqrt(2))
    assert found.means["a"][2] == pytest.approx(1.0, abs=0.05)
    assert found.deviations["b"][1] == pytest.approx(0.5, abs=0.03)
    assert found.neighbour[1] == pytest.approx(0.5 * found.neighbour[0], rel=0.1)
    assert found.covariance == pytest.approx(0.75, abs=0.05)
    assert found.noise < 0.1
