"""The corridor: study -> population -> simulate -> dataset.

`run` walks it shard by shard, so that memory does not grow with the population. A shard is drawn,
marched through every arm, written and entered in the journal before the next begins. Last comes the
audit of single precision, where it is asked for.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from xarray import Dataset

from ketjax import audit, backend, trials
from ketjax import dataset as store
from ketjax.model.parameters import leaf
from ketjax.population import Recipe, draw
from ketjax.population.population import Population
from ketjax.preparation import (
    check_arms,
    check_recipe,
    create,
    recipe_of,
    shard_length,
    simulation_of,
)
from ketjax.simulate import Simulation, Solution
from ketjax.study import Study

Progress = Callable[[int, int], None]


def run(
    study: Study,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Run a study and write its dataset.

    Args:
        study: What is asked.
        out: Path of the Zarr store; `out/<name>.zarr` if None.
        overwrite: Replace an existing ketjax store.
        resume: Go on with an interrupted run of the same study.
        progress: Called with patients done and patients in all.

    Returns:
        Path of the store.

    Raises:
        StoreError: The output exists, or does not belong to this study.
    """
    path = Path(out) if out is not None else Path("out") / f"{study.name}.zarr"
    began = time.perf_counter()
    if folder := backend.prepared().cache:
        backend.tidy(folder)
    count = study.population.patients
    recipe = recipe_of(study)
    check_recipe(recipe)
    check_arms(study)
    shard = shard_length(study, count)
    with ExitStack() as held:
        done: set[int] = set()
        if resume:
            held.enter_context(store.lock(path))
            done = store.finished_shards(path, study.digest())
            missing = [k for k in range(store.shards(path)) if k not in done]
            if not missing and store.read_attributes(path).get("complete"):
                return path
            simulation = simulation_of(study, recipe)
        else:
            store.check_place(path, overwrite=overwrite)  # now: compilation may take a while

            def claim() -> None:
                create(study, recipe, path, overwrite=overwrite)
                held.enter_context(store.lock(path))

            # The template is written while the program is read or compiled.
            with ThreadPoolExecutor(1, "template") as beside:
                claimed = beside.submit(claim)
                simulation = simulation_of(study, recipe)
                claimed.result()
            missing = list(range(store.shards(path)))
        compiled = time.perf_counter()
        if progress is not None:
            progress(min(len(done) * shard, count), count)
        solving = _solve_shards(study, recipe, simulation, path, missing, progress)
        facts: dict[str, object] = {"steps": simulation.mesh.steps}
        distances: dict[str, float] = {}
        if audit.wanted(study):
            found, distances = audit_of(study, recipe, simulation)
            facts |= found
        if missing:
            solved = sum(min((k + 1) * shard, count) - k * shard for k in missing)
            facts |= {
                "seconds": round(time.perf_counter() - began, 3),
                "compiling_seconds": round(compiled - began, 3),
                "solving_seconds": round(solving, 3),
                "patients_per_second": round(solved / solving, 1),
            }
        store.finish(
            path,
            facts | tolerance_kept(path),
            {
                name: {"float64_disagreement": size, "scale": audit.scale_of(name)}
                for name, size in distances.items()
            },
        )
    return path


def _solve_shards(
    study: Study,
    recipe: Recipe,
    simulation: Simulation,
    path: Path,
    missing: list[int],
    progress: Progress | None,
) -> float:
    """Solve and write shards; one is written while the next is solved.

    Args:
        study: What is asked.
        recipe: Who is drawn.
        simulation: What happens to them.
        path: The store.
        missing: Numbers of the shards.
        progress: Called with patients done and patients in all.

    Returns:
        Time spent on solving [s].
    """
    count, solving = study.population.patients, 0.0
    shard = shard_length(study, count)
    written: Future[None] | None = None
    # However the block ends, the shard that is being written is written to its end.
    with ThreadPoolExecutor(1, "writer") as writer:
        for k in missing:
            patients = np.arange(k * shard, min((k + 1) * shard, count))
            population = draw(recipe, patients)
            before = time.perf_counter()
            solution = simulation.solve(population, _patients_done(progress, k * shard, study))
            solving += time.perf_counter() - before
            if written is not None:
                written.result()
            arrays = arrays_of(study, simulation, population, solution)
            written = writer.submit(store.write_shard, path, k, arrays)
            if progress is not None:
                progress(int(patients[-1]) + 1, count)
        if written is not None:
            written.result()
    return solving


def tolerance_kept(path: Path) -> dict[str, object]:
    """Which tolerance the steps kept over the whole population, arms together.

    Args:
        path: A store whose shards are all written.

    Returns:
        Facts for the store: share of patients whose largest local error is within the tolerance
        [1], and the largest finite one, if there is one, over the tolerance [1].
    """
    within, largest, patients = 0, -np.inf, 0
    for errors in store.read_shards(path, "solver_error"):
        worst = errors.max(axis=0)
        within += int((worst <= 1).sum())
        largest = max(largest, worst[np.isfinite(worst)].max(initial=-np.inf))
        patients += worst.size
    facts: dict[str, object] = {"within_tolerance": within / patients}
    return facts | ({"largest_solver_error": float(largest)} if np.isfinite(largest) else {})


def arrays_of(
    study: Study, simulation: Simulation, population: Population, solution: Solution
) -> dict[str, np.ndarray]:
    """What is kept of some patients: the variables of `variables_of` by name."""
    arrays: dict[str, np.ndarray] = {name: solution.readouts[name] for name in study.readouts}
    arrays |= trials.outcomes_of(study, simulation.treatments, population, solution)
    arrays |= {name: leaf(population.parameters, name) for name in population.varying}
    arrays["baseline_madrs"] = np.broadcast_to(
        leaf(population.parameters, "score.baseline"), population.patient.shape
    )
    if simulation.recipe.draws:
        arrays["draw"] = simulation.recipe.draw_of(population.patient)
    return arrays | {"status": solution.status, "solver_error": solution.error}


def _patients_done(
    progress: Progress | None, before: int, study: Study
) -> Callable[[int], None] | None:
    """Progress in patients from progress counted in all arms."""
    if progress is None:
        return None
    done = 0

    def tick(lanes: int) -> None:
        nonlocal done
        done += lanes
        progress(before + done // len(study.arms), study.population.patients)

    return tick


def audit_of(
    study: Study, recipe: Recipe, simulation: Simulation
) -> tuple[dict[str, object], dict[str, float]]:
    """March a sample of the patients in both precisions.

    A patient's numbers depend on nobody beside, so the march in float32 gives again what is stored,
    whether that was written in this run or before an interrupt.

    Args:
        study: What is asked.
        recipe: Who is drawn.
        simulation: The study's own, in float32.

    Returns:
        Facts for the store, and by readout the largest distance in units of its scale [1].
    """
    chosen = audit.sample(study.population.seed, study.population.patients)
    patients = audit.drawn(recipe, chosen)
    double = simulation_of(study.replace(dtype="float64"), recipe)
    pair = simulation.solve(patients), double.solve(patients)
    differs = int((pair[0].status != pair[1].status).any(axis=0).sum())
    facts: dict[str, object] = {
        "audited_patients": len(chosen),
        "audit_status_differs": differs,
    }
    apart = audit.distances(*pair)
    return facts, {name: size for name, size in apart.items() if name in study.readouts}


def failed_share(dataset: Dataset) -> float:
    """Share of the patients of a store that failed in any arm [1]."""
    return float((dataset["status"] != 0).any("arm").mean())
