"""Smooth numbers against counts of drawn ratings, closed forms and finite differences."""

import csv
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from ketjax.analysis.survival import RELAPSE_RULES
from ketjax.fit import Fit
from ketjax.fit.quantities import QUANTITIES
from ketjax.fit.statistics import Statistics
from ketjax.fit.targets import COLUMNS
from ketjax.model.parameters import Parameters, replace

DOSES = """doses = [
  { drug = "ketamine", route = "intravenous", amount = "0.5 mg/kg", time = "0 h" },
  { drug = "ketamine", route = "intravenous", amount = "0.5 mg/kg", time = "2 day" },
]"""
HEAD = """
name = "all"
targets = "table.csv"
horizon = "40 day"
[population]
patients = 16
seed = 4
[free]
"score.weight_potentiation" = {}
[arms.drug]
expectancy = "open_label"
"""
SHAM = '\n[arms.sham]\nexpectancy = "open_label"\n'
MANY = 10_000


def line(quantity: str, time: str = "24 h", **more: object) -> str:
    """A line of a table of targets; of the numbers only their sense matters here."""
    row = QUANTITIES[quantity]
    cells = dict.fromkeys(COLUMNS, "") | {
        "profile": "A", "arm": "drug", "design": "open_label", "quantity": quantity, "time": time,
        "mean": 0.5, "n": 20, "unit": row.unit, "source": "S", "weight": 1,
        "spread": 5 if row.error in ("mean", "quantile") else "", "note": "",
    }  # fmt: skip
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow((cells | more).values())
    return text.getvalue()


RATED = (
    line("score", "48 h", baseline=28),
    line("score", "0 h"),
    line("change", "2 h"),
    line("change", "24 h", baseline=37),
    line("percent change"),
    line("SD of change"),
    line("response", "2 h"),
    line("response"),
    line("response", baseline=29, source="T"),
    line("remission"),
    line("remission", "72 h", baseline=29),
    line("sustained response", stop="96 h"),
    line("effect size", versus="sham"),
    line("difference of changes", versus="sham"),
    line("share of final gain", stop="12 day"),
    *(line("share not relapsed", "26 day", rule=rule) for rule in RELAPSE_RULES if rule[0] != "t"),
    line("share not relapsed", "40 day", rule="transform"),
    line("restricted mean days", "26 day", rule="quarter_of_gain"),
    line("restricted mean days", "26 day", rule="half_of_gain"),
    line("median days to relapse", "26 day", rule="score_of_20"),
    line("lower quartile of days to relapse", "26 day", rule="half_of_gain"),
    line("upper quartile of days to relapse", "26 day", rule="score_of_20"),
    line("upper quartile of days to relapse", "4 day", rule="quarter_of_gain"),
)
OTHERS = (
    *(line(f"plasma {name}") for name in ("ketamine", "esketamine", "norketamine")),
    line("highest plasma ketamine", "0 h", stop="2 h"),
    line("dissociation"),
    line("highest dissociation", "1 h", stop="3 h"),
    line("change of systolic pressure", "1 h"),
    line("change of diastolic pressure", "1 h"),
)


@pytest.fixture
def plan(tmp_path):
    def of(*lines: str, head: str = HEAD) -> Fit:
        (tmp_path / "table.csv").write_text("\n".join((",".join(COLUMNS), *lines)) + "\n", "utf-8")
        return Fit.parse(head + DOSES + SHAM, tmp_path)

    return of


def people(count: int, **more) -> Parameters:
    z = np.random.default_rng(3).standard_normal((2, count))
    return replace(
        Parameters(),
        {
            "score.baseline": 33 + 4 * z[0],
            "rating.fluctuation": 3 * np.exp(0.3 * z[1]),
            **more,
        },
    )


def courses(asked: Statistics, p: Parameters, seed: int = 5) -> dict[str, np.ndarray]:
    """Scores that fall and rise again, in proportion to the score at entry; other readouts."""
    rng = np.random.default_rng(seed)
    entry = np.asarray(p.score.baseline)
    found = {}
    for arm, times in asked.times.items():
        size = 0.55 if arm == "drug" else 0.2
        depth = np.clip(size + 0.3 * rng.standard_normal(entry.size), 0.02, 0.97)
        kept = rng.uniform(300, 3000, entry.size)
        fall = depth * -np.expm1(-times[:, None] / 3) * np.exp(-times[:, None] / kept)
        rows = [
            entry * (1 - fall)
            if name == "madrs"
            else 100 + 20 * rng.standard_normal((times.size, entry.size))
            for name in asked.readouts[arm]
        ]
        found[arm] = np.stack(rows)
    return found


@pytest.fixture
def everything(plan):
    fit = plan(*RATED, *OTHERS)
    asked = Statistics(fit, np.arange(MANY))
    p = people(MANY)
    return fit, asked, courses(asked, p), dict.fromkeys(asked.times, p)


def test_visits_and_readouts_are_those_that_targets_need(everything) -> None:
    fit, asked, _, _ = everything
    assert {target.quantity for target in fit.summaries} == set(QUANTITIES)
    assert asked.times["sham"].tolist() == [0, 24]
    assert asked.readouts["sham"] == ("madrs",)
    assert np.all(np.diff(asked.times["drug"]) > 1e-3)
    assert set(np.arange(0.0, 641, 24)) <= set(np.round(asked.times["drug"], 9))
    assert "systolic_pressure" in asked.readouts["drug"]


