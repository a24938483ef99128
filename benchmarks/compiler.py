"""How the march is compiled: flags of XLA, HLO passes, patients in a block, devices.

Each setting differs in one thing from what the product sets (`ketjax.backend`,
`ketjax.solve.compilation`, `ketjax.simulate.BLOCK`) and runs in a process of its own, without the
cache of compiled programs. What is timed is the compiled window program of the march on all cores:
the first 64 steps of the model's mesh. The product runs at the beginning and at the end of each
model's settings, so that a change of the machine's load in between shows.
"""

import dataclasses
import json
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax

from benchmarks.compiler_trial import MODELS, Order
from benchmarks.course import course
from benchmarks.record import ROOT, Figure, NotMeasured, cores, median_of
from ketjax.backend import DEVICES, EXTRA, FUSION, WIDTH, prepared
from ketjax.simulate import BLOCK, Simulation
from ketjax.solve import RODAS3, RODAS5P, ROS4, Mesh, System
from ketjax.solve.integrate import BLOCK as SMALL_BLOCK

LONGEST = {"course": 70.0, "POLLU": 45.0, "Lorenz": 45.0}
"""Most seconds of one setting that does not say otherwise."""
BLOCKS = {"course": BLOCK, "POLLU": SMALL_BLOCK, "Lorenz": SMALL_BLOCK}
"""Patients that the product marches together on each device."""
WITHIN = 1.1
"""The product's time over that of the best setting that still passes."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to compile.

    Attributes:
        name: What differs from the product.
        flags: Flags of XLA; ketjax adds those of its own that are not there.
        enabled: HLO passes that the product disables and that run here.
        block: Patients in a block for each core; the product's if None.
        fusion: Whether ketjax may switch multi-output fusion on. XLA looks at the name of that
            option and not at its value: it is off only where it is not named.
        longest: Most seconds that it may take; those of the model if None.
    """

    name: str
    flags: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    block: int | None = None
    fusion: bool = True
    longest: float | None = None


