"""The one table of parameters: name, symbol, value, unit, law, range, status, source, meaning.

The table *is* the type. `Parameters()` is the typical patient, a population is the same type with
leaves of shape (patient,), and a gradient comes back as one. The dotted path of a leaf
(`receptors.kd_interneuron`) is its one public name. Symbols are those of the equations in the
docstrings. Values hold for a depressed adult of the reference weight; `OVERRIDES` names other
settings (the rat, interactions) as the paths that differ.

Status: *measured* in the named source; *derived* from measurements; *fitted* (by least squares or by
hand) to the named facts; *assumed* without data; *switch*, set by experiments. Ranges are plausible bounds, not truncations.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jax

from ketjax.model.laws import (
    FIXED,
    Law,
    categorical,
    logit_normal,
    lognormal,
    loguniform,
    normal,
    uniform,
)

Leaf = Any  # float or array (patient,): annotations name the physics, tests prove the shapes


def parameter(
    symbol: str,
    value: float,
    unit: str,
    law: Law,
    low: float | None,
    high: float | None,
    status: str,
    source: str,
    meaning: str,
) -> Any:
    """One line of the table, as a dataclass field whose default is the typical value."""
    row = dict(
        symbol=symbol, unit=unit, law=law, low=low, high=high, status=status, source=source
    )
    return dataclasses.field(default=value, metadata={**row, "meaning": meaning})


def group(cls: type) -> type:
    """Make a frozen dataclass a pytree, so that it enters `jit` and differentiates by name."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, eq=False)(cls))


@group
class Pharmacokinetics:
    """Disposition of S-ketamine at the reference weight (model of `pharmacokinetics.py`)."""

    central_volume: Leaf = parameter("V1", 38.0, "L", lognormal(0.29), None, None, "fitted", "PharmacokineticFit", "central volume")
    fast_peripheral_volume: Leaf = parameter("V2", 157.0, "L", lognormal(0.3), None, None, "fitted", "PharmacokineticFit", "fast peripheral volume; shares the random effect of the central volume")
    slow_peripheral_volume: Leaf = parameter("V3", 183.0, "L", FIXED, None, None, "fitted", "PharmacokineticFit", "slow peripheral volume")
    fast_peripheral_flow: Leaf = parameter("Q2", 309.0, "L/h", lognormal(0.35), None, None, "fitted", "PharmacokineticFit", "fast intercompartmental flow; spread suggested for patients")
    slow_peripheral_flow: Leaf = parameter("Q3", 30.0, "L/h", FIXED, None, None, "fitted", "PharmacokineticFit", "slow intercompartmental flow")
    hepatic_flow: Leaf = parameter("Qh", 151.0, "L/h", lognormal(0.2), None, None, "measured", "PerezRuixo2021", "liver blood flow")
    hepatic_intrinsic_clearance: Leaf = parameter("CLint", 222.0, "L/h", lognormal(0.35), None, None, "fitted", "PharmacokineticFit", "intrinsic clearance of the liver; systemic clearance 89.9 L/h")
    hepatic_volume: Leaf = parameter("Vh", 56.0, "L", lognormal(0.34), None, None, "fitted", "PharmacokineticFit", "liver volume")
    reference_weight: Leaf = parameter("Wref", 70.0, "kg", FIXED, None, None, "assumed", "assumed", "weight for which volumes and flows are stated")
    volume_weight_exponent: Leaf = parameter("aV", 1.0, "1", FIXED, 0.0, 1.2, "assumed", "assumed", "allometric exponent of volumes; no weight effect was found in 820 people (PerezRuixo2021)")
    flow_weight_exponent: Leaf = parameter("aQ", 0.75, "1", FIXED, 0.0, 1.0, "assumed", "assumed", "allometric exponent of flows and clearances")
    hepatic_flow_loss_per_year: Leaf = parameter("sQh", 2.19, "L/h/year", FIXED, None, None, "measured", "PerezRuixo2021", "fall of liver flow for each year above the age of onset")
    hepatic_flow_loss_onset_age: Leaf = parameter("aQh", 60.0, "year", FIXED, None, None, "measured", "PerezRuixo2021", "age above which liver flow falls")
    hepatic_flow_age_width: Leaf = parameter("eQh", 1.0, "year", FIXED, 0.1, 5.0, "assumed", "assumed", "width of the smooth onset of the age effect")


@group
class Metabolites:
    """Norketamine and (2,6)-hydroxynorketamine, S-series, at the reference weight."""

    fraction_to_norketamine: Leaf = parameter("fNK", 0.8, "1", FIXED, 0.7, 1.0, "assumed", "Simons2022", "share of hepatic clearance that forms norketamine; only its ratio to clearance is identifiable")
    norketamine_central_volume: Leaf = parameter("Vn", 56.0, "L", lognormal(0.2), None, None, "fitted", "PharmacokineticFit", "central volume of norketamine")
    norketamine_peripheral_volume: Leaf = parameter("Vnp", 129.0, "L", FIXED, None, None, "fitted", "PharmacokineticFit", "peripheral volume of norketamine")
    norketamine_intercompartmental_flow: Leaf = parameter("Qn", 40.0, "L/h", FIXED, None, None, "fitted", "PharmacokineticFit", "intercompartmental flow of norketamine")
    norketamine_clearance: Leaf = parameter("CLn", 40.5, "L/h", lognormal(0.3), None, None, "fitted", "PharmacokineticFit", "clearance of norketamine")
    fraction_to_hydroxynorketamine: Leaf = parameter("fHNK", 0.7, "1", FIXED, None, None, "assumed", "Simons2022", "share of norketamine clearance that forms hydroxynorketamine")
    hydroxynorketamine_central_volume: Leaf = parameter("Vhk", 30.0, "L", FIXED, None, None, "assumed", "assumed", "central volume of hydroxynorketamine")
    hydroxynorketamine_peripheral_volume: Leaf = parameter("Vhkp", 60.0, "L", FIXED, None, None, "assumed", "assumed", "peripheral volume of hydroxynorketamine")
    hydroxynorketamine_intercompartmental_flow: Leaf = parameter("Qhk", 100.0, "L/h", FIXED, None, None, "assumed", "Simons2022", "intercompartmental flow of hydroxynorketamine")
    hydroxynorketamine_clearance: Leaf = parameter("CLhk", 31.0, "L/h", lognormal(0.33), None, None, "fitted", "Hasan2021", "clearance of hydroxynorketamine, from its exposure relative to ketamine")
    ketamine_molar_mass: Leaf = parameter("MK", 237.73, "g/mol", FIXED, None, None, "measured", "Chemistry", "molar mass of ketamine base")
    norketamine_molar_mass: Leaf = parameter("MNK", 223.70, "g/mol", FIXED, None, None, "measured", "Chemistry", "molar mass of norketamine")
    hydroxynorketamine_molar_mass: Leaf = parameter("MHNK", 239.70, "g/mol", FIXED, None, None, "measured", "Chemistry", "molar mass of hydroxynorketamine")


@group
class Enantiomers:
    """Ratios between the enantiomers; random effects are shared."""

    intrinsic_clearance_ratio: Leaf = parameter("rCLint", 0.87, "1", FIXED, None, None, "derived", "Hasan2021", "R over S, hepatic intrinsic clearance")
    ketamine_volume_ratio: Leaf = parameter("rV", 0.88, "1", FIXED, None, None, "assumed", "assumed", "R over S, V1, V2 and V3 (not the liver)")
    norketamine_clearance_ratio: Leaf = parameter("rCLn", 0.85, "1", FIXED, None, None, "assumed", "assumed", "R over S, clearance of norketamine")
    norketamine_volume_ratio: Leaf = parameter("rVn", 0.9, "1", FIXED, None, None, "assumed", "assumed", "R over S, volumes of norketamine")
    hydroxynorketamine_clearance_ratio: Leaf = parameter("rCLhk", 0.55, "1", FIXED, None, None, "derived", "Hasan2021", "R over S, clearance of hydroxynorketamine (1.7/3.1)")
    ketamine_potency_ratio: Leaf = parameter("rho", 4.7, "1", FIXED, 3.0, 5.0, "derived", "Ebert1997", "S over R potency of ketamine at the receptor")
    norketamine_potency_ratio: Leaf = parameter("rhoNK", 7.7, "1", FIXED, 5.0, 10.0, "derived", "Ebert1997", "S over R potency of norketamine at the receptor")


@group
class Absorption:
    """Nose, gut and oral mucosa."""

    nasal_absorption_rate: Leaf = parameter("kan", 2.95, "1/h", lognormal(0.615), None, None, "fitted", "PharmacokineticFit", "absorption from the nose")
    nasal_absorbed_fraction: Leaf = parameter("FRn", 0.335, "1", logit_normal(0.708), 0.0, 1.0, "fitted", "PharmacokineticFit", "share of the first device absorbed through the nose; only its ratio to clearance is fixed by data")
    nasal_later_device_ratio: Leaf = parameter("dFR", 0.62, "1", FIXED, None, None, "measured", "PerezRuixo2021", "the same share for later devices, relative to the first")
    nasal_device_dose: Leaf = parameter("mdev", 28.0, "mg", FIXED, None, None, "measured", "EsketamineLabel", "esketamine base in one nasal device")
    swallowed_release_duration: Leaf = parameter("Dsw", 0.53, "h", FIXED, None, None, "measured", "PerezRuixo2021", "zero-order release of the swallowed nasal dose")
    gut_absorption_rate: Leaf = parameter("kag", 2.7, "1/h", lognormal(1.32), None, None, "fitted", "PharmacokineticFit", "absorption from the gut")
    oral_release_duration: Leaf = parameter("Dg", 0.4, "h", FIXED, None, None, "assumed", "assumed", "zero-order release of an oral dose and of the swallowed sublingual dose")
    gut_wall_survival: Leaf = parameter("Fgut", 0.53, "1", logit_normal(0.5), 0.0, 1.0, "fitted", "PharmacokineticFit", "share that passes the gut wall unchanged; the spread is assumed")
    gut_extraction_as_norketamine: Leaf = parameter("fgNK", 0.6, "1", uniform(0.0, 1.0), 0.0, 1.0, "assumed", "assumed", "share of gut extraction that appears as norketamine; not for the swallowed nasal dose")
    sublingual_mucosal_fraction: Leaf = parameter("Fsl", 0.145, "1", lognormal(0.25, cap=1.0), 0.0, 1.0, "fitted", "PharmacokineticFit", "share absorbed through the mucosa; 0.263 for a buccal film")
    sublingual_absorption_rate: Leaf = parameter("kasl", 2.4, "1/h", lognormal(0.25), None, None, "measured", "Simons2022", "absorption from the mucosa")
    sublingual_release_duration: Leaf = parameter("Dsl", 0.22, "h", FIXED, None, None, "measured", "Simons2022", "zero-order release at the mucosa")


