"""A sensitivity analysis from its study to its store: rows, designs, indices.

    screen -> design -> rows, shard by shard -> indices

First every factor is moved to both ends of its law, one at a time. A factor that came with a group
and moves no output by a single bit is left out. The rest is the design. Its rows lie in a store as
patients do, so that an interrupted run goes on after its last shard and `ketjax verify` reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ketjax
from ketjax import dataset as store
from ketjax.errors import Problem, StudyError
from ketjax.model.readouts import REGIONS
from ketjax.preparation import provenance_of
from ketjax.sensitivity import designs
from ketjax.sensitivity.gradients import derivatives
from ketjax.sensitivity.groups import DESIGN, write_design
from ketjax.sensitivity.indices import Asked, analyse
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.ranges import Factor
from ketjax.sensitivity.rows import Rows, middle, values

Floats = NDArray[np.float64]
Tell = Callable[[int, int, str], None]

LOW, HIGH = 0.025, 0.975
"""Ends of a law, as shares of its draws: where a tornado and Morris trajectories end."""


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """All rows of a study, one method after the other.

    Attributes:
        factors: What is varied, after the screen.
        parts: By method the design of its rows.
        first: By method the number of its first row.
        base: Where nothing is varied, (factor of the study,) between 0 and 1.
        chosen: Places of the factors among those of the study.
    """

    factors: tuple[Factor, ...]
    parts: dict[str, Any]
    first: dict[str, int]
    base: Floats
    chosen: NDArray[np.int64]

    @classmethod
    def of(cls, study: SensitivityStudy, chosen: NDArray[np.int64], base: Floats) -> Design:
        """The design of what the screen has left."""
        s, count = study.sensitivity, chosen.size
        parts: dict[str, Any] = {
            "tornado": designs.Plain(designs.one_at_a_time(count, base[chosen], LOW, HIGH))
        }
        if "sobol" in s.methods:
            parts["sobol"] = designs.Saltelli.of(
                study.samples, count, s.seed, second_order=s.second_order
            )
        if "morris" in s.methods:
            levels = designs.trajectories(s.trajectories, count, s.levels, s.seed)
            points = LOW + (HIGH - LOW) * levels.reshape(-1, count)
            parts["morris"] = designs.Plain(points)
        if "prcc" in s.methods and "sobol" not in s.methods:
            parts["prcc"] = designs.Plain(designs.latin_hypercube(s.samples, count, s.seed))
        ends = np.cumsum([0, *(part.rows for part in parts.values())]).tolist()
        factors = tuple(study.factors[k] for k in chosen)
        return cls(factors, parts, dict(zip(parts, ends, strict=False)), base, chosen)

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(part.rows for part in self.parts.values())

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """First and last row, the latter excluded, by method."""
        found = {m: (self.first[m], self.first[m] + p.rows) for m, p in self.parts.items()}
        return found

    def cube(self, first: int, last: int) -> Floats:
        """Some rows, (row, factor) between 0 and 1."""
        found = []
        for method, (begin, end) in self.places.items():
            if begin < last and first < end:
                rows = np.arange(max(first, begin), min(last, end)) - begin
                found.append(self.parts[method].cube(rows))
        return np.concatenate(found)

    def whole(self, cube: Floats) -> Floats:
        """Rows with all factors of the study: those that the screen left out are not varied."""
        full = np.tile(self.base, (len(cube), 1))
        full[:, self.chosen] = cube
        return full


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        path: The store.
        rows: Rows in all.
        failed: Rows that failed in any arm.
        lost: Largest share of base samples, trajectories or samples that an output lost [1].
        dropped: Factors that move no output.
    """

    path: Path
    rows: int
    failed: int
    lost: float
    dropped: tuple[str, ...]


def run(
    study: SensitivityStudy,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    damaged: Collection[int] = (),
    tell: Tell | None = None,
) -> Outcome:
    """Analyse a study and write its store.

    Args:
        study: What is asked.
        out: Path of the store; `out/<name>.sensitivity.zarr` if None.
        overwrite: Replace an existing ketjax store.
        resume: Go on with an interrupted run of the same study.
        damaged: Shards to compute again, though the journal calls them finished.
        tell: Called with rows or readouts done, those in all and a text.

    Returns:
        What it came to.

    Raises:
        StoreError: The output exists, does not belong to this study, or a damaged shard comes out
            differently.
        StudyError: Nothing that is varied moves an output.
    """
    path = place_of(study, out)
    with ExitStack() as held:
        done, before = set[int](), dict[int, Any]()
        if resume:
            held.enter_context(store.lock(path))
            done = store.finished_shards(path, study.digest()) - {*damaged}
            before = store.entries(path)
        else:
            store.check_place(path, overwrite=overwrite)
        rows = Rows(study)
        design, dropped = screened(rows)
        if not resume:
            create(study, rows, design, path, overwrite=overwrite)
            held.enter_context(store.lock(path))
        if store.group_fault(path, DESIGN):
            write_down(design, path)
        count = store.shards(path)
        missing = [k for k in range(count) if k not in done]
        shard = int(store.read_attributes(path)["shard"])
        for k in missing:
            if tell is not None:
                tell(k * shard, design.rows, f"{k * shard:,} of {design.rows:,} rows")
            first, last = k * shard, min((k + 1) * shard, design.rows)
            cube = design.whole(design.cube(first, last))
            store.write_shard(path, k, rows.march(cube, first))
        store.check_again(path, before, damaged)
        if missing or not store.read_attributes(path)["complete"]:
            store.finish(path, {"steps": rows.simulation.mesh.steps})
        lost = analyse(path, _asked(study, design), _points(study, design), tell)
        if "dgsm" in study.sensitivity.methods:
            derivatives(study, design.factors, design.parts.get("sobol"), path, tell)
    failed = sum(int((part != 0).any(axis=0).sum()) for part in store.read_shards(path, "status"))
    return Outcome(path, design.rows, failed, lost, dropped)


