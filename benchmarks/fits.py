"""What a fit costs, and whether its gradient is right: the shipped fit, all profiles.

The gradient is compared with central differences for every free number in float64, away from the
start, so that no residual of a prior is zero.
"""

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.record import ROOT, Figure, cores, median_of
from ketjax.fit import Fit
from ketjax.fit.objective import Objective

PATIENTS = 1024  # in each arm
FEW = 32  # of the differences
STEP = 1e-5  # in numbers without bounds
AWAY = 0.1  # from the start, in numbers without bounds
MOST_SECONDS = 20.0
MOST_ERROR = 1e-4


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Seconds of value and gradient after compilation, and the largest error of a derivative."""
    fit = Fit.read(ROOT / "fits" / "human.toml")
    patients = FEW if quick else PATIENTS
    objective = Objective(fit, patients)
    theta = objective.start()
    objective.value_and_gradient(theta)
    seconds = []
    for k in range(repetitions):
        begun = time.perf_counter()
        objective.value_and_gradient(theta + 1e-3 * (k + 1))
        seconds.append(time.perf_counter() - begun)
    steps = sum(mesh.steps for mesh in objective.courses.meshes.values())
    note = (
        f"{patients} patients in each of {len(objective.courses.meshes)} arms, {steps} steps, "
        f"{len(fit.summaries)} targets, {len(objective.names)} free, {cores()} cores"
    )
    limit = None if quick else MOST_SECONDS
    yield median_of("fit, value and gradient", seconds, "s", target=limit, most=True, note=note)
    if not quick:
        yield _worst(fit)


def _worst(fit: Fit) -> Figure:
    """The largest relative difference between derivatives and differences."""
    objective = Objective(fit, FEW, "float64")
    theta = objective.start() + AWAY
    value, gradient = objective.value_and_gradient(theta)
    errors = []
    for k in range(theta.size):
        step = np.zeros_like(theta)
        step[k] = STEP
        difference = (objective.value(theta + step) - objective.value(theta - step)) / (2 * STEP)
        # Rounding of the objective leaves this much of a difference of nothing.
        scale = max(abs(difference), abs(gradient[k]), 1e-7 * value / STEP)
        errors.append(abs(gradient[k] - difference) / scale)
    worst = int(np.argmax(errors))
    return median_of(
        "fit, gradient against differences",
        [errors[worst]],
        "1",
        target=MOST_ERROR,
        most=True,
        note=f"largest of {len(errors)} free numbers ({objective.names[worst]}), float64, "
        f"{FEW} patients in each arm",
    )