@group
class Depots:
    """Injected depots."""

    intramuscular_bioavailability: Leaf = parameter("Fim", 0.93, "1", lognormal(0.1, cap=1.0), 0.0, 1.0, "measured", "Grant1981", "share of an intramuscular dose that is absorbed (unverified)")
    intramuscular_absorption_rate: Leaf = parameter("kaim", 5.0, "1/h", lognormal(0.4), None, None, "assumed", "assumed", "absorption from muscle, set by hand")
    subcutaneous_bioavailability: Leaf = parameter("Fsc", 0.9, "1", lognormal(0.4, cap=1.0), 0.0, 1.0, "assumed", "assumed", "share of a subcutaneous dose that is absorbed; no human concentrations were found")
    subcutaneous_absorption_rate: Leaf = parameter("kasc", 2.5, "1/h", lognormal(0.4), None, None, "assumed", "assumed", "absorption from under the skin; no human concentrations were found")
    intraperitoneal_bioavailability: Leaf = parameter("Fip", 0.4, "1", FIXED, 0.16, 1.0, "assumed", "assumed", "share of an intraperitoneal dose that is absorbed (rodent)")
    intraperitoneal_absorption_rate: Leaf = parameter("kaip", 7.0, "1/h", FIXED, 1.0, 8.0, "assumed", "assumed", "absorption from the peritoneum (rodent)")


@group
class Interactions:
    """Multipliers for interacting drugs, liver disease and genotype; 1 changes nothing."""

    intrinsic_clearance_factor: Leaf = parameter("mCLint", 1.0, "1", FIXED, 0.0, None, "assumed", "PharmacokineticFit", "factor on hepatic intrinsic clearance")
    gut_wall_survival_factor: Leaf = parameter("mFgut", 1.0, "1", FIXED, 0.0, None, "assumed", "PharmacokineticFit", "factor on gut-wall survival; the product is capped at 1")
    norketamine_clearance_factor: Leaf = parameter("mCLn", 1.0, "1", FIXED, 0.0, None, "assumed", "PharmacokineticFit", "factor on norketamine clearance")
    hepatic_flow_factor: Leaf = parameter("mQh", 1.0, "1", FIXED, 0.0, None, "assumed", "PharmacokineticFit", "factor on liver blood flow")
    cyp2b6_one_variant_factor: Leaf = parameter("gCYP1", 0.85, "1", FIXED, 0.42, 1.0, "assumed", "Li2015", "factor on intrinsic clearance, CYP2B6 *1/*6; a compromise between contradictory studies")
    cyp2b6_two_variants_factor: Leaf = parameter("gCYP2", 0.7, "1", FIXED, 0.2, 1.0, "assumed", "Li2015", "factor on intrinsic clearance, CYP2B6 *6/*6; a compromise between contradictory studies")
    female_clearance_factor: Leaf = parameter("gSex", 1.0, "1", FIXED, 1.0, 1.2, "assumed", "PerezRuixo2021", "factor on intrinsic clearance in women; none in 820 people, 1.2 in Sigtermans 2009")
    met_carrier_release_factor: Leaf = parameter("gMet", 0.7, "1", FIXED, 0.6, 0.8, "assumed", "Laje2012", "factor on BDNF release in BDNF Val66Met carriers of Met; direction read, size assumed")


@group
class Demography:
    """Who the patient is. Genotypes count variant alleles; -1 is the untyped, average patient."""

    age: Leaf = parameter("age", 45.0, "year", normal(13.0, low=18.0, high=86.0), 18.0, 86.0, "measured", "PerezRuixo2021", "age; median and range of 820 people, SD of the trials")
    female: Leaf = parameter("female", 0.0, "1", categorical(0.38, 0.62), 0.0, 1.0, "measured", "TransformTrials", "1 for women: 58 to 67 % of the trials' patients")
    weight: Leaf = parameter("weight", 70.0, "kg", lognormal(log_sd=0.22, centre=74.0, low=39.0, high=170.0), 39.0, 170.0, "measured", "PerezRuixo2021", "body weight; median 74 kg and range of 820 people, the log-SD is unverified")
    cyp2b6_variants: Leaf = parameter("nCYP", -1.0, "1", categorical(0.5625, 0.375, 0.0625), -1.0, 2.0, "assumed", "assumed", "CYP2B6*6 alleles: 0, 1, 2 at an assumed allele frequency of 0.25")
    met_alleles: Leaf = parameter("nMet", -1.0, "1", categorical(0.65, 0.31, 0.04), -1.0, 2.0, "measured", "Rs6265Europe", "Met alleles of BDNF Val66Met, European ancestry (unverified)")


@group
class Brain:
    """From plasma to unbound drug in the brain."""

    fraction_unbound_plasma: Leaf = parameter("fu", 0.56, "1", lognormal(0.1, cap=1.0), 0.53, 0.57, "measured", "Dayton1983", "unbound share in plasma")
    unbound_brain_plasma_ratio: Leaf = parameter("Kpuu", 0.75, "1", uniform(0.5, 1.0), 0.5, 1.0, "derived", "Moaddel2023", "unbound brain over unbound plasma, from cerebrospinal fluid")
    brain_equilibration_rate: Leaf = parameter("ke0", 60.0 * math.log(2) / 2.5, "1/h", loguniform(60.0 * math.log(2) / 8, 60.0 * math.log(2)), 5.2, 41.6, "assumed", "assumed", "plasma to brain equilibration; half-life 2.5 min, 1 to 8 min; immaterial for a 40 min infusion")


@group
class Receptors:
    """NMDA-receptor block. Half-block concentrations hold for unbound brain concentrations."""

    kd_interneuron: Leaf = parameter("KdI", 0.49, "uM", lognormal(0.3), 0.21, 0.84, "derived", "Kotermanski2009", "half-block, tonically active interneuron receptors (GluN2C/2D/2B, little Mg block); 0.7 rescaled to the unbound brain level")
    koff_interneuron: Leaf = parameter("koffI", 12.0, "1/h", lognormal(0.3), 3.0, 60.0, "assumed", "assumed", "effective unblocking of interneuron receptors, trapping included")
    kd_pyramidal: Leaf = parameter("KdP", 2.8, "uM", lognormal(0.3), 2.1, 4.2, "derived", "Kotermanski2009", "half-block, pyramidal receptors (GluN2A/2B at resting Mg block); 4 rescaled to the unbound brain level")
    koff_pyramidal: Leaf = parameter("koffP", 8.0, "1/h", lognormal(0.3), 3.0, 60.0, "assumed", "assumed", "effective unblocking of pyramidal receptors")
    norketamine_affinity_ratio: Leaf = parameter("rNK", 8.0, "1", lognormal(0.2), 5.0, 10.0, "measured", "Salat2015", "dissociation constant of norketamine over ketamine")
    kd_habenula: Leaf = parameter("KdL", 0.6, "uM", lognormal(0.3), 0.3, 1.2, "assumed", "assumed", "half-block, lateral habenula")


@group
class Circuit:
    """Interneurons, pyramidal cells and their adaptation."""

    interneuron_nmda_dependence: Leaf = parameter("wI", 0.85, "1", logit_normal(0.1 / 0.15), 0.5, 0.95, "fitted", "Moghaddam1997", "share of interneuron drive that passes NMDA receptors; fitted to the surge")
    pyramidal_to_interneuron_gain: Leaf = parameter("gEI", 0.25, "1", logit_normal(0.2 / 0.75), 0.1, 0.5, "assumed", "assumed", "excitation of interneurons by pyramidal cells")
    interneuron_time_constant: Leaf = parameter("tauI", 0.06, "h", lognormal(0.2), 0.02, 0.1, "assumed", "assumed", "response time of interneurons")
    pyramidal_nmda_dependence: Leaf = parameter("wP", 0.35, "1", logit_normal(0.2 / 0.65), 0.2, 0.6, "fitted", "Moghaddam1997", "share of pyramidal drive that passes NMDA receptors; fitted to the inverted U")
    disinhibition_gain: Leaf = parameter("gIE", 4.0, "1", lognormal(0.3), 2.0, 6.0, "fitted", "Abdallah2018", "gain from lost inhibition to pyramidal firing; fitted to the surge height")
    pyramidal_time_constant: Leaf = parameter("tauE", 0.12, "h", lognormal(0.25), 0.08, 0.3, "fitted", "Homayoun2007", "delay from interneuron to pyramidal cells")
    depression_half_concentration: Leaf = parameter("ICan", 3.8, "uM", lognormal(0.2), 3.0, 5.0, "assumed", "Moghaddam1997", "unbound brain concentration of half network depression; HCN1 is the physical candidate")
    depression_hill: Leaf = parameter("nAN", 6.0, "1", FIXED, 4.0, 8.0, "assumed", "Moghaddam1997", "Hill exponent of network depression")
    depression_recovery_time: Leaf = parameter("tauANoff", 1.2, "h", lognormal(0.3), 0.7, 2.0, "fitted", "Moghaddam1997", "recovery from network depression")
    adaptation_fraction: Leaf = parameter("chiX", 0.95, "1", logit_normal(0.1 / 0.05), 0.7, 1.0, "fitted", "Moghaddam1997", "share of disinhibition that adapts; needed for a surge that ends by 2-3 h and for the inverted U")
    adaptation_time_constant: Leaf = parameter("tauX", 0.75, "h", lognormal(0.3), 0.4, 1.2, "fitted", "Moghaddam1997", "time constant of adaptation")


