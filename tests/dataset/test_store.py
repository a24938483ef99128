"""A store gives back what was written, and never passes off anything else as data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from mock_store import ARMS, DIGEST, REGIONS, TIMES, courses, mock_store, template

from ketjax import dataset as ds
from ketjax.dataset import journal, store
from ketjax.errors import StoreError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store of 500 patients in shards of 200, for tests that only read."""
    return mock_store(tmp_path_factory.mktemp("stores") / "whole.zarr")


def test_round_trip_is_exact_to_the_bit(finished: Path) -> None:
    dataset = ds.open_store(finished)
    written = [courses(start, min(start + 200, 500)) for start in (0, 200, 400)]
    assert set(dataset.data_vars) == set(written[0])
    for name in written[0]:
        expected = np.concatenate([arrays[name] for arrays in written], axis=-1)
        actual = dataset[name].to_numpy()
        assert actual.dtype == expected.dtype
        assert actual.tobytes() == expected.tobytes(), name


def test_every_nan_keeps_its_bits_and_a_failed_shard_is_stored(tmp_path: Path) -> None:
    path = template(tmp_path / "failed.zarr", patients=10, shard=10)
    arrays = courses(0, 10)
    arrays["status"][:] = 2
    arrays["madrs"][:] = -np.float32(np.nan)
    ds.write_shard(path, 0, arrays)
    ds.finish(path)
    assert ds.verify(path) == []
    assert ds.open_store(path)["madrs"].to_numpy().tobytes() == arrays["madrs"].tobytes()
    assert (path / "madrs" / "c" / "2" / "0" / "0").is_file()


def test_dataset_describes_itself(finished: Path) -> None:
    dataset = ds.open_store(finished)
    assert dataset["arm"].values.tolist() == list(ARMS)
    assert dataset["region"].values.tolist() == list(REGIONS)
    assert dataset["time"].dtype == np.float64
    assert dataset["time"].values.tolist() == list(TIMES)
    assert dataset["patient"].values.tolist() == list(range(500))
    for name, variable in dataset.variables.items():
        if name not in ("arm", "region"):
            assert variable.attrs["units"] and variable.attrs["long_name"], name
    assert dataset["glutamate"].dims == ("arm", "region", "time", "patient")
    assert dataset["madrs"].chunks == ((1, 1, 1), (len(TIMES),), (200, 200, 100))
    meanings = dict(
        zip(
            dataset["status"].attrs["flag_values"],
            dataset["status"].attrs["flag_meanings"].split(),
            strict=True,
        )
    )
    assert meanings == dict(ds.STATUS_FLAGS)
    assert json.loads(dataset.attrs["ketjax_provenance"]) == {"note": "made from formulas"}
    assert json.loads(dataset.attrs["patients_by_status"]) == {"ok": 1494, "non_finite": 6}


def test_arrays_on_disk_are_sharded_zarr_3_with_checksums(finished: Path) -> None:
    metadata = json.loads((finished / "glutamate" / "zarr.json").read_text())
    assert metadata["zarr_format"] == 3
    assert metadata["dimension_names"] == ["arm", "region", "time", "patient"]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, 2, len(TIMES), 200]
    (sharding,) = metadata["codecs"]
    inner = [codec["name"] for codec in sharding["configuration"]["codecs"]]
    assert inner == ["bytes", "blosc", "crc32c"]


def test_a_second_run_cannot_take_the_same_path(finished: Path) -> None:
    before = (finished / "zarr.json").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        template(finished)
    assert (finished / "zarr.json").read_bytes() == before


def test_of_two_runs_that_start_together_one_gets_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "contested.zarr"
    write_template = store._write_template

    def overtaken(*arguments: Any) -> None:
        write_template(*arguments)
        monkeypatch.undo()
        template(target, patients=20)

    monkeypatch.setattr(store, "_write_template", overtaken)
    with pytest.raises(StoreError, match="another run has just created it"):
        template(target)
    assert ds.read_attributes(target)["patients"] == 20
    assert list(tmp_path.iterdir()) == [target]


