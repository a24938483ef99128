"""What a benchmark leaves behind: figures, with what they were measured on."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class NotMeasured(Exception):  # noqa: N818 - a result, not an error
    """A row cannot be measured here; the text says why."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: Median of the repetitions; None if not measured.
        unit: Unit of the value.
        target: What the value is compared with, if anything.
        most: True if the target is the most that passes, False if it is the least.
        repetitions: Every repetition, in the unit of the value.
        note: One line for the reader: counts, or why it was not measured.
        details: Further figures for the record.
    """

    name: str
    value: float | None
    unit: str
    target: float | None = None
    most: bool = False
    repetitions: tuple[float, ...] = ()
    note: str = ""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """Does the value meet its target? None without a value or a target."""
        if self.value is None or self.target is None:
            return None
        # A number of numpy compares to a truth of numpy, which JSON does not know.
        return bool(self.value <= self.target if self.most else self.value >= self.target)

    def record(self, machine: dict[str, Any]) -> dict[str, Any]:
        """The figure as a flat JSON object, with the machine it was measured on."""
        return dataclasses.asdict(self) | {"passed": self.passed} | machine


def median_of(name: str, repetitions: Iterable[float], unit: str, **rest: Any) -> Figure:
    """A figure from its repetitions."""
    values = tuple(repetitions)
    return Figure(name, statistics.median(values), unit, repetitions=values, **rest)


def seconds_of(action: Callable[[], Any], repetitions: int) -> list[float]:
    """Wall time of an action that ends only when its results are there [s]."""
    seconds = []
    for _ in range(repetitions):
        before = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - before)
    return seconds


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Commit, versions and hardware, the same for every figure of a run."""
    import jax

    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")}
    device = jax.devices()[0]
    return {
        "commit": _commit(),
        "versions": versions | {"python": platform.python_version()},
        "device": f"{device.platform} {device.device_kind}",
        "cores": cores(),
        "cpu": cpu_model(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cpu_model() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor, as Linux names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    return frozenset(flags[0]) if flags else frozenset()


def _commit() -> str:
    """Commit of the working tree, with a mark if files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", *arguments]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write(folder: Path, row: str, figures: Iterable[Figure], machine: dict[str, Any]) -> Path:
    """Write the figures of a row as JSON lines, in place of those of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{row}.jsonl"
    lines = [json.dumps({"row": row} | figure.record(machine)) for figure in figures]
    path.write_text("\n".join(lines) + "\n")
    return path


def table(figures: Iterable[Figure]) -> str:
    """Figures as lines of text: figure, measured, target, verdict."""
    rows = [("figure", "measured", "target", "verdict", "")]
    for figure in figures:
        target = (
            "" if figure.target is None else f"{'<=' if figure.most else '>='} {figure.target:g}"
        )
        verdict = {True: "pass", False: "FAIL", None: "-"}[figure.passed]
        measured = "not measured" if figure.value is None else _number(figure.value, figure.unit)
        rows.append((figure.name, measured, target, verdict, figure.note))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        lines.append("  ".join([*cells, row[4]]).rstrip())
    return "\n".join(lines)


def _number(value: float, unit: str) -> str:
    """A value to three digits, whole from a thousand."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip()
