"""A mesh whose events move: each step keeps its share of the interval between its two anchors.

Where an infusion is moved, its edges and the outputs that belong to it move along, and the steps
before and after it stretch or shrink. What a march says is then a smooth function of the times of
events; ``from_anchors`` brings the derivatives of step lengths back to them.
"""

import dataclasses

import numpy as np

from ketjax.solve.mesh import Mesh, anchors_of


def stretch(mesh: Mesh, anchors: np.ndarray) -> Mesh:
    """The same steps between anchors that lie elsewhere.

    Args:
        mesh: The steps.
        anchors: (anchor,) new times of ``anchors_of(mesh.times, mesh.edges)``, in the same order.

    Returns:
        A mesh with the same number of steps in each interval.

    Raises:
        ValueError: The anchors are out of order, or not as many.
    """
    before = anchors_of(mesh.times, mesh.edges)
    after = np.asarray(anchors, np.float64)
    if after.shape != before.shape:
        raise ValueError(f"{after.size} anchors for a mesh that has {before.size}")
    if not np.all(np.diff(after) > 0):
        where = int(np.flatnonzero(~(np.diff(after) > 0))[0])
        raise ValueError(
            f"the interval between the anchors {after[where]} and {after[where + 1]} has collapsed"
        )
    # Lengths are scaled and not differences of moved times, which would lose digits.
    interval = _interval(mesh, before)
    scale = np.diff(after) / np.diff(before)
    start = after[interval] + (mesh.start - before[interval]) * scale[interval]
    return dataclasses.replace(
        mesh,
        times=after[np.searchsorted(before, mesh.times)],
        edges=after[np.searchsorted(before, mesh.edges)],
        start=start,
        length=mesh.length * scale[interval],
    )


def from_anchors(mesh: Mesh, from_lengths: np.ndarray) -> np.ndarray:
    """Derivatives with respect to the anchors from those with respect to the lengths of steps.

    Equation:
        h = f (A[k+1] - A[k]),  dh/dA[k+1] = f,  dh/dA[k] = -f

    Args:
        mesh: The steps.
        from_lengths: (..., step) derivatives.

    Returns:
        (..., anchor), in the order of ``anchors_of(mesh.times, mesh.edges)``.
    """
    anchors = anchors_of(mesh.times, mesh.edges)
    interval = _interval(mesh, anchors)
    weighted = np.asarray(from_lengths) * mesh.length / np.diff(anchors)[interval]
    weighted = np.moveaxis(weighted, -1, 0)
    from_anchor = np.zeros((anchors.size, *weighted.shape[1:]))
    np.add.at(from_anchor, interval + 1, weighted)
    np.add.at(from_anchor, interval, -weighted)
    return np.moveaxis(from_anchor, 0, -1)


def _interval(mesh: Mesh, anchors: np.ndarray) -> np.ndarray:
    """Interval between anchors in which each step lies, shape (step,)."""
    middle = mesh.start + 0.5 * mesh.length
    return np.searchsorted(anchors, middle, side="right") - 1
