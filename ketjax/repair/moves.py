"""Gauss-Newton steps of many patients together, each with a longest step of its own.

Equation:
    minimise |e - e_0|^2/2 + kappa sum_k h(v_k)^2  over the random effects e of each patient
    v = (low - y)/s or (y - high)/s,  y: what is bounded, s: its scale
    h(v) = 0 below -2m,  (v + 2m)^2/(4m) up to 0,  v + m above;  m: margin

A step aims at the margin inside a bound, where h begins. A patient who is inside moves no more.
The minimum is no draw from the prior given the bounds: patients gather near them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Evaluate = Callable[[Floats, Places], tuple[Floats, Floats]]
"""From effects (effect, patient) of the patients at some places to what is bounded,
(bound, patient), and its derivatives (bound, effect, patient); NaN where a march failed."""

SHORTEST = 1e-3  # a step that is no longer leads nowhere


@dataclass(frozen=True, eq=False)
class Box:
    """Where patients must end, and how they are drawn there.

    Attributes:
        low: Least numbers, (bound,), -inf where there is none.
        high: Greatest, inf where there is none.
        scale: Against which violations are measured, (bound,).
        stiffness: kappa.
        margin: m.
    """

    low: Floats
    high: Floats
    scale: Floats
    stiffness: float = 1000.0
    margin: float = 0.05

    def holds(self, values: Floats) -> NDArray[np.bool_]:
        """Who keeps all bounds, (patient,); who has no finite number does not.

        Args:
            values: (bound, patient).
        """
        inside = (values >= self.low[:, None]) & (values <= self.high[:, None])
        return np.all(inside, axis=0)

    def violations(self, values: Floats) -> tuple[Floats, Floats]:
        """Smooth violations h of all finite bounds, and their slopes by what is bounded.

        Args:
            values: (bound, patient).

        Returns:
            Two of (2 bound, patient), lower bounds first; 0 where there is no bound.
        """
        scale = self.scale[:, None]
        v = np.concatenate([self.low[:, None] - values, values - self.high[:, None]])
        v = v / np.concatenate([scale, scale])
        sign = np.repeat([-1.0, 1.0], len(self.scale))[:, None] / np.concatenate([scale, scale])
        m = self.margin
        inner = np.clip(v + 2 * m, 0.0, 2 * m)
        h = np.where(v > 0.0, v + m, inner**2 / (4 * m))
        return h, np.where(v > 0.0, 1.0, inner / (2 * m)) * sign


@dataclass(frozen=True, eq=False)
class Moved:
    """What came of the patients; arrays of (patient,), effects of (effect, patient).

    Attributes:
        effects: Where each ended.
        inside: Whether that is inside the box.
        failed: Whether the march failed where the patient began.
        evaluations: How often each was marched with its gradient.
    """

    effects: Floats
    inside: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    evaluations: Places


def move(evaluate: Evaluate, start: Floats, box: Box, steps: int, reach: float = np.inf) -> Moved:
    """Move patients into a box, none farther than needed as far as few steps can tell.

    Args:
        evaluate: What is bounded, and its derivatives.
        start: Random effects as drawn, independent and standard normal, (effect, patient).
        box: Where to.
        steps: At most, of each patient.
        reach: Longest step.

    Returns:
        Where they ended.
    """
    count, size = start.shape[1], len(start)
    now, trial = start.copy(), start.copy()
    height, longest = np.full(count, np.inf), np.full(count, reach)
    inside, failed = np.zeros(count, bool), np.zeros(count, bool)
    evaluations = np.zeros(count, np.int64)
    gradient, curvature = np.zeros_like(start), np.zeros((count, size, size))
    active = np.arange(count)
    for step in range(steps + 1):
        values, slopes = evaluate(trial[:, active], active)
        evaluations[active] += 1
        good = np.isfinite(values).all(axis=0) & np.isfinite(slopes).all(axis=(0, 1))
        h, by_value = box.violations(np.where(good, values, 0.0))
        away = trial[:, active] - start[:, active]
        found = 0.5 * (away**2).sum(axis=0) + box.stiffness * (h**2).sum(axis=0)
        lower, entered = good & (found < height[active]), good & box.holds(values)
        inside[active[entered]] = True
        if step == 0:
            failed[active[~good]] = True
        length = np.sqrt(((trial - now)[:, active] ** 2).sum(axis=0))
        longest[active] = np.where(lower, np.minimum(2 * longest[active], reach), 0.4 * length)
        taken = active[lower | entered]
        now[:, taken], height[taken] = trial[:, taken], found[lower | entered]
        # Slopes of h of every bound by every effect, kept where the patient is now.
        jacobian = (by_value[:, None] * np.concatenate([slopes, slopes]))[..., lower]
        pull = np.einsum("kp,kep->ep", h[:, lower], jacobian)
        gradient[:, active[lower]] = away[:, lower] + 2 * box.stiffness * pull
        square = np.einsum("kep,kfp->pef", jacobian, jacobian)
        curvature[active[lower]] = 2 * box.stiffness * square + np.eye(size)
        active = active[~(inside | failed)[active] & (longest[active] > SHORTEST)]
        if not active.size:
            break
        change = -np.linalg.solve(curvature[active], gradient[:, active].T[..., None])[..., 0].T
        length = np.sqrt((change**2).sum(axis=0))
        change *= np.minimum(1.0, longest[active] / np.maximum(length, SHORTEST))
        trial[:, active] = now[:, active] + change
    return Moved(now, inside, failed, evaluations)
