"""Solve an initial value problem for many patients in one call."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ketjax.solve.lanes import broadcast, patients, widest_float
from ketjax.solve.march import System
from ketjax.solve.mesh import Mesh, check_times
from ketjax.solve.methods import RODAS4, RODAS5P, Method
from ketjax.solve.solution import Solution
from ketjax.solve.sweep import sweep

BLOCK = 944
"""Patients marched together on each device of a CPU, so that a step fits its caches.

An array is then an odd number of cache lines long, and arrays side by side spread over all sets of
the cache. With 1024 all fall into the same sets, and the march of the whole model takes 1.4 times
as long (``python -m benchmarks --only compiler``).
"""

REFINE_LIMIT = 10.0
"""Local error over the tolerance above which a patient marches again on halved steps."""


def integrate(
    rhs: Callable[..., tuple],
    y0: tuple,
    times: ArrayLike,
    parameters: Any,
    rtol: float = 1e-6,
    atol: float | Sequence[float] = 1e-9,
    *,
    edges: ArrayLike = (),
    method: Method | None = None,
    mesh: Mesh | None = None,
    serve: float = 1.0,
    max_steps: int = 100_000,
) -> Solution:
    """Integrate dy/dt = rhs(t, y, parameters) for all patients on a common mesh.

    Args:
        rhs: function of (t, y, parameters) that returns one derivative a state as a tuple. ``y`` is
            a tuple of arrays (patient,); every operation is elementwise over patients.
        y0: start, one array (patient,) or scalar a state.
        times: output times, strictly increasing; the first is the start.
        parameters: any pytree with leaves scalar or (patient,).
        rtol: relative tolerance of the local error [1].
        atol: absolute tolerance, one or one a state, in the unit of the state.
        edges: times at which rhs is discontinuous; each becomes the edge of a step.
        method: Rosenbrock method; by tolerance if None.
        mesh: mesh of an earlier call, to take the very same steps; a new one if None.
        serve: quantile of the pilot's errors that the steps serve; 1 serves the worst patient.
        max_steps: most steps.

    Returns:
        The solution at ``times``.

    Raises:
        ValueError: the times, tolerances or shapes are not allowed.
    """
    grid, cuts = check_times(times, edges)
    y0, parameters = _as_arrays(y0), jax.tree.map(jnp.asarray, parameters)
    dtype = y0[0].dtype
    if method is None:
        # The large coefficients of the fifth order lose digits in single precision.
        method = RODAS5P if rtol < 1e-4 and dtype == np.float64 else RODAS4
    lanes = patients(y0, parameters)
    y0 = broadcast(y0, lanes)
    system = System(rhs, y0, parameters, method=method, rtol=rtol, atol=atol)
    # The pilot fills a block, so that the march runs what the pilot compiled.
    block = min(BLOCK * jax.device_count(), -(-lanes // 64) * 64)
    if mesh is None:
        mesh = system.make_mesh(
            y0, parameters, grid, cuts, serve=serve, block=block, max_steps=max_steps
        )
    elif not np.array_equal(mesh.times, grid):
        raise ValueError("the mesh was made for other times; make a new one or pass its times")

    result = sweep(system, mesh, y0, parameters, block=block, limit=REFINE_LIMIT)
    states = np.stack(result.readouts, axis=1)
    return Solution(grid, states, result.status, result.error, mesh.steps, mesh)


def _as_arrays(y0: tuple) -> tuple:
    """States as arrays of one floating dtype.

    Raises:
        ValueError: the states differ in dtype, or are float64 while 64 bits are off.
    """
    if not isinstance(y0, tuple) or not y0:
        raise ValueError(f"y0 is {type(y0).__name__}; give a tuple with one array a state")
    wide = any(getattr(value, "dtype", None) == np.float64 for value in y0)
    if wide and widest_float() != np.float64:
        raise ValueError(
            "y0 holds float64 arrays but 64-bit numbers are off in jax; pass float32 arrays or set"
            ' jax.config.update("jax_enable_x64", True) at the start of the program'
        )
    found = {np.dtype(value.dtype) for value in y0 if hasattr(value, "dtype")}
    floating = {dtype for dtype in found if np.issubdtype(dtype, np.floating)}
    if len(floating) > 1:
        names = sorted(dtype.name for dtype in floating)
        raise ValueError(f"y0 mixes the dtypes {names}; give all states one dtype")
    dtype = floating.pop() if floating else widest_float()
    return tuple(jnp.asarray(value, dtype) for value in y0)
