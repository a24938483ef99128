"""What plasma offers to the brain: the drug signals that all regions share."""

import dataclasses

from ketjax.model import pharmacokinetics as pk
from ketjax.model import receptors, signalling
from ketjax.model.parameters import Leaf, Parameters
from ketjax.model.states import State


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
