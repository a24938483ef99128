"""Units at the door: text such as "0.5 mg/kg" becomes a bare float in a house unit.

House units are h, mg, L, uM, ng/mL, kg, year and 1, and what is built from them (L/h, 1/h, mg/kg).
The units below are the only ones that exist. Drug mass (mg) and body mass (kg) are two
dimensions, so a dose per body weight never passes for a dose or for a bare number. Conversion is
exact: it is done in fractions and rounded once, so "1440 min", "24 h" and "1 day" are one float.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ketjax.errors import Problem, StudyError, did_you_mean, show

# name = value = symbol = alias ..., in the notation of pint
DEFINITIONS = """
hour = [time] = h = hr
second = 1/3600 * hour = s = sec
millisecond = 1/1000 * second = ms
minute = 1/60 * hour = min
day = 24 * hour = d
week = 7 * day = wk
year = 8766 * hour = y = yr
milligram = [drug_mass] = mg
gram = 1000 * milligram = g
microgram = 1/1000 * milligram = ug = mcg
nanogram = 1/1000 * microgram = ng
picogram = 1/1000 * nanogram = pg
kilogram = [body_mass] = kg
litre = [volume] = L = l = liter
decilitre = 1/10 * litre = dL = dl
millilitre = 1/1000 * litre = mL = ml
microlitre = 1/1000 * millilitre = uL = ul
micromole = [substance] = umol
nanomole = 1/1000 * micromole = nmol
millimole = 1000 * micromole = mmol
mole = 1000 * millimole = mol
molar = mole / litre = M
millimolar = 1/1000 * molar = mM
micromolar = 1/1000 * millimolar = uM
nanomolar = 1/1000 * micromolar = nM
metre = [length] = m = meter
centimetre = 1/100 * metre = cm
millimetre_of_mercury = [pressure] = mmHg
point = []
fraction = []
ratio = []
fold = []
percent = 1/100
"""
EXAMPLES = {
    "h": ("a time", "40 min"),
    "mg": ("an amount", "56 mg"),
    "mg/kg": ("an amount for each kilogram of body weight", "0.5 mg/kg"),
    "kg": ("a body weight", "70 kg"),
    "year": ("an age", "40 year"),
    "L": ("a volume", "5 L"),
    "uM": ("a molar concentration", "0.5 uM"),
    "ng/mL": ("a mass concentration", "200 ng/mL"),
    "1/h": ("a rate", "0.3 1/h"),
    "1": ("a number without unit", "0.5"),
}
HINTS = {
    "m": 'm is metre; for minutes write "min"',
    "month": 'the length of a month varies; write days, for instance "30 day"',
}

# An exponent has few digits, so no text can ask for a number too large to hold.
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*(.*)", re.S)
_TERM = r"(?:1|[A-Za-z_]+(?:(?:\^|\*\*)-?[0-9](?:\.[0-9]{1,3})?)?)"
_BETWEEN = r"(?:\s*[*/]\s*|\s+)"
_GROUP = rf"(?:{_TERM}|\({_TERM}(?:{_BETWEEN}{_TERM})*\))"
_UNIT = re.compile(rf"{_GROUP}(?:{_BETWEEN}{_GROUP})*")
_NAME = re.compile(r"[A-Za-z_]+")


def parse(value: Any, unit: str) -> float:
    """Read a quantity into a house unit.

    Args:
        value: text such as "0.5 mg/kg"; a bare number only where `unit` has no dimension.
        unit: the house unit wanted, for instance "h".

    Returns:
        The finite value in [unit].

    Raises:
        StudyError: if the text is no quantity, lacks its unit or has another dimension.
    """
    return parse_either(value, (unit,))[0]


def parse_either(value: Any, units: tuple[str, ...]) -> tuple[float, str]:
    """Read a quantity into the first of several house units that has its dimension.

    Args:
        value: text such as "0.5 mg/kg".
        units: the house units that may be meant, for instance ("mg/kg", "mg").

    Returns:
        The finite value, and the house unit it is in.

    Raises:
        StudyError: if the text is no quantity, lacks its unit or has none of the dimensions.
    """
    number, given = _split(value, units)
    for unit in units:
        if not given and not is_plain(unit):
            continue
        factor = _factor(given or unit, unit)
        if factor is not None:
            try:
                converted = float(Fraction(number) * factor)
            except OverflowError:
                converted = math.inf
            if not math.isfinite(converted):
                raise _refusal("not a finite number", value, units, "not_finite")
            return converted, unit
    if not given:
        raise _refusal("a unit is needed", value, units, "unit_missing", _write(units[0], number))
    unknown = [name for name in _NAME.findall(given) if name not in _names()]
    if unknown or not _UNIT.fullmatch(given) or len(given) > 40:
        hint = " ".join(filter(None, map(_hint_for_unit, unknown or [given])))
        raise _refusal("unknown unit", value, units, "unit_unknown", hint)
    hint = HINTS.get(given, "")
    raise _refusal("the unit has the wrong dimension", value, units, "unit_dimension", hint)


def display(value: float, unit: str) -> str:
    """The text that `parse` reads back into the same float.

    Args:
        value: a finite value in [unit].
        unit: its house unit.

    Returns:
        For instance "0.5 mg/kg"; a bare number where the unit has no dimension.
    """
    return repr(float(value)) if is_plain(unit) else f"{float(value)!r} {unit}"


def is_plain(unit: str) -> bool:
    """Whether a bare number may stand for a quantity in this unit."""
    return _factor(unit, "1") == 1


def check_unit(unit: str) -> None:
    """Refuse a unit that cannot be read, such as a typing error in a table of parameters.

    Raises:
        StudyError: if the unit is unknown.
    """
    if _factor(unit, unit) is None:
        hint = " ".join(filter(None, map(_hint_for_unit, _NAME.findall(unit))))
        raise StudyError(Problem("", "unknown unit", show(unit), "", hint, "unit_unknown"))


def _split(value: Any, units: tuple[str, ...]) -> tuple[str, str]:
    """The number and the unit of a quantity, both as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = repr(value) if abs(value) < 1e300 else "inf"
    elif isinstance(value, str):
        text = value.strip()
    else:
        raise _refusal("a quantity is needed", value, units, "wrong_type")
    if re.match(r"[+-]?(nan|inf)", text, re.I):
        raise _refusal("not a finite number", value, units, "not_finite")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise _refusal("a quantity is needed: a number, then its unit", value, units, "wrong_type")
    number, unit = match.groups()
    if unit.startswith(","):
        raise _refusal("a comma is no decimal sign", value, units, "wrong_type", "write a point")
    return number, _normal(unit) if unit else ""


