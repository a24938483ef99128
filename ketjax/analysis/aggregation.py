"""Aggregation: what a population did in numbers, from sketches of every patient.

A store is read once, a Dask task going from shard to shard; it leaves sketches (`sketches`), which
are merged as a tree. Any scheduler of Dask will do. Arrays are read and counted without Python's
lock, but what is done between them holds it, so that many threads wait for each other; `processes`
do not. The result is the same to the bit whatever the chunks and however many work on it. A store
that keeps summaries instead of trajectories holds the same sketches, and is read by the same
functions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ketjax.analysis.bins import KEPT_BITS, Ruler
from ketjax.analysis.scalars import STATISTICS, is_scalar, scalar_table, stacked_tables
from ketjax.analysis.sketches import PIECE, Sketch, unpacked
from ketjax.analysis.sketching import Unread, merged, sketch_shards
from ketjax.analysis.strata import Strata, kept_divisions, kept_places, relative_weight, strata_of
from ketjax.dataset.schema import STATUS_FLAGS
from ketjax.errors import StoreError, did_you_mean

FIRST_PATIENTS = 1024
"""Patients whose largest value is the scale of a readout of a store that does not say it."""

MERGED = 8
"""Sketches merged in one task."""

LEAST_BYTES = 2**30
"""Numbers that are worth processes of their own, which take a second to start."""

MOST_TASKS = 64
"""Tasks of a summary, if there are no more courses and arms."""


@dataclass(frozen=True)
class Course:
    """A readout of a store, whether its trajectories are kept or only their sketches.

    Attributes:
        name: Public name.
        units: Unit.
        long_name: What it means.
        scale: Its size [units], None if the store does not say it.
        regional: Whether it comes once for each region.
    """

    name: str
    units: str
    long_name: str
    scale: float | None
    regional: bool

    @property
    def axes(self) -> tuple[str, ...]:
        """Dimensions of one arm, patients left out."""
        return ("region", "time") if self.regional else ("time",)


def courses_of(dataset: xr.Dataset) -> dict[str, Course]:
    """The readouts of a store, by name."""
    if "sketched" in dataset.attrs:
        return {row["name"]: Course(**row) for row in json.loads(dataset.attrs["sketched"])}
    found = {}
    for name, array in dataset.data_vars.items():
        if {"arm", "time", "patient"} <= set(array.dims):
            units, meaning = (str(array.attrs.get(key, "")) for key in ("units", "long_name"))
            scale, regional = array.attrs.get("scale"), "region" in array.dims
            found[str(name)] = Course(str(name), units, meaning, scale, regional)
    return found


def describe_courses(courses: Iterable[Course]) -> str:
    """Courses as the attribute `sketched` of a store that keeps sketches of them."""
    return json.dumps([asdict(course) for course in courses])


def aggregate(
    dataset: xr.Dataset,
    variables: Sequence[str] | None = None,
    *,
    by: str | None = None,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    weighted: bool = False,
    processes: int = 0,
) -> xr.Dataset:
    """Summarise readouts, outcomes and traits of all patients whose simulation succeeded.

    Args:
        dataset: A store.
        variables: Names; all readouts if None.
        by: What divides the patients, as in `strata_of`.
        quantiles: Fractions between 0 and 1.
        weighted: Use the weights of the store.
        processes: So many processes read and count where there is enough to do for them, if Dask is
            not told otherwise; a script needs the usual guard of its main module then. 0: as Dask
            is told.

    Returns:
        Dataset with dims ``arm``, ``stratum``, ``region`` and ``time`` where there are any, and
        ``quantile``: under the name of each variable its quantiles, beside it those of
        `STATISTICS`, and ``NAME_n``, the patients in it. Quantiles of readouts are within the
        attribute ``relative_error`` times (|value| + ``floor``), of the patients' values beside
        them; those of outcomes and traits are exact.
        ``n`` counts the patients of a stratum by ``status``.

    Raises:
        StoreError: A variable is not in the store, it has no weights, or what is asked needs
            patients of whom it keeps sketches only.
    """
    known = courses_of(dataset)
    names = list(known) if variables is None else [str(name) for name in variables]
    scalars = [str(name) for name in dataset if is_scalar(dataset, name)]
    if absent := [name for name in names if name not in known and name not in scalars]:
        near = did_you_mean(absent[0], [*known, *scalars])
        raise StoreError(
            f"the store has no numbers called {', '.join(absent)}; it has the readouts "
            f"{', '.join(known)}, and {len(scalars)} outcomes and traits of patients"
            + (f"; {near}" if near else "")
        )
    strata = strata_of(dataset, by)
    weight = relative_weight(dataset) if weighted else None
    courses = [known[name] for name in names if name in known]
    tables = tables_of(dataset, courses, quantiles, strata, weight, processes)
    found: dict[str, Any] = {"n": _numbers(dataset, strata)}
    for name in names:
        if name in known:
            course = known[name]
            attributes = {
                "units": course.units,
                "long_name": course.long_name,
                "relative_error": 2.0**-KEPT_BITS,
                "floor": ruler_of(dataset, course).floor,
            }
            found |= _entries(name, tables[name], ("arm", "stratum", *course.axes), attributes)
        else:
            table = scalar_table(dataset, name, quantiles, strata, weight)
            attributes = {key: dataset[name].attrs.get(key, "") for key in ("units", "long_name")}
            found |= _entries(name, table, ("arm", "stratum"), attributes)
    parts = {"long_name": f"patients by {strata.trait}" if by else "all patients"}
    axes: dict[str, Any] = {
        key: dataset[key] for key in ("arm", "region", "time") if key in dataset.coords
    }
    axes["stratum"] = ("stratum", list(strata.labels), parts)
    share = {"units": "1", "long_name": "share of the patients below"}
    axes["quantile"] = ("quantile", list(quantiles), share)
    return xr.Dataset(found, axes, dataset.attrs)


def describe_error(quantiles: xr.DataArray) -> str:
    """How far quantiles lie from those of the numbers at most, in words."""
    if "relative_error" not in quantiles.attrs:
        return "exact"
    error, floor = (quantiles.attrs[name] for name in ("relative_error", "floor"))
    units = quantiles.attrs["units"]
    floor_text = f"{floor:.2g}" + (f" {units}" if units not in ("", "1") else "")
    return f"within {error:.1%} of (|value| + {floor_text})"


def tables_of(
    dataset: xr.Dataset,
    courses: Sequence[Course],
    quantiles: Sequence[float],
    strata: Strata,
    weight: NDArray[np.float64] | None,
    processes: int = 0,
) -> dict[str, dict[str, NDArray]]:
    """Statistics of courses by name, each of shape (arm, stratum, ...), quantiles last.

    Raises:
        StoreError: The store keeps sketches, but not of these strata, or weights are asked.
    """
    shapes = {c.name: tuple(dataset.sizes[axis] for axis in c.axes) for c in courses}
    if courses and "sketched" in dataset.attrs:
        places = kept_places(dataset.attrs, strata.by, weight is not None)
        return {
            c.name: stacked_tables(
                [_statistics(a[places], quantiles, shapes[c.name]) for a in arms]
            )
            for c, arms in kept_sketches(dataset, courses)
        }
    status = dataset["status"].transpose("arm", "patient").to_numpy()
    # As few tasks as keep all hands busy: a sketch that stays where it was made is not sent.
    groups = max(1, MOST_TASKS // max(1, len(courses) * len(status)))
    wanted = {
        c.name: [
            _table(_parts(dataset, c, arm, own, strata, weight, groups), quantiles, shapes[c.name])
            for arm, own in enumerate(status)
        ]
        for c in courses
    }
    told = dask.config.get("scheduler", None) is not None  # type: ignore[attr-defined]
    large = sum(dataset[c.name].nbytes for c in courses) >= LEAST_BYTES
    how = {"scheduler": "processes", "num_workers": processes, "chunksize": 1}
    # Tasks set this limit and lift it; of those that are threads the first would lift it for all.
    with threadpool_limits(1, "blas"):
        (found,) = dask.compute(wanted, **(how if processes > 1 and large and not told else {}))  # type: ignore[attr-defined]
    return {name: stacked_tables(arms) for name, arms in found.items()}


def kept_sketches(
    dataset: xr.Dataset, courses: Sequence[Course]
) -> Iterator[tuple[Course, list[list[Sketch]]]]:
    """Sketches that a store keeps: of each course and arm, one a stratum, everybody's first."""
    arrays = {
        str(name).removeprefix("sketch."): dataset[name].to_numpy()
        for name in dataset
        if str(name).startswith("sketch.")
    }
    rows, start = unpacked(arrays), 0
    strata = sum(len(division.labels) for division in kept_divisions(dataset.attrs).values())
    for course in courses_of(dataset).values():
        length = int(np.prod([dataset.sizes[axis] for axis in course.axes]))
        arms = []
        for _ in range(dataset.sizes["arm"]):
            ends = range(start, start + strata * length, length)
            arms.append([Sketch(ruler_of(dataset, course), rows[k : k + length]) for k in ends])
            start += strata * length
        if course in courses:
            yield course, arms


