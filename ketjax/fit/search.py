"""The state of a search: where it stands, what it found, and how both become arrays and back.

A state is never changed: each iteration makes the next one. So whatever interrupts a search, there
is a whole state to go on from, and going on gives the bits that an undisturbed search gives.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import jax
import numpy as np

from ketjax.fit.methods import Adam, GaussNewton, Lbfgs, Method, Point
from ketjax.fit.settings import Optimise

STAIRS = 4  # widths of the first method, each half of the one before
# Why a search, or one stage of it, ended.
STOPS = {
    "gradient": "the largest slope is below the gradient tolerance",
    "tolerance": "the objective fell too little over the patience",
    "iterations": "all iterations were used",
    "no_lower": "no step was finite and, but for Adam, lower",
    "not_finite": "the objective is not finite where it begins",
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """A method at one width: within a stage, and only there, objectives can be compared.

    Attributes:
        place: Of the method among the methods.
        method: Its name.
        width: Extra smoothing of yes-or-no outcomes [points].
        iterations: At most.
    """

    place: int
    method: str
    width: float
    iterations: int


def stages_of(settings: Optimise) -> tuple[Stage, ...]:
    """The stages of each search, one after the other.

    The width halves from stage to stage of the first method and is zero after it. A single method
    uses half of its iterations for that. The last stage has no width: its objective is the fit's.

    Args:
        settings: How the free numbers are moved.
    """
    first, total = settings.methods[0], settings.iterations
    alone = len(settings.methods) == 1
    stages: list[Stage] = []
    if settings.width:
        wide = total // 2 if alone else total
        ends = [wide * k // STAIRS for k in range(STAIRS + 1)]
        stages += [
            Stage(0, first, settings.width / 2**k, ends[k + 1] - ends[k]) for k in range(STAIRS)
        ]
    rest = [(k, name, total) for k, name in enumerate(settings.methods)]
    if stages and alone:
        rest = [(0, first, total - total // 2)]
    elif stages:
        rest = rest[1:]
    stages += [Stage(k, name, 0.0, count) for k, name, count in rest]
    return tuple(stage for stage in stages if stage.iterations)


def method_of(stage: Stage, settings: Optimise) -> Method:
    """The steps of a stage."""
    if stage.method == "adam":
        return Adam(settings.learning_rate, settings.iterations)
    return Lbfgs() if stage.method == "lbfgs" else GaussNewton()


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One line of the history: the beginning of a stage, or an iteration.

    Attributes:
        start: Number of the search.
        stage: Number of the stage.
        iteration: Of the stage; zero where it begins.
        theta: Numbers without bounds, shape (free,).
        value: Objective at the width of the stage [1].
        gradient_norm: Length of its gradient [1].
        seconds: That it took [s].
    """

    start: int
    stage: int
    iteration: int
    theta: np.ndarray
    value: float
    gradient_norm: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Ended:
    """What one search found.

    Attributes:
        start: Its number.
        begin: Numbers without bounds where it began.
        theta: Numbers without bounds at the lowest point of its last stage.
        value: Objective there [1]; NaN if the search found none.
        gradient_norm: Length of the gradient there [1].
        stops: Why each stage ended, by `STOPS`; the last says why the search did.
        evaluations: Of the objective.
        refused: Evaluations that were not finite.
        seconds: That it took [s].
    """

    start: int
    begin: tuple[float, ...]
    theta: tuple[float, ...]
    value: float
    gradient_norm: float
    stops: tuple[str, ...]
    evaluations: int
    refused: int
    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """Where a search stands between two iterations.

    Attributes:
        start: Number of the search.
        stage: Number of the stage.
        iteration: Of the stage.
        begin: Numbers without bounds where the search began; empty before.
        point: Where the stage is; None where it has not begun.
        best: Lowest point of the stage, or of the one before where it has not begun.
        memory: What the method remembers.
        lows: Objective at the lowest point after each iteration of the stage.
        stops: Why the stages before ended.
        evaluations: Of this search.
        refused: Evaluations that were not finite.
        seconds: That this search has taken [s].
        records: History of all searches.
        ended: Searches that have.
    """

    start: int = 0
    stage: int = 0
    iteration: int = 0
    begin: tuple[float, ...] = ()
    point: Point | None = None
    best: Point | None = None
    memory: Any = None
    lows: tuple[float, ...] = ()
    stops: tuple[str, ...] = ()
    evaluations: int = 0
    refused: int = 0
    seconds: float = 0.0
    records: tuple[Record, ...] = ()
    ended: tuple[Ended, ...] = ()


