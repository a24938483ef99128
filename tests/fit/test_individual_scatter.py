"""How ratings scatter, against ratings that are drawn, and scores of patients without a drug."""

import numpy as np
import pytest

from ketjax.fit.individual_data import Observation
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_scatter import Scatter
from ketjax.model.parameters import Parameters
from ketjax.observation import Noise
from ketjax.observation.ratings import rating

TIMES = (0.0, 2.0, 24.0)
TEXT = """
name = "scores"
data = "table.csv"
free = ["score.baseline", "expectancy.gain"]
error.madrs = { additive = "2 points" }
solver.dtype = "float64"

[arms.sham]
expectancy = "open_label"

[[arms.sham.doses]]
drug = "saline"
route = "intravenous"
amount = "0 mg/kg"
time = "0 h"
duration = "40 min"
"""
SEEN = tuple(
    Observation(patient, "sham", quantity, time, 20.0, sd)
    for patient, quantity, sd in (
        ("a", "madrs_rated", np.nan),
        ("b", "madrs", np.nan),
        ("c", "madrs", 5.0),
    )
    for time in TIMES
)


@pytest.fixture(scope="module")
def plan() -> IndividualPlan:
    return IndividualPlan.parse(TEXT, ".", SEEN)


@pytest.mark.parametrize("score", [3.0, 12.0, 30.0, 52.0])
def test_ratings_scatter_as_drawn_ones(plan, score):
    """The drawn rating is a beta number about a day that fluctuates, rounded."""
    p = Parameters()
    count = 40_000
    noise = Noise(1, np.array([5.0]), np.arange(count))
    drawn = rating(np.full((1, count), score), p, noise)
    sd, _ = Scatter(plan, p).spread(np.full((1, 3), score), np.array([0]))
    assert sd[0, 0] == pytest.approx(drawn.std(), rel=0.03)


def test_slope_of_the_scatter_and_what_is_given(plan):
    scatter = Scatter(plan, Parameters())
    f, step, everybody = np.full((3, 3), 12.0), 1e-5, np.arange(3)
    sd, change = scatter.spread(f, everybody)
    up, down = (scatter.spread(f + s * step, everybody)[0] for s in (1, -1))
    np.testing.assert_allclose(change, (up - down) / (2 * step), atol=1e-8)
    np.testing.assert_allclose(sd[1], 2.0, rtol=1e-3)  # and the least of the readout
    np.testing.assert_array_equal(sd[2], 5.0)


def test_start_of_a_score_moves_with_the_patient(plan):
    march = IndividualMarch(plan, block=16)
    eta = np.array([[0.5, 0.3], [-1.0, 1.0], [0.2, -0.5]])
    everybody = np.arange(3)
    found = march.predict(eta, everybody)
    assert found.slopes is not None
    np.testing.assert_allclose(found.values[:, 0], 33 + 4 * eta[:, 0])  # the law of the baseline
    np.testing.assert_allclose(found.slopes[:, 0], np.tile([4.0, 0.0], (3, 1)), atol=1e-9)
    step = 1e-4
    for k in range(2):
        ends = [
            march.predict(eta + s * step * np.eye(2)[k], everybody, slopes=False).values
            for s in (1, -1)
        ]
        difference = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found.slopes[..., k], difference, rtol=1e-6, atol=1e-7)
    # Who expects more gets better by more.
    assert (found.slopes[:, 1:, 1] < 0).all()
