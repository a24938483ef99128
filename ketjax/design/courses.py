"""What a schedule does to the patients, and derivatives by its amounts and times.

All schedules share one system and one set of compiled programs: inputs are filled up to the
segments of the longest. An infusion moves with its edges, its session and the times at which
dissociation is looked at; the steps between two such anchors keep their shares of the interval, so
that on one mesh the courses are smooth in amounts and times.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ketjax.design.plan import Design
from ketjax.individuals import Cascade, literals, own_parameters, timeline
from ketjax.model import readouts
from ketjax.model.parameters import Parameters, replace
from ketjax.population import draw
from ketjax.population.population import PILOT_SEED
from ketjax.regimen import RESOLUTION
from ketjax.schedule import forcing_of, impulses_of
from ketjax.simulate import SERVE
from ketjax.solve.adjoint import Adjoint, Tape
from ketjax.solve.mesh import Mesh, anchors_of
from ketjax.solve.stretching import from_anchors, stretch

BLOCK = 1024  # patients marched together, on all devices
PILOT = 256  # patients of a pilot
ROWS = 3  # numbers that go back through the march together: one program for all designs
SEEN = ("madrs", "dissociation")

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Amounts of the infusions [mg/kg] or [mg], and when they start [h], shape (infusion,)."""

    amounts: Array
    starts: Array

    @property
    def infusions(self) -> int:
        """How many."""
        return self.amounts.size


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """A mesh made for one schedule, and what moves when another takes its place.

    Attributes:
        mesh: The steps.
        starts: Of the infusions that it was made for [h].
        owner: Infusion with which each anchor moves, -1 for none; shape (anchor,).
        looks: Outputs at which dissociation is looked at, shape (infusion, look).
        end: Output of the outcome.
    """

    mesh: Mesh
    starts: Array
    owner: NDArray[np.int64]
    looks: NDArray[np.int64]
    end: int

    def moved(self, starts: Array) -> Mesh:
        """The same steps, in their shares, for infusions that start elsewhere."""
        anchors = anchors_of(self.mesh.times, self.mesh.edges)
        shifts = np.append(starts - self.starts, 0.0)  # the last is of those without an owner
        return stretch(self.mesh, anchors + shifts[self.owner])


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """What a schedule does to the patients.

    Attributes:
        score: At the time of the outcome [points], shape (patient,).
        dissociation: CADSS at the looks [points], shape (infusion, look, patient).
        well: Patients whose march succeeded; numbers of the others are not finite.
        error: Largest local error over the tolerance of each patient.
        schedule: What was given.
        frame: The mesh before it was moved.
        tapes: By block, for the way back.
    """

    score: Array
    dissociation: Array
    well: NDArray[np.bool_]
    error: Array
    schedule: Schedule
    frame: Frame
    tapes: list[Tape]


