"""A study written as TOML is the same study; arms that differ in dose alone are found."""

from pathlib import Path

import pytest

from ketjax.errors import StoreError
from ketjax.report.origin import toml_text
from ketjax.report.series import dose_series
from ketjax.study import Study

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("s*.toml"))
STUDIES = [path for path in STUDIES if not path.stem.endswith(("targets", "sensitivity"))]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_as_toml_is_the_same_study(path: Path) -> None:
    study = Study.read(path)
    assert Study.parse(toml_text(study.to_dict())).digest() == study.digest()


def test_strange_text_and_a_set_come_back() -> None:
    study = Study.read(STUDIES[0])
    tables = {
        **study.to_dict(),
        "question": 'a "b" \\ \x7f \u2028 \x1b[0m é\n# [x]',
        "set": "human",
    }
    strange = Study.parse(tables)
    assert Study.parse(toml_text(strange.to_dict())).digest() == strange.digest()


def series_of(name: str):
    (path,) = (path for path in STUDIES if path.stem == name)
    return dose_series(Study.read(path).to_dict())


def test_doses_of_a_dose_study() -> None:
    human = series_of("s03_dose_human")
    assert (human.drug, human.unit, human.left_out) == ("ketamine", "mg/kg", ())
    assert list(human.doses.values()) == [0.0, 0.1, 0.2, 0.5, 1.0]
    assert list(series_of("s02_dose_rat").doses.values()) == [3.0, 10.0, 30.0, 50.0, 80.0, 200.0]


def test_studies_of_other_things_have_no_dose_series() -> None:
    for name in ("s01_single_infusion", "s06_courses"):
        with pytest.raises(StoreError, match="fewer than 3 arms"):
            series_of(name)
    with pytest.raises(StoreError, match="no arm gets"):
        dose_series({})
