"""Exports for other programs: a whole store as NetCDF, or its outcomes as a table.

A table has one row a patient and arm: traits, outcomes, status, and a score at some hours. Stores
are read shard by shard, so that memory does not grow with the population.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask.config
import numpy as np
import pandas as pd
import xarray as xr

from ketjax.dataset.reading import open_store
from ketjax.errors import EnvironmentFault, StoreError

HOURS = (2.0, 24.0, 72.0, 168.0, 336.0)  # of the summary
SCORES = ("madrs_rated", "madrs")  # the first that a store holds
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs what begins so
ABOUT = ("title", "study", "seed", "source", "comment")  # of the attributes, in a table
CHUNK = 4096  # patients that are compressed together


def export(
    path: str | Path,
    target: str | Path,
    *,
    score: str | None = None,
    hours: Sequence[float] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a complete store in another format; the file takes its place when it is whole.

    Args:
        path: The store.
        target: The file: `.nc` for everything, `.parquet` or `.csv` for the table.
        score: Course of which the table holds some hours; the MADRS if None.
        hours: These hours [h]; those of the summary that the store holds if None.
        overwrite: Replace a file that is there.

    Returns:
        The file.

    Raises:
        StoreError: The file exists, or the store is not complete or lacks score or hours.
        EnvironmentFault: A library is not installed.
    """
    target = Path(target)
    writers: Mapping[str, tuple[Callable[[xr.Dataset, Any, Path], None], tuple[str, ...]]] = {
        ".nc": (_write_netcdf, ("h5netcdf", "h5py")),
        ".parquet": (_write_parquet, ("pyarrow",)),
        ".csv": (_write_csv, ()),
    }
    if target.suffix not in writers:
        raise StoreError(f"{target}: the name must end in {', '.join(writers)}")
    write, libraries = writers[target.suffix]
    if lacking := [name for name in libraries if find_spec(name) is None]:
        raise EnvironmentFault(
            f'{target.suffix} needs the library {lacking[0]}: pip install "ketjax[export]"'
        )
    _check_target(target, overwrite)
    dataset = open_store(path)
    building = target.with_name(f".{target.stem}.{uuid4().hex}.partial")
    try:
        table: Any = None if target.suffix == ".nc" else _Table(dataset, path, score, hours)
        write(dataset, table, building)
        _check_target(target, overwrite)
        building.replace(target)
    finally:
        building.unlink(missing_ok=True)
    return target


class _Table:
    """The outcomes of a store, one row a patient and arm."""

    def __init__(
        self,
        dataset: xr.Dataset,
        path: str | Path,
        score: str | None,
        hours: Sequence[float] | None,
    ) -> None:
        """Find the columns.

        Raises:
            StoreError: The store lacks the score or an hour.
        """
        self.dataset, self.shard = dataset, int(dataset.attrs["shard"])
        self.plain = [
            str(name)
            for name, array in dataset.data_vars.items()
            if array.dims in (("patient",), ("arm", "patient"))
        ]
        held = dataset["time"].to_numpy()
        courses = [
            str(n) for n, a in dataset.data_vars.items() if a.dims == ("arm", "time", "patient")
        ]
        if score is not None and score not in courses:
            raise StoreError(f"{path}: holds no course {score}; it holds {', '.join(courses)}")
        self.score = score or next((name for name in SCORES if name in courses), None)
        wanted = HOURS if hours is None else hours
        near = {hour: int(np.abs(held - hour).argmin()) for hour in wanted}
        absent = [hour for hour, place in near.items() if abs(held[place] - hour) > 1e-6]
        if hours is not None and (absent or self.score is None):
            what = f"{absent[0]:g} h" if absent else "a score"
            raise StoreError(f"{path}: does not hold {what}; it holds {_listed(held)} h")
        self.times = {hour: place for hour, place in near.items() if hour not in absent}
        if self.score is None:
            self.times = {}

    def frames(self) -> Iterator[pd.DataFrame]:
        """The rows of one shard after the other."""
        for start in range(0, self.dataset.sizes["patient"], self.shard):
            yield self._frame(slice(start, start + self.shard))

    def meaning(self, column: str) -> dict[str, str]:
        """Unit and meaning of a column."""
        name = column if column in self.dataset else self.score
        if column == "arm" or name is None:
            return {"units": "1", "long_name": "arm of the study"}
        attributes = self.dataset[name].attrs
        return {key: str(attributes[key]) for key in ("units", "long_name") if key in attributes}

    def _frame(self, patients: slice) -> pd.DataFrame:
        part = self.dataset[self.plain].isel(patient=patients).load()
        arms, count = part.sizes["arm"], part.sizes["patient"]
        columns: dict[str, Any] = {
            "patient": np.repeat(part["patient"].to_numpy(), arms),
            "arm": np.tile(part["arm"].to_numpy().astype(object), count),
        }
        for name in self.plain:
            values = _meant(part[name])
            columns[name] = np.repeat(values, arms) if values.ndim == 1 else values.T.ravel()
        if self.score is not None:
            course = self.dataset[self.score].isel(patient=patients)
            for hour, place in self.times.items():
                columns[f"{self.score}_{hour:g}h"] = course.isel(time=place).to_numpy().T.ravel()
        return pd.DataFrame(columns)


