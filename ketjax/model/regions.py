"""One brain region: the mechanisms from receptor block to synapses, wired once for each region.

`prefrontal_parameters` and `hippocampal_parameters` give each region its own; the regions share the
drug, inflammation and practice. Reads the concentrations that `exposure` offers.
"""

import dataclasses

from ketjax.model import disinhibition, receptors, signalling, synaptogenesis
from ketjax.model import glutamate as glu
from ketjax.model.exposure import DrugSignals
from ketjax.model.gates import kept_by_agonist
from ketjax.model.parameters import Gates, Leaf, Parameters
from ketjax.model.states import RegionState


def region_rates(
    a: RegionState,
    outside_drive: Leaf,
    drug: DrugSignals,
    neuroinflammation: Leaf,
    practice: Leaf,
    p: Parameters,
    level: Gates,
) -> RegionState:
    """Rates of change of one brain region.

    Args:
        a: States of the region.
        outside_drive: Factor on pyramidal activity from the other region [1].
        drug: Drug signals.
        neuroinflammation: IN [1].
        practice: Effect of practice on nascent synapses [1].
        p: Parameters of this region.
        level: Levels of the gates [1].

    Returns:
        Rates of change [1/h].
    """
    g = p.glutamate
    activity = a.pyramidal_rate * outside_drive
    released = glu.release(
        activity, drug.brain, a.vesicle_pool, a.autoinhibition, g
    ) * kept_by_agonist(activity, p)
    surge = glu.surge(a.glutamate, resting_glutamate(p), p.smoothing)
    drive = a.trkb * a.plasticity_capacity
    return RegionState(
        interneuron_block=receptors.block_rate(
            a.interneuron_block,
            drug.blocker,
            p.receptors.kd_interneuron,
            p.receptors.koff_interneuron,
        ),
        pyramidal_block=receptors.block_rate(
            a.pyramidal_block, drug.blocker, p.receptors.kd_pyramidal, p.receptors.koff_pyramidal
        ),
        adaptation=disinhibition.adaptation_rate(a.adaptation, a.interneuron_block, p.circuit),
        network_depression=disinhibition.depression_rate(
            a.network_depression, drug.brain, p.circuit, p.smoothing
        ),
        interneuron_rate=disinhibition.interneuron_rate(
            a.interneuron_rate, a.pyramidal_rate, a.interneuron_block, a.adaptation, p.circuit
        ),
        pyramidal_rate=disinhibition.pyramidal_rate(
            a.pyramidal_rate,
            a.interneuron_rate,
            a.pyramidal_block,
            a.network_depression,
            level.network_depression,
            p.circuit,
            p.smoothing,
        ),
        vesicle_pool=glu.vesicle_rate(a.vesicle_pool, released, g),
        glutamate=glu.glutamate_rate(a.glutamate, released, a.uptake, g),
        dialysate=glu.dialysate_rate(a.dialysate, a.glutamate, g),
        autoinhibition=glu.autoinhibition_rate(a.autoinhibition, surge, g),
        uptake=glu.uptake_rate(a.uptake, neuroinflammation, g),
        calcium=signalling.calcium_rate(a.calcium, surge, level.ampa, p.bdnf),
        phospho_eef2=signalling.eef2_rate(a.phospho_eef2, a.pyramidal_block, p.bdnf),
        bdnf_protein=signalling.bdnf_protein_rate(
            a.bdnf_protein, a.phospho_eef2, a.calcium, neuroinflammation, p.bdnf
        ),
        bdnf=signalling.bdnf_rate(a.bdnf, a.bdnf_protein, a.calcium, a.phospho_eef2, p.bdnf),
        trkb=signalling.trkb_rate(a.trkb, a.bdnf, level.trkb, p.mtorc1),
        mtorc1=signalling.mtorc1_rate(a.mtorc1, drive, a.s6k, level.mtorc1, p.mtorc1),
        s6k=signalling.s6k_rate(a.s6k, a.mtorc1, p.mtorc1),
        plasticity_capacity=signalling.capacity_rate(a.plasticity_capacity, drive, p.mtorc1),
        transit_protein=synaptogenesis.transit_protein_rate(
            a.transit_protein, a.mtorc1, p.synapses
        ),
        synaptic_protein=synaptogenesis.synaptic_protein_rate(
            a.synaptic_protein, a.transit_protein, p.synapses
        ),
        potentiation=signalling.potentiation_rate(
            a.potentiation, drive, drug.hydroxynorketamine, level.mtorc1, p.potentiation
        ),
        nascent_synapses=synaptogenesis.nascent_rate(
            a.nascent_synapses, a.stable_synapses, a.synaptic_protein, practice, p.synapses
        ),
        stable_synapses=synaptogenesis.stable_rate(
            a.nascent_synapses, a.stable_synapses, neuroinflammation, practice, p.synapses
        ),
    )


