"""Outcomes beside the cascade against the check values of the science base, typical patient."""

import numpy as np
import pytest

from ketjax.model.parameters import Parameters
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import Simulation, Treatment

MINUTE = 1 / 60
TIMES = tuple(sorted({*(np.arange(0, 121) * MINUTE), 4.0, 8.0, 24.0, 48.0, 72.0, 168.0, 336.0}))
ARMS = {
    "iv 0.5": Dose("ketamine", "intravenous", 0.5, True, 0.0, 40 * MINUTE),
    "iv 1.0": Dose("ketamine", "intravenous", 1.0, True, 0.0, 40 * MINUTE),
    "nasal 84": Dose("esketamine", "intranasal", 84.0),
    "sc 0.25": Dose("ketamine", "subcutaneous", 0.25, True),
    "sc 0.5": Dose("ketamine", "subcutaneous", 0.5, True),
    "sc 1.0": Dose("ketamine", "subcutaneous", 1.0, True),
    "iv R 0.5": Dose("arketamine", "intravenous", 0.5, True, 0.0, 40 * MINUTE),
}
NAMES = (
    "systolic_pressure",
    "diastolic_pressure",
    "heart_rate",
    "heat_pain",
    "sedation",
    "unresponsive",
    "anxiety",
    "il6",
    "rumination",
    "plasma_bdnf",
    "mrs_glutamate",
    "mrs_glutamine",
    "sv2a_binding",
    "synapse_gain",
)
Found = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def found() -> Found:
    """Readouts of the typical patient in all arms, (arm, time)."""
    recipe = Recipe(typical=True, values={"anxiety.weight_mood": 0.0})
    arms = {name: Treatment(Regimen((dose,))) for name, dose in ARMS.items()}
    simulation = Simulation(recipe, arms, TIMES, names=NAMES, dtype="float64", rtol=1e-5)
    solution = simulation.solve(draw(recipe, [0]))
    assert np.all(solution.status == 0)
    return {name: values[..., 0] for name, values in solution.readouts.items()}


def course(found: Found, name: str, arm: str) -> np.ndarray:
    return found[name][list(ARMS).index(arm)]


def at(found: Found, name: str, arm: str, *hours: float) -> np.ndarray:
    places = [int(np.abs(np.array(TIMES) - hour).argmin()) for hour in hours]
    return course(found, name, arm)[places]


@pytest.mark.parametrize(
    ("arm", "peak", "minute", "later"),
    [  # rise of mean pressure: peak, its time, and 80 min, 2 h, 4 h
        ("iv 0.5", 12.8, 41, (5.9, 4.8, 2.7)),
        ("iv 1.0", 17.1, 32, (8.4, 7.1, 4.4)),
        ("nasal 84", 13.7, 24, (6.8, 5.8, 3.9)),
        ("sc 1.0", 16.4, 24, (8.8, 7.0, 4.2)),
        ("iv R 0.5", 4.4, 43, (1.8, 1.4, 0.7)),
    ],
)
def test_pressure(
    found: Found, arm: str, peak: float, minute: float, later: tuple[float, ...]
) -> None:
    c = Parameters().circulation
    rise = (course(found, "systolic_pressure", arm) - c.resting_systolic) / c.systolic_share
    assert rise.max() == pytest.approx(peak, rel=0.02)
    assert TIMES[int(rise.argmax())] * 60 == pytest.approx(minute, abs=3)
    seen = at(found, "systolic_pressure", arm, 80 * MINUTE, 2.0, 4.0) - c.resting_systolic
    np.testing.assert_allclose(seen / c.systolic_share, later, atol=0.15)


def test_both_pressures_and_heart_rate(found: Found) -> None:
    c, end = Parameters().circulation, 40 * MINUTE
    systolic = at(found, "systolic_pressure", "iv 0.5", end)[0] - c.resting_systolic
    diastolic = at(found, "diastolic_pressure", "iv 0.5", end)[0] - c.resting_diastolic
    np.testing.assert_allclose((systolic, diastolic), (16.1, 11.1), atol=0.2)
    for arm, peak in (("iv 0.5", 7.7), ("iv 1.0", 12.8), ("nasal 84", 7.0), ("sc 1.0", 9.7)):
        rise = course(found, "heart_rate", arm) - c.resting_heart_rate
        assert rise.max() == pytest.approx(peak, abs=0.15), arm


