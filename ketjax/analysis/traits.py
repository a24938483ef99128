"""Who the patients are: covariates and drawn parameters in numbers, and what goes with a change."""

import dataclasses

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from ketjax.dataset.schema import DRAW, OK, WEIGHT
from ketjax.errors import StoreError

COVARIATES = ("demography.", "baseline_madrs", "inflammation.baseline", "anxiety.baseline")
"""How the names of covariates begin; every other drawn number is a parameter of the model."""

MOST_LEVELS = 5
"""A trait with at most so many values, all whole numbers, is a category."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """One trait over some patients.

    Attributes:
        count: Patients with a number.
        mean, deviation: Mean and standard deviation [unit of the trait].
        quartiles: 25, 50 and 75 % [unit of the trait].
        levels: Of a category: value to number of patients; empty for a measured trait.
    """

    count: int
    mean: float
    deviation: float
    quartiles: tuple[float, float, float]
    levels: dict[float, int]


@dataclasses.dataclass(frozen=True)
class Trait:
    """One trait of a population.

    Attributes:
        name: Public name.
        meaning: What it is.
        unit: Its unit.
        covariate: Whether it describes a person, rather than a mechanism.
        groups: Over all patients, and over each named group.
        difference: Standardised difference of the first two groups, (m1 - m2)/sqrt((s1^2 +
            s2^2)/2) [1]; NaN without groups.
        correlation: Spearman's rank correlation with the outcome [1]; NaN without one.
    """

    name: str
    meaning: str
    unit: str
    covariate: bool
    groups: dict[str, Distribution]
    difference: float
    correlation: float


def describe_traits(
    dataset: xr.Dataset,
    groups: dict[str, NDArray[np.bool_]],
    outcome: NDArray[np.float64] | None = None,
) -> list[Trait]:
    """Describe every covariate and drawn parameter of a store.

    One trait is held at a time: memory is a few numbers a patient.

    Args:
        dataset: A store.
        groups: Marks of patients, by the name of the group.
        outcome: One number a patient, NaN where there is none; None for no correlations.

    Returns:
        The traits, in the order of the store; those that do not vary are left out.
    """
    used = None if outcome is None else np.isfinite(outcome)
    ranks = None if outcome is None or used is None else rankdata(outcome[used])
    found = []
    for name, array in dataset.data_vars.items():
        if array.dims != ("patient",) or name in (DRAW.name, WEIGHT.name):
            continue
        values = array.to_numpy().astype(np.float64)
        finite = values[np.isfinite(values)]
        if not finite.size or not np.ptp(finite) > 0:
            continue
        levels = np.unique(finite[:10_000])
        category = levels.size <= MOST_LEVELS < values.size
        category = category and bool((levels == levels.round()).all())
        parts = {"all": _distribution(values, category)}
        parts |= {group: _distribution(values[marks], category) for group, marks in groups.items()}
        difference = np.nan
        if len(groups) > 1:
            one, other = list(parts.values())[1:3]
            spread = np.sqrt((one.deviation**2 + other.deviation**2) / 2)
            difference = (one.mean - other.mean) / spread if spread > 0 else np.nan
        correlation = np.nan
        if ranks is not None and ranks.size > 2 and np.ptp(values[used]) > 0 and np.ptp(ranks) > 0:
            correlation = np.corrcoef(ranks, rankdata(values[used]))[0, 1]
        found.append(
            Trait(
                str(name),
                str(array.attrs.get("long_name", name)),
                str(array.attrs.get("units", "")),
                str(name).startswith(COVARIATES),
                parts,
                float(difference),
                float(correlation),
            )
        )
    return found


def changes(dataset: xr.Dataset, arm: str, hour: float) -> NDArray[np.float64]:
    """Change of the rated score from entry, as a share of the score at entry.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        arm: The arm.
        hour: When [h]; an output time of the store.

    Returns:
        Change [1], negative for the better, NaN for patients that failed, shape (patient,).

    Raises:
        StoreError: The store keeps no rated score.
    """
    if missing := [n for n in ("madrs_rated", "baseline_madrs", "status") if n not in dataset]:
        raise StoreError(f"the store keeps no {', '.join(missing)}")
    score = dataset["madrs_rated"].sel(arm=arm).sel(time=hour, method="nearest").to_numpy()
    fine = dataset["status"].sel(arm=arm).to_numpy() == OK
    relative = score.astype(np.float64) / dataset["baseline_madrs"].to_numpy() - 1.0
    return np.where(fine, relative, np.nan)


def chance_correlation(patients: int, traits: int) -> float:
    """How large the largest of so many rank correlations gets by chance, once in twenty times [1].

    Args:
        patients: Patients behind each correlation.
        traits: How many correlations are looked at (Bonferroni's bound).
    """
    quantile = float(ndtri(1.0 - 0.025 / max(traits, 1)))
    return quantile / np.sqrt(max(patients - 1, 1))


def _distribution(values: NDArray[np.float64], category: bool) -> Distribution:
    """Numbers of one trait over some patients; NaN where there are none."""
    values = values[np.isfinite(values)]
    if not values.size:
        return Distribution(0, np.nan, np.nan, (np.nan, np.nan, np.nan), {})
    low, middle, high = np.percentile(values, [25, 50, 75]).tolist()
    deviation = float(values.std(ddof=1)) if values.size > 1 else np.nan
    counts = np.unique(values, return_counts=True) if category else ((), ())
    levels = {float(value): int(number) for value, number in zip(*counts, strict=True)}
    return Distribution(values.size, float(values.mean()), deviation, (low, middle, high), levels)
