"""Plans of fits: what is read is what was written, and every mistake is named with its remedy."""

import dataclasses
import json
import math
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.errors import Problem, StudyError
from ketjax.evidence.rows import FOLDER
from ketjax.fit import Fit, read_targets
from ketjax.fit.free import PRIOR_BY_STATUS, table
from ketjax.fit.plan import visits
from ketjax.fit.targets import COLUMNS
from ketjax.model.parameters import leaf, rows
from ketjax.population import draw
from ketjax.preparation import recipe_of

SHIPPED = Path(__file__).parents[2] / "fits" / "human.toml"
LINES = (
    "A,drug,open_label,change,24 h,-16.5,11,47,points,S1,1,,,,33,,",
    "A,drug,open_label,response,24 h,64,,47,%,S1,1,,,,,,",
    "A,drug,open_label,effect size,48 h,0.8,0.5,18,1,S2,1,sham,,,,,",
    "A,sham,open_label,change,24 h,-8,9,25,points,S1,0,,,,,,",
    "B,drug,open_label,share not relapsed,5 day,27,,26,%,S3,1,,,,,quarter_of_gain,",
    "B,drug,open_label,sustained response,24 h,40,,26,%,S3,1,,96 h,,,,",
)
SMALL = """
name = "small"
targets = "table.csv"

[population]
patients = 16
seed = 4
design = "sobol"

[free]
"score.weight_potentiation" = { start = 0.5, prior = 0.2 }
"score.weight_potentiation.spread" = {}

[arms.drug]
expectancy = "open_label"
doses = [{ drug = "ketamine", route = "intravenous", amount = "0.5 mg/kg", time = "0 h" }]

[arms.sham]
expectancy = "open_label"
doses = [{ drug = "saline", route = "intravenous", amount = "0 mg/kg", time = "0 h" }]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.csv").write_text("\n".join((",".join(COLUMNS), *LINES)) + "\n", "utf-8")
    return tmp_path


def with_free(*lines: str, more: str = "") -> str:
    """The small fit with other free numbers."""
    head, _, rest = SMALL.partition("[free]")
    arms = rest[rest.index("[arms.drug]") :]
    return head + "\n".join(("[free]", *lines, "", more, arms))


def problems_of(text: str, folder: Path) -> tuple[Problem, ...]:
    path = folder / "fit.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(StudyError) as caught:
        Fit.read(path)
    assert caught.value.source == str(path)
    return caught.value.problems


def only(text: str, folder: Path) -> Problem:
    (problem,) = problems_of(text, folder)
    return problem


@pytest.fixture(scope="module")
def human() -> Fit:
    return Fit.read(SHIPPED)


def test_shipped_fit_uses_every_profile(human) -> None:
    assert {t.profile for t in human.summaries} == {t.profile for t in read_targets()}
    assert not human.warnings
    assert human.times[0] == 0 and human.times[-1] == 2256
    assert human.study.horizon == 2256
    assert {"madrs_rated", "dissociation", "systolic_pressure"} < set(human.study.readouts)


def test_shipped_arms_are_written_as_in_the_evidence() -> None:
    ours = tomllib.loads(SHIPPED.read_text("utf-8"))["arms"]
    theirs = tomllib.loads((FOLDER / "trials.toml").read_text("utf-8"))["arms"]
    assert ours.keys() - theirs.keys() == {"thrice_a_week_saline", "subcutaneous_weekly"}
    assert {name: ours[name] for name in ours.keys() & theirs.keys()} == {
        name: theirs[name] for name in ours.keys() & theirs.keys()
    }


def test_nothing_moved_is_the_population_of_the_study(human) -> None:
    people = human.population_map(16)
    p = people.parameters(jnp.asarray(people.start()))
    q = draw(recipe_of(human.study), np.arange(16)).parameters
    for row in rows():
        np.testing.assert_allclose(leaf(p, row.path), leaf(q, row.path), rtol=1e-12, atol=1e-12)


def test_what_is_read_is_what_was_written(human, folder) -> None:
    again = Fit.parse(json.loads(human.to_json()))
    assert again == human and again.digest() == human.digest() and hash(again) == hash(human)
    small = Fit.parse(SMALL, folder)
    assert Fit.parse(small.to_dict(), folder) == small
    assert small.optimise.methods == ("adam", "lbfgs")


def test_digest_is_of_the_targets_too(folder) -> None:
    before = Fit.parse(SMALL, folder)
    path = folder / "table.csv"
    path.write_text(path.read_text("utf-8").replace("-16.5", "-16.4"), "utf-8")
    assert Fit.parse(SMALL, folder).to_json() == before.to_json()
    assert Fit.parse(SMALL, folder).digest() != before.digest()


def test_defaults_come_from_the_table(folder) -> None:
    text = with_free('"score.weight_network" = {}', '"potentiation.potentiation_rate.spread" = {}')
    value, spread = Fit.parse(text, folder).unknowns
    row = table()["score.weight_network"]
    assert (value.start, value.low, value.high) == (row.value, row.low, row.high)
    assert (value.scale, value.prior) == ("log", PRIOR_BY_STATUS[row.status])
    assert spread.start == table()["potentiation.potentiation_rate"].law.spread
    assert spread.low < spread.start < spread.high


def test_start_is_the_centre_that_patients_vary_about(folder) -> None:
    text = with_free('"score.baseline" = {}', '"score.improvable_share" = {}')
    baseline, share = sorted(Fit.parse(text, folder).unknowns, key=lambda one: one.name)
    assert baseline.start == 33
    assert baseline.scale == "identity"
    assert share.start == pytest.approx(1 / (1 + math.exp(-1.84)))


def test_units_and_nested_tables(folder) -> None:
    nested = """
