"""Measured readouts have the noise that their method is known for."""

import numpy as np
import pytest

from ketjax.model.parameters import Parameters
from ketjax.model.readouts import READOUTS
from ketjax.observation import OBSERVED, Noise, needed, observe
from ketjax.observation.markers import LAWS

TIMES = np.array([0.0, 24.0])
PATIENTS = np.arange(20_000)


def measured(name: str, value: float) -> np.ndarray:
    """(time, patient), or (region, time, patient), of a readout that is the same for all."""
    regions = (2,) if READOUTS[name].regional else ()
    values = np.full((1, *regions, TIMES.size, PATIENTS.size), value)
    shown = f"{name}_measured"
    return observe([shown], {name: values}, [Parameters()], Noise(3, TIMES, PATIENTS))[shown][0]


@pytest.mark.parametrize(
    ("name", "cv"),
    [
        ("il6", 0.45),
        ("crp", 0.45),
        ("tnf", 0.15),
        ("plasma_bdnf", 0.25),
        ("mrs_glutamate", 0.063),
        ("mrs_glutamine", 0.063),
        ("dialysate_glutamate", 0.15),
    ],
)
def test_relative_noise(name: str, cv: float) -> None:
    """Log-normal about the value, with the coefficient of variation; SE of it below 1 %."""
    found = measured(name, 3.0)
    assert found.std() / found.mean() == pytest.approx(cv, rel=0.03)
    assert np.median(found) == pytest.approx(3.0, rel=0.01)
    assert found.min() > 0


@pytest.mark.parametrize(
    ("name", "sd"),
    [
        ("systolic_pressure", 6.0),
        ("diastolic_pressure", 5.0),
        ("heart_rate", 4.0),
        ("default_mode_connectivity", 0.82),
        ("salience_connectivity", 0.82),
    ],
)
def test_additive_noise(name: str, sd: float) -> None:
    found = measured(name, 80.0)
    assert found.std() == pytest.approx(sd, rel=0.02)
    assert found.mean() == pytest.approx(80.0, abs=0.01 * sd * 3)


def test_two_scans_of_sv2a_differ_as_in_the_retest() -> None:
    first, second = measured("sv2a_binding", 1.0)[0]
    assert (second / first - 1).std() == pytest.approx(0.085, rel=0.02)


def test_regions_are_measured_apart() -> None:
    a, b = measured("dialysate_glutamate", 1.0)
    assert abs(np.corrcoef(a[1], b[1])[0, 1]) < 0.03


def test_every_law_has_its_row() -> None:
    assert {f"{name}_measured" for name in LAWS} <= OBSERVED.keys()
    for name in LAWS:
        row = OBSERVED[f"{name}_measured"]
        assert (row.unit, row.regional) == (READOUTS[name].unit, READOUTS[name].regional)


def test_needed_readouts_are_computed_once() -> None:
    asked = ("il6_measured", "madrs_rated", "il6", "hamd17_rated")
    assert needed(asked) == ("il6", "madrs")
