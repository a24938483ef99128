"""The cascade, one call a line, in the order of the biology.

`rhs` is the model: dose -> plasma -> brain -> receptors -> interneurons -> pyramidal cells ->
glutamate -> AMPA and calcium -> BDNF -> TrkB -> mTORC1 -> proteins -> synapses -> network -> score.
It is autonomous between events: everything from outside stands in `Inputs`. `resting_state` is the
exact drug-free steady state of the same equations.
"""

import dataclasses

from ketjax.model import (
    disinhibition,
    inflammation,
    mood,
    network,
    psychotherapy,
    receptors,
    signalling,
    synaptogenesis,
)
from ketjax.model import glutamate as glu
from ketjax.model import pharmacokinetics as pk
from ketjax.model.inputs import DrugInput, Inputs
from ketjax.model.parameters import Leaf, Parameters
from ketjax.model.states import EnantiomerState, RegionState, State


def rhs(time: Leaf, state: State, p: Parameters, inputs: Inputs) -> State:
    """Rates of change of all states.

    Args:
        time: Unused: between events the cascade is autonomous [h].
        state: States; leaves scalar or (patient,).
        p: The patient's own parameters (`covariates.individual`).
        inputs: What acts from outside until the next event.

    Returns:
        Rates of change, a `State`, in each state's unit per hour.
    """
    del time
    s, r = state.s_ketamine, state.r_ketamine
    s_kinetics = pk.s_disposition(p)
    r_kinetics = pk.r_disposition(s_kinetics, p.enantiomers)
    s_inflow = pk.delivered(inputs.s_ketamine, p.absorption, p.depots)
    r_inflow = pk.delivered(inputs.r_ketamine, p.absorption, p.depots)
    plasma = pk.concentrations(s, r, s_kinetics, r_kinetics)
    drug = drug_signals(state, plasma, p)
    practice = p.psychotherapy.practice_gain * state.practice

    prefrontal, hippocampus = prefrontal_parameters(p), hippocampal_parameters(p)
    drive = 1 + p.hippocampus.drive_to_prefrontal * (state.hippocampus.pyramidal_rate - 1)
    cortex = region_rates(state.prefrontal, drive, drug, state.inflammation, practice, prefrontal, inputs)
    hippocampal = region_rates(state.hippocampus, 1.0, drug, state.inflammation, practice, hippocampus, inputs)

    restored, potentiation = shared_plasticity(state, prefrontal, hippocampus)
    gain = mood.plasticity_gain(
        potentiation,
        synaptogenesis.saturated(restored, p.smoothing),
        state.network_excess,
        state.habenula,
        state.consolidation,
        p.score,
    )
    mood_drive = gain + state.fast_expectancy + state.session_expectancy + state.antidepressant
    window = psychotherapy.plasticity_window(
        state.prefrontal, resting_synapses(prefrontal)[0], p.window, p.smoothing
    )
    cadss = mood.dissociation(state.dissociation_site, state.dissociation_tolerance, p.dissociation)
    return State(
        s_ketamine=pk.enantiomer_rates(s, s_inflow, s_kinetics, p.absorption, p.depots),
        r_ketamine=pk.enantiomer_rates(r, r_inflow, r_kinetics, p.absorption, p.depots),
        prefrontal=cortex,
        hippocampus=hippocampal,
        brain_ketamine=pk.brain_rate(state.brain_ketamine, drug.effective_plasma, p.brain),
        dissociation_site=mood.effect_site_rate(
            state.dissociation_site, s_equivalents(plasma, p), p.dissociation
        ),
        dissociation_tolerance=mood.tolerance_rate(
            state.dissociation_tolerance, cadss, p.dissociation
        ),
        inflammation=inflammation.inflammation_rate(
            state.inflammation, drug.brain, drug.hydroxynorketamine, p.inflammation
        ),
        habenula=network.habenula_rate(
            state.habenula, drug.blocker, p.receptors.kd_habenula, p.network
        ),
        network_excess=network.network_rate(
            state.network_excess, restored, potentiation, p.network
        ),
        consolidation=mood.consolidation_rate(
            state.consolidation, gain, potentiation, practice, p.consolidation, p.smoothing
        ),
        fast_expectancy=mood.fast_expectancy_rate(
            state.fast_expectancy, inputs.session, inputs.design, p.expectancy
        ),
        session_expectancy=mood.session_expectancy_rate(
            state.session_expectancy, inputs.session, inputs.design, p.expectancy
        ),
        antidepressant=mood.antidepressant_rate(
            state.antidepressant, inputs.design, p.expectancy
        ),
        practice=psychotherapy.practice_rate(state.practice, inputs.psychotherapy, p.psychotherapy),
        labile_learning=psychotherapy.labile_learning_rate(
            state.labile_learning,
            inputs.psychotherapy,
            window,
            state.prefrontal.interneuron_block,
            p.psychotherapy,
        ),
        consolidated_learning=psychotherapy.consolidated_learning_rate(
            state.consolidated_learning, state.labile_learning, p.psychotherapy
        ),
        score=mood.score_rate(
            state.score,
            mood_drive,
            psychotherapy.untouched_share(
                state.labile_learning, state.consolidated_learning, p.psychotherapy
            ),
            p.score,
            p.smoothing,
        ),
    )


