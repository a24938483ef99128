"""diffrax on the course: `jit(vmap(diffeqsolve))` over patients.

Only the marched states are given to it. Steps end at the edges of the infusions, where the input
jumps, and at the output times, so that no output is interpolated. Each core has a process that
solves a batch of patients; a batch goes on until its last patient is done.
"""

import functools
import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.course import Course, Sample, course

SOLVERS = {
    "Kvaerno3": diffrax.Kvaerno3,
    "Kvaerno5": diffrax.Kvaerno5,
    "Tsit5": diffrax.Tsit5,
}
MOST_STEPS = 200_000
# A proportional part, as the diffrax manual advises for stiff problems: with the default (0, 1) a
# twentieth of the steps is rejected and the same error takes a tenth more of them.
PROPORTIONAL, INTEGRAL = 0.4, 0.3
# Newton's iteration ends a little sooner than by default (0.01): a few steps less, same error.
KAPPA = 0.1


class Diffrax:
    """One solver of diffrax for the equations of the course, in one precision."""

    def __init__(self, problem: Course, solver: str, dtype: str) -> None:
        """Prepare; compilation comes with the first call.

        Args:
            problem: The course.
            solver: Name of the solver.
            dtype: "float32" or "float64".
        """
        self.name, self.dtype = solver, dtype
        self._reduction, self._rhs = problem.system._reduction, problem.system._rhs
        example = problem.sample(1, dtype)
        self._solve = jax.jit(
            jax.vmap(
                functools.partial(self._one, example.bounds[1:-1], example.times),
                in_axes=(0, _axes(example.parameters), None, None, None),
            )
        )

    def _one(
        self,
        edges: np.ndarray,
        times: np.ndarray,
        y0: jax.Array,
        parameters: Any,
        forcing: Any,
        rtol: Any,
        scale: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """States (time, state) of one patient, did it succeed, and its steps."""
        cuts, outputs = jnp.asarray(edges, self.dtype), jnp.asarray(times, self.dtype)

        def slope(t: Any, y: jax.Array, _: None) -> jax.Array:
            row = jax.tree.map(lambda leaf: leaf[jnp.searchsorted(cuts, t, side="right")], forcing)
            parts = self._reduction.rhs(self._rhs, t, tuple(y), parameters, row)
            return jnp.stack(parts)

        # Traced, so that one program serves all tolerances.
        atol: Any = rtol * scale
        adaptive = diffrax.PIDController(rtol, atol, pcoeff=PROPORTIONAL, icoeff=INTEGRAL)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            solver_of(self.name),
            outputs[0],
            outputs[-1],
            None,
            y0,
            saveat=diffrax.SaveAt(ts=outputs),
            stepsize_controller=diffrax.ClipStepSizeController(
                adaptive, step_ts=outputs, jump_ts=cuts
            ),
            adjoint=diffrax.ForwardMode(),
            max_steps=MOST_STEPS,
            throw=False,
        )
        assert solution.ys is not None
        return (
            solution.ys,
            solution.result == diffrax.RESULTS.successful,
            solution.stats["num_steps"],
        )

    def solve(self, sample: Sample, part: slice, rtol: float) -> tuple[np.ndarray, np.ndarray]:
        """Solve some patients of a sample, all at once.

        Args:
            sample: The patients, in the precision of this solver.
            part: Those to solve.
            rtol: Relative tolerance; the absolute one is this times the scale of the state.

        Returns:
            States at the output times, shape (time, state, patient), NaN where it failed; steps
            (patient,).
        """
        with jax.enable_x64(True):
            ys, done, steps = self._solve(
                sample.y0[:, part].T,
                jax.tree.map(lambda leaf: leaf[part] if np.ndim(leaf) else leaf, sample.parameters),
                sample.forcing,
                np.asarray(rtol, self.dtype),
                sample.scale.astype(self.dtype),
            )
            states = np.where(np.asarray(done)[:, None, None], np.asarray(ys, np.float64), np.nan)
            return states.transpose(1, 2, 0), np.asarray(steps)


def solver_of(name: str) -> Any:
    """A solver of diffrax; the implicit ones find roots at the tolerances of the steps."""
    if name == "Tsit5":
        return diffrax.Tsit5()
    finder = diffrax.with_stepsize_controller_tols(diffrax.VeryChord)(kappa=KAPPA)
    return SOLVERS[name](root_finder=finder)


def course_solver(quick: bool, patients: int) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """What a process of a crew does for the course.

    Args:
        quick: Which course.
        patients: Patients of the sample.

    Returns:
        Solves a part of the sample, of a solver's name, a precision, the part and a tolerance.
    """
    problem = course(quick)

    @functools.cache
    def prepared(name: str, dtype: str) -> tuple[Diffrax, Sample]:
        return Diffrax(problem, name, dtype), problem.sample(patients, dtype)

    def solve(name: str, dtype: str, part: slice, rtol: float) -> tuple[np.ndarray, np.ndarray]:
        peer, sample = prepared(name, dtype)
        return peer.solve(sample, part, rtol)

    return solve


class Crew:
    """Processes that each do the same kind of work on a part of their own.

    Threads do not do: two of them that solve in one process stall each other inside XLA. And only
    a process can be stopped when its time is over. All have the environment of this process, with
    the flags of XLA that ketjax sets: diffrax is a quarter faster with them than without.
    """

    def __init__(self, count: int, make: Callable[..., Callable], *arguments: Any) -> None:
        """Start.

        Args:
            count: Number of processes.
            make: Called once in each process; a function of a module, returns what does the work.
            *arguments: Its arguments.
        """
        context = multiprocessing.get_context("spawn")
        self._members = []
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, make, arguments), daemon=True)
            process.start()
            there.close()
            self._members.append((process, here))

    def work(self, orders: Sequence[tuple], limit: float) -> list[Any]:
        """Give each process an order and wait for all results; see `order` and `results`."""
        self.order(orders)
        return self.results(limit)

    def order(self, orders: Sequence[tuple]) -> None:
        """Give each process an order: the arguments of its work."""
        for (_, pipe), order in zip(self._members, orders, strict=True):
            pipe.send(order)

    def results(self, limit: float) -> list[Any]:
        """Results of the orders given.

        Args:
            limit: Longest wait [s]; the crew is stopped after it.

        Raises:
            TimeoutError: The time is over.
        """
        end = time.perf_counter() + limit
        results = []
        for _, pipe in self._members:
            if not pipe.poll(max(0.0, end - time.perf_counter())):
                self.stop()
                raise TimeoutError(f"no result after {limit:.0f} s")
            results.append(pipe.recv())
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def stop(self) -> None:
        """End the processes."""
        for process, pipe in self._members:
            process.kill()
            process.join()
            pipe.close()
        self._members = []

    def __enter__(self) -> "Crew":
        """The crew."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self.stop()


def _serve(pipe: Any, make: Callable[..., Callable], arguments: tuple) -> None:
    """What a process of a crew runs: an order, a result, until it is ended."""
    try:
        work = make(*arguments)
        while True:
            pipe.send(work(*pipe.recv()))
    except EOFError:
        return
    except Exception as error:
        pipe.send(error)


def _axes(parameters: Any) -> Any:
    """0 for leaves with a patient axis, None for those that all share."""
    return jax.tree.map(lambda leaf: 0 if np.ndim(leaf) else None, parameters)
