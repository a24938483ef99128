"""How long until an outcome: product-limit estimates by arm and stratum, from counts."""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ketjax.analysis.strata import relative_weight, strata_of
from ketjax.analysis.summaries import GRAIN
from ketjax.analysis.survival import RELAPSE_STATES, ROUNDING, Endings
from ketjax.dataset.schema import OK
from ketjax.errors import StoreError

CODES = {state: code for code, state in RELAPSE_STATES.items()}

EVENTS: dict[str, str] = {
    "time_to_response": "no response yet",
    "time_to_remission": "no remission yet",
    "time_to_relapse": "not relapsed, of who responded",
    "dropout_time": "still in the trial",
}
"""Outcomes that are times of an event; what holds before it."""

NORMAL = 1.959963984540054
"""Quantile of the normal law for 95 %."""


def follow_up(
    dataset: xr.Dataset,
    outcome: str,
    hours: ArrayLike | None = None,
    *,
    by: str | None = None,
    weighted: bool = False,
) -> xr.Dataset:
    """Share of the patients without an event, by the product-limit method.

    Who has no time of an event is followed to the last output time. Time to relapse counts from the
    visit at which response is judged, of who responded; the other times from the start.

    Args:
        dataset: A store with the outcome, of trajectories or of summaries.
        outcome: One of `EVENTS`.
        hours: When the share is asked for [h]; the output times if None.
        by: What divides the patients, as in `strata_of`.
        weighted: Use the weights of the store; there are no intervals then.

    Returns:
        Dataset with dims ``arm``, ``stratum`` and ``hour``: ``survival`` with 95 % bounds from
        Greenwood's variance of log(-log S) [1]; ``at_risk`` just before each hour and ``lost`` up
        to it [patients, or their relative weight]; and ``median`` [h], NaN where it is not reached.

    Raises:
        StoreError: The store lacks the outcome.
    """
    if outcome not in EVENTS or outcome not in dataset:
        held = [name for name in EVENTS if name in dataset]
        raise StoreError(
            f"the store has no event {outcome}; it has {', '.join(held) or 'none'}. Ask for "
            f"outcomes in the study: [output] outcomes = [...], of {', '.join(EVENTS)}"
        )
    asked = np.asarray(dataset["time"] if hours is None else hours, np.float64)
    strata = strata_of(dataset, by)
    weight = relative_weight(dataset) if weighted else None
    names = ("survival", "survival_low", "survival_high", "at_risk", "lost", "median")
    found: dict[str, list] = {name: [] for name in names}
    for arm in range(dataset.sizes["arm"]):
        parts = _endings(dataset, outcome, arm, strata.code, len(strata.labels), weight)
        rows = [_at(Endings.merged(own), asked, weight is None) for own in parts]
        for name in names:
            found[name].append([row[name] for row in rows])
    axes = ("arm", "stratum", "hour")
    told = EVENTS[outcome]
    counted = "patients" if weight is None else "weight in units of its mean"
    meanings = {
        "survival": ("1", told),
        "survival_low": ("1", f"{told}, lower 95 % bound"),
        "survival_high": ("1", f"{told}, upper 95 % bound"),
        "at_risk": ("1", f"{counted} followed without event just before"),
        "lost": ("1", f"{counted} with the event so far"),
        "median": ("h", f"time at which half is left: {told}"),
    }
    return xr.Dataset(
        {
            name: (
                axes[: np.ndim(found[name])],
                np.array(found[name]),
                {"units": unit, "long_name": meaning},
            )
            for name, (unit, meaning) in meanings.items()
        },
        {
            "arm": dataset["arm"],
            "stratum": list(strata.labels),
            "hour": ("hour", asked, {"units": "h", "long_name": "time since follow-up began"}),
        },
        dataset.attrs,
    )


def _endings(
    dataset: xr.Dataset,
    outcome: str,
    arm: int,
    code: NDArray[np.int8],
    strata: int,
    weight: NDArray[np.float64] | None,
) -> list[list[Endings]]:
    """Endings of each stratum of an arm, one a chunk of the store."""
    names = [outcome, "status", *(["relapse_state"] if outcome == "time_to_relapse" else [])]
    whole = dataset[names].isel(arm=arm)
    end, count = float(dataset["time"][-1]), dataset.sizes["patient"]
    length = max((dataset.chunks or {}).get("patient", (count,)))
    found: list[list[Endings]] = [[] for _ in range(strata)]
    for start in range(0, count, length):
        here = slice(start, start + length)
        part = whole.isel(patient=here).compute()
        times = part[outcome].to_numpy().astype(np.float64)
        counted = part["status"].to_numpy() == OK
        if outcome == "time_to_relapse":
            state = part["relapse_state"].to_numpy()
            counted &= state != CODES["never_responded"]
            lost = state == CODES["relapsed"]
        else:
            lost = np.isfinite(times)
            times = np.where(lost, times, end)
        for stratum, parts in enumerate(found):
            own = counted & (code[here] == stratum)
            heavy = None if weight is None else weight[here][own]
            parts.append(Endings.of(times[own], lost[own], heavy))
    return found


def _at(endings: Endings, hours: NDArray[np.float64], whole: bool) -> dict[str, NDArray | float]:
    """What is told of some patients at some hours; their weights if they do not count as whole."""
    share = np.concatenate([[1.0], endings.product_limit()])
    spread = np.concatenate([[0.0], endings.spread()])
    grain = 1.0 if whole else GRAIN
    after = np.searchsorted(endings.times, hours + ROUNDING, side="right")
    before = np.searchsorted(endings.times, hours - ROUNDING)
    survival = share[after]
    low = high = np.full(hours.shape, np.nan)
    if whole:
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = NORMAL * np.sqrt(spread[after]) / np.log(survival)
            low, high = survival ** np.exp(-reach), survival ** np.exp(reach)
        certain = survival == 1.0
        low, high = np.where(certain, 1.0, low), np.where(certain, 1.0, high)
    risk = np.concatenate([endings.at_risk(), [0]])
    lost = np.concatenate([[0], endings.lost.cumsum()])
    half = np.flatnonzero(share <= 0.5)
    empty = not risk[0]
    return {
        "survival": np.where(empty, np.nan, survival),
        "survival_low": np.where(empty, np.nan, low),
        "survival_high": np.where(empty, np.nan, high),
        "at_risk": grain * risk[before],
        "lost": grain * lost[after],
        "median": float(endings.times[half[0] - 1]) if half.size else np.nan,
    }
