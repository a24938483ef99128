"""What a schedule is worth: the share of patients who get well, and how much they dissociate.

What raters add is summed up, not drawn (`fit.rates`), and the same patients with the same better
and worse days answer under every schedule: both numbers are smooth in amounts and times.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from numpy.typing import NDArray

from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.design.courses import Course, Courses, Frame, Schedule
from ketjax.design.plan import Design
from ketjax.errors import TooManyFailures
from ketjax.fit.rates import Ratings
from ketjax.observation import Noise
from ketjax.observation.ratings import SHARED, rating

WIDTH = 0.5  # SD with which "more than the cap" is smoothed where a share is capped [points]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Worth:
    """What a schedule is worth.

    Attributes:
        share: Share of patients who reach the outcome, in the mean over raters [1].
        capped: What the cap is about, of each session: mean of the highest dissociation [points],
            or the share of patients beyond the cap [1]; shape (infusion,).
        chances: Of each patient to be rated as having reached it [1], shape (patient,).
        highest: Highest dissociation of each patient in each session [points], (infusion, patient).
        course: The march.
    """

    share: float
    capped: Array
    chances: Array
    highest: Array
    course: Course

    @property
    def worst(self) -> float:
        """What the cap is about, of the session where it is highest."""
        return float(self.capped.max())

    @property
    def error(self) -> float:
        """Monte-Carlo standard error of the share [1]."""
        return standard_error(self.chances)


class Objective:
    """The outcome of a design as a function of schedules.

    Attributes:
        design: The design.
        courses: The march.
    """

    def __init__(self, design: Design, patients: int | None = None, **options: Any) -> None:
        """Draw the patients.

        Args:
            design: The design.
            patients: How many; those of the design if not given.
            options: Of `Courses`.
        """
        self.design = design
        self.courses = Courses(design, patients or design.population.patients, **options)
        count, end = self.courses.count, design.design.end
        # Only the day of the outcome is rated: no schedule changes these numbers.
        self._times = np.array([0.0, end])
        self._noise = Noise(
            design.recipe.seed, self._times, np.arange(count), absent=design.recipe.typical
        )
        entry = np.asarray(self.courses.drawn.score.baseline, np.float64)
        self._entry = np.broadcast_to(entry, (count,))
        days = self._noise.normals(SHARED[0])

        def chances(score: jax.Array) -> jax.Array:
            both = jnp.stack([jnp.asarray(self._entry), score])
            rated = Ratings.of(
                both, self.courses.drawn, days, self._times, typical=design.recipe.typical
            ).at(np.array([1]))
            none = jnp.zeros(())
            if design.design.outcome == "remission":
                return rated.at_most(REMISSION_SCORE, none)[0]
            return rated.at_most_own((1 - RESPONSE_FRACTION) * jnp.asarray(self._entry), none)[0]

        def slopes(score: jax.Array) -> tuple[jax.Array, jax.Array]:
            found, pull = jax.vjp(chances, score)
            return found, pull(jnp.ones_like(found))[0]

        self._slopes = jax.jit(slopes)

    def worth(self, frame: Frame, schedule: Schedule) -> Worth:
        """March a schedule and rate it.

        Raises:
            TooManyFailures: No patient's march succeeded.
        """
        course = self.courses.march(frame, schedule)
        if not course.well.any():
            raise TooManyFailures("no patient could be marched; try a smaller rtol in [solver]")
        well = course.well
        with jax.enable_x64(True):
            chances = np.asarray(self._slopes(jnp.asarray(self._safe(course)))[0])
        highest = course.dissociation.max(axis=1)
        beyond = self._beyond(highest)[0]
        return Worth(
            float(chances[well].mean()),
            beyond[:, well].mean(axis=1),
            np.where(well, chances, np.nan),
            np.where(well, highest, np.nan),
            course,
        )

    def slopes(self, worth: Worth) -> tuple[Array, Array]:
        """Derivatives of `share`, then of each of `capped`, by amounts and by starts.

        A session's highest is smooth in the mean over patients; the highest of all sessions would
        not be, for equal amounts dissociate nearly alike.

        Returns:
            Two arrays (1 + infusion, infusion).
        """
        course, well = worth.course, worth.course.well
        count = well.sum()
        with jax.enable_x64(True):
            slope = np.asarray(self._slopes(jnp.asarray(self._safe(course)))[1])
        infusions = len(worth.capped)
        from_score = np.zeros((1 + infusions, well.size))
        from_score[0] = np.where(well, slope, 0) / count
        from_dissociation = np.zeros((1 + infusions, *course.dissociation.shape))
        when = np.where(well, course.dissociation, 0).argmax(axis=1)
        slope = np.where(well, self._beyond(worth.highest)[1], 0) / count
        for k in range(infusions):
            from_dissociation[1 + k, k, when[k], np.arange(well.size)] = slope[k]
        return self.courses.pull(course, from_score, from_dissociation)

    def counted(self, worth: Worth) -> Array:
        """Whether each patient is rated as having reached the outcome, ratings drawn, as 0 or 1."""
        score = np.stack([self._entry, self._safe(worth.course)])
        rated = rating(score, self.courses.drawn, self._noise)[1]
        remission = self.design.design.outcome == "remission"
        limit = REMISSION_SCORE if remission else (1 - RESPONSE_FRACTION) * self._entry
        return np.where(worth.course.well, rated <= limit, np.nan)

    def _safe(self, course: Course) -> Array:
        """Scores at the end; those of failed patients, who do not count, are that at entry."""
        return np.where(course.well, course.score, self._entry)

    def _beyond(self, highest: Array) -> tuple[Array, Array]:
        """What is averaged for the cap, patient by patient, and its derivative."""
        cap = self.design.design.cap
        if cap is None or cap.share is None:
            return highest, np.ones_like(highest)
        z = (highest - cap.dissociation) / WIDTH
        return np.asarray(ndtr(z)), np.exp(-0.5 * z**2) / (WIDTH * math.sqrt(2 * math.pi))


def standard_error(values: Array) -> float:
    """Standard error of a mean over patients; those without a number do not count."""
    some = values[np.isfinite(values)]
    return float(some.std(ddof=1) / math.sqrt(some.size)) if some.size > 1 else math.nan
