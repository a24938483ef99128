"""What was damaged is found, named and made whole again, and nothing else is touched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_study import data_of, here
from mock_store import mock_store

from ketjax.dataset import headers, verify


@pytest.fixture
def store(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of a whole store."""
    return Path(shutil.copytree(undisturbed, tmp_path / "damaged.zarr"))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def headers_of(store: Path) -> dict[str, str]:
    return headers.found_on_disk(store)


def test_only_what_is_damaged_is_computed_again(store: Path, undisturbed: Path) -> None:
    flip(store / "plasma_ketamine/c/0/0/1")
    cut = store / "solver_error/c/0/3"
    cut.write_bytes(cut.read_bytes()[:-9])
    (store / "demography.weight/c/5").unlink()
    entry = store / "journal/shard-000002.json"
    entry.write_text(entry.read_text().replace('"ok": 20', '"ok": 19'))
    header = store / "baseline_madrs/zarr.json"
    header.write_text(header.read_text().replace("MADRS before treatment", "MADRS after"))
    (store / "demography.age/zarr.json").unlink()
    flip(store / "time/c/0")
    found = here("verify", store)
    assert found.exit_code == 4
    for said in (
        "shard 1, plasma_ketamine: plasma_ketamine/c/0/0/1 cannot be read",
        "shard 3, solver_error: solver_error/c/0/3 cannot be read",
        "shard 5, demography.weight: demography.weight/c/5 is missing",
        "shard 2: not in the journal",
        "baseline_madrs/zarr.json: the header differs",
        "demography.age/zarr.json: the header is missing",
        "time: the coordinate differs",
    ):
        assert said in found.stderr
    assert len(found.stderr.splitlines()) == 7

    # Files of a shard are written together, so those of the others can be told by their age.
    before = {file: (store / file).stat().st_mtime_ns for file in data_of(store)}
    done = here("verify", store, "--repair")
    assert done.exit_code == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "computed again" in line] == [
        f"shard {k}: computed again" for k in (1, 2, 3, 5)
    ]
    assert data_of(store) == data_of(undisturbed)
    assert headers_of(store) == headers_of(undisturbed)
    touched = {
        file.rpartition("/")[2]
        for file, age in before.items()
        if (store / file).stat().st_mtime_ns != age
    }
    assert touched == {"1", "2", "3", "5", "0"}  # 0: the only chunk of time
    assert here("verify", store).exit_code == 0


def edit_seed(store: Path) -> None:
    file = store / "zarr.json"
    file.write_text(file.read_text().replace('"seed": 5', '"seed": 6', 1))


def lose_header(store: Path) -> None:
    (store / "zarr.json").unlink()


def lose_copy(store: Path) -> None:
    (store / headers.FILE).unlink()


def edit_copy(store: Path) -> None:
    file = store / headers.FILE
    content = json.loads(file.read_text())
    content["times"][1] += 1.0
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (edit_seed, "zarr.json: the header differs from what was written"),
        (lose_header, "zarr.json: the header is missing"),
        (lose_copy, "journal/headers.json: missing"),
        (edit_copy, "journal/headers.json: damaged"),
    ],
)
def test_headers(damage: Callable, said: str, store: Path, undisturbed: Path) -> None:
    damage(store)
    found = here("verify", store)
    assert found.exit_code == 4 and said in found.stderr
    done = here("verify", store, "--repair")
    assert done.exit_code == 0 and "computed again" not in done.stderr
    assert verify(store) == []
    assert data_of(store) == data_of(undisturbed)
    ours, theirs = (json.loads(headers_of(place)["zarr.json"]) for place in (store, undisturbed))
    later = {"seconds", "compiling_seconds", "solving_seconds", "patients_per_second"}
    for document in (ours, theirs):
        for name in (*later, "start_time", "end_time"):
            document["attributes"].pop(name, None)
    assert ours == theirs


def test_header_and_copy_are_lost(store: Path, study: Path, undisturbed: Path) -> None:
    lose_header(store)
    lose_copy(store)
    (store / "patient/c/0").unlink()
    without = here("verify", store, "--repair")
    assert without.exit_code == 4 and "--study" in without.stderr
    other = study.with_name("other.toml")
    other.write_text(study.read_text().replace("seed = 5", "seed = 6"))
    wrong = here("verify", store, "--repair", "--study", other)
    assert wrong.exit_code == 4 and "another study" in wrong.stderr
    done = here("verify", store, "--repair", "--study", study)
    assert done.exit_code == 0, done.stderr
    assert verify(store) == [] and data_of(store) == data_of(undisturbed)


def test_what_another_version_wrote_is_not_mixed(store: Path) -> None:
    (store / "status/c/0/2").unlink()
    texts = headers_of(store)
    attributes = json.loads(texts["zarr.json"])["attributes"]
    older = attributes["ketjax_provenance"].replace('"jax": "', '"jax": "0.', 1)
    text = headers.with_attributes(texts["zarr.json"], {"ketjax_provenance": older})
    headers.keep(store, {"zarr.json": text})
    headers.write(store, {"zarr.json": text})
    done = here("verify", store, "--repair")
    assert done.exit_code == 4 and "other versions: jax 0." in done.stderr


def test_store_of_another_command_keeps_what_can_be_kept(tmp_path: Path) -> None:
    """Headers need no study; numbers that nobody can compute again are named and left."""
    path = mock_store(tmp_path / "mock.zarr", 20, 10)
    edit = path / "madrs" / "zarr.json"
    edit.write_text(edit.read_text().replace("depression score", "happiness"))
    assert here("verify", path, "--repair").exit_code == 0
    assert "happiness" not in edit.read_text()
    (path / "madrs/c/0/0/1").unlink()
    lost = here("verify", path, "--repair")
    assert lost.exit_code == 4 and "does not say which study" in lost.stderr
    assert [str(fault) for fault in verify(path)] == ["shard 1, madrs: madrs/c/0/0/1 is missing"]
