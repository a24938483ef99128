"""Derivatives of all outputs by what is varied, by the model's own gradients, and what they bound.

A direction that is pushed through the march says how every output at every time answers to one
factor, so the price goes with the factors and not with the outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ketjax.fit.drawing import PopulationMap
from ketjax.model import readouts
from ketjax.model.readouts import READOUTS, REGIONS
from ketjax.population import Population
from ketjax.population.distributions import transform
from ketjax.repair.effects import Drawn, Slopes
from ketjax.sensitivity import screening
from ketjax.sensitivity.designs import Saltelli, sobol_points
from ketjax.sensitivity.groups import REASON, has_group, open_group, write_group
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.ranges import Factor
from ketjax.sensitivity.rows import Rows, values
from ketjax.sensitivity.sobol import still
from ketjax.simulate import Lanes
from ketjax.solve.adjoint import Tape

Floats = NDArray[np.float64]
Tell = Callable[[int, int, str], None]

LANES = 256  # patients marched together in each arm, if a row has no more
DIRECTIONS = 8  # pushed together


@dataclasses.dataclass(frozen=True, eq=False)
class Varied(Drawn):
    """Rows whose factors are drawn from laws of their own, none with another.

    Attributes:
        factors: What is varied.
        at: Standard normal numbers behind the factors, (factor, patient).
        people: Of populations, from the numbers of rows to their patients.
    """

    factors: tuple[Factor, ...]
    at: Floats
    people: PopulationMap | None = None

    @property
    def start(self) -> Floats:
        """Standard normal numbers behind the factors, (factor, patient)."""
        return self.at

    def moving(self, e: Any, normals: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters that depend on the factors, by path; `e` may be traced."""
        numbers = {
            one.name: transform(one.law, one.value, row)
            for one, row in zip(self.factors, e, strict=True)
        }
        if self.people is None:
            return {one.paths[0]: numbers[one.name] for one in self.factors}
        return dataclasses.replace(self.people, normals=normals).moving(numbers)

    @cached_property
    def depends(self) -> tuple[str, ...]:
        """Parameters that move with the factors."""
        first = {path: numbers[:1] for path, numbers in self.normals.items()}
        return tuple(self.moving(self.at[:, :1], first))


