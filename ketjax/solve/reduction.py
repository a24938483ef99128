"""Which states need to be marched at all.

A state that starts at zero, receives no impulse and has a derivative that is structurally zero
stays at zero. A state that no wanted readout and no kept state reads changes nothing. Both are
dropped before anything is compiled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ketjax.solve.structure import Program, dependencies, trace, zero_outputs

Tree = Any


@dataclass(frozen=True)
class Reduction:
    """The states that are marched and the leaves promised to be zero.

    Attributes:
        size: number of states.
        kept: indices of the marched states.
        zero_states: states promised to be zero at the start.
        zero_forcing: one mark for each leaf of the forcing.
        zero_impulses: one mark for each leaf of the impulses.
        touched: states that an impulse can change.
    """

    size: int
    kept: tuple[int, ...]
    zero_states: tuple[bool, ...]
    zero_forcing: tuple[bool, ...]
    zero_impulses: tuple[bool, ...]
    touched: frozenset[int]

    def keep(self, y: Sequence[Any]) -> tuple:
        """Marched states of all states."""
        return tuple(y[index] for index in self.kept)

    def expand(self, kept: Sequence[Any], zero: Any) -> tuple:
        """All states from the marched ones; the others are ``zero``."""
        everything = [zero] * self.size
        for index, value in zip(self.kept, kept, strict=True):
            everything[index] = value
        return tuple(everything)

    def rhs(
        self, rhs: Callable[..., tuple], t: Any, kept: tuple, parameters: Tree, row: Tree
    ) -> tuple:
        """Derivatives of the marched states."""
        y = self.expand(kept, jnp.zeros(kept[0].shape, kept[0].dtype))
        row = _with_zeros(row, self.zero_forcing)
        everything = rhs(t, y, parameters if row is None else (parameters, row))
        return self.keep(everything)

    def jump(self, jump: Callable[..., tuple], kept: tuple, parameters: Tree, row: Tree) -> tuple:
        """Marched states after an impulse; states it cannot change are the same objects."""
        y = self.expand(kept, jnp.zeros(kept[0].shape, kept[0].dtype))
        after = jump(y, parameters, _with_zeros(row, self.zero_impulses))
        return tuple(
            after[index] if index in self.touched else value
            for index, value in zip(self.kept, kept, strict=True)
        )

    def check_zeros(self, y0: tuple, forcing: Tree, impulses: Tree) -> None:
        """Refuse values where the examples promised zero.

        Raises:
            ValueError: a promised zero is not zero.
        """
        for name, tree, marks in (
            ("y0", y0, self.zero_states),
            ("forcing", forcing, self.zero_forcing),
            ("impulses", impulses, self.zero_impulses),
        ):
            for index, (leaf, mark) in enumerate(zip(jax.tree.leaves(tree), marks, strict=True)):
                if mark and not isinstance(leaf, Tracer) and np.any(np.asarray(leaf)):
                    raise ValueError(
                        f"leaf {index} of {name} is not zero, but it was zero in the example the"
                        " System was built from; build the System with a nonzero example"
                    )


def reduce_system(
    rhs: Callable[..., tuple],
    jump: Callable[..., tuple] | None,
    observe: Callable[..., Tree] | None,
    wanted: Sequence[int] | None,
    y0: tuple,
    parameters: Tree,
    forcing: Tree,
    impulses: Tree,
) -> Reduction:
    """Find the states to march.

    Args:
        rhs: right-hand side.
        jump: impulse function, or None.
        observe: readout function, or None for all states.
        wanted: states needed in any case, or None.
        y0: example start, arrays (patient,).
        parameters: example parameters.
        forcing: example forcing.
        impulses: example impulses.

    Returns:
        The reduction.
    """
    size = len(y0)
    forcing_row, impulse_row = (
        jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], tree) for tree in (forcing, impulses)
    )
    zero_forcing, zero_impulses = (
        tuple(is_zero_everywhere(leaf) for leaf in jax.tree.leaves(tree))
        for tree in (forcing, impulses)
    )
    t = jnp.zeros((), y0[0].dtype)
    rest = (False,) * len(jax.tree.leaves(parameters))

    def flow(t: Any, y: tuple, parameters: Tree, row: Tree) -> tuple:
        derivatives = rhs(t, y, parameters if row is None else (parameters, row))
        _check_outputs("rhs", derivatives, size)
        return derivatives

    def kick(y: tuple, parameters: Tree, row: Tree) -> tuple:
        after = y if jump is None else jump(y, parameters, row)
        _check_outputs("jump", after, size)
        return after

    flow_program = trace(flow, t, y0, parameters, forcing_row)
    kick_program = trace(kick, y0, parameters, impulse_row)

    def flow_marks(zero: Sequence[bool]) -> tuple[bool, ...]:
        return (False, *zero, *rest, *zero_forcing)

    def kick_marks(zero: Sequence[bool]) -> tuple[bool, ...]:
        return (*zero, *rest, *zero_impulses)

    zero = [is_zero_everywhere(value) for value in y0]
    while True:
        still = zero_outputs(flow_program, flow_marks(zero))
        unkicked = zero_outputs(kick_program, kick_marks(zero))
        smaller = [a and b and c for a, b, c in zip(zero, still, unkicked, strict=True)]
        if smaller == zero:
            break
        zero = smaller

    reads = [
        frozenset(i - 1 for i in row if 1 <= i <= size)
        for row in dependencies(flow_program, flow_marks(zero))
    ]
    kicks = [
        frozenset(i for i in row if i < size)
        for row in dependencies(kick_program, kick_marks(zero))
    ]
    if observe is None:
        needed = set(range(size)) if wanted is None else set(wanted)
    else:
        seen = trace(observe, t, y0, parameters)
        needed = set(wanted or ())
        for row in dependencies(seen, (False, *zero, *rest)):
            needed |= {i - 1 for i in row if 1 <= i <= size}
    frontier = list(needed)
    while frontier:
        index = frontier.pop()
        for other in reads[index] | kicks[index]:
            if other not in needed:
                needed.add(other)
                frontier.append(other)
    kept = tuple(index for index in range(size) if index in needed and not zero[index])
    kept = kept or (0,)
    return Reduction(
        size=size,
        kept=kept,
        zero_states=tuple(zero),
        zero_forcing=zero_forcing,
        zero_impulses=zero_impulses,
        touched=frozenset(_touched(kick_program, size)),
    )


def is_zero_everywhere(leaf: Any) -> bool:
    """True for a concrete array that holds only zeros."""
    return not isinstance(leaf, Tracer) and not np.any(np.asarray(leaf))


def _with_zeros(row: Tree, marks: Sequence[bool]) -> Tree:
    """The row with promised zeros written as constants, so that tracing sees them."""
    leaves, tree = jax.tree.flatten(row)
    return jax.tree.unflatten(
        tree,
        [
            jnp.zeros(leaf.shape, leaf.dtype) if mark else leaf
            for leaf, mark in zip(leaves, marks, strict=True)
        ],
    )


def _touched(program: Program, size: int) -> list[int]:
    """Outputs of the impulse that are not simply its inputs."""
    return [index for index in range(size) if program.outputs[index] is not program.inputs[index]]


def _check_outputs(name: str, values: Any, size: int) -> None:
    if len(values) != size:
        raise ValueError(
            f"{name} returned {len(values)} entries for {size} states;"
            " return a tuple with one entry a state"
        )
