"""Units at the door: against pint's own registry, against hand conversion, and under nonsense."""

import math

import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketjax import units
from ketjax.errors import StudyError

FULL_REGISTRY = pint.UnitRegistry()


def problem_of(value, unit):
    with pytest.raises(StudyError) as caught:
        units.parse(value, unit)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("0.5 mg/kg", "mg/kg", 0.5),
        ("56mg", "mg", 56.0),
        ("40 min", "h", 2 / 3),
        ("1440 min", "h", 24.0),
        ("86400 s", "h", 24.0),
        ("2 weeks", "h", 336.0),
        ("3 hours", "h", 3.0),
        ("14 d", "h", 336.0),
        ("1 year", "h", 365.25 * 24),
        ("18 y", "year", 18.0),
        ("10 mcg", "mg", 0.01),
        ("10 ug", "mg", 0.01),
        ("10 µg", "mg", 0.01),  # micro sign
        ("10 μg", "mg", 0.01),  # Greek letter
        ("45 mcg/kg", "mg/kg", 0.045),
        ("500 nM", "uM", 0.5),
        ("0.5 µmol/L", "uM", 0.5),
        ("0.1 mg/L", "ng/mL", 100.0),
        ("5 mL/min/kg", "L/h/kg", 0.3),
        ("0.3/h", "1/h", 0.3),
        ("0.005 1/min", "1/h", 0.3),
        ("1 1/(point h)", "1/(point h)", 1.0),
        ("20 points", "1", 20.0),
        ("50 %", "1", 0.5),
        ("50%", "%", 50.0),
        (0.25, "1", 0.25),
        (7, "point", 7.0),
        ("-1.5e-3", "1", -0.0015),
        (" 1e2   mg / kg ", "mg/kg", 100.0),
    ],
)
def test_conversion_is_the_nearest_float(text, unit, expected):
    assert units.parse(text, unit) == expected


@pytest.mark.parametrize(
    ("given_unit", "house_unit"),
    [("min", "h"), ("week", "h"), ("year", "h"), ("ug", "mg"), ("ng", "mg"), ("g/L", "ng/mL")]
    + [("dL", "L"), ("uL", "L"), ("nmol/L", "uM"), ("mM", "uM"), ("mL/min", "L/h"), ("1/s", "1/h")]
    + [("L^2/min", "L^2/h"), ("percent", "1")],
)
def test_agrees_with_the_full_registry_of_pint(given_unit, house_unit):
    quantity = FULL_REGISTRY.Quantity(3.7, given_unit)
    reference = quantity.to("" if house_unit == "1" else house_unit).magnitude
    assert units.parse(f"3.7 {given_unit}", house_unit) == pytest.approx(reference, rel=1e-14)


@pytest.mark.parametrize(
    ("value", "unit", "code", "words"),
    [
        (0.5, "mg/kg", "unit_missing", 'write "0.5 mg/kg"'),
        ("0.5", "mg/kg", "unit_missing", 'write "0.5 mg/kg"'),
        (40, "h", "unit_missing", 'write "40 min"'),
        ("0.5 mL", "mg", "unit_dimension", "an amount [mg]"),
        ("40 mg", "h", "unit_dimension", "a time [h]"),
        ("40 m", "h", "unit_dimension", 'write "min"'),
        ("0.5 mg/kg", "mg", "unit_dimension", "an amount [mg]"),
        ("0.5 mg/kg", "1", "unit_dimension", "a number without unit"),
        ("70000 g", "kg", "unit_dimension", "a body weight"),
        ("1 uM", "ng/mL", "unit_dimension", "a mass concentration"),
        ("1 month", "h", "unit_unknown", '"30 day"'),
        ("1 hoor", "h", "unit_unknown", "did you mean hour"),
        ("1 MG", "mg", "unit_unknown", "did you mean mg"),
        ("1 (h", "h", "unit_unknown", ""),
        ("1 h^9^9^9", "h", "unit_unknown", ""),
        ("1 h^999999999", "h", "unit_unknown", ""),
        ("1" + " h*h" * 100, "h", "unit_unknown", ""),
        ("0,5 h", "h", "wrong_type", "write a point"),
        ("ten hours", "h", "wrong_type", "a number, then its unit"),
        ("", "h", "wrong_type", ""),
        ("h", "h", "wrong_type", ""),  # a unit alone is no quantity
        (True, "h", "wrong_type", ""),
        (None, "h", "wrong_type", ""),
        ([1], "h", "wrong_type", ""),
        ("nan h", "h", "not_finite", ""),
        ("-inf h", "h", "not_finite", ""),
        (math.nan, "1", "not_finite", ""),
        (10**400, "1", "not_finite", ""),
        ("1e400 h", "h", "not_finite", ""),
        ("1e308 year", "h", "not_finite", ""),
        ("1e999999999 h", "h", "unit_unknown", ""),
    ],
)
def test_refusals_name_what_is_expected(value, unit, code, words):
    problem = problem_of(value, unit)
    assert problem.code == code
    assert words in str(problem)
    assert f"[{unit}]" in problem.allowed


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["h", "mg", "mg/kg", "L", "uM", "ng/mL", "kg", "year", "1", "1/h", "%"]),
)
def test_text_round_trip_is_exact(value, unit):
    assert units.parse(units.display(value, unit), unit) == value


@settings(max_examples=300, deadline=1000)
@given(st.text(alphabet="0159.eE+-*/^() hmgkLuMµ%_,nif", max_size=24))
def test_any_text_is_a_finite_number_or_a_study_error(text):
    try:
        assert math.isfinite(units.parse(text, "h"))
    except StudyError as error:
        assert error.exit_code == 2


def test_either_unit():
    assert units.parse_either("0.5 mg/kg", ("mg/kg", "mg")) == (0.5, "mg/kg")
    assert units.parse_either("56 mg", ("mg/kg", "mg")) == (56.0, "mg")


def test_a_unit_of_a_table_can_be_checked():
    units.check_unit("L/h/kg^0.75")
    units.check_unit("1")
    with pytest.raises(StudyError, match="unknown unit"):
        units.check_unit("L/hr/parsec")
