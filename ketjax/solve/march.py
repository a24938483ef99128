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

from ketjax.solve import keeping
from ketjax.solve.compilation import compile_program
from ketjax.solve.devices import place, spread
from ketjax.solve.equations import Equations
from ketjax.solve.lanes import (
    Packed,
    cast_floats,
    pack,
    pad_lanes,
    patients,
    sample_lanes,
    take_lanes,
)
from ketjax.solve.mesh import Mesh, build_mesh, check_times, mesh_of
from ketjax.solve.pilot import fly
from ketjax.solve.solution import Result, status_of
from ketjax.solve.traced import march_traced

Tree = Any

WINDOW = 64  # most steps in one call of the compiled program
STOPS = 8  # most outputs in one call


class System(Equations):
    """A right-hand side, its method and tolerances, and the programs compiled for it.

    Attributes:
        kept: indices of the states that are marched; the others are zero or unread.
        method: the Rosenbrock method.
        rtol: relative tolerance [1].
        atol: absolute tolerance of each state, in its unit.
    """

    def __init__(self, *arguments: Any, identity: str = "", **options: Any) -> None:
        """As for ``Equations``; nothing is compiled yet.

        Args:
            arguments: of ``Equations``.
            identity: all that the functions depend on besides their arguments, their source
                included, as text. With it programs and meshes are kept for later processes.
            options: of ``Equations``.
        """
        super().__init__(*arguments, **options)
        self._identity = repr((identity, *self._traits())) if identity else ""
        self._constants_program = compile_program(
            self._pack_constants, self._identity and f"constants {self._identity}"
        )
        self._advance_program = compile_program(
            spread(self._advance, (1, 0, None, 0, 1, 1, 1), (1, 0, 2)),
            self._identity and f"advance {self._identity}",
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
        name = ""
        if self._identity:
            inputs = map(np.asarray, jax.tree.leaves((y0, parameters, forcing, impulses)))
            name = keeping.digest(
                "mesh", self._identity, grid, cuts, *inputs, serve, pilot, block, max_steps
            )
        chosen = sample_lanes(patients(y0, parameters), pilot, (y0, parameters))
        lanes = pad_lanes(chosen, block)
        y0, parameters = (take_lanes(tree, lanes, axis=0) for tree in (y0, parameters))
        forcing, impulses = (take_lanes(tree, lanes, axis=1) for tree in (forcing, impulses))
        placed = self._place(y0, parameters, forcing, impulses)
        zero = place(np.zeros(lanes.size, placed.y.dtype), 0, lanes.size)
        if name and (kept := keeping.read_arrays(name)) is not None:
            # No step: the program is made ready, as it is after a pilot.
            nothing = (np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
            self._advance_block(placed, placed.y, zero, nothing, [], [], np.inf)
            return mesh_of(kept)

        def trial(t: float, h: float, y: Any, segment: int) -> tuple[Any, np.ndarray]:
            one = (np.array([t]), np.array([h]), np.array([segment]), np.array([False]))
            y_new, error, _ = self._advance_block(placed, y, zero, one, [1], [t + h], np.inf)
            return y_new, np.asarray(error, np.float64)[: chosen.size]

        def jump(y: Any, segment: int) -> Any:
            return self._jump_program(y, placed.parameters, placed.impulses, np.int32(segment))

        flight = fly(trial, jump, placed.y, grid, cuts, self.method.error_order, serve, max_steps)
        mesh = build_mesh(grid, cuts, flight.accepted, flight.status, flight.reached)
        if name:
            keeping.write_arrays(name, vars(mesh))
        return mesh

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
        leaves = jax.tree.leaves((y0, parameters, forcing, impulses))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            self._reduction.check_zeros(y0, forcing, impulses)
            return march_traced(self, mesh, y0, parameters, forcing, impulses, limit)
        return self.launch(mesh, y0, parameters, forcing, impulses, limit=limit)()

    def launch(
        self,
        mesh: Mesh,
        y0: tuple,
        parameters: Tree,
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        limit: float = np.inf,
    ) -> Callable[[], Result]:
        """``march`` for concrete arrays, without waiting for the devices.

        Args:
            mesh: as for ``march``, and so are the others.
            y0: start.
            parameters: parameters.
            forcing: inputs.
            impulses: impulses.
            limit: error above which readouts are NaN.

        Returns:
            A function that waits for the result and brings it to the host.

        Raises:
            ValueError: a leaf that the examples promised to be zero is not.
        """
        self._reduction.check_zeros(y0, forcing, impulses)
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
        return partial(self._collect, mesh, y, error, seen, ceiling)

    def _collect(self, mesh: Mesh, y: Any, error: Any, seen: list, ceiling: float) -> Result:
        """What has been launched, on the host."""
        courses = np.concatenate([np.asarray(readouts)[stops] for readouts, stops in seen])
        courses[mesh.times > mesh.reached * (1.0 + 1e-12)] = np.nan
        readouts = jax.tree.unflatten(
            self._readout_tree, [courses[:, column] for column in range(courses.shape[1])]
        )
        error = np.asarray(error)
        y = self._reduction.expand(list(np.asarray(y)), np.zeros_like(error))
        return Result(readouts, error, status_of(error, ceiling, mesh.status), y)

    def _place(self, y0: tuple, parameters: Tree, forcing: Tree, impulses: Tree) -> "_Block":
        """A block of patients on the devices, with what is computed once for each patient."""
        y = self._start(y0, parameters)
        lanes, dtype = y[0].shape[-1], y[0].dtype
        forcing, impulses = cast_floats((forcing, impulses), dtype)
        states = place(np.stack([np.asarray(value) for value in y]), 1, lanes)
        parameters = place(pack(parameters, dtype, lanes), None, lanes)
        forcing, impulses = (place(tree, 1, lanes) for tree in (forcing, impulses))
        constants = place(self._constants_program(states, parameters, forcing), 1, lanes)
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

    def _advance(
        self,
        y: jax.Array,
        error: jax.Array,
        plan: tuple,
        packed: Packed,
        constants: tuple,
        forcing: Tree,
        impulses: Tree,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Go from stop to stop, observing at each.

        Args:
            y: (kept state, patient) states.
            error: (patient,) largest errors so far.
            plan: steps, (counts of steps, times) of the stops, number of stops, limit.
            packed: parameters.
            constants: from ``_pack_constants``.
            forcing: inputs.
            impulses: impulses.

        Returns:
            States, largest errors and readouts (stop, column, patient).
        """
        schedule, (counts, times), stops, limit = plan
        parameters = packed.unpack()
        known = self._unpack_constants(constants, tuple(y), parameters, forcing)

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

    def _pack_constants(self, y: jax.Array, packed: Packed, forcing: Tree) -> tuple:
        """``_constants`` for the compiled march: those of a patient, those that all share."""
        constants = self._constants(tuple(y), packed.unpack(), forcing)
        vectors = [value for value in constants if value.ndim]
        scalars = [value for value in constants if not value.ndim]
        return tuple(
            jnp.stack(values) if values else jnp.zeros((0, *shape), y.dtype)
            for values, shape in ((vectors, (y.shape[-1],)), (scalars, ()))
        )

    def _unpack_constants(self, packed: tuple, y: tuple, parameters: Tree, forcing: Tree) -> tuple:
        """The constants in their order."""
        vectors, scalars = map(iter, packed)
        shapes = self._constant_shapes(y, parameters, forcing)
        return tuple(next(vectors if shape else scalars) for shape in shapes)

    def _jump_states(self, y: Any, packed: Packed, impulses: Tree, segment: Any) -> Any:
        """``_jumped`` for the pilot."""
        return jnp.stack(self._jumped(tuple(y), packed.unpack(), impulses, segment))


@dataclass(frozen=True)
class _Block:
    """A block of patients on the devices."""

    y: Any
    parameters: Packed
    constants: tuple
    forcing: Tree
    impulses: Tree


def _filled(part: np.ndarray, size: int) -> np.ndarray:
    """An array filled up to a fixed size, so that every window has the same shape."""
    return np.concatenate([part, np.zeros(size - part.size, part.dtype)])
