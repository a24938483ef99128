"""What a report is about: a store, opened, with what is known of the study behind it."""

import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ketjax.analysis import bands, courses_of, summarise
from ketjax.dataset import WEIGHT, open_store
from ketjax.errors import Problem, StoreError, StudyError
from ketjax.figures.courses import CASCADE
from ketjax.figures.ribbons import QUANTILES

USUAL_HOURS = (2.0, 24.0, 72.0, 168.0, 336.0)
MOST_HOURS = 6
LEAST_PANELS, MOST_PANELS = 3, 6
"""Readouts of the cascade that make one, and readouts that are shown where there is none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A store that is reported.

    Attributes:
        path: Where it is.
        dataset: It, opened.
        provenance: What it says of its making.
        study: Tables of its study; empty if it does not say.
        hours: When outcomes are read [h]; empty where the store has no rated score.
        weighted: Whether patients count by their weights.
        responses: What `summarise` says of the rated score at all times, None where there is none.
        no_summary: Why there is none.
    """

    path: Path
    dataset: xr.Dataset
    provenance: dict[str, Any]
    study: dict[str, Any]
    hours: tuple[float, ...]
    weighted: bool
    responses: xr.Dataset | None
    no_summary: str

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in the order of the study."""
        return [str(arm) for arm in self.dataset["arm"].values]

    @property
    def patients(self) -> int:
        """Patients in each arm."""
        return self.dataset.sizes["patient"]

    @property
    def people(self) -> str:
        """What the patients are, in the plural."""
        return "patients" if self.dataset.attrs.get("species", "human") == "human" else "rats"

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.dataset.attrs.get("study", self.path.stem))

    @property
    def question(self) -> str:
        """What the study asks."""
        return str(self.study.get("question") or self.dataset.attrs.get("title", ""))

    @property
    def times(self) -> np.ndarray:
        """Output times [h]; none if the store keeps no courses."""
        return self.dataset["time"].to_numpy() if "time" in self.dataset.coords else np.zeros(0)

    @cached_property
    def summary(self) -> xr.Dataset | None:
        """What `summarise` says of the rated score at the hours of the report."""
        if self.responses is None:
            return None
        return self.responses.sel(hour=list(self.hours), method="nearest").assign_coords(
            hour=list(self.hours)
        )

    @property
    def score(self) -> str:
        """The course of the score: as it is, or as it was rated if only that is kept."""
        return "madrs_rated" if self.readouts and "madrs" not in self.readouts else "madrs"

    @property
    def shown(self) -> list[str]:
        """Readouts whose courses stand in the report beside the score: the cascade, if it is."""
        known = courses_of(self.dataset)
        cascade = [panel.variable for panel in CASCADE if panel.variable in known]
        others = [name for name in self.readouts if name != "madrs_rated"]
        return cascade if len(cascade) >= LEAST_PANELS else others[:MOST_PANELS]

    @cached_property
    def courses(self) -> xr.Dataset:
        """Quantiles of all courses that are drawn: each is read once, for figures of any width."""
        score = [self.score] if self.score in courses_of(self.dataset) else []
        names = dict.fromkeys((*self.shown, *score))
        return bands(self.dataset, *names, quantiles=QUANTILES, weighted=self.weighted)

    @property
    def main_hour(self) -> float:
        """The hour at which patients are looked at one by one: arms lie furthest apart [h]."""
        assert self.summary is not None
        change = self.summary["madrs_change"]
        apart = -change.min("arm") if len(self.arms) == 1 else change.max("arm") - change.min("arm")
        return float(self.hours[int(apart.fillna(0.0).argmax("hour"))])

    @property
    def sham_first(self) -> bool:
        """Whether the first arm is the one without a drug, against which others are held."""
        doses = self.study.get("arms", {}).get(self.arms[0], {}).get("doses", ())
        return len(self.arms) > 1 and bool(doses) and not any(map(_acts, doses))

    @property
    def lead(self) -> str:
        """The arm that is spoken of first: the first, or the strongest one after a sham."""
        if not self.sham_first or self.summary is None:
            return self.arms[0]
        change = self.summary["madrs_change"].sel(hour=self.main_hour)
        return self.arms[int(change.fillna(0.0).argmin("arm"))]

    @property
    def readouts(self) -> list[str]:
        """Readouts whose courses the store keeps."""
        return [
            str(name)
            for name, array in self.dataset.data_vars.items()
            if "time" in array.dims and "patient" in array.dims
        ]


def read_subject(
    path: str | Path, *, hours: Sequence[float] | None = None, weighted: bool = False
) -> Subject:
    """Open a store for a report.

    Args:
        path: The store.
        hours: When outcomes are read [h]; usual hours that the store has if None.
        weighted: Whether patients count by their weights.

    Returns:
        The subject.

    Raises:
        StoreError: There is no complete store, or it has no weights that were asked for.
        StudyError: The store has no output at an hour that was asked for.
    """
    dataset = open_store(path)
    if weighted and WEIGHT.name not in dataset:
        raise StoreError(
            f"{path}: the store has no weights of its patients; write them with "
            "ketjax weights TARGETS.toml, or leave --weighted out"
        )
    provenance = _tables(dataset.attrs.get("ketjax_provenance", "{}"))
    times = dataset["time"].to_numpy() if "time" in dataset.coords else np.zeros(1)
    chosen = choose_hours(times, hours)
    responses, reason = None, ""
    if dataset.attrs.get("species", "human") != "human":
        reason = "A depression score means nothing in a rat: mechanisms only are reported."
    else:
        try:
            responses = summarise(dataset, times.tolist(), weighted=weighted)
        except StoreError as error:
            why = str(error).partition(";")[0]  # what follows lists all that the store has
            reason = f"Response, remission and change cannot be given: {why}."
    if hours and responses is None:
        raise StudyError(
            Problem("--hours", "there is no rated score to be read", hint=f"leave it out. {reason}")
        )
    study = provenance.get("study")
    return Subject(
        path=Path(path),
        dataset=dataset,
        provenance=provenance,
        # What says of no set has none.
        study={"set": "table", **study} if isinstance(study, dict) and study else {},
        hours=chosen if responses is not None else (),
        weighted=weighted,
        responses=responses,
        no_summary=reason,
    )


def _acts(dose: dict[str, Any]) -> bool:
    """Whether a dose holds a drug."""
    none = str(dose.get("amount", "")).partition(" ")[0] in ("0", "0.0")
    return not none and dose.get("drug") != "saline"


def _tables(text: object) -> dict[str, Any]:
    """A record of a store; empty if it cannot be read."""
    try:
        record = json.loads(str(text))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def choose_hours(times: np.ndarray, asked: Sequence[float] | None) -> tuple[float, ...]:
    """When outcomes are read: as asked, else usual hours and the end.

    Args:
        times: Output times [h].
        asked: Hours that were asked for [h].

    Returns:
        Hours [h], increasing.

    Raises:
        StudyError: The store has no output at some of them.
    """
    if asked:
        absent = [h for h in asked if not np.abs(times - h).min() <= 1e-6]
        if absent or len(asked) > MOST_HOURS:
            shown = ", ".join(f"{time:g}" for time in times[:60])
            more = f", and {times.size - 60} more" if times.size > 60 else ""
            message = "the store has no output at these hours" if absent else "too many hours"
            raise StudyError(
                Problem(
                    "--hours",
                    message,
                    ", ".join(f"{h:g}" for h in absent or asked),
                    f"at most {MOST_HOURS} of {shown}{more}",
                    "choose output times of the study, or add the hour to them and run again",
                    "unknown_hour",
                )
            )
        return tuple(sorted({float(h) for h in asked}))
    found = [h for h in USUAL_HOURS if np.abs(times - h).min() <= 1e-6]
    later = times[times > 0]
    if later.size and (not found or float(later[-1]) > found[-1]):
        found.append(float(later[-1]))
    return tuple(found or times[-1:].tolist())
