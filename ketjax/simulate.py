"""Population x regimen -> Solution: the one place where science meets numerics.

    simulation = Simulation(recipe, treatments, times)
    solution = simulation.solve(draw(recipe, range(1024)))

All arms of a simulation share one set of event edges, one mesh and one compiled program, so that
two arms that are given the same are equal to the last bit. The mesh comes from a pilot population
drawn from the same recipe with a seed of its own: it does not depend on which patients follow.
Blocks have a fixed size and the last is padded, so a patient's numbers depend on nobody else.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ketjax.individuals import Cascade, lengthen, literals, own_parameters, timeline
from ketjax.model import readouts
from ketjax.model.parameters import Parameters, TrialDesign, replace
from ketjax.observation import RATED, Noise, needed, observe
from ketjax.population.population import PILOT_SEED, Population, Recipe, draw, take
from ketjax.regimen import Regimen
from ketjax.schedule import Forcing, forcing_of, impulses_of
from ketjax.solve import Method
from ketjax.solve.devices import block_of
from ketjax.solve.integrate import BLOCK
from ketjax.solve.solution import Result
from ketjax.solve.sweep import sweep

PILOT = 768  # patients of the pilot, shared by all arms
SEGMENTS = 16  # between event edges, that a program has room for at least
SERVE = 0.98  # share of pilot patients that each step of the mesh serves
LIMIT = 2.0  # local error over tolerance above which a patient marches again on finer steps
ACCEPT = 10.0  # what is then accepted; halved steps bring nearly everybody below a fifth of it
READOUT_NAMES = (*readouts.READOUTS, RATED)  # without the observations that a study must name


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
        cascade: The equations.
        mesh: The steps that every patient takes.
        system: The structure and the compiled programs.
        computed: Readouts of the model that are observed.
        block: Patients marched together, on all devices.
        grid: When the march is observed [h]: output times, and the start.
    """

    def __init__(
        self,
        recipe: Recipe,
        treatments: Mapping[str, Treatment],
        times: Sequence[float],
        *,
        names: Sequence[str] = READOUT_NAMES,
        rtol: float = 1e-3,
        dtype: str = "float32",
        method: Method | None = None,
        serve: float = SERVE,
        block: int | None = None,
    ) -> None:
        """Prepare a simulation: schedule, structure, mesh.

        Args:
            recipe: Who the patients are; the pilot is drawn from it.
            treatments: Arms by name.
            times: Output times [h], strictly increasing, 0 or later.
            names: Readouts.
            rtol: Relative tolerance of the mesh [1].
            dtype: "float32" or "float64".
            method: Rosenbrock method; by tolerance if None.
            serve: Share of the pilot of the most demanding arm that each step serves [1].
            block: Patients marched together on each device; by device if None.

        Raises:
            KeyError: A readout, design or parameter is unknown.
        """
        self.recipe, self.treatments, self.dtype = recipe, dict(treatments), np.dtype(dtype)
        self.times = np.asarray(times, dtype=np.float64)
        self.names = tuple(names)
        share = block or _block_size()
        self.block = share * jax.device_count()
        self.computed = needed(self.names)
        self._typical = recipe.typical_patient()
        settings = {name: replace(self._typical, t.values) for name, t in self.treatments.items()}
        self.grid, self._edges = timeline(
            self.times, [(t.regimen, settings[name]) for name, t in self.treatments.items()]
        )
        horizon = self.grid[-1]
        bounds = np.concatenate([[0.0], self._edges, [horizon]])
        # Schedules of like length share a compiled program.
        length = 2 ** math.ceil(math.log2(max(bounds.size - 1, SEGMENTS)))
        with jax.enable_x64(True):
            self._forcing = {
                name: lengthen(forcing_of(t.regimen, settings[name], bounds), length)
                for name, t in self.treatments.items()
            }
            self._impulses = {
                name: lengthen(impulses_of(t.regimen, settings[name], bounds), length)
                for name, t in self.treatments.items()
            }
            if not any(np.any(values) for values in jax.tree.leaves(self._impulses)):
                self._impulses = None
            self._prepare(rtol, method, serve, share)

    def _prepare(self, rtol: float, method: Method | None, serve: float, share: int) -> None:
        """Build the system and its mesh from a pilot that holds patients of every arm.

        The pilot fits into the share of one device, so that it is the same on any number of them.
        """
        arms = len(self.treatments)
        count = 1 if self.recipe.typical else max(1, min(PILOT, share) // arms)
        recipe = dataclasses.replace(self.recipe, seed=PILOT_SEED, design="random")
        lanes = self.lanes(draw(recipe, np.arange(count)))
        self.cascade = Cascade(literals(lanes.parameters[0]), self.computed)
        self.system = self.cascade.system(
            lanes.y0, lanes.parameters, lanes.forcing, lanes.impulses, rtol, method
        )
        self.mesh = self.system.make_mesh(
            lanes.y0,
            lanes.parameters,
            self.grid,
            self._edges,
            lanes.forcing,
            lanes.impulses,
            # Placebo arms make no demands: the share counts within the most demanding arm.
            serve=1 - (1 - serve) / arms,
            pilot=lanes.arm.size,
            block=lanes.arm.size if self.recipe.typical else self.block,
        )

    def solve(
        self, population: Population, progress: Callable[[int], None] | None = None
    ) -> Solution:
        """Simulate patients in all arms.

        Args:
            population: Patients drawn from the recipe.
            progress: Called with the number of patients done, counted in all arms, after each
                block.

        Returns:
            Readouts, status and errors of these patients.
        """
        count = population.patient.size
        if self.recipe.typical:
            # One patient, however often the population repeats it.
            population = take(population, np.zeros(1, np.int64))
        with jax.enable_x64(True):
            lanes = self.lanes(population)
            result = sweep(
                self.system,
                self.mesh,
                lanes.y0,
                lanes.parameters,
                lanes.forcing,
                lanes.impulses,
                block=lanes.arm.size if self.recipe.typical else self.block,
                limit=LIMIT,
                accept=ACCEPT,
                progress=progress,
            )
        return self._solution(result, population, count)

    def _solution(self, result: Result, population: Population, count: int) -> Solution:
        """Readouts by name, arms and patients apart."""
        arms = len(self.treatments)
        # Output times that differ by rounding only share a point of the grid: take the nearest.
        kept = np.abs(self.grid[:, None] - self.times).argmin(axis=0)
        chosen = slice(None) if np.array_equal(kept, np.arange(self.grid.size)) else kept

        def by_arm(values: np.ndarray) -> np.ndarray:
            values = values.reshape(*values.shape[:-1], arms, -1)
            values = np.moveaxis(values, -2, 0)
            return np.repeat(values, count, axis=-1) if self.recipe.typical else values

        series: dict[str, list[np.ndarray]] = {}
        columns = readouts.columns(self.computed)
        for (name, _), values in zip(columns, result.readouts, strict=True):
            series.setdefault(name, []).append(by_arm(values[chosen]))
        values = {
            name: np.stack(parts, axis=1) if readouts.READOUTS[name].regional else parts[0]
            for name, parts in series.items()
        }
        patients = np.repeat(population.patient, count if self.recipe.typical else 1)
        noise = Noise(self.recipe.seed, self.times, patients, absent=self.recipe.typical)
        own = [replace(population.parameters, t.values) for t in self.treatments.values()]
        values |= observe(self.names, values, own, noise)
        values = {name: values[name] for name in self.names}
        return Solution(self.times, values, by_arm(result.status), by_arm(result.error))

    def lanes(self, population: Population) -> "Lanes":
        """Every patient in every arm, one arm after the other, in the dtype of the march."""
        arms = list(self.treatments)
        count = population.patient.size
        each = [self._parameters(arm, population) for arm in arms]
        parameters = jax.tree.map(lambda *leaves: joined(leaves, count), *each)
        arm = np.repeat(np.arange(len(arms)), count)
        y0 = tuple(np.broadcast_to(value, arm.shape) for value in Cascade.start(parameters[0]))
        impulses = self._impulses
        return Lanes(
            arm,
            self._cast(y0),
            self._cast(parameters),
            self._cast(_inputs(list(self._forcing.values()), arm)),
            None if impulses is None else self._cast(_inputs(list(impulses.values()), arm)),
        )

    def _parameters(self, arm: str, population: Population) -> tuple[Parameters, TrialDesign]:
        """The patients' own parameters in one arm, and the arm's trial design."""
        treatment = self.treatments[arm]
        p = own_parameters(
            replace(population.parameters, treatment.values), population.patient.size
        )
        return p, getattr(p.designs, treatment.expectancy)

    def _cast(self, tree: tuple) -> tuple:
        """The same tree in the dtype of the march."""
        return jax.tree.map(lambda values: np.asarray(values, self.dtype), tree)


@dataclasses.dataclass(frozen=True)
class Lanes:
    """What the solver marches: patients in arms.

    Attributes:
        arm: (lane,) index of the arm.
        y0: States at the start, (lane,).
        parameters: Leaves scalar or (lane,).
        forcing: Leaves (segment,), or (segment, lane) where arms differ.
        impulses: As `forcing`, or None.
    """

    arm: NDArray[np.int64]
    y0: tuple
    parameters: tuple[Parameters, TrialDesign]
    forcing: Forcing
    impulses: Any


def _block_size() -> int:
    """Patients marched together on each device: what its cache, or its memory, holds best."""
    if jax.default_backend() == "cpu":
        return BLOCK
    return block_of(jax.devices()[0])


def joined(leaves: tuple, patients: int) -> np.ndarray:
    """One leaf of several groups of patients side by side; a scalar that all share stays one."""
    if all(np.ndim(values) == 0 for values in leaves) and len({float(v) for v in leaves}) == 1:
        return np.asarray(leaves[0])
    return np.concatenate([np.broadcast_to(np.asarray(values), (patients,)) for values in leaves])


def _inputs(arms: list, arm: NDArray[np.int64]) -> Any:
    """Inputs of all arms; a leaf that differs between arms gets an axis of lanes."""

    def joined(*leaves: np.ndarray) -> np.ndarray:
        if all(np.array_equal(leaf, leaves[0]) for leaf in leaves):
            return leaves[0]
        return np.stack(leaves, axis=1)[:, arm]

    return jax.tree.map(joined, *arms)
