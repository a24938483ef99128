"""What weights cost: `ketjax weights` on a store of a million patients made from formulas.

The targets are what another population does, in which the treatment works better: mean change and
response in two arms at five hours.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.commands import alone
from benchmarks.record import Figure, cores, median_of
from ketjax import dataset as ds

ARMS = ("ketamine", "midazolam")
HOURS = (0.0, 2.0, 24.0, 72.0, 168.0, 336.0)
SHARD = 65_536
MOST_SECONDS = 30.0


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Wall time and peak memory of the command, from start to weights on disk."""
    patients = 10_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = write_store(folder / "synthetic.zarr", patients)
        manifest = folder / "targets.toml"
        manifest.write_text(targets(), encoding="utf-8")
        command = [sys.executable, "-m", "ketjax", "weights", str(manifest), "--store", str(store)]
        command += ["--overwrite"]
        seconds, memory = zip(*(alone(command, folder) for _ in range(repetitions)), strict=True)
        kept = ds.open_store(store)["weight"].attrs
    note = (
        f"{patients} patients, 20 targets, {cores()} cores; "
        f"effective sample size {kept['effective_sample_size']:,.0f}"
    )
    limit = None if quick else MOST_SECONDS
    yield median_of("weights", seconds, "s", target=limit, most=True, note=note)
    yield median_of("weights, peak memory", memory, "GB")


def courses(random: np.random.Generator, number: int, effect: float = 1.0) -> dict:
    """Scores of some patients, by formulas, as a store takes them."""
    entry = random.uniform(26.0, 40.0, number)
    gain = np.exp(0.4 * random.standard_normal(number))
    lasting = 168.0 * np.exp(0.5 * random.standard_normal(number))
    time = np.asarray(HOURS)[:, None]
    course = (1.0 - np.exp(-time / 4.0)) * np.exp(-time / lasting)
    strength = np.array([0.45 * effect, 0.3])[:, None, None]
    score = entry * np.clip(1.0 - strength * gain * course, 0.0, 1.2)
    rated = np.clip(np.round(score + random.normal(0.0, 3.0, score.shape)), 0.0, 60.0)
    return {
        "madrs_rated": rated.astype(np.float32),
        "baseline_madrs": entry,
        "status": np.zeros((len(ARMS), number), np.int8),
    }


def write_store(path: Path, patients: int) -> Path:
    """A complete store."""
    ds.create(
        path,
        [
            ds.readout("madrs_rated", "points", "depression score as a rater gives it"),
            ds.trait("baseline_madrs", "points", "depression score at entry", dtype="float64"),
        ],
        ds.Coordinates(ARMS, (), HOURS, patients),
        shard=SHARD,
        digest="0" * 64,
        attributes={"study": "synthetic", "seed": 1, "ketjax_version": "0"},
        provenance={"note": "made from formulas"},
    )
    for index, start in enumerate(range(0, patients, SHARD)):
        number = min(SHARD, patients - start)
        ds.write_shard(path, index, courses(np.random.default_rng([1, index]), number))
    ds.finish(path)
    return path


def targets() -> str:
    """What another population does, as a manifest."""
    other = courses(np.random.default_rng(2), 100_000, effect=1.15)
    change = other["madrs_rated"] - other["baseline_madrs"]
    response = other["madrs_rated"] <= 0.5 * other["baseline_madrs"]
    blocks = []
    for i, arm in enumerate(ARMS):
        for j, hour in enumerate(HOURS[1:], start=1):
            place = f'arm = "{arm}"\nreadout = "madrs_rated"\ntime = "{hour:g} h"\n'
            blocks.append(
                f'[[targets]]\nname = "{arm}_change_{hour:g}"\n{place}measure = "change"\n'
                f'statistic = "mean"\nvalue = "{change[i, j].mean():.4f} points"\n'
            )
            blocks.append(
                f'[[targets]]\nname = "{arm}_response_{hour:g}"\n{place}'
                f'statistic = "response"\nvalue = {response[i, j].mean():.5f}\n'
            )
    return "\n".join(blocks)
