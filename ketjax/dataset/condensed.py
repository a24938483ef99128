"""What a store holds instead of trajectories: sketches, of each shard and of all of them.

A store of which the study keeps summaries has a folder ``sketches`` with small arrays of each
shard, under the same journal as the arrays of the store, and their sum in the folder ``whole``.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from ketjax.errors import StoreError

FOLDER = "sketches"
TYPES = ("uint8", "uint16", "uint32", "int16", "int32", "int64")
WHOLE = "whole"
HEADER = f"{FOLDER}/zarr.json"

AXES: dict[str, tuple[str, ...]] = {
    "patients": ("sketch_row",),
    "total": ("sketch_row", "limb"),
    "squares": ("sketch_row", "limb"),
    "least": ("sketch_row",),
    "greatest": ("sketch_row",),
    "first": ("sketch_row",),
    "width": ("sketch_row",),
    "counts": ("sketch_bin",),
    "tally": ("missing", "sum", "arm", "stratum", "time"),
}
"""Arrays of the sketches of all courses, arms, regions and times, in this order; dimensions."""


# Counts are small numbers, mostly alike: zstd makes them several times smaller than lz4 does.
_COMPRESSORS = (BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec())


def write_condensed(path: Path, name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Write arrays of a shard, or of the whole, beside their place and rename them.

    Args:
        path: The store.
        name: Of the part: `part_of` a shard, or `WHOLE`.
        arrays: Those of `AXES`; whole numbers are stored in the smallest type that holds them.

    Returns:
        For the journal: ``sha256`` of the numbers and ``bytes`` of the files.
    """
    target = path / FOLDER / name
    building = target.with_name(f"{name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    group = zarr.create_group(building, zarr_format=3)
    for key, values in arrays.items():
        array = _small(values)
        group.create_array(
            key,
            data=array,
            chunks=tuple(max(1, length) for length in array.shape),
            compressors=list(_COMPRESSORS),
            dimension_names=AXES[key],
        )
    digest = _digest(arrays)
    group.attrs["sha256"] = digest
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    return {"sha256": digest, "bytes": condensed_bytes(path, name)}


def read_condensed(path: Path, name: str) -> dict[str, np.ndarray]:
    """Arrays of a shard, or of the whole, by name.

    Raises:
        StoreError: They are damaged or not there.
    """
    target = path / FOLDER / name
    try:
        group = zarr.open_group(target, mode="r", zarr_format=3)
        arrays = {key: np.asarray(array[...]) for key, array in group.arrays()}
        digest = group.attrs["sha256"]
    except Exception as error:  # a codec may raise anything on damaged bytes
        raise StoreError(f"{path}: {FOLDER}/{name} cannot be read ({error})") from None
    if _digest(arrays) != digest:
        raise StoreError(f"{path}: {FOLDER}/{name} differs from what was written")
    return arrays


def delete(path: Path, name: str) -> None:
    """Delete a part, if it is there."""
    shutil.rmtree(path / FOLDER / name, ignore_errors=True)


def part_of(shard: int) -> str:
    """Name of the sketches of a shard."""
    return f"shard-{shard:06d}"


def open_condensed(path: Path) -> xr.Dataset:
    """The sketches of all shards as variables ``sketch.NAME``, and ``tally`` where there is one."""
    whole = xr.open_zarr(path / FOLDER / WHOLE, consolidated=False, chunks=None).drop_attrs()
    return whole.rename({name: f"sketch.{name}" for name in whole if name != "tally"})


def notes(path: Path) -> dict[str, Any]:
    """What is known of courses of which there are sketches only, by name."""
    return dict(zarr.open_group(path / FOLDER, mode="r", zarr_format=3).attrs)


def condensed_bytes(path: Path, name: str) -> int:
    """Size of the files of a part, 0 if there are none."""
    files = (path / FOLDER / name).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def unchanged(path: Path, shard: int, entry: Mapping[str, Any]) -> bool:
    """Whether the sketches of a shard have the size that stands in its entry of the journal."""
    return condensed_bytes(path, part_of(shard)) == entry.get("sketches", {}).get("bytes", 0)


def condensed_faults(
    path: Path, entries: Mapping[int, Mapping[str, Any]], complete: bool
) -> Iterator[tuple[str, str, int | None]]:
    """Read all sketches and compare them with the journal.

    Args:
        path: The store.
        entries: The journal.
        complete: Whether those of all shards have been added up.

    Yields:
        What is wrong: where, what, and the number of the shard, None for their sum.
    """
    parts: list[tuple[str, str | None, int | None]] = [
        (part_of(k), entry["sketches"]["sha256"], k) for k, entry in sorted(entries.items())
    ]
    for name, digest, shard in parts + ([(WHOLE, None, None)] if complete else []):
        place = f"{FOLDER}/{WHOLE}" if shard is None else f"shard {shard}, {FOLDER}"
        try:
            found = _digest(read_condensed(path, name))
        except StoreError as error:
            yield place, str(error).removeprefix(f"{path}: "), shard
            continue
        if digest and found != digest:
            yield place, "differs from what was written", shard


def _small(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest type that holds them; other numbers as they are."""
    if values.dtype.kind not in "iu" or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    fits = (kind for kind in TYPES if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return values.astype(next(fits))


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(_small(arrays[name]))
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()
