"""How each kind of field of a study is read, checked and written back.

A field is checked where it stands; what it must know of the rest of the study (the names the
model offers, the horizon) comes in as the `Context` of the validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializationInfo,
    StringConstraints,
    ValidationInfo,
)

from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.regimen import SHORTEST
from ketjax.units import display, is_plain, parse, parse_either

VALIDATED_DOSE = {"mg/kg": 20.0, "mg": 1400.0}  # the greatest dose; the second for 70 kg
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}


@dataclass(frozen=True)
class ParameterRow:
    """What a study must know of a parameter.

    Attributes:
        unit: of its values.
        low: least value that it can have at all [unit].
        high: greatest value [unit].
        varies: whether a study may say how it varies between patients.
        law: kind of the law by which it varies if the study says nothing.
    """

    unit: str
    low: float
    high: float
    varies: bool = True
    law: str = "fixed"


@dataclass(frozen=True)
class Vocabulary:
    """The names that a study may use; they come from the model and the population.

    Attributes:
        readouts: what is kept where a study says "all".
        observations: what can be kept besides, by name.
        parameters: dotted path of each parameter, with its row.
        expectancy_designs: the ways in which a trial lets patients expect to get better.
        covariates: what may limit entry to the study, each with its unit.
        species: who can be simulated.
        interactions: drugs and conditions that change what the body does to ketamine.
        hippocampal_parts: what the hippocampal region can stand for.
        outcomes: what a trial writes down of each patient.
        relapse_rules: by which a responder counts as lost.
        default_sets: by species the parameter set of manifests about patients that name none; all
            that it speaks of must be among the parameters.
    """

    readouts: frozenset[str]
    parameters: Mapping[str, ParameterRow]
    expectancy_designs: frozenset[str]
    covariates: Mapping[str, str]
    species: frozenset[str] = frozenset({"human", "rat"})
    interactions: frozenset[str] = frozenset({"none"})
    hippocampal_parts: frozenset[str] = frozenset({"ca1_subiculum"})
    observations: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    relapse_rules: frozenset[str] = frozenset()
    default_sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a single field must know of the rest in order to be checked where it stands.

    Attributes:
        vocabulary: the names that may be used.
        horizon: end of the study [h].
        allow_extrapolation: whether doses may exceed the validated range.
        folder: where other files are looked for.
        uncertainty: what the study says of it, not checked yet.
    """

    vocabulary: Vocabulary
    horizon: float = math.inf
    allow_extrapolation: bool = False
    folder: Path = Path()
    uncertainty: Any = None

    @staticmethod
    def of(document: Mapping[str, Any], vocabulary: Vocabulary, folder: Path = Path()) -> Context:
        """The context of a manifest that is not checked yet."""
        try:
            horizon = parse(document["output"]["horizon"], "h")
        except (KeyError, TypeError, StudyError):
            horizon = math.inf
        allow = document.get("allow_extrapolation") is True
        horizon = horizon if horizon > 0 else math.inf
        return Context(vocabulary, horizon, allow, folder, document.get("uncertainty"))


def model_vocabulary() -> Vocabulary:
    """The names of the model that comes with ketjax; loaded only when they are needed."""
    from ketjax.vocabulary import vocabulary

    return vocabulary()


def context_of(info: ValidationInfo | SerializationInfo) -> Context:
    """The context of a validation; that of the model if a section is made by hand."""
    return info.context if isinstance(info.context, Context) else Context(model_vocabulary())


def refuse(problems: list[Problem]) -> None:
    """Raise what was found, if anything was."""
    if problems:
        raise StudyError(problems)


def _collect(problems: list[Problem], place: str, value: Any, unit: str) -> float:
    """The value in [unit]; NaN, and one more problem, if it cannot be read."""
    try:
        return parse(value, unit)
    except StudyError as error:
        problems += [problem.under(place) for problem in error.problems]
        return math.nan


def _write(value: float, unit: str) -> float | str:
    """The value as the manifest writes it."""
    return value if is_plain(unit) else display(value, unit)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StudyError(Problem("", "a table is needed", show(value), code="wrong_type"))
    return value


def _read_start(value: Any, info: ValidationInfo) -> float:
    time = parse(value, "h")
    horizon = context_of(info).horizon
    refuse(check_range("", time, 0.0, horizon, "h", open_high=True, given=value))
    return time


def _read_intake(value: Any, info: ValidationInfo) -> float:
    """A time before the end of the study, and before its start if negative."""
    time = parse(value, "h")
    horizon = context_of(info).horizon
    refuse(check_range("", time, min(0.0, time), horizon, "h", open_high=True, given=value))
    return time


def _read_length(value: Any, shortest: float = 0.0) -> float:
    duration = parse(value, "h")
    refuse(check_range("", duration, shortest, math.inf, "h", given=value))
    return duration


