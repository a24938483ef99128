"""The search for schedules: SLSQP of SciPy from several starts, for each number of infusions.

Amounts and gaps move between their bounds, each as a share of its range. Each round works on one
mesh, so that what is maximised is smooth; the next makes a mesh for the best schedule so far.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ketjax.design.courses import Frame, Schedule
from ketjax.design.objective import Objective, Worth
from ketjax.design.plan import Design

EXCESS = 2e-3  # share of the cap by which a schedule that counts as allowed may exceed it
BINDS = 5e-3  # share of the cap within which it is said to bind
MOVED = 0.02  # share of its range by which a variable has moved far: another mesh is worth it

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Variables:
    """What moves, for one number of infusions: amounts, then gaps, as shares of their ranges.

    Attributes:
        design: The design.
        infusions: How many.
    """

    design: Design
    infusions: int

    @property
    def amounts(self) -> int:
        """How many amounts move."""
        return 1 if self.design.design.shared_amount else self.infusions

    @property
    def size(self) -> int:
        """How many numbers move."""
        return self.amounts + self.infusions - 1

    @cached_property
    def room(self) -> float:
        """Greatest sum of the gaps' shares, so that the last infusion leaves the rest."""
        d = self.design.design
        time = d.end - d.rest - d.first - (self.infusions - 1) * d.gap.low
        return max(time, 0.0) / (d.gap.high - d.gap.low)

    def feasible(self, x: Array) -> Array:
        """The numbers within their bounds, the last infusion early enough."""
        x = np.clip(x, 0.0, 1.0)
        total = x[self.amounts :].sum()
        if total > self.room:
            x[self.amounts :] *= self.room / total
        return x

    def schedule(self, x: Array) -> Schedule:
        """The schedule of some numbers."""
        d = self.design.design
        low, high = d.amount.low[0], d.amount.high[0]
        amounts = low + (high - low) * x[: self.amounts]
        gaps = d.gap.low + (d.gap.high - d.gap.low) * x[self.amounts :]
        starts = d.first + np.concatenate([[0.0], np.cumsum(gaps)])
        return Schedule(np.broadcast_to(amounts, (self.infusions,)).copy(), starts)

    def numbers(self, schedule: Schedule) -> Array:
        """The numbers of a schedule."""
        d = self.design.design
        low, high = d.amount.low[0], d.amount.high[0]
        amounts = (schedule.amounts[: self.amounts] - low) / (high - low)
        gaps = (np.diff(schedule.starts) - d.gap.low) / (d.gap.high - d.gap.low)
        return self.feasible(np.concatenate([amounts, gaps]))

    def pull(self, by_amounts: Array, by_starts: Array) -> Array:
        """Derivatives by the numbers, (..., number), from those by amounts and starts."""
        d = self.design.design
        by_amounts = by_amounts * (d.amount.high[0] - d.amount.low[0])
        if d.shared_amount:
            by_amounts = by_amounts.sum(axis=-1, keepdims=True)
        # A gap moves all infusions after it.
        by_gaps = np.cumsum(by_starts[..., :0:-1], axis=-1)[..., ::-1]
        return np.concatenate([by_amounts, by_gaps * (d.gap.high - d.gap.low)], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The best schedule of one number of infusions.

    Attributes:
        schedule: The schedule.
        worth: What it is worth, on a mesh of its own.
        allowed: Whether it keeps the cap.
        rounds: How many meshes the best search made.
        starts: Share of patients that each search reached [1].
        evaluations: Marches of all searches.
        seconds: Of all searches [s].
    """

    schedule: Schedule
    worth: Worth
    allowed: bool
    rounds: int
    starts: tuple[float, ...]
    evaluations: int
    seconds: float


class _On:
    """The objective on one mesh, as an optimiser asks for it: value and slopes at a point."""

    def __init__(self, objective: Objective, variables: Variables, frame: Frame) -> None:
        self._objective, self._variables, self._frame = objective, variables, frame
        self._at: tuple[Array, Worth] | None = None
        self._sloped: tuple[Array, Array] | None = None
        self.evaluations = 0

    def worth(self, x: Array) -> Worth:
        if self._at is None or not np.array_equal(self._at[0], x):
            self._at = None  # its states go before the next are kept
            schedule = self._variables.schedule(self._variables.feasible(x.copy()))
            self._at = (x.copy(), self._objective.worth(self._frame, schedule))
            self.evaluations += 1
        return self._at[1]

    def slopes(self, x: Array) -> Array:
        if self._sloped is None or not np.array_equal(self._sloped[0], x):
            found = self._objective.slopes(self.worth(x))
            self._sloped = (x.copy(), self._variables.pull(*found))
        return self._sloped[1]


def maximise(
    objective: Objective, infusions: int, before: Schedule | None = None,
    tell: Callable[[Worth], None] | None = None,
) -> Found:  # fmt: skip
    """The best schedule of a number of infusions.

    Args:
        objective: What a schedule is worth.
        infusions: How many.
        before: Best schedule with one infusion less; the first search goes on from it.
        tell: Called with what each march was worth.

    Returns:
        The best of all searches that keep the cap; of none, the one that exceeds it least.
    """
    design, variables = objective.design, Variables(objective.design, infusions)
    begun = time.perf_counter()
    results, evaluations = [], 0
    for start in range(design.search.starts):
        x = _start(variables, start, before)
        x, worth, rounds, marches = _climb(objective, variables, x, tell)
        evaluations += marches
        results.append((x, worth, rounds))
    limit = _limit(design)
    keeping = [worth.worst <= limit * (1 + EXCESS) for _, worth, _ in results]
    best = max(
        range(len(results)),
        key=lambda k: (keeping[k], results[k][1].share if keeping[k] else -results[k][1].worst),
    )
    x, worth, rounds = results[best]
    return Found(
        worth.course.schedule, worth, keeping[best], rounds,
        tuple(one.share for _, one, _ in results), evaluations, time.perf_counter() - begun,
    )  # fmt: skip


def _climb(
    objective: Objective, variables: Variables, x: Array, tell: Callable[[Worth], None] | None
) -> tuple[Array, Worth, int, int]:
    """One search: the numbers, what they are worth on a mesh of their own, rounds and marches."""
    settings, limit = objective.design.search, _limit(objective.design)
    marches, rounds = 0, 0
    on = _On(objective, variables, objective.courses.frame(variables.schedule(x)))
    while True:
        rounds += 1
        found = _step_through(on, variables, x, limit, settings, tell)
        far = np.abs(found - x).max() > MOVED
        x, marches = found, marches + on.evaluations
        on = _On(objective, variables, objective.courses.frame(variables.schedule(x)))
        if not far or rounds == settings.rounds:
            worth = on.worth(x)
            return x, worth, rounds, marches + 1


def _step_through(
    on: _On, variables: Variables, x: Array, limit: float, settings: Any,
    tell: Callable[[Worth], None] | None,
) -> Array:  # fmt: skip
    """One round of SLSQP on one mesh."""
    constraints: list[dict[str, Any]] = []
    if np.isfinite(limit):
        constraints.append(
            {
                "type": "ineq",
                "fun": lambda x: 1.0 - on.worth(x).capped / limit,
                "jac": lambda x: -on.slopes(x)[1:] / limit,
            }
        )
    if variables.infusions > 1:
        gaps = (np.arange(variables.size) >= variables.amounts).astype(float)
        constraints.append(
            {
                "type": "ineq",
                "fun": lambda x: variables.room - gaps @ x,
                "jac": lambda _: -gaps,
            }
        )

    def value(x: Array) -> float:
        worth = on.worth(x)
        if tell is not None:
            tell(worth)
        return -worth.share

    result = minimize(
        value,
        x,
        jac=lambda x: -on.slopes(x)[0],
        method="SLSQP",
        bounds=[(0.0, 1.0)] * variables.size,
        constraints=constraints,
        options={"maxiter": settings.iterations, "ftol": settings.tolerance},
    )
    return variables.feasible(np.asarray(result.x))


def _limit(design: Design) -> float:
    """What the cap allows; infinite without one."""
    return np.inf if design.design.cap is None else design.design.cap.limit


def _start(variables: Variables, start: int, before: Schedule | None) -> Array:
    """Numbers from which a search begins."""
    if start == 0 and before is not None:
        # One infusion more in the middle of the longest gap; the others stay where they are.
        d = variables.design.design
        times, k = np.append(before.starts, d.end - d.rest), before.infusions
        wide = int(np.argmax(np.diff(times))) + 1
        middle = times[wide] if wide == k else 0.5 * (times[wide - 1] + times[wide])
        starts = np.insert(before.starts, wide, middle)
        amounts = np.insert(before.amounts, wide, before.amounts[wide - 1])
        return variables.numbers(Schedule(amounts, starts))
    if start == 0:
        return variables.feasible(np.full(variables.size, 0.5))
    seed = [variables.design.search.seed, variables.infusions, start]
    return variables.feasible(np.random.default_rng(seed).uniform(size=variables.size))
