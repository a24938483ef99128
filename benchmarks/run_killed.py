"""Does a run that is killed 20 times at random moments end with the bytes of an undisturbed one?

    python benchmarks/run_killed.py

The first study with few patients and short shards runs once to its end. Then it runs again on the
real command line and gets SIGKILL at random moments, from the start of Python to the last shard,
and goes on with `--resume` as soon as there is a store. Every file that holds numbers is compared,
and `ketjax verify` reads the store.
"""

import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
STUDY = HERE.parent / "studies" / "s01_single_infusion.toml"
RESULT = HERE / "results" / "run_killed.txt"
OPTIONS = ("--patients", "1200", "--no-audit")
SHARDS = ("--shard", "120")  # a store that is gone on with has its own
RESUME = ("--resume",)
KILLS = 20
MOST_TRIES = 60


def begin(store: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin a run, or go on with it, in a process of its own."""
    command = [sys.executable, "-m", "ketjax", "run", str(STUDY), *OPTIONS, "--out", str(store)]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen([*command, *options], stdout=nowhere, stderr=nowhere)


def killed(process: subprocess.Popen[bytes], wait: float) -> bool:
    """Kill a run after so many seconds; whether it still ran."""
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def shards_of(store: Path) -> int:
    """Shards that are finished."""
    return len(list((store / "journal").glob("shard-*.json")))


def data_of(store: Path) -> dict[str, str]:
    """Digest of every file that holds numbers."""
    return {
        str(file.relative_to(store)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(store.glob("*/c/**/*"))
        if file.is_file()
    }


def main() -> None:
    """Compare a disturbed run with an undisturbed one and keep what was seen."""
    chance, moments = random.Random(1), []
    with tempfile.TemporaryDirectory() as name:
        whole, disturbed = Path(name) / "whole.zarr", Path(name) / "disturbed.zarr"
        # The first run keeps its programs for those that follow.
        failed = begin(Path(name) / "first.zarr", *SHARDS).wait()
        before = time.perf_counter()
        if failed or begin(whole, *SHARDS).wait():
            raise SystemExit("the undisturbed run failed")
        longest = time.perf_counter() - before
        for _ in range(MOST_TRIES):
            if len(moments) == KILLS:
                break
            again = RESUME if disturbed.exists() else SHARDS
            wait = chance.uniform(0.0, longest)
            if killed(begin(disturbed, *again), wait):
                moments.append(f"{wait:.1f} s ({shards_of(disturbed)})")
            elif shards_of(disturbed) == shards_of(whole):
                shutil.rmtree(disturbed)  # it came to its end: from the start again
        code = begin(disturbed, *(RESUME if disturbed.exists() else SHARDS)).wait()
        verify = subprocess.run(
            [sys.executable, "-m", "ketjax", "verify", str(disturbed)], capture_output=True
        )
        same = data_of(disturbed) == data_of(whole)
        files, left = len(data_of(whole)), len(list(Path(name).rglob("*.partial")))
    text = (
        f"Killed {len(moments)} times, after (shards finished by then): {', '.join(moments)}.\n"
        f"An undisturbed run takes {longest:.1f} s. The last run ended with {code}, verify with "
        f"{verify.returncode}.\n"
        f"{files} files of numbers: {'the same bytes' if same else 'DIFFER'}; "
        f"{left} folders of templates that were cut off lie beside the store.\n"
    )
    sys.stdout.write(text)
    RESULT.write_text(text, encoding="utf-8")
    if code or verify.returncode or not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
