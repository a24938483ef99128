"""Exposure and what follows from it: patients in groups of equal size by how much drug they saw."""

import dataclasses

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ketjax.analysis.summaries import RESPONSE_FRACTION, wilson
from ketjax.dataset.schema import OK
from ketjax.errors import StoreError

GROUPS = 5
FEWEST = 10
"""Least patients in a group whose mean is shown."""

DENSE = 8
"""Least output times after time 0 and within a day, for which an area is worth its name."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExposureGroups:
    """Groups of patients by exposure, over all arms that have any.

    Attributes:
        measure: What exposure means here, in words.
        unit: Its unit.
        groups: Dims ``arm`` and ``group``: ``exposure`` (median, ``_low``, ``_high``: range of
            the group), ``change`` (mean change of the rated score from entry [points], with 95 %
            ``_low``, ``_high``), ``response`` [%] with Wilson intervals, ``patients``.
    """

    measure: str
    unit: str
    groups: xr.Dataset


def by_exposure(
    dataset: xr.Dataset, hour: float, variable: str = "plasma_ketamine"
) -> ExposureGroups:
    """Change and response of the rated score, by fifths of the exposure within each arm.

    Exposure is the area under the course up to `hour` by the trapezoidal rule where output times
    are dense, else the highest stored concentration. Its readout is read arm by arm, in chunks; two
    numbers a patient are held at once.

    Args:
        dataset: A store with the course of `variable`, ``madrs_rated``, ``baseline_madrs``,
            ``status``.
        hour: When the score is read [h]; an output time of the store.
        variable: Readout of the exposure.

    Returns:
        The groups; arms without exposure are left out.

    Raises:
        StoreError: A course is missing, no arm is exposed, or groups would be too small.
    """
    needed = (variable, "madrs_rated", "baseline_madrs", "status")
    if missing := [name for name in needed if name not in dataset]:
        raise StoreError(f"the store keeps no course of {', '.join(missing)}")
    times = dataset["time"].to_numpy()
    place = int(np.abs(times - hour).argmin())
    area = int(((times > 0) & (times <= 24.0)).sum()) >= DENSE
    seen = dataset[variable].isel(time=slice(place + 1)).astype(np.float64)
    entry = dataset["baseline_madrs"].to_numpy()
    found, names = [], []
    for arm in dataset["arm"].values:
        course = seen.sel(arm=arm)
        exposure = (course.integrate("time") if area else course.max("time")).to_numpy()
        score = dataset["madrs_rated"].sel(arm=arm).isel(time=place).to_numpy().astype(np.float64)
        fine = (dataset["status"].sel(arm=arm).to_numpy() == OK) & np.isfinite(exposure + score)
        if not (exposure[fine] > 0).any():
            continue
        if fine.sum() < GROUPS * FEWEST:
            raise StoreError(f"groups of fewer than {FEWEST} patients would say nothing")
        found.append(_groups(exposure[fine], score[fine], entry[fine]))
        names.append(str(arm))
    if not found:
        raise StoreError(f"no arm has any {variable}")
    measure = f"area under the curve to {hour:g} h" if area else "highest concentration stored"
    unit = str(dataset[variable].attrs.get("units", ""))
    stacked = xr.concat(found, "arm").assign_coords(arm=names)
    return ExposureGroups(measure, f"{unit} h" if area else unit, stacked)


def _groups(exposure: NDArray, score: NDArray, entry: NDArray) -> xr.Dataset:
    """Numbers of each group, from the least exposed to the most."""
    columns = []
    for part in np.array_split(np.argsort(exposure, kind="stable"), GROUPS):
        seen, change = exposure[part], score[part] - entry[part]
        reach = 1.959963984540054 * change.std(ddof=1) / np.sqrt(part.size)
        responders = int((score[part] <= (1.0 - RESPONSE_FRACTION) * entry[part]).sum())
        low, high = wilson(responders, part.size)
        columns.append(
            {
                "patients": part.size,
                "exposure": np.median(seen),
                "exposure_low": seen.min(),
                "exposure_high": seen.max(),
                "change": change.mean(),
                "change_low": change.mean() - reach,
                "change_high": change.mean() + reach,
                "response": 100.0 * responders / part.size,
                "response_low": 100.0 * float(low),
                "response_high": 100.0 * float(high),
            }
        )
    return xr.Dataset({name: ("group", [c[name] for c in columns]) for name in columns[0]})
