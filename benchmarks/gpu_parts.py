"""The parts of the GPU benchmark; each yields figures as dictionaries."""

import collections
import functools
import math
import runpy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu_lorenz import lorenz, seconds_of
from ketjax.model import readouts
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Regimen, repeat
from ketjax.simulate import Simulation, Treatment
from ketjax.solve import Mesh, System
from ketjax.solve.devices import block_of
from ketjax.solve.kernel import LANES, Kernel, schedule_of
from ketjax.solve.march import STOPS, WINDOW
from ketjax.solve.structure import aval, trace

__all__ = ["device", "kernel", "lorenz", "plain", "pollu", "reference"]

ROOT = Path(__file__).parents[1]
Figure = dict[str, Any]
ARM = "ketamine"
DAY = 24.0
INFUSION = Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3)
FIRST_DAY = (0.0, 2 / 3, 1.0, 2.0, 4.0, DAY)
COURSES = {
    "single": ((INFUSION,), (*FIRST_DAY, 3 * DAY, 7 * DAY, 14 * DAY)),
    "course": (repeat(INFUSION, 84.0, 8), (*FIRST_DAY, *(84.0 * k for k in range(1, 9)))),
}
"""Name: doses and output times [h]."""

CHECKED = 256  # patients compared with the CPU
DRAWN = 8192  # patients drawn; larger blocks hold them again and again
SIZES = (100_000, 1_000_000, 10_000_000)
POLLU_SYSTEMS, POLLU_ATOL = 131_072, 1e-7
POLLU_MOST_STEPS = 4096  # of diffrax, which in float32 may otherwise go on for ever


def device(quick: bool) -> Iterator[Figure]:
    """What the device is, and what it reaches in a chain of FMAs and in a copy."""
    chosen = jax.devices()[0]
    yield {
        "name": "device",
        "kind": chosen.device_kind,
        "platform": chosen.platform,
        "multiprocessors": getattr(chosen, "core_count", None),
        "memory_bytes": (chosen.memory_stats() or {}).get("bytes_limit"),
        "jax": jax.__version__,
    }
    count, terms, rounds = (2**14, 64, 2) if quick else (2**24, 512, 16)

    @jax.jit
    def chains(x: jax.Array) -> jax.Array:
        def terms_of(_: Any, x: jax.Array) -> jax.Array:
            for _ in range(terms):
                x = x * 0.999 + 1e-3
            return x

        return jax.lax.fori_loop(0, rounds, terms_of, x)

    x = jnp.ones(count, jnp.float32)
    seconds = seconds_of(lambda: chains(x))
    yield {"name": "peak FLOP/s", "value": 2.0 * count * terms * rounds / seconds}
    large = jnp.ones(2**20 if quick else 2**29, jnp.float32)
    copy = jax.jit(lambda x: x + 1.0)
    seconds = seconds_of(lambda: copy(large))
    yield {"name": "peak bytes/s", "value": 2.0 * large.nbytes / seconds}


