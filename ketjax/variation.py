"""Laws that a study sets: how a parameter varies between its patients, instead of the table's law.

[population.laws]
"gates.ampa" = { law = "uniform", low = 0.2, high = 1.0 }
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo

from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fields import ParameterRow, context_of, refuse
from ketjax.units import display, is_plain, parse

BETWEEN = ("uniform", "log-uniform")  # need both bounds and no spread
AROUND = ("normal", "log-normal", "logit-normal")  # need one spread, and may have both bounds
LAWS = ("fixed", *BETWEEN, *AROUND)
KEYS = ("law", "low", "high", "cv", "sd")


@dataclass(frozen=True)
class Variation:
    """How one parameter varies between the patients of a study.

    Attributes:
        law: one of `LAWS`; "fixed" gives everybody the typical value.
        low: least value, in the parameter's unit.
        high: greatest value, in the parameter's unit.
        cv: coefficient of variation [1]; that of small spreads for a logit-normal law.
        sd: standard deviation in the parameter's unit if normal, else of logarithm or logit [1].
    """

    law: str
    low: float | None = None
    high: float | None = None
    cv: float | None = None
    sd: float | None = None


def _read(value: Any, info: ValidationInfo) -> dict[str, Variation]:
    """Laws by dotted path; nested tables and dotted keys are the same."""
    if not isinstance(value, dict):
        raise StudyError(Problem("", "a table is needed", show(value), code="wrong_type"))
    rows, problems, laws = context_of(info).vocabulary.parameters, [], {}
    pending = list(value.items())
    while pending:
        path, given = pending.pop(0)
        if path not in rows and isinstance(given, dict) and "law" not in given:
            pending = [(f"{path}.{key}", inner) for key, inner in given.items()] + pending
        elif unknown := check_name(path, path, rows, "parameter"):
            problems += unknown
        elif path in laws:
            problems.append(Problem(path, "given twice", show(given), code="duplicate"))
        else:
            found: list[Problem] = []
            laws[path] = _variation(given, rows[path], found)
            problems += [problem.under(path) for problem in found]
    refuse(problems)
    return dict(sorted(laws.items()))


def _variation(given: Any, row: ParameterRow, problems: list[Problem]) -> Variation:
    """One law, with what is wrong with it added to the problems."""
    nothing = Variation("fixed")
    if not isinstance(given, dict) or "law" not in given:
        allowed = 'a table such as { law = "uniform", low = 0.2, high = 1.0 }'
        problems.append(Problem("", "a law is needed", show(given), allowed, code="wrong_type"))
    elif not row.varies:
        message = "this is the same for all patients and has no law"
        problems.append(Problem("", message, show(given), code="fixed"))
    elif found := check_name("law", given["law"], LAWS, "law"):
        problems += found
    else:
        law = given["law"]
        problems += _check_keys(law, set(given))
        units = {"low": row.unit, "high": row.unit, "cv": "1"}
        units["sd"] = row.unit if law == "normal" else "1"
        numbers = {key: _number(given, key, unit, problems) for key, unit in units.items()}
        problems += _check_bounds(law, numbers["low"], numbers["high"], row)
        for key in ("cv", "sd"):
            if (spread := numbers[key]) is not None and not spread > 0:
                problems.append(Problem(key, "not positive", show(given[key]), code="out_of_range"))
        return Variation(law, **numbers)
    return nothing


def _check_keys(law: str, given: set[str]) -> list[Problem]:
    """What is missing, or of no use to this law."""
    allowed = {"fixed": set()} | dict.fromkeys(BETWEEN, {"low", "high"})
    own = {"law"} | allowed.get(law, set(KEYS[1:]))
    problems = [p for key in sorted(given) for p in check_name(key, key, own, f"key of {law}")]
    bounded = law in BETWEEN or (law in AROUND and given & {"low", "high"})
    for key in ("low", "high"):
        if bounded and key not in given:
            problems.append(Problem(key, "this is missing", hint="add it", code="missing"))
    if law in AROUND and ("cv" in given) == ("sd" in given):
        message = "one measure of the spread is needed"
        problems.append(Problem("", message, allowed="either cv or sd", code="spread"))
    return problems


def _check_bounds(
    law: str, low: float | None, high: float | None, row: ParameterRow
) -> list[Problem]:
    """Bounds that the parameter or the law cannot have."""
    problems = []
    for key, bound in (("low", low), ("high", high)):
        if bound is not None:
            problems += check_range(key, bound, row.low, row.high, row.unit)
    if low is None or high is None or problems:
        return problems
    if not low < high:
        ends = f"{display(low, row.unit)} to {display(high, row.unit)}"
        problems.append(Problem("", "the range is empty", ends, code="empty_range"))
    if law in ("log-uniform", "log-normal") and low <= 0:
        problems.append(Problem("low", "not positive", show(low), code="out_of_range"))
    if law == "logit-normal" and not (low > 0 and high < 1):
        between = "between 0 and 1, both excluded"
        ends = f"{low:g} to {high:g}"
        problems.append(Problem("", "out of the law's range", ends, between, code="out_of_range"))
    return problems


def _number(given: dict[str, Any], key: str, unit: str, problems: list[Problem]) -> float | None:
    """The value of a key in [unit], None if it is not given or cannot be read."""
    if key not in given:
        return None
    try:
        return parse(given[key], unit)
    except StudyError as error:
        problems += [problem.under(key) for problem in error.problems]
        return None


def _write(laws: dict[str, Variation], info: SerializationInfo) -> dict[str, dict[str, Any]]:
    """The laws as the manifest writes them."""
    rows = context_of(info).vocabulary.parameters
    return {path: _written(law, rows[path].unit) for path, law in laws.items()}


def _written(law: Variation, unit: str) -> dict[str, Any]:
    own = {"low": unit, "high": unit, "cv": "1", "sd": unit if law.law == "normal" else "1"}
    numbers = {key: getattr(law, key) for key in own if getattr(law, key) is not None}
    return {"law": law.law} | {
        key: value if is_plain(own[key]) else display(value, own[key])
        for key, value in numbers.items()
    }


Laws = Annotated[dict[str, Variation], BeforeValidator(_read), PlainSerializer(_write)]
