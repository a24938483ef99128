"""Residuals against densities of SciPy, and priors against their closed form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, multivariate_normal

from ketjax.errors import StudyError
from ketjax.fit import Fit
from ketjax.fit.likelihood import EDGE, Likelihood, deviance_root
from ketjax.fit.priors import Priors
from ketjax.fit.targets import COLUMNS

LINES = (
    "A,drug,open_label,change,24 h,-16.5,11,47,points,S1,1,,,,,,",
    "A,drug,open_label,score,48 h,15,9,40,points,S1,0.5,,,,,,",
    "A,drug,open_label,response,24 h,64,,47,%,S1,1,,,,,,",
    "A,drug,open_label,remission,24 h,0,,47,%,S1,1,,,,,,",
    "A,drug,open_label,percent change,24 h,-0.5,0.3,47,1,S1,1,,,,,,",
    "A,drug,open_label,effect size,48 h,0.8,0.5,18,1,S1,1,sham,,,,,",
    "A,drug,open_label,difference of changes,48 h,-7,12,18,points,S1,1,sham,,,,,",
    "A,drug,open_label,SD of change,24 h,9,,20,points,S1,1,,,,,,",
    "A,drug,open_label,change,72 h,-12,11,47,points,S2,1,,,,,,",
    "A,sham,open_label,change,24 h,-8,9,25,points,S1,0,,,,,,",
    "B,drug,open_label,share not relapsed,5 day,40,,20,%,S3,1,,,4,,quarter_of_gain,",
    "B,drug,open_label,restricted mean days,5 day,3,2,20,day,S3,2,,,4,,quarter_of_gain,",
)
NEAR = np.array([-15, 17, 0.55, 0.05, -0.45, 0.6, -9, 10, -14, -3, 0.3, 3.5])
FREE = tuple(f"score.weight_{name}" for name in ("potentiation", "synapses", "network", "habenula"))
SMALL = """
name = "small"
targets = "table.csv"

[population]
patients = 16
seed = 4

[free]
"score.weight_potentiation" = {}
"score.weight_synapses" = {}
"score.weight_network" = { prior = 0.2 }
"score.weight_habenula" = {}
"score.weight_potentiation.spread" = {}

[arms.drug]
expectancy = "open_label"
doses = [{ drug = "ketamine", route = "intravenous", amount = "0.5 mg/kg", time = "0 h" }]

