"""The corridor: study -> population -> simulate -> dataset.

`run` walks it shard by shard, so that memory does not grow with the population. A shard is drawn,
marched through every arm, written and entered in the journal before the next begins. Last comes the
audit of single precision, where it is asked for.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from xarray import Dataset

import ketjax
from ketjax import audit, backend
from ketjax import dataset as store
from ketjax.errors import Problem, StudyError
from ketjax.model.overrides import OVERRIDES
from ketjax.model.parameters import leaf, rows
from ketjax.model.readouts import READOUTS, REGIONS
from ketjax.population import COVARIATES, SHARED_EFFECTS, Recipe, draw
from ketjax.population.population import Population
from ketjax.simulate import BLOCK, RATED, Simulation, Solution, Treatment
from ketjax.study import Study

SHARD_BYTES = 512 * 2**20  # readouts of one shard in memory
SHARD_BLOCKS = 64  # at most, so that an interrupt costs little; few would march many again apart
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
    variables = list(variables_of(study, recipe))
    shard = shard_length(study, count)
    if not resume:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.create(
            path,
            variables,
            store.Coordinates(
                arms=tuple(study.arms), regions=REGIONS, times=study.times, patients=count
            ),
            shard=shard,
            digest=study.digest(),
            attributes={
                "title": study.question,
                "study": study.name,
                "seed": study.population.seed,
                "species": study.population.species,
                "ketjax_version": ketjax.__version__,
                "source": f"ketjax {ketjax.__version__}",
                "comment": "research model, not for clinical use",
            },
            provenance=provenance_of(study),
            overwrite=overwrite,
        )
    with store.lock(path):
        done = store.finished_shards(path, study.digest())
        missing = [k for k in range(store.shards(path)) if k not in done]
        complete = not missing and store.read_attributes(path).get("complete")
        audited = not complete and audit.wanted(study)
        simulation = simulation_of(study, recipe) if missing or audited else None
        compiled = time.perf_counter()
        if progress is not None:
            progress(min(len(done) * shard, count), count)
        solving = 0.0
        if simulation is not None:
            solving = _solve_shards(study, recipe, simulation, path, missing, progress)
        facts: dict[str, object] = {}
        distances: dict[str, float] = {}
        if audited:
            assert simulation is not None
            facts, distances = audit_of(study, recipe, simulation)
        if missing:
            assert simulation is not None
            solved = sum(min((k + 1) * shard, count) - k * shard for k in missing)
            facts |= {
                "seconds": round(time.perf_counter() - began, 3),
                "compiling_seconds": round(compiled - began, 3),
                "solving_seconds": round(solving, 3),
                "patients_per_second": round(solved / solving, 1),
                "steps": simulation.mesh.steps,
            }
            facts |= tolerance_kept(path)
        if not complete:
            store.finish(
                path,
                facts,
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
            written = writer.submit(store.write_shard, path, k, arrays_of(population, solution))
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
        [1], and the largest finite one, over the tolerance [1].
    """
    errors = store.open_store(path, allow_incomplete=True)["solver_error"].max("arm")
    found = Dataset(
        {"within": (errors <= 1).mean(), "largest": errors.where(np.isfinite(errors)).max()}
    ).compute()  # one pass: every chunk is read once
    return {
        "within_tolerance": float(found["within"]),
        "largest_solver_error": float(found["largest"]),
    }


def arrays_of(population: Population, solution: Solution) -> dict[str, np.ndarray]:
    """What is kept of some patients: the variables of `variables_of` by name."""
    arrays = dict(solution.readouts)
    arrays |= {name: leaf(population.parameters, name) for name in population.varying}
    arrays["baseline_madrs"] = np.broadcast_to(
        leaf(population.parameters, "score.baseline"), population.patient.shape
    )
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
    return facts, audit.distances(*pair)


def recipe_of(study: Study) -> Recipe:
    """Who is drawn."""
    p = study.population
    return Recipe(p.seed, p.design, p.species, p.typical, p.entry, p.correlations, study.parameters)