# So many bytes that every loop counts as small.
WHOLE = f"{EXTRA}=xla_cpu_small_while_loop_byte_threshold=100000000"
LOOP_PASSES = ("while-loop-invariant-code-motion", "while-loop-fusible-sinking")
PRODUCT = Setting("product")
AGAIN = Setting("product, again")
SETTINGS = (
    # With the fusion pass on all the same: the product then switches the pass off.
    Setting("fusions of one output", enabled=("fusion",), fusion=False, longest=100.0),
    Setting("no fusion", fusion=False),
    Setting("vectors of 256 bits", (f"{WIDTH}=256",)),
    Setting("passes on loops", enabled=LOOP_PASSES),
    Setting("loop as one kernel", (WHOLE,)),
    Setting("loop as one kernel, block 64", (WHOLE,), block=64),
    Setting("one device", (f"{DEVICES}=1",)),
)
SIZES = tuple(
    Setting(f"block {size}", block=size)
    for size in (64, 256, 512, 768, 896, 1024, 2048)
    if size != BLOCK
)


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Time of a patient and step with each setting, and the best of each model."""
    if jax.default_backend() != "cpu":
        raise NotMeasured("the settings are those of the CPU compiler")
    repetitions = repetitions if quick else max(5, repetitions)
    for model in ("POLLU", "Lorenz") if quick else MODELS:
        block = 64 if quick else BLOCKS[model]
        mesh = MODELS[model](block * cores()).mesh
        figures: dict[str, Figure] = {}
        for setting in settings_of(model, quick):
            order = Order(
                model, mesh, (setting.block or block) * cores(), setting.enabled, repetitions
            )
            figures[setting.name] = figure_of(setting, order, setting.longest or LONGEST[model])
            yield figures[setting.name]
        yield from verdicts(model, figures, quick)
    if not quick:
        yield from steps_of_methods()


def settings_of(model: str, quick: bool) -> tuple[Setting, ...]:
    """The settings of a model, in the order in which they are measured."""
    if quick:
        return (PRODUCT, Setting("loop as one kernel", (WHOLE,)))
    return (PRODUCT, *SETTINGS, *(SIZES if model == "course" else ()), AGAIN)


def surroundings(setting: Setting, folder: Path) -> dict[str, str]:
    """Environment of a process that measures a setting.

    What ketjax set in this process goes; what the user set stays.

    Args:
        setting: The setting.
        folder: Where a file of flags may be written: ketjax adds none to those of a file.

    Returns:
        The environment.
    """
    found = prepared()
    environment = dict(os.environ)
    flags = " ".join((*found.flags_found, *setting.flags))
    if not setting.fusion:
        every = (*found.flags_found, *found.flags_added, *setting.flags)
        file = folder / "flags"
        file.write_text("\n".join(flag for flag in every if FUSION not in flag))
        flags = str(file)
    environment["XLA_FLAGS"] = flags
    if found.cpu_devices is not None or any(DEVICES in flag for flag in setting.flags):
        environment.pop("JAX_NUM_CPU_DEVICES", None)
    environment["KETJAX_CACHE"] = "off"
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    return environment


def figure_of(setting: Setting, order: Order, longest: float) -> Figure:
    """Measure a setting; one that fails or takes too long has no value."""
    name = f"{order.model}: {setting.name}"
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "order"), Path(folder, "found")
        asked.write_bytes(pickle.dumps(order))
        command = [sys.executable, "-m", "benchmarks.compiler_trial", str(asked), str(answer)]
        ended, peak = run(command, surroundings(setting, Path(folder)), longest)
        if ended or not answer.exists():
            note = f"{ended or 'no answer'}, {peak:.1f} GB"
            return Figure(name, None, "us", note=note, details={"peak_gigabytes": peak})
        found: dict[str, Any] = json.loads(answer.read_text())
    note = (
        f"{1e6 * found['processor_seconds']:.3g} us of processors; compiled in"
        f" {found['compiling_seconds']:.1f} s: {found['fusions']} fusions,"
        f" {found['others']} others, {found['temporary_bytes'] / 1e6:.1f} MB temporary;"
        f" {order.lanes} patients, {found['devices']} devices, peak at most {peak:.1f} GB"
    )
    found |= {"peak_gigabytes": peak, "flags": setting.flags, "enabled": setting.enabled}
    each = [1e6 * second for second in found["seconds"]]
    return median_of(name, each, "us", note=note, details=found)


def run(command: list[str], environment: dict[str, str], longest: float) -> tuple[str, float]:
    """Run a command; kill it when its time is over.

    Args:
        command: The command.
        environment: Its environment.
        longest: Most seconds.

    Returns:
        Why it has no result, empty if it ended well; an upper bound of its peak resident
        memory [GB]: on Linux no less than that of this process.
    """
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=messages, stderr=messages
        )
        end, killed = time.monotonic() + longest, False
        try:
            while not (found := os.wait4(process.pid, os.WNOHANG))[0]:
                if not killed and time.monotonic() > end:
                    process.send_signal(signal.SIGKILL)
                    killed = True
                time.sleep(0.02)
        except BaseException:
            process.kill()
            raise
        _, status, usage = found
        process.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        tail = messages.read().decode(errors="replace").strip()[-300:]
    # Linux counts in KiB, macOS in bytes.
    peak = usage.ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0) / 1e9
    if killed:
        return f"killed after {longest:g} s", peak
    return (f"ended with {process.returncode}: {tail}" if process.returncode else ""), peak


def verdicts(model: str, figures: dict[str, Figure], quick: bool = False) -> Iterator[Figure]:
    """How much longer the product takes than the best setting, by the clock and by processors.

    The time of processors depends less on other programs of the machine, but does not see a
    processor that waits: settings that leave devices unused do not take part in it.

    Args:
        model: Name of the model.
        figures: Figure of each setting by its name.
        quick: Whether the figures say nothing, so that none of them passes or fails.

    Yields:
        The two ratios; without a target where the product's own runs differ by more than that.
    """
    done = {setting: figure for setting, figure in figures.items() if figure.value is not None}
    own = [done[name] for name in (PRODUCT.name, AGAIN.name) if name in done]
    if not own:
        yield Figure(f"{model}: product over best", None, "", note="the product was not measured")
        return
    every = own[0].details["devices"]
    for kind, time_of in (("the clock", _clock), ("processors", _processors)):
        runs = [time_of(figure) for figure in own]
        times = {PRODUCT.name: statistics.mean(runs)}
        for setting, figure in done.items():
            full = kind == "the clock" or figure.details["devices"] == every
            if full and setting not in (PRODUCT.name, AGAIN.name):
                times[setting] = time_of(figure)
        best = min(times, key=times.__getitem__)
        busy = max(runs) > WITHIN * min(runs)
        yield Figure(
            f"{model}: product over best by {kind}",
            times[PRODUCT.name] / times[best],
            "times",
            None if quick or busy else WITHIN,
            most=True,
            note=f"best: {best}, {times[best]:.3g} us against {times[PRODUCT.name]:.3g} us"
            + (f"; runs of the product: {min(runs):.3g} to {max(runs):.3g} us" if busy else ""),
            details={"best": best, "microseconds": times, "product_microseconds": runs},
        )


def _clock(figure: Figure) -> float:
    """Median time for a patient and step [us]."""
    return statistics.median(figure.repetitions)


def _processors(figure: Figure) -> float:
    """Time of all processors for a patient and step [us]."""
    return 1e6 * figure.details["processor_seconds"]


def steps_of_methods() -> Iterator[Figure]:
    """Steps of the course's mesh with each method at the default tolerance."""
    problem = course(False)
    own, system = problem.simulation, problem.system
    yield _steps(system, own.mesh)
    original = System.make_mesh

    for method in (RODAS3, ROS4, RODAS5P):

        def make_mesh(system: System, *arguments: Any, **options: Any) -> Mesh:
            # No more than the pilot: the march that the block is meant for does not follow.
            return original(system, *arguments, **options | {"block": options["pilot"]})

        with mock.patch.object(System, "make_mesh", make_mesh):
            simulation = Simulation(
                problem.recipe, own.treatments, own.times.tolist(), names=own.names,
                rtol=system.rtol, dtype=str(own.dtype), method=method,
            )  # fmt: skip
        yield _steps(simulation.system, simulation.mesh)


def _steps(system: System, mesh: Mesh) -> Figure:
    """Steps of a mesh of the course."""
    method = system.method
    return Figure(
        f"course: steps of {method.name}",
        mesh.steps,
        "steps",
        note=f"{method.stages} stages, rtol {system.rtol:g}"
        + ("" if mesh.status == 0 else f"; the pilot ended early, status {mesh.status}"),
    )
