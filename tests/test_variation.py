"""Laws of a study: read strictly, drawn as they say, and marched with."""

import jax
import numpy as np
import pytest
from scipy import stats

from ketjax import simulate
from ketjax.errors import StudyError
from ketjax.model.parameters import Parameters, leaf, replace, rows
from ketjax.population import draw
from ketjax.preparation import check_recipe, recipe_of, variables_of
from ketjax.regimen import Agent, Dose, Regimen
from ketjax.schedule import SHARED, edges_of, forcing_of, impulses_of
from ketjax.simulate import Simulation, Treatment
from ketjax.study import Study

N = 4000
ALARM = 1e-6  # probability of a false alarm of each distribution test
STUDY = """
name = "laws"
[population]
patients = 4
seed = 5
[output]
horizon = "1 day"
times = ["0 h", "1 day"]
readouts = ["madrs"]
[population.laws]
gates.ampa = { law = "uniform", low = 0.2, high = "100 %" }
"receptors.kd_interneuron" = { law = "log-normal", cv = 0.5 }
"gates.trkb" = { law = "normal", sd = 0.4, low = 0, high = 1.5 }
"synapses.stress" = { law = "fixed" }
"bdnf.release_gain" = { law = "normal", sd = "2 1/h" }
"potentiation.mtor_share" = { law = "logit-normal", sd = 0.7 }
"demography.weight" = { law = "log-uniform", low = "50 kg", high = "90 kg" }
[arms.a]
"""


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.parse(STUDY)


def test_each_law_is_drawn(study: Study) -> None:
    drawn = draw(recipe_of(study), np.arange(N))
    p = Parameters()
    gain = p.bdnf.release_gain
    expected = {
        "gates.ampa": stats.uniform(0.2, 0.8),
        "receptors.kd_interneuron": stats.lognorm(
            np.sqrt(np.log(1.25)), 0, p.receptors.kd_interneuron
        ),
        "gates.trkb": stats.truncnorm(-1 / 0.4, 0.5 / 0.4, 1, 0.4),
        "bdnf.release_gain": stats.truncnorm(-gain / 2, np.inf, gain, 2),
        "demography.weight": stats.loguniform(50, 90),
    }
    for path, law in expected.items():
        assert stats.kstest(leaf(drawn.parameters, path), law.cdf).pvalue > ALARM, path
    share = leaf(drawn.parameters, "potentiation.mtor_share")
    logit = np.log(share / (1 - share))
    assert stats.kstest(logit, stats.norm(np.log(0.4 / 0.6), 0.7).cdf).pvalue > ALARM
    assert "synapses.stress" not in drawn.varying
    assert np.ndim(leaf(drawn.parameters, "synapses.stress")) == 0


def test_other_draws_stay(study: Study) -> None:
    with_laws = draw(recipe_of(study), np.arange(9))
    without = draw(recipe_of(study.replace(laws={})), np.arange(9))
    same = set(without.varying) - set(study.population.laws)
    assert len(same) > 90
    for path in same:
        a, b = leaf(with_laws.parameters, path), leaf(without.parameters, path)
        assert a.tobytes() == b.tobytes(), path


def test_what_is_drawn_is_kept_and_told(study: Study) -> None:
    names = {variable.name for variable in variables_of(study, recipe_of(study))}
    assert {"gates.ampa", "gates.trkb", "bdnf.release_gain"} <= names
    assert "synapses.stress" not in names
    again = Study.parse(study.to_dict())
    assert again == study and again.digest() == study.digest()
    assert study.to_dict()["population"]["laws"]["bdnf.release_gain"]["sd"] == "2.0 1/h"
    assert study.replace(laws={}).digest() != study.digest()


def test_patients_march_with_the_levels_that_they_drew(monkeypatch) -> None:
    """A gate that varies equals, patient by patient and bit by bit, the gate set to that level."""
    monkeypatch.setattr(simulate, "BLOCK", 16)
    asked = Study.parse(STUDY).replace(
        laws={"gates.ampa": {"law": "uniform", "low": 0.0, "high": 1.0}}
    )
    recipe = recipe_of(asked)
    patients = draw(recipe, np.arange(2))
    levels = patients.parameters.gates.ampa
    regimen = Regimen((Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3),))
    arms = {"drawn": Treatment(regimen), "open": Treatment(regimen, values={"gates.ampa": 1.0})}
    arms |= {f"{u}": Treatment(regimen, values={"gates.ampa": u}) for u in levels}
    march = Simulation(recipe, arms, (0.0, 24.0), names=("madrs",), dtype="float64")
    assert "gates.ampa" not in march.cascade.literal and "gates.trkb" in march.cascade.literal
    score = march.solve(patients).readouts["madrs"][:, -1]
    for i in range(2):
        assert score[0, i] == score[2 + i, i]
        assert score[0, i] > score[1, i] + 0.1


