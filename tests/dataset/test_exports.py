"""Exports give back what the store holds, in programs that know nothing of it."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from mock_store import ARMS, TIMES, courses, mock_store, template

from ketjax import dataset as ds
from ketjax.dataset import exports
from ketjax.errors import EnvironmentFault, StoreError

PATIENTS, SHARD = 50, 20
HOURS = {2.0: "2h", 24.0: "24h", 72.0: "72h", 168.0: "168h", 336.0: "336h"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mock_store(tmp_path_factory.mktemp("stores") / "whole.zarr", PATIENTS, SHARD)


def test_netcdf_is_equal(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    file = ds.export(store, tmp_path / "whole.nc")
    whole = ds.open_store(store)
    with xr.open_dataset(file, engine="h5netcdf", decode_timedelta=False) as found:
        xr.testing.assert_equal(found, whole)
        assert set(found.data_vars) == set(whole.data_vars)
        for name, array in whole.data_vars.items():
            assert found[name].dtype == array.dtype, name
            assert found[name].attrs["units"] == array.attrs["units"]
            assert found[name].attrs["long_name"] == array.attrs["long_name"]
        assert found.attrs["ketjax_provenance"] == whole.attrs["ketjax_provenance"]
        assert found["status"].attrs["flag_meanings"].startswith("not_run ok")
    assert file.stat().st_size < whole.nbytes


def expected(name: str) -> np.ndarray:
    parts = [courses(start, min(start + SHARD, PATIENTS)) for start in range(0, PATIENTS, SHARD)]
    return np.concatenate([part[name] for part in parts], axis=-1)


def check_table(frame: pd.DataFrame) -> None:
    """A row a patient and arm, in this order, by hand from what was written."""
    assert len(frame) == PATIENTS * len(ARMS)
    assert frame["patient"].tolist() == np.repeat(np.arange(PATIENTS), len(ARMS)).tolist()
    assert frame["arm"].tolist() == list(ARMS) * PATIENTS
    np.testing.assert_array_equal(frame["baseline_madrs"][::3], expected("baseline_madrs"))
    np.testing.assert_array_equal(frame["female"][1::3], expected("female"))
    status = np.where(expected("status").T.ravel() == 0, "ok", "non_finite")
    assert frame["status"].tolist() == status.tolist()
    for hour, label in HOURS.items():
        place = int(np.flatnonzero(np.isclose(TIMES, hour))[0])
        rated = expected("madrs_rated")[:, place]
        np.testing.assert_array_equal(frame[f"madrs_rated_{label}"], rated.T.ravel())
    assert "glutamate" not in frame


def test_csv_is_equal(store: Path, tmp_path: Path) -> None:
    file = ds.export(store, tmp_path / "outcomes.csv")
    with file.open(newline="") as lines:
        frame = pd.DataFrame(list(csv.DictReader(lines)))
    for name in set(frame) - {"arm", "status"}:
        frame[name] = [float(text or "nan") for text in frame[name]]
    check_table(frame)
    few = ds.export(store, tmp_path / "few.csv", score="madrs", hours=[24.0])
    head = few.read_text().partition("\n")[0].split(",")
    assert [name for name in head if name.startswith("madrs")] == ["madrs_24h"]


def test_parquet_is_equal(store: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = ds.export(store, tmp_path / "outcomes.parquet")
    check_table(pd.read_parquet(file))
    found = parquet.ParquetFile(file)
    assert found.num_row_groups == 3  # one a shard
    field = found.schema_arrow.field("madrs_rated_24h")
    assert field.metadata[b"units"] == b"points"
    assert found.schema_arrow.metadata[b"study"] == b"s01_single_infusion"


def test_formulas_are_escaped(tmp_path: Path) -> None:
    score = ds.readout("madrs", "points", "depression score")
    axes = ds.Coordinates(("-1cmd", "open"), (), (0.0, 24.0), 2)
    rest: dict = {"digest": "0" * 64, "attributes": {}, "provenance": {}}
    path = ds.create(tmp_path / "x.zarr", [score], axes, shard=2, **rest)
    values = {"madrs": -np.ones((2, 2, 2), np.float32), "status": np.zeros((2, 2), np.int8)}
    ds.write_shard(path, 0, values)
    ds.finish(path)
    with ds.export(path, tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == ["'-1cmd", "open"] * 2
    assert [row["madrs_24h"] for row in rows] == ["-1.0"] * 4  # a number stays a number
    assert [exports.escaped(text) for text in ("=1", "@a", "+1", "a=1")] == [
        "'=1",
        "'@a",
        "'+1",
        "a=1",
    ]


def test_what_is_refused(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there.csv"
    there.write_text("mine")
    with pytest.raises(StoreError, match="--overwrite"):
        ds.export(store, there)
    assert there.read_text() == "mine"
    cases: list[tuple[str, dict, str]] = [
        ("x.xlsx", {}, ".parquet, .csv"),
        ("no/x.csv", {}, "does not exist; make it first"),
        ("x.csv", {"hours": [25.0]}, "does not hold 25 h; it holds 0, "),
        ("x.csv", {"score": "mood"}, "holds no course mood; it holds plasma_ketamine, madrs"),
    ]
    for name, options, said in cases:
        with pytest.raises(StoreError, match=said):
            ds.export(store, tmp_path / name, **options)
    with pytest.raises(StoreError, match="has not finished"):
        ds.export(template(tmp_path / "empty.zarr"), tmp_path / "x.csv")
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    for name in ("x.nc", "x.parquet"):
        with pytest.raises(EnvironmentFault, match=r'pip install "ketjax\[export\]"'):
            ds.export(store, tmp_path / name)
    assert {file.name for file in tmp_path.iterdir()} == {"there.csv", "empty.zarr"}
    ds.export(store, there, overwrite=True)
    assert there.read_text().startswith("patient,arm,")


def test_an_export_that_fails_leaves_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space"):
        ds.export(store, tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []
