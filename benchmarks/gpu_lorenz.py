"""Lorenz with fixed steps on the GPU, by loops that XLA compiles and by one kernel."""

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Figure = dict[str, Any]
LORENZ_SYSTEMS, LORENZ_STEPS, LORENZ_STEP = 8_388_608, 1000, 1e-3
LORENZ_FLOPS = 180  # of one step of Tsit5, counted by hand


def lorenz(quick: bool) -> Iterator[Figure]:
    """Lorenz by Tsit5 with fixed steps: definition of the DiffEqGPU paper; target 35 ms."""
    count, steps = (1024, 100) if quick else (LORENZ_SYSTEMS, LORENZ_STEPS)
    rho = jnp.linspace(0.0, 21.0, count, dtype=jnp.float32)
    start = (jnp.ones_like(rho), jnp.zeros_like(rho), jnp.zeros_like(rho))
    exact = _lorenz_exact(np.asarray(rho[:: count // 64], np.float64), steps)
    for unroll in (1, 5, 20):

        @jax.jit
        def solve(y: tuple, rho: jax.Array, unroll: int = unroll) -> tuple:
            def several(_: Any, y: tuple) -> tuple:
                for _ in range(unroll):
                    y = tsit5(y, rho)
                return y

            return jax.lax.fori_loop(0, steps // unroll, several, y)

        yield _lorenz_figure(f"lorenz, loop of {unroll}", lambda: solve(start, rho), steps, exact)  # noqa: B023
    if jax.default_backend() == "gpu":
        solve_kernel = jax.jit(functools.partial(_lorenz_kernel, steps=steps))
        run = functools.partial(solve_kernel, start, rho)
        yield _lorenz_figure("lorenz, kernel", run, steps, exact)


def _lorenz_figure(name: str, action: Callable[[], tuple], steps: int, exact: np.ndarray) -> Figure:
    seconds = seconds_of(action)
    found = np.stack([np.asarray(value, np.float64) for value in action()])
    count = found.shape[1]
    error = np.abs(found[:, :: count // 64] - exact).max()
    return {
        "name": name,
        "milliseconds": 1e3 * seconds,
        "target_milliseconds": 35.0,
        "systems": count,
        "steps": steps,
        "error": float(error),
        "flops_per_second": LORENZ_FLOPS * steps * count / seconds,
    }


def _lorenz_exact(rho: np.ndarray, steps: int) -> np.ndarray:
    """The same steps in float64 on the host."""
    y = (np.ones_like(rho), np.zeros_like(rho), np.zeros_like(rho))
    for _ in range(steps):
        y = tsit5(y, rho)
    return np.stack(y)


def _lorenz_kernel(y: tuple, rho: jax.Array, steps: int) -> Any:
    """All steps in one kernel, four systems a thread."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    lanes = 512

    def body(x_ref: Any, y_ref: Any, z_ref: Any, rho_ref: Any, *out: Any) -> None:
        here = pl.ds(jax.lax.axis_index("tile") * lanes, lanes)
        rho = rho_ref[here]
        carry = (x_ref[here], y_ref[here], z_ref[here])
        carry = jax.lax.fori_loop(0, steps, lambda _, y: tsit5(y, rho), carry)
        for ref, value in zip(out, carry, strict=True):
            ref[here] = value

    return plgpu.kernel(
        body,
        out_type=[jax.ShapeDtypeStruct(rho.shape, rho.dtype)] * 3,
        grid=(rho.size // lanes,),
        grid_names=("tile",),
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Lane),
    )(*y, rho)


TSIT5 = (
    (0.161,),
    (-0.008480655492356989, 0.335480655492357),
    (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
    (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
    (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401,
     -0.028269050394068383),
    (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081,
     2.324710524099774),
)  # fmt: skip
"""Rows of the method of Tsitouras (2011), doi:10.1016/j.camwa.2011.06.002; the last is the step."""


def tsit5(y: tuple, rho: Any) -> tuple:
    """One step of Tsit5 on the Lorenz equations."""

    def slope(y: tuple) -> tuple:
        x, y_, z = y
        return 10.0 * (y_ - x), x * (rho - z) - y_, x * y_ - (8.0 / 3.0) * z

    slopes = [slope(y)]
    for row in TSIT5:
        at = tuple(
            value + LORENZ_STEP * sum(a * k[i] for a, k in zip(row, slopes, strict=True))
            for i, value in enumerate(y)
        )
        if len(row) == len(TSIT5):
            return at
        slopes.append(slope(at))
    raise AssertionError("the last row ends the step")


def seconds_of(action: Callable[[], Any], repetitions: int = 5) -> float:
    """Median wall time until the results are on the device [s], after one that compiles."""
    jax.block_until_ready(action())
    seconds = []
    for _ in itertools.repeat(None, repetitions):
        before = time.perf_counter()
        jax.block_until_ready(action())
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds)
