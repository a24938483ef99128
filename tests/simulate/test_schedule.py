"""Doses, edges and outputs: what acts when, also where times meet."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketjax.model.parameters import Gates, Parameters
from ketjax.population import Recipe, draw
from ketjax.regimen import Blocker, Dose, Gate, Mechanism, Regimen, Session, merge_times
from ketjax.schedule import doses, edges_of, forcing_of, impulses_of
from ketjax.simulate import Simulation, Treatment

PLASMA = ("plasma_ketamine",)
MICROMOL = 1000 / 237.73


def test_amounts_are_those_of_the_doses() -> None:
    """Rates times durations, and impulses, add up to the prescribed amounts."""
    p = Parameters()
    regimen = Regimen(
        (
            Dose("ketamine", "intravenous", 40.0, False, 0.0, 1.0),
            Dose("ketamine", "intravenous", 20.0, False, 0.5, 1.0),  # overlaps: rates add
            Dose("esketamine", "intranasal", 84.0, False, 2.0),
            Dose("ketamine", "oral", 0.5, True, 3.0),
        )
    )
    bounds = np.append(edges_of(regimen, p), 10.0)
    rates = forcing_of(regimen, p, bounds).rates
    impulses = impulses_of(regimen, p, bounds)
    hours = np.diff(bounds)
    total = (rates.s_ketamine.intravenous * hours).sum() / MICROMOL
    np.testing.assert_allclose(total, 30.0)
    assert rates.s_ketamine.intravenous.max() == pytest.approx(30.0 * MICROMOL)
    nasal = impulses.s_ketamine.nasal.sum() + impulses.s_ketamine.nasal_later.sum()
    np.testing.assert_allclose(nasal / MICROMOL, 84.0)
    np.testing.assert_allclose(impulses.s_ketamine.nasal.sum() / MICROMOL, 28.0)
    assert not np.any(impulses.r_ketamine.nasal)
    per_kg = (rates.r_ketamine_per_kg.oral * hours).sum() / MICROMOL
    np.testing.assert_allclose(per_kg, 0.25)


infusions = st.builds(
    Dose,
    drug=st.sampled_from(["ketamine", "esketamine", "arketamine", "midazolam"]),
    route=st.just("intravenous"),
    amount=st.floats(0, 1000),
    per_kg=st.booleans(),
    time=st.floats(0, 300),
    duration=st.just(0.0) | st.floats(0.01, 100),
)


@given(st.lists(infusions, min_size=1, max_size=6))
def test_what_is_delivered_is_what_was_prescribed(given_doses: list[Dose]) -> None:
    p, weight = Parameters(), np.array([50.0, 70.0, 120.0])
    regimen = Regimen(tuple(given_doses))
    bounds = merge_times(edges_of(regimen, p), [0.0, 1000.0])
    for enantiomer, other in (("esketamine", "arketamine"), ("arketamine", "esketamine")):
        shares = {"ketamine": 0.5, enantiomer: 1.0, other: 0.0}
        prescribed = sum(
            shares.get(dose.drug, 0.0) * dose.amount * (weight if dose.per_kg else np.ones(3))
            for dose in given_doses
        )
        place = 0 if enantiomer == "esketamine" else 1
        rates = forcing_of(regimen, p, bounds).rates
        pumped = doses(rates, weight[:, None])[place].intravenous @ np.diff(bounds)
        at_once = doses(impulses_of(regimen, p, bounds), weight[:, None])[place].intravenous
        delivered = (pumped + at_once.sum(axis=1)) / MICROMOL
        np.testing.assert_allclose(delivered, prescribed, rtol=1e-6, atol=1e-9)


def test_a_bolus_between_the_edges_is_not_lost_in_silence() -> None:
    p = Parameters()
    regimen = Regimen((Dose("ketamine", "intravenous", 100.0, time=1.0),))
    amounts = impulses_of(regimen, p, np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(amounts.s_ketamine.intravenous / MICROMOL, [0, 50])
    with pytest.raises(ValueError, match=r"1\.0 h"):
        impulses_of(regimen, p, np.array([0.0, 2.0, 3.0]))


def test_windows_of_sessions_and_gates() -> None:
    p = Parameters()
    regimen = Regimen(
        (
            Dose("saline", "intravenous", 0.0, True, 1.0, 2 / 3),
            Session(4.0, 1.5, 0.5),
            Blocker("ampa", 0.8, 2.0, 3.0),
            Gate("autoinhibition", 10.0, 0.5, 2.0),
        )
    )
    bounds = np.concatenate([[0.0], edges_of(regimen, p), [10.0]])
    forcing = forcing_of(regimen, p, bounds)
    hours = np.diff(bounds)
    assert (forcing.session * hours).sum() == pytest.approx(1.0)
    assert (forcing.psychotherapy * hours).sum() == pytest.approx(0.75)
    assert (forcing.lost.ampa * hours).sum() == pytest.approx(2.4)
    assert (forcing.lost.autoinhibition * hours).sum() == pytest.approx(-18)
    assert not np.any(forcing.lost.trkb)


def test_every_mechanism_of_a_regimen_is_a_gate_of_the_model() -> None:
    assert get_args(Mechanism) == tuple(field.name for field in dataclasses.fields(Gates))


def solved(regimens: dict[str, Regimen], times: tuple[float, ...]) -> np.ndarray:
    """Plasma ketamine of the typical patient, shape (arm, time)."""
    arms = {name: Treatment(regimen) for name, regimen in regimens.items()}
    recipe = Recipe(typical=True)
    solution = Simulation(recipe, arms, times, names=PLASMA, dtype="float64").solve(
        draw(recipe, [0])
    )
    assert np.all(solution.status == 0)
    return solution.readouts["plasma_ketamine"][:, :, 0]


def test_doses_after_the_last_output_are_not_given_earlier() -> None:
    late = Regimen((Dose("ketamine", "intravenous", 10.0, False, 48.0),))
    at_the_end = Regimen((Dose("ketamine", "intravenous", 10.0, False, 24.0),))
    early = Regimen((Dose("ketamine", "intravenous", 10.0, False, 0.0),))
    plasma = solved({"late": late, "end": at_the_end, "early": early}, (0.0, 1.0, 24.0))
    assert np.all(plasma[:2] == 0) and plasma[2, 1] > 10


def test_an_edge_that_differs_from_an_output_by_rounding_is_that_output() -> None:
    ten, forty, fifty = 10 / 60, 40 / 60, 50 / 60
    assert ten + forty != fifty
    regimen = Regimen((Dose("ketamine", "intravenous", 35.0, False, ten, forty),))
    plasma = solved({"a": regimen}, (0.0, ten, fifty, 1.0))[0]
    shifted = Regimen((Dose("ketamine", "intravenous", 35.0, False, 0.0, forty),))
    same = solved({"a": shifted}, (0.0, forty, forty + 1.0 - fifty))[0]
    np.testing.assert_allclose(plasma[2:], same[1:], rtol=1e-4)
    np.testing.assert_allclose(plasma[2], 190.3, rtol=0.005)


def test_an_arm_has_its_own_session_length() -> None:
    regimen = Regimen((Dose("saline", "intravenous", 0.0, True, 0.0, 2 / 3),))
    arms = {
        "usual": Treatment(regimen, "open_label"),
        "long": Treatment(regimen, "open_label", {"expectancy.session_duration": 3.0}),
    }
    recipe = Recipe(typical=True)
    simulation = Simulation(recipe, arms, (0.0, 3.0), names=("expectancy",), dtype="float64")
    usual, longer = simulation.solve(draw(recipe, [0])).readouts["expectancy"][:, 1, 0]
    assert longer > 1.5 * usual
