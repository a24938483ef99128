"""Where the time of a run goes: the stages of the corridor for the first study, one by one."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.record import ROOT, Figure, cores
from ketjax import dataset as store
from ketjax.model.parameters import leaf
from ketjax.model.readouts import REGIONS
from ketjax.population import draw
from ketjax.population.population import take
from ketjax.preparation import recipe_of, simulation_of, variables_of
from ketjax.simulate import LIMIT
from ketjax.solve.sweep import sweep
from ketjax.study import Study


class Watch:
    """Adds up the time of stages."""

    def __init__(self) -> None:
        """No time yet."""
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, action: Callable[[], Any]) -> Any:
        """Do something and count its time to a stage [s]."""
        before = time.perf_counter()
        result = action()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - before
        return result


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Seconds and share of each stage."""
    del repetitions
    count = 256 if quick else 10_000
    study = Study.read(ROOT / "studies" / "s01_single_infusion.toml")
    recipe, watch = recipe_of(study), Watch()
    simulation = watch("structure and mesh", lambda: simulation_of(study, recipe))
    one = take(draw(recipe, np.arange(1)), np.zeros(1, np.int64))
    watch("compiling the march", lambda: simulation.solve(one))
    system, mesh, block = simulation.system, simulation.mesh, simulation.block
    patients = np.arange(count)
    population = watch("drawing patients", lambda: draw(recipe, patients))
    with jax.enable_x64(True):
        lanes = watch("preparing parameters", lambda: simulation.lanes(population))
        inputs = (lanes.y0, lanes.parameters, lanes.forcing, lanes.impulses)

        def march(levels: int) -> Any:
            return sweep(system, mesh, *inputs, block=block, limit=LIMIT, levels=levels)

        watch("marching", lambda: march(0))
        result = watch("marching difficult patients again", lambda: march(3))
    # The second sweep marches everybody first.
    again = "marching difficult patients again"
    watch.seconds[again] = max(0.0, watch.seconds[again] - watch.seconds["marching"])
    solution = watch("readouts", lambda: simulation._solution(result, population, count))
    with tempfile.TemporaryDirectory() as folder:
        watch("writing", lambda: _write(Path(folder) / "stages.zarr", study, population, solution))

    everything = sum(watch.seconds.values())
    for stage, seconds in watch.seconds.items():
        note = f"{100 * seconds / everything:.0f} % of {everything:.1f} s"
        yield Figure(stage, seconds, "s", note=note, details={"share": seconds / everything})
    yield Figure(
        "all stages", everything, "s",
        note=f"{count} patients, three arms, {mesh.steps} steps, {cores()} cores",
    )  # fmt: skip


def _write(path: Path, study: Study, population: Any, solution: Any) -> None:
    """One shard with all patients."""
    count = population.patient.size
    variables = list(variables_of(study, recipe_of(study)))
    coordinates = store.Coordinates(
        arms=tuple(study.arms), regions=REGIONS, times=study.times, patients=count
    )
    store.create(
        path, variables, coordinates, shard=count, digest=study.digest(), attributes={},
        provenance={},
    )  # fmt: skip
    arrays = dict(solution.readouts)
    arrays |= {name: leaf(population.parameters, name) for name in population.varying}
    arrays["baseline_madrs"] = np.broadcast_to(
        leaf(population.parameters, "score.baseline"), (count,)
    )
    arrays |= {"status": solution.status, "solver_error": solution.error}
    store.write_shard(path, 0, arrays)
