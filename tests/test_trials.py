"""Outcomes of a trial: closed forms, counting by hand, and the trial of esketamine."""

import json
from pathlib import Path

import numpy as np
import pytest

from ketjax import corridor, open_store
from ketjax.analysis import summarise
from ketjax.errors import StudyError
from ketjax.model.parameters import Dropout
from ketjax.simulate import Treatment
from ketjax.study import Study
from ketjax.trials import OUTCOMES, active, first_time, hazard, time_of_leaving

STUDY = {
    "name": "trial",
    "population": {"patients": 500, "seed": 3, "entry": {"baseline_madrs": [20.0, 50.0]}},
    "output": {
        "horizon": "28 day",
        "times": ["0 h", "40 min", "1 day", *(f"{day} day" for day in range(3, 28, 3))],
        "readouts": ["madrs", "madrs_rated"],
        "outcomes": list(OUTCOMES),
        "relapse": "quarter_of_gain",
    },
    "arms": {
        name: {
            "expectancy": "nasal_placebo_new_antidepressant",
            "doses": [
                {
                    "drug": drug,
                    "route": "intranasal",
                    "amount": amount,
                    "time": start,
                    "repeat": {"every": "7 day", "count": 4},
                }
                for start in ("0 h", "3 day")
            ],
        }
        for name, drug, amount in (
            ("esketamine", "esketamine", "84 mg"),
            ("placebo", "saline", "0 mg"),
        )
    },
}


def changed(**output: object) -> dict:
    return STUDY | {"output": STUDY["output"] | output}


def test_first_time() -> None:
    reached = np.array([[False, False], [True, False], [False, False]])
    np.testing.assert_array_equal(first_time(np.array([0.0, 2.0, 24.0]), reached), [2.0, np.nan])


def test_constant_hazard_is_exponential() -> None:
    """Share that stays: exp(-h t), between visits too."""
    luck = np.random.default_rng(4).exponential(size=40_000)
    times = np.array([0.0, 100.0, 150.0, 1000.0])
    leaves = time_of_leaving(times, np.full((3, luck.size), 1 / 500), luck)
    np.testing.assert_allclose(leaves[luck < 2], 500 * luck[luck < 2], rtol=1e-12)
    assert np.isnan(leaves[luck > 2]).all()


def test_hazard_is_that_of_the_last_visit() -> None:
    times = np.array([0.0, 10.0, 20.0])
    rate = np.array([[0.1, 0.0], [0.2, 0.0]])
    leaves = time_of_leaving(times, rate, np.array([2.0, 0.5]))
    np.testing.assert_allclose(leaves, [15.0, np.nan])


def test_who_feels_worse_leaves_sooner() -> None:
    p = Dropout()
    fall = np.array([[0.4, 0.0, 0.4]] * 3)
    cadss = np.array([[10.0, 10.0, 0.0], [0.0, 0.0, 20.0], [0.0, 0.0, 0.0]])
    rate = hazard(fall, cadss, p, drug=True) * 168
    np.testing.assert_allclose(rate[0], 0.026 * np.exp([0, 0.6, -0.2]))
    np.testing.assert_allclose(rate[1], 0.026 * np.exp([0, 0.6, 0.2]))  # the peak so far
    assert hazard(fall, cadss, p, drug=False)[0, 0] * 168 == pytest.approx(0.017)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corridor.run(Study.parse(STUDY), tmp_path_factory.mktemp("run") / "trial.zarr")


def test_scores_present_at_day_28(store: Path) -> None:
    """310 of 343 and 208 of 222 in the trials (SE 1.6 %); 500 patients have an SE of 1.3 %."""
    left = open_store(store)["dropout_time"]
    present = 100 * (1 - (left <= 27 * 24).mean("patient"))
    assert float(present.sel(arm="esketamine")) == pytest.approx(90.4, abs=2 * 2.1)
    assert float(present.sel(arm="placebo")) == pytest.approx(93.7, abs=2 * 2.1)


def test_outcomes_in_the_store(store: Path) -> None:
    """Counted again from the kept scores."""
    dataset = open_store(store).load()
    assert "dissociation" not in dataset  # computed for the hazard, not asked for
    for name in OUTCOMES:
        assert dataset[name].dims == ("arm", "patient") and dataset[name].attrs["units"] == "h"
    assert dataset["relapse_state"].attrs["flag_meanings"] == "relapsed censored never_responded"
    rated, entry = dataset["madrs_rated"], dataset["baseline_madrs"]
    ever = (rated <= entry / 2).any("time")
    np.testing.assert_array_equal(dataset["time_to_response"].notnull(), ever)
    np.testing.assert_array_equal(dataset["time_to_remission"].notnull(), (rated <= 10).any("time"))
    at = dataset["time_to_response"].fillna(0)
    assert bool((rated.sel(time=at) <= entry / 2).where(ever, True).all())
    responded = rated.sel(time=24.0) <= entry / 2
    np.testing.assert_array_equal(dataset["relapse_state"] < 2, responded)
    np.testing.assert_array_equal(dataset["time_to_relapse"].notnull(), responded)


def test_missing_scores_cost_responses(store: Path) -> None:
    dataset = open_store(store)
    full, strict = (summarise(dataset, [648.0], missing=m) for m in ("none", "entry"))
    assert bool((strict["response"] < full["response"]).all())
    assert bool((strict["n_left"] > 0).all())


@pytest.mark.parametrize(
    ("output", "place", "said"),
    [
        ({"outcomes": ["time_to_respond"]}, "output.outcomes[0]", "time_to_response"),
        ({"outcomes": "all"}, "output.outcomes", "a list of names"),
        ({"relapse": "half"}, "output.relapse", "half_of_gain"),
        ({"outcomes": ["dropout_time"]}, "output.relapse", "no outcome uses it"),
        ({"outcomes": ["time_to_relapse"], "relapse": None}, "output.relapse", "needs a rule"),
        ({"outcome_score": "anxiety"}, "output.outcome_score", "madrs"),
    ],
)
def test_mistakes(output: dict, place: str, said: str) -> None:
    with pytest.raises(StudyError) as caught:
        Study.parse(changed(**output))
    assert [p.place for p in caught.value.problems] == [place]
    assert said in str(caught.value)


def test_a_trial_too_short_for_relapse(tmp_path: Path) -> None:
    study = Study.parse(changed(relapse="transform"))
    with pytest.raises(StudyError, match="arm 'placebo' cannot relapse by the rule 'transform'"):
        corridor.run(study, tmp_path / "x.zarr")
    assert not (tmp_path / "x.zarr").exists()


def test_study_is_written_back() -> None:
    study = Study.parse(STUDY)
    assert Study.parse(json.loads(study.to_json())) == study
    assert study.output.outcomes == tuple(OUTCOMES)


def test_which_arms_are_active() -> None:
    arms = Study.parse(STUDY).arms
    assert active(Treatment(arms["esketamine"].regimen))
    assert not active(Treatment(arms["placebo"].regimen))