@dataclasses.dataclass(frozen=True)
class DrugSignals:
    """What the brain sees of the drug [uM], and the effect of hydroxynorketamine [1]."""

    effective_plasma: Leaf
    brain: Leaf
    blocker: Leaf
    hydroxynorketamine: Leaf


def drug_signals(state: State, plasma: pk.Concentrations, p: Parameters) -> DrugSignals:
    """Drug signals that all regions share.

    Equation:
        Ceff, NKeff: racemate equivalents;  x = Ke + fu Kpuu NKeff/rNK;  HN = HNK/(HNK + KH)

    Args:
        state: Patient, unbound brain ketamine [uM].
        plasma: Plasma concentrations [uM].
        p: Parameters.

    Returns:
        Signals [uM, 1].

    Source:
        Ebert1997, Salat2015: potencies.
    """
    ratio = p.enantiomers
    ketamine = pk.racemate_equivalents(
        plasma.s_ketamine, plasma.r_ketamine, ratio.ketamine_potency_ratio
    )
    norketamine = pk.racemate_equivalents(
        plasma.s_norketamine, plasma.r_norketamine, ratio.norketamine_potency_ratio
    )
    brain = state.brain_ketamine
    return DrugSignals(
        effective_plasma=ketamine,
        brain=brain,
        blocker=receptors.active_blocker(
            brain,
            pk.unbound_in_brain(norketamine, p.brain),
            p.receptors.norketamine_affinity_ratio,
        ),
        hydroxynorketamine=signalling.hydroxynorketamine_effect(
            plasma.s_hydroxynorketamine + plasma.r_hydroxynorketamine, p.potentiation
        ),
    )


def s_equivalents(plasma: pk.Concentrations, p: Parameters) -> Leaf:
    """Plasma ketamine in S-equivalents of dissociation.

    Equation:
        (C_S + rhoD C_R) MK

    Args:
        plasma: Plasma concentrations [uM].
        p: Parameters, rhoD [1], MK [g/mol].

    Returns:
        S-equivalents [ng/mL].

    Source:
        Ebert1997: affinity; the value is assumed.
    """
    micromolar = plasma.s_ketamine + p.dissociation.r_potency * plasma.r_ketamine
    return micromolar * p.metabolites.ketamine_molar_mass


def region_rates(
    a: RegionState,
    outside_drive: Leaf,
    drug: DrugSignals,
    neuroinflammation: Leaf,
    practice: Leaf,
    p: Parameters,
    inputs: Inputs,
) -> RegionState:
    """Rates of change of one brain region.

    Args:
        a: States of the region.
        outside_drive: Factor on pyramidal activity from the other region [1].
        drug: Drug signals.
        neuroinflammation: IN [1].
        practice: Effect of practice on nascent synapses [1].
        p: Parameters of this region.
        inputs: Blocks of AMPA receptors, TrkB and mTORC1 [1].

    Returns:
        Rates of change [1/h].
    """
    g = p.glutamate
    released = glu.release(
        a.pyramidal_rate * outside_drive, drug.brain, a.vesicle_pool, a.autoinhibition, g
    )
    surge = glu.surge(a.glutamate, resting_glutamate(p), p.smoothing)
    drive = a.trkb * a.plasticity_capacity
    return RegionState(
        interneuron_block=receptors.block_rate(
            a.interneuron_block, drug.blocker, p.receptors.kd_interneuron, p.receptors.koff_interneuron
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
            p.circuit,
            p.smoothing,
        ),
        vesicle_pool=glu.vesicle_rate(a.vesicle_pool, released, g),
        glutamate=glu.glutamate_rate(a.glutamate, released, a.uptake, g),
        dialysate=glu.dialysate_rate(a.dialysate, a.glutamate, g),
        autoinhibition=glu.autoinhibition_rate(a.autoinhibition, surge, g),
        uptake=glu.uptake_rate(a.uptake, neuroinflammation, g),
        calcium=signalling.calcium_rate(a.calcium, surge, inputs.ampa_block, p.bdnf),
        phospho_eef2=signalling.eef2_rate(a.phospho_eef2, a.pyramidal_block, p.bdnf),
        bdnf_protein=signalling.bdnf_protein_rate(
            a.bdnf_protein, a.phospho_eef2, a.calcium, neuroinflammation, p.bdnf
        ),
        bdnf=signalling.bdnf_rate(a.bdnf, a.bdnf_protein, a.calcium, a.phospho_eef2, p.bdnf),
        trkb=signalling.trkb_rate(a.trkb, a.bdnf, inputs.trkb_block, p.mtorc1),
        mtorc1=signalling.mtorc1_rate(a.mtorc1, drive, a.s6k, inputs.mtor_block, p.mtorc1),
        s6k=signalling.s6k_rate(a.s6k, a.mtorc1, p.mtorc1),
        plasticity_capacity=signalling.capacity_rate(a.plasticity_capacity, drive, p.mtorc1),
        transit_protein=synaptogenesis.transit_protein_rate(a.transit_protein, a.mtorc1, p.synapses),
        synaptic_protein=synaptogenesis.synaptic_protein_rate(
            a.synaptic_protein, a.transit_protein, p.synapses
        ),
        potentiation=signalling.potentiation_rate(
            a.potentiation, drive, drug.hydroxynorketamine, inputs.mtor_block, p.potentiation
        ),
        nascent_synapses=synaptogenesis.nascent_rate(
            a.nascent_synapses, a.stable_synapses, a.synaptic_protein, practice, p.synapses
        ),
        stable_synapses=synaptogenesis.stable_rate(
            a.nascent_synapses, a.stable_synapses, neuroinflammation, practice, p.synapses
        ),
    )


