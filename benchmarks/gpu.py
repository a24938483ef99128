"""The GPU in under ten minutes: `python benchmarks/gpu.py [--quick] [--only PART ...]`.

Each part runs in a process of its own with a limit, so that one that fails or compiles for ever
costs the others nothing. Every figure is printed as a line of JSON as soon as it is there, and all
lines are in `gpu.jsonl` in the folder `$OUT`, or benchmarks/results, or out/benchmarks if quick. It
needs ketjax beside it, jax, numpy and scipy; POLLU against diffrax needs diffrax too.

Times are device times: inputs are on the device, readouts are reduced there, and each figure is the
median of its repetitions after one that compiled.
"""

import argparse
import functools
import json
import os
import pickle
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

LIMIT = 560.0  # of all parts together [s]
PARTS = {
    "device": 90,
    "lorenz": 120,
    "pollu": 150,
    "kernel": 260,
    "plain": 300,
}
"""Part: its own limit [s]. The reference on the CPU runs beside them."""

REFERENCE = "gpu_reference"  # files of the reference, removed at the end
WITH_REFERENCE = {"kernel", "plain"}


def main() -> int:
    """Run the parts one after another while there is time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work?")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help="only these parts")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    # Quick figures say nothing, so they do not replace those that do.
    usual = ROOT / "out" / "benchmarks" if options.quick else ROOT / "benchmarks" / "results"
    folder = Path(os.environ.get("OUT") or usual)
    folder.mkdir(parents=True, exist_ok=True)
    if options.part:
        return run_part(options.part, options.quick, folder)

    began = time.monotonic()
    wanted = options.only or list(PARTS)
    (folder / "gpu.jsonl").write_text("")
    command = [sys.executable, "-u", __file__, *(["--quick"] if options.quick else [])]
    reference = None
    for old in folder.glob(f"{REFERENCE}_*"):
        old.unlink()
    if WITH_REFERENCE.intersection(wanted):
        surroundings = os.environ | {"JAX_PLATFORMS": "cpu"}
        reference = subprocess.Popen([*command, "--part", "reference"], env=surroundings)
    failed = False
    for part in wanted:
        left = LIMIT - (time.monotonic() - began)
        if left < 30:
            emit(folder, {"part": part, "skipped": f"{left:.0f} s are left of {LIMIT:.0f} s"})
            continue
        limit = min(left, PARTS[part])
        try:
            code = subprocess.run([*command, "--part", part], timeout=limit).returncode
            if code:
                failed = True
                emit(folder, {"part": part, "failed": f"exit code {code}"})
        except subprocess.TimeoutExpired:
            emit(folder, {"part": part, "stopped": f"after {limit:.0f} s"})
    if reference is not None and reference.poll() is None:
        reference.kill()
    for old in folder.glob(f"{REFERENCE}_*"):
        old.unlink()
    emit(folder, {"part": "all", "seconds": round(time.monotonic() - began, 1)})
    return int(failed)


def run_part(part: str, quick: bool, folder: Path) -> int:
    """One part in this process; its figures are written as they come."""
    import ketjax  # noqa: F401 - chooses the settings of XLA before jax starts
    from benchmarks import gpu_parts

    try:
        if part == "reference":
            for name, found in gpu_parts.reference(quick):
                unfinished = folder / f"{REFERENCE}_{name}.unfinished"
                unfinished.write_bytes(pickle.dumps(found))
                unfinished.rename(folder / f"{REFERENCE}_{name}.pickle")
            return 0
        arguments: list[Any] = [quick]
        if part in WITH_REFERENCE:
            arguments.append(functools.partial(wait_for, folder))
        for figure in getattr(gpu_parts, part)(*arguments):
            emit(folder, {"part": part, **figure, "quick": quick})
    except Exception as error:
        traceback.print_exc()
        emit(folder, {"part": part, "failed": f"{type(error).__name__}: {str(error)[:500]}"})
        return 1
    return 0


@functools.cache
def wait_for(folder: Path, name: str, seconds: float = 240.0) -> Any:
    """What the process of the reference found for a course, once it is written."""
    path = folder / f"{REFERENCE}_{name}.pickle"
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError("the reference on the CPU did not end in time")
        time.sleep(0.5)
    return pickle.loads(path.read_bytes())


def emit(folder: Path, figure: dict[str, Any]) -> None:
    """Print a figure and add it to the file."""
    line = json.dumps(figure)
    print(line, flush=True)
    with (folder / "gpu.jsonl").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
