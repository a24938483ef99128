"""Ketamine, norketamine and hydroxynorketamine from dose to unbound brain concentration.

One linear compartment model per enantiomer: depots (nose, mucosa, muscle, skin, peritoneum, gut),
a central and two peripheral compartments, a liver compartment with first pass, norketamine and
hydroxynorketamine with two compartments each. Random effects are shared between the enantiomers,
R differs by fixed ratios. Amounts are in umol, volumes in L, flows in L/h.

Owns `EnantiomerState` (twice) and `brain_ketamine`.
"""

import dataclasses

from ketjax.model.inputs import DrugInput
from ketjax.model.parameters import Absorption, Brain, Depots, Enantiomers, Leaf, Parameters, group
from ketjax.model.states import EnantiomerState


@group
class Disposition:
    """Volumes [L], flows and clearances [L/h] and formation fractions [1] of one enantiomer."""

    central: Leaf
    fast: Leaf
    slow: Leaf
    liver: Leaf
    fast_flow: Leaf
    slow_flow: Leaf
    hepatic_flow: Leaf
    intrinsic_clearance: Leaf
    fraction_norketamine: Leaf
    norketamine: Leaf
    norketamine_peripheral: Leaf
    norketamine_flow: Leaf
    norketamine_clearance: Leaf
    fraction_hydroxynorketamine: Leaf
    hydroxynorketamine: Leaf
    hydroxynorketamine_peripheral: Leaf
    hydroxynorketamine_flow: Leaf
    hydroxynorketamine_clearance: Leaf


def s_disposition(p: Parameters) -> Disposition:
    """Disposition of the S-enantiomer, from the patient's own parameters."""
    k, m = p.pharmacokinetics, p.metabolites
    return Disposition(
        central=k.central_volume,
        fast=k.fast_peripheral_volume,
        slow=k.slow_peripheral_volume,
        liver=k.hepatic_volume,
        fast_flow=k.fast_peripheral_flow,
        slow_flow=k.slow_peripheral_flow,
        hepatic_flow=k.hepatic_flow,
        intrinsic_clearance=k.hepatic_intrinsic_clearance,
        fraction_norketamine=m.fraction_to_norketamine,
        norketamine=m.norketamine_central_volume,
        norketamine_peripheral=m.norketamine_peripheral_volume,
        norketamine_flow=m.norketamine_intercompartmental_flow,
        norketamine_clearance=m.norketamine_clearance,
        fraction_hydroxynorketamine=m.fraction_to_hydroxynorketamine,
        hydroxynorketamine=m.hydroxynorketamine_central_volume,
        hydroxynorketamine_peripheral=m.hydroxynorketamine_peripheral_volume,
        hydroxynorketamine_flow=m.hydroxynorketamine_intercompartmental_flow,
        hydroxynorketamine_clearance=m.hydroxynorketamine_clearance,
    )


def r_disposition(s: Disposition, ratio: Enantiomers) -> Disposition:
    """Disposition of the R-enantiomer: the S values times the ratios of the table.

    Source:
        Hasan2021: ratios of clearance and of metabolite exposure.
    """
    return dataclasses.replace(
        s,
        central=s.central * ratio.ketamine_volume_ratio,
        fast=s.fast * ratio.ketamine_volume_ratio,
        slow=s.slow * ratio.ketamine_volume_ratio,
        intrinsic_clearance=s.intrinsic_clearance * ratio.intrinsic_clearance_ratio,
        norketamine=s.norketamine * ratio.norketamine_volume_ratio,
        norketamine_peripheral=s.norketamine_peripheral * ratio.norketamine_volume_ratio,
        norketamine_clearance=s.norketamine_clearance * ratio.norketamine_clearance_ratio,
        hydroxynorketamine_clearance=s.hydroxynorketamine_clearance
        * ratio.hydroxynorketamine_clearance_ratio,
    )