def shared_plasticity(
    state: State, prefrontal: Parameters, hippocampus: Parameters
) -> tuple[Leaf, Leaf]:
    """Restored synapses and potentiation as mood and network see them, over both regions.

    Equation:
        rbar = wreg r_PFC + (1 - wreg) r_HC;  Pbar likewise

    Args:
        state: Patient.
        prefrontal: Parameters of prefrontal cortex, wreg [1].
        hippocampus: Parameters of the hippocampus.

    Returns:
        rbar [1] and Pbar [1].

    Source:
        Fuchikami2015: prefrontal cortex is needed and suffices.
    """
    weight = prefrontal.hippocampus.prefrontal_weight
    cortical = restored(state.prefrontal, prefrontal)
    hippocampal = restored(state.hippocampus, hippocampus)
    return (
        weight * cortical + (1 - weight) * hippocampal,
        weight * state.prefrontal.potentiation + (1 - weight) * state.hippocampus.potentiation,
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


def resting_state(p: Parameters) -> State:
    """Exact drug-free steady state, outside any trial.

    Equation:
        V = V0; T = 1/(1 + etaT (IN0 - 1)); G = Gd = 1/T; Bp = 1 - fIN (IN0 - 1); I = E = pE = 1;
        Q = L = D = 1; IN = IN0; S = S0; Nn, Ns as in `synaptogenesis.resting_synapses`; others 0

    Args:
        p: The patient's own parameters.

    Returns:
        State; leaves scalar or (patient,).
    """
    return State(
        s_ketamine=EnantiomerState(*[0.0] * len(dataclasses.fields(EnantiomerState))),
        r_ketamine=EnantiomerState(*[0.0] * len(dataclasses.fields(EnantiomerState))),
        prefrontal=resting_region(prefrontal_parameters(p)),
        hippocampus=resting_region(hippocampal_parameters(p)),
        brain_ketamine=0.0,
        dissociation_site=0.0,
        dissociation_tolerance=0.0,
        inflammation=p.inflammation.baseline,
        habenula=1.0,
        network_excess=1.0,
        consolidation=0.0,
        fast_expectancy=0.0,
        session_expectancy=0.0,
        antidepressant=0.0,
        practice=0.0,
        labile_learning=0.0,
        consolidated_learning=0.0,
        score=p.score.baseline,
    )


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


def absorb(state: State, p: Parameters, s_dose: DrugInput, r_dose: DrugInput) -> State:
    """State just after impulse doses.

    Args:
        state: State just before.
        p: The patient's own parameters.
        s_dose: Amounts of the S-enantiomer by channel [umol].
        r_dose: Amounts of the R-enantiomer by channel [umol].

    Returns:
        State with the depots and the central compartment raised.
    """
    return dataclasses.replace(
        state,
        s_ketamine=_raised(state.s_ketamine, pk.delivered(s_dose, p.absorption, p.depots)),
        r_ketamine=_raised(state.r_ketamine, pk.delivered(r_dose, p.absorption, p.depots)),
    )


def _raised(a: EnantiomerState, amounts: dict[str, Leaf]) -> EnantiomerState:
    return dataclasses.replace(
        a, **{name: getattr(a, name) + amount for name, amount in amounts.items()}
    )
