"""The corridor: study -> population -> simulate -> dataset.

`run` walks it shard by shard, so that memory does not grow with the population. A shard is drawn,
marched through every arm, written and entered in the journal, here or in worker processes. Last
comes the audit of single precision, where it is asked for.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from xarray import Dataset

from ketjax import audit, backend, condense
from ketjax import dataset as store
from ketjax.cluster import Workers, solve_on
from ketjax.population import Recipe
from ketjax.preparation import (
    check_arms,
    check_recipe,
    create,
    recipe_of,
    simulation_of,
)
from ketjax.shards import ShardWork
from ketjax.simulate import Simulation
from ketjax.study import Study

Progress = Callable[[int, int], None]


def run(
    study: Study,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    shard: int | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Path:
    """Run a study and write its dataset.

    Args:
        study: What is asked.
        out: Path of the Zarr store; `out/<name>.zarr` if None.
        overwrite: Replace an existing ketjax store.
        resume: Go on with an interrupted run of the same study.
        shard: Patients in a shard, which one process solves and writes; by memory if None. A run
            that resumes keeps the shards that it finds.
        workers: Processes that solve the shards; this one if None. The store is the same.
        progress: Called with patients done and patients in all.

    Returns:
        Path of the store. Shards that ended every worker were given up: their patients have the
        status ``not_run``, and a run that resumes tries them again.

    Raises:
        StoreError: The output exists, or does not belong to this study.
        EnvironmentFault: The disk is too small, or workers cannot be had.
    """
    path = Path(out) if out is not None else Path("out") / f"{study.name}.zarr"
    began = time.perf_counter()
    if folder := backend.prepared().cache:
        backend.tidy(folder)
    recipe = recipe_of(study)
    check_recipe(recipe)
    check_arms(study)
    condense.divisions_kept(study, recipe.laws())

    def ready() -> Simulation | None:
        return simulation_of(study, recipe) if workers is None else None

    with ExitStack() as held:
        if resume:
            held.enter_context(store.lock(path))
            missing = missing_shards(study, path)
            if not missing and store.read_attributes(path).get("complete"):
                return path
            store.check_room(path)
            simulation = ready()
        else:
            store.check_place(path, overwrite=overwrite)  # now: compilation may take a while

            def claim() -> None:
                create(study, recipe, path, overwrite=overwrite, shard=shard)
                held.enter_context(store.lock(path))

            # The template is written while the program is read or compiled.
            with ThreadPoolExecutor(1, "template") as beside:
                claimed = beside.submit(claim)
                simulation = ready()
                claimed.result()
            missing = missing_shards(study, path)
        compiled = time.perf_counter()
        tell = shard_progress(path, missing, progress)
        if simulation is not None:
            solving = solve_here(ShardWork(study, recipe, simulation, path), missing, tell)
        else:
            assert workers is not None
            for k in missing:
                store.strike(path, k)  # what the journal has is not done again
            for k, reason in solve_on(workers, path, missing, tell).items():
                store.drop_shard(path, k, reason)
            solving = time.perf_counter() - compiled
        facts: dict[str, object] = {}
        if missing:
            sizes = shard_sizes(path)
            facts = {
                "seconds": round(time.perf_counter() - began, 3),
                "compiling_seconds": round(compiled - began, 3),
                "solving_seconds": round(solving, 3),
                "patients_per_second": round(sum(sizes[k] for k in missing) / solving, 1),
            }
        finish(study, recipe, path, simulation, facts)
    return path


def missing_shards(study: Study, path: Path) -> list[int]:
    """Numbers of the shards that a store of this study lacks."""
    done = store.finished_shards(path, study.digest())
    return [k for k in range(store.shards(path)) if k not in done]


def shard_sizes(path: Path) -> list[int]:
    """Patients of each shard of a store."""
    attributes = store.read_attributes(path)
    shard, count = int(attributes["shard"]), int(attributes["patients"])
    return [min(shard, count - start) for start in range(0, count, shard)]


def shard_progress(
    path: Path, missing: Sequence[int], progress: Progress | None
) -> Callable[[float], None]:
    """Progress in all patients of a store from progress in those of its missing shards.

    Args:
        path: The store.
        missing: Shards that are to be solved.
        progress: Called with patients done and patients in all, first at once.

    Returns:
        To be called with a number of patients that have been done.
    """
    sizes = shard_sizes(path)
    total = sum(sizes)
    done: float = total - sum(sizes[k] for k in missing)

    def tell(patients: float) -> None:
        nonlocal done
        done += patients
        if progress is not None:
            progress(round(done), total)

    tell(0)
    return tell


def solve_here(work: ShardWork, missing: Sequence[int], tell: Callable[[float], None]) -> float:
    """Solve and write shards in this process; one is written while the next is solved.

    Args:
        work: How.
        missing: Numbers of the shards.
        tell: Called with patients that have been done.

    Returns:
        Time spent on solving [s].
    """
    arms, solving = len(work.study.arms), 0.0
    written: Future[Any] | None = None
    # However the block ends, the shard that is being written is written to its end.
    with ThreadPoolExecutor(1, "writer") as writer:
        for k in missing:
            told = 0.0

            def tick(lanes: int) -> None:
                nonlocal told
                told += lanes / arms
                tell(lanes / arms)

            before = time.perf_counter()
            arrays = work.solve(k, tick)
            solving += time.perf_counter() - before
            if written is not None:
                written.result()
            written = writer.submit(work.write, k, arrays)
            if (left := len(work.patients(k)) - told) > 0.5:  # the typical patient is marched once
                tell(left)
        if written is not None:
            written.result()
    return solving


def finish(
    study: Study,
    recipe: Recipe,
    path: Path,
    simulation: Simulation | None,
    facts: dict[str, object],
) -> None:
    """Mark a store as complete, with what is known of it when all shards are written.

    Args:
        study: What was asked.
        recipe: Who was drawn.
        path: The store.
        simulation: The study's own, if there is one.
        facts: What else is told.
    """
    distances: dict[str, float] = {}
    if audit.wanted(study):
        found, distances = audit_of(study, recipe, simulation or simulation_of(study, recipe))
        facts = facts | found
    condense.finish(study, path)
    steps = [entry["steps"] for entry in store.entries(path).values() if "steps" in entry]
    store.finish(
        path,
        facts | tolerance_kept(path) | ({"steps": steps[0]} if steps else {}),
        {
            name: {"float64_disagreement": size, "scale": audit.scale_of(name)}
            for name, size in distances.items()
        },
    )


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
