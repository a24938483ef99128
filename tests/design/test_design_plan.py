"""The manifest of a design: what is refused, and what is read back."""

from pathlib import Path

import numpy as np
import pytest

from ketjax.design.courses import Schedule
from ketjax.design.plan import Design
from ketjax.design.search import Variables
from ketjax.errors import StudyError

EXAMPLE = Path(__file__).parents[2] / "fits" / "design.toml"
TEXT = EXAMPLE.read_text("utf-8")


def test_the_example_is_read_back_from_its_own_text():
    design = Design.read(EXAMPLE)
    assert Design.parse(design.to_dict()) == design
    assert design.per_kg
    assert design.span > max(design.looks[:-1])


@pytest.mark.parametrize(
    ("old", "new", "place", "code"),
    [
        ("infusions = 4", "infusions = 40", "design.infusions", "no_room"),
        ('low = "0.1 mg/kg"', 'low = "3 mg"', "design.amount", "unit"),
        ('low = "0.1 mg/kg"', 'low = "2 mg/kg"', "design.amount", "empty_range"),
        ('high = "1 mg/kg"', 'high = "30 mg/kg"', "design.amount.high", "extrapolation"),
        ('{ low = "1 day", high', '{ low = "1 h", high', "design.gap.low", "out_of_range"),
        ('rest = "1 day"', 'rest = "1 h"', "design.rest", "out_of_range"),
        ('dissociation = "12 points"', 'dissociation = "0 points"',
         "design.cap.dissociation", "out_of_range"),
        ('route = "intravenous"', 'route = "intranasal"', "arm.route", "whole"),
        ('expectancy = "open_label"', 'expectancy = "open"', "arm.expectancy", "unknown_name"),
        ('seed = 20', 'seed = 20\nspecies = "rat"', "population.species", "species"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(old, new, place, code):
    assert old in TEXT
    with pytest.raises(StudyError) as caught:
        Design.parse(TEXT.replace(old, new, 1))
    assert (place, code) in {(one.place, one.code) for one in caught.value.problems}


def test_all_problems_are_reported_at_once():
    text = TEXT.replace('rest = "1 day"', 'rest = "x"').replace("duration", "length")
    with pytest.raises(StudyError) as caught:
        Design.parse(text.replace("patients = 256", "patients = 0"))
    places = {one.place for one in caught.value.problems}
    assert {"design.rest", "arm.length", "population.patients"} <= places


@pytest.mark.parametrize("shared", [False, True])
def test_numbers_become_schedules_and_their_slopes_follow_the_chain_rule(shared):
    text = TEXT.replace("shared_amount = false", f"shared_amount = {str(shared).lower()}")
    variables = Variables(Design.parse(text), 3)
    x = np.linspace(0.2, 0.6, variables.size)
    schedule = variables.schedule(x)
    np.testing.assert_allclose(variables.numbers(schedule), x)
    weights = np.array([[1.0, -2.0, 0.5]]), np.array([[3.0, 0.7, -1.1]])

    def weighed(x):
        one = variables.schedule(x)
        return weights[0][0] @ one.amounts + weights[1][0] @ one.starts

    for k, slope in enumerate(variables.pull(*weights)[0]):
        step = 1e-3 * (np.arange(x.size) == k)
        assert slope == pytest.approx((weighed(x + step) - weighed(x - step)) / 2e-3)


def test_the_last_infusion_leaves_the_rest():
    variables = Variables(Design.parse(TEXT), 4)
    last = variables.schedule(variables.feasible(np.ones(variables.size))).starts[-1]
    assert last == pytest.approx(27 * 24.0)


def test_an_arm_gives_the_schedule():
    design = Design.parse(TEXT)
    schedule = Schedule(np.array([0.5, 0.25]), np.array([0.0, 100.0]))
    arm = design.arm_of(schedule.amounts, schedule.starts)
    assert arm.regimen == design.regimen_of(schedule.amounts, schedule.starts)
