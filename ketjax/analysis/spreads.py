"""Bands for figures: quantiles of all patients over time."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ketjax.analysis.aggregation import aggregate, courses_of, describe_error
from ketjax.analysis.strata import relative_weight
from ketjax.dataset.schema import OK
from ketjax.errors import StoreError

EXACT_PATIENTS = 65_536
"""Most patients whose quantiles are exact: sorting them fits the memory. Of more, and of stores
that keep summaries, they come from sketches of all of them."""


def bands(
    dataset: xr.Dataset,
    *variables: str,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    weighted: bool = False,
) -> xr.Dataset:
    """Quantiles over the patients whose simulation succeeded.

    Args:
        dataset: A store.
        variables: Names of variables with an arm and a patient axis.
        quantiles: Fractions between 0 and 1.
        weighted: Use the weights of the store: a quantile is then the least number that patients
            with at least that share of the weight do not exceed.

    Returns:
        Dataset of these variables, ``quantile`` in place of ``patient``. They are exact up to
        `EXACT_PATIENTS` patients, else within a stated error: ``cell_methods`` says which.
        ``patients_used`` is the number of patients of the store; those who failed are left out.

    Raises:
        StoreError: A variable is not in the store.
    """
    held = {**courses_of(dataset), **{str(name): None for name in dataset}}
    if missing := [name for name in (*variables, "status") if name not in held]:
        raise StoreError(
            f"the store has no variable {', '.join(missing)}; it has {', '.join(held)}"
        )
    count = dataset.sizes["patient"]
    if "sketched" not in dataset.attrs and count <= EXACT_PATIENTS:
        return _exact_bands(dataset, variables, quantiles, weighted)
    found = aggregate(dataset, variables, quantiles=quantiles, weighted=weighted)
    found = found[list(variables)].isel(stratum=0, drop=True)
    for name in variables:
        how = f"patient: quantile (all {count} patients, {describe_error(found[name])})"
        found[name].attrs |= {"patients_used": count, "cell_methods": how}
    return found


def _exact_bands(
    dataset: xr.Dataset, variables: Sequence[str], quantiles: Sequence[float], weighted: bool
) -> xr.Dataset:
    """Quantiles of numbers that are sorted in memory, arm by arm."""
    whole = dataset[[*variables, "status"]]
    whole = whole.chunk(dict.fromkeys(whole.dims, -1) | {"arm": 1})
    weight = relative_weight(dataset) if weighted else None

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
        values = whole[name]
        found = xr.apply_ufunc(
            of_arm,
            values.where((whole["status"] == OK) & np.isfinite(values)),
            input_core_dims=[["patient"]],
            output_core_dims=[["quantile"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"quantile": len(quantiles)}},
        )
        count = whole.sizes["patient"]
        found.attrs = {
            **dataset[name].attrs,
            "patients_used": count,
            "cell_methods": f"patient: quantile (all {count} patients, exact)",
        }
        return found

    found = xr.Dataset({name: of_variable(name) for name in variables})
    return found.assign_coords(quantile=list(quantiles)).compute()  # all chunks side by side
