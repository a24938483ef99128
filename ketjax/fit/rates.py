"""How likely a rating is, given the score: the law of `observation.ratings`, differentiable.

A patient's better and worse days keep their random numbers, so that the day's score is smooth in
the score; a rater's scatter about the day is not drawn but summed up. What a study counts is then a
smooth function of the score, and its mean over what raters may write down.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from ketjax.model.parameters import Parameters

ROUNDING = 1 / 12  # variance that rounding to whole points adds [points^2]
LEAST_SD = 1e-3  # of a score that is known exactly [points]: a step of finite slope
INSIDE = 1e-3  # distance of a threshold from the ends of the scale, as a share of it


def course_of_days(normals: jax.Array, times: np.ndarray, memory: jax.Array) -> jax.Array:
    """Better and worse days, as `Noise.course`, differentiable in how long they last.

    Args:
        normals: Independent standard normal numbers, shape (time, patient).
        times: Visits [h], shape (time,).
        memory: tau [h], shape (patient,).

    Returns:
        X [1], shape (time, patient).
    """

    def step(before: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        gap, z = given
        kept = jnp.exp(-gap / memory)
        now = kept * before + jnp.sqrt(-jnp.expm1(-2 * gap / memory)) * z
        return now, now

    gaps = jnp.asarray(np.diff(times), normals.dtype)
    later = jax.lax.scan(step, normals[0], (gaps, normals[1:]))[1]
    return jnp.concatenate([normals[:1], later])


@dataclasses.dataclass(frozen=True)
class Ratings:
    """What raters may write down of some patients at some visits.

    Attributes:
        score: Score [points], shape (visit, patient).
        mean: Share of the scale about which ratings of the day scatter, m [1], of that shape.
        precision: phiS [1], shape (1, patient).
        maximum: Highest score, Smax [points], shape (1, patient).
        exact: Where the score itself is written down: at time 0, and of a typical patient, shape
            (visit, 1).
    """

    score: jax.Array
    mean: jax.Array
    precision: jax.Array
    maximum: jax.Array
    exact: np.ndarray

    @classmethod
    def of(
        cls,
        score: jax.Array,
        p: Parameters,
        normals: np.ndarray,
        times: np.ndarray,
        *,
        typical: bool = False,
    ) -> Ratings:
        """Ratings of courses.

        Equation:
            as `observation.ratings.latent` and `observation.ratings.rating`

        Args:
            score: S [points], shape (visit, patient).
            p: Parameters of `score` and `rating`; leaves are scalars or of shape (patient,).
            normals: Numbers of better and worse days, shape (visit, patient).
            times: Visits [h], shape (visit,).
            typical: Whether nobody is rated with noise.
        """

        def each(leaf: jax.typing.ArrayLike) -> jax.Array:
            return jnp.broadcast_to(jnp.asarray(leaf, score.dtype), score.shape[1:])

        exact = (times == 0) | typical
        maximum = each(p.score.rating_maximum)[None]
        floor = jnp.maximum(each(p.rating.mean_floor), 1e-6)[None]
        z = jnp.asarray(normals, score.dtype)
        days = course_of_days(z, times, each(p.rating.fluctuation_time))
        days = jnp.where(exact[:, None], 0.0, days)
        share = jnp.clip(score / maximum, 0, 1)
        # The slope of a root at zero is infinite: there the day counts for nothing.
        square = 4 * share * (1 - share)
        inside = square > 0
        root = jnp.where(inside, jnp.sqrt(jnp.where(inside, square, 1.0)), 0.0)
        day = score + each(p.rating.fluctuation)[None] * days * root
        mean = jnp.clip(day / maximum, floor, 1 - floor)
        return cls(score, mean, each(p.rating.precision)[None], maximum, exact[:, None])

    def at(self, visits: np.ndarray) -> Ratings:
        """The same patients at some of the visits, by their places."""
        return dataclasses.replace(
            self,
            score=pick(self.score, visits),
            mean=pick(self.mean, visits),
            exact=self.exact[visits],
        )

    @property
    def expected(self) -> jax.Array:
        """Mean of a rating [points], shape (visit, patient)."""
        return jnp.where(self.exact, self.score, self.maximum * self.mean)

    @property
    def variance(self) -> jax.Array:
        """Variance of a rating about its mean [points^2], shape (visit, patient).

        Equation:
            Smax^2 m (1 - m)/(1 + phiS) + 1/12
        """
        return jnp.where(self.exact, 0.0, self._scatter + ROUNDING)

    @property
    def _scatter(self) -> jax.Array:
        """Variance before rounding [points^2]."""
        return self.maximum**2 * self.mean * (1 - self.mean) / (1 + self.precision)

    def at_most(self, points: jax.typing.ArrayLike, width: jax.Array) -> jax.Array:
        """Chance of a rating of at most so many points, the same for all patients.

        Args:
            points: Threshold [points].
            width: SD added to that of the rater [points].

        Returns:
            P(Y <= points) [1], shape (visit, patient).
        """
        # Ratings are whole points: up to 10 means below 10.5 before rounding.
        known = jnp.asarray(points, self.mean.dtype).reshape(1, 1)
        return self._below(jnp.floor(known + 1e-4) + 0.5, known, width, width)

    def at_most_own(self, points: jax.Array, width: jax.Array) -> jax.Array:
        """Chance of a rating of at most a number of the patient's own, such as half the score.

        That number is no whole one: how far rounding moves the threshold depends on where between
        two points it lies. That is averaged over, which adds the variance of rounding; so the
        chance is smooth in the score at entry too, and the same in the mean over patients whose
        scores at entry are spread over several points.

        Args:
            points: Threshold [points], shape (patient,) or (visit, patient).
            width: SD added to that of the rater [points].

        Returns:
            P(Y <= points) [1], shape (visit, patient).
        """
        own = points[None] if points.ndim == 1 else points
        return self._below(own, own, jnp.sqrt(width**2 + ROUNDING), width)

    def _below(
        self, rounded: jax.Array, known: jax.Array, more: jax.Array, width: jax.Array
    ) -> jax.Array:
        """Chance that a rating before rounding is below `rounded`, an exact one up to `known`.

        SDs are added to that of the rater, `more`, and to that of the exact one, `width`.
        """
        share = jnp.clip(rounded / self.maximum, INSIDE, 1 - INSIDE)
        z = beta_normal(share, self.precision * self.mean, self.precision * (1 - self.mean))
        z = z / jnp.sqrt(1 + more**2 / self._scatter)
        step = (known - self.score) / jnp.sqrt(width**2 + LEAST_SD**2)
        return ndtr(jnp.where(self.exact, step, z))


def pick(values: jax.Array, visits: np.ndarray) -> jax.Array:
    """Some of the visits, by slices: their gradient is a sum, where that of a gather is a scatter.

    Args:
        values: Shape (visit, patient).
        visits: Places in order.

    Returns:
        Shape (chosen, patient).
    """
    breaks = np.flatnonzero(np.diff(visits) != 1) + 1
    runs = [values[run[0] : run[-1] + 1] for run in np.split(visits, breaks)]
    return runs[0] if len(runs) == 1 else jnp.concatenate(runs)


def beta_normal(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Normal number below which a normal number lies as often as a beta number below x.

    It is smooth in all three, where the incomplete beta function has no derivative by a and b in
    closed form. At the precision of a rating of the MADRS the distribution function is off by less
    than 0.0003 where m is between 0.1 and 0.9, and by at most 0.004 at the ends of the scale (a
    normal number of equal mean and SD: 0.03 and 0.12).

    Equation:
        z = 3 (v (1 - 1/(9 b)) - w (1 - 1/(9 a))) / sqrt(v^2/b + w^2/a),
        v = (b x)^(1/3), w = (a (1 - x))^(1/3);  I_x(a, b) = Phi(z)

    Args:
        x: Number between 0 and 1, both excluded.
        a: First shape, above 0.
        b: Second shape, above 0.

    Returns:
        z [1].

    Source:
        Abramowitz and Stegun 1964, 26.5.22 (Paulson 1942).
    """
    v, w = jnp.cbrt(b * x), jnp.cbrt(a * (1 - x))
    return 3 * (v * (1 - 1 / (9 * b)) - w * (1 - 1 / (9 * a))) / jnp.sqrt(v**2 / b + w**2 / a)
