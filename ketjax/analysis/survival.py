"""How long responders stay well: relapse by a trial's rule, and the product-limit estimate."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.analysis.summaries import RESPONSE_FRACTION

RELAPSE_SCORE = 20.0
"""Score of relapse [points], as in the trial of six infusions."""

DAY = 24.0  # [h]


def relapse_days(
    times: NDArray[np.floating],
    score: NDArray[np.floating],
    start: float,
    lost: NDArray[np.bool_],
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Time to relapse of those who respond: two visits in a row that count as lost.

    Args:
        times: Visits [h], shape (time,).
        score: Score [points], shape (time, patient); the first visit is before treatment.
        start: Visit at which response is judged and from which time counts [h].
        lost: Where a patient counts as lost by the rule of the trial, shape (time, patient).

    Returns:
        Days to the first of the two visits, or to the last visit of all, and whether it was a
        relapse; shape (responder,).

    Raises:
        ValueError: Fewer than two visits follow.
    """
    first = int(np.abs(times - start).argmin())
    if first + 2 >= times.size:
        raise ValueError(f"relapse after {start:g} h needs two visits that follow")
    responders = score[first] <= (1 - RESPONSE_FRACTION) * score[0]
    later = lost[first + 1 :, responders]
    twice = later[:-1] & later[1:]
    relapsed = np.asarray(twice.any(axis=0))
    days = (times[first + 1 :] - times[first]) / DAY
    return np.where(relapsed, days[twice.argmax(axis=0)], days[-1]), relapsed


def product_limit(
    days: ArrayLike, lost: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Product-limit estimate (Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452).

    Equation:
        S(t) = product over event times u <= t of (1 - d(u)/n(u))

    Args:
        days: Time to the event or to the end of follow-up [day], shape (patient,).
        lost: Whether it was the event, shape (patient,).

    Returns:
        Event times from 0 [day] and the share without event from each of them on [1].
    """
    at, event = np.asarray(days, float), np.asarray(lost, bool)
    times = np.unique(at[event])
    risk = (at[None] >= times[:, None]).sum(axis=1)
    gone = ((at[None] == times[:, None]) & event[None]).sum(axis=1)
    return np.concatenate([[0.0], times]), np.concatenate([[1.0], np.cumprod(1 - gone / risk)])


def at_risk(days: ArrayLike, when: ArrayLike) -> NDArray[np.int64]:
    """Patients who are still followed without event just before each time, shape (time,)."""
    at = np.asarray(days, float)
    return (at[None] >= np.asarray(when, float)[:, None]).sum(axis=1)
