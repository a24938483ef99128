"""Sketches of the patients of a store: what a task of an aggregation does."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ketjax.analysis.bins import Ruler
from ketjax.analysis.sketches import Sketch
from ketjax.dataset.schema import OK


def sketch_block(
    values: NDArray[np.floating],
    status: NDArray[np.int8],
    code: NDArray[np.int8],
    weight: NDArray[np.float64] | None,
    strata: int,
    ruler: Ruler,
) -> list[Sketch]:
    """Sketches of some patients in one arm, one a stratum.

    Args:
        values: Shape (..., patient).
        status: Shape (patient,); only those that are ok count.
        code: Stratum of each patient.
        weight: Of each patient in units of the mean, or None.
        strata: Number of strata.
        ruler: Bins and unit.
    """
    rows = np.asarray(values).reshape(-1, status.size)
    ok = status == OK
    found = []
    for stratum in range(strata):
        chosen = ok & (code == stratum)
        here = slice(None) if chosen.all() else np.flatnonzero(chosen)
        own = None if weight is None else weight[here]
        found.append(Sketch.of(rows[:, here], ruler, own))
    return found


class Unread:
    """An array that a task reads block by block; no dataclass, for Dask would look into it."""

    def __init__(self, array: Any) -> None:
        """Of a dask array with the patients last."""
        self._array = array

    def blocks(self) -> list[Any]:
        """What computes the patients of each shard."""
        return self._array.to_delayed().ravel().tolist()


def sketch_shards(
    unread: Unread,
    blocks: NDArray[np.int64],
    status: NDArray[np.int8],
    code: NDArray[np.int8],
    weight: NDArray[np.float64] | None,
    strata: int,
    ruler: Ruler,
) -> list[Sketch]:
    """Sketches of the patients of some shards, read one after the other.

    Args:
        unread: Where they are.
        blocks: Numbers of the shards.
        status: Of the patients of all of them, as are `code` and `weight` in `sketch_block`.
        code: Stratum of each patient.
        weight: Of each patient in units of the mean, or None.
        strata: Number of strata.
        ruler: Bins and unit.
    """
    whole: list[Sketch] = []
    start, pieces = 0, unread.blocks()
    # BLAS waits for its threads in a busy loop, which costs the others more than it gains.
    with threadpool_limits(1, "blas"):
        for k in blocks.tolist():
            values = pieces[k].compute(scheduler="synchronous")
            here = slice(start, start + values.shape[-1])
            start = here.stop
            own = None if weight is None else weight[here]
            part = sketch_block(values, status[here], code[here], own, strata, ruler)
            whole = merged([whole, part]) if whole else part
    return whole


def merged(parts: list[list[Sketch]]) -> list[Sketch]:
    """Sketches of the same strata of several blocks as one; the first takes in the others."""
    whole, *others = parts
    for other in others:
        for mine, theirs in zip(whole, other, strict=True):
            mine.merge(theirs)
    return whole
