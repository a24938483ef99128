"""The bound of the arithmetic: the same steps of the same method as vectorised C.

The operations of one step, with its error norm, are those that jax is given; each shared term is
computed once, and what depends on the parameters alone before the first step. gcc compiles them for
the widest vectors of the processor, with the loop over steps inside and one vector of patients in
it at a time; threads take all cores. Left out are the readouts, and the test for numbers that are
not finite, which `-ffast-math` drops.
"""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_long
from typing import Any

import jax
import numpy as np

from benchmarks.course import Course, Sample, course, own_rate
from benchmarks.peers.emit_c import Code, Dialect, aligned, compile_c, emit, pointer, widest
from benchmarks.record import Figure, cores, median_of, seconds_of
from ketjax.population import draw
from ketjax.solve import System
from ketjax.solve.structure import trace
from ketjax.solve.sweep import sweep

OPTIONS = ("-O2", "-march=native", "-ffast-math", "-lmvec", "-lm")
TARGET = 0.5
CHECKED = 1024  # patients whose end states are compared with those of the march


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a program finds its inputs: patients' numbers, shared numbers, inputs of a segment.

    Attributes:
        names: C expression of each leaf of the parameters and of a row of the forcing.
        own: Parameters of each patient, shape (parameter, patient).
        shared: Parameters that all patients share.
        rows: Forcing, shape (segment, leaf).
    """

    names: list[str]
    own: np.ndarray
    shared: np.ndarray
    rows: np.ndarray


def layout(sample: Sample, own: str) -> Layout:
    """Sort the leaves of parameters and forcing.

    Args:
        sample: The patients.
        own: C expression of a patient's own parameter, with a place for its index.

    Returns:
        The layout.
    """
    names, patient, shared = [], [], []
    for leaf in jax.tree.leaves(sample.parameters):
        if np.ndim(leaf) == 1:
            names.append(own.format(len(patient)))
            patient.append(leaf)
        else:
            names.append(f"shared[{len(shared)}]")
            shared.append(leaf)
    forcing = jax.tree.leaves(sample.forcing)
    names += [f"row[{index}]" for index in range(len(forcing))]
    rows = np.stack(forcing, axis=1)
    return Layout(names, aligned(np.stack(patient)), aligned(np.array(shared, rows.dtype)), rows)


def examples(sample: Sample, lanes: int) -> tuple[tuple, Any, Any]:
    """States, parameters and one row of the forcing to trace with; shape () for one lane."""

    def few(leaf: np.ndarray) -> np.ndarray:
        return leaf[0] if lanes == 1 else leaf[:lanes]

    parameters = jax.tree.map(
        lambda leaf: few(leaf) if np.ndim(leaf) == 1 else leaf, sample.parameters
    )
    row = jax.tree.map(lambda leaf: leaf[0], sample.forcing)
    return tuple(few(values) for values in sample.y0), parameters, row


def emit_step(system: System, sample: Sample, dialect: Dialect, names: list[str]) -> Code:
    """The arithmetic of one step and its error norm as C."""

    def trial(t: Any, h: Any, y: tuple, parameters: Any, row: Any) -> Any:
        forcing = jax.tree.map(lambda leaf: leaf[None], row)
        return system._trial(t, h, y, parameters, forcing, 0)

    y, parameters, row = examples(sample, dialect.lanes)
    one = dialect.dtype.type(1)
    with jax.enable_x64(True):
        program = trace(trial, one, one, y, parameters, row)
    states = [f"y{index}" for index in range(len(y))]
    own = [name.startswith(("p[", "shared[")) for name in names]
    fixed = [False] * (2 + len(y)) + own
    return emit(program, ["t", "h", *states, *names], dialect, fixed=fixed)


def source(code: Code, dialect: Dialect, count: int, parameters: int, leaves: int) -> str:
    """The march as C: patients `begin` to `end` of `lanes` take all steps."""
    load = "\n".join(f"      const V y{index} = y[{index}];" for index in range(count))
    store = "\n".join(f"      y[{index}] = {code.outputs[index]};" for index in range(count))
    before = "\n".join(f"    {line}" for line in code.before)
    statements = "\n".join(f"      {line}" for line in code.statements)
    return f"""{dialect.preamble()}
