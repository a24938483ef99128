"""What treatment does to each patient: differences between arms that hold the same patients."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.dataset.schema import OK, WEIGHT
from ketjax.errors import StoreError

NORMAL_95 = 1.959963984540054
SHARES = ("response", "remission")


def compare(dataset: xr.Dataset, hours: Sequence[float], *, weighted: bool = False) -> xr.Dataset:
    """First arm less each other arm, patient by patient, of the rated score at some hours.

    Intervals are those of paired differences, far narrower than the distance of two intervals that
    each speak of one arm. With b patients reaching an outcome in the first arm alone, c in the
    other alone and n in all, the interval of the difference of shares is Wald's after half a
    patient is added to each cell (Agresti and Min 2005, doi:10.1002/sim.1781).

    Equation:
        d = (b - c)/n, interval (b - c)/(n + 2) -+ z sqrt(b + c + 1 - (b - c)^2/(n + 2))/(n + 2)

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs``, ``status`` and two arms or more.
        hours: Times [h] from the start; each must be an output time of the store.
        weighted: Use the weights of the store; counts are then scaled to the effective sample size.

    Returns:
        Dataset with dims ``arm`` (all but the first) and ``hour``: ``madrs_change`` [points],
        ``response`` and ``remission`` [percentage points], each with ``NAME_low`` and ``NAME_high``
        (95 %), and ``pairs``, the patients that succeeded in both arms.

    Raises:
        StoreError: A variable, an hour or a second arm is missing.
    """
    needed = ("madrs_rated", "baseline_madrs", "status", *([WEIGHT.name] if weighted else []))
    if missing := [name for name in needed if name not in dataset]:
        raise StoreError(f"the store has no variable {', '.join(missing)}")
    if dataset.sizes["arm"] < 2:
        raise StoreError("the store has one arm: there is nothing to compare it with")
    times = dataset["time"].to_numpy()
    places = [int(np.abs(times - hour).argmin()) for hour in hours]
    if absent := [h for h, k in zip(hours, places, strict=True) if abs(times[k] - h) > 1e-6]:
        raise StoreError(f"the store has no output at {', '.join(f'{h:g}' for h in absent)} h")
    rated = dataset["madrs_rated"].isel(time=places).astype(np.float64)
    rated = rated.drop_vars("time").rename(time="hour").assign_coords(hour=list(hours))
    entry, fine = dataset["baseline_madrs"], (dataset["status"] == OK) & rated.notnull()
    reached = {
        "response": rated <= (1.0 - RESPONSE_FRACTION) * entry,
        "remission": rated <= REMISSION_SCORE,
    }
    others = slice(1, None)
    pairs = fine.isel(arm=0, drop=True) & fine.isel(arm=others)
    gap = (rated.isel(arm=0, drop=True) - rated.isel(arm=others)).where(pairs, 0.0)
    weight = dataset[WEIGHT.name] if weighted else xr.DataArray(1.0)
    sums = {
        "pairs": pairs.sum("patient"),
        "total": (weight * pairs).sum("patient"),
        "squares": (weight**2 * pairs).sum("patient"),
        "gap": (weight * gap).sum("patient"),
        "gap_square": (weight * gap**2).sum("patient"),
    }
    for name, marks in reached.items():
        here, there = marks.isel(arm=0, drop=True) & pairs, marks.isel(arm=others) & pairs
        sums[f"{name}_gained"] = (weight * (here & ~there)).sum("patient")
        sums[f"{name}_lost"] = (weight * (there & ~here)).sum("patient")
    return _differences(xr.Dataset(sums).compute())  # one pass: every chunk is read once


def _differences(sums: xr.Dataset) -> xr.Dataset:
    """Differences with intervals from sums over pairs; weights stand for the effective number."""
    scale = sums["total"] / sums["squares"].where(sums["squares"] > 0)
    n = scale * sums["total"]
    mean = scale * sums["gap"] / n
    variance = (scale * sums["gap_square"] - n * mean**2) / (n - 1.0).where(n > 1)
    reach = NORMAL_95 * np.sqrt(np.maximum(variance, 0.0) / n)
    found = {"madrs_change": mean, "madrs_change_low": mean - reach}
    found["madrs_change_high"] = mean + reach
    for name in SHARES:
        gained, lost = scale * sums[f"{name}_gained"], scale * sums[f"{name}_lost"]
        net, more = gained - lost, n + 2.0
        reach = NORMAL_95 * np.sqrt(gained + lost + 1.0 - net**2 / more) / more
        found[name] = 100.0 * net / n
        found[f"{name}_low"] = 100.0 * (net / more - reach).clip(-1.0, 1.0)
        found[f"{name}_high"] = 100.0 * (net / more + reach).clip(-1.0, 1.0)
    described = xr.Dataset(found)
    for name, array in described.items():
        what = "mean difference of the change" if "madrs" in str(name) else "difference of shares"
        unit = "points" if "madrs" in str(name) else "%"
        array.attrs = {
            "units": unit,
            "long_name": f"{what}, first arm less this one, same patients",
        }
    described["pairs"] = sums["pairs"].assign_attrs(
        units="1", long_name="patients that succeeded in both arms"
    )
    return described.transpose("arm", "hour")
