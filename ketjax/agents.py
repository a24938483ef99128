"""From intakes of concomitant agents to levels of gates, constant between edges.

What is left of an intake falls exponentially; between two edges it is taken at its mean. The steps
are short in the hours after a dose, when what the gates let through is decided, and long elsewhere.
They belong to one regimen: no other arm and no output time moves them.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.model.agents import AGENTS, FAMILIES, mean_left
from ketjax.model.parameters import Parameters
from ketjax.regimen import Agent, Regimen, merge_times

STEPS = 4  # in a half-life
FINE_STEPS, SHORTEST_STEP = 40, 0.2  # after doses: in a half-life, but none shorter than this [h]
ACTIVE = 4.0  # [h] how long after a dose
FOLLOWED = 8.0  # half-lives after the last intake; 0.4 % of it is left


def agent_edges(regimen: Regimen, p: Parameters) -> NDArray[np.float64]:
    """Times at which the level of a gate changes [h], none before the study, shape (edge,)."""
    return merge_times([], *(knots for _, knots, _ in _staircases(regimen, p)))


def agent_levels(
    regimen: Regimen, p: Parameters, bounds: ArrayLike
) -> dict[str, NDArray[np.float64]]:
    """Levels that agents set in each segment, by gate.

    Args:
        regimen: Intakes; amounts of one family add.
        p: Half-lives [h] and effects, the same for all patients.
        bounds: Segment bounds [h], shape (segment + 1,), with the agents' edges among them.

    Returns:
        Levels [1], shape (segment,), of the gates that some agent moves.
    """
    edges = np.asarray(bounds, dtype=np.float64)
    middles = 0.5 * (edges[:-1] + edges[1:])
    amounts: dict[str, NDArray[np.float64]] = {}
    for family, knots, steps in _staircases(regimen, p):
        found = np.append(0.0, steps)[np.searchsorted(knots, middles, side="right")]
        amounts[family] = amounts.get(family, np.zeros(middles.size)) + found
    levels: dict[str, NDArray[np.float64]] = {}
    for family, amount in amounts.items():
        gate = FAMILIES[family].gate
        levels[gate] = levels.get(gate, np.ones(middles.size)) * FAMILIES[family].level(amount, p)
    return levels


def _staircases(
    regimen: Regimen, p: Parameters
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Family, knots [h] (knot,) and amount from each knot to the next (knot,); one a half-life."""
    groups: dict[tuple[str, float], list[Agent]] = {}
    for agent in regimen.agents:
        family, own = AGENTS[agent.agent]
        if agent.daily:
            yield family, np.array([max(agent.time, 0.0)]), np.array([agent.amount])
        else:
            half_life = float(
                getattr(p.agents, own) if agent.half_life is None else agent.half_life
            )
            groups.setdefault((family, half_life), []).append(agent)
    for (family, half_life), intakes in groups.items():
        knots = _knots(regimen, [intake.time for intake in intakes], half_life)
        if knots.size:
            yield family, knots, _amounts(intakes, half_life, knots)


def _knots(regimen: Regimen, times: list[float], half_life: float) -> NDArray[np.float64]:
    """Knots of a staircase [h]: at intakes, and evenly between them and after doses."""
    starts = np.unique(times)
    last = starts[-1] + FOLLOWED * half_life
    fine = max(SHORTEST_STEP, half_life / FINE_STEPS)
    pieces = [
        (start, min(following, start + FOLLOWED * half_life), half_life / STEPS)
        for start, following in zip(starts, [*starts[1:], np.inf], strict=True)
    ]
    pieces += [
        (max(dose.time, starts[0]), min(dose.stop + ACTIVE, last), fine) for dose in regimen.doses
    ]
    parts = []
    for start, end, step in pieces:
        begin = max(start, 0.0)
        if end > begin:
            parts.append(np.linspace(begin, end, int(np.ceil((end - begin) / step)) + 1))
    return merge_times([], *parts)


def _amounts(
    intakes: list[Agent], half_life: float, knots: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean amount from each knot to the next, 0 where all intakes are long ago; shape (knot,)."""
    starts, stops = knots[:-1], knots[1:]
    middles = 0.5 * (starts + stops)
    total = np.zeros(starts.size)
    last = np.full(starts.size, -np.inf)
    for intake in intakes:
        after = intake.time < middles
        since, until = starts[after] - intake.time, stops[after] - intake.time
        total[after] += intake.amount * mean_left(since, until, half_life)
        last[after] = np.maximum(last[after], intake.time)
    total[middles > last + FOLLOWED * half_life] = 0.0
    return np.append(total, 0.0)
