"""Structure of a right-hand side: what is zero, what depends on what, and its sparse derivatives.

A function is traced once to a jaxpr (``trace``) and flattened to a ``Program``: a list of primitive
operations without nested calls. On a program three questions are answered without probing numbers:

* ``zero_outputs``   which outputs are exactly zero when some inputs are,
* ``dependencies``   which inputs each output reads,
* ``linearise``      the outputs together with their structurally nonzero derivatives, in one pass.

A product with a zero counts as zero: the other factor is taken to be finite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var
from jax.typing import ArrayLike

Coefficients = dict[int, Any]
"""Derivatives of one variable: input index to a float or an array shaped like the variable."""

NESTED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Primitives that only call another jaxpr, and the parameter that holds it."""

ZERO_IF_ANY = {"mul", "and"}
ZERO_IF_FIRST = {"div", "rem"}
ZERO_IF_ALL = set(
    "add add_any sub neg max min abs sign sqrt cbrt sin tan asin atan sinh tanh asinh atanh expm1"
    " log1p erf square floor ceil round convert_element_type broadcast_in_dim reshape squeeze copy"
    " copy_p transpose rev slice concatenate reduce_sum reduce_max reduce_min cumsum real"
    " reduce_precision stop_gradient expand_dims".split()
)
SHAPING = {"convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "copy", "copy_p"}
ELEMENTWISE = set(
    "exp exp2 log log1p expm1 sqrt rsqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh"
    " acosh atanh logistic pow integer_pow square max min abs erf erfc erf_inv lgamma digamma clamp"
    " rem nextafter".split()
)
WITHOUT_DERIVATIVE = {"sign", "floor", "ceil", "round", "stop_gradient"}


@dataclass(frozen=True)
class Program:
    """A flat list of primitive operations.

    Attributes:
        constants: values of the constant variables.
        inputs: variables bound to the arguments, in order.
        equations: operations in order of evaluation; no nested calls.
        outputs: variables or literals that are returned.
    """

    constants: dict[Var, Any]
    inputs: tuple[Var, ...]
    equations: tuple[JaxprEqn, ...]
    outputs: tuple[Var | Literal, ...]


def trace(function: Callable[..., Any], *arguments: Any) -> Program:
    """Trace a function of pytrees to a flat program without dead operations.

    Args:
        function: function of ``arguments``; its result is flattened to leaves.
        arguments: example arguments (arrays or anything with shape and dtype).

    Returns:
        The program; its inputs are the leaves of ``arguments`` in order.
    """
    leaves, tree = jax.tree.flatten(arguments)

    def flat(*values: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, values)))

    inlined = jax.make_jaxpr(lambda *values: _inline(jax.make_jaxpr(flat)(*leaves), values))
    closed = inlined(*leaves)
    jaxpr = closed.jaxpr
    constants = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    return _prune(Program(constants, tuple(jaxpr.invars), tuple(jaxpr.eqns), tuple(jaxpr.outvars)))


def _inline(closed: ClosedJaxpr, values: Sequence[Any]) -> list[Any]:
    """Evaluate a jaxpr, entering nested calls, so that the trace of this call is flat."""
    jaxpr = closed.jaxpr
    environment = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    environment.update(zip(jaxpr.invars, values, strict=True))
    for equation in jaxpr.eqns:
        operands = [_read(environment, operand) for operand in equation.invars]
        nested = NESTED.get(equation.primitive.name)
        if nested is None:
            results = _bind(equation, operands)
        else:
            inner = equation.params[nested]
            inner = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            results = _inline(inner, operands)
        environment.update(zip(equation.outvars, results, strict=True))
    return [_read(environment, output) for output in jaxpr.outvars]


def _read(environment: dict[Var, Any], variable: Var | Literal) -> Any:
    return variable.val if isinstance(variable, Literal) else environment[variable]


