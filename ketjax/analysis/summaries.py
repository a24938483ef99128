"""What a population did: response, remission and mean change of the score.

Patients whose simulation failed are left out and counted. Everything runs over the Dask chunks of a
store, so memory is a few chunks whatever the number of patients. Sums are of whole numbers, so they
are the same to the bit whatever the chunks.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from ketjax.analysis.draws import between_draws, format_interval
from ketjax.analysis.strata import kept_divisions, kept_places, relative_weight, strata_of
from ketjax.dataset.schema import DRAW, NOT_RUN, OK
from ketjax.errors import StoreError

REMISSION_SCORE = 10.0
"""Largest MADRS [points] that counts as remission."""

RESPONSE_FRACTION = 0.5
"""Least fall of the MADRS, as a fraction of the score at entry, that counts as response."""

PART = 2.0**-26
"""What changes of the score [points] and their squares are rounded to in sums."""

GRAIN = 2.0**-28
"""What weights are rounded to in sums, as a part of their mean [1]."""

SQUARE_GRAIN = 2.0**-22
"""What squares of weights are rounded to: they add up to more [1]."""

Missing = Literal["none", "last", "entry"]
"""What stands for the score of a patient who has left: the patient's own, as if nobody left; the
last rated one; the score at entry, so that who left did not respond."""

WAYS: tuple[Missing, ...] = ("none", "last", "entry")
"""The same in the order in which a store without trajectories holds sums."""


TALLY = ("change", "square", "responders", "remitters", "n_ok", "n_not_run", "n_left", "patients")
"""What is added up over patients, in whole numbers; changes in units of `PART`."""


def summarise(
    dataset: xr.Dataset,
    hours: Sequence[float] = (2.0, 24.0, 72.0, 168.0, 336.0),
    *,
    missing: Missing = "none",
    weighted: bool = False,
    by: str | None = None,
) -> xr.Dataset:
    """Summarise the rated score of each arm at some hours.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``, or one that keeps
            summaries of them.
        hours: Times [h] from the start; each must be an output time of the store.
        missing: What stands for scores of patients who have left (`Missing`); but for "none" the
            store needs ``dropout_time``, and ``n_left`` counts them.
        weighted: Use the weights of the store. Standard deviations and intervals then rest on the
            effective sample size (sum w)^2 / sum w^2 of the patients in the summary,
            ``n_effective``; for intervals of proportions that is an approximation.
        by: A trait that divides the patients, as in `strata_of`: the result has the dimension
            ``stratum`` then.

    Returns:
        Dataset with dims ``arm`` and ``hour``: mean and standard deviation of the change of the
        score from entry [points]; response and remission [%] with 95 % Wilson intervals; numbers of
        patients in the summary, failed and not run. If patients belong to posterior draws, also
        what `between_draws` says of change, response and remission of all of them.

    Raises:
        StoreError: A variable or an hour is not in the store, or it keeps summaries and strata or
            weights are asked.
    """
    hours = [float(hour) for hour in hours]
    if "tally" in dataset:
        kept = _finished(_kept_tally(dataset, hours, missing, weighted, by))
        return _describe(kept).transpose("arm", ..., "hour")
    patients = _patients(dataset, hours, missing)
    weight = None
    if weighted:
        weight = xr.DataArray(relative_weight(dataset), dims="patient")
    strata = strata_of(dataset, by)
    # One pass: every chunk is read once.
    whole = _strata_sums(dataset, strata.members, patients, weight).compute()
    whole = whole.assign_coords(stratum=list(strata.labels)) if by else whole.isel(stratum=0)
    if missing == "none":
        whole = whole.drop_vars("n_left")
    described = _describe(_finished(whole))
    if DRAW.name in dataset and not by:
        responds, remits, change, _, counted = patients
        shares = {"response": 100.0 * responds, "remission": 100.0 * remits}
        quantities = {
            name: array.assign_attrs(described[name].attrs)
            for name, array in {"madrs_change": change, **shares}.items()
        }
        own_weight = weight / dataset.sizes["patient"] if weight is not None else None
        described = described.merge(between_draws(dataset, quantities, counted, own_weight))
    return described.transpose("arm", ..., "hour")


def tally(dataset: xr.Dataset, strata: npt.NDArray[np.bool_]) -> xr.DataArray:
    """What `summarise` adds up, of some patients at all times, for a store without trajectories.

    Args:
        dataset: ``madrs_rated``, ``baseline_madrs``, ``status`` and, if patients leave,
            ``dropout_time``.
        strata: Who belongs to each stratum, (stratum, patient).

    Returns:
        Whole numbers with dims ``missing`` (as in `WAYS`), ``sum`` (as in `TALLY`), ``arm``,
        ``stratum`` and ``time``.
    """
    hours, found = dataset["time"].to_numpy().tolist(), []
    for missing in WAYS if "dropout_time" in dataset else WAYS[:1]:
        parts = _strata_sums(dataset, strata, _patients(dataset, hours, missing), None)
        found.append(parts[list(TALLY)].to_dataarray("sum"))
    whole = xr.concat(found, "missing").rename(hour="time")
    return whole.transpose("missing", "sum", "arm", "stratum", "time").astype(np.int64)


def _strata_sums(
    dataset: xr.Dataset,
    strata: npt.NDArray[np.bool_],
    patients: tuple[xr.DataArray, ...],
    weight: xr.DataArray | None,
) -> xr.Dataset:
    """What is added up of each stratum, `strata` and `patients` as in `tally` and `_patients`."""
    responds, remits, change, left, counted = patients
    status, parts = dataset["status"], []
    for chosen in strata:
        own = xr.DataArray(chosen, dims="patient")
        sums = _sums(counted & own, change, responds, remits, weight)
        sums["n_left"] = (left & counted & own).sum("patient")
        sums["n_not_run"] = ((status == NOT_RUN) & own).sum("patient")
        sums["patients"] = xr.ones_like(status, int).where(own, 0).sum("patient")
        parts.append(sums)
    whole = xr.concat(parts, "stratum")
    assert isinstance(whole, xr.Dataset)
    return whole


def _patients(
    dataset: xr.Dataset, hours: list[float], missing: Missing
) -> tuple[xr.DataArray, ...]:
    """Of each patient at each hour: response, remission, change, whether left and counted."""
    _require(dataset, "madrs_rated", "baseline_madrs", "status")
    rated = dataset["madrs_rated"].isel(time=_output_times(dataset, hours))
    rated = rated.drop_vars("time").rename(time="hour").assign_coords(hour=hours)
    entry, left = dataset["baseline_madrs"], xr.DataArray(False)
    if missing != "none":
        _require(dataset, "dropout_time")
        left = rated["hour"] >= dataset["dropout_time"]
        stand_in = entry if missing == "entry" else _last_seen(dataset)
        rated = rated.where(~left, stand_in.where(rated.notnull()))
    counted = (dataset["status"] == OK) & rated.notnull()
    change = (rated.astype(np.float64) - entry).where(counted, 0.0)
    responds = (rated <= (1.0 - RESPONSE_FRACTION) * entry) & counted
    remits = (rated <= REMISSION_SCORE) & counted
    return responds, remits, change, left, counted


def _sums(
    counted: xr.DataArray,
    change: xr.DataArray,
    responds: xr.DataArray,
    remits: xr.DataArray,
    weight: xr.DataArray | None,
) -> xr.Dataset:
    """Sums of whole numbers over patients; weights, in units of their mean, in those of `GRAIN`."""

    def whole(values: xr.DataArray) -> xr.DataArray:
        return values.round().astype(np.int64).where(counted, 0).sum("patient")

    sums = {"n_ok": counted.sum("patient")}
    if weight is None:
        sums |= {"responders": (responds & counted).sum("patient")}
        sums |= {"remitters": (remits & counted).sum("patient")}
        weight = xr.DataArray(1.0)
    else:
        heavy = (weight / GRAIN).round()
        sums |= {"responders": whole(heavy * responds), "remitters": whole(heavy * remits)}
        sums |= {
            "total": whole(heavy * counted),
            "squares": whole(weight**2 / SQUARE_GRAIN * counted),
        }
    sums |= {"change": whole(weight * change / PART), "square": whole(weight * change**2 / PART)}
    return xr.Dataset(sums)


def _kept_tally(
    dataset: xr.Dataset, hours: list[float], missing: Missing, weighted: bool, by: str | None
) -> xr.Dataset:
    """Sums that a store without trajectories holds."""
    places = kept_places(dataset.attrs, by, weighted)
    way = WAYS.index(missing)
    if way >= dataset.sizes["missing"]:
        raise StoreError(
            "the store has no variable dropout_time; ask for it in the study: [output] outcomes"
        )
    kept = dataset["tally"].isel(missing=way, time=_output_times(dataset, hours), stratum=places)
    if by:
        labels = kept_divisions(dataset.attrs)[by].labels
        kept = kept.assign_coords(stratum=list(labels))
    else:
        kept = kept.isel(stratum=0)
    kept = kept.compute()
    kept = kept.drop_vars("time").rename(time="hour").assign_coords(hour=hours)
    sums = xr.Dataset({name: kept.isel(sum=place) for place, name in enumerate(TALLY)})
    sums["n_not_run"] = sums["n_not_run"].isel(hour=0, drop=True)
    sums["patients"] = sums["patients"].isel(hour=0, drop=True)
    return sums.drop_vars("n_left") if missing == "none" else sums


def _finished(sums: xr.Dataset) -> xr.Dataset:
    """Means, shares and intervals from sums."""
    count = sums["n_ok"]
    number = count.where(count > 0)
    parts = {"change": PART, "square": PART, "responders": 1.0, "remitters": 1.0}
    own = {name: part * sums[name] for name, part in parts.items()}
    summary = sums[[name for name in sums if str(name).startswith("n_")]]
    if "total" in sums:  # weights that add up to the effective sample size stand for so many
        total, squares = GRAIN * sums["total"], SQUARE_GRAIN * sums["squares"]
        scale = total / squares.where(squares > 0)
        for name in own:
            own[name] = scale * own[name] * (GRAIN if name in ("responders", "remitters") else 1.0)
        summary["n_effective"] = count = scale * total
        number = count.where(count > 0)
    mean = own["change"] / number
    several = np.where(count > 1, count, 0)  # one patient says nothing of others
    variance = (own["square"] - number * mean**2) / (number - 1.0).where(number > 1)
    summary["n_failed"] = sums["patients"] - sums["n_ok"] - sums["n_not_run"]
    summary["madrs_change"] = mean
    summary["madrs_change_sd"] = np.sqrt(np.maximum(variance, 0.0))
    for outcome, successes in (("response", "responders"), ("remission", "remitters")):
        low, high = wilson(own[successes].to_numpy(), several)
        share = 100.0 * own[successes] / number
        summary[outcome] = share
        summary[f"{outcome}_low"] = share.copy(data=100.0 * low)
        summary[f"{outcome}_high"] = share.copy(data=100.0 * high)
    return summary


def wilson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, z: float = 1.959963984540054
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        successes: Numbers of successes.
        trials: Numbers of trials.
        z: Normal quantile; the default gives 95 %.

    Returns:
        Lower and upper bound as fractions; NaN where there was no trial.
    """
    number = np.asarray(trials, dtype=np.float64)
    number = np.where(number > 0, number, np.nan)
    share = np.asarray(successes, dtype=np.float64) / number
    centre = share + z**2 / (2.0 * number)
    reach = z * np.sqrt(share * (1.0 - share) / number + z**2 / (4.0 * number**2))
    scale = 1.0 + z**2 / number
    return np.maximum((centre - reach) / scale, 0.0), np.minimum((centre + reach) / scale, 1.0)


