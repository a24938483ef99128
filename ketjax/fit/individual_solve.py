"""Levenberg-Marquardt of many patients at once, each with a damping and an answer of its own.

Equation:
    objective of a patient  sum_k z_k^2/2 + ln s_k + eta . eta/2,  z_k = (y_k - f_k)/s_k
    gradient                sum_k J_k (-z_k/s_k + s'_k/s_k (1 - z_k^2)) + eta
    information             sum_k J_k J_k^T (1/s_k^2 + 2 (s'_k/s_k)^2) + I
    with f(eta) the prediction, J its slopes, s(f) the residual SD and s' = ds/df

The information is that which observations are expected to hold. A patient who has converged is
left alone; one whose numbers cannot be marched is marked and never stops the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONVERGED, STALLED, LIMIT, FAILED = "converged", "stalled", "limit", "failed"
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-8, 1e8
LONGEST = 2.0  # longest step of a random effect [SD]
# Rise of the objective that is put down to rounding, so that it refuses no step.
ROUNDING = {"float32": 1e-3, "float64": 1e-9}

Predict = Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]
Spread = Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]
Tell = Callable[[int, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Patients and what was observed of them.

    Attributes:
        values: (patient, observation); NaN where there is none.
        free: How many random effects a patient has.
        predict: From random effects (patient, free) and who they are, to predictions
            (patient, observation) and slopes (patient, observation, free).
        spread: From predictions and whose they are, to the residual SD and its derivative by the
            prediction, both (patient, observation).
    """

    values: Array
    free: int
    predict: Predict
    spread: Spread


@dataclasses.dataclass(frozen=True, eq=False)
class Modes:
    """Where the objective of each patient is least.

    Attributes:
        eta: Random effects, (patient, free); NaN if failed.
        covariance: Inverse of the information, (patient, free, free).
        objective: (patient,).
        gradient: Largest part of the gradient, (patient,).
        status: (patient,) one of `CONVERGED`, `STALLED` (no step leads down), `LIMIT`, `FAILED`.
        iterations: (patient,).
        first: Predictions without random effects, (patient, observation).
        values: Predictions at the mode.
        spread: Residual SD at the mode.
    """

    eta: Array
    covariance: Array
    objective: Array
    gradient: Array
    status: NDArray[np.str_]
    iterations: NDArray[np.int64]
    first: Array
    values: Array
    spread: Array


def find_modes(
    problem: Problem,
    *,
    iterations: int,
    tolerance: float,
    dtype: str = "float64",
    tell: Tell | None = None,
) -> Modes:
    """Find the posterior mode of every patient, from no random effects on.

    Args:
        problem: The patients.
        iterations: At most.
        tolerance: What the objective may still be expected to fall by [1].
        dtype: Of the predictions: how much rounding there is.
        tell: Called with iteration, patients done and all patients.

    Returns:
        The modes.
    """
    lanes = _Lanes(problem)
    everybody = np.arange(problem.values.shape[0])
    lanes.take(everybody, *lanes.look(np.zeros((everybody.size, problem.free)), everybody))
    first = lanes.predicted.copy()
    lanes.status[~np.isfinite(lanes.objective)] = FAILED
    damping = np.full(everybody.size, FIRST_DAMPING)
    for iteration in range(iterations + 1):
        active = np.flatnonzero(lanes.status == "")
        left = lanes.step(active, np.zeros(active.size))[1]
        lanes.status[active[left < tolerance]] = CONVERGED
        active, left = active[left >= tolerance], left[left >= tolerance]
        if tell is not None:
            tell(iteration, everybody.size - active.size, everybody.size)
        if not active.size or iteration == iterations:
            break
        step, expected = lanes.step(active, damping[active])
        before = lanes.objective[active]
        found = lanes.look(lanes.eta[active] + step, active)
        fall = before - found[1]
        better = fall >= -ROUNDING[dtype]
        lanes.take(active[better], *(part[better] for part in found))
        lanes.iterations[active] += 1
        # A fall that rounding hides is judged by what is left to fall.
        after = lanes.step(active, np.zeros(active.size))[1]
        kept = np.where(expected > 10 * ROUNDING[dtype], fall / expected, 1 - after / left)
        damping[active] *= np.select([~better, kept < 0.25, kept > 0.75], [5.0, 3.0, 0.2], 1.0)
        damping = np.maximum(damping, LEAST_DAMPING)
        stuck = damping[active] > MOST_DAMPING
        at_rounding = np.where(better, after, left) < ROUNDING[dtype]
        lanes.status[active[stuck]] = np.where(at_rounding, CONVERGED, STALLED)[stuck]
    lanes.status[lanes.status == ""] = LIMIT
    return lanes.modes(first)


