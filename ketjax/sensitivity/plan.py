"""The plan of a sensitivity analysis: a study, and what of the model is varied in it.

    ketjax sensitivity STUDY.toml

takes a study as it is, or with a table `[sensitivity]`; everything has a default. A row of the
design is a patient, the typical one with other numbers, or a population of its own whose mean,
spread and responders are then the outputs. Everything is checked here, before anything is drawn.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from ketjax.arms import Section
from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fields import Integer, refuse
from ketjax.model.readouts import READOUTS
from ketjax.population import Recipe
from ketjax.preparation import check_arms, check_recipe, recipe_of
from ketjax.sensitivity.designs import least_prcc_samples, power_of_two
from ketjax.sensitivity.factors import UNCERTAIN, Asked, FactorTable
from ketjax.sensitivity.ranges import Factor, resolve
from ketjax.study import Study
from ketjax.units import display, parse

Method = Literal["sobol", "morris", "prcc", "dgsm"]
METHODS = ("sobol", "morris", "prcc", "dgsm")
Subject = Literal["typical", "population"]
SHOWN_READOUTS = ("madrs", "glutamate", "synapse_density", "plasma_ketamine")
SHOWN_HOURS = (2.0, 24.0, 168.0)  # [h]
MOST_SHOWN = 4  # times that are shown if nothing is said
ROUNDING = 1e-6  # [h]
LEAST_SAMPLES = 16


def _read_hours(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        allowed = 'a list such as ["24 h", "7 day"]'
        raise StudyError(Problem("", "times are needed", show(value), allowed, "", "wrong_type"))
    return tuple(parse(text, "h") for text in value)


Hours = Annotated[
    tuple[float, ...],
    BeforeValidator(_read_hours),
    PlainSerializer(lambda hours: [display(hour, "h") for hour in hours]),
]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class Settings(Section):
    """`[sensitivity]`: what is varied, how, and what is shown.

    Attributes:
        parameters: what is varied (`sensitivity.factors`).
        methods: "sobol" (variance), "morris" (elementary effects), "prcc" (partial rank
            correlation), "dgsm" (derivatives; bounds on the total index).
        subject: of a row: the typical patient, or a population; the latter where spreads or
            correlations are varied.
        patients: of the population of a row, the same people in every row.
        samples: base samples of Sobol indices, samples of PRCC where there is no Sobol design.
        trajectories: of Morris.
        levels: of Morris, even.
        gradients: points at which derivatives are taken.
        seed: of designs and resamples.
        second_order: whether interactions of pairs are asked for.
        resamples: of the bootstrap.
        confidence: of intervals [1].
        max_failed_share: share of base samples, trajectories or samples that may be lost with a
            failed row before nothing is said of an output [1].
        arms: of the study; all if not given.
        readouts: that the table and the figures show.
        hours: when [h].
        top: how many parameters they show.
    """

    parameters: FactorTable = Field(default_factory=lambda: {UNCERTAIN: Asked(UNCERTAIN)})
    methods: Annotated[tuple[Method, ...], Field(strict=False)] = ("sobol",)
    subject: Subject | None = None
    patients: Annotated[Integer, Field(ge=2, lt=2**20)] = 64
    samples: Annotated[Integer, Field(ge=LEAST_SAMPLES, le=2**20)] = 1024
    trajectories: Annotated[Integer, Field(ge=4, le=2**16)] = 64
    levels: Annotated[Integer, Field(ge=2, le=64, multiple_of=2)] = 4
    gradients: Annotated[Integer, Field(ge=8, le=2**16)] = 256
    seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 1
    second_order: bool = False
    resamples: Annotated[Integer, Field(ge=20, le=10_000)] = 200
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    max_failed_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    arms: Names | None = None
    readouts: Names | None = None
    hours: Hours | None = None
    top: Annotated[Integer, Field(ge=1, le=100)] = 10


class SensitivityStudy(Study):
    """A study with what is varied in it.

    Attributes:
        sensitivity: what is varied, how, and what is shown.
    """

    sensitivity: Settings = Settings()

    @model_validator(mode="after")
    def _check_sensitivity(self) -> Self:
        """What concerns several tables at once."""
        s, problems = self.sensitivity, []
        if not s.methods or len(set(s.methods)) < len(s.methods):
            place, allowed = "sensitivity.methods", f"some of {', '.join(METHODS)}, each once"
            message = "methods are needed" if not s.methods else "a method is given twice"
            problems.append(Problem(place, message, show(s.methods), allowed, "", "methods"))
        problems += [p for k, a in enumerate(s.arms or ()) for p in _arm(k, a, self)]
        if self.uncertainty is not None:
            message = "rows of a design are not shared out between posterior draws"
            problems.append(Problem("uncertainty", message, hint="remove [uncertainty]"))
        problems += self._check_shown()
        try:
            recipe = recipe_of(self)
            check_recipe(recipe)
            check_arms(self)
        except StudyError as error:
            refuse(problems + list(error.problems))
        factors = resolve(s.parameters, recipe, problems, "sensitivity.parameters")
        if not factors and not problems:
            message = "nothing of it can be varied"
            place = "sensitivity.parameters"
            problems.append(Problem(place, message, ", ".join(s.parameters), code="missing"))
        others = [factor.name for factor in factors if factor.kind != "typical value"]
        if s.subject == "typical" and others:
            message = "the typical patient has neither spreads nor correlations"
            hint = 'write subject = "population"'
            place = "sensitivity.subject"
            problems.append(Problem(place, message, others[0], "", hint, "subject"))
        if self._is_population(factors):
            problems += self._check_population()
        elif not self._marched():
            message = "the typical patient is shown without the noise of observations"
            allowed, hint = "readouts of the model", 'or write subject = "population"'
            place = "output.readouts"
            problems.append(Problem(place, message, "", allowed, hint, "observations"))
        if "prcc" in s.methods and "sobol" not in s.methods:
            least = least_prcc_samples(len([f for f in factors if f.named]))
            if s.samples < least:
                message = "too few samples for a partial correlation of so many parameters"
                allowed = f"at least {least}"
                place = "sensitivity.samples"
                problems.append(Problem(place, message, show(s.samples), allowed, "", "too_few"))
        refuse(problems)
        return self

    def _check_shown(self) -> list[Problem]:
        s, problems = self.sensitivity, []
        for k, name in enumerate(s.readouts or ()):
            place = f"sensitivity.readouts[{k}]"
            problems += check_name(place, name, self.readouts, "readout of the study")
        for k, hour in enumerate(s.hours or ()):
            if min(abs(time - hour) for time in self.times) > ROUNDING:
                message = "the study has no output at this time"
                allowed = ", ".join(f"{time:g}" for time in self.times) + " h"
                given = display(hour, "h")
                place = f"sensitivity.hours[{k}]"
                problems.append(Problem(place, message, given, allowed, "", "unknown_time"))
        return problems

    def _check_population(self) -> list[Problem]:
        problems = []
        if self.population.typical:
            message = "every patient is the typical one: a population has no spread"
            hint = "remove typical from [population]"
            problems.append(Problem("population.typical", message, "true", "", hint, "subject"))
        return problems

    def _is_population(self, factors: tuple[Factor, ...]) -> bool:
        if self.sensitivity.subject is not None:
            return self.sensitivity.subject == "population"
        return any(factor.kind != "typical value" for factor in factors)

    def _marched(self) -> tuple[str, ...]:
        return tuple(name for name in self.readouts if name in READOUTS)

    @cached_property
    def recipe(self) -> Recipe:
        """Who is drawn where nothing is varied."""
        return recipe_of(self)

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """What is varied, before it is seen what the arms depend on."""
        return resolve(self.sensitivity.parameters, self.recipe, [])

    @property
    def is_population(self) -> bool:
        """Whether a row is a population; else it is a patient."""
        return self._is_population(self.factors)

    @property
    def chosen_arms(self) -> tuple[str, ...]:
        """Arms that are simulated."""
        return self.sensitivity.arms or tuple(self.arms)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Readouts of which outputs are made: of a patient those without noise."""
        return self.readouts if self.is_population else self._marched()

    @property
    def samples(self) -> int:
        """Base samples: a power of two."""
        return power_of_two(self.sensitivity.samples)

    @property
    def shown_readouts(self) -> tuple[str, ...]:
        """What the table and the figures show."""
        given = self.sensitivity.readouts
        offered = self.outputs
        if given is not None:
            return tuple(name for name in given if name in offered)
        usual = tuple(name for name in SHOWN_READOUTS if name in offered)
        return usual or offered[: len(SHOWN_READOUTS)]

    @property
    def shown_hours(self) -> tuple[float, ...]:
        """When they show it [h]: output times."""
        times = self.times
        given = self.sensitivity.hours
        if given is not None:
            return tuple(min(times, key=lambda time: abs(time - hour)) for hour in given)
        usual = tuple(t for t in times if any(abs(t - hour) < ROUNDING for hour in SHOWN_HOURS))
        return usual or times[-MOST_SHOWN:]

    def with_settings(self, **changes: Any) -> Self:
        """The same with other settings of `[sensitivity]`, checked anew.

        Args:
            **changes: settings by name, as the manifest writes them.

        Raises:
            StudyError: if it no longer makes sense.
        """
        document = self.to_dict()
        document["sensitivity"] |= changes
        return type(self).parse(document)

    def notices(self) -> list[str]:
        """What a person should know of how the plan was read."""
        found = []
        if self.samples != self.sensitivity.samples:
            found.append(
                f"{self.sensitivity.samples} base samples are rounded up to {self.samples}: a "
                "Sobol sequence is even in powers of two."
            )
        if len(self.outputs) < len(self.readouts):
            left = ", ".join(sorted({*self.readouts} - {*self.outputs}))
            found.append(f"Left out, because observations have noise: {left}.")
        return found


def _arm(k: int, name: str, study: Study) -> list[Problem]:
    return check_name(f"sensitivity.arms[{k}]", name, study.arms, "arm of the study")
