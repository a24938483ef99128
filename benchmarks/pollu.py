"""POLLU: 20 species of air pollution chemistry, stiff, a sweep of one rate, against diffrax.

Verwer, J. G. (1994), Gauss-Seidel iteration for stiff ODEs from chemical kinetics, SIAM Journal on
Scientific Computing 15:1243, doi:10.1137/0915076; rates, start and end values as in the Test Set
for Initial Value Problem Solvers, release 2.4. The rate of the first reaction is swept
logarithmically from a tenth to ten times its value [1/min], t from 0 to 60 min.
"""

import functools
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import Figure, NotMeasured, cores, median_of, seconds_of
from ketjax.solve import RODAS4, RODAS5P, System
from ketjax.solve.integrate import BLOCK, REFINE_LIMIT
from ketjax.solve.sweep import sweep

RATES = (
    0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 2.2e-2, 1.2e4, 1.88,
    1.63e4, 4.8e6, 3.5e-4, 1.75e-2, 1e8, 4.44e11, 1.24e3, 2.1, 5.78, 4.74e-2, 1.78e3, 3.12,
)  # fmt: skip
START = (
    0.0, 0.2, 0.0, 0.04, 0.0, 0.0, 0.1, 0.3, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.007, 0.0,
    0.0, 0.0,
)  # fmt: skip
END = 60.0
RTOL, ATOL = 1e-5, 1e-9
TARGET = 50.0
LONGEST = 120.0  # a run of diffrax, or its compilation [s]


def pollu(t: Any, y: tuple, k: tuple) -> tuple:
    """Air pollution kinetics, 20 species and 25 reactions [time in minutes]."""
    y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15, y16, y17, y18, y19, y20 = y
    reactants = (
        y1, y2 * y4, y5 * y2, y7, y7, y7 * y6, y9, y9 * y6, y11 * y2, y11 * y1, y13, y10 * y2, y14,
        y1 * y6, y3, y4, y4, y16, y16, y17 * y6, y19, y19, y1 * y4, y19 * y1, y20,
    )  # fmt: skip
    r = [0.0, *(rate * reactant for rate, reactant in zip(k, reactants, strict=True))]
    return (
        -r[1] - r[10] - r[14] - r[23] - r[24] + r[2] + r[3] + r[9] + r[11] + r[12] + r[22] + r[25],
        -r[2] - r[3] - r[9] - r[12] + r[1] + r[21],
        -r[15] + r[1] + r[17] + r[19] + r[22],
        -r[2] - r[16] - r[17] - r[23] + r[15],
        -r[3] + 2.0 * r[4] + r[6] + r[7] + r[13] + r[20],
        -r[6] - r[8] - r[14] - r[20] + r[3] + 2.0 * r[18],
        -r[4] - r[5] - r[6] + r[13],
        r[4] + r[5] + r[6] + r[7],
        -r[7] - r[8],
        -r[12] + r[7] + r[9],
        -r[9] - r[10] + r[8] + r[11],
        r[9],
        -r[11] + r[10],
        -r[13] + r[12],
        r[14],
        -r[18] - r[19] + r[16],
        -r[20],
        r[20],
        -r[21] - r[22] - r[24] + r[23] + r[25],
        -r[25] + r[24],
    )


def sweep_of(count: int) -> np.ndarray:
    """Rates of the first reaction [1/min]."""
    return np.logspace(np.log10(0.035), np.log10(3.5), count)


