"""diffrax on the course: `jit(vmap(diffeqsolve))` over patients.

Only the marched states are given to it. Steps end at the edges of the infusions, where the input
jumps, and at the output times, so that no output is interpolated. Each core has a thread that
solves batches of patients; a batch goes on until its last patient is done.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.course import Course, Sample
from benchmarks.record import cores

SOLVERS = {
    "Kvaerno3": diffrax.Kvaerno3,
    "Kvaerno5": diffrax.Kvaerno5,
    "Tsit5": diffrax.Tsit5,
}
MOST_STEPS = 20_000


class Diffrax:
    """One solver of diffrax for the equations of the course, in one precision."""

    def __init__(self, problem: Course, solver: str, dtype: str, batch: int) -> None:
        """Prepare; compilation comes with the first call.

        Args:
            problem: The course.
            solver: Name of the solver.
            dtype: "float32" or "float64".
            batch: Patients solved together.
        """
        self.name, self.dtype, self.batch = solver, dtype, batch
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
        adaptive = diffrax.PIDController(rtol, atol)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            SOLVERS[self.name](),
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

    def solve(self, sample: Sample, rtol: float) -> tuple[np.ndarray, np.ndarray]:
        """Solve all patients of a sample.

        Args:
            sample: The patients, in the precision of this solver; whole batches.
            rtol: Relative tolerance; the absolute one is this times the scale of the state.

        Returns:
            States at the output times, shape (time, state, patient), NaN where it failed; steps
            (patient,).
        """
        if sample.patients % self.batch:
            raise ValueError(f"{sample.patients} patients are no whole batches of {self.batch}")
        tolerance = np.asarray(rtol, self.dtype)
        scale = sample.scale.astype(self.dtype)

        def batch(begin: int) -> tuple[np.ndarray, np.ndarray]:
            with jax.enable_x64(True):
                part = slice(begin, begin + self.batch)
                ys, done, steps = self._solve(
                    sample.y0[:, part].T,
                    jax.tree.map(
                        lambda leaf: leaf[part] if np.ndim(leaf) else leaf, sample.parameters
                    ),
                    sample.forcing,
                    tolerance,
                    scale,
                )
                ys = np.where(np.asarray(done)[:, None, None], np.asarray(ys), np.nan)
                return ys.transpose(1, 2, 0), np.asarray(steps)

        parts = in_threads(batch, range(0, sample.patients, self.batch))
        states = np.concatenate([part[0] for part in parts], axis=-1)
        return states.astype(np.float64), np.concatenate([part[1] for part in parts])


def in_threads(action: Callable[[int], Any], items: range) -> list[Any]:
    """Results of an action on all items, one thread a core."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(action, items))


def _axes(parameters: Any) -> Any:
    """0 for leaves with a patient axis, None for those that all share."""
    return jax.tree.map(lambda leaf: 0 if np.ndim(leaf) else None, parameters)