@group
class Glutamate:
    """Vesicle pool, release, uptake and presynaptic brake."""

    vesicle_refill_rate: Leaf = parameter("krec", 30.0, "1/h", lognormal(0.3), 10.0, 100.0, "assumed", "assumed", "refill of the release-ready pool (lumped)")
    vesicle_use_rate: Leaf = parameter("kuse", 10.0, "1/h", lognormal(0.3), 3.0, 30.0, "assumed", "assumed", "use of the pool by unit release (lumped)")
    direct_presynaptic_gain: Leaf = parameter("epre", 0.1, "1", logit_normal(0.5 / 0.9), 0.0, 0.4, "assumed", "Lazarevic2021", "direct presynaptic release independent of NMDA block; a hypothesis, sign disputed")
    direct_presynaptic_half_concentration: Leaf = parameter("Kpre", 0.7, "uM", lognormal(0.3), 0.21, 2.1, "assumed", "assumed", "unbound brain concentration of half direct release")
    uptake_rate: Leaf = parameter("kG", 40.0, "1/h", lognormal(0.2), 20.0, 200.0, "assumed", "assumed", "glial uptake (lumped; true clearance takes milliseconds, only ratios matter)")
    dialysate_lag: Leaf = parameter("tauGd", 0.3, "h", FIXED, 0.2, 0.4, "assumed", "assumed", "lag of the microdialysis observation")
    autoinhibition_gain: Leaf = parameter("rhoM", 0.5, "1", lognormal(0.4), 0.0, 2.0, "assumed", "Schobel2013", "brake on release by mGluR2/3 and adenosine A1 receptors")
    autoinhibition_time_constant: Leaf = parameter("tauMu", 0.5, "h", lognormal(0.3), 0.2, 1.0, "assumed", "assumed", "time constant of the brake")
    autoinhibition_at_full_agonist: Leaf = parameter("fAg", 10.0, "1", FIXED, 2.0, 20.0, "assumed", "Schobel2013", "factor on autoinhibition under a full dose of an mGluR2/3 agonist")
    release_cut_by_agonist: Leaf = parameter("cAg", 0.6, "1", FIXED, 0.0, 1.0, "assumed", "Schobel2013", "share of the extra pyramidal activity that a full agonist keeps from release")
    inflammation_effect_on_uptake: Leaf = parameter("etaT", 0.35, "1", logit_normal(0.3 / 0.65), 0.0, 0.7, "assumed", "assumed", "loss of uptake per unit of inflammation; sign disputed")
    transporter_time_constant: Leaf = parameter("tauT", 24.0, "h", FIXED, 12.0, 72.0, "assumed", "assumed", "adaptation of uptake capacity")


@group
class Bdnf:
    """AMPA throughput, calcium, the eEF2 route and BDNF."""

    ampa_excess_half_drive: Leaf = parameter("Kq", 0.5, "1", logit_normal(0.3 / 0.5), 0.2, 1.0, "fitted", "Li2010", "AMPA excess of half calcium drive")
    calcium_time_constant: Leaf = parameter("tauCa", 0.1, "h", FIXED, 0.03, 0.2, "assumed", "Lepack2015", "filter of voltage-gated calcium entry")
    eef2_effect_of_resting_block: Leaf = parameter("we", 0.8, "1", logit_normal(0.3 / 0.2), 0.3, 1.0, "assumed", "Autry2011", "loss of p-eEF2 by block of receptors at rest")
    eef2_time_constant: Leaf = parameter("taue", 0.25, "h", FIXED, 0.1, 0.5, "assumed", "Autry2011", "time constant of eEF2 phosphorylation")
    translation_turnover: Leaf = parameter("kB", 1.0, "1/h", lognormal(0.3), 0.3, 2.0, "fitted", "Autry2011", "turnover of BDNF protein")
    eef2_effect_on_translation: Leaf = parameter("ae", 1.0, "1", lognormal(0.35), 0.3, 2.0, "assumed", "assumed", "effect of eEF2 on BDNF translation")
    calcium_effect_on_translation: Leaf = parameter("aCa", 0.6, "1", lognormal(0.35), 0.2, 1.5, "assumed", "assumed", "effect of calcium on BDNF translation")
    inflammation_effect: Leaf = parameter("fIN", 0.25, "1", logit_normal(0.3 / 0.75), 0.0, 0.5, "assumed", "assumed", "loss of BDNF protein per unit of inflammation")
    release_gain: Leaf = parameter("krel", 12.0, "1/h", lognormal(0.3), 6.0, 16.0, "assumed", "Lepack2015", "release of BDNF by calcium; Val66Met acts here")
    clearance_rate: Leaf = parameter("kclr", 12.0, "1/h", lognormal(0.2), 6.0, 16.0, "assumed", "assumed", "clearance of released BDNF")
    direct_release_gain: Leaf = parameter("epsD", 0.0, "1", lognormal(0.5), 0.0, 2.0, "assumed", "Autry2011", "direct release of BDNF by the eEF2 route; a hypothesis, off")


@group
class Mtorc1:
    """TrkB, mTORC1, its S6K feedback and the plasticity capacity."""

    bdnf_half_activation: Leaf = parameter("KB", 0.3, "1", lognormal(0.42), 0.15, 0.6, "fitted", "TargetProfiles", "released BDNF of half TrkB activation")
    trkb_rate: Leaf = parameter("kT", 16.0, "1/h", FIXED, 6.0, 20.0, "assumed", "assumed", "on and off rate of TrkB")
    mtorc1_rate: Leaf = parameter("kM", 10.0, "1/h", lognormal(0.25), 6.0, 15.0, "assumed", "Li2010", "on and off rate of mTORC1: peak near 30 min, baseline by 2 h")
    s6k_feedback_gain: Leaf = parameter("gF", 4.0, "1", FIXED, 1.0, 8.0, "assumed", "Li2010", "damping of mTORC1 by p70S6K")
    s6k_feedback_time: Leaf = parameter("tauF", 0.3, "h", FIXED, 0.1, 0.6, "assumed", "assumed", "time constant of the S6K feedback")
    capacity_use: Leaf = parameter("kQ", 3.31, "1/h", FIXED, 0.5, 6.0, "fitted", "TargetProfiles", "use of plasticity capacity by TrkB signalling")
    capacity_recovery_time: Leaf = parameter("tauQ", 154.0, "h", lognormal(0.3), 48.0, 240.0, "fitted", "TargetProfiles", "recovery of plasticity capacity")


@group
class Potentiation:
    """Fast functional potentiation."""

    potentiation_rate: Leaf = parameter("kP", 2.43, "1/h", lognormal(0.4), 1.0, 5.0, "fitted", "TargetProfiles", "rate of fast potentiation")
    potentiation_loss_rate: Leaf = parameter("kPd", 0.0135, "1/h", lognormal(0.96), 0.003, 0.04, "fitted", "TargetProfiles", "loss of fast potentiation")
    mtor_share: Leaf = parameter("phiP", 0.4, "1", FIXED, 0.0, 1.0, "assumed", "Li2010", "share of fast potentiation that needs mTORC1; a hypothesis, species dependent")
    hydroxynorketamine_gain: Leaf = parameter("epsH", 0.0, "1", logit_normal(0.5), 0.0, 0.5, "assumed", "Zanos2016", "drive of potentiation by hydroxynorketamine; a hypothesis, off")
    opioid_share: Leaf = parameter("phiOp", 0.0, "1", FIXED, 0.0, 1.0, "assumed", "Bonaventura2021", "share of the drive of potentiation that needs opioid receptors; off: its size in people is untested")
    hydroxynorketamine_half_effect: Leaf = parameter("KH", 0.5, "uM", lognormal(0.3), 0.1, 10.0, "assumed", "assumed", "hydroxynorketamine of half effect")


@group
class Synapses:
    """Synaptic proteins, nascent and stable synapses."""

    protein_synthesis_gain: Leaf = parameter("ksp", 0.9, "1/h", lognormal(0.4), 0.4, 1.8, "assumed", "Li2010", "synaptic protein made by mTORC1")
    transit_protein_loss_rate: Leaf = parameter("kd1", 0.0231, "1/h", FIXED, 0.012, 0.05, "assumed", "Li2010", "loss of protein in transit; half-life 30 h")
    assembly_rate: Leaf = parameter("kas", 0.15, "1/h", lognormal(0.3), 0.08, 0.3, "assumed", "ModaSava2019", "building of protein into synapses: none new at 3-6 h, more at 12-24 h")
    synaptic_protein_loss_rate: Leaf = parameter("kd2", 0.0065, "1/h", FIXED, 0.004, 0.012, "fitted", "Phoumthipphavong2016", "loss of protein in synapses; half-life 4.4 d, within the 2 to 5 d of Cohen2013")
    formation_gain: Leaf = parameter("af", 9.0, "1", lognormal(0.4), 4.0, 15.0, "assumed", "ModaSava2019", "gain of spine formation per synaptic protein")
    maximal_density: Leaf = parameter("Nmax", 1.3, "1", lognormal(0.05), 1.15, 1.5, "assumed", "assumed", "maximal synapse density (healthy = 1)")
    nascent_loss_rate: Leaf = parameter("kn", 0.014583, "1/h", lognormal(0.3), 0.008333, 0.02917, "assumed", "assumed", "loss of nascent spines")
    stabilisation_rate: Leaf = parameter("kc", 0.0058333, "1/h", lognormal(0.3), 0.002083, 0.01042, "fitted", "Phoumthipphavong2016", "nascent to stable spines")
    stable_loss_rate: Leaf = parameter("ks0", 0.00083333, "1/h", lognormal(0.3), 4.167e-05, 0.00125, "assumed", "Grutzendler2002", "loss of stable spines in health")
    stress: Leaf = parameter("stress", 1.0, "1", lognormal(0.4), 0.0, 2.0, "assumed", "Holmes2022", "stress level of the patient")
    stress_effect: Leaf = parameter("sstr", 0.7, "1", lognormal(0.3), 0.3, 1.5, "fitted", "Holmes2022", "effect of stress on the loss of stable spines: deficit about 15 %")
    inflammation_effect: Leaf = parameter("sIN", 0.35, "1", logit_normal(0.4 / 0.65), 0.0, 0.8, "assumed", "assumed", "effect of inflammation on the loss of stable spines")
    deficit_floor: Leaf = parameter("eN", 0.05, "1", FIXED, 0.01, 0.1, "assumed", "assumed", "width below which a synaptic deficit counts as none")


