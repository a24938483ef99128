"""Whom a summary speaks of: classes of patients by a trait, and their weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ketjax.dataset.schema import WEIGHT
from ketjax.errors import StoreError

MOST_VALUES = 8
"""A trait with at most so many values has a stratum for each; others are cut into fourths."""

MOST_STRATA = 100


@dataclass(frozen=True, eq=False)
class Strata:
    """Classes that every patient belongs to one of.

    Attributes:
        by: How it was asked for, empty if nothing divides the patients.
        labels: Names of the strata.
        code: Place of each patient's stratum in `labels`, -1 without a value; shape (patient,).
    """

    by: str
    labels: tuple[str, ...]
    code: NDArray[np.int8]

    @property
    def trait(self) -> str:
        """What divides the patients."""
        return self.by.partition(":")[0]

    @property
    def members(self) -> NDArray[np.bool_]:
        """Who belongs to each stratum, (stratum, patient)."""
        return self.code == np.arange(len(self.labels))[:, None]


@dataclass(frozen=True)
class Division:
    """How a trait divides patients.

    Attributes:
        trait: What divides them; empty if nothing does.
        values: Those that have a stratum each, rising, or none.
        bounds: Else where one stratum ends and the next, which holds the bound, begins.
    """

    trait: str
    values: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the strata."""
        if not self.trait:
            return ("all",)
        if self.values:
            return tuple(f"{self.trait} = {value:g}" for value in self.values)
        return _labels(self.trait, self.bounds)

    def code(self, values: NDArray) -> NDArray[np.int8]:
        """Place of each patient's stratum in `labels`, -1 without one; shape (patient,)."""
        if not self.trait:
            return np.zeros(np.shape(values)[-1], np.int8)
        if self.values:
            places = np.searchsorted(self.values, values)
            there = np.append(self.values, np.nan)[places] == values
            return np.where(there, places, -1).astype(np.int8)
        code = np.searchsorted(self.bounds, values, side="right").astype(np.int8)
        code[~np.isfinite(values)] = -1
        return code


def describe_divisions(divisions: Mapping[str, Division]) -> str:
    """Divisions as the attribute `sketched_strata` of a store that keeps sketches of strata."""
    return json.dumps({by: asdict(division) for by, division in divisions.items()})


def kept_divisions(attributes: Mapping[str, Any]) -> dict[str, Division]:
    """What divides the patients in the sketches of a store, by how it was asked for.

    Args:
        attributes: Of the store. Everybody comes first, under the empty text.
    """
    described = json.loads(attributes.get("sketched_strata", "{}"))
    divisions = {
        by: Division(one["trait"], tuple(one["values"]), tuple(one["bounds"]))
        for by, one in described.items()
    }
    return {"": Division(""), **divisions}


def kept_places(attributes: Mapping[str, Any], by: str | None, weighted: bool) -> slice:
    """Where the strata of a division stand among those of which a store keeps sketches.

    Args:
        attributes: Of the store.
        by: The division, None for everybody.
        weighted: Whether weights are asked for.

    Raises:
        StoreError: There is no such division, or weights are asked for.
    """
    divisions = kept_divisions(attributes)
    if weighted or (by or "") not in divisions:
        own = ", ".join(name for name in divisions if name) or "none"
        raise StoreError(
            "the store keeps summaries of its patients instead of trajectories: without weights, "
            f"and by what its study says in [output] strata ({own}); run the study with --keep all"
        )
    start = 0
    for name, division in divisions.items():
        if name == (by or ""):
            break
        start += len(division.labels)
    return slice(start, start + len(divisions[by or ""].labels))


def division_of(by: str, categories: int = 0) -> Division:
    """A division that can be made before all patients are known.

    Args:
        by: `demography.age:30,50`, a trait with bounds, or a trait of whole numbers alone.
        categories: How many values the trait has, from 0 on; 0 if they are no whole numbers.

    Raises:
        StoreError: It needs all patients, as groups of as many patients each do, or bounds are
            wrong.
    """
    trait, _, asked = by.partition(":")
    if not asked and categories:
        return Division(trait, values=tuple(float(k) for k in range(categories)))
    if "," not in asked:
        raise StoreError(f"{by}: bounds are needed, such as {trait}:30,50")
    return Division(trait, bounds=tuple(_bounds(by, asked, np.zeros(0)).tolist()))


def strata_of(dataset: xr.Dataset, by: str | None) -> Strata:
    """Divide the patients of a store.

    Args:
        dataset: A store.
        by: A trait of the store: `demography.female` for its values, `demography.age:4` for four
            groups of as many patients each, `demography.age:30,50` for bounds; None for one stratum
            of everybody.

    Raises:
        StoreError: There is no such trait, or it cannot be divided so.
    """
    if by is None:
        return Strata("", ("all",), np.zeros(dataset.sizes["patient"], np.int8))
    trait, _, asked = by.partition(":")
    traits = [str(name) for name in dataset if dataset[name].dims == ("patient",)]
    if trait not in traits:
        raise StoreError(
            f"--by {by}: {trait} is no trait of the patients of this store; it has "
            + (", ".join(traits) or "none")
        )
    values = dataset[trait].to_numpy()
    if kept := kept_divisions(dataset.attrs).get(by):
        return Strata(by, kept.labels, kept.code(values))
    held = values[np.isfinite(values)]
    distinct = np.unique(held)
    if not asked and 0 < distinct.size <= MOST_VALUES:
        division = Division(trait, values=tuple(distinct.tolist()))
    else:
        division = Division(trait, bounds=tuple(_bounds(by, asked or "4", held).tolist()))
    return Strata(by, division.labels, division.code(values))


def relative_weight(dataset: xr.Dataset) -> NDArray[np.float64]:
    """Weights of the patients of a store in units of their mean [1].

    Raises:
        StoreError: It has none.
    """
    if WEIGHT.name not in dataset:
        raise StoreError(
            "the store has no weights of its patients; write them with ketjax weights TARGETS.toml"
        )
    return dataset[WEIGHT.name].to_numpy() * dataset.sizes["patient"]


def _bounds(by: str, asked: str, held: NDArray) -> NDArray[np.float64]:
    """Where one stratum ends and the next begins: it holds its lower bound."""
    try:
        bounds = np.array([float(text) for text in asked.split(",")])
    except ValueError:
        raise StoreError(
            f"--by {by}: {asked!r} is neither a number of groups, such as 4, nor bounds, such as "
            "30,50"
        ) from None
    if bounds.size > 1:
        if not (np.isfinite(bounds).all() and (np.diff(bounds) > 0).all()):
            raise StoreError(f"--by {by}: bounds must rise")
    else:
        groups = bounds[0]
        if groups != round(groups) or not 2 <= groups <= MOST_STRATA:
            raise StoreError(
                f"--by {by}: {asked} groups; a whole number from 2 to {MOST_STRATA}, or two bounds "
                "or more"
            )
        shares = np.arange(1, groups) / groups
        bounds = np.unique(np.quantile(held, shares)) if held.size else np.zeros(0)
    if bounds.size >= MOST_STRATA:
        raise StoreError(f"--by {by}: more than {MOST_STRATA} strata")
    return bounds


def _labels(trait: str, bounds: Sequence[float]) -> tuple[str, ...]:
    if not bounds:
        return (f"{trait}, any",)
    texts = [f"{bound:.6g}" for bound in bounds]
    between = [f"{low} <= {trait} < {high}" for low, high in zip(texts, texts[1:], strict=False)]
    return (f"{trait} < {texts[0]}", *between, f"{trait} >= {texts[-1]}")