def test_overwrite_deletes_stores_and_nothing_else(tmp_path: Path) -> None:
    store = mock_store(tmp_path / "store.zarr", patients=20, shard=20)
    template(store, overwrite=True)
    assert ds.read_attributes(store)["patients"] == 500

    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("years of work")
    with pytest.raises(StoreError, match="not a ketjax store"):
        template(folder, overwrite=True)
    assert (folder / "chapter.txt").exists()

    link = tmp_path / "link.zarr"
    link.symlink_to(store)
    with pytest.raises(StoreError, match="symbolic link"):
        template(link, overwrite=True)
    assert ds.read_attributes(store)["patients"] == 500
    assert sorted(child.name for child in tmp_path.iterdir()) == [
        "link.zarr",
        "store.zarr",
        "thesis",
    ]


def test_shards_in_any_order_give_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    path = template(tmp_path / "backwards.zarr")
    for index in (2, 0, 1):
        ds.write_shard(path, index, courses(index * 200, min(index * 200 + 200, 500)))
    ds.finish(path)
    for file in finished.rglob("c/**/*"):
        if file.is_file():
            assert (path / file.relative_to(finished)).read_bytes() == file.read_bytes()


def test_kill_between_arrays_and_journal_loses_only_that_shard(tmp_path: Path) -> None:
    path = template(tmp_path / "killed.zarr")
    ds.write_shard(path, 0, courses(0, 200))
    script = f"""
import os
from mock_store import courses
from ketjax.dataset import journal, lock, write_shard
journal.commit = lambda *arguments: os._exit(9)
with lock({str(path)!r}):
    write_shard({str(path)!r}, 1, courses(200, 400))
"""
    assert _python(script).returncode == 9
    assert (path / "madrs" / "c" / "0" / "0" / "1").is_file()

    with pytest.raises(StoreError, match="has not finished"):
        ds.open_store(path)
    dataset = ds.open_store(path, allow_incomplete=True)
    assert (dataset["status"][:, :200] >= 0).all()
    assert (dataset["status"][:, 200:] == -1).all()
    assert dataset["status"].dtype == np.int8
    assert dataset["madrs"][1, :, :200].notnull().all()
    assert dataset["madrs"][..., 200:].isnull().all()
    assert dataset["receptors.kd_interneuron"][200:].isnull().all()
    assert (dataset["female"][200:] == -1).all()
    assert dataset["madrs"].attrs["units"] == "points"

    with ds.lock(path):  # the lock of the killed process is free
        assert ds.finished_shards(path, DIGEST) == {0}
        with pytest.raises(StoreError, match=r"shards \[1, 2\] are not written"):
            ds.finish(path)
        ds.write_shard(path, 1, courses(200, 400))
        ds.write_shard(path, 2, courses(400, 500))
        ds.finish(path)
    assert ds.verify(path) == []
    assert ds.open_store(path)["madrs"][1].notnull().all()


