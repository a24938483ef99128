"""Chances of ratings and of relapse against closed forms and the sum over all courses."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import betainc, ndtr, ndtri

from ketjax.analysis.survival import RELAPSE_RULES, time_to_relapse
from ketjax.fit.rates import Ratings, beta_normal, course_of_days
from ketjax.fit.relapse import at_least_two, quantile, restricted_mean, share_well, still_well
from ketjax.model.parameters import Parameters, replace
from ketjax.observation import Noise

DAYS = np.arange(7.0)


@pytest.mark.parametrize(("precision", "middle", "ends"), [(80, 7e-4, 6e-3), (151, 3e-4, 4e-3)])
def test_beta_distribution(precision: float, middle: float, ends: float) -> None:
    m = np.linspace(0.005, 0.995, 400)[:, None]
    x = (np.arange(60) + 0.5)[None] / 60
    a, b = precision * m, precision * (1 - m)
    error = np.abs(ndtr(np.asarray(beta_normal(*map(jnp.asarray, (x, a, b))))) - betainc(a, b, x))
    assert error.max() < ends
    assert error[(m[:, 0] > 0.1) & (m[:, 0] < 0.9)].max() < middle


def test_days_are_those_of_the_noise() -> None:
    times = np.array([0.0, 2.0, 24.0, 30.0, 200.0])
    noise = Noise(3, times, np.arange(5))
    memory = np.array([50.0, 100.0, 120.0, 300.0, 336.0])
    ours = course_of_days(jnp.asarray(noise.normals("day")), times, jnp.asarray(memory))
    np.testing.assert_allclose(ours, noise.course("day", memory), rtol=1e-12, atol=1e-13)


def steady(score: float, visits: int = 7, **values: float) -> tuple[Ratings, np.ndarray]:
    """Ten patients without better and worse days, at the same score at every visit."""
    p = replace(Parameters(), {"rating.fluctuation": 0.0, **values})
    level = jnp.full((visits, 10), score)
    return Ratings.of(level, p, np.zeros((visits, 10)), np.arange(visits) * 24.0), np.zeros(1)


def test_chance_of_a_rating() -> None:
    """At time 0 the score is written down; later it is Beta, rounded; width adds to its SD."""
    ratings, _ = steady(12.0)
    found = np.asarray(ratings.at_most(10.0, jnp.asarray(0.0)))
    assert np.all(found[0] == 0)
    assert found[1:] == pytest.approx(betainc(151 * 0.2, 151 * 0.8, 10.5 / 60), abs=2e-4)
    wide = np.asarray(ratings.at_most(10.0, jnp.asarray(8.0)))[1:]
    assert wide == pytest.approx(ndtr(-1.5 / np.hypot(8.0, 1.95)), abs=5e-3)
    assert np.asarray(ratings.at_most(11.9999, jnp.asarray(0.0)))[0] == pytest.approx(0.5, abs=0.1)
    assert np.all(np.asarray(ratings.at_most(12.0 + 1e-2, jnp.asarray(0.0)))[0] == 1)


def test_own_threshold_is_that_of_whole_points_in_the_mean() -> None:
    """Scores at entry of 33 (SD 4), against the Beta distribution at whole points."""
    entry = 33 + 4 * ndtri((np.arange(20_000) + 0.5) / 20_000)
    level = jnp.full((2, entry.size), 14.0)
    p = replace(Parameters(), {"rating.fluctuation": 0.0})
    ratings = Ratings.of(level, p, np.zeros(level.shape), np.array([0.0, 24.0]))
    ours = np.asarray(ratings.at_most_own(jnp.asarray(entry / 2), jnp.asarray(0.0)))[1].mean()
    truth = betainc(151 * 14 / 60, 151 * 46 / 60, (np.floor(entry / 2) + 0.5) / 60).mean()
    assert ours == pytest.approx(truth, abs=3e-4)


def test_two_of_some_visits() -> None:
    p = np.array([[0.2], [0.5], [0.9], [0.4]])
    truth = sum(
        np.prod(np.where(happens, p[:, 0], 1 - p[:, 0]))
        for happens in itertools.product([False, True], repeat=4)
        if sum(happens) >= 2
    )
    assert float(at_least_two(jnp.asarray(p))[0]) == pytest.approx(truth, rel=1e-12)


def brute_force(lost: np.ndarray, visits: int) -> np.ndarray:
    """P(T > t) by every course of ratings, with the function that studies use."""
    n = lost.size
    share = np.zeros(n + 1)
    rule = RELAPSE_RULES["score_of_20"]
    assert rule.visits == visits
    times = np.arange(n + 1) * 24.0
    for course in itertools.product([False, True], repeat=n):
        chance = np.prod(np.where(course, lost, 1 - lost))
        score = np.where([False, *course], 30.0, 10.0)[:, None]
        hours, state = time_to_relapse(times, score, np.array([40.0]), 0.0, rule)
        share += chance * ((times < hours[0]) | (state[0] == 1))
    return share


def test_relapse_is_the_sum_over_all_courses() -> None:
    lost = np.array([0.3, 0.8, 0.1, 0.6, 0.9, 0.45])
    ours = np.asarray(still_well(jnp.asarray(lost[:, None]), 2))[:, 0]
    np.testing.assert_allclose(ours, brute_force(lost, 2), rtol=1e-12)


@pytest.mark.parametrize("visits", [1, 3])
def test_other_numbers_of_visits(visits: int) -> None:
    lost = np.array([0.3, 0.8, 0.1, 0.6, 0.9, 0.45])
    truth = sum(
        np.prod(np.where(course, lost, 1 - lost))
        for course in itertools.product([False, True], repeat=6)
        if not any(all(course[k : k + visits]) for k in range(7 - visits))
    )
    ours = still_well(jnp.asarray(lost[:, None]), visits)
    assert float(ours[-1, 0]) == pytest.approx(truth, rel=1e-12)
    assert np.all(np.diff(np.asarray(ours)[:, 0]) <= 1e-15)


def test_days_of_a_known_curve() -> None:
    share = np.array([1.0, 0.9, 0.7, 0.4, 0.3, 0.3, 0.3])
    curve = jnp.asarray(share)
    assert float(restricted_mean(curve, DAYS)) == pytest.approx(share[:-1].sum())
    # 2 days and two thirds on the line through the visits, and half a visit.
    assert float(quantile(curve, DAYS, 0.5)) == pytest.approx(2 + 2 / 3 + 0.5)
    assert 6 < float(quantile(curve, DAYS, 0.75)) < 12
    # Where the last visit just reaches it, both branches say the same.
    last = jnp.asarray(np.linspace(1, 0.5, 7))
    assert float(quantile(last + 1e-9, DAYS, 0.5)) == pytest.approx(
        float(quantile(last - 1e-9, DAYS, 0.5)), abs=1e-6
    )


@pytest.mark.parametrize("rule", RELAPSE_RULES)
def test_nobody_responds(rule: str) -> None:
    """All at 59 points: no share of nobody, but a number."""
    ratings, _ = steady(59.0)
    later = ratings.at(np.arange(1, 7))
    share = share_well(later, jnp.full(10, 60.0), RELAPSE_RULES[rule], jnp.asarray(0.0))
    assert np.all(np.isfinite(share)) and np.all(np.asarray(share) <= 1 + 1e-12)
