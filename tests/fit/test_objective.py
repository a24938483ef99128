"""The objective on the real model: gradients against differences, patients against a study."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.fit import Fit
from ketjax.fit.objective import Objective
from ketjax.individuals import own_parameters
from ketjax.model.parameters import leaf, rows
from ketjax.population import draw
from ketjax.preparation import simulation_of

PATIENTS = 16
STEP = 1e-5
LINES = """\
profile,arm,design,quantity,time,mean,spread,n,unit,source,weight,versus,stop
A,drug,pooled,change,24 h,-13,11,47,points,S1,1,,
A,drug,pooled,SD of change,24 h,9,,47,points,S1,1,,
A,drug,pooled,response,24 h,47,,190,%,S2,1,,
A,drug,pooled,remission,72 h,22,,190,%,S2,0.5,,
A,sham,pooled,change,24 h,-5,8,30,points,S1,1,,
A,drug,pooled,effect size,24 h,0.6,0.5,18,1,S3,1,sham,
B,drug,pooled,plasma ketamine,1 h,120,40,20,ng/mL,S4,1,,
B,drug,pooled,highest dissociation,0 h,14,12,20,points,S4,1,,2 h
"""
TEXT = """
name = "small"
targets = "table.csv"

[population]
patients = 16
seed = 4

[solver]
dtype = "float64"

# One of each kind, and of each layer: plasticity, score and where it starts, trial design.
[free]
"potentiation.potentiation_loss_rate" = {}
"score.baseline" = {}
"score.weight_potentiation" = {}
"score.weight_potentiation.spread" = {}
"dissociation.gain" = {}
"expectancy.course_gain ~ expectancy.gain" = {}
"designs.pooled.session" = {}

[arms.drug]
expectancy = "pooled"

