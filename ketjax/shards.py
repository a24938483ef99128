"""The shards of a study: each is drawn, marched through every arm and written, by whoever is free.

A process needs the path of a store and the number of a shard: the study stands in the store.

    open_work("out/s01.zarr", digest).run(7)
"""

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ketjax
from ketjax import condense, trials
from ketjax import dataset as store
from ketjax.errors import StoreError
from ketjax.model.parameters import leaf
from ketjax.population import Recipe, draw
from ketjax.population.population import Population
from ketjax.preparation import recipe_of, simulation_of
from ketjax.simulate import Simulation, Solution
from ketjax.study import Study

Tick = Callable[[int], None]
_ALONE = threading.Lock()  # a worker with several threads solves one shard at a time all the same


class ShardWork:
    """What it takes to do any shard of a store.

    Attributes:
        study: What is asked.
        recipe: Who is drawn.
        simulation: What happens to them, compiled.
        path: The store.
        digest: Configuration of the store.
    """

    def __init__(self, study: Study, recipe: Recipe, simulation: Simulation, path: Path) -> None:
        """Settle that all who write the store take the same steps.

        Args:
            study: What is asked.
            recipe: Who is drawn.
            simulation: Its program and steps.
            path: The store.

        Raises:
            StoreError: The store was made for another study, or with other steps.
        """
        self.study, self.recipe, self.simulation, self.path = study, recipe, simulation, path
        self.digest = study.digest()
        attributes = store.read_attributes(path)
        if attributes["configuration_sha256"] != self.digest:
            raise StoreError(
                f"{path}: was not written by `ketjax run` for this study "
                f"({attributes['configuration_sha256'][:12]}, this is {self.digest[:12]})"
            )
        self._shard, self._count = int(attributes["shard"]), int(attributes["patients"])
        # The steps come out of the same arithmetic as the courses: where they are equal to the
        # bit, the courses of one machine can stand beside those of another.
        mesh = simulation.mesh
        own = hashlib.sha256(mesh.start.tobytes() + mesh.length.tobytes()).hexdigest()
        if (found := store.agree(path, "steps", own)) != own:
            raise StoreError(
                f"{path}: its shards stand on other steps ({found[:12]}) than this machine finds "
                f"({own[:12]}): another kind of processor, or another version of jax. Go on where "
                "the run began, or begin a new store here."
            )

    def patients(self, k: int) -> range:
        """Patients of a shard."""
        return range(k * self._shard, min((k + 1) * self._shard, self._count))

    def solve(self, k: int, tick: Tick | None = None) -> dict[str, np.ndarray]:
        """Draw and march the patients of a shard.

        Args:
            k: Number of the shard.
            tick: Called with patients done, counted in all arms, after each block.

        Returns:
            Every variable of the store, for these patients.
        """
        population = draw(self.recipe, np.asarray(self.patients(k)))
        solution = self.simulation.solve(population, tick)
        return arrays_of(self.study, self.simulation, population, solution)

    def write(self, k: int, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Write a shard.

        Args:
            k: Number of the shard.
            arrays: From `solve`.

        Returns:
            What is told of it: patients, and how many have which status in the arms together.
        """
        device = jax.devices()[0]
        facts = {
            "configuration": self.digest,
            "steps": self.simulation.mesh.steps,
            "device": f"{device.platform} {device.device_kind}",
        }
        status = condense.write_shard(
            self.study, self.path, k, arrays, digest=self.digest, facts=facts
        )
        return {"shard": k, "patients": len(self.patients(k)), "status": status}

    def run(self, k: int) -> dict[str, Any]:
        """Solve a shard and write it, unless the journal has it; what is told of it.

        A scheduler asks twice where it lost the answer of a worker that died.
        """
        entry = store.entry_of(self.path, k)
        if entry is not None and entry.get("configuration") == self.digest:
            return {"shard": k, "patients": len(self.patients(k)), "status": entry["status"]}
        return self.write(k, self.solve(k))


def solve_shard(path: str, k: int) -> dict[str, Any]:
    """Do one shard of a store, in any process that sees the store.

    Args:
        path: The store.
        k: Number of the shard.

    Returns:
        As of `ShardWork.write`.

    Raises:
        StoreError: This process cannot do it: another version, another study, other steps.
    """
    with _ALONE:
        digest = str(store.read_attributes(path)["configuration_sha256"])
        return open_work(path, digest).run(k)


@functools.lru_cache(maxsize=1)
def open_work(path: str, digest: str) -> ShardWork:
    """The work of a store, by the study that stands in it; kept for the next shard.

    Args:
        path: The store.
        digest: Its configuration, so that a store that took its place is opened anew.

    Returns:
        The work.

    Raises:
        StoreError: The store was written in other versions, or not by `ketjax run`.
    """
    study = study_of(path)
    if study.digest() != digest:
        raise StoreError(
            f"{path}: was not written by `ketjax run`: the study in it does not say all"
        )
    recipe = recipe_of(study)
    return ShardWork(study, recipe, simulation_of(study, recipe), Path(path))


def study_of(path: str | Path) -> Study:
    """The study that stands in a store.

    Args:
        path: The store.

    Returns:
        The study.

    Raises:
        StoreError: There is none, or the store was written in other versions.
    """
    try:
        provenance = json.loads(store.read_attributes(path)["ketjax_provenance"])
        document = {"set": "table", **provenance["study"]}  # what says of none has none
        written = {"ketjax": provenance["ketjax"], **provenance["versions"]}
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"{path}: does not say which study it was made of") from None
    here = {"ketjax": ketjax.__version__, "jax": jax.__version__, "numpy": np.__version__}
    if apart := [name for name, version in here.items() if version != written.get(name)]:
        differ = ", ".join(f"{name} {written.get(name)} (here {here[name]})" for name in apart)
        raise StoreError(
            f"{path}: written in other versions: {differ}. Shards of two versions do not "
            "belong together: use those, or begin a new store."
        )
    return Study.parse(document)


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
