"""From the random effects of patients to their parameters: each patient's own and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ketjax.fit.individual_data import values_by_path
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.model.parameters import Parameters, leaf, replace
from ketjax.population import SHARED_EFFECTS
from ketjax.population.distributions import transform
from ketjax.population.population import effects

Array = NDArray[np.float64]


class RandomEffects:
    """Patients as a function of independent standard normal numbers, one for each free path.

    Equation:
        x_p = T_p(L_p eta), eta ~ Normal(0, 1);  T_p: from a normal number to the law of p,
        L: lower triangular, L L^T the correlations

    Attributes:
        paths: What is free.
        moved: What moves: the free paths and those that share an effect with one of them.
        mixing: L by path moved, shape (free,).
        base: The median patient, with what the population and the plan say; scalars.
        known: What is known of patients by path, shape (patient,).
    """

    def __init__(self, plan: IndividualPlan) -> None:
        """Of the population of a plan."""
        recipe = plan.recipe
        self._laws = recipe.laws()
        self.paths = plan.free
        shared = [p for p, source in SHARED_EFFECTS.items() if source in plan.free]
        self.moved = (*plan.free, *(path for path in shared if path in self._laws))
        unit = dict(zip(plan.free, np.eye(len(plan.free)), strict=True))
        none = np.zeros(len(plan.free))
        own = {path: unit.get(path, none) for path in self._laws if path in self.moved}
        self.mixing = effects(own, plan.correlations)
        medians = {
            path: float(transform(law, value, np.zeros(1))[0])
            for path, (value, law) in self._laws.items()
            if law.kind != "categorical"
        }
        self.base: Parameters = replace(recipe.typical_patient(), medians)
        covariates = {one.path for one in plan.known}
        unknown = {path: float(leaf(self.base, path)) for path in covariates}
        self.known = values_by_path(plan.known, tuple(plan.observations), unknown)

    def effect(self, path: str, eta: Array) -> Array:
        """Standard normal number of one path, shape (patient,).

        Args:
            path: One of `moved`.
            eta: Shape (free, patient).
        """
        return self.mixing[path] @ eta

    def values(self, eta: jax.Array) -> dict[str, jax.Array]:
        """What moves, in units.

        Args:
            eta: Shape (free, patient).

        Returns:
            By path, shape (patient,).
        """
        found = {}
        for path in self.moved:
            value, law = self._laws[path]
            total = jnp.zeros_like(eta[0])
            for k, weight in enumerate(self.mixing[path]):
                if weight:
                    total = total + weight * eta[k]
            found[path] = transform(law, value, total)
        return found

    def value(self, path: str, z: Array) -> Array:
        """One parameter in its unit at standard normal numbers of its effect, of any shape."""
        value, law = self._laws[path]
        with jax.enable_x64(True):
            return np.asarray(transform(law, value, jnp.asarray(z, jnp.float64)))

    def parameters(
        self, eta: jax.Array, known: Mapping[str, jax.Array], settings: Mapping[str, float]
    ) -> Parameters:
        """The patients.

        Args:
            eta: Shape (free, patient).
            known: What is known of them by path, shape (patient,).
            settings: What their arm gives to everybody.

        Returns:
            Parameters as drawn; leaves that move or are known have shape (patient,).
        """
        return replace(self.base, {**known, **self.values(eta), **settings})
