"""The population map against `population.draw`, and its gradients against differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.fit.drawing import PopulationMap
from ketjax.fit.free import Asked, Free, resolve, table
from ketjax.model.laws import FIXED, Law, logit_normal, lognormal, normal
from ketjax.model.parameters import leaf, rows
from ketjax.population import DEFAULT_CORRELATIONS, Recipe, draw
from ketjax.population.distributions import transform

PATIENTS = np.arange(32)
# A law of each kind with each feature of the table, and some that only a study sets.
PATHS = (
    "pharmacokinetics.central_volume",  # log-normal, shared effect, correlated
    "pharmacokinetics.fast_peripheral_volume",  # uses the effect of the one before
    "pharmacokinetics.hepatic_intrinsic_clearance",  # correlated
    "absorption.nasal_absorbed_fraction",  # logit-normal
    "depots.subcutaneous_bioavailability",  # log-normal with a cap
    "demography.age",  # truncated normal
    "demography.weight",  # truncated log-normal with a centre of its own
    "inflammation.baseline",  # log-normal with an offset
    "score.baseline",  # normal with a centre of its own
    "score.improvable_share",  # logit-normal with a centre of its own
    "connectivity.baseline",  # normal about zero
    "score.weight_potentiation",
    "glutamate.uptake_rate",  # truncated by the study
    "anxiety.weight_acute",  # truncated logit-normal by the study
)
RECIPE = Recipe(
    seed=11,
    entry={"baseline_madrs": (28.0, 50.0), "age": (20.0, 60.0)},
    own_laws={
        "glutamate.uptake_rate": Law("log-normal", 0.3, low=20.0, high=90.0),
        "anxiety.weight_acute": Law("logit-normal", 0.6, low=0.2, high=0.7),
    },
)
LAWS = {
    "normal": normal(4.0),
    "normal, truncated": normal(4.0, low=0.0, high=9.0),
    "log-normal": lognormal(0.5),
    "log-normal, offset": lognormal(0.5, offset=1.0),
    "log-normal, cap": lognormal(0.5, cap=6.0),
    "log-normal, truncated": lognormal(0.5, low=2.0, high=9.0),
    "log-normal, below": lognormal(0.5, low=2.0),
    "log-normal, truncated at the offset": lognormal(0.5, offset=1.0, low=1.0, high=9.0),
    "log-normal, centre": lognormal(0.5, centre=4.0, low=2.0, high=9.0),
    "fixed": FIXED,
    "logit-normal": logit_normal(0.8),
    "logit-normal, centre": logit_normal(0.8, centre=-0.3),
    "logit-normal, truncated": Law("logit-normal", 0.8, low=0.1, high=0.7),
}


def typical(path: str) -> Free:
    law = RECIPE.own_laws.get(path, table()[path].law)
    value = table()[path].value
    found = resolve(Asked(path, "typical value", (path,)), value, law, problems := [])
    assert found is not None, problems
    return found


def free_numbers() -> list[Free]:
    """Typical value and spread of every path, and the correlations."""
    free = [typical(path) for path in PATHS]
    for path in PATHS:
        spread = RECIPE.own_laws.get(path, table()[path].law).spread
        free.append(
            Free(f"{path}.spread", "spread", (path,), "1", spread, spread / 3, spread * 3, "log", 1)
        )
    for pair, r in {**DEFAULT_CORRELATIONS, "connectivity.baseline ~ demography.age": 0.0}.items():
        a, b = pair.split(" ~ ")
        free.append(Free(pair, "correlation", (a, b), "1", r, -0.9, 0.9, "atanh", 0.5))
    return free


@pytest.fixture(scope="module", params=["random", "sobol"])
def people(request) -> PopulationMap:
    recipe = dataclasses.replace(RECIPE, design=request.param)
    return PopulationMap.of(recipe, free_numbers(), PATIENTS)


def assert_same(p, q, rtol: float) -> None:
    for row in rows():
        ours, truth = leaf(p, row.path), leaf(q, row.path)
        np.testing.assert_allclose(ours, truth, rtol=rtol, atol=1e-12, err_msg=row.path)
        assert np.shape(ours) == np.shape(truth), row.path


@pytest.mark.parametrize("kind", LAWS)
def test_law_agrees_with_the_host(kind: str) -> None:
    law = LAWS[kind]
    value = 0.4 if law.kind == "logit-normal" else 5.0
    z = np.linspace(-4.0, 4.0, 41)
    # A truncation goes through the distribution function, whose tail has fewer digits: there
    # the spacing of doubles next to 1 moves z by 2e-16 / phi(4) = 2e-12.
    within = np.abs(z) <= 3 if law.low is not None else np.full(z.shape, True)
    ours, truth = np.asarray(transform(law, value, jnp.asarray(z))), transform(law, value, z)
    np.testing.assert_allclose(ours[within], truth[within], rtol=1e-12)
    np.testing.assert_allclose(ours, truth, rtol=1e-11)


@pytest.mark.parametrize("kind", LAWS)
def test_gradients_of_a_law_are_those_of_differences(kind: str) -> None:
    law = LAWS[kind]
    value = 0.4 if law.kind == "logit-normal" else 5.0
    z = jnp.linspace(-2.9, 2.9, 14)  # nobody stands on the kink of the cap

    def of(numbers: jax.Array) -> jax.Array:
        return transform(dataclasses.replace(law, spread=numbers[1]), numbers[0], z)

    at = jnp.array([value, law.spread])
    slopes = jax.jacfwd(of)(at)
    back = jax.jacrev(of)(at)
    np.testing.assert_allclose(back, slopes, rtol=1e-12, atol=1e-14)
    for k in range(2):
        # Fourth order: an error of step^4, so that rounding allows 1e-6.
        step = jnp.zeros(2).at[k].set(1e-3 * max(float(at[k]), 0.1))
        differences = (
            8 * (of(at + step) - of(at - step)) - (of(at + 2 * step) - of(at - 2 * step))
        ) / (12 * step[k])
        size = float(jnp.abs(differences).max()) or 1.0
        np.testing.assert_allclose(slopes[:, k], differences, rtol=1e-6, atol=1e-6 * size)


def test_start_is_the_population_that_draw_draws(people) -> None:
    truth = draw(people.recipe_at(people.start()), PATIENTS).parameters
    assert_same(people.parameters(jnp.asarray(people.start())), truth, 1e-12)


def test_moved_it_is_still_the_population_that_draw_draws(people) -> None:
    theta = people.start() + np.random.default_rng(2).normal(0, 0.4, len(people.free))
    truth = draw(people.recipe_at(theta), PATIENTS).parameters
    assert_same(people.parameters(jnp.asarray(theta)), truth, 1e-12)
    assert not np.allclose(
        leaf(truth, "score.weight_potentiation"), leaf(people.drawn, "score.weight_potentiation")
    )


def test_gradients_are_those_of_differences_of_draw(people) -> None:
    """Of every free number, to every patient's every parameter that it moves."""
    theta = people.start() + 0.1
    moved = [*PATHS, "expectancy.gain", "expectancy.course_gain"]
    moved += ["metabolites.norketamine_clearance"]

    def ours(theta: jax.Array) -> jax.Array:
        p = people.parameters(theta)
        return jnp.stack([jnp.broadcast_to(leaf(p, path), PATIENTS.shape) for path in moved])

    def truth(theta: np.ndarray) -> np.ndarray:
        p = draw(people.recipe_at(theta), PATIENTS).parameters
        return np.stack([np.broadcast_to(leaf(p, path), PATIENTS.shape) for path in moved])

    slopes = np.asarray(jax.jit(jax.jacfwd(ours))(jnp.asarray(theta)))
    for k, one in enumerate(people.free):
        step = np.zeros(theta.size)
        step[k] = 1e-3
        differences = (
            8 * (truth(theta + step) - truth(theta - step))
            - (truth(theta + 2 * step) - truth(theta - 2 * step))
        ) / (12 * step[k])
        size = np.abs(differences).max(axis=1, keepdims=True)
        assert np.any(size > 0), one.name
        wrong = np.abs(slopes[:, :, k] - differences) > 1e-6 * np.maximum(size, 1e-3)
        assert not wrong.any(), (one.name, [moved[i] for i in np.unique(np.nonzero(wrong)[0])])


def test_typical_population_moves_as_one() -> None:
    recipe = Recipe(typical=True)
    people = PopulationMap.of(recipe, [typical("score.weight_potentiation")], [0, 1])
    theta = jnp.asarray(people.start()) + 0.5
    truth = draw(people.recipe_at(theta), [0, 1]).parameters
    assert_same(people.parameters(theta), truth, 1e-12)


def test_single_precision_follows_the_numbers_given(people) -> None:
    p = people.parameters(jnp.asarray(people.start(), jnp.float32))
    q = people.parameters(jnp.asarray(people.start()))
    for path in PATHS:
        assert leaf(p, path).dtype == jnp.float32
        np.testing.assert_allclose(leaf(p, path), leaf(q, path), rtol=2e-5, atol=1e-5)


def test_without_variation_there_is_no_spread() -> None:
    free = [Free("a", "spread", ("gates.ampa",), "1", 0.3, 0.1, 0.9, "log", 0.5)]
    with pytest.raises(ValueError, match="does not vary"):
        PopulationMap.of(Recipe(), free, [0])
