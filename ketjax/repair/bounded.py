"""What is bounded, as a function of random effects, with its derivatives: block by block."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ketjax.analysis.features import SCORES
from ketjax.model import readouts
from ketjax.model.parameters import leaf
from ketjax.plausible import Bound
from ketjax.population import Population
from ketjax.repair.effects import Drawn, Slopes
from ketjax.simulate import BLOCK, Simulation, Solution

Floats = NDArray[np.float64]


class Bounded:
    """Numbers that must lie between bounds, of patients as their random effects move.

    Attributes:
        bounds: What must hold.
        simulation: Arms and times of the bounds.
        block: Patients marched together.
    """

    def __init__(
        self, bounds: Sequence[Bound], simulation: Simulation, drawn: Drawn, block: int = BLOCK
    ) -> None:
        """Find what moves; compiled on the first call.

        Args:
            bounds: What must hold.
            simulation: Arms and times of the bounds.
            drawn: The patients.
            block: Patients marched together, at most.
        """
        self.bounds, self.simulation, self._drawn = tuple(bounds), simulation, drawn
        self.block = min(block, drawn.population.patient.size)
        self._arms = list(simulation.treatments)
        columns = readouts.columns(simulation.computed)
        self._columns = [columns.index((one.readout, one.region)) for one in self.bounds]
        self._rows = [int(np.abs(simulation.grid - one.hour).argmin()) for one in self.bounds]
        self._width = len(columns)
        self._slopes = Slopes(drawn, [t.values for t in simulation.treatments.values()])
        with jax.enable_x64(True):
            lanes = simulation.lanes(self._population(drawn.start, np.arange(self.block)))
            self._adjoint = self._slopes.adjoint(simulation, lanes)
        kept = [simulation.system.kept[k] for k in self._adjoint.states]
        self._starts = [kept.index(k) if k in kept else None for k in self._slopes.states]

    def __call__(self, e: Floats, places: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """What is bounded, and its derivatives.

        Args:
            e: Random effects, (effect, patient).
            places: Which patients, (patient,).

        Returns:
            (bound, patient) and (bound, effect, patient); NaN where the march failed.
        """
        parts = []
        for first in range(0, places.size, self.block):
            some = np.minimum(np.arange(first, first + self.block), places.size - 1)
            parts.append(self._of_block(e[:, some], places[some]))
        values, slopes = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        return values[..., : places.size], slopes[..., : places.size]

    def _population(self, e: Floats, places: NDArray[np.int64]) -> Population:
        return self._drawn.moved(e[:, : places.size], places)

    def _of_block(self, e: Floats, places: NDArray[np.int64]) -> tuple[Floats, Floats]:
        population = self._population(e, places)
        entry = _entry(population)
        count, arms = places.size, len(self._arms)
        with jax.enable_x64(True):
            lanes = self.simulation.lanes(population)
            tape = self._adjoint.march(
                self.simulation.mesh, lanes.y0, lanes.parameters, lanes.forcing, lanes.impulses
            )
            course = tape.readouts.reshape(self._width, -1, arms, count).astype(np.float64)
            cotangents = np.zeros((len(self.bounds), *course.shape))
            values, by_entry = np.empty((2, len(self.bounds), count))
            for k, one in enumerate(self.bounds):
                arm, column, row = self._arms.index(one.arm), self._columns[k], self._rows[k]
                now, first = course[column, row, arm], course[column, 0, arm]
                values[k], by_now, by_first, by_entry[k] = _measured(one, now, first, entry)
                cotangents[k, column, row, arm] += by_now
                cotangents[k, column, 0, arm] += by_first
            given = cotangents.reshape(len(self.bounds), self._width, -1, arms * count)
            from_y, from_leaves = self._adjoint.pull(tape, np.nan_to_num(given))
        shape = (len(self.bounds), -1, arms, count)
        from_leaves = from_leaves.reshape(shape).swapaxes(1, 2)
        from_y = from_y.reshape(shape).swapaxes(1, 2) if from_y.shape[1] else None
        from_starts = np.zeros((len(self.bounds), arms, len(self._starts), count))
        for place, k in enumerate(self._starts):
            if k is not None and from_y is not None:
                from_starts[:, :, place] = from_y[:, :, k]
        slopes = self._slopes.pull(e, places, from_leaves, from_starts, by_entry)
        # A march that failed leaves no number anywhere, or none to trust.
        well = np.isfinite(tape.readouts).all(axis=(0, 1)).reshape(arms, count).all(axis=0)
        return np.where(well, values, np.nan), np.where(well, slopes, np.nan)


def measured(
    bounds: Sequence[Bound], simulation: Simulation, solution: Solution, population: Population
) -> Floats:
    """What is bounded, from a march of a simulation.

    Args:
        bounds: What must hold.
        simulation: That has the arms and times of the bounds.
        solution: What it found.
        population: Of whom.

    Returns:
        (bound, patient); NaN where the march of any arm failed.
    """
    arms, entry = list(simulation.treatments), _entry(population)
    found = [_measured(one, *_seen(one, arms, solution), entry)[0] for one in bounds]
    return np.where((solution.status == 0).all(axis=0), np.stack(found), np.nan)


def _entry(population: Population) -> Floats:
    entry = leaf(population.parameters, "score.baseline")
    return np.broadcast_to(np.asarray(entry, np.float64), population.patient.shape)


def _seen(bound: Bound, arms: Sequence[str], solution: Solution) -> tuple[Any, Any]:
    """The readout of a bound at its time and at the first output, of (patient,)."""
    values = solution.readouts[bound.readout][arms.index(bound.arm)]
    if bound.region is not None:
        values = values[readouts.REGIONS.index(bound.region)]
    row = int(np.abs(solution.times - bound.hour).argmin())
    return values[row].astype(np.float64), values[0].astype(np.float64)


def _measured(bound: Bound, now: Floats, first: Floats, entry: Floats) -> tuple:
    """What is bounded, and its derivatives by the readout, its first value and the score at entry.

    A share of nothing is no number.
    """
    one, none = np.ones_like(now), np.zeros_like(now)
    if bound.measure == "value":
        return now, one, none, none
    start = entry if bound.readout in SCORES else first
    if bound.measure == "change":
        by_start = -one
        value, by_now = now - start, one
    else:
        start = np.where(start != 0.0, start, np.nan)
        value, by_now, by_start = now / start - 1.0, 1.0 / start, -now / start**2
    if bound.readout in SCORES:
        return value, by_now, none, by_start
    return value, by_now, by_start, none
