"""Tables of individual fits: what is read, and every mistake told at once."""

import dataclasses
import math

import pytest

from ketjax.errors import StudyError
from ketjax.fit.individual_data import by_patient, read_covariates, read_observations, times_of
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_settings import Residual

HEAD = "patient,arm,quantity,time,value,unit,sd"
LINES = (
    "a,drug,plasma_ketamine,40 min,0.2,mg/L,",
    "b,drug,madrs_rated,1 day,20,points,",
    "a,drug,madrs_rated,0 h,31,points,2",
)
TEXT = """
name = "few"
data = "table.csv"
covariates = "people.csv"
free = ["score.baseline", "pharmacokinetics.central_volume"]

[error]
plasma_ketamine = { additive = "0.001 mg/L", proportional = 0.2 }

[arms.drug]
expectancy = "open_label"
doses = [{ drug = "ketamine", route = "intravenous", amount = "0.5 mg/kg", time = "0 h" }]
"""


def table(folder, *lines: str, head: str = HEAD, name: str = "table.csv"):
    path = folder / name
    path.write_text("\n".join((head, *lines)) + "\n")
    return path


def plan_of(folder, text: str = TEXT) -> IndividualPlan:
    path = folder / "fit.toml"
    path.write_text(text)
    return IndividualPlan.read(path)


def problems_of(read, *arguments) -> list[tuple[str, str, str]]:
    with pytest.raises(StudyError) as caught:
        read(*arguments)
    return [(problem.position, problem.place, problem.code) for problem in caught.value.problems]


def test_observations_come_in_house_units(tmp_path):
    found = read_observations(table(tmp_path, *LINES))
    first, _, last = found
    assert (first.time, first.value) == (pytest.approx(2 / 3), 200.0)  # ng/mL
    assert math.isnan(first.sd) and last.sd == 2.0
    people = by_patient(found)
    assert list(people) == ["a", "b"]
    assert [one.time for one in people["a"]] == [0.0, pytest.approx(2 / 3)]
    assert times_of(found).tolist() == [0.0, pytest.approx(2 / 3), 24.0]


def test_every_mistake_of_a_table_is_told(tmp_path):
    path = table(
        tmp_path,
        "a,drug,plasma_ketamine,1 h,200,points,",
        "a,drug,plasma_ketamin,1 h,200,ng/mL,",
        "a,drug,glutamate,1 h,2,1,",
        "a,drug,madrs_rated,-1 h,20,points,",
        "a,drug,madrs_rated,1,20,points,",
        "a,drug,madrs_rated,1 h,nan,points,",
        "a,drug,madrs_rated,2 h,61,points,",
        "a,drug,madrs_rated,3 h,20,points,0",
        "a,drug,madrs_rated,4 h,,points,",
        "a,drug,madrs_rated,5 h,20,points,",
        "a,drug,madrs_rated,300 min,21,points,",
        "a,other,madrs_rated,6 h,21,points,",
    )
    assert problems_of(read_observations, path) == [
        ("2", "value", "unit_dimension"),
        ("3", "quantity", "unknown_name"),
        ("4", "quantity", "regional"),
        ("5", "time", "out_of_range"),
        ("6", "time", "unit_missing"),
        ("7", "value", "not_finite"),
        ("8", "value", "out_of_range"),
        ("9", "sd", "out_of_range"),
        ("10", "value", "missing"),
        ("12", "time", "duplicate"),
        ("13", "arm", "two_arms"),
    ]


def test_head_and_empty_table(tmp_path):
    path = table(tmp_path, "a,drug", head="patient,arms")
    found = problems_of(read_observations, path)
    assert [(place, code) for _, place, code in found] == [
        *((name, "missing") for name in ("arm", "quantity", "time", "value", "unit")),
        ("arms", "unknown_name"),
    ]
    assert problems_of(read_observations, table(tmp_path)) == [("", "", "empty")]


def test_patients_are_known_by_what_is_filled_in(tmp_path):
    head = "patient,weight,age,sex,cyp2b6_variants"
    path = table(tmp_path, "a,80 kg,50 year,female,1", "b,,,male,", head=head)
    found = [(one.patient, one.path.partition(".")[2], one.value) for one in read_covariates(path)]
    assert found == [
        *(("a", "weight", 80.0), ("a", "age", 50.0)),
        *(("a", "female", 1.0), ("a", "cyp2b6_variants", 1.0), ("b", "female", 0.0)),
    ]
    path = table(tmp_path, "a,80,,woman,0.5", "a,0 kg,,,3", head=head)
    assert problems_of(read_covariates, path) == [
        ("2", "weight", "unit_missing"),
        ("2", "sex", "unknown_name"),
        ("2", "cyp2b6_variants", "wrong_type"),
        ("3", "patient", "duplicate"),
        ("3", "weight", "out_of_range"),
        ("3", "cyp2b6_variants", "out_of_range"),
    ]


def test_plan_knows_its_tables(tmp_path):
    table(tmp_path, *LINES)
    table(tmp_path, "b,80 kg", head="patient,weight", name="people.csv")
    plan = plan_of(tmp_path)
    assert list(plan.observations) == ["a", "b"]
    assert plan.error["plasma_ketamine"] == Residual(1.0, 0.2)
    assert [(w.place, w.code) for w in plan.warnings] == [("data", "few")]
    again = IndividualPlan.parse(plan.to_dict(), tmp_path)
    assert again == plan and again.digest() == plan.digest()
    other = dataclasses.replace(plan.observations["b"][0], value=21.0)
    changed = IndividualPlan.parse(plan.to_dict(), tmp_path, (*plan.observations["a"], other))
    assert changed.digest() != plan.digest()


def test_every_mistake_of_a_plan_is_told(tmp_path):
    table(tmp_path, *LINES, "c,other,madrs,2 day,20,points,")
    table(tmp_path, "d,80 kg", head="patient,weight", name="people.csv")
    free = [
        "demography.weight",
        "demography.female",
        "pharmacokinetics.fast_peripheral_volume",
        "score.drive_exponent",
        "designs.open_label.fast",
        "score.baselin",
        "score.baseline",
        "score.baseline",
    ]
    text = TEXT.replace('["score.baseline", "pharmacokinetics.central_volume"]', str(free))
    text = text.replace('data = "table.csv"', 'data = "table.csv"\nhorizon = "20 h"')
    assert [(p, c) for _, p, c in problems_of(plan_of, tmp_path, text)] == [
        *((f"free[{k}]", "not_free") for k in range(5)),
        ("free[5]", "unknown_name"),
        ("free[7]", "not_free"),
        ("data, line 3", "out_of_range"),
        ("data, line 5, arm", "unknown_name"),
        ("data, line 5", "out_of_range"),
        ("error.madrs", "missing"),
        ("covariates, line 2, patient", "unknown_name"),
    ]


def test_problems_of_tables_and_fields_come_together(tmp_path):
    table(tmp_path, "a,drug,madrs_rated,1 h,x,points,")
    text = TEXT.replace("proportional = 0.2", "proportional = -1").replace('"1 h"', '"x"')
    found = problems_of(plan_of, tmp_path, text)
    assert [code for _, _, code in found][0] == "out_of_range"
    assert any("table.csv:2" in place for _, place, _ in found)
    assert any("people.csv" in place for _, place, _ in found)
