"""The patient axis: counting, broadcasting and choosing patients of a tree of arrays."""

from dataclasses import dataclass
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
    """Those with the extremes of each leaf and evenly spread ones; all if they are few."""
    if lanes > pilot:
        columns = [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if np.ndim(leaf) == 1]
        extremes = np.array(
            [pick(column) for column in columns for pick in (np.argmin, np.argmax)], int
        )
        spread = np.linspace(0, lanes - 1, max(1, pilot - np.unique(extremes).size)).astype(int)
        return np.union1d(spread, extremes)
    return np.arange(lanes)


def pad_lanes(lanes: np.ndarray, block: int) -> np.ndarray:
    """Lanes repeated up to a whole number of blocks."""
    return np.resize(lanes, -(-lanes.size // block) * block)


def take_lanes(tree: Tree, lanes: np.ndarray, axis: int) -> Tree:
    """The given patients of each leaf that has a patient axis."""

    def take(leaf: Any) -> Any:
        return np.take(np.asarray(leaf), lanes, axis=axis) if np.ndim(leaf) > axis else leaf

    return jax.tree.map(take, tree)


def cast_floats(tree: Tree, dtype: Any) -> Tree:
    """Floating leaves in another precision."""

    def cast(leaf: Any) -> Any:
        array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(cast, tree)


@dataclass(frozen=True)
class Packed:
    """A tree with its floating leaves in two arrays, which costs a call far less than many leaves.

    Attributes:
        vectors: (leaf, patient) leaves with one entry a patient.
        scalars: (leaf,) leaves that all patients share.
        others: leaves of other dtypes, as they are.
        tree: structure of the whole.
        kinds: for each leaf "vector", "scalar" or "other", in order.
    """

    vectors: Any
    scalars: Any
    others: tuple
    tree: Any
    kinds: tuple[str, ...]

    def unpack(self) -> Tree:
        """The tree."""
        stores = {"vector": iter(self.vectors), "scalar": iter(self.scalars)}
        stores["other"] = iter(self.others)
        return jax.tree.unflatten(self.tree, [next(stores[kind]) for kind in self.kinds])


jax.tree_util.register_dataclass(Packed, ["vectors", "scalars", "others"], ["tree", "kinds"])


def pack(tree: Tree, dtype: Any, lanes: int) -> Packed:
    """Pack a tree of scalars and arrays (patient,).

    Args:
        tree: any tree.
        dtype: floating dtype of the packed leaves.
        lanes: number of patients, for the shape of an empty store.

    Returns:
        The packed tree, on the host.
    """
    leaves, structure = jax.tree.flatten(tree)
    leaves = [leaf if hasattr(leaf, "dtype") else np.asarray(leaf) for leaf in leaves]
    kinds = tuple(
        "other"
        if not jnp.issubdtype(leaf.dtype, jnp.floating)
        else ("vector" if leaf.ndim == 1 else "scalar")
        for leaf in leaves
    )
    stores: dict[str, list] = {"vector": [], "scalar": [], "other": []}
    for leaf, kind in zip(leaves, kinds, strict=True):
        stores[kind].append(leaf)
    vectors = np.zeros((len(stores["vector"]), lanes), dtype)
    for row, leaf in enumerate(stores["vector"]):
        vectors[row] = leaf
    scalars = np.array([np.asarray(leaf) for leaf in stores["scalar"]], dtype)
    return Packed(vectors, scalars, tuple(stores["other"]), structure, kinds)
