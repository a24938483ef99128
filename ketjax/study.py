"""The study: what is asked, of whom, under which regimens, and what is kept.

A study is written as TOML with a unit on every quantity; inside there are bare floats in house
units. Everything is checked here, before anything is drawn or compiled, and every problem found
is reported in one message. `Study.to_json` writes the study back in the same form, with house
units, every default and the seed, so that a store can say exactly what made it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ketjax import manifest
from ketjax.arms import Arm, Section
from ketjax.errors import Problem, StudyError, check_name, check_range, show
from ketjax.fields import (
    EPSILON,
    Context,
    Correlations,
    Entry,
    Integer,
    Length,
    Name,
    Outcomes,
    Overrides,
    ParameterRow,
    Readouts,
    Times,
    Vocabulary,
    known,
    model_vocabulary,
    refuse,
)
from ketjax.sets import ChosenSet, Uncertainty, is_default, misfits, with_default, with_table
from ketjax.variation import Laws

__all__ = [
    "Arm",
    "Output",
    "ParameterRow",
    "PopulationSettings",
    "SolverSettings",
    "Study",
    "Vocabulary",
]


class PopulationSettings(Section):
    """`[population]`: how many patients, and who they are.

    Attributes:
        patients: how many in each arm; the same people in every arm.
        seed: of all random numbers; drawn if none is given, and written to the store.
        design: how patients are spread over the population's distributions.
        species: who is simulated.
        typical: whether every patient is the typical one.
        entry: range of each covariate within which patients enter the study, in the unit of
            the vocabulary.
        correlations: of the random effects of two parameters, by "path ~ path".
        laws: how parameters vary, by path, instead of as the table says.
    """

    patients: Annotated[Integer, Field(ge=1, lt=2**32)]
    seed: Annotated[Integer, Field(ge=0, lt=2**63)] = Field(
        default_factory=lambda: secrets.randbelow(2**63)
    )
    design: Literal["random", "sobol"] = "random"
    species: Annotated[str, known("species", "species")] = "human"
    typical: bool = False
    entry: Entry = Field(default_factory=dict)
    correlations: Correlations = Field(default_factory=dict)
    laws: Laws = Field(default_factory=dict)


class Output(Section):
    """`[output]`: how long the study lasts [h], when [h] and what is kept.

    Attributes:
        horizon: end of the study [h].
        times: when readouts are kept and patients are seen [h].
        readouts: courses in time.
        keep: trajectories of all patients, or summaries of them in their place; outcomes and drawn
            parameters are kept of all patients either way.
        strata: traits that divide the patients of whom summaries are kept, as `--by` has them: with
            bounds, `demography.age:30,50`, or of a few whole numbers alone, `demography.female`.
        outcomes: what a trial writes down of each patient in each arm.
        outcome_score: the score from which outcomes are read.
        relapse: rule by which a responder counts as lost.
    """

    horizon: Length
    times: Times
    readouts: Readouts = Field(default="all", validate_default=True)
    keep: Literal["all", "summaries"] = "all"
    strata: Annotated[tuple[str, ...], Field(strict=False)] = ()
    outcomes: Outcomes = ()
    outcome_score: Literal["madrs_rated", "madrs"] = "madrs_rated"
    relapse: Annotated[str, known("relapse rule", "relapse_rules")] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if ("time_to_relapse" in self.outcomes) == (self.relapse is not None):
            return self
        hint = 'outcomes = ["time_to_relapse"] and relapse = "..." belong together'
        message = "no outcome uses it" if self.relapse else "time_to_relapse needs a rule"
        raise StudyError(Problem("relapse", message, show(self.relapse), "", hint, "incomplete"))


class SolverSettings(Section):
    """`[solver]`: relative tolerance [1] and the floating-point type.

    Attributes:
        rtol: of the steps.
        dtype: of the march and of what is kept.
        audit: whether a sample of the patients is marched again in float64, to say how far
            float32 is off; large populations are, unless this says otherwise.
    """

    rtol: float = 1e-3
    dtype: Literal["float32", "float64"] = "float32"
    audit: bool | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse(check_range("rtol", self.rtol, 10 * EPSILON[self.dtype], 0.1))
        return self


class Study(Section):
    """A study: the question and everything needed to answer it by simulation.

    Attributes:
        name: of the study.
        question: what it asks.
        allow_extrapolation: whether doses may exceed the validated range.
        set: parameter set that applies below what the study itself says; a name, or a path beside
            the study; that of the species if not given, none at all for "table". With uncertainty
            it holds the draws that are used, else no posterior.
        uncertainty: whether patients are shared out between draws of the posterior of the set.
        population: who is drawn.
        output: how long the study lasts, when and what is kept.
        solver: how exactly it is solved.
        parameters: typical values, by path.
        arms: what is done to the patients.
    """

    name: Name
    question: str = ""
    allow_extrapolation: bool = False
    set: ChosenSet = None
    uncertainty: Uncertainty | None = None
    population: PopulationSettings
    output: Output
    solver: SolverSettings = SolverSettings()
    parameters: Overrides = Field(default_factory=dict)
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    _vocabulary: Vocabulary = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, document: Any, info: ValidationInfo) -> Any:
        return with_default(document, info)

    def model_post_init(self, context: Any, /) -> None:
        """Keep the vocabulary: it holds the units that the study is written back with."""
        self._vocabulary = context.vocabulary if context else model_vocabulary()

    @model_validator(mode="after")
    def _check(self) -> Self:
        p = self.population
        refuse(
            misfits(
                self.set,
                self.uncertainty,
                species=p.species,
                typical=p.typical,
                design=p.design,
            )
        )
        return self

    @classmethod
    def read(cls, path: str | Path, vocabulary: Vocabulary | None = None) -> Self:
        """Read a study from a TOML file.

        Args:
            path: the file; a parameter set that is no name is looked for beside it.
            vocabulary: the names that may be used; those of the model if not given.

        Returns:
            The study, complete and checked.

        Raises:
            StudyError: with every problem of the file, or the one that keeps it from being read.
        """
        try:
            return cls.parse(manifest.read_text(Path(path)), vocabulary, Path(path).parent)
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    @classmethod
    def parse(
        cls,
        source: str | Mapping[str, Any],
        vocabulary: Vocabulary | None = None,
        folder: str | Path = ".",
    ) -> Self:
        """Read a study from TOML text, or from the tables of one (`json.loads` of `to_json`).

        Args:
            source: TOML text or its tables.
            vocabulary: the names that may be used; those of the model if not given.
            folder: where a parameter set that is no name is looked for.

        Returns:
            The study, complete and checked.

        Raises:
            StudyError: with every problem.
        """
        text = source if isinstance(source, str) else ""
        document = manifest.parse_toml(text) if isinstance(source, str) else dict(source)
        try:
            context = Context.of(document, vocabulary or model_vocabulary(), Path(folder))
            return cls.model_validate(document, context=context)
        except ValidationError as error:
            raise StudyError(manifest.explain(error, cls, text)) from None

    @property
    def horizon(self) -> float:
        """The end of the study [h]."""
        return self.output.horizon

    @property
    def times(self) -> tuple[float, ...]:
        """When readouts are kept [h]."""
        return self.output.times

    @property
    def readouts(self) -> tuple[str, ...]:
        """What is kept."""
        return self.output.readouts

    def to_dict(self) -> dict[str, Any]:
        """The study as tables that `parse` reads back, every default written out."""
        context = Context(self._vocabulary)
        return with_table(self.model_dump(mode="json", exclude_none=True, context=context))

    def to_json(self) -> str:
        """The canonical text of the study: equal studies give equal text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def digest(self) -> str:
        """The SHA-256 of the canonical text, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __hash__(self) -> int:
        """Equal studies have equal hashes."""
        return hash(self.digest())

    def replace(self, **changes: Any) -> Self:
        """The same study with other settings, checked anew.

        Args:
            **changes: settings by name, as the manifest writes them: `patients=100`,
                `horizon="7 day"`, `rtol=1e-5`.

        Returns:
            Another study.

        Raises:
            StudyError: if a setting is unknown or the study no longer makes sense.
        """
        document = self.to_dict()
        homes = dict.fromkeys(type(self).model_fields, document)
        for section in ("population", "output", "solver"):
            homes |= dict.fromkeys(type(getattr(self, section)).model_fields, document[section])
        refuse([p for name in changes for p in check_name(name, name, homes, "setting")])
        if "species" in changes and is_default(self.set, self.population.species, self._vocabulary):
            del document["set"]  # another species has another default
        for name, value in changes.items():
            homes[name][name] = value
        return type(self).parse(document, self._vocabulary)
