"""Does a fit that is killed again and again end where an undisturbed one ends, to the bit?

    python benchmarks/fit_killed.py

The fit of the tutorial, with two starts and few patients, runs once to its end. Then it runs again
and gets SIGKILL at random moments, each time after its checkpoint has changed, and goes on with
`--resume` until nothing is left to do. Set, targets, free numbers and result are compared byte by
byte.
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
MANIFEST = HERE.parent / "studies" / "fit_tutorial.toml"
RESULT = HERE / "results" / "fit_killed.txt"
OPTIONS = ("--patients", "32", "--starts", "2", "--iterations", "8")
COMPARED = ("set.toml", "targets.csv", "free.csv", "result.json")
KILLS = 6
LATEST = 8.0  # a kill follows a change of the checkpoint by up to so long [s]


def begin(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin a fit, or go on with it, in a process of its own."""
    command = [sys.executable, "-m", "ketjax", "fit", str(MANIFEST), *OPTIONS]
    command += ["--out", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_in(folder: Path, process: subprocess.Popen[bytes], wait: float) -> bool:
    """Kill a fit some time after its checkpoint has changed; whether it still ran."""
    checkpoint = folder / "checkpoint.npz"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    while process.poll() is None:
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return True
        time.sleep(0.05)
    return False


def main() -> None:
    """Compare a disturbed fit with an undisturbed one and keep what was seen."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        whole, disturbed = Path(name) / "whole", Path(name) / "disturbed"
        if begin(whole).wait():
            raise SystemExit("the undisturbed fit failed")
        kills, options = 0, ()
        while kills < KILLS:
            if not kill_in(disturbed, begin(disturbed, *options), chance.uniform(0, LATEST)):
                break
            kills, options = kills + 1, ("--resume",)
        if begin(disturbed, "--resume").wait():
            raise SystemExit("the fit that was killed cannot go on")
        same = {
            file: (whole / file).read_bytes() == (disturbed / file).read_bytes()
            for file in COMPARED
        }
    text = f"Killed {kills} times.\n" + "".join(
        f"{file:12} {'the same bytes' if equal else 'DIFFERS'}\n" for file, equal in same.items()
    )
    sys.stdout.write(text)
    RESULT.write_text(text, encoding="utf-8")
    if not all(same.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
