"""How long responders stay well: relapse by a trial's rule, and the product-limit estimate."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.analysis.summaries import GRAIN, RESPONSE_FRACTION

DAY = 24.0  # [h]
ROUNDING = 1e-6  # [h]


@dataclasses.dataclass(frozen=True)
class RelapseRule:
    """When a responder counts as lost, in the manner of a trial.

    Attributes:
        trial: Which trial, and what in the rule is weaker than that.
        measure: What is judged: the score [points]; its fall from entry, as a share of the score at
            entry [1]; what is left of the gain at the start of the clock [1].
        threshold: A score of at least this much counts as lost, or a fall or a rest of less.
        visits: Visits in a row at which that must be so.
        clock: Dose of the arm, sham included, from which time counts.
        delay: Time from that dose to the visit at which response is judged and the clock starts
            [h].
    """

    trial: str
    measure: Literal["score", "fall", "gain"]
    threshold: float
    visits: int
    clock: Literal["first", "last"]
    delay: float

    def start(self, doses: ArrayLike) -> float:
        """When the clock starts [h]; from time 0 in an arm without doses."""
        times = np.asarray(doses, float)
        dose = (times.min() if self.clock == "first" else times.max()) if times.size else 0.0
        return float(dose) + self.delay

    def lost(
        self, score: NDArray[np.floating], entry: NDArray[np.floating], first: int
    ) -> NDArray[np.bool_]:
        """Where patients count as lost.

        Args:
            score: Score [points], shape (time, patient).
            entry: Score at entry [points], shape (patient,).
            first: Place of the visit at which the clock starts.

        Returns:
            Shape (time, patient).
        """
        if self.measure == "score":
            return score >= self.threshold
        whole = entry if self.measure == "fall" else entry - score[first]
        return entry - score < self.threshold * whole


RELAPSE_RULES: dict[str, RelapseRule] = {
    "quarter_of_gain": RelapseRule("one infusion (Ibrahim 2012)", "fall", 0.25, 2, "first", DAY),
    "score_of_20": RelapseRule(
        "six infusions (Murrough 2013b); that it takes two visits is assumed",
        *("score", 20.0, 2, "last", DAY),
    ),
    "half_of_gain": RelapseRule(
        "six infusions, loss of half the gain; assumed", *("gain", 0.5, 2, "last", DAY)
    ),
    "transform": RelapseRule(
        "nasal esketamine, phase 3: 22 or more twice; clock assumed, other events left out",
        *("score", 22.0, 2, "first", 27 * DAY),
    ),
}
"""By name."""

RELAPSE_SCORE = RELAPSE_RULES["score_of_20"].threshold
"""Score of relapse [points], as in the trial of six infusions."""

RELAPSE_STATES = {0: "relapsed", 1: "censored", 2: "never_responded"}
"""What became of a patient: lost; well until the last visit; not at risk when the clock started."""


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
    hours, relapsed = _first_loss(times, lost[:, responders], first, 2)
    return hours / DAY, relapsed


def time_to_relapse(
    times: NDArray[np.floating],
    score: NDArray[np.floating],
    entry: NDArray[np.floating],
    start: float,
    rule: RelapseRule,
) -> tuple[NDArray[np.floating], NDArray[np.int8]]:
    """Time to relapse of everybody, by the rule of a trial.

    Args:
        times: Visits [h], shape (time,).
        score: Score [points], shape (time, patient).
        entry: Score at entry [points], shape (patient,).
        start: When the clock starts [h]: at the first visit from then on response is judged, and
            from that visit time counts.
        rule: What counts as lost.

    Returns:
        Time from that visit to the first of the lost ones, or to the last visit of all [h], NaN
        for who did not respond; and one of `RELAPSE_STATES`; both of shape (patient,).

    Raises:
        ValueError: Too few visits follow.
    """
    first = int((times < start - ROUNDING).sum())
    if first + rule.visits >= times.size:
        raise ValueError(f"relapse after {start:g} h needs {rule.visits} visits that follow")
    responded = score[first] <= (1 - RESPONSE_FRACTION) * entry
    hours, relapsed = _first_loss(times, rule.lost(score, entry, first), first, rule.visits)
    state = np.where(responded, np.where(relapsed, 0, 1), 2).astype(np.int8)
    return np.where(responded, hours, np.nan), state


def _first_loss(
    times: NDArray[np.floating], lost: NDArray[np.bool_], first: int, visits: int
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Time from visit `first` to the first of so many lost ones in a row [h], or to the last."""
    later = lost[first + 1 :]
    starts = later.shape[0] - visits + 1
    in_a_row = np.logical_and.reduce([later[k : k + starts] for k in range(visits)])
    relapsed = np.asarray(in_a_row.any(axis=0))
    hours = times[first + 1 :] - times[first]
    return np.where(relapsed, hours[in_a_row.argmax(axis=0)], hours[-1]), relapsed