def _read_amount(value: Any, info: ValidationInfo) -> tuple[float, str]:
    amount, unit = parse_either(value, ("mg/kg", "mg"))
    refuse(check_range("", amount, 0.0, math.inf, unit, given=value))
    limit = VALIDATED_DOSE[unit]
    if amount > limit and not context_of(info).allow_extrapolation:
        message = "outside the validated range"
        hint = "to simulate it all the same, write allow_extrapolation = true at the top"
        allowed = f"up to {display(limit, unit)}"
        raise StudyError(Problem("", message, show(value), allowed, hint, "extrapolation"))
    return amount, unit


def _read_agent_amount(value: Any) -> tuple[float, str]:
    amount, unit = parse_either(value, ("1", "mg"))
    refuse(check_range("", amount, 0.0, math.inf, unit, given=value))
    return amount, unit


def check_agent_amount(amount: float, unit: str, benzodiazepine: bool) -> None:
    """Refuse an amount of a concomitant agent in the other unit than its own."""
    if (unit == "mg") != benzodiazepine:
        allowed = 'usual doses, such as 1.0, or for benzodiazepines "10 mg" of diazepam-equivalents'
        given = show(display(amount, unit))
        message = "the wrong unit for this agent"
        raise StudyError(Problem("amount", message, given, allowed, code="unit_dimension"))


def _read_integer(value: Any) -> Any:
    """1e4 is an integer that was written as a float; anything else is left for the strict check."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_overrides(value: Any, info: ValidationInfo) -> dict[str, float]:
    """Parameter values by dotted path; nested tables and dotted keys are the same."""
    rows, problems, overrides = context_of(info).vocabulary.parameters, [], {}
    pending = list(_table(value).items())
    while pending:
        path, given = pending.pop(0)
        if isinstance(given, dict):
            pending = [(f"{path}.{key}", inner) for key, inner in given.items()] + pending
        elif path not in rows:
            problems += check_name(path, path, rows, "parameter")
        elif path in overrides:
            problems.append(Problem(path, "given twice", show(given), code="duplicate"))
        else:
            row = rows[path]
            overrides[path] = number = _collect(problems, path, given, row.unit)
            if not math.isnan(number):
                problems += check_range(path, number, row.low, row.high, row.unit, given=given)
    refuse(problems)
    return dict(sorted(overrides.items()))


def _write_overrides(
    overrides: dict[str, float], info: SerializationInfo
) -> dict[str, float | str]:
    rows = context_of(info).vocabulary.parameters
    return {path: _write(value, rows[path].unit) for path, value in overrides.items()}


def _check_known(what: str, attribute: str, value: str, info: ValidationInfo) -> str:
    refuse(check_name("", value, getattr(context_of(info).vocabulary, attribute), what))
    return value


def known(what: str, attribute: str) -> AfterValidator:
    """A check that the name is one of the vocabulary's."""
    return AfterValidator(partial(_check_known, what, attribute))


def _read_entry(value: Any, info: ValidationInfo) -> dict[str, tuple[float, float]]:
    """The range of each covariate, both ends in the covariate's unit."""
    units, problems, ranges = context_of(info).vocabulary.covariates, [], {}
    for name, ends in _table(value).items():
        unknown = check_name(name, name, units, "covariate")
        if unknown or not isinstance(ends, (list, tuple)) or len(ends) != 2:
            allowed = "[least, greatest]"
            shape = Problem(name, "a range is needed", show(ends), allowed, code="wrong_type")
            problems += unknown or [shape]
            continue
        low, high = (
            _collect(problems, f"{name}[{index}]", end, units[name])
            for index, end in enumerate(ends)
        )
        if low >= high:
            allowed = "[least, greatest]"
            problems.append(
                Problem(name, "the range is empty", show(ends), allowed, code="empty_range")
            )
        ranges[name] = (low, high)
    refuse(problems)
    return dict(sorted(ranges.items()))


def _write_entry(
    entry: dict[str, tuple[float, float]], info: SerializationInfo
) -> dict[str, list[float | str]]:
    units = context_of(info).vocabulary.covariates
    return {name: [_write(end, units[name]) for end in ends] for name, ends in entry.items()}


def _read_times(value: Any, info: ValidationInfo) -> tuple[float, ...]:
    """Strictly increasing times [h] within the study."""
    if not isinstance(value, (list, tuple)) or not value:
        allowed = 'a list that is not empty, such as ["0 h", "40 min", "1 day"]'
        raise StudyError(Problem("", "times are needed", show(value), allowed, code="wrong_type"))
    problems: list[Problem] = []
    times = [_collect(problems, f"[{i}]", text, "h") for i, text in enumerate(value)]
    horizon = context_of(info).horizon
    for i, time in enumerate(times):
        if not math.isnan(time):
            problems += check_range(f"[{i}]", time, 0.0, horizon, "h", given=value[i])
        if i and time <= times[i - 1]:
            message = "times must increase"
            allowed = f"later than {show(value[i - 1])}"
            code = "not_increasing"
            problems.append(Problem(f"[{i}]", message, show(value[i]), allowed, code=code))
    refuse(problems)
    return tuple(times)


