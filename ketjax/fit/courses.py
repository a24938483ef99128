"""The courses of all arms of a fit as a function of its free numbers, and gradients back.

Each arm has a mesh of its own, from a pilot that holds patients from across the prior, so that the
steps serve wherever a fit may go; all arms share one system and one set of compiled programs. What
the free numbers change about a patient is found from the structure of the parameters: only that is
carried through the march.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.fit.plan import Fit
from ketjax.fit.ways import Way, across_the_prior, in_a_row, in_shape, ways_of
from ketjax.individuals import Cascade, literals, own_parameters
from ketjax.model import readouts
from ketjax.model.covariates import individual
from ketjax.model.parameters import Parameters, leaf, replace, rows
from ketjax.simulate import SERVE
from ketjax.solve.adjoint import Adjoint, Tape
from ketjax.solve.structure import dependencies, trace

BLOCK = 1024  # patients marched together, on all devices
PILOT = 256  # patients of a pilot
KEPT_BYTES = 2 * 2**30  # states of all steps are kept for the way back if they need no more
DESIGN = ("fast", "session", "course", "antidepressant")


@dataclasses.dataclass(frozen=True, eq=False)
class Marched:
    """Courses of all arms at some free numbers.

    Attributes:
        courses: By arm, (readout, time, patient), in the readouts and at the times of that arm.
        failed: By arm, places of patients whose march failed; the next one that did not stands in.
        theta: Where, numbers without bounds.
        tapes: By arm and block, for the way back.
        donors: By arm, whose course each patient has.
    """

    courses: dict[str, NDArray[np.floating]]
    failed: dict[str, NDArray[np.int64]]
    theta: NDArray[np.float64]
    tapes: dict[str, list[Tape]]
    donors: dict[str, NDArray[np.int64]]


class Courses:
    """Patients of a fit in all its arms.

    Attributes:
        map: The patients as a function of the free numbers.
        times: When the patients of each arm are seen [h].
        readouts: Readouts of the model that are seen in each arm.
        meshes: By arm.
        paths: What the free numbers change about a patient, by path.
    """

    def __init__(
        self,
        fit: Fit,
        patients: int,
        times: Mapping[str, ArrayLike],
        names: Mapping[str, Sequence[str]],
        *,
        dtype: str = "float32",
        block: int = BLOCK,
    ) -> None:
        """Prepare the march: structure and meshes.

        Args:
            fit: The fit.
            patients: How many in each arm.
            times: When the patients of each arm are seen [h], from 0 on, strictly increasing.
            names: Readouts of the model that are seen in each arm.
            dtype: "float32" or "float64".
            block: Patients marched together.
        """
        self.map = fit.population_map(patients)
        self.times = {arm: np.asarray(seen, np.float64) for arm, seen in times.items()}
        self.readouts = {arm: tuple(seen) for arm, seen in names.items()}
        self.dtype = np.dtype(dtype)
        self._free, self._count = fit.unknowns, patients
        self._block = min(block, patients + patients % 2)
        self._computed = tuple(sorted({name for seen in names.values() for name in seen}))
        columns = [name for name, _ in readouts.columns(self._computed)]
        with jax.enable_x64(True):
            self._ways = ways_of(
                fit.recipe, {arm: fit.arms[arm] for arm in times}, times, self.dtype
            )
            self._columns = {
                arm: tuple(columns.index(name) for name in seen) for arm, seen in names.items()
            }
            self._find_moving()
            self._build(fit)

    def march(self, theta: ArrayLike) -> Marched:
        """Courses of all arms.

        Args:
            theta: Numbers without bounds, shape (free,).

        Returns:
            The courses, and what their gradients need.
        """
        where = np.asarray(theta, np.float64)
        courses, tapes, failed, donors = {}, {}, {}, {}
        with jax.enable_x64(True):
            own = self._own_at(where)
            steps = sum(self.meshes[arm].steps for arm in self._ways)
            size = steps * len(self.system.kept) * self._padded * self.dtype.itemsize
            for arm, way in self._ways.items():
                tapes[arm] = [
                    self._march_block(arm, own, patients, size <= KEPT_BYTES)
                    for patients in self._blocks()
                ]
                seen = np.concatenate([tape.readouts for tape in tapes[arm]], axis=-1)
                kept = np.abs(way.grid[:, None] - way.times).argmin(axis=0)
                seen = seen[np.array(self._columns[arm], int)][:, kept, : self._count]
                donors[arm] = _donors(np.asarray(np.isfinite(seen).all(axis=(0, 1))))
                failed[arm] = np.flatnonzero(donors[arm] != np.arange(self._count))
                courses[arm] = seen[..., donors[arm]]
        return Marched(courses, failed, where, tapes, donors)

    def pull(self, marched: Marched, cotangents: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Derivatives of some numbers with respect to the free ones.

        Args:
            marched: Courses.
            cotangents: By arm, derivatives of each number with respect to its courses,
                (number, readout, time, patient); arms may be missing.

        Returns:
            (number, free).
        """
        total: NDArray[np.float64] | None = None
        with jax.enable_x64(True):
            for arm, given in cotangents.items():
                from_y, from_leaves = self._pull_arm(marched, arm, np.asarray(given))
                more = self._pull_own(marched.theta, arm, from_y, from_leaves)
                total = more if total is None else total + more
        assert total is not None
        return total

    def pull_patients(
        self, marched: Marched, arm: str, cotangents: ArrayLike
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Derivatives patient by patient, with respect to their own starts and parameters.

        Args:
            marched: Courses.
            arm: Which arm.
            cotangents: (number, readout, time, patient).

        Returns:
            (number, state, patient) and (number, path, patient), the paths those of `paths` and
            then the levels of the trial design.
        """
        with jax.enable_x64(True):
            return self._pull_arm(marched, arm, np.asarray(cotangents))

    def _find_moving(self) -> None:
        """Which leaves of a patient, and which states at the start, depend on the free numbers."""
        theta = self.map.start()
        paths = [row.path for row in rows()]
        self._keys = tuple(dict.fromkeys(way.values for way in self._ways.values()))
        moving: set[str] = set()
        starting: set[int] = set()
        for key in self._keys:

            def everything(theta: jax.Array, key: tuple = key) -> tuple:
                p = individual(replace(self.map.parameters(theta), dict(key)))
                return tuple(leaf(p, path) for path in paths), Cascade.start(p)

            program = trace(everything, jnp.asarray(theta))
            found = [bool(reads) for reads in dependencies(program, [False])]
            moving |= {path for path, mark in zip(paths, found, strict=False) if mark}
            starting |= {k for k, mark in enumerate(found[len(paths) :]) if mark}
        designs = {path for path in moving if path.startswith("designs.")}
        self.paths = tuple(path for path in paths if path in moving - designs)
        self._starting = tuple(sorted(starting))

        def own(theta: jax.Array) -> dict:
            """By settings of an arm: leaves and starts that move; levels of all trial designs."""
            drawn = self.map.parameters(theta)
            result: dict = {}
            for k, key in enumerate(self._keys):
                p = individual(replace(drawn, dict(key)))
                start = Cascade.start(p)
                wide = partial(jnp.broadcast_to, shape=(self._count,))
                moved = [wide(leaf(p, path)) for path in self.paths]
                starts = [wide(start[k]) for k in self._starting]
                none = jnp.zeros((0, self._count))
                result[f"leaves {k}"] = jnp.stack(moved) if moved else none
                result[f"starts {k}"] = jnp.stack(starts) if starts else none
            for design in sorted({way.design for way in self._ways.values()}):
                levels = getattr(drawn.designs, design)
                result[f"design {design}"] = jnp.stack(
                    [jnp.asarray(getattr(levels, name), theta.dtype) for name in DESIGN]
                )
            return result

        self._own = jax.jit(own)

        def pull_own(theta: jax.Array, cotangents: dict) -> jax.Array:
            _, pull = jax.vjp(own, theta)
            return jax.vmap(lambda row: pull(row)[0])(cotangents)

        self._own_back = jax.jit(pull_own)

    def _build(self, fit: Fit) -> None:
        """The system, its meshes and the programs of its gradients."""
        drawn = across_the_prior(fit, PILOT)
        pilot = {key: own_parameters(replace(drawn, dict(key)), PILOT) for key in self._keys}
        base = {
            key: own_parameters(replace(self.map.drawn, dict(key)), self._count)
            for key in self._keys
        }
        same = [set(literals(p).items()) for p in (*base.values(), *pilot.values())]
        fixed = {path: value for path, value in sorted(set.intersection(*same))}
        for path in self.paths:
            fixed.pop(path, None)
        self._cascade = Cascade(fixed, self._computed)
        wide = [
            any(np.ndim(one) for one in some)
            for some in zip(*map(jax.tree.leaves, base.values()), strict=True)
        ]
        self._base = {key: in_shape(p, wide, self._count) for key, p in base.items()}
        self._base_start = {key: Cascade.start(p) for key, p in self._base.items()}
        ways = list(self._ways.values())
        inputs = [in_a_row([way.forcing for way in ways])]
        inputs.append(None if ways[0].impulses is None else in_a_row([w.impulses for w in ways]))
        some_arm = next(iter(self._ways))
        y0, parameters = self._lanes(some_arm, self._own_at(self.map.start()), self._blocks()[0])
        self.system = self._cascade.system(y0, parameters, inputs[0], inputs[1], fit.solver.rtol)
        self.meshes = {}
        for name, way in self._ways.items():
            start, people = self._pilot_lanes(pilot[way.values], way)
            self.meshes[name] = self.system.make_mesh(
                start,
                people,
                way.grid,
                way.edges,
                way.forcing,
                way.impulses,
                serve=SERVE,
                pilot=PILOT,
                block=PILOT,
            )
        tree = jax.tree.structure(parameters)
        places = jax.tree.unflatten(tree, range(tree.num_leaves))
        moving = [leaf(places[0], path) for path in self.paths]
        moving += [getattr(places[1], name) for name in DESIGN]
        self.adjoint = Adjoint(
            self.system,
            moving,
            y0,
            parameters,
            *inputs,
            start_moves=[k in self._starting for k in range(self.system.size)],
            identity=self._cascade.identity,
        )
        kept = [self.system.kept[k] for k in self.adjoint.states]
        self._pulled_starts = [kept.index(k) if k in kept else None for k in self._starting]

    def _march_block(
        self, arm: str, own: Mapping[str, np.ndarray], patients: np.ndarray, keep: bool
    ) -> Tape:
        """Some patients of an arm."""
        way = self._ways[arm]
        y0, parameters = self._lanes(arm, own, patients)
        mesh = self.meshes[arm]
        return self.adjoint.march(mesh, y0, parameters, way.forcing, way.impulses, keep=keep)

    @property
    def _padded(self) -> int:
        return -(-self._count // self._block) * self._block

    def _blocks(self) -> list[np.ndarray]:
        """Places of the patients of each block; the last is filled up."""
        return [
            np.minimum(np.arange(first, first + self._block), self._count - 1)
            for first in range(0, self._count, self._block)
        ]

    def _own_at(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in self._own(jnp.asarray(theta)).items()}

    def _lanes(self, arm: str, own: Mapping[str, np.ndarray], patients: np.ndarray) -> tuple:
        """Starts and parameters of some patients of an arm, in the dtype of the march."""
        way = self._ways[arm]
        k = self._keys.index(way.values)
        p = replace(self._base[way.values], dict(zip(self.paths, own[f"leaves {k}"], strict=True)))
        start = list(self._base_start[way.values])
        for place, values in zip(self._starting, own[f"starts {k}"], strict=True):
            start[place] = values
        levels = zip(DESIGN, own[f"design {way.design}"], strict=True)
        design = {name: np.full(self._count, level) for name, level in levels}
        design = dataclasses.replace(getattr(p.designs, way.design), **design)

        def some(values: Any) -> np.ndarray:
            array = np.asarray(values, self.dtype)
            return array[patients] if array.ndim else array

        start, parameters = jax.tree.map(some, (tuple(start), (p, design)))
        return tuple(np.broadcast_to(values, patients.shape) for values in start), parameters

    def _pilot_lanes(self, p: Parameters, way: Way) -> tuple:
        start = tuple(np.broadcast_to(value, (PILOT,)) for value in Cascade.start(p))
        tree = (start, (p, getattr(p.designs, way.design)))
        return jax.tree.map(lambda values: np.asarray(values, self.dtype), tree)

    def _pull_arm(self, marched: Marched, arm: str, given: np.ndarray) -> tuple:
        """Derivatives with respect to starts and leaves, (number, state or leaf, patient)."""
        way = self._ways[arm]
        numbers = given.shape[0]
        # A patient who stands in for others answers for them too.
        direct = np.zeros_like(given)
        np.add.at(np.moveaxis(direct, -1, 0), marched.donors[arm], np.moveaxis(given, -1, 0))
        columns = len(readouts.columns(self._computed))
        whole = np.zeros((numbers, columns, way.grid.size, self._padded), self.dtype)
        kept = np.abs(way.grid[:, None] - way.times).argmin(axis=0)
        for column, values in zip(self._columns[arm], np.moveaxis(direct, 1, 0), strict=True):
            for place, row in zip(kept, np.moveaxis(values, 1, 0), strict=True):
                whole[:, column, place, : self._count] += row
        parts = [
            self.adjoint.pull(tape, whole[..., first : first + self._block])
            for tape, first in zip(
                marched.tapes[arm], range(0, self._padded, self._block), strict=True
            )
        ]
        from_y, from_leaves = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        return from_y[..., : self._count], from_leaves[..., : self._count]

    def _pull_own(
        self, theta: np.ndarray, arm: str, from_y: np.ndarray, from_leaves: np.ndarray
    ) -> np.ndarray:
        """Derivatives with respect to the free numbers."""
        way = self._ways[arm]
        numbers = from_leaves.shape[0]
        wide = partial(np.asarray, dtype=np.float64)
        cotangents = {
            name: np.zeros((numbers, *shape)) for name, shape in self._own_shapes().items()
        }
        k = self._keys.index(way.values)
        cotangents[f"leaves {k}"] = wide(from_leaves[:, : len(self.paths)])
        for row, place in enumerate(self._pulled_starts):
            if place is not None:
                cotangents[f"starts {k}"][:, row] = from_y[:, place]
        cotangents[f"design {way.design}"] = wide(from_leaves[:, len(self.paths) :]).sum(axis=-1)
        return np.asarray(self._own_back(jnp.asarray(theta), cotangents))

    def _own_shapes(self) -> dict[str, tuple[int, ...]]:
        theta = jax.ShapeDtypeStruct((len(self._free),), np.float64)
        return {name: value.shape for name, value in jax.eval_shape(self._own, theta).items()}


def _donors(well: np.ndarray) -> np.ndarray:
    """For each patient the place of the next one, itself if possible, whose march went well."""
    places = np.arange(well.size)
    if well.all() or not well.any():
        return places
    good = places[well]
    return good[np.searchsorted(good, places) % good.size]
