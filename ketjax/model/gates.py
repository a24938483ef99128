"""Gates: mechanisms that an experiment silences or scales, for good or for a while.

A gate has a level: 1 leaves its mechanism as it is, 0 silences it, more than 1 raises it. The level
is a parameter (`gates.ampa`), so that it can differ between arms and patients and has a derivative;
events of a regimen lower or raise it over a window of time. No gate moves the drug-free resting
state, so that a gate alone does nothing.
"""

import dataclasses

import jax.numpy as jnp

from ketjax.model.parameters import Gates, Leaf, Parameters
from ketjax.model.smooth import positive_part

UNTOUCHED = Gates(*[0.0] * len(dataclasses.fields(Gates)))
"""What windows take from each gate when there are none."""


def gate_levels(own: Gates, lost: Gates) -> Gates:
    """Levels of all gates.

    Equation:
        g = u - u b

    Args:
        own: u, the patient's own levels [1].
        lost: b, what the windows now open take away; negative where they raise [1].

    Returns:
        g [1].

    Source:
        assumed: gates act independently.
    """
    return Gates(
        *(
            getattr(own, field.name) - getattr(own, field.name) * getattr(lost, field.name)
            for field in dataclasses.fields(Gates)
        )
    )


def gated_parameters(p: Parameters, lost: Gates) -> Parameters:
    """Parameters as the gates leave them, where a parameter carries the mechanism.

    Equation:
        krel, aCa -> gCav (krel, aCa);  wI -> gI wI;  wP, we -> gP (wP, we);  gIE -> gD gIE;
        epre -> gPre epre;  rhoM -> gMu rhoM;  cAg -> cAg max(0, gMu - 1)/(fAg - 1);
        epsH, aH -> gH (epsH, aH);  kP -> (1 - phiOp (1 - gOp)) kP;
        kanti -> gIN kanti;  (exg, exc) -> gX (exg, exc);  (dN, dP) -> gDm (dN, dP);
        gWin -> gWn gWin

    Args:
        p: Parameters of the patient.
        lost: What the windows now open take from the gates [1].

    Returns:
        Parameters; AMPA receptors, TrkB, mTORC1, habenula and network depression have their gates
        in their own equations.

    Source:
        Lepack2015: calcium channels. Gerhard2020: interneurons. Homayoun2007: pyramidal cells
        let go. Schobel2013: agonist. Bonaventura2021: opioid receptors; its share is off.
    """
    level = gate_levels(p.gates, lost)
    # In this form exactly zero where neither parameter nor window touches the gate.
    own = p.gates.autoinhibition
    raised = (own - 1) - own * lost.autoinhibition
    raised = jnp.where(raised > 0, raised, 0.0)  # less than the whole brake is no agonist
    agonist = raised / (p.glutamate.autoinhibition_at_full_agonist - 1)
    opioid = 1 - p.potentiation.opioid_share * (1 - level.opioid)
    return dataclasses.replace(
        p,
        circuit=dataclasses.replace(
            p.circuit,
            interneuron_nmda_dependence=p.circuit.interneuron_nmda_dependence
            * level.interneuron_nmda,
            pyramidal_nmda_dependence=p.circuit.pyramidal_nmda_dependence * level.pyramidal_nmda,
            disinhibition_gain=p.circuit.disinhibition_gain * level.disinhibition,
        ),
        glutamate=dataclasses.replace(
            p.glutamate,
            direct_presynaptic_gain=p.glutamate.direct_presynaptic_gain * level.presynaptic,
            autoinhibition_gain=p.glutamate.autoinhibition_gain * level.autoinhibition,
            release_cut_by_agonist=p.glutamate.release_cut_by_agonist * agonist,
        ),
        bdnf=dataclasses.replace(
            p.bdnf,
            release_gain=p.bdnf.release_gain * level.l_type_calcium,
            calcium_effect_on_translation=p.bdnf.calcium_effect_on_translation
            * level.l_type_calcium,
            eef2_effect_of_resting_block=p.bdnf.eef2_effect_of_resting_block * level.pyramidal_nmda,
        ),
        potentiation=dataclasses.replace(
            p.potentiation,
            potentiation_rate=p.potentiation.potentiation_rate * opioid,
            hydroxynorketamine_gain=p.potentiation.hydroxynorketamine_gain
            * level.hydroxynorketamine,
        ),
        inflammation=dataclasses.replace(
            p.inflammation,
            anti_inflammatory_gain=p.inflammation.anti_inflammatory_gain * level.inflammation,
            hydroxynorketamine_share=p.inflammation.hydroxynorketamine_share
            * level.hydroxynorketamine,
        ),
        network=dataclasses.replace(
            p.network,
            gain_from_synapses=p.network.gain_from_synapses * level.default_mode,
            gain_from_potentiation=p.network.gain_from_potentiation * level.default_mode,
        ),
        psychotherapy=dataclasses.replace(
            p.psychotherapy,
            learning_gain_of_window=p.psychotherapy.learning_gain_of_window * level.learning_window,
        ),
        expectancy=dataclasses.replace(
            p.expectancy,
            gain=p.expectancy.gain * level.expectancy,
            course_gain=p.expectancy.course_gain * level.expectancy,
        ),
    )


def kept_by_agonist(activity: Leaf, p: Parameters) -> Leaf:
    """Share of release that an mGluR2/3 agonist leaves at once, before the brake has built up.

    Equation:
        1 - cAg pos0(E - 1)/E

    Args:
        activity: E, pyramidal activity [1].
        p: Parameters as the gates leave them, cAg [1].

    Returns:
        Factor on release [1], 1 without an agonist.

    Source:
        Schobel2013: the agonist abolishes the surge; the brake on release alone comes too late.
    """
    excess = positive_part(activity - 1, p.smoothing) / activity
    return 1 - p.glutamate.release_cut_by_agonist * excess
