"""The mesh: the steps that every patient takes, as plain numbers on the host.

A mesh is made of the steps that a pilot integration accepted; each output time and each edge is the
end of a step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        output: (time,) steps taken when each output time is reached.
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
    status: int
    reached: float

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.length)

    def windows(self, steps: int, outputs: int) -> Iterator[tuple[slice, list[int], list[int]]]:
        """Cut the mesh into windows, each with a bounded number of steps and of outputs.

        Args:
            steps: most steps in a window.
            outputs: most stops in a window.

        Yields:
            The steps, their numbers before each stop, and the index of the output at each stop, -1
            where a long interval only goes on in the next window.
        """
        stops = [(0, 0)]
        for index, (left, right) in enumerate(pairwise(self.output.tolist()), start=1):
            pieces = -(-(right - left) // steps)
            stops += [(steps, -1)] * (pieces - 1)
            stops.append((right - left - steps * (pieces - 1), index))
        begin, counts, indices = 0, [], []
        for count, index in stops:
            if sum(counts) + count > steps or len(counts) == outputs:
                yield slice(begin, begin + sum(counts)), counts, indices
                begin, counts, indices = begin + sum(counts), [], []
            counts.append(count)
            indices.append(index)
        yield slice(begin, begin + sum(counts)), counts, indices

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


def mesh_of(fields: Mapping[str, np.ndarray]) -> Mesh:
    """A mesh from its fields, as ``vars`` of a mesh gives them and a file of arrays keeps them."""
    numbers = {"status": int(fields["status"]), "reached": float(fields["reached"])}
    return Mesh(**{**fields, **numbers})  # pyright: ignore[reportArgumentType]


def build_mesh(
    times: np.ndarray,
    edges: np.ndarray,
    accepted: Sequence[np.ndarray],
    status: int = 0,
    reached: float = np.inf,
) -> Mesh:
    """Put accepted steps in order.

    Args:
        times: (time,) output times.
        edges: (segment - 1,) starts of the segments after the first.
        accepted: for each interval between anchors, the step edges from its start to its end.
        status: status code of the pilot.
        reached: time that the pilot reached.

    Returns:
        The mesh.
    """
    anchors = anchors_of(times, edges)
    counts = np.array([len(knots) - 1 for knots in accepted])
    knot = np.concatenate([anchors[:1], *(knots[1:] for knots in accepted)])
    start = knot[:-1]
    segment = np.searchsorted(edges, start, side="right")
    taken = np.concatenate([[0], np.cumsum(counts)])
    return Mesh(
        times=times,
        edges=edges,
        start=start,
        length=np.diff(knot),
        segment=segment,
        first=np.diff(segment, prepend=-1) > 0,
        output=taken[np.searchsorted(anchors, times)],
        status=status,
        reached=reached,
    )