def _read_readouts(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """The readouts and observations named, or all readouts."""
    vocabulary = context_of(info).vocabulary
    if value == "all":
        return tuple(sorted(vocabulary.readouts))
    known_readouts = vocabulary.readouts | vocabulary.observations
    if not isinstance(value, (list, tuple)) or not value:
        allowed = '"all", or a list of names'
        raise StudyError(Problem("", "readouts are needed", show(value), allowed))
    return _names(value, known_readouts, "readout")


def _read_outcomes(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """The outcomes named."""
    if not isinstance(value, (list, tuple)):
        allowed = "a list of names"
        raise StudyError(Problem("", "outcomes are a list", show(value), allowed))
    return _names(value, context_of(info).vocabulary.outcomes, "outcome")


def _names(names: list | tuple, known_names: frozenset[str], what: str) -> tuple[str, ...]:
    """Known names, each once."""
    problems = []
    for i, name in enumerate(names):
        problems += check_name(f"[{i}]", name, known_names, what)
        if name in names[:i]:
            problems.append(Problem(f"[{i}]", "given twice", show(name), code="duplicate"))
    refuse(problems)
    return tuple(names)


def _check_correlations(correlations: dict[str, float], info: ValidationInfo) -> dict[str, float]:
    """Correlations between known parameters that some population can have together."""
    rows, problems, pairs = context_of(info).vocabulary.parameters, [], {}
    for text, value in correlations.items():
        pair = tuple(sorted(part.strip() for part in text.split("~")))
        if len(pair) != 2 or pair[0] == pair[1]:
            allowed = '"path ~ path", two different parameters'
            problems.append(Problem(text, "two paths are needed", "", allowed, code="wrong_type"))
            continue
        for path in pair:
            problems += check_name(text, path, rows, "parameter")
        if not -1 < value < 1:
            allowed = "between -1 and 1, both excluded"
            problems.append(
                Problem(text, "no correlation", show(value), allowed, code="out_of_range")
            )
        if pair in pairs:
            problems.append(Problem(text, "given twice", show(value), code="duplicate"))
        pairs[pair] = value
    refuse(problems)
    paths = sorted({path for pair in pairs for path in pair})
    matrix = np.eye(len(paths))
    for (first, second), value in pairs.items():
        i, j = paths.index(first), paths.index(second)
        matrix[i, j] = matrix[j, i] = value
    least = float(np.linalg.eigvalsh(matrix)[0]) if paths else 1.0
    if least <= 0:
        message = "no population has these correlations together"
        value, allowed = f"smallest eigenvalue {least:.3g}", "a positive definite matrix"
        hint = "bring the correlations of the same parameters nearer to zero"
        raise StudyError(Problem("", message, value, allowed, hint, "not_positive_definite"))
    return {" ~ ".join(pair): pairs[pair] for pair in sorted(pairs)}


_HOURS = PlainSerializer(partial(display, unit="h"))
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\z")]
Start = Annotated[float, BeforeValidator(_read_start), _HOURS]
Duration = Annotated[float, BeforeValidator(_read_length), _HOURS]
Length = Annotated[float, BeforeValidator(partial(_read_length, shortest=SHORTEST)), _HOURS]
Amount = Annotated[
    tuple[float, str],
    BeforeValidator(_read_amount),
    PlainSerializer(lambda amount: display(*amount)),
]
Intake = Annotated[float, BeforeValidator(_read_intake), _HOURS]
AgentAmount = Annotated[
    tuple[float, str],
    BeforeValidator(_read_agent_amount),
    PlainSerializer(lambda amount: display(*amount)),
]
Integer = Annotated[int, BeforeValidator(_read_integer)]
UnitFraction = Annotated[float, Field(ge=0, le=1)]
Overrides = Annotated[
    dict[str, float], BeforeValidator(_read_overrides), PlainSerializer(_write_overrides)
]
Entry = Annotated[
    dict[str, tuple[float, float]], BeforeValidator(_read_entry), PlainSerializer(_write_entry)
]
Times = Annotated[
    tuple[float, ...],
    BeforeValidator(_read_times),
    PlainSerializer(lambda times: [display(time, "h") for time in times]),
]
Readouts = Annotated[tuple[str, ...], BeforeValidator(_read_readouts)]
Outcomes = Annotated[tuple[str, ...], BeforeValidator(_read_outcomes)]
Correlations = Annotated[dict[str, float], AfterValidator(_check_correlations)]
