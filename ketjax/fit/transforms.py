"""Maps between a bounded number and one that an optimiser may move anywhere.

A number within bounds [low, high], low or above, or anywhere is made from one without bounds; each
map is smooth and increasing, and says by how much it stretches. Everything is in jax.numpy.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Transform:
    """One map; `kind` is "identity", "log" or "logit".

    Equation:
        identity  x = u
        log       x = low + exp(u)
        logit     x = low + (high - low) / (1 + exp(-u))

    Attributes:
        kind: Which of them.
        low: Lower bound, in the number's unit.
        high: Upper bound, in the number's unit.
    """

    kind: str
    low: float = -math.inf
    high: float = math.inf

    def forward(self, free: jax.typing.ArrayLike) -> jax.Array:
        """The number within its bounds.

        Args:
            free: Number without bounds [1], any shape.

        Returns:
            Number in its own unit, of the same shape.
        """
        u = jnp.asarray(free)
        if self.kind == "identity":
            return u
        if self.kind == "log":
            return self.low + jnp.exp(u)
        # Measured from the nearer bound, so that neither end loses digits.
        width = self.high - self.low
        below = self.low + width * jax.nn.sigmoid(u)
        return jnp.where(u < 0, below, self.high - width * jax.nn.sigmoid(-u))

    def inverse(self, number: jax.typing.ArrayLike) -> jax.Array:
        """The number without bounds.

        Args:
            number: Number strictly within its bounds, any shape.

        Returns:
            Number without bounds [1], infinite on a bound, NaN beyond.
        """
        x = jnp.asarray(number)
        if self.kind == "identity":
            return x
        if self.kind == "log":
            return jnp.log(x - self.low)
        return jnp.log(x - self.low) - jnp.log(self.high - x)

    def log_slope(self, free: jax.typing.ArrayLike) -> jax.Array:
        """Logarithm of the slope dx/du: what a density gains when the number is mapped.

        Args:
            free: Number without bounds [1], any shape.

        Returns:
            log dx/du, of the same shape.
        """
        u = jnp.asarray(free)
        if self.kind == "identity":
            return jnp.zeros_like(u)
        if self.kind == "log":
            return u
        return math.log(self.high - self.low) - jax.nn.softplus(u) - jax.nn.softplus(-u)


IDENTITY = Transform("identity")


def between(low: float, high: float) -> Transform:
    """The map into these bounds; infinite where there is none.

    Args:
        low: Lower bound.
        high: Upper bound.

    Returns:
        Logit between two bounds, log above a lower one, identity without any.

    Raises:
        ValueError: The bounds hold nothing, or there is an upper one alone.
    """
    if not low < high:
        raise ValueError(f"nothing lies between {low:g} and {high:g}")
    if math.isfinite(low) and math.isfinite(high):
        return Transform("logit", low, high)
    if math.isfinite(low):
        return Transform("log", low)
    if math.isfinite(high):
        raise ValueError(f"an upper bound of {high:g} needs a lower one beside it")
    return IDENTITY


def on_scale(scale: str, number: jax.typing.ArrayLike) -> jax.Array:
    """A number on the scale on which a parameter moves.

    Args:
        scale: "log", "logit", "atanh" or "identity".
        number: Number in its own unit, any shape.

    Returns:
        Number on the scale, of the same shape.

    Raises:
        KeyError: The scale is unknown.
    """
    x = jnp.asarray(number)
    maps = {
        "identity": lambda x: x,
        "log": jnp.log,
        "logit": lambda x: jnp.log(x) - jnp.log1p(-x),
        "atanh": jnp.arctanh,
    }
    return maps[scale](x)