@group
class Inflammation:
    """Neuro-inflammation."""

    baseline: Leaf = parameter("IN0", 1.6, "1", lognormal(log_sd=0.5, offset=1.0), 1.0, 3.0, "derived", "Osimo2020", "baseline neuro-inflammation (healthy = 1): 1 + 0.6 times a log-normal factor of log-SD 0.5")
    turnover_rate: Leaf = parameter("kI", 0.009627, "1/h", lognormal(0.3), 0.005, 0.03, "assumed", "assumed", "turnover; half-life 72 h")
    anti_inflammatory_gain: Leaf = parameter("kanti", 0.02, "1/h", lognormal(0.5), 0.0, 0.05, "assumed", "Park2017", "anti-inflammatory effect of ketamine; weak, acute data conflict")
    anti_inflammatory_half_concentration: Leaf = parameter("Kanti", 0.35, "uM", lognormal(0.3), 0.14, 1.4, "assumed", "assumed", "unbound brain concentration of half effect")
    hydroxynorketamine_share: Leaf = parameter("aH", 0.3, "1", FIXED, 0.0, 1.0, "assumed", "assumed", "anti-inflammatory effect of hydroxynorketamine relative to ketamine")


@group
class Network:
    """Lateral habenula and default mode network."""

    habenula_recovery_time: Leaf = parameter("tauLoff", 18.0, "h", lognormal(0.4), 6.0, 36.0, "derived", "Ma2023", "recovery of habenula bursting: suppressed up to 24 h by trapping")
    habenula_onset_time: Leaf = parameter("tauLon", 0.3, "h", FIXED, 0.1, 0.5, "assumed", "assumed", "onset of habenula suppression")
    network_time_constant: Leaf = parameter("tauD", 10.0, "h", lognormal(0.3), 5.0, 24.0, "fitted", "Evans2018", "time constant of the default mode network: change at 24-48 h, gone at 10 d")
    gain_from_synapses: Leaf = parameter("dN", 0.45, "1", FIXED, 0.3, 1.0, "assumed", "assumed", "effect of restored synapses on the network excess")
    gain_from_potentiation: Leaf = parameter("dP", 0.8, "1", FIXED, 0.3, 1.2, "assumed", "assumed", "effect of fast potentiation on the network excess")


@group
class Consolidation:
    """Slow, use-dependent consolidation."""

    consolidation_rate: Leaf = parameter("kW", 0.00319, "1/h", lognormal(0.75), 0.0005, 0.01, "fitted", "TargetProfiles", "consolidation of a high plasticity gain; weeks")
    consolidation_loss_rate: Leaf = parameter("kWo", 0.000756, "1/h", lognormal(1.04), 0.0002, 0.003, "fitted", "TargetProfiles", "loss of consolidation; months")
    half_drive: Leaf = parameter("Kw", 0.545, "1", lognormal(0.475), 0.2, 1.0, "fitted", "TargetProfiles", "plasticity gain of half consolidation")
    exponent: Leaf = parameter("nW", 4.0, "1", FIXED, 2.0, 6.0, "assumed", "assumed", "Hill exponent of consolidation")


@group
class Score:
    """Mood drive and depression score (MADRS)."""

    baseline: Leaf = parameter("S0", 32.0, "points", normal(4.0, centre=33.0), 20.0, 50.0, "measured", "Haile2014", "MADRS before treatment; trials enrol about 33")
    weight_potentiation: Leaf = parameter("wPs", 0.489, "1", lognormal(0.284), 0.2, 0.8, "fitted", "TargetProfiles", "weight of potentiation in the mood drive")
    weight_synapses: Leaf = parameter("wNs", 0.112, "1", lognormal(0.3), 0.05, 0.5, "fitted", "TargetProfiles", "weight of restored synapses in the mood drive")
    weight_network: Leaf = parameter("wDs", 0.133, "1", lognormal(0.3), 0.05, 0.4, "fitted", "TargetProfiles", "weight of the network change in the mood drive")
    weight_habenula: Leaf = parameter("wLs", 0.145, "1", lognormal(0.35), 0.05, 0.4, "fitted", "TargetProfiles", "weight of habenula silencing in the mood drive")
    weight_consolidation: Leaf = parameter("wWs", 0.415, "1", lognormal(1.3), 0.1, 1.5, "fitted", "TargetProfiles", "weight of consolidation; the wide spread makes it self-sustaining in a minority")
    weight_activation: Leaf = parameter("wCs", 0.525, "1", lognormal(0.3), 0.0, 1.0, "fitted", "DiazGranados2010", "weight of the drive through AMPA receptors while the surge lasts; that it lifts mood is assumed")
    half_effect_drive: Leaf = parameter("Ku", 0.287, "1", lognormal(0.232), 0.2, 0.6, "fitted", "TargetProfiles", "mood drive of half effect; not identifiable apart from the weights")
    drive_exponent: Leaf = parameter("nU", 3.37, "1", FIXED, 1.5, 4.0, "fitted", "TargetProfiles", "exponent of the map from mood drive to score")
    improvable_share: Leaf = parameter("cS", 0.86, "1", logit_normal(3.89, centre=1.84), 0.0, 1.0, "fitted", "TargetProfiles", "share of the score within reach of a short treatment; U-shaped over patients")
    score_rate: Leaf = parameter("kS", 1.35, "1/h", lognormal(0.3), 0.3, 2.0, "fitted", "DiazGranados2010", "rate at which the score follows the mood drive")
    slow_share: Leaf = parameter("phH", 0.161, "1", FIXED, 0.0, 0.5, "fitted", "Han2016", "share of the score in symptoms that need days; which they are is not resolved")
    slow_time: Leaf = parameter("tauH", 84.8, "h", FIXED, 24.0, 336.0, "fitted", "Han2016", "time in which slow symptoms follow")
    rating_maximum: Leaf = parameter("Smax", 60.0, "points", FIXED, None, None, "measured", "Murrough2013a", "highest MADRS")


@group
class Expectancy:
    """Expectancy and course of placebo arms."""

    decay_time: Leaf = parameter("tauEF", 17.1, "h", FIXED, 4.0, 18.0, "fitted", "Daly2018", "decay of fast expectancy")
    course_rate: Leaf = parameter("kES", 0.00177, "1/h", FIXED, 0.0015, 0.004, "fitted", "Posternak2005", "rate of the common course of placebo arms")
    session_approach: Leaf = parameter("kSes", 1.6, "1/h", FIXED, 1.0, 3.0, "assumed", "assumed", "approach to the session level: 80 % in one session")
    session_duration: Leaf = parameter("Dses", 1.0, "h", FIXED, 0.5, 2.0, "assumed", "assumed", "length of a dosing session, sham included")
    gain: Leaf = parameter("exg", 1.0, "1", lognormal(0.5), 0.1, 5.0, "fitted", "TargetProfiles", "the patient's own expectancy in a session; shared by the fast and the slow part")
    course_gain: Leaf = parameter("exc", 1.0, "1", lognormal(1.42), 0.1, 10.0, "fitted", "TargetProfiles", "the patient's own course outside sessions: expectancy, natural course and regression to the mean")


@group
class TrialDesign:
    """Expectancy levels of one class of trial, in units of mood drive."""

    fast: Leaf = parameter("xF", 0.0, "1/h", FIXED, 0.0, 1.0, "assumed", "assumed", "drive of fast expectancy during a session")
    session: Leaf = parameter("xT", 0.0, "1", FIXED, 0.0, 1.0, "assumed", "assumed", "level approached in each session")
    course: Leaf = parameter("xC", 0.0, "1", FIXED, 0.0, 1.0, "assumed", "assumed", "level kept up by a running trial")
    antidepressant: Leaf = parameter("xAD", 0.0, "1", FIXED, 0.0, 1.0, "assumed", "assumed", "level of a daily monoaminergic antidepressant")


@group
class Dissociation:
    """Dissociative state (CADSS) with tolerance."""

    gain: Leaf = parameter("gDs", 13.8, "points", lognormal(0.8), 8.0, 20.0, "fitted", "ClinicalSummary", "CADSS at the reference concentration before saturation")
    reference_concentration: Leaf = parameter("CrD", 108.0, "ng/mL", FIXED, None, None, "derived", "PharmacokineticFit", "effect-site peak after 0.5 mg/kg in 40 min, S-equivalents")
    exponent: Leaf = parameter("nD", 1.8, "1", FIXED, 1.3, 2.3, "fitted", "Glue2018", "steepness of dissociation with concentration")
    r_potency: Leaf = parameter("rhoD", 0.3, "1", lognormal(0.3), 0.15, 0.6, "assumed", "Ebert1997", "R over S potency for dissociation")
    equilibration_half_life: Leaf = parameter("thD", 6.1 / 60.0, "h", lognormal(0.4), 1.0 / 60.0, 0.2, "measured", "Olofsen2012", "effect-site half-life (6.1 min)")
    tolerance_gain: Leaf = parameter("gTol", 0.0095, "1/points/h", lognormal(0.5), 0.004, 0.02, "fitted", "Glue2018", "gain of tolerance by CADSS")
    tolerance_loss_rate: Leaf = parameter("kTol", 0.000481, "1/h", lognormal(0.5), 0.0002, 0.002, "assumed", "assumed", "loss of tolerance; half-life 60 d")
    scale_maximum: Leaf = parameter("Cmax", 92.0, "points", FIXED, None, None, "measured", "ClinicalSummary", "highest CADSS")
    high_half_concentration: Leaf = parameter("ChH", 71.0, "ng/mL", lognormal(0.4), 50.0, 110.0, "measured", "Simons2022", "S-equivalents of half drug high")
    high_maximum: Leaf = parameter("Hmax", 10.0, "points", FIXED, None, None, "measured", "Simons2022", "highest drug high")
    concentration_floor: Leaf = parameter("eC", 0.01, "ng/mL", FIXED, None, None, "assumed", "assumed", "width that keeps the power law smooth at zero concentration")