def place_of(study: SensitivityStudy, out: str | Path | None = None) -> Path:
    """Where the store of a study lies, unless said otherwise."""
    return Path(out) if out is not None else Path("out") / f"{study.name}.sensitivity.zarr"


def screened(rows: Rows) -> tuple[Design, tuple[str, ...]]:
    """The design of the factors that move an output, and the names of the others.

    A factor that was asked for by name stays.

    Raises:
        StudyError: Nothing is left.
    """
    factors, base = rows.factors, middle(rows.factors)
    cube = designs.one_at_a_time(len(factors), base, LOW, HIGH)
    moves = np.zeros((2, len(factors)), bool)
    parts = [
        rows.march(cube[first : first + rows.at_once], first)
        for first in range(0, len(cube), rows.at_once)
    ]
    for name in parts[0].keys() - {"status", "solver_error"}:
        course = np.concatenate([part[name] for part in parts], axis=-1)
        course = course.reshape(-1, len(cube))
        same = (course == course[:, :1]) | (np.isnan(course) & np.isnan(course[:, :1]))
        moves |= ~same[:, 1:].all(axis=0).reshape(2, -1)
    stays = moves.any(axis=0) | np.array([one.named for one in factors])
    if not moves.any():
        message = "none of it moves an output of these arms"
        names = ", ".join(rows.study.sensitivity.parameters)
        hint = "vary what the arms depend on, or keep other readouts"
        place = "sensitivity.parameters"
        raise StudyError(Problem(place, message, names, "", hint, "no_effect"))
    dropped = tuple(one.name for one, stay in zip(factors, stays, strict=True) if not stay)
    return Design.of(rows.study, np.flatnonzero(stays), base), dropped


def create(
    study: SensitivityStudy, rows: Rows, design: Design, path: Path, *, overwrite: bool
) -> None:
    """Write the template of a store.

    Raises:
        StoreError: The output exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    store.create(
        path,
        rows.variables(),
        store.Coordinates(
            arms=study.chosen_arms, regions=REGIONS, times=study.times, patients=design.rows
        ),
        shard=min(rows.at_once, design.rows),
        digest=study.digest(),
        attributes={
            "title": study.question,
            "study": study.name,
            "seed": study.sensitivity.seed,
            "species": study.population.species,
            "ketjax_version": ketjax.__version__,
            "source": f"ketjax {ketjax.__version__}",
            "subject": "population" if study.is_population else "typical",
            "long_name_of_patient": "row of the design",
            store.GROUPS: [DESIGN, *dict.fromkeys(("tornado", *study.sensitivity.methods))],
        },
        provenance=provenance_of(study),
        overwrite=overwrite,
    )


def write_down(design: Design, path: Path) -> None:
    """Write the numbers of all rows into a store."""
    described = [
        {
            "name": one.name,
            "unit": one.unit,
            "value": one.value,
            "law": str(one.law),
            "origin": one.origin,
        }
        for one in design.factors
    ]

    def blocks() -> Iterator[tuple[int, Floats, Floats]]:
        for first in range(0, design.rows, 4096):
            cube = design.cube(first, min(first + 4096, design.rows))
            yield first, cube, values(design.factors, cube)

    write_design(path, described, design.places, design.rows, blocks())


def _asked(study: SensitivityStudy, design: Design) -> Asked:
    s = study.sensitivity
    places = design.places
    if "prcc" in s.methods:
        places = {**places, "prcc": places.get("prcc", places.get("sobol", (0, 0)))}
    return Asked(
        tuple(one.name for one in design.factors),
        places,
        s.second_order,
        s.resamples,
        s.seed,
        s.confidence,
        s.max_failed_share,
    )


def _points(study: SensitivityStudy, design: Design) -> dict[str, Floats]:
    """Points of the designs that indices are made of, as the estimators want them."""
    s, count = study.sensitivity, len(design.factors)
    found = {}
    if "morris" in s.methods:
        found["morris"] = designs.trajectories(s.trajectories, count, s.levels, s.seed)
    if "prcc" in s.methods:
        saltelli = design.parts.get("sobol")
        if saltelli is None:
            found["prcc"] = design.parts["prcc"].points
        else:
            pairs = np.stack([saltelli.a, saltelli.b], axis=1)
            found["prcc"] = pairs.reshape(-1, count)
    return found
