"""Patients as a function of some of their random effects, and what that changes for the march.

What moves are the independent standard normal numbers behind the chosen parameters, so that the
squared distance is the one of the prior: a parameter that correlates with a chosen one, or shares
its random effect, moves with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ketjax.individuals import Cascade
from ketjax.model.covariates import individual
from ketjax.model.parameters import Parameters, leaf, replace, rows
from ketjax.population import DEFAULT_CORRELATIONS, Population, Recipe, draw
from ketjax.population.designs import random_normals, sobol_normals
from ketjax.population.distributions import transform
from ketjax.population.population import effects, take
from ketjax.simulate import Lanes, Simulation
from ketjax.solve.adjoint import Adjoint
from ketjax.solve.structure import dependencies, trace

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """Drawn patients and the normal numbers of which they are made.

    Attributes:
        recipe: Who is drawn.
        paths: Parameters whose random effects move.
        population: As drawn.
        normals: Independent standard normal numbers by path, each (patient,).
    """

    recipe: Recipe
    paths: tuple[str, ...]
    population: Population
    normals: Mapping[str, Floats]

    @classmethod
    def of(cls, recipe: Recipe, paths: Sequence[str], patients: NDArray[np.int64]) -> Drawn:
        """Draw patients by identity, as `population.draw` does.

        Args:
            recipe: Who is drawn; without posterior draws.
            paths: Parameters whose random effects may move.
            patients: Identities, (patient,).
        """
        varying = tuple(recipe.laws())
        normals = sobol_normals if recipe.design == "sobol" else random_normals
        numbers = dict(zip(varying, normals(recipe.seed, varying, patients), strict=True))
        return cls(recipe, tuple(paths), draw(recipe, patients), numbers)

    @property
    def start(self) -> Floats:
        """Random effects as drawn, (effect, patient)."""
        return np.stack([self.normals[path] for path in self.paths])

    def moved(self, e: Floats, places: NDArray[np.int64]) -> Population:
        """Patients at some places with other random effects.

        Args:
            e: (effect, patient).
            places: Which patients, (patient,).
        """
        own = take(self.population, places)
        normals = {path: numbers[places] for path, numbers in self.normals.items()}
        values = self.moving(e, normals)
        parameters = replace(own.parameters, values)
        return dataclasses.replace(own, parameters=parameters)

    def moving(self, e: Any, normals: Mapping[str, Any]) -> dict[str, Any]:
        """Drawn parameters that depend on the effects, by path; `e` may be traced."""
        given = {**normals, **dict(zip(self.paths, e, strict=True))}
        laws = self.recipe.laws()
        # Mixing goes by order, which jax does not keep in a dictionary.
        given = {path: given[path] for path in laws}
        mixed = effects(given, {**DEFAULT_CORRELATIONS, **self.recipe.correlations})
        return {path: transform(laws[path][1], laws[path][0], mixed[path]) for path in self.depends}

    @cached_property
    def depends(self) -> tuple[str, ...]:
        """Parameters that move with the effects, found by moving them."""
        count = len(self.recipe.laws())
        rest = {path: np.full(1, 0.1 * k / count) for k, path in enumerate(self.recipe.laws())}
        other = {**rest, **{path: rest[path] + 0.5 for path in self.paths}}
        correlations = {**DEFAULT_CORRELATIONS, **self.recipe.correlations}
        before, after = effects(rest, correlations), effects(other, correlations)
        return tuple(path for path in before if before[path] != after[path])


class Slopes:
    """What random effects change about patients as the solver sees them, and gradients back.

    Attributes:
        paths: Leaves of the patients' own parameters that depend on the effects.
        states: Places of the states whose start depends on them.
    """

    def __init__(self, drawn: Drawn, arms: Sequence[Mapping[str, float]]) -> None:
        """Find what depends on the effects; nothing is compiled yet.

        Args:
            drawn: Patients, of whom the first are an example.
            arms: Parameters that each arm sets.
        """
        self.drawn, self._arms = drawn, tuple(arms)
        every = [row.path for row in rows()]
        moving: set[str] = set()
        starting: set[int] = set()
        normals = {path: numbers[:2] for path, numbers in drawn.normals.items()}
        parameters = take(drawn.population, np.arange(2) % drawn.population.patient.size).parameters
        normals = {path: np.resize(numbers, 2) for path, numbers in normals.items()}
        with jax.enable_x64(True):
            for values in self._arms:

                def everything(e: Any, values: Mapping[str, float] = values) -> tuple:
                    p = self._own(e, normals, parameters, values)
                    return tuple(leaf(p, path) for path in every), Cascade.start(p)

                e = jnp.asarray([np.resize(row[:2], 2) for row in drawn.start])
                found = [bool(r) for r in dependencies(trace(everything, e), [False])]
                moving |= {path for path, mark in zip(every, found, strict=False) if mark}
                starting |= {k for k, mark in enumerate(found[len(every) :]) if mark}
        self.paths = tuple(path for path in every if path in moving)
        self.states = tuple(sorted(starting))
        self._back, self._along = jax.jit(self._pull), jax.jit(self._push)

    def adjoint(self, simulation: Simulation, lanes: Lanes) -> Adjoint:
        """Derivatives of a march by what the effects move; compiled on the first call.

        Args:
            simulation: What is marched, under ``jax.enable_x64``.
            lanes: An example block.
        """
        tree = jax.tree.structure(lanes.parameters)
        places = jax.tree.unflatten(tree, range(tree.num_leaves))
        return Adjoint(
            simulation.system,
            [leaf(places[0], path) for path in self.paths],
            lanes.y0,
            lanes.parameters,
            lanes.forcing,
            lanes.impulses,
            start_moves=[k in self.states for k in range(simulation.system.size)],
            identity=simulation.cascade.identity,
        )

    def pull(
        self,
        e: Floats,
        places: NDArray[np.int64],
        from_leaves: NDArray,
        from_states: NDArray,
        direct: NDArray,
    ) -> Floats:
        """Derivatives of some numbers by the effects, patient by patient.

        Args:
            e: Random effects, (effect, patient).
            places: Which patients.
            from_leaves: Derivatives by the own leaves of `paths`, (number, arm, path, patient).
            from_states: By the starts of `states`, (number, arm, state, patient).
            direct: By the score at entry, (number, patient).

        Returns:
            (number, effect, patient).
        """
        with jax.enable_x64(True):
            normals = {path: numbers[places] for path, numbers in self.drawn.normals.items()}
            parameters = take(self.drawn.population, places).parameters
            wide = [np.asarray(part, np.float64) for part in (from_leaves, from_states, direct)]
            return np.asarray(self._back(jnp.asarray(e), normals, parameters, *wide))

    def push(
        self, e: Floats, places: NDArray[np.int64], directions: Floats
    ) -> tuple[Floats, Floats]:
        """What changes along some directions, patient by patient.

        Args:
            e: Random effects, (effect, patient).
            places: Which patients.
            directions: How the effects move, (number, effect, patient).

        Returns:
            Own leaves of `paths`, (number, arm, path, patient), and starts of `states`, (number,
            arm, state, patient).
        """
        with jax.enable_x64(True):
            normals = {path: numbers[places] for path, numbers in self.drawn.normals.items()}
            parameters = take(self.drawn.population, places).parameters
            given = jnp.asarray(e), jnp.asarray(directions)
            leaves, starts = self._along(*given, normals, parameters)
            return np.asarray(leaves), np.asarray(starts)

    def _own(
        self, e: Any, normals: Mapping[str, Any], parameters: Parameters, arm: Mapping[str, float]
    ) -> Parameters:
        """The patients' own parameters in one arm."""
        return individual(replace(parameters, {**self.drawn.moving(e, normals), **arm}))

    def _pull(
        self, e: jax.Array, normals: Any, parameters: Any, leaves: Any, states: Any, direct: Any
    ) -> jax.Array:
        _, pull = jax.vjp(self._everything(normals, parameters), e)
        return jax.vmap(lambda *rows: pull(rows)[0])(leaves, states, direct)

    def _push(self, e: jax.Array, directions: jax.Array, normals: Any, parameters: Any) -> tuple:
        everything = self._everything(normals, parameters)
        return jax.vmap(lambda one: jax.jvp(everything, (e,), (one,))[1])(directions)[:2]

    def _everything(self, normals: Any, parameters: Any) -> Callable[[jax.Array], tuple]:
        """Own leaves, starts and score at entry, as a function of the effects."""

        def everything(e: jax.Array) -> tuple:
            own_leaves, own_starts = [], []
            for values in self._arms:
                p = self._own(e, normals, parameters, values)
                start = Cascade.start(p)
                wide = e.shape[1:]
                own_leaves += [[jnp.broadcast_to(leaf(p, path), wide) for path in self.paths]]
                own_starts += [[jnp.broadcast_to(start[k], wide) for k in self.states]]
            moved = self.drawn.moving(e, normals)
            entry = moved.get("score.baseline", leaf(parameters, "score.baseline"))
            none = jnp.zeros((len(self._arms), 0, *e.shape[1:]))
            return (
                jnp.asarray(own_leaves) if self.paths else none,
                jnp.asarray(own_starts) if self.states else none,
                jnp.broadcast_to(entry, e.shape[1:]),
            )

        return everything
