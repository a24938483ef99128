"""What each patient's own random effects say of that patient's observations, with derivatives.

As the march of a fit: a mesh for each arm, one system and one set of programs for all. Patients are
lanes: each has numbers of its own and answers for itself alone, so one way back through the march
takes the first observation of every patient, the next the second, and so on.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ketjax.fit.individual_data import times_of
from ketjax.fit.individual_effects import RandomEffects
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.ways import Way, in_a_row, ways_of
from ketjax.individuals import Cascade, literals, own_parameters
from ketjax.model import readouts
from ketjax.model.covariates import individual
from ketjax.model.parameters import leaf, replace, rows
from ketjax.observation import needed
from ketjax.population import draw
from ketjax.population.population import PILOT_SEED
from ketjax.simulate import SERVE
from ketjax.solve.adjoint import Adjoint
from ketjax.solve.mesh import Mesh
from ketjax.solve.structure import dependencies, trace

BLOCK = 256  # patients marched together, on all devices
PILOT = 256  # patients of a pilot
ROWS = 5  # observations of each patient that go back through the march together

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """What some patients' numbers predict.

    Attributes:
        values: (patient, observation) [unit of each]; padded by what has no meaning.
        slopes: (patient, observation, free), derivatives by the random effects; None if not asked.
        error: (patient,) largest scaled local error of the march.
    """

    values: Array
    slopes: Array | None
    error: Array


class IndividualMarch:
    """Patients and their observations.

    Attributes:
        effects: The patients as a function of their random effects.
        arms: Arm of each patient.
        column: (patient, observation) which readout; -1 where there is no observation.
        place: (patient, observation) which output time of the arm.
        meshes: By arm.
    """

    def __init__(
        self,
        plan: IndividualPlan,
        dtype: str = "",
        block: int = BLOCK,
        like: IndividualMarch | None = None,
    ) -> None:
        """Prepare the march: structure and meshes.

        Args:
            plan: The plan.
            dtype: "float32" or "float64"; that of the plan if empty.
            block: Patients marched together.
            like: March of a plan that differs in its observations only: its programs are used.
        """
        self.plan, self.effects = plan, RandomEffects(plan)
        self.dtype = np.dtype(dtype or plan.solver.dtype)
        self._block = block if like is None else like._block
        observed = plan.observations
        self.arms = np.array([some[0].arm for some in observed.values()])
        names = sorted({one.quantity for some in observed.values() for one in some})
        self._computed = tuple(sorted(needed(names)))
        columns = [name for name, _ in readouts.columns(self._computed)]
        with jax.enable_x64(True):
            everything = [one for some in observed.values() for one in some]
            seen = {name: [one for one in everything if one.arm == name] for name in plan.arms}
            times = {name: times_of(some) for name, some in seen.items() if some}
            self._ways = ways_of(
                plan.recipe, {name: plan.arms[name] for name in times}, times, self.dtype
            )
            most = max(map(len, observed.values()))
            self.column = np.full((len(observed), most), -1)
            self.place = np.zeros((len(observed), most), int)
            for row, some in enumerate(observed.values()):
                grid = self._ways[some[0].arm].grid
                for k, one in enumerate(some):
                    self.column[row, k] = columns.index(needed([one.quantity])[0])
                    self.place[row, k] = np.abs(grid - one.time).argmin()
            self._find_moving()
            pilots = {name: self._pilot(way) for name, way in self._ways.items()}
            if like is None:
                self._build(pilots)
            else:
                self.system, self.adjoint, self._varying = like.system, like.adjoint, like._varying
            self.meshes = {name: self._mesh(pilots[name], way) for name, way in self._ways.items()}
        self._own_program = jax.jit(self._own, static_argnames="arm")
        self._slopes_program = jax.jit(self._slopes, static_argnames="arm")

    def predict(self, eta: Array, patients: NDArray[np.int64], slopes: bool = True) -> Predicted:
        """Predictions of some patients' observations.

        Args:
            eta: Random effects, shape (patient, free).
            patients: Who, places in the order of the plan.
            slopes: Whether derivatives are wanted.

        Returns:
            Predictions of these patients, whoever is beside them.
        """
        most, free = self.column.shape[1], len(self.effects.paths)
        values = np.full((patients.size, most), np.nan)
        found = np.full((patients.size, most, free), np.nan) if slopes else None
        error = np.full(patients.size, np.nan)
        with jax.enable_x64(True):
            for arm in self._ways:
                here = np.flatnonzero(self.arms[patients] == arm)
                for first in range(0, here.size, self._block):
                    some = here[first : first + self._block]
                    filled = np.resize(some, self._block)  # the last block is filled up
                    one = self._predict_block(arm, eta[filled], patients[filled], slopes)
                    values[some] = one.values[: some.size]
                    error[some] = one.error[: some.size]
                    if found is not None and one.slopes is not None:
                        found[some] = one.slopes[: some.size]
        return Predicted(values, found, error)

    def _predict_block(
        self, arm: str, eta: Array, patients: NDArray[np.int64], slopes: bool
    ) -> Predicted:
        way, lanes = self._ways[arm], np.arange(self._block)
        numbers = jnp.asarray(eta.T)
        known = {path: jnp.asarray(values[patients]) for path, values in self.effects.known.items()}
        y0, parameters = self._cast(self._own_program(numbers, known, arm=arm))
        tape = self.adjoint.march(
            self.meshes[arm], y0, parameters, way.forcing, way.impulses, keep=slopes
        )
        column, place = self.column[patients], self.place[patients]
        values = tape.readouts[column, place, lanes[:, None]].astype(np.float64)
        error = np.asarray(tape.error, np.float64)
        if not slopes:
            return Predicted(values, None, error)
        most = column.shape[1]
        found = np.zeros((self._block, most, len(self.effects.paths)))
        from_own = [np.asarray(part) for part in self._slopes_program(numbers, known, arm=arm)]
        for first in range(0, most, ROWS):
            some = range(first, min(first + ROWS, most))
            if not (column[:, list(some)] >= 0).any():
                continue
            marks = np.zeros((ROWS, tape.readouts.shape[0], way.grid.size, self._block), self.dtype)
            for row, k in enumerate(some):
                seen = column[:, k] >= 0
                marks[row, column[seen, k], place[seen, k], lanes[seen]] = 1
            pulled = self.adjoint.pull(tape, marks)
            for row, k in enumerate(some):
                for back, forward in zip(pulled, from_own, strict=True):
                    wide = back[row].astype(np.float64)
                    for free, tangents in enumerate(forward):
                        found[:, k, free] += (wide * tangents).sum(axis=0)
        return Predicted(values, found, error)

    def _find_moving(self) -> None:
        """Which leaves of a patient, and which states at the start, depend on random effects."""
        paths = [row.path for row in rows()]
        moving: set[str] = set()
        starting: set[int] = set()
        for way in self._ways.values():

            def everything(eta: jax.Array, values: tuple = way.values) -> tuple:
                known = {path: jnp.asarray(v[:1]) for path, v in self.effects.known.items()}
                p = individual(self.effects.parameters(eta, known, dict(values)))
                return tuple(leaf(p, path) for path in paths), Cascade.start(p)

            program = trace(everything, jnp.zeros((len(self.effects.paths), 1)))
            found = [bool(reads) for reads in dependencies(program, [False])]
            moving |= {path for path, mark in zip(paths, found, strict=False) if mark}
            starting |= {k for k, mark in enumerate(found[len(paths) :]) if mark}
        self._moving = tuple(path for path in paths if path in moving)
        self._starting = tuple(sorted(starting))

    def _own(self, eta: jax.Array, known: dict, *, arm: str) -> tuple:
        """Starts and parameters of the patients of a block as the march wants them."""
        way = self._ways[arm]
        p = individual(self.effects.parameters(eta, known, dict(way.values)))
        wide = partial(jnp.broadcast_to, shape=eta.shape[1:])
        moving = {path: wide(leaf(p, path)) for path in self._moving}
        p = replace(p, {**moving, **{path: wide(leaf(p, path)) for path in self._varying}})
        return tuple(map(wide, Cascade.start(p))), (p, getattr(p.designs, way.design))

    def _slopes(self, eta: jax.Array, known: dict, *, arm: str) -> tuple[jax.Array, jax.Array]:
        """Derivatives by each random effect of starts and leaves that move.

        Returns:
            (free, state, patient) and (free, leaf, patient), as `Adjoint.pull` has them.
        """

        def moved(eta: jax.Array) -> tuple[jax.Array, jax.Array]:
            start, (p, _) = self._own(eta, known, arm=arm)
            none = jnp.zeros((0, eta.shape[1]))
            states = [start[self.system.kept[k]] for k in self.adjoint.states]
            leaves = [leaf(p, path) for path in self._moving]
            return jnp.stack(states) if states else none, jnp.stack(leaves) if leaves else none

        def along(direction: jax.Array) -> tuple[jax.Array, jax.Array]:
            tangent = jnp.broadcast_to(direction[:, None], eta.shape)
            return jax.jvp(moved, (eta,), (tangent,))[1]

        return jax.vmap(along)(jnp.eye(eta.shape[0]))

    def _build(self, pilots: dict[str, Any]) -> None:
        """The system and the programs of its gradients."""
        ways = list(self._ways.values())
        same = [set(literals(p).items()) for p in pilots.values()]
        fixed = dict(sorted(set.intersection(*same)))
        computed = [
            {row.path for row in rows() if np.ndim(leaf(p, row.path))} for p in pilots.values()
        ]
        self._varying = tuple(sorted(set.union(*computed)))
        for path in (*self._moving, *self._varying):
            fixed.pop(path, None)
        cascade = Cascade(fixed, self._computed)
        inputs = [in_a_row([way.forcing for way in ways])]
        inputs.append(None if ways[0].impulses is None else in_a_row([w.impulses for w in ways]))
        some_arm = next(iter(self._ways))
        known = {
            path: jnp.asarray(np.resize(values, self._block))
            for path, values in self.effects.known.items()
        }
        eta = jnp.zeros((len(self.effects.paths), self._block))
        y0, parameters = self._cast(self._own(eta, known, arm=some_arm))
        self.system = cascade.system(y0, parameters, inputs[0], inputs[1], self.plan.solver.rtol)
        tree = jax.tree.structure(parameters)
        places = jax.tree.unflatten(tree, range(tree.num_leaves))
        self.adjoint = Adjoint(
            self.system,
            [leaf(places[0], path) for path in self._moving],
            y0,
            parameters,
            *inputs,
            start_moves=[k in self._starting for k in range(self.system.size)],
            identity=cascade.identity,
        )

    def _pilot(self, way: Way) -> Any:
        """Patients of the population, whoever is observed: what is free or known is drawn."""
        recipe = dataclasses.replace(self.plan.recipe, seed=PILOT_SEED, design="random")
        drawn = draw(recipe, range(PILOT)).parameters
        paths = (*self.effects.moved, *self.effects.known)
        own = {path: np.broadcast_to(leaf(drawn, path), (PILOT,)) for path in paths}
        return own_parameters(replace(self.effects.base, {**own, **dict(way.values)}), PILOT)

    def _mesh(self, pilot: Any, way: Way) -> Mesh:
        """The steps that serve a pilot in one arm."""
        p = replace(
            pilot, {path: np.broadcast_to(leaf(pilot, path), (PILOT,)) for path in self._varying}
        )
        start = tuple(np.broadcast_to(value, (PILOT,)) for value in Cascade.start(p))
        y0, parameters = self._cast((start, (p, getattr(p.designs, way.design))))
        return self.system.make_mesh(
            y0,
            parameters,
            way.grid,
            way.edges,
            way.forcing,
            way.impulses,
            serve=SERVE,
            pilot=PILOT,
            block=PILOT,
        )

    def _cast(self, tree: Any) -> Any:
        """The same tree in the dtype of the march."""
        return jax.tree.map(lambda values: np.asarray(values, self.dtype), tree)
