"""What a gradient costs: value and gradient for 40 parameters against the forward run.

The function is the mean depression score at the end of the first study's ketamine arm; its
arguments are the logarithms of 40 factors, each on one parameter of all patients.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import ROOT, Figure, median_of, seconds_of
from ketjax.model import readouts
from ketjax.model.parameters import leaf, replace
from ketjax.population import draw
from ketjax.preparation import recipe_of, simulation_of
from ketjax.study import Study

ARM = "ketamine"
FACTORS = 40
TARGET = 6.0


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Seconds of the function, of value and gradient, and their ratio."""
    patients = 64 if quick else 2048
    study = Study.read(ROOT / "studies" / "s01_single_infusion.toml")
    study = study.replace(readouts=["madrs"])
    recipe = recipe_of(study)
    simulation = simulation_of(study, recipe)
    system, mesh = simulation.system, simulation.mesh
    population = draw(recipe, np.arange(patients))
    column = [name for name, _ in readouts.columns(simulation.computed)].index("madrs")
    with jax.enable_x64(True):
        p, design = simulation._cast(simulation._parameters(ARM, population))
        forcing = simulation._cast(simulation._forcing[ARM])
        paths = _paths(p, recipe.laws())

        def score(factors: Any) -> Any:
            scaled = {
                path: leaf(p, path) * jnp.exp(factors[index]) for index, path in enumerate(paths)
            }
            changed = replace(p, scaled)
            y0 = tuple(
                jnp.asarray(value, zero.dtype) for value in simulation.cascade.start(changed)
            )
            result = system.march(mesh, y0, (changed, design), forcing)
            return result.readouts[column][-1].mean()

        def untraced() -> Any:
            y0 = simulation._cast(simulation.cascade.start(p))
            return system.march(mesh, y0, (p, design), forcing).readouts[column][-1].mean()

        def forward() -> Any:
            return jax.block_until_ready(plain(zero))

        def backward() -> Any:
            return jax.block_until_ready(both(zero))

        zero = np.zeros(len(paths), simulation.dtype)
        plain, both = jax.jit(score), jax.jit(jax.value_and_grad(score))
        times = []
        value: Any = None
        for action in (forward, backward):
            before = time.perf_counter()
            value = action()
            times.append(time.perf_counter() - before)
        gradient = np.asarray(value[1])
        same = float(untraced())
        outside = seconds_of(untraced, repetitions)
        once = seconds_of(forward, repetitions)
        twice = seconds_of(backward, repetitions)
    run = median_of(
        "forward run",
        once,
        "s",
        note=f"mean score of {patients} patients, {mesh.steps} steps, {simulation.dtype}",
        details={"compiling_seconds": times[0]},
    )
    yield run
    yield median_of(
        "march outside of jit",
        outside,
        "s",
        note=f"the same score to {abs(same - float(value[0])):.1e} points",
    )
    finite = int(np.isfinite(gradient).sum())
    grad = median_of(
        "value and gradient",
        twice,
        "s",
        note=f"{len(paths)} parameters, {finite} derivatives finite",
        details={"compiling_seconds": times[1], "gradient": gradient.tolist(), "paths": paths},
    )
    yield grad
    yield Figure("compiling the gradient", times[1], "s", note="with its first run")
    assert run.value is not None and grad.value is not None
    ratio = Figure("gradient over forward run", grad.value / run.value, "times", TARGET, most=True)
    if finite < len(paths):
        ratio = dataclasses.replace(ratio, target=None, note="derivatives are not finite")
    yield ratio


def _paths(p: Any, laws: dict[str, Any]) -> list[str]:
    """The first parameters that vary between patients and are positive in all of them."""
    positive = [path for path in laws if np.all(np.asarray(leaf(p, path)) > 0)]
    return positive[:FACTORS]
