"""Populations: drawn from the laws of the parameter table, never edited.

A `Recipe` says who may be drawn: typical values, laws, entry limits, correlations, seed, design.
`draw` draws any patients of it by their identity.
"""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.model.laws import FIXED, Law
from ketjax.model.overrides import OVERRIDES
from ketjax.model.parameters import Parameters, leaf, replace, rows
from ketjax.population.designs import random_normals, sobol_normals
from ketjax.population.distributions import holds, transform

# What limits entry to a study, and the parameter behind it.
COVARIATES: dict[str, str] = {
    "age": "demography.age",
    "weight": "demography.weight",
    "baseline_madrs": "score.baseline",
    "inflammation": "inflammation.baseline",
}
# Random effects that two parameters share: the second path uses the stream of the first.
SHARED_EFFECTS: dict[str, str] = {
    "pharmacokinetics.fast_peripheral_volume": "pharmacokinetics.central_volume",
}
# Correlations of random effects: kinetics as published (Otto2021, Fanta 2015), expectancy assumed.
DEFAULT_CORRELATIONS: dict[str, float] = {
    "pharmacokinetics.central_volume ~ pharmacokinetics.hepatic_intrinsic_clearance": 0.48,
    "metabolites.norketamine_central_volume ~ metabolites.norketamine_clearance": 0.5,
    "expectancy.course_gain ~ expectancy.gain": 0.5,  # assumed
}
PILOT_SEED = 0x5EED  # the pilot of a mesh is drawn apart from every study's patients


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Who may be drawn.

    Attributes:
        seed: Seed of all streams.
        design: "random" or "sobol".
        species: Named setting of the table.
        typical: Every patient is the typical one.
        entry: Limits of covariates, by name (`COVARIATES`), in the parameter's unit.
        correlations: "path_a ~ path_b" to correlation of the random effects.
        values: Typical values that differ from the table, by path.
        own_laws: Laws instead of the table's, by path.
        draws: Recipes between which the patients are shared out, if their typical values, laws and
            correlations are uncertain: patient i is one of number i modulo their count. Their seed,
            design and entry are those of this recipe.
    """

    seed: int = 1
    design: str = "random"
    species: str = "human"
    typical: bool = False
    entry: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    correlations: Mapping[str, float] = dataclasses.field(default_factory=dict)
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    own_laws: Mapping[str, Law] = dataclasses.field(default_factory=dict)
    draws: tuple["Recipe", ...] = ()

    def typical_patient(self) -> Parameters:
        """Parameters of the typical patient."""
        return replace(Parameters(), {**OVERRIDES[self.species], **self.values})

    def laws(self) -> dict[str, tuple[float, Law]]:
        """Typical value and law of every parameter that varies, by path, in the table's order."""
        if self.typical:
            return {}
        fixed = OVERRIDES[self.species]
        limits = {COVARIATES[name]: bounds for name, bounds in self.entry.items()}
        varying = {}
        for row in rows():
            value = self.values.get(row.path, fixed.get(row.path, row.value))
            law = FIXED if row.path in fixed else row.law
            if row.path in self.own_laws:
                law = self.own_laws[row.path]
            elif row.path in self.values:
                law = around(law, value)
            if not holds(law, value):
                continue
            if row.path in limits:
                law = within(law, *limits[row.path])
            varying[row.path] = (value, law)
        return varying

    def varying(self) -> tuple[str, ...]:
        """Paths of what differs between patients: by a law, or from draw to draw."""
        laws = self.laws()
        if not self.draws:
            return tuple(laws)
        given = {path for one in self.draws for path in one.values}
        moving = {path for path in given if len({one.values.get(path) for one in self.draws}) > 1}
        return tuple(row.path for row in rows() if row.path in laws or row.path in moving)

    def draw_of(self, patients: NDArray[np.int64]) -> NDArray[np.int64]:
        """To which of the draws patients belong; there must be some.

        Args:
            patients: Identities, shape (patient,).
        """
        return patients % len(self.draws)


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """Drawn patients.

    Attributes:
        patient: Identities, shape (patient,).
        parameters: Parameters as drawn; leaves that vary have shape (patient,), float64.
        varying: Paths of the leaves that vary.
    """

    patient: NDArray[np.int64]
    parameters: Parameters
    varying: tuple[str, ...]


def around(law: Law, value: float) -> Law:
    """The law about another typical value.

    A law without a centre of its own (uniform, log-uniform, categorical) cannot vary about a value,
    nor can a truncated one about a value outside: the value is then everybody's.
    """
    if law.kind in ("uniform", "log-uniform", "categorical"):
        return FIXED
    if law.low is not None and value < law.low or law.high is not None and value > law.high:
        return FIXED
    return dataclasses.replace(law, centre=None)


