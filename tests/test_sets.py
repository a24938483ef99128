"""Parameter sets: what a study draws with one, what stands above it, and every mistake named."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ketjax
from ketjax import corridor, preparation, simulate
from ketjax.cli import app
from ketjax.dataset import verify
from ketjax.errors import Problem, StudyError
from ketjax.fit import Fit
from ketjax.fit.drawing import PopulationMap
from ketjax.fit.free import Free
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.model.parameters import leaf
from ketjax.population import Population, Recipe, draw
from ketjax.posteriors import Posterior
from ketjax.preparation import check_recipe, provenance_of, recipe_from, recipe_of
from ketjax.sets import NAMES, ParameterSet
from ketjax.study import PopulationSettings, Study

SHIPPED = Path(__file__).parents[1] / "fits" / "human.toml"
FOLDER = Path(__file__).parent / "parameter_sets"
HEAD = """
name = "kinetics"
[population]
patients = 40
seed = 5
[output]
horizon = "2 h"
times = ["0 h", "2 h"]
readouts = ["plasma_ketamine"]
[[arms.oral.doses]]
drug = "ketamine"
route = "oral"
amount = "50 mg"
time = "0 h"
"""
TINY = (FOLDER / "tiny.toml").read_text("utf-8")
BY_HAND = """
[parameters]
"score.weight_potentiation" = 0.9
"receptors.kd_interneuron" = "0.55 uM"
"designs.open_label.fast" = "0.7 1/h"
[population.laws]
"score.weight_potentiation" = { law = "log-normal", sd = 0.45 }
[population.correlations]
"expectancy.course_gain ~ expectancy.gain" = 0.3
"receptors.kd_interneuron ~ score.weight_potentiation" = -0.2
"""
PATIENTS = np.arange(40)


def study(more: str = "", chosen: str = "tiny.toml", folder: Path = FOLDER) -> Study:
    top = f'set = "{chosen or "table"}"\n'
    return Study.parse(top + HEAD + more, folder=folder)


def people(asked: Study, patients=PATIENTS) -> Population:
    recipe = recipe_of(asked)
    check_recipe(recipe)
    return draw(recipe, patients)


def assert_same(one: Population, other: Population) -> None:
    assert one.varying == other.varying
    for path in one.varying:
        assert leaf(one.parameters, path).tobytes() == leaf(other.parameters, path).tobytes(), path


def problems_of(asked) -> tuple[Problem, ...]:
    with pytest.raises(StudyError) as caught:
        asked()
    return caught.value.problems


@pytest.fixture
def written(tmp_path):
    """Write the tiny set with changes, and its posterior."""

    def write(*changes: tuple[str, str], posterior: str | None = None) -> Path:
        text = TINY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        table = (FOLDER / "tiny_posterior.csv").read_text("utf-8")
        (tmp_path / "tiny_posterior.csv").write_text(posterior or table, "utf-8")
        (tmp_path / "tiny.toml").write_text(text, "utf-8")
        return tmp_path

    return write


def test_a_set_is_the_same_numbers_written_by_hand(written) -> None:
    folder = written(('"connectivity.baseline" = 0.35\n', ""))
    by_hand = people(study(BY_HAND, ""))
    assert_same(people(study(folder=folder)), by_hand)
    assert by_hand.parameters.designs.open_label.fast == 0.7
    # A spread alone leaves the rest of the law as the table has it: normal, about zero.
    z = people(study("", "")).parameters.connectivity.baseline
    np.testing.assert_array_equal(people(study()).parameters.connectivity.baseline, 0.35 * z)


def test_humans_have_the_fitted_set_unless_a_study_says_otherwise() -> None:
    asked = Study.parse(HEAD)
    assert asked.set == ParameterSet.read("human")
    assert Study.parse(asked.to_dict()) == asked
    table = Study.parse('set = "table"\n' + HEAD)
    assert table.set is None and Study.parse(table.to_dict()) == table
    assert table.replace(patients=3).set is None and asked.replace(set="table") == table
    assert Study.parse(HEAD.replace("seed = 5", 'seed = 5\nspecies = "rat"')).set is None
    rat = asked.replace(species="rat")
    assert rat.set is None and rat.replace(species="human") == asked
    mine = asked.replace(set=ParameterSet.read("human").model_copy(update={"laws": {}}))
    with pytest.raises(StudyError, match="for another species"):
        mine.replace(species="rat")
    individuals = SHIPPED.with_name("individuals.toml")
    assert IndividualPlan.read(individuals).set is None
    text = individuals.read_text("utf-8").replace('set = "table"', "")
    assert IndividualPlan.parse(text, SHIPPED.parent).set == asked.set
    assert Fit.read(SHIPPED).set is None and Fit.read(SHIPPED).study.set is None
    typical = leaf(recipe_of(asked).typical_patient(), "score.score_rate")
    assert typical == ParameterSet.read("human").parameters["score.score_rate"]


def test_a_set_draws_whom_the_fit_that_made_it_drew() -> None:
    """Typical values of laws with a centre or an offset, spreads of bounded ones."""
    values = {"score.baseline": 35.0, "inflammation.baseline": 1.9, "demography.age": 50.0}
    spreads = {"demography.weight": 0.3, "score.baseline": 5.0, "score.improvable_share": 0.4}
    correlations = {"expectancy.course_gain ~ expectancy.gain": 0.2}
    free = [
        *(Free(path, "typical value", (path,), "", x, x / 2, 2 * x, "log", 1)
          for path, x in values.items()),
        *(Free(f"{path}.spread", "spread", (path,), "", x, x / 2, 2 * x, "log", 1)
          for path, x in spreads.items()),
        *(Free(pair, "correlation", tuple(pair.split(" ~ ")), "1", r, -0.9, 0.9, "atanh", 1)
          for pair, r in correlations.items()),
    ]  # fmt: skip
    theirs = PopulationMap.of(Recipe(seed=5), free, PATIENTS)
    numbers = {"parameters": values, "laws": spreads, "correlations": correlations}
    tiny = ParameterSet.read(FOLDER / "tiny.toml")
    chosen = tiny.model_copy(update={**numbers, "posterior": None})
    settings = PopulationSettings(patients=40, seed=5)
    ours = draw(recipe_from(settings, {}, chosen), PATIENTS)
    again = draw(theirs.recipe_at(theirs.start()), PATIENTS)
    for path in ours.varying:  # a number without bounds and back differs by rounding
        found, truth = leaf(ours.parameters, path), leaf(again.parameters, path)
        np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-12, err_msg=path)


def test_a_fit_starts_from_its_set() -> None:
    text = SHIPPED.read_text("utf-8")
    plain = Fit.parse(text)
    fit = Fit.parse(text.replace("[population]", 'set = "tiny.toml"\n[population]', 1).replace(
        '"score.weight_potentiation" = {}', '"score.weight_potentiation" = { high = 2 }'
    ), FOLDER)  # fmt: skip
    starts = {one.name: one.start for one in fit.unknowns}
    assert starts["score.weight_potentiation"] == 0.9
    assert starts["score.weight_potentiation.spread"] == 0.45
    assert starts["expectancy.course_gain ~ expectancy.gain"] == 0.3
    assert (
        starts["score.weight_synapses"]
        == {o.name: o.start for o in plain.unknowns}["score.weight_synapses"]
    )
    assert fit.digest() != plain.digest() and Fit.parse(fit.to_dict()) == fit
    assert fit.study.set == fit.set and fit.set is not None and fit.set.posterior is None
    start = fit.population_map(8)
    truth = draw(recipe_of(fit.study), np.arange(8))
    np.testing.assert_array_equal(
        start.drawn.score.weight_potentiation, truth.parameters.score.weight_potentiation
    )
    problems = problems_of(lambda: Fit.parse(text.replace("seed = 20", 'seed = 20\nset = "x"')))
    assert "population.set" in {problem.place for problem in problems}


def test_the_study_wins_over_its_set() -> None:
    own = """
    [parameters]
    "receptors.kd_interneuron" = "0.3 uM"
    "expectancy.gain" = 0
    [population.laws]
    "score.weight_potentiation" = { law = "log-normal", sd = 0.1 }
    [population.correlations]
    "receptors.kd_interneuron ~ score.weight_potentiation" = 0.6
    [arms.oral.parameters]
    "designs.open_label.fast" = "0.1 1/h"
    """
    asked = study(own)
    recipe = recipe_of(asked)
    check_recipe(recipe)
    assert recipe.values["receptors.kd_interneuron"] == 0.3
    assert recipe.values["score.weight_potentiation"] == 0.9
    assert recipe.own_laws["score.weight_potentiation"].spread == 0.1
    # The pair that the study leaves nothing of is left out in silence.
    assert dict(recipe.correlations) == {
        "receptors.kd_interneuron ~ score.weight_potentiation": 0.6
    }
    treatment = preparation.values_of(asked.arms["oral"])
    assert treatment == {"designs.open_label.fast": 0.1}


def test_canonical_text_holds_the_content_of_the_set(written) -> None:
    asked = study()
    again = Study.parse(json.loads(asked.to_json()))
    assert again == asked and again.digest() == asked.digest()
    assert asked.set is not None and asked.set.posterior is None
    assert study("", "").digest() != asked.digest()
    other = study(folder=written(("= 0.45", "= 0.46")))
    assert other.digest() != asked.digest()
    record = provenance_of(asked)["parameter_set"]
    assert record == {"name": "tiny", "digest": asked.set.digest()}
    assert "parameter_set" not in provenance_of(study("", ""))
    assert asked.replace(patients=7).set == asked.set


def test_what_is_written_reads_back_to_the_bit(tmp_path) -> None:
    tiny = ParameterSet.read(FOLDER / "tiny.toml")
    odd = {"score.weight_potentiation": 0.1 + 0.2, "receptors.kd_interneuron": 1 / 3}
    draws = tuple(tuple(math.pi / k for k in (4, 5, 6, 7)) for _ in range(3))
    posterior = Posterior(names=tiny.posterior.names, draws=draws, weights=(0.1, 1e-300, 1 / 3))  # type: ignore[union-attr]
    provenance = tiny.provenance.model_copy(update={"question": 'a "quoted"\nline \\'})
    changes = {"parameters": odd, "posterior": posterior, "provenance": provenance}
    exact = tiny.model_copy(update=changes)
    exact.write(tmp_path / "exact.toml")
    assert ParameterSet.read("exact.toml", folder=tmp_path) == exact


MISTAKES = {
    "unknown path": ('"score.weight_potentiation" = 0.9', '"score.weight" = 0.9', "unknown param"),
    "no unit": ('"0.55 uM"', "0.55", "a unit is needed"),
    "outside the support": ('"0.55 uM"', '"-1 uM"', "outside the allowed range"),
    "no law": ('"connectivity.baseline"', '"designs.open_label.fast"', "is fixed, which has no"),
    "spread of nothing": ('"connectivity.baseline"', '"connectivity.base"', "unknown parameter"),
    "negative spread": ("= 0.45", "= -0.45", "not positive"),
    "not a correlation": ("= -0.2", "= -1.2", "no correlation"),
    "unknown species": ('"human"', '"mouse"', "unknown species"),
    "unknown section": ("[laws]", "[spreads]", "unknown key"),
    "no name": ('name = "tiny"\n', "", "this is missing"),
    "no posterior there": ('"tiny_posterior.csv"', '"other.csv"', "there is no such file"),
    "no TOML": ("[laws]", "[laws", "this is no TOML"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_of_a_set(name: str, written) -> None:
    old, new, words = MISTAKES[name]
    folder = written((old, new))
    (problem,) = problems_of(lambda: ParameterSet.read(folder / "tiny.toml"))
    assert words in problem.message
    (problem,) = problems_of(lambda: study(folder=folder))
    assert problem.place == "set" and words in problem.message
    assert str(folder / "tiny.toml") in problem.message and problem.position == "1"


WRONG_TABLES = {
    "score.weight\n1\n": "unknown parameter",
    "designs.open_label.fast.spread\n1\n": "has no spread",
    "agents.perampanel_block\n0.1\n": "cannot differ between draws",
    "score.weight_potentiation ~\n0.1\n": "unknown parameter",
    "score.weight_potentiation\n-0.1\n": "outside the allowed range",
    "score.weight_potentiation.spread\n0\n": "outside the allowed range",
    "expectancy.gain ~ expectancy.course_gain\n1\n": "outside the allowed range",
    "score.weight_potentiation\nnan\n": "no finite number",
    "score.weight_potentiation\nmuch\n": "no finite number",
    "score.weight_potentiation,weight\n1\n": "another length",
    "weight,score.weight_potentiation\n-1,1\n": "negative",
    "weight,score.weight_potentiation\n0,1\n": "all are 0",
    "gates.ampa ~ gates.trkb,gates.trkb~gates.ampa\n0,0\n": "given twice",
    "score.weight_potentiation\n": "empty",
}


@pytest.mark.parametrize("table", WRONG_TABLES)
def test_mistakes_of_a_posterior(table: str, written) -> None:
    folder = written(posterior=table)
    (problem,) = problems_of(lambda: ParameterSet.read(folder / "tiny.toml"))
    assert WRONG_TABLES[table] in problem.message
    assert problem.place.startswith("posterior")


def test_all_mistakes_at_once(written) -> None:
    folder = written(('"0.55 uM"', "0.55"), ("= 0.45", "= -1"), ("= -0.2", "= 2"), ("human", "x"))
    assert len(problems_of(lambda: ParameterSet.read(folder / "tiny.toml"))) == 4
    wrong = 'set = "tiny.toml"\nnonsense = 1\n' + HEAD
    assert len(problems_of(lambda: Study.parse(wrong, folder=folder))) == 5


def test_what_set_and_study_must_agree_on(written) -> None:
    rat = HEAD.replace("seed = 5", 'seed = 5\nspecies = "rat"')
    (problem,) = problems_of(lambda: Study.parse('set = "tiny.toml"\n' + rat, folder=FOLDER))
    assert problem.code == "species"
    (problem,) = problems_of(lambda: study("[uncertainty]\ndraws = 3\n", ""))
    assert problem.code == "no_posterior" and problem.place == "uncertainty"
    asked = 'set = "tiny.toml"\nuncertainty = { draws = 3 }\n'
    for change, code in (("typical = true", "typical"), ('design = "sobol"', "design")):
        text = asked + HEAD.replace("seed = 5", f"seed = 5\n{change}")
        (problem,) = problems_of(lambda text=text: Study.parse(text, folder=FOLDER))
        assert problem.code == code
    (problem,) = problems_of(lambda: study("[uncertainty]\ndraws = 0\n"))[:1]
    assert problem.place == "uncertainty.draws"
    folder = written(("human", "rat"), ('"connectivity.baseline"', '"demography.weight"'))
    rat_study = Study.parse('set = "tiny.toml"\n' + rat, folder=folder)
    (problem,) = problems_of(lambda: recipe_of(rat_study))
    assert "demography.weight has no law in the rat" in problem.message
    unknown = problems_of(lambda: study(chosen="nobody"))[0]
    assert unknown.code == "unknown_name" and "ends in .toml" in unknown.hint
    for name in NAMES:  # those of the package, if there are any, can be read
        assert ParameterSet.read(name).name == name


def test_a_posterior_of_one_point_is_the_set(written) -> None:
    point = "score.weight_potentiation,score.weight_potentiation.spread\n0.9,0.45\n"
    folder = written(posterior=point)
    asked = study("[uncertainty]\ndraws = 1\n", folder=folder)
    assert_same(people(asked), people(study(folder=folder)))


def test_each_patient_is_drawn_by_the_numbers_of_its_draw(written) -> None:
    asked = study("[uncertainty]\ndraws = 6\nseed = 3\n")
    assert asked.set is not None and asked.set.posterior is not None
    used = [numbers[0] for numbers in asked.set.posterior.draws]
    assert used == [0.7, 0.9, 0.9, 1.1, 1.1, 1.1]  # weights 1, 0, 2 and 3 of 6
    found = people(asked)
    fast = np.array([0.6, 0.7, 0.7, 0.8, 0.8, 0.8])
    np.testing.assert_array_equal(found.parameters.designs.open_label.fast, fast[PATIENTS % 6])
    # Whoever is of draw k is who a study with the numbers of that draw written by hand has.
    for k, (value, rate, spread, r) in enumerate(asked.set.posterior.draws):
        folder = written(
            ("0.7 1/h", f"{rate} 1/h"),
            ('potentiation" = 0.9', f'potentiation" = {value}'),
            ("= 0.45", f"= {spread}"),
            ("= 0.3\n", f"= {r}\n"),
        )
        alone = people(study(folder=folder))
        mine = PATIENTS % 6 == k
        for path in alone.varying:
            ours = leaf(found.parameters, path)[mine]
            assert ours.tobytes() == leaf(alone.parameters, path)[mine].tobytes(), path
    # Random effects stay the patient's own.
    z = np.log(found.parameters.circuit.disinhibition_gain)
    np.testing.assert_array_equal(
        z, np.log(people(study("", "")).parameters.circuit.disinhibition_gain)
    )
    few = people(asked, np.array([31, 2, 17]))
    for path in found.varying:
        np.testing.assert_array_equal(
            leaf(few.parameters, path), leaf(found.parameters, path)[[31, 2, 17]]
        )
    assert Study.parse(json.loads(asked.to_json())) == asked


def test_the_study_wins_over_the_posterior_too() -> None:
    own = '[uncertainty]\ndraws = 6\n[parameters]\n"designs.open_label.fast" = "0.1 1/h"\n'
    own += '[population.laws]\n"score.weight_potentiation" = { law = "fixed" }\n'
    found = people(study(own))
    assert found.parameters.designs.open_label.fast == 0.1
    weight = found.parameters.score.weight_potentiation
    np.testing.assert_array_equal(weight, np.array([0.7, 0.9, 0.9, 1.1, 1.1, 1.1])[PATIENTS % 6])


def test_choice_of_draws_is_proportional_to_their_weights() -> None:
    weights = np.random.default_rng(4).exponential(size=50)
    posterior = Posterior(
        names=("x",), draws=tuple((float(k),) for k in range(50)), weights=tuple(weights)
    )
    expected = 500 * weights / weights.sum()
    counts = np.zeros((200, 50))
    for seed in range(200):
        chosen = np.array(posterior.resampled(500, seed).draws)[:, 0].astype(int)
        assert np.all(np.diff(chosen) >= 0)
        counts[seed] = np.bincount(chosen, minlength=50)
    assert np.all((counts == np.floor(expected)) | (counts == np.ceil(expected)))
    # A systematic choice is unbiased; a mean of 200 numbers of variance at most 1/4 has SE 0.036.
    assert np.abs(counts.mean(axis=0) - expected).max() < 5 * 0.036
    equal = Posterior(names=("x",), draws=posterior.draws)
    assert equal.resampled(50, 9) == equal
    assert equal.resampled(100, 9).draws[::2] == equal.draws


def test_correlations_that_cannot_hold_in_some_draw_are_refused(written) -> None:
    pairs = ("bdnf.release_gain ~ mtorc1.mtorc1_rate", "bdnf.clearance_rate ~ bdnf.release_gain",
             "bdnf.clearance_rate ~ mtorc1.mtorc1_rate")  # fmt: skip
    folder = written(posterior=f"{','.join(pairs)}\n0.1,0.1,0.1\n0.9,0.9,-0.9\n")
    recipe = recipe_of(study("[uncertainty]\ndraws = 2\n", folder=folder))
    (problem,) = problems_of(lambda: check_recipe(recipe))
    assert "cannot hold together" in problem.message


def test_store_keeps_draws_and_says_which_set(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(simulate, "BLOCK", 64)
    monkeypatch.setattr(preparation, "BLOCK", 64)
    asked = study("[uncertainty]\ndraws = 6\n")
    store = corridor.run(asked, tmp_path / "kinetics.zarr")
    dataset = ketjax.open_store(store)
    np.testing.assert_array_equal(dataset["draw"], PATIENTS % 6)
    assert dataset["draw"].dtype == np.int32 and dataset.attrs["parameter_set"] == "tiny"
    weight = people(asked).parameters.score.weight_potentiation
    np.testing.assert_array_equal(dataset["score.weight_potentiation"], weight)
    assert "designs.open_label.fast" in dataset and verify(store) == []
    record = json.loads(dataset.attrs["ketjax_provenance"])
    assert record["study"]["set"]["provenance"]["question"] == "Does a set do what it says?"
    assert Study.parse(record["study"]).digest() == record["digest"] == asked.digest()


def test_parameters_of_a_set_are_marked() -> None:
    result = CliRunner().invoke(
        app, ["parameters", "--set", str(FOLDER / "tiny.toml"), "--format", "csv"]
    )
    assert result.exit_code == 0
    assert "score.weight_potentiation,wPs,0.9,value and spread,1," in result.stdout
    assert "log-normal(0.45)" in result.stdout and "normal(0.35)" in result.stdout
    assert "receptors.kd_pyramidal" in result.stdout
    assert "written by hand for tests" in result.stderr and "4 draws" in result.stderr
    wrong = CliRunner().invoke(
        app, ["parameters", "--set", str(FOLDER / "tiny.toml"), "--species", "rat"]
    )
    assert wrong.exit_code == 2 and "another species" in wrong.stderr
