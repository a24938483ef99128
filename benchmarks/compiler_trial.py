"""One setting of the compiler on one model, in a process of its own.

    python -m benchmarks.compiler_trial ORDER FOUND

`benchmarks.compiler` writes the order, a pickled `Order`, and reads what was found, a JSON object.
Flags of XLA stand in the environment, because jax reads them once, when it starts.
"""

import dataclasses
import json
import math
import pickle
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks import pollu
from benchmarks.course import ARM, course
from benchmarks.record import seconds_of
from ketjax.population import draw
from ketjax.solve import Mesh, System, compilation, devices, march

PASSES = "xla_disable_hlo_passes"
LORENZ_END = 20.0
SHORTEST = 0.2
"""Least duration of one timing [s]; short programs are called several times in it."""


@dataclasses.dataclass(frozen=True)
class Order:
    """What to measure.

    Attributes:
        model: Key of `MODELS`.
        mesh: Mesh of the model; its first steps are taken.
        lanes: Patients, on all devices together.
        enabled: HLO passes that the product disables and that run here.
        repetitions: Number of timings.
    """

    model: str
    mesh: Mesh
    lanes: int
    enabled: tuple[str, ...] = ()
    repetitions: int = 5


@dataclasses.dataclass(frozen=True)
class Problem:
    """A model ready to march.

    Attributes:
        system: The equations with their compiled programs.
        mesh: The steps.
        inputs: Start, parameters, forcing and impulses of the patients.
        double: Whether jax is to allow numbers of 64 bits meanwhile, as the product does.
    """

    system: System
    mesh: Mesh
    inputs: tuple
    double: bool


def course_problem(lanes: int) -> Problem:
    """The first patients of the course."""
    problem = course(False)
    simulation = problem.simulation
    with jax.enable_x64(True):
        found = simulation.lanes(draw(problem.recipe, np.arange(lanes)))
    inputs = (found.y0, found.parameters, found.forcing, found.impulses)
    if list(simulation.treatments) != [ARM]:
        raise ValueError("the course has more than one arm: lanes are no longer patients")
    return Problem(simulation.system, simulation.mesh, inputs, True)


def pollu_problem(lanes: int) -> Problem:
    """POLLU with one rate swept, float32."""
    own = pollu.Own(lanes, "float32", pollu.RTOL, pollu.ATOL)
    start, parameters = own._arrays(pollu.sweep_of(lanes))
    mesh = own.system.make_mesh(start, parameters, (0.0, pollu.END), block=lanes)
    return Problem(own.system, mesh, (start, parameters, None, None), False)


def lorenz(t: Any, y: tuple, parameters: tuple) -> tuple:
    """The equations of Lorenz (1963), doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2 [1]."""
    del t
    x, y_, z = y
    return 10.0 * (y_ - x), x * (parameters[0] - z) - y_, x * y_ - (8.0 / 3.0) * z


def lorenz_problem(lanes: int) -> Problem:
    """Lorenz with the heating swept to 21, below chaos, so that all can share a mesh; float32."""
    start = tuple(np.full(lanes, value, np.float32) for value in (1.0, 0.0, 0.0))
    parameters = (np.linspace(0.0, 21.0, lanes, dtype=np.float32),)
    system = System(lorenz, start, parameters, rtol=1e-5, atol=1e-6)
    mesh = system.make_mesh(start, parameters, (0.0, LORENZ_END), block=lanes)
    return Problem(system, mesh, (start, parameters, None, None), False)


MODELS: dict[str, Callable[[int], Problem]] = {
    "course": course_problem,
    "POLLU": pollu_problem,
    "Lorenz": lorenz_problem,
}


class Program:
    """A function compiled as the product compiles it, but for passes that are enabled again.

    Attributes:
        compiled: The executable; None before the first call.
        seconds: Time of tracing and lowering, and of compilation [s].
    """

    def __init__(self, function: Callable[..., Any], enabled: tuple[str, ...] = ()) -> None:
        """Nothing is compiled yet."""
        self._program = jax.jit(function, compiler_options=options(enabled))
        self.compiled: Any = None
        self.seconds = (0.0, 0.0)

    def __call__(self, *arguments: Any) -> Any:
        """Run; the first call compiles."""
        if self.compiled is None:
            before = time.perf_counter()
            lowered = self._program.lower(*arguments)
            middle = time.perf_counter()
            self.compiled = lowered.compile()
            self.seconds = (middle - before, time.perf_counter() - middle)
        return self._program(*arguments)