def ruler_of(dataset: xr.Dataset, course: Course) -> Ruler:
    """Bins and unit of a readout: by its scale, or else by the first patients of the store.

    So without a scale the order of the patients matters; chunks and workers never do.
    """
    if course.scale is not None:
        return Ruler.of(course.scale)
    first = dataset[course.name].isel(patient=slice(FIRST_PATIENTS)).to_numpy()
    return Ruler.of(float(np.abs(first, where=np.isfinite(first), out=np.zeros_like(first)).max()))


def _parts(
    dataset: xr.Dataset,
    course: Course,
    arm: int,
    status: NDArray[np.int8],
    strata: Strata,
    weight: NDArray[np.float64] | None,
    groups: int,
) -> list[Any]:
    """Tasks that sketch a course in one arm, each of them shard after shard."""
    array = dataset[course.name].isel(arm=arm).transpose(*course.axes, "patient")
    if not array.chunks:
        array = array.chunk(patient=PIECE)
    if any(len(parts) > 1 for parts in array.data.chunks[:-1]):  # for nothing it takes its time
        array = array.chunk(dict.fromkeys(course.axes, -1))
    ruler, sketch = ruler_of(dataset, course), dask.delayed(sketch_shards, pure=False)  # type: ignore[attr-defined]
    ends = np.cumsum([0, *array.data.chunks[-1]])
    tasks = []
    for blocks in np.array_split(np.arange(ends.size - 1), min(groups, ends.size - 1)):
        here = slice(int(ends[blocks[0]]), int(ends[blocks[-1] + 1]))
        own = None if weight is None else weight[here]
        code = strata.code[here]
        unread = Unread(array.data)
        tasks.append(sketch(unread, blocks, status[here], code, own, len(strata.labels), ruler))
    return tasks


