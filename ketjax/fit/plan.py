"""The plan of a fit: which summaries are to be met, by moving what, in which patients.

A fit is written as TOML in the manner of a study, with the same tables; besides it names a table of
targets, what is free, and how it is to be optimised. Everything is checked here, before anything is
drawn or compiled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ketjax import manifest
from ketjax.arms import Arm, Section
from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fields import Context, Length, Name, Overrides, model_vocabulary, refuse
from ketjax.fit import checks
from ketjax.fit.drawing import PopulationMap
from ketjax.fit.free import Free, FreeTable
from ketjax.fit.quantities import DAILY, QUANTITIES
from ketjax.fit.settings import LikelihoodSettings, Optimise, SharedPrior, some, with_common
from ketjax.fit.targets import PROFILES, Target, digest, read_targets
from ketjax.population import Recipe
from ketjax.sets import ChosenSet, misfits, with_table
from ketjax.study import PopulationSettings, SolverSettings, Study
from ketjax.trials import clock
from ketjax.units import display, is_plain, parse

SHIPPED = "profiles"  # what a fit calls the table of the package


@dataclasses.dataclass(frozen=True)
class FitContext(Context):
    """What a field of a fit must know besides; no targets where their table cannot be read."""

    targets: tuple[Target, ...] | None = None


def _between(value: Any) -> dict[str, float]:
    """SD between trials by quantity, in the unit of the quantity."""
    if not isinstance(value, dict):
        raise StudyError(Problem("", "a table is needed", show(value), code="wrong_type"))
    problems: list[Problem] = []
    found = {}
    for name, given in value.items():
        place = show(name)
        if unknown := check_name(place, name, QUANTITIES, "quantity"):
            problems += unknown
            continue
        unit = QUANTITIES[name].unit
        try:
            found[name] = parse(given, unit)
        except StudyError as error:
            problems += [problem.under(place) for problem in error.problems]
        else:
            problems += check_range(place, found[name], 0.0, math.inf, unit, given=given)
    refuse(problems)
    return dict(sorted(found.items()))


def _write_between(found: dict[str, float]) -> dict[str, float | str]:
    units = {name: QUANTITIES[name].unit for name in found}
    return {
        name: number if is_plain(units[name]) else display(number, units[name])
        for name, number in found.items()
    }


class Fit(Section):
    """A fit: summaries to be met, what may move, and whom it is tried on.

    Attributes:
        name: of the fit.
        question: what it asks.
        targets: "profiles" for the table of the package, or a path beside the file.
        profiles: those of the table that are used; all if not given.
        horizon: end of the arms [h]; the last time of the targets if not given.
        allow_extrapolation: whether doses may exceed the validated range.
        set: parameter set from which the fit starts; the table of parameters if not given, so that
            no target counts twice.
        population: who is drawn, as in a study.
        parameters: values that are set and stay.
        free: what may move.
        shared: classes of free numbers whose priors have one value in common.
        between_trials: SD between trials by quantity, instead of the one of the list.
        likelihood: how the targets of a trial belong together.
        solver: as in a study.
        optimise: how it is done.
        arms: as in a study; targets name them.
    """

    name: Name
    question: str = ""
    targets: str = SHIPPED
    profiles: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(some)] | None = None
    horizon: Length | None = None
    allow_extrapolation: bool = False
    set: ChosenSet = None
    population: PopulationSettings
    parameters: Overrides = Field(default_factory=dict)
    free: FreeTable
    shared: dict[Name, SharedPrior] = Field(default_factory=dict)
    between_trials: Annotated[
        dict[str, float], BeforeValidator(_between), PlainSerializer(_write_between)
    ] = Field(default_factory=dict)
    likelihood: LikelihoodSettings = LikelihoodSettings()
    solver: SolverSettings = SolverSettings()
    optimise: Optimise = Optimise()
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    _table: tuple[Target, ...] = PrivateAttr()
    _unknowns: tuple[Free, ...] = PrivateAttr()

    @classmethod
    def read(cls, path: str | Path) -> Fit:
        """Read a fit from a TOML file.

        Args:
            path: the file; a table of targets and a parameter set are looked for beside it.

        Returns:
            The fit, complete and checked.

        Raises:
            StudyError: with every problem of the file and of its table of targets.
        """
        try:
            return cls.parse(manifest.read_text(Path(path)), folder=Path(path).parent)
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    @classmethod
    def parse(cls, source: str | Mapping[str, Any], folder: str | Path = ".") -> Fit:
        """Read a fit from TOML text, or from the tables of one.

        Args:
            source: TOML text or its tables.
            folder: where a table of targets and a parameter set are looked for.

        Returns:
            The fit, complete and checked.

        Raises:
            StudyError: with every problem.
        """
        text = source if isinstance(source, str) else ""
        document = manifest.parse_toml(text) if isinstance(source, str) else dict(source)
        problems: list[Problem] = []
        table = _table_of(document, Path(folder), problems)
        context = FitContext(
            model_vocabulary(),
            _horizon_of(document, table),
            document.get("allow_extrapolation") is True,
            Path(folder),
            targets=table,
        )
        try:
            fit = cls.model_validate(document, context=context)
        except ValidationError as error:
            raise StudyError([*manifest.explain(error, cls, text), *problems]) from None
        refuse(problems)
        return fit

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        """What concerns several tables at once."""
        given = info.context.targets if isinstance(info.context, FitContext) else read_targets()
        problems: list[Problem] = []
        if given is not None:
            chosen = self.profiles or tuple(dict.fromkeys(target.profile for target in given))
            known = {target.profile for target in given}
            for k, name in enumerate(chosen):
                problems += check_name(f"profiles[{k}]", name, known, "profile")
            self._table = tuple(target for target in given if target.profile in chosen)
            problems += checks.of_targets(self._table, self.arms, self.horizon)
        problems += misfits(self.set, None, species=self.population.species)
        recipe = checks.recipe_of(self.population, self.parameters, self.set, problems)
        if recipe is not None:
            self._unknowns = checks.unknowns(self.free, recipe, self.parameters, problems)
            problems += checks.of_free(self._unknowns, self.arms)
            problems += checks.of_shared(self.shared, self.free, self._unknowns)
        if given is not None:
            problems += checks.of_counts(self.free, self._table)
        refuse(problems)
        self._unknowns = with_common(self._unknowns, self.shared)
        return self

    @property
    def unknowns(self) -> tuple[Free, ...]:
        """What may move, complete: starts, bounds, scales and priors."""
        return self._unknowns

    @property
    def summaries(self) -> tuple[Target, ...]:
        """The targets of the chosen profiles."""
        return self._table

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is odd, but no mistake."""
        recipe = self.recipe
        return (
            *checks.idle_arms(self._table, self.arms),
            *checks.lost_variation(self._unknowns, recipe),
        )

    def between(self, target: Target) -> float:
        """SD between trials of what a target is a number of [unit of the quantity]."""
        return self.between_trials.get(target.quantity, target.kind.between)

    def deviation(self, target: Target) -> float:
        """SD of a published number about that of a simulated trial: its error and the trial's."""
        return math.hypot(target.error, self.between(target))

    @cached_property
    def times(self) -> tuple[float, ...]:
        """All times at which some target needs a readout, and the start [h]."""
        times = {0.0}
        for target in self._table:
            for name in target.arms:
                times.update(visits(target, self.arms[name]))
        return tuple(sorted(times))

    @cached_property
    def readouts(self) -> tuple[str, ...]:
        """All readouts of which some target is made."""
        return tuple(sorted({target.kind.readout for target in self._table}))

    @cached_property
    def study(self) -> Study:
        """The study whose simulation shows what the targets ask for, where nothing has moved."""
        document = self.to_dict()
        shared = ("name", "question", "set", "population", "parameters", "solver", "arms")
        last = self.horizon or self.times[-1] or DAILY
        output = {
            "horizon": display(last, "h"),
            "times": [display(time, "h") for time in self.times],
            "readouts": list(self.readouts),
        }
        return Study.parse(
            {
                **with_table({name: document[name] for name in shared if name in document}),
                "allow_extrapolation": self.allow_extrapolation,
                "output": output,
            }
        )

    @cached_property
    def recipe(self) -> Recipe:
        """Who is drawn where nothing has moved."""
        recipe = checks.recipe_of(self.population, self.parameters, self.set, [])
        assert recipe is not None
        return recipe

    def population_map(self, patients: int | None = None) -> PopulationMap:
        """The patients as a function of what may move.

        Args:
            patients: how many; those of `[population]` if not given.
        """
        count = self.population.patients if patients is None else patients
        return PopulationMap.of(self.recipe, self.unknowns, range(count))

    def to_dict(self) -> dict[str, Any]:
        """The fit as tables that `parse` reads back, every default written out."""
        context = Context(model_vocabulary())
        return self.model_dump(mode="json", exclude_none=True, context=context)

    def to_json(self) -> str:
        """The canonical text of the fit: equal fits give equal text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def digest(self) -> str:
        """The SHA-256 of the canonical text and of the targets it uses."""
        text = f"{self.to_json()}\n{digest(self._table)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __hash__(self) -> int:
        """Equal fits have equal hashes."""
        return hash(self.digest())


def visits(target: Target, arm: Arm) -> tuple[float, ...]:
    """Times at which a target needs the readout of one of its arms [h].

    Args:
        target: The target.
        arm: The arm.

    Returns:
        One time; or all visits of a window, or from the start of a rule's clock on.
    """
    start, stop, every = target.time, target.stop, target.kind.every
    if target.rule:
        start, stop = clock(target.rule, arm.regimen), target.time
    if math.isnan(stop):
        return (start,)
    if not every:
        return (start, stop)
    count = math.floor((stop - start) / every + 1e-9)
    between = [start + k * every for k in range(count + 1)]
    return (*between, stop) if between[-1] < stop - 1e-9 else tuple(between)


def _table_of(
    document: Mapping[str, Any], folder: Path, problems: list[Problem]
) -> tuple[Target, ...] | None:
    """The targets that a manifest names; None, with one more problem, if they cannot be read."""
    name = document.get("targets", SHIPPED)
    if not isinstance(name, str):
        return None  # the field says so
    path = PROFILES if name == SHIPPED else folder / name
    try:
        return read_targets(path)
    except StudyError as error:
        for problem in error.problems:
            line = f":{problem.position}" if problem.position else ""
            place = f"targets, {path}{line}"
            place += f", {problem.place}" if problem.place else ""
            problems.append(dataclasses.replace(problem, place=place, position=""))
        return None


def _horizon_of(document: Mapping[str, Any], table: tuple[Target, ...] | None) -> float:
    """The horizon of a manifest that is not checked yet [h]."""
    if "horizon" in document:
        try:
            horizon = parse(document["horizon"], "h")
        except StudyError:
            return math.inf
        return horizon if horizon > 0 else math.inf
    if table is None:
        return math.inf
    chosen = document.get("profiles")
    used = [t.last for t in table if not isinstance(chosen, list) or t.profile in chosen]
    return max(used, default=math.inf) or DAILY