@dataclasses.dataclass(frozen=True, eq=False)
class Endings:
    """How the follow-up of some patients ended: whole numbers, which add up in any order.

    Attributes:
        times: When, each once, rising; shape (time,).
        lost: Patients with the event at each time, or their weights in units of `GRAIN`.
        censored: Patients whose follow-up ended without it.
    """

    times: NDArray[np.float64]
    lost: NDArray[np.int64]
    censored: NDArray[np.int64]

    @classmethod
    def of(cls, times: ArrayLike, lost: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Count patients.

        Args:
            times: When follow-up ended, shape (patient,).
            lost: Whether it was the event.
            weight: Weights in units of their mean [1]; each counts as one if None.
        """
        at, event = np.asarray(times, float), np.asarray(lost, bool)
        heavy = np.ones(at.shape) if weight is None else np.rint(np.asarray(weight) / GRAIN)
        distinct, place = np.unique(at, return_inverse=True)
        found = (
            np.bincount(place, np.where(here, heavy, 0.0), distinct.size).astype(np.int64)
            for here in (event, ~event)
        )
        return cls(distinct, *found)

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Those of several parts of the patients together."""
        times, place = np.unique(np.concatenate([p.times for p in parts]), return_inverse=True)
        found = []
        for name in ("lost", "censored"):
            counts = np.zeros(times.size, np.int64)
            np.add.at(counts, place, np.concatenate([getattr(part, name) for part in parts]))
            found.append(counts)
        return cls(times, *found)

    def at_risk(self) -> NDArray[np.int64]:
        """Who is followed without event just before each time."""
        ended = self.lost + self.censored
        return ended[::-1].cumsum()[::-1]

    def product_limit(self) -> NDArray[np.float64]:
        """Share without event from each time on [1] (Kaplan and Meier 1958).

        Equation:
            S(t) = product over times u <= t of (1 - d(u)/n(u))
        """
        return np.cumprod(1.0 - self.lost / self.at_risk(), dtype=np.float64)

    def spread(self) -> NDArray[np.float64]:
        """Sum by which Greenwood's formula widens S(t) (Greenwood 1926) [1].

        Equation:
            var(S)/S^2 = sum over times u <= t of d(u) / (n(u) (n(u) - d(u)))
        """
        risk = self.at_risk()
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.cumsum(np.where(self.lost > 0, self.lost / (risk * (risk - self.lost)), 0.0))


def product_limit(
    days: ArrayLike, lost: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Product-limit estimate (Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452).

    Args:
        days: Time to the event or to the end of follow-up [day], shape (patient,).
        lost: Whether it was the event, shape (patient,).

    Returns:
        Event times from 0 [day] and the share without event from each of them on [1].
    """
    counts = Endings.of(days, lost)
    event = counts.lost > 0
    share = counts.product_limit()[event]
    return np.concatenate([[0.0], counts.times[event]]), np.concatenate([[1.0], share])


def at_risk(days: ArrayLike, when: ArrayLike) -> NDArray[np.int64]:
    """Patients who are still followed without event just before each time, shape (time,)."""
    at = np.sort(np.asarray(days, float))
    return at.size - np.searchsorted(at, np.asarray(when, float))
