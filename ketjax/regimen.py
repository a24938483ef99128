"""Doses, blockers and psychotherapy sessions as data on one time line.

A regimen is a set of events: it does not matter in which order they are given. Times are hours
from the start of the study. Overlapping infusions add; so do doses at the same time. Between two
neighbouring edges every input is constant, which is what the solver needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.errors import Problem, StudyError, check_name, check_range
from ketjax.units import display

Drug = Literal["ketamine", "esketamine", "arketamine", "midazolam", "saline"]
Route = Literal[
    "intravenous",
    "intranasal",
    "oral",
    "sublingual",
    "intramuscular",
    "subcutaneous",
    "intraperitoneal",
]
Target = Literal["ampa", "trkb", "mtor"]
Enantiomer = Literal["esketamine", "arketamine"]

# Ketamine is the racemate. Midazolam and saline are sham treatments: a session, no drug.
ENANTIOMER_SHARES: dict[str, dict[str, float]] = {
    "ketamine": {"esketamine": 0.5, "arketamine": 0.5},
    "esketamine": {"esketamine": 1.0},
    "arketamine": {"arketamine": 1.0},
    "midazolam": {},
    "saline": {},
}
PUMPED_ROUTES = ("intravenous", "intramuscular", "subcutaneous")
RESOLUTION = 1e-9  # [h] edges nearer to each other than this (4 microseconds) are one edge
SHORTEST = 1e-6  # [h] the shortest duration, so that no event falls between two edges


@dataclass(frozen=True)
class Dose:
    """An amount of drug, given at once or infused at a constant rate.

    Attributes:
        drug: what is given.
        route: how it is given.
        amount: how much [mg], or [mg/kg] of body weight if `per_kg`.
        per_kg: whether the amount is for each kilogram of body weight.
        time: start [h].
        duration: length of the infusion [h]; 0 is a bolus. How long absorption takes belongs to
            the model, so only a pump (intravenous, intramuscular, subcutaneous) has a duration.
    """

    drug: str
    route: str
    amount: float
    per_kg: bool = False
    time: float = 0.0
    duration: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a dose that cannot be given."""
        unit = "mg/kg" if self.per_kg else "mg"
        problems = check_name("drug", self.drug, get_args(Drug), "drug")
        problems += check_name("route", self.route, get_args(Route), "route")
        problems += check_range("amount", self.amount, 0.0, np.inf, unit)
        problems += check_range("time", self.time, 0.0, np.inf, "h")
        if self.duration != 0:
            problems += check_range("duration", self.duration, SHORTEST, np.inf, "h")
        if not problems and self.duration > 0 and self.route not in PUMPED_ROUTES:
            given = display(self.duration, "h")
            message = f"the {self.route} route takes no duration"
            allowed = f"0 h, or one of the routes {', '.join(PUMPED_ROUTES)}"
            hint = "absorption belongs to the model: remove the duration"
            problems = [Problem("duration", message, given, allowed, hint, "route_duration")]
        _refuse(problems)

    @property
    def stop(self) -> float:
        """End [h]; the start if it is a bolus."""
        return self.time + self.duration

    def amount_of(self, enantiomer: str, weight: ArrayLike = 70.0) -> NDArray[np.float64]:
        """The amount of one enantiomer [mg].

        Args:
            enantiomer: "esketamine" or "arketamine".
            weight: body weight [kg], a number or of shape (patient,).

        Returns:
            A number, or an array of shape (patient,) if the dose is per body weight.
        """
        amount = self.amount * ENANTIOMER_SHARES[self.drug].get(enantiomer, 0.0)
        weights = np.asarray(weight, dtype=np.float64)
        return amount * weights if self.per_kg else np.float64(amount) * np.ones(())


@dataclass(frozen=True)
class Blocker:
    """A window during which one mechanism is blocked, as by an antagonist given beforehand.

    Attributes:
        target: the mechanism: "ampa", "trkb" or "mtor".
        fraction: how much of it is blocked, 0 to 1.
        time: start [h].
        duration: length [h].
    """

    target: str
    fraction: float
    time: float
    duration: float

    def __post_init__(self) -> None:
        """Refuse a blocker that makes no sense."""
        problems = check_name("target", self.target, get_args(Target), "target")
        problems += check_range("fraction", self.fraction, 0.0, 1.0)
        _refuse(problems + _check_window(self.time, self.duration))

    @property
    def stop(self) -> float:
        """End [h]."""
        return self.time + self.duration


