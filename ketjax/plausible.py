"""What makes a patient plausible, as it is written: bounds on readouts, each checked.

[[plausible]]
arm = "ketamine"
readout = "madrs"
time = "24 h"
measure = "percent_change"   # or "change", from entry; or "value"
low = "-90 %"
high = "-50 %"

[repair]
parameters = ["score.weight_potentiation", "expectancy.gain"]   # whose random effects may move

A bound is checked against the study whose patients it judges: its arms, times and readouts.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from ketjax import manifest
from ketjax.analysis.features import Measure
from ketjax.arms import Section
from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fields import Integer, refuse
from ketjax.model.readouts import READOUTS, REGIONS
from ketjax.population import SHARED_EFFECTS
from ketjax.preparation import recipe_of
from ketjax.study import Study
from ketjax.units import parse

MOVABLE = (
    *("receptors.kd_interneuron", "circuit.disinhibition_gain"),
    *("potentiation.potentiation_rate", "potentiation.potentiation_loss_rate"),
    *("consolidation.consolidation_rate", "score.baseline", "score.weight_potentiation"),
    *("score.weight_consolidation", "score.weight_activation", "score.half_effect_drive"),
    *("score.improvable_share", "expectancy.gain", "expectancy.course_gain"),
)
"""What moves if nothing is said: from receptor block to the score, and what patients expect."""

ROUNDING = 1e-6  # [h]


class Bound(Section):
    """One `[[plausible]]`: a number of a patient and where it must lie.

    Attributes:
        arm: in which arm.
        readout: of the model; observations round and carry noise, so that they have no slope.
        time: one of the output times of the study.
        region: of a regional readout.
        measure: the readout itself; its change from time 0, of a score from entry; that as a share
            of where it began.
        low: least plausible number, none if not given.
        high: greatest.
    """

    arm: str
    readout: str
    time: Any
    region: str | None = None
    measure: Measure = "value"
    low: Any = None
    high: Any = None
    _hour: float = PrivateAttr()
    _least: float = PrivateAttr()
    _greatest: float = PrivateAttr()

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        study = info.context
        if not isinstance(study, Study):
            raise TypeError("a bound is checked against a study: give it as the context")
        problems = check_name("arm", self.arm, study.arms, "arm of the study")
        offered = [name for name in study.readouts if name in READOUTS]
        unknown = check_name("readout", self.readout, offered, "readout of the model in the study")
        problems += unknown
        row = READOUTS.get(self.readout)
        if row is not None and row.regional:
            if self.region is None:
                allowed = ", ".join(REGIONS)
                problems.append(Problem("region", "this is missing", "", allowed, code="missing"))
            else:
                problems += check_name("region", self.region, REGIONS, "region")
        elif row is not None and self.region is not None:
            problems.append(_wrong("region", "this readout has no region", self.region, "nothing"))
        self._hour = self._output_time(study, problems)
        unit = "1" if self.measure == "percent_change" or row is None else row.unit
        self._least = _number(problems, "low", self.low, unit, -math.inf, row is None)
        self._greatest = _number(problems, "high", self.high, unit, math.inf, row is None)
        if self.low is None and self.high is None:
            hint = "write low, high or both"
            problems.append(Problem("low", "nothing is bounded", hint=hint, code="incomplete"))
        elif self._least >= self._greatest:
            problems.append(_wrong("high", "nothing lies between the bounds", self.high, "> low"))
        refuse(problems)
        return self

    @property
    def hour(self) -> float:
        """When [h]."""
        return self._hour

    @property
    def unit(self) -> str:
        """Of the bounds."""
        return "1" if self.measure == "percent_change" else READOUTS[self.readout].unit

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest plausible number [`unit`], infinite where there is none."""
        return self._least, self._greatest

    @property
    def scale(self) -> float:
        """Against which a violation is measured: the width of the box, else of the readout."""
        width = self._greatest - self._least
        if math.isfinite(width):
            return width
        return 1.0 if self.measure == "percent_change" else READOUTS[self.readout].scale

    @property
    def text(self) -> str:
        """What is bounded, in words."""
        where = f" of {self.region}" if self.region else ""
        what = "" if self.measure == "value" else f", {self.measure.replace('_', ' ')}"
        return f"{self.readout}{where} in {self.arm} at {self.hour:g} h{what}"

    def _output_time(self, study: Study, problems: list[Problem]) -> float:
        hour = _number(problems, "time", self.time, "h", math.nan)
        near = min(study.times, key=lambda time: abs(time - hour))
        if abs(near - hour) > ROUNDING:
            allowed = ", ".join(f"{time:g}" for time in study.times) + " h"
            message = "the study has no output at this time"
            problems.append(Problem("time", message, show(self.time), allowed, "", "unknown_time"))
        return near