def format_table(summary: xr.Dataset) -> str:
    """Write a summary as plain text, one line per arm and hour.

    Args:
        summary: What `summarise` returned.

    Returns:
        Columns under a heading, without a final line break.
    """
    weighted, drawn = "n_effective" in summary, "n_draws" in summary
    names = ("madrs_change", "response", "remission")
    heads = ("MADRS change (SD)", "response % (95 % CI)", "remission % (95 % CI)")
    rows: list[tuple[str, ...]] = [
        (
            "arm",
            *(["stratum"] if "stratum" in summary.dims else []),
            "time",
            "patients",
            *(["effective"] if weighted else []),
            "failed",
            *(head for own in heads for head in ((own, "between draws") if drawn else (own,))),
        )
    ]
    axes = [axis for axis in ("arm", "stratum", "hour") if axis in summary.dims]
    for place in itertools.product(*(summary[axis].values for axis in axes)):
        one = summary.sel(dict(zip(axes, place, strict=True)))
        row = {str(name): float(value) for name, value in one.data_vars.items()}
        cells = [f"{row['madrs_change']:.1f}"]
        cells += [f"{row[name]:.1f}" for name in ("response", "remission")]
        spreads = [f" ({row['madrs_change_sd']:.1f})"]
        spreads += [
            f" ({row[f'{name}_low']:.1f}-{row[f'{name}_high']:.1f})"
            for name in ("response", "remission")
        ]
        if row["n_ok"] == 1:  # such as the typical one
            spreads = [""] * len(cells)
        cells = [cell + spread for cell, spread in zip(cells, spreads, strict=True)]
        if drawn:
            apart = [format_interval(row, name) for name in names]
            cells = [cell for pair in zip(cells, apart, strict=True) for cell in pair]
        rows.append(
            (
                *map(str, place[:-1]),
                f"{place[-1]:g} h",
                f"{row['n_ok']:.0f}",
                *([f"{row['n_effective']:.0f}"] if weighted else []),
                f"{row['n_failed']:.0f}",
                *cells,
            )
        )
    texts = len(axes) - 1
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _last_seen(dataset: xr.Dataset) -> xr.DataArray:
    """Score at the last visit before the patient leaves; NaN for who stays."""
    seen = dataset["time"] < dataset["dropout_time"]
    place = xr.DataArray(np.arange(dataset.sizes["time"]), dims="time")
    # Visits before leaving come first, and one score is left: the greatest of one.
    return dataset["madrs_rated"].where(place == seen.sum("time") - 1).max("time")


