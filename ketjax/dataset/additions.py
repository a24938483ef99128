"""What is added to a finished store: weights of its patients, groups, and scratch beside it."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr

from ketjax.dataset import headers, journal
from ketjax.dataset.reading import read_attributes, shards
from ketjax.dataset.schema import COMPRESSORS, WEIGHT
from ketjax.errors import StoreError

GROUPS = "groups"
"""Attribute of a store: names of the groups without which it is not whole."""


def write_weight(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    attributes: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write the weights of the patients of a complete store.

    The journal speaks of what was simulated and is left alone; the digests of the weights stand in
    their own attributes. They are written beside their place and renamed.

    Args:
        path: The store.
        blocks: Weights [1], in the order of the patients, one array a shard.
        attributes: What they mean: targets, digest.
        overwrite: Replace weights that are there.

    Raises:
        StoreError: The store is not complete, has weights, is held by a run, or the weights do not
            fit it.
    """
    path = Path(path)
    check_weight(path, overwrite=overwrite)
    held = read_attributes(path)
    patients, shard = int(held["patients"]), int(held["shard"])
    target, building, old = (path / name for name in (WEIGHT.name, "weight.partial", "old.partial"))
    with journal.lock(path):  # clears away what a killed writer left
        array = zarr.create_array(
            building,
            shape=(patients,),
            dtype=WEIGHT.dtype,
            chunks=(shard,),
            compressors=list(COMPRESSORS),
            fill_value=WEIGHT.fill,
            dimension_names=WEIGHT.dims,
            zarr_format=3,
        )
        digests, start = [], 0
        for block in blocks:
            values = np.ascontiguousarray(block, np.float64)
            if values.ndim != 1 or values.size != min(shard, patients - start):
                raise StoreError(
                    f"{path}: weights of shard {len(digests)} have shape {block.shape}"
                )
            array[start : start + values.size] = values
            digests.append(hashlib.sha256(values.data).hexdigest())
            start += values.size
        if start != patients:
            raise StoreError(f"{path}: {start} weights for {patients} patients")
        meaning = {"units": WEIGHT.unit, "long_name": WEIGHT.long_name}
        array.attrs.update({**meaning, **attributes, "sha256": digests})
        text = (building / headers.HEADER).read_text("utf-8")
        headers.keep(path, {f"{WEIGHT.name}/{headers.HEADER}": text})
        if target.exists():
            target.rename(old)
        building.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def check_weight(path: str | Path, *, overwrite: bool = False) -> None:
    """Check that weights can be written, before they are computed.

    Args:
        path: The store.
        overwrite: Whether weights that are there may be replaced.

    Raises:
        StoreError: They cannot.
    """
    held = read_attributes(path)
    if not held["complete"]:
        raise StoreError(
            f"{path}: the run that writes this store has not finished; resume it first"
        )
    if WEIGHT.name in held["variables"]:
        raise StoreError(f"{path}: holds a simulated variable called {WEIGHT.name}")
    if os.path.lexists(Path(path) / WEIGHT.name) and not overwrite:
        raise StoreError(
            f"{path}: has weights already. Replace them (--overwrite), or compute without writing "
            "(--no-write)."
        )


def weight_faults(path: Path) -> list[str]:
    """Read the weights of a store, if it has any, and compare them with their digests.

    Args:
        path: The store.

    Returns:
        One line a fault.
    """
    if not (path / WEIGHT.name).exists():
        return []
    shard = int(read_attributes(path)["shard"])
    try:
        array = zarr.open_array(path / WEIGHT.name, mode="r", zarr_format=3)
        digests: Any = array.attrs["sha256"]
    except Exception as error:  # damaged metadata may raise anything
        return [f"{WEIGHT.name}: cannot be read ({error})"]
    faults = []
    if len(digests) != shards(path) or array.shape != (int(read_attributes(path)["patients"]),):
        faults.append(f"{WEIGHT.name}: is not of this store's length")
    for index, digest in enumerate(digests):
        try:
            values = np.asarray(array[index * shard : (index + 1) * shard])
        except Exception as error:  # a codec may raise anything on damaged bytes
            faults.append(f"shard {index}, {WEIGHT.name}: cannot be read ({error})")
            continue
        if hashlib.sha256(values.data).hexdigest() != digest:
            faults.append(f"shard {index}, {WEIGHT.name}: differs from what was written")
    return faults


@contextmanager
def scratch(array: da.Array) -> Iterator[da.Array]:
    """A copy on disk of what is read many times but is slow to make; it is gone after the block.

    Args:
        array: Chunks of one size, the last may be smaller.

    Yields:
        The copy, in the same chunks; it lies in the folder for temporary files (``TMPDIR``).
    """
    whole: Any = array
    with tempfile.TemporaryDirectory(prefix="ketjax-") as folder:
        kept = zarr.create_array(
            Path(folder) / "scratch.zarr",
            shape=whole.shape,
            dtype=array.dtype,
            chunks=whole.chunksize,
            compressors=None,
            zarr_format=3,
        )
        da.store(array, kept, lock=False)  # type: ignore[arg-type]
        yield da.from_zarr(kept)


@contextmanager
def sealed(path: str | Path, group: str) -> Iterator[Path]:
    """Write a group of arrays beside those of a store; what is there is replaced.

    It counts as data once it is whole: the journal then has the digest of its files.

    Args:
        path: The store.
        group: Name of the group.

    Yields:
        Its folder, which is not there.
    """
    folder, seal = Path(path) / group, _seal(Path(path), group)
    seal.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    journal.put(seal, json.dumps({"group": group, "sha256": _digest_of(folder)}))


def is_sealed(path: str | Path, group: str) -> bool:
    """Whether a store has a group that was written to its end."""
    return _seal(Path(path), group).is_file()


def group_faults(path: str | Path) -> Iterator[tuple[str, str]]:
    """Compare the groups of a store with the journal: which, and what is wrong."""
    seals = sorted((Path(path) / journal.FOLDER).glob("group-*.json"))
    names = [seal.stem.removeprefix("group-") for seal in seals]
    for group in dict.fromkeys((*read_attributes(path).get(GROUPS, ()), *names)):
        if what := group_fault(path, group):
            yield group, what


def group_fault(path: str | Path, group: str) -> str:
    """Compare a group of a store with the journal: what is wrong, empty if nothing is."""
    seal, folder = _seal(Path(path), group), Path(path) / group
    if not seal.is_file():
        return "the group was not written to its end"
    try:
        digest = json.loads(seal.read_text("utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        return "its entry in the journal is damaged"
    if not folder.is_dir():
        return "is missing"
    return "" if _digest_of(folder) == digest else "differs from what was written"


def _seal(path: Path, group: str) -> Path:
    return path / journal.FOLDER / f"group-{group}.json"


def _digest_of(folder: Path) -> str:
    """Digest of the files of a folder, with their names."""
    together = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        with file.open("rb") as content:
            own = hashlib.file_digest(content, "sha256").hexdigest()
        together.update(f"{file.relative_to(folder).as_posix()} {own}\n".encode())
    return together.hexdigest()
