"""Named settings: the paths of the parameter table that differ from the depressed adult.

The rat gets the two-compartment racemic kinetics of its experiments, at 0.3 kg. Its liver is made
transparent (flow ten times the clearance, hardly any volume), so that systemic clearance, not
first pass, is what the table states; both enantiomers behave alike.

The hippocampal region is CA1 and subiculum in the table. As dentate gyrus and entorhinal cortex it
hardly responds (Schobel2013: direction; the factors are assumed) and feeds neither network nor
score.
"""

_RAT_WEIGHT = 0.3  # kg
_RAT_CLEARANCE, _RAT_FLOW = 5.0, 50.0  # L/h/kg

OVERRIDES: dict[str, dict[str, float]] = {
    "human": {},
    "rat": {
        "demography.weight": _RAT_WEIGHT,
        "demography.age": 0.25,
        "demography.female": 0.0,
        "demography.cyp2b6_variants": -1.0,
        "demography.met_alleles": -1.0,
        "pharmacokinetics.reference_weight": _RAT_WEIGHT,
        "pharmacokinetics.central_volume": 2.2 * _RAT_WEIGHT,
        "pharmacokinetics.fast_peripheral_volume": 2.0 * _RAT_WEIGHT,
        "pharmacokinetics.slow_peripheral_volume": 1.0 * _RAT_WEIGHT,
        "pharmacokinetics.fast_peripheral_flow": 3.0 * _RAT_WEIGHT,
        "pharmacokinetics.slow_peripheral_flow": 0.0,
        "pharmacokinetics.hepatic_flow": _RAT_FLOW * _RAT_WEIGHT,
        "pharmacokinetics.hepatic_intrinsic_clearance": _RAT_WEIGHT
        * _RAT_CLEARANCE
        * _RAT_FLOW
        / (_RAT_FLOW - _RAT_CLEARANCE),
        "pharmacokinetics.hepatic_volume": 0.01 * _RAT_WEIGHT,
        "pharmacokinetics.hepatic_flow_loss_per_year": 0.0,
        "metabolites.norketamine_central_volume": 2.5 * _RAT_WEIGHT,
        "metabolites.norketamine_peripheral_volume": 1.0 * _RAT_WEIGHT,
        "metabolites.norketamine_intercompartmental_flow": 0.0,
        "metabolites.norketamine_clearance": 0.55 * 2.5 * _RAT_WEIGHT,
        "metabolites.fraction_to_hydroxynorketamine": 0.5,
        "metabolites.hydroxynorketamine_central_volume": 2.0 * _RAT_WEIGHT,
        "metabolites.hydroxynorketamine_peripheral_volume": 1.0 * _RAT_WEIGHT,
        "metabolites.hydroxynorketamine_intercompartmental_flow": 0.0,
        "metabolites.hydroxynorketamine_clearance": 0.15 * 2.0 * _RAT_WEIGHT,
        "enantiomers.intrinsic_clearance_ratio": 1.0,
        "enantiomers.ketamine_volume_ratio": 1.0,
        "enantiomers.norketamine_clearance_ratio": 1.0,
        "enantiomers.norketamine_volume_ratio": 1.0,
        "enantiomers.hydroxynorketamine_clearance_ratio": 1.0,
        "brain.fraction_unbound_plasma": 0.56,
        "brain.unbound_brain_plasma_ratio": 0.45 * 0.7 / 0.56,
        "brain.brain_equilibration_rate": 20.0,
        "inflammation.baseline": 1.0,
        "synapses.stress": 0.0,
    },
    "ticlopidine": {
        "interactions.intrinsic_clearance_factor": 0.62,
        "interactions.gut_wall_survival_factor": 1.35,
    },
    "st_johns_wort": {
        "interactions.intrinsic_clearance_factor": 1.1,
        "interactions.gut_wall_survival_factor": 0.48,
        "interactions.norketamine_clearance_factor": 1.1,
    },
    "rifampicin": {
        "interactions.intrinsic_clearance_factor": 1.35,
        "interactions.gut_wall_survival_factor": 0.2,
        "interactions.norketamine_clearance_factor": 2.0,
    },
    "grapefruit": {
        "interactions.intrinsic_clearance_factor": 0.75,
        "interactions.gut_wall_survival_factor": 1.88,
    },
    "moderate_hepatic_impairment": {
        "interactions.intrinsic_clearance_factor": 0.4,
        "interactions.norketamine_clearance_factor": 0.6,
        "interactions.hepatic_flow_factor": 0.8,
    },
    "ca1_subiculum": {},
    "dentate_entorhinal": {
        "hippocampus.disinhibition_factor": 0.1,
        "hippocampus.release_factor": 1.0,
        "hippocampus.nascent_loss_factor": 1.5,
        "hippocampus.stabilisation_factor": 0.8,
        "hippocampus.presynaptic_factor": 0.0,
        "hippocampus.prefrontal_weight": 1.0,
        "hippocampus.drive_to_prefrontal": 0.0,
    },
}
SPECIES = ("human", "rat")
HIPPOCAMPAL_PARTS = ("ca1_subiculum", "dentate_entorhinal")
INTERACTIONS = tuple(name for name in OVERRIDES if name not in SPECIES + HIPPOCAMPAL_PARTS)
