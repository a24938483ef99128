"""From standard normal numbers to drawn parameters, by the laws of the parameter table.

Everything is elementwise over patients, so that a patient's draw does not depend on who is drawn
beside. Numbers of NumPy are drawn on the host in float64; those of jax may be traced, and then
typical value and spread may be too.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
from scipy.special import ndtr, ndtri

from ketjax.model.laws import Law

Number = Any  # float, or an array that may be traced


class Library(NamedTuple):
    """What a law is made of: an array library, and functions that it lacks.

    Attributes:
        xp: numpy or jax.numpy.
        log: Of a single number.
        logistic: 1/(1 + exp(-x)).
        ndtr: Normal distribution function.
        ndtri: Its inverse.
    """

    xp: Any
    log: Callable[..., Any]
    logistic: Callable[..., Any]
    ndtr: Callable[..., Any]
    ndtri: Callable[..., Any]


HOST = Library(np, math.log, lambda x: 1 / (1 + np.exp(-x)), ndtr, ndtri)
TRACED = Library(
    jnp,
    jnp.log,
    jax.nn.sigmoid,
    lambda x: jax.scipy.special.ndtr(jnp.asarray(x)),
    jax.scipy.special.ndtri,
)


def transform(law: Law, value: Number, z: Any) -> Any:
    """Draws of one parameter.

    Args:
        law: Law of variation; its spread may be traced.
        value: Typical value, in the parameter's unit.
        z: Standard normal numbers, shape (patient,).

    Returns:
        Draws in the parameter's unit, shape (patient,), of the library of z.

    Raises:
        ValueError: The law is unknown, or its truncation leaves nothing.
    """
    f = _library_of(z)
    if law.kind == "fixed":
        return value * f.xp.ones_like(z)
    if law.kind == "categorical":
        bounds = f.xp.asarray(np.cumsum(law.shares)[:-1])
        return f.xp.searchsorted(bounds, f.ndtr(z), side="right").astype(float)
    if law.kind in ("uniform", "log-uniform"):
        assert law.low is not None and law.high is not None
        if not law.low < law.high:
            raise ValueError(f"nothing lies between {law.low:g} and {law.high:g}")
        if law.kind == "uniform":
            return law.low + (law.high - law.low) * f.ndtr(z)
        return law.low * f.xp.exp(math.log(law.high / law.low) * f.ndtr(z))
    z = truncated(law, value, z)
    centre = value if law.centre is None else law.centre
    if law.kind == "normal":
        return centre + law.spread * z
    if law.kind == "log-normal":
        drawn = law.offset + (centre - law.offset) * f.xp.exp(law.spread * z)
        return drawn if law.cap is None else f.xp.minimum(drawn, law.cap)
    if law.kind == "logit-normal":
        logit = f.log(value / (1 - value)) if law.centre is None else law.centre
        return f.logistic(logit + law.spread * z)
    raise ValueError(f"unknown law {law.kind!r}")


def truncated(law: Law, value: Number, z: Any) -> Any:
    """Standard normal numbers moved, rank for rank, into the truncation of the law.

    Equation:
        z' = Phi^-1(Phi(a) + (Phi(b) - Phi(a)) Phi(z)),  a, b: the bounds on the scale of z

    Args:
        law: Law with bounds in the parameter's unit.
        value: Typical value.
        z: Standard normal numbers, shape (patient,).

    Returns:
        Numbers inside the bounds, shape (patient,), of the library of z.

    Raises:
        ValueError: Nothing lies between the bounds; only where they are not traced.
    """
    if law.low is None and law.high is None:
        return z
    f = _library_of(z)
    below = 0.0 if law.low is None else _share_below(f, law, value, law.low)
    above = 1.0 if law.high is None else _share_below(f, law, value, law.high)
    if f is HOST and not below < above:
        raise ValueError(f"nothing lies between {law.low} and {law.high} under {law}")
    return f.ndtri(below + (above - below) * f.ndtr(z))


def _library_of(z: Any) -> Library:
    return TRACED if isinstance(z, jax.Array) else HOST


def _share_below(f: Library, law: Law, value: Number, bound: float) -> Number:
    """Share of an untruncated law below a bound."""
    centre = value if law.centre is None else law.centre
    if law.kind == "normal":
        return f.ndtr((bound - centre) / law.spread)
    if law.kind == "log-normal":
        if bound <= law.offset:
            return 0.0
        return f.ndtr(f.log((bound - law.offset) / (centre - law.offset)) / law.spread)
    if not 0 < bound < 1:
        return 0.0 if bound <= 0 else 1.0
    logit = f.log(value / (1 - value)) if law.centre is None else law.centre
    return f.ndtr((math.log(bound / (1 - bound)) - logit) / law.spread)


def holds(law: Law, value: float) -> bool:
    """Whether a law can vary around a value; at 0 or 1 a fraction has no variability."""
    if law.kind == "log-normal":
        return value > law.offset
    if law.kind == "logit-normal":
        return 0 < value < 1
    return law.kind != "fixed"
