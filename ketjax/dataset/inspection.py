"""Inspection of a store: every number against the journal, every header against its copy."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ketjax.dataset import condensed, headers, journal
from ketjax.dataset.additions import group_faults, weight_faults
from ketjax.dataset.reading import read_attributes, shard_files, shards
from ketjax.dataset.schema import WEIGHT
from ketjax.errors import StoreError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a store.

    Attributes:
        where: Shard and variable, or a file of the store.
        what: What is wrong.
        shard: Number of the shard that has to be computed again; None if that would not help.
        group: Group of arrays that has to be written again; empty if it is in none.
    """

    where: str
    what: str
    shard: int | None = None
    group: str = ""

    def __str__(self) -> str:
        """On one line."""
        return f"{self.where}: {self.what}"


def verify(path: str | Path) -> list[Fault]:
    """Read every number of a store and compare it with the journal.

    Numbers of an array whose header is damaged cannot be read: they are left out until the header
    is whole again.

    Args:
        path: The store.

    Returns:
        One fault for each thing that is wrong; none when the store is whole.

    Raises:
        StoreError: The path is not a ketjax store.
    """
    path = Path(path)
    wrong = headers.damaged(path) if (path / journal.FOLDER).is_dir() else {}
    faults = [Fault(place, what) for place, what in wrong.items()]
    if headers.HEADER in wrong:
        return faults
    try:
        attributes = read_attributes(path)
    except StoreError:
        if faults:  # neither the header nor its copy is whole
            return [*faults, Fault(headers.HEADER, "cannot be read")]
        raise
    entries, failed = journal.entries(path), journal.failures(path)
    arrays: dict[str, zarr.Array] = {}
    for name in attributes["variables"]:
        if f"{name}/{headers.HEADER}" in wrong:
            continue
        try:
            arrays[name] = zarr.open_array(path, path=name, mode="r", zarr_format=3)
        except Exception as error:  # a header without a copy may be anything
            faults.append(Fault(f"{name}/{headers.HEADER}", f"cannot be opened ({error})"))
    for index in range(shards(path)):
        if index in entries:
            patients = slice(index * attributes["shard"], (index + 1) * attributes["shard"])
            faults += _shard_faults(path, arrays, index, patients, entries[index])
        elif index in failed:
            faults.append(Fault(f"shard {index}", f"was given up ({failed[index]})", index))
        else:
            what = "not in the journal, so it holds no data"
            faults.append(Fault(f"shard {index}", what, index))
    if "sketched" in attributes:
        found = condensed.condensed_faults(path, entries, bool(attributes["complete"]))
        faults += [Fault(where, what, shard) for where, what, shard in found]
    if not faults and not attributes["complete"]:
        faults.append(Fault(headers.HEADER, "all shards are written, but the run has not ended"))
    if f"{WEIGHT.name}/{headers.HEADER}" not in wrong:
        for text in weight_faults(path):
            where, _, what = text.partition(": ")
            faults.append(Fault(where, what))
    return [*faults, *(Fault(name, what, group=name) for name, what in group_faults(path))]


def _shard_faults(
    path: Path,
    arrays: dict[str, zarr.Array],
    index: int,
    patients: slice,
    entry: dict[str, Any],
) -> Iterator[Fault]:
    """What is wrong with a shard that the journal lists, a variable at a time."""
    for name, template in arrays.items():
        where = f"shard {index}, {name}"
        files = shard_files(template, index)
        missing = [file for file in files if not (path / file).is_file()]
        if missing:
            yield Fault(where, f"{missing[0]} is missing", index)
            continue
        digest, broken = hashlib.sha256(), ""
        for arm, file in enumerate(files):
            arms = () if template.ndim == 1 else (slice(arm, arm + 1),)
            try:
                values = np.asarray(template[(*arms, ..., patients)])
            except Exception as error:  # a codec may raise anything on damaged bytes
                broken = f"{file} cannot be read ({error})"
                break
            _update(digest, values)
        stored = sum((path / file).stat().st_size for file in files)
        if broken or digest.hexdigest() != entry["sha256"].get(name):
            what = broken or "differs from what was written"
            yield Fault(where, what, index)
        elif stored != entry["bytes"].get(name):
            what = f"{stored} bytes on disk, {entry['bytes'].get(name)} were written"
            yield Fault(where, what, index)


def _update(digest: Any, values: np.ndarray) -> None:
    """Feed a digest with numbers in C order, row by row, which copies nothing of a view."""
    for row in np.ndindex(values.shape[:-1]):
        digest.update(np.ascontiguousarray(values[row]).data)
