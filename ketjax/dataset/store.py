"""The store: a Zarr 3 directory that is created whole, filled shard by shard, and read lazily.

A shard is a run of patients, in all arms: the unit of work, of resuming, of checksums and of
reading. One process writes one shard. Zarr would accept two writers in one shard and lose rows
without a word, so whole shards are the only way in.

    create → write_shard (any order, any process) → finish → open_store
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import zarr

from ketjax.dataset import condensed, headers, journal
from ketjax.dataset.reading import check_place, read_attributes, shard_files, shards
from ketjax.dataset.room import FULL, check_room, no_room
from ketjax.dataset.schema import (
    COMPRESSORS,
    NOT_RUN,
    SCHEMA_VERSION,
    STATUS,
    STATUS_FLAGS,
    Coordinates,
    Variable,
    flags,
)
from ketjax.errors import StoreError

CHUNK = 8192
"""Most patients in one compressed chunk. Smaller chunks cost writing speed, larger ones memory."""


def create(
    path: str | Path,
    variables: Iterable[Variable],
    coordinates: Coordinates,
    *,
    shard: int,
    digest: str,
    attributes: Mapping[str, Any],
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> Path:
    """Write the template of a store: every array with its meaning, no data yet.

    The template is built beside its place and renamed, so a store is never half created.

    Args:
        path: Where the store will be; a local path.
        variables: What it will hold, besides the status, which is always there.
        coordinates: Its axes.
        shard: Patients in a shard; the last shard may be shorter.
        digest: sha256 of the configuration; only an equal one may resume.
        attributes: Plain global attributes (title, study, seed, ketjax_version, source ...).
        provenance: Structured record of the run, kept as one JSON text.
        overwrite: Delete a ketjax store that is there. Nothing else is ever deleted.

    Returns:
        The path of the store.

    Raises:
        StoreError: The path is taken, or is not a ketjax store that could be overwritten.
        EnvironmentFault: The disk has no room for it.
        ValueError: The variables or `shard` make no sense.
    """
    target = Path(path)
    if shard < 1:
        raise ValueError(f"shard is {shard} patients; it must be at least 1")
    if not target.parent.is_dir():
        raise StoreError(f"{target}: the folder {target.parent} does not exist; make it first")
    check_place(target, overwrite=overwrite)
    contents = [*(variable for variable in variables if variable != STATUS), STATUS]
    names = [variable.name for variable in contents]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"variables {sorted(repeated)} are listed twice")
    building = target.with_name(f".{target.name}.{uuid4().hex}.partial")
    try:
        _write_template(
            building,
            contents,
            coordinates,
            min(shard, coordinates.patients),
            {
                "Conventions": "CF-1.11",
                "comment": "research model, not for clinical use",
                **attributes,
                "ketjax_schema_version": SCHEMA_VERSION,
                "ketjax_provenance": json.dumps(provenance, allow_nan=False),
                "configuration_sha256": digest,
                "start_time": journal.now(),
                "complete": False,
            },
        )
        replaced = (file.stat().st_size for file in target.rglob("*") if file.is_file())
        check_room(building, sum(replaced))
        if overwrite and os.path.lexists(target):
            with journal.lock(target):
                shutil.rmtree(target)
        try:
            building.rename(target)  # atomic: of two runs that start together, one gets the place
        except OSError:
            raise StoreError(f"{target}: another run has just created it") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def write_shard(
    path: str | Path,
    index: int,
    arrays: Mapping[str, np.ndarray],
    *,
    sketches: Mapping[str, np.ndarray] | None = None,
    digest: str = "",
    facts: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Write one shard: all arrays, then the status, then the journal entry that makes it count.

    Args:
        path: The store.
        index: Number of the shard: patients ``index * shard`` up to ``(index + 1) * shard``.
        arrays: Every variable of the store, of its shape for the patients of this shard.
        sketches: What a store without trajectories holds of this shard in their place.
        digest: Configuration that the numbers belong to; not looked at if empty.
        facts: What else the journal says of the shard.

    Returns:
        Patients by the name of their status, arms counted one by one.

    Raises:
        StoreError: Names, shapes or values do not fit the store, or another run has replaced it.
        EnvironmentFault: The disk is full.
    """
    path = Path(path)
    attributes = read_attributes(path)
    shard = int(attributes["shard"])
    templates = _open_arrays(path, "r+")
    if missing := sorted(templates.keys() ^ arrays.keys()):
        raise StoreError(f"{path}: shard {index} and the store differ in variables {missing}")
    patients = templates["status"].shape[-1]
    start, stop = index * shard, min((index + 1) * shard, patients)
    if not 0 <= start < stop:
        raise StoreError(f"{path}: there is no shard {index}; the store has {shards(path)}")
    fitted = {
        name: _fit(path, name, np.asarray(arrays[name]), template, stop - start)
        for name, template in templates.items()
    }
    codes, counts = np.unique(fitted["status"], return_counts=True)
    if unfit := {int(code) for code in codes} - (STATUS_FLAGS.keys() - {NOT_RUN}):
        raise StoreError(f"{path}: shard {index} holds patients with status {sorted(unfit)}")

    statuses = {STATUS_FLAGS[int(c)]: int(n) for c, n in zip(codes, counts, strict=True)}
    order = sorted(fitted, key=lambda name: name == "status")
    try:
        with journal.writing(path, index):
            if digest and read_attributes(path)["configuration_sha256"] != digest:
                raise StoreError(f"{path}: another run has replaced this store")
            journal.strike(path, index)
            _delete(path, templates, index)  # zarr would read what is there, damaged or not
            for name in order:
                templates[name][..., start:stop] = fitted[name]
            entry = {
                "patients": [start, stop],
                "written": journal.now(),
                "status": statuses,
                "sha256": {name: _sha256(fitted[name]) for name in order},
                "bytes": {name: _stored_bytes(path, templates[name], index) for name in order},
            }
            if sketches is not None:
                part = condensed.part_of(index)
                entry["sketches"] = condensed.write_condensed(path, part, sketches)
            journal.commit(path, index, {**entry, **(facts or {})})
    except OSError as error:
        if error.errno not in FULL:
            raise
        need = sum(values.nbytes for values in fitted.values())
        raise no_room(path, index, need, error) from None
    return statuses


