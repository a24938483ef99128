"""Settings of individual fits: how observations scatter, what is usual, and when to stop."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from ketjax.arms import Section
from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fields import Correlations, Entry, Integer, known, refuse
from ketjax.fit.individual_data import OBSERVABLE
from ketjax.observation import READABLE
from ketjax.study import PopulationSettings
from ketjax.units import display, is_plain, parse
from ketjax.variation import Laws


@dataclasses.dataclass(frozen=True)
class Residual:
    """How observations of one readout scatter: sd^2 = additive^2 + (proportional f)^2.

    Attributes:
        additive: [unit of the readout].
        proportional: Share of the predicted value f [1].
    """

    additive: float = 0.0
    proportional: float = 0.0


def _read_errors(value: Any) -> dict[str, Residual]:
    """`[error]`: residual SD by readout."""
    if not isinstance(value, dict):
        raise StudyError(Problem("", "a table is needed", show(value), code="wrong_type"))
    problems: list[Problem] = []
    found = {}
    for name, given in value.items():
        if unknown := check_name(name, name, OBSERVABLE, "readout"):
            problems += unknown
            continue
        unit = READABLE[name].unit
        if not isinstance(given, dict) or not given:
            allowed = f'such as {{ additive = "{display(1.0, unit)}", proportional = 0.1 }}'
            problems.append(Problem(name, "a table is needed", show(given), allowed, "", "missing"))
            continue
        numbers = {}
        for key, number in given.items():
            place = f"{name}.{key}"
            if wrong := check_name(place, key, ("additive", "proportional"), "key"):
                problems += wrong
                continue
            measure = unit if key == "additive" else "1"
            try:
                numbers[key] = parse(number, measure)
            except StudyError as error:
                problems += [problem.under(place) for problem in error.problems]
                continue
            problems += check_range(place, numbers[key], 0.0, math.inf, measure, given=number)
        found[name] = Residual(**numbers)
        if len(numbers) == len(given) and not any(numbers.values()):
            message = "observations without error would outweigh everything else"
            problems.append(Problem(name, message, show(given), "above 0", "", "out_of_range"))
    refuse(problems)
    return dict(sorted(found.items()))


def _write_errors(errors: dict[str, Residual]) -> dict[str, dict[str, float | str]]:
    written = {}
    for name, one in errors.items():
        unit = READABLE[name].unit
        additive = one.additive if is_plain(unit) else display(one.additive, unit)
        written[name] = {"additive": additive, "proportional": one.proportional}
    return written


Errors = Annotated[
    dict[str, Residual], BeforeValidator(_read_errors), PlainSerializer(_write_errors)
]


class Prior(Section):
    """`[population]`: of whom the patients are some; all as in a study.

    Attributes:
        species: who they are.
        entry: range of covariates within which they entered their trial.
        correlations: of random effects, by "path ~ path".
        laws: how parameters vary, by path, instead of as the table says.
    """

    species: Annotated[str, known("species", "species")] = "human"
    entry: Entry = Field(default_factory=dict)
    correlations: Correlations = Field(default_factory=dict)
    laws: Laws = Field(default_factory=dict)

    def settings(self) -> PopulationSettings:
        """The same as a study has it."""
        return PopulationSettings.model_construct(
            patients=1,
            seed=0,
            species=self.species,
            entry=self.entry,
            correlations=self.correlations,
            laws=self.laws,
        )


class Search(Section):
    """`[search]`: when to stop; the defaults are choices.

    Attributes:
        iterations: at most.
        tolerance: what the objective of a patient may still be expected to fall by [1].
    """

    iterations: Annotated[Integer, Field(ge=1, le=10_000)] = 50
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-4