def _table(parts: list[Any], quantiles: Sequence[float], shape: tuple[int, ...]) -> Any:
    """The task that merges sketches as a tree and makes the tables of one arm."""
    merge = dask.delayed(merged, pure=False)  # type: ignore[attr-defined]
    while len(parts) > 1:
        parts = [merge(parts[k : k + MERGED]) for k in range(0, len(parts), MERGED)]
    return dask.delayed(_statistics, pure=False)(parts[0], quantiles, shape)  # type: ignore[attr-defined]


def _statistics(
    sketches: list[Sketch], quantiles: Sequence[float], shape: tuple[int, ...]
) -> list[dict[str, NDArray]]:
    """Numbers of one arm by name, one table a stratum, in the shape of the course."""
    tables = []
    for sketch in sketches:
        patients, deviation = sketch.patients(), sketch.deviation()
        with np.errstate(divide="ignore", invalid="ignore"):
            error = deviation / np.sqrt(sketch.effective())
        least, greatest = (
            np.where(patients > 0, [getattr(row, end) for row in sketch.rows], np.nan)
            for end in ("least", "greatest")
        )
        numbers = (sketch.mean(), deviation, error, least, greatest)
        table = dict(zip(STATISTICS, numbers, strict=True))
        table |= {"n": patients, "quantiles": sketch.quantiles(quantiles)}
        tables.append({k: array.reshape(*shape, *array.shape[1:]) for k, array in table.items()})
    return tables


def _entries(
    name: str, table: Mapping[str, NDArray], axes: Sequence[str], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """The numbers of one variable as entries of a dataset, with what they mean."""
    meaning, units = attributes["long_name"], attributes["units"]
    found: dict[str, Any] = {name: ((*axes, "quantile"), table["quantiles"], attributes)}
    for suffix, kind in STATISTICS.items():
        described = {"units": units, "long_name": f"{meaning}, {kind}"}
        found[f"{name}_{suffix}"] = (axes, table[suffix], described)
    described = {"units": "1", "long_name": f"{meaning}, patients in the summary"}
    return found | {f"{name}_n": (axes, table["n"], described)}


def _numbers(dataset: xr.Dataset, strata: Strata) -> xr.DataArray:
    """Patients by arm, stratum and status."""
    codes = np.array(list(STATUS_FLAGS))
    counts = np.zeros((dataset.sizes["arm"], len(strata.labels), codes.size), np.int64)
    for arm in range(dataset.sizes["arm"]):
        status = dataset["status"].isel(arm=arm).to_numpy()
        for stratum in range(len(strata.labels)):
            own = status[strata.code == stratum]
            counts[arm, stratum] = np.bincount(own - codes[0], minlength=codes.size)
    return xr.DataArray(
        counts,
        dims=("arm", "stratum", "status"),
        coords={"status": list(STATUS_FLAGS.values())},
        attrs={"units": "1", "long_name": "patients by how their simulation ended"},
    )
