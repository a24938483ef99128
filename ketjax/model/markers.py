"""Markers in blood and brain, as a laboratory or a scanner would see them, without noise.

None of them acts on the cascade. Owns `early_il6`, `acute_il6`, `plasma_bdnf`, `glutamine`.
"""

import math

import jax.numpy as jnp

from ketjax.model.parameters import Leaf, Markers


def early_il6_rate(early: Leaf, brain: Leaf, p: Markers) -> Leaf:
    """Rate of change of what delays the acute rise of interleukin 6.

    Equation:
        A6a' = (Ke/(Ke + K6) - A6a)/tau6a

    Args:
        early: A6a [1].
        brain: Ke, unbound ketamine [uM].
        p: Markers, K6 [uM], tau6a [h].

    Returns:
        A6a' [1/h].

    Source:
        Park2017: IL-6 rises; others found a fall.
    """
    return (brain / (brain + p.acute_il6_half_concentration) - early) / p.acute_il6_delay


def acute_il6_rate(acute: Leaf, early: Leaf, p: Markers) -> Leaf:
    """Rate of change of the acute rise of interleukin 6.

    Equation:
        A6' = (A6a - A6)/tau6b

    Args:
        acute: A6 [1].
        early: A6a [1].
        p: Markers, tau6b [h].

    Returns:
        A6' [1/h].

    Source:
        Park2017: rise within hours.
    """
    return (early - acute) / p.acute_il6_decay


def marker(healthy: Leaf, gain: Leaf, inflammation: Leaf, acute: Leaf) -> Leaf:
    """Concentration of an inflammatory marker.

    Equation:
        c = m exp(l (IN - 1) + g A)

    Args:
        healthy: m, median of healthy people [pg/mL or mg/L].
        gain: l, rise of the logarithm for each unit of inflammation [1].
        inflammation: IN [1].
        acute: g A, acute rise of the logarithm [1].

    Returns:
        Concentration [pg/mL or mg/L].

    Source:
        Osimo2020: raised markers in depression.
    """
    return healthy * jnp.exp(gain * (inflammation - 1) + acute)


def plasma_bdnf_rate(plasma: Leaf, released: Leaf, p: Markers) -> Leaf:
    """Rate of change of BDNF in plasma.

    Equation:
        pB' = (pB0 (1 + gpB Be) - pB)/taupB

    Args:
        plasma: pB [ng/mL].
        released: Be, released BDNF [1].
        p: Markers, pB0 [ng/mL], gpB [1], taupB [h].

    Returns:
        pB' [ng/(mL h)].

    Source:
        Haile2014: BDNF at 4 h and mood; its size cannot be reproduced and is not fitted.
    """
    target = p.plasma_bdnf_baseline * (1 + p.plasma_bdnf_gain * released)
    return (target - plasma) / p.plasma_bdnf_lag


def glutamine_rate(glutamine: Leaf, glutamate: Leaf, p: Markers) -> Leaf:
    """Rate of change of lagging glutamate, which glutamine follows.

    Equation:
        Gl' = (ln 2/thGln)(G/G_base - 1 - Gl)

    Args:
        glutamine: Gl [1].
        glutamate: G/G_base [1].
        p: Markers, thGln [h].

    Returns:
        Gl' [1/h].

    Source:
        Rowland2005: glutamine rises.
    """
    return math.log(2) / p.mrs_glutamine_half_life * (glutamate - 1 - glutamine)


def enrichment(released: Leaf, p: Markers) -> Leaf:
    """Labelling of glutamine by 13C relative to before treatment, while release stays as it is.

    Equation:
        y = 1 + s13 (R/R0 - 1);  what is measured is its mean over the labelling window

    Args:
        released: R/R0, release relative to rest [1].
        p: Markers, s13 [1].

    Returns:
        y [1].

    Source:
        Abdallah2018: 13 % in the first hour; it sets the scale of this observation, not the surge.
    """
    return 1 + p.enrichment_per_release * (released - 1)


def sv2a_binding(density: Leaf, p: Markers) -> Leaf:
    """Distribution volume of an SV2A tracer relative to before treatment.

    Equation:
        VT/VT0 = 1 + fSV dSV (N/N_base - 1)

    Args:
        density: N/N_base [1].
        p: Markers, fSV and dSV [1].

    Returns:
        VT/VT0 [1].

    Source:
        Holmes2022: no measurable change at 24 h.
    """
    return 1 + p.sv2a_specific_fraction * p.sv2a_responding_share * (density - 1)
