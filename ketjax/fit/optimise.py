"""The optimiser of a fit: several starts, several methods one after the other, checkpoints.

Searches run one after the other, since each evaluation uses all cores. Each goes through stages: a
method at one width of extra smoothing. Objectives of two widths are two functions, so the lowest
point and the stop rules count within a stage, and a stage begins at the lowest point of the one
before. What is reported is of the last stage, which has no width.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ketjax.errors import TooManyFailures
from ketjax.fit import checkpoint
from ketjax.fit.methods import SHORTENINGS, Evaluations, Objective, Point
from ketjax.fit.search import (
    Ended,
    Record,
    Stage,
    State,
    from_arrays,
    lowest,
    method_of,
    stages_of,
    to_arrays,
)
from ketjax.fit.settings import Optimise


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a fit found.

    Attributes:
        names: Of the free numbers.
        theta: Numbers without bounds at the lowest point of all searches, shape (free,).
        value: Objective there [1].
        searches: What each start led to.
        stages: Of each search.
        records: The history.
    """

    names: tuple[str, ...]
    theta: np.ndarray
    value: float
    searches: tuple[Ended, ...]
    stages: tuple[Stage, ...]
    records: tuple[Record, ...]


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a fit stands after an iteration.

    Attributes:
        start: Number of the search.
        starts: How many there are.
        stage: Method and width.
        iteration: Of the stage.
        value: Objective [1].
        fall: Since the iteration before [1]; NaN where a stage begins.
        gradient_norm: Length of the gradient [1].
        pace: Seconds an iteration, of the last ten [s].
        left: Seconds to the end, if all iterations are used [s].
        done: Iterations behind, those that were not needed included.
        total: Iterations of all searches.
    """

    start: int
    starts: int
    stage: Stage
    iteration: int
    value: float
    fall: float
    gradient_norm: float
    pace: float
    left: float
    done: int
    total: int


def optimise(
    objective: Objective,
    settings: Optimise,
    starts: np.ndarray,
    *,
    path: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    resume: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> Result:
    """Find where an objective is lowest.

    Args:
        objective: What is minimised.
        settings: How.
        starts: Numbers without bounds where each search begins, shape (start, free).
        path: File of the checkpoint; none is kept without it.
        identity: What the fit is; a checkpoint of another is refused.
        resume: Whether to go on from the checkpoint.
        tell: Called after each iteration.

    Returns:
        What was found; resumed or not, the same bits.

    Raises:
        StoreError: The checkpoint is missing, damaged, or of another fit.
        TooManyFailures: The objective is finite at no start.
    """
    stages = stages_of(settings)
    ours = dict(identity or {})
    state = State()
    if resume:
        if path is None:
            raise ValueError("to resume, a path is needed")
        header, arrays = checkpoint.read(path)
        checkpoint.check_identity(path, header.pop("identity"), ours)
        state = from_arrays(header, arrays, settings, stages)

    def keep(state: State) -> None:
        if path is not None:
            header, arrays = to_arrays(state)
            checkpoint.write(path, {"identity": ours, **header}, arrays)

    if not resume:
        keep(state)
    try:
        while state.start < len(starts):
            before = len(state.records)
            state = _advanced(objective, settings, stages, starts, state)
            new = len(state.records) > before
            if new and tell is not None:
                tell(_progress(state, stages, len(starts)))
            if (new and len(state.records) % settings.checkpoint_every == 0) or not state.begin:
                keep(state)
    except KeyboardInterrupt:
        keep(state)
        raise
    best = lowest(state.ended)
    if best is None:
        raise TooManyFailures(
            f"the objective is finite at none of the {len(starts)} starts: look for arms whose "
            "patients fail (ketjax run says how many do), or begin elsewhere ([free] start)"
        )
    theta = np.array(best.theta)
    return Result(objective.names, theta, best.value, state.ended, stages, state.records)


def _advanced(
    objective: Objective,
    settings: Optimise,
    stages: tuple[Stage, ...],
    starts: np.ndarray,
    state: State,
) -> State:
    """The state after one more iteration, or after the beginning of a stage."""
    clock = time.perf_counter()
    stage = stages[state.stage]
    method = method_of(stage, settings)
    evaluate = Evaluations(objective, stage.width, method.squares)
    memory, reached = state.memory, state.point
    if reached is None:
        theta = state.best.theta if state.best is not None else starts[state.start]
        point = _begun(evaluate, theta, starts[0])
        same = state.stage > 0 and stages[state.stage - 1].place == stage.place
        if not (same and method.carries):
            memory = method.begin(point.theta)
        reached, stop = point, "" if point.finite else "not_finite"
    else:
        point, memory = method.step(evaluate, reached, memory)
        stop = "" if point is not None else "no_lower"
    elapsed = time.perf_counter() - clock
    state = dataclasses.replace(
        state,
        memory=memory,
        evaluations=state.evaluations + evaluate.count,
        refused=state.refused + evaluate.refused,
        seconds=state.seconds + elapsed,
        begin=state.begin or tuple(float(u) for u in reached.theta),
    )
    if point is not None and point.finite:
        state = _recorded(state, point, elapsed)
        stop = _stop(state, stage, settings)
    if not stop:
        return state
    if stop != "not_finite" and state.stage + 1 < len(stages):
        return dataclasses.replace(
            state, stage=state.stage + 1, iteration=0, point=None, lows=(),
            stops=(*state.stops, stop),
        )  # fmt: skip
    return _ended(state, stop)


def _begun(evaluate: Evaluations, theta: np.ndarray, origin: np.ndarray) -> Point:
    """Where a stage begins; a start that is not finite is brought nearer to the first start."""
    point = evaluate(theta)
    for _ in range(SHORTENINGS):
        if point.finite or np.array_equal(theta, origin):
            break
        theta = origin + (theta - origin) / 2
        point = evaluate(theta)
    return point


def _recorded(state: State, point: Point, elapsed: float) -> State:
    """The state at a point of its stage, with one more line of history."""
    begins = state.point is None
    iteration = 0 if begins else state.iteration + 1
    lower = begins or state.best is None or point.value < state.best.value
    best = point if lower else state.best
    assert best is not None
    norm = float(np.linalg.norm(point.gradient))
    record = Record(state.start, state.stage, iteration, point.theta, point.value, norm, elapsed)
    return dataclasses.replace(
        state,
        iteration=iteration,
        point=point,
        best=best,
        lows=(best.value,) if begins else (*state.lows, best.value),
        records=(*state.records, record),
    )


def _stop(state: State, stage: Stage, settings: Optimise) -> str:
    """Why a stage ends here; empty if it goes on."""
    assert state.point is not None
    if state.point.slope <= settings.gradient_tolerance:
        return "gradient"
    lows, patience = state.lows, settings.patience
    if len(lows) > patience:
        fall = lows[-1 - patience] - lows[-1]
        if fall <= settings.tolerance * abs(lows[-1]):
            return "tolerance"
    return "iterations" if state.iteration >= stage.iterations else ""


def _ended(state: State, stop: str) -> State:
    """The state before the next search."""
    best = state.best if stop != "not_finite" else None
    one = Ended(
        start=state.start,
        begin=state.begin,
        theta=tuple(float(u) for u in best.theta) if best is not None else state.begin,
        value=best.value if best is not None else math.nan,
        gradient_norm=float(np.linalg.norm(best.gradient)) if best is not None else math.nan,
        stops=(*state.stops, stop),
        evaluations=state.evaluations,
        refused=state.refused,
        seconds=state.seconds,
    )
    return State(start=state.start + 1, records=state.records, ended=(*state.ended, one))


def _progress(state: State, stages: tuple[Stage, ...], starts: int) -> Progress:
    """What a person wants to know after the last line of the history."""
    last = state.records[-1]
    before = state.records[-2] if last.iteration else None
    recent = state.records[-10:]
    pace = sum(record.seconds for record in recent) / len(recent)
    each = sum(stage.iterations for stage in stages)
    done = last.start * each + sum(s.iterations for s in stages[: last.stage]) + last.iteration
    if state.start > last.start:  # the search has ended
        done = state.start * each
    return Progress(
        start=last.start,
        starts=starts,
        stage=stages[last.stage],
        iteration=last.iteration,
        value=last.value,
        fall=before.value - last.value if before else math.nan,
        gradient_norm=last.gradient_norm,
        pace=pace,
        left=pace * (starts * each - done),
        done=done,
        total=starts * each,
    )