@group
class Analgesia:
    """Pain under ketamine, on a scale of 0 to 10 cm."""

    equilibration_half_life: Leaf = parameter("thA", 11.8 / 60.0, "h", lognormal(0.4), 5.0 / 60.0, 20.0 / 60.0, "measured", "Olofsen2012", "effect-site half-life (11.8 min)")
    r_potency: Leaf = parameter("rhoA", 0.3, "1", lognormal(0.3), 0.15, 0.5, "assumed", "Ebert1997", "R over S potency")
    heat_half_concentration: Leaf = parameter("C50h", 110.0, "ng/mL", lognormal(0.5), 80.0, 300.0, "derived", "Olofsen2012", "S-equivalents that halve heat pain: 3.8 cm at 100 ng/mL with an assumed baseline of 8 cm")
    pressure_half_concentration: Leaf = parameter("C50e", 345.0, "ng/mL", lognormal(0.5), 285.0, 660.0, "measured", "Simons2022", "S-equivalents that halve electrical and pressure pain")
    clinical_half_concentration: Leaf = parameter("C50c", 150.0, "ng/mL", lognormal(0.6), 70.0, 350.0, "assumed", "Zanos2018", "S-equivalents that halve clinical pain")
    baseline: Leaf = parameter("VAS0", 8.0, "cm", lognormal(0.1), 5.0, 9.0, "assumed", "Simons2022", "pain without drug; the stimulus is set to it")
    norketamine_maximum: Leaf = parameter("ENK", 3.0, "cm", lognormal(0.4), 0.0, 4.0, "derived", "Olofsen2012", "pain that norketamine adds at most: 1.5 cm at 50 ng/mL in a bounded form")
    norketamine_half_concentration: Leaf = parameter("CNKp", 50.0, "ng/mL", lognormal(0.4), 25.0, 200.0, "assumed", "assumed", "S-norketamine of half that effect")
    norketamine_opposition: Leaf = parameter("wNKp", 0.5, "1", FIXED, 0.0, 1.0, "assumed", "Olofsen2012", "share of that effect: one study found it, two did not")
    opioid_share: Leaf = parameter("wOp", 0.2, "1", FIXED, 0.0, 0.5, "assumed", "assumed", "share of analgesia that needs opioid receptors")
    scale_maximum: Leaf = parameter("VASmax", 10.0, "cm", FIXED, None, None, "measured", "Simons2022", "end of the scale")
    saturation_exponent: Leaf = parameter("nVAS", 12.0, "1", FIXED, None, None, "assumed", "assumed", "sharpness of the end of the scale")


@group
class Arousal:
    """Nested probabilities of sedation, unresponsiveness and surgical anaesthesia."""

    r_potency: Leaf = parameter("rhoN", 0.333, "1", lognormal(0.2), 0.2, 0.5, "measured", "Adams1992", "R over S potency; R as a partial agonist is not modelled")
    sedation_half_concentration: Leaf = parameter("C50sed", 115.0, "ng/mL", lognormal(0.4), 70.0, 200.0, "assumed", "EsketamineLabel", "S-equivalents at which half are sedated")
    sedation_exponent: Leaf = parameter("nsed", 2.5, "1", FIXED, 1.5, 4.0, "assumed", "assumed", "steepness of sedation")
    sedation_half_midazolam: Leaf = parameter("hMz", 0.5, "1", FIXED, 0.2, 1.0, "assumed", "assumed", "midazolam that sedates half, relative to the comparator's dose")
    unresponsive_half_concentration: Leaf = parameter("C50loc", 550.0, "ng/mL", lognormal(0.25), 400.0, 800.0, "derived", "Kienbaum2001", "S-equivalents at which half do not respond")
    unresponsive_exponent: Leaf = parameter("nloc", 5.0, "1", FIXED, 3.0, 8.0, "assumed", "assumed", "steepness of unresponsiveness")
    anaesthesia_half_concentration: Leaf = parameter("C50an", 1000.0, "ng/mL", lognormal(0.25), 800.0, 1500.0, "derived", "Zanos2018", "S-equivalents at which half are under surgical anaesthesia")
    anaesthesia_exponent: Leaf = parameter("nan", 6.0, "1", FIXED, 4.0, 10.0, "assumed", "assumed", "steepness of anaesthesia")


@group
class Circulation:
    """Blood pressure and heart rate, with a baroreflex that resets."""

    pressure_maximum: Leaf = parameter("Emap", 36.0, "mmHg", lognormal(0.55), 25.0, 50.0, "fitted", "YaleReview2024", "highest rise of mean pressure before the baroreflex")
    pressure_half_concentration: Leaf = parameter("Cmap", 95.0, "ng/mL", lognormal(0.4), 50.0, 200.0, "fitted", "Langsjo2005", "S-equivalents of half that rise")
    r_potency: Leaf = parameter("rhoP", 0.1, "1", FIXED, 0.0, 0.3, "assumed", "Kamp2021", "R over S potency: no effect of R on cardiac output")
    norketamine_antagonism: Leaf = parameter("CNKc", 150.0, "ng/mL", lognormal(0.4), 75.0, 1000.0, "assumed", "Kamp2021", "S-norketamine that doubles the half concentration; direction read")
    pressure_time_constant: Leaf = parameter("tauP", 0.08, "h", FIXED, 0.03, 0.2, "assumed", "assumed", "time constant of pressure and heart rate")
    baroreflex_gain: Leaf = parameter("kbr", 0.5, "1", lognormal(0.3), 0.2, 1.0, "assumed", "assumed", "counter-regulation by the baroreflex")
    baroreflex_resetting_time: Leaf = parameter("taubr", 0.5, "h", lognormal(0.3), 0.2, 1.5, "assumed", "assumed", "time in which the baroreflex resets")
    heart_rate_maximum: Leaf = parameter("Ehr", 56.0, "1/min", lognormal(0.4), 35.0, 75.0, "fitted", "Langsjo2005", "highest rise of heart rate")
    heart_rate_half_concentration: Leaf = parameter("Chr", 400.0, "ng/mL", lognormal(0.4), 200.0, 800.0, "assumed", "assumed", "S-equivalents of half that rise")
    reflex_slowing: Leaf = parameter("gbr", 0.25, "1/min/mmHg", lognormal(0.4), 0.0, 0.6, "assumed", "assumed", "slowing of the heart by pressure that is not reset")
    systolic_share: Leaf = parameter("sSBP", 1.26, "1", FIXED, 1.1, 1.5, "derived", "YaleReview2024", "rise of systolic over mean pressure")
    diastolic_share: Leaf = parameter("sDBP", 0.87, "1", FIXED, 0.7, 1.0, "derived", "YaleReview2024", "rise of diastolic over mean pressure")
    age_effect: Leaf = parameter("ageP", 0.01, "1/year", FIXED, 0.0, 0.03, "assumed", "YaleReview2024", "relative rise of the pressure effect for each year of age; direction read")
    reference_age: Leaf = parameter("agePref", 45.0, "year", FIXED, None, None, "assumed", "assumed", "age for which the maximum is stated")
    resting_systolic: Leaf = parameter("SBP0", 122.0, "mmHg", normal(12.0), None, None, "assumed", "assumed", "systolic pressure awake, without drug")
    resting_diastolic: Leaf = parameter("DBP0", 77.0, "mmHg", normal(8.0), None, None, "assumed", "assumed", "diastolic pressure awake, without drug")
    resting_heart_rate: Leaf = parameter("HR0", 70.0, "1/min", normal(10.0), None, None, "assumed", "assumed", "heart rate awake, without drug")


@group
class Anxiety:
    """Anxiolysis that begins with the drug and outlasts it."""

    baseline: Leaf = parameter("A0", 25.0, "points", lognormal(0.2), 20.0, 32.0, "assumed", "Glue2017", "anxiety (HAM-A) before treatment")
    half_concentration: Leaf = parameter("CAx", 85.0, "ng/mL", lognormal(0.4), 55.0, 120.0, "fitted", "Glue2017", "S-equivalents of half the acute effect")
    hill_exponent: Leaf = parameter("nAx", 3.0, "1", FIXED, 2.0, 5.0, "assumed", "assumed", "steepness of the acute effect")
    onset_time: Leaf = parameter("tonAx", 0.3, "h", FIXED, 0.1, 0.6, "fitted", "Glue2017", "onset of the acute effect")
    offset_time: Leaf = parameter("toffAx", 3.0, "h", lognormal(0.4), 1.0, 12.0, "assumed", "assumed", "offset of the acute effect")
    carry_rate: Leaf = parameter("kAx", 0.4, "1/h", lognormal(0.4), 0.15, 0.8, "fitted", "Glue2018", "rate at which the acute effect builds the persisting one")
    persistence_time: Leaf = parameter("tauAx", 120.0, "h", lognormal(0.4), 48.0, 240.0, "assumed", "Glue2017", "loss of the persisting effect: up to one week at 1 mg/kg")
    weight_acute: Leaf = parameter("wAxF", 0.5, "1", logit_normal(0.3 / 0.5), 0.3, 0.7, "fitted", "Glue2018", "share of anxiety that the acute effect can take")
    weight_persisting: Leaf = parameter("wAxQ", 0.6, "1", logit_normal(0.3 / 0.4), 0.3, 0.8, "assumed", "assumed", "share that the persisting effect can take")
    weight_midazolam: Leaf = parameter("bAxB", 0.1, "1", logit_normal(0.3 / 0.9), 0.0, 0.3, "assumed", "Glue2020", "share that midazolam takes at the comparator's dose: minor and brief")
    weight_mood: Leaf = parameter("wAxM", 0.3, "1", logit_normal(0.3 / 0.7), 0.0, 0.7, "assumed", "Glue2017", "share that follows mood; people who were not depressed improved too, so it is not the only path")


