"""What a population did: response, remission, mean change of the score, and bands for figures.

Patients whose simulation failed are left out and counted. Everything runs over the Dask chunks of a
store, so memory is a few chunks whatever the number of patients.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from ketjax.analysis.draws import between_draws, format_interval
from ketjax.dataset.schema import DRAW, NOT_RUN, OK, WEIGHT
from ketjax.errors import StoreError

REMISSION_SCORE = 10.0
"""Largest MADRS [points] that counts as remission."""

RESPONSE_FRACTION = 0.5
"""Least fall of the MADRS, as a fraction of the score at entry, that counts as response."""

BAND_PATIENTS = 65_536
"""Most patients from which bands are computed: they are exchangeable, so the first ones will do."""


Missing = Literal["none", "last", "entry"]
"""What stands for the score of a patient who has left: the patient's own, as if nobody left; the
last rated one; the score at entry, so that who left did not respond."""


def summarise(
    dataset: xr.Dataset,
    hours: Sequence[float] = (2.0, 24.0, 72.0, 168.0, 336.0),
    *,
    missing: Missing = "none",
    weighted: bool = False,
) -> xr.Dataset:
    """Summarise the rated score of each arm at some hours.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        hours: Times [h] from the start; each must be an output time of the store.
        missing: What stands for scores of patients who have left (`Missing`); but for "none" the
            store needs ``dropout_time``, and ``n_left`` counts them.
        weighted: Use the weights of the store. Standard deviations and intervals then rest on the
            effective sample size (sum w)^2 / sum w^2 of the patients in the summary,
            ``n_effective``; for intervals of proportions that is an approximation.

    Returns:
        Dataset with dims ``arm`` and ``hour``: mean and standard deviation of the change of the
        score from entry [points]; response and remission [%] with 95 % Wilson intervals; numbers of
        patients in the summary, failed and not run. If patients belong to posterior draws, also
        what `between_draws` says of change, response and remission.

    Raises:
        StoreError: A variable or an hour is not in the store.
    """
    _require(dataset, "madrs_rated", "baseline_madrs", "status")
    hours = [float(hour) for hour in hours]
    places = _output_times(dataset, hours)
    rated = dataset["madrs_rated"].isel(time=places)
    rated = rated.drop_vars("time").rename(time="hour").assign_coords(hour=hours)
    entry = dataset["baseline_madrs"]
    status = dataset["status"]
    left = None
    if missing != "none":
        _require(dataset, "dropout_time")
        left = rated["hour"] >= dataset["dropout_time"]
        stand_in = entry if missing == "entry" else _last_seen(dataset)
        rated = rated.where(~left, stand_in.where(rated.notnull()))

    counted = (status == OK) & rated.notnull()
    change = (rated.astype(np.float64) - entry).where(counted, 0.0)
    responds = (rated <= (1.0 - RESPONSE_FRACTION) * entry) & counted
    remits = (rated <= REMISSION_SCORE) & counted
    weight = _weight(dataset) if weighted else xr.DataArray(1)
    sums = xr.Dataset(
        {
            "change": (weight * change).sum("patient"),
            "square": (weight * change**2).sum("patient"),
            "responders": (weight * responds).sum("patient"),
            "remitters": (weight * remits).sum("patient"),
            "n_ok": counted.sum("patient"),
            **(_totals(weight, counted) if weighted else {}),
            "n_not_run": (status == NOT_RUN).sum("patient"),
            **({} if left is None else {"n_left": (left & counted).sum("patient")}),
        }
    ).compute()  # one pass: every chunk is read once

    count = sums["n_ok"]
    if weighted:  # weights that add up to the effective sample size stand for so many patients
        scale = sums["total"] / sums["squares"].where(sums["squares"] > 0)
        for name in ("change", "square", "responders", "remitters"):
            sums[name] = scale * sums[name]
        sums["n_effective"] = count = scale * sums["total"]
    number = count.where(count > 0)
    mean = sums["change"] / number
    several = np.where(count > 1, count, 0)  # one patient says nothing of others
    variance = (sums["square"] - number * mean**2) / (number - 1.0).where(number > 1)
    summary = sums[[name for name in sums if str(name).startswith("n_")]]
    summary["n_failed"] = dataset.sizes["patient"] - sums["n_ok"] - sums["n_not_run"]
    summary["madrs_change"] = mean
    summary["madrs_change_sd"] = np.sqrt(np.maximum(variance, 0.0))
    for outcome, successes in (("response", "responders"), ("remission", "remitters")):
        low, high = wilson(sums[successes].to_numpy(), several)
        share = 100.0 * sums[successes] / number
        summary[outcome] = share
        summary[f"{outcome}_low"] = share.copy(data=100.0 * low)
        summary[f"{outcome}_high"] = share.copy(data=100.0 * high)
    described = _describe(summary)
    if DRAW.name in dataset:
        shares = {"response": 100.0 * responds, "remission": 100.0 * remits}
        own = {
            name: array.assign_attrs(described[name].attrs)
            for name, array in {"madrs_change": change, **shares}.items()
        }
        described = described.merge(
            between_draws(dataset, own, counted, weight if weighted else None)
        )
    return described.transpose("arm", "hour")


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


def bands(
    dataset: xr.Dataset,
    *variables: str,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    weighted: bool = False,
) -> xr.Dataset:
    """Exact quantiles over the patients whose simulation succeeded.

    Args:
        dataset: A store.
        variables: Names of variables with an arm and a patient axis.
        quantiles: Fractions between 0 and 1.
        weighted: Use the weights of the store: a quantile is then the least number that patients
            with at least that share of the weight do not exceed.

    Returns:
        Dataset of these variables, ``quantile`` in place of ``patient``. The attribute
        ``patients_used`` of a variable says how many patients went in; from more than
        `BAND_PATIENTS` patients the first ones stand for all.

    Raises:
        StoreError: A variable is not in the store.
    """
    _require(dataset, *variables, "status")
    first = dataset[[*variables, "status"]].isel(patient=slice(BAND_PATIENTS))
    first = first.chunk(dict.fromkeys(first.dims, -1) | {"arm": 1})
    weight = _weight(dataset).isel(patient=slice(BAND_PATIENTS)).to_numpy() if weighted else None

    def of_arm(values: np.ndarray) -> np.ndarray:
        """Quantiles of one arm over its last axis; a patient with a gap anywhere is left out."""
        gaps = np.isnan(values).reshape(-1, values.shape[-1]).any(axis=0)
        used = values[..., ~gaps] if gaps.any() else values
        if not used.shape[-1]:
            used = np.full((*values.shape[:-1], 1), np.nan)
        if weight is None:
            found = np.quantile(used, quantiles, axis=-1)
        elif gaps.all() or not weight[~gaps].any():
            found = np.full((len(quantiles), *values.shape[:-1]), np.nan)
        else:
            share = {"weights": weight[~gaps], "method": "inverted_cdf"}
            found = np.quantile(used, quantiles, axis=-1, **share)
        return np.moveaxis(found, 0, -1).astype(np.float64)

    def of_variable(name: str) -> xr.DataArray:
        values = first[name]
        found = xr.apply_ufunc(
            of_arm,
            values.where((first["status"] == OK) & np.isfinite(values)),
            input_core_dims=[["patient"]],
            output_core_dims=[["quantile"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"quantile": len(quantiles)}},
        )
        count = first.sizes["patient"]
        found.attrs = {
            **dataset[name].attrs,
            "patients_used": count,
            "cell_methods": f"patient: quantile (first {count} patients)",
        }
        return found

    found = xr.Dataset({name: of_variable(name) for name in variables})
    return found.assign_coords(quantile=list(quantiles)).compute()  # all chunks side by side


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
            "time",
            "patients",
            *(["effective"] if weighted else []),
            "failed",
            *(head for own in heads for head in ((own, "between draws") if drawn else (own,))),
        )
    ]
    for arm in summary["arm"].values:
        for hour in summary["hour"].values:
            row = {
                str(name): float(value)
                for name, value in summary.sel(arm=arm, hour=hour).data_vars.items()
            }
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
                    str(arm),
                    f"{hour:g} h",
                    f"{row['n_ok']:.0f}",
                    *([f"{row['n_effective']:.0f}"] if weighted else []),
                    f"{row['n_failed']:.0f}",
                    *cells,
                )
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _weight(dataset: xr.Dataset) -> xr.DataArray:
    if WEIGHT.name not in dataset:
        raise StoreError(
            "the store has no weights of its patients; write them with ketjax weights TARGETS.toml"
        )
    return dataset[WEIGHT.name]


def _totals(weight: xr.DataArray, counted: xr.DataArray) -> dict[str, xr.DataArray]:
    """Sums of the weights and of their squares over the patients that count."""
    return {
        "total": (weight * counted).sum("patient"),
        "squares": (weight**2 * counted).sum("patient"),
    }


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