void march(long begin, long end, long lanes, long steps, const float *start, const float *length,
           const int *segment, const float *rows, const float *shared, const float *own,
           float *states, float *errors) {{
  for (long patient = begin; patient < end; patient += {dialect.lanes}) {{
    V p[{parameters}], y[{count}], worst = v_fill(0);
    for (long i = 0; i < {parameters}; i++) p[i] = *(const V *)(own + i * lanes + patient);
    for (long i = 0; i < {count}; i++) y[i] = *(const V *)(states + i * lanes + patient);
{before}
    for (long step = 0; step < steps; step++) {{
      const float t = start[step], h = length[step];
      const float *row = rows + {leaves} * segment[step];
{load}
{statements}
{store}
      worst = v_max(worst, {code.outputs[count]});
    }}
    for (long i = 0; i < {count}; i++) *(V *)(states + i * lanes + patient) = y[i];
    *(V *)(errors + patient) = worst;
  }}
}}
"""


class Bound:
    """The march of the course in C."""

    def __init__(self, problem: Course, patients: int) -> None:
        """Emit and compile.

        Raises:
            NotMeasured: There is no suitable processor or compiler.
        """
        self.dialect = widest()
        self.problem, self.sample = problem, problem.sample(patients, "float32")
        self.layout = layout(self.sample, "p[{}]")
        before = time.perf_counter()
        self.code = emit_step(problem.system, self.sample, self.dialect, self.layout.names)
        count = len(self.sample.y0)
        text = source(
            self.code, self.dialect, count, len(self.layout.own), self.layout.rows.shape[1]
        )
        self.library = compile_c(text, *OPTIONS)
        self.compiling = time.perf_counter() - before
        mesh = problem.simulation.mesh
        self.schedule = [
            aligned(np.asarray(values, dtype))
            for values, dtype in (
                (mesh.start, np.float32),
                (mesh.length, np.float32),
                (mesh.segment, np.int32),
                (self.layout.rows, np.float32),
            )
        ]

    def march(self) -> tuple[np.ndarray, np.ndarray]:
        """End states (state, patient) and errors (patient,) of all patients."""
        lanes = self.sample.patients
        states, errors = aligned(self.sample.y0), aligned(np.zeros(lanes, np.float32))
        arrays = [*self.schedule, self.layout.shared, self.layout.own, states, errors]
        # Pieces of a few vectors, so that no core waits long for another.
        piece = 8 * self.dialect.lanes
        run = functools.partial(self._piece, [pointer(array) for array in arrays], piece)
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(run, range(0, lanes, piece)))
        return states, errors

    def _piece(self, arrays: list, piece: int, begin: int) -> None:
        lanes = self.sample.patients
        end = min(begin + piece, lanes)
        sizes = [c_long(n) for n in (begin, end, lanes, self.problem.simulation.mesh.steps)]
        self.library.march(*sizes, *arrays)


def disagreement(bound: Bound, states: np.ndarray) -> tuple[float, float]:
    """Largest and median difference of end states from `System.march`, over value plus scale."""
    problem = bound.problem
    sample = problem.sample(CHECKED, "float32")
    y0 = np.zeros((problem.system.size, CHECKED), np.float32)
    y0[list(problem.system.kept)] = sample.y0
    with jax.enable_x64(True):
        result = problem.system.march(
            problem.simulation.mesh, tuple(y0), sample.parameters, sample.forcing
        )
    expected = np.stack([np.asarray(result.y[index]) for index in problem.system.kept])
    difference = np.abs(states[:, :CHECKED] - expected)
    relative = difference / (np.abs(expected) + sample.scale[:, None])
    return float(relative.max()), float(np.median(relative))


def _first_march(problem: Course) -> Callable[[], object]:
    """Every patient of the course over the mesh once, with its readouts."""
    simulation = problem.simulation
    with jax.enable_x64(True):
        lanes = simulation.lanes(draw(problem.recipe, np.arange(problem.patients)))

    def march() -> object:
        with jax.enable_x64(True):
            return sweep(
                simulation.system, simulation.mesh, lanes.y0, lanes.parameters, lanes.forcing,
                lanes.impulses, block=simulation.block, limit=np.inf, levels=0,
            )  # fmt: skip

    return march


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Patients a second of the bound, our share of it, and the arithmetic of a step."""
    problem = course(quick)
    bound = Bound(problem, max(problem.patients, CHECKED))
    patients, steps = bound.sample.patients, problem.simulation.mesh.steps
    states, _ = bound.march()
    largest, middle = disagreement(bound, states)
    seconds = seconds_of(bound.march, repetitions)
    code = bound.code
    arithmetic = sum(code.counts.values())
    rate = median_of(
        "bound in C",
        [patients / second for second in seconds],
        "patients/s",
        note=f"{patients} patients, {bound.dialect.lanes} lanes, {cores()} cores, end states"
        f" within {largest:.1e} of the march (median {middle:.1e})",
        details={
            "seconds": seconds,
            "compiling_seconds": bound.compiling,
            "largest_difference": largest,
            "median_difference": middle,
            "flops_per_second": arithmetic * steps * patients / statistics.median(seconds),
        },
    )
    yield rate
    ours = own_rate(quick, repetitions)
    assert rate.value is not None and ours.value is not None
    yield Figure("share of the bound in C", ours.value / rate.value, "of it", TARGET)
    alone = statistics.median(seconds_of(_first_march(problem), repetitions))
    yield Figure(
        "share of the bound in C, march alone", patients / alone / rate.value, "of it",
        note="the same steps; without drawing patients and marching the difficult ones again",
    )  # fmt: skip
    kinds = ", ".join(f"{number} {kind}" for kind, number in code.counts.most_common(6))
    yield Figure(
        "operations of a patient's step",
        arithmetic,
        "",
        note=f"{kinds}, ...; {sum(code.steady.values())} more once for each patient",
        details={
            "counts": dict(code.counts),
            "steady": dict(code.steady),
            "shared": dict(code.shared),
        },
    )
