"""Features of a patient: one number each, read lazily from a store, whose mean may be a target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import dask.array as da
import numpy as np
import xarray as xr

from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.dataset.schema import OK

Measure = Literal["value", "change", "percent_change"]
"""What of a readout: itself; its change from time 0, of a score that from entry; that as a share
of where it began."""

SCORES = ("madrs", "madrs_rated")
"""Readouts whose change counts from ``baseline_madrs``, as in the summary."""

Statistic = Literal["mean", "sd", "share_below", "share_between", "response", "remission"]
"""What of a quantity: its mean and standard deviation; the share of patients with at most a bound,
or from one bound to below another; the shares of responders and remitters by a score."""


@dataclass(frozen=True)
class Quantity:
    """One number a patient.

    Attributes:
        variable: A readout, an outcome, a drawn parameter or a covariate of the store.
        arm: The arm, None where the variable has none.
        versus: An arm whose number is subtracted.
        region: The region, None where the variable has none.
        place: Place of the output time, None where the variable has none.
        measure: What of the readout; but for scores, a change needs time 0 as the first
            output time.
    """

    variable: str
    arm: str | None = None
    versus: str | None = None
    region: str | None = None
    place: int | None = None
    measure: Measure = "value"

    def of(self, dataset: xr.Dataset, arm: str | None) -> xr.DataArray:
        """The number in one arm [unit of the variable; 1 for a percent change]."""
        array = dataset[self.variable]
        if arm is not None:
            array = array.sel(arm=arm, drop=True)
        if self.region is not None:
            array = array.sel(region=self.region, drop=True)
        if self.place is None:
            return array.astype(np.float64)
        now = array.isel(time=self.place, drop=True).astype(np.float64)
        if self.measure == "value":
            return now
        scored = self.variable in SCORES
        start = dataset["baseline_madrs"] if scored else array.isel(time=0, drop=True)
        start = start.astype(np.float64)
        return now - start if self.measure == "change" else now / start.where(start != 0.0) - 1.0


@dataclass(frozen=True)
class Feature:
    """A number a patient whose mean over the patients is asked for.

    Attributes:
        quantity: What is looked at.
        statistic: What of it is asked for.
        low, high: Bounds of a share: at most `high`, or from `low` to below `high`.
        centre: About what a standard deviation is squared, near the mean; it is no part of what is
            asked.
    """

    quantity: Quantity
    statistic: Statistic
    low: float = -np.inf
    high: float = np.inf
    centre: float = 0.0

    def of(self, dataset: xr.Dataset) -> xr.DataArray:
        """The feature of each patient, lazily [unit of the quantity, its square, or 1]."""
        asked = self.quantity
        if self.statistic in ("response", "remission"):
            here = self._reached(dataset, asked.arm)
            return here if asked.versus is None else here - self._reached(dataset, asked.versus)
        x = asked.of(dataset, asked.arm)
        if asked.versus is not None:
            x = x - asked.of(dataset, asked.versus)
        if self.statistic == "sd":
            return (x - self.centre) ** 2
        if self.statistic == "share_below":
            return (x <= self.high).astype(np.float64).where(x.notnull())
        if self.statistic == "share_between":
            return ((x >= self.low) & (x < self.high)).astype(np.float64).where(x.notnull())
        return x

    def _reached(self, dataset: xr.Dataset, arm: str | None) -> xr.DataArray:
        """Whether a patient responds or remits in an arm."""
        score = self.quantity.of(dataset, arm)
        limit = REMISSION_SCORE
        if self.statistic == "response":
            limit = (1.0 - RESPONSE_FRACTION) * dataset["baseline_madrs"]
        return (score <= limit).astype(np.float64).where(score.notnull())


def stacked(dataset: xr.Dataset, features: Sequence[Feature]) -> da.Array:
    """Features side by side, lazily.

    Args:
        dataset: A store.
        features: What is asked for.

    Returns:
        Shape (1 + feature, patient), one chunk a shard. Row 0 is 1 for patients whose simulation
        succeeded in all arms, else 0; their features count for nothing.
    """
    eligible = (dataset["status"] == OK).all("arm").astype(np.float64)
    rows = [eligible, *(feature.of(dataset) for feature in features)]
    whole = xr.concat(rows, "feature", coords="minimal", compat="override").chunk(feature=-1)
    return whole.transpose("feature", "patient").data
