"""The command line as users meet it: the first command, and how it scales with patients."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, Figure, NotMeasured, cores, median_of

STUDY = ROOT / "studies" / "s01_single_infusion.toml"
SCALING = ROOT / "benchmarks" / "scaling.toml"
COLD, WARM = 40.0, 8.0  # most seconds of the first command
# Linux counts the memory of the process that starts a command as the command's own: a small process
# stands between, and says what the command took.
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(1 if status else 0)
"""
FLAT = 1.1  # most time of a patient over the least, over sizes of population
MEMORY = 4.0 * 2**30 / 1e9  # most resident memory [GB]


def ketjax_run(
    patients: int, folder: Path, cache: Path | None = None, study: Path = STUDY
) -> tuple[float, float, dict[str, Any]]:
    """`ketjax run` in a process of its own.

    Args:
        patients: Number of patients.
        folder: Where the store goes.
        cache: Folder of compiled programs; the user's own if None.
        study: What is run.

    Returns:
        Wall time [s], peak resident memory [GB], attributes of the store.

    Raises:
        NotMeasured: The command failed.
    """
    store = folder / f"{patients}.zarr"
    command = [sys.executable, "-m", "ketjax", "run", str(study), "--patients", str(patients)]
    command += ["--out", str(store), "--overwrite"]
    surroundings = dict(os.environ)
    if cache is not None:
        surroundings["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    seconds, peak = alone(command, folder, surroundings)
    return seconds, peak, _provenance(store)


def alone(
    command: list[str], folder: Path, surroundings: dict[str, str] | None = None
) -> tuple[float, float]:
    """A command in a process of its own.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        surroundings: Environment, this process's own if None.

    Returns:
        Wall time [s] and peak resident memory [GB].

    Raises:
        NotMeasured: The command failed.
    """
    memory = folder / "memory"
    launched = [sys.executable, "-S", "-c", LAUNCHER, str(memory), *command]
    with tempfile.TemporaryFile() as messages:
        before = time.perf_counter()
        process = subprocess.run(
            launched, cwd=folder, env=surroundings, stdout=messages, stderr=messages
        )
        seconds = time.perf_counter() - before
        if process.returncode:
            messages.seek(0)
            tail = messages.read().decode(errors="replace").strip()[-300:]
            name = " ".join(command[1:4])
            raise NotMeasured(f"{name} ended with {process.returncode}: {tail}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return seconds, int(memory.read_text()) * unit / 1e9


def _provenance(store: Path) -> dict[str, Any]:
    """What the run wrote about itself: the object that holds `solving_seconds`."""

    def search(value: Any) -> dict[str, Any] | None:
        if isinstance(value, dict):
            if "solving_seconds" in value:
                return value
            return next((found for part in value.values() if (found := search(part))), None)
        return None

    found = search(json.loads((store / "zarr.json").read_text()).get("attributes"))
    if found is None:
        raise NotMeasured("the store does not say how long the solver took")
    return found


def measure_first(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Wall time of the first command from an empty cache of programs, and again."""
    patients = 64 if quick else 10_000
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for repetition in range(repetitions):
            cache = folder / f"cache{repetition}"
            cold.append(ketjax_run(patients, folder, cache)[0])
            warm.append(ketjax_run(patients, folder, cache)[0])
    note = f"ketjax run, first study, {patients} patients, {cores()} cores"
    for kind, seconds, target in (("cold", cold, COLD), ("warm", warm, WARM)):
        yield median_of(
            f"first command, {kind}",
            seconds,
            "s",
            target=None if quick else target,
            most=True,
            note=note,
        )


def measure_scaling(
    quick: bool, repetitions: int, *, large: bool, folder: Path
) -> Iterator[Figure]:
    """Time of a patient and peak memory for growing populations; draws the figure.

    Each size runs once: a run is many blocks, and the time of a patient is their mean.
    """
    del repetitions
    sizes = [64, 256] if quick else [10_000, 100_000, 1_000_000, *([10_000_000] if large else [])]
    done: list[int] = []
    each, memory = [], []
    with tempfile.TemporaryDirectory() as name:
        for patients in sizes:
            seconds, peak, provenance = ketjax_run(patients, Path(name), study=SCALING)
            shutil.rmtree(Path(name) / f"{patients}.zarr")
            done.append(patients)
            each.append(1e3 * provenance["solving_seconds"] / patients)
            memory.append(peak)
            details = {"wall_seconds": seconds, "provenance": provenance}
            note = f"solver, three arms, {cores()} cores; {seconds:.0f} s in all"
            yield Figure(f"{patients} patients", each[-1], "ms/patient", note=note, details=details)
            yield Figure(
                f"{patients} patients, peak memory",
                peak,
                "GB",
                None if quick else MEMORY,
                most=True,
            )
    yield Figure(
        "time of a patient, most over least", max(each) / min(each), "times",
        None if quick else FLAT, most=True, note=f"{sizes[0]} to {sizes[-1]} patients",
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    draw_scaling(done, each, memory, folder / "scaling.png")


def draw_scaling(
    patients: list[int], milliseconds: list[float], gigabytes: list[float], path: Path
) -> None:
    """Time of a patient and peak memory against the number of patients."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(drawing)
    for axes, values, label in zip(
        drawing.subplots(1, 2),
        (milliseconds, gigabytes),
        ("solver time [ms/patient]", "peak resident memory [GB]"),
        strict=True,
    ):
        axes.plot(patients, values, "o-", color="black")
        axes.set(xscale="log", xlabel="patients", ylabel=label, ylim=(0, 1.15 * max(values)))
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=150)
