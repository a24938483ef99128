"""Lateral habenula, default mode network and rumination.

Owns `habenula`, `network_excess` and `rumination`.
"""

import jax.numpy as jnp

from ketjax.model.parameters import Connectivity, Leaf, Network


def habenula_rate(habenula: Leaf, blocker: Leaf, gate: Leaf, half_block: Leaf, p: Network) -> Leaf:
    """Rate of change of habenula bursting: fast onset, slow recovery by trapping.

    Equation:
        L' = (1 - L)/tauLoff - gL (x^2/(x^2 + KdL^2)) L/tauLon

    Args:
        habenula: L, bursting relative to the untreated patient [1].
        blocker: x, active blocker [uM].
        gate: gL, level of the gate [1].
        half_block: KdL [uM].
        p: Network, tauLoff and tauLon [h].

    Returns:
        L' [1/h].

    Source:
        Ma2023: suppression up to 24 h.
    """
    silenced = gate * blocker * blocker / (blocker * blocker + half_block * half_block)
    return (1 - habenula) / p.habenula_recovery_time - silenced * habenula / p.habenula_onset_time


def network_rate(excess: Leaf, restored: Leaf, potentiation: Leaf, p: Network) -> Leaf:
    """Rate of change of the default mode network's excess, a construct of the model.

    Equation:
        D' = (exp(-dN r - dP P) - D)/tauD

    Args:
        excess: D, excess relative to the untreated patient [1].
        restored: r, restored share of the synaptic deficit [1].
        potentiation: P [1].
        p: Network, dN, dP [1], tauD [h].

    Returns:
        D' [1/h].

    Source:
        Evans2018: normalised at 2 d, back at 10 d. Scheidegger2012: lower at 24 h.
    """
    target = jnp.exp(-(p.gain_from_synapses * restored + p.gain_from_potentiation * potentiation))
    return (target - excess) / p.network_time_constant


def default_mode(
    excess: Leaf, potentiation: Leaf, site: Leaf, midazolam: Leaf, p: Connectivity
) -> Leaf:
    """Default mode connectivity, as resting fMRI would see it.

    Equation:
        z = zb (gZ D + 1 - gZ) - aZP P - aZK CeD/CrZ - aZM Mz

    Args:
        excess: D, the network state of the model [1].
        potentiation: P [1].
        site: CeD, effect site of dissociation, S-equivalents [ng/mL].
        midazolam: Mz, relative to the comparator's dose [1].
        p: Connectivity.

    Returns:
        z [SD].

    Source:
        Evans2018: toward the healthy at 2 d, back at 10 d. Adhikari2020: acute fall, as much
        with midazolam. The sign of zb is the patient's own.
    """
    kept = p.baseline * (p.normalisation * excess + 1 - p.normalisation)
    acute = p.acute_fall * site / p.reference_concentration
    acute = acute + p.acute_fall_midazolam * midazolam
    return kept - p.fall_from_potentiation * potentiation - acute


def salience(site: Leaf, midazolam: Leaf, p: Connectivity) -> Leaf:
    """Connectivity of the salience network relative to before treatment.

    Equation:
        z = -aZS CeD/CrZ - (aZM/2) Mz

    Args:
        site: CeD [ng/mL].
        midazolam: Mz [1].
        p: Connectivity.

    Returns:
        z [SD].

    Source:
        Adhikari2020: acute fall; under midazolam half that of the default mode is assumed.
    """
    acute = p.acute_salience_fall * site / p.reference_concentration
    return -acute - p.acute_fall_midazolam / 2 * midazolam


def rumination_rate(rumination: Leaf, score: Leaf, baseline: Leaf, p: Connectivity) -> Leaf:
    """Rate of change of rumination, which follows mood.

    Equation:
        Rum' = (1 - wRum (1 - S/S0) - Rum)/tauRum

    Args:
        rumination: Rum, relative to before treatment [1].
        score: S [points].
        baseline: S0 [points].
        p: Connectivity, wRum [1], tauRum [h].

    Returns:
        Rum' [1/h].

    Source:
        assumed: no link to default mode connectivity was found in 115 and 48 people.
    """
    target = 1 - p.rumination_weight * (1 - score / baseline)
    return (target - rumination) / p.rumination_time
