"""Structure of a right-hand side: what is zero and what depends on what.

A function is traced once to a jaxpr (``trace``) and flattened to a ``Program``: a list of primitive
operations without nested calls. On a program three questions are answered without probing numbers:

* ``zero_outputs``  which outputs are exactly zero when some inputs are,
* ``dependencies``  which inputs each output reads,
* ``without_zeros`` the same program without the work on zeros,
* ``hoist``         what can be computed once for all times, and the program that then remains.

A product with a zero counts as zero: the other factor is taken to be finite. Derivatives of a
program are in ``derivatives``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var
from jax.typing import ArrayLike

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

CHEAP = set(
    "add add_any sub mul neg max min abs sign select_n eq ne lt le gt ge and or not square"
    " convert_element_type broadcast_in_dim reshape squeeze copy copy_p stop_gradient".split()
)
"""Primitives that cost less to compute again than to read from memory."""

ZERO_IF_ANY = {"mul", "and"}
ZERO_IF_FIRST = {"div", "rem"}
ZERO_IF_ALL = set(
    "add add_any sub neg max min abs sign sqrt cbrt sin tan asin atan sinh tanh asinh atanh expm1"
    " log1p erf square floor ceil round convert_element_type broadcast_in_dim reshape squeeze copy"
    " copy_p transpose rev slice concatenate reduce_sum reduce_max reduce_min cumsum real"
    " reduce_precision stop_gradient expand_dims".split()
)


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
        operands = [read(environment, operand) for operand in equation.invars]
        nested = NESTED.get(equation.primitive.name)
        if nested is None:
            results = bind(equation, operands)
        else:
            inner = equation.params[nested]
            inner = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            results = _inline(inner, operands)
        environment.update(zip(equation.outvars, results, strict=True))
    return [read(environment, output) for output in jaxpr.outvars]


def read(environment: dict[Var, Any], variable: Var | Literal) -> Any:
    """Value of a variable or literal."""
    return variable.val if isinstance(variable, Literal) else environment[variable]


def aval(variable: Any) -> Any:
    """Shape and dtype of a variable or literal."""
    return variable.aval


def bind(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
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
    constants = {
        variable: value for variable, value in program.constants.items() if variable in read
    }
    return Program(constants, program.inputs, tuple(reversed(kept)), program.outputs)


def zero_variables(program: Program, zero_inputs: Sequence[bool]) -> set[Var]:
    """Variables that are exactly zero when the marked inputs are.

    Args:
        program: the program.
        zero_inputs: one mark for each input.

    Returns:
        The set of variables known to be zero.
    """
    zero = {
        variable for variable, is_zero in zip(program.inputs, zero_inputs, strict=True) if is_zero
    }
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
    return not isinstance(value, Tracer) and not np.any(np.asarray(value))


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


def without_zeros(program: Program) -> Program:
    """The same program without the operations whose results are known to be zero.

    Args:
        program: a program in which zeros are written as constants.

    Returns:
        The smaller program with the same inputs and outputs.
    """
    zero = zero_variables(program, [False] * len(program.inputs))

    def evaluate_without_zeros(*values: Any) -> list[Any]:
        environment = dict(program.constants)
        environment.update(zip(program.inputs, values, strict=True))

        def read_or_zero(variable: Var | Literal) -> Any:
            if isinstance(variable, Var) and variable in zero:
                return jnp.zeros(aval(variable).shape, aval(variable).dtype)
            return read(environment, variable)

        for equation in program.equations:
            if zero.issuperset(equation.outvars):
                continue
            name = equation.primitive.name
            live = [operand for operand in equation.invars if not _is_zero(operand, zero)]
            if name in ("add", "add_any", "sub") and len(live) == 1:
                value = read_or_zero(live[0])
                if name == "sub" and live[0] is equation.invars[1]:
                    value = lax.neg(value)
                results = [jnp.broadcast_to(value, aval(equation.outvars[0]).shape)]
            else:
                results = bind(equation, [read_or_zero(operand) for operand in equation.invars])
            environment.update(zip(equation.outvars, results, strict=True))
        return [read_or_zero(output) for output in program.outputs]

    examples = [jax.ShapeDtypeStruct(aval(v).shape, aval(v).dtype) for v in program.inputs]
    return trace(evaluate_without_zeros, *examples)


def hoist(program: Program, varying: Sequence[bool]) -> tuple[Program, Program]:
    """Split off the costly operations whose operands never change.

    A division by something that never changes becomes a product with its reciprocal.

    Args:
        program: the program.
        varying: one mark for each input that changes between evaluations.

    Returns:
        A program from the inputs to the constants, and one from the inputs followed by the
        constants to the outputs.
    """
    moving = {v for v, mark in zip(program.inputs, varying, strict=True) if mark}
    for equation in program.equations:
        if moving.intersection(v for v in equation.invars if isinstance(v, Var)):
            moving.update(equation.outvars)

    def still(operand: Var | Literal) -> bool:
        return isinstance(operand, Var) and operand not in moving

    constant: list[Var] = []
    divisors: list[Any] = []
    for equation in program.equations:
        if moving.isdisjoint(equation.outvars):
            if equation.primitive.name not in CHEAP:
                constant.extend(equation.outvars)
        elif equation.primitive.name == "div":
            divisor = equation.invars[1]
            floating = jnp.issubdtype(aval(divisor).dtype, jnp.inexact)
            if floating and still(divisor) and divisor not in divisors:
                divisors.append(divisor)

    def constants(*values: Any) -> list[Any]:
        environment = dict(program.constants)
        environment.update(zip(program.inputs, values, strict=True))
        for equation in program.equations:
            if moving.isdisjoint(equation.outvars):
                results = bind(equation, [read(environment, v) for v in equation.invars])
                environment.update(zip(equation.outvars, results, strict=True))
        return [environment[v] for v in constant] + [1.0 / environment[v] for v in divisors]

    def remainder(*values: Any) -> list[Any]:
        size = len(program.inputs)
        environment = dict(program.constants)
        environment.update(zip(program.inputs, values[:size], strict=True))
        known = values[size:]
        environment.update(zip(constant, known[: len(constant)], strict=True))
        reciprocal = dict(zip(divisors, known[len(constant) :], strict=True))
        for equation in program.equations:
            if environment.keys() >= set(equation.outvars):
                continue
            operands = [read(environment, v) for v in equation.invars]
            divisor = equation.invars[-1]
            if (
                equation.primitive.name == "div"
                and isinstance(divisor, Var)
                and divisor in reciprocal
            ):
                results = [lax.mul(operands[0], reciprocal[divisor])]
            else:
                results = bind(equation, operands)
            environment.update(zip(equation.outvars, results, strict=True))
        return [read(environment, output) for output in program.outputs]

    examples = [jax.ShapeDtypeStruct(aval(v).shape, aval(v).dtype) for v in program.inputs]
    first = trace(constants, *examples)
    shapes = [jax.ShapeDtypeStruct(aval(v).shape, aval(v).dtype) for v in first.outputs]
    return first, trace(remainder, *examples, *shapes)


def evaluate(program: Program, values: Sequence[ArrayLike]) -> list[Any]:
    """Values of the outputs for given inputs."""
    environment = dict(program.constants)
    environment.update(zip(program.inputs, values, strict=True))
    for equation in program.equations:
        results = bind(equation, [read(environment, operand) for operand in equation.invars])
        environment.update(zip(equation.outvars, results, strict=True))
    return [read(environment, output) for output in program.outputs]
