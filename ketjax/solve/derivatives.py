"""Sparse derivatives of a program: forward mode that carries only what can differ from zero."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Literal, Var
from jax.typing import ArrayLike

from ketjax.solve.structure import Program, aval, bind, read

Coefficients = dict[int, Any]
"""Derivatives of one variable: input index to a float or an array shaped like the variable."""

SHAPING = {"convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "copy", "copy_p"}
ELEMENTWISE = set(
    "exp exp2 log log1p expm1 sqrt rsqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh"
    " acosh atanh logistic pow integer_pow square max min abs erf erfc erf_inv lgamma digamma clamp"
    " rem nextafter".split()
)
WITHOUT_DERIVATIVE = {"sign", "floor", "ceil", "round", "stop_gradient"}


def linearise(
    program: Program, values: Sequence[ArrayLike], active: Sequence[int]
) -> tuple[list[Any], list[Coefficients]]:
    """Values of the outputs and their structurally nonzero derivatives, in one pass.

    Args:
        program: the program.
        values: inputs.
        active: indices of the inputs to differentiate with respect to; each acts elementwise.

    Returns:
        The outputs, and for each output a dictionary from input index to the derivative, a float
        where it is constant, otherwise an array.
    """
    environment = dict(program.constants)
    environment.update(zip(program.inputs, values, strict=True))
    derivatives: dict[Var, Coefficients] = {program.inputs[index]: {index: 1.0} for index in active}

    def derivative(variable: Var | Literal) -> Coefficients:
        return {} if isinstance(variable, Literal) else derivatives.get(variable, {})

    for equation in program.equations:
        operands = [read(environment, operand) for operand in equation.invars]
        inner = [derivative(operand) for operand in equation.invars]
        if not any(inner):
            results = bind(equation, operands)
        else:
            results, outer = _differentiate(equation, operands, inner)
            derivatives.update(zip(equation.outvars, outer, strict=True))
        environment.update(zip(equation.outvars, results, strict=True))
    outputs = [read(environment, output) for output in program.outputs]
    return outputs, [derivative(output) for output in program.outputs]


def _differentiate(
    equation: JaxprEqn, operands: list[Any], inner: list[Coefficients]
) -> tuple[list[Any], list[Coefficients]]:
    """Results of one equation and their derivatives by the chain rule."""
    name = equation.primitive.name
    if name in WITHOUT_DERIVATIVE or not jnp.issubdtype(
        aval(equation.outvars[0]).dtype, jnp.inexact
    ):
        return bind(equation, operands), [{} for _ in equation.outvars]
    if name in SHAPING:
        shaped = {
            index: value if isinstance(value, float) else bind(equation, [value])[0]
            for index, value in inner[0].items()
        }
        return bind(equation, operands), [shaped]
    if name == "select_n":
        return bind(equation, operands), [_select(equation, operands, inner)]
    if name in ("add", "add_any", "sub", "neg", "mul", "div") or name in ELEMENTWISE:
        result, partials = _partials(equation, operands, inner)
        outer: Coefficients = {}
        for partial, coefficients in zip(partials, inner, strict=True):
            for index, coefficient in coefficients.items():
                term = _times(partial, coefficient)
                outer[index] = outer[index] + term if index in outer else term
        return [result], [outer]
    return _general(equation, operands, inner)


def _partials(
    equation: JaxprEqn, operands: list[Any], inner: list[Coefficients]
) -> tuple[Any, list[Any]]:
    """Result of an elementwise primitive and its partial derivative for each active operand."""
    name = equation.primitive.name
    constants = [
        float(operand.val) if isinstance(operand, Literal) and np.ndim(operand.val) == 0 else value
        for operand, value in zip(equation.invars, operands, strict=True)
    ]
    if name in ("add", "add_any", "sub", "neg"):
        last = -1.0 if name in ("sub", "neg") else 1.0
        return bind(equation, operands)[0], [1.0, last] if len(operands) == 2 else [last]
    if name == "mul":
        return bind(equation, operands)[0], [constants[1], constants[0]]
    if name == "div":
        quotient = bind(equation, operands)[0]
        reciprocal = 1.0 / constants[1]
        return quotient, [reciprocal, -(quotient * reciprocal) if inner[1] else 0.0]
    result, partials = None, []
    for position, coefficients in enumerate(inner):
        if not coefficients:
            partials.append(0.0)
            continue

        def alone(value: Any, position: int = position) -> Any:
            return bind(equation, [*operands[:position], value, *operands[position + 1 :]])[0]

        operand = operands[position]
        result, partial = jax.jvp(alone, (operand,), (jnp.ones_like(operand),))
        partials.append(partial)
    return result, partials


def _times(partial: Any, coefficient: Any) -> Any:
    """Product that leaves out factors of plus and minus one."""
    for factor, other in ((partial, coefficient), (coefficient, partial)):
        if isinstance(factor, float) and factor in (1.0, -1.0):
            return other if factor == 1.0 else -other
    return partial * coefficient


def _select(equation: JaxprEqn, operands: list[Any], inner: list[Coefficients]) -> Coefficients:
    """Derivatives of a choice between cases: the same choice between their derivatives."""
    shape, dtype = aval(equation.outvars[0]).shape, aval(equation.outvars[0]).dtype
    outer: Coefficients = {}
    for index in sorted(set().union(*inner)):
        cases = [coefficients.get(index, 0.0) for coefficients in inner[1:]]
        if all(isinstance(case, float) and case == cases[0] for case in cases):
            outer[index] = cases[0]
        else:
            full = [jnp.broadcast_to(jnp.asarray(case, dtype), shape) for case in cases]
            outer[index] = lax.select_n(operands[0], *full)
    return outer


def _general(
    equation: JaxprEqn, operands: list[Any], inner: list[Coefficients]
) -> tuple[list[Any], list[Coefficients]]:
    """Any other primitive: one tangent for each input it depends on."""
    moving = [position for position, coefficients in enumerate(inner) if coefficients]

    def of_moving(*values: Any) -> list[Any]:
        filled = list(operands)
        for position, value in zip(moving, values, strict=True):
            filled[position] = value
        return bind(equation, filled)

    primals = tuple(operands[position] for position in moving)
    results, push = jax.linearize(of_moving, *primals)
    outer: list[Coefficients] = [{} for _ in results]
    for index in sorted(set().union(*inner)):
        tangents = [
            jnp.broadcast_to(
                jnp.asarray(inner[position].get(index, 0.0), jnp.result_type(primal)),
                jnp.shape(primal),
            )
            for position, primal in zip(moving, primals, strict=True)
        ]
        for coefficients, result, tangent in zip(outer, results, push(*tangents), strict=True):
            if jnp.issubdtype(jnp.result_type(result), jnp.inexact):
                coefficients[index] = tangent
    return list(results), outer
