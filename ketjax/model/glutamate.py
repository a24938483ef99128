"""Glutamate: vesicles, release, uptake, the presynaptic brake and the dialysate that shows it.

Owns `vesicle_pool`, `glutamate`, `dialysate`, `autoinhibition`, `uptake`.
"""

from ketjax.model.parameters import Glutamate, Leaf, Smoothing
from ketjax.model.smooth import positive_part


def resting_vesicle_pool(p: Glutamate) -> Leaf:
    """Drug-free vesicle pool.

    Equation:
        V0 = krec/(krec + kuse)

    Args:
        p: Glutamate, krec and kuse [1/h].

    Returns:
        V0 [1].

    Source:
        assumed: lumped pool.
    """
    return p.vesicle_refill_rate / (p.vesicle_refill_rate + p.vesicle_use_rate)


def release(activity: Leaf, brain: Leaf, pool: Leaf, brake: Leaf, p: Glutamate) -> Leaf:
    """Release of glutamate relative to the drug-free healthy brain.

    Equation:
        R = E (1 + epre Ke/(Ke + Kpre)) (V/V0)/(1 + rhoM Mu)

    Args:
        activity: E, pyramidal activity [1].
        brain: Ke, unbound ketamine [uM].
        pool: V, release-ready vesicles [1].
        brake: Mu, autoinhibition [1].
        p: Glutamate, epre, rhoM [1], Kpre [uM].

    Returns:
        R [1].

    Source:
        Lazarevic2021: direct presynaptic effect, sign disputed. Schobel2013: mGluR2/3 brake.
    """
    direct = 1 + p.direct_presynaptic_gain * brain / (
        brain + p.direct_presynaptic_half_concentration
    )
    return (
        activity * direct * (pool / resting_vesicle_pool(p)) / (1 + p.autoinhibition_gain * brake)
    )


def vesicle_rate(pool: Leaf, released: Leaf, p: Glutamate) -> Leaf:
    """Rate of change of the vesicle pool.

    Equation:
        V' = krec (1 - V) - kuse R V0

    Args:
        pool: V [1].
        released: R [1].
        p: Glutamate, krec and kuse [1/h].

    Returns:
        V' [1/h].

    Source:
        assumed: lumped pool.
    """
    return p.vesicle_refill_rate * (
        1 - pool
    ) - p.vesicle_use_rate * released * resting_vesicle_pool(p)


def glutamate_rate(glutamate: Leaf, released: Leaf, uptake: Leaf, p: Glutamate) -> Leaf:
    """Rate of change of extracellular glutamate.

    Equation:
        G' = kG (R - T G)

    Args:
        glutamate: G [1].
        released: R [1].
        uptake: T, glial uptake capacity [1].
        p: Glutamate, kG [1/h].

    Returns:
        G' [1/h].

    Source:
        Moghaddam1997: course of the surge.
    """
    return p.uptake_rate * (released - uptake * glutamate)


def dialysate_rate(dialysate: Leaf, glutamate: Leaf, p: Glutamate) -> Leaf:
    """Rate of change of glutamate in dialysate.

    Equation:
        Gd' = (G - Gd)/tauGd

    Args:
        dialysate: Gd [1].
        glutamate: G [1].
        p: Glutamate, tauGd [h].

    Returns:
        Gd' [1/h].

    Source:
        assumed: bins of 20 min.
    """
    return (glutamate - dialysate) / p.dialysate_lag


def surge(glutamate: Leaf, resting: Leaf, smoothing: Smoothing) -> Leaf:
    """Glutamate above the patient's own drug-free level.

    Equation:
        pos0(G/G_base - 1)

    Args:
        glutamate: G [1].
        resting: G_base [1].
        smoothing: Width of pos0 [1].

    Returns:
        Surge [1].

    Source:
        Moghaddam1997: surge relative to baseline.
    """
    return positive_part(glutamate / resting - 1, smoothing)


def autoinhibition_rate(brake: Leaf, excess: Leaf, p: Glutamate) -> Leaf:
    """Rate of change of the presynaptic brake.

    Equation:
        Mu' = (pos0(G/G_base - 1) - Mu)/tauMu

    Args:
        brake: Mu [1].
        excess: Surge [1].
        p: Glutamate, tauMu [h].

    Returns:
        Mu' [1/h].

    Source:
        Schobel2013: an mGluR2/3 agonist abolishes the surge.
    """
    return (excess - brake) / p.autoinhibition_time_constant


def uptake_target(inflammation: Leaf, p: Glutamate) -> Leaf:
    """Uptake capacity that the level of inflammation allows.

    Equation:
        1/(1 + etaT (IN - 1))

    Args:
        inflammation: IN [1].
        p: Glutamate, etaT [1].

    Returns:
        Target of T [1].

    Source:
        assumed: size and sign; positive for every IN > 0 because etaT < 1.
    """
    return 1 / (1 + p.inflammation_effect_on_uptake * (inflammation - 1))


def uptake_rate(uptake: Leaf, inflammation: Leaf, p: Glutamate) -> Leaf:
    """Rate of change of glial uptake capacity.

    Equation:
        T' = (1/(1 + etaT (IN - 1)) - T)/tauT

    Args:
        uptake: T [1].
        inflammation: IN [1].
        p: Glutamate, etaT [1], tauT [h].

    Returns:
        T' [1/h].

    Source:
        assumed: adaptation over a day.
    """
    return (uptake_target(inflammation, p) - uptake) / p.transporter_time_constant
