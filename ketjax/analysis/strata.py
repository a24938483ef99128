"""Whom a summary speaks of: classes of patients by a trait, and their weights."""

from dataclasses import dataclass

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
        trait: What divides the patients; empty if nothing does.
        labels: Names of the strata.
        code: Place of each patient's stratum in `labels`, -1 without a value; shape (patient,).
    """

    trait: str
    labels: tuple[str, ...]
    code: NDArray[np.int8]


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
    held = values[np.isfinite(values)]
    if not asked:
        distinct = np.unique(held)
        if distinct.size <= MOST_VALUES:
            code = np.searchsorted(distinct, values).astype(np.int8)
            code[~np.isfinite(values)] = -1
            return Strata(trait, tuple(f"{trait} = {value:g}" for value in distinct), code)
        asked = "4"
    bounds = _bounds(by, asked, held)
    code = np.searchsorted(bounds, values, side="right").astype(np.int8)
    code[~np.isfinite(values)] = -1
    return Strata(trait, _labels(trait, bounds), code)


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


def _labels(trait: str, bounds: NDArray[np.float64]) -> tuple[str, ...]:
    if not bounds.size:
        return (f"{trait}, any",)
    texts = [f"{bound:.6g}" for bound in bounds]
    between = [f"{low} <= {trait} < {high}" for low, high in zip(texts, texts[1:], strict=False)]
    return (f"{trait} < {texts[0]}", *between, f"{trait} >= {texts[-1]}")
