"""What is seen beside the cascade, wired: pain, circulation, anxiety, rumination, markers.

Nothing here acts on the cascade. Mechanisms stand in `arousal`, `circulation`, `anxiety`, `network`
and `markers`.
"""

from ketjax.model import anxiety, arousal, circulation, comparator, markers, network, regions
from ketjax.model import pharmacokinetics as pk
from ketjax.model.parameters import Leaf, Parameters
from ketjax.model.smooth import hill
from ketjax.model.states import OutcomeState, State


def outcome_rates(
    state: State, plasma: pk.Concentrations, midazolam: Leaf, p: Parameters
) -> OutcomeState:
    """Rates of change.

    Args:
        state: The whole patient.
        plasma: Plasma concentrations [uM].
        midazolam: What is infused of it [mg/kg/h].
        p: The patient's own parameters.

    Returns:
        Rates of change, in each state's unit per hour.
    """
    a, d = state.outcomes, p.dissociation
    mass = p.metabolites.ketamine_molar_mass
    s_ketamine, r_ketamine = plasma.s_ketamine * mass, plasma.r_ketamine * mass
    norketamine = plasma.s_norketamine * p.metabolites.norketamine_molar_mass
    pressed = site_of(state, p.circulation.r_potency, p)
    calmed = hill(
        state.dissociation_site, p.anxiety.half_concentration, p.anxiety.hill_exponent, p.smoothing
    )
    glutamate = state.prefrontal.glutamate / regions.resting_glutamate(p)
    return OutcomeState(
        r_site=arousal.effect_site_rate(a.r_site, r_ketamine, d.equilibration_half_life),
        pain_site=arousal.effect_site_rate(
            a.pain_site,
            s_ketamine + p.analgesia.r_potency * r_ketamine,
            p.analgesia.equilibration_half_life,
        ),
        pain_norketamine=arousal.effect_site_rate(
            a.pain_norketamine, norketamine, p.analgesia.equilibration_half_life
        ),
        circulation_norketamine=arousal.effect_site_rate(
            a.circulation_norketamine, norketamine, d.equilibration_half_life
        ),
        pressure=circulation.pressure_rate(
            a.pressure,
            a.baroreflex,
            pressed,
            a.circulation_norketamine,
            p.demography.age,
            p.circulation,
        ),
        baroreflex=circulation.baroreflex_rate(a.baroreflex, a.pressure, p.circulation),
        heart_rate=circulation.heart_rate_rate(
            a.heart_rate,
            a.pressure,
            a.baroreflex,
            pressed,
            a.circulation_norketamine,
            p.circulation,
        ),
        acute_anxiolysis=anxiety.acute_rate(a.acute_anxiolysis, calmed, p.anxiety),
        lasting_anxiolysis=anxiety.lasting_rate(
            a.lasting_anxiolysis, a.acute_anxiolysis, p.anxiety
        ),
        rumination=network.rumination_rate(
            a.rumination, state.score, p.score.baseline, p.connectivity
        ),
        early_il6=markers.early_il6_rate(a.early_il6, state.brain_ketamine, p.markers),
        acute_il6=markers.acute_il6_rate(a.acute_il6, a.early_il6, p.markers),
        plasma_bdnf=markers.plasma_bdnf_rate(a.plasma_bdnf, state.prefrontal.bdnf, p.markers),
        midazolam=comparator.midazolam_rate(a.midazolam, midazolam, p.agents),
        glutamine=markers.glutamine_rate(a.glutamine, glutamate, p.markers),
    )


def resting_outcomes(p: Parameters) -> OutcomeState:
    """Drug-free steady state."""
    return OutcomeState(
        r_site=0.0,
        pain_site=0.0,
        pain_norketamine=0.0,
        circulation_norketamine=0.0,
        pressure=0.0,
        baroreflex=0.0,
        heart_rate=0.0,
        acute_anxiolysis=0.0,
        lasting_anxiolysis=0.0,
        rumination=1.0,
        early_il6=0.0,
        acute_il6=0.0,
        plasma_bdnf=p.markers.plasma_bdnf_baseline,
        midazolam=0.0,
        glutamine=0.0,
    )


def site_of(state: State, r_potency: Leaf, p: Parameters) -> Leaf:
    """Effect site of an acute effect, S-equivalents.

    Equation:
        Ce(rho) = CeD + (rho - rhoD) CeR

    Args:
        state: The whole patient.
        r_potency: rho, potency of R over S for the effect [1].
        p: Parameters, rhoD [1].

    Returns:
        Ce(rho) [ng/mL].

    Source:
        Olofsen2012: one half-life for all acute effects but pain.
    """
    return arousal.s_equivalents_at(
        state.dissociation_site, state.outcomes.r_site, p.dissociation.r_potency, r_potency
    )