@group
class Connectivity:
    """Default mode and salience networks as resting fMRI would see them, and rumination."""

    baseline: Leaf = parameter("zb", 0.0, "1", normal(1.0), -2.0, 2.0, "assumed", "Kaiser2015", "default mode connectivity before treatment [SD]; the sign of the cohort's mean is contested")
    normalisation: Leaf = parameter("gZ", 1.0, "1", FIXED, 0.0, 1.5, "assumed", "Evans2018", "how far the model's network state moves it toward the healthy mean")
    fall_from_potentiation: Leaf = parameter("aZP", 1.0, "1", lognormal(0.4), 0.0, 2.0, "assumed", "Scheidegger2012", "fall with potentiation [SD], shrunk for publication bias")
    acute_fall: Leaf = parameter("aZK", 0.63, "1", lognormal(0.4), 0.1, 1.2, "measured", "Adhikari2020", "acute fall at the reference concentration [SD]; midazolam does the same")
    acute_salience_fall: Leaf = parameter("aZS", 1.13, "1", lognormal(0.3), 0.6, 1.7, "measured", "Adhikari2020", "acute fall of the salience network [SD]")
    acute_fall_midazolam: Leaf = parameter("aZM", 0.77, "1", lognormal(0.4), 0.2, 1.3, "measured", "Adhikari2020", "acute fall under midazolam [SD]; half of it in the salience network is assumed")
    reference_concentration: Leaf = parameter("CrZ", 108.0, "ng/mL", FIXED, None, None, "derived", "PharmacokineticFit", "effect-site peak after 0.5 mg/kg in 40 min, S-equivalents")
    rumination_weight: Leaf = parameter("wRum", 0.5, "1", logit_normal(0.3 / 0.5), 0.0, 0.9, "assumed", "assumed", "share of rumination that follows mood")
    rumination_time: Leaf = parameter("tauRum", 168.0, "h", lognormal(0.4), 48.0, 500.0, "assumed", "assumed", "time in which rumination follows mood")


@group
class Markers:
    """Blood and brain markers as a laboratory would measure them, without noise."""

    il6_healthy: Leaf = parameter("m6", 1.2, "pg/mL", FIXED, None, None, "assumed", "assumed", "median interleukin 6 of healthy people; depends on the assay")
    crp_healthy: Leaf = parameter("mC", 1.0, "mg/L", FIXED, None, None, "assumed", "assumed", "median C-reactive protein of healthy people")
    tnf_healthy: Leaf = parameter("mT", 2.0, "pg/mL", FIXED, None, None, "assumed", "assumed", "median tumour necrosis factor of healthy people")
    il6_per_inflammation: Leaf = parameter("l6", 1.02 * 0.7, "1", FIXED, 0.36, 1.07, "derived", "Osimo2020", "rise of ln IL-6 for each unit of inflammation; circular with the baseline of inflammation")
    crp_per_inflammation: Leaf = parameter("lC", 1.18 * 1.1, "1", FIXED, 0.65, 1.95, "derived", "Osimo2020", "the same for CRP")
    tnf_per_inflammation: Leaf = parameter("lT", 0.9 * 0.35, "1", FIXED, 0.16, 0.47, "derived", "Osimo2020", "the same for TNF")
    acute_il6_gain: Leaf = parameter("g6", 0.9, "1", lognormal(0.8), 0.0, 2.0, "assumed", "Park2017", "acute rise of ln IL-6; the sign is not settled")
    acute_il6_half_concentration: Leaf = parameter("K6", 0.35, "uM", FIXED, 0.1, 1.0, "assumed", "assumed", "unbound brain ketamine of half that rise")
    acute_il6_delay: Leaf = parameter("tau6a", 1.5, "h", FIXED, 0.5, 3.0, "assumed", "assumed", "delay of the rise")
    acute_il6_decay: Leaf = parameter("tau6b", 3.0, "h", FIXED, 1.0, 8.0, "assumed", "assumed", "decay of the rise")
    plasma_bdnf_baseline: Leaf = parameter("pB0", 9.0, "ng/mL", lognormal(0.6), 4.0, 20.0, "measured", "PeerJ2021", "BDNF in plasma before treatment")
    plasma_bdnf_gain: Leaf = parameter("gpB", 0.3, "1", lognormal(1.0), 0.0, 1.5, "assumed", "Haile2014", "relative rise for each unit of released BDNF")
    plasma_bdnf_lag: Leaf = parameter("taupB", 3.0, "h", FIXED, 1.0, 8.0, "assumed", "assumed", "lag of plasma behind release")
    mrs_glutamate_gain: Leaf = parameter("sGlu", 0.06, "1", lognormal(0.5), 0.0, 0.3, "assumed", "assumed", "rise of spectroscopic glutamate over that outside of cells; below the detection limit of 4 %")
    mrs_glutamine_gain: Leaf = parameter("sGln", 0.3, "1", lognormal(0.5), 0.0, 0.8, "assumed", "Rowland2005", "rise of spectroscopic glutamine over glutamate outside of cells")
    mrs_glutamine_half_life: Leaf = parameter("thGln", 1.0 / 3.0, "h", FIXED, None, None, "assumed", "assumed", "half-life with which glutamine follows")
    enrichment_per_release: Leaf = parameter("s13", 0.73, "1", lognormal(0.3), 0.4, 1.2, "derived", "Abdallah2018", "rise of 13C-glutamine over that of release: 13 % observed, 17.8 % released in the first hour")
    sv2a_specific_fraction: Leaf = parameter("fSV", 0.8, "1", FIXED, 0.7, 0.9, "assumed", "assumed", "specific share of the distribution volume")
    sv2a_responding_share: Leaf = parameter("dSV", 0.5, "1", FIXED, 0.3, 0.8, "assumed", "assumed", "share of terminals that follow the spines of excitatory cells")


@group
class PlasticityWindow:
    """What opens the window in which psychotherapy teaches more."""

    weight_nascent_synapses: Leaf = parameter("aNn", 1.0, "1", FIXED, 0.0, 2.0, "assumed", "assumed", "weight of nascent synapses")
    weight_potentiation: Leaf = parameter("aPo", 1.0, "1", FIXED, 0.0, 2.0, "assumed", "assumed", "weight of potentiation")
    weight_bdnf: Leaf = parameter("aBe", 0.5, "1", FIXED, 0.0, 2.0, "assumed", "assumed", "weight of released BDNF")
    weight_mtorc1: Leaf = parameter("aMt", 0.5, "1", FIXED, 0.0, 2.0, "assumed", "assumed", "weight of mTORC1")
    scale_nascent_synapses: Leaf = parameter("sNn", 0.35, "1", FIXED, None, None, "assumed", "assumed", "gain of nascent synapses that counts as one")
    scale_potentiation: Leaf = parameter("sPo", 0.5, "1", FIXED, None, None, "assumed", "assumed", "potentiation that counts as one")
    scale_bdnf: Leaf = parameter("sBe", 0.3, "1", FIXED, None, None, "assumed", "assumed", "released BDNF that counts as one")
    scale_mtorc1: Leaf = parameter("sMt", 0.5, "1", FIXED, None, None, "assumed", "assumed", "mTORC1 activity that counts as one")


@group
class Psychotherapy:
    """Learning in sessions of psychotherapy; a hypothesis with weak priors."""

    learning_without_window: Leaf = parameter("ell0", 0.25, "1", lognormal(0.5), 0.05, 1.0, "assumed", "assumed", "learning without drug")
    learning_gain_of_window: Leaf = parameter("gWin", 1.0, "1", normal(0.8), -0.2, 3.0, "assumed", "assumed", "gain of learning in the window: the hypothesis itself; the prior allows none and harm")
    learning_rate: Leaf = parameter("kLrn", 0.1, "1/h", lognormal(0.6), 0.02, 0.3, "assumed", "assumed", "learning in a session of full intensity")
    encoding_block: Leaf = parameter("eBlk", 0.8, "1", logit_normal(0.3 / 0.2), 0.0, 1.0, "assumed", "Olofsen2012", "loss of encoding by receptor block in the session")
    encoding_half_block: Leaf = parameter("KBlk", 0.2, "1", FIXED, 0.1, 0.4, "assumed", "assumed", "interneuron block of half that loss")
    labile_learning_time: Leaf = parameter("tauLr", 120.0, "h", lognormal(0.4), 48.0, 336.0, "assumed", "assumed", "decay of labile learning")
    learning_consolidation_rate: Leaf = parameter("kCon", 0.004, "1/h", lognormal(0.4), 0.001, 0.01, "assumed", "assumed", "consolidation of learning")
    consolidated_learning_time: Leaf = parameter("tauLC", 1440.0, "h", lognormal(0.5), 500.0, 8760.0, "assumed", "assumed", "decay of consolidated learning")
    practice_time: Leaf = parameter("tauPr", 24.0, "h", FIXED, 6.0, 72.0, "assumed", "assumed", "trace of practice after a session")
    practice_gain: Leaf = parameter("gPrS", 0.5, "1", lognormal(0.6), 0.0, 2.0, "assumed", "assumed", "practice to stabilisation of nascent synapses and to consolidation")
    score_weight_learning: Leaf = parameter("wLrn", 0.5, "1", logit_normal(0.4 / 0.5), 0.0, 1.0, "assumed", "assumed", "effect of learning on the score")


