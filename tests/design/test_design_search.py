"""The search: on an objective whose best schedule is known, and what the report makes of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ketjax.design.courses import Course, Schedule
from ketjax.design.objective import Worth
from ketjax.design.plan import Design
from ketjax.design.report import Report
from ketjax.design.search import Found, maximise
from ketjax.errors import TooManyFailures
from ketjax.study import Study

TEXT = (Path(__file__).parents[2] / "fits" / "design.toml").read_text("utf-8")
WANTED, GAP, SLOPE = 0.8, 72.0, 20.0
PATIENTS = 10


class _Known:
    """The share falls with the squares of departures; dissociation is in proportion to the amount.

    Each amount would be 0.8; under a cap of 12 points all are 0.6, and all gaps 72 h.
    """

    def __init__(self, design, bonus=0.02):
        self.design, self._bonus = design, bonus
        self.frames = 0
        self.courses = SimpleNamespace(frame=self._frame)

    def _frame(self, schedule):
        self.frames += 1

    def worth(self, frame, schedule):
        amounts, gaps = schedule.amounts, np.diff(schedule.starts)
        share = 0.3 + self._bonus * schedule.infusions - ((amounts - WANTED) ** 2).sum() / 4
        share -= (((gaps - GAP) / 240) ** 2).sum()
        spread = np.linspace(-0.1, 0.1, PATIENTS)
        highest = SLOPE * amounts[:, None] * (1 + spread)
        well = np.ones(PATIENTS, bool)
        course = Course(spread, spread[None, None], well, np.abs(spread), schedule, frame, [])
        return Worth(share, SLOPE * amounts, share + spread, highest, course)

    def slopes(self, worth):
        schedule = worth.course.schedule
        k = schedule.infusions
        by_gap = -2 * (np.diff(schedule.starts) - GAP) / 240**2
        by_start = np.zeros((1 + k, k))
        by_start[0, 1:] += by_gap
        by_start[0, :-1] -= by_gap
        by_amount = np.vstack([-(schedule.amounts - WANTED) / 2, SLOPE * np.eye(k)])
        return by_amount, by_start


def _report(text=TEXT, **options):
    objective: Any = _Known(Design.parse(text), **options)
    found: list[Found] = []
    for infusions in range(1, 4):
        found.append(maximise(objective, infusions, found[-1].schedule if found else None))
    counted = [np.arange(PATIENTS) < 3 + one.schedule.infusions for one in found]
    return Report(objective.design, found, [values.astype(float) for values in counted])


def test_the_best_schedule_under_a_binding_cap_is_found():
    report = _report()
    for one in report.found:
        np.testing.assert_allclose(one.schedule.amounts, 0.6, atol=2e-3)
        np.testing.assert_allclose(np.diff(one.schedule.starts), GAP, atol=1.0)
        assert one.allowed
    assert {row["cap"] for row in report.rows()} == {"binds"}


def test_without_a_cap_the_amounts_are_those_wanted():
    report = _report(TEXT.replace('cap = { dissociation = "12 points" }', ""))
    np.testing.assert_allclose(report.found[1].schedule.amounts, WANTED, atol=5e-3)
    assert {row["cap"] for row in report.rows()} == {"none"}


def test_the_report_names_the_best_and_compares_patient_by_patient():
    report = _report()
    assert report.best == 2
    rows = report.rows()
    shares = [one.worth.share for one in report.found]
    assert rows[0]["less_than_best"] == pytest.approx(shares[2] - shares[0])
    # All patients differ by the same: the comparison is exact though each share is not.
    assert rows[0]["less_than_best_se"] == pytest.approx(0, abs=1e-12)
    assert rows[0]["share_se"] > 0.01
    assert rows[1]["share_counted"] == pytest.approx(0.5)
    assert "not advice" in report.text()
    assert report.table().count("\n") == 4


def test_the_arm_can_be_pasted_into_a_study():
    report = _report(
        TEXT.replace('"open_label"', '"open_label"\nparameters = {"score.baseline" = "30 points"}')
    )
    head = """
name = "pasted"
[population]
patients = 2
seed = 1
[output]
horizon = "28 day"
times = ["28 day"]
"""
    arm = Study.parse(head + report.arm_text()).arms["designed"]
    best = report.found[report.best].schedule
    assert arm.expectancy == "open_label"
    assert arm.parameters == {"score.baseline": 30.0}
    doses = arm.regimen.doses
    np.testing.assert_allclose([dose.amount for dose in doses], best.amounts, rtol=1e-3)
    np.testing.assert_allclose([dose.time for dose in doses], best.starts, atol=0.051)
    assert {(dose.drug, dose.duration, dose.per_kg) for dose in doses} == {
        ("ketamine", 2 / 3, True)
    }


def test_a_cap_that_no_schedule_keeps_is_told():
    with pytest.raises(TooManyFailures, match="keeps the cap"):
        _ = _report(TEXT.replace("12 points", "1 points")).best


def test_a_schedule_keeps_its_bounds():
    found = _report(TEXT.replace('high = "14 day"', 'high = "2 day"')).found[2]
    assert isinstance(found.schedule, Schedule)
    np.testing.assert_allclose(np.diff(found.schedule.starts), 48.0, atol=1e-6)
