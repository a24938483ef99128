"""The march of the cascade: accuracy against SciPy, bits, arms, failures."""

import dataclasses
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax import simulate
from ketjax.model.parameters import replace
from ketjax.model.readouts import READOUTS, columns
from ketjax.population import Population, draw
from ketjax.population.population import take
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import Simulation, Solution, Treatment

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "reference"))
import make_population_reference as reference  # noqa: E402  # pyright: ignore

ARMS = {
    "ketamine": Treatment(reference.REGIMEN, reference.DESIGN),
    "zero": Treatment(Regimen((Dose("ketamine", "intravenous", 0.0, True, 0.0, 2 / 3),)), "pooled"),
    "saline": Treatment(Regimen((Dose("saline", "intravenous", 0.0, True, 0.0, 2 / 3),)), "pooled"),
}


def simulation(dtype: str) -> Simulation:
    """A simulation with the default tolerance, in small blocks to keep tests quick."""
    names = simulate.READOUT_NAMES
    return Simulation(reference.RECIPE, ARMS, reference.TIMES, names=names, dtype=dtype, block=256)


@pytest.fixture(scope="module")
def double() -> Simulation:
    return simulation("float64")


@pytest.fixture(scope="module")
def single() -> Simulation:
    return simulation("float32")


@pytest.fixture(scope="module")
def patients() -> Population:
    return draw(reference.RECIPE, np.arange(reference.PATIENTS))


def scaled_errors(solution: Solution) -> dict[str, float]:
    """Largest difference from SciPy over patients and times, in units of each readout's scale."""
    expected = np.load(reference.FILE)["values"]
    worst: dict[str, float] = {}
    for k, (name, region) in enumerate(columns(reference.NAMES)):
        found = solution.readouts[name][0]
        found = found if region is None else found[("prefrontal", "hippocampus").index(region)]
        error = np.abs(found - expected[k]).max() / READOUTS[name].scale
        worst[name] = max(worst.get(name, 0.0), float(error))
    return worst


def test_float64_agrees_with_radau(double: Simulation, patients: Population) -> None:
    solution = double.solve(patients)
    assert np.all(solution.status == 0)
    assert {k: v for k, v in scaled_errors(solution).items() if not v < 1e-4} == {}


def test_float32_agrees_with_radau(single: Simulation, patients: Population) -> None:
    solution = single.solve(patients)
    assert solution.readouts["madrs"].dtype == np.float32
    assert {k: v for k, v in scaled_errors(solution).items() if not v < 1e-3} == {}


def same_bits(a: Solution, b: Solution) -> bool:
    return all(
        np.asarray(a.readouts[name]).tobytes() == np.asarray(b.readouts[name]).tobytes()
        for name in a.readouts
    )


def subset(solution: Solution, places: np.ndarray) -> Solution:
    kept = {name: np.ascontiguousarray(v[..., places]) for name, v in solution.readouts.items()}
    return dataclasses.replace(solution, readouts=kept)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_bits_depend_on_the_patient_alone(precision: str, request: pytest.FixtureRequest) -> None:
    march: Simulation = request.getfixturevalue(precision)
    everyone = march.solve(draw(reference.RECIPE, np.arange(100)))
    alone = march.solve(draw(reference.RECIPE, np.array([83])))
    assert same_bits(alone, subset(everyone, np.array([83])))
    order = np.random.default_rng(0).permutation(100)
    assert same_bits(march.solve(draw(reference.RECIPE, order)), subset(everyone, order))
    fewer = march.solve(draw(reference.RECIPE, np.arange(70)))
    assert same_bits(fewer, subset(everyone, np.arange(70)))


def test_zero_dose_equals_placebo_to_the_bit(single: Simulation, patients: Population) -> None:
    solution = single.solve(patients)
    for name, values in solution.readouts.items():
        assert values[1].tobytes() == values[2].tobytes(), name


def test_untreated_patients_stay_at_rest(double: Simulation) -> None:
    """Every drawn patient's resting state is a fixed point to 1e-10."""
    many = draw(reference.RECIPE, np.arange(1000))
    p, design = double._parameters("saline", many)
    p = dataclasses.replace(p)
    rest = double.cascade.start(p)
    still = jax.tree.map(lambda leaf: np.zeros(()), double._forcing["saline"])
    design = dataclasses.replace(design, fast=0.0, session=0.0, course=0.0, antidepressant=0.0)
    y = tuple(np.broadcast_to(np.asarray(value, float), (1000,)) for value in rest)
    rates = double.cascade.rhs(jnp.zeros(()), y, ((p, design), still))
    assert max(float(np.max(np.abs(rate))) for rate in rates) < 1e-10


def test_one_failed_patient_does_not_touch_the_others(
    single: Simulation, patients: Population
) -> None:
    healthy = single.solve(patients)
    weights = np.array(patients.parameters.demography.weight)
    weights[5] = np.nan
    broken = dataclasses.replace(
        patients, parameters=replace(patients.parameters, {"demography.weight": weights})
    )
    solution = single.solve(broken)
    assert np.flatnonzero(solution.status[0]).tolist() == [5]
    assert solution.status[0, 5] == 2
    assert np.all(np.isnan(solution.readouts["madrs"][0, 1:, 5]))
    others = np.delete(np.arange(reference.PATIENTS), 5)
    assert same_bits(subset(solution, others), subset(healthy, others))


def test_ratings_scatter_about_the_score(double: Simulation) -> None:
    """As `observation` says: none at time 0, then whole points with the SD of raters and days."""
    solution = double.solve(draw(reference.RECIPE, np.arange(1000)))
    rated, score = (solution.readouts[name][2] for name in ("madrs_rated", "madrs"))
    np.testing.assert_array_equal(rated[0], score[0])
    np.testing.assert_array_equal(rated[1:], np.round(rated[1:]))
    mu = score[1:] / 60
    days = 9 * np.exp(4 * 0.3**2 / 2)  # sdOU is log-normal over patients
    expected = np.mean(3600 * mu * (1 - mu) / 152 + 4 * mu * (1 - mu) * days + 1 / 12)
    assert np.var(rated[1:] - score[1:]) == pytest.approx(expected, rel=0.1)


def test_dose_edges_are_step_edges(single: Simulation) -> None:
    knots = np.append(single.mesh.start, single.mesh.times[-1])
    for edge in (2 / 3, 1.0):  # end of the infusion, end of the session
        assert edge in knots


def test_padding_is_not_part_of_the_result(single: Simulation) -> None:
    drawn = draw(reference.RECIPE, np.arange(3))
    assert single.solve(drawn).readouts["madrs"].shape == (3, len(reference.TIMES), 3)
    assert take(drawn, np.array([2, 0])).patient.tolist() == [2, 0]