class Courses:
    """The patients of a design under any schedule.

    Attributes:
        drawn: The patients as drawn, and with what the arm sets.
        count: How many.
    """

    def __init__(
        self,
        design: Design,
        patients: int,
        *,
        dtype: str | None = None,
        block: int = BLOCK,
        pilot: int = PILOT,
    ) -> None:
        """Draw the patients and prepare the march; programs are compiled when first used.

        Args:
            design: The design.
            patients: How many.
            dtype: "float32" or "float64"; that of the design if not given.
            block: Patients marched together.
            pilot: Patients from whom a mesh is made.
        """
        self.design, self.count = design, patients
        self.dtype = np.dtype(dtype or design.solver.dtype)
        self._block = min(block, patients + patients % 2)
        self._pilot_size = pilot
        self._typical = replace(design.recipe.typical_patient(), design.values)
        with jax.enable_x64(True):
            self.drawn, own = self._people(design.recipe, patients)
            recipe = dataclasses.replace(design.recipe, seed=PILOT_SEED, design="random")
            _, pilot_own = self._people(recipe, pilot)
            same = set(literals(own).items()) & set(literals(pilot_own).items())
            self._cascade = Cascade(dict(sorted(same)), SEEN)
            self._columns = [name for name, _ in readouts.columns(SEEN)]
            self._pilot = self._lanes(pilot_own, np.arange(pilot))
            self._blocks = [
                self._lanes(own, np.minimum(np.arange(first, first + self._block), patients - 1))
                for first in range(0, patients, self._block)
            ]
            self._build()

    def frame(self, schedule: Schedule, times: Any = ()) -> Frame:
        """A mesh for a schedule.

        Args:
            schedule: The schedule.
            times: More times at which patients are seen [h].
        """
        d = self.design
        starts = schedule.starts
        seen = np.unique(np.concatenate([[0.0, d.design.end], self._looks(starts).ravel(), times]))
        seen = seen[np.diff(seen, prepend=-1.0) > RESOLUTION]
        grid, edges = timeline(seen, [(d.regimen_of(schedule.amounts, starts), self._typical)])
        anchors = anchors_of(grid, edges)
        since = anchors[:, None] - starts
        within = (since > -RESOLUTION) & (since < d.span + RESOLUTION)
        owner = np.where(within.any(axis=1), within.argmax(axis=1), -1)
        owner[-1] = -1
        nearest = np.abs(grid[:, None, None] - self._looks(starts)).argmin(axis=0)
        with jax.enable_x64(True):
            inputs = self._inputs(schedule, edges)
            mesh = self.system.make_mesh(
                self._pilot[0], self._pilot[1], grid, edges, inputs[0], inputs[1],
                serve=SERVE, pilot=self._pilot_size, block=self._pilot_size,
            )  # fmt: skip
        return Frame(mesh, starts, owner, nearest, len(grid) - 1)

    def march(self, frame: Frame, schedule: Schedule) -> Course:
        """Courses of all patients, on the steps of a frame moved to a schedule."""
        seen, error, tapes = self._march(frame, schedule)
        score, dissociation = (seen[self._columns.index(name)] for name in SEEN)
        score, dissociation = score[frame.end], dissociation[frame.looks]
        well = np.isfinite(score) & np.isfinite(dissociation).all(axis=(0, 1))
        return Course(score, dissociation, well, error, schedule, frame, tapes)

    def watch(self, frame: Frame, schedule: Schedule) -> tuple[Array, Array, Array]:
        """Times [h], and score and dissociation there [points], (time, patient)."""
        seen, _, _ = self._march(frame, schedule, keep=False)
        score, dissociation = (seen[self._columns.index(name)] for name in SEEN)
        return frame.mesh.times, score, dissociation

    def pull(
        self, course: Course, from_score: Array, from_dissociation: Array
    ) -> tuple[Array, Array]:
        """Derivatives of some numbers by amounts and starts.

        Args:
            course: The courses.
            from_score: Derivatives of each number by `score`, (number, patient).
            from_dissociation: By `dissociation`, (number, infusion, look, patient).

        Returns:
            By the amounts and by the starts, each (number, infusion).
        """
        frame, schedule = course.frame, course.schedule
        numbers = len(from_score)
        shape = (
            -(-numbers // ROWS) * ROWS,
            len(self._columns),
            len(frame.mesh.times),
            self._padded,
        )
        given = np.zeros(shape, self.dtype)
        madrs, dissociation = (self._columns.index(name) for name in SEEN)
        given[:numbers, madrs, frame.end, : self.count] = from_score
        for where in np.ndindex(frame.looks.shape):
            values = from_dissociation[(slice(None), *where)]
            given[:numbers, dissociation, frame.looks[where], : self.count] += values
        well = np.append(course.well, np.zeros(self._padded - self.count, bool))
        given[..., ~well] = 0
        by_length: Any = 0.0
        by_input: Any = 0.0
        with jax.enable_x64(True):
            for k, tape in enumerate(course.tapes):
                lanes = slice(k * self._block, (k + 1) * self._block)
                good = well[lanes]
                parts = [
                    self.adjoint.pull_inputs(tape, given[row : row + ROWS, ..., lanes])[2:]
                    for row in range(0, len(given), ROWS)
                ]
                lengths, inputs = (np.concatenate(part) for part in zip(*parts, strict=True))
                by_length = by_length + lengths[..., good].sum(axis=-1, dtype=np.float64)
                by_input = by_input + inputs[..., good].sum(axis=-1, dtype=np.float64)
            each = self._each_unit(schedule, course.tapes[0].mesh.edges)
        by_amount = np.einsum("nls,ils->ni", by_input, each)
        by_anchor = from_anchors(course.tapes[0].mesh, by_length)
        by_start = np.stack(
            [by_anchor[:, frame.owner == k].sum(axis=1) for k in range(schedule.infusions)], axis=1
        )
        return by_amount[:numbers], by_start[:numbers]

    def _people(self, recipe: Any, count: int) -> tuple[Parameters, Parameters]:
        """Patients as drawn with what the arm sets, and their own parameters."""
        drawn = replace(draw(recipe, np.arange(count)).parameters, self.design.values)
        return drawn, own_parameters(drawn, count)

    def _lanes(self, own: Parameters, patients: np.ndarray) -> tuple:
        """Starts and parameters of some patients, in the dtype of the march."""
        trial = getattr(own.designs, self.design.arm.expectancy)

        def some(values: Any) -> np.ndarray:
            array = np.asarray(values, self.dtype)
            return array[patients] if array.ndim else array

        start, parameters = jax.tree.map(some, (Cascade.start(own), (own, trial)))
        return tuple(np.broadcast_to(values, patients.shape) for values in start), parameters

    def _build(self) -> None:
        """System and adjoint, from the longest schedule."""
        d = self.design.design
        starts = np.asarray(d.first + d.gap.low * np.arange(d.infusions), np.float64)
        longest = Schedule(np.full(d.infusions, d.amount.high[0]), starts)
        regimen = self.design.regimen_of(longest.amounts, longest.starts)
        _, edges = timeline([0.0, d.end], [(regimen, self._typical)])
        self._most = edges.size + 1
        self._impulsive = any(
            np.any(leaf) for leaf in jax.tree.leaves(self._acting_inputs(longest, edges)[1])
        )
        inputs = self._inputs(longest, edges)
        leaves = jax.tree.leaves((inputs[0].rates, inputs[1]))
        # The rates are the first leaves of the forcing, the impulses follow it.
        rates, forcing = (len(jax.tree.leaves(tree)) for tree in (inputs[0].rates, inputs[0]))
        self._acting = [k for k, leaf in enumerate(leaves) if np.any(leaf)]
        places = [k if k < rates else k - rates + forcing for k in self._acting]
        y0, parameters = self._blocks[0]
        self.system = self._cascade.system(
            y0, parameters, inputs[0], inputs[1], self.design.solver.rtol
        )
        self.adjoint = Adjoint(
            self.system, [], y0, parameters, *inputs, acting=places,
            identity=self._cascade.identity,
        )  # fmt: skip

    def _acting_inputs(self, schedule: Schedule, edges: np.ndarray) -> tuple:
        bounds = np.concatenate([[0.0], edges, [self.design.design.end]])
        regimen = self.design.regimen_of(schedule.amounts, schedule.starts)
        return tuple(of(regimen, self._typical, bounds) for of in (forcing_of, impulses_of))

    def _inputs(self, schedule: Schedule, edges: np.ndarray) -> tuple:
        """Forcing and impulses, filled up to the segments of the longest schedule."""
        forcing, impulses = jax.tree.map(self._filled, self._acting_inputs(schedule, edges))
        return forcing, (impulses if self._impulsive else None)

    def _filled(self, values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, self._most - values.size)).astype(self.dtype)

    def _each_unit(self, schedule: Schedule, edges: np.ndarray) -> Array:
        """What a unit of each infusion adds to the inputs, (infusion, input, segment)."""
        rows = []
        for k in range(schedule.infusions):
            one = Schedule((np.arange(schedule.infusions) == k).astype(float), schedule.starts)
            forcing, impulses = self._inputs(one, edges)
            leaves = jax.tree.leaves((forcing.rates, impulses))
            rows.append([np.asarray(leaves[place], np.float64) for place in self._acting])
        return np.array(rows)

    def _looks(self, starts: Array) -> Array:
        """When dissociation is looked at [h], (infusion, look)."""
        return starts[:, None] + np.array(self.design.looks)

    def _march(self, frame: Frame, schedule: Schedule, keep: bool = True) -> tuple:
        """Readouts (column, time, patient), errors (patient,), tapes."""
        mesh = frame.moved(schedule.starts)
        with jax.enable_x64(True):
            inputs = self._inputs(schedule, mesh.edges)
            tapes = [self.adjoint.march(mesh, *lanes, *inputs, keep=keep) for lanes in self._blocks]
        seen = np.concatenate([tape.readouts for tape in tapes], axis=-1)[..., : self.count]
        error = np.concatenate([tape.error for tape in tapes])[: self.count]
        return seen.astype(np.float64), error.astype(np.float64), tapes

    @property
    def _padded(self) -> int:
        return self._block * len(self._blocks)