[free.consolidation.consolidation_rate]
start = "0.1 1/day"
low = "0.0005 1/h"
high = "0.01 1/h"
spread = { start = 0.5, low = 0.1, high = 2.0 }
"""
    head, _, rest = SMALL.partition("[free]")
    fit = Fit.parse(head + nested + rest[rest.index("[arms.drug]") :], folder)
    value, spread = fit.unknowns
    assert value.start == pytest.approx(0.1 / 24)
    assert (spread.name, spread.start) == ("consolidation.consolidation_rate.spread", 0.5)
    assert Fit.parse(fit.to_dict(), folder).unknowns == fit.unknowns
    wrong = with_free('"consolidation.consolidation_rate" = { start = "3 h" }')
    assert only(wrong, folder).code == "unit_dimension"


def test_departure_is_in_deviations_of_the_prior(folder) -> None:
    value, _ = Fit.parse(SMALL, folder).unknowns
    assert value.departure(0.5) == 0
    assert value.departure(0.5 * math.exp(0.2)) == pytest.approx(1)


def test_deviation_adds_what_differs_between_trials(folder) -> None:
    fit = Fit.parse(SMALL + '\n[between_trials]\nresponse = "5 %"\n', folder)
    change, response = fit.summaries[:2]
    assert fit.deviation(change) == pytest.approx(math.hypot(11 / math.sqrt(47), 3.0))
    assert fit.between(response) == 0.05
    text = SMALL + "\n[between_trials]\nresponse = -1\nchnge = 3\n"
    assert {p.code for p in problems_of(text, folder)} == {"out_of_range", "unknown_name"}


def test_times_are_those_that_targets_need(folder) -> None:
    fit = Fit.parse(SMALL, folder)
    relapse = next(t for t in fit.summaries if t.rule)
    # The clock starts a day after the infusion; then there is a visit a day.
    assert visits(relapse, fit.arms["drug"]) == (24.0, 48.0, 72.0, 96.0, 120.0)
    assert fit.times == (0.0, 24.0, 48.0, 72.0, 96.0, 120.0)
    window = dataclasses.replace(relapse, rule="", quantity="highest dissociation", time=0, stop=1)
    assert len(visits(window, fit.arms["drug"])) == 7


def test_profiles_choose(folder) -> None:
    fit = Fit.parse('profiles = ["A"]\n' + SMALL, folder)
    assert {t.profile for t in fit.summaries} == {"A"}
    assert fit.times == (0.0, 24.0, 48.0)
    problem = problems_of('profiles = ["A", "C"]\n' + SMALL, folder)[0]
    assert (problem.place, problem.code, problem.position) == ("profiles[1]", "unknown_name", "1")


def test_arm_without_target_is_a_warning(folder) -> None:
    fit = Fit.parse(SMALL + '\n[arms.idle]\nexpectancy = "open_label"\n', folder)
    assert [(w.place, w.code) for w in fit.warnings] == [("arms.idle", "idle")]


def test_lost_variation_is_a_warning(folder) -> None:
    fit = Fit.parse(with_free('"brain.unbound_brain_plasma_ratio" = {}'), folder)
    (warning,) = fit.warnings
    assert "does not vary about a value" in warning.message


ONE = '"score.weight_potentiation" = '


@pytest.mark.parametrize(
    "line, code, words",
    [
        ('"score.weight_potentation" = {}', "unknown_name", "score.weight_potentiation"),
        ('"score.weight_potentation.spread" = {}', "unknown_name", "weight_potentiation"),
        (ONE + "{ start = 0.9 }", "start", "between 0.2 and 0.8"),
        (ONE + "{ start = 0.2 }", "start", "on a bound"),
        (ONE + "{ low = 0.7, high = 0.6 }", "empty_range", "empty"),
        (ONE + "{ low = -0.1 }", "sign", "logarithmic"),
        (ONE + "{ prior = 0 }", "out_of_range", "not positive"),
        (ONE + "{ stat = 0.3 }", "unknown_name", "start"),
        (ONE + "0.3", "wrong_type", "table"),
        (ONE + '{ start = "3 h" }', "unit_dimension", "dimension"),
        ('"psychotherapy.weight_bdnf.spread" = {}', "unknown_name", "parameter"),
        ('"score.rating_maximum.spread" = {}', "no_law", "population.laws"),
        ('"brain.unbound_brain_plasma_ratio.spread" = {}', "no_law", "uniform"),
        ('"demography.met_alleles" = {}', "categorical", "categories"),
        ('"absorption.nasal_device_dose" = {}', "shared", "schedule"),
        ('"agents.lamotrigine_half_life" = {}', "shared", "schedule"),
        ('"designs.pooled.course" = {}', "idle", "open_label"),
        ('"potentiation.hydroxynorketamine_gain" = {}', "start", "bound"),
        ('"score.weight_network ~ score.weight_network" = {}', "wrong_type", "two"),
        ('"score.weight_network ~ score.rating_maximum" = {}', "no_law", "random effect"),
        ('"expectancy.course_gain ~ expectancy.gain" = { high = 1.2 }', "out_of_range", "1"),
        (
            '"pharmacokinetics.fast_peripheral_volume ~ score.weight_network" = {}',
            "no_law",
            "random effect",
        ),
    ],
)
def test_each_mistake_has_its_name(line: str, code: str, words: str, folder) -> None:
    problem = only(with_free(line), folder)
    assert problem.code == code
    assert words in str(problem)
    assert problem.place.startswith("free.")
    assert problem.position, "the line of the file is known"
    assert problem.allowed or problem.hint


def test_free_and_set(folder) -> None:
    text = "parameters.score.weight_potentiation = 0.4\n" + SMALL.replace(
        '"score.weight_potentiation.spread" = {}\n', ""
    )
    assert only(text, folder).code == "fixed"


def test_overridden_in_every_arm(folder) -> None:
    setting = 'parameters = { "score.weight_potentiation" = VALUE }\ndoses'
    for value, code in (("0.4", "overridden"), ("0", "fixed_at_zero")):
        text = SMALL.replace("doses", setting.replace("VALUE", value))
        problems = problems_of(text, folder)
        assert {p.code for p in problems} == {code}
        assert len(problems) == 2  # the typical value, and the spread
    text = SMALL.replace("doses", setting.replace("VALUE", "0"), 1)
    assert Fit.parse(text, folder).unknowns  # one arm alone may


def test_fixed_at_zero_by_the_species(folder) -> None:
    text = with_free('"pharmacokinetics.slow_peripheral_flow" = {}')
    text = text.replace("seed = 4", 'seed = 4\nspecies = "rat"')
    assert only(text, folder).code == "fixed_at_zero"


def test_a_species_need_not_keep_the_bounds_of_people(folder) -> None:
    text = with_free('"demography.weight" = { low = "0.1 kg", high = "0.6 kg" }')
    text = text.replace("seed = 4", 'seed = 4\nspecies = "rat"')
    fit = Fit.parse(text, folder)
    (weight,) = fit.unknowns
    assert (weight.start, weight.scale) == (0.3, "log")
    people = fit.population_map(2)
    theta = jnp.asarray(people.start()) + 0.5
    truth = draw(people.recipe_at(theta), [0, 1]).parameters.demography.weight
    np.testing.assert_allclose(people.parameters(theta).demography.weight, truth, rtol=1e-12)


def test_more_free_numbers_than_targets(folder) -> None:
    names = ("potentiation", "synapses", "network", "habenula", "consolidation", "activation")
    problem = only(with_free(*(f'"score.weight_{name}" = {{}}' for name in names)), folder)
    assert problem.code == "too_many"
    assert problem.value == "6 free, 5 targets with a weight above 0"


def test_typical_patients_have_no_spread(folder) -> None:
    text = SMALL.replace("seed = 4", "seed = 4\ntypical = true")
    problem = only(text, folder)
    assert problem.code == "no_law" and "typical" in problem.message


def test_correlations_that_cannot_hold_together(folder) -> None:
    a, b, c = "score.weight_habenula", "score.weight_network", "score.weight_synapses"
    both = (f'"{a} ~ {b}" = BOUNDS', f'"{b} ~ {c}" = BOUNDS')
    problem = only(with_free(*(line.replace("BOUNDS", "{}") for line in both)), folder)
    assert problem.code == "not_positive_definite"
    narrow = "{ low = -0.7, high = 0.7 }"
    fit = Fit.parse(with_free(*(line.replace("BOUNDS", narrow) for line in both)), folder)
    theta = jnp.asarray([9.0, -9.0])  # nearly at a corner
    found = fit.population_map().parameters(theta)
    assert np.all(np.isfinite(leaf(found, b)))


def test_missing_arm_other_design_and_late_target(folder) -> None:
    text = SMALL.replace("[arms.sham]", "[arms.shame]")
    problems = problems_of(text, folder)
    assert [p.code for p in problems] == ["arm_missing"]
    assert "did you mean shame" in problems[0].hint
    text = SMALL.replace('[arms.sham]\nexpectancy = "open_label"', "[arms.sham]")
    assert [p.code for p in problems_of(text, folder)] == ["design"]
    text = 'horizon = "3 day"\n' + SMALL
    assert {p.code for p in problems_of(text, folder)} == {"out_of_range"}


def test_dose_after_the_last_target(folder) -> None:
    text = SMALL.replace('time = "0 h"', 'time = "6 day"', 1)
    problem = problems_of(text, folder)[0]
    assert problem.place == "arms.drug.doses[0].time"
    assert Fit.parse('horizon = "9 day"\n' + SMALL, folder).study.horizon == 216


def test_relapse_before_the_clock(folder) -> None:
    path = folder / "table.csv"
    path.write_text(path.read_text("utf-8").replace("relapsed,5 day", "relapsed,2 day"), "utf-8")
    problem = only(SMALL, folder)
    assert problem.code == "too_short"
    assert problem.allowed == "72 h or later"


def test_problems_of_the_table_and_of_the_file_come_together(folder) -> None:
    path = folder / "table.csv"
    path.write_text(path.read_text("utf-8").replace(",64,", ",640,"), "utf-8")
    problems = problems_of(SMALL.replace("patients = 16", "patients = 0"), folder)
    assert problems[0].place == "population.patients"
    assert problems[1].place == f"targets, {path}:3, mean"
    assert problems_of(SMALL.replace("table.csv", "tabel.csv"), folder)[0].code == "file_missing"


def test_optimise_is_checked(folder) -> None:
    text = SMALL + '\n[optimise]\nmethods = ["adm"]\nstarts = 0\nsped = 3\n'
    problems = problems_of(text, folder)
    assert {p.place for p in problems} == {
        "optimise.methods[0]",
        "optimise.starts",
        "optimise.sped",
    }


def test_shipped_table_is_the_default(human) -> None:
    assert set(human.summaries) <= set(read_targets())