def drop_shard(path: str | Path, index: int, reason: str) -> None:
    """Give a shard up: its patients count as not run, and nothing half written is left of it.

    Args:
        path: The store.
        index: Number of the shard.
        reason: Why, for people.
    """
    path = Path(path)
    with journal.writing(path, index):
        journal.give_up(path, index, reason)
        _delete(path, _open_arrays(path, "r"), index)


def finished_shards(path: str | Path, digest: str) -> set[int]:
    """Find the shards that a resumed run need not compute again.

    A shard counts when the journal lists it and its files still have the sizes noted there.

    Args:
        path: The store.
        digest: sha256 of the configuration of the run that resumes.

    Returns:
        Numbers of the finished shards.

    Raises:
        StoreError: No store, or a store of another configuration.
    """
    path = Path(path)
    stored = str(read_attributes(path)["configuration_sha256"])
    if stored != digest:
        raise StoreError(
            f"{path}: written by another configuration ({stored[:12]}, this run is {digest[:12]}). "
            "Resume with the study, versions and settings it was started with, "
            "or write to another path."
        )
    templates = _open_arrays(path, "r")
    return {
        index
        for index, entry in journal.entries(path).items()
        if all(
            _stored_bytes(path, template, index) == entry["bytes"].get(name)
            for name, template in templates.items()
        )
        and condensed.unchanged(path, index, entry)
    }


