"""The model under schedules: slopes against differences, the search against a grid.

Toy systems in float64 show the slopes to all digits (`test_stretching`); here float32 and its steps
are enough to see that the right inputs and times are meant.
"""

from pathlib import Path

import numpy as np
import pytest

from ketjax.design.courses import Schedule
from ketjax.design.objective import Objective
from ketjax.design.plan import Design
from ketjax.design.search import maximise

TEXT = (Path(__file__).parents[2] / "fits" / "design.toml").read_text("utf-8")
PATIENTS = 16
GRID = 5
AMOUNT_STEP, TIME_STEP = 0.01, 1.0  # [mg/kg], [h]
PRECISION, ROUNDING = 5e-3, 2e-5  # of differences in float32
CHANGES = {
    "day = 28": "day = 7",
    "infusions = 4": "infusions = 2",
    "high = \"14 day\"": "high = \"5 day\"",
    "shared_amount = false": "shared_amount = true",
    "12 points": "10 points",
}  # fmt: skip


@pytest.fixture(scope="module")
def objective():
    text = TEXT
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    return Objective(Design.parse(text), PATIENTS, pilot=PATIENTS)


@pytest.fixture(scope="module")
def schedule():
    return Schedule(np.array([0.5, 0.6]), np.array([0.0, 60.0]))


@pytest.fixture(scope="module")
def frame(objective, schedule):
    return objective.courses.frame(schedule)


def _worth(objective, frame, schedule):
    worth = objective.worth(frame, schedule)
    return np.append(worth.share, worth.capped)


def test_slopes_by_amounts_and_times_are_those_of_differences(objective, frame, schedule):
    by_amount, by_start = objective.slopes(objective.worth(frame, schedule))
    for k in range(2):
        step = AMOUNT_STEP * (np.arange(2) == k)
        ends = [
            _worth(objective, frame, Schedule(schedule.amounts + sign * step, schedule.starts))
            for sign in (1, -1)
        ]
        np.testing.assert_allclose(
            by_amount[:, k], (ends[0] - ends[1]) / (2 * AMOUNT_STEP), rtol=PRECISION, atol=ROUNDING
        )
    step = np.array([0.0, TIME_STEP])
    ends = [
        _worth(objective, frame, Schedule(schedule.amounts, schedule.starts + sign * step))
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(
        by_start[:, 1], (ends[0] - ends[1]) / (2 * TIME_STEP), rtol=PRECISION, atol=ROUNDING
    )


def test_a_moved_mesh_tells_what_a_mesh_of_its_own_tells(objective, frame, schedule):
    moved = Schedule(schedule.amounts, schedule.starts + np.array([0.0, 6.0]))
    on_its_own = _worth(objective, objective.courses.frame(moved), moved)
    np.testing.assert_allclose(_worth(objective, frame, moved), on_its_own, rtol=2e-3)


def test_the_search_is_as_good_as_the_best_of_a_grid(objective, frame):
    found = maximise(objective, 2)
    assert found.allowed
    best = -np.inf
    for amount in np.linspace(0.1, 1.0, GRID):
        for gap in np.linspace(24.0, 120.0, GRID):
            one = Schedule(np.full(2, amount), np.array([0.0, gap]))
            share, *capped = _worth(objective, frame, one)
            best = max(best, share if max(capped) <= 10.0 else -np.inf)
    # Grid and search are on different meshes.
    assert found.worth.share >= best - 1e-3
