"""The mesh: the steps that every patient takes, as plain numbers on the host.

A mesh is made from the steps of a pilot integration by cutting some of them into equal parts, so
that each output interval holds a whole number of chunks and the total is a whole number of pieces.
The pilot's step edges all stay, so a short step across a kink still crosses that kink.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Mesh:
    """Steps shared by all patients.

    Attributes:
        times: (time,) output times, the first is the start.
        edges: (segment - 1,) event times at which a new segment begins.
        start: (step,) start of each step.
        length: (step,) length of each step.
        segment: (step,) index of the segment each step lies in.
        first: (step,) True for the first step of its segment.
        output: (time,) steps taken when each output time is reached, whole chunks.
        chunk: steps in a chunk.
        piece: steps in a piece; the number of steps is a whole number of pieces.
        status: 0, or the status code with which the pilot ended early.
        reached: time that the pilot reached.
    """

    times: np.ndarray
    edges: np.ndarray
    start: np.ndarray
    length: np.ndarray
    segment: np.ndarray
    first: np.ndarray
    output: np.ndarray
    chunk: int
    piece: int
    status: int
    reached: float

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.length)

    def halve(self) -> "Mesh":
        """The same mesh with every step cut into two equal ones."""
        half = 0.5 * self.length
        return Mesh(
            times=self.times,
            edges=self.edges,
            start=np.stack([self.start, self.start + half], axis=1).ravel(),
            length=np.repeat(half, 2),
            segment=np.repeat(self.segment, 2),
            first=np.stack([self.first, np.zeros_like(self.first)], axis=1).ravel(),
            output=2 * self.output,
            chunk=self.chunk,
            piece=self.piece,
            status=self.status,
            reached=self.reached,
        )


CLOSEST = 4.0 * float(np.finfo(np.float64).eps)  # two anchors nearer than this are one by mistake


def anchors_of(times: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Times that a step must end on: outputs and edges, sorted, without repeats."""
    return np.union1d(times, edges)


def check_times(times: ArrayLike, edges: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Output times and edges as float64 arrays.

    Args:
        times: output times, strictly increasing, at least two.
        edges: event times, strictly increasing, inside the span of ``times``.

    Returns:
        The two arrays.

    Raises:
        ValueError: a time is out of order, outside the span or not finite.
    """
    checked = []
    for name, values in (("times", times), ("edges", edges)):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1:
            raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
        if not np.all(np.isfinite(array)):
            where = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ValueError(f"{name}[{where}] is {array[where]}; every entry must be finite")
        falls = np.flatnonzero(np.diff(array) <= 0.0)
        if falls.size:
            where = int(falls[0])
            raise ValueError(
                f"{name}[{where + 1}] = {array[where + 1]} does not exceed {name}[{where}] ="
                f" {array[where]}; {name} must increase strictly: sort them and drop repeats"
            )
        checked.append(array)
    grid, cuts = checked
    if grid.size < 2:
        raise ValueError(
            f"times has {grid.size} entries; give the start and at least one more time"
        )
    anchors = anchors_of(grid, cuts)
    close = np.flatnonzero(np.diff(anchors) <= CLOSEST * np.abs(anchors[1:]))
    if close.size:
        near = anchors[close[0]]
        raise ValueError(
            f"an edge and an output at {near!r} differ by rounding only; give both the same number"
        )
    outside = np.flatnonzero((cuts <= grid[0]) | (cuts >= grid[-1]))
    if outside.size:
        where = int(outside[0])
        raise ValueError(
            f"edges[{where}] = {cuts[where]} is not inside ({grid[0]}, {grid[-1]});"
            " an edge lies strictly between the first and the last time"
        )
    return grid, cuts


def build_mesh(
    times: np.ndarray,
    edges: np.ndarray,
    accepted: Sequence[np.ndarray],
    chunk: int,
    piece: int,
    status: int = 0,
    reached: float = np.inf,
) -> Mesh:
    """Cut accepted steps so that they fill whole chunks and pieces.

    Args:
        times: (time,) output times.
        edges: (segment - 1,) starts of the segments after the first.
        accepted: for each interval between anchors, the step edges from its start to its end.
        chunk: steps in a chunk.
        piece: steps in a piece, a multiple of ``chunk``.
        status: status code of the pilot.
        reached: time that the pilot reached.

    Returns:
        The mesh.
    """
    anchors = anchors_of(times, edges)
    needed = np.array([len(knots) - 1 for knots in accepted])
    interval = np.searchsorted(times, anchors[:-1], side="right") - 1
    wanted = np.bincount(interval, weights=needed).astype(int)
    chunks = _share_chunks(wanted, chunk, piece)
    counts = _share_steps(needed, interval, chunks * chunk)

    knots = [anchors[:1]]
    for steps, count in zip(accepted, counts, strict=True):
        shares = np.floor(np.linspace(0.0, count, len(steps)) + 1e-9)
        index = np.interp(np.arange(1, count + 1), shares, np.arange(len(steps)))
        knots.append(np.interp(index, np.arange(len(steps)), steps))
    knot = np.concatenate(knots)
    start = knot[:-1]
    segment = np.searchsorted(edges, start, side="right")
    return Mesh(
        times=times,
        edges=edges,
        start=start,
        length=np.diff(knot),
        segment=segment,
        first=np.diff(segment, prepend=-1) > 0,
        output=np.concatenate([[0], np.cumsum(chunks * chunk)]),
        chunk=chunk,
        piece=piece,
        status=status,
        reached=reached,
    )


def _share_chunks(needed: np.ndarray, chunk: int, piece: int) -> np.ndarray:
    """Chunks for each output interval; the padding goes where the steps are densest in number."""
    chunks = -(-needed // chunk)
    for _ in range(-int(chunks.sum()) % (piece // chunk)):
        chunks[np.argmax(needed / chunks)] += 1
    return chunks


def _share_steps(needed: np.ndarray, interval: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Steps for each interval between anchors, so that each output interval has its total."""
    counts = needed.copy()
    for index, target in enumerate(total):
        inside = np.flatnonzero(interval == index)
        spare = target - counts[inside].sum()
        if inside.size == 1:
            counts[inside] += spare
            continue
        for _ in range(spare):
            refinement = counts[inside] / needed[inside]
            counts[inside[np.lexsort((-needed[inside], refinement))[0]]] += 1
    return counts
