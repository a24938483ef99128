"""Midazolam as a comparator: its own course in closed form, and nothing but its own effects."""

import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.model import comparator
from ketjax.model.parameters import Parameters
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import READOUT_NAMES, Simulation, Treatment

TIMES = (0.0, 1 / 3, 2 / 3, 1.0, 2.5, 5.0, 24.0, 72.0)
LENGTH = 2 / 3
OWN = ("default_mode_connectivity", "salience_connectivity", "anxiety", "sedation")
P = Parameters()
KETAMINE = Dose("ketamine", "intravenous", 0.5, True, 0.0, LENGTH)


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, np.ndarray]]:
    """All readouts of the typical patient by readout and arm, each (time,) or (region, time)."""
    doses = {
        "bolus": Dose("midazolam", "intravenous", 0.045, True, 0.0),
        "infusion": Dose("midazolam", "intravenous", 0.045, True, 0.0, LENGTH),
        # The typical patient's weight makes the same dose of it.
        "in mg": Dose("midazolam", "intramuscular", 0.045 * P.demography.weight, False, 0.0),
        "saline": Dose("saline", "intravenous", 0.0, True, 0.0, LENGTH),
        "double": Dose("midazolam", "intravenous", 0.09, True, 0.0),
    }
    arms = {name: Treatment(Regimen((d,)), "midazolam_parallel") for name, d in doses.items()}
    both = Regimen((KETAMINE, doses["infusion"]))
    arms |= {"both": Treatment(both), "ketamine": Treatment(Regimen((KETAMINE,)))}
    recipe = Recipe(typical=True)
    march = Simulation(recipe, arms, TIMES, names=READOUT_NAMES, dtype="float64", rtol=1e-6)
    solution = march.solve(draw(recipe, [0]))
    assert np.all(solution.status == 0)
    return {
        name: dict(zip(arms, values[..., 0], strict=True))
        for name, values in solution.readouts.items()
    }


def amount(infused: bool) -> np.ndarray:
    """Mz by its closed form."""
    rate, t = np.log(2) / 2.5, np.array(TIMES)
    if not infused:
        # The first output stands before the dose, as everywhere.
        return np.where(t > 0, np.exp(-rate * t), 0.0)
    given = np.minimum(t, LENGTH)
    return (1 - np.exp(-rate * given)) / (rate * LENGTH) * np.exp(-rate * (t - given))


@pytest.mark.parametrize(("arm", "infused"), [("bolus", False), ("in mg", False), ("infusion", 1)])
def test_course_and_effects(found, arm: str, infused: bool) -> None:
    midazolam, saline = amount(infused), {name: found[name]["saline"] for name in OWN}
    shown = {name: found[name][arm] for name in OWN}
    fall = P.connectivity.acute_fall_midazolam
    np.testing.assert_allclose(
        shown["salience_connectivity"], -fall / 2 * midazolam, rtol=1e-4, atol=1e-4
    )
    difference = shown["default_mode_connectivity"] - saline["default_mode_connectivity"]
    np.testing.assert_allclose(difference, -fall * midazolam, rtol=1e-4, atol=1e-4)
    calmer = 1 - P.anxiety.weight_midazolam * midazolam
    np.testing.assert_allclose(shown["anxiety"], saline["anxiety"] * calmer, rtol=1e-4, atol=1e-4)
    sedated = midazolam**2 / (midazolam**2 + P.arousal.sedation_half_midazolam**2)
    np.testing.assert_allclose(shown["sedation"], sedated, rtol=1e-4, atol=1e-4)


def test_nothing_else_sees_it(found) -> None:
    """To the last bit, the score among them, without and with ketamine."""
    for name in set(READOUT_NAMES) - set(OWN):
        for arm in ("bolus", "infusion", "in mg", "double"):
            assert found[name][arm].tobytes() == found[name]["saline"].tobytes(), (name, arm)
        assert found[name]["both"].tobytes() == found[name]["ketamine"].tobytes(), name


def test_it_sedates_beside_ketamine_and_calms_no_more_than_its_share(found) -> None:
    sedation = {arm: found["sedation"][arm] for arm in ("both", "ketamine", "infusion")}
    awake = (1 - sedation["ketamine"]) * (1 - sedation["infusion"])
    np.testing.assert_allclose(1 - sedation["both"], awake, rtol=1e-5)
    least = 1 - P.anxiety.weight_midazolam
    assert np.all(found["anxiety"]["double"] >= least * found["anxiety"]["saline"] - 1e-9)


def test_without_midazolam_its_factors_are_exactly_one() -> None:
    for probability in (0.0, 0.1, 0.7):
        assert comparator.with_sedation(probability, 0.0, P.arousal) == probability
    assert float(comparator.calmed(jnp.zeros(()), P.anxiety)) == 1.0