def _meant(array: xr.DataArray) -> np.ndarray:
    """Numbers, or the names of codes."""
    values = array.to_numpy()
    if "flag_values" not in array.attrs:
        return values
    names = str(array.attrs["flag_meanings"]).split()
    named = dict(zip(array.attrs["flag_values"], names, strict=True))
    found = np.empty(values.shape, object)
    for code in np.unique(values):
        found[values == code] = named.get(int(code), str(code))
    return found


def _write_csv(_: xr.Dataset, table: _Table, target: Path) -> None:
    """Text; what a spreadsheet would take for a formula begins with an apostrophe."""
    with target.open("w", encoding="utf-8", newline="") as file:
        for number, frame in enumerate(table.frames()):
            for name in [n for n in frame if not pd.api.types.is_numeric_dtype(frame[n])]:
                frame[name] = [escaped(text) for text in frame[name]]
            frame.columns = [escaped(name) for name in frame.columns]
            frame.to_csv(file, index=False, header=number == 0, lineterminator="\n")


def escaped(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _write_parquet(dataset: xr.Dataset, table: _Table, target: Path) -> None:
    """One row group a shard; units and meanings stand with the columns."""
    import pyarrow as pa  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

    writer, schema = None, None
    try:
        for frame in table.frames():
            if schema is None:
                found = pa.Schema.from_pandas(frame, preserve_index=False)
                fields = [field.with_metadata(table.meaning(field.name)) for field in found]
                about = {k: str(v) for k, v in dataset.attrs.items() if k in ABOUT}
                schema = pa.schema(fields, about)
                writer = pq.ParquetWriter(target, schema)
            assert writer is not None
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
    finally:
        if writer is not None:
            writer.close()


def _write_netcdf(dataset: xr.Dataset, _: None, target: Path) -> None:
    """Everything, compressed, with a checksum."""
    dataset = dataset.drop_encoding()
    dataset.attrs = {name: _attribute(value) for name, value in dataset.attrs.items()}
    sizes = {"arm": 1, "patient": min(CHUNK, dataset.sizes["patient"])}
    settings = {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
    encoding = {
        name: {
            **settings,
            "chunksizes": tuple(sizes.get(str(d), array.sizes[d]) for d in array.dims),
        }
        for name, array in dataset.data_vars.items()
    }
    with dask.config.set(scheduler="synchronous"):  # one shard in memory at a time
        dataset.to_netcdf(target, engine="h5netcdf", encoding=encoding)


def _attribute(value: Any) -> Any:
    """A global attribute in a type that NetCDF has."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    return value


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuse to take the place of anything.

    Raises:
        StoreError: Something is there, or the folder is not.
    """
    if not target.parent.is_dir():
        raise StoreError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir() or (os.path.lexists(target) and not overwrite):
        raise StoreError(
            f"{target}: exists already. Choose another name, or replace it (--overwrite)."
        )


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)
