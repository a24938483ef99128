"""Psychotherapy in a plasticity window: a hypothesis with weak priors, off without sessions.

Owns `practice`, `labile_learning`, `consolidated_learning`.
"""

import jax.numpy as jnp

from ketjax.model.parameters import Leaf, PlasticityWindow, Psychotherapy, Smoothing
from ketjax.model.smooth import positive_part
from ketjax.model.states import RegionState


def plasticity_window(
    cortex: RegionState, resting_nascent: Leaf, p: PlasticityWindow, smoothing: Smoothing
) -> Leaf:
    """How open the plasticity window is.

    Equation:
        Z = aNn pos0(Nn/Nn_base - 1)/sNn + aPo P/sPo + aBe Be/sBe + aMt M/sMt;  Wpl = Z/(1 + Z)

    Args:
        cortex: Prefrontal Nn, P, Be, M [1].
        resting_nascent: Nn_base, drug-free nascent synapses [1].
        p: PlasticityWindow, weights and scales [1].
        smoothing: Width of pos0 [1].

    Returns:
        Wpl [1], 0 without drug.

    Source:
        assumed: the window is that of the cascade's signals, themselves from rodents.
    """
    gained = positive_part(cortex.nascent_synapses / resting_nascent - 1, smoothing)
    opened = (
        p.weight_nascent_synapses * gained / p.scale_nascent_synapses
        + p.weight_potentiation * cortex.potentiation / p.scale_potentiation
        + p.weight_bdnf * cortex.bdnf / p.scale_bdnf
        + p.weight_mtorc1 * cortex.mtorc1 / p.scale_mtorc1
    )
    return opened / (1 + opened)


def practice_rate(practice: Leaf, session: Leaf, p: Psychotherapy) -> Leaf:
    """Rate of change of the trace of practice.

    Equation:
        Prac' = us - Prac/tauPr

    Args:
        practice: Prac [h of full intensity].
        session: us, intensity of the running session [1].
        p: Psychotherapy, tauPr [h].

    Returns:
        Prac' [1].

    Source:
        assumed: trace of a day.
    """
    return session - practice / p.practice_time


def labile_learning_rate(
    learned: Leaf, session: Leaf, window: Leaf, block: Leaf, p: Psychotherapy
) -> Leaf:
    """Rate of change of labile learning.

    Equation:
        LrnA' = kLrn us (ell0 + gWin Wpl)(1 - eBlk BI/(BI + KBlk))(1 - LrnA)
                - LrnA/tauLr - kCon LrnA

    Args:
        learned: LrnA [1].
        session: us, intensity of the running session [1].
        window: Wpl [1].
        block: BI, interneuron block [1].
        p: Psychotherapy, kLrn, kCon [1/h], ell0, gWin, eBlk, KBlk [1], tauLr [h].

    Returns:
        LrnA' [1/h].

    Source:
        Olofsen2012: memory under ketamine (direction); sizes are assumed.
    """
    gain = p.learning_without_window + p.learning_gain_of_window * window
    encoded = 1 - p.encoding_block * block / (block + p.encoding_half_block)
    learning = p.learning_rate * session * gain * encoded * (1 - learned)
    return learning - learned / p.labile_learning_time - p.learning_consolidation_rate * learned


def consolidated_learning_rate(consolidated: Leaf, learned: Leaf, p: Psychotherapy) -> Leaf:
    """Rate of change of consolidated learning.

    Equation:
        LrnC' = kCon LrnA - LrnC/tauLC

    Args:
        consolidated: LrnC [1].
        learned: LrnA [1].
        p: Psychotherapy, kCon [1/h], tauLC [h].

    Returns:
        LrnC' [1/h].

    Source:
        assumed: consolidation over weeks, loss over months.
    """
    return p.learning_consolidation_rate * learned - consolidated / p.consolidated_learning_time


def untouched_share(learned: Leaf, consolidated: Leaf, p: Psychotherapy) -> Leaf:
    """Share of the score that learning leaves.

    Equation:
        1 - UL = exp(-wLrn (LrnA + LrnC))

    Args:
        learned: LrnA [1].
        consolidated: LrnC [1].
        p: Psychotherapy, wLrn [1].

    Returns:
        1 - UL [1].

    Source:
        assumed: weak prior.
    """
    return jnp.exp(-p.score_weight_learning * (learned + consolidated))
