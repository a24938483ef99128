"""Midazolam as an active comparator: it sedates and calms for hours and does nothing to the score.

Owns `midazolam`.
"""

import math

import jax.numpy as jnp

from ketjax.model.parameters import Agents, Anxiety, Arousal, Leaf


def relative_dose(dose: Leaf, p: Agents) -> Leaf:
    """Midazolam as a share of the comparator's dose.

    Equation:
        Mz = d/DMz

    Args:
        dose: d, for each kg of body weight [mg/kg].
        p: Agents, DMz [mg/kg].

    Returns:
        Mz [1], or [1/h] of a rate.

    Source:
        Murrough2013a: 0.045 mg/kg into a vein. Other routes count the same: assumed.
    """
    return dose / p.midazolam_reference_dose


def midazolam_rate(midazolam: Leaf, infused: Leaf, p: Agents) -> Leaf:
    """Rate of change of midazolam.

    Equation:
        Mz' = d/DMz - (ln 2/thMz) Mz

    Args:
        midazolam: Mz, relative to the comparator's dose [1].
        infused: d, for each kg of body weight [mg/kg/h].
        p: Agents, DMz [mg/kg], thMz [h].

    Returns:
        Mz' [1/h].

    Source:
        assumed: one compartment.
    """
    return relative_dose(infused, p) - math.log(2) / p.midazolam_half_life * midazolam


def with_sedation(probability: Leaf, midazolam: Leaf, p: Arousal) -> Leaf:
    """Probability of sedation by ketamine or midazolam, which sedate independently.

    Equation:
        P = Pk + (1 - Pk) Mz^2/(Mz^2 + hMz^2)

    Args:
        probability: Pk, by ketamine alone [1].
        midazolam: Mz [1].
        p: Arousal, hMz [1].

    Returns:
        P [1].

    Source:
        assumed: form and half amount.
    """
    half = p.sedation_half_midazolam
    own = midazolam * midazolam / (midazolam * midazolam + half * half)
    return probability + (1 - probability) * own


def calmed(midazolam: Leaf, p: Anxiety) -> Leaf:
    """Factor by which midazolam lowers anxiety, the same beyond the comparator's dose.

    Equation:
        1 - bAxB min(1, Mz)

    Args:
        midazolam: Mz [1].
        p: Anxiety, bAxB [1].

    Returns:
        Factor [1].

    Source:
        Glue2020: minor and brief.
    """
    return 1 - p.weight_midazolam * jnp.minimum(midazolam, 1)
