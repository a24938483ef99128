"""Exact statistics of outcomes and traits: one number a patient, which is small enough to sort."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ketjax.analysis.strata import Strata
from ketjax.dataset.schema import OK

STATISTICS: dict[str, str] = {
    "mean": "mean",
    "sd": "standard deviation",
    "error": "Monte-Carlo error of the mean",
    "least": "least value",
    "greatest": "greatest value",
}
"""Beside the quantiles of a readout: suffix of the name, and what it is."""


def is_scalar(dataset: xr.Dataset, name: object) -> bool:
    """Whether a variable is one number of each patient, in each arm or in all."""
    return (
        name in dataset
        and set(dataset[name].dims) in ({"patient"}, {"arm", "patient"})
        and "flag_values" not in dataset[name].attrs
    )


def scalar_table(
    dataset: xr.Dataset,
    name: str,
    quantiles: Sequence[float],
    strata: Strata,
    weight: NDArray[np.float64] | None,
) -> dict[str, NDArray]:
    """Exact numbers of an outcome or a trait; patients without one are left out."""
    arms = []
    for arm in range(dataset.sizes["arm"]):
        array = dataset[name]
        values = (array.isel(arm=arm) if "arm" in array.dims else array).to_numpy()
        held = np.isfinite(values) & (dataset["status"].isel(arm=arm).to_numpy() == OK)
        chosen = (held & (strata.code == stratum) for stratum in range(len(strata.labels)))
        arms.append(
            [
                _exact(
                    values[own].astype(np.float64),
                    quantiles,
                    None if weight is None else weight[own],
                )
                for own in chosen
            ]
        )
    return stacked_tables(arms)


def _exact(
    values: NDArray[np.float64], quantiles: Sequence[float], weight: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Numbers of some patients; NaN without any."""
    unknown = np.full(len(quantiles), np.nan)
    number = float(values.size)
    if weight is not None and number:
        number = weight.sum() ** 2 / (weight**2).sum() if weight.any() else 0.0
    if not number:
        table = dict.fromkeys(STATISTICS, np.float64(np.nan))
        return table | {"n": np.int64(values.size), "quantiles": unknown}
    share = {} if weight is None else {"weights": weight, "method": "inverted_cdf"}
    mean = np.average(values, weights=weight)
    variance = np.average((values - mean) ** 2, weights=weight)
    deviation = np.sqrt(variance * number / (number - 1)) if number > 1 else np.float64(np.nan)
    numbers = (mean, deviation, deviation / np.sqrt(number), values.min(), values.max())
    found = np.quantile(values, quantiles, **share)
    return dict(zip(STATISTICS, numbers, strict=True)) | {
        "n": np.int64(values.size),
        "quantiles": found,
    }


def stacked_tables(arms: list[list[dict[str, Any]]]) -> dict[str, NDArray]:
    """Tables of arms and strata as arrays, by name."""
    return {
        name: np.array([[table[name] for table in strata] for strata in arms])
        for name in arms[0][0]
    }
