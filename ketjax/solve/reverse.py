"""What a march does in one window, forward and backward: functions of arrays alone.

Of a step's derivatives only what moves is computed: the leaves that are asked for, and the states
and constants that depend on them, found from the structure of the right-hand side.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.solve.lanes import Packed
from ketjax.solve.march import System
from ketjax.solve.structure import dependencies, trace

Tree = Any

WINDOW = 32  # most steps in one call


class Reverse:
    """One window of a march and its derivatives.

    Attributes:
        system: the system.
        moving: places, among the leaves of the parameters, of those that are differentiated.
        states: places, among the kept states, of those that depend on them.
        constants: places, among the constants, of those that depend on them.
        acting: places, among the leaves of forcing and impulses, of those that are differentiated,
            as are then the lengths of the steps; None for neither.
    """

    def __init__(
        self,
        system: System,
        moving: Sequence[int],
        starting: set[int],
        y: tuple,
        parameters: Tree,
        forcing: Tree,
        impulses: Tree,
        acting: Sequence[int] | None = None,
    ) -> None:
        """Find what moves.

        Args:
            system: the system.
            moving: places of the leaves whose derivatives are wanted.
            starting: places, among the kept states, of those whose start moves.
            y: example states that are kept, arrays (patient,) of one dtype, as are the rest.
            parameters: example parameters.
            forcing: example inputs.
            impulses: example impulses.
            acting: places of the inputs whose derivatives are wanted, besides those of lengths.
        """
        self.system, self.moving = system, tuple(moving)
        self.acting = None if acting is None else tuple(acting)
        if acting is not None:  # a longer step moves all that changes
            starting = set(range(len(y)))
        self._find_moving(starting, y, parameters, forcing, impulses)

    def _find_moving(
        self, starting: set[int], y: tuple, parameters: Tree, forcing: Tree, impulses: Tree
    ) -> None:
        """The constants and the states that depend on the moving leaves or a moving start."""
        system = self.system
        row = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], forcing)
        constants, rest = system._programs(y, parameters, row)
        size, leaves = len(y), len(jax.tree.leaves(parameters))
        marks = frozenset(1 + size + place for place in self.moving)
        found = dependencies(constants, [False] * len(constants.inputs))
        self.constants = tuple(k for k, reads in enumerate(found) if reads & marks)
        offset = len(rest.inputs) - len(found)
        marks |= {offset + k for k in self.constants}
        flows = dependencies(rest, [False] * len(rest.inputs))

        def jump(y: tuple, parameters: Tree) -> tuple:
            return system._jumped(y, parameters, impulses, jnp.int32(0))

        kicks = [
            frozenset(1 + place for place in reads)
            for reads in dependencies(trace(jump, y, parameters), [False] * (size + leaves))
        ]
        states = set(starting)
        while True:
            reached = marks | {1 + k for k in states}
            more = {k for k in range(size) if (flows[k] | kicks[k]) & reached} | states
            if more == states:
                break
            states = more
        self.states = tuple(sorted(states))

    def _parameters(self, moving: Any, packed: Packed) -> Tree:
        """The parameters of their moving leaves and of the others."""
        leaves, tree = jax.tree.flatten(packed.unpack())
        for k, place_of in enumerate(self.moving):
            leaves[place_of] = moving[k]
        return jax.tree.unflatten(tree, leaves)

    def pack_constants(self, moving: Any, packed: Packed, forcing: Tree) -> tuple:
        """Constants of the right-hand side, (constant, patient) and (constant,)."""
        return self._computed(moving, packed, forcing)[1]

    def _computed(self, moving: Any, packed: Packed, forcing: Tree) -> tuple[list, tuple]:
        """The constants in a list, and packed."""
        parameters = self._parameters(moving, packed)
        # Constants do not depend on states; any of the right shape will do.
        y = tuple(jnp.zeros(moving.shape[1:], moving.dtype) for _ in self.system.kept)
        constants = list(self.system._constants(y, parameters, forcing))
        vectors = [value for value in constants if value.ndim]
        scalars = [value for value in constants if not value.ndim]
        shape = moving.shape[1:]
        return constants, tuple(
            jnp.stack(values) if values else jnp.zeros((0, *form), moving.dtype)
            for values, form in ((vectors, shape), (scalars, ()))
        )

    def _known(self, y: tuple, parameters: Tree, constants: tuple, forcing: Tree) -> list:
        """The constants in their order."""
        return list(self.system._unpack_constants(constants, y, parameters, forcing))

    def run(
        self,
        y: Any,
        error: Any,
        plan: tuple,
        moving: Any,
        packed: Packed,
        constants: tuple,
        forcing: Tree,
        impulses: Tree,
    ) -> tuple[Any, Any, Any]:
        """States after a window, largest errors, and the states before each of its steps."""
        rows, count = plan
        parameters = self._parameters(moving, packed)
        known = self._known(tuple(y), parameters, constants, forcing)

        def body(k: Any, carry: tuple) -> tuple:
            y, error, path = carry
            path = jax.lax.dynamic_update_index_in_dim(path, y, k, 0)
            row = tuple(part[k] for part in rows)
            new, local = self.system._one_step(
                tuple(y), row, parameters, tuple(known), forcing, impulses
            )
            return jnp.stack(new), jnp.maximum(error, local), path

        path = jnp.zeros((WINDOW, *y.shape), y.dtype)
        return jax.lax.fori_loop(0, count, body, (y, error, path))

    def pull_run(
        self,
        from_y: Any,
        total: Any,
        from_constants: Any,
        plan: tuple,
        path: Any,
        moving: Any,
        packed: Packed,
        constants: tuple,
        forcing: Tree,
        impulses: Tree,
    ) -> tuple[Any, Any, Any, Any]:
        """Derivatives at the start of a window from those at its end.

        The last result is (step, number, what acts, patient): what each step says of its length
        and of the inputs that act in it.
        """
        rows, count = plan
        known = self._known(tuple(path[0]), self._parameters(moving, packed), constants, forcing)
        after = self._after(known, packed, forcing, impulses)

        def body(k: Any, carry: tuple) -> tuple:
            from_y, total, from_constants, by_step = carry
            k = count - 1 - k
            row = tuple(part[k] for part in rows)
            y = path[k]
            moves = (
                [y[k] for k in self.states],
                list(moving),
                [known[k] for k in self.constants],
                self._acts(row, forcing, impulses, y.shape[-1:]),
            )
            _, pull = jax.vjp(partial(after, y, row), *moves)
            states, leaves, own, acts = jax.vmap(pull)(tuple(jnp.moveaxis(from_y, 1, 0)))
            if own:
                from_constants = from_constants + jnp.stack(_wide(own, total), axis=1)
            if leaves:
                total = total + jnp.stack(leaves, axis=1)
            if acts:
                by_step = by_step.at[k].set(jnp.stack(acts, axis=1))
            return jnp.stack(states, axis=1), total, from_constants, by_step

        kinds = 0 if self.acting is None else 1 + len(self.acting)
        by_step = jnp.zeros((WINDOW, len(from_y), kinds, from_y.shape[-1]), from_y.dtype)
        return jax.lax.fori_loop(0, count, body, (from_y, total, from_constants, by_step))

    def push_run(
        self,
        to_y: Any,
        to_moving: Any,
        to_constants: Any,
        plan: tuple,
        path: Any,
        moving: Any,
        packed: Packed,
        constants: tuple,
        forcing: Tree,
        impulses: Tree,
    ) -> tuple[Any]:
        """Derivatives of the states at the end of a window from those at its start."""
        rows, count = plan
        known = self._known(tuple(path[0]), self._parameters(moving, packed), constants, forcing)
        after = self._after(known, packed, forcing, impulses)
        leaves, own = (list(jnp.moveaxis(part, 1, 0)) for part in (to_moving, to_constants))

        def body(k: Any, to_y: Any) -> Any:
            row, y = tuple(part[k] for part in rows), path[k]
            moves = (
                [y[k] for k in self.states],
                list(moving),
                _wide([known[k] for k in self.constants], y),
            )

            def push(*directions: Any) -> Any:
                return jax.jvp(lambda *all: after(y, row, *all, []), moves, directions)[1]

            return jnp.stack(jax.vmap(push)(list(jnp.moveaxis(to_y, 1, 0)), leaves, own), axis=1)

        return (jax.lax.fori_loop(0, count, body, to_y),)

    def _after(
        self, known: list, packed: Packed, forcing: Tree, impulses: Tree
    ) -> Callable[..., tuple]:
        """The states that move after a step, as a function of what moves."""

        def after(y: Any, row: tuple, states: list, moving: Any, own: list, acts: list) -> tuple:
            whole, all_known = list(y), list(known)
            for k, value in zip(self.states, states, strict=True):
                whole[k] = value
            for k, value in zip(self.constants, own, strict=True):
                all_known[k] = value
            parameters = self._parameters(moving, packed)
            row, *inputs = self._acted(row, acts, forcing, impulses)
            new, _ = self.system._one_step(tuple(whole), row, parameters, tuple(all_known), *inputs)
            return tuple(new[k] for k in self.states)

        return after

    def _acts(self, row: tuple, forcing: Tree, impulses: Tree, shape: tuple) -> list:
        """The length of a step and the inputs in it that are differentiated, patient by patient."""
        if self.acting is None:
            return []
        leaves = jax.tree.leaves((forcing, impulses))
        values = [row[1], *(leaves[place_of][row[2]] for place_of in self.acting)]
        return [jnp.broadcast_to(value, shape) for value in values]

    def _acted(self, row: tuple, acts: list, forcing: Tree, impulses: Tree) -> tuple:
        """A step and the inputs of its segment alone, with `acts` in their places."""
        if not acts:
            return row, forcing, impulses
        time, _, segment, first = row
        leaves, tree = jax.tree.flatten((forcing, impulses))
        leaves = [leaf[segment] for leaf in leaves]
        for place_of, value in zip(self.acting or (), acts[1:], strict=True):
            leaves[place_of] = value
        inputs = jax.tree.unflatten(tree, [leaf[None] for leaf in leaves])
        return (time, acts[0], jnp.int32(0), first), *inputs

    def see(self, states: Any, moving: Any, packed: Packed) -> tuple[Any]:
        """Readouts (column, output, patient) of some outputs."""
        parameters = self._parameters(moving, packed)

        def one(y: Any) -> Any:
            zero = jnp.zeros_like(y[0])
            return self.system._seen(zero[0], tuple(y), parameters, zero, jnp.inf)

        return (jax.vmap(one, out_axes=1)(states),)

    def pull_see(
        self, cotangents: Any, total: Any, states: Any, moving: Any, packed: Packed
    ) -> tuple[Any, Any]:
        """Derivatives at some outputs with respect to the states there, and to the leaves."""
        own = states[:, np.array(self.states, int)]
        _, pull = jax.vjp(self._of_own(states, packed), own, moving)
        from_y, more = jax.vmap(pull)(cotangents)
        return from_y, total + more

    def push_see(
        self, to_y: Any, to_moving: Any, states: Any, moving: Any, packed: Packed
    ) -> tuple[Any]:
        """Derivatives of the readouts (number, output, column, patient) at some outputs."""
        own = states[:, np.array(self.states, int)]
        seen = self._of_own(states, packed)
        return (jax.vmap(lambda *all: jax.jvp(seen, (own, moving), all)[1])(to_y, to_moving),)

    def _of_own(self, states: Any, packed: Packed) -> Callable[..., Any]:
        """Readouts (output, column, patient), as a function of the states and leaves that move."""

        def seen(own: Any, moving: Any) -> Any:
            y = states.at[:, np.array(self.states, int)].set(own)
            return jnp.moveaxis(self.see(y, moving, packed)[0], 0, 1)

        return seen

    def pull_constants(
        self,
        total: Any,
        from_constants: Any,
        y: Any,
        moving: Any,
        packed: Packed,
        forcing: Tree,
    ) -> tuple[Any]:
        """Derivatives with respect to the leaves from those with respect to the constants."""
        del y
        _, pull = jax.vjp(self._of_moving(packed, forcing), moving)
        (more,) = jax.vmap(pull)(list(jnp.moveaxis(from_constants, 1, 0)))
        return (total + more,)

    def push_constants(
        self, to_moving: Any, moving: Any, packed: Packed, forcing: Tree
    ) -> tuple[Any]:
        """Derivatives of the constants (number, constant, patient) from those of the leaves."""
        computed = self._of_moving(packed, forcing)
        to_constants = jax.vmap(lambda one: jax.jvp(computed, (moving,), (one,))[1])(to_moving)
        return (jnp.stack(to_constants, axis=1),)

    def _of_moving(self, packed: Packed, forcing: Tree) -> Callable[[Any], list]:
        """The constants that move, as a function of the leaves that do."""

        def computed(moving: Any) -> list:
            constants, _ = self._computed(moving, packed, forcing)
            return _wide([constants[k] for k in self.constants], moving)

        return computed


def _wide(values: Sequence[Any], like: Any) -> list:
    """Arrays with a patient axis as that of `like`."""
    return [
        jnp.broadcast_to(value, (*jnp.shape(value)[:-1], like.shape[-1]))
        if jnp.ndim(value)
        else jnp.broadcast_to(value, like.shape[-1:])
        for value in values
    ]