class Derivatives:
    """Outputs of rows and their derivatives by all factors, block by block.

    Attributes:
        study: What is asked.
        factors: What is varied.
        rows: Rows in a block.
    """

    def __init__(self, study: SensitivityStudy, factors: tuple[Factor, ...], cube: Floats) -> None:
        """Find what moves; compiled on the first call.

        Args:
            study: What is asked.
            factors: What is varied.
            cube: Points, (row, factor) between 0 and 1.
        """
        self.study, self.factors = study, factors
        self._all = Rows(study, factors)
        self.rows = min(max(1, LANES // self._all.patients), len(cube))
        self._simulation = self._all.simulation
        self._varied = _varied(self._all, cube)
        self._slopes = Slopes(
            self._varied, [t.values for t in self._simulation.treatments.values()]
        )
        with jax.enable_x64(True):
            lanes = self._lanes(np.arange(self.rows * self._all.patients))
            self._adjoint = self._slopes.adjoint(self._simulation, lanes)

    def __call__(self, first: int) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Outputs and derivatives of a block.

        Args:
            first: Number of its first row.

        Returns:
            By name outputs (arm, [region,] time, row), and their derivatives by the standard
            normal numbers behind the factors, (factor, arm, [region,] time, row); NaN where a
            march failed.
        """
        people = self._all.patients
        last = self._varied.at.shape[1]
        every = np.arange(first * people, (first + self.rows) * people)
        places = np.minimum(every, last - 1)  # the last block is filled up
        with jax.enable_x64(True):
            lanes = self._lanes(places)
            mesh = self._simulation.mesh
            tape = self._adjoint.march(
                mesh, lanes.y0, lanes.parameters, lanes.forcing, lanes.impulses
            )
            along = np.concatenate(list(self._pushed(tape, places)))
        shape = (len(self._simulation.treatments), self.rows, people)
        count = int((every < last).sum()) // people
        seen = tape.readouts.reshape(*tape.readouts.shape[:2], *shape)[..., :count, :]
        moved = along.reshape(*along.shape[:3], *shape)[..., :count, :]
        # A march that failed leaves no number anywhere, or none to trust.
        lost = ~np.isfinite(seen).all(axis=(0, 1, 2, 4))
        found, by_z = self._by_name(seen.astype(np.float64), moved.astype(np.float64))
        for part in (*found.values(), *by_z.values()):
            part[..., lost] = np.nan
        return found, by_z

    def _lanes(self, places: NDArray[np.int64]) -> Lanes:
        varied = self._varied
        return self._simulation.lanes(varied.moved(varied.at[:, places], places))

    def _pushed(self, tape: Tape, places: NDArray[np.int64]) -> Iterator[NDArray]:
        """Derivatives (factor, column, time, patient in arms) of some factors at a time."""
        adjoint, slopes, at = self._adjoint, self._slopes, self._varied.at[:, places]
        kept = [self._simulation.system.kept[k] for k in adjoint.states]
        count = len(self.factors)
        for first in range(0, count, DIRECTIONS):
            directions = np.zeros((DIRECTIONS, *at.shape))
            for place in range(first, min(first + DIRECTIONS, count)):
                directions[place - first, place] = 1.0
            leaves, starts = slopes.push(at, places, directions)
            to_y = np.zeros((DIRECTIONS, len(kept), tape.readouts.shape[-1]))
            for k, state in enumerate(slopes.states):
                if state in kept:
                    to_y[:, kept.index(state)] = starts[:, :, k].reshape(DIRECTIONS, -1)
            to_leaves = leaves.swapaxes(1, 2).reshape(DIRECTIONS, len(slopes.paths), -1)
            yield adjoint.push(tape, to_y, to_leaves)[: count - first]

    def _by_name(self, seen: Floats, moved: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Outputs by name, of (column, grid, arm, row, person) and the same by factor."""
        simulation = self._simulation
        kept = np.abs(simulation.grid[:, None] - simulation.times).argmin(axis=0)
        series: dict[str, list[int]] = {}
        for column, (name, _) in enumerate(readouts.columns(simulation.computed)):
            series.setdefault(name, []).append(column)
        found, by_z = {}, {}
        for name in derived(self.study):
            regional = READOUTS[name].regional
            y, dy = (
                part[..., series[name], :, :, :, :][..., kept, :, :, :] for part in (seen, moved)
            )
            # (..., region, time, arm, row, person) to (..., arm, [region,] time, row, person)
            y, dy = (np.moveaxis(part, -3, -5) for part in (y, dy))
            if not regional:
                y, dy = y[..., 0, :, :, :], dy[..., 0, :, :, :]
            if not self.study.is_population:
                found[name], by_z[name] = y[..., 0].copy(), dy[..., 0].copy()
                continue
            people = y.shape[-1]
            found[f"{name}_mean"], by_z[f"{name}_mean"] = y.mean(axis=-1), dy.mean(axis=-1)
            sd = y.std(axis=-1, ddof=1)
            away = y - y.mean(axis=-1, keepdims=True)
            with np.errstate(invalid="ignore", divide="ignore"):
                by_sd = (away * dy).sum(axis=-1) / ((people - 1) * sd)
            found[f"{name}_sd"], by_z[f"{name}_sd"] = sd, np.where(sd > 0, by_sd, 0.0)
        return found, by_z


def _varied(rows: Rows, cube: Floats) -> Varied:
    """The patients of rows, the people of one row after those of another."""
    factors, z = rows.factors, ndtri(cube).T
    paths = tuple(one.paths[0] for one in factors)
    if not rows.study.is_population:
        population = rows.population(values(factors, cube), np.arange(len(cube)))
        return Varied(rows.recipe, paths, population, {}, factors, z)
    people = rows.people(np.tile(np.arange(rows.patients), len(cube)))
    population = Population(people.patient, people.drawn, ())
    at = np.repeat(z, rows.patients, axis=1)
    return Varied(rows.recipe, paths, population, people.normals, factors, at, people)


def derived(study: SensitivityStudy) -> tuple[str, ...]:
    """Readouts that have derivatives: not those that are rounded or noisy."""
    return tuple(name for name in study.outputs if name in READOUTS)


def derivatives(
    study: SensitivityStudy,
    factors: tuple[Factor, ...],
    saltelli: Saltelli | None,
    path: Path,
    tell: Tell | None = None,
) -> None:
    """Derivative-based indices of all outputs that have derivatives, written into a store.

    The smaller of two bounds is kept, in the cube and in standard normal numbers: both hold. The
    variance is that of the Sobol design where there is one, else that of the points.

    Args:
        study: What is asked.
        factors: What is varied.
        saltelli: Design of Sobol indices, of which the first points are taken.
        path: The store.
        tell: Called with points done, points in all and a text.
    """
    count = study.sensitivity.gradients
    if saltelli is not None and len(saltelli.a) >= count:
        cube = saltelli.a[:count]
    else:
        cube = sobol_points(count, len(factors), study.sensitivity.seed)
    density = np.exp(-(ndtri(cube).T ** 2) / 2) / np.sqrt(2 * np.pi)
    march = Derivatives(study, factors, cube)
    found: dict[str, list[Floats]] = {}
    normal: dict[str, screening.SquaredSlopes] = {}
    uniform: dict[str, screening.SquaredSlopes] = {}
    for first in range(0, count, march.rows):
        if tell is not None:
            tell(first, count, f"derivatives at {first:,} of {count:,} points")
        last = min(first + march.rows, count)
        outputs, by_z = march(first)
        for name, slopes in by_z.items():
            flat = np.moveaxis(slopes.reshape(len(factors), -1, last - first), 0, 1)
            for sums, part in ((normal, flat), (uniform, flat / density[:, first:last])):
                more = screening.SquaredSlopes.of(part)
                sums[name] = sums[name] + more if name in sums else more
            found.setdefault(name, []).append(outputs[name])
    parts: dict[str, xr.Variable] = {}
    for name, blocks in found.items():
        whole = np.concatenate(blocks, axis=-1)
        parts |= _indices(study, path, name, whole, normal[name], uniform[name])
    dataset = xr.Dataset(
        parts,
        coords={
            "index": ["mean_square", "bound", "bound_error"],
            "parameter": [one.name for one in factors],
            "arm": list(study.chosen_arms),
            "time": ("time", list(study.times), {"units": "h"}),
        },
    )
    if "region" in dataset.dims:
        dataset = dataset.assign_coords(region=list(REGIONS))
    dataset.attrs = {"confidence": study.sensitivity.confidence, "points": count}
    write_group(path, "dgsm", dataset)


def _indices(
    study: SensitivityStudy,
    path: Path,
    name: str,
    found: Floats,
    normal: screening.SquaredSlopes,
    uniform: screening.SquaredSlopes,
) -> dict[str, xr.Variable]:
    """What the store keeps of one output."""
    shape = found.shape[:-1]
    flat = found.reshape(-1, found.shape[-1])
    with np.errstate(invalid="ignore"):
        variance = np.array([np.nanvar(row) if np.isfinite(row).any() else 0.0 for row in flat])
    if has_group(path, "sobol"):
        variance = open_group(path, "sobol")[f"variance.{name}"].to_numpy().reshape(-1)
    kind = np.float64 if study.is_population else np.dtype(study.solver.dtype)
    scale = READOUTS[name.removesuffix("_mean").removesuffix("_sd")].scale
    variance = np.where(still(flat, scale, kind), 0.0, variance)
    in_normal = screening.derivative_based(normal, variance, constant=1.0)
    in_cube = screening.derivative_based(uniform, variance)
    better = in_cube.bound < in_normal.bound
    bound = np.where(better, in_cube.bound, in_normal.bound)
    error = np.where(better, in_cube.bound_error, in_normal.bound_error)
    stacked = np.stack([part.T for part in (in_cube.mean_square, bound, error)])
    dims = ("arm", "region", "time") if len(shape) == 3 else ("arm", "time")
    meaning = {
        "units": "1",
        "long_name": "mean squared derivative over the unit cube, in the "
        "squared unit of the output; bound on the total index, and its standard error",
    }
    return {
        name: xr.Variable(
            ("index", "parameter", *dims), stacked.reshape(*stacked.shape[:2], *shape), meaning
        ),
        f"variance.{name}": xr.Variable(dims, variance.reshape(shape)),
        f"reason.{name}": xr.Variable(dims, in_normal.reason.reshape(shape), REASON),
        f"groups.{name}": xr.Variable(dims, normal.points.reshape(shape)),
    }
