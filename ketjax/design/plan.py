"""The plan of a design: whom to treat, with what, what is wanted of it and what is not allowed.

A design is written as TOML, in the manner of a study: population, parameters and solver are the
same. One arm is the template of all schedules. Everything is checked here, before anything is drawn
or compiled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ketjax import manifest
from ketjax.arms import Arm, Section
from ketjax.errors import Problem, StudyError, check_range, show
from ketjax.fields import (
    Amount,
    Context,
    Duration,
    Integer,
    Length,
    Name,
    Overrides,
    Start,
    known,
    model_vocabulary,
    refuse,
)
from ketjax.fit.checks import recipe_of
from ketjax.model.parameters import replace
from ketjax.population import Recipe
from ketjax.preparation import values_of
from ketjax.regimen import RESOLUTION, Dose, Regimen, Route
from ketjax.schedule import edges_of
from ketjax.sets import ChosenSet, misfits, with_default, with_table
from ketjax.study import PopulationSettings, SolverSettings
from ketjax.units import display, parse

DAY = 24.0  # [h]
LOOKS = (5, 10, 20, 30, 40, 60, 90, 120)  # after a dose that takes no time [min]; assumed
SHARES = (0.5, 0.75, 1.0)  # of an infusion, when dissociation is looked at; assumed
AFTER = (5, 10, 20, 40)  # after its end [min]; assumed
LEAST_CAP = 0.01  # [points]


def _read_points(value: Any) -> float:
    points = parse(value, "points")
    refuse(check_range("", points, LEAST_CAP, math.inf, "points", given=value))
    return points


class Treatment(Section):
    """`[arm]`: what every infusion has in common, and what patients expect of the trial.

    Attributes:
        drug: what is given.
        route: how; sprays come in whole devices, so that nasal amounts cannot be moved.
        duration: of an infusion [h].
        expectancy: trial design.
        interaction: as in an arm of a study.
        parameters: that the arm sets.
    """

    drug: Literal["ketamine", "esketamine", "arketamine"]
    route: Route
    duration: Duration = 0.0
    expectancy: Annotated[str, known("expectancy design", "expectancy_designs")] = "none"
    interaction: Annotated[str, known("interaction", "interactions")] = "none"
    parameters: Overrides = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.route == "intranasal":
            message = "sprays come in whole devices: their amount has no gradient"
            raise StudyError(Problem("route", message, self.route, "another route", "", "whole"))
        Dose(self.drug, self.route, 1.0, True, 0.0, self.duration)
        return self


class AmountRange(Section):
    """Least and greatest amount of an infusion, both in [mg/kg] or both in [mg]."""

    low: Amount
    high: Amount

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low[1] != self.high[1]:
            hint = "write both in mg/kg, or both in mg"
            given = f"{display(*self.low)} and {display(*self.high)}"
            raise StudyError(Problem("", "two units", given, "one unit", hint, "unit"))
        _increasing(self.low[0], self.high[0], self.low[1])
        return self


class GapRange(Section):
    """Least and greatest time from the start of one infusion to that of the next [h]."""

    low: Length
    high: Length

    @model_validator(mode="after")
    def _check(self) -> Self:
        _increasing(self.low, self.high, "h")
        return self


class Cap(Section):
    """What dissociation must not exceed.

    Attributes:
        dissociation: CADSS [points]: of each session, the population's mean of the highest; with
            `share`, the highest of a patient.
        share: share of patients who may go beyond in a session [1].
    """

    dissociation: Annotated[
        float, BeforeValidator(_read_points), PlainSerializer(lambda x: display(x, "points"))
    ]
    share: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def limit(self) -> float:
        """The greatest number that is allowed [points], or [1] of a share."""
        return self.dissociation if self.share is None else self.share


class Wanted(Section):
    """`[design]`: what is wanted, and what may move.

    Attributes:
        outcome: what as many patients as possible shall reach.
        day: when, from the start [day].
        infusions: most infusions; each number up to it is tried.
        cap: what dissociation must not exceed; nothing if not given.
        amount: bounds of the amounts.
        first: when the first infusion starts [h].
        gap: bounds of the times between the starts of two infusions [h].
        rest: least time from the start of the last infusion to the day [h].
        shared_amount: whether all infusions have the same amount.
    """

    outcome: Literal["remission", "response"] = "remission"
    day: Annotated[float, Field(gt=0, le=3650)] = 28.0
    infusions: Annotated[Integer, Field(ge=1, le=50)]
    cap: Cap | None = None
    amount: AmountRange
    first: Start = 0.0
    gap: GapRange
    rest: Length = DAY
    shared_amount: bool = False

    @property
    def end(self) -> float:
        """Time of the outcome [h]."""
        return DAY * self.day


class SearchSettings(Section):
    """`[search]`: how the schedule is looked for. All defaults are choices, none is measured.

    Attributes:
        starts: searches for each number of infusions; the first goes on from the best schedule
            with one infusion less, the others begin at random.
        seed: of the other starts.
        iterations: most steps of SLSQP in one round.
        rounds: most rounds, each with a new mesh at the best schedule of the one before.
        tolerance: change of the share of patients at which a search ends [1].
    """

    starts: Annotated[Integer, Field(ge=1, le=1000)] = 2
    seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 1
    iterations: Annotated[Integer, Field(ge=1, le=10_000)] = 30
    rounds: Annotated[Integer, Field(ge=1, le=100)] = 3
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-4


class Design(Section):
    """A design: the best schedule of infusions for a population under a cap.

    Attributes:
        name: of the design.
        question: what it asks.
        allow_extrapolation: whether doses may exceed the validated range.
        set: parameter set, as in a study.
        population: who is treated, as in a study.
        parameters: values that are set.
        solver: as in a study.
        arm: what every infusion has in common.
        design: what is wanted, and what may move.
        search: how it is looked for.
    """

    name: Name
    question: str = ""
    allow_extrapolation: bool = False
    set: ChosenSet = None
    population: PopulationSettings
    parameters: Overrides = Field(default_factory=dict)
    solver: SolverSettings = SolverSettings()
    arm: Treatment
    design: Wanted
    search: SearchSettings = SearchSettings()

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, document: Any, info: ValidationInfo) -> Any:
        return with_default(document, info)

    @classmethod
    def read(cls, path: str | Path) -> Design:
        """Read a design from a TOML file.

        Args:
            path: the file; a parameter set is looked for beside it.

        Returns:
            The design, complete and checked.

        Raises:
            StudyError: with every problem of the file.
        """
        try:
            return cls.parse(manifest.read_text(Path(path)), folder=Path(path).parent)
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    @classmethod
    def parse(cls, source: str | Mapping[str, Any], folder: str | Path = ".") -> Design:
        """Read a design from TOML text, or from the tables of one.

        Args:
            source: TOML text or its tables.
            folder: where a parameter set is looked for.

        Returns:
            The design, complete and checked.

        Raises:
            StudyError: with every problem.
        """
        text = source if isinstance(source, str) else ""
        document = manifest.parse_toml(text) if isinstance(source, str) else dict(source)
        allow = document.get("allow_extrapolation") is True
        context = Context(model_vocabulary(), math.inf, allow, Path(folder))
        try:
            return cls.model_validate(document, context=context)
        except ValidationError as error:
            raise StudyError(manifest.explain(error, cls, text)) from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        """What concerns several tables at once."""
        problems = misfits(self.set, None, species=self.population.species)
        if self.population.species != "human":
            message = "a depression score means nothing in a rat"
            given = self.population.species
            problems.append(Problem("population.species", message, given, "human", "", "species"))
        if recipe_of(self.population, self.parameters, self.set, problems) is not None:
            problems += self._check_times()
        refuse(problems)
        return self

    def _check_times(self) -> list[Problem]:
        """Times that leave no room for the infusions."""
        d, span, problems = self.design, self.span, []
        for place, length in (("design.gap.low", d.gap.low), ("design.rest", d.rest)):
            if length <= span + RESOLUTION:
                message = "shorter than a session: infusion, release, end of the session"
                allowed = f"more than {display(span, 'h')}"
                given = display(length, "h")
                problems.append(Problem(place, message, given, allowed, "", "out_of_range"))
        needed = d.first + (d.infusions - 1) * d.gap.low + d.rest
        if needed > d.end + RESOLUTION:
            room = d.end - d.rest - d.first
            most = math.floor(room / d.gap.low + 1e-9) + 1 if room >= 0 else 0
            message = f"{d.infusions} infusions do not fit before day {d.day:g}"
            allowed = f"at most {most}" if most else "none: first and rest take up all the time"
            hint = f"the gaps are {display(d.gap.low, 'h')} or more, the rest {d.rest:g} h or more"
            problems.append(
                Problem("design.infusions", message, show(d.infusions), allowed, hint, "no_room")
            )
        return problems

    @cached_property
    def recipe(self) -> Recipe:
        """Who is treated."""
        recipe = recipe_of(self.population, self.parameters, self.set, [])
        assert recipe is not None
        return recipe

    @cached_property
    def looks(self) -> tuple[float, ...]:
        """When dissociation is looked at, from the start of an infusion [h]."""
        length = self.arm.duration
        if length == 0:
            return tuple(minutes / 60 for minutes in LOOKS)
        during = [share * length for share in SHARES]
        return (*during, *(length + minutes / 60 for minutes in AFTER))

    @cached_property
    def span(self) -> float:
        """From the start of an infusion to the last of its events and looks [h]."""
        typical = replace(self.recipe.typical_patient(), self.values)
        dose = Dose(self.arm.drug, self.arm.route, 1.0, True, 0.0, self.arm.duration)
        return max(float(edges_of(Regimen((dose,)), typical).max()), *self.looks)

    @property
    def per_kg(self) -> bool:
        """Whether amounts are for each kilogram of body weight."""
        return self.unit == "mg/kg"

    @property
    def unit(self) -> str:
        """Unit of the amounts."""
        return self.design.amount.low[1]

    @cached_property
    def values(self) -> dict[str, float]:
        """What the arm gives to every patient."""
        return values_of(self.arm_of((), ()))

    def arm_of(self, amounts: ArrayLike, starts: ArrayLike) -> Arm:
        """The arm of a study that gives a schedule.

        Args:
            amounts: of each infusion [mg/kg] or [mg].
            starts: of each infusion [h].
        """
        return Arm.model_validate(
            self.arm_tables(amounts, starts), context=Context(model_vocabulary())
        )

    def arm_tables(self, amounts: ArrayLike, starts: ArrayLike) -> dict[str, Any]:
        """The same as a manifest writes it."""
        arm = self.arm
        common = {"drug": arm.drug, "route": arm.route}
        doses = [
            {
                **common,
                "amount": display(float(amount), self.unit),
                "time": display(float(start), "h"),
                "duration": display(arm.duration, "h"),
            }
            for amount, start in zip(np.ravel(amounts), np.ravel(starts), strict=True)
        ]
        written = arm.model_dump(mode="json", context=Context(model_vocabulary()))
        kept = {name: written[name] for name in ("expectancy", "interaction", "parameters")}
        return {**kept, "doses": doses}

    def regimen_of(self, amounts: np.ndarray, starts: np.ndarray) -> Regimen:
        """A schedule as events; arguments as of `arm_of`."""
        return Regimen(
            tuple(
                Dose(
                    self.arm.drug, self.arm.route, float(amount), self.per_kg, float(start),
                    self.arm.duration,
                )
                for amount, start in zip(amounts, starts, strict=True)
            )
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The design as tables that `parse` reads back, every default written out."""
        context = Context(model_vocabulary())
        return with_table(self.model_dump(mode="json", exclude_none=True, context=context))

    def to_json(self) -> str:
        """The canonical text of the design: equal designs give equal text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)


def _increasing(low: float, high: float, unit: str) -> None:
    """Refuse bounds that hold nothing."""
    if not low < high:
        given, message = f"{display(low, unit)} to {display(high, unit)}", "the bounds are empty"
        raise StudyError(Problem("", message, given, "low < high", "", "empty_range"))
