"""Shards by many processes: the same bytes for any number, in any order, whoever is killed."""

import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import psutil
import pytest
from distributed import LocalCluster, Security
from fault_study import PATIENTS, SHARD, STUDY, data_of, ended, here, start, stop_after
from fault_work import DEADLY, take_a_while, write_or_die, write_slowly
from mock_store import courses, mock_store, template

from ketjax import cluster, corridor, open_store
from ketjax.cluster import Workers, solve_on
from ketjax.dataset import drop_shard, failures, finish, strike, verify
from ketjax.errors import EnvironmentFault, StoreError, StudyError
from ketjax.shards import ShardWork
from ketjax.study import Study

IN_THIS_PROCESS: Any = {
    "n_workers": 1,
    "threads_per_worker": 1,
    "processes": False,
    "host": "127.0.0.1",
    "dashboard_address": None,
    "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},  # the usual port may be taken
}
"""A scheduler with a worker that nobody else can reach."""


def kill_a_worker(command: psutil.Process) -> None:
    """Kill a process that was spawned for shards."""
    workers = [
        child
        for child in command.children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    random.choice(workers).kill()


def test_workers_are_killed_and_then_the_run(
    study: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed.zarr"
    first = start("run", study, "--out", out, "--shard", SHARD, "--workers", 2)
    stop_after(first, out, 1, 0)
    kill_a_worker(psutil.Process(first.pid))
    stop_after(first, out, 2, 0)
    workers = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.communicate()
    again = start("run", study, "--out", out, "--resume", "--workers", 2)
    stop_after(again, out, 1, 0)
    kill_a_worker(psutil.Process(again.pid))
    code, said = ended(again)
    assert code == 0, said
    assert data_of(out) == data_of(undisturbed)
    assert verify(out) == []
    assert not [worker for worker in workers if worker.is_running()]


def test_workers_are_killed_again_and_again(tmp_path: Path) -> None:
    broken = template(tmp_path / "broken.zarr", patients=96, shard=4)
    clean = mock_store(tmp_path / "clean.zarr", patients=96, shard=4)
    told: list[float] = []

    def tell(patients: float) -> None:
        if len(told) % 6 == 0:  # by shards, not by time: a busy machine starts none in seconds
            kill_a_worker(psutil.Process())
        told.append(patients)

    assert not solve_on(Workers(2), broken, range(24), tell, write_slowly)
    assert told == [4] * 24
    finish(broken)
    assert verify(broken) == [] and data_of(broken) == data_of(clean)


def test_interrupt_reaches_the_workers_too(study: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted.zarr"
    run = start("run", study, "--out", out, "--shard", SHARD, "--workers", 2)
    stop_after(run, out, 1, 0)
    for process in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
        process.send_signal(signal.SIGINT)  # as a terminal does
    code, said = ended(run)
    assert code == 130 and "--workers 2" in said and "--resume" in said
    assert here("run", study, "--out", out, "--resume").exit_code == 0
    assert data_of(out) == data_of(undisturbed)


def test_shard_that_ends_every_worker_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "DEATHS", 1)
    path = template(tmp_path / "deadly.zarr", patients=60, shard=10)
    told: list[float] = []
    before = time.monotonic()
    lost = solve_on(Workers(2), path, range(6), told.append, write_or_die)
    assert list(lost) == [DEADLY] and "ended every worker" in lost[DEADLY]
    assert time.monotonic() - before < 100
    assert told == [10] * 5
    drop_shard(path, DEADLY, lost[DEADLY])
    dataset = open_store(path, allow_incomplete=True)
    gone = dataset["patient"] // 10 == DEADLY
    assert ((dataset["status"] == -1) == gone).all()
    assert (dataset["baseline_madrs"].isnull() == gone).all()
    assert not list(path.glob(f"*/c/**/{DEADLY}"))  # nothing half written is left
    np.testing.assert_array_equal(dataset["madrs"][..., 10:20].to_numpy(), courses(10, 20)["madrs"])


def test_shard_that_was_given_up_ends_with_3_and_is_tried_again(
    study: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_but_one(workers: Workers, path: Path, missing: list[int], tell: object) -> dict:
        for k in missing:
            if k != 1:
                cluster.solve_shard(str(path), k)
        return {1: "it ended 8 workers"}

    out = tmp_path / "given_up.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(corridor, "solve_on", all_but_one)
        result = here("run", study, "--out", out, "--shard", SHARD, "--workers", 2)
    assert result.exit_code == 3
    assert "Shard 1 was given up: it ended 8 workers" in result.stderr
    status = open_store(out)["status"]
    assert (status[:, SHARD : 2 * SHARD] == -1).all() and (status == -1).sum() == SHARD
    assert failures(out) == {1: "it ended 8 workers"}
    found = here("verify", out)
    assert found.exit_code == 4 and "shard 1: was given up" in found.stderr
    again = here("run", study, "--out", out, "--resume")
    assert again.exit_code == 0 and failures(out) == {}
    assert data_of(out) == data_of(undisturbed) and verify(out) == []


@pytest.mark.parametrize("secure", [False, True])
def test_any_scheduler_will_do(
    secure: bool, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of a scheduler that was there before, spoken to with TLS or without."""
    out = tmp_path / "remote.zarr"
    security = None
    if secure:
        pytest.importorskip("cryptography")
        security = Security.temporary()
    settings = {
        "distributed.comm.tls.ca-file": security and security.tls_ca_file,
        "distributed.comm.tls.client.cert": security and security.tls_client_cert,
        "distributed.comm.tls.client.key": security and security.tls_client_key,
    }
    options: Any = IN_THIS_PROCESS | {"security": security}
    found: Any
    with LocalCluster(protocol="tls://" if secure else "tcp://", **options) as found:
        address = found.scheduler_address
        assert address.startswith("tls://" if secure else "tcp://")
        with dask.config.set(settings):
            asked = Study.parse(STUDY)
            corridor.run(asked, out, shard=SHARD, workers=Workers(scheduler=address))
            with pytest.raises(StoreError, match="no such store"):
                solve_on(Workers(scheduler=address), tmp_path / "gone.zarr", [0], print)
        if secure:
            with pytest.raises(EnvironmentFault, match="CLIENT__KEY"):
                solve_on(Workers(scheduler=address), out, [0], print)
    assert data_of(out) == data_of(undisturbed)
    assert open_store(out).sizes["patient"] == PATIENTS


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scheduler": "tcp://10.0.0.5:8786"}, "without encryption"),
        ({"scheduler": "tcp://0.0.0.0:8786"}, "without encryption"),
        ({"scheduler": "10.0.0.5:8786"}, "no address"),
        ({"scheduler": "http://127.0.0.1:8786"}, "no address"),
        ({"count": 2, "scheduler": "tcp://127.0.0.1:8786"}, "a number of workers or an address"),
    ],
)
def test_addresses_that_are_refused(given: dict, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        Workers(**given)
    Workers(scheduler="tcp://10.0.0.5:8786", insecure=True)
    Workers(scheduler="tcp://localhost:8786")


def test_scheduler_that_is_lost(undisturbed: Path) -> None:
    found: Any
    with (
        LocalCluster(protocol="tcp://", **IN_THIS_PROCESS) as found,
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(EnvironmentFault, match="was lost.*--resume"),
    ):
        workers = Workers(scheduler=found.scheduler_address)
        solve_on(workers, undisturbed, range(9), lambda _: found.close(), take_a_while)


def test_nobody_answers(undisturbed: Path) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(EnvironmentFault, match="no Dask scheduler answers"),
    ):
        solve_on(Workers(scheduler="tcp://127.0.0.1:9"), undisturbed, [0], print)


def test_answer_that_was_lost_is_not_computed_twice(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler asks again when a worker dies with its answer: the shard is left alone."""
    out = Path(shutil.copytree(undisturbed, tmp_path / "asked_again.zarr"))

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(ShardWork, "solve", never)
    assert cluster.solve_shard(str(out), 2) == {
        "shard": 2,
        "patients": SHARD,
        "status": {"ok": SHARD},
    }
    strike(out, 2)
    with pytest.raises(AssertionError, match="computed again"):
        cluster.solve_shard(str(out), 2)