SCALARS = ("start", "stage", "iteration", "begin", "stops", "evaluations", "refused", "seconds")


def to_arrays(state: State) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A state as what is JSON and what is numbers; `from_arrays` reads it back, bit for bit."""
    header = {name: getattr(state, name) for name in SCALARS}
    header["ended"] = [dataclasses.asdict(one) for one in state.ended]
    arrays = {"lows": np.array(state.lows)}
    for name in ("point", "best"):
        if (point := getattr(state, name)) is not None:
            arrays |= {f"{name}.{key}": np.asarray(part) for key, part in vars(point).items()}
    for k, leaf in enumerate(jax.tree.leaves(state.memory)):
        arrays[f"memory.{k:02}"] = np.asarray(leaf)
    for field in fields(Record):
        arrays[f"records.{field.name}"] = np.array([getattr(r, field.name) for r in state.records])
    return header, arrays


def from_arrays(
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    settings: Optimise,
    stages: Sequence[Stage],
) -> State:
    """A state as it was.

    Args:
        header: What is JSON.
        arrays: What is numbers.
        settings: How the free numbers are moved.
        stages: Those of each search.
    """
    points: dict[str, Any] = {}
    for name in ("point", "best"):
        if f"{name}.theta" in arrays:
            parts = {field.name: arrays[f"{name}.{field.name}"] for field in fields(Point)}
            points[name] = Point(**{**parts, "value": float(parts["value"])})
    leaves = [arrays[name] for name in sorted(arrays) if name.startswith("memory.")]
    memory = None
    if leaves:
        # What is remembered has the shape of a method that has just begun.
        place = header["stage"] if "point" in points else header["stage"] - 1
        begun = method_of(stages[place], settings).begin(points["best"].theta)
        memory = jax.tree.unflatten(jax.tree.structure(begun), leaves)
    names = [field.name for field in fields(Record)]
    columns = [arrays[f"records.{name}"] for name in names]
    records = tuple(_record(*row) for row in zip(*columns, strict=True))
    ended = tuple(Ended(**_with_tuples(one)) for one in header["ended"])
    scalars = _with_tuples({name: header[name] for name in SCALARS})
    return State(
        **scalars,
        **points,
        memory=memory,
        lows=tuple(float(low) for low in arrays["lows"]),
        records=records,
        ended=ended,
    )


def _record(start, stage, iteration, theta, value, gradient_norm, seconds) -> Record:
    whole = (int(start), int(stage), int(iteration))
    return Record(*whole, theta, float(value), float(gradient_norm), float(seconds))


def _with_tuples(header: Mapping[str, Any]) -> dict[str, Any]:
    """What was JSON, with tuples instead of lists."""
    return {name: tuple(part) if isinstance(part, list) else part for name, part in header.items()}


def why(code: str, settings: Optimise) -> str:
    """Why a search ended, in words, with the numbers of its rule."""
    s = settings
    numbers = {
        "gradient": f"largest slope below {s.gradient_tolerance:g}",
        "tolerance": f"fell by less than {100 * s.tolerance:g} % in {s.patience} iterations",
        "iterations": f"all {s.iterations} iterations used",
    }
    return numbers.get(code, STOPS[code])


def lowest(ended: Sequence[Ended]) -> Ended | None:
    """The search that found the lowest point; the first of equals, None if none found any."""
    found = [one for one in ended if math.isfinite(one.value)]
    return min(found, key=lambda one: one.value, default=None)