def _normal(unit: str) -> str:
    """The one spelling of a unit that pint reads: no micro sign, no percent sign, no bare slash."""
    text = unit.replace("µ", "u").replace("μ", "u").replace("%", " percent ")
    text = " ".join(text.split())
    if text in ("", "-"):
        return "1"
    return f"1{text}" if text.startswith("/") else text


def _refusal(
    message: str, value: Any, units: tuple[str, ...], code: str, hint: str = ""
) -> StudyError:
    """The error for a quantity that cannot be read; it names what is expected."""
    expected = [EXAMPLES.get(unit, ("a quantity", f"1 {unit}")) for unit in units]
    allowed = " or ".join(
        f'{what} [{unit}] such as "{example}"'
        for unit, (what, example) in zip(units, expected, strict=True)
    )
    return StudyError(Problem("", message, show(value), allowed, hint, code))


def _write(unit: str, number: str) -> str:
    """The hint for a bare number."""
    return f'write "{number} {EXAMPLES.get(unit, ("", f"1 {unit}"))[1].partition(" ")[2]}"'


def _hint_for_unit(name: str) -> str:
    """What to write for a unit that is not known."""
    singular = name.removesuffix("s")
    return HINTS.get(singular) or did_you_mean(name, _names())


@lru_cache(maxsize=1)
def _registry() -> Any:
    """The pint registry that holds exactly the units above; pint is imported only here."""
    import pint

    make: Any = pint.UnitRegistry  # None leaves out the units that pint brings along
    registry = make(None, non_int_type=Fraction)
    for line in DEFINITIONS.strip().splitlines():
        registry.define(line)
    return registry


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """Every unit name, symbol and alias, with plurals of the words."""
    names = {name for line in DEFINITIONS.splitlines() for name in _NAME.findall(line)}
    words = {name for name in names if len(name) > 2}
    return frozenset(names | {f"{name}s" for name in words})


@lru_cache(maxsize=1024)
def _factor(given: str, wanted: str) -> Fraction | None:
    """The number of [wanted] in one [given]; None if they do not convert."""
    import pint

    registry = _registry()
    given, wanted = _normal(given), _normal(wanted)
    if not all(_UNIT.fullmatch(text) and len(text) <= 40 for text in (given, wanted)):
        return None
    try:
        one = registry.Quantity(Fraction(1), registry.parse_units(given))
        return one.to(registry.parse_units(wanted)).magnitude
    except (pint.errors.PintError, AttributeError, TypeError, ValueError, ArithmeticError):
        return None
