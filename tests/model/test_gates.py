"""Gates: alone they do nothing, each acts where its mechanism does, for as long as it is open."""

import dataclasses

import jax
import numpy as np
import pytest

from ketjax.model import cascade
from ketjax.model.covariates import individual
from ketjax.model.gates import UNTOUCHED, gate_levels, gated_parameters
from ketjax.model.inputs import Inputs
from ketjax.model.parameters import Gates, Parameters, replace
from ketjax.model.states import rows
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Gate, Regimen
from ketjax.simulate import Simulation, Treatment

NAMES = tuple(field.name for field in dataclasses.fields(Gates))
INFUSION = Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3)
LONG = 336.0
# A gate, and the parameters that silence the same mechanism without it.
TWINS = {
    "l_type_calcium": {"bdnf.release_gain": 0.0, "bdnf.calcium_effect_on_translation": 0.0},
    "interneuron_nmda": {"circuit.interneuron_nmda_dependence": 0.0},
    "pyramidal_nmda": {
        "circuit.pyramidal_nmda_dependence": 0.0,
        "bdnf.eef2_effect_of_resting_block": 0.0,
    },
    "disinhibition": {"circuit.disinhibition_gain": 0.0},
    "presynaptic": {"glutamate.direct_presynaptic_gain": 0.0},
    "habenula": {"receptors.kd_habenula": 1e9},
    "inflammation": {"inflammation.anti_inflammatory_gain": 0.0},
    "network_depression": {"circuit.depression_half_concentration": 1e3},
    "default_mode": {"network.gain_from_synapses": 0.0, "network.gain_from_potentiation": 0.0},
    "expectancy": {"expectancy.gain": 0.0, "expectancy.course_gain": 0.0},
}


def gated(name: str, level: float, time: float = 0.0, duration: float = LONG) -> Treatment:
    return Treatment(Regimen((INFUSION, Gate(name, level, time, duration))), "open_label")