@pytest.mark.parametrize(
    ("arm", "values"),
    [  # heat pain at 20 min, 40 min, 1, 2, 4 and 8 h, before the end of the scale bends it
        ("iv 0.5", (5.65, 4.72, 5.31, 6.47, 7.36, 7.91)),
        ("nasal 84", (5.40, 5.19, 5.27, 6.08, 7.19, 8.03)),
        ("sc 1.0", (4.34, 4.22, 4.55, 5.55, 6.82, 7.77)),
    ],
)
def test_pain(found: Found, arm: str, values: tuple[float, ...]) -> None:
    seen = at(found, "heat_pain", arm, 20 * MINUTE, 40 * MINUTE, 1.0, 2.0, 4.0, 8.0)
    np.testing.assert_allclose(seen, values, rtol=0.02)


def test_sedation_at_the_peak(found: Found) -> None:
    for arm, sedated in (("iv 0.5", 0.48), ("iv 1.0", 0.84), ("nasal 84", 0.46)):
        assert course(found, "sedation", arm).max() == pytest.approx(sedated, abs=0.015), arm
    assert course(found, "unresponsive", "iv 1.0").max() == pytest.approx(0.011, abs=0.001)
    assert course(found, "unresponsive", "iv 0.5").max() == pytest.approx(0.0003, abs=5e-5)


@pytest.mark.parametrize(
    ("arm", "falls"),
    [  # fall of anxiety [%] at 0.5, 1, 2, 4, 24, 72 h, 7 and 14 d
        ("sc 0.25", (3.0, 7.7, 11.3, 13.2, 12.4, 8.3, 3.7, 0.9)),
        ("sc 0.5", (15.2, 31.7, 41.1, 42.9, 35.4, 23.7, 10.7, 2.6)),
        ("sc 1.0", (31.8, 50.0, 59.4, 60.8, 45.7, 30.6, 13.8, 3.4)),
        ("iv 0.5", (15.0, 39.1, 46.5, 47.1, 38.1, 25.5, 11.5, 2.8)),
    ],
)
def test_anxiety(found: Found, arm: str, falls: tuple[float, ...]) -> None:
    seen = at(found, "anxiety", arm, 0.5, 1.0, 2.0, 4.0, 24.0, 72.0, 168.0, 336.0)
    np.testing.assert_allclose(100 * (1 - seen / Parameters().anxiety.baseline), falls, atol=0.6)


def test_interleukin_6(found: Found) -> None:
    """Change of its logarithm; the printed slow part is that of rounded numbers."""
    start = course(found, "il6", "iv 0.5")[0]
    seen = np.log(at(found, "il6", "iv 0.5", 1.0, 2.0, 4.0, 8.0, 24.0, 72.0, 168.0) / start)
    np.testing.assert_allclose(seen, (0.02, 0.06, 0.10, 0.06, -0.05, -0.04, -0.02), atol=0.02)


def test_what_scanners_see_is_small(found: Found) -> None:
    assert 1.005 < course(found, "mrs_glutamate", "iv 0.5").max() < 1.04  # detection limit 4 %
    assert 1.02 < course(found, "mrs_glutamine", "iv 0.5").max() < 1.10  # detection limit 10 %
    gain = found["synapse_gain"][0, 0]
    np.testing.assert_allclose(found["sv2a_binding"][0, 0], 1 + 0.4 * gain, rtol=1e-12)
    late = at(found, "rumination", "iv 0.5", 24.0, 168.0)
    assert late[0] > late[1] and late[1] < 0.97  # follows mood with a lag
    assert 1.0 < (course(found, "plasma_bdnf", "iv 0.5") / 9.0).max() < 1.1
