"""What an analysis adds to the store of its rows: groups of arrays with named axes.

Names of parameters, arms and indices stand in attributes and the axes hold their numbers: Zarr has
no specified type of text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from ketjax.dataset import is_sealed, sealed
from ketjax.dataset.schema import COMPRESSORS
from ketjax.errors import StoreError
from ketjax.sensitivity.sobol import REASONS

DESIGN = "design"


REASON = {"flag_values": list(REASONS), "flag_meanings": " ".join(REASONS.values())}
"""Attributes of a variable that says why indices are there, or are not."""


def write_group(path: Path, group: str, found: xr.Dataset) -> None:
    """Write a dataset beside the rows of a store; what is there is replaced.

    Args:
        path: The store.
        group: Name of the group.
        found: Arrays; axes may be named by text.
    """
    coded = found
    for name, axis in found.coords.items():
        if axis.dtype.kind in "UOT":
            values = (str(name), np.arange(axis.size, dtype=np.int32))
            coded = coded.assign_coords({name: values})
            coded[name].attrs = {**axis.attrs, "names": json.dumps([str(v) for v in axis.values])}
    encoding = {name: {"compressors": COMPRESSORS} for name in coded.data_vars}
    options: Any = {"mode": "a", "zarr_format": 3, "consolidated": False, "encoding": encoding}
    with sealed(path, group):
        coded.to_zarr(path, group=group, **options)


def open_group(path: str | Path, group: str) -> xr.Dataset:
    """Open a group of a store of rows: `design`, `tornado`, `sobol`, `morris`, `prcc` or `dgsm`.

    Args:
        path: The store.
        group: Name of the group.

    Raises:
        StoreError: The store has no such group, or none that was written to its end.
    """
    if not has_group(path, group):
        raise StoreError(
            f"{path}: holds no {group} of a sensitivity analysis. If it was interrupted, go on "
            "with ketjax sensitivity STUDY.toml --resume"
        )
    found = xr.open_zarr(
        path, group=group, consolidated=False, decode_times=False, decode_timedelta=False
    )
    for name, axis in found.coords.items():
        if "names" in axis.attrs:
            found = found.assign_coords({name: json.loads(axis.attrs["names"])})
    return found


def has_group(path: str | Path, group: str) -> bool:
    """Whether a store has a group that was written to its end."""
    return is_sealed(path, group)


def write_design(
    path: Path,
    parameters: Sequence[Mapping[str, Any]],
    methods: Mapping[str, tuple[int, int]],
    rows: int,
    blocks: Any,
) -> None:
    """Write the design: numbers of every row, block by block, so that it never lies in memory.

    Args:
        path: The store.
        parameters: Name, unit, value, law and origin of each factor.
        methods: First and last row, the latter excluded, by method.
        rows: Rows in all.
        blocks: Yields (first row, cube, values), each (row, factor).
    """
    with sealed(path, DESIGN) as folder:
        group = zarr.create_group(
            folder,
            zarr_format=3,
            attributes={"methods": json.dumps(methods), "parameters": json.dumps(list(parameters))},
        )
        names = json.dumps([one["name"] for one in parameters])
        group.create_array(
            "parameter",
            data=np.arange(len(parameters), dtype=np.int32),
            dimension_names=("parameter",),
            attributes={"names": names, "long_name": "what is varied"},
        )
        arrays = {}
        for name, meaning in (
            ("unit_cube", "place in the law of the parameter, between 0 and 1"),
            ("value", "number in the unit of the parameter"),
        ):
            arrays[name] = group.create_array(
                name,
                shape=(len(parameters), rows),
                dtype="float64",
                chunks=(len(parameters), min(rows, 4096)),
                compressors=list(COMPRESSORS),
                fill_value=np.nan,
                dimension_names=("parameter", "row"),
                attributes={"long_name": meaning, "units": "1" if name == "unit_cube" else ""},
            )
        for first, cube, values in blocks:
            where = slice(first, first + len(cube))
            arrays["unit_cube"][:, where] = np.ascontiguousarray(cube.T)
            arrays["value"][:, where] = np.ascontiguousarray(values.T)


def rows_of(path: Path, name: str, first: int, last: int) -> NDArray:
    """One variable of some rows of a store, (..., row), NaN where the row failed in that arm."""
    status = np.asarray(zarr.open_array(path / "status", mode="r")[:, first:last])
    found = np.asarray(zarr.open_array(path / name, mode="r")[..., first:last])
    failed = status != 0
    if failed.any():
        wide = failed.reshape(len(failed), *([1] * (found.ndim - 2)), failed.shape[-1])
        found = np.where(wide, np.asarray(np.nan, found.dtype), found)
    return found
