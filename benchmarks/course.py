"""The course: 16,384 patients through eight infusions in 28 days, one arm, all readouts.

The peers take the same patients through the same course: `Course.sample` gives them the problem,
`Course.errors` compares what they find. Error is the largest difference of a readout from the
reference over readouts and output times, in units of the readout's scale, for each patient; the
error of a run is the 90th percentile of the sample, which single patients next to a kink do not
decide.
"""

import dataclasses
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.record import Figure, cores, median_of, seconds_of
from ketjax.model import readouts
from ketjax.model.states import rows as state_rows
from ketjax.population import Recipe, draw
from ketjax.population.population import take
from ketjax.preparation import recipe_of, simulation_of
from ketjax.simulate import Simulation
from ketjax.solve import System
from ketjax.study import Study

ARM = "ketamine"
QUANTILE = 0.9


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some patients of the course, ready for a solver.

    Attributes:
        y0: Start of the marched states, shape (state, patient).
        parameters: The patients' parameters and trial design; leaves scalar or (patient,).
        forcing: Inputs; leaves (segment,).
        bounds: Segment bounds [h], shape (segment + 1,).
        times: Output times [h].
        scale: Scale of the absolute tolerance of the marched states, shape (state,).
    """

    y0: np.ndarray
    parameters: Any
    forcing: Any
    bounds: np.ndarray
    times: np.ndarray
    scale: np.ndarray

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.y0.shape[1]


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """The course as a simulation."""

    recipe: Recipe
    simulation: Simulation
    patients: int

    @property
    def system(self) -> System:
        """The equations with their structure."""
        return self.simulation.system

    def sample(self, count: int, dtype: str = "float64") -> Sample:
        """The first patients of the course, in the form a solver takes."""
        simulation, system = self.simulation, self.system
        population = draw(self.recipe, np.arange(count))
        with jax.enable_x64(True):
            parameters = simulation._parameters(ARM, population)
            start = simulation.cascade.start(parameters[0])
        if any(np.any(leaf) for leaf in jax.tree.leaves(simulation._impulses)):
            raise ValueError("the course has impulse doses, which the peers do not give")
        cast = functools.partial(np.asarray, dtype=dtype)
        scale = [state_rows()[index].scale for index in system.kept]
        return Sample(
            np.stack([np.broadcast_to(cast(start[index]), (count,)) for index in system.kept]),
            jax.tree.map(cast, parameters),
            jax.tree.map(cast, simulation._forcing[ARM]),
            np.concatenate([[0.0], simulation.mesh.edges, simulation.times[-1:]]),
            simulation.times,
            np.asarray(scale),
        )

    def readouts(self, states: np.ndarray, sample: Sample) -> np.ndarray:
        """Readouts over their scales, from a peer's states.

        Args:
            states: Marched states at the output times, shape (time, state, patient), float64.
            sample: The patients.

        Returns:
            Shape (readout, time, patient).
        """
        system = self.system

        @jax.jit
        def observe(y: tuple, parameters: Any) -> tuple:
            full = system._reduction.expand(y, jax.numpy.zeros_like(y[0]))
            return self.simulation.cascade.observe(jax.numpy.zeros(()), full, parameters)

        with jax.enable_x64(True):
            rows = [np.stack(observe(tuple(row), sample.parameters)) for row in states]
        return np.stack(rows, axis=1) / self._scales()[:, None, None]

    def own(self, count: int) -> np.ndarray:
        """Readouts over their scales from the simulation as users run it, for some patients."""
        solution = self.simulation.solve(draw(self.recipe, np.arange(count)))
        columns = readouts.columns(self.simulation.computed)
        parts = []
        for name, region in columns:
            values = solution.readouts[name][0]
            parts.append(values[readouts.REGIONS.index(region)] if region else values)
        return np.stack(parts).astype(np.float64) / self._scales()[:, None, None]

    def _scales(self) -> np.ndarray:
        columns = readouts.columns(self.simulation.computed)
        return np.array([readouts.READOUTS[name].scale for name, _ in columns])


def errors(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Error of each patient: largest over readouts and times; infinite where not finite."""
    error = np.abs(found - reference).max(axis=(0, 1))
    return np.where(np.isfinite(error), error, np.inf)


def error_of(found: np.ndarray, reference: np.ndarray) -> float:
    """Error of a run: the quantile over patients that all solvers are compared at."""
    return float(np.quantile(errors(found, reference), QUANTILE, method="higher"))


@functools.cache
def course(quick: bool) -> Course:
    """The course with its mesh; built once."""
    study = Study.read(Path(__file__).with_name("course.toml"))
    # Loose steps are few: quick.
    study = study.replace(rtol=1e-2) if quick else study
    recipe = recipe_of(study)
    patients = 1024 if quick else study.population.patients
    return Course(recipe, simulation_of(study, recipe), patients)


@functools.cache
def own_rate(quick: bool, repetitions: int) -> Figure:
    """Patients a second of `Simulation.solve` on the course, all cores, compiled before."""
    before = time.perf_counter()
    problem = course(quick)
    prepared = time.perf_counter()
    population = draw(problem.recipe, np.arange(problem.patients))
    problem.simulation.solve(take(population, np.zeros(1, np.int64)))
    compiled = time.perf_counter()
    problem.simulation.solve(population)
    seconds = seconds_of(lambda: problem.simulation.solve(population), repetitions)
    steps = problem.simulation.mesh.steps
    return median_of(
        "course",
        [problem.patients / second for second in seconds],
        "patients/s",
        note=f"{problem.patients} patients, float32, {steps} steps, {cores()} cores",
        details={
            "patients": problem.patients,
            "steps": steps,
            "states": len(problem.system.kept),
            "rtol": problem.system.rtol,
            "preparing_seconds": prepared - before,
            "compiling_seconds": compiled - prepared,
            "seconds": seconds,
        },
    )


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Patients a second, and the steps of the mesh."""
    rate = own_rate(quick, repetitions)
    yield rate
    compiling = rate.details["preparing_seconds"] + rate.details["compiling_seconds"]
    yield Figure("course compilation", compiling, "s", note="structure, pilot, mesh and program")