@pytest.mark.parametrize(
    ("path", "given", "place", "words"),
    [
        ("gates.amp", '{ law = "fixed" }', "", "did you mean gates.ampa"),
        ("gates.ampa", "0.5", "", "a law is needed"),
        ("gates.ampa", "{ low = 0, high = 1 }", "", "a law is needed"),
        ("gates.ampa", '{ law = "uniforn", low = 0, high = 1 }', "law", "did you mean uniform"),
        ("gates.ampa", '{ law = "uniform", low = 0 }', "high", "missing"),
        ("gates.ampa", '{ law = "uniform", low = 0, hgh = 1, high = 1 }', "hgh", "mean high"),
        ("gates.ampa", '{ law = "uniform", low = 0, high = 1, cv = 0.1 }', "cv", "key of uniform"),
        ("gates.ampa", '{ law = "uniform", low = 1, high = 0.5 }', "", "range is empty"),
        ("gates.ampa", '{ law = "uniform", low = -1, high = 0.5 }', "low", "at least 0"),
        ("gates.ampa", '{ law = "log-uniform", low = 0, high = 0.5 }', "low", "not positive"),
        ("gates.ampa", '{ law = "fixed", sd = 1 }', "sd", "key of fixed"),
        ("gates.ampa", '{ law = "normal" }', "", "either cv or sd"),
        ("gates.ampa", '{ law = "normal", cv = 0.1, sd = 0.1 }', "", "either cv or sd"),
        ("gates.ampa", '{ law = "normal", sd = 0 }', "sd", "not positive"),
        ("gates.ampa", '{ law = "normal", sd = "1 h" }', "sd", "wrong dimension"),
        ("bdnf.release_gain", '{ law = "normal", sd = 1 }', "sd", "unit is needed"),
        ("gates.ampa", '{ law = "normal", sd = 1, low = 0 }', "high", "missing"),
        ("agents.perampanel_block", '{ law = "normal", cv = 1 }', "", "same for all patients"),
        ("demography.met_alleles", '{ law = "normal", cv = 1 }', "", "same for all patients"),
        (
            "potentiation.mtor_share",
            '{ law = "logit-normal", sd = 1, low = 0, high = 0.5 }',
            "",
            "both excluded",
        ),
    ],
)
def test_mistakes_are_named(path: str, given: str, place: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        Study.parse(
            STUDY.split("[population.laws]")[0]
            + f'[population.laws]\n"{path}" = {given}\n[arms.a]\n'
        )
    (problem,) = caught.value.problems
    assert problem.place.startswith("population.laws")
    assert problem.place.endswith(f"{path}.{place}".rstrip("."))
    assert words in str(problem)


@pytest.mark.parametrize(
    ("path", "law"),
    [
        ("gates.ampa", {"law": "logit-normal", "sd": 1.0}),  # the typical level is 1
        ("gates.ampa", {"law": "logit-normal", "cv": 1.0}),
        ("potentiation.opioid_share", {"law": "log-normal", "cv": 0.5}),  # 0
        ("potentiation.opioid_share", {"law": "normal", "cv": 0.5}),
    ],
)
def test_a_law_must_be_able_to_vary_about_the_typical_value(study: Study, path, law) -> None:
    with pytest.raises(StudyError, match="cannot vary") as caught:
        recipe_of(study.replace(laws={path: law}))
    assert caught.value.problems[0].place == f"population.laws.{path}"
    moved = study.replace(laws={path: law}, parameters={path: 0.6})
    assert path in recipe_of(moved).laws()


def test_laws_and_entry_must_leave_somebody(study: Study) -> None:
    with pytest.raises(StudyError, match="nothing lies between"):
        check_recipe(recipe_of(study.replace(entry={"weight": ["100 kg", "120 kg"]})))
    check_recipe(recipe_of(study.replace(entry={"weight": ["60 kg", "120 kg"]})))


def test_what_a_schedule_reads_is_what_cannot_vary() -> None:
    """The schedule of a regimen with everything in it does not see any other parameter."""
    p = Parameters()
    others = [row.path for row in rows() if not row.path.startswith(SHARED)]
    blind = replace(p, dict.fromkeys(others, np.nan))
    names = ("perampanel", "mglur23_agonist", "diazepam", "lamotrigine", "naltrexone")
    regimen = Regimen(
        (
            *(Dose("ketamine", route, 0.5, True, 1.0) for route in ("oral", "intranasal")),
            Dose("ketamine", "sublingual", 25.0, False, 2.0),
            Dose("midazolam", "intravenous", 0.045, True, 3.0, 1.0),
            *(Agent(name, -1.0) for name in names),
        )
    )
    bounds = np.append(edges_of(regimen, p), 5000.0)
    np.testing.assert_array_equal(edges_of(regimen, blind), bounds[:-1])
    for make in (forcing_of, impulses_of):
        seen, unseen = (jax.tree.leaves(make(regimen, q, bounds)) for q in (p, blind))
        for a, b in zip(seen, unseen, strict=True):
            np.testing.assert_array_equal(a, b)
