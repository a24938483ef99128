"""One step of a Rosenbrock method on tuples of arrays, elementwise over patients."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ketjax.solve.derivatives import linearise
from ketjax.solve.factor import elimination_order, factorise, solve
from ketjax.solve.methods import Method
from ketjax.solve.structure import Program, evaluate

State = tuple[Any, ...]


def step(
    method: Method, program: Program, t: Any, h: Any, y: State, parameters: Sequence[Any]
) -> tuple[State, State]:
    """Advance all patients by one step.

    Args:
        method: coefficients.
        program: right-hand side, traced with inputs (t, *y, *parameters).
        t: start of the step, scalar.
        h: length of the step, scalar.
        y: one array (patient,) a state.
        parameters: leaves of the parameters, scalar or (patient,).

    Returns:
        The new states and the embedded estimate of the local error, one array (patient,) a state.
    """
    size = len(y)
    slopes, rows = linearise(program, (t, *y, *parameters), range(size + 1))
    diagonal = 1.0 / (method.gamma * h)
    entries = {
        (row, column - 1): -value
        for row, coefficients in enumerate(rows)
        for column, value in coefficients.items()
        if column > 0
    }
    for index in range(size):
        entries[index, index] = diagonal + entries.get((index, index), 0.0)
    factor = factorise(entries, elimination_order(size, entries))

    argument = y
    increments: list[Sequence[Any]] = []
    for stage in range(method.stages):
        a, c = method.a[stage], method.c[stage]
        if stage > 0 and any(a) and a != (*method.a[stage - 1], 0.0):
            if a == (*method.a[stage - 1], 1.0):
                argument = _combine(argument, (1.0,), increments[-1:])
            else:
                argument = _combine(y, a, increments)
            slopes = evaluate(program, (t + method.alpha[stage] * h, *argument, *parameters))
        right = _combine(slopes, [coupling / h for coupling in c], increments)
        if method.gamma_sum[stage]:
            factor_t = method.gamma_sum[stage] * h
            right = [
                value + factor_t * row[0] if 0 in row else value
                for value, row in zip(right, rows, strict=True)
            ]
        increments.append(solve(factor, right))
    if method.m:
        zero = [jnp.zeros_like(value) for value in y]
        return _combine(y, method.m, increments), _combine(zero, method.e, increments)
    error = tuple(increments[-1])
    return _combine(argument, (1.0,), [error]), error


def _combine(start: Sequence[Any], weights: Sequence[Any], parts: Sequence[Sequence[Any]]) -> State:
    """``start + sum_j weights[j] parts[j]`` for each state, without the products that vanish."""
    total = list(start)
    for weight, part in zip(weights, parts, strict=True):
        if isinstance(weight, float) and weight == 0.0:
            continue
        unit = isinstance(weight, float) and weight == 1.0
        total = [
            value + (term if unit else weight * term)
            for value, term in zip(total, part, strict=True)
        ]
    return tuple(total)
