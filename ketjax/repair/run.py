"""From bounds to a store of plausible patients: draw, repair, check, compare, write.

study = Study.read("study.toml")
report = mend(study, Plausible.read("plausible.toml", study), "out/plausible.zarr")
patients = patients_of("out/plausible.zarr", recipe_of(study))
solution = simulation_of(other_study, recipe_of(study)).solve(patients)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ketjax import dataset as ds
from ketjax.errors import Problem, StudyError
from ketjax.model.parameters import replace
from ketjax.plausible import Plausible
from ketjax.population import Population, Recipe
from ketjax.population.population import take
from ketjax.preparation import (
    check_arms,
    check_recipe,
    create,
    recipe_of,
    shard_length,
    simulation_of,
)
from ketjax.repair.bounded import Bounded, measured
from ketjax.repair.comparison import EDGE, NEAR, Bias, Costs, compare
from ketjax.repair.effects import Drawn
from ketjax.repair.moves import Box, move
from ketjax.shards import arrays_of
from ketjax.study import Study

TIMED = 3  # marches with and without a gradient, to say what one costs
DRAWN_AS = ds.Variable("drawn_patient", ("patient",), "1", "who was drawn", "int64")
REPAIRED = ds.Variable("repaired", ("patient",), "1", "1 if repaired, 0 if as drawn", "int8")
DISTANCE = ds.trait("distance_moved", "1", "distance from the draw", dtype="float64")


@dataclasses.dataclass(frozen=True)
class Mended:
    """What came of the patients of a study.

    Attributes:
        bounds: In words.
        costs: What was spent.
        bias: How the accepted differ from those of rejection.
        dropped: Accepted patients who left the box on the steps of the whole study, or failed.
        seconds: Of all.
    """

    bounds: tuple[str, ...]
    costs: Costs
    bias: Bias
    dropped: int
    seconds: float

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Head and lines: what an accepted patient costs, by rejection and by repair."""
        c, b = self.costs, self.bias
        accepted = c.plausible + c.repaired
        lines = [
            ["drawn", f"{c.drawn}", f"{c.drawn}"],
            ["accepted", f"{c.plausible}", f"{accepted}"],
            ["accepted of drawn [%]", f"{_share(c.plausible, c)}", f"{_share(accepted, c)}"],
            ["marches per accepted patient", f"{c.by_rejection:.1f}", f"{c.by_repair:.1f}"],
            [f"within {EDGE:.0%} of a bound [%]", *(f"{100 * x:.1f}" for x in b.edge)],
            [f"within {NEAR:.0%} of a bound [%]", *(f"{100 * x:.1f}" for x in b.near)],
            ["distance to the nearest", *(f"{x:.2f}" for x in b.neighbour)],
        ]
        return ("", "rejection", "repair"), lines

    def means(self) -> tuple[Sequence[str], list[list[str]]]:
        """Head and lines: means and SDs of the random effects, by parameter."""
        lines = [
            [path, *(f"{x:+.2f}" for x in mean), *(f"{x:.2f}" for x in self.bias.deviations[path])]
            for path, mean in self.bias.means.items()
        ]
        head = ("random effect of", "mean, rejection", "accepted", "repaired")
        return (*head, "SD, rejection", "accepted", "repaired"), lines

    def closing(self) -> str:
        """What the tables do not say."""
        c, b = self.costs, self.bias
        lost = c.drawn - c.plausible - c.repaired - c.failed
        return (
            f"{c.drawn:,} drawn: {c.plausible:,} plausible, {c.repaired:,} repaired, {lost:,} not "
            f"repairable, {c.failed:,} failed; {self.dropped:,} of the accepted left the box on "
            f"the steps of the whole study\n"
            f"{c.gradients:,} marches with a gradient, each worth {c.price:.1f} marches (measured);"
            f" a repair alone costs {c.of_a_repair:.1f} marches\n"
            f"Repaired patients moved by {b.moved[0]:.2f} SD on average, {b.moved[1]:.2f} at most;"
            f" covariance off by {b.covariance:.0%} ({b.noise:.0%} between halves of rejection)\n"
            f"Rejection, here {b.reference:,} patients, draws from the prior given the bounds. "
            "Repair does not: take repaired patients as candidates, and weigh them "
            "(ketjax weights).\n"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not finite is None."""
        costs = dataclasses.asdict(self.costs) | {
            "marches_by_rejection": self.costs.by_rejection,
            "marches_by_repair": self.costs.by_repair,
        }
        found = {"bounds": list(self.bounds), **costs, **self.bias.to_dict()}
        return _plain(found | {"dropped": self.dropped, "seconds": self.seconds})


def mend(
    study: Study,
    asked: Plausible,
    out: str | Path | None = None,
    *,
    rejection: int = 0,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Mended:
    """Repair the implausible patients of a study and say how that compares with rejection.

    Args:
        study: Whose patients are drawn; its arms and times are what is written.
        asked: Bounds, and how to repair.
        out: Store of the accepted patients, for `ketjax weights` and `ketjax summarise`; none is
            written if None.
        rejection: Further patients who are only drawn, so that rejection is known better.
        overwrite: Replace a ketjax store that is there.
        tell: Called with what goes on.

    Returns:
        What came of it.

    Raises:
        StudyError: The study cannot be drawn, or nobody is plausible.
        StoreError: The output exists.
    """
    began = time.perf_counter()
    if out is not None:
        ds.check_place(Path(out), overwrite=overwrite)
    recipe = recipe_of(study)
    check_recipe(recipe)
    check_arms(study)
    count = study.population.patients
    drawn = Drawn.of(recipe, asked.movable, np.arange(count))
    simulation = simulation_of(asked.narrow(study), recipe)
    bounded = Bounded(asked.plausible, simulation, drawn)
    box = box_of(asked)

    def seen(population: Population) -> NDArray[np.float64]:
        return measured(asked.plausible, simulation, simulation.solve(population), population)

    values = seen(drawn.population)
    failed, inside = ~np.isfinite(values).all(axis=0), box.holds(values)
    tell(f"{int(inside.sum())} of {count} are plausible as drawn")
    outside = np.flatnonzero(~(inside | failed))
    start = drawn.start
    found = move(
        lambda e, places: bounded(e, outside[places]),
        start[:, outside],
        box,
        asked.repair.steps,
        asked.repair.reach,
    )
    entered = outside[found.inside]
    effects = found.effects[:, found.inside]
    mended = drawn.moved(effects, entered)
    again = seen(mended) if entered.size else np.empty((len(asked.plausible), 0))
    good = box.holds(again)
    tell(f"{int(good.sum())} of {outside.size} are repaired")
    price = _price(bounded, drawn) if outside.size else np.nan
    reference = [(start[:, inside], values[:, inside])]
    if rejection:
        more = Drawn.of(recipe, asked.movable, np.arange(count, count + rejection))
        others = seen(more.population)
        held = box.holds(others)
        reference.append((more.start[:, held], others[:, held]))
    exact, exact_values = (np.concatenate(p, axis=1) for p in zip(*reference, strict=True))
    costs = Costs(
        drawn=count,
        plausible=int(inside.sum()),
        repaired=int(good.sum()),
        failed=int(failed.sum()),
        gradients=int(found.evaluations.sum()),
        price=price,
        checked=int(entered.size),
        further=rejection,
        further_plausible=exact.shape[1] - int(inside.sum()),
    )
    if not costs.plausible + costs.repaired:
        hint = "widen the bounds, let more parameters move, or draw more patients"
        raise StudyError(Problem("plausible", "nobody is plausible, nor can be made so", hint=hint))
    bias = compare(
        asked.movable,
        box,
        (exact, exact_values),
        (start[:, inside], values[:, inside]),
        (effects[:, good], again[:, good]),
        start[:, entered[good]],
    )
    dropped = 0
    if out is not None:
        kept = take(drawn.population, np.flatnonzero(inside))
        distance = np.sqrt(((effects - start[:, entered]) ** 2).sum(axis=0))[good]
        everybody = _joined(kept, take(mended, np.flatnonzero(good)))
        distance = np.concatenate([np.zeros(costs.plausible), distance])
        dropped = _write(study, asked, recipe, everybody, distance, Path(out), overwrite)
    texts = tuple(_text(asked, k) for k in range(len(asked.plausible)))
    return Mended(texts, costs, bias, dropped, time.perf_counter() - began)


def box_of(asked: Plausible) -> Box:
    """The bounds as arrays."""
    low, high = np.array([one.limits for one in asked.plausible]).T
    scale = np.array([one.scale for one in asked.plausible])
    return Box(low, high, scale, asked.repair.stiffness, asked.repair.margin)


def patients_of(store: str | Path | xr.Dataset, recipe: Recipe) -> Population:
    """The patients of a store as a simulation takes them.

    Args:
        store: Written by `mend`, or by any study whose patients vary as the recipe's.
        recipe: Who was drawn.

    Returns:
        The population, with the numbers that were simulated, to the bit.

    Raises:
        StudyError: The store lacks a parameter that varies here.
    """
    dataset = store if isinstance(store, xr.Dataset) else ds.open_store(store)
    missing = [path for path in recipe.varying() if path not in dataset]
    if missing:
        hint = "give the study of which the store was made"
        problems = [Problem(path, "the store has no such parameter", hint=hint) for path in missing]
        raise StudyError(problems)
    values = {path: dataset[path].to_numpy() for path in recipe.varying()}
    named = DRAWN_AS.name in dataset
    patient = dataset[DRAWN_AS.name if named else "patient"].to_numpy().astype(np.int64)
    return Population(patient, replace(recipe.typical_patient(), values), recipe.varying())


def _price(bounded: Bounded, drawn: Drawn) -> float:
    """What a march with a gradient costs [marches], both in full blocks of compiled programs."""
    simulation = bounded.simulation
    full = simulation.block // len(simulation.treatments)

    def seconds(patients: int, what: Callable[[NDArray[np.int64]], object]) -> float:
        """Of one patient."""
        places, times = np.resize(np.arange(drawn.population.patient.size), patients), []
        for _ in range(TIMED):
            before = time.perf_counter()
            what(places)
            times.append(time.perf_counter() - before)
        return float(np.median(times)) / patients

    plain = seconds(full, lambda places: simulation.solve(take(drawn.population, places)))
    return seconds(bounded.block, lambda places: bounded(drawn.start[:, places], places)) / plain


def _joined(first: Population, second: Population) -> Population:
    """Patients of both."""
    parameters = jax.tree.map(
        lambda a, b: np.concatenate([a, b]) if np.ndim(a) else a,
        first.parameters,
        second.parameters,
    )
    patient = np.concatenate([first.patient, second.patient])
    return Population(patient, parameters, first.varying)


def _write(
    study: Study,
    asked: Plausible,
    recipe: Recipe,
    population: Population,
    distance: NDArray[np.float64],
    path: Path,
    overwrite: bool,
) -> int:
    """March the accepted through the whole study and keep those who stay; how many do not."""
    simulation = simulation_of(study, recipe)
    solution = simulation.solve(population)
    stays = box_of(asked).holds(measured(asked.plausible, simulation, solution, population))
    places = np.flatnonzero(stays)
    if not places.size:
        hint = "widen the bounds, or lower rtol in [solver]"
        message = "nobody stays in the box on the steps of the whole study"
        raise StudyError(Problem("plausible", message, hint=hint))
    kept = take(population, places)
    whole = dataclasses.replace(
        solution,
        readouts={name: values[..., places] for name, values in solution.readouts.items()},
        status=solution.status[:, places],
        error=solution.error[:, places],
    )
    own = {
        DRAWN_AS.name: kept.patient,
        REPAIRED.name: (distance[places] > 0).astype(np.int8),
        DISTANCE.name: distance[places],
    }
    arrays = arrays_of(study, simulation, kept, whole) | own
    smaller = study.replace(patients=places.size)
    text = json.dumps([study.digest(), asked.model_dump(mode="json")])
    create(
        smaller,
        recipe,
        path,
        overwrite=overwrite,
        more=(DRAWN_AS, REPAIRED, DISTANCE),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )
    length = shard_length(smaller, places.size)
    with ds.lock(path):
        for k, first in enumerate(range(0, places.size, length)):
            part = {name: values[..., first : first + length] for name, values in arrays.items()}
            ds.write_shard(path, k, part)
        ds.finish(path, {"plausible": [_text(asked, k) for k in range(len(asked.plausible))]})
    return int((~stays).sum())


def _text(asked: Plausible, k: int) -> str:
    """A bound in words, with its numbers."""
    one = asked.plausible[k]
    factor, unit = (100.0, "%") if one.unit == "1" else (1.0, one.unit)
    ends = [f"{factor * end:g}" for end in one.limits]
    return f"{one.text}: {ends[0]} to {ends[1]} {unit}"


def _share(number: int, costs: Costs) -> str:
    return f"{100 * number / costs.drawn:.1f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