def test_a_rewritten_shard_does_not_count_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = template(tmp_path / "again.zarr", patients=20, shard=20)
    ds.write_shard(path, 0, courses(0, 20))
    ds.finish(path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "commit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ds.write_shard(path, 0, courses(0, 20, seed=2))
    assert ds.finished_shards(path, DIGEST) == set()
    with pytest.raises(StoreError, match="0 of 1 shards"):
        ds.open_store(path)


def test_resume_wants_the_same_configuration_and_whole_files(tmp_path: Path) -> None:
    path = mock_store(tmp_path / "resume.zarr")
    assert ds.finished_shards(path, DIGEST) == {0, 1, 2}
    with pytest.raises(StoreError, match="another configuration"):
        ds.finished_shards(path, "1" * 64)
    file = path / "bdnf" / "c" / "1" / "0" / "0" / "2"
    file.write_bytes(file.read_bytes()[:-7])
    (path / "madrs" / "c" / "0" / "0" / "0").unlink()
    assert ds.finished_shards(path, DIGEST) == {1}


def test_verify_names_the_damaged_shard_and_variable(tmp_path: Path) -> None:
    path = mock_store(tmp_path / "damaged.zarr")
    assert ds.verify(path) == []
    file = path / "madrs" / "c" / "2" / "0" / "1"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    file.write_bytes(damaged)
    (path / "female" / "c" / "0").unlink()
    (path / "journal" / "shard-000002.json").unlink()
    faults = ds.verify(path)
    assert [fault.where for fault in faults] == [
        "shard 0, female",
        "shard 1, madrs",
        "shard 2",
    ]
    with pytest.raises(Exception, match="(?i)checksum"):
        ds.open_store(path, allow_incomplete=True)["madrs"].load()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = template(tmp_path / "locked.zarr")
    with ds.lock(path):
        with (
            pytest.raises(StoreError, match=f"another run.*process {os.getpid()} on"),
            ds.lock(path),
        ):
            pass
        with pytest.raises(StoreError, match="another run"):
            template(path, overwrite=True)
    with ds.lock(path):
        pass


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = template(tmp_path / "picky.zarr")
    good = courses(0, 200)
    wrong = {
        r"differ in variables \['madrs'\]": {k: v for k, v in good.items() if k != "madrs"},
        r"differ in variables \['mood'\]": good | {"mood": good["madrs"]},
        "madrs has shape": good | {"madrs": good["madrs"][..., :100]},
        "madrs holds numbers too large": good | {"madrs": good["madrs"].astype(float) * 1e40},
        "female is float32": good | {"female": good["female"].astype(np.float32)},
        "female holds numbers too large": good | {"female": good["female"].astype(int) + 300},
        r"status \[-1\]": good | {"status": good["status"] * 0 - 1},
        r"status \[42\]": good | {"status": good["status"] * 0 + 42},
    }
    for message, arrays in wrong.items():
        with pytest.raises(StoreError, match=message):
            ds.write_shard(path, 0, arrays)
    with pytest.raises(StoreError, match="no shard 3; the store has 3"):
        ds.write_shard(path, 3, good)
    assert not (path / "madrs" / "c").exists()
    ds.write_shard(path, 0, good | {"madrs": good["madrs"].astype(np.float64)})
    assert ds.finished_shards(path, DIGEST) == {0}


def test_each_wrong_path_has_its_own_message(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("text")
    zarr.create_group(tmp_path / "foreign.zarr", zarr_format=3)
    other = mock_store(tmp_path / "old.zarr", patients=20, shard=20)
    metadata = json.loads((other / "zarr.json").read_text())
    metadata["attributes"]["ketjax_schema_version"] = 99
    (other / "zarr.json").write_text(json.dumps(metadata))
    for path, message in {
        tmp_path / "nowhere.zarr": "no such store",
        tmp_path / "plain.txt": "not a ketjax store",
        tmp_path: "not a ketjax store",
        tmp_path / "foreign.zarr": "not a ketjax store",
        other: "schema version 99",
        "https://example.org/store.zarr": "local paths only",
    }.items():
        with pytest.raises(StoreError, match=message):
            ds.open_store(path)
    with pytest.raises(StoreError, match="does not exist; make it first"):
        template(tmp_path / "no" / "folder.zarr")


def test_a_store_needs_no_regions_but_different_names(tmp_path: Path) -> None:
    axes = ds.Coordinates(("open",), (), (0.0, 24.0), 3)
    score = ds.readout("madrs", "points", "depression score")
    bdnf = ds.readout("bdnf", "1", "BDNF", regional=True)
    rest: dict = {"shard": 8, "digest": DIGEST, "attributes": {}, "provenance": {}}
    path = ds.create(tmp_path / "small.zarr", [score, ds.STATUS], axes, **rest)
    ds.write_shard(
        path, 0, {"madrs": np.ones((1, 2, 3), np.float32), "status": np.zeros((1, 3), np.int8)}
    )
    ds.finish(path)
    assert dict(ds.open_store(path).sizes) == {"arm": 1, "time": 2, "patient": 3}
    with pytest.raises(ValueError, match=r"\['madrs'\] are listed twice"):
        ds.create(tmp_path / "twice.zarr", [score, score], axes, **rest)
    with pytest.raises(ValueError, match="the store has none"):
        ds.create(tmp_path / "regions.zarr", [bdnf], axes, **rest)


def test_metadata_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        ds.create(
            tmp_path / "nan.zarr",
            [],
            ds.Coordinates(("a",), (), (0.0,), 1),
            shard=1,
            digest=DIGEST,
            attributes={"rtol": float("nan")},
            provenance={},
        )
    assert list(tmp_path.iterdir()) == []


def test_a_store_opens_without_jax(finished: Path) -> None:
    script = f"""
import sys
from ketjax.dataset import open_store
from ketjax.analysis import summarise
from ketjax.figures import plot_response
dataset = open_store({str(finished)!r})
summarise(dataset)
plot_response(dataset)
assert "jax" not in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    result = _python(script)
    assert result.returncode == 0, result.stderr


def _python(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh interpreter that finds ketjax and the mock store."""
    tests = Path(__file__).parents[1]
    places = os.pathsep.join([str(tests.parent), str(tests)])
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
