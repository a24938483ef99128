"""Patients spread over all devices of the machine.

Every operation of the march is elementwise over patients, so each device marches its own share and
they never speak to each other. On a CPU there is one device for each core, if jax was told so
before it started.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from ketjax.solve.lanes import Packed

AXIS = "patient"
SMALLEST_SHARE = 256
"""Fewer patients than this are not worth a device of their own."""


def device_count(lanes: int) -> int:
    """Devices that share a block of this many patients evenly."""
    count = jax.device_count()
    return count if lanes % count == 0 and lanes // count >= SMALLEST_SHARE else 1


def spread(
    function: Callable[..., Any], patient_axis: Sequence[int | None], results: Sequence[int]
) -> Callable[..., Any]:
    """The same function with the patients of its arguments split among the devices.

    Args:
        function: function whose first argument is an array with the patients last.
        patient_axis: for each argument the axis of patients of those leaves that have it (it is
            their last one), None where no leaf has. ``Packed`` arguments know for themselves.
        results: for each result the axis of patients of its leaves.

    Returns:
        The function; it runs on one device where the patients cannot be split evenly.
    """

    def spread_function(*arguments: Any) -> Any:
        count = device_count(arguments[0].shape[-1])
        if count == 1:
            return function(*arguments)
        return jax.shard_map(
            function,
            mesh=_mesh(count),
            in_specs=tuple(map(_specs, arguments, patient_axis)),
            out_specs=tuple(Spec(*(None,) * axis, AXIS) for axis in results),
            check_vma=False,
        )(*arguments)

    return spread_function


def place(tree: Any, axis: int | None, lanes: int) -> Any:
    """The leaves of a tree on the devices where ``spread`` wants them."""
    count = device_count(lanes)
    if count == 1:
        return jax.device_put(tree)
    mesh = _mesh(count)
    sharding = jax.tree.map(
        lambda spec: NamedSharding(mesh, spec),
        _specs(tree, axis),
        is_leaf=lambda node: isinstance(node, Spec),
    )
    return jax.device_put(tree, sharding)


def block_of(
    device: Any, alive: int = 1500, itemsize: int = 4, share: float = 0.5, most: int = 2**18
) -> int:
    """Patients in a block that fits a device's memory.

    Args:
        device: a jax device.
        alive: arrays (patient,) that live at once; a step compiled by XLA keeps about 1500.
        itemsize: size of a number [B].
        share: share of the memory to use [1].
        most: largest block; what fills the device is enough, and the pilot fills a block too.

    Returns:
        A power of two between 1024 and ``most``; 1024 where the memory is not known.
    """
    memory = (device.memory_stats() or {}).get("bytes_limit", 0)
    room = int(share * memory / (alive * itemsize))
    return min(most, max(1024, 1 << (room.bit_length() - 1))) if room else 1024


def _mesh(count: int) -> Mesh:
    """The first devices in a row."""
    return Mesh(np.array(jax.devices()[:count]), (AXIS,))


def _specs(tree: Any, axis: int | None) -> Any:
    """Where the patients of each leaf are, if it has any."""
    if isinstance(tree, Packed):
        others = tuple(_spec(leaf, 0) for leaf in tree.others)
        return Packed(Spec(None, AXIS), Spec(), others, tree.tree, tree.kinds)
    return jax.tree.map(lambda leaf: _spec(leaf, axis), tree)


def _spec(leaf: Any, axis: int | None) -> Spec:
    """Where the patients of one leaf are."""
    if axis is None or np.ndim(leaf) != axis + 1:
        return Spec()
    return Spec(*(None,) * axis, AXIS)
