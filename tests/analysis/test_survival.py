"""Relapse and the product limit against counting by hand and a published table."""

import numpy as np

from ketjax.analysis.survival import at_risk, product_limit, relapse_days


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