@group
class Hippocampus:
    """What differs in the hippocampus (CA1 and subiculum), as ratios to prefrontal cortex."""

    disinhibition_factor: Leaf = parameter("xGca", 0.9, "1", FIXED, 0.5, 1.3, "assumed", "Schobel2013", "factor on the disinhibition gain; direction read")
    release_factor: Leaf = parameter("xRca", 1.2, "1", FIXED, 0.8, 2.0, "assumed", "assumed", "factor on BDNF release")
    nascent_loss_factor: Leaf = parameter("xNca", 1.5, "1", FIXED, 1.0, 4.0, "assumed", "assumed", "factor on the loss of nascent spines: hippocampal spines turn over faster")
    stabilisation_factor: Leaf = parameter("xCca", 0.8, "1", FIXED, 0.4, 1.2, "assumed", "assumed", "factor on stabilisation")
    presynaptic_factor: Leaf = parameter("xPca", 1.0, "1", FIXED, 0.0, 2.0, "assumed", "assumed", "factor on direct presynaptic release")
    prefrontal_weight: Leaf = parameter("wreg", 1.0, "1", FIXED, 0.5, 1.0, "assumed", "Fuchikami2015", "weight of prefrontal cortex in mood and network; 1 because the fitted set was fitted so, 0.7 is the alternative that asks for a refit")
    drive_to_prefrontal: Leaf = parameter("kreg", 0.0, "1", FIXED, 0.0, 0.3, "assumed", "assumed", "drive of prefrontal pyramidal activity by the hippocampus; off")


@group
class Rating:
    """What a rater adds to the score: days that differ, a scale of whole points, other scales."""

    precision: Leaf = parameter("phiS", 151.0, "1", FIXED, 80.0, 300.0, "derived", "WilliamsKobak2008", "precision of a rating of the MADRS: SD 2.4 points at a score of 25")
    mean_floor: Leaf = parameter("eS", 0.005, "1", FIXED, None, None, "assumed", "assumed", "least distance of the mean of a rating from the ends of the scale, as a share of it")
    fluctuation: Leaf = parameter("sdOU", 3.0, "points", lognormal(0.3), 1.5, 5.0, "assumed", "assumed", "SD of the difference between days in the middle of the scale")
    fluctuation_time: Leaf = parameter("tauOU", 120.0, "h", FIXED, 48.0, 336.0, "assumed", "assumed", "time in which a day's difference is forgotten")
    item_offset: Leaf = parameter("sdIb", 0.6, "points", FIXED, None, None, "assumed", "assumed", "SD of the fixed offsets of the ten items")
    item_residual: Leaf = parameter("sdIt", 0.7, "points", FIXED, 0.5, 1.0, "derived", "MadrsItems2021", "SD of one item about its mean: the sum of ten then has that of a rating")
    hamd_slope: Leaf = parameter("aHD", 0.75, "1", FIXED, None, None, "assumed", "assumed", "HAM-D17 for each point of MADRS")
    hamd_residual: Leaf = parameter("sdHD", 2.5, "points", FIXED, None, None, "assumed", "assumed", "SD of HAM-D17 about that")
    hamd_maximum: Leaf = parameter("HDmax", 52.0, "points", FIXED, None, None, "assumed", "assumed", "highest HAM-D17")


@group
class Measurement:
    """Noise of laboratories, scanners and cuffs, each time anew."""

    il6_cv: Leaf = parameter("cv6", 0.45, "1", FIXED, 0.3, 0.7, "assumed", "assumed", "interleukin 6 within a person, coefficient of variation")
    crp_cv: Leaf = parameter("cvC", 0.45, "1", FIXED, 0.3, 0.7, "assumed", "assumed", "the same for CRP; of the size of biological variation tables (unverified)")
    tnf_cv: Leaf = parameter("cvT", 0.15, "1", FIXED, 0.11, 0.2, "measured", "Aziz2019", "the same for TNF")
    plasma_bdnf_cv: Leaf = parameter("cvB", 0.25, "1", FIXED, 0.15, 0.4, "assumed", "BdnfAssays", "BDNF in plasma, within a person and between assays")
    mrs_cv: Leaf = parameter("cvM", 0.063, "1", FIXED, 0.04, 0.21, "measured", "SpectroscopyRetest", "spectroscopy of the cingulate at 7 T; 0.21 in dorsolateral cortex")
    dialysate_cv: Leaf = parameter("cvD", 0.15, "1", FIXED, 0.1, 0.3, "assumed", "assumed", "dialysate of 20 min")
    sv2a_paired_sd: Leaf = parameter("sdSV", 0.085, "1", FIXED, 0.06, 0.15, "measured", "Tuncel2021", "SD of the relative difference between two SV2A scans, 28 days apart")
    network_retest: Leaf = parameter("iccN", 0.6, "1", FIXED, 0.4, 0.75, "assumed", "Tozzi2020", "intraclass correlation of the mean connectivity of a network between two scans")
    systolic_sd: Leaf = parameter("sdSBP", 6.0, "mmHg", FIXED, None, None, "assumed", "assumed", "systolic pressure by cuff")
    diastolic_sd: Leaf = parameter("sdDBP", 5.0, "mmHg", FIXED, None, None, "assumed", "assumed", "diastolic pressure by cuff")
    heart_rate_sd: Leaf = parameter("sdHR", 4.0, "1/min", FIXED, None, None, "assumed", "assumed", "heart rate")


@group
class Dropout:
    """Who leaves a trial: a hazard that depends on what the patient felt."""

    active_hazard: Leaf = parameter("hdo", 0.026 / 168.0, "1/h", FIXED, 0.01 / 168.0, 0.05 / 168.0, "derived", "TransformTrials", "hazard of a missing score under ketamine or esketamine (0.026 a week): 310 of 343 patients at day 28")
    control_hazard: Leaf = parameter("hdp", 0.017 / 168.0, "1/h", FIXED, 0.005 / 168.0, 0.04 / 168.0, "derived", "TransformTrials", "the same without (0.017 a week): 208 of 222 patients at day 28")
    failure_effect: Leaf = parameter("bdo", 1.5, "1", FIXED, 0.0, 3.0, "assumed", "assumed", "log hazard by the fall of the score that is missing, none against all")
    reference_fall: Leaf = parameter("fdo", 0.4, "1", FIXED, None, None, "assumed", "assumed", "fall of the score for which the hazard is stated")
    dissociation_effect: Leaf = parameter("bdd", 0.02, "1/points", FIXED, 0.0, 0.06, "assumed", "assumed", "log hazard for each point of the highest CADSS so far")
    reference_dissociation: Leaf = parameter("Ddo", 10.0, "points", FIXED, None, None, "assumed", "assumed", "highest CADSS for which the hazard is stated")


def gate(symbol: str, source: str, meaning: str) -> Any:
    """One mechanism that experiments silence or scale."""
    return parameter(symbol, 1.0, "1", FIXED, 0.0, 10.0, "switch", source, meaning)


@group
class Gates:
    """How much there is of each mechanism: 1 leaves it as it is, 0 silences it (`gates.py`)."""

    ampa: Leaf = gate("uAMPA", "Maeng2008", "AMPA receptors: what the surge lets through")
    l_type_calcium: Leaf = gate("uCav", "Lepack2015", "L-type calcium channels: calcium's effect on release and translation of BDNF")
    trkb: Leaf = gate("uTrk", "Lepack2015", "TrkB receptors")
    mtorc1: Leaf = gate("uMt", "Li2010", "mTORC1")
    autoinhibition: Leaf = gate("uMu", "Schobel2013", "mGluR2/3 receptors; an agonist raises it to `glutamate.autoinhibition_at_full_agonist`")
    interneuron_nmda: Leaf = gate("uI", "Gerhard2020", "what block of interneuron NMDA receptors does: disinhibition")
    pyramidal_nmda: Leaf = gate("uP", "Autry2011", "what block of pyramidal NMDA receptors does: activity and eEF2")
    disinhibition: Leaf = gate("uD", "Homayoun2007", "gain from lost inhibition to pyramidal firing: benzodiazepines and lamotrigine act here")
    presynaptic: Leaf = gate("uPre", "Lazarevic2021", "direct effect of ketamine on release")
    hydroxynorketamine: Leaf = gate("uH", "Zanos2016", "effects of hydroxynorketamine")
    habenula: Leaf = gate("uL", "Ma2023", "silencing of the lateral habenula")
    opioid: Leaf = gate("uOp", "Bonaventura2021", "opioid receptors: the share of potentiation that needs them")
    inflammation: Leaf = gate("uIN", "Park2017", "effect of ketamine on inflammation")
    network_depression: Leaf = gate("uAN", "Moghaddam1997", "depression of the network by high concentrations")
    default_mode: Leaf = gate("uDm", "Evans2018", "what new synapses and potentiation do to the default mode network")
    learning_window: Leaf = gate("uWn", "assumed", "what the plasticity window adds to learning in psychotherapy")
    expectancy: Leaf = gate("uX", "Daly2018", "expectancy and placebo response")


