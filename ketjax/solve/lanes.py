"""The patient axis: counting, broadcasting and choosing patients of a tree of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Tree = Any


def widest_float() -> np.dtype:
    """Floating dtype of the highest precision that is switched on."""
    return jnp.zeros(0, float).dtype


def patients(y0: tuple, parameters: Tree) -> int:
    """Number of patients: the length of the one-dimensional leaves, 1 if all are scalar."""
    lengths = {
        np.shape(leaf)[0] for leaf in jax.tree.leaves((y0, parameters)) if np.ndim(leaf) == 1
    }
    if len(lengths) > 1:
        raise ValueError(
            f"y0 and parameters hold arrays of lengths {sorted(lengths)};"
            " every leaf must be a scalar or have one entry per patient"
        )
    return lengths.pop() if lengths else 1


def broadcast(y0: tuple, lanes: int) -> tuple:
    """States as arrays (patient,)."""
    return tuple(jnp.broadcast_to(value, (lanes,)) for value in y0)


def sample_lanes(lanes: int, pilot: int, tree: Tree) -> np.ndarray:
    """Evenly spread patients and those with the extremes of each leaf, padded to whole 64s."""
    spread = np.linspace(0, lanes - 1, min(pilot, lanes)).astype(int)
    columns = [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if np.ndim(leaf) == 1]
    extremes = [pick(column) for column in columns for pick in (np.argmin, np.argmax)]
    chosen = np.union1d(spread, np.asarray(extremes, int))
    return np.concatenate([chosen, np.full(-chosen.size % 64, chosen[0])])


def take_lanes(tree: Tree, lanes: np.ndarray, axis: int) -> Tree:
    """The given patients of each leaf that has a patient axis."""

    def take(leaf: Any) -> Any:
        return jnp.take(jnp.asarray(leaf), lanes, axis=axis) if np.ndim(leaf) > axis else leaf

    return jax.tree.map(take, tree)


def cast_floats(tree: Tree, dtype: Any) -> Tree:
    """Floating leaves in another precision."""

    def cast(leaf: Any) -> Any:
        array = jnp.asarray(leaf)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(cast, tree)
