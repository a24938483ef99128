"""Reference courses of 32 random patients by SciPy's Radau at rtol 1e-10, kept as an .npz.

    python tests/reference/make_population_reference.py

The cascade's right-hand side is handed to SciPy as it stands, all states, one patient at a time,
restarted at each event edge. It shares the equations with the solver, and nothing else.
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from ketjax.model import cascade, readouts
from ketjax.model.covariates import individual
from ketjax.model.states import rows
from ketjax.population import Recipe, draw
from ketjax.population.population import take
from ketjax.regimen import Dose, Regimen
from ketjax.schedule import edges_of, forcing_of, inputs_of

PATIENTS = 32
TIMES = (0.0, 1 / 3, 2 / 3, 1.0, 2.0, 4.0, 12.0, 24.0, 72.0, 168.0, 336.0)
RECIPE = Recipe(seed=7)
REGIMEN = Regimen((Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3),))
DESIGN = "midazolam_parallel"
NAMES = tuple(readouts.READOUTS)
FILE = pathlib.Path(__file__).parent / "population_reference.npz"


def reference(patient: int, rtol: float = 1e-10) -> np.ndarray:
    """Readouts of one patient, shape (column, time)."""
    drawn = take(draw(RECIPE, np.arange(PATIENTS)), np.array([patient])).parameters
    scalars = jax.tree.map(lambda leaf: float(np.ravel(leaf)[0]), drawn)
    p = individual(scalars)
    rest = jax.tree.map(lambda leaf: np.asarray(leaf, float), cascade.resting_state(p))
    y, unravel = ravel_pytree(rest)
    bounds = np.concatenate([[0.0], edges_of(REGIMEN, scalars)[1:], [TIMES[-1]]])
    forcing = forcing_of(REGIMEN, scalars, bounds)
    atol = 1e-3 * rtol * np.array([row.scale for row in rows()])

    @jax.jit
    def flat(y, row):
        inputs = inputs_of(row, p, getattr(p.designs, DESIGN))
        return ravel_pytree(cascade.rhs(0.0, unravel(y), p, inputs))[0]

    jacobian = jax.jit(jax.jacfwd(flat))
    states = [np.asarray(y)]
    for k, (left, right) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        row = jax.tree.map(lambda leaf, k=k: leaf[k], forcing)
        wanted = [t for t in TIMES if left < t <= right]
        solved = solve_ivp(
            lambda t, y, row=row: np.asarray(flat(y, row)),
            (left, right),
            np.asarray(y),
            method="Radau",
            jac=lambda t, y, row=row: np.asarray(jacobian(y, row)),
            rtol=rtol,
            atol=atol,
            t_eval=sorted({*wanted, right}),
        )
        assert solved.success, solved.message
        states += [solved.y[:, list(solved.t).index(t)] for t in wanted]
        y = jnp.asarray(solved.y[:, -1])
    observed = [readouts.observe(unravel(jnp.asarray(state)), p, NAMES) for state in states]
    return np.array(observed, dtype=float).T


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    chosen = range(int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else range(PATIENTS)
    rows_ = []
    for patient in chosen:
        begin = time.perf_counter()
        rows_.append(reference(patient))
        print(f"patient {patient}: {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    name = FILE if len(chosen) == PATIENTS else FILE.with_name(f"part_{chosen[0]:02d}.npz")
    np.savez_compressed(name, values=np.stack(rows_, axis=-1), times=np.array(TIMES))