def options(enabled: tuple[str, ...]) -> dict[str, str]:
    """The compiler options of the product, less the HLO passes that are to run.

    Raises:
        ValueError: The product does not disable such a pass.
    """
    asked: dict[str, str] = {}

    def jit(function: Any, compiler_options: dict[str, str] | None = None) -> Any:
        asked.update(compiler_options or {})
        return function

    with mock.patch.object(compilation.jax, "jit", jit):
        compilation.compile_program(lambda: None)
    passes = asked.pop(PASSES).split(",")
    if unknown := set(enabled) - set(passes):
        raise ValueError(f"not among the disabled passes {passes}: {sorted(unknown)}")
    left = ",".join(name for name in passes if name not in enabled)
    return asked | ({PASSES: left} if left else {})


def operations(text: str) -> Counter[str]:
    """How often each operation stands in optimised HLO, those inside of fusions left out."""
    inside = set(re.findall(r" fusion\(.*calls=%?([\w.\-]+)", text))
    found: Counter[str] = Counter()
    skip = False
    for line in text.splitlines():
        if header := re.match(r"(?:ENTRY )?%?([\w.\-]+) (?:\(.*)?\{$", line):
            skip = header[1] in inside
        elif not skip and (operation := re.search(r" = .*?\s([a-z][a-z\-]*)\(", line)):
            found[operation[1]] += 1
    return found


def counts(text: str) -> dict[str, int]:
    """Fusions, other operations that compute, and loops that are compiled as one kernel."""
    found = operations(text)
    nothing = ("fusion", "parameter", "constant", "tuple", "get-tuple-element", "bitcast")
    others = sum(count for name, count in found.items() if name not in nothing)
    return {
        "fusions": found["fusion"],
        "fusions_of_several_outputs": len(re.findall(r" = \(.*\) fusion\(", text)),
        "others": others,
        "loops_as_kernels": len(re.findall(r'xla_cpu_small_call"?[=:] ?"true"', text)),
    }


def measure(order: Order) -> dict[str, Any]:
    """Compile and time the march alone.

    Returns:
        Seconds of each timing for a patient and step, those of all processors together, which
        other programs of the machine change less, and what the compiler made.
    """

    def compile_program(function: Callable[..., Any], *_: Any) -> Program:
        return Program(function, order.enabled)

    with (
        # The mesh is made once, not for each setting.
        mock.patch.object(System, "make_mesh", lambda *_, **__: order.mesh),
        mock.patch.object(march, "compile_program", compile_program),
        # Small blocks, too, are measured on all devices.
        mock.patch.object(devices, "SMALLEST_SHARE", 1),
    ):
        problem = MODELS[order.model](order.lanes)
        system, mesh, steps = problem.system, problem.mesh, min(march.WINDOW, problem.mesh.steps)
        schedule = [part[:steps] for part in (mesh.start, mesh.length, mesh.segment, mesh.first)]
        end = float(mesh.start[steps - 1] + mesh.length[steps - 1])
        with jax.enable_x64(problem.double):
            block = system._place(*problem.inputs)
            error = devices.place(np.zeros(order.lanes, block.y.dtype), 0, order.lanes)

            def run() -> Any:
                return jax.block_until_ready(
                    system._advance_block(block, block.y, error, schedule, [steps], [end], np.inf)
                )

            largest = float(np.max(run()[1]))
            calls = math.ceil(SHORTEST / min(seconds_of(run, 2)))
            before = time.process_time()
            several = seconds_of(lambda: [run() for _ in range(calls)], order.repetitions)
            processor = (time.process_time() - before) / order.repetitions
    program: Any = system._advance_program
    memory = program.compiled.memory_analysis()
    taken = calls * order.lanes * steps
    return {
        "seconds": [second / taken for second in several],
        "processor_seconds": processor / taken,
        "calls": calls,
        "steps": steps,
        "lanes": order.lanes,
        "devices": devices_of(order.lanes),
        "states": len(system.kept),
        "error": largest,
        "tracing_seconds": program.seconds[0],
        "compiling_seconds": program.seconds[1],
        "temporary_bytes": memory.temp_size_in_bytes,
        **counts(program.compiled.as_text()),
    }


def devices_of(lanes: int) -> int:
    """Devices that share these patients when no share is too small."""
    return jax.device_count() if lanes % jax.device_count() == 0 else 1


def main() -> None:
    """Read the order, measure, write."""
    order, found = map(Path, sys.argv[1:])
    result = measure(pickle.loads(order.read_bytes()))
    found.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
