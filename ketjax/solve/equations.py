"""A right-hand side made ready for stepping: structure, constants, one step, readouts."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.solve.lanes import broadcast, patients
from ketjax.solve.methods import RODAS4, Method
from ketjax.solve.reduction import Reduction, reduce_system
from ketjax.solve.rosenbrock import step
from ketjax.solve.structure import Program, aval, evaluate, hoist, trace, without_zeros

Tree = Any


class Equations:
    """A right-hand side with its method and tolerances.

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
        """Find the structure of a right-hand side.

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
        start = broadcast(y0, lanes)
        shown = (
            start if observe is None else jax.eval_shape(observe, start[0][0], start, parameters)
        )
        self._readout_tree = jax.tree.structure(shown)

    def _traits(self) -> tuple:
        """What tells these equations from others with the same functions."""
        return (self.method, self.rtol, self.atol, self._controlled, self._reduction)

    def _start(self, y0: tuple, parameters: Tree) -> tuple:
        """Kept states at the start as arrays (patient,) of one floating dtype."""
        return self._reduction.keep(broadcast(y0, patients(y0, parameters)))

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
        # A program traced within a share of the patients belongs to that share's mesh.
        where = jax.sharding.get_abstract_mesh()
        key = (where, jax.tree.structure(shapes), *jax.tree.leaves(shapes))
        if key not in self._split:
            rhs = partial(self._reduction.rhs, self._rhs)
            t = jax.ShapeDtypeStruct((), y[0].dtype)
            program = without_zeros(trace(rhs, t, *shapes))
            still = len(jax.tree.leaves(parameters))
            varying = [True] * (1 + len(y)) + [False] * still
            varying += [True] * len(jax.tree.leaves(row))
            self._split[key] = hoist(program, varying)
        return self._split[key]

    def _constants(self, y: tuple, parameters: Tree, forcing: Tree) -> tuple:
        """What depends on the parameters alone and is costly to compute."""
        row = _row(forcing, 0)
        program, _ = self._programs(y, parameters, row)
        t = jnp.zeros((), y[0].dtype)
        return tuple(evaluate(program, (t, *y, *jax.tree.leaves((parameters, row)))))

    def _constant_shapes(self, y: tuple, parameters: Tree, forcing: Tree) -> list[tuple]:
        """Shape of each of the constants."""
        program, _ = self._programs(y, parameters, _row(forcing, 0))
        return [aval(output).shape for output in program.outputs]

    def _jumped(self, y: tuple, parameters: Tree, impulses: Tree, segment: Any) -> tuple:
        """States after the impulse of a segment; untouched states are the same objects."""
        if self._jump is None:
            return y
        return self._reduction.jump(self._jump, y, parameters, _row(impulses, segment))

    def _seen(self, t: Any, y: tuple, parameters: Tree, error: Any, limit: Any) -> jax.Array:
        """Readouts (column, ...), NaN for patients whose error has passed the limit."""
        everything = self._reduction.expand(y, jnp.zeros_like(y[0]))
        seen = everything if self._observe is None else self._observe(t, everything, parameters)
        columns = jax.tree.leaves(seen)
        masked = [
            jnp.where(error <= limit, jnp.broadcast_to(column, error.shape), jnp.nan)
            for column in columns
        ]
        return jnp.stack(masked)


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
