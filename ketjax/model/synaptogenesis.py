"""Synaptic proteins, nascent and stable synapses, and what stress takes from them.

Owns `transit_protein`, `synaptic_protein`, `nascent_synapses`, `stable_synapses`.
"""

import jax.numpy as jnp

from ketjax.model.parameters import Leaf, Smoothing, Synapses


def transit_protein_rate(transit: Leaf, mtorc1: Leaf, p: Synapses) -> Leaf:
    """Rate of change of synaptic protein in transit.

    Equation:
        SP1' = ksp M - (kd1 + kas) SP1

    Args:
        transit: SP1 [1].
        mtorc1: M [1].
        p: Synapses, ksp, kd1, kas [1/h].

    Returns:
        SP1' [1/h].

    Source:
        Li2010: proteins rise within 2 h.
    """
    return (
        p.protein_synthesis_gain * mtorc1
        - (p.transit_protein_loss_rate + p.assembly_rate) * transit
    )


def synaptic_protein_rate(built_in: Leaf, transit: Leaf, p: Synapses) -> Leaf:
    """Rate of change of protein built into synapses.

    Equation:
        SP2' = kas SP1 - kd2 SP2

    Args:
        built_in: SP2 [1].
        transit: SP1 [1].
        p: Synapses, kas, kd2 [1/h].

    Returns:
        SP2' [1/h].

    Source:
        Li2010: proteins still up at 72 h.
    """
    return p.assembly_rate * transit - p.synaptic_protein_loss_rate * built_in


def formation_rate(p: Synapses) -> Leaf:
    """Drug-free formation rate that gives a healthy density of 1.

    Equation:
        kf = (kn + kc) ks0/(ks0 + kc)/(Nmax - 1)

    Args:
        p: Synapses, kn, kc, ks0 [1/h], Nmax [1].

    Returns:
        kf [1/h].

    Source:
        Grutzendler2002: turnover in health.
    """
    return (
        (p.nascent_loss_rate + p.stabilisation_rate)
        * p.stable_loss_rate
        / (p.stable_loss_rate + p.stabilisation_rate)
        / (p.maximal_density - 1)
    )


def stable_loss(inflammation: Leaf, p: Synapses) -> Leaf:
    """Loss rate of stable synapses under stress and inflammation.

    Equation:
        ks = ks0 (1 + sstr stress + sIN (IN - 1))

    Args:
        inflammation: IN [1].
        p: Synapses, ks0 [1/h], sstr, stress, sIN [1].

    Returns:
        ks [1/h].

    Source:
        Holmes2022: synaptic density and severity.
    """
    return p.stable_loss_rate * (
        1 + p.stress_effect * p.stress + p.inflammation_effect * (inflammation - 1)
    )


def resting_synapses(inflammation: Leaf, p: Synapses) -> tuple[Leaf, Leaf]:
    """Drug-free nascent and stable synapses.

    Equation:
        a = kc/ks;  Nn = kf Nmax/(kn + kc + kf (1 + a));  Ns = a Nn

    Args:
        inflammation: IN at rest [1].
        p: Synapses.

    Returns:
        Nn and Ns [1].

    Source:
        Holmes2022: deficit of about 15 % in depression.
    """
    stable_per_nascent = p.stabilisation_rate / stable_loss(inflammation, p)
    formation = formation_rate(p)
    lost = p.nascent_loss_rate + p.stabilisation_rate
    nascent = formation * p.maximal_density / (lost + formation * (1 + stable_per_nascent))
    return nascent, stable_per_nascent * nascent


def nascent_rate(nascent: Leaf, stable: Leaf, built_in: Leaf, practice: Leaf, p: Synapses) -> Leaf:
    """Rate of change of nascent synapses; practice stabilises them.

    Equation:
        Nn' = kf (1 + af SP2)(Nmax - Nn - Ns) - (kn/(1 + g) + kc (1 + g)) Nn,  g = gPrS Prac

    Args:
        nascent: Nn [1].
        stable: Ns [1].
        built_in: SP2 [1].
        practice: g, effect of practice [1].
        p: Synapses, kn, kc [1/h], af, Nmax [1].

    Returns:
        Nn' [1/h].

    Source:
        Phoumthipphavong2016, ModaSava2019: formation, not elimination, is changed.
    """
    formed = formation_rate(p) * (1 + p.formation_gain * built_in)
    lost = p.nascent_loss_rate / (1 + practice) + p.stabilisation_rate * (1 + practice)
    return formed * (p.maximal_density - nascent - stable) - lost * nascent


def stable_rate(
    nascent: Leaf, stable: Leaf, inflammation: Leaf, practice: Leaf, p: Synapses
) -> Leaf:
    """Rate of change of stable synapses.

    Equation:
        Ns' = kc (1 + g) Nn - ks Ns

    Args:
        nascent: Nn [1].
        stable: Ns [1].
        inflammation: IN [1].
        practice: g, effect of practice [1].
        p: Synapses, kc [1/h] and those of ks.

    Returns:
        Ns' [1/h].

    Source:
        Phoumthipphavong2016: part of the new spines persist.
    """
    made = p.stabilisation_rate * (1 + practice) * nascent
    return made - stable_loss(inflammation, p) * stable


def restored_share(density: Leaf, resting: Leaf, p: Synapses) -> Leaf:
    """Share of the synaptic deficit that is restored.

    Equation:
        r = (N - N_base)/sqrt((1 - N_base)^2 + eN^2)

    Args:
        density: N, synapse density (healthy = 1) [1].
        resting: N_base, the patient's drug-free density [1].
        p: Synapses, eN [1].

    Returns:
        r [1].

    Source:
        ModaSava2019: stress-lost spines are restored selectively.
    """
    return (density - resting) / jnp.sqrt((1 - resting) ** 2 + p.deficit_floor**2)


def saturated(restored: Leaf, smoothing: Smoothing) -> Leaf:
    """Restored share as it enters mood: a smooth saturation.

    Equation:
        r/(1 + |r|/2),  |r| = sqrt(r^2 + er^2) - er

    Args:
        restored: r [1].
        smoothing: Width er [1].

    Returns:
        Saturated share [1].

    Source:
        TargetProfiles: dose buys duration more than peak.
    """
    width = smoothing.restoration_width
    return restored / (1 + (jnp.sqrt(restored * restored + width**2) - width) / 2)
