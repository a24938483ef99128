"""The plan of individual fits: observed courses, what is each patient's own, and how far off.

It is written as TOML in the manner of a study. The population says what is usual: a patient's own
number departs from its median by a random effect, and the prior of that is the population's law.
What is neither free nor known of a patient is at the median of its law.
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

import numpy as np
from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ketjax import manifest
from ketjax.arms import Arm, Section
from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fields import (
    Context,
    Length,
    Name,
    Overrides,
    model_vocabulary,
    refuse,
)
from ketjax.fit import checks
from ketjax.fit.individual_data import (
    KNOWN,
    Covariate,
    Observation,
    by_patient,
    read_covariates,
    read_observations,
    several,
    times_of,
)
from ketjax.fit.individual_settings import Errors, Prior, Search
from ketjax.observation import RATED
from ketjax.population import DEFAULT_CORRELATIONS, SHARED_EFFECTS, Recipe
from ketjax.preparation import values_of
from ketjax.sets import ChosenSet, misfits, with_default, with_table
from ketjax.study import SolverSettings
from ketjax.units import parse

MANY_TIMES = 100  # times in one arm at which somebody is seen, from which a warning is due


@dataclasses.dataclass(frozen=True)
class Tables(Context):
    """What a field must know besides; None for a table that cannot be read."""

    observations: tuple[Observation, ...] | None = None
    covariates: tuple[Covariate, ...] | None = None


class IndividualPlan(Section):
    """Individual fits as they are asked for.

    Attributes:
        name: of the fits.
        question: what they ask.
        data: table of observations, beside the file.
        covariates: table of patients, beside the file.
        free: what each patient has an own value of, by path.
        horizon: end of the arms [h]; the last time of the observations if not given.
        allow_extrapolation: whether doses may exceed the validated range.
        set: parameter set that says what is usual, as in a study.
        population: of whom the patients are some.
        parameters: typical values that are set.
        error: how observations scatter, by readout.
        solver: as in a study.
        search: when to stop.
        arms: as in a study; observations name them.
    """

    name: Name
    question: str = ""
    data: str
    covariates: str | None = None
    free: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    horizon: Length | None = None
    allow_extrapolation: bool = False
    set: ChosenSet = None
    population: Prior = Prior()
    parameters: Overrides = Field(default_factory=dict)
    error: Errors = Field(default_factory=dict)
    solver: SolverSettings = SolverSettings()
    search: Search = Search()
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    _observations: tuple[Observation, ...] = PrivateAttr(default=())
    _covariates: tuple[Covariate, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, document: Any, info: ValidationInfo) -> Any:
        return with_default(document, info)

    @classmethod
    def read(cls, path: str | Path) -> IndividualPlan:
        """Read individual fits from a TOML file; its tables are looked for beside it.

        Raises:
            StudyError: with every problem of the file and of its tables.
        """
        try:
            return cls.parse(manifest.read_text(Path(path)), Path(path).parent)
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    @classmethod
    def parse(
        cls,
        source: str | Mapping[str, Any],
        folder: str | Path = ".",
        observations: tuple[Observation, ...] | None = None,
        covariates: tuple[Covariate, ...] | None = None,
    ) -> IndividualPlan:
        """Read individual fits from TOML text or its tables.

        Args:
            source: TOML text or its tables.
            folder: where tables and a parameter set are looked for.
            observations: instead of those of the table.
            covariates: instead of those of the table.

        Raises:
            StudyError: with every problem.
        """
        text = source if isinstance(source, str) else ""
        document = manifest.parse_toml(text) if isinstance(source, str) else dict(source)
        problems: list[Problem] = []
        if observations is None:
            observations = _table(document.get("data"), Path(folder), read_observations, problems)
        if covariates is None and document.get("covariates") is not None:
            name = document["covariates"]
            covariates = _table(name, Path(folder), read_covariates, problems)
        last = max((one.time for one in observations or ()), default=math.inf)
        context = Tables(
            model_vocabulary(),
            _horizon(document, last),
            document.get("allow_extrapolation") is True,
            Path(folder),
            observations=observations,
            covariates=covariates,
        )
        try:
            plan = cls.model_validate(document, context=context)
        except ValidationError as error:
            raise StudyError([*manifest.explain(error, cls, text), *problems]) from None
        refuse(problems)
        return plan

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        """What concerns several tables at once."""
        tables = info.context if isinstance(info.context, Tables) else Tables(model_vocabulary())
        self._observations = tables.observations or ()
        self._covariates = tables.covariates or ()
        problems = misfits(self.set, None, species=self.population.species)
        settings = self.population.settings()
        recipe = checks.recipe_of(settings, self.parameters, self.set, problems)
        if recipe is not None:
            problems += self._problems_of_free(recipe)
        problems += self._problems_of_data()
        refuse(problems)
        return self

    def _problems_of_free(self, recipe: Recipe) -> list[Problem]:
        """Numbers that cannot be a patient's own."""
        problems: list[Problem] = []
        laws, rows = recipe.laws(), model_vocabulary().parameters
        given = {one.path for one in self._covariates}
        settings = [values_of(arm) for arm in self.arms.values()]
        for k, path in enumerate(self.free):
            place = f"free[{k}]"
            if unknown := check_name(place, path, rows, "parameter"):
                problems += unknown
                continue
            message = hint = ""
            if path in self.free[:k]:
                message = "given twice"
            elif path in SHARED_EFFECTS:
                message = f"it has no random effect of its own but that of {SHARED_EFFECTS[path]}"
                hint = "free that: this one moves with it"
            elif path.startswith("designs."):
                message = "the levels of a trial design are not a patient's own"
                hint = "free expectancy.gain or expectancy.course_gain"
            elif path in laws and laws[path][1].kind == "categorical":
                message = "categories have no derivative"
                hint = "write what is known in the table of patients"
            elif path not in laws:
                message = "it does not vary in this population, so nothing is its prior"
                hint = "give it a law in [population.laws]"
            elif path in given:
                message = "it is both free and known of patients"
                hint = "remove it here, or its column in the table of patients"
            elif all(path in values for values in settings):
                message = "every arm sets this parameter: nothing would move"
                hint = "remove it here, or from the parameters of an arm"
            if message:
                problems.append(Problem(place, message, path, "", hint, "not_free"))
        return problems

    def _problems_of_data(self) -> list[Problem]:
        """Observations and covariates that do not belong here."""
        problems: list[Problem] = []
        missing: set[str] = set()
        for one in self._observations:
            place = f"data, line {one.line}"
            problems += check_name(f"{place}, arm", one.arm, self.arms, "arm")
            if self.horizon is not None and one.time > self.horizon:
                allowed = f"up to {self.horizon:g} h"
                hint = "raise horizon, or leave it out: then it is the last time of the data"
                message = "the observation lies after the end of the arms"
                given = f"{one.time:g} h"
                problems.append(Problem(place, message, given, allowed, hint, "out_of_range"))
            if math.isnan(one.sd) and one.quantity not in (*self.error, RATED):
                missing.add(one.quantity)
        for name in sorted(missing):
            hint = f'write [error] {name} = {{ additive = ".." }}, or fill the column sd'
            message = "nothing says how observations of this readout scatter"
            problems.append(Problem(f"error.{name}", message, "", "", hint, "missing"))
        patients = set(by_patient(self._observations))
        unknown = {c.patient: c.line for c in self._covariates if c.patient not in patients}
        if self._observations:
            for patient, line in unknown.items():
                place = f"covariates, line {line}, patient"
                message = "nothing was observed of this patient"
                hint = "remove the line, or add observations"
                problems.append(Problem(place, message, show(patient), "", hint, "unknown_name"))
        return problems

    @property
    def observations(self) -> dict[str, tuple[Observation, ...]]:
        """Observations of each patient, patients as they first appear, times increasing."""
        return by_patient(self._observations)

    @property
    def known(self) -> tuple[Covariate, ...]:
        """What is known of patients."""
        return self._covariates

    @cached_property
    def recipe(self) -> Recipe:
        """The population."""
        settings = self.population.settings()
        recipe = checks.recipe_of(settings, self.parameters, self.set, [])
        assert recipe is not None
        return recipe

    @property
    def correlations(self) -> dict[str, float]:
        """Of the random effects of two parameters."""
        return {**DEFAULT_CORRELATIONS, **self.recipe.correlations}

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is odd, but no mistake."""
        found = []
        few = [name for name, some in self.observations.items() if len(some) < len(self.free)]
        if few:
            message = f"{len(few)} patients have fewer observations than free numbers"
            hint = "what they do not tell stays near the population's value"
            found.append(Problem("data", message, several(few), "", hint, "few"))
        for name in self.arms:
            some = [one for one in self._observations if one.arm == name]
            if not some:
                message = "nobody was observed in this arm"
                found.append(Problem(f"arms.{name}", message, "", "", "remove it", "idle"))
            elif (count := times_of(some).size) > MANY_TIMES:
                message = "patients are seen at many times, each of which costs all of them a step"
                hint = "round times to those that were planned"
                found.append(Problem(f"arms.{name}", message, str(count), "", hint, "many_times"))
        given = {one.path for one in self._covariates}
        for pair, r in self.correlations.items():
            paths = set(pair.split(" ~ "))
            if r and paths & set(self.free) and paths & given:
                message = f"{pair}: one is free, the other known; the prior is as if independent"
                found.append(Problem("covariates", message, f"{r:g}", "", "", "correlation"))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """The plan as tables that `parse` reads back, every default written out."""
        context = Context(model_vocabulary())
        return with_table(self.model_dump(mode="json", exclude_none=True, context=context))

    def digest(self) -> str:
        """The SHA-256 of the plan and of its tables."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
        lines = (dataclasses.replace(one, line=0) for one in (*self._observations, *self.known))
        return hashlib.sha256("\n".join([text, *map(repr, lines)]).encode()).hexdigest()

    def __hash__(self) -> int:
        """Equal plans have equal hashes."""
        return hash(self.digest())


def covariate_name(path: str) -> str:
    """What the table of patients calls a parameter."""
    return next(name for name, other in KNOWN.items() if other == path)


def _table(name: Any, folder: Path, read: Any, problems: list[Problem]) -> Any:
    """A table beside the manifest; None, with more problems, if it cannot be read."""
    if not isinstance(name, str):
        return None  # the field says so
    try:
        return read(folder / name)
    except StudyError as error:
        for problem in error.problems:
            where = f"{folder / name}:{problem.position}".rstrip(":")
            place = f"{where}, {problem.place}" if problem.place else where
            problems.append(dataclasses.replace(problem, place=place, position=""))
        return None


def _horizon(document: Mapping[str, Any], last: float) -> float:
    """The horizon of a manifest that is not checked yet [h]."""
    try:
        horizon = parse(document["horizon"], "h")
    except (KeyError, StudyError):
        return last or np.inf
    return horizon if horizon > 0 else math.inf
