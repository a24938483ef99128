"""The march: every patient takes the steps of one mesh.

A ``System`` holds a right-hand side together with its method, tolerances and compiled programs.
One program marches one piece of a mesh (a scan over chunks of a scan over steps), so a mesh of any
length is several calls of the same program and only new array shapes compile again. Patients never
mix: each operation is elementwise over the patient axis, and every patient carries the largest
local error it met. Build a System once and keep it.

    system = System(rhs, y0, parameters, rtol=1e-4, atol=1e-6)
    mesh = system.make_mesh(y0, parameters, times)
    result = system.march(mesh, y0, parameters)
    result = system.refine(mesh, result, y0, parameters)

Inputs that are constant between events are ``forcing``: leaves (segment,) or (segment, patient);
``rhs`` is then called with ``(parameters, row)``. ``jump(y, parameters, row)`` acts at the start of
each segment with that segment's row of ``impulses``. An output at an event edge, or at the start,
shows the state before the impulse.

An example leaf of ``y0``, ``forcing`` or ``impulses`` that is zero everywhere promises zero in each
later call; states that this keeps at zero, and states that nothing wanted reads, are not marched.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ketjax.solve.compilation import compile_program
from ketjax.solve.lanes import (
    broadcast,
    cast_floats,
    patients,
    sample_lanes,
    take_lanes,
    widest_float,
)
from ketjax.solve.mesh import Mesh, build_mesh, check_times
from ketjax.solve.methods import RODAS4, Method
from ketjax.solve.pilot import fly
from ketjax.solve.reduction import Reduction, reduce_system
from ketjax.solve.rosenbrock import step
from ketjax.solve.solution import Result, Status
from ketjax.solve.structure import trace, without_zeros

Tree = Any


class System:
    """A right-hand side, its method and tolerances, and the programs compiled for it.

    Attributes:
        kept: indices of the states that are marched; the others are zero or unread.
        method: the Rosenbrock method.
        rtol: relative tolerance [1].
        atol: absolute tolerance of each state, in its unit.
        chunk: steps between possible outputs.
        piece: steps marched by one call of the compiled program.
    """

    def __init__(
        self,
        rhs: Callable[..., tuple],
        y0: tuple,
        parameters: Tree,
        *,
        forcing: Tree = None,
        jump: Callable[..., tuple] | None = None,
        impulses: Tree = None,
        observe: Callable[..., Tree] | None = None,
        wanted: Sequence[int] | None = None,
        method: Method = RODAS4,
        rtol: float = 1e-6,
        atol: float | Sequence[float] = 1e-9,
        control: Sequence[bool] | None = None,
        chunk: int = 4,
        piece: int = 64,
    ) -> None:
        """Find the structure of a right-hand side; nothing is compiled yet.

        Args:
            rhs: rhs(t, y, parameters) -> one derivative a state; with forcing the last argument is
                ``(parameters, forcing row)``.
            y0: example start, one array (patient,) or scalar a state.
            parameters: example parameters, leaves scalar or (patient,).
            forcing: example inputs, leaves (segment,) or (segment, patient).
            jump: jump(y, parameters, impulse row) -> y after the impulse.
            impulses: example impulses, leaves (segment,) or (segment, patient).
            observe: observe(t, y, parameters) -> pytree of arrays (patient,); all states if None.
            wanted: indices of states that are needed; those that observe reads if None.
            method: Rosenbrock method.
            rtol: relative tolerance [1].
            atol: absolute tolerance, one or one a state, in the unit of the state.
            control: False for states left out of the error norm.
            chunk: steps between possible outputs.
            piece: steps in one compiled program, a multiple of ``chunk``.

        Raises:
            ValueError: a tolerance, length or piece is not allowed.
        """
        size = len(y0)
        self.atol = _per_state("atol", atol, size, float)
        marks = _per_state("control", True if control is None else control, size, bool)
        if piece % chunk:
            raise ValueError(f"piece = {piece} must be a multiple of chunk = {chunk}")
        dtype = jnp.result_type(*jax.tree.leaves(y0))
        smallest = 10.0 * float(jnp.finfo(dtype).eps)
        if not rtol >= smallest:
            raise ValueError(
                f"rtol = {rtol} is below {smallest:.2g}, the smallest allowed for {dtype};"
                " raise rtol"
            )
        self.method, self.rtol, self.chunk, self.piece = method, float(rtol), chunk, piece
        self.size = size
        self._rhs, self._jump, self._observe = rhs, jump, observe
        lanes = patients(y0, parameters)
        self._reduction: Reduction = reduce_system(
            rhs, jump, observe, wanted, broadcast(y0, lanes), parameters, forcing, impulses
        )
        self.kept = self._reduction.kept
        self._controlled = tuple(
            (position, self.atol[index]) for position, index in enumerate(self.kept) if marks[index]
        )
        self._piece_program = compile_program(self._march_piece)
        self._observe_program = jax.jit(self._observed)
        self._trial_program = compile_program(self._trial)
        self._jump_program = jax.jit(self._jumped)
        self._take = jax.jit(lambda tree, rows: jax.tree.map(lambda leaf: leaf[rows], tree))

    def make_mesh(
        self,
        y0: tuple,
        parameters: Tree,
        times: ArrayLike,
        edges: ArrayLike = (),
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        serve: float = 1.0,
        pilot: int = 256,
        max_steps: int = 100_000,
    ) -> Mesh:
        """Choose the steps by integrating a sample of the patients with error control.

        Args:
            y0: start of the population, one array (patient,) or scalar a state.
            parameters: leaves scalar or (patient,).
            times: output times; the first is the start.
            edges: starts of the segments after the first.
            forcing: inputs, leaves (segment,) or (segment, patient).
            impulses: impulses, leaves (segment,) or (segment, patient).
            serve: quantile of the sample's errors that the steps serve; 1 serves the worst patient.
            pilot: evenly spread patients in the sample; the extremes of every leaf join them.
            max_steps: most steps of the pilot.

        Returns:
            The mesh; its status says whether the pilot reached the end.

        Raises:
            ValueError: times or edges are not in order.
        """
        grid, cuts = check_times(times, edges)
        lanes = sample_lanes(patients(y0, parameters), pilot, (y0, parameters))
        y0, parameters = (take_lanes(tree, lanes, axis=0) for tree in (y0, parameters))
        forcing, impulses = (take_lanes(tree, lanes, axis=1) for tree in (forcing, impulses))
        widest = widest_float()
        y0, parameters, forcing, impulses = cast_floats((y0, parameters, forcing, impulses), widest)
        y = self._start(y0, parameters)

        def trial(t: float, h: float, y: tuple, segment: int) -> tuple[tuple, np.ndarray]:
            now, length = np.asarray(t, widest), np.asarray(h, widest)
            y_new, error = self._trial_program(
                now, length, y, parameters, forcing, np.int32(segment)
            )
            return y_new, np.asarray(error, np.float64)

        def jump(y: tuple, segment: int) -> tuple:
            return self._jump_program(y, parameters, impulses, np.int32(segment))

        flight = fly(trial, jump, y, grid, cuts, self.method.error_order, serve, max_steps)
        return build_mesh(
            grid, cuts, flight.accepted, self.chunk, self.piece, flight.status, flight.reached
        )

    def march(
        self,
        mesh: Mesh,
        y0: tuple,
        parameters: Tree,
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        limit: float = np.inf,
    ) -> Result:
        """March one block of patients over a mesh; differentiable in y0, parameters and inputs.

        Args:
            mesh: the steps.
            y0: start, one array (patient,) or scalar a state.
            parameters: leaves scalar or (patient,).
            forcing: inputs, leaves (segment,) or (segment, patient).
            impulses: impulses, leaves (segment,) or (segment, patient).
            limit: error above which a patient's readouts are NaN from then on.

        Returns:
            Readouts at the mesh's output times, errors and status.

        Raises:
            ValueError: a leaf that the examples promised to be zero is not.
        """
        self._reduction.check_zeros(y0, forcing, impulses)
        y = self._start(y0, parameters)
        dtype = y[0].dtype
        ceiling = np.asarray(min(limit, float(jnp.finfo(dtype).max)), dtype)
        error = jnp.zeros_like(y[0])
        rows = [
            self._observe_program(np.asarray(mesh.times[0], dtype), y, parameters, error, ceiling)
        ]
        picked = [jax.tree.map(lambda leaf: leaf[None], rows[0])]
        late = mesh.times > mesh.reached * (1.0 + 1e-12)
        for begin in range(0, mesh.steps, mesh.piece):
            window = slice(begin, begin + mesh.piece)
            schedule = (
                mesh.start[window].astype(dtype),
                mesh.length[window].astype(dtype),
                mesh.segment[window].astype(np.int32),
                mesh.first[window],
            )
            y, error, readouts = self._piece_program(
                y, error, schedule, parameters, forcing, impulses, ceiling
            )
            inside = (mesh.output > begin) & (mesh.output <= begin + mesh.piece)
            if inside.any():
                ends = (mesh.output[inside] - begin) // mesh.chunk - 1
                picked.append(self._take(readouts, ends.astype(np.int32)))
        readouts = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *picked)
        if late.any():
            readouts = jax.tree.map(lambda leaf: jnp.where(late[:, None], jnp.nan, leaf), readouts)
        failed = jnp.where(jnp.isinf(error), np.int8(Status.NON_FINITE), np.int8(Status.OK))
        failed = jnp.where(
            (error > ceiling) & jnp.isfinite(error), np.int8(Status.MAX_STEPS), failed
        )
        if mesh.status:
            failed = jnp.where(failed == 0, np.int8(mesh.status), failed)
        return Result(readouts, error, failed, self._reduction.expand(y, jnp.zeros_like(y[0])))

    def refine(
        self,
        mesh: Mesh,
        result: Result,
        y0: tuple,
        parameters: Tree,
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        limit: float = 10.0,
        levels: int = 3,
    ) -> Result:
        """March the patients whose error is above a limit again on halved steps.

        Args:
            mesh: the mesh of ``result``.
            result: from ``march`` for the same block.
            y0: as for ``march``.
            parameters: as for ``march``.
            forcing: as for ``march``.
            impulses: as for ``march``.
            limit: largest error over the tolerance that is accepted.
            levels: most halvings.

        Returns:
            The result with those patients replaced; one that still fails has a status, and NaN
            from its failure on.
        """
        error = np.array(result.error)
        if mesh.status or not np.any(~(error <= limit)):
            return result
        status = np.array(result.status)
        readouts = jax.tree.map(np.array, result.readouts)
        y = tuple(np.array(jnp.broadcast_to(value, error.shape)) for value in result.y)
        for level in range(1, levels + 1):
            flagged = np.flatnonzero(~(error <= limit))
            if not flagged.size:
                break
            mesh = mesh.halve()
            lanes = np.concatenate([flagged, np.full(error.size - flagged.size, flagged[0])])
            again = self.march(
                mesh,
                *(take_lanes(tree, lanes, axis=0) for tree in (y0, parameters)),
                *(take_lanes(tree, lanes, axis=1) for tree in (forcing, impulses)),
                limit=limit if level == levels else np.inf,
            )
            count = flagged.size
            error[flagged] = np.asarray(again.error)[:count]
            status[flagged] = np.asarray(again.status)[:count]
            for old, new in zip(
                jax.tree.leaves((readouts, y)),
                jax.tree.leaves((again.readouts, again.y)),
                strict=True,
            ):
                old[..., flagged] = np.asarray(new)[..., :count]
        return Result(readouts, error, status, y)

    def _start(self, y0: tuple, parameters: Tree) -> tuple:
        """Kept states at the start as arrays (patient,) of one floating dtype."""
        return self._reduction.keep(broadcast(y0, patients(y0, parameters)))

    def _march_piece(
        self,
        y: tuple,
        error: jax.Array,
        schedule: tuple,
        parameters: Tree,
        forcing: Tree,
        impulses: Tree,
        limit: jax.Array,
    ) -> tuple[tuple, jax.Array, Tree]:
        """March one piece: states and errors at its end, readouts at the end of each chunk."""

        def one_step(carry: tuple, row: tuple) -> tuple[tuple, None]:
            y, error = carry
            t, h, segment, first = row
            if self._jump is not None:
                jumped = self._jumped(y, parameters, impulses, segment)
                y = tuple(
                    old if new is old else jnp.where(first, new, old)
                    for old, new in zip(y, jumped, strict=True)
                )
            y, local = self._trial(t, h, y, parameters, forcing, segment)
            return (y, jnp.maximum(error, local)), None

        def one_chunk(carry: tuple, rows: tuple) -> tuple[tuple, Tree]:
            carry, _ = jax.lax.scan(jax.checkpoint(one_step), carry, rows)
            end = rows[0][-1] + rows[1][-1]
            return carry, self._observed(end, carry[0], parameters, carry[1], limit)

        chunked = jax.tree.map(lambda leaf: leaf.reshape(-1, self.chunk), schedule)
        (y, error), readouts = jax.lax.scan(jax.checkpoint(one_chunk), (y, error), chunked)
        return y, error, readouts

    def _trial(
        self, t: Any, h: Any, y: tuple, parameters: Tree, forcing: Tree, segment: Any
    ) -> tuple[tuple, jax.Array]:
        """One step and its local error over the tolerance, infinite where not finite."""
        row = jax.tree.map(lambda leaf: jnp.asarray(leaf)[segment], forcing)
        rhs = partial(self._reduction.rhs, self._rhs)
        program = without_zeros(trace(rhs, t, y, parameters, row))
        y_new, error = step(self.method, program, t, h, y, jax.tree.leaves((parameters, row)))
        norm = jnp.zeros_like(y[0])
        for position, atol in self._controlled:
            scale = jnp.maximum(jnp.abs(y[position]), jnp.abs(y_new[position]))
            norm = jnp.maximum(norm, jnp.abs(error[position]) / (atol + self.rtol * scale))
        finite = jnp.isfinite(sum(y_new[1:], y_new[0])) & jnp.isfinite(norm)
        return y_new, jax.lax.stop_gradient(jnp.where(finite, norm, jnp.inf))

    def _jumped(self, y: tuple, parameters: Tree, impulses: Tree, segment: Any) -> tuple:
        """States after the impulse of a segment; untouched states are the same objects."""
        if self._jump is None:
            return y
        row = jax.tree.map(lambda leaf: jnp.asarray(leaf)[segment], impulses)
        return self._reduction.jump(self._jump, y, parameters, row)

    def _observed(self, t: Any, y: tuple, parameters: Tree, error: Any, limit: Any) -> Tree:
        """Readouts, NaN for patients whose error has passed the limit."""
        everything = self._reduction.expand(y, jnp.zeros_like(y[0]))
        seen = everything if self._observe is None else self._observe(t, everything, parameters)
        return jax.tree.map(lambda leaf: jnp.where(error <= limit, leaf, jnp.nan), seen)


def _per_state(name: str, value: Any, size: int, kind: Callable[[Any], Any]) -> tuple:
    """One entry a state from a scalar or a sequence."""
    entries = tuple(np.ravel(value)) if np.ndim(value) else (value,) * size
    if len(entries) != size:
        raise ValueError(f"{name} has {len(entries)} entries for {size} states; give one or {size}")
    if name == "atol" and not all(np.isfinite(entry) and entry > 0.0 for entry in entries):
        raise ValueError(f"atol = {value} must be finite and positive in every entry")
    return tuple(kind(entry) for entry in entries)
