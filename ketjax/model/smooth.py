"""Smooth thresholds: every clip and switch of the cascade, with its width from the table.

A kink costs every patient small steps and a plateau kills gradients, so none is used.
"""

import jax.numpy as jnp

from ketjax.model.parameters import Leaf, Smoothing


def positive_part(z: Leaf, p: Smoothing) -> Leaf:
    """Smooth max(0, z), exactly 0 at 0.

    Equation:
        pos0(z) = (z + sqrt(z^2 + 4 e^2))/2 - e

    Args:
        z: Argument [1].
        p: Smoothing, width e [1].

    Returns:
        Positive part [1], not below -e.
    """
    return (z + jnp.sqrt(z * z + (2 * p.rectifier_width) ** 2)) / 2 - p.rectifier_width


def positive_drive(y: Leaf, p: Smoothing) -> Leaf:
    """Smooth max(0, y), exactly 1 at 1.

    Equation:
        pos1(y) = (y + sqrt(y^2 + 4 e^2 (y - 1)^2))/2

    Args:
        y: Drive relative to rest [1].
        p: Smoothing, width e [1].

    Returns:
        Drive, never negative [1].
    """
    return (y + jnp.sqrt(y * y + (2 * p.rectifier_width * (y - 1)) ** 2)) / 2


def power_ratio(u: Leaf, half: Leaf, exponent: Leaf, p: Smoothing) -> Leaf:
    """Smooth even power of u over its half-effect value.

    Equation:
        z = (u^2/K^2 + eH)^(n/2) = exp((n/2) ln(u^2/K^2 + eH))

    Args:
        u: Argument, in the unit of `half`.
        half: K, value of half effect.
        exponent: n [1].
        p: Smoothing, floor eH [1].

    Returns:
        z [1]; the logarithm's form costs a third of a general power.
    """
    return jnp.exp(exponent / 2 * jnp.log((u / half) ** 2 + p.hill_floor))


def hill(u: Leaf, half: Leaf, exponent: Leaf, p: Smoothing) -> Leaf:
    """Hill function, smooth at 0.

    Equation:
        hill(u, K, n) = z/(1 + z),  z = power_ratio(u, K, n)

    Args:
        u: Argument, in the unit of `half`.
        half: K, value of half effect.
        exponent: n [1].
        p: Smoothing, floor eH [1].

    Returns:
        Share of the full effect [1], between 0 and 1.
    """
    z = power_ratio(u, half, exponent, p)
    return z / (1 + z)