def reference(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Meshes, and readouts of some patients, from the CPU.

    Yields:
        The name of a course; its mesh, its readouts in float32 and float64 (readout, time, patient)
        and the scales of the readouts.
    """
    for name in COURSES:
        simulation = simulation_of(name, quick, None)
        columns = readouts.columns(simulation.computed)
        parts: dict[str, Any] = {
            "mesh": simulation.mesh,
            "scale": np.array([readouts.READOUTS[column].scale for column, _ in columns]),
        }
        for dtype in ("float32", "float64"):
            with jax.enable_x64(True):
                result = simulation.system.march(
                    simulation.mesh, *problem(simulation, CHECKED, dtype)
                )
            parts[dtype] = np.stack([np.asarray(leaf) for leaf in result.readouts])
        yield name, parts


def kernel(quick: bool, found: Callable[[str], dict[str, Any]]) -> Iterator[Figure]:
    """The whole trajectory in one kernel, with one and with two programs on a multiprocessor."""
    interpret = jax.default_backend() != "gpu"
    processors = getattr(jax.devices()[0], "core_count", 1)
    # Whole turns of every program, so that none waits for the last.
    block = CHECKED if interpret else 8 * processors * LANES
    sizes = () if interpret else SIZES
    for name, share in (("single", 1), ("course", 1), ("single", 2)):
        simulation = simulation_of(name, quick, found(name)["mesh"])
        marcher = Kernel(simulation.system, programs=share * processors, interpret=interpret)
        title = f"{name}, kernel, {share} on a multiprocessor"
        with jax.enable_x64(True):
            run = _kernel_run(marcher, simulation, block)
            before = time.perf_counter()
            seen, error, _ = jax.block_until_ready(run())
            compiling = time.perf_counter() - before
            seconds = seconds_of(run, 1 if interpret else 3)
            yield _correctness(title, seen, error, found(name)) | {"compiling_seconds": compiling}
            yield _throughput(f"{title}, block", simulation, block, block, seconds)
            for patients in sizes:
                blocks = math.ceil(patients / block)
                seconds = seconds_of(lambda: [reduced(run()[0]) for _ in range(blocks)], 1)  # noqa: B023
                yield _throughput(title, simulation, blocks * block, block, seconds)


def _kernel_run(marcher: Kernel, simulation: Simulation, patients: int) -> Callable[[], Any]:
    """The kernel on a block whose inputs are on the device."""
    y0, *rest = problem(simulation, patients, "float32")
    y = marcher.system._start(y0, rest[0])
    limit = np.float32(np.finfo(np.float32).max)
    schedule = schedule_of(simulation.mesh, np.dtype("float32"))
    arguments = jax.device_put((schedule, y, *rest, limit))
    return functools.partial(marcher._run, *arguments)


def plain(quick: bool, found: Callable[[str], dict[str, Any]]) -> Iterator[Figure]:
    """The march as compiled by XLA."""
    for name in COURSES:
        simulation = simulation_of(name, quick, found(name)["mesh"])
        with jax.enable_x64(True):
            before = time.perf_counter()
            result = simulation.system.march(
                simulation.mesh, *problem(simulation, CHECKED, "float32")
            )
            compiling = time.perf_counter() - before
        yield _correctness(f"{name}, plain", result.readouts, result.error, found(name)) | {
            "compiling_seconds": compiling
        }
        largest = 1024 if quick else block_of(jax.devices()[0])
        blocks = (1024,) if quick else (2**16, 2**18, 2**20)
        best = (0.0, 1024)
        for block in (size for size in blocks if size <= largest):
            with jax.enable_x64(True):
                seconds = seconds_of(_plain_run(simulation, block), 1)
            yield _throughput(f"{name}, plain block", simulation, block, block, seconds)
            best = max(best, (block / seconds, block))
        for patients in (2048,) if quick else SIZES[1:]:
            blocks_needed = math.ceil(patients / best[1])
            with jax.enable_x64(True):
                run = _plain_run(simulation, best[1])

                def all_blocks(run: Callable = run, count: int = blocks_needed) -> list[Any]:
                    return [run() for _ in range(count)]

                seconds = seconds_of(all_blocks, 1)
            count = blocks_needed * best[1]
            yield _throughput(f"{name}, plain", simulation, count, best[1], seconds)


def _plain_run(simulation: Simulation, patients: int) -> Callable[[], list[Any]]:
    """All windows of a block whose inputs are on the device, readouts reduced."""
    system, mesh = simulation.system, simulation.mesh
    block = system._place(*problem(simulation, patients, "float32"))

    def run() -> list[Any]:
        y, error, kept = jnp.copy(block.y), jnp.zeros(patients, jnp.float32), []
        for steps, counts, indices in mesh.windows(WINDOW, STOPS):
            schedule = [part[steps] for part in (mesh.start, mesh.length, mesh.segment, mesh.first)]
            now = [mesh.times[index] for index in indices]
            y, error, seen = system._advance_block(block, y, error, schedule, counts, now, np.inf)
            kept.append(reduced(seen))
        return kept

    return run


def pollu(quick: bool) -> Iterator[Figure]:
    """131,072 POLLU systems at rtol 1e-5 against diffrax Kvaerno3 in the same process."""
    count = 128 if quick else POLLU_SYSTEMS
    rates, start, rhs = _pollu_problem(count)
    before = time.perf_counter()
    system = System(rhs, start, rates, rtol=1e-5, atol=POLLU_ATOL)
    mesh = system.make_mesh(start, rates, (0.0, 60.0))
    interpret = jax.default_backend() != "gpu"
    result = system.march(mesh, start, rates)
    preparing = time.perf_counter() - before
    ends = np.stack([np.asarray(leaf)[-1] for leaf in result.readouts])
    figure = {"systems": count, "steps": mesh.steps, "preparing_seconds": preparing}
    block = system._place(start, rates, None, None)

    def windows() -> Any:
        y, error = jnp.copy(block.y), jnp.zeros(count, jnp.float32)
        for steps, counts, indices in mesh.windows(WINDOW, STOPS):
            schedule = [part[steps] for part in (mesh.start, mesh.length, mesh.segment, mesh.first)]
            now = [mesh.times[index] for index in indices]
            y, error, _ = system._advance_block(block, y, error, schedule, counts, now, np.inf)
        return y

    plain_seconds = seconds_of(windows, 3)
    yield {"name": "pollu, plain", "milliseconds": 1e3 * plain_seconds, **figure}
    best = plain_seconds
    if not interpret:
        marcher = Kernel(system, programs=4 * jax.devices()[0].core_count)
        y = system._start(start, rates)
        limit = np.float32(np.finfo(np.float32).max)
        schedule = schedule_of(mesh, y[0].dtype)
        arguments = jax.device_put((schedule, y, rates, None, None, limit))
        run = functools.partial(marcher._run, *arguments)
        seconds = seconds_of(run, 3)
        found = np.stack([np.asarray(leaf)[-1] for leaf in run()[0]])
        scale = np.abs(ends) + 1e-6
        difference = float(np.max(np.abs(found - ends) / scale))
        yield {
            "name": "pollu, kernel",
            "milliseconds": 1e3 * seconds,
            "difference": difference,
            **figure,
        }
        best = min(best, seconds)
    try:
        import diffrax
    except ImportError:
        yield {"name": "pollu, diffrax Kvaerno3", "not_measured": "diffrax is not installed"}
        return
    term = diffrax.ODETerm(lambda t, y, k: jnp.stack(rhs(t, tuple(y), tuple(k))))

    @jax.jit
    def solve(rates: jax.Array) -> jax.Array:
        def one(k: jax.Array) -> jax.Array:
            solution = diffrax.diffeqsolve(
                term, diffrax.Kvaerno3(), 0.0, 60.0, 60 / 1024, jnp.asarray(start), args=k,
                stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=POLLU_ATOL),
                max_steps=POLLU_MOST_STEPS, throw=False,
            )  # fmt: skip
            assert solution.ys is not None
            return jnp.where(solution.result == diffrax.RESULTS.successful, solution.ys[0], jnp.nan)

        return jax.vmap(one)(rates)

    stacked = jnp.stack([jnp.broadcast_to(rate, (count,)) for rate in rates], axis=1)
    seconds = seconds_of(lambda: solve(stacked), 3)
    found = np.asarray(solve(stacked)).T
    difference = np.abs(found - ends) / (np.abs(ends) + 1e-6)
    yield {
        "name": "pollu, diffrax Kvaerno3",
        "milliseconds": 1e3 * seconds,
        "systems": count,
        "failed": int(np.isnan(found).any(axis=0).sum()),
        "times_ketjax": seconds / best,
        "difference_99": float(np.nanquantile(difference.max(axis=0), 0.99)),
    }


def _pollu_problem(count: int) -> tuple[tuple, tuple, Callable]:
    """Rates with the first swept, start and right-hand side."""
    problems = runpy.run_path(str(ROOT / "tests" / "solve" / "ivp_problems.py"))
    swept = np.geomspace(0.035, 3.5, count).astype(np.float32)
    rates = (swept, *(np.float32(rate) for rate in problems["POLLU_RATES"][1:]))
    return rates, tuple(np.float32(value) for value in problems["POLLU_START"]), problems["pollu"]


def simulation_of(name: str, quick: bool, mesh: Mesh | None) -> Simulation:
    """The simulation of a course, on a mesh from elsewhere if there is one."""
    doses, times = COURSES[name]
    if quick:
        doses, times = doses[:1], (0.0, 1.0, 4.0)
    recipe = Recipe(entry={"age": (18.0, 80.0), "baseline_madrs": (20.0, 50.0)})
    treatments = {ARM: Treatment(Regimen(tuple(doses)), "midazolam_parallel")}
    if mesh is None:
        return Simulation(recipe, treatments, times)
    own = System.make_mesh
    System.make_mesh = lambda *arguments, **settings: mesh
    try:
        return Simulation(recipe, treatments, times)
    finally:
        System.make_mesh = own


def problem(simulation: Simulation, patients: int, dtype: str) -> tuple[Any, Any, Any, Any]:
    """Start, parameters, forcing and impulses; some drawn patients again and again."""
    drawn = min(patients, DRAWN)
    parameters = simulation._parameters(ARM, draw(simulation.recipe, np.arange(drawn)))
    start = simulation.cascade.start(parameters[0])
    impulses = simulation._impulses
    rows = (simulation._forcing[ARM], impulses[ARM] if impulses else None)

    def cast(leaf: Any) -> np.ndarray:
        values = np.asarray(leaf, dtype)
        return np.resize(values, patients) if values.ndim == 1 else values

    y0, parameters = jax.tree.map(cast, (start, parameters))
    return y0, parameters, *jax.tree.map(lambda leaf: np.asarray(leaf, dtype), rows)


@jax.jit
def reduced(seen: Any) -> Any:
    """Mean and histogram of each readout, the part of a result that leaves the device."""
    columns = jnp.stack(jax.tree.leaves(seen)) if not isinstance(seen, jax.Array) else seen
    low, high = columns.min(axis=-1, keepdims=True), columns.max(axis=-1, keepdims=True)
    bins = ((columns - low) / (high - low + 1e-30) * 15.0).astype(jnp.int32)
    counts = [(bins == index).sum(axis=-1) for index in range(16)]
    return columns.mean(axis=-1), jnp.stack(counts, axis=-1)


def _correctness(name: str, seen: Any, error: Any, expected: dict[str, Any]) -> Figure:
    """Largest and 99 % difference from the CPU, in units of the readouts' scales."""
    leaves = [np.asarray(leaf[..., :CHECKED], np.float64) for leaf in jax.tree.leaves(seen)]
    found = np.stack(leaves)
    scale = expected["scale"][:, None, None]
    figure: Figure = {"name": f"{name}, against the CPU", "patients": found.shape[-1]}
    for dtype in ("float32", "float64"):
        difference = (np.abs(found - expected[dtype]) / scale).max(axis=(0, 1))
        figure[f"largest_{dtype}"] = float(difference.max())
        figure[f"quantile_99_{dtype}"] = float(np.quantile(difference, 0.99))
    return figure | {"largest_error_over_tolerance": float(np.max(np.asarray(error)))}


def _throughput(
    name: str, simulation: Simulation, patients: int, block: int, seconds: float
) -> Figure:
    steps, flops = simulation.mesh.steps, flops_of(simulation)
    return {
        "name": name,
        "patients": patients,
        "block": block,
        "steps": steps,
        "seconds": seconds,
        "patients_per_second": patients / seconds,
        "flops_per_patient_step": flops,
        "flops_per_second": flops * steps * patients / seconds,
    }


@functools.cache
def flops_of(simulation: Simulation) -> int:
    """Arithmetic operations of one step of one patient; a division or a function counts once."""
    with jax.enable_x64(True):
        y0, parameters, forcing, impulses = problem(simulation, 64, "float32")
        system = simulation.system
        y = system._start(y0, parameters)
        constants = system._constants(y, parameters, forcing)

        def one(t: Any, h: Any, y: tuple, parameters: Any, constants: Any) -> Any:
            row = (t, h, 0, False)
            return system._one_step(y, row, parameters, constants, forcing, impulses)

        scalar = np.float32(0.1)
        program = trace(one, scalar, scalar, y, parameters, constants)
    kinds = collections.Counter(
        equation.primitive.name for equation in program.equations if aval(equation.outvars[0]).shape
    )
    moving = {"broadcast_in_dim", "convert_element_type", "select_n", "squeeze", "stop_gradient"}
    return sum(count for name, count in kinds.items() if name not in moving)
