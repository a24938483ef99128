"""The march: every patient takes the steps of one mesh.

A ``System`` holds a right-hand side together with its method, tolerances and compiled programs.
One program advances all patients by any number of steps and observes them at the end; it serves
the pilot, which takes one step at a time, and the march, which goes from output to output, so a
mesh of any length compiles nothing new. Patients never mix: each operation is elementwise over the
patient axis, and every patient carries the largest local error it met. Build a System once and
keep it.

    system = System(rhs, y0, parameters, rtol=1e-4, atol=1e-6)
    mesh = system.make_mesh(y0, parameters, times)
    result = system.march(mesh, y0, parameters)

Inputs that are constant between events are ``forcing``: leaves (segment,) or (segment, patient);
``rhs`` is then called with ``(parameters, row)``. ``jump(y, parameters, row)`` acts at the start of
each segment with that segment's row of ``impulses``. An output at an event edge, or at the start,
shows the state before the impulse.

An example leaf of ``y0``, ``forcing`` or ``impulses`` that is zero everywhere promises zero in each
later call; states that this keeps at zero, and states that nothing wanted reads, are not marched.
What depends on the parameters alone is computed once, before the first step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

from ketjax.solve.compilation import compile_program
from ketjax.solve.devices import place, spread
from ketjax.solve.lanes import (
    Packed,
    broadcast,
    cast_floats,
    pack,
    pad_lanes,
    patients,
    sample_lanes,
    take_lanes,
)
from ketjax.solve.mesh import Mesh, build_mesh, check_times
from ketjax.solve.methods import RODAS4, Method
from ketjax.solve.pilot import fly
from ketjax.solve.reduction import Reduction, reduce_system
from ketjax.solve.rosenbrock import step
from ketjax.solve.solution import Result, Status
from ketjax.solve.structure import Program, evaluate, hoist, trace, without_zeros

Tree = Any

WINDOW = 64  # most steps in one call of the compiled program
STOPS = 8  # most outputs in one call
GROUP = 16  # steps between the states that a reverse pass keeps


class System:
    """A right-hand side, its method and tolerances, and the programs compiled for it.

    Attributes:
        kept: indices of the states that are marched; the others are zero or unread.
        method: the Rosenbrock method.
        rtol: relative tolerance [1].
        atol: absolute tolerance of each state, in its unit.
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

        Raises:
            ValueError: a tolerance or length is not allowed.
        """
        size = len(y0)
        self.atol = _per_state("atol", atol, size, float)
        marks = _per_state("control", True if control is None else control, size, bool)
        dtype = jnp.result_type(*jax.tree.leaves(y0))
        smallest = 10.0 * float(jnp.finfo(dtype).eps)
        if not rtol >= smallest:
            raise ValueError(
                f"rtol = {rtol} is below {smallest:.2g}, the smallest allowed for {dtype};"
                " raise rtol"
            )
        self.method, self.rtol = method, float(rtol)
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
        self._split: dict[Any, tuple[Program, Program]] = {}
        self._constants_program = jax.jit(self._pack_constants)
        self._advance_program = compile_program(
            spread(self._advance, (1, 0, None, 0, 0, 1, 1), (1, 0, 2))
        )
        self._jump_program = jax.jit(self._jump_states)

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
        block: int = 64,
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
            block: the pilot is filled up to whole blocks of this many patients; where that is the
                number that ``march`` is given, nothing more is compiled for the march.
            max_steps: most steps of the pilot.

        Returns:
            The mesh; its status says whether the pilot reached the end.

        Raises:
            ValueError: times or edges are not in order.
        """
        grid, cuts = check_times(times, edges)
        chosen = sample_lanes(patients(y0, parameters), pilot, (y0, parameters))
        lanes = pad_lanes(chosen, block)
        y0, parameters = (take_lanes(tree, lanes, axis=0) for tree in (y0, parameters))
        forcing, impulses = (take_lanes(tree, lanes, axis=1) for tree in (forcing, impulses))
        placed = self._place(y0, parameters, forcing, impulses)
        zero = place(np.zeros(lanes.size, placed.y.dtype), 0, lanes.size)

        def trial(t: float, h: float, y: Any, segment: int) -> tuple[Any, np.ndarray]:
            one = (np.array([t]), np.array([h]), np.array([segment]), np.array([False]))
            y_new, error, _ = self._advance_block(placed, y, zero, one, [1], [t + h], np.inf)
            return y_new, np.asarray(error, np.float64)[: chosen.size]

        def jump(y: Any, segment: int) -> Any:
            return self._jump_program(y, placed.parameters, placed.impulses, np.int32(segment))

        flight = fly(trial, jump, placed.y, grid, cuts, self.method.error_order, serve, max_steps)
        return build_mesh(grid, cuts, flight.accepted, flight.status, flight.reached)

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
        leaves = jax.tree.leaves((y0, parameters, forcing, impulses))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self._march_traced(mesh, y0, parameters, forcing, impulses, limit)
        block = self._place(y0, parameters, forcing, impulses)
        y, dtype = block.y, block.y.dtype
        error = place(np.zeros(y.shape[-1], dtype), 0, y.shape[-1])
        ceiling = min(limit, float(jnp.finfo(dtype).max))
        seen = []
        for steps, counts, indices in mesh.windows(WINDOW, STOPS):
            schedule = (
                mesh.start[steps],
                mesh.length[steps],
                mesh.segment[steps],
                mesh.first[steps],
            )
            now = [mesh.times[index] for index in indices]
            y, error, readouts = self._advance_block(
                block, y, error, schedule, counts, now, ceiling
            )
            seen.append((readouts, [stop for stop, index in enumerate(indices) if index >= 0]))
        courses = np.concatenate([np.asarray(readouts)[stops] for readouts, stops in seen])
        courses[mesh.times > mesh.reached * (1.0 + 1e-12)] = np.nan
        readouts = jax.tree.unflatten(
            self._readout_tree, [courses[:, column] for column in range(courses.shape[1])]
        )
        error = np.asarray(error)
        status = np.where(error > ceiling, Status.MAX_STEPS, Status.OK)
        status = np.where(np.isinf(error), Status.NON_FINITE, status)
        status = np.where(status == 0, mesh.status, status).astype(np.int8)
        y = self._reduction.expand(list(np.asarray(y)), np.zeros_like(error))
        return Result(readouts, error, status, y)

    def _march_traced(
        self, mesh: Mesh, y0: tuple, parameters: Tree, forcing: Tree, impulses: Tree, limit: float
    ) -> Result:
        """March inside another transformation; states are kept every ``GROUP`` steps only."""
        y = self._start(y0, parameters)
        dtype = y[0].dtype
        ceiling = min(limit, float(jnp.finfo(dtype).max))
        constants = self._constants(y, parameters, forcing)
        missing = -mesh.steps % GROUP
        schedule = tuple(
            np.concatenate([part, np.repeat(part[-1:], missing)]).reshape(-1, GROUP)
            for part in (mesh.start.astype(dtype), mesh.length.astype(dtype), mesh.segment)
        )
        marks = (mesh.first, np.ones(mesh.steps, bool))
        schedule += tuple(
            np.concatenate([mark, np.zeros(missing, bool)]).reshape(-1, GROUP) for mark in marks
        )

        def one_step(carry: tuple, row: tuple) -> tuple[tuple, tuple]:
            y, error = carry
            *step_row, real = row
            y_new, local = self._one_step(y, step_row, parameters, constants, forcing, impulses)
            y = tuple(jnp.where(real, new, old) for new, old in zip(y_new, y, strict=True))
            error = jnp.maximum(error, jnp.where(real, local, 0.0))
            return (y, error), (jnp.stack(y), error)

        def group(carry: tuple, rows: tuple) -> tuple[tuple, tuple]:
            return jax.lax.scan(jax.checkpoint(one_step), carry, rows)

        start = (y, jnp.zeros_like(y[0]))
        (y, error), path = jax.lax.scan(jax.checkpoint(group), start, schedule)
        states, errors = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in path)
        picked = mesh.output[1:] - 1
        states = jnp.concatenate([jnp.stack(start[0])[None], states[picked]])
        errors = jnp.concatenate([start[1][None], errors[picked]])
        readouts = self._seen(
            jnp.asarray(mesh.times, dtype)[:, None],
            tuple(states[:, position] for position in range(len(self.kept))),
            parameters,
            errors,
            ceiling,
        )
        late = mesh.times > mesh.reached * (1.0 + 1e-12)
        readouts = [jnp.where(late[:, None], jnp.nan, column) for column in readouts]
        status = jnp.where(error > ceiling, jnp.int8(Status.MAX_STEPS), jnp.int8(Status.OK))
        status = jnp.where(jnp.isinf(error), jnp.int8(Status.NON_FINITE), status)
        status = jnp.where(status == 0, jnp.int8(mesh.status), status)
        readouts = jax.tree.unflatten(self._readout_tree, list(readouts))
        return Result(readouts, error, status, self._reduction.expand(y, jnp.zeros_like(y[0])))

    def _place(self, y0: tuple, parameters: Tree, forcing: Tree, impulses: Tree) -> "_Block":
        """A block of patients on the devices, with what is computed once for each patient."""
        y = self._start(y0, parameters)
        lanes, dtype = y[0].shape[-1], y[0].dtype
        forcing, impulses = cast_floats((forcing, impulses), dtype)
        states = place(np.stack([np.asarray(value) for value in y]), 1, lanes)
        parameters = place(pack(parameters, dtype, lanes), None, lanes)
        forcing, impulses = (place(tree, 1, lanes) for tree in (forcing, impulses))
        constants = place(self._constants_program(states, parameters, forcing), 0, lanes)
        return _Block(states, parameters, constants, forcing, impulses)

    def _advance_block(
        self,
        block: "_Block",
        y: Any,
        error: Any,
        schedule: Sequence[np.ndarray],
        counts: list[int],
        now: list[float],
        limit: float,
    ) -> tuple[Any, Any, Any]:
        """Advance a placed block through one window; see ``_advance``."""
        dtype = y.dtype
        kinds = (dtype, dtype, np.int32, bool)
        rows = tuple(
            _filled(part, WINDOW).astype(kind) for part, kind in zip(schedule, kinds, strict=True)
        )
        stops = (_filled(np.array(counts, np.int32), STOPS), _filled(np.array(now, dtype), STOPS))
        ceiling = np.asarray(min(limit, float(jnp.finfo(dtype).max)), dtype)
        plan = (rows, stops, np.int32(len(counts)), ceiling)
        return self._advance_program(
            y, error, plan, block.parameters, block.constants, block.forcing, block.impulses
        )

    def _start(self, y0: tuple, parameters: Tree) -> tuple:
        """Kept states at the start as arrays (patient,) of one floating dtype."""
        return self._reduction.keep(broadcast(y0, patients(y0, parameters)))

    def _advance(
        self,
        y: jax.Array,
        error: jax.Array,
        plan: tuple,
        packed: Packed,
        constants: Packed,
        forcing: Tree,
        impulses: Tree,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Go from stop to stop, observing at each.

        Args:
            y: (kept state, patient) states.
            error: (patient,) largest errors so far.
            plan: steps, (counts of steps, times) of the stops, number of stops, limit.
            packed: parameters.
            constants: from ``_constants``.
            forcing: inputs.
            impulses: impulses.

        Returns:
            States, largest errors and readouts (stop, column, patient).
        """
        schedule, (counts, times), stops, limit = plan
        parameters = packed.unpack()
        known = constants.unpack()

        def one_step(index: Any, carry: tuple) -> tuple:
            y, error = carry
            row = tuple(part[index] for part in schedule)
            y, local = self._one_step(y, row, parameters, known, forcing, impulses)
            return y, jnp.maximum(error, local)

        def one_stop(stop: Any, carry: tuple) -> tuple:
            y, error, done, seen = carry
            until = done + counts[stop]
            y, error = jax.lax.fori_loop(done, until, one_step, (y, error))
            row = self._seen(times[stop], y, parameters, error, limit)
            return y, error, until, jax.lax.dynamic_update_index_in_dim(seen, row, stop, 0)

        states = tuple(y)
        columns = jax.eval_shape(self._seen, limit, states, parameters, error, limit)
        seen = jnp.zeros((STOPS, *columns.shape), columns.dtype)
        start = (states, error, jnp.int32(0), seen)
        states, error, _, seen = jax.lax.fori_loop(0, stops, one_stop, start)
        return jnp.stack(states), error, seen

    def _one_step(
        self,
        y: tuple,
        row: Sequence[Any],
        parameters: Tree,
        constants: tuple,
        forcing: Tree,
        impulses: Tree,
        jumps: bool = True,
    ) -> tuple[tuple, jax.Array]:
        """One step, with its impulse, and its local error over the tolerance.

        The error is infinite where the new state is not finite.
        """
        t, h, segment, first = row
        if self._jump is not None and jumps:
            jumped = self._jumped(y, parameters, impulses, segment)
            y = tuple(
                old if new is old else jnp.where(first, new, old)
                for old, new in zip(y, jumped, strict=True)
            )
        forced = _row(forcing, segment)
        _, program = self._programs(y, parameters, forced)
        known = (*jax.tree.leaves((parameters, forced)), *constants)
        y_new, error = step(self.method, program, t, h, y, known)
        norm = jnp.zeros_like(y[0])
        for position, atol in self._controlled:
            scale = jnp.maximum(jnp.abs(y[position]), jnp.abs(y_new[position]))
            norm = jnp.maximum(norm, jnp.abs(error[position]) / (atol + self.rtol * scale))
        finite = jnp.isfinite(sum(y_new[1:], y_new[0])) & jnp.isfinite(norm)
        return y_new, jax.lax.stop_gradient(jnp.where(finite, norm, jnp.inf))

    def _trial(
        self, t: Any, h: Any, y: tuple, parameters: Tree, forcing: Tree, segment: Any
    ) -> tuple[tuple, jax.Array]:
        """One step by itself, constants included: states and local error over the tolerance."""
        constants = self._constants(y, parameters, forcing)
        row = (t, h, segment, False)
        return self._one_step(y, row, parameters, constants, forcing, None, jumps=False)

    def _programs(self, y: tuple, parameters: Tree, row: Tree) -> tuple[Program, Program]:
        """The right-hand side as a program for the constants and one for the rest."""
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)),
            (y, parameters, row),
        )
        key = (jax.tree.structure(shapes), *jax.tree.leaves(shapes))
        if key not in self._split:
            rhs = partial(self._reduction.rhs, self._rhs)
            t = jax.ShapeDtypeStruct((), y[0].dtype)
            program = without_zeros(trace(rhs, t, *shapes))
            still = len(jax.tree.leaves(parameters))
            varying = [True] * (1 + len(y)) + [False] * still
            varying += [True] * len(jax.tree.leaves(row))
            self._split[key] = hoist(program, varying)
        return self._split[key]

    def _pack_constants(self, y: jax.Array, packed: Packed, forcing: Tree) -> Packed:
        """``_constants`` for the compiled march."""
        constants = self._constants(tuple(y), packed.unpack(), forcing)
        kinds = tuple("vector" if value.ndim else "scalar" for value in constants)
        stores = {
            kind: [value for value, own in zip(constants, kinds, strict=True) if own == kind]
            for kind in ("vector", "scalar")
        }
        vectors, scalars = (
            jnp.stack(values) if values else jnp.zeros((0, *shape), y.dtype)
            for values, shape in ((stores["vector"], (y.shape[-1],)), (stores["scalar"], ()))
        )
        return Packed(vectors, scalars, (), jax.tree.structure(constants), kinds)

    def _constants(self, y: tuple, parameters: Tree, forcing: Tree) -> tuple:
        """What depends on the parameters alone and is costly to compute."""
        row = _row(forcing, 0)
        program, _ = self._programs(y, parameters, row)
        t = jnp.zeros((), y[0].dtype)
        return tuple(evaluate(program, (t, *y, *jax.tree.leaves((parameters, row)))))

    def _jump_states(self, y: Any, packed: Packed, impulses: Tree, segment: Any) -> Any:
        """``_jumped`` for the pilot."""
        return jnp.stack(self._jumped(tuple(y), packed.unpack(), impulses, segment))

    def _jumped(self, y: tuple, parameters: Tree, impulses: Tree, segment: Any) -> tuple:
        """States after the impulse of a segment; untouched states are the same objects."""
        if self._jump is None:
            return y
        return self._reduction.jump(self._jump, y, parameters, _row(impulses, segment))

    def _seen(self, t: Any, y: tuple, parameters: Tree, error: Any, limit: Any) -> jax.Array:
        """Readouts (column, ...), NaN for patients whose error has passed the limit."""
        everything = self._reduction.expand(y, jnp.zeros_like(y[0]))
        seen = everything if self._observe is None else self._observe(t, everything, parameters)
        columns, self._readout_tree = jax.tree.flatten(seen)
        masked = [
            jnp.where(error <= limit, jnp.broadcast_to(column, error.shape), jnp.nan)
            for column in columns
        ]
        return jnp.stack(masked)


@dataclass(frozen=True)
class _Block:
    """A block of patients on the devices."""

    y: Any
    parameters: Packed
    constants: Packed
    forcing: Tree
    impulses: Tree


def _filled(part: np.ndarray, size: int) -> np.ndarray:
    """An array filled up to a fixed size, so that every window has the same shape."""
    return np.concatenate([part, np.zeros(size - part.size, part.dtype)])


def _row(tree: Tree, segment: Any) -> Tree:
    """The inputs of one segment."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[segment], tree)


def _per_state(name: str, value: Any, size: int, kind: Callable[[Any], Any]) -> tuple:
    """One entry a state from a scalar or a sequence."""
    entries = tuple(np.ravel(value)) if np.ndim(value) else (value,) * size
    if len(entries) != size:
        raise ValueError(f"{name} has {len(entries)} entries for {size} states; give one or {size}")
    if name == "atol" and not all(np.isfinite(entry) and entry > 0.0 for entry in entries):
        raise ValueError(f"atol = {value} must be finite and positive in every entry")
    return tuple(kind(entry) for entry in entries)
