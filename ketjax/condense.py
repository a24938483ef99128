"""What is kept of a shard: everything, or summaries instead of trajectories.

A study that keeps summaries sketches each shard while it is in memory, writes the sketches in place
of the courses, and adds them up when all shards are there. Outcomes, drawn parameters and status
are kept of every patient all the same.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ketjax import dataset as store
from ketjax.analysis.aggregation import Course, sketch_block
from ketjax.analysis.bins import Ruler
from ketjax.analysis.sketches import Row, packed, unpacked
from ketjax.analysis.summaries import tally
from ketjax.dataset.condensed import WHOLE, part_of, read_condensed, write_condensed
from ketjax.observation import RATED, READABLE
from ketjax.study import Study


def courses_kept(study: Study) -> list[Course]:
    """The courses of which a study keeps sketches."""
    rows = [READABLE[name] for name in study.readouts]
    return [Course(r.name, r.unit, r.meaning, r.scale, r.regional) for r in rows]


def write_shard(
    study: Study,
    path: Path,
    index: int,
    arrays: Mapping[str, np.ndarray],
    *,
    digest: str,
    facts: Mapping[str, Any],
) -> dict[str, int]:
    """Write a shard of a study's store in the way that the study asks for.

    Args:
        study: What is asked.
        path: The store.
        index: Number of the shard.
        arrays: All that is known of its patients, by name.
        digest: Configuration that the numbers belong to.
        facts: What else the journal says of the shard.

    Returns:
        Patients by the name of their status, arms counted one by one.

    Raises:
        StoreError: Names, shapes or values do not fit the store.
        EnvironmentFault: The disk is full.
    """
    if study.output.keep == "all":
        return store.write_shard(path, index, arrays, digest=digest, facts=facts)
    kept = {name: values for name, values in arrays.items() if name not in study.readouts}
    sketches = sketched(study, arrays)
    return store.write_shard(path, index, kept, sketches=sketches, digest=digest, facts=facts)


def sketched(study: Study, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sketches and sums of a shard, as arrays for the store."""
    rows: list[Row] = []
    status = arrays["status"]
    everybody = np.zeros(status.shape[-1], np.int8)
    for course in courses_kept(study):
        ruler = Ruler.of(course.scale or 1.0)
        for arm, own in enumerate(status):
            rows += sketch_block(arrays[course.name][arm], own, everybody, None, 1, ruler)[0].rows
    found = packed(rows)
    if RATED in study.readouts:
        patients = {
            "madrs_rated": (("arm", "time", "patient"), arrays[RATED]),
            "baseline_madrs": (("patient",), arrays["baseline_madrs"]),
            "status": (("arm", "patient"), status),
        }
        if "dropout_time" in arrays:
            patients["dropout_time"] = (("arm", "patient"), arrays["dropout_time"])
        shard = xr.Dataset(patients, {"arm": list(study.arms), "time": list(study.times)})
        found["tally"] = tally(shard).to_numpy()
    return found


def finish(study: Study, path: Path) -> None:
    """Add up the sketches of all shards that are there, one after the other, if a study keeps them.

    Raises:
        StoreError: Those of a shard are damaged.
    """
    if study.output.keep == "all":
        return
    rows: list[Row] = []
    sums = np.int64(0)
    for index in sorted(store.entries(path)):
        arrays = read_condensed(path, part_of(index))
        sums = sums + arrays.pop("tally", np.int64(0)).astype(np.int64)
        parts = unpacked(arrays)
        rows = rows or [Row() for _ in parts]
        for row, part in zip(rows, parts, strict=True):
            row.add(part)
    whole = packed(rows)
    if np.ndim(sums):
        whole["tally"] = np.asarray(sums)
    write_condensed(path, WHOLE, whole)
