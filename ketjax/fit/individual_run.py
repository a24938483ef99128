"""Individual fits from their file to their folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

import ketjax
from ketjax.errors import StoreError, TooManyFailures
from ketjax.figures.individuals import plot_individuals
from ketjax.figures.style import save
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_results import (
    curves_of,
    observation_table,
    patient_table,
    results_of,
)
from ketjax.fit.individual_scatter import Scatter
from ketjax.fit.individual_solve import FAILED, Modes, Problem, find_modes

MANIFEST, STORE = "manifest.json", "individuals.zarr"
PATIENTS, OBSERVATIONS, FIGURE = "patients.csv", "observations.csv", "individual_fits.png"


def run(
    plan: IndividualPlan,
    folder: Path,
    *,
    overwrite: bool = False,
    tell: Callable[[int, int, int], None] | None = None,
) -> xr.Dataset:
    """Fit every patient and write what was found.

    Args:
        plan: What is asked.
        folder: Where it is written: manifest, dataset, tables, figure.
        overwrite: Delete individual fits that are there. Nothing else is ever deleted.
        tell: Called with iteration, patients done and all patients.

    Returns:
        The dataset.

    Raises:
        StoreError: The folder is taken.
        TooManyFailures: No patient could be marched.
    """
    _check(folder, overwrite=overwrite)
    march = IndividualMarch(plan)
    modes = solve(plan, march, tell)
    if (modes.status == FAILED).all():
        raise TooManyFailures("no patient's course could be computed: nothing was written")
    identity = {
        "individuals": plan.name,
        "digest": plan.digest(),
        "dtype": plan.solver.dtype,
        "ketjax": ketjax.__version__,
        "jax": jax.__version__,
    }
    results = results_of(plan, march, modes, identity)
    curves = curves_of(plan, march, results)
    building = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    text = json.dumps(plan.to_dict(), indent=1, ensure_ascii=False)
    (building / MANIFEST).write_text(text + "\n", "utf-8")
    # Consolidated metadata are no part of Zarr 3, and text of a fixed width is no type of it.
    texts = {
        name: one.astype(object) for name, one in results.variables.items() if one.dtype.kind == "U"
    }
    results.assign(texts).to_zarr(building / STORE, mode="w", zarr_format=3, consolidated=False)
    (building / PATIENTS).write_text(patient_table(results), "utf-8")
    (building / OBSERVATIONS).write_text(observation_table(results), "utf-8")
    save(plot_individuals(results, curves), building / FIGURE)
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)
    return results


def solve(
    plan: IndividualPlan,
    march: IndividualMarch,
    tell: Callable[[int, int, int], None] | None = None,
) -> Modes:
    """The posterior mode of every patient.

    Args:
        plan: What is asked.
        march: Its patients; made for the same plan, or for one with other values.
        tell: Called with iteration, patients done and all patients.
    """
    scatter = Scatter(plan, march.effects.base)

    def predict(eta: np.ndarray, patients: NDArray[np.int64]) -> tuple[np.ndarray, np.ndarray]:
        predicted = march.predict(eta, patients)
        assert predicted.slopes is not None
        return predicted.values, predicted.slopes

    return find_modes(
        Problem(scatter.values, len(plan.free), predict, scatter.spread),
        iterations=plan.search.iterations,
        tolerance=plan.search.tolerance,
        dtype=march.dtype.name,
        tell=tell,
    )


def _check(folder: Path, *, overwrite: bool) -> None:
    """See that the folder is one that may be written to."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise StoreError(f"{folder}: is no folder; choose another place (--out)")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / STORE).exists():
        raise StoreError(
            f"{folder}: holds something that is no individual fits; choose another (--out)"
        )
    if not overwrite:
        raise StoreError(
            f"{folder}: exists already; replace it (--overwrite), or choose another folder (--out)"
        )