def restored(a: RegionState, p: Parameters) -> Leaf:
    """Restored share of the synaptic deficit of one region [1]."""
    return synaptogenesis.restored_share(
        a.nascent_synapses + a.stable_synapses, resting_density(p), p.synapses
    )


def prefrontal_parameters(p: Parameters) -> Parameters:
    """Parameters of prefrontal cortex: the table's own."""
    return p


def hippocampal_parameters(p: Parameters) -> Parameters:
    """Parameters of the hippocampus (CA1 and subiculum): the table's times the region's factors.

    Source:
        Schobel2013: CA1 and subiculum respond. The factors are assumed.
    """
    factor = p.hippocampus
    return dataclasses.replace(
        p,
        circuit=dataclasses.replace(
            p.circuit, disinhibition_gain=p.circuit.disinhibition_gain * factor.disinhibition_factor
        ),
        glutamate=dataclasses.replace(
            p.glutamate,
            direct_presynaptic_gain=p.glutamate.direct_presynaptic_gain * factor.presynaptic_factor,
        ),
        bdnf=dataclasses.replace(p.bdnf, release_gain=p.bdnf.release_gain * factor.release_factor),
        synapses=dataclasses.replace(
            p.synapses,
            nascent_loss_rate=p.synapses.nascent_loss_rate * factor.nascent_loss_factor,
            stabilisation_rate=p.synapses.stabilisation_rate * factor.stabilisation_factor,
        ),
    )


def resting_glutamate(p: Parameters) -> Leaf:
    """Drug-free extracellular glutamate, G_base = 1/T at rest [1]."""
    return 1 / glu.uptake_target(p.inflammation.baseline, p.glutamate)


def resting_synapses(p: Parameters) -> tuple[Leaf, Leaf]:
    """Drug-free nascent and stable synapses of one region [1]."""
    return synaptogenesis.resting_synapses(p.inflammation.baseline, p.synapses)


def resting_density(p: Parameters) -> Leaf:
    """Drug-free synapse density of one region, N_base [1]."""
    nascent, stable = resting_synapses(p)
    return nascent + stable


def resting_region(p: Parameters) -> RegionState:
    """Drug-free steady state of one region."""
    nascent, stable = resting_synapses(p)
    return RegionState(
        interneuron_block=0.0,
        pyramidal_block=0.0,
        adaptation=0.0,
        network_depression=0.0,
        interneuron_rate=1.0,
        pyramidal_rate=1.0,
        vesicle_pool=glu.resting_vesicle_pool(p.glutamate),
        glutamate=resting_glutamate(p),
        dialysate=resting_glutamate(p),
        autoinhibition=0.0,
        uptake=glu.uptake_target(p.inflammation.baseline, p.glutamate),
        calcium=0.0,
        phospho_eef2=1.0,
        bdnf_protein=1 - p.bdnf.inflammation_effect * (p.inflammation.baseline - 1),
        bdnf=0.0,
        trkb=0.0,
        mtorc1=0.0,
        s6k=0.0,
        plasticity_capacity=1.0,
        transit_protein=0.0,
        synaptic_protein=0.0,
        potentiation=0.0,
        nascent_synapses=nascent,
        stable_synapses=stable,
    )