@dataclass(frozen=True)
class Session:
    """A session of psychotherapy.

    Attributes:
        time: start [h].
        duration: length [h].
        intensity: 0 (none) to 1 (full).
    """

    time: float
    duration: float
    intensity: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a session that makes no sense."""
        problems = _check_window(self.time, self.duration)
        _refuse(problems + check_range("intensity", self.intensity, 0.0, 1.0))

    @property
    def stop(self) -> float:
        """End [h]."""
        return self.time + self.duration


Event = Dose | Blocker | Session
AnyEvent = TypeVar("AnyEvent", bound=Dose | Blocker | Session)


@dataclass(frozen=True)
class Regimen:
    """What is done to a patient: events of every kind, sorted by time.

    Attributes:
        events: the events; given in any order, kept in one.
    """

    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        """Sort the events, so that equal regimens are equal however they were written."""
        events = sorted(self.events, key=lambda event: (event.time, repr(event)))
        object.__setattr__(self, "events", tuple(events))

    @property
    def doses(self) -> tuple[Dose, ...]:
        """The doses, in the order of time."""
        return tuple(event for event in self.events if isinstance(event, Dose))

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """The blockers, in the order of time."""
        return tuple(event for event in self.events if isinstance(event, Blocker))

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The psychotherapy sessions, in the order of time."""
        return tuple(event for event in self.events if isinstance(event, Session))

    def merge(self, *others: Regimen) -> Regimen:
        """This regimen together with others, on the same time line."""
        return Regimen(sum((other.events for other in others), self.events))

    def then(self, other: Regimen, after: float) -> Regimen:
        """This regimen, and the other begun `after` [h] later than this one's zero."""
        shifted = (replace(event, time=event.time + after) for event in other.events)
        return Regimen((*self.events, *shifted))

    def edges(self) -> NDArray[np.float64]:
        """The times at which an input changes [h], shape (edge,): every start and every end."""
        return merge_times([time for event in self.events for time in (event.time, event.stop)])

    def infusion_rate(
        self, enantiomer: str, route: str, edges: ArrayLike, weight: ArrayLike = 70.0
    ) -> NDArray[np.float64]:
        """The rate at which pumps deliver an enantiomer, segment by segment.

        Args:
            enantiomer: "esketamine" or "arketamine".
            route: the route of the pump.
            edges: times [h] that bound the segments, shape (segment + 1,); with the edges of this
                regimen among them.
            weight: body weight [kg], a number or of shape (patient,).

        Returns:
            Rates [mg/h], shape (segment,) or (segment, patient).
        """
        middles = _middles(edges)
        rates = np.zeros((*middles.shape, *np.shape(weight)))
        for dose in self.doses:
            if dose.route == route and dose.duration > 0:
                rates[_inside(dose, middles)] += dose.amount_of(enantiomer, weight) / dose.duration
        return rates

    def bolus(
        self, enantiomer: str, route: str, edges: ArrayLike, weight: ArrayLike = 70.0
    ) -> NDArray[np.float64]:
        """The amount of an enantiomer that is given at once at the start of each segment.

        Args:
            enantiomer: "esketamine" or "arketamine".
            route: the route of the dose.
            edges: times [h] that bound the segments, shape (segment + 1,); with the edges of this
                regimen among them.
            weight: body weight [kg], a number or of shape (patient,).

        Returns:
            Amounts [mg], shape (segment,) or (segment, patient).

        Raises:
            ValueError: if a dose falls between the edges.
        """
        starts = np.asarray(edges, dtype=np.float64)[:-1]
        amounts = np.zeros((*starts.shape, *np.shape(weight)))
        for dose in self.doses:
            if dose.route == route and dose.duration == 0:
                nearest = int(np.argmin(np.abs(starts - dose.time)))
                if abs(starts[nearest] - dose.time) > RESOLUTION:
                    raise ValueError(f"no segment starts at the dose at {dose.time!r} h")
                amounts[nearest] += dose.amount_of(enantiomer, weight)
        return amounts

    def blocked(self, target: str, edges: ArrayLike) -> NDArray[np.float64]:
        """The fraction of a mechanism that is blocked in each segment [1], shape (segment,).

        Overlapping blockers act independently: two of one half leave a quarter.
        """
        middles = _middles(edges)
        left = np.ones(middles.shape)
        for blocker in self.blockers:
            if blocker.target == target:
                left[_inside(blocker, middles)] *= 1.0 - blocker.fraction
        return 1.0 - left

    def session_intensity(self, edges: ArrayLike) -> NDArray[np.float64]:
        """The intensity of psychotherapy in each segment [1], shape (segment,).

        Of overlapping sessions the most intense counts.
        """
        middles = _middles(edges)
        intensity = np.zeros(middles.shape)
        for session in self.sessions:
            inside = _inside(session, middles)
            intensity[inside] = np.maximum(intensity[inside], session.intensity)
        return intensity


def repeat(event: AnyEvent, every: float, count: int) -> tuple[AnyEvent, ...]:
    """The same event several times.

    Args:
        event: the first one.
        every: time from one start to the next [h].
        count: how many in all.

    Returns:
        The events, in the order of time.

    Raises:
        StudyError: if the interval is not positive or the count is below 1.
    """
    problems = check_range("every", every, SHORTEST, np.inf, "h")
    _refuse(problems + check_range("count", count, 1, np.inf))
    return tuple(replace(event, time=event.time + index * every) for index in range(count))


def merge_times(*times: ArrayLike) -> NDArray[np.float64]:
    """The sorted union of several sets of times; times that differ by rounding only are one.

    Args:
        *times: times [h], each of any length.

    Returns:
        Strictly increasing times [h], shape (time,), each of them one of those given.
    """
    union = np.unique(np.concatenate([np.ravel(np.asarray(t, dtype=np.float64)) for t in times]))
    return union[np.diff(union, prepend=-np.inf) > RESOLUTION]


def _middles(edges: ArrayLike) -> NDArray[np.float64]:
    """The middle of each segment [h]: it lies safely inside, whatever the edges' rounding."""
    bounds = np.asarray(edges, dtype=np.float64)
    return 0.5 * (bounds[:-1] + bounds[1:])


def _inside(event: Event, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which times fall between the event's start and its end."""
    return (event.time <= times) & (times < event.stop)


def _check_window(time: float, duration: float) -> list[Problem]:
    """The problems of an event that must last."""
    problems = check_range("time", time, 0.0, np.inf, "h")
    return problems + check_range("duration", duration, SHORTEST, np.inf, "h")


def _refuse(problems: Sequence[Problem]) -> None:
    """Raise what was found, if anything was."""
    if problems:
        raise StudyError(problems)
