"""From standard normal numbers to drawn parameters, by the laws of the parameter table.

Everything is elementwise over patients and in float64 on the host, so that a patient's draw does
not depend on who is drawn beside.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ketjax.model.laws import Law

Array = NDArray[np.float64]


def transform(law: Law, value: float, z: Array) -> Array:
    """Draws of one parameter.

    Args:
        law: Law of variation.
        value: Typical value, in the parameter's unit.
        z: Standard normal numbers, shape (patient,).

    Returns:
        Draws in the parameter's unit, shape (patient,).

    Raises:
        ValueError: The law is unknown, or its truncation leaves nothing.
    """
    if law.kind == "fixed":
        return np.full(z.shape, value)
    if law.kind == "categorical":
        return np.searchsorted(np.cumsum(law.shares)[:-1], ndtr(z), side="right").astype(float)
    if law.kind in ("uniform", "log-uniform"):
        assert law.low is not None and law.high is not None
        if not law.low < law.high:
            raise ValueError(f"nothing lies between {law.low:g} and {law.high:g}")
        if law.kind == "uniform":
            return law.low + (law.high - law.low) * ndtr(z)
        return law.low * np.exp(math.log(law.high / law.low) * ndtr(z))
    z = truncated(law, value, z)
    centre = value if law.centre is None else law.centre
    if law.kind == "normal":
        return centre + law.spread * z
    if law.kind == "log-normal":
        drawn = law.offset + (centre - law.offset) * np.exp(law.spread * z)
        return drawn if law.cap is None else np.minimum(drawn, law.cap)
    if law.kind == "logit-normal":
        logit = math.log(value / (1 - value)) if law.centre is None else law.centre
        return 1 / (1 + np.exp(-(logit + law.spread * z)))
    raise ValueError(f"unknown law {law.kind!r}")


def truncated(law: Law, value: float, z: Array) -> Array:
    """Standard normal numbers moved, rank for rank, into the truncation of the law.

    Equation:
        z' = Phi^-1(Phi(a) + (Phi(b) - Phi(a)) Phi(z)),  a, b: the bounds on the scale of z

    Args:
        law: Law with bounds in the parameter's unit.
        value: Typical value.
        z: Standard normal numbers, shape (patient,).

    Returns:
        Numbers inside the bounds, shape (patient,).

    Raises:
        ValueError: Nothing lies between the bounds.
    """
    if law.low is None and law.high is None:
        return z
    a, b = (_standardised(law, value, bound) for bound in (law.low, law.high))
    below, above = (0.0 if a is None else ndtr(a)), (1.0 if b is None else ndtr(b))
    if not below < above:
        raise ValueError(f"nothing lies between {law.low} and {law.high} under {law}")
    return ndtri(below + (above - below) * ndtr(z))


def _standardised(law: Law, value: float, bound: float | None) -> float | None:
    """A bound on the scale of the standard normal number."""
    if bound is None:
        return None
    centre = value if law.centre is None else law.centre
    if law.kind == "normal":
        return (bound - centre) / law.spread
    if law.kind == "log-normal":
        if bound <= law.offset:
            return None if bound == law.low else -math.inf
        return math.log((bound - law.offset) / (centre - law.offset)) / law.spread
    logit = math.log(value / (1 - value)) if law.centre is None else law.centre
    return (math.log(bound / (1 - bound)) - logit) / law.spread


def holds(law: Law, value: float) -> bool:
    """Whether a law can vary around a value; at 0 or 1 a fraction has no variability."""
    if law.kind == "log-normal":
        return value > law.offset
    if law.kind == "logit-normal":
        return 0 < value < 1
    return law.kind != "fixed"