def delivered(dose: DrugInput, absorption: Absorption, depots: Depots) -> dict[str, Leaf]:
    """Where each channel delivers: inflow of each compartment, after losses at the door.

    Equation:
        nose         A_n: FRn (first device), FRn dFR (later devices)
        swallowed    A_g: (1 - that share) Fgut
        oral         A_g: Fgut;           A_gn: (1 - Fgut) fgNK
        sublingual   A_sl: Fsl;           A_g: (1 - Fsl) Fgut;   A_gn: (1 - Fsl)(1 - Fgut) fgNK
        injected     A_1: all;  A_im: Fim;  A_sc: Fsc;  A_ip: Fip

    Args:
        dose: Rates by channel [umol/h], or amounts [umol].
        absorption: Shares of nose, gut and mucosa [1].
        depots: Shares of injected depots [1].

    Returns:
        Inflow by field of `EnantiomerState`, in the unit of `dose`.

    Source:
        PerezRuixo2021: nasal devices. Simons2022: mucosa. PharmacokineticFit: shares.
    """
    first = absorption.nasal_absorbed_fraction
    later = first * absorption.nasal_later_device_ratio
    survival = absorption.gut_wall_survival
    mucosal = absorption.sublingual_mucosal_fraction
    by_mouth = dose.oral + (1 - mucosal) * dose.swallowed_sublingual
    swallowed = (1 - first) * dose.swallowed_nasal + (1 - later) * dose.swallowed_nasal_later
    return dict(
        nasal=first * dose.nasal + later * dose.nasal_later,
        sublingual=mucosal * dose.sublingual,
        intramuscular=depots.intramuscular_bioavailability * dose.intramuscular,
        subcutaneous=depots.subcutaneous_bioavailability * dose.subcutaneous,
        intraperitoneal=depots.intraperitoneal_bioavailability * dose.intraperitoneal,
        gut=survival * (by_mouth + swallowed),
        gut_norketamine=(1 - survival) * absorption.gut_extraction_as_norketamine * by_mouth,
        central=dose.intravenous,
    )


def enantiomer_rates(
    a: EnantiomerState,
    inflow: dict[str, Leaf],
    d: Disposition,
    absorption: Absorption,
    depots: Depots,
) -> EnantiomerState:
    """Rates of change of the amounts of one enantiomer.

    Equation:
        A_x'   = u_x - k_x A_x                                             each depot
        A_1'   = u_1 + sum k_x A_x + Q2 A_2/V2 + Q3 A_3/V3 + Qh A_h/Vh - (Q2 + Q3 + Qh) A_1/V1
        A_2'   = Q2 (A_1/V1 - A_2/V2);   A_3' = Q3 (A_1/V1 - A_3/V3)
        A_h'   = kag A_g + Qh A_1/V1 - (Qh + CLint) A_h/Vh
        A_nk'  = fNK CLint A_h/Vh + kag A_gn - CLn A_nk/Vn - Qn (A_nk/Vn - A_nkp/Vnp)
        A_nkp' = Qn (A_nk/Vn - A_nkp/Vnp)
        A_hk'  = fHNK CLn A_nk/Vn - CLhk A_hk/Vhk - Qhk (A_hk/Vhk - A_hkp/Vhkp)
        A_hkp' = Qhk (A_hk/Vhk - A_hkp/Vhkp)

    Args:
        a: Amounts [umol].
        inflow: Inflow by compartment [umol/h].
        d: Disposition of this enantiomer [L, L/h].
        absorption: Absorption rates [1/h].
        depots: Absorption rates of injected depots [1/h].

    Returns:
        Rates of change [umol/h].

    Source:
        PerezRuixo2021, Otto2021, Simons2022, Hasan2021: structure and values.
    """
    plasma, fast, slow, liver = (
        a.central / d.central,
        a.fast_peripheral / d.fast,
        a.slow_peripheral / d.slow,
        a.liver / d.liver,
    )
    norketamine, stored = (
        a.norketamine / d.norketamine,
        a.norketamine_peripheral / d.norketamine_peripheral,
    )
    hydroxy, hydroxy_stored = (
        a.hydroxynorketamine / d.hydroxynorketamine,
        a.hydroxynorketamine_peripheral / d.hydroxynorketamine_peripheral,
    )
    from_nose = absorption.nasal_absorption_rate * a.nasal
    from_mucosa = absorption.sublingual_absorption_rate * a.sublingual
    from_muscle = depots.intramuscular_absorption_rate * a.intramuscular
    from_skin = depots.subcutaneous_absorption_rate * a.subcutaneous
    from_peritoneum = depots.intraperitoneal_absorption_rate * a.intraperitoneal
    from_gut = absorption.gut_absorption_rate * a.gut
    norketamine_from_gut = absorption.gut_absorption_rate * a.gut_norketamine
    to_fast, to_slow = d.fast_flow * (plasma - fast), d.slow_flow * (plasma - slow)
    to_liver = d.hepatic_flow * (plasma - liver)
    metabolised, cleared = d.intrinsic_clearance * liver, d.norketamine_clearance * norketamine
    to_stored = d.norketamine_flow * (norketamine - stored)
    to_hydroxy_stored = d.hydroxynorketamine_flow * (hydroxy - hydroxy_stored)
    return EnantiomerState(
        nasal=inflow["nasal"] - from_nose,
        sublingual=inflow["sublingual"] - from_mucosa,
        intramuscular=inflow["intramuscular"] - from_muscle,
        subcutaneous=inflow["subcutaneous"] - from_skin,
        intraperitoneal=inflow["intraperitoneal"] - from_peritoneum,
        gut=inflow["gut"] - from_gut,
        gut_norketamine=inflow["gut_norketamine"] - norketamine_from_gut,
        central=inflow["central"]
        + from_nose
        + from_mucosa
        + from_muscle
        + from_skin
        + from_peritoneum
        - to_fast
        - to_slow
        - to_liver,
        fast_peripheral=to_fast,
        slow_peripheral=to_slow,
        liver=from_gut + to_liver - metabolised,
        norketamine=d.fraction_norketamine * metabolised
        + norketamine_from_gut
        - cleared
        - to_stored,
        norketamine_peripheral=to_stored,
        hydroxynorketamine=d.fraction_hydroxynorketamine * cleared
        - d.hydroxynorketamine_clearance * hydroxy
        - to_hydroxy_stored,
        hydroxynorketamine_peripheral=to_hydroxy_stored,
    )


