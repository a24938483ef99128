"""From the surge to plasticity signals: AMPA, calcium, eEF2, BDNF, TrkB, mTORC1, potentiation.

Owns `calcium`, `phospho_eef2`, `bdnf_protein`, `bdnf`, `trkb`, `mtorc1`, `s6k`,
`plasticity_capacity` and `potentiation`.
"""

import jax.numpy as jnp

from ketjax.model.parameters import Bdnf, Leaf, Mtorc1, Potentiation


def calcium_rate(calcium: Leaf, surge: Leaf, gate: Leaf, p: Bdnf) -> Leaf:
    """Rate of change of calcium through AMPA receptors and voltage-gated channels.

    Equation:
        q = gAMPA pos0(G/G_base - 1);   Ca' = (q/(q + Kq) - Ca)/tauCa

    Args:
        calcium: Ca [1].
        surge: pos0(G/G_base - 1), glutamate above rest [1].
        gate: gAMPA, level of AMPA receptors, 1 without a blocker [1].
        p: Bdnf, Kq [1], tauCa [h].

    Returns:
        Ca' [1/h].

    Source:
        Lepack2015: BDNF release needs AMPA receptors and L-type channels. The gate acts on the
        surge, not on total throughput: otherwise 20 % block would abolish every effect.
    """
    excess = gate * surge
    return (excess / (excess + p.ampa_excess_half_drive) - calcium) / p.calcium_time_constant


def eef2_rate(phosphorylated: Leaf, block: Leaf, p: Bdnf) -> Leaf:
    """Rate of change of phosphorylated eEF2.

    Equation:
        pE' = (1 - we BP - pE)/taue

    Args:
        phosphorylated: pE [1].
        block: BP, block of pyramidal receptors at rest [1].
        p: Bdnf, we [1], taue [h].

    Returns:
        pE' [1/h].

    Source:
        Autry2011: resting block stops eEF2 kinase.
    """
    return (1 - p.eef2_effect_of_resting_block * block - phosphorylated) / p.eef2_time_constant


def bdnf_protein_rate(
    protein: Leaf, phosphorylated: Leaf, calcium: Leaf, inflammation: Leaf, p: Bdnf
) -> Leaf:
    """Rate of change of BDNF protein.

    Equation:
        Bp' = kB (1 - fIN (IN - 1) + ae (1 - pE) + aCa Ca - Bp)

    Args:
        protein: Bp [1].
        phosphorylated: pE, phosphorylated eEF2 [1].
        calcium: Ca [1].
        inflammation: IN [1].
        p: Bdnf, kB [1/h], fIN, ae, aCa [1].

    Returns:
        Bp' [1/h].

    Source:
        Autry2011: translation. Osimo2020: inflammation in depression; its effect is assumed.
    """
    made = (
        1
        - p.inflammation_effect * (inflammation - 1)
        + p.eef2_effect_on_translation * (1 - phosphorylated)
        + p.calcium_effect_on_translation * calcium
    )
    return p.translation_turnover * (made - protein)


def bdnf_rate(bdnf: Leaf, protein: Leaf, calcium: Leaf, phosphorylated: Leaf, p: Bdnf) -> Leaf:
    """Rate of change of released BDNF.

    Equation:
        Be' = krel Bp (Ca + epsD (1 - pE)) - kclr Be

    Args:
        bdnf: Be [1].
        protein: Bp [1].
        calcium: Ca [1].
        phosphorylated: pE, at most 1 [1].
        p: Bdnf, krel and kclr [1/h], epsD [1].

    Returns:
        Be' [1/h].

    Source:
        Lepack2015: activity-dependent release. Autry2011: direct route, a hypothesis.
    """
    drive = calcium + p.direct_release_gain * (1 - phosphorylated)
    return p.release_gain * protein * drive - p.clearance_rate * bdnf