def finish(
    path: str | Path,
    attributes: Mapping[str, Any] | None = None,
    variables: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Mark a store as complete, shards that were given up included.

    Args:
        path: The store.
        attributes: Further global attributes known only now.
        variables: Further attributes of variables, by name.

    Raises:
        StoreError: A shard is missing that was not given up.
    """
    path = Path(path)
    entries = journal.entries(path)
    failed = journal.failures(path).keys() - entries.keys()
    if missing := sorted(set(range(shards(path))) - entries.keys() - failed):
        raise StoreError(f"{path}: cannot be finished, shards {missing[:10]} are not written")
    counts = dict.fromkeys(STATUS_FLAGS.values(), 0)
    for entry in entries.values():
        for name, number in entry["status"].items():
            counts[name] += number
    texts = headers.kept(path) or headers.found_on_disk(path)
    arms, patients = json.loads(texts["status/zarr.json"])["shape"]
    counts[STATUS_FLAGS[NOT_RUN]] = arms * patients - sum(counts.values())
    changes: dict[str, dict[str, Any]] = {}
    for name, values in (variables or {}).items():
        if (place := f"{name}/zarr.json") in texts:
            changes[place] = dict(values)
        else:  # a course of which there are sketches only
            changes.setdefault(condensed.HEADER, {})[name] = dict(values)
    changes[headers.HEADER] = {
        **(attributes or {}),
        "patients_by_status": json.dumps({name: n for name, n in counts.items() if n}),
        "end_time": journal.now(),
        "complete": True,
    }
    changed = {place: headers.with_attributes(texts[place], new) for place, new in changes.items()}
    headers.keep(path, changed)
    headers.write(path, changed)


def _write_template(
    path: Path,
    variables: list[Variable],
    coordinates: Coordinates,
    shard: int,
    attributes: Mapping[str, Any],
) -> None:
    json.dumps(attributes, allow_nan=False)  # NaN would make metadata that is not JSON
    sizes = coordinates.sizes()
    group = zarr.create_group(
        path,
        zarr_format=3,
        attributes={
            **attributes,
            "shard": shard,
            "patients": coordinates.patients,
            "variables": [variable.name for variable in variables],
        },
    )
    for folder in (journal.FOLDER, *([condensed.FOLDER] if "sketched" in attributes else [])):
        group.create_group(folder)
    axes = {
        "arm": (np.arange(sizes["arm"], dtype=np.int8), _names(coordinates.arms)),
        "region": (np.arange(sizes["region"], dtype=np.int8), _names(coordinates.regions)),
        "time": (
            np.asarray(coordinates.times, dtype=np.float64),
            {"units": "h", "long_name": "time from the start"},
        ),
        "patient": (
            np.arange(sizes["patient"], dtype=np.int64),
            {"units": "1", "long_name": "patient id"},
        ),
    }
    for dim, (values, meaning) in axes.items():
        if len(values):
            group.create_array(
                dim, data=values, chunks=values.shape, dimension_names=(dim,), attributes=meaning
            )
    for variable in variables:
        shape = tuple(sizes[dim] for dim in variable.dims)
        if 0 in shape:
            raise ValueError(f"variable {variable.name!r} has a region, but the store has none")
        outer = tuple(1 if dim == "arm" else sizes[dim] for dim in variable.dims[:-1])
        single = variable.dims == ("patient",)  # small enough to be compressed in one piece
        group.create_array(
            variable.name,
            shape=shape,
            dtype=variable.dtype,
            chunks=(*outer, shard if single else chunk_length(shard)),
            shards=None if single else (*outer, shard),
            compressors=list(COMPRESSORS),
            fill_value=variable.fill,
            dimension_names=variable.dims,
            attributes={
                "units": variable.unit,
                "long_name": variable.long_name,
                **dict(variable.attributes),
            },
        )
    headers.keep(path, headers.found_on_disk(path), coordinates.times)


def _names(names: tuple[str, ...]) -> dict[str, Any]:
    return {"units": "1", **flags(dict(enumerate(names)))}


def chunk_length(shard: int) -> int:
    """Largest part of at most `CHUNK` patients that divides a shard, unless it would be tiny."""
    parts = next(parts for parts in range(-(-shard // CHUNK), shard + 1) if shard % parts == 0)
    return shard // parts if shard // parts >= CHUNK // 8 else shard


def _open_arrays(path: Path, mode: Literal["r", "r+"]) -> dict[str, zarr.Array]:
    with zarr.config.set({"array.write_empty_chunks": True}):  # all NaN is a result as well
        return {
            name: zarr.open_array(path, path=name, mode=mode, zarr_format=3)
            for name in read_attributes(path)["variables"]
        }


def _fit(
    path: Path, name: str, values: np.ndarray, template: zarr.Array, number: int
) -> np.ndarray:
    """Values in the type of the store; a number that would change is refused."""
    shape = (*template.shape[:-1], number)
    if values.shape != shape:
        raise StoreError(f"{path}: {name} has shape {values.shape}, this shard needs {shape}")
    if values.dtype == template.dtype:
        return values
    if values.dtype.kind not in "fiu" or not np.can_cast(values.dtype, template.dtype, "same_kind"):
        raise StoreError(f"{path}: {name} is {values.dtype}, the store holds {template.dtype}")
    with np.errstate(over="ignore"):
        cast = values.astype(template.dtype)
    whole = np.array_equal(np.isfinite(cast), np.isfinite(values))
    if not whole or (template.dtype.kind == "i" and not np.array_equal(cast, values)):
        raise StoreError(f"{path}: {name} holds numbers too large for {template.dtype}")
    return cast


def _delete(path: Path, templates: Mapping[str, zarr.Array], shard: int) -> None:
    """Delete the files of one shard, which then reads as never written."""
    for template in templates.values():
        for file in shard_files(template, shard):
            (path / file).unlink(missing_ok=True)
    condensed.delete(path, condensed.part_of(shard))


def _stored_bytes(path: Path, template: zarr.Array, shard: int) -> int:
    """Size of the files of one shard of one variable, 0 when one is missing."""
    files = [path / file for file in shard_files(template, shard)]
    return sum(file.stat().st_size for file in files) if all(f.is_file() for f in files) else 0


def _sha256(values: np.ndarray) -> str:
    """Digest of the numbers in C order, row by row, which copies nothing of a view."""
    digest = hashlib.sha256()
    for row in np.ndindex(values.shape[:-1]):
        digest.update(np.ascontiguousarray(values[row]).data)
    return digest.hexdigest()
