"""Gradients of a march over any mesh with programs that serve them all, in bounded memory.

``march_traced`` makes a whole march part of one expression, so each mesh compiles anew. Here the
march goes window by window and keeps its states; the reverse pass takes the windows backwards and
differentiates one step at a time where it was taken. Only what moves is carried: the leaves whose
derivatives are asked for, and the states and constants that depend on them. Where a few leaves act
on a few states, as those of the mood layer do, a gradient costs little more than the march.

    adjoint = Adjoint(system, moving, y0, parameters, forcing, impulses)
    tape = adjoint.march(mesh, y0, parameters, forcing, impulses)
    from_y0, from_leaves = adjoint.pull(tape, cotangents)

Several cotangents are pulled back at once: the rows of a Jacobian share what a step costs. Where
there are more readouts than leaves, its columns are the cheaper way:

    readouts_along = adjoint.push(tape, to_y0, to_leaves)

With ``acting`` the lengths of the steps and the inputs themselves are differentiated too:

    from_y0, from_leaves, from_lengths, from_inputs = adjoint.pull_inputs(tape, cotangents)

Between events a right-hand side must then not depend on time: only lengths count.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.solve import keeping
from ketjax.solve.compilation import compile_program
from ketjax.solve.devices import place, spread
from ketjax.solve.lanes import Packed, broadcast, cast_floats, pack, patients
from ketjax.solve.march import System
from ketjax.solve.mesh import Mesh
from ketjax.solve.reverse import WINDOW, Reverse

Tree = Any

OUTPUTS = 8  # outputs observed in one call


@dataclass(frozen=True, eq=False)
class Tape:
    """What a march leaves for its reverse pass.

    Attributes:
        readouts: (column, time, patient).
        error: (patient,) largest scaled local error.
        steps: states before each step of each window, (WINDOW, state, patient); None where they
            are to be computed again.
        starts: states at the start of each window, (state, patient).
        states: states at each output time, (state, patient).
        block: the patients as they lie on the devices.
        mesh: the steps.
    """

    readouts: np.ndarray
    error: np.ndarray
    steps: list[Any]
    starts: list[Any]
    states: list[Any]
    block: "_Block"
    mesh: Mesh


class Adjoint:
    """Programs that march a system and pull derivatives of its readouts back to its inputs.

    Attributes:
        moving: places, among the leaves of the parameters, of those that are differentiated.
        states: places, among the kept states, of those that depend on them.
        acting: places, among the leaves of forcing and impulses, of those that are differentiated.
    """

    def __init__(
        self,
        system: System,
        moving: Sequence[int],
        y0: tuple,
        parameters: Tree,
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        start_moves: Sequence[bool] | None = None,
        acting: Sequence[int] | None = None,
        identity: str = "",
    ) -> None:
        """Find what depends on the moving leaves; nothing is compiled yet.

        Args:
            system: The system.
            moving: Places of the leaves of the parameters whose derivatives are wanted.
            y0: Example start, as for the march, and so are the rest.
            parameters: Example parameters.
            forcing: Example inputs.
            impulses: Example impulses.
            start_moves: For each state whether its start depends on what is asked for; all if not
                given.
            acting: Places, among the leaves of forcing and impulses, of those whose derivatives
                are wanted together with those of the lengths of steps; neither if not given.
            identity: As of ``System``: keeps the compiled programs for later processes.
        """
        self.system = system
        lanes = patients(y0, parameters)
        y = system._start(broadcast(y0, lanes), parameters)
        parameters, forcing, impulses = cast_floats((parameters, forcing, impulses), y[0].dtype)
        marks = [True] * system.size if start_moves is None else list(start_moves)
        starting = {k for k, index in enumerate(system.kept) if marks[index]}
        reverse = Reverse(system, moving, starting, y, parameters, forcing, impulses, acting)
        self.moving, self.states, self._constants, self.acting = (
            reverse.moving,
            reverse.states,
            reverse.constants,
            reverse.acting,
        )
        carried = (self.moving, self.states, self._constants, self.acting)
        name = identity and keeping.digest(identity, repr(system._traits()), repr(carried))

        def program(function: Any, kind: str, axes: Sequence, results: Sequence) -> Any:
            return compile_program(spread(function, axes, results), name and f"{kind} {name}")

        self._constants_program = program(reverse.pack_constants, "constants", (1, None, 1), (1, 0))
        self._run_program = program(
            reverse.run, "adjoint run", (1, 0, None, 1, None, 1, 1, 1), (1, 0, 2)
        )
        self._see_program = program(reverse.see, "adjoint see", (2, 1, None), (2,))
        self._pull_run_program = program(
            reverse.pull_run, "adjoint pull", (2, 2, 2, None, 2, 1, None, 1, 1, 1), (2, 2, 2, 3)
        )
        self._pull_see_program = program(
            reverse.pull_see, "adjoint pull seen", (3, 2, 2, 1, None), (3, 2)
        )
        self._pull_constants_program = program(
            reverse.pull_constants, "adjoint pull constants", (2, 2, 1, 1, None, 1), (2,)
        )
        self._push_run_program = program(
            reverse.push_run, "push", (2, 2, 2, None, 2, 1, None, 1, 1, 1), (2,)
        )
        self._push_see_program = program(reverse.push_see, "push seen", (3, 2, 2, 1, None), (3,))
        self._push_constants_program = program(
            reverse.push_constants, "push constants", (2, 1, None, 1), (2,)
        )

    def march(
        self,
        mesh: Mesh,
        y0: tuple,
        parameters: Tree,
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        keep: bool = True,
    ) -> Tape:
        """March one block of patients.

        Args:
            mesh: The steps.
            y0: Start, one array (patient,) or scalar a state.
            parameters: Leaves scalar or (patient,).
            forcing: Inputs, leaves (segment,) or (segment, patient).
            impulses: Impulses, leaves (segment,) or (segment, patient).
            keep: Keep the states of every step, 4 B a state, step and patient in float32; else the
                reverse pass computes them again.

        Returns:
            Readouts, and what the reverse pass needs.
        """
        block = self._place(y0, parameters, forcing, impulses)
        y = block.y
        error = place(np.zeros(y.shape[-1], y.dtype), 0, y.shape[-1])
        steps, starts, found = [], [], {0: y}
        for rows, count, last in _windows(mesh, np.dtype(y.dtype)):
            starts.append(y)
            y, error, path = self._run_program(y, error, (rows, count), *block.inputs)
            steps.append(path if keep else None)
            found[last] = y
        states = [found[step] for step in mesh.output.tolist()]
        seen = [
            self._see_program(_outputs(states, first), block.moving, block.packed)[0]
            for first in range(0, len(states), OUTPUTS)
        ]
        readouts = np.concatenate([np.asarray(part) for part in seen], axis=1)
        return Tape(
            readouts[:, : len(states)], np.asarray(error), steps, starts, states, block, mesh
        )

    def pull(self, tape: Tape, cotangents: Any) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of some numbers with respect to the start and the moving leaves.

        Args:
            tape: A march.
            cotangents: Derivatives of each number with respect to the readouts,
                (number, column, time, patient).

        Returns:
            (number, state, patient) with respect to the kept states at the start that move, and
            (number, leaf, patient) with respect to the moving leaves; patient by patient.
        """
        from_y, total, _ = self._pull(tape, cotangents)
        return from_y, total

    def pull_inputs(
        self, tape: Tape, cotangents: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """As ``pull``, and derivatives with respect to the steps and what acts in them.

        Args:
            tape: A march.
            cotangents: (number, column, time, patient).

        Returns:
            Those of ``pull``; (number, step, patient) with respect to the length of each step, and
            (number, input, segment, patient) with respect to the inputs of ``acting``.

        Raises:
            ValueError: They were not asked for.
        """
        if self.acting is None:
            raise ValueError("derivatives of inputs need an Adjoint that was made with `acting`")
        from_y, total, by_step = self._pull(tape, cotangents)
        inputs = jax.tree.leaves((tape.block.forcing, tape.block.impulses))
        segments = len(inputs[0]) if inputs else 0
        by_segment = np.zeros((segments, *by_step[0, :, 1:].shape), by_step.dtype)
        np.add.at(by_segment, tape.mesh.segment, by_step[:, :, 1:])
        return from_y, total, np.moveaxis(by_step[:, :, 0], 0, 1), np.moveaxis(by_segment, 0, 2)

    def _pull(self, tape: Tape, cotangents: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives by the start, by the leaves, and (step, number, what acts, patient)."""
        block, dtype = tape.block, tape.block.y.dtype
        cotangents = np.asarray(cotangents, dtype)
        numbers, lanes = cotangents.shape[0], cotangents.shape[-1]
        y_shape, moving_shape, constant_shape = (
            (numbers, size, lanes)
            for size in (len(self.states), len(self.moving), len(self._constants))
        )
        total = place(np.zeros(moving_shape, dtype), 2, lanes)
        from_constants = place(np.zeros(constant_shape, dtype), 2, lanes)
        from_y = place(np.zeros(y_shape, dtype), 2, lanes)
        at_output: dict[int, Any] = {}
        outputs = tape.mesh.output.tolist()
        for first in range(0, len(outputs), OUTPUTS):
            given = cotangents[:, :, first : first + OUTPUTS]
            count = given.shape[2]
            given = np.moveaxis(given, 2, 1)
            given = np.pad(given, ((0, 0), (0, OUTPUTS - count), (0, 0), (0, 0)))
            states = _outputs(tape.states, first)
            rows, total = self._pull_see_program(
                place(given, 3, lanes), total, states, block.moving, block.packed
            )
            for k, step in enumerate(outputs[first : first + count]):
                at_output[step] = rows[:, k]
        windows = list(_windows(tape.mesh, np.dtype(dtype)))
        error = place(np.zeros(lanes, dtype), 0, lanes)
        by_step: list[np.ndarray] = []
        for k in reversed(range(len(windows))):
            rows, count, last = windows[k]
            if last in at_output:
                from_y = from_y + at_output[last]
            path = tape.steps[k]
            if path is None:
                path = self._run_program(tape.starts[k], error, (rows, count), *block.inputs)[2]
            from_y, total, from_constants, acts = self._pull_run_program(
                from_y, total, from_constants, (rows, count), path, *block.inputs
            )
            if self.acting is not None:  # to look at it is to wait for the window
                by_step.append(np.asarray(acts[:count]))
        if 0 in at_output:
            from_y = from_y + at_output[0]
        if self._constants:
            (total,) = self._pull_constants_program(
                total, from_constants, block.y, block.moving, block.packed, block.forcing
            )
        acted = np.concatenate(by_step[::-1]) if by_step else np.zeros(0, dtype)
        return np.asarray(from_y), np.asarray(total), acted

    def push(self, tape: Tape, to_y: Any, to_leaves: Any) -> np.ndarray:
        """Derivatives of all readouts along some directions.

        Args:
            tape: A march.
            to_y: How the kept states that move start in each direction, (number, state, patient).
            to_leaves: How the moving leaves go in each, (number, leaf, patient).

        Returns:
            (number, column, time, patient).
        """
        block, dtype = tape.block, tape.block.y.dtype
        lanes = block.y.shape[-1]
        to_y, moving = (place(np.asarray(part, dtype), 2, lanes) for part in (to_y, to_leaves))
        constants = place(np.zeros((len(moving), 0, lanes), dtype), 2, lanes)
        if self._constants:
            (constants,) = self._push_constants_program(
                moving, block.moving, block.packed, block.forcing
            )
        found, error = {0: to_y}, place(np.zeros(lanes, dtype), 0, lanes)
        for k, (rows, count, last) in enumerate(_windows(tape.mesh, np.dtype(dtype))):
            path = tape.steps[k]
            if path is None:
                path = self._run_program(tape.starts[k], error, (rows, count), *block.inputs)[2]
            (to_y,) = self._push_run_program(
                to_y, moving, constants, (rows, count), path, *block.inputs
            )
            found[last] = to_y
        at = [found[step] for step in tape.mesh.output.tolist()]
        seen = [
            self._push_see_program(
                jnp.moveaxis(_outputs(at, first), 0, 1),
                moving,
                _outputs(tape.states, first),
                block.moving,
                block.packed,
            )[0]
            for first in range(0, len(at), OUTPUTS)
        ]
        whole = np.concatenate([np.asarray(part) for part in seen], axis=1)
        return np.moveaxis(whole[:, : len(at)], 1, 2)

    def _place(self, y0: tuple, parameters: Tree, forcing: Tree, impulses: Tree) -> "_Block":
        """A block of patients on the devices, with what is computed once for each patient."""
        self.system._reduction.check_zeros(y0, forcing, impulses)
        lanes = patients(y0, parameters)
        y = self.system._start(broadcast(y0, lanes), parameters)
        dtype = y[0].dtype
        forcing, impulses = cast_floats((forcing, impulses), dtype)
        states = place(np.stack([np.asarray(value) for value in y]), 1, lanes)
        leaves, tree = jax.tree.flatten(parameters)
        moving = np.zeros((len(self.moving), lanes), dtype)
        for k, place_of in enumerate(self.moving):
            moving[k] = leaves[place_of]
        moving = place(moving, 1, lanes)
        for k in self.moving:  # their place is taken by `moving`
            leaves[k] = np.zeros((), dtype)
        packed = place(pack(jax.tree.unflatten(tree, leaves), dtype, lanes), None, lanes)
        forcing, impulses = (place(part, 1, lanes) for part in (forcing, impulses))
        constants = place(self._constants_program(moving, packed, forcing), 1, lanes)
        return _Block(states, moving, packed, constants, forcing, impulses)


@dataclass(frozen=True, eq=False)
class _Block:
    """A block of patients on the devices."""

    y: Any
    moving: Any
    packed: Packed
    constants: tuple
    forcing: Tree
    impulses: Tree

    @property
    def inputs(self) -> tuple:
        """What every window is given."""
        return (self.moving, self.packed, self.constants, self.forcing, self.impulses)


def _windows(mesh: Mesh, dtype: np.dtype) -> Iterator[tuple[tuple, np.integer, int]]:
    """Rows and number of steps of each window, and the steps taken by its end.

    A window ends at an output at the latest.
    """
    kinds = (dtype, dtype, np.int32, bool)
    columns = (mesh.start, mesh.length, mesh.segment, mesh.first)
    for left, right in itertools.pairwise(sorted({0, *mesh.output.tolist(), mesh.steps})):
        for first in range(left, right, WINDOW):
            count = min(WINDOW, right - first)
            rows = tuple(
                np.concatenate([part[first : first + count], np.zeros(WINDOW - count)]).astype(kind)
                for part, kind in zip(columns, kinds, strict=True)
            )
            yield rows, np.int32(count), first + count


def _outputs(states: list, first: int) -> Any:
    """States at some outputs, a fixed number of them."""
    some = states[first : first + OUTPUTS]
    return jnp.stack(some + some[-1:] * (OUTPUTS - len(some)))
