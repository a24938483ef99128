"""Populations: laws, identity of patients, entry limits, correlations, designs."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ketjax.model.covariates import individual
from ketjax.model.laws import Law, lognormal
from ketjax.model.parameters import Parameters, leaf, rows
from ketjax.population import DEFAULT_CORRELATIONS, Recipe, draw
from ketjax.population.distributions import holds, transform

N = 20_000
ALARM = 1e-6  # probability of a false alarm of each distribution test


@pytest.fixture(scope="module")
def population():
    return draw(Recipe(seed=3), np.arange(N))


def expected(path: str, value: float, law: Law) -> Any:
    """SciPy's distribution of a law, where it has one."""
    s, centre = law.spread, value if law.centre is None else law.centre
    bounded = law.low is not None or law.cap is not None
    low, high = law.low or 0.0, law.high or 0.0
    if law.kind == "normal" and not bounded:
        return stats.norm(centre, s)
    if law.kind == "normal":
        return stats.truncnorm((low - centre) / s, (high - centre) / s, centre, s)
    if law.kind == "log-normal" and not bounded:
        return stats.lognorm(s, law.offset, centre - law.offset)
    if law.kind == "logit-normal":
        logit = np.log(value / (1 - value)) if law.centre is None else law.centre
        return stats.norm(logit, s)
    if law.kind == "uniform":
        return stats.uniform(low, high - low)
    if law.kind == "log-uniform":
        return stats.loguniform(low, high)
    return None


def test_each_parameter_follows_its_law(population) -> None:
    tested = 0
    for path, (value, law) in Recipe(seed=3).laws().items():
        drawn = leaf(population.parameters, path)
        distribution = expected(path, value, law)
        if distribution is None:
            continue
        if law.kind == "logit-normal":
            drawn = np.log(drawn / (1 - drawn))
        assert stats.kstest(drawn, distribution.cdf).pvalue > ALARM, path
        tested += 1
    assert tested > 90


def test_spreads_are_those_of_the_table(population) -> None:
    """A coefficient of variation is one: CV 0.3 of the disinhibition gain."""
    gain = population.parameters.circuit.disinhibition_gain
    assert abs(gain.std() / gain.mean() - 0.3) < 0.01
    assert abs(np.median(gain) - 4.0) < 0.05
    inflammation = population.parameters.inflammation.baseline
    np.testing.assert_allclose(np.log((inflammation - 1) / 0.6).std(), 0.5, rtol=0.02)
    baseline = population.parameters.score.baseline
    np.testing.assert_allclose((baseline.mean(), baseline.std()), (33.0, 4.0), rtol=0.02)


def test_people_are_those_of_the_trials(population) -> None:
    p = population.parameters.demography
    assert 18 <= p.age.min() and p.age.max() <= 86
    assert 39 <= p.weight.min() and p.weight.max() <= 170
    assert abs(np.median(p.weight) - 74) < 1
    assert abs(p.female.mean() - 0.62) < 0.02
    shares = np.bincount(p.met_alleles.astype(int)) / N
    np.testing.assert_allclose(shares, (0.65, 0.31, 0.04), atol=0.015)


def test_correlations_and_shared_effects(population) -> None:
    for pair, r in DEFAULT_CORRELATIONS.items():
        a, b = (np.log(leaf(population.parameters, path)) for path in pair.split(" ~ "))
        assert abs(np.corrcoef(a, b)[0, 1] - r) < 5 * (1 - r**2) / np.sqrt(N), pair
    p = population.parameters.pharmacokinetics
    a, b = np.log(p.central_volume), np.log(p.fast_peripheral_volume)
    assert np.corrcoef(a, b)[0, 1] > 1 - 1e-12
    pair = "receptors.kd_interneuron ~ circuit.disinhibition_gain"
    more = draw(Recipe(seed=3, correlations={pair: -0.6}), np.arange(N)).parameters
    z = np.log(more.receptors.kd_interneuron), np.log(more.circuit.disinhibition_gain)
    assert abs(np.corrcoef(*z)[0, 1] + 0.6) < 0.03
    clash = {
        "bdnf.release_gain ~ mtorc1.mtorc1_rate": 0.9,
        "bdnf.release_gain ~ bdnf.clearance_rate": 0.9,
        "bdnf.clearance_rate ~ mtorc1.mtorc1_rate": -0.9,
    }
    with pytest.raises(ValueError, match="cannot hold together"):
        draw(Recipe(correlations=clash), [0])


