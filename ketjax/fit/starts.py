"""Where the searches of a fit begin: at the start of each number, and at draws from the prior.

Start k depends on the seed and k alone, so more starts leave the others as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from scipy.special import expit, ndtr, ndtri

from ketjax.fit.free import Free
from ketjax.fit.transforms import on_scale

FROM_SCALE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda number: number,
    "log": np.exp,
    "logit": expit,
    "atanh": np.tanh,
}
EDGE = 1e-6  # share of the prior inside the bounds that is left out at either end


def draw_starts(free: Sequence[Free], count: int, seed: int) -> np.ndarray:
    """Numbers without bounds at which searches begin.

    Equation:
        number = from_scale(on_scale(start) + prior z),  z standard normal between the bounds

    Args:
        free: What may move.
        count: How many starts, the first of them the start of each number.
        seed: Of the others.

    Returns:
        Starts, shape (start, free), float64.
    """
    return np.array([_at_start(free) if k == 0 else _drawn(free, seed, k) for k in range(count)])


def _at_start(free: Sequence[Free]) -> list[float]:
    with jax.enable_x64(True):
        return [float(one.transform.inverse(np.float64(one.start))) for one in free]


def _drawn(free: Sequence[Free], seed: int, k: int) -> list[float]:
    ranks = np.random.default_rng([seed, k]).random(len(free))
    theta = []
    with jax.enable_x64(True):
        for one, rank in zip(free, ranks, strict=True):
            scaled = (one.low, one.start, one.high)
            low, centre, high = (float(on_scale(one.scale, np.float64(end))) for end in scaled)
            below, above = ndtr((np.array([low, high]) - centre) / one.prior)
            rank = EDGE + (1 - 2 * EDGE) * rank
            z = ndtri(below + (above - below) * rank)
            number = FROM_SCALE[one.scale](centre + one.prior * z)
            theta.append(float(one.transform.inverse(np.float64(number))))
    return theta