class _Lanes:
    """Where every patient stands."""

    def __init__(self, problem: Problem) -> None:
        count, most = problem.values.shape
        self.problem = problem
        self.eta = np.full((count, problem.free), np.nan)
        self.objective = np.full(count, np.inf)
        self.gradient = np.full((count, problem.free), np.nan)
        self.information = np.full((count, problem.free, problem.free), np.nan)
        self.predicted = np.full((count, most), np.nan)
        self.spread = np.full((count, most), np.nan)
        self.status = np.full(count, "", "<U9")
        self.iterations = np.zeros(count, np.int64)

    def look(self, eta: Array, patients: NDArray[np.int64]) -> tuple[Array, ...]:
        """Random effects, objective, gradient, information, predictions and SD of some patients."""
        predicted, slopes = self.problem.predict(eta, patients)
        sd, change = self.problem.spread(predicted, patients)
        seen = np.isfinite(self.problem.values[patients])
        with np.errstate(all="ignore"):  # what is not finite is refused
            z = np.where(seen, (self.problem.values[patients] - predicted) / sd, 0.0)
            relative = np.where(seen, change / sd, 0.0)
            per_sd = np.where(seen, 1 / sd, 0.0)
            slopes = np.where(seen[..., None], slopes, 0.0)
            objective = (0.5 * z**2 + np.where(seen, np.log(sd), 0.0)).sum(axis=1)
            objective += 0.5 * (eta**2).sum(axis=1)
            pull = -z * per_sd + relative * (1 - z**2)
            weight = per_sd**2 + 2 * relative**2
            gradient = (pull[..., None] * slopes).sum(axis=1) + eta
            pairs = slopes[..., :, None] * slopes[..., None, :] * weight[..., None, None]
            information = pairs.sum(axis=1) + np.eye(eta.shape[1])
        bad = ~(np.isfinite(gradient).all(axis=1) & np.isfinite(information).all(axis=(1, 2)))
        objective[bad | ~np.isfinite(objective)] = np.inf
        return eta, objective, gradient, information, predicted, sd

    def take(self, patients: NDArray[np.int64], *found: Array) -> None:
        """Patients move to where they looked."""
        kept = (self.eta, self.objective, self.gradient, self.information)
        for whole, part in zip((*kept, self.predicted, self.spread), found, strict=True):
            whole[patients] = part

    def step(self, patients: NDArray[np.int64], damping: Array) -> tuple[Array, Array]:
        """Damped step of some patients, and what the objective is expected to fall by."""
        information, gradient = self.information[patients], self.gradient[patients]
        own = np.einsum("pii->pi", information) * damping[:, None]
        damped = information + own[:, :, None] * np.eye(gradient.shape[1])
        step = -np.linalg.solve(damped, gradient[..., None])[..., 0]
        fall = -0.5 * (gradient * step).sum(axis=1)
        longest = np.abs(step).max(axis=1, keepdims=True)
        return step * np.minimum(1.0, LONGEST / np.maximum(longest, LONGEST)), fall

    def modes(self, first: Array) -> Modes:
        """What was found."""
        well = self.status != FAILED
        covariance = np.full_like(self.information, np.nan)
        covariance[well] = np.linalg.inv(self.information[well])
        self.eta[~well] = np.nan
        return Modes(
            self.eta,
            covariance,
            np.where(well, self.objective, np.nan),
            np.where(well, np.abs(self.gradient).max(axis=1), np.nan),
            self.status,
            self.iterations,
            first,
            self.predicted,
            self.spread,
        )
