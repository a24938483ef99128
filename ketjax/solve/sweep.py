"""The sweep: any number of patients through one mesh, block by block; the difficult ones again.

Blocks have a fixed number of patients and the last is padded, so each patient meets the same
compiled program whoever else is there. Patients whose local error is above the limit, of all blocks
together, march again on halved steps.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ketjax.solve.lanes import patients, take_lanes
from ketjax.solve.march import System
from ketjax.solve.mesh import Mesh
from ketjax.solve.solution import Result

Tree = Any


def sweep(
    system: System,
    mesh: Mesh,
    y0: tuple,
    parameters: Tree,
    forcing: Tree = None,
    impulses: Tree = None,
    *,
    block: int,
    limit: float,
    accept: float | None = None,
    levels: int = 3,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """March all patients; those above the limit again and again on halved steps.

    Args:
        system: the system.
        mesh: the steps.
        y0: start, one array (patient,) or scalar a state.
        parameters: leaves scalar or (patient,).
        forcing: inputs, leaves (segment,) or (segment, patient).
        impulses: impulses, leaves (segment,) or (segment, patient).
        block: patients marched together.
        limit: local error over the tolerance above which a patient marches again.
        accept: the same for those who march again; ``limit`` if None.
        levels: most halvings.
        progress: called with the number of patients done after each block.

    Returns:
        The result on the host. A patient that still fails has a status, and NaN from its failure
        on.
    """
    accept = limit if accept is None else accept
    lanes = patients(y0, parameters)
    tree = (tuple(np.broadcast_to(np.asarray(value), (lanes,)) for value in y0), parameters)
    inputs = (forcing, impulses)
    result: Result | None = None
    todo = np.arange(lanes)
    for level in range(levels + 1):
        last = level == levels
        accepted = accept if last else np.inf
        for found, inside in _march_blocks(system, mesh, tree, inputs, todo, block, accepted):
            result = _empty(found, lanes) if result is None else result
            _store(result, found, inside)
            if progress is not None and level == 0:
                progress(inside.size)
        assert result is not None
        todo = todo[~(result.error[todo] <= (limit if level == 0 else accept))]
        if not todo.size or mesh.status:
            break
        mesh = mesh.halve()
    assert result is not None
    return result


def _march_blocks(
    system: System,
    mesh: Mesh,
    tree: tuple,
    inputs: tuple,
    todo: np.ndarray,
    block: int,
    limit: float,
) -> Iterator[tuple[Result, np.ndarray]]:
    """March the patients of ``todo`` block by block: results, and which patients they are.

    A GPU marches one block while the host takes in the one before. A CPU would march both at once,
    and neither would find its numbers in the cache.
    """
    ahead = 0 if jax.default_backend() == "cpu" else 1
    waiting: list[tuple[Callable[[], Result], np.ndarray]] = []
    for begin in range(0, todo.size, block):
        inside = todo[begin : begin + block]
        padded = np.concatenate([inside, np.full(block - inside.size, inside[0])])
        collect = system.launch(
            mesh,
            *take_lanes(tree, padded, axis=0),
            *take_lanes(inputs, padded, axis=1),
            limit=limit,
        )
        waiting.append((collect, inside))
        while len(waiting) > ahead:
            collect, inside = waiting.pop(0)
            yield collect(), inside
    for collect, inside in waiting:
        yield collect(), inside


def _empty(like: Result, lanes: int) -> Result:
    """Room for all patients."""
    readouts, error, status, y = jax.tree.map(
        lambda leaf: np.empty((*leaf.shape[:-1], lanes), leaf.dtype),
        (like.readouts, like.error, like.status, like.y),
    )
    return Result(readouts, error, status, y)


def _store(result: Result, found: Result, inside: np.ndarray) -> None:
    """Put the patients of a block, without its padding, where they belong."""
    # Neighbours are copied several times faster as a slice.
    row = inside[-1] - inside[0] + 1 == inside.size
    where = slice(inside[0], inside[-1] + 1) if row else inside
    for whole, part in zip(
        jax.tree.leaves((result.readouts, result.error, result.status, result.y)),
        jax.tree.leaves((found.readouts, found.error, found.status, found.y)),
        strict=True,
    ):
        whole[..., where] = part[..., : inside.size]
