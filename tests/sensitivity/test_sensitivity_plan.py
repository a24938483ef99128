"""What a manifest asks for, and what is wrong with it, all at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ketjax.errors import StudyError
from ketjax.fit.free import PRIOR_BY_STATUS, table
from ketjax.model.laws import Law
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.rows import middle, values
from ketjax.study import Study

FIRST = Path(__file__).parents[2] / "studies" / "s01_single_infusion.toml"


def tables(**settings: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "population": {"patients": 1, "seed": 1},
        "output": {
            "horizon": "24 h",
            "times": ["0 h", "2 h", "24 h"],
            "readouts": ["plasma_ketamine", "madrs"],
        },
        "arms": {
            "ketamine": {
                "doses": [
                    {
                        "drug": "ketamine",
                        "route": "intravenous",
                        "amount": "0.5 mg/kg",
                        "time": "0 h",
                        "duration": "40 min",
                    }
                ]
            }
        },
        **({"sensitivity": settings} if settings else {}),
    }


def problems(**settings: Any) -> dict[str, str]:
    with pytest.raises(StudyError) as caught:
        SensitivityStudy.parse(tables(**settings))
    return {problem.place: problem.code for problem in caught.value.problems}


def test_plain_study_varies_what_is_uncertain() -> None:
    study = SensitivityStudy.read(FIRST)
    status = {table()[one.name].status for one in study.factors}
    assert status == {"assumed", "fitted", "derived"}
    assert not study.is_population and study.samples == 1024
    assert "madrs_rated" in study.readouts and "madrs_rated" not in study.outputs
    assert any("madrs_rated" in notice for notice in study.notices())
    assert SensitivityStudy.parse(study.to_dict()) == study


def test_study_without_the_table_stays_a_study() -> None:
    with pytest.raises(StudyError, match="unknown key"):
        Study.parse(tables(samples=64))


def test_ranges() -> None:
    study = SensitivityStudy.parse(
        tables(
            parameters={
                "score.weight_potentiation": {"low": 0.3, "high": 0.9},
                "pharmacokinetics": {"central_volume": {"factor": 2}},
                "receptors.kd_interneuron": {"range": "law"},
                "synapses": {"range": "bounds"},
                "synapses.stress": {},
                "expectancy.gain.spread": {},
            }
        )
    )
    assert study.is_population  # there is a spread
    found = {one.name: one for one in study.factors}
    assert list(found)[-1] == "expectancy.gain.spread"
    at = {name: one.law for name, one in found.items()}
    assert (at["score.weight_potentiation"].low, at["score.weight_potentiation"].high) == (0.3, 0.9)
    volume = found["pharmacokinetics.central_volume"]
    assert volume.law.kind == "log-uniform" and volume.law.high == 2 * volume.value
    assert at["receptors.kd_interneuron"] == table()["receptors.kd_interneuron"].law
    gain = table()["synapses.protein_synthesis_gain"]
    assert (at[gain.path].low, at[gain.path].high) == (gain.low, gain.high)
    assert at["synapses.stress"].kind == "log-normal"  # its name stands above its group
    assert at["synapses.stress"].spread == PRIOR_BY_STATUS["assumed"]
    assert found["synapses.stress"].named and not found[gain.path].named
    base = middle(study.factors)
    numbers = values(study.factors, np.stack([base, np.full(base.size, 0.3)]))
    np.testing.assert_allclose(numbers[0], [one.value for one in study.factors], rtol=1e-9)
    for k, one in enumerate(study.factors):
        ends = values(study.factors, np.clip(np.eye(base.size)[[k]] * np.ones((2, 1)), 1e-9, 1))
        assert np.all(
            np.diff(
                values(
                    study.factors, np.linspace(0.01, 0.99, 9)[:, None] * np.ones((1, base.size))
                )[:, k]
            )
            > 0
        ), one.name
        assert np.isfinite(ends[:, :0]).all()


def test_samples_are_rounded_up_with_a_notice() -> None:
    study = SensitivityStudy.parse(tables(samples=100))
    assert study.samples == 128 and "rounded up to 128" in study.notices()[0]


def test_everything_wrong_is_said_at_once() -> None:
    found = problems(
        parameters={
            "scor.baseline": {},
            "score.baseline": {"factor": 0.5},
            "receptors.kd_interneuron": {"low": "1 uM", "factor": 2},
            "synapses": {"low": 1, "high": 2},
            "expectancy.gain": {"hihg": 2},
        },
        methods=["sobl"],
        samples=3,
        top=0,
    )
    assert set(found.values()) >= {"unknown_name", "out_of_range", "ambiguous", "group"}
    assert len(found) == 9
    again = problems(
        parameters={
            "score.baseline": {"low": "40 points", "high": "30 points"},
            "demography.female": {},
            "receptors.kd_interneuron": {"low": "-1 uM", "high": "2 uM"},
            "pharmacokinetics.reference_weight": {},
            "score.weight_potentiation.spread": {},
        },
        arms=["ketamin"],
        hours=["3 h"],
        readouts=["madr"],
    )
    assert set(again.values()) == {
        "empty_range", "categorical", "out_of_range", "shared", "unknown_name", "unknown_time",
    }  # fmt: skip
    assert problems(parameters=["score.baseline", "score.baseline"])
    assert problems(parameters=[]) == {"sensitivity.parameters": "missing"}


def test_laws_with_one_end_are_described() -> None:
    assert str(Law("normal", 1.0, low=0.0)) == "normal(1, at least 0)"
    assert str(Law("log-normal", 0.5, high=2.0)) == "log-normal(0.5, at most 2)"
    assert str(Law("normal", 1.0, low=0.0, high=2.0)) == "normal(1, within 0 to 2)"


def test_did_you_mean() -> None:
    with pytest.raises(StudyError, match="did you mean score.baseline"):
        SensitivityStudy.parse(tables(parameters=["scor.baseline"]))


def test_too_few_samples_for_a_partial_correlation() -> None:
    paths = [path for path, row in table().items() if row.status == "fitted"][:30]
    found = problems(parameters=paths, methods=["prcc"], samples=16)
    assert found["sensitivity.samples"] == "too_few"


def test_typical_patient_has_no_spread() -> None:
    spread = {"score.weight_potentiation.spread": {}}
    assert problems(parameters=spread, subject="typical") == {"sensitivity.subject": "subject"}
