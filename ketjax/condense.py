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
from ketjax.analysis.aggregation import Course
from ketjax.analysis.bins import Ruler
from ketjax.analysis.sketches import Row, packed, unpacked
from ketjax.analysis.sketching import sketch_block
from ketjax.analysis.strata import Division, Strata, division_of, kept_divisions
from ketjax.analysis.summaries import tally
from ketjax.dataset.condensed import WHOLE, part_of, read_condensed, write_condensed
from ketjax.errors import Problem, StoreError, StudyError, check_name
from ketjax.model.laws import Law
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
    sketches = sketched(study, arrays, kept_divisions(store.read_attributes(path)))
    return store.write_shard(path, index, kept, sketches=sketches, digest=digest, facts=facts)


def divisions_kept(study: Study, laws: Mapping[str, tuple[float, Law]]) -> dict[str, Division]:
    """What divides the patients of whose strata a study keeps sketches.

    Args:
        study: What is asked.
        laws: Of what varies between its patients, by path.

    Returns:
        By how it was asked for.

    Raises:
        StudyError: Something does not vary, or cannot be divided before all patients are known.
    """
    found, problems = {}, []
    for k, by in enumerate(study.output.strata):
        trait, place = by.partition(":")[0], f"output.strata[{k}]"
        if trait not in laws and trait != "baseline_madrs":
            problems += check_name(place, trait, (*laws, "baseline_madrs"), "trait that varies")
            continue
        try:
            found[by] = division_of(by, len(laws[trait][1].shares) if trait in laws else 0)
        except StoreError as error:
            problems.append(Problem(place, str(error), by, code="bounds"))
    if problems:
        raise StudyError(problems)
    return found


def sketched(
    study: Study, arrays: Mapping[str, np.ndarray], divisions: Mapping[str, Division]
) -> dict[str, np.ndarray]:
    """Sketches and sums of a shard, as arrays for the store.

    Args:
        study: What is asked.
        arrays: All that is known of its patients, by name.
        divisions: What divides them.
    """
    rows: list[Row] = []
    status = arrays["status"]
    strata = [
        (division, division.code(arrays[division.trait] if division.trait else status))
        for division in divisions.values()
    ]
    for course in courses_kept(study):
        ruler = Ruler.of(course.scale or 1.0)
        for arm, own in enumerate(status):
            for division, code in strata:
                count = len(division.labels)
                parts = sketch_block(arrays[course.name][arm], own, code, None, count, ruler)
                rows += [row for part in parts for row in part.rows]
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
        members = [Strata("", d.labels, code).members for d, code in strata]
        found["tally"] = tally(shard, np.concatenate(members)).to_numpy()
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
