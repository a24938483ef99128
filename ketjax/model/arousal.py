"""Pain, sedation, loss of responsiveness and anaesthesia, from effect-site concentrations.

Concentrations are S-equivalents: S plus R weighted by its potency for the effect at hand. Owns
`dissociation_site`, `r_site`, `pain_site` and `pain_norketamine`.
"""

import math

from ketjax.model.parameters import Analgesia, Leaf


def effect_site_rate(site: Leaf, concentration: Leaf, half_life: Leaf) -> Leaf:
    """Rate of change of an effect site.

    Equation:
        Ce' = (ln 2/th)(C - Ce)

    Args:
        site: Ce [ng/mL].
        concentration: C in plasma [ng/mL].
        half_life: th [h].

    Returns:
        Ce' [ng/(mL h)].

    Source:
        Olofsen2012: half-lives of equilibration.
    """
    return math.log(2) / half_life * (concentration - site)


def pain(site: Leaf, norketamine: Leaf, half: Leaf, opioid: Leaf, p: Analgesia) -> Leaf:
    """Pain.

    Equation:
        x = (VAS0/VASmax)(1 - a CeA/(CeA + C50)) + wNKp (ENK/VASmax) CeN/(CeN + CNKp);
        a = 1 - wOp (1 - gOp);   Pain = VASmax x/(1 + x^nVAS)^(1/nVAS)

    Args:
        site: CeA, S-equivalents [ng/mL].
        norketamine: CeN, S-norketamine at the same site [ng/mL].
        half: C50 of the kind of pain [ng/mL].
        opioid: gOp, the patient's own level of opioid receptors; no window acts here [1].
        p: Analgesia.

    Returns:
        Pain [cm].

    Source:
        Olofsen2012: relief by S-ketamine, opposed by norketamine. Simons2022: no such opposition.
    """
    relief = (1 - p.opioid_share * (1 - opioid)) * site / (site + half)
    opposed = p.norketamine_maximum * norketamine / (norketamine + p.norketamine_half_concentration)
    felt = p.baseline * (1 - relief) + p.norketamine_opposition * opposed
    share = felt / p.scale_maximum
    n = p.saturation_exponent
    return p.scale_maximum * share / (1 + share**n) ** (1 / n)


def probability(site: Leaf, half: Leaf, exponent: Leaf, floor: Leaf) -> Leaf:
    """Probability of a state of arousal: sedated, unresponsive, under surgical anaesthesia.

    Equation:
        P = z/(1 + z),  z = ((CeS^2 + eC^2)^(n/2) - eC^n)/C50^n

    Args:
        site: CeS, S-equivalents [ng/mL].
        half: C50 [ng/mL].
        exponent: n [1].
        floor: eC, width that keeps the power smooth at zero [ng/mL].

    Returns:
        Probability [1]. The states are nested: one uniform number a patient decides all three.

    Source:
        Kienbaum2001, Zanos2018: concentrations during anaesthesia.
    """
    z = ((site * site + floor * floor) ** (exponent / 2) - floor**exponent) / half**exponent
    return z / (1 + z)


def s_equivalents_at(site: Leaf, r_site: Leaf, own: Leaf, wanted: Leaf) -> Leaf:
    """Effect-site concentration for another potency of R, from the one of dissociation.

    Equation:
        Ce(rho) = CeD + (rho - rhoD) CeR;   the site is linear in both enantiomers

    Args:
        site: CeD, S-equivalents of dissociation [ng/mL].
        r_site: CeR, R-ketamine at the same site [ng/mL].
        own: rhoD, potency of R for dissociation [1].
        wanted: rho [1].

    Returns:
        Ce(rho) [ng/mL].

    Source:
        Olofsen2012: one half-life for all acute effects but pain.
    """
    return site + (wanted - own) * r_site
