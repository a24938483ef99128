"""Blood pressure and heart rate.

Owns `circulation_norketamine`, `pressure`, `baroreflex` and `heart_rate`.
"""

from ketjax.model.parameters import Circulation, Leaf


def drive(site: Leaf, norketamine: Leaf, half: Leaf, p: Circulation) -> Leaf:
    """Cardiovascular drive of ketamine, which norketamine weakens.

    Equation:
        drv = CeP/(CeP + C50 (1 + CeN/CNKc))

    Args:
        site: CeP, S-equivalents [ng/mL].
        norketamine: CeN, S-norketamine at the same site [ng/mL].
        half: C50 of pressure or heart rate [ng/mL].
        p: Circulation, CNKc [ng/mL].

    Returns:
        drv [1].

    Source:
        Kamp2021: S-norketamine lowers cardiac excitation.
    """
    return site / (site + half * (1 + norketamine / p.norketamine_antagonism))


def pressure_rate(
    pressure: Leaf, baroreflex: Leaf, site: Leaf, norketamine: Leaf, age: Leaf, p: Circulation
) -> Leaf:
    """Rate of change of the rise of mean arterial pressure.

    Equation:
        dMAP' = (Emap (1 + ageP (age - agePref)) drv - kbr Bar - dMAP)/tauP

    Args:
        pressure: dMAP [mmHg].
        baroreflex: Bar [mmHg].
        site: CeP [ng/mL].
        norketamine: CeN [ng/mL].
        age: age [year].
        p: Circulation.

    Returns:
        dMAP' [mmHg/h].

    Source:
        YaleReview2024: rise after 0.5 mg/kg. Langsjo2005: rise during anaesthesia.
    """
    highest = p.pressure_maximum * (1 + p.age_effect * (age - p.reference_age))
    driven = highest * drive(site, norketamine, p.pressure_half_concentration, p)
    return (driven - p.baroreflex_gain * baroreflex - pressure) / p.pressure_time_constant


def baroreflex_rate(baroreflex: Leaf, pressure: Leaf, p: Circulation) -> Leaf:
    """Rate of change of the level to which the baroreflex has reset.

    Equation:
        Bar' = (dMAP - Bar)/taubr

    Args:
        baroreflex: Bar [mmHg].
        pressure: dMAP [mmHg].
        p: Circulation, taubr [h].

    Returns:
        Bar' [mmHg/h].

    Source:
        assumed: tolerance within the session.
    """
    return (pressure - baroreflex) / p.baroreflex_resetting_time


def heart_rate_rate(
    heart_rate: Leaf,
    pressure: Leaf,
    baroreflex: Leaf,
    site: Leaf,
    norketamine: Leaf,
    p: Circulation,
) -> Leaf:
    """Rate of change of the rise of heart rate.

    Equation:
        dHR' = (Ehr drh - gbr (dMAP - Bar) - dHR)/tauP

    Args:
        heart_rate: dHR [1/min].
        pressure: dMAP [mmHg].
        baroreflex: Bar [mmHg].
        site: CeP [ng/mL].
        norketamine: CeN [ng/mL].
        p: Circulation.

    Returns:
        dHR' [1/(min h)].

    Source:
        Langsjo2005: rise during anaesthesia.
    """
    driven = p.heart_rate_maximum * drive(site, norketamine, p.heart_rate_half_concentration, p)
    slowed = p.reflex_slowing * (pressure - baroreflex)
    return (driven - slowed - heart_rate) / p.pressure_time_constant