def check_recipe(recipe: Recipe) -> None:
    """Draw one patient, so that limits and correlations that cannot hold are found at once.

    Raises:
        StudyError: Nobody can be drawn.
    """
    varying = recipe.laws()
    problems = [
        Problem(
            f"population.entry.{name}",
            "this does not vary here",
            allowed="covariates that the species varies",
            code="fixed",
        )
        for name in recipe.entry
        if not recipe.typical and COVARIATES[name] not in varying
    ]
    problems += [
        Problem(
            f"population.correlations.{pair!r}",
            f"{path} has no random effect of its own here",
            allowed="two parameters that vary",
            code="fixed",
        )
        for pair in recipe.correlations
        for path in pair.split(" ~ ")
        if not recipe.typical and (path not in varying or path in SHARED_EFFECTS)
    ]
    if problems:
        raise StudyError(problems)
    try:
        draw(recipe, [0])
    except ValueError as error:
        raise StudyError(
            [
                Problem(
                    "population",
                    str(error),
                    allowed="limits that leave somebody, correlations that can hold together",
                    hint="widen [population.entry] or lower [population.correlations]",
                    code="nobody",
                )
            ]
        ) from None


def check_arms(study: Study) -> None:
    """All arms hold the same patients with the same baseline.

    Raises:
        StudyError: An arm sets the baseline score.
    """
    problems = [
        Problem(
            f"arms.{name}.parameters.score.baseline",
            "an arm cannot change the baseline: change is measured from it",
            hint="set it in [parameters] for all arms",
            code="baseline",
        )
        for name, arm in study.arms.items()
        if "score.baseline" in arm.parameters
    ]
    if problems:
        raise StudyError(problems)


def simulation_of(study: Study, recipe: Recipe) -> Simulation:
    """What happens to them, compiled."""
    treatments = {
        name: Treatment(
            arm.regimen,
            arm.expectancy,
            {**OVERRIDES.get(arm.interaction, {}), **arm.parameters},
        )
        for name, arm in study.arms.items()
    }
    return Simulation(
        recipe,
        treatments,
        study.times,
        names=study.readouts,
        rtol=study.solver.rtol,
        dtype=study.solver.dtype,
    )


def variables_of(study: Study, recipe: Recipe) -> Iterator[store.Variable]:
    """What is kept: readouts, the drawn parameters, the baseline score and the solver's word."""
    dtype = study.solver.dtype
    for name in study.readouts:
        row = READOUTS[name if name != RATED else "madrs"]
        meaning = row.meaning if name != RATED else "depression score as rated, MADRS"
        yield store.readout(name, row.unit, meaning, regional=row.regional, dtype=dtype)
    table = {row.path: row for row in rows()}
    for path in recipe.laws():
        yield store.trait(path, table[path].unit, table[path].meaning, dtype="float64")
    yield store.trait("baseline_madrs", "points", "MADRS before treatment", dtype="float64")
    yield store.STATUS
    yield store.SOLVER_ERROR


def shard_length(study: Study, count: int) -> int:
    """Patients in a shard: whole blocks whose readouts stay below `SHARD_BYTES`."""
    itemsize = np.dtype(study.solver.dtype).itemsize
    columns = sum(
        len(REGIONS) if name != RATED and READOUTS[name].regional else 1 for name in study.readouts
    )
    patient = columns * len(study.times) * len(study.arms) * itemsize
    length = BLOCK
    longest = min(count, SHARD_BLOCKS * BLOCK)
    while length * 2 * patient <= SHARD_BYTES and length < longest:
        length *= 2
    return length


def provenance_of(study: Study) -> dict[str, object]:
    """What made the dataset, enough to make it again."""
    device = jax.devices()[0]
    return {
        "study": study.to_dict(),
        "digest": study.digest(),
        "ketjax": ketjax.__version__,
        "versions": {
            "jax": jax.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
        },
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "block": BLOCK,
        "streams": "random: threefry2x32, fold_in(fold_in(fold_in(key(seed mod 2^31), "
        "seed div 2^31), "
        "crc32(path)), patient); sobol: point number patient of the sequence scrambled by seed",
    }


def failed_share(path: str | Path) -> float:
    """Share of patients that failed in any arm [1]."""
    dataset = store.open_store(path)
    return float((dataset["status"] != 0).any("arm").mean())
