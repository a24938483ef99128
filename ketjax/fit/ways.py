"""Arms of a fit as the solver wants them: schedules of one shape, and patients for pilots."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ketjax.arms import Arm
from ketjax.fit.drawing import PopulationMap
from ketjax.fit.plan import Fit
from ketjax.fit.starts import draw_starts
from ketjax.individuals import lengthen, timeline
from ketjax.model.parameters import Parameters, replace
from ketjax.population import Recipe
from ketjax.population.population import PILOT_SEED
from ketjax.preparation import values_of
from ketjax.schedule import forcing_of, impulses_of
from ketjax.simulate import joined

PILOT_POINTS = 8  # points of the prior from which the patients of a pilot are, the start among them


@dataclasses.dataclass(frozen=True, eq=False)
class Way:
    """One arm: what acts on its patients, and when they are seen.

    Attributes:
        times: When patients are seen [h].
        values: Parameters that the arm sets.
        design: Trial design.
        forcing: Inputs, leaves (segment,).
        impulses: Impulses, leaves (segment,); None if no arm has any.
        grid: Output times of the march [h].
        edges: Event edges [h].
    """

    times: np.ndarray
    values: tuple[tuple[str, float], ...]
    design: str
    forcing: Any
    impulses: Any
    grid: np.ndarray
    edges: np.ndarray


def ways_of(
    recipe: Recipe, arms: Mapping[str, Arm], times: Mapping[str, ArrayLike], dtype: np.dtype
) -> dict[str, Way]:
    """Schedules of arms, filled up to the same number of segments.

    Args:
        recipe: Who the patients are: doses and sessions are those of the typical one.
        arms: The arms.
        times: When the patients of each arm are seen [h].
        dtype: Of the march.

    Returns:
        By arm.
    """
    typical = recipe.typical_patient()
    ways = {}
    for name, arm in arms.items():
        values = values_of(arm)
        settings = replace(typical, values)
        seen = np.asarray(times[name], np.float64)
        grid, edges = timeline(seen, [(arm.regimen, settings)])
        bounds = np.concatenate([[0.0], edges, grid[-1:]])
        ways[name] = Way(
            seen,
            tuple(values.items()),
            arm.expectancy,
            forcing_of(arm.regimen, settings, bounds),
            impulses_of(arm.regimen, settings, bounds),
            grid,
            edges,
        )
    most = max(way.edges.size for way in ways.values()) + 1
    some = any(np.any(leaf) for way in ways.values() for leaf in jax.tree.leaves(way.impulses))
    return {
        name: dataclasses.replace(
            way,
            forcing=_cast(lengthen(way.forcing, most), dtype),
            impulses=_cast(lengthen(way.impulses, most), dtype) if some else None,
        )
        for name, way in ways.items()
    }


def across_the_prior(fit: Fit, patients: int) -> Parameters:
    """Patients drawn with the seed of pilots, some from each of several points of the prior."""
    recipe = dataclasses.replace(fit.recipe, seed=PILOT_SEED, design="random")
    points = draw_starts(fit.unknowns, PILOT_POINTS, PILOT_SEED)
    share = patients // PILOT_POINTS
    parts = []
    for k, point in enumerate(points):
        some = PopulationMap.of(recipe, fit.unknowns, range(k * share, (k + 1) * share))
        parts.append(some.parameters(jnp.asarray(point)))
    return jax.tree.map(lambda *leaves: joined(leaves, share), *parts)


def in_shape(p: Parameters, shapes: Sequence[bool], count: int) -> Parameters:
    """The same parameters with an entry a patient where there shall be one."""
    leaves, tree = jax.tree.flatten(p)
    return tree.unflatten(
        np.broadcast_to(np.asarray(value), (count,)) if wide else np.asarray(value)
        for value, wide in zip(leaves, shapes, strict=True)
    )


def _cast(inputs: Any, dtype: np.dtype) -> Any:
    return jax.tree.map(lambda values: values.astype(dtype), inputs)


def in_a_row(inputs: Sequence[Any]) -> Any:
    """Inputs of all arms one after the other, for the structure alone."""
    return jax.tree.map(lambda *values: np.concatenate(values), *inputs)
