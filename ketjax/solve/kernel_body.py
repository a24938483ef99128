"""What one program of the kernel does, and the steps in the form it reads."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from ketjax.solve.kernel_program import Reader, evaluate_reading
from ketjax.solve.mesh import Mesh
from ketjax.solve.structure import Program


def schedule_of(mesh: Mesh, dtype: Any) -> dict[str, Any]:
    """The steps as arrays of a length that few meshes differ in, so that few programs compile.

    Args:
        mesh: the steps.
        dtype: floating dtype of the march.

    Returns:
        ``start``, ``length`` [time], ``first`` (0 or 1) and ``segment`` of each step, padded;
        ``end``, the time of each output; ``bounds``, the steps between which each output lies.
    """
    spare = (1 << (mesh.steps - 1).bit_length()) - mesh.steps
    start, length = mesh.start.astype(dtype), mesh.length.astype(dtype)
    last = mesh.output[1:] - 1
    return {
        "start": np.pad(start, (0, spare), mode="edge"),
        "length": np.pad(length, (0, spare), mode="edge"),
        "first": np.pad(mesh.first.astype(dtype), (0, spare)),
        "segment": np.pad(mesh.segment.astype(np.int32), (0, spare), mode="edge"),
        "end": np.concatenate([mesh.times[:1].astype(dtype), start[last] + length[last]]),
        "bounds": np.concatenate([[0], mesh.output]).astype(np.int32),
    }


def trajectories(
    step: Program,
    observe: Program,
    lanes: int,
    tiles: int,
    programs: int,
    outputs: int,
    leaves: tuple[int, int],
    rows: int,
    forms: Mapping[str, Callable[..., Any]],
    program: Any,
    bounds_ref: Any,
    segment_ref: Any,
    step_ref: Any,
    observe_ref: Any,
    first_ref: Any,
    own_ref: Any,
    rows_ref: Any,
    seen_ref: Any,
    last_ref: Any,
) -> None:
    """The kernel: all steps of the patients that fall to one program, ``lanes`` at a time.

    Args:
        step: one step; its inputs are scalars, the patients' own parameters, their rows of forcing,
            states and error.
        observe: readouts; its inputs are the same without the rows of forcing.
        lanes: patients at a time.
        tiles: how many times ``lanes`` patients there are.
        programs: programs that share them.
        outputs: output times.
        leaves: own parameters that ``step`` and ``observe`` take, the first ones.
        rows: rows of forcing.
        forms: what takes the place of a primitive.
        program: which of the programs this is.
        bounds_ref: (output + 1,) steps between which each output lies.
        segment_ref: (step,) segment of each step.
        step_ref: (step, scalar) scalars of ``step``.
        observe_ref: (output, scalar) scalars of ``observe``.
        first_ref: (state + 1, patient) start, and zero for the error.
        own_ref: (parameter, patient) parameters.
        rows_ref: (segment, row, patient) forcing.
        seen_ref: (output, readout, patient) readouts, written.
        last_ref: (state + 1, patient) states and error at the end, written.
    """
    carried = first_ref.shape[0]

    def one_tile(turn: Any, nothing: Any) -> Any:
        here = pl.ds((program + turn * programs) * lanes, lanes)

        def own(count: int) -> list[Reader]:
            return [functools.partial(_read, own_ref, (index, here)) for index in range(count)]

        def one_step(index: Any, carry: tuple) -> tuple:
            scalars = [
                functools.partial(_read, step_ref, (index, column))
                for column in range(len(step.inputs) - leaves[0] - rows - carried)
            ]
            segment = segment_ref[index] if rows else 0
            acting = [
                functools.partial(_read, rows_ref, (segment, row, here)) for row in range(rows)
            ]
            return tuple(evaluate_reading(step, [*scalars, *own(leaves[0]), *acting], carry, forms))

        def one_output(output: Any, carry: tuple) -> tuple:
            begin, end = bounds_ref[output], bounds_ref[output + 1]
            carry = jax.lax.fori_loop(begin, end, one_step, carry)
            scalars = [
                functools.partial(_read, observe_ref, (output, column))
                for column in range(len(observe.inputs) - leaves[1] - carried)
            ]
            seen = evaluate_reading(observe, [*scalars, *own(leaves[1])], carry, forms)
            for index, value in enumerate(seen):
                seen_ref[output, index, here] = value
            return carry

        carry = tuple(first_ref[index, here] for index in range(carried))
        carry = jax.lax.fori_loop(jnp.int32(0), jnp.int32(outputs), one_output, carry)
        for index, value in enumerate(carry):
            last_ref[index, here] = value
        return nothing

    turns = (tiles - 1 - program) // programs + 1
    jax.lax.fori_loop(jnp.int32(0), turns.astype(jnp.int32), one_tile, jnp.int32(0))


def _read(ref: Any, place: tuple) -> Any:
    """Value at a place of the device's memory."""
    return ref[place]
