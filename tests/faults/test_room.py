"""A full disk and a shard in which nobody can be solved end with a word, and nothing is lost."""

import resource
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fault_study import PATIENTS, SHARD, data_of, here

from ketjax import open_store
from ketjax.dataset import store as writing
from ketjax.dataset import verify
from ketjax.shards import ShardWork


def test_full_disk(
    study: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for a disk that is full from the third shard on."""
    out, write = tmp_path / "full.zarr", ShardWork.write

    def write_with_limit(work: ShardWork, k: int, arrays: Any) -> Any:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if k == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            return write(work, k, arrays)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with monkeypatch.context() as patch:
        patch.setattr(ShardWork, "write", write_with_limit)
        result = here("run", study, "--out", out, "--shard", SHARD)
    assert result.exit_code == 5
    assert "no room for shard 2" in result.stderr and "--resume" in result.stderr
    assert "MB are free" in result.stderr
    left = [fault.where for fault in verify(out)]
    assert left == [f"shard {k}" for k in range(2, PATIENTS // SHARD)]
    assert not list(out.rglob("*.partial"))
    assert here("run", study, "--out", out, "--resume").exit_code == 0
    assert data_of(out) == data_of(undisturbed)


def test_small_disk_is_refused_before_anything_is_deleted(
    study: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "kept.zarr"))
    usage = SimpleNamespace(total=10**9, used=10**9, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for patients, place in ((PATIENTS, tmp_path / "new.zarr"), (10**5, out)):
        result = here("run", study, "--patients", patients, "--out", place, "--overwrite")
        assert result.exit_code == 5 and "no room" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["kept.zarr"]
    assert data_of(out) == data_of(undisturbed) and verify(out) == []


def test_shard_in_which_all_patients_fail(
    study: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, solve = tmp_path / "storm.zarr", ShardWork.solve

    def storm(work: ShardWork, k: int, tick: Any = None) -> dict[str, np.ndarray]:
        arrays = solve(work, k, tick)
        if k == 1:
            arrays |= {"status": np.full_like(arrays["status"], 2)}
            arrays |= {"plasma_ketamine": np.full_like(arrays["plasma_ketamine"], np.nan)}
        return arrays

    monkeypatch.setattr(ShardWork, "solve", storm)
    result = here("run", study, "--out", out, "--shard", SHARD)
    assert result.exit_code == 3 and "11.11% of the patients failed" in result.stderr
    assert verify(out) == []  # done, and not to be done again
    assert here("run", study, "--out", out, "--resume").exit_code == 3
    theirs = data_of(undisturbed)
    others = {file: digest for file, digest in data_of(out).items() if theirs[file] != digest}
    assert set(others) == {"status/c/0/1", "plasma_ketamine/c/0/0/1"}
    assert (open_store(out)["status"] == 2).sum() == SHARD
    assert writing.finished_shards(out, open_store(out).attrs["configuration_sha256"]) == {
        *range(PATIENTS // SHARD)
    }
