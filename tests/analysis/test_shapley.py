"""Shapley values against their axioms and against all orders."""

import itertools

import numpy as np
import pytest

from ketjax.analysis.attribution import coalitions, one_against_the_rest, shapley


def test_values_are_the_mean_over_all_orders() -> None:
    effects = np.random.default_rng(3).normal(size=(16, 5))
    expected = np.zeros((4, 5))
    orders = list(itertools.permutations(range(4)))
    for order in orders:
        on = 0
        for mechanism in order:
            expected[mechanism] += effects[on | 1 << mechanism] - effects[on]
            on |= 1 << mechanism
    np.testing.assert_allclose(shapley(effects), expected / len(orders), rtol=1e-12)
    np.testing.assert_allclose(shapley(effects).sum(axis=0), effects[-1] - effects[0], rtol=1e-12)


def test_effects_that_add_are_their_own_shares_and_a_chain_is_shared_alike() -> None:
    on = coalitions(3)
    assert on[5].tolist() == [True, False, True]
    np.testing.assert_allclose(
        shapley(on.astype(float) @ np.array([2.0, 3.0, 0.0])), [2.0, 3.0, 0.0]
    )
    np.testing.assert_allclose(shapley(6.0 * on.all(axis=1).astype(float)), [2.0, 2.0, 2.0])


def test_one_against_the_rest_counts_the_rest_once() -> None:
    on = coalitions(3)
    chain = 6.0 * on.all(axis=1).astype(float)
    np.testing.assert_allclose(one_against_the_rest(chain, 1), [3.0, 3.0])
    sums = on.astype(float) @ np.array([2.0, 3.0, 5.0])
    np.testing.assert_allclose(one_against_the_rest(sums, 2), [5.0, 5.0])
    effects = np.random.default_rng(4).normal(size=(8, 5))
    none, own, others, both = effects[[0, 1, 6, 7]]
    expected = [(own - none + both - others) / 2, (others - none + both - own) / 2]
    np.testing.assert_allclose(one_against_the_rest(effects, 0), expected, rtol=1e-12)


def test_effects_must_be_those_of_all_combinations() -> None:
    with pytest.raises(ValueError, match="6 effects"):
        shapley(np.zeros(6))
