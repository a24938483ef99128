"""Lateral habenula and default mode network. Owns `habenula` and `network_excess`."""

import jax.numpy as jnp

from ketjax.model.parameters import Leaf, Network


def habenula_rate(habenula: Leaf, blocker: Leaf, half_block: Leaf, p: Network) -> Leaf:
    """Rate of change of habenula bursting: fast onset, slow recovery by trapping.

    Equation:
        L' = (1 - L)/tauLoff - (x^2/(x^2 + KdL^2)) L/tauLon

    Args:
        habenula: L, bursting relative to the untreated patient [1].
        blocker: x, active blocker [uM].
        half_block: KdL [uM].
        p: Network, tauLoff and tauLon [h].

    Returns:
        L' [1/h].

    Source:
        Ma2023: suppression up to 24 h.
    """
    silenced = blocker * blocker / (blocker * blocker + half_block * half_block)
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
