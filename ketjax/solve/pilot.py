"""The pilot: a sample of patients integrated together with error control.

A loop on the host around one compiled trial step. Its accepted steps become the mesh.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ketjax.solve.mesh import anchors_of
from ketjax.solve.solution import Status

SAFETY = 0.9
GROWTH_LIMIT = 5.0
SHRINK_LIMIT = 0.1
LARGEST_FAILING_STREAK = 30
SMALLEST_RELATIVE_STEP = 16.0 * float(np.finfo(np.float64).eps)

Trial = Callable[[float, float, Any, int], tuple[Any, np.ndarray]]
"""trial(t, h, y, segment) -> new y, scaled error per lane (not finite where the step failed)."""


@dataclass(frozen=True)
class Flight:
    """Course of the pilot.

    Attributes:
        accepted: for each interval between anchors, the edges of the accepted steps.
        rejected: number of rejected steps.
        status: 0, or why the pilot ended early; then the remaining intervals have one step each.
        reached: time that was reached.
    """

    accepted: list[np.ndarray]
    rejected: int
    status: int
    reached: float


def fly(
    trial: Trial,
    jump: Callable[[Any, int], Any],
    y: Any,
    times: np.ndarray,
    edges: np.ndarray,
    error_order: int,
    serve: float,
    max_steps: int,
) -> Flight:
    """Integrate the sample over all intervals between outputs and edges.

    Args:
        trial: one trial step of all lanes.
        jump: impulse at the start of a segment.
        y: start of all lanes.
        times: (time,) outputs, hit exactly.
        edges: (segment - 1,) event edges; the step is chosen afresh after each.
        error_order: order of the embedded solution.
        serve: quantile of the lanes' errors that the step size serves, 1 for the largest.
        max_steps: most accepted steps.

    Returns:
        The accepted steps.
    """
    anchors = anchors_of(times, edges)
    exponent = 1.0 / (error_order + 1)
    active: np.ndarray | None = None
    accepted = [
        np.array([left, right]) for left, right in zip(anchors[:-1], anchors[1:], strict=True)
    ]
    steps = rejected = 0
    previous, after_reject = 1.0, True
    h = 1e-3 * (anchors[1] - anchors[0])
    for index, (left, right) in enumerate(zip(anchors[:-1], anchors[1:], strict=True)):
        segment = int(np.searchsorted(edges, left, side="right"))
        if index == 0 or left in edges:
            y = jump(y, segment)
            h, previous, after_reject = min(h, 0.1 * (right - left)), 1.0, True
        t, knots, streak = left, [left], 0
        while t < right:
            remaining = right - t
            last = h >= remaining * (1.0 - 1e-9)
            trial_h = remaining if last else (0.5 * remaining if 2.0 * h > remaining else h)
            candidate, errors = trial(t, trial_h, y, segment)
            active = np.ones(errors.shape, bool) if active is None else active
            error = _served(errors[active], serve)
            if error <= 1.0:
                y, t = candidate, right if last else t + trial_h
                knots.append(t)
                steps += 1
                streak = 0
                error = max(error, 1e-6)
                factor = SAFETY * error ** (-0.7 * exponent) * previous ** (0.4 * exponent)
                limit = 1.0 if after_reject and len(knots) > 2 else GROWTH_LIMIT
                # A step cut short by an anchor says nothing against the longer one.
                h = max(h if trial_h < h else 0.0, trial_h * min(limit, max(0.2, factor)))
                previous, after_reject = error, False
                if steps >= max_steps and t < anchors[-1]:
                    return _early(accepted, index, knots, rejected, Status.MAX_STEPS)
                continue
            rejected += 1
            after_reject = True
            streak += 1
            shrink = 0.25 if not np.isfinite(error) else SAFETY * error**-exponent
            h = trial_h * max(SHRINK_LIMIT, min(shrink, 0.8))
            if h > SMALLEST_RELATIVE_STEP * abs(t) and streak < LARGEST_FAILING_STREAK:
                continue
            # No step is small enough for these lanes: go on without them.
            active = active & (errors <= 1.0)
            if not active.any():
                status = Status.STEP_TOO_SMALL if np.isfinite(error) else Status.NON_FINITE
                return _early(accepted, index, knots, rejected, status)
            h, streak = 1e-3 * remaining, 0
        accepted[index] = np.array(knots)
    return Flight(accepted, rejected, int(Status.OK), float(anchors[-1]))


def _served(errors: np.ndarray, serve: float) -> float:
    """Error that decides: a quantile of the lanes, infinite when a lane failed."""
    if not np.all(np.isfinite(errors)):
        return np.inf
    return float(errors.max() if serve >= 1.0 else np.quantile(errors, serve, method="higher"))


def _early(
    accepted: list[np.ndarray], index: int, knots: list[float], rejected: int, status: Status
) -> Flight:
    """End of a pilot that could not go on: one step to each anchor that remains."""
    end = accepted[index][-1]
    accepted[index] = np.array([*knots, end] if knots[-1] < end else knots)
    return Flight(accepted, rejected, int(status), float(knots[-1]))