[arms.sham]
expectancy = "open_label"
"""
CLASS = f'\n[shared.weights]\nof = ["{FREE[0]}", "{FREE[3]}"]\nspread = 0.5\n'


@pytest.fixture
def plan(tmp_path):
    def of(more: str = "") -> Fit:
        text = "\n".join((",".join(COLUMNS), *LINES)) + "\n"
        (tmp_path / "table.csv").write_text(text, "utf-8")
        return Fit.parse(SMALL + more, tmp_path)

    return of


def value(residuals) -> float:
    return 0.5 * float((np.asarray(residuals) ** 2).sum())


def test_deviance_is_the_binomial_likelihood() -> None:
    """Half of its square against SciPy, at shares away from the edge by which all are moved."""
    for count, n in ((0, 20), (3, 20), (10, 20), (20, 20)):
        for predicted in (0.0, 1e-4, count / n - 1e-3, count / n, count / n + 1e-3, 0.7, 1.0):
            predicted = min(max(predicted, 0.0), 1.0)
            r = float(deviance_root(jnp.asarray(count / n), jnp.asarray(predicted)))
            y, x = (EDGE + (1 - 2 * EDGE) * share for share in (count / n, predicted))
            truth = y * np.log(y / x) + (1 - y) * np.log((1 - y) / (1 - x))
            assert 0.5 * r**2 == pytest.approx(truth, rel=1e-6, abs=1e-12)
            assert np.sign(r) == np.sign(x - y)
    # Without the edge it is the likelihood itself.
    ratio = binom.logpmf(12, 40, 0.3) - binom.logpmf(12, 40, 0.45)
    ours = 40 * 0.5 * float(deviance_root(jnp.asarray(0.3), jnp.asarray(0.45))) ** 2
    assert ours == pytest.approx(ratio, rel=0.01)


def test_deviance_is_smooth_through_zero() -> None:
    slope = jax.vmap(jax.grad(deviance_root, argnums=1), in_axes=(None, 0))
    for y in (0.0, 0.03, 0.5, 1.0):
        away = np.array([-0.02, -0.00999, -0.00998, -1e-9, 0.0, 1e-9, 0.00998, 0.00999, 0.02])
        inner = EDGE + (1 - 2 * EDGE) * y
        x = y + away * inner * (1 - inner) / (1 - 2 * EDGE)
        x = x[(x > 1e-5) & (x < 1 - 1e-5)]
        found = np.asarray(slope(jnp.asarray(y), jnp.asarray(x)))
        steps = [
            (deviance_root(jnp.asarray(y), jnp.asarray(at + 1e-6 * inner * (1 - inner)))
             - deviance_root(jnp.asarray(y), jnp.asarray(at - 1e-6 * inner * (1 - inner))))
            / (2e-6 * inner * (1 - inner))
            for at in x
        ]  # fmt: skip
        np.testing.assert_allclose(found, np.array(steps), rtol=1e-5)
    ends = np.asarray(slope(jnp.asarray(0.4), jnp.asarray([0.0, 1.0])))
    assert np.all(np.isfinite(ends)) and np.all(ends > 0)


def test_normal_and_spread_residuals_without_trials(plan) -> None:
    none = "\n".join(
        ("[between_trials]", *(f'"{name}" = 0' for name in ("change", "score")),
         *(f'"{name}" = 0' for name in ("response", "remission", "percent change")),
         '"share not relapsed" = 0', '"difference of changes" = 0')
    )  # fmt: skip
    fit = plan("\n" + none + "\n")
    r = np.asarray(Likelihood(fit).residuals(jnp.asarray(NEAR)))
    normal = [k for k, t in enumerate(fit.summaries) if t.kind.error == "mean"]
    for k in normal:
        target = fit.summaries[k]
        truth = np.sqrt(target.weight) * (NEAR[k] - target.mean) / target.error
        assert r[k] == pytest.approx(truth, rel=1e-12)
    assert r[7] == pytest.approx(np.log(10 / 9) * np.sqrt(2 * 19), rel=1e-5)
    assert r[9] == 0  # no weight
    # Of twenty four left early: eighteen count.
    y, x = (EDGE + (1 - 2 * EDGE) * share for share in (0.4, 0.3))
    deviance = 2 * 18 * (y * np.log(y / x) + (1 - y) * np.log((1 - y) / (1 - x)))
    assert r[10] == pytest.approx(-np.sqrt(deviance), rel=1e-6)


def test_whitening_is_the_normal_density_of_a_trial(plan) -> None:
    """Differences of log-densities of SciPy, whatever the constant, of points of one trial."""
    fit = plan()
    likelihood = Likelihood(fit)
    change, score = fit.summaries[0], fit.summaries[1]
    own = (score.error**2 + 9) / 0.5 - 9  # half the weight: twice the variance in all
    cov: Any = np.diag([change.error**2, own]) + 9.0
    density = multivariate_normal(mean=np.zeros(2), cov=cov)
    start = np.array([t.mean for t in fit.summaries])
    for moved in ([2.0, 3.0], [2.0, -3.0], [-1.0, 4.0]):
        there = start.copy()
        there[:2] += moved
        ours = value(likelihood.residuals(jnp.asarray(there)))
        assert -ours == pytest.approx(density.logpdf(moved) - density.logpdf([0, 0]), rel=1e-9)


def test_a_trial_that_does_better_moves_what_it_should(plan) -> None:
    """One effect makes moves together cheaper than alone; other trials and kinds are apart."""
    shared, alone = (
        Likelihood(plan()),
        Likelihood(plan('\n[likelihood]\ntrial_effects = "independent"\n')),
    )
    start = np.array([t.mean for t in plan().summaries])

    def cost(of: Likelihood, **moves: float) -> float:
        there = start.copy()
        for place, move in moves.items():
            there[int(place[1:])] += move
        return value(of.residuals(jnp.asarray(there)))

    assert cost(shared, t0=4, t1=4) < cost(alone, t0=4, t1=4)
    assert cost(shared, t0=4, t1=-4) > cost(alone, t0=4, t1=-4)
    assert cost(shared, t2=0.1, t4=-0.1) < cost(shared, t2=0.1, t4=0.1)  # falls by more
    for a, b in ((0, 8), (0, 2), (0, 6), (0, 5)):
        together = cost(shared, **{f"t{a}": 0.2, f"t{b}": 0.2})
        parts = cost(shared, **{f"t{a}": 0.2}) + cost(shared, **{f"t{b}": 0.2})
        assert together == pytest.approx(parts, rel=1e-9)
    change, apart = plan().summaries[0], plan().summaries[8]
    assert cost(shared, t8=2.0) == pytest.approx(0.5 * 4 / (apart.error**2 + 9))
    assert cost(alone, t0=2.0) == pytest.approx(0.5 * 4 / (change.error**2 + 9))


def test_deviations_are_one_by_one(plan) -> None:
    fit = plan()
    found = Likelihood(fit).deviations(jnp.asarray(NEAR))
    truth = [(x - t.mean) / fit.deviation(t) for x, t in zip(NEAR, fit.summaries, strict=True)]
    np.testing.assert_allclose(found, truth, rtol=1e-12)


def test_residuals_are_finite_at_the_extremes(plan) -> None:
    likelihood = Likelihood(plan())
    for fill in (0.0, 1.0):
        there = jnp.full(len(LINES), fill, jnp.float32)
        assert likelihood.residuals(there).dtype == jnp.float32
        assert np.all(np.isfinite(jax.jacrev(likelihood.residuals)(there)))


def departures(fit: Fit, theta: np.ndarray) -> np.ndarray:
    numbers = [one.transform.forward(t) for one, t in zip(fit.unknowns, theta, strict=True)]
    return np.array([one.departure(x) for one, x in zip(fit.unknowns, numbers, strict=True)])


def test_priors_are_departures(plan) -> None:
    fit = plan()
    theta = np.linspace(-1, 1, 5)
    found = Priors(fit).residuals(jnp.asarray(theta))
    np.testing.assert_allclose(found, departures(fit, theta), rtol=1e-12, atol=1e-12)


def test_class_has_one_value_in_common(plan, tmp_path) -> None:
    """Against the density of SciPy; the others keep their own priors."""
    fit = plan(CLASS)
    priors = Priors(fit)
    names = [one.name for one in fit.unknowns]
    group = [names.index(FREE[0]), names.index(FREE[3])]
    others = [k for k in range(5) if k not in group]
    centre = np.mean([np.log(fit.unknowns[k].start) for k in group])
    cov: Any = 0.25 * np.eye(2) + 1.0
    density = multivariate_normal([centre] * 2, cov)
    found = []
    for theta in (np.linspace(-1, 1, 5), np.linspace(2, -2, 5)):
        r = np.asarray(priors.residuals(jnp.asarray(theta)))
        assert r.shape == (5,)
        np.testing.assert_allclose(r[others], departures(fit, theta)[others], atol=1e-12)
        x = [np.log(float(fit.unknowns[k].transform.forward(theta[k]))) for k in group]
        found.append((value(r[group]), density.logpdf(x)))
    assert found[0][0] - found[1][0] == pytest.approx(found[1][1] - found[0][1], rel=1e-9)
    assert Fit.parse(fit.to_dict(), tmp_path).shared == fit.shared


@pytest.mark.parametrize(
    "more, codes",
    [
        (
            '[shared.a]\nof = ["score.weight_potentation", "score.weight_synapses"]',
            {"unknown_name"},
        ),
        ('[shared.a]\nof = ["score.weight_calcium", "score.weight_synapses"]', {"unknown_name"}),
        ('[shared.a]\nof = ["score.score_rate", "score.weight_synapses"]', {"not_free"}),
        ('[shared.a]\nof = ["score.weight_synapses"]', {"too_few"}),
        ('[shared.a]\nof = ["score.weight_synapses", "score.weight_network"]', {"fixed"}),
        ('[shared.a]\nof = ["score.weight_synapses", "score.weight_synapses"]', {"duplicate"}),
        (
            '[shared.a]\nof = ["score.weight_synapses"]\nspread = 1\n[shared.b]\n'
            'of = ["score.weight_synapses", "score.weight_nothing"]',
            {"too_few", "duplicate", "unknown_name"},
        ),
    ],
)
def test_classes_are_checked(plan, more: str, codes: set[str]) -> None:
    with pytest.raises(StudyError) as caught:
        plan("\n" + more + "\nspread = 0.5\n")
    assert {problem.code for problem in caught.value.problems} == codes
    assert all(problem.place.startswith("shared.") for problem in caught.value.problems)


def test_spread_of_a_class_is_positive(plan) -> None:
    with pytest.raises(StudyError) as caught:
        plan(CLASS.replace("0.5", "0"))
    assert [problem.place for problem in caught.value.problems] == ["shared.weights.spread"]