@pytest.mark.parametrize("design", ["random", "sobol"])
def test_patient_is_the_same_person_in_any_population(design: str) -> None:
    recipe = Recipe(seed=5, design=design)
    everyone = draw(recipe, np.arange(300))
    order = np.array([250, 3, 77])
    few = draw(recipe, order)
    alone = draw(recipe, [77])
    for path in everyone.varying:
        whole = leaf(everyone.parameters, path)
        assert leaf(few.parameters, path).tobytes() == whole[order].tobytes(), path
        assert leaf(alone.parameters, path)[0] == whole[77], path


def test_streams_do_not_move_each_other() -> None:
    """Fixing one parameter leaves every other draw as it was."""
    usual = draw(Recipe(seed=5), np.arange(50))
    fixed = draw(Recipe(seed=5, values={"bdnf.direct_release_gain": 0.3}), np.arange(50))
    for path in usual.varying:
        np.testing.assert_array_equal(leaf(usual.parameters, path), leaf(fixed.parameters, path))


def test_seeds_differ_beyond_31_bits() -> None:
    draws = [
        draw(Recipe(seed=seed), np.arange(4)).parameters.circuit.disinhibition_gain[0]
        for seed in (1, 1 + 2**31, 1 + 2**62)
    ]
    assert len(set(draws)) == 3


def test_sobol_means_are_closer_than_random_ones() -> None:
    """Quasi-random points integrate a smooth function better: 1,024 points, mean of a normal."""
    errors = {
        design: abs(
            np.log(
                draw(
                    Recipe(seed=9, design=design), np.arange(1024)
                ).parameters.circuit.disinhibition_gain
                / 4
            ).mean()
        )
        for design in ("random", "sobol")
    }
    assert errors["sobol"] < 1e-3  # a random mean has SE 0.29/32 = 0.009


def test_entry_limits_truncate() -> None:
    recipe = Recipe(
        entry={"age": (30.0, 40.0), "baseline_madrs": (34.0, 50.0), "inflammation": (1.0, 1.5)}
    )
    p = draw(recipe, np.arange(2000)).parameters
    assert 30 <= p.demography.age.min() and p.demography.age.max() <= 40
    assert 34 <= p.score.baseline.min()
    assert p.inflammation.baseline.max() <= 1.5
    truncated = stats.truncnorm((34 - 33) / 4, (50 - 33) / 4, 33, 4)
    assert stats.kstest(p.score.baseline, truncated.cdf).pvalue > ALARM


def test_typical_values_of_a_study_hold_for_every_law() -> None:
    """A law that cannot vary about a value, or is truncated below it, gives it to everybody."""
    values = {
        "brain.unbound_brain_plasma_ratio": 0.9,
        "brain.brain_equilibration_rate": 40.0,
        "demography.female": 1.0,
        "demography.weight": 200.0,
        "circuit.disinhibition_gain": 2.0,
    }
    p = draw(Recipe(values=values), np.arange(500)).parameters
    for path, value in list(values.items())[:-1]:
        assert np.all(leaf(p, path) == value), path
    assert abs(np.median(p.circuit.disinhibition_gain) - 2.0) < 0.1


def test_nobody_between_the_limits() -> None:
    with pytest.raises(ValueError, match="nothing lies between"):
        draw(Recipe(entry={"age": (90.0, 95.0)}), [0])


def test_typical_and_rat() -> None:
    assert draw(Recipe(typical=True), np.arange(3)).varying == ()
    rat = draw(Recipe(species="rat"), np.arange(3)).parameters
    assert rat.demography.weight == 0.3
    assert np.ndim(rat.circuit.disinhibition_gain) == 1


def test_every_law_of_the_table_can_be_drawn() -> None:
    z = np.linspace(-8, 8, 101)
    for row in rows():
        if holds(row.law, row.value):
            drawn = transform(row.law, row.value, z)
            assert np.all(np.isfinite(drawn)) and np.all(np.diff(drawn) >= 0), row.path


def test_genotype_factors_average_to_one() -> None:
    """The fitted values describe the average patient, so genotypes may not move the mean."""
    population = draw(Recipe(seed=2), np.arange(N)).parameters
    typical = dataclasses.replace(Parameters(), demography=population.demography)
    ratio = np.asarray(individual(typical).bdnf.release_gain) / 12.0
    assert abs(ratio.mean() - 1) < 0.005
    assert set(np.round(np.unique(ratio), 3)) == {0.782, 1.117}


def test_law_needs_one_spread() -> None:
    with pytest.raises(ValueError, match="either cv or log_sd"):
        lognormal(0.3, log_sd=0.3)
