"""The march as one differentiable expression: for gradients and other transformations.

Two nested scans with checkpoints: a reverse pass keeps the states every ``GROUP`` steps and
computes the steps between them again.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.solve.equations import Equations
from ketjax.solve.mesh import Mesh
from ketjax.solve.solution import Result, status_of

Tree = Any

GROUP = 16  # steps between the states that a reverse pass keeps


def march_traced(
    equations: Equations,
    mesh: Mesh,
    y0: tuple,
    parameters: Tree,
    forcing: Tree,
    impulses: Tree,
    limit: float,
) -> Result:
    """March inside another transformation.

    Args:
        equations: the system.
        mesh: the steps.
        y0: as for ``System.march``, and so are the rest.
        parameters: leaves scalar or (patient,).
        forcing: inputs.
        impulses: impulses.
        limit: error above which readouts are NaN.

    Returns:
        The result, made of traced arrays.
    """
    y = equations._start(y0, parameters)
    dtype = y[0].dtype
    ceiling = min(limit, float(jnp.finfo(dtype).max))
    constants = equations._constants(y, parameters, forcing)
    missing = -mesh.steps % GROUP
    schedule = tuple(
        np.concatenate([part, np.repeat(part[-1:], missing)]).reshape(-1, GROUP)
        for part in (mesh.start.astype(dtype), mesh.length.astype(dtype), mesh.segment)
    )
    marks = (mesh.first, np.ones(mesh.steps, bool))
    schedule += tuple(
        np.concatenate([mark, np.zeros(missing, bool)]).reshape(-1, GROUP) for mark in marks
    )

    def one_step(carry: tuple, row: tuple) -> tuple[tuple, tuple]:
        y, error = carry
        *step_row, real = row
        y_new, local = equations._one_step(y, step_row, parameters, constants, forcing, impulses)
        y = tuple(jnp.where(real, new, old) for new, old in zip(y_new, y, strict=True))
        error = jnp.maximum(error, jnp.where(real, local, 0.0))
        return (y, error), (jnp.stack(y), error)

    def group(carry: tuple, rows: tuple) -> tuple[tuple, tuple]:
        return jax.lax.scan(jax.checkpoint(one_step), carry, rows)

    start = (y, jnp.zeros_like(y[0]))
    (y, error), path = jax.lax.scan(jax.checkpoint(group), start, schedule)
    states, errors = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in path)
    picked = mesh.output[1:] - 1
    states = jnp.concatenate([jnp.stack(start[0])[None], states[picked]])
    errors = jnp.concatenate([start[1][None], errors[picked]])
    readouts = equations._seen(
        jnp.asarray(mesh.times, dtype)[:, None],
        tuple(states[:, position] for position in range(len(equations.kept))),
        parameters,
        errors,
        ceiling,
    )
    late = mesh.times > mesh.reached * (1.0 + 1e-12)
    readouts = [jnp.where(late[:, None], jnp.nan, column) for column in readouts]
    status = status_of(error, ceiling, mesh.status)
    readouts = jax.tree.unflatten(equations._readout_tree, list(readouts))
    return Result(readouts, error, status, equations._reduction.expand(y, jnp.zeros_like(y[0])))
