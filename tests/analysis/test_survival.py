"""Relapse and the product limit against counting by hand and a published table."""

import dataclasses

import numpy as np
import pytest

from ketjax.analysis.survival import (
    RELAPSE_RULES,
    at_risk,
    product_limit,
    relapse_days,
    time_to_relapse,
)


def test_product_limit_is_the_published_one() -> None:
    """Remission under 6-MP, Freireich 1963, as in Kalbfleisch and Prentice: 21 patients."""
    days = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    lost = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    times, share = product_limit(days, lost)
    assert times.tolist() == [0, 6, 7, 10, 13, 16, 22, 23]
    np.testing.assert_allclose(
        share, [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=5e-4
    )
    assert at_risk(days, [0, 6, 7, 10, 23]).tolist() == [21, 21, 17, 15, 6]


def test_without_censoring_it_is_the_share_that_is_left() -> None:
    days = np.random.default_rng(2).integers(1, 30, 400)
    times, share = product_limit(days, np.ones(400, bool))
    np.testing.assert_allclose(share, [(days > t).mean() for t in times], atol=1e-12)


def test_relapse_is_judged_in_those_who_responded() -> None:
    times = np.arange(0, 7) * 24.0
    score = np.full((7, 4), 10.0)
    score[0] = 32.0
    score[3:, 0] = 25.0  # relapse on day 3
    score[4, 1] = 25.0  # one bad visit
    score[1:, 3] = 20.0  # never a responder
    days, lost = relapse_days(times, score, 24.0, score >= 20.0)
    assert days.tolist() == [2.0, 5.0, 5.0] and lost.tolist() == [True, False, False]


TIMES = np.arange(0, 8) * 24.0
ENTRY = np.full(5, 32.0)
CLOCK = 24.0


def courses() -> np.ndarray:
    """(time, patient): stays; 26 twice; 26 once; 22 to the end; never responds."""
    score = np.full((8, 5), 10.0)
    score[0] = 32.0
    score[3:5, 1] = 26.0
    score[4, 2] = 26.0
    score[5:, 3] = 22.0
    score[1:, 4] = 17.0
    return score


@pytest.mark.parametrize(
    ("rule", "hours", "states"),
    [
        # A fall of less than a quarter is a score above 24.
        ("quarter_of_gain", [144, 48, 144, 144, np.nan], [1, 0, 1, 1, 2]),
        ("score_of_20", [144, 48, 144, 96, np.nan], [1, 0, 1, 0, 2]),
        ("transform", [144, 48, 144, 96, np.nan], [1, 0, 1, 0, 2]),
        # Less than half of a gain of 22 is left above 21.
        ("half_of_gain", [144, 48, 144, 96, np.nan], [1, 0, 1, 0, 2]),
    ],
)
def test_rules_by_hand(rule: str, hours: list[float], states: list[int]) -> None:
    found, state = time_to_relapse(TIMES, courses(), ENTRY, CLOCK, RELAPSE_RULES[rule])
    np.testing.assert_array_equal(found, hours)
    assert state.tolist() == states


def test_a_rule_of_one_visit() -> None:
    once = dataclasses.replace(RELAPSE_RULES["score_of_20"], visits=1)
    _, state = time_to_relapse(TIMES, courses(), ENTRY, CLOCK, once)
    assert state.tolist() == [1, 0, 0, 0, 2]
    with pytest.raises(ValueError, match="needs 1 visits that follow"):
        time_to_relapse(TIMES, courses(), ENTRY, TIMES[-1], once)


def test_clocks() -> None:
    doses = [0.0, 72.0, 264.0]
    assert RELAPSE_RULES["quarter_of_gain"].start(doses) == 24.0
    assert RELAPSE_RULES["score_of_20"].start(doses) == 288.0
    assert RELAPSE_RULES["transform"].start([]) == 648.0
