"""The mood layer: what sessions keep, what needs days, and what the surge itself lifts."""

import dataclasses
import math

import numpy as np
import pytest

from ketjax.model import mood
from ketjax.model.parameters import Expectancy, Score, TrialDesign
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Gate, Regimen, repeat
from ketjax.simulate import Simulation, Solution, Treatment

DAY = 24.0
DESIGN = "nasal_placebo_new_antidepressant"
SHAM = Regimen(repeat(Dose("saline", "intranasal", 0.0), 3.5 * DAY, 8))
INFUSION = Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3)
ARMS = {
    "no sessions": Treatment(Regimen(), DESIGN),
    "one session": Treatment(Regimen(SHAM.events[:1]), DESIGN),
    "eight sessions": Treatment(SHAM, DESIGN),
    "infusion": Treatment(Regimen((INFUSION,))),
    "deaf": Treatment(Regimen((INFUSION,)), "none", {"score.weight_activation": 0.0}),
    "blocked": Treatment(Regimen((INFUSION, Gate("ampa", 0.0, 0.0, DAY)))),
}
TIMES = (0.0, 2 / 3, 1.0, 2.0, DAY, 7 * DAY, 14 * DAY, 28 * DAY, 56 * DAY)


@pytest.fixture(scope="module")
def solution() -> Solution:
    recipe = Recipe(typical=True)
    simulation = Simulation(
        recipe, ARMS, TIMES, names=("expectancy", "madrs"), dtype="float64", rtol=1e-5
    )
    return simulation.solve(draw(recipe, [0]))


def course(solution: Solution, arm: str, name: str) -> np.ndarray:
    return solution.readouts[name][list(ARMS).index(arm), :, 0]


def test_sessions_take_nothing_from_a_course(solution: Solution) -> None:
    """The course alone has a closed form; whoever has sessions is never below it."""
    p, design = Expectancy(), getattr(Recipe(typical=True).typical_patient().designs, DESIGN)
    built = -np.expm1(-p.course_rate * np.array(TIMES)) * (design.course + design.antidepressant)
    none = course(solution, "no sessions", "expectancy")
    np.testing.assert_allclose(none, built, atol=1e-5)
    for arm in ("one session", "eight sessions"):
        assert np.all(course(solution, arm, "expectancy") >= none - 1e-6), arm
    eight, one = (course(solution, arm, "madrs") for arm in ("eight sessions", "one session"))
    assert np.all(eight <= one + 0.05)  # [points]


def test_a_session_lifts_to_its_own_level() -> None:
    p = Expectancy()
    design = TrialDesign(fast=0.0, session=0.3, course=0.0, antidepressant=0.0)

    def rate(level: float) -> float:
        return float(mood.session_expectancy_rate(level, 1.0, design, p))

    assert rate(0.0) == pytest.approx(p.session_approach * 0.3, rel=0.01)
    for level in (0.4, 0.9):  # above the session's own level only the course acts
        assert rate(level) == pytest.approx(-p.course_rate * level, rel=0.02)


def test_the_slow_share_delays_and_takes_nothing_away() -> None:
    """At rest the share of slow symptoms does not matter; before, they are what is missing."""
    p = Score()
    for share in (0.0, 0.2, 0.5):
        own = dataclasses.replace(p, slow_share=share)
        settled = mood.score_rate(20.0, 0.6, 0.6, 1.0, own)
        early = mood.score_rate(20.0, 0.6, 0.0, 1.0, own)
        assert settled == pytest.approx(mood.score_rate(20.0, 0.6, 0.6, 1.0, p))
        missing = p.score_rate * p.baseline * p.improvable_share * share * 0.6
        assert early - settled == pytest.approx(missing)
    assert mood.slow_relief_rate(0.2, 0.6, p) == pytest.approx(0.4 / p.slow_time)


def test_the_surge_itself_lifts_mood_and_needs_ampa_receptors(solution: Solution) -> None:
    """At 40 min the whole difference is the surge's; a day later it has left nothing."""
    heard, deaf, blocked = (course(solution, a, "madrs") for a in ("infusion", "deaf", "blocked"))
    assert heard[1] < deaf[1] - 0.5
    assert abs(heard[4] - deaf[4]) < 0.3
    assert blocked[1] > deaf[1] - 0.1
    assert math.isclose(blocked[4], blocked[0], abs_tol=0.2)