@pytest.fixture(scope="module")
def found() -> dict[str, np.ndarray]:
    """Readouts of the typical patient by arm: gates as events, as parameters, and their twins."""
    plain = Regimen((INFUSION,))
    arms = {
        "none": Treatment(plain, "open_label"),
        **{f"event {name}": gated(name, 0.0) for name in (*TWINS, "ampa", "trkb", "opioid")},
        **{
            f"parameter {name}": Treatment(plain, "open_label", {f"gates.{name}": 0.0})
            for name in (*TWINS, "ampa", "trkb")
        },
        **{f"twin {name}": Treatment(plain, "open_label", v) for name, v in TWINS.items()},
        "half ampa": gated("ampa", 0.5),
        "agonist": gated("autoinhibition", 10.0),
        "too late": gated("ampa", 0.0, 24.0),
        "over before": gated("trkb", 0.0, 0.0, 1e-3),
        "opioid share": Treatment(
            Regimen((INFUSION, Gate("opioid", 0.0, 0.0, LONG))),
            "open_label",
            {"potentiation.opioid_share": 1.0},
        ),
    }
    times = (0.0, 0.5, 1.0, 24.0, LONG)
    names = ("dialysate_glutamate", "bdnf", "potentiation", "synapse_gain", "madrs", "inflammation")
    simulation = Simulation(
        Recipe(typical=True), arms, times, names=names, dtype="float64", rtol=1e-5
    )
    solution = simulation.solve(draw(simulation.recipe, [0]))
    assert np.all(solution.status == 0)
    stacked = [
        values[:, 0, :, 0] if values.ndim == 4 else values[:, :, 0]
        for values in solution.readouts.values()
    ]
    return dict(zip(arms, np.stack(stacked, axis=1), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_alone_does_nothing(name: str) -> None:
    """The drug-free state rests whatever the level, from the parameters and from a window."""
    for level in (0.0, 0.4, 3.0):
        p = individual(replace(Parameters(), {f"gates.{name}": level}))
        lost = Gates(*(0.5 if other == name else 0.0 for other in NAMES))
        state = cascade.resting_state(p)
        rates = jax.tree.leaves(cascade.rhs(0.0, state, p, Inputs(lost=lost)))
        for row, rate in zip(rows(), rates, strict=True):
            assert abs(float(rate)) < 1e-12, (row.path, level)


@pytest.mark.parametrize("name", TWINS)
def test_a_silenced_mechanism_is_one_without_its_parameters(found, name: str) -> None:
    for kind in ("event", "parameter"):
        np.testing.assert_allclose(
            found[f"{kind} {name}"], found[f"twin {name}"], rtol=2e-4, atol=2e-4
        )
    if name not in ("inflammation", "presynaptic", "network_depression"):
        assert not np.allclose(found[f"event {name}"], found["none"], rtol=1e-3, atol=1e-3)


def test_blocked_receptors_abolish_what_follows(found) -> None:
    gain = {arm: values[3, 3] for arm, values in found.items()}
    for name in ("ampa", "trkb"):
        np.testing.assert_allclose(
            found[f"event {name}"], found[f"parameter {name}"], rtol=1e-5, atol=1e-5
        )
        assert abs(gain[f"event {name}"]) < 0.02 * gain["none"]
    assert 0.2 * gain["none"] < gain["half ampa"] < 0.9 * gain["none"]
    assert found["event ampa"][0, 1] == pytest.approx(found["none"][0, 1], rel=1e-3)  # surge stays


def test_an_agonist_abolishes_the_surge(found) -> None:
    assert found["none"][0, 2] > 1.15
    assert found["agonist"][0, 2] < 1.06


def test_a_window_acts_while_it_is_open(found) -> None:
    before = slice(0, 4)  # up to 24 h, when the gate closes
    np.testing.assert_allclose(
        found["too late"][:, before], found["none"][:, before], rtol=2e-4, atol=2e-4
    )
    assert found["too late"][4, 4] == pytest.approx(found["none"][4, 4], abs=0.5)
    np.testing.assert_allclose(found["over before"], found["none"], rtol=2e-3, atol=2e-3)


def test_opioid_receptors_matter_as_far_as_their_share_says(found) -> None:
    np.testing.assert_allclose(found["event opioid"], found["none"], rtol=1e-6, atol=1e-6)
    assert np.abs(found["opioid share"][2]).max() < 1e-6
    assert found["none"][2].max() > 0.2


def test_levels_have_derivatives() -> None:
    """Of the rates during a surge, against differences."""
    p = individual(Parameters())
    state = dataclasses.replace(cascade.resting_state(p), brain_ketamine=0.3)
    cortex = dataclasses.replace(
        state.prefrontal,
        glutamate=1.6,
        interneuron_block=0.4,
        interneuron_rate=0.8,
        pyramidal_rate=1.3,
        calcium=0.3,
    )
    state = dataclasses.replace(state, prefrontal=cortex)

    def rates(level: float, name: str) -> jax.Array:
        gates = dataclasses.replace(p.gates, **{name: level})
        out = cascade.rhs(0.0, state, dataclasses.replace(p, gates=gates), Inputs())
        return jax.numpy.stack([jax.numpy.asarray(x, float) for x in jax.tree.leaves(out)])

    with jax.enable_x64(True):
        places = {
            "ampa": 0.7,
            "l_type_calcium": 0.7,
            "interneuron_nmda": 0.7,
            "disinhibition": 0.7,
            "autoinhibition": 3.0,
        }
        for name, level in places.items():
            slope = jax.jacfwd(rates)(level, name)
            step = (rates(level + 1e-5, name) - rates(level - 1e-5, name)) / 2e-5
            assert float(abs(slope).max()) > 0.01, name
            np.testing.assert_allclose(slope, step, rtol=1e-5, atol=1e-7)


def test_patients_have_levels_of_their_own() -> None:
    recipe = Recipe(typical=False)
    patients = draw(recipe, np.arange(3))
    levels = np.array([0.0, 0.5, 1.0])
    gated = dataclasses.replace(
        patients, parameters=replace(patients.parameters, {"gates.ampa": levels})
    )
    p = individual(gated.parameters)
    level = gate_levels(p.gates, UNTOUCHED)
    np.testing.assert_array_equal(level.ampa, levels)
    assert gated_parameters(p, UNTOUCHED).bdnf.release_gain.shape == (3,)
