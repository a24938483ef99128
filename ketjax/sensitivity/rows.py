"""From rows of a design to patients and their outputs, marched together.

A row is the typical patient with other numbers, or a population: then the same people, with the
same random numbers, answer in every row, and what the row shows is their mean, spread and share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ketjax import dataset as store
from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.fit.drawing import PopulationMap
from ketjax.fit.free import Free
from ketjax.model.laws import FIXED
from ketjax.model.parameters import Parameters, leaf, replace
from ketjax.model.readouts import REGIONS
from ketjax.observation import READABLE
from ketjax.population import DEFAULT_CORRELATIONS, Population, Recipe
from ketjax.population.distributions import transform
from ketjax.preparation import values_of
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.ranges import Factor
from ketjax.simulate import Simulation, Solution, Treatment

Floats = NDArray[np.float64]

LANES = 2**15  # patients in arms that are marched before their outputs are written
BYTES = 256 * 2**20  # of their readouts
STATISTICS = {"mean": "mean of", "sd": "standard deviation of"}
SHARES = {
    "response": "patients whose score has fallen by at least half",
    "remission": f"patients with a score of at most {REMISSION_SCORE:g} points",
}


def shares_of(study: SensitivityStudy) -> tuple[str, ...]:
    """Shares of patients among the outputs: of populations whose score is among the readouts."""
    scored = study.is_population and study.output.outcome_score in study.outputs
    return tuple(SHARES) if scored else ()


def values(factors: Sequence[Factor], cube: Floats) -> Floats:
    """Numbers of rows in the units of the factors.

    Args:
        factors: What is varied.
        cube: (row, factor), between 0 and 1.

    Returns:
        (row, factor) [unit of each].
    """
    z = ndtri(cube)
    drawn = [transform(one.law, one.value, z[:, k]) for k, one in enumerate(factors)]
    return np.stack(drawn, axis=1)


def middle(factors: Sequence[Factor]) -> Floats:
    """Where the value of each factor lies in its law, (factor,) between 0 and 1.

    A value that the law does not reach counts as the nearest that it does.
    """
    low, high = np.zeros(len(factors)), np.ones(len(factors))
    aim = np.array([one.value for one in factors])
    for _ in range(60):  # laws are increasing: halve
        half = (low + high) / 2
        below = values(factors, half[None])[0] < aim
        low, high = np.where(below, half, low), np.where(below, high, half)
    return (low + high) / 2


class Rows:
    """What marches the rows of a study.

    Attributes:
        study: What is asked.
        factors: What is varied.
        simulation: Arms and times, with the mesh and the compiled program.
        patients: Of each row.
    """

    def __init__(self, study: SensitivityStudy, factors: tuple[Factor, ...] | None = None) -> None:
        """Prepare the march: structure and mesh.

        Args:
            study: What is asked.
            factors: What is varied; all that the study asks for if None.
        """
        self.study = study
        self.factors = study.factors if factors is None else factors
        self.patients = study.sensitivity.patients if study.is_population else 1
        arms = {name: study.arms[name] for name in study.chosen_arms}
        self.simulation = Simulation(
            self.recipe,
            {n: Treatment(arm.regimen, arm.expectancy, values_of(arm)) for n, arm in arms.items()},
            study.times,
            names=study.outputs,
            rtol=study.solver.rtol,
            dtype=study.solver.dtype,
        )

    @cached_property
    def recipe(self) -> Recipe:
        """Who is drawn for the pilot: each factor by its law, so that the mesh serves all rows."""
        base = self.study.recipe
        own = {one.paths[0]: one.law for one in self.factors if one.kind == "typical value"}
        if self.study.is_population:
            varying = base.laws()
            own = {path: law for path, law in own.items() if path not in varying}
            return dataclasses.replace(base, own_laws={**base.own_laws, **own})
        every = dataclasses.replace(base, typical=False, entry={}).laws()
        return dataclasses.replace(
            base,
            typical=False,
            entry={},
            own_laws={**dict.fromkeys(every, FIXED), **own},
            correlations=dict.fromkeys([*DEFAULT_CORRELATIONS, *base.correlations], 0.0),
        )

    @cached_property
    def typical(self) -> Parameters:
        """The patient of whom nothing is varied."""
        return self.study.recipe.typical_patient()

    def march(self, cube: Floats, first: int = 0) -> dict[str, NDArray]:
        """Outputs of some rows.

        Args:
            cube: Rows, (row, factor) between 0 and 1.
            first: Number of the first of them.

        Returns:
            By name: outputs (arm, [region,] time, row), `status` and `solver_error` (arm, row).
        """
        numbers = values(self.factors, cube)
        if not self.study.is_population:
            rows = np.arange(first, first + len(cube))
            solution = self.simulation.solve(self.population(numbers, rows))
            outputs = {name: solution.readouts[name] for name in self.study.outputs}
            return {**outputs, "status": solution.status, "solver_error": solution.error}
        population = self._populations(numbers)
        return self._statistics(self.simulation.solve(population), population, len(cube))

    def population(self, numbers: Floats, rows: NDArray[np.int64]) -> Population:
        """The patients of some rows, each the typical one with other numbers.

        Args:
            numbers: (row, factor) [unit of each].
            rows: Their numbers.
        """
        paths = tuple(one.paths[0] for one in self.factors)
        drawn = dict(zip(paths, numbers.T, strict=True))
        return Population(rows, replace(self.typical, drawn), paths)

    def people(self, patients: NDArray[np.int64]) -> PopulationMap:
        """From the numbers of rows to some of the people in them.

        Args:
            patients: Identities.
        """
        free = [
            Free(
                f.name, f.kind, f.paths, f.unit, f.value, -np.inf, np.inf, "identity", 1.0
            )
            for f in self.factors
        ]  # fmt: skip
        return PopulationMap.of(self.study.recipe, free, patients)

    @cached_property
    def _map(self) -> Any:
        """Everybody of a row, and the program that moves them."""
        people = self.people(np.arange(self.patients))
        moved = jax.jit(jax.vmap(lambda theta: jax.tree.leaves(people.parameters(theta))))
        return people, moved

    def _populations(self, numbers: Floats) -> Population:
        """The people of all rows, one row after the other."""
        people, moved = self._map
        rows = len(numbers)
        with jax.enable_x64(True):
            leaves = [np.asarray(part) for part in moved(jnp.asarray(numbers))]
        plain, tree = jax.tree.flatten(people.drawn)
        joined = []
        for part, old in zip(leaves, plain, strict=True):
            if part.ndim == 1 and np.ndim(old) == 0 and np.all(part == old):
                joined.append(old)  # everybody's: it stays a number
            else:
                wide = part[:, None] if part.ndim == 1 else part
                joined.append(np.broadcast_to(wide, (rows, self.patients)).reshape(-1))
        parameters = jax.tree.unflatten(tree, joined)
        return Population(np.tile(people.patient, rows), parameters, ())

    def _statistics(
        self, solution: Solution, population: Population, rows: int
    ) -> dict[str, NDArray]:
        """What the populations of rows show."""

        def apart(lanes: NDArray) -> NDArray:
            return lanes.reshape(*lanes.shape[:-1], rows, self.patients)

        found: dict[str, NDArray] = {}
        for name in self.study.outputs:
            course = apart(solution.readouts[name].astype(np.float64))
            found[f"{name}_mean"] = course.mean(axis=-1)
            found[f"{name}_sd"] = course.std(axis=-1, ddof=1)
        if shares_of(self.study):
            score = solution.readouts[self.study.output.outcome_score].astype(np.float64)
            entry = np.broadcast_to(
                leaf(population.parameters, "score.baseline"), population.patient.shape
            )
            responds, remits = score <= (1 - RESPONSE_FRACTION) * entry, score <= REMISSION_SCORE
            found["response"] = apart(responds).mean(axis=-1)
            found["remission"] = apart(remits).mean(axis=-1)
        # A population without one of its patients is another population: the row has failed.
        found["status"] = apart(solution.status).max(axis=-1)
        found["solver_error"] = apart(solution.error).max(axis=-1)
        return found

    def variables(self) -> list[store.Variable]:
        """What is kept of a row."""
        dtype = self.study.solver.dtype
        found = []
        for name in self.study.outputs:
            row = READABLE[name]
            if not self.study.is_population:
                one = store.readout(name, row.unit, row.meaning, regional=row.regional, dtype=dtype)
                found.append(_with_scale(one, row.scale))
                continue
            for key, text in STATISTICS.items():
                meaning = f"{text} {row.meaning}"
                one = store.readout(
                    f"{name}_{key}", row.unit, meaning, regional=row.regional, dtype="float64"
                )
                found.append(_with_scale(one, row.scale))
        for name in shares_of(self.study):
            found.append(_with_scale(store.readout(name, "1", SHARES[name], dtype="float64"), 1.0))
        return [*found, store.STATUS, store.SOLVER_ERROR]

    @property
    def at_once(self) -> int:
        """Rows that are marched before they are written."""
        columns = sum(len(REGIONS) if READABLE[n].regional else 1 for n in self.study.outputs)
        lanes = self.patients * len(self.study.chosen_arms)
        size = columns * len(self.study.times) * np.dtype(self.study.solver.dtype).itemsize
        return max(1, min(LANES // lanes, BYTES // (lanes * size)))


def _with_scale(variable: store.Variable, scale: float) -> store.Variable:
    """A variable that says how large its numbers are where the readout is at work."""
    return dataclasses.replace(variable, attributes=(*variable.attributes, ("scale", scale)))
