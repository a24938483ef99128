"""Population x regimen -> Solution: the one place where science meets numerics.

    simulation = Simulation(recipe, treatments, times)
    solution = simulation.solve(draw(recipe, range(1024)))

All arms of a simulation share one set of event edges, one mesh and one compiled program, so that
two arms that are given the same are equal to the last bit. The mesh comes from a pilot population
drawn from the same recipe with a seed of its own: it does not depend on which patients follow.
Blocks have a fixed size and the last is padded, so a patient's numbers depend on nobody else.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from numpy.typing import NDArray

from ketjax.model import cascade, readouts
from ketjax.model.covariates import individual
from ketjax.model.parameters import Parameters, Score, TrialDesign, leaf, replace, rows
from ketjax.model.states import rows as state_rows
from ketjax.population.designs import random_normals
from ketjax.population.population import PILOT_SEED, Population, Recipe, draw, take
from ketjax.regimen import RESOLUTION, Regimen, merge_times
from ketjax.schedule import Amounts, doses, edges_of, forcing_of, impulses_of, inputs_of
from ketjax.solve import RODAS4, RODAS5P, System

BLOCK = 1024  # patients marched together; part of what a patient's bits depend on
PILOT = 128  # patients of the pilot in each arm
SERVE = 0.98  # share of pilot patients that each step of the mesh serves
LIMIT = 10.0  # local error over tolerance above which a patient marches again on finer steps
RATED = "madrs_rated"
READOUT_NAMES = (*readouts.READOUTS, RATED)


@dataclasses.dataclass(frozen=True)
class Treatment:
    """What one arm gets: a regimen, a trial design, and parameters that this arm sets."""

    regimen: Regimen
    expectancy: str = "none"
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """Readouts of some patients in all arms.

    Attributes:
        times: Output times [h], shape (time,).
        readouts: By name: (arm, time, patient), or (arm, region, time, patient) for regional ones.
        status: (arm, patient) int8, 0 = ok (`solve.Status`).
        error: (arm, patient) largest scaled local error; 1 is the tolerance.
    """

    times: NDArray[np.float64]
    readouts: dict[str, NDArray[np.floating]]
    status: NDArray[np.int8]
    error: NDArray[np.floating]


class Simulation:
    """Arms, times and tolerances with the compiled program and the mesh that serve them all.

    Attributes:
        mesh: The steps that every patient takes.
        system: The structure and the compiled programs.
    """

    def __init__(
        self,
        recipe: Recipe,
        treatments: Mapping[str, Treatment],
        times: Sequence[float],
        *,
        names: Sequence[str] = READOUT_NAMES,
        rtol: float = 1e-4,
        dtype: str = "float32",
    ) -> None:
        """Prepare a simulation: schedule, structure, mesh.

        Args:
            recipe: Who the patients are; the pilot is drawn from it.
            treatments: Arms by name.
            times: Output times [h], strictly increasing, 0 or later.
            names: Readouts.
            rtol: Relative tolerance of the mesh [1].
            dtype: "float32" or "float64".

        Raises:
            KeyError: A readout, design or parameter is unknown.
        """
        self.recipe, self.treatments, self.dtype = recipe, dict(treatments), np.dtype(dtype)
        self.times = np.asarray(times, dtype=np.float64)
        self.names = tuple(names)
        self._computed = tuple(name for name in self.names if name != RATED)
        if RATED in self.names and "madrs" not in self._computed:
            self._computed = (*self._computed, "madrs")
        self._typical = recipe.typical_patient()
        self._grid = merge_times([0.0], self.times, [] if self.times[-1] > 0 else [1.0])
        horizon = self._grid[-1]
        settings = {name: replace(self._typical, t.values) for name, t in self.treatments.items()}
        edges = merge_times(
            *(edges_of(t.regimen, settings[name]) for name, t in self.treatments.items()), [0.0]
        )
        # An edge that differs from an output by rounding only is that output.
        gaps = np.abs(edges[:, None] - self._grid)
        nearest = self._grid[gaps.argmin(axis=1)]
        edges = np.unique(np.where(gaps.min(axis=1) <= RESOLUTION, nearest, edges))
        self._edges = edges[(edges > 0) & (edges < horizon)]
        bounds = np.concatenate([[0.0], self._edges, [horizon]])
        with jax.enable_x64(True):
            self._forcing = {
                name: forcing_of(t.regimen, settings[name], bounds)
                for name, t in self.treatments.items()
            }
            self._impulses = {
                name: impulses_of(t.regimen, settings[name], bounds)
                for name, t in self.treatments.items()
            }
            self._prepare(rtol)

    def _prepare(self, rtol: float) -> None:
        """Build the system and its mesh from a pilot that holds patients of every arm."""
        count = 1 if self.recipe.typical else PILOT
        recipe = dataclasses.replace(self.recipe, seed=PILOT_SEED, design="sobol")
        pilot = draw(recipe, np.arange(count))
        arms = list(self.treatments)
        lanes = [self._parameters(arm, pilot) for arm in arms]
        self._literal = _literals([p for p, _ in lanes])
        parameters = jax.tree.map(lambda *leaves: _joined(leaves, count), *lanes)
        forcing = jax.tree.map(
            lambda *leaves: np.repeat(np.stack(leaves, axis=1), count, axis=1),
            *(self._forcing[arm] for arm in arms),
        )
        impulses = jax.tree.map(
            lambda *leaves: np.repeat(np.stack(leaves, axis=1), count, axis=1),
            *(self._impulses[arm] for arm in arms),
        )
        y0 = tuple(
            np.broadcast_to(np.asarray(value), (count * len(arms),))
            for value in self._start(parameters[0])
        )
        if not any(np.any(values) for values in jax.tree.leaves(impulses)):
            self._impulses = dict.fromkeys(arms)
            impulses = None
        self.system = System(
            self._rhs,
            y0,
            parameters,
            forcing=forcing,
            jump=None if impulses is None else self._jump,
            impulses=impulses,
            observe=self._observe,
            method=RODAS4 if rtol > 1e-6 else RODAS5P,
            rtol=rtol,
            atol=[rtol * row.scale for row in state_rows()],
        )
        self.mesh = self.system.make_mesh(
            y0,
            parameters,
            self._grid,
            self._edges,
            forcing,
            impulses,
            # Placebo arms make no demands: the share counts within the most demanding arm.
            serve=1 - (1 - SERVE) / len(arms),
            pilot=count * len(arms),
        )

    def compile(self) -> None:
        """Compile the march, so that what follows can be timed apart from it."""
        pilot = draw(self.recipe, np.zeros(1 if self.recipe.typical else BLOCK, dtype=np.int64))
        with jax.enable_x64(True):
            self._solve_arm(next(iter(self.treatments)), pilot)

    def solve(self, population: Population) -> Solution:
        """Simulate patients in all arms, block by block.

        Args:
            population: Patients drawn from the recipe.

        Returns:
            Readouts, status and errors of these patients.
        """
        count = population.patient.size
        with jax.enable_x64(True):
            if self.recipe.typical:
                # One patient, however often the population repeats it.
                solved = [self._solve_block(take(population, np.zeros(1, np.int64)))] * count
            else:
                solved = [
                    self._solve_block(
                        take(population, np.minimum(np.arange(begin, begin + BLOCK), count - 1))
                    )
                    for begin in range(0, count, BLOCK)
                ]
        names = solved[0].readouts
        return Solution(
            self.times,
            {name: _patients([part.readouts[name] for part in solved], count) for name in names},
            _patients([part.status for part in solved], count),
            _patients([part.error for part in solved], count),
        )

    def _solve_block(self, block: Population) -> Solution:
        """Simulate one full block in all arms."""
        arms = [self._solve_arm(arm, block) for arm in self.treatments]
        names = arms[0].readouts
        return Solution(
            self.times,
            {name: np.stack([arm.readouts[name] for arm in arms]) for name in names},
            np.stack([arm.status for arm in arms]),
            np.stack([arm.error for arm in arms]),
        )

    def _solve_arm(self, arm: str, block: Population) -> Solution:
        """March one block through one arm and collect its readouts."""
        parameters = self._cast(self._parameters(arm, block))
        y0 = self._cast(self._start(parameters[0]))
        inputs = self._cast((self._forcing[arm], self._impulses[arm]))
        result = self.system.march(self.mesh, y0, parameters, *inputs)
        result = self.system.refine(self.mesh, result, y0, parameters, *inputs, limit=LIMIT)
        # Output times that differ by rounding only share a point of the grid: take the nearest.
        kept = np.abs(self._grid[:, None] - self.times).argmin(axis=0)
        series: dict[str, list[np.ndarray]] = {}
        columns = readouts.columns(self._computed)
        for (name, _), values in zip(columns, result.readouts, strict=True):
            series.setdefault(name, []).append(np.asarray(values)[kept])
        values = {
            name: np.stack(parts) if readouts.READOUTS[name].regional else parts[0]
            for name, parts in series.items()
        }
        if RATED in self.names:
            values[RATED] = self._rated(values["madrs"], block.patient, parameters[0].score)
        values = {name: values[name] for name in self.names}
        return Solution(self.times, values, np.asarray(result.status), np.asarray(result.error))

    def _rated(self, score: np.ndarray, patients: np.ndarray, p: Score) -> np.ndarray:
        """Score as rated: with measurement and day-to-day fluctuation, the same in every arm.

        Equation:
            Y = min(Smax, max(0, S + sdObs z(patient, time))),  z = 0 at time 0 and if typical

        Args:
            score: S [points], shape (time, patient).
            patients: Identities, shape (patient,).
            p: Score, sdObs and Smax [points].

        Returns:
            Y [points], shape (time, patient).
        """
        streams = tuple(f"rating at {round(time * 3600)} s" for time in self.times)
        z = random_normals(self.recipe.seed, streams, patients)
        z[(self.times == 0) | self.recipe.typical] = 0
        noisy = score + np.asarray(p.rating_fluctuation) * z
        return np.clip(noisy, 0, np.asarray(p.rating_maximum)).astype(score.dtype)

    def _parameters(self, arm: str, population: Population) -> tuple[Parameters, TrialDesign]:
        """The patients' own parameters in one arm, and the arm's trial design."""
        treatment = self.treatments[arm]
        p = individual(replace(population.parameters, treatment.values))
        return p, getattr(p.designs, treatment.expectancy)

    def _start(self, p: Parameters) -> tuple:
        """Resting state as a tuple of arrays (patient,) or scalars."""
        leaves, self._states = jax.tree.flatten(cascade.resting_state(p))
        return tuple(leaves)

    def _rhs(self, time: jax.Array, y: tuple, arguments: tuple) -> tuple:
        """The cascade as the solver sees it."""
        (p, design), forcing = arguments
        p = replace(p, self._literal)
        state = jax.tree.unflatten(self._states, y)
        return tuple(jax.tree.leaves(cascade.rhs(time, state, p, inputs_of(forcing, p, design))))

    def _jump(self, y: tuple, parameters: tuple, amounts: Amounts) -> tuple:
        """Impulse doses."""
        p = replace(parameters[0], self._literal)
        state = jax.tree.unflatten(self._states, y)
        s_dose, r_dose = doses(amounts, p.demography.weight)
        return tuple(jax.tree.leaves(cascade.absorb(state, p, s_dose, r_dose)))

    def _observe(self, time: jax.Array, y: tuple, parameters: tuple) -> tuple:
        """Readouts."""
        del time
        p = replace(parameters[0], self._literal)
        return readouts.observe(jax.tree.unflatten(self._states, y), p, self._computed)

    def _cast(self, tree: tuple) -> tuple:
        """The same tree in the dtype of the march."""
        return jax.tree.map(lambda values: np.asarray(values, self.dtype), tree)


def _literals(arms: list[Parameters]) -> dict[str, float]:
    """Parameters that are exactly 0 or 1 for every patient of every arm.

    As Python numbers in the equations they let the solver see which mechanisms are off.
    """
    literals = {}
    for row in rows():
        values = [leaf(p, row.path) for p in arms]
        if all(np.ndim(v) == 0 for v in values) and len({float(v) for v in values}) == 1:
            value = float(values[0])
            if value in (0.0, 1.0):
                literals[row.path] = value
    return literals


def _joined(leaves: tuple, patients: int) -> np.ndarray:
    """One leaf of several arms side by side; a scalar that all share stays a scalar."""
    if all(np.ndim(values) == 0 for values in leaves) and len({float(v) for v in leaves}) == 1:
        return np.asarray(leaves[0])
    return np.concatenate([np.broadcast_to(np.asarray(values), (patients,)) for values in leaves])


def _patients(parts: list[np.ndarray], count: int) -> np.ndarray:
    """Blocks side by side along the patient axis, without the padding of the last."""
    return np.concatenate(parts, axis=-1)[..., :count]