@group
class Agents:
    """Concomitant agents (`agents.py`): one value for all patients, as for all that is given."""

    perampanel_half_life: Leaf = parameter("thPer", 105.0, "h", FIXED, 25.0, 130.0, "measured", "Patsalos2015", "loss of perampanel; 25 h with carbamazepine")
    perampanel_block: Leaf = parameter("bPer", 0.2, "1", FIXED, 0.05, 0.5, "assumed", "assumed", "share of AMPA receptors that 8 mg of perampanel blocks")
    sirolimus_half_life: Leaf = parameter("thSir", 62.0, "h", FIXED, 45.0, 80.0, "assumed", "assumed", "loss of sirolimus; the value is unverified")
    sirolimus_block: Leaf = parameter("bSir", 0.3, "1", FIXED, 0.0, 0.9, "assumed", "assumed", "share of mTORC1 in the brain that sirolimus blocks; it enters poorly, and a single dose blocks little")
    mglur23_agonist_half_life: Leaf = parameter("thAg", 2.0, "h", FIXED, 1.0, 4.0, "assumed", "assumed", "loss of an mGluR2/3 agonist; the value is unverified")
    dihydropyridine_half_life: Leaf = parameter("thCa", 2.0, "h", FIXED, 1.0, 9.0, "assumed", "assumed", "loss of nifedipine or nimodipine; the value is unverified")
    dihydropyridine_block: Leaf = parameter("bCa", 0.3, "1", FIXED, 0.05, 0.8, "assumed", "Lepack2015", "share of L-type calcium channels that a usual dose blocks; complete in the rodent, unknown in people")
    midazolam_half_life: Leaf = parameter("thMz", 2.5, "h", FIXED, 2.0, 50.0, "assumed", "assumed", "loss of midazolam, as an agent and as a comparator; the value is unverified")
    midazolam_reference_dose: Leaf = parameter("DMz", 0.045, "mg/kg", FIXED, None, None, "assumed", "Murrough2013a", "dose of midazolam as a comparator; that its acute effects are stated for this dose is assumed")
    lorazepam_half_life: Leaf = parameter("thLz", 12.0, "h", FIXED, 2.0, 50.0, "assumed", "assumed", "loss of lorazepam; the value is unverified")
    diazepam_half_life: Leaf = parameter("thDz", 30.0, "h", FIXED, 20.0, 50.0, "assumed", "assumed", "loss of diazepam; the value is unverified")
    benzodiazepine_maximum: Leaf = parameter("EBz", 0.6, "1", FIXED, 0.2, 0.9, "assumed", "Andrashko2020", "largest loss of the gain of disinhibition under benzodiazepines")
    benzodiazepine_half_dose: Leaf = parameter("DBz", 10.0, "mg", FIXED, 4.0, 20.0, "assumed", "Andrashko2020", "diazepam-equivalents of half that loss")
    lamotrigine_half_life: Leaf = parameter("thLtg", 29.0, "h", FIXED, 14.0, 60.0, "assumed", "assumed", "loss of lamotrigine; 14 h with inducers, 60 h with valproate; the values are unverified")
    lamotrigine_brake: Leaf = parameter("bLtg", 0.1, "1", FIXED, 0.0, 0.4, "assumed", "Mathew2010", "brake on release by 300 mg of lamotrigine, which had no effect on response: keep it small")
    naltrexone_half_life: Leaf = parameter("thNtx", 48.0, "h", FIXED, 12.0, 96.0, "assumed", "assumed", "loss of the block by naltrexone; the value is unverified")
    naltrexone_block: Leaf = parameter("bNtx", 0.0, "1", FIXED, 0.0, 1.0, "assumed", "assumed", "share of opioid receptors that naltrexone blocks; off, what it does to mood is a hypothesis")


@group
class Smoothing:
    """Widths of smooth thresholds and switches."""

    rectifier_width: Leaf = parameter("e", 0.001, "1", FIXED, 1e-4, 0.03, "assumed", "assumed", "width of smooth rectifiers")
    hill_floor: Leaf = parameter("eH", 1e-12, "1", FIXED, None, None, "assumed", "assumed", "floor that keeps Hill functions smooth at zero")
    restoration_width: Leaf = parameter("er", 1e-3, "1", FIXED, None, None, "assumed", "assumed", "width of the smooth absolute value of restored synapses")


def design(
    fast: float,
    session: float,
    course: float,
    antidepressant: float,
    status: str,
    source: str,
) -> Any:
    """One class of trial: its four levels and where they come from."""
    return dataclasses.field(
        default_factory=lambda: TrialDesign(fast, session, course, antidepressant),
        metadata={"status": status, "source": source},
    )


@group
class Designs:
    """Expectancy by trial design; an arm names the one it belongs to."""

    none: TrialDesign = design(0.0, 0.0, 0.0, 0.0, "assumed", "assumed")
    saline_crossover: TrialDesign = design(0.0, 0.0, 0.0, 0.0, "assumed", "NimhCrossover")
    midazolam_parallel: TrialDesign = design(0.366, 0.201, 0.0756, 0.0, "fitted", "Murrough2013a")
    pooled: TrialDesign = design(0.0436, 0.235, 0.188, 0.0, "fitted", "Han2016")
    open_label: TrialDesign = design(0.836, 0.295, 0.0, 0.0, "fitted", "Murrough2013b")
    nasal_placebo: TrialDesign = design(0.258, 0.123, 0.111, 0.0, "fitted", "Daly2018")
    repeated_saline: TrialDesign = design(0.1, 0.148, 0.101, 0.0, "fitted", "Singh2016")
    nasal_placebo_new_antidepressant: TrialDesign = design(0.304, 0.0926, 0.509, 0.0254, "fitted", "TransformTrials")
    oral_placebo: TrialDesign = design(0.0, 0.0, 0.473, 0.0, "fitted", "Posternak2005")
    ssri: TrialDesign = design(0.0, 0.0, 0.473, 0.135, "fitted", "Taylor2006")


@group
class Parameters:
    """All parameters of one patient (scalars) or of a population (leaves of shape (patient,))."""

    pharmacokinetics: Pharmacokinetics = dataclasses.field(default_factory=Pharmacokinetics)
    metabolites: Metabolites = dataclasses.field(default_factory=Metabolites)
    enantiomers: Enantiomers = dataclasses.field(default_factory=Enantiomers)
    absorption: Absorption = dataclasses.field(default_factory=Absorption)
    depots: Depots = dataclasses.field(default_factory=Depots)
    interactions: Interactions = dataclasses.field(default_factory=Interactions)
    demography: Demography = dataclasses.field(default_factory=Demography)
    brain: Brain = dataclasses.field(default_factory=Brain)
    receptors: Receptors = dataclasses.field(default_factory=Receptors)
    circuit: Circuit = dataclasses.field(default_factory=Circuit)
    glutamate: Glutamate = dataclasses.field(default_factory=Glutamate)
    bdnf: Bdnf = dataclasses.field(default_factory=Bdnf)
    mtorc1: Mtorc1 = dataclasses.field(default_factory=Mtorc1)
    potentiation: Potentiation = dataclasses.field(default_factory=Potentiation)
    synapses: Synapses = dataclasses.field(default_factory=Synapses)
    inflammation: Inflammation = dataclasses.field(default_factory=Inflammation)
    network: Network = dataclasses.field(default_factory=Network)
    consolidation: Consolidation = dataclasses.field(default_factory=Consolidation)
    score: Score = dataclasses.field(default_factory=Score)
    expectancy: Expectancy = dataclasses.field(default_factory=Expectancy)
    designs: Designs = dataclasses.field(default_factory=Designs)
    dissociation: Dissociation = dataclasses.field(default_factory=Dissociation)
    analgesia: Analgesia = dataclasses.field(default_factory=Analgesia)
    arousal: Arousal = dataclasses.field(default_factory=Arousal)
    circulation: Circulation = dataclasses.field(default_factory=Circulation)
    anxiety: Anxiety = dataclasses.field(default_factory=Anxiety)
    connectivity: Connectivity = dataclasses.field(default_factory=Connectivity)
    markers: Markers = dataclasses.field(default_factory=Markers)
    window: PlasticityWindow = dataclasses.field(default_factory=PlasticityWindow)
    psychotherapy: Psychotherapy = dataclasses.field(default_factory=Psychotherapy)
    hippocampus: Hippocampus = dataclasses.field(default_factory=Hippocampus)
    rating: Rating = dataclasses.field(default_factory=Rating)
    measurement: Measurement = dataclasses.field(default_factory=Measurement)
    dropout: Dropout = dataclasses.field(default_factory=Dropout)
    gates: Gates = dataclasses.field(default_factory=Gates)
    agents: Agents = dataclasses.field(default_factory=Agents)
    smoothing: Smoothing = dataclasses.field(default_factory=Smoothing)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table, as `ketjax parameters` prints it."""

    path: str
    symbol: str
    value: float
    unit: str
    law: Law
    low: float | None
    high: float | None
    status: str
    source: str
    meaning: str


@cache
def rows() -> tuple[Row, ...]:
    """The whole table, in the order of the biology."""
    return tuple(_rows(Parameters(), "", {}))


def _rows(node: Any, prefix: str, inherited: Mapping[str, Any]) -> Iterator[Row]:
    """Rows below `node`; a field that holds a group passes its own metadata down."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            yield from _rows(value, f"{prefix}{field.name}.", field.metadata)
        else:
            yield Row(f"{prefix}{field.name}", value=value, **{**field.metadata, **inherited})


def replace(parameters: Parameters, values: Mapping[str, Leaf]) -> Parameters:
    """Parameters with the leaves at the given dotted paths replaced.

    Raises:
        KeyError: A path is not in the table.
    """
    nested: dict[str, dict[str, Leaf]] = {}
    for path, value in values.items():
        name, _, rest = path.partition(".")
        nested.setdefault(name, {})[rest] = value
    return _replace(parameters, nested)


def _replace(node: Any, nested: Mapping[str, Mapping[str, Leaf]]) -> Any:
    changes = {}
    for name, below in nested.items():
        if not hasattr(node, name):
            raise KeyError(f"no parameter or group named {name!r} in {type(node).__name__}")
        child = getattr(node, name)
        changes[name] = replace(child, below) if dataclasses.is_dataclass(child) else below[""]
    return dataclasses.replace(node, **changes)


def leaf(parameters: Parameters, path: str) -> Leaf:
    """The leaf at a dotted path."""
    node: Any = parameters
    for name in path.split("."):
        node = getattr(node, name)
    return node
