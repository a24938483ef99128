"""One arm of a study as it is written: doses, blockers, gates, agents, sessions, each checked."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from ketjax.errors import Problem, check_range
from ketjax.fields import (
    AgentAmount,
    Amount,
    Duration,
    Intake,
    Length,
    Overrides,
    Start,
    UnitFraction,
    check_agent_amount,
    context_of,
    known,
    refuse,
)
from ketjax.regimen import (
    BENZODIAZEPINES,
    HIGHEST,
    Agent,
    AgentName,
    Blocker,
    Dose,
    Drug,
    Event,
    Gate,
    Mechanism,
    Regimen,
    Route,
    Session,
    Target,
    repeat,
)


class Section(BaseModel):
    """A table of the manifest: strict, complete, unchangeable."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Repeat(Section):
    """The same event again: every so many hours [h], so many times in all."""

    every: Length
    count: Annotated[int, Field(ge=1, le=10_000)]


class DoseEntry(Section):
    """One `[[arms.NAME.doses]]`."""

    drug: Drug
    route: Route
    amount: Amount
    time: Start
    duration: Duration = 0.0
    repeat: Repeat | None = None

    def event(self) -> Dose:
        """The dose, or the first of them."""
        amount, unit = self.amount
        per_kg = unit == "mg/kg"
        return Dose(self.drug, self.route, amount, per_kg, self.time, self.duration)


class BlockerEntry(Section):
    """One `[[arms.NAME.blockers]]`."""

    target: Target
    fraction: UnitFraction
    time: Start
    duration: Length
    repeat: Repeat | None = None

    def event(self) -> Blocker:
        """The blocker, or the first of them."""
        return Blocker(self.target, self.fraction, self.time, self.duration)


class GateEntry(Section):
    """One `[[arms.NAME.gates]]`."""

    mechanism: Mechanism
    level: Annotated[float, Field(ge=0, le=HIGHEST)]
    time: Start
    duration: Length
    repeat: Repeat | None = None

    def event(self) -> Gate:
        """The gate, or the first of them."""
        return Gate(self.mechanism, self.level, self.time, self.duration)


class AgentEntry(Section):
    """One `[[arms.NAME.agents]]`."""

    agent: AgentName
    time: Intake
    amount: AgentAmount = (1.0, "1")
    half_life: Length | None = None
    daily: bool = False
    repeat: Repeat | None = None

    def event(self) -> Agent:
        """The intake, or the first of them."""
        amount, unit = self.amount
        check_agent_amount(amount, unit, self.agent in BENZODIAZEPINES)
        if self.daily and self.repeat is not None:
            message = "what is taken daily needs no repetition"
            refuse([Problem("repeat", message, hint="remove repeat or daily", code="steady")])
        return Agent(self.agent, self.time, amount, self.half_life, self.daily)


class SessionEntry(Section):
    """One `[[arms.NAME.sessions]]`."""

    time: Start
    duration: Length
    intensity: UnitFraction = 1.0
    repeat: Repeat | None = None

    def event(self) -> Session:
        """The session, or the first of them."""
        return Session(self.time, self.duration, self.intensity)


AnyEntry = TypeVar("AnyEntry", DoseEntry, BlockerEntry, GateEntry, AgentEntry, SessionEntry)


def _check_entry(entry: AnyEntry, info: ValidationInfo) -> AnyEntry:
    """Check what concerns several keys of an event: its own rules, and its last repetition."""
    event, again = entry.event(), entry.repeat
    if again is not None:
        last = event.time + (again.count - 1) * again.every
        horizon = context_of(info).horizon
        problems = check_range("repeat", last, min(0.0, last), horizon, "h", open_high=True)
        message = "the last repetition starts after the end of the study"
        refuse([replace(problem, message=message) for problem in problems])
    return entry


# A list of TOML becomes a tuple; each entry is checked as a whole.
Listed = Annotated[
    tuple[Annotated[AnyEntry, AfterValidator(_check_entry)], ...], Field(strict=False)
]


def _write_out(
    entry: DoseEntry | BlockerEntry | GateEntry | AgentEntry | SessionEntry,
) -> tuple[Event, ...]:
    """The event and its repetitions."""
    if entry.repeat is None:
        return (entry.event(),)
    return repeat(entry.event(), entry.repeat.every, entry.repeat.count)


class Arm(Section):
    """One `[arms.NAME]`: what is done to the patients, and what they expect of it."""

    expectancy: Annotated[str, known("expectancy design", "expectancy_designs")] = "none"
    interaction: Annotated[str, known("interaction", "interactions")] = "none"
    hippocampus: Annotated[str, known("part of the hippocampus", "hippocampal_parts")] = (
        "ca1_subiculum"
    )
    doses: Listed[DoseEntry] = ()
    blockers: Listed[BlockerEntry] = ()
    gates: Listed[GateEntry] = ()
    agents: Listed[AgentEntry] = ()
    sessions: Listed[SessionEntry] = ()
    parameters: Overrides = Field(default_factory=dict)

    @cached_property
    def regimen(self) -> Regimen:
        """All events on one time line, repetitions written out."""
        entries = (*self.doses, *self.blockers, *self.gates, *self.agents, *self.sessions)
        return Regimen(tuple(event for entry in entries for event in _write_out(entry)))
