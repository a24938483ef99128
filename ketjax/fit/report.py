"""What a fit found, for people and for programs: tables, a parameter set, one record.

A deviation is simulated less published, in standard errors: that of the published number and what
trials differ by, together (`Fit.deviation`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ketjax.fit.free import Free
from ketjax.fit.history import numbers_of
from ketjax.fit.optimise import Result
from ketjax.fit.plan import Fit
from ketjax.fit.search import why
from ketjax.fit.targets import Target
from ketjax.sets import ParameterSet, Provenance
from ketjax.tables import formatted

MET = 2.0  # standard errors within which a target counts as met
AWAY = 0.1  # SDs of its prior from which a number is said to be away from it
NEAR = 0.01  # share of the way from the start to a bound that is left, to be at the bound


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """A fit and what it led to.

    Attributes:
        fit: What was asked.
        result: What the optimiser found.
        identity: Digest, patients, dtype and versions.
        before: Deviations of the targets at the start, shape (target,).
        after: Those at the best numbers.
        smooth: Targets as the objective predicts them [unit of each].
        hard: Targets with yes-or-no outcomes as they are [unit of each].
    """

    fit: Fit
    result: Result
    identity: Mapping[str, Any]
    before: np.ndarray
    after: np.ndarray
    smooth: np.ndarray
    hard: np.ndarray

    @cached_property
    def numbers(self) -> np.ndarray:
        """The best free numbers in their own units, shape (free,)."""
        return numbers_of(self.fit.unknowns, self.result.theta)

    def profiles(self) -> list[dict[str, Any]]:
        """Each profile and all of them: targets, those met, and the weighted squares of misses."""
        targets = self.fit.summaries
        names = dict.fromkeys(target.profile for target in targets)
        weight = np.array([target.weight for target in targets])
        rows = []
        for name in (*names, "all"):
            own = np.array([name in ("all", target.profile) for target in targets])
            rows.append(
                {
                    "profile": name,
                    "targets": int(own.sum()),
                    "within_2_se": int((np.abs(self.after[own]) <= MET).sum()),
                    "misfit_before": float((weight * self.before**2)[own].sum()),
                    "misfit_after": float((weight * self.after**2)[own].sum()),
                }
            )
        return rows

    def targets(self) -> list[dict[str, Any]]:
        """Each target beside what is simulated."""
        return [
            _target(self.fit, target, *(float(column[k]) for column in self._columns))
            for k, target in enumerate(self.fit.summaries)
        ]

    def misses(self) -> list[dict[str, Any]]:
        """Targets that are not met, the farthest first; what is not a number before all."""
        missed = [row for row in self.targets() if not abs(row["deviation_in_se"]) <= MET]
        distance = [abs(row["deviation_in_se"]) for row in missed]
        order = np.argsort([-math.inf if math.isnan(d) else -d for d in distance], kind="stable")
        return [missed[k] for k in order]

    def free(self) -> list[dict[str, Any]]:
        """Each free number: where it began, where it is, and what that means."""
        pairs = zip(self.fit.unknowns, self.numbers, strict=True)
        return [_free(one, float(number)) for one, number in pairs]

    def starts(self) -> list[dict[str, Any]]:
        """What each search led to, and why it stopped."""
        return [
            {
                "start": one.start,
                "objective": one.value,
                "gradient_norm": one.gradient_norm,
                "stop": one.stops[-1],
                "why": why(one.stops[-1], self.fit.optimise),
                "evaluations": one.evaluations,
                "refused": one.refused,
                "seconds": one.seconds,
            }
            for one in self.result.searches
        ]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it; what is not finite is None."""
        return _plain(
            {
                "fit": self.fit.name,
                **self.identity,
                "objective": self.result.value,
                "profiles": self.profiles(),
                "misses": self.misses(),
                "starts": self.starts(),
                "free": self.free(),
            }
        )

    def text(self) -> str:
        """All of it as a person reads it."""
        misses, free = self.misses(), self.free()
        told = [row for row in free if abs(row["prior_departure"]) >= AWAY or row["at_bound"]]
        told.sort(key=lambda row: -abs(row["prior_departure"]))
        met = f"{len(self.after) - len(misses)} of {len(self.after)}"
        parts = [_table(self.profiles()), f"\nWithin {MET:g} SE: {met} targets.\n"]
        if misses:
            names = ("target", "unit", "published", "simulated_hard", "deviation_in_se")
            parts += ["\nMissed:\n", _table(misses, names)]
        names = ("start", "objective", "why", "evaluations", "refused", "seconds")
        parts += ["\nSearches:\n", _table(self.starts(), names)]
        if told:
            names = ("name", "unit", "start", "value", "prior_departure", "at_bound")
            parts += ["\nAway from the centre of the prior, the farthest first (in SDs of it):\n",
                      _table(told, names)]  # fmt: skip
        if rest := len(free) - len(told):
            parts.append(f"\n{rest} of {len(free)} numbers are nearer than {AWAY:g} SD.\n")
        return "".join(parts)

    def parameter_set(self) -> ParameterSet:
        """The best numbers, with those that the fit set, for studies to choose by name."""
        fit = self.fit
        recipe = fit.population_map(1).recipe_at(self.result.theta)
        spreads = {
            one.paths[0]: recipe.own_laws[one.paths[0]].spread
            for one in fit.unknowns
            if one.kind == "spread"
        }
        met = len(self.after) - len(self.misses())
        walls = " with walls" if self.fit.optimise.no_profile_worse else ""
        return ParameterSet.model_construct(  # numbers, in the units of the table
            provenance=Provenance(
                name=fit.name,
                species=fit.population.species,
                question=fit.question,
                source=str(self.identity["digest"]),
                ketjax=str(self.identity["ketjax"]),
                method=f"ketjax fit: {len(fit.unknowns)} numbers to {len(self.after)} targets, "
                f"{fit.population.patients} patients an arm, {len(self.result.searches)} starts; "
                f"objective {self.result.value:.6g}{walls}, {met} targets within {MET:g} SE",
            ),
            parameters=dict(recipe.values),
            laws=spreads,
            correlations=dict(recipe.correlations),
        )

    @property
    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.smooth, self.hard, self.after


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal keys as CSV; numbers in full."""
    cells = [[repr(v) if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    return formatted(list(rows[0]), cells, "csv")


def _target(
    fit: Fit, target: Target, smooth: float, hard: float, deviation: float
) -> dict[str, Any]:
    return {
        "target": target.name,
        "profile": target.profile,
        "arm": target.arm,
        "versus": target.versus,
        "quantity": target.quantity,
        "time_h": target.time,
        "unit": target.kind.unit,
        "published": target.mean,
        "se": target.error,
        "se_with_trials": fit.deviation(target),
        "simulated_smooth": smooth,
        "simulated_hard": hard,
        "deviation_in_se": deviation,
        "weight": target.weight,
        "source": target.source,
    }


def _free(one: Free, number: float) -> dict[str, Any]:
    return {
        "name": one.name,
        "unit": one.unit,
        "start": one.start,
        "value": number,
        "low": one.low,
        "high": one.high,
        "prior": one.law[1],
        "scale": one.scale,
        "prior_departure": float(one.departure(np.float64(number))),
        "at_bound": at_bound(one, number),
    }


def at_bound(one: Free, number: float) -> str:
    """The bound that a number has nearly reached, "low" or "high"; empty if none."""
    if math.isfinite(one.low) and number - one.low < NEAR * (one.start - one.low):
        return "low"
    if math.isfinite(one.high) and one.high - number < NEAR * (one.high - one.start):
        return "high"
    return ""


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    names = names or list(rows[0])
    cells = [
        [f"{row[k]:.4g}" if isinstance(row[k], float) else str(row[k]) for k in names]
        for row in rows
    ]
    return formatted([name.replace("_", " ") for name in names], cells, "text")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