@group
class Concentrations:
    """Plasma concentrations [uM] of both enantiomers."""

    s_ketamine: Leaf
    r_ketamine: Leaf
    s_norketamine: Leaf
    r_norketamine: Leaf
    s_hydroxynorketamine: Leaf
    r_hydroxynorketamine: Leaf


def concentrations(
    s: EnantiomerState, r: EnantiomerState, ds: Disposition, dr: Disposition
) -> Concentrations:
    """Plasma concentrations, amount over central volume.

    Equation:
        C = A/V

    Args:
        s: Amounts of the S-enantiomer [umol].
        r: Amounts of the R-enantiomer [umol].
        ds: Disposition of the S-enantiomer [L].
        dr: Disposition of the R-enantiomer [L].

    Returns:
        Concentrations [uM].

    Source:
        PharmacokineticFit: volumes.
    """
    return Concentrations(
        s.central / ds.central,
        r.central / dr.central,
        s.norketamine / ds.norketamine,
        r.norketamine / dr.norketamine,
        s.hydroxynorketamine / ds.hydroxynorketamine,
        r.hydroxynorketamine / dr.hydroxynorketamine,
    )


def racemate_equivalents(s: Leaf, r: Leaf, potency_ratio: Leaf) -> Leaf:
    """Concentration weighed by potency so that the racemate keeps weight 1.

    Equation:
        Ceff = wS C_S + wR C_R,  wS = 2 rho/(1 + rho),  wR = 2/(1 + rho)

    Args:
        s: S-enantiomer [uM].
        r: R-enantiomer [uM].
        potency_ratio: rho, S over R potency [1].

    Returns:
        Racemate equivalents [uM].

    Source:
        Ebert1997: ratio of affinities.
    """
    return 2 * (potency_ratio * s + r) / (1 + potency_ratio)


def brain_rate(brain: Leaf, effective: Leaf, p: Brain) -> Leaf:
    """Rate of change of unbound ketamine in the brain.

    Equation:
        Ke' = ke0 (fu Kpuu Ceff - Ke)

    Args:
        brain: Ke, unbound brain concentration [uM].
        effective: Ceff, plasma racemate equivalents [uM].
        p: Brain, ke0 [1/h], fu and Kpuu [1].

    Returns:
        Ke' [uM/h].

    Source:
        Dayton1983: binding. Moaddel2023: cerebrospinal fluid.
    """
    return p.brain_equilibration_rate * (unbound_in_brain(effective, p) - brain)


def unbound_in_brain(plasma: Leaf, p: Brain) -> Leaf:
    """Unbound brain concentration in equilibrium with plasma.

    Equation:
        fu Kpuu C

    Args:
        plasma: C, plasma concentration [uM].
        p: Brain, fu and Kpuu [1].

    Returns:
        Unbound brain concentration [uM].

    Source:
        Dayton1983: fu. Moaddel2023: Kpuu.
    """
    return p.fraction_unbound_plasma * p.unbound_brain_plasma_ratio * plasma