class Own:
    """`ketjax.solve.integrate`, with its compiled programs kept between calls."""

    def __init__(self, count: int, dtype: str, rtol: float, atol: float) -> None:
        """Find the structure; the first call compiles."""
        self.dtype = dtype
        self.block = min(BLOCK * jax.device_count(), -(-count // 64) * 64)
        method = RODAS5P if dtype == "float64" else RODAS4
        with jax.enable_x64(dtype == "float64"):
            start, parameters = self._arrays(sweep_of(count))
            self.system = System(pollu, start, parameters, method=method, rtol=rtol, atol=atol)

    def solve(self, rates: np.ndarray) -> np.ndarray:
        """End values, shape (species, system); the mesh is made anew."""
        with jax.enable_x64(self.dtype == "float64"):
            start, parameters = self._arrays(rates)
            mesh = self.system.make_mesh(start, parameters, (0.0, END), block=self.block)
            result = sweep(
                self.system, mesh, start, parameters, block=self.block, limit=REFINE_LIMIT
            )
        return np.stack([values[-1] for values in result.readouts])

    def _arrays(self, rates: np.ndarray) -> tuple[tuple, tuple]:
        start = tuple(np.full(len(rates), value, self.dtype) for value in START)
        return start, tuple(np.asarray(rate, self.dtype) for rate in (rates, *RATES[1:]))


class Peer:
    """diffrax Kvaerno3 on the same systems."""

    def __init__(self, dtype: str) -> None:
        """Prepare; the first call compiles."""
        import diffrax

        from benchmarks.peers.diffrax_peer import solver_of

        controller = diffrax.PIDController(rtol=RTOL, atol=ATOL)

        def one(rate: jax.Array) -> tuple[jax.Array, jax.Array]:
            k = (rate, *(jnp.asarray(value, dtype) for value in RATES[1:]))
            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(lambda t, y, _: jnp.stack(pollu(t, tuple(y), k))),
                solver_of("Kvaerno3"),
                jnp.asarray(0.0, dtype),
                jnp.asarray(END, dtype),
                None,
                jnp.asarray(START, dtype),
                stepsize_controller=controller,
                adjoint=diffrax.ForwardMode(),
                max_steps=10_000,
                throw=False,
            )
            assert solution.ys is not None
            done = solution.result == diffrax.RESULTS.successful
            return jnp.where(done, solution.ys[-1], jnp.nan), solution.stats["num_steps"]

        self.dtype, self._solve = dtype, jax.jit(jax.vmap(one))

    def solve(self, rates: np.ndarray, batch: int) -> np.ndarray:
        """End values, shape (species, system), one batch after the other."""
        parts = []
        with jax.enable_x64(self.dtype == "float64"):
            for begin in range(0, len(rates), batch):
                ends, _ = self._solve(jnp.asarray(rates[begin : begin + batch], self.dtype))
                parts.append(np.asarray(ends, np.float64))
        return np.concatenate(parts).T


def peer_solver(dtype: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """What a process of a crew does: `Peer.solve` in a precision."""
    return Peer(dtype).solve


def error_of(found: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Largest and median error of a system: largest over species, over value plus 1e-6."""
    error = (np.abs(found - reference) / (np.abs(reference) + 1e-6)).max(axis=0)
    error = np.where(np.isfinite(error), error, np.inf)
    return float(error.max()), float(np.median(error))


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Systems a second of `integrate` and of diffrax, and their ratio."""
    count, few, batch = (2048, 8 * cores(), 8) if quick else (131_072, 512 * cores(), 256)
    rates, sample = sweep_of(count), sweep_of(few)
    exact = Own(few, "float64", 1e-9, 1e-15)
    reference = exact.solve(sample)
    chosen = None
    for dtype in ("float32", "float64"):
        before = time.perf_counter()
        own = Own(count, dtype, RTOL, ATOL)
        ends = own.solve(rates)
        first = time.perf_counter() - before
        places = np.rint(np.linspace(0, count - 1, few)).astype(int)
        largest, middle = error_of(ends[:, places], exact.solve(rates[places]))
        seconds = seconds_of(functools.partial(own.solve, rates), repetitions)
        chosen = median_of(
            f"POLLU {dtype}",
            [count / second for second in seconds],
            "systems/s",
            note=f"{count} systems, rtol {RTOL:g}, error at most {largest:.1e},"
            f" median {middle:.1e}",
            details={"seconds": seconds, "first_seconds": first, "error": largest},
        )
        yield chosen
        if np.isfinite(largest) and largest < 1e-2:
            break  # single precision does
    if importlib.util.find_spec("diffrax") is None:
        raise NotMeasured("diffrax is not installed: pip install -e .[bench]")
    from benchmarks.peers.diffrax_peer import Crew

    fastest = 0.0
    orders = [(part, batch) for part in np.split(sample, cores())]
    for dtype in ("float64", "float32"):
        with Crew(cores(), peer_solver, dtype) as crew:
            solve = functools.partial(crew.work, orders, LONGEST)
            try:
                largest, middle = error_of(np.concatenate(solve(), axis=1), reference)
                seconds = seconds_of(solve, repetitions)
            except TimeoutError as reason:
                yield Figure(f"POLLU diffrax {dtype}", None, "systems/s", note=str(reason))
                continue
        figure = median_of(
            f"POLLU diffrax {dtype}",
            [few / second for second in seconds],
            "systems/s",
            note=f"Kvaerno3, {few} systems over the same sweep, batches of {batch}, rtol"
            f" {RTOL:g}, error at most {largest:.1e}, median {middle:.1e}",
            details={"seconds": seconds, "error": largest},
        )
        yield figure
        if np.isfinite(largest) and figure.value is not None:
            fastest = max(fastest, figure.value)
    if not fastest:
        raise NotMeasured("diffrax failed on some systems in both precisions")
    assert chosen is not None and chosen.value is not None
    yield Figure(
        "POLLU over diffrax", chosen.value / fastest, "times", TARGET, note="best precision of each"
    )
