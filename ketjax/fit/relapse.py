"""How many responders are still well, from the chance of each rating; differentiable.

Given the better and worse days of a patient, what raters add at one visit says nothing of what they
add at another: so the chance to be well is a sum over courses of ratings, which is carried from
visit to visit as the chance of each number of lost visits in a row. The rules, the time of relapse
and the end of follow-up are those of `analysis.survival`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.analysis.summaries import RESPONSE_FRACTION
from ketjax.analysis.survival import RelapseRule
from ketjax.fit.free import table
from ketjax.fit.rates import Ratings

NOBODY = 1e-6  # responders that all patients together count for: the share of nobody is theirs
# Highest rating that can be a response [points].
HIGHEST_RESPONSE = (1 - RESPONSE_FRACTION) * table()["score.rating_maximum"].value


def at_least_two(chance: jax.Array) -> jax.Array:
    """Chance that something happens at two or more of some visits, each apart from the others.

    Args:
        chance: At each visit [1], shape (visit, patient).

    Returns:
        Chance [1], shape (patient,).
    """

    def step(
        carried: tuple[jax.Array, jax.Array], p: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        never, once = carried
        return (never * (1 - p), once * (1 - p) + never * p), None

    start = (jnp.ones_like(chance[0]), jnp.zeros_like(chance[0]))
    (never, once), _ = jax.lax.scan(step, start, chance)
    return 1 - never - once


def still_well(lost: jax.Array, visits: int) -> jax.Array:
    """Chance that no relapse has begun: so many visits in a row at which the patient is lost.

    Args:
        lost: Chance to count as lost at each visit after the clock's start [1], shape
            (visit, patient).
        visits: Visits in a row that make a relapse.

    Returns:
        P(T > t) [1] at the clock's start and at each visit, shape (visit + 1, patient); T is the
        first visit of the first such row. A row that follow-up cuts short is none.
    """

    def step(runs: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
        well = (1 - p) * runs.sum(axis=0)
        now = jnp.concatenate([well[None], p[None] * runs[:-1]])
        return now, now.sum(axis=0)

    start = jnp.zeros((visits, lost.shape[1]), lost.dtype).at[0].set(1.0)
    complete = jax.lax.scan(step, start, lost)[1]  # no such row has ended by then
    begun = complete[visits - 1 :]
    last = jnp.broadcast_to(complete[-1:], (visits - 1, lost.shape[1]))
    return jnp.concatenate([jnp.ones_like(lost[:1]), begun, last])


def share_well(
    ratings: Ratings, entry: jax.Array, rule: RelapseRule, width: jax.Array
) -> jax.Array:
    """Share of the responders who are still well.

    Args:
        ratings: Of all patients from the visit on at which response is judged.
        entry: Score at entry [points], shape (patient,).
        rule: What counts as lost.
        width: SD added to that of the rater [points].

    Returns:
        Share [1] at each visit, shape (visit,).
    """
    first = ratings.at(np.arange(1))
    later = ratings.at(np.arange(1, ratings.score.shape[0]))
    half = (1 - RESPONSE_FRACTION) * entry
    if rule.measure != "gain":
        if rule.measure == "score":
            lost = 1 - later.at_most(np.ceil(rule.threshold - 1e-9) - 1, width)
        else:
            lost = 1 - later.at_most_own((1 - rule.threshold) * entry, width)
        responds = first.at_most_own(half, width)[0]
        well, responders = _sums(still_well(lost, rule.visits), responds)
        return well / responders
    # What is left of the gain depends on the first rating: its whole points are gone through.
    whole = jnp.arange(HIGHEST_RESPONSE + 1.0, dtype=entry.dtype)

    def given(points: jax.Array) -> tuple[jax.Array, jax.Array]:
        rated = first.at_most(points, width)[0]
        rated = rated - jnp.where(points > 0, first.at_most(points - 1, width)[0], 0.0)
        responds = rated * jnp.clip(half - points + 0.5, 0, 1)  # half is no whole number either
        lost = 1 - later.at_most_own(entry - rule.threshold * (entry - points), width)
        return _sums(still_well(lost, rule.visits), responds)

    well, responders = jax.lax.map(given, whole)
    return well.sum(axis=0) / responders.sum()


def _sums(well: jax.Array, responds: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Responders who are still well at each visit, and all responders."""
    weight = responds + NOBODY / responds.size
    return (well * weight[None]).sum(axis=1), weight.sum()


def restricted_mean(share: jax.Array, days: np.ndarray) -> jax.Array:
    """Mean days well, at most until the last visit.

    Args:
        share: Still well at each visit [1], shape (visit,).
        days: Of the visits since the clock's start [day], shape (visit,).

    Returns:
        Days.
    """
    return (share[:-1] * jnp.asarray(np.diff(days), share.dtype)).sum()


def quantile(share: jax.Array, days: np.ndarray, level: float) -> jax.Array:
    """Days until so many responders have relapsed, as a smooth number.

    The share falls in steps at the visits; a line through the middles of the steps is as often
    above as below what is read off the steps. Where follow-up ends before so many have relapsed,
    the number is not known; so that a fit can move, something between once and twice the whole
    follow-up stands for it, the more the more are well.

    Args:
        share: Still well at each visit [1], shape (visit,).
        days: Of the visits since the clock's start [day], shape (visit,).
        level: Share that has relapsed by then [1].

    Returns:
        Days.
    """
    left = 1 - level
    at = jnp.asarray(days, share.dtype)
    passed = share <= left
    k = jnp.maximum(jnp.argmax(passed), 1)
    fell, gap = share[k - 1] - share[k], at[k] - at[k - 1]
    fraction = (share[k - 1] - left) / jnp.where(passed.any(), fell, 1.0)
    within = at[k - 1] + gap * fraction + gap / 2
    beyond = at[-1] * (1 + (share[-1] - left) / level) + (at[-1] - at[-2]) / 2
    return jnp.where(passed.any(), within, beyond)
