"""Derivatives of outputs by what is varied, by the model's own gradients, and what they bound.

A pull back through the march gives the derivatives of one output by all factors at once, at the
price of about one march. So the outputs are chosen: the readouts and hours that the table shows,
in the first arm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ketjax.model.readouts import READOUTS, REGIONS
from ketjax.plausible import Bound
from ketjax.population.distributions import transform
from ketjax.repair.bounded import Bounded
from ketjax.repair.effects import Drawn
from ketjax.sensitivity import screening
from ketjax.sensitivity.designs import Saltelli, sobol_points
from ketjax.sensitivity.groups import has_group, open_group, write_group
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.ranges import Factor
from ketjax.sensitivity.rows import Rows, values
from ketjax.sensitivity.sobol import still

Floats = NDArray[np.float64]
Tell = Callable[[int, int, str], None]

BLOCK = 256  # points marched and pulled back together


@dataclasses.dataclass(frozen=True, eq=False)
class Varied(Drawn):
    """Typical patients whose factors are drawn from laws of their own, none with another."""

    factors: tuple[Factor, ...]

    def moving(self, e: Any, normals: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters that depend on the effects, by path; `e` may be traced."""
        del normals
        return {
            one.paths[0]: transform(one.law, one.value, row)
            for one, row in zip(self.factors, e, strict=True)
        }

    @cached_property
    def depends(self) -> tuple[str, ...]:
        """Parameters that move with the effects."""
        return self.paths


def outputs_of(study: SensitivityStudy) -> list[Bound]:
    """Outputs whose derivatives are taken."""
    arm = study.chosen_arms[0]
    found = []
    for name in study.shown_readouts:
        for region in REGIONS if READOUTS[name].regional else (None,):
            for hour in study.shown_hours:
                given = {"arm": arm, "readout": name, "time": f"{hour!r} h", "region": region}
                # Its ends are not used.
                bound = {**given, "low": f"-1e30 {READOUTS[name].unit}"}
                found.append(Bound.model_validate(bound, context=study))
    return found


def slopes(
    study: SensitivityStudy, factors: Sequence[Factor], cube: Floats, tell: Tell | None = None
) -> tuple[Floats, Floats]:
    """Outputs and their derivatives at points.

    Args:
        study: What is asked; of the typical patient.
        factors: What is varied.
        cube: Points, (point, factor) between 0 and 1.
        tell: Called with points done, points in all and a text.

    Returns:
        (output, point) and, by the standard normal numbers behind the factors,
        (output, factor, point); NaN where a march failed.
    """
    asked = outputs_of(study)
    names = sorted({one.readout for one in asked})
    narrow = study.model_copy(
        update={
            "sensitivity": study.sensitivity.model_copy(update={"arms": study.chosen_arms[:1]}),
            "output": study.output.model_copy(
                update={"readouts": tuple(names), "times": tuple(sorted(study.shown_hours))}
            ),
        }
    )
    rows = Rows(narrow, tuple(factors))
    paths = tuple(one.paths[0] for one in factors)
    z = ndtri(cube).T
    population = rows.population(values(factors, cube), np.arange(len(cube)))
    normals = dict(zip(paths, z, strict=True))
    drawn = Varied(rows.recipe, paths, population, normals, tuple(factors))
    bounded = Bounded(asked, rows.simulation, drawn, block=min(BLOCK, len(cube)))
    parts = []
    for first in range(0, len(cube), bounded.block):
        if tell is not None:
            tell(first, len(cube), f"derivatives at {first:,} of {len(cube):,} points")
        some = np.arange(first, min(first + bounded.block, len(cube)))
        parts.append(bounded(z[:, some], some))
    found, by_z = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return found, by_z


def derivatives(
    study: SensitivityStudy,
    factors: Sequence[Factor],
    saltelli: Saltelli | None,
    path: Path,
    tell: Tell | None = None,
) -> None:
    """Derivative-based indices of the chosen outputs, written into a store.

    The smaller of two bounds is kept, in the cube and in standard normal numbers: both hold. The
    variance is that of the Sobol design where there is one, else that of the points.

    Args:
        study: What is asked.
        factors: What is varied.
        saltelli: Design of Sobol indices, of which the first points are taken.
        path: The store.
        tell: As of `slopes`.
    """
    count = study.sensitivity.gradients
    if saltelli is not None and len(saltelli.a) >= count:
        cube = saltelli.a[:count]
    else:
        cube = sobol_points(count, len(factors), study.sensitivity.seed)
    found, by_z = slopes(study, factors, cube, tell)
    density = np.exp(-(ndtri(cube).T ** 2) / 2) / np.sqrt(2 * np.pi)
    asked = outputs_of(study)
    variance = np.nanvar(found, axis=1)
    if has_group(path, "sobol"):
        variance = np.array([_variance(open_group(path, "sobol"), one) for one in asked])
    kept = found.astype(study.solver.dtype)
    flat = [still(kept[k : k + 1], READOUTS[one.readout].scale)[0] for k, one in enumerate(asked)]
    variance = np.where(flat, 0.0, variance)
    normal = screening.derivative_based(by_z, variance, constant=1.0)
    uniform = screening.derivative_based(by_z / density, variance)
    better = uniform.bound < normal.bound
    bound = np.where(better, uniform.bound, normal.bound)
    error = np.where(better, uniform.bound_error, normal.bound_error)
    stacked = np.stack([uniform.mean_square, bound, error])
    dims = ("index", "output", "parameter")
    meaning = {"long_name": "mean squared derivative over the unit cube; bound on the total index"}
    labels = [_label(one) for one in asked]
    write_group(
        path,
        "dgsm",
        xr.Dataset(
            {
                "dgsm": (dims, stacked, meaning),
                "variance": ("output", variance),
                "groups": ("output", normal.groups),
                "reason": ("output", normal.reason),
                "derivative": (
                    ("output", "parameter", "point"),
                    by_z.astype(np.float32),
                    {"long_name": "derivative by the standard normal number of the parameter"},
                ),
            },
            coords={
                "index": ["mean_square", "bound", "bound_error"],
                "output": labels,
                "parameter": [one.name for one in factors],
            },
        ),
    )


def _variance(sobol: xr.Dataset, one: Bound) -> float:
    """Variance of an output over the Sobol design."""
    array = sobol[f"variance.{one.readout}"].sel(arm=one.arm, time=one.hour, method=None)
    return float(array.sel(region=one.region) if one.region else array)


def _label(one: Bound) -> str:
    where = f"{one.readout} of {one.region}" if one.region else one.readout
    return f"{where} in {one.arm} at {one.hour:g} h"