class Repair(Section):
    """`[repair]`: what may move, and how. All defaults are choices, none is measured.

    Attributes:
        parameters: whose random effects may move; those of `MOVABLE` that vary if not given.
        steps: at most, of each patient.
        stiffness: what a squared violation counts for, beside half the squared distance moved.
        margin: how far inside a bound a step aims, as a share of the width of the box.
        reach: longest step [1], in SDs of the random effects.
    """

    parameters: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    steps: Annotated[Integer, Field(ge=1, le=100)] = 8
    stiffness: Annotated[float, Field(gt=0, le=1e9)] = 1000.0
    margin: Annotated[float, Field(gt=0, lt=0.25)] = 0.05
    reach: Annotated[float, Field(gt=0, le=100)] = 2.0


class Plausible(Section):
    """A manifest of bounds.

    Attributes:
        plausible: the bounds; a plausible patient keeps all of them.
        repair: how those are repaired who do not.
    """

    plausible: Annotated[tuple[Bound, ...], Field(strict=False, min_length=1)]
    repair: Repair = Repair()
    _movable: tuple[str, ...] = PrivateAttr()

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        study = info.context
        assert isinstance(study, Study)  # its bounds have asked
        problems: list[Problem] = []
        seen: dict[tuple, int] = {}
        for index, bound in enumerate(self.plausible):
            key = (bound.arm, bound.readout, bound.region, bound.hour, bound.measure)
            first = seen.setdefault(key, index)
            if first != index:
                message = f"bounds the same as plausible[{first}]"
                hint = "give low and high in one table"
                place = f"plausible[{index}]"
                problems.append(Problem(place, message, bound.text, "", hint, "duplicate"))
        settings = study.population
        if settings.typical:
            message = "every patient is the typical one: nobody varies"
            problems.append(Problem("", message, hint="remove typical from [population]"))
        elif study.uncertainty is not None:
            message = "patients who are shared out between posterior draws cannot be repaired"
            problems.append(Problem("", message, hint="remove [uncertainty] from the study"))
        else:
            self._movable = self._of(study, problems)
        refuse(problems)
        return self

    @classmethod
    def read(cls, path: str | Path, study: Study) -> Plausible:
        """Read a manifest and check it against a study.

        Args:
            path: The file.
            study: Whose patients it judges.

        Returns:
            The bounds.

        Raises:
            StudyError: With every problem.
        """
        try:
            return cls.parse(manifest.read_text(Path(path)), study)
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    @classmethod
    def parse(cls, text: str, study: Study) -> Plausible:
        """Read a manifest from TOML text; else as `read`."""
        try:
            return cls.model_validate(manifest.parse_toml(text), context=study)
        except ValidationError as error:
            raise StudyError(manifest.explain(error, cls, text)) from None

    @property
    def movable(self) -> tuple[str, ...]:
        """Parameters whose random effects may move."""
        return self._movable

    def narrow(self, study: Study) -> Study:
        """The study with no more arms, times and readouts than the bounds need."""
        arms = {bound.arm for bound in self.plausible}
        hours = {0.0, *(bound.hour for bound in self.plausible)}
        readouts = {bound.readout for bound in self.plausible}
        document = study.to_dict()
        document["arms"] = {name: arm for name, arm in document["arms"].items() if name in arms}
        document["output"] = {
            "horizon": document["output"]["horizon"],
            "times": [f"{hour!r} h" for hour in sorted(hours)],
            "readouts": sorted(readouts),
        }
        return Study.parse(document)

    def _of(self, study: Study, problems: list[Problem]) -> tuple[str, ...]:
        """What may move of what varies in this study."""
        laws = recipe_of(study).laws()
        moves = [
            path
            for path, (_, law) in laws.items()
            if law.kind != "categorical" and path not in SHARED_EFFECTS
        ]
        given = self.repair.parameters
        if given is None:
            found = tuple(path for path in MOVABLE if path in moves)
            if not found:
                hint = "write parameters = [...] in [repair]"
                message = "nothing of the usual list varies in this study"
                problems.append(Problem("repair.parameters", message, hint=hint, code="missing"))
            return found
        for index, path in enumerate(given):
            place = f"repair.parameters[{index}]"
            kind = "parameter with a random effect of its own here"
            problems += check_name(place, path, moves, kind)
            if path in given[:index]:
                problems.append(Problem(place, "given twice", show(path), code="duplicate"))
        return given


def _number(
    problems: list[Problem],
    place: str,
    value: Any,
    unit: str,
    absent: float,
    unknown: bool = False,
) -> float:
    """The value in [unit]; `absent`, and one more problem, if it cannot be read.

    Nothing is read in the unit of a readout that is not known.
    """
    if value is None or unknown:
        return absent
    try:
        return parse(value, unit)
    except StudyError as error:
        problems += [problem.under(place) for problem in error.problems]
        return absent


def _wrong(place: str, message: str, value: object, allowed: str = "") -> Problem:
    return Problem(place, message, show(value), allowed)