def _require(dataset: xr.Dataset, *names: str) -> None:
    if missing := [name for name in names if name not in dataset]:
        raise StoreError(
            f"the store has no variable {', '.join(missing)}; it has {', '.join(map(str, dataset))}"
        )


def _output_times(dataset: xr.Dataset, hours: Sequence[float]) -> list[int]:
    times = dataset["time"].to_numpy()
    nearest = [int(np.abs(times - hour).argmin()) for hour in hours]
    absent = [h for h, index in zip(hours, nearest, strict=True) if abs(times[index] - h) > 1e-6]
    if absent:
        raise StoreError(
            f"the store has no output at {', '.join(f'{hour:g}' for hour in absent)} h; its times "
            f"are {', '.join(f'{time:g}' for time in times)} h. Ask for one of these, or add the "
            "hour to the times of the study."
        )
    return nearest


def _describe(summary: xr.Dataset) -> xr.Dataset:
    meanings = {
        "madrs_change": ("points", "mean change of the rated MADRS from entry"),
        "madrs_change_sd": ("points", "standard deviation of the change of the rated MADRS"),
        "n_ok": ("1", "patients in the summary"),
        "n_effective": ("1", "effective sample size of the weighted patients in the summary"),
        "n_failed": ("1", "patients whose simulation failed"),
        "n_not_run": ("1", "patients not simulated yet"),
        "n_left": ("1", "patients in the summary who have left the trial"),
        "response": ("%", "patients with a fall of the MADRS by at least half"),
        "remission": ("%", "patients with a MADRS of at most 10 points"),
    }
    for name, array in summary.data_vars.items():
        unit, long_name = meanings[str(name).removesuffix("_low").removesuffix("_high")]
        bound = {"_low": ", lower 95 % bound", "high": ", upper 95 % bound"}.get(str(name)[-4:], "")
        array.attrs = {"units": unit, "long_name": long_name + bound}
    summary["hour"].attrs = {"units": "h", "long_name": "time from the start"}
    return summary
