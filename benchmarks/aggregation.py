"""Aggregation over a store against reading it: rate, and memory by number of patients.

    python -m benchmarks.aggregation --patients 100000 --folder /tmp --repetitions 5

A store of formulas, 40 variables at 60 times, is written in the folder unless it is there from
before. The same store is then read, every chunk through Dask without anything done to it, and
summarised, in turns, so that what else the machine does falls on both.
"""

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np

from benchmarks.commands import alone
from benchmarks.record import ROOT, Figure, cores, median_of, table
from ketjax import dataset as ds
from ketjax.analysis import aggregate
from ketjax.backend import usable_cores

VARIABLES = tuple(f"readout_{number:02d}" for number in range(40))
TIMES = (0.0, *np.round(np.geomspace(0.1, 336.0, 59), 4).tolist())
SHARD = 65_536
LEAST_RATIO = 0.6
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
FLAT = 1.5  # most memory over the least, over sizes of the population
MEMORY = """
import sys
from ketjax.dataset import open_store
from ketjax.analysis import aggregate
aggregate(open_store(sys.argv[1]))
"""


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Rate of summarising over that of reading, and peak memory."""
    with tempfile.TemporaryDirectory() as name:
        yield from measure_in(Path(name), 4_000 if quick else 1_000_000, repetitions, quick)


def measure_in(
    folder: Path, patients: int, repetitions: int, quick: bool = False
) -> Iterator[Figure]:
    """The same with stores in a folder, the largest of so many patients."""
    gc.set_threshold(100_000)  # as the command `ketjax` does
    folder.mkdir(parents=True, exist_ok=True)
    store = write_store(folder / f"aggregation_{patients}.zarr", patients)
    numbers = patients * len(VARIABLES) * len(TIMES)
    seconds = {"read": [], "summarise": []}
    for _ in range(repetitions):
        for kind, action in (("read", read), ("summarise", summarise_all)):
            before = time.perf_counter()
            action(store)
            seconds[kind].append(time.perf_counter() - before)
    note = f"{patients:,} patients x {len(VARIABLES)} x {len(TIMES)}, {cores()} cores"
    note += f", load {os.getloadavg()[0]:.1f}"
    for kind, values in seconds.items():
        rates = [4e-9 * numbers / value for value in values]
        yield median_of(f"aggregation, {kind}", rates, "GB/s", note=note)
    ratio = statistics.median(seconds["read"]) / statistics.median(seconds["summarise"])
    least = None if quick else LEAST_RATIO
    yield Figure("aggregation, share of the read rate", ratio, "", least, note=note)
    peaks = []
    for size in (patients,) if quick else (size for size in SIZES if size <= patients):
        made = write_store(folder / f"aggregation_{size}.zarr", size)
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
        _, peak = alone([sys.executable, "-c", MEMORY, str(made)], folder, surroundings)
        peaks.append(peak)
        yield Figure(f"aggregation, peak memory of {size:,}", peak, "GB")
    if len(peaks) > 1:
        growth = peaks[-1] / peaks[-2]
        yield Figure("aggregation, memory at ten times the patients", growth, "times", FLAT, True)


def read(store: Path) -> None:
    """Read every chunk, and do nothing with it."""
    dataset = ds.open_store(store)
    touched = [
        dataset[name].data.map_blocks(_nothing, chunks=(1, 1, 1), meta=np.empty((0, 0, 0)))
        for name in VARIABLES
    ]
    dask.compute(touched)  # type: ignore[attr-defined]


def _nothing(block: np.ndarray) -> np.ndarray:
    return np.zeros((1, 1, 1))


def summarise_all(store: Path) -> None:
    """Quantiles and moments of every variable at every time, as `ketjax summarise` makes them."""
    aggregate(ds.open_store(store), VARIABLES, processes=usable_cores())


def write_store(path: Path, patients: int) -> Path:
    """A complete store of one arm; one that is there is taken."""
    if path.exists():
        ds.open_store(path)
        return path
    ds.create(
        path,
        [ds.readout(name, "1", "made from formulas", scale=1.0) for name in VARIABLES],
        ds.Coordinates(("ketamine",), (), TIMES, patients),
        shard=SHARD,
        digest="0" * 64,
        attributes={"study": "synthetic", "seed": 1, "ketjax_version": "0"},
        provenance={"note": "made from formulas"},
    )
    for index, start in enumerate(range(0, patients, SHARD)):
        number = min(SHARD, patients - start)
        status = {"status": np.zeros((1, number), np.int8)}
        random = np.random.default_rng([1, index])
        ds.write_shard(
            path,
            index,
            {name: _course(random, k, number) for k, name in enumerate(VARIABLES)} | status,
        )
    ds.finish(path)
    return path


def _course(random: np.random.Generator, k: int, number: int) -> np.ndarray:
    """Rise and decay of a variable, faster from one to the next; odd ones about a baseline of 1."""
    rate = np.float32(0.02 * 1.2**k) * np.exp(0.4 * random.standard_normal(number, np.float32))
    gain = np.exp(0.3 * random.standard_normal(number, np.float32))
    time_ = np.asarray(TIMES, np.float32)[:, None]
    course = gain * (np.exp(-rate * time_) - np.exp(-4 * rate * time_))
    return (course + np.float32(k % 2))[None]


def main() -> None:
    """Measure at the sizes that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True, help="where stores are made")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    for figure in measure_in(options.folder, options.patients, options.repetitions):
        sys.stdout.write(table([figure]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