def moved(
    recipe: Recipe,
    values: Mapping[str, float],
    spreads: Mapping[str, float],
    correlations: Mapping[str, float],
) -> Recipe:
    """The recipe with other numbers for what it draws.

    Args:
        recipe: Who is drawn.
        values: Typical values by path [unit]; laws of the table then vary about them (`around`),
            those that the recipe sets itself stay.
        spreads: Spread of the law that the recipe or the table has, by path.
        correlations: "path_a ~ path_b" to correlation of the random effects.

    Returns:
        A recipe; what is not given stays.
    """
    table = {row.path: row.law for row in rows()}
    values, laws = {**recipe.values, **values}, dict(recipe.own_laws)
    for path, spread in spreads.items():
        law = laws.get(path, table[path])
        if path in values and path not in laws:
            law = around(law, values[path])
        laws[path] = dataclasses.replace(law, spread=spread)
    correlations = {**recipe.correlations, **correlations}
    return dataclasses.replace(recipe, values=values, own_laws=laws, correlations=correlations)


def within(law: Law, low: float, high: float) -> Law:
    """The law truncated further."""
    return dataclasses.replace(
        law,
        low=low if law.low is None else max(low, law.low),
        high=high if law.high is None else min(high, law.high),
    )


def draw(recipe: Recipe, patients: ArrayLike) -> Population:
    """Draw patients by identity.

    Args:
        recipe: Who may be drawn.
        patients: Identities, shape (patient,), 0 or more and below 2**32.

    Returns:
        The population; patient i is the same whoever is drawn beside.
    """
    identity = np.atleast_1d(np.asarray(patients, dtype=np.int64))
    paths = tuple(recipe.laws())
    if not (paths or recipe.draws):
        return Population(identity, recipe.typical_patient(), ())
    normals = sobol_normals if recipe.design == "sobol" else random_normals
    numbers = normals(recipe.seed, paths, identity) if paths else ()
    z = dict(zip(paths, numbers, strict=True))
    if not recipe.draws:
        drawn = _drawn(recipe, z)
        return Population(identity, replace(recipe.typical_patient(), drawn), paths)
    varying = recipe.varying()
    drawn = {path: np.empty(identity.shape) for path in varying}
    own = recipe.draw_of(identity)
    for k in np.unique(own):
        one, mine = recipe.draws[k], np.flatnonzero(own == k)
        some, typical = _drawn(one, {path: z[path][mine] for path in paths}), one.typical_patient()
        for path in varying:
            drawn[path][mine] = some[path] if path in some else leaf(typical, path)
    # What does not vary is the same in all draws.
    return Population(identity, replace(recipe.draws[0].typical_patient(), drawn), varying)


def _drawn(recipe: Recipe, normals: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray]:
    """Parameters that vary, by path, from independent standard normal numbers."""
    z = effects(normals, {**DEFAULT_CORRELATIONS, **recipe.correlations})
    laws = recipe.laws().items()
    return {path: transform(law, value, z[path]) for path, (value, law) in laws if path in z}


def effects(
    normals: Mapping[str, NDArray[np.float64]], correlations: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """Random effects of the patients: correlated, and shared where two parameters share one.

    Args:
        normals: Independent standard normal numbers by path, each of shape (patient,).
        correlations: "path_a ~ path_b" to correlation.

    Returns:
        Standard normal numbers by path.

    Raises:
        ValueError: The correlations cannot hold together.
    """
    z = correlated(normals, correlations)
    for path, source in SHARED_EFFECTS.items():
        if path in z and source in z:
            z[path] = z[source]
    return z


def correlated(
    z: Mapping[str, NDArray[np.float64]], correlations: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """Random effects mixed so that the named pairs correlate.

    Args:
        z: Independent standard normal numbers by path, each of shape (patient,).
        correlations: "path_a ~ path_b" to correlation.

    Returns:
        Standard normal numbers by path; pairs that are not named stay independent.

    Raises:
        ValueError: The correlations cannot hold together.
    """
    pairs = {tuple(pair.split(" ~ ")): r for pair, r in correlations.items() if r != 0}
    pairs = {(a, b): r for (a, b), r in pairs.items() if a in z and b in z}
    names = [path for path in z if any(path in pair for pair in pairs)]
    matrix = np.eye(len(names))
    for (a, b), r in pairs.items():
        i, j = names.index(a), names.index(b)
        matrix[i, j] = matrix[j, i] = r
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(matrix)[0]
        raise ValueError(
            f"the correlations cannot hold together: smallest eigenvalue {lowest:.3g}"
        ) from None
    mixed = dict(z)
    for i, name in enumerate(names):
        # A sum of columns, not a matrix product: its order does not depend on the population.
        total = factor[i, 0] * z[names[0]]
        for j in range(1, i + 1):
            total = total + factor[i, j] * z[names[j]]
        mixed[name] = total
    return mixed


def take(population: Population, places: NDArray[np.int64]) -> Population:
    """The patients at some places of a population."""
    parameters = jax.tree.map(
        lambda leaf: leaf[places] if np.ndim(leaf) else leaf, population.parameters
    )
    return Population(population.patient[places], parameters, population.varying)
