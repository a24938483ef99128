"""The patients of a fit: from free numbers to drawn parameters, differentiable.

The random numbers of the patients are fixed; what moves is how they become parameters. So the same
people answer at every step of a fit, and a gradient says what a typical value, a spread or a
correlation does to each of them. `population.draw` says who they are: `PopulationMap.recipe_at`
is the recipe of which it draws the same patients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ketjax.fit.free import Free
from ketjax.model.laws import Law
from ketjax.model.parameters import Parameters, replace
from ketjax.population import DEFAULT_CORRELATIONS, SHARED_EFFECTS, Recipe, draw
from ketjax.population.designs import random_normals, sobol_normals
from ketjax.population.distributions import transform
from ketjax.population.population import effects, moved

Number = Any  # float or array: a number that may be traced


@dataclasses.dataclass(frozen=True, eq=False)
class PopulationMap:
    """From free numbers to patients whose random numbers are fixed.

    Attributes:
        recipe: Who is drawn where nothing has moved.
        free: What may move.
        patient: Identities, shape (patient,).
        normals: Independent standard normal numbers by path, each of shape (patient,).
        laws: Typical value and law of every parameter that varies, at the start.
        drawn: Parameters at the start, as `population.draw` draws them.
    """

    recipe: Recipe
    free: tuple[Free, ...]
    patient: np.ndarray
    normals: Mapping[str, np.ndarray]
    laws: Mapping[str, tuple[float, Law]]
    drawn: Parameters

    @classmethod
    def of(cls, recipe: Recipe, free: Sequence[Free], patients: ArrayLike) -> PopulationMap:
        """The map of some patients.

        Args:
            recipe: Who is drawn.
            free: What may move, of which the starts are taken.
            patients: Identities, shape (patient,).

        Returns:
            The map, its random numbers drawn.

        Raises:
            ValueError: Something is free that does not vary in this population.
        """
        identity = np.atleast_1d(np.asarray(patients, dtype=np.int64))
        at_start = _recipe_with(recipe, free, [one.start for one in free])
        laws = at_start.laws()
        varying = laws_at_start(recipe, free)
        for one in free:
            missing = [path for path in one.paths if path not in varying]
            if one.kind != "typical value" and missing:
                raise ValueError(f"{one.name} is free, but {missing[0]} does not vary")
        paths = tuple(laws)
        normals = sobol_normals if recipe.design == "sobol" else random_normals
        z = normals(recipe.seed, paths, identity) if paths else ()
        numbers = dict(zip(paths, z, strict=True))
        population = draw(at_start, identity)
        return cls(recipe, tuple(free), identity, numbers, laws, population.parameters)

    def start(self) -> np.ndarray:
        """Where nothing has moved: numbers without bounds, shape (free,), float64."""
        with jax.enable_x64(True):
            return np.array([one.transform.inverse(np.float64(one.start)) for one in self.free])

    def values(self, theta: jax.Array) -> dict[str, jax.Array]:
        """Free numbers in their own units, by name.

        Args:
            theta: Numbers without bounds, shape (free,).

        Returns:
            Scalars.
        """
        return {one.name: one.transform.forward(theta[k]) for k, one in enumerate(self.free)}

    def parameters(self, theta: jax.Array) -> Parameters:
        """The patients; what does not move is as `population.draw` draws it.

        Args:
            theta: Numbers without bounds, shape (free,).

        Returns:
            Parameters; leaves that vary have shape (patient,).
        """
        return replace(self.drawn, self.moving(self.values(theta)))

    def moving(self, values: Mapping[str, Number]) -> dict[str, Number]:
        """Parameters that move, by path.

        Args:
            values: Free numbers in their own units by name: scalars, or arrays (patient,) where
                each patient has their own.

        Returns:
            Scalars and arrays (patient,).
        """
        of_kind = {
            kind: {one.paths: values[one.name] for one in self.free if one.kind == kind}
            for kind in ("typical value", "spread", "correlation")
        }
        typical = {path: number for (path,), number in of_kind["typical value"].items()}
        spread = {path: number for (path,), number in of_kind["spread"].items()}
        mixed = self._mixed(of_kind["correlation"]) if of_kind["correlation"] else {}
        moved: dict[str, jax.Array] = {}
        for path, value in typical.items():
            if path not in self.laws:  # everybody's
                moved[path] = value
        z = self._fixed_normals()
        for path, (value, law) in self.laws.items():
            if path not in typical and path not in spread and path not in mixed:
                continue
            if path in spread:
                law = dataclasses.replace(law, spread=spread[path])
            numbers = mixed.get(path, z[path])
            dtype = jnp.result_type(*values.values())
            moved[path] = transform(law, typical.get(path, value), jnp.asarray(numbers, dtype))
        return moved

    def recipe_at(self, theta: ArrayLike) -> Recipe:
        """The recipe of which `population.draw` draws the same patients.

        Args:
            theta: Numbers without bounds, shape (free,).

        Returns:
            Typical values, laws and correlations as they have moved.
        """
        with jax.enable_x64(True):
            values = self.values(jnp.asarray(theta, jnp.float64))
        return _recipe_with(self.recipe, self.free, [float(number) for number in values.values()])

    def _fixed_normals(self) -> Mapping[str, np.ndarray]:
        """Random effects of all parameters at the correlations of the recipe."""
        return effects(self.normals, {**DEFAULT_CORRELATIONS, **self.recipe.correlations})

    def _mixed(self, free: Mapping[tuple[str, ...], jax.Array]) -> dict[str, jax.Array]:
        """Random effects of the parameters that free correlations reach, directly or by others."""
        pairs: dict[tuple[str, ...], Number] = {
            tuple(pair.split(" ~ ")): number
            for pair, number in {**DEFAULT_CORRELATIONS, **self.recipe.correlations}.items()
        }
        pairs = {tuple(sorted(pair)): number for pair, number in pairs.items()}
        pairs |= {tuple(sorted(pair)): number for pair, number in free.items()}
        pairs = {pair: number for pair, number in pairs.items() if set(pair) <= set(self.laws)}
        reached = {path for pair in free for path in pair}
        while more := {path for pair in pairs if reached & set(pair) for path in pair} - reached:
            reached |= more
        pairs = {pair: number for pair, number in pairs.items() if reached & set(pair)}
        names = [path for path in self.laws if path in reached]
        dtype = jnp.result_type(*free.values())
        shape = np.broadcast_shapes(*(np.shape(number) for number in free.values()))
        matrix = jnp.broadcast_to(jnp.eye(len(names), dtype=dtype), (*shape, *2 * (len(names),)))
        for pair, number in pairs.items():
            i, j = (names.index(path) for path in pair)
            matrix = matrix.at[..., i, j].set(number).at[..., j, i].set(number)
        factor = jnp.linalg.cholesky(matrix)
        numbers = [jnp.asarray(self.normals[name], dtype) for name in names]
        mixed: dict[str, jax.Array] = {}
        for i, name in enumerate(names):
            total = factor[..., i, 0] * numbers[0]
            for j in range(1, i + 1):
                total = total + factor[..., i, j] * numbers[j]
            mixed[name] = total
        for path, source in SHARED_EFFECTS.items():
            if path in self.laws and source in mixed:
                mixed[path] = mixed[source]
        return mixed


def laws_at_start(recipe: Recipe, free: Sequence[Free]) -> dict[str, tuple[float, Law]]:
    """Typical values at their start and laws of what varies about them, spreads as they were.

    Args:
        recipe: Who is drawn.
        free: What may move; only typical values matter here.
    """
    typical = [one for one in free if one.kind == "typical value"]
    return _recipe_with(recipe, typical, [one.start for one in typical]).laws()


def _recipe_with(recipe: Recipe, free: Sequence[Free], numbers: Sequence[float]) -> Recipe:
    """The recipe with the free numbers at some values."""
    given = list(zip(free, numbers, strict=True))
    return moved(
        recipe,
        {one.paths[0]: number for one, number in given if one.kind == "typical value"},
        {one.paths[0]: number for one, number in given if one.kind == "spread"},
        {one.name: number for one, number in given if one.kind == "correlation"},
    )
