"""What targets ask of courses of patients: one number each, differentiable.

A number is what a study would find in the mean over raters: patients have the better and worse days
that their random numbers give them, and what raters add is summed up, not drawn (`rates`). So a
share is a smooth function of the courses, and not the step that a count is; `counts` makes the
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.analysis.survival import DAY, RELAPSE_RULES
from ketjax.fit import counts, relapse
from ketjax.fit.plan import Fit, visits
from ketjax.fit.quantities import QUANTITIES
from ketjax.fit.rates import LEAST_SD, Ratings, pick
from ketjax.fit.targets import Target
from ketjax.model.parameters import Parameters
from ketjax.observation import Noise, needed
from ketjax.observation.ratings import SHARED

NEGLIGIBLE = 1e-2  # [points]: a final gain that is not told from none
TOGETHER = 1e-6  # [h]: times nearer to each other are the same


class Statistics:
    """What the targets of a fit ask of courses of patients.

    The score of the model is in proportion to the patient's score at entry. So where a target says
    the mean score at entry of its trial, courses and entries of all patients are multiplied by that
    over the mean of the population, before anybody rates them.

    Attributes:
        times: Visits of each arm of which a target speaks [h], the start included.
        readouts: Readouts of the model that are needed of each of these arms.
    """

    times: dict[str, np.ndarray]
    readouts: dict[str, tuple[str, ...]]

    def __init__(self, fit: Fit, patients: np.ndarray) -> None:
        """What to ask, and the random numbers of some patients.

        Args:
            fit: The plan; its targets in the order of `fit.summaries`.
            patients: Identities, shape (patient,).
        """
        self._fit = fit
        self._targets = fit.summaries
        self._identities = np.atleast_1d(np.asarray(patients, np.int64))
        wanted: dict[str, set[float]] = {}
        names: dict[str, set[str]] = {}
        for target in self._targets:
            for arm in target.arms:
                wanted.setdefault(arm, {0.0}).update(visits(target, fit.arms[arm]))
                names.setdefault(arm, set()).update(needed([target.kind.readout]))
        arms = [arm for arm in fit.arms if arm in wanted]
        self.times = {arm: distinct(wanted[arm]) for arm in arms}
        self.readouts = {arm: tuple(sorted(names[arm])) for arm in arms}
        self._days = {arm: self._noise(arm).normals(SHARED[0]) for arm in arms}

    def predict(
        self,
        courses: Mapping[str, jax.typing.ArrayLike],
        parameters: Mapping[str, Parameters],
        width: jax.typing.ArrayLike = 0.0,
    ) -> jax.Array:
        """What a study would find of each target, in the mean over raters.

        Args:
            courses: Of each arm, shape (readout, time, patient), in the order of `readouts` and
                `times`; of patients whose march succeeded.
            parameters: Of each arm as drawn, leaves scalars or of shape (patient,): the score at
                entry, and those of ratings.
            width: SD added to that of raters wherever yes or no is asked [points].

        Returns:
            Numbers [unit of each quantity], shape (target,).
        """
        arms = {
            name: _Arm(self, name, jnp.asarray(courses[name]), parameters[name], width)
            for name in self.times
        }
        return jnp.stack(
            [_number(target, [arms[name] for name in target.arms]) for target in self._targets]
        )

    def predict_hard(
        self, courses: Mapping[str, jax.typing.ArrayLike], parameters: Mapping[str, Parameters]
    ) -> np.ndarray:
        """What a study would find of each target: ratings drawn, patients counted.

        Args:
            courses: As of `predict`.
            parameters: As of `predict`, of numbers.

        Returns:
            Numbers [unit of each quantity], shape (target,); NaN for a share of nobody.
        """
        arms = {
            name: counts.Counted(
                self.times[name],
                self.readouts[name],
                np.asarray(courses[name], np.float64),
                parameters[name],
                self._noise(name),
            )
            for name in self.times
        }
        return np.array(
            [
                counts.number(
                    target,
                    [arms[name] for name in target.arms],
                    [self.visits_of(target, name) for name in target.arms],
                )
                for target in self._targets
            ]
        )

    def visits_of(self, target: Target, arm: str) -> np.ndarray:
        """Places among the times of an arm of what a target needs, shape (visit,)."""
        return places(self.times[arm], visits(target, self._fit.arms[arm]))

    def _noise(self, arm: str) -> Noise:
        recipe = self._fit.recipe
        return Noise(recipe.seed, self.times[arm], self._identities, absent=recipe.typical)


def distinct(times: set[float]) -> np.ndarray:
    """Times in order, those that differ by rounding alone once [h]."""
    ordered = np.array(sorted(times))
    return ordered[np.diff(ordered, prepend=-1.0) > TOGETHER]


def places(times: np.ndarray, wanted: tuple[float, ...]) -> np.ndarray:
    """Where wanted times stand among times."""
    return np.abs(times[None] - np.array(wanted)[:, None]).argmin(axis=1)


class _Arm:
    """One arm as its targets look at it."""

    def __init__(
        self,
        of: Statistics,
        name: str,
        course: jax.Array,
        p: Parameters,
        width: jax.typing.ArrayLike,
    ) -> None:
        self._of, self._name, self._course, self._p = of, name, course, p
        self.width = jnp.asarray(width, course.dtype)
        self._made: dict[tuple[str, float | None], Any] = {}

    @property
    def times(self) -> np.ndarray:
        """Visits [h]."""
        return self._of.times[self._name]

    @cached_property
    def baseline(self) -> jax.Array:
        """Score at entry as drawn [points], shape (patient,)."""
        own = jnp.asarray(self._p.score.baseline, self._course.dtype)
        return jnp.broadcast_to(own, self._course.shape[2:])

    def scale(self, target: Target) -> jax.Array:
        """The trial's mean score at entry over that of the population."""
        if np.isnan(target.baseline):
            return jnp.ones_like(self.baseline[0])
        return target.baseline / self.baseline.mean()

    def entry(self, target: Target) -> jax.Array:
        """Score at entry in the trial [points], shape (patient,)."""
        return self.scale(target) * self.baseline

    def readout(self, target: Target) -> jax.Array:
        """Courses of what the target is made of, shape (time, patient)."""
        return self._course[self._of.readouts[self._name].index(needed([target.kind.readout])[0])]

    def visits(self, target: Target) -> np.ndarray:
        """Places of what the target needs."""
        return self._of.visits_of(target, self._name)

    def ratings(self, target: Target) -> Ratings:
        """Ratings at the visits of the target."""
        return self._rated(target).at(self.visits(target))

    def changes(self, target: Target) -> jax.Array:
        """Expected changes from entry [points], shape (visit, patient)."""

        def whole() -> jax.Array:
            return self._rated(target).expected - self.entry(target)[None]

        return pick(self._once("changes", target, whole), self.visits(target))

    def responds(self, target: Target) -> jax.Array:
        """Chance that the score has halved [1], shape (visit, patient)."""

        def whole() -> jax.Array:
            half = (1 - RESPONSE_FRACTION) * self.entry(target)
            return self._rated(target).at_most_own(half, self.width)

        return pick(self._once("responds", target, whole), self.visits(target))

    def _rated(self, target: Target) -> Ratings:
        """Ratings at all visits of the arm."""

        def whole() -> Ratings:
            return Ratings.of(
                self.scale(target) * self.readout(target),
                self._p,
                self._of._days[self._name],
                self.times,
                typical=self._of._fit.recipe.typical,
            )

        return self._once("rated", target, whole)

    def _once(self, what: str, target: Target, make: Callable[[], Any]) -> Any:
        """What targets of equal scores at entry share: a shorter program."""
        entry = None if np.isnan(target.baseline) else target.baseline
        if (what, entry) not in self._made:
            self._made[what, entry] = make()
        return self._made[what, entry]