[[arms.drug.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
time = "0 h"
duration = "40 min"

[arms.sham]
expectancy = "pooled"

[[arms.sham.doses]]
drug = "saline"
route = "intravenous"
amount = "0 mg/kg"
time = "0 h"
duration = "40 min"
"""


@pytest.fixture(scope="module")
def fit(tmp_path_factory) -> Fit:
    folder: Path = tmp_path_factory.mktemp("fit")
    (folder / "table.csv").write_text(LINES, "utf-8")
    return Fit.parse(TEXT, folder)


@pytest.fixture(scope="module")
def objective(fit) -> Objective:
    return Objective(fit, dtype="float64")


@pytest.fixture(scope="module")
def theta(objective) -> np.ndarray:
    """Away from the start, where the priors say something too."""
    return objective.start() + np.linspace(-0.2, 0.25, len(objective.names))


def test_gradient_equals_differences(objective, theta) -> None:
    value, gradient = objective.value_and_gradient(theta)
    np.testing.assert_allclose(value, objective.value(theta), rtol=1e-12)
    for k, name in enumerate(objective.names):
        step = np.zeros_like(theta)
        step[k] = STEP
        difference = (objective.value(theta + step) - objective.value(theta - step)) / (2 * STEP)
        np.testing.assert_allclose(gradient[k], difference, rtol=1e-5, err_msg=name)


def test_rows_of_the_jacobian_add_up_to_the_gradient(objective, theta) -> None:
    value, gradient = objective.value_and_gradient(theta, 1.5)
    residuals, jacobian = objective.residuals_and_jacobian(theta, 1.5)
    assert residuals.shape == (8 + len(objective.names),)
    np.testing.assert_allclose(0.5 * residuals @ residuals, value, rtol=1e-12)
    np.testing.assert_allclose(jacobian.T @ residuals, gradient, rtol=1e-9)
    step = np.zeros_like(theta)
    step[2] = STEP
    difference = (
        objective.predictions(theta + step, 1.5) - objective.predictions(theta - step, 1.5)
    ) / (2 * STEP)
    np.testing.assert_allclose(
        objective.jacobian(theta, 1.5)[:, 2], difference, rtol=1e-5, atol=1e-9
    )


def test_walls_keep_profiles_from_getting_worse(fit, objective, theta) -> None:
    walled = objective.walled(fit)
    start, profile = objective.start(), np.array([target.profile for target in fit.summaries])
    weight = np.array([target.weight for target in fit.summaries])
    misfit = {
        name: [
            np.sum((weight * objective.deviations(where) ** 2)[profile == name])
            for where in (start, theta)
        ]
        for name in ("A", "B")
    }
    # Three per cent before a profile is as far as at the start its wall begins.
    shares = [np.sqrt(after / before) for before, after in misfit.values()]
    heights = [max(0.0, share - 0.97) / 0.03 for share in shares]
    assert min(heights) == 0.0 < max(heights)
    value, gradient = walled.value_and_gradient(theta)
    added = 0.5 * np.sum(np.square(heights))
    np.testing.assert_allclose(value, objective.value(theta) + added, rtol=1e-9)
    residuals, jacobian = walled.residuals_and_jacobian(theta)
    assert residuals.shape == (8 + 2 + 8 + len(objective.names),)
    np.testing.assert_allclose(jacobian.T @ residuals, gradient, rtol=1e-9)
    step = 1e-6 * gradient / np.linalg.norm(gradient)
    rise = walled.value(theta + step) - walled.value(theta - step)
    np.testing.assert_allclose(rise / 2e-6, np.linalg.norm(gradient), rtol=1e-5)
    np.testing.assert_allclose(walled.value(start), objective.value(start) + 2 * 0.5, rtol=1e-9)


def test_patients_are_those_of_the_study_of_the_moved_recipe(fit, objective, theta) -> None:
    """Another march, on another mesh, of patients drawn anew: within what the meshes leave."""
    seen = objective.courses.march(theta)
    recipe = objective.courses.map.recipe_at(theta)
    study = fit.study.replace(readouts=["madrs", "dissociation", "plasma_ketamine"])
    population = draw(recipe, np.arange(PATIENTS))
    solution = simulation_of(study, recipe).solve(population)
    for arm, name in enumerate(study.arms):
        for row, readout in enumerate(objective.courses.readouts[name]):
            times = objective.courses.times[name]
            places = np.searchsorted(solution.times, times - 1e-9)
            expected = solution.readouts[readout][arm][places]
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(seen.courses[name][row], expected, atol=2e-3 * scale)


def test_who_fails_is_stood_in_for_and_answers_no_more(objective, theta) -> None:
    courses = objective.courses
    marched = courses.march(theta)
    weights = {arm: np.ones((1, *rows.shape)) for arm, rows in marched.courses.items()}
    whole = courses.pull(marched, weights)
    donors = {arm: np.arange(PATIENTS) for arm in marched.donors}
    donors["drug"][5] = 6  # patient 5 failed in one arm
    failed = dataclasses.replace(marched, donors=donors)
    own = courses.pull(marched, {"drug": _only(weights["drug"], 5)})
    other = courses.pull(marched, {"drug": _only(weights["drug"], 6)})
    np.testing.assert_allclose(courses.pull(failed, weights), whole - own + other, rtol=1e-9)


def test_only_what_the_free_numbers_change_is_carried(objective, theta) -> None:
    courses = objective.courses
    with jax.enable_x64(True):
        ends = [
            own_parameters(courses.map.parameters(jnp.asarray(where)), PATIENTS)
            for where in (courses.map.start(), theta)
        ]
    changed = {
        row.path
        for row in rows()
        if not np.array_equal(leaf(ends[0], row.path), leaf(ends[1], row.path))
    }
    # Of two that correlate the first is drawn as it was: its place among those that move is idle.
    assert changed == {*courses.paths, "designs.pooled.session"} - {"expectancy.gain"}


def _only(rows: np.ndarray, patient: int) -> np.ndarray:
    return np.where(np.arange(PATIENTS) == patient, rows, 0.0)
