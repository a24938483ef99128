"""Which expectancy layer, and which terms of the mood map, fit what trials of each design found?

    python benchmarks/mood_fit.py [--patients N]

Every candidate of `mood_layers.py` is fitted to the same targets (`mood_targets.csv`) with the same
priors about the values of the first fit, by damped Gauss-Newton steps on common random numbers.
Prints the misfit by design, in squared standard errors, then each target beside what the first fit
and the model of the package make of it, then the fitted values.
"""

import argparse
import math

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.mood_layers import (
    CANDIDATES,
    FIRST,
    Candidate,
    Courses,
    Target,
    courses,
    march,
    measured,
    targets,
)

PACKAGE = "+ own course"  # the candidate whose equations the package has
STEPS, TRIES, STRIDE, SMALL = 15, 10, 0.5, 0.02
# SD of the prior on the logarithm; on the value itself for the two of `SHIFTED`.
PRIOR, SHIFTED = 0.3, ("mu_c", "sd_c")
LOOSE = {"mu_c": 0.7, "sd_c": 0.7, "kS": 0.4, "wL": 0.4, "nA": 0.3}
LOOSE |= {name: 0.6 for name in ("wA", "kA", "KA", "kAo", "phH", "tauH", "wC")}


def prior(name: str) -> float:
    """SD of the prior of a number."""
    if name[:2] in ("xF", "xT", "xC", "xA"):
        return 0.7
    return 1.0 if name[:3] in ("EA ", "ES ") else LOOSE.get(name, PRIOR)


def moved(theta: jax.Array, names: tuple[str, ...]) -> dict[str, jax.Array]:
    """Values after steps on each number's own scale."""
    values = {name: jnp.asarray(value) for name, value in FIRST.items()}
    for step, name in zip(theta, names, strict=True):
        start = FIRST[name]
        if name in SHIFTED:
            values[name] = start + step
        elif name[:3] in ("EA ", "ES "):
            values[name] = jax.nn.sigmoid(math.log(start / (1 - start)) + step)
        else:
            values[name] = start * jnp.exp(step)
    return values


def fit(
    candidate: Candidate, rows: list[Target], data: Courses
) -> tuple[np.ndarray, dict[str, float]]:
    """Least squares with priors.

    Returns:
        What the candidate makes of each target, and its values.
    """
    names = candidate.free
    aim, error = np.array([row.target for row in rows]), np.array([row.error for row in rows])
    spread = np.array([prior(name) for name in names])

    def values(theta: jax.Array) -> jax.Array:
        course = march(moved(theta, names), candidate, data)
        return jnp.stack([measured(course, row, data) for row in rows])

    compute, slopes = jax.jit(values), jax.jit(jax.jacfwd(values))

    def cost(theta: np.ndarray, found: np.ndarray) -> float:
        return float((((found - aim) / error) ** 2).sum() + ((theta / spread) ** 2).sum())

    theta, damping = np.zeros(len(names)), 0.1
    found = np.asarray(compute(theta))
    best = cost(theta, found)
    for _ in range(STEPS if names else 0):
        slope = np.asarray(slopes(theta)) / error[:, None]
        curvature = slope.T @ slope + np.diag(1 / spread**2)
        downhill = slope.T @ ((found - aim) / error) + theta / spread**2
        before = best
        for _ in range(TRIES):
            damped = curvature + damping * np.diag(np.diag(curvature))
            trial = theta + np.clip(-np.linalg.solve(damped, downhill), -STRIDE, STRIDE)
            tried = np.asarray(compute(trial))
            if cost(trial, tried) < best:
                theta, found, best = trial, tried, cost(trial, tried)
                damping = max(damping / 4, 1e-3)
                break
            damping *= 4
        if before - best < SMALL:
            break
    fitted = moved(jnp.asarray(theta), names)
    return found, {name: float(fitted[name]) for name in names}


def main() -> None:
    """Fit all candidates and print what they make of the targets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=512)
    patients = parser.parse_args().patients
    rows, data = targets(), courses(patients)
    designs = list(dict.fromkeys(row.design for row in rows))
    print(f"{patients} patients, {len(rows)} targets; squared standard errors by design")
    print(f"{'':40}{'numbers':>8}{'all':>8}  " + "  ".join(designs))
    kept: dict[str, tuple[np.ndarray, dict[str, float]]] = {}
    with jax.enable_x64(True):
        for candidate in CANDIDATES:
            found, values = kept[candidate.name] = fit(candidate, rows, data)
            misfit = {design: 0.0 for design in designs}
            for row, value in zip(rows, found, strict=True):
                misfit[row.design] += ((value - row.target) / row.error) ** 2
            each = "  ".join(f"{misfit[design]:{len(design)}.1f}" for design in designs)
            total = sum(misfit.values())
            print(f"{candidate.name:40}{len(values):8}{total:8.1f}  {each}", flush=True)
    first, package = kept[CANDIDATES[0].name][0], kept[PACKAGE][0]
    print(f"\n{'target':66}{'found':>8}{'first':>8}{'package':>9}{'errors':>8}")
    for row, a, b in zip(rows, first, package, strict=True):
        name = f"{row.design}, {row.arm}, {row.statistic}, {row.hours:g} h"
        print(f"{name:66}{row.target:8.1f}{a:8.1f}{b:9.1f}{(b - row.target) / row.error:+8.1f}")
    print("\nvalues: " + ", ".join(f"{k} {v:.3g}" for k, v in kept[PACKAGE][1].items()))


if __name__ == "__main__":
    main()
