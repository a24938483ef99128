"""The history of a fit as a dataset, with every meaning it needs to be read alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from ketjax.fit.free import Free
from ketjax.fit.optimise import Result

NO_METHOD = -1


def history_of(
    result: Result, free: Sequence[Free] = (), attributes: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """The courses of all searches.

    Args:
        result: What a fit found.
        free: What may move, if the numbers are wanted in their units.
        attributes: Global ones: digest, versions.

    Returns:
        Dimensions start, iteration and parameter. Iterations are counted through all stages of a
        search, the beginning of each stage among them; what a search did not use is NaN. The
        objective is that at `width`: compare it where the width is the same.
    """
    counts = [sum(r.start == k for r in result.records) for k in range(len(result.searches))]
    shape = (len(counts), max(counts, default=0))
    parameters = len(result.names)
    scalars = {
        name: np.full(shape, np.nan) for name in ("objective", "gradient_norm", "width", "seconds")
    }
    theta = np.full((*shape, parameters), np.nan)
    method = np.full(shape, NO_METHOD, np.int8)
    methods = sorted({stage.method for stage in result.stages})
    place = dict.fromkeys(range(shape[0]), 0)
    for record in result.records:
        at = (record.start, place[record.start])
        place[record.start] += 1
        stage = result.stages[record.stage]
        scalars["objective"][at] = record.value
        scalars["gradient_norm"][at] = record.gradient_norm
        scalars["width"][at] = stage.width
        scalars["seconds"][at] = record.seconds
        theta[at] = record.theta
        method[at] = methods.index(stage.method)
    meaning = {
        "objective": ("1", "half the sum of squared residuals at the width"),
        "gradient_norm": ("1", "length of the gradient in numbers without bounds"),
        "width": ("points", "extra smoothing of yes-or-no outcomes"),
        "seconds": ("s", "time that the iteration took"),
    }
    along = ("start", "iteration")
    variables: dict[str, Any] = {
        name: (along, values, {"units": meaning[name][0], "long_name": meaning[name][1]})
        for name, values in scalars.items()
    }
    variables["method"] = (
        along,
        method,
        {
            "units": "1",
            "long_name": "method of the iteration",
            "flag_values": list(range(NO_METHOD, len(methods))),
            "flag_meanings": " ".join(("none", *methods)),
        },
    )
    whole = (*along, "parameter")
    variables["theta"] = (whole, theta, {"units": "1", "long_name": "number without bounds"})
    coordinates: dict[str, Any] = {
        "start": np.arange(shape[0]),
        "iteration": np.arange(shape[1]),
        "parameter": np.array(result.names, dtype=object),
    }
    if free:
        numbers, about = numbers_of(free, theta), "number in the unit of its parameter"
        variables["number"] = (whole, numbers, {"units": "of `unit`", "long_name": about})
        coordinates["unit"] = ("parameter", np.array([one.unit for one in free], dtype=object))
    return xr.Dataset(variables, coordinates, {"Conventions": "CF-1.11", **(attributes or {})})


def numbers_of(free: Sequence[Free], theta: np.ndarray) -> np.ndarray:
    """Free numbers in their own units.

    Args:
        free: What may move.
        theta: Numbers without bounds, shape (..., free).

    Returns:
        Numbers, shape (..., free), float64.
    """
    with jax.enable_x64(True):
        columns = [one.transform.forward(theta[..., k]) for k, one in enumerate(free)]
        return np.stack([np.asarray(column, np.float64) for column in columns], axis=-1)


def save_history(history: xr.Dataset, path: Path) -> None:
    """Write a history as a Zarr store, built beside its place and renamed.

    Args:
        history: Of `history_of`.
        path: Of the store; one that is there is replaced.
    """
    building = path.with_name(f"{path.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    # Consolidated metadata are no part of Zarr 3.
    history.to_zarr(building, mode="w", zarr_format=3, consolidated=False)
    shutil.rmtree(path, ignore_errors=True)
    building.rename(path)


def attributes_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a fit is, as attributes of a dataset."""
    return {
        name: value if isinstance(value, (str, int, float)) else json.dumps(value)
        for name, value in identity.items()
    }