def _number(target: Target, arms: list[_Arm]) -> jax.Array:
    """What a study would find of one target [unit of the quantity]."""
    arm = arms[0]
    match target.quantity:
        case "score":
            return arm.ratings(target).expected[0].mean()
        case "change":
            return arm.changes(target)[0].mean()
        case "percent change":
            return (arm.changes(target)[0] / arm.entry(target)).mean()
        case "SD of change":
            return _root(_variance(arm, target))
        case "response":
            return arm.responds(target)[0].mean()
        case "remission":
            return arm.ratings(target).at_most(REMISSION_SCORE, arm.width)[0].mean()
        case "sustained response":
            return relapse.at_least_two(arm.responds(target)).mean()
        case "difference of changes":
            ours, theirs = (one.changes(target)[0].mean() for one in arms)
            return ours - theirs
        case "effect size":
            ours, theirs = (one.changes(target)[0].mean() for one in arms)
            pooled = (_variance(arm, target) + _variance(arms[1], target)) / 2
            return (theirs - ours) / _root(pooled)
        case "share of final gain":
            then, final = arm.changes(target).mean(axis=1)
            return then * final / (final**2 + NEGLIGIBLE**2)
        case "share not relapsed" | "restricted mean days":
            share, days = _well(arm, target)
            return share[-1] if target.kind.unit == "1" else relapse.restricted_mean(share, days)
        case quantity if target.rule:
            share, days = _well(arm, target)
            return relapse.quantile(share, days, QUANTITIES[quantity].level)
        case quantity:
            course = arm.readout(target)
            values = pick(course, arm.visits(target))
            if quantity.startswith("change of "):
                return (values[0] - course[0]).mean()
            return values.max(axis=0).mean()  # of one time, that


def _variance(arm: _Arm, target: Target) -> jax.Array:
    """Variance over patients of the change [points^2]: what patients and what raters add."""
    changes = arm.changes(target)[0]
    between = ((changes - changes.mean()) ** 2).sum() / max(changes.size - 1, 1)
    return between + arm.ratings(target).variance[0].mean()


def _root(variance: jax.Array) -> jax.Array:
    """An SD, with a slope where it is zero too."""
    return jnp.sqrt(variance + LEAST_SD**2)


def _well(arm: _Arm, target: Target) -> tuple[jax.Array, np.ndarray]:
    """Share of responders who are still well at each visit, and days since the clock's start."""
    times = arm.times[arm.visits(target)]
    rule = RELAPSE_RULES[target.rule]
    share = relapse.share_well(arm.ratings(target), arm.entry(target), rule, arm.width)
    return share, (times - times[0]) / DAY
