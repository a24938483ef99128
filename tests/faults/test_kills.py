"""A run that is ended at any moment goes on to the same bytes as one that was left alone."""

import signal
import subprocess
import sys
from pathlib import Path

from fault_study import ROOT, SHARD, call, data_of, ended, start, stop_after

from ketjax.dataset import verify

# Processes are forked from one that has imported everything, but started nothing: no thread, no
# jax. Each goes on with the store, until it is killed at a random moment.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import mock_store
from ketjax import dataset as ds

path, clean = map(Path, sys.argv[1:])
PATIENTS, SHARD = 120, 4

def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return pid

def write():
    with ds.lock(path):
        done = ds.finished_shards(path, mock_store.DIGEST)
        for k in range(ds.shards(path)):
            if k not in done:
                ds.write_shard(path, k, mock_store.courses(k * SHARD, (k + 1) * SHARD))
        ds.finish(path)

def check():
    faults = [fault for fault in ds.verify(path) if "not in the journal" not in str(fault)]
    assert not [f for f in faults if "has not ended" not in str(f)], faults

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

assert wait(forked(lambda: mock_store.template(path, PATIENTS, SHARD))) == 0
assert wait(forked(lambda: mock_store.mock_store(clean, PATIENTS, SHARD))) == 0
generator, kills, finished = random.Random(1), 0, []
for _ in range(200):
    pid = forked(write)
    time.sleep(generator.uniform(0.0, 0.25))
    os.kill(pid, signal.SIGKILL)
    kills += wait(pid) == -signal.SIGKILL
    finished.append(len(list(path.glob("journal/shard-*.json"))))
    if kills % 5 == 0:
        assert wait(forked(check)) == 0
    if kills == 20:
        break
assert wait(forked(write)) == 0
print(kills, *finished)
"""


def test_kill_at_20_random_moments(tmp_path: Path) -> None:
    broken, clean = tmp_path / "broken.zarr", tmp_path / "clean.zarr"
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(broken), str(clean)],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    kills, *finished = map(int, done.stdout.split())
    assert kills == 20 and finished == sorted(finished)  # what was finished stays finished
    assert finished[0] < finished[-1]
    assert verify(broken) == []
    assert data_of(broken) == data_of(clean)
    assert not list(broken.rglob("*.partial"))


def test_command_that_is_ended_again_and_again(
    study: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ended.zarr"
    first = start("run", study, "--out", out, "--shard", SHARD)
    stop_after(first, out, 1, signal.SIGKILL)
    for by in (signal.SIGTERM, signal.SIGINT):
        again = start("run", study, "--out", out, "--resume")
        stop_after(again, out, 1, by)
        code, said = ended(again)
        assert code == 130 and f"--out {out} --resume" in said
    assert call("verify", out)[0] == 4
    code, said = call("run", study, "--out", out, "--resume")
    assert code == 0, said
    assert data_of(out) == data_of(undisturbed)
    assert verify(out) == []


def test_of_two_runs_on_one_store_the_second_refuses(
    study: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "contested.zarr"
    first = start("run", study, "--out", out, "--shard", SHARD)
    stop_after(first, out, 1, signal.SIGSTOP)
    second, third = (start("run", study, "--out", out, how) for how in ("--resume", "--overwrite"))
    for late in (second, third):
        code, said = ended(late)
        assert code == 4 and f"process {first.pid} on" in said
    first.send_signal(signal.SIGCONT)
    assert ended(first)[0] == 0
    assert data_of(out) == data_of(undisturbed)
