"""What targets ask of courses of patients, as a study finds it: ratings drawn, patients counted.

Against this the smooth numbers of `statistics` are checked, and with it a fit is judged when it is
done.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.analysis.survival import DAY, RELAPSE_RULES, product_limit, time_to_relapse
from ketjax.fit.targets import Target
from ketjax.model.parameters import Parameters
from ketjax.observation import RATED, Noise, needed, observe

Array = NDArray[np.float64]


class Counted:
    """One arm of a study in which patients are rated and counted.

    Attributes:
        times: Visits [h], shape (time,).
    """

    def __init__(
        self,
        times: Array,
        readouts: tuple[str, ...],
        course: Array,
        parameters: Parameters,
        noise: Noise,
    ) -> None:
        """An arm and its random numbers.

        Args:
            times: Visits [h], shape (time,).
            readouts: Of the courses.
            course: Shape (readout, time, patient).
            parameters: As drawn.
            noise: Random numbers at these times.
        """
        self.times = times
        self._readouts, self._course, self._p, self._noise = readouts, course, parameters, noise
        self._rated: dict[float, Array] = {}
        own = np.asarray(parameters.score.baseline, np.float64)
        self._baseline = np.broadcast_to(own, course.shape[2:])

    def entry(self, target: Target) -> Array:
        """Score at entry in the trial [points], shape (patient,)."""
        return self._scale(target) * self._baseline

    def values(self, target: Target) -> Array:
        """Courses of what the target is made of, as recorded, shape (time, patient)."""
        name = target.kind.readout
        course = self._course[self._readouts.index(needed([name])[0])]
        if name != RATED:
            return course
        scale = self._scale(target)
        if scale not in self._rated:  # most of a count's time
            score = {needed([RATED])[0]: scale * course[None]}
            self._rated[scale] = observe([RATED], score, [self._p], self._noise)[RATED][0]
        return self._rated[scale]

    def _scale(self, target: Target) -> float:
        known = not np.isnan(target.baseline)
        return target.baseline / self._baseline.mean() if known else 1.0


def number(target: Target, arms: Sequence[Counted], visits: Sequence[NDArray[np.int64]]) -> float:
    """What a study finds of one target [unit of the quantity].

    Args:
        target: What is asked.
        arms: Its arms.
        visits: Places of what it needs among the times of each arm.

    Returns:
        A number; NaN for a share of nobody.
    """
    arm, entry = arms[0], arms[0].entry(target)
    values = arm.values(target)
    at = values[visits[0]]
    changes = [
        one.values(target)[places[0]] - one.entry(target)
        for one, places in zip(arms, visits, strict=True)
    ]
    responds = at <= (1 - RESPONSE_FRACTION) * entry
    match target.quantity:
        case "score":
            return at[0].mean()
        case "change":
            return changes[0].mean()
        case "percent change":
            return (changes[0] / entry).mean()
        case "SD of change":
            return changes[0].std(ddof=1)
        case "response":
            return responds[0].mean()
        case "remission":
            return (at[0] <= REMISSION_SCORE).mean()
        case "sustained response":
            return (responds.sum(axis=0) >= 2).mean()
        case "difference of changes":
            return changes[0].mean() - changes[1].mean()
        case "effect size":
            pooled = np.sqrt(sum(change.var(ddof=1) for change in changes) / 2)
            return (changes[1].mean() - changes[0].mean()) / pooled
        case "share of final gain":
            return changes[0].mean() / (at[-1] - entry).mean()
        case _ if target.rule:
            return _of_responders(target, arm.times[visits[0]], at, entry)
        case quantity if quantity.startswith("change of "):
            return (at[0] - values[0]).mean()
        case _:
            return at.max(axis=0).mean()


def _of_responders(target: Target, times: Array, score: Array, entry: Array) -> float:
    """What becomes of who responds at the first of some visits."""
    hours, state = time_to_relapse(times, score, entry, times[0], RELAPSE_RULES[target.rule])
    responded = state != 2
    if not responded.any():
        return np.nan
    days, relapsed = hours[responded] / DAY, state[responded] == 0
    if target.quantity == "share not relapsed":
        return 1 - relapsed.mean()
    if target.quantity == "restricted mean days":
        return days.mean()
    at, share = product_limit(days, relapsed)
    level = target.kind.level
    passed = share <= 1 - level + 1e-12
    if passed.any():
        return at[passed.argmax()]
    # Followed too short: what `relapse.quantile` puts in place of it, but for half a visit.
    return (times[-1] - times[0]) / DAY * (1 + (share[-1] - (1 - level)) / level)
