"""Targets of a population as they are written: what its weights shall meet, each checked.

A target is checked against the store where it stands, so that arms, times and units are wrong or
right before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import xarray as xr
from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from ketjax import manifest
from ketjax.analysis.features import SCORES, Feature, Measure, Quantity, Statistic
from ketjax.arms import Section
from ketjax.dataset import WEIGHT
from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fields import Name, refuse
from ketjax.units import parse

STATISTICS: dict[str, Statistic] = {
    "mean": "mean",
    "sd": "sd",
    "quantile": "share_below",
    "bin": "share_between",
    "response": "response",
    "remission": "remission",
}
ROUNDING = 1e-6  # [h]


@dataclass(frozen=True)
class Holdings:
    """What a store offers to targets.

    Attributes:
        arms, regions: Names.
        times: Output times [h].
        variables: Dimensions and unit of each variable.
    """

    arms: tuple[str, ...]
    regions: tuple[str, ...]
    times: tuple[float, ...]
    variables: dict[str, tuple[tuple[str, ...], str]]

    @staticmethod
    def of(dataset: xr.Dataset) -> Holdings:
        """What this store offers."""
        regions = dataset["region"].values if "region" in dataset.coords else ()
        return Holdings(
            tuple(map(str, dataset["arm"].values)),
            tuple(map(str, regions)),
            tuple(map(float, dataset["time"].values)),
            {
                str(name): (tuple(map(str, array.dims)), str(array.attrs.get("units", "1")))
                for name, array in dataset.data_vars.items()
                if name != WEIGHT.name
            },
        )

    def names(self, timed: bool) -> list[str]:
        """Readouts, or parameters and covariates."""
        return [
            name
            for name, (dims, _) in self.variables.items()
            if ("time" in dims if timed else dims == ("patient",))
        ]


class Target(Section):
    """One `[[targets]]`.

    Attributes:
        name: what it is called.
        statistic: what of the quantity is asked for.
        value: what it shall be; of a quantile, the number that `level` of the patients do not
            exceed.
        error: standard error of the target, in the unit of its statistic (of a quantile, of
            `level`); none, or 0, asks for the exact value.
        arm, readout, region, time: the readout of an arm at a time; of response and remission the
            rated score if no other is named.
        trait: a drawn parameter or a covariate, in place of a readout.
        versus: an arm that is subtracted, patient by patient; of response and remission, share
            from share.
        measure: the readout itself; its change from time 0, of a score from entry; that as a share
            of where it began.
        level: share of the patients below a quantile.
        low, high: bounds of a bin: from `low` to below `high`.
        held_out: whether the weights do not see it.
    """

    name: Name
    statistic: Literal["mean", "sd", "quantile", "bin", "response", "remission"]
    value: Any
    error: Any = None
    arm: str | None = None
    readout: str | None = None
    trait: str | None = None
    region: str | None = None
    time: Any = None
    versus: str | None = None
    measure: Measure = "value"
    level: Any = None
    low: Any = None
    high: Any = None
    held_out: bool = False
    _feature: Feature = PrivateAttr()
    _target: float = PrivateAttr()
    _error: float = PrivateAttr()
    _unit: str = PrivateAttr()

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        held = info.context
        if not isinstance(held, Holdings):
            raise TypeError("a target is checked against a store: give its holdings as the context")
        problems: list[Problem] = []
        quantity = self._quantity(held, problems)
        if quantity is None:
            raise StudyError(problems)
        percent = self.measure == "percent_change"
        unit = "1" if percent else held.variables[quantity.variable][1]
        shared = self.statistic in ("bin", "response", "remission")
        self._unit = "1" if shared or self.statistic == "quantile" else unit
        value = _number(problems, "value", self.value, "1" if shared else unit)
        bounds = {
            key: _number(problems, key, given, "1" if key == "level" else unit)
            for key, given in (("level", self.level), ("low", self.low), ("high", self.high))
            if self._belongs(key, given, problems)
        }
        given = self.error is not None
        self._error = _number(problems, "error", self.error, self._unit) if given else 0.0
        if self._error < 0:
            problems.append(_wrong("error", "an error is negative", self.error, "0 or more"))
        low, high = bounds.get("low", -math.inf), bounds.get("high", math.inf)
        if low >= high:
            problems.append(_wrong("high", "the bin is empty", self.high, "above low"))
        if self.statistic == "quantile":
            high, value = value, bounds.get("level", math.nan)
        if self.statistic == "sd" and value <= 0:
            problems.append(_wrong("value", "a standard deviation is positive", self.value))
        least = -1.0 if self.versus and self.statistic in ("response", "remission") else 0.0
        if (
            self._unit == "1"
            and self.statistic not in ("mean", "sd")
            and not (math.isnan(value) or least <= value <= 1.0)
        ):
            place = "level" if self.statistic == "quantile" else "value"
            allowed = f'a share from {least:g} to 1, such as 0.5 or "50 %"'
            problems.append(_wrong(place, "this is no share", getattr(self, place), allowed))
        refuse(problems)
        self._target = value
        self._feature = Feature(quantity, STATISTICS[self.statistic], low, high)
        return self

    @property
    def asked(self) -> Feature:
        """What is asked for."""
        return self._feature

    @property
    def amount(self) -> float:
        """What it shall be [`unit`]."""
        return self._target

    @property
    def tolerance(self) -> float:
        """Standard error [`unit`]."""
        return self._error

    @property
    def unit(self) -> str:
        """Unit of the statistic."""
        return self._unit

    @property
    def share(self) -> bool:
        """Whether it is written in percent: a share of patients, or a percent change."""
        counted = self.statistic in ("quantile", "bin", "response", "remission")
        return counted or self.measure == "percent_change"

    def _quantity(self, held: Holdings, problems: list[Problem]) -> Quantity | None:
        """What is looked at; None if it is not in the store."""
        scored = self.statistic in ("response", "remission")
        name = self.readout or self.trait or ("madrs_rated" if scored else None)
        place = "trait" if self.trait and not self.readout else "readout"
        if name is None or (self.readout and self.trait):
            hint = "name either a readout, with arm and time, or a trait"
            problems.append(Problem("readout", "what is looked at?", hint=hint, code="incomplete"))
            return None
        known = check_name(place, name, held.names(place == "readout"), f"{place} of the store")
        dims, _ = held.variables.get(name, ((), ""))
        problems += known
        if scored and (name not in SCORES or place != "readout" or self.measure != "value"):
            message = f"{self.statistic} is read from a score"
            problems.append(_wrong(place, message, name, " or ".join(SCORES)))
        since_entry = self.measure != "value" and name in SCORES
        if (scored or since_entry) and "baseline_madrs" not in held.variables:
            key = "measure" if since_entry else "statistic"
            problems.append(_wrong(key, "the store has no baseline_madrs", getattr(self, key)))
        for key, names in (("arm", held.arms), ("versus", held.arms), ("region", held.regions)):
            given = getattr(self, key)
            axis = "region" if key == "region" else "arm"
            if given is None:
                if axis in dims and key != "versus":
                    allowed = ", ".join(names)
                    problems.append(Problem(key, "this is missing", "", allowed, code="missing"))
            elif not known and axis not in dims:
                problems.append(_wrong(key, f"{name} has no {axis}", given, "nothing"))
            else:
                problems += check_name(key, given, names, f"{axis} of the store")
        if self.versus is not None and self.versus == self.arm:
            problems.append(_wrong("versus", "an arm is compared with itself", self.versus))
        at = None if place == "trait" else self._place(held, problems)
        if self.measure != "value":
            if place == "trait":
                problems.append(_wrong("measure", "a trait does not change", self.measure, "value"))
            elif held.times[0] != 0.0 and not since_entry:
                allowed = "a store with an output at 0 h"
                problems.append(_wrong("measure", "no output at time 0", self.measure, allowed))
        if place == "trait" and self.time is not None:
            problems.append(_wrong("time", "a trait has no time", self.time, "nothing"))
        if problems:
            return None
        return Quantity(name, self.arm, self.versus, self.region, at, self.measure)

    def _place(self, held: Holdings, problems: list[Problem]) -> int | None:
        """Place of the output time."""
        if self.time is None:
            problems.append(Problem("time", "this is missing", hint="add it", code="missing"))
            return None
        hours = _number(problems, "time", self.time, "h")
        if math.isnan(hours):
            return None
        near = min(range(len(held.times)), key=lambda index: abs(held.times[index] - hours))
        if abs(held.times[near] - hours) > ROUNDING:
            allowed = ", ".join(f"{time:g}" for time in held.times) + " h"
            message = "the store has no output at this time"
            problems.append(Problem("time", message, show(self.time), allowed, "", "unknown_time"))
        return near

    def _belongs(self, key: str, given: object, problems: list[Problem]) -> bool:
        """Whether a bound is given; a problem if it is missing or without meaning."""
        needed = {"quantile": ("level",), "bin": ("low", "high")}.get(self.statistic, ())
        if given is None and key in needed:
            hint = f"a {self.statistic} needs it"
            problems.append(Problem(key, "this is missing", hint=hint, code="missing"))
        if given is not None and key not in needed:
            problems.append(_wrong(key, f"{self.statistic} has no {key}", given, "nothing"))
        return given is not None


class Targets(Section):
    """A manifest of targets.

    Attributes:
        study: file of the study whose store is weighted, `out/NAME.zarr`.
        store: the store, in place of the study.
        targets: what the weights shall meet, and what is held out.
    """

    study: str | None = None
    store: str | None = None
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems: list[Problem] = []
        names: dict[str, int] = {}
        asked: dict[Feature, int] = {}
        for index, target in enumerate(self.targets):
            place = f"targets[{index}]"
            if target.name in names:
                problems.append(_wrong(f"{place}.name", "given twice", target.name))
            names.setdefault(target.name, index)
            first = self.targets[asked.setdefault(target.asked, index)]
            if first is not target and first.amount != target.amount:
                message = f"contradicts target {first.name}, which asks the same to be otherwise"
                problems.append(_wrong(f"{place}.value", message, target.value, show(first.value)))
            elif first is not target:
                problems.append(_wrong(place, "asks the same again", target.name, first.name))
            if target.statistic == "sd":
                mean = self.mean_of(target)
                if mean is None or (mean.held_out and not target.held_out):
                    hint = "add a target with statistic mean of the same quantity"
                    message = "a standard deviation needs the mean as a target"
                    problems.append(Problem(place, message, hint=hint, code="incomplete"))
        if all(target.held_out for target in self.targets):
            problems.append(Problem("targets", "all are held out", hint="fit at least one"))
        refuse(problems)
        return self

    @classmethod
    def read(cls, path: str | Path, dataset: xr.Dataset) -> Targets:
        """Read a manifest and check it against a store.

        Args:
            path: The file.
            dataset: The store.

        Returns:
            The targets.

        Raises:
            StudyError: With every problem.
        """
        text = manifest.read_text(Path(path))
        try:
            return cls.model_validate(manifest.parse_toml(text), context=Holdings.of(dataset))
        except ValidationError as error:
            raise StudyError(manifest.explain(error, cls, text), source=str(path)) from None
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    def mean_of(self, target: Target) -> Target | None:
        """The target for the mean of the same quantity."""
        wanted = replace(target.asked, statistic="mean")
        return next((other for other in self.targets if other.asked == wanted), None)

    def features(self) -> list[Feature]:
        """What is asked for, standard deviations about the mean that is asked for."""
        found = []
        for target in self.targets:
            mean = self.mean_of(target) if target.statistic == "sd" else None
            centre = mean.amount if mean else 0.0
            found.append(replace(target.asked, centre=centre))
        return found


def store_of(path: str | Path) -> Path:
    """The store that a manifest of targets names.

    Args:
        path: The manifest; paths in it are relative to its folder.

    Returns:
        The store, or `out/NAME.zarr` of the study that it names.

    Raises:
        StudyError: It names neither or both, or the study cannot be read.
    """
    path = Path(path)
    try:
        tables = manifest.parse_toml(manifest.read_text(path))
    except StudyError as error:
        raise StudyError(error.problems, source=str(path)) from None
    store, study = tables.get("store"), tables.get("study")
    if isinstance(store, str) and study is None:
        return path.parent / store
    if isinstance(study, str) and store is None:
        file = path.parent / study
        try:
            name = manifest.parse_toml(manifest.read_text(file)).get("name")
        except StudyError as error:
            raise StudyError(error.problems, source=str(file)) from None
        return Path("out") / f"{name}.zarr"
    message = "which store is to be weighted?"
    hint = 'write store = "PATH" or study = "PATH" at the top, or use --store'
    raise StudyError(Problem("store", message, hint=hint, code="incomplete"), source=str(path))


def refused(path: str | Path, problems: Iterable[Problem]) -> StudyError:
    """Problems of a manifest that were found later, each with its line."""
    found = manifest.located(problems, manifest.read_text(Path(path)))
    return StudyError(found, source=str(path))


def _number(problems: list[Problem], place: str, value: Any, unit: str) -> float:
    """The value in [unit]; NaN, and one more problem, if it cannot be read."""
    try:
        return parse(value, unit)
    except StudyError as error:
        problems += [problem.under(place) for problem in error.problems]
        return math.nan


def _wrong(place: str, message: str, value: object, allowed: str = "") -> Problem:
    return Problem(place, message, show(value), allowed)
