"""The cascade, one call a line, in the order of the biology.

`rhs` is the model: dose -> plasma -> brain -> receptors -> interneurons -> pyramidal cells ->
glutamate -> AMPA and calcium -> BDNF -> TrkB -> mTORC1 -> proteins -> synapses -> network -> score.
It is autonomous between events: everything from outside stands in `Inputs`. `resting_state` is the
exact drug-free steady state of the same equations.
"""

import dataclasses

from ketjax.model import (
    arousal,
    comparator,
    gates,
    inflammation,
    mood,
    network,
    outcomes,
    psychotherapy,
)
from ketjax.model import pharmacokinetics as pk
from ketjax.model.exposure import drug_signals, s_equivalents
from ketjax.model.inputs import DrugInput, Inputs
from ketjax.model.parameters import Leaf, Parameters
from ketjax.model.plasticity import drug_drive, expected_drive, shared_plasticity
from ketjax.model.regions import (
    hippocampal_parameters,
    prefrontal_parameters,
    region_rates,
    resting_region,
    resting_synapses,
)
from ketjax.model.states import EnantiomerState, State


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
    level = gates.gate_levels(p.gates, inputs.lost)
    p = gates.gated_parameters(p, inputs.lost)
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
    cortex = region_rates(
        state.prefrontal, drive, drug, state.inflammation, practice, prefrontal, level
    )
    hippocampal = region_rates(
        state.hippocampus, 1.0, drug, state.inflammation, practice, hippocampus, level
    )

    shared = shared_plasticity(state, p, prefrontal, hippocampus)
    relieved = mood.relief(drug_drive(shared, p) + expected_drive(state), p.score, p.smoothing)
    window = psychotherapy.plasticity_window(
        state.prefrontal, resting_synapses(prefrontal)[0], p.window, p.smoothing
    )
    cadss = mood.dissociation(state.dissociation_site, state.dissociation_tolerance, p.dissociation)
    return State(
        s_ketamine=pk.enantiomer_rates(s, s_inflow, s_kinetics, p.absorption, p.depots),
        r_ketamine=pk.enantiomer_rates(r, r_inflow, r_kinetics, p.absorption, p.depots),
        prefrontal=cortex,
        hippocampus=hippocampal,
        outcomes=outcomes.outcome_rates(state, plasma, inputs.midazolam, p),
        brain_ketamine=pk.brain_rate(state.brain_ketamine, drug.effective_plasma, p.brain),
        dissociation_site=arousal.effect_site_rate(
            state.dissociation_site,
            s_equivalents(plasma, p),
            p.dissociation.equilibration_half_life,
        ),
        dissociation_tolerance=mood.tolerance_rate(
            state.dissociation_tolerance, cadss, p.dissociation
        ),
        inflammation=inflammation.inflammation_rate(
            state.inflammation, drug.brain, drug.hydroxynorketamine, p.inflammation
        ),
        habenula=network.habenula_rate(
            state.habenula, drug.blocker, level.habenula, p.receptors.kd_habenula, p.network
        ),
        network_excess=network.network_rate(
            state.network_excess, shared.restored, shared.potentiation, p.network
        ),
        consolidation=mood.consolidation_rate(
            state.consolidation,
            shared.gain,
            shared.potentiation,
            practice,
            p.consolidation,
            p.smoothing,
        ),
        fast_expectancy=mood.fast_expectancy_rate(
            state.fast_expectancy, inputs.session, inputs.design, p.expectancy
        ),
        session_expectancy=mood.session_expectancy_rate(
            state.session_expectancy, inputs.session, inputs.design, p.expectancy
        ),
        antidepressant=mood.antidepressant_rate(state.antidepressant, inputs.design, p.expectancy),
        slow_relief=mood.slow_relief_rate(state.slow_relief, relieved, p.score),
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
            relieved,
            state.slow_relief,
            psychotherapy.untouched_share(
                state.labile_learning, state.consolidated_learning, p.psychotherapy
            ),
            p.score,
        ),
    )


def resting_state(p: Parameters) -> State:
    """Exact drug-free steady state, outside any trial.

    Equation:
        V = V0; T = 1/(1 + etaT (IN0 - 1)); G = Gd = 1/T; Bp = 1 - fIN (IN0 - 1); I = E = pE = 1;
        Q = L = D = Rum = 1; pB = pB0; IN = IN0; S = S0;
        Nn, Ns as in `synaptogenesis.resting_synapses`; others 0

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
        outcomes=outcomes.resting_outcomes(p),
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
        slow_relief=0.0,
        practice=0.0,
        labile_learning=0.0,
        consolidated_learning=0.0,
        score=p.score.baseline,
    )


def absorb(
    state: State, p: Parameters, s_dose: DrugInput, r_dose: DrugInput, midazolam: Leaf = 0.0
) -> State:
    """State just after impulse doses.

    Args:
        state: State just before.
        p: The patient's own parameters.
        s_dose: Amounts of the S-enantiomer by channel [umol].
        r_dose: Amounts of the R-enantiomer by channel [umol].
        midazolam: Amount for each kg of body weight [mg/kg].

    Returns:
        State with the depots, the central compartment and midazolam raised.
    """
    a = state.outcomes
    raised = a.midazolam + comparator.relative_dose(midazolam, p.agents)
    return dataclasses.replace(
        state,
        s_ketamine=_raised(state.s_ketamine, pk.delivered(s_dose, p.absorption, p.depots)),
        r_ketamine=_raised(state.r_ketamine, pk.delivered(r_dose, p.absorption, p.depots)),
        outcomes=dataclasses.replace(a, midazolam=raised),
    )


def _raised(a: EnantiomerState, amounts: dict[str, Leaf]) -> EnantiomerState:
    return dataclasses.replace(
        a, **{name: getattr(a, name) + amount for name, amount in amounts.items()}
    )
