"""What a sensitivity analysis costs: Sobol indices over all uncertain parameters of a study.

All readouts and times, three arms, 1,024 base samples; rows, indices with bootstrap at four sizes,
tables and figures, from the start of the command. Processor time stands beside: other programs do
not stretch it as they stretch wall time.
"""

import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import STUDY, alone
from benchmarks.record import Figure, cores, median_of
from ketjax.dataset import read_attributes
from ketjax.sensitivity.groups import open_group

MOST_SECONDS = 900.0


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Wall time, processor time and peak memory of the command; one repetition of the whole."""
    samples = 16 if quick else 1024
    walls, memories, processors = [], [], []
    rows = parameters = 0
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "s01.sensitivity.zarr"
        command = [sys.executable, "-m", "ketjax", "sensitivity", str(STUDY), "--overwrite"]
        command += ["--samples", str(samples), "--out", str(store)]
        for _ in range(min(repetitions, 2) if quick else 1):
            before = _seconds_of_children()
            wall, memory = alone(command, Path(name))
            walls.append(wall)
            memories.append(memory)
            processors.append(_seconds_of_children() - before)
        rows = int(read_attributes(store)["patients"])
        parameters = open_group(store, "design").sizes["parameter"]
    note = f"{parameters} parameters, {samples} base samples, {rows:,} rows, {cores()} cores"
    limit = None if quick else MOST_SECONDS
    yield median_of("sensitivity", walls, "s", target=limit, most=True, note=note)
    yield median_of("sensitivity, processor", processors, "s")
    yield median_of("sensitivity, peak memory", memories, "GB")


def _seconds_of_children() -> float:
    """Processor time of all commands so far [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
