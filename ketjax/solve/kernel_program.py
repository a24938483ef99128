"""Programs for a kernel: scalars computed outside, inputs read where they are used."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, Var

from ketjax.solve.structure import Program, aval, bind, read

WINDOW = 200  # operations after which a value is read again rather than kept in a register
Reader = Callable[[], Any]
"""Reads one input of a program."""

KERNEL_FORMS: dict[str, Callable[..., Any]] = {
    "pow": lambda x, y: jnp.exp2(y * jnp.log2(x)),
    "is_finite": lambda x: jnp.abs(x) < np.inf,
    "stop_gradient": lambda x: x,
}
"""Primitives that Mosaic GPU lacks, in terms of those it has; powers have a positive base."""


def hoist_scalars(program: Program) -> tuple[Program, Program]:
    """Cut a program into its scalar work and the rest.

    Args:
        program: a program of scalars and arrays.

    Returns:
        A program from the scalar inputs, in order, to the floating scalars that the rest needs;
        and the rest, whose inputs are those scalars followed by the array inputs.
    """
    inputs = [variable for variable in program.inputs if not aval(variable).shape]
    scalars = {*inputs, *program.constants}
    outer, inner = [], []
    for equation in program.equations:
        alone = all(isinstance(o, Literal) or o in scalars for o in equation.invars)
        if alone and all(_is_floating_scalar(output) for output in equation.outvars):
            scalars.update(equation.outvars)
            outer.append(equation)
        else:
            inner.append(equation)
    used = dict.fromkeys(
        variable
        for variables in (*(equation.invars for equation in inner), program.outputs)
        for variable in variables
        if isinstance(variable, Var) and variable in scalars
    )
    arrays = [variable for variable in program.inputs if aval(variable).shape]
    return (
        Program(program.constants, tuple(inputs), tuple(outer), tuple(used)),
        Program({}, (*used, *arrays), tuple(inner), program.outputs),
    )


def evaluate_reading(
    program: Program,
    readers: Sequence[Reader],
    values: Sequence[Any],
    forms: Mapping[str, Callable[..., Any]] = KERNEL_FORMS,
) -> list:
    """Outputs of a program whose first inputs are read when they are used.

    An input that was read long ago is read again: to keep it would push other values out of the
    registers.

    Args:
        program: the program.
        readers: one for each of the first inputs.
        values: the other inputs.
        forms: what takes the place of a primitive, by its name.

    Returns:
        The outputs.
    """
    reader = dict(zip(program.inputs, readers, strict=False))
    environment = dict(zip(program.inputs[len(readers) :], values, strict=True))
    age: dict[Var, int] = {}

    def value(variable: Var | Literal, place: int) -> Any:
        if isinstance(variable, Var) and variable in reader:
            if place - age.get(variable, -WINDOW) >= WINDOW:
                environment[variable] = reader[variable]()
                age[variable] = place
        return read(environment, variable)

    for place, equation in enumerate(program.equations):
        operands = [value(operand, place) for operand in equation.invars]
        form = forms.get(equation.primitive.name)
        results = bind(equation, operands) if form is None else [form(*operands)]
        environment.update(zip(equation.outvars, results, strict=True))
    last = len(program.equations)
    return [value(output, last) for output in program.outputs]


def _is_floating_scalar(variable: Any) -> bool:
    return not aval(variable).shape and jnp.issubdtype(aval(variable).dtype, jnp.floating)
