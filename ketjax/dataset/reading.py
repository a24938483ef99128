"""Opening a store as an `xarray.Dataset`, on any machine that has xarray, dask and zarr."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from ketjax.dataset import journal
from ketjax.dataset.condensed import notes, open_condensed
from ketjax.dataset.schema import NOT_RUN, SCHEMA_VERSION, WEIGHT
from ketjax.errors import StoreError

REQUIRED_ATTRIBUTES = ("complete", "configuration_sha256", "patients", "shard", "variables")


def open_store(path: str | Path, *, allow_incomplete: bool = False) -> xr.Dataset:
    """Open a store lazily, one Dask chunk a shard.

    Args:
        path: The store.
        allow_incomplete: Open a store of a run that has not ended. Patients of shards that are not
            in the journal have status ``not_run`` and NaN (-1 for integers) everywhere, and so have
            those of shards that were given up.

    Returns:
        Dataset with dims ``arm``, ``region``, ``time`` [h] and ``patient``; every variable carries
        ``units`` and ``long_name``. Weights of the patients are there if they have been written. Of
        a study that keeps summaries there are sketches in place of readouts, which
        `ketjax.analysis` reads.

    Raises:
        StoreError: There is no store, it is incomplete, or it was written in another schema.
    """
    attributes = read_attributes(path)
    path = Path(path)
    finished = sorted(journal.entries(path))
    given_up = journal.failures(path).keys() - {*finished}
    complete = attributes["complete"] and len(finished) + len(given_up) == shards(path)
    if not complete and not allow_incomplete:
        raise StoreError(
            f"{path}: the run that writes this store has not finished ({len(finished)} of "
            f"{shards(path)} shards). Resume it, or open it with allow_incomplete=True."
        )
    shard = int(attributes["shard"])
    names = list(attributes["variables"])
    if (path / WEIGHT.name).is_dir() and WEIGHT.name not in names:
        names.append(WEIGHT.name)
    whole = xr.open_zarr(
        path,
        consolidated=False,
        chunks={"patient": shard},
        decode_times=False,
        decode_timedelta=False,
    )
    dataset = whole[names]
    if "sketched" in attributes:
        regional = any(row["regional"] for row in json.loads(attributes["sketched"]))
        axes = ("arm", "region", "time") if regional else ("arm", "time")
        dataset = dataset.assign_coords({axis: whole[axis] for axis in axes})
    for axis in ("arm", "region"):
        if axis in dataset.coords:
            names = str(dataset[axis].attrs["flag_meanings"]).split()
            dataset = dataset.assign_coords({axis: names})
    if "sketched" in attributes and complete:
        dataset = dataset.assign(open_condensed(path).data_vars)
        dataset.attrs["sketched_notes"] = json.dumps(notes(path))
    if len(finished) < shards(path):
        dataset = _hide_unwritten(dataset, shard, finished)
    dataset.attrs["complete"] = int(complete)  # netCDF has no booleans
    return dataset


def read_shards(path: str | Path, name: str) -> Iterator[np.ndarray]:
    """Read one variable of a complete store, shard by shard, without opening the others.

    Args:
        path: The store.
        name: The variable.

    Yields:
        Numbers of one shard, the patients last.

    Raises:
        StoreError: There is no such store.
    """
    shard = int(read_attributes(path)["shard"])
    array = zarr.open_array(Path(path) / name, mode="r", zarr_format=3)
    for start in range(0, array.shape[-1], shard):
        yield np.asarray(array[..., start : start + shard])


def read_attributes(path: str | Path, *, any_version: bool = False) -> dict[str, Any]:
    """Read the global attributes, and nothing else, of a store.

    Args:
        path: The store.
        any_version: Accept a store of another schema version.

    Returns:
        Name to value, as in the file.

    Raises:
        StoreError: The path does not exist, is no ketjax store or has another schema version.
    """
    if "://" in str(path):
        raise StoreError(f"{path}: stores are read from local paths only; copy it first")
    path = Path(path)
    if not path.exists():
        raise StoreError(f"{path}: no such store")
    try:
        attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
        version = attributes["ketjax_schema_version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{path}: is not a ketjax store") from None
    if version != SCHEMA_VERSION and not any_version:
        raise StoreError(
            f"{path}: written in schema version {version}, this ketjax reads version "
            f"{SCHEMA_VERSION}. Open it with the ketjax that wrote it "
            f"({attributes.get('ketjax_version', 'version unknown')})."
        )
    if absent := [name for name in REQUIRED_ATTRIBUTES if name not in attributes]:
        raise StoreError(f"{path}: damaged ketjax store, zarr.json lacks {', '.join(absent)}")
    return attributes


def check_place(target: Path, *, overwrite: bool = False) -> None:
    """Check that a store can be created.

    Args:
        target: Where it will be.
        overwrite: Whether a ketjax store that is there may be replaced.

    Raises:
        StoreError: The path is taken, or is not a ketjax store that could be overwritten.
    """
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise StoreError(
            f"{target}: exists already. Choose another output (--out), go on with it (--resume) "
            "or replace it (--overwrite)."
        )
    if target.is_symlink():
        raise StoreError(f"{target}: is a symbolic link; name the store itself to overwrite it")
    read_attributes(target, any_version=True)


def disagreement(dataset: xr.Dataset) -> tuple[str, float] | None:
    """The readout whose float32 course lies furthest from the same patients' in float64.

    Args:
        dataset: An opened store.

    Returns:
        Name of the readout and the distance in units of its scale [1]; None without an audit.
    """
    sizes = {
        str(name): float(array.attrs["float64_disagreement"])
        for name, array in dataset.data_vars.items()
        if "float64_disagreement" in array.attrs
    }
    for name, found in json.loads(dataset.attrs.get("sketched_notes", "{}")).items():
        sizes[name] = float(found["float64_disagreement"])
    return max(sizes.items(), key=lambda item: item[1], default=None)


def shards(path: str | Path) -> int:
    """Number of shards of a store, finished or not."""
    attributes = read_attributes(path)
    return -(-int(attributes["patients"]) // int(attributes["shard"]))


def shard_files(template: zarr.Array, shard: int) -> list[str]:
    """Files of one shard of one variable: one an arm.

    Args:
        template: The array, opened as a part of its store.
        shard: Number of the shard.

    Returns:
        Their places in the store.
    """
    folder = f"{template.path}/c"
    if template.ndim == 1:
        return [f"{folder}/{shard}"]
    between = "0/" * (template.ndim - 2)
    return [f"{folder}/{arm}/{between}{shard}" for arm in range(template.shape[0])]


def _hide_unwritten(dataset: xr.Dataset, shard: int, finished: list[int]) -> xr.Dataset:
    """Replace what no journal entry vouches for by the fill value."""
    written = np.isin(dataset["patient"].to_numpy() // shard, finished)
    mask = xr.DataArray(written, dims="patient").chunk({"patient": shard})
    return dataset.map(
        lambda array: array.where(mask, NOT_RUN if array.dtype.kind == "i" else np.nan),
        keep_attrs=True,
    )