def _bind(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """Apply the primitive of an equation to operands."""
    result = equation.primitive.bind(*operands, **equation.params)
    return list(result) if equation.primitive.multiple_results else [result]


def _prune(program: Program) -> Program:
    """Drop the operations that no output reads."""
    read = {output for output in program.outputs if isinstance(output, Var)}
    kept = []
    for equation in reversed(program.equations):
        if read.intersection(equation.outvars):
            kept.append(equation)
            read.update(operand for operand in equation.invars if isinstance(operand, Var))
    constants = {variable: value for variable, value in program.constants.items() if variable in read}
    return Program(constants, program.inputs, tuple(reversed(kept)), program.outputs)


def zero_variables(program: Program, zero_inputs: Sequence[bool]) -> set[Var]:
    """Variables that are exactly zero when the marked inputs are.

    Args:
        program: the program.
        zero_inputs: one mark for each input.

    Returns:
        The set of variables known to be zero.
    """
    zero = {variable for variable, is_zero in zip(program.inputs, zero_inputs, strict=True) if is_zero}
    zero |= {variable for variable, value in program.constants.items() if _is_zero_constant(value)}
    for equation in program.equations:
        name = equation.primitive.name
        marks = [_is_zero(operand, zero) for operand in equation.invars]
        if (
            (name in ZERO_IF_ANY and any(marks))
            or (name in ZERO_IF_FIRST and marks[0])
            or (name in ZERO_IF_ALL and all(marks))
            or (name == "select_n" and all(marks[1:]))
            or (name == "integer_pow" and marks[0] and equation.params["y"] > 0)
        ):
            zero.update(equation.outvars)
    return zero


def _is_zero(variable: Var | Literal, zero: set[Var]) -> bool:
    if isinstance(variable, Literal):
        return _is_zero_constant(variable.val)
    return variable in zero


def _is_zero_constant(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer) and not np.any(np.asarray(value))


def zero_outputs(program: Program, zero_inputs: Sequence[bool]) -> list[bool]:
    """Mark the outputs that are exactly zero when the marked inputs are."""
    zero = zero_variables(program, zero_inputs)
    return [_is_zero(output, zero) for output in program.outputs]


def dependencies(program: Program, zero_inputs: Sequence[bool]) -> list[frozenset[int]]:
    """Indices of the inputs that each output reads, by value or through a condition.

    Args:
        program: the program.
        zero_inputs: inputs known to be zero; what they multiply is not read.

    Returns:
        One set of input indices for each output.
    """
    zero = zero_variables(program, zero_inputs)
    reads: dict[Var, frozenset[int]] = {
        variable: frozenset((index,)) for index, variable in enumerate(program.inputs)
    }

    def of(variable: Var | Literal) -> frozenset[int]:
        if isinstance(variable, Literal) or variable in zero:
            return frozenset()
        return reads.get(variable, frozenset())

    for equation in program.equations:
        union = frozenset().union(*(of(operand) for operand in equation.invars))
        reads.update((output, union) for output in equation.outvars)
    return [of(output) for output in program.outputs]


def specialise(
    program: Program, zero_inputs: Sequence[bool], wanted: Sequence[int] | None = None
) -> Program:
    """The same program with known zeros taken out and only the wanted outputs.

    Args:
        program: the program.
        zero_inputs: inputs known to be zero; they stay in the signature and are not read.
        wanted: indices of the outputs to keep; None keeps all.

    Returns:
        The smaller program.
    """
    zero = zero_variables(program, zero_inputs)
    outputs = [program.outputs[i] for i in (range(len(program.outputs)) if wanted is None else wanted)]

    def evaluate_without_zeros(*values: Any) -> list[Any]:
        environment = dict(program.constants)
        environment.update(zip(program.inputs, values, strict=True))

        def read(variable: Var | Literal) -> Any:
            if isinstance(variable, Var) and variable in zero:
                return jnp.zeros(variable.aval.shape, variable.aval.dtype)
            return _read(environment, variable)

        for equation in program.equations:
            if zero.issuperset(equation.outvars):
                continue
            name = equation.primitive.name
            live = [operand for operand in equation.invars if not _is_zero(operand, zero)]
            if name in ("add", "add_any", "sub") and len(live) == 1:
                value = read(live[0])
                if name == "sub" and live[0] is equation.invars[1]:
                    value = lax.neg(value)
                results = [jnp.broadcast_to(value, equation.outvars[0].aval.shape)]
            else:
                results = _bind(equation, [read(operand) for operand in equation.invars])
            environment.update(zip(equation.outvars, results, strict=True))
        return [read(output) for output in outputs]

    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in program.inputs]
    return trace(evaluate_without_zeros, *shapes)


def evaluate(program: Program, values: Sequence[ArrayLike]) -> list[Any]:
    """Values of the outputs for given inputs."""
    environment = dict(program.constants)
    environment.update(zip(program.inputs, values, strict=True))
    for equation in program.equations:
        results = _bind(equation, [_read(environment, operand) for operand in equation.invars])
        environment.update(zip(equation.outvars, results, strict=True))
    return [_read(environment, output) for output in program.outputs]


def linearise(
    program: Program, values: Sequence[ArrayLike], active: Sequence[int]
) -> tuple[list[Any], list[Coefficients]]:
    """Values of the outputs and their structurally nonzero derivatives, in one pass.

    Forward mode that carries, for each variable, only the derivatives that can differ from zero.

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
        operands = [_read(environment, operand) for operand in equation.invars]
        inner = [derivative(operand) for operand in equation.invars]
        if not any(inner):
            results = _bind(equation, operands)
        else:
            results, outer = _differentiate(equation, operands, inner)
            derivatives.update(zip(equation.outvars, outer, strict=True))
        environment.update(zip(equation.outvars, results, strict=True))
    outputs = [_read(environment, output) for output in program.outputs]
    return outputs, [derivative(output) for output in program.outputs]


def _differentiate(
    equation: JaxprEqn, operands: list[Any], inner: list[Coefficients]
) -> tuple[list[Any], list[Coefficients]]:
    """Results of one equation and their derivatives by the chain rule."""
    name = equation.primitive.name
    if name in WITHOUT_DERIVATIVE or not jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.inexact):
        return _bind(equation, operands), [{} for _ in equation.outvars]
    if name in SHAPING:
        shaped = {
            index: value if isinstance(value, float) else _bind(equation, [value])[0]
            for index, value in inner[0].items()
        }
        return _bind(equation, operands), [shaped]
    if name == "select_n":
        return _bind(equation, operands), [_select(equation, operands, inner)]
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
        return _bind(equation, operands)[0], [1.0, last] if len(operands) == 2 else [last]
    if name == "mul":
        return _bind(equation, operands)[0], [constants[1], constants[0]]
    if name == "div":
        quotient = _bind(equation, operands)[0]
        reciprocal = 1.0 / constants[1]
        return quotient, [reciprocal, -(quotient * reciprocal) if inner[1] else 0.0]
    result, partials = None, []
    for position, coefficients in enumerate(inner):
        if not coefficients:
            partials.append(0.0)
            continue

        def alone(value: Any, position: int = position) -> Any:
            return _bind(equation, [*operands[:position], value, *operands[position + 1 :]])[0]

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
    shape, dtype = equation.outvars[0].aval.shape, equation.outvars[0].aval.dtype
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
        return _bind(equation, filled)

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