def trkb_rate(trkb: Leaf, bdnf: Leaf, gate: Leaf, p: Mtorc1) -> Leaf:
    """Rate of change of TrkB activity.

    Equation:
        Tk' = kT (gTrk Be+^2/(Be+^2 + KB^2) - Tk),  Be+ = max(0, Be)

    Smooth rectifiers upstream leave Be a thousandth below 0 long after a surge; squared, that would
    drive plasticity for weeks. The square makes the kink at 0 smooth.

    Args:
        trkb: Tk [1].
        bdnf: Be [1].
        gate: gTrk, level of TrkB, 1 without a blocker [1].
        p: Mtorc1, kT [1/h], KB [1].

    Returns:
        Tk' [1/h].

    Source:
        Haile2014: BDNF and response. Lepack2015: antibodies abolish the effect.
    """
    free = jnp.where(bdnf > 0, bdnf, 0.0)
    bound = free * free / (free * free + p.bdnf_half_activation * p.bdnf_half_activation)
    return p.trkb_rate * (gate * bound - trkb)


def mtorc1_rate(mtorc1: Leaf, drive: Leaf, s6k: Leaf, gate: Leaf, p: Mtorc1) -> Leaf:
    """Rate of change of mTORC1 activity.

    Equation:
        M' = kM (gMt Tk Q/(1 + gF F) - M)

    Args:
        mtorc1: M [1].
        drive: Tk Q, TrkB activity times plasticity capacity [1].
        s6k: F [1].
        gate: gMt, level of mTORC1, 1 without a blocker [1].
        p: Mtorc1, kM [1/h], gF [1].

    Returns:
        M' [1/h].

    Source:
        Li2010: peak near 30 min, baseline by 2 h; rapamycin abolishes synapses.
    """
    return p.mtorc1_rate * (gate * drive / (1 + p.s6k_feedback_gain * s6k) - mtorc1)


def s6k_rate(s6k: Leaf, mtorc1: Leaf, p: Mtorc1) -> Leaf:
    """Rate of change of the p70S6K feedback.

    Equation:
        F' = (M - F)/tauF

    Args:
        s6k: F [1].
        mtorc1: M [1].
        p: Mtorc1, tauF [h].

    Returns:
        F' [1/h].

    Source:
        Li2010: early peak of p-mTOR; the feedback itself is assumed.
    """
    return (mtorc1 - s6k) / p.s6k_feedback_time


def capacity_rate(capacity: Leaf, drive: Leaf, p: Mtorc1) -> Leaf:
    """Rate of change of plasticity capacity.

    Equation:
        Q' = (1 - Q)/tauQ - kQ Tk Q

    Args:
        capacity: Q [1].
        drive: Tk Q [1].
        p: Mtorc1, tauQ [h], kQ [1/h].

    Returns:
        Q' [1/h].

    Source:
        TargetProfiles: three infusions a week are no better than two.
    """
    return (1 - capacity) / p.capacity_recovery_time - p.capacity_use * drive


def hydroxynorketamine_effect(concentration: Leaf, p: Potentiation) -> Leaf:
    """Saturating effect of hydroxynorketamine.

    Equation:
        HN = HNK/(HNK + KH)

    Args:
        concentration: HNK, sum of both enantiomers in plasma [uM].
        p: Potentiation, KH [uM].

    Returns:
        HN [1].

    Source:
        Zanos2016: effect in mouse; negative in rat.
    """
    return concentration / (concentration + p.hydroxynorketamine_half_effect)


def potentiation_rate(
    potentiation: Leaf, drive: Leaf, hydroxynorketamine: Leaf, gate: Leaf, p: Potentiation
) -> Leaf:
    """Rate of change of fast functional potentiation.

    Equation:
        P' = kP (Tk Q (1 - phiP (1 - gMt)) + epsH HN)(1 - P) - kPd P

    Args:
        potentiation: P [1].
        drive: Tk Q [1].
        hydroxynorketamine: HN [1].
        gate: gMt, level of mTORC1 [1].
        p: Potentiation, kP and kPd [1/h], phiP, epsH [1].

    Returns:
        P' [1/h].

    Source:
        TargetProfiles: course of the score. Zaytseva2023: synaptic GluA1 within 1 h.
    """
    gain = drive * (1 - p.mtor_share * (1 - gate)) + p.hydroxynorketamine_gain * hydroxynorketamine
    return p.potentiation_rate * gain * (1 - potentiation) - p.potentiation_loss_rate * potentiation
