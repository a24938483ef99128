"""Doses, gates, concomitant agents and psychotherapy sessions as data on one time line.

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
Mechanism = Literal[
    "ampa",
    "l_type_calcium",
    "trkb",
    "mtorc1",
    "autoinhibition",
    "interneuron_nmda",
    "pyramidal_nmda",
    "disinhibition",
    "presynaptic",
    "hydroxynorketamine",
    "habenula",
    "opioid",
    "inflammation",
    "network_depression",
    "default_mode",
    "learning_window",
    "expectancy",
]
AgentName = Literal[
    "perampanel",
    "sirolimus",
    "mglur23_agonist",
    "nifedipine",
    "nimodipine",
    "midazolam",
    "lorazepam",
    "diazepam",
    "lamotrigine",
    "naltrexone",
]
Enantiomer = Literal["esketamine", "arketamine"]

# Ketamine is the racemate. Midazolam and saline are sham treatments: a session, no ketamine.
ENANTIOMER_SHARES: dict[str, dict[str, float]] = {
    "ketamine": {"esketamine": 0.5, "arketamine": 0.5},
    "esketamine": {"esketamine": 1.0},
    "arketamine": {"arketamine": 1.0},
    "midazolam": {},
    "saline": {},
}
# What an antagonist given beforehand blocks.
BLOCKED: dict[str, str] = {"ampa": "ampa", "trkb": "trkb", "mtor": "mtorc1"}
# Their amounts are milligrams of diazepam that do the same.
BENZODIAZEPINES = ("midazolam", "lorazepam", "diazepam")
HIGHEST = 10.0  # level of a gate: mGluR2/3 under a full dose of an agonist
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
class Gate:
    """A window during which one mechanism is silenced or scaled.

    Attributes:
        mechanism: one of `Mechanism`.
        level: what is left of it [1]: 0 nothing, 1 all, more than 1 raises it.
        time: start [h].
        duration: length [h].
    """

    mechanism: str
    level: float
    time: float
    duration: float

    def __post_init__(self) -> None:
        """Refuse a gate that makes no sense."""
        problems = check_name("mechanism", self.mechanism, get_args(Mechanism), "mechanism")
        problems += check_range("level", self.level, 0.0, HIGHEST)
        _refuse(problems + _check_window(self.time, self.duration))

    @property
    def stop(self) -> float:
        """End [h]."""
        return self.time + self.duration


@dataclass(frozen=True)
class Agent:
    """An intake of a concomitant agent; what is left of it falls with a half-life.

    Attributes:
        agent: one of `AgentName`.
        time: of the intake [h]; before the study if negative.
        amount: usual doses [1], or [mg] diazepam-equivalents of a benzodiazepine.
        half_life: of the loss [h]; that of the parameter table if None.
        daily: whether it is taken every day from `time` on, so that the amount is steady.
    """

    agent: str
    time: float
    amount: float = 1.0
    half_life: float | None = None
    daily: bool = False

    def __post_init__(self) -> None:
        """Refuse an intake that makes no sense."""
        problems = check_name("agent", self.agent, get_args(AgentName), "agent")
        problems += check_range("time", self.time, -np.inf, np.inf, "h")
        problems += check_range("amount", self.amount, 0.0, np.inf)
        if self.half_life is not None:
            problems += check_range("half_life", self.half_life, SHORTEST, np.inf, "h")
            if self.daily:
                message = "a steady amount has no half-life"
                hint = "remove half_life or daily"
                problems.append(Problem("half_life", message, hint=hint, code="steady"))
        _refuse(problems)


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


Event = Dose | Blocker | Gate | Agent | Session
AnyEvent = TypeVar("AnyEvent", bound=Dose | Blocker | Gate | Agent | Session)


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
    def gates(self) -> tuple[Gate, ...]:
        """The gates, and the blockers as gates, in the order of time."""
        blockers = (
            Gate(BLOCKED[event.target], 1.0 - event.fraction, event.time, event.duration)
            for event in self.blockers
        )
        given = (event for event in self.events if isinstance(event, Gate))
        return tuple(sorted((*given, *blockers), key=lambda gate: (gate.time, repr(gate))))

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The intakes of concomitant agents, in the order of time."""
        return tuple(event for event in self.events if isinstance(event, Agent))

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
        """The times at which an input changes [h], shape (edge,): every start and every end.

        How agents fade depends on their half-lives: their edges belong to the schedule.
        """
        lasting = (event for event in self.events if not isinstance(event, Agent))
        return merge_times([time for event in lasting for time in (event.time, event.stop)])

    def lost(self, mechanism: str, edges: ArrayLike) -> NDArray[np.float64]:
        """What gates take from a mechanism in each segment [1], shape (segment,).

        Overlapping gates act independently: two that leave a half leave a quarter. The number is
        negative where they raise the mechanism.
        """
        middles = _middles(edges)
        left = np.ones(middles.shape)
        for gate in self.gates:
            if gate.mechanism == mechanism:
                left[_inside(gate, middles)] *= gate.level
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


def _inside(event: Gate | Session, times: NDArray[np.float64]) -> NDArray[np.bool_]:
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