def test_smooth_numbers_are_those_of_counts(everything) -> None:
    """Ratings of 10,000 patients, drawn; their days are the same, so raters alone differ.

    SEs are those of raters: 0.5 percentage points of a share of all patients at most, 0.02 points
    of a mean, and of the 2,000 and more who respond 1 percentage point and 0.15 days. Quantiles go
    by whole visits where patients are counted: half a day either way.
    """
    fit, asked, course, p = everything
    smooth = np.asarray(jax.jit(asked.predict)(course, p, 0.0))
    hard = asked.predict_hard(course, p)
    for target, ours, counted in zip(fit.summaries, smooth, hard, strict=True):
        within = {"points": 0.06, "1": 0.012, "day": 0.15}.get(target.kind.unit, 1e-9)
        if target.rule:
            within = {"1": 0.03, "day": 0.4}[target.kind.unit]
        if target.kind.error == "quantile":
            within = 0.8
        assert ours == pytest.approx(counted, abs=within), target.name


def test_normal_scores_have_their_known_response(plan) -> None:
    """Everybody enters at 40 and is at 20 (SD 5) with no better days: half of them respond."""
    asked = Statistics(plan(line("response"), line("SD of change")), np.arange(4000))
    p = replace(Parameters(), {"score.baseline": 40.0, "rating.fluctuation": 0.0})
    z = norm.ppf((np.arange(4000) + 0.5) / 4000)
    for middle in (20.0, 24.0):
        course = jnp.asarray(np.stack([np.full(4000, 40.0), middle + 5 * z])[None])
        share, spread = np.asarray(asked.predict({"drug": course}, {"drug": p}))
        m = middle / 60
        rater = 3600 * (m * (1 - m) - (5 / 60) ** 2) / 152 + 1 / 12
        assert spread == pytest.approx(np.hypot(5, np.sqrt(rater)), rel=2e-3)
        truth = norm.cdf((20 - middle) / np.hypot(5, np.sqrt(rater)))
        assert share == pytest.approx(truth, abs=6e-3)  # a Beta number is not quite normal


SLOPED = (
    line("change", "2 h", baseline=37),
    line("SD of change"),
    line("remission"),
    line("sustained response", stop="96 h"),
    line("effect size", versus="sham"),
    line("share of final gain", stop="5 day"),
    line("share not relapsed", "8 day", rule="half_of_gain"),
    line("restricted mean days", "8 day", rule="quarter_of_gain"),
    line("median days to relapse", "8 day", rule="score_of_20"),
    line("highest dissociation", "1 h", stop="2 h"),
)


@pytest.fixture
def sloped(plan):
    asked = Statistics(plan(*SLOPED), np.arange(6))
    p = people(6)

    def of(course):
        return asked.predict(course, dict.fromkeys(asked.times, p), 0.5)

    return asked, p, jax.jit(lambda c, w: jax.vjp(of, c)[1](w)[0]), jax.jit(of)


def test_gradients_are_those_of_differences(sloped) -> None:
    """Along random directions of all courses at once, in float64; and in float32 they are there."""
    asked, p, back, of = sloped
    start = courses(asked, p)
    rng = np.random.default_rng(1)
    way = {arm: rng.standard_normal(course.shape) for arm, course in start.items()}
    step = 1e-5
    there, here = (
        np.asarray(of({arm: start[arm] + side * step * way[arm] for arm in start}))
        for side in (1, -1)
    )
    for k, slope in enumerate((there - here) / (2 * step)):
        found = back(start, jnp.zeros(len(SLOPED)).at[k].set(1.0))
        along = sum(float((np.asarray(found[arm]) * way[arm]).sum()) for arm in way)
        assert along == pytest.approx(slope, rel=1e-6, abs=1e-8), SLOPED[k]


@pytest.mark.parametrize("level", [0.0, 1e-9, 60.0])
def test_gradients_are_finite_at_the_ends(sloped, level: float) -> None:
    asked, p, back, of = sloped
    course = {arm: np.full_like(values, level) for arm, values in courses(asked, p).items()}
    assert np.all(np.isfinite(of(course)))
    found = back(course, jnp.ones(len(SLOPED)))
    assert all(np.all(np.isfinite(values)) for values in found.values())


def test_float32_stays_float32(plan) -> None:
    asked = Statistics(plan(*RATED[5:8]), np.arange(6))
    p = people(6)
    course = {arm: values.astype(np.float32) for arm, values in courses(asked, p).items()}
    assert asked.predict(course, dict.fromkeys(asked.times, p)).dtype == jnp.float32


def test_width_is_a_wider_rater(plan) -> None:
    """It vanishes as it shrinks, and makes shares more even."""
    asked = Statistics(plan(line("response"), line("remission")), np.arange(500))
    p = people(500)
    course, own = courses(asked, p), dict.fromkeys(asked.times, p)
    none, little, wide = (np.asarray(asked.predict(course, own, w)) for w in (0.0, 1e-3, 20.0))
    np.testing.assert_allclose(little, none, atol=1e-6)
    assert np.all(np.abs(wide - 0.5) < np.abs(none - 0.5) + 0.05)


def test_typical_patients_are_rated_without_noise(plan) -> None:
    head = HEAD.replace("seed = 4", "seed = 4\ntypical = true")
    asked = Statistics(plan(line("response"), line("SD of change"), head=head), np.arange(3))
    p = replace(Parameters(), {"score.baseline": 40.0})
    course = {"drug": jnp.array([[[40.0] * 3, [19.0, 20.5, 15.0]]])}
    for found in (asked.predict(course, {"drug": p}), asked.predict_hard(course, {"drug": p})):
        truth = np.array([2 / 3, np.std([19, 20.5, 15], ddof=1)])
        np.testing.assert_allclose(found, truth, atol=1e-6)
