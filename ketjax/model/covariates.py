"""From the drawn patient to the patient's own constants: weight, age, sex, genotypes, interactions.

Genotype factors are relative to the average patient, because the fitted values describe averages:
a patient's factor is divided by its mean over the population's genotype shares, and the untyped
patient (-1) has factor 1.
"""

import dataclasses

import jax.numpy as jnp

from ketjax.model.laws import Law
from ketjax.model.parameters import Demography, Leaf, Parameters

_LAWS: dict[str, Law] = {
    field.name: field.metadata["law"] for field in dataclasses.fields(Demography)
}


def individual(p: Parameters) -> Parameters:
    """Parameters of the patient after weight, age, sex, genotypes and interactions.

    Equation:
        V = V_ref (W/Wref)^aV;   Q, CL = ref (W/Wref)^aQ
        Qh = (Qh_ref (W/Wref)^aQ - sQh max(0, age - aQh)) mQh       (smooth maximum, width eQh)
        CLint = ref (W/Wref)^aQ mCLint gCYP gSex;   CLn = ref (W/Wref)^aQ mCLn
        Fgut = min(1, Fgut mFgut);   krel = ref gMet

    Args:
        p: Drawn parameters; leaves scalar or (patient,).

    Returns:
        Parameters in which the disposition, gut survival and BDNF release are the patient's own.

    Source:
        PerezRuixo2021: age. Li2015: CYP2B6, a compromise. Laje2012: Val66Met. The exponents are
        assumed.
    """
    d, k, m, i = p.demography, p.pharmacokinetics, p.metabolites, p.interactions
    log_weight = jnp.log(d.weight / k.reference_weight)
    volume = jnp.exp(k.volume_weight_exponent * log_weight)
    flow = jnp.exp(k.flow_weight_exponent * log_weight)
    sex = 1 + (i.female_clearance_factor - 1) * d.female
    cyp2b6 = genotype_factor(
        d.cyp2b6_variants,
        (1.0, i.cyp2b6_one_variant_factor, i.cyp2b6_two_variants_factor),
        _LAWS["cyp2b6_variants"].shares,
    )
    met = genotype_factor(
        d.met_alleles,
        (1.0, i.met_carrier_release_factor, i.met_carrier_release_factor),
        _LAWS["met_alleles"].shares,
    )
    pharmacokinetics = dataclasses.replace(
        k,
        central_volume=k.central_volume * volume,
        fast_peripheral_volume=k.fast_peripheral_volume * volume,
        slow_peripheral_volume=k.slow_peripheral_volume * volume,
        hepatic_volume=k.hepatic_volume * volume,
        fast_peripheral_flow=k.fast_peripheral_flow * flow,
        slow_peripheral_flow=k.slow_peripheral_flow * flow,
        hepatic_flow=(k.hepatic_flow * flow - hepatic_flow_lost(p)) * i.hepatic_flow_factor,
        hepatic_intrinsic_clearance=k.hepatic_intrinsic_clearance
        * flow
        * i.intrinsic_clearance_factor
        * cyp2b6
        * sex,
    )
    metabolites = dataclasses.replace(
        m,
        norketamine_central_volume=m.norketamine_central_volume * volume,
        norketamine_peripheral_volume=m.norketamine_peripheral_volume * volume,
        hydroxynorketamine_central_volume=m.hydroxynorketamine_central_volume * volume,
        hydroxynorketamine_peripheral_volume=m.hydroxynorketamine_peripheral_volume * volume,
        norketamine_intercompartmental_flow=m.norketamine_intercompartmental_flow * flow,
        norketamine_clearance=m.norketamine_clearance * flow * i.norketamine_clearance_factor,
        hydroxynorketamine_intercompartmental_flow=m.hydroxynorketamine_intercompartmental_flow
        * flow,
        hydroxynorketamine_clearance=m.hydroxynorketamine_clearance * flow,
    )
    survival = jnp.minimum(p.absorption.gut_wall_survival * i.gut_wall_survival_factor, 1.0)
    return dataclasses.replace(
        p,
        pharmacokinetics=pharmacokinetics,
        metabolites=metabolites,
        absorption=dataclasses.replace(p.absorption, gut_wall_survival=survival),
        bdnf=dataclasses.replace(p.bdnf, release_gain=p.bdnf.release_gain * met),
    )


def hepatic_flow_lost(p: Parameters) -> Leaf:
    """Liver flow lost with age.

    Equation:
        sQh (z + sqrt(z^2 + eQh^2))/2,  z = age - aQh

    Args:
        p: Parameters, age and aQh [year], sQh [L/h/year], eQh [year].

    Returns:
        Lost flow [L/h].

    Source:
        PerezRuixo2021: 2.19 L/h for each year above 60.
    """
    k = p.pharmacokinetics
    beyond = p.demography.age - k.hepatic_flow_loss_onset_age
    hinge = (beyond + jnp.sqrt(beyond * beyond + k.hepatic_flow_age_width**2)) / 2
    return k.hepatic_flow_loss_per_year * hinge


def genotype_factor(alleles: Leaf, factors: tuple[Leaf, ...], shares: tuple[float, ...]) -> Leaf:
    """Factor of a genotype relative to the average over the population.

    Equation:
        f(n)/sum_k share_k f(k),  1 if n = -1

    Args:
        alleles: n, variant alleles [1], -1 for untyped.
        factors: f(0), f(1), f(2) [1].
        shares: Genotype shares [1].

    Returns:
        Relative factor [1].

    Source:
        Li2015, Laje2012: factors.
    """
    average = sum(share * factor for share, factor in zip(shares, factors, strict=True))
    factor = average
    for count, value in enumerate(factors):
        factor = jnp.where(alleles == count, value, factor)
    return factor / average
