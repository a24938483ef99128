"""What a clinic, a microscope or an electrode would see: readouts of the state, by plain name.

Regional readouts come once for each region. Readouts are functions of state and parameters only;
rating noise is added where patients are rated (`simulate`).
"""

import dataclasses
from collections.abc import Callable

from ketjax.model import (
    anxiety,
    arousal,
    comparator,
    exposure,
    glutamate,
    markers,
    mood,
    network,
    outcomes,
    plasticity,
    regions,
)
from ketjax.model import pharmacokinetics as pk
from ketjax.model.parameters import Leaf, Parameters
from ketjax.model.states import RegionState, State

REGIONS = ("prefrontal", "hippocampus")


@dataclasses.dataclass(frozen=True)
class Readout:
    """One readout: its unit, its scale for errors, what it means and how it is computed.

    `compute` takes (view) for whole-patient readouts, (view, region state, region parameters) for
    regional ones.
    """

    name: str
    unit: str
    scale: float
    meaning: str
    regional: bool
    compute: Callable[..., Leaf]


@dataclasses.dataclass(frozen=True)
class View:
    """State, parameters and the plasma concentrations that several readouts share."""

    state: State
    p: Parameters
    plasma: pk.Concentrations


def observe(state: State, p: Parameters, names: tuple[str, ...]) -> tuple[Leaf, ...]:
    """Readouts of a state, regional ones once for each region, in the order of `columns`.

    Args:
        state: State; leaves scalar or (patient,).
        p: The patient's own parameters.
        names: Names of readouts.

    Returns:
        One array for each column.

    Raises:
        KeyError: A name is not a readout.
    """
    kinetics = pk.s_disposition(p)
    plasma = pk.concentrations(
        state.s_ketamine,
        state.r_ketamine,
        kinetics,
        pk.r_disposition(kinetics, p.enantiomers),
    )
    view = View(state, p, plasma)
    local = (
        (state.prefrontal, regions.prefrontal_parameters(p)),
        (state.hippocampus, regions.hippocampal_parameters(p)),
    )
    values = []
    for name in names:
        readout = READOUTS[name]
        if readout.regional:
            values.extend(readout.compute(view, region, own) for region, own in local)
        else:
            values.append(readout.compute(view))
    return tuple(values)


def columns(names: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    """Readout and region of each array that `observe` returns."""
    return tuple(
        (name, region)
        for name in names
        for region in (REGIONS if READOUTS[name].regional else (None,))
    )


def _nanogram(micromolar: Leaf, molar_mass: Leaf) -> Leaf:
    """Concentration [ng/mL] from [uM]: 1 uM of 1 g/mol is 1 ng/mL."""
    return micromolar * molar_mass


def _ketamine(v: View) -> Leaf:
    total = v.plasma.s_ketamine + v.plasma.r_ketamine
    return _nanogram(total, v.p.metabolites.ketamine_molar_mass)


def _norketamine(v: View) -> Leaf:
    total = v.plasma.s_norketamine + v.plasma.r_norketamine
    return _nanogram(total, v.p.metabolites.norketamine_molar_mass)


def _s_hydroxynorketamine(v: View) -> Leaf:
    return _nanogram(v.plasma.s_hydroxynorketamine, v.p.metabolites.hydroxynorketamine_molar_mass)


def _r_hydroxynorketamine(v: View) -> Leaf:
    return _nanogram(v.plasma.r_hydroxynorketamine, v.p.metabolites.hydroxynorketamine_molar_mass)


def _blocker(v: View) -> Leaf:
    return exposure.drug_signals(v.state, v.plasma, v.p).blocker


def _density(v: View, a: RegionState, p: Parameters) -> Leaf:
    return a.nascent_synapses + a.stable_synapses


def _cadss(v: View) -> Leaf:
    s = v.state
    return mood.dissociation(s.dissociation_site, s.dissociation_tolerance, v.p.dissociation)


def _release(v: View, a: RegionState, p: Parameters) -> Leaf:
    """Release relative to rest; an agonist of mGluR2/3 shows by its brake only."""
    drive = 1 + v.p.hippocampus.drive_to_prefrontal * (v.state.hippocampus.pyramidal_rate - 1)
    activity = a.pyramidal_rate * (drive if a is v.state.prefrontal else 1.0)
    return glutamate.release(
        activity, v.state.brain_ketamine, a.vesicle_pool, a.autoinhibition, p.glutamate
    )


def _shared(v: View) -> plasticity.Plasticity:
    return plasticity.shared_plasticity(
        v.state, v.p, regions.prefrontal_parameters(v.p), regions.hippocampal_parameters(v.p)
    )


def _mood_share(v: View, drive: Leaf) -> Leaf:
    """Share of the score that a mood drive alone would take in the end."""
    return v.p.score.improvable_share * mood.relief(drive, v.p.score, v.p.smoothing)


def _anxiety(v: View) -> Leaf:
    a = v.state.outcomes
    return anxiety.anxiety(
        a.acute_anxiolysis,
        a.lasting_anxiolysis,
        _mood_share(v, plasticity.drug_drive(_shared(v), v.p)),
        _mood_share(v, plasticity.expected_drive(v.state)),
        comparator.calmed(a.midazolam, v.p.anxiety),
        v.p.anxiety,
    )


def _default_mode(v: View) -> Leaf:
    return network.default_mode(
        v.state.network_excess,
        _shared(v).potentiation,
        v.state.dissociation_site,
        v.state.outcomes.midazolam,
        v.p.connectivity,
    )


def _salience(v: View) -> Leaf:
    return network.salience(
        v.state.dissociation_site, v.state.outcomes.midazolam, v.p.connectivity
    )


def _sedation(v: View) -> Leaf:
    alone = _arousal("sedation")(v)
    return comparator.with_sedation(alone, v.state.outcomes.midazolam, v.p.arousal)


def _pain(half: Callable[[Parameters], Leaf]) -> Callable[[View], Leaf]:
    """Pain of one kind. It sees the opioid gate as a parameter only.

    A readout is a function of state and parameters. Which windows are open is an input and leaves no
    trace in the state, so that neither a window nor an agent on the opioid gate weakens analgesia.
    """

    def compute(v: View) -> Leaf:
        a = v.state.outcomes
        return arousal.pain(
            a.pain_site, a.pain_norketamine, half(v.p), v.p.gates.opioid, v.p.analgesia
        )

    return compute


def _arousal(name: str) -> Callable[[View], Leaf]:
    def compute(v: View) -> Leaf:
        p = v.p.arousal
        return arousal.probability(
            outcomes.site_of(v.state, p.r_potency, v.p),
            getattr(p, f"{name}_half_concentration"),
            getattr(p, f"{name}_exponent"),
            v.p.dissociation.concentration_floor,
        )

    return compute


def _marker(name: str, acute: bool) -> Callable[[View], Leaf]:
    def compute(v: View) -> Leaf:
        p = v.p.markers
        rise = p.acute_il6_gain * v.state.outcomes.acute_il6 if acute else 0.0
        return markers.marker(
            getattr(p, f"{name}_healthy"),
            getattr(p, f"{name}_per_inflammation"),
            v.state.inflammation,
            rise,
        )

    return compute


_TABLE = (
    Readout("plasma_ketamine", "ng/mL", 100.0, "ketamine in plasma, S and R", False, _ketamine),
    Readout("plasma_esketamine", "ng/mL", 100.0, "S-ketamine in plasma", False, lambda v: _nanogram(v.plasma.s_ketamine, v.p.metabolites.ketamine_molar_mass)),
    Readout("plasma_arketamine", "ng/mL", 100.0, "R-ketamine in plasma", False, lambda v: _nanogram(v.plasma.r_ketamine, v.p.metabolites.ketamine_molar_mass)),
    Readout("plasma_norketamine", "ng/mL", 100.0, "norketamine in plasma, S and R", False, _norketamine),
    Readout("plasma_s_hydroxynorketamine", "ng/mL", 30.0, "(2S,6S)-hydroxynorketamine in plasma", False, _s_hydroxynorketamine),
    Readout("plasma_r_hydroxynorketamine", "ng/mL", 30.0, "(2R,6R)-hydroxynorketamine in plasma", False, _r_hydroxynorketamine),
    Readout("brain_ketamine", "uM", 0.3, "unbound ketamine in the brain, racemate equivalents", False, lambda v: v.state.brain_ketamine),
    Readout("active_blocker", "uM", 0.3, "unbound blocker in the brain, ketamine equivalents", False, _blocker),
    Readout("interneuron_block", "1", 1.0, "blocked share of interneuron NMDA receptors", True, lambda v, a, p: a.interneuron_block),
    Readout("pyramidal_block", "1", 1.0, "blocked share of pyramidal NMDA receptors", True, lambda v, a, p: a.pyramidal_block),
    Readout("interneuron_rate", "1", 1.0, "interneuron activity relative to rest", True, lambda v, a, p: a.interneuron_rate),
    Readout("pyramidal_rate", "1", 1.0, "pyramidal activity relative to rest", True, lambda v, a, p: a.pyramidal_rate),
    Readout("vesicle_pool", "1", 1.0, "release-ready vesicles", True, lambda v, a, p: a.vesicle_pool),
    Readout("glutamate_release", "1", 1.0, "release of glutamate relative to rest", True, _release),
    Readout("glutamate", "1", 1.0, "extracellular glutamate relative to the patient's own baseline", True, lambda v, a, p: a.glutamate / regions.resting_glutamate(p)),
    Readout("dialysate_glutamate", "1", 1.0, "glutamate in dialysate relative to the patient's own baseline", True, lambda v, a, p: a.dialysate / regions.resting_glutamate(p)),
    Readout("calcium", "1", 1.0, "calcium drive through AMPA receptors", True, lambda v, a, p: a.calcium),
    Readout("phospho_eef2", "1", 1.0, "phosphorylated eEF2", True, lambda v, a, p: a.phospho_eef2),
    Readout("bdnf", "1", 1.0, "released BDNF", True, lambda v, a, p: a.bdnf),
    Readout("trkb", "1", 1.0, "TrkB activity", True, lambda v, a, p: a.trkb),
    Readout("mtorc1", "1", 1.0, "mTORC1 activity", True, lambda v, a, p: a.mtorc1),
    Readout("plasticity_capacity", "1", 1.0, "plasticity capacity left", True, lambda v, a, p: a.plasticity_capacity),
    Readout("synaptic_protein", "1", 1.0, "synaptic protein, in transit and built in", True, lambda v, a, p: a.transit_protein + a.synaptic_protein),
    Readout("potentiation", "1", 1.0, "fast functional potentiation", True, lambda v, a, p: a.potentiation),
    Readout("synapse_density", "1", 1.0, "synapses, nascent and stable (healthy = 1)", True, _density),
    Readout("synapse_gain", "1", 1.0, "gain of synapses relative to the patient's own baseline", True, lambda v, a, p: _density(v, a, p) / regions.resting_density(p) - 1),
    Readout("inflammation", "1", 1.0, "neuro-inflammation, healthy = 1", False, lambda v: v.state.inflammation),
    Readout("habenula", "1", 1.0, "lateral habenula bursting relative to the untreated patient", False, lambda v: v.state.habenula),
    Readout("network_excess", "1", 1.0, "default mode network excess relative to the untreated patient", False, lambda v: v.state.network_excess),
    Readout("consolidation", "1", 1.0, "consolidated gain", False, lambda v: v.state.consolidation),
    Readout("expectancy", "1", 1.0, "mood drive of expectancy and daily antidepressant", False, lambda v: plasticity.expected_drive(v.state)),
    Readout("learning", "1", 1.0, "learning in psychotherapy, labile and consolidated", False, lambda v: v.state.labile_learning + v.state.consolidated_learning),
    Readout("dissociation", "points", 10.0, "dissociation, CADSS", False, _cadss),
    Readout("drug_high", "points", 10.0, "drug high, 0 to 10", False, lambda v: mood.drug_high(v.state.dissociation_site, v.p.dissociation)),
    Readout("madrs", "points", 30.0, "depression score, MADRS without rating noise", False, lambda v: v.state.score),
    Readout("anxiety", "points", 25.0, "anxiety, HAM-A", False, _anxiety),
    Readout("heat_pain", "cm", 10.0, "heat pain, 0 to 10", False, _pain(lambda p: p.analgesia.heat_half_concentration)),
    Readout("clinical_pain", "cm", 10.0, "clinical pain, 0 to 10", False, _pain(lambda p: p.analgesia.clinical_half_concentration)),
    Readout("sedation", "1", 1.0, "probability of sedation", False, _sedation),
    Readout("unresponsive", "1", 1.0, "probability of not responding", False, _arousal("unresponsive")),
    Readout("anaesthesia", "1", 1.0, "probability of surgical anaesthesia", False, _arousal("anaesthesia")),
    Readout("systolic_pressure", "mmHg", 100.0, "systolic blood pressure", False, lambda v: v.p.circulation.resting_systolic + v.p.circulation.systolic_share * v.state.outcomes.pressure),
    Readout("diastolic_pressure", "mmHg", 100.0, "diastolic blood pressure", False, lambda v: v.p.circulation.resting_diastolic + v.p.circulation.diastolic_share * v.state.outcomes.pressure),
    Readout("heart_rate", "1/min", 100.0, "heart rate", False, lambda v: v.p.circulation.resting_heart_rate + v.state.outcomes.heart_rate),
    Readout("default_mode_connectivity", "1", 1.0, "default mode connectivity, in SD of people and without the noise of a scan", False, _default_mode),
    Readout("salience_connectivity", "1", 1.0, "salience network connectivity relative to before treatment, in SD of people", False, _salience),
    Readout("rumination", "1", 1.0, "rumination relative to before treatment", False, lambda v: v.state.outcomes.rumination),
    Readout("il6", "pg/mL", 2.0, "interleukin 6 in blood", False, _marker("il6", True)),
    Readout("crp", "mg/L", 2.0, "C-reactive protein in blood, without its lag of a day", False, _marker("crp", False)),
    Readout("tnf", "pg/mL", 2.0, "tumour necrosis factor in blood", False, _marker("tnf", False)),
    Readout("plasma_bdnf", "ng/mL", 10.0, "BDNF in plasma", False, lambda v: v.state.outcomes.plasma_bdnf),
    Readout("mrs_glutamate", "1", 1.0, "spectroscopic glutamate of prefrontal cortex relative to before treatment", False, lambda v: 1 + v.p.markers.mrs_glutamate_gain * (v.state.prefrontal.glutamate / regions.resting_glutamate(v.p) - 1)),
    Readout("mrs_glutamine", "1", 1.0, "spectroscopic glutamine of prefrontal cortex relative to before treatment", False, lambda v: 1 + v.p.markers.mrs_glutamine_gain * v.state.outcomes.glutamine),
    Readout("glutamine_enrichment", "1", 1.0, "13C labelling of glutamine relative to before treatment; its mean over the labelling window is what is measured", True, lambda v, a, p: markers.enrichment(_release(v, a, p), v.p.markers)),
    Readout("sv2a_binding", "1", 1.0, "SV2A distribution volume relative to before treatment, as PET would see it", True, lambda v, a, p: markers.sv2a_binding(_density(v, a, p) / regions.resting_density(p), v.p.markers)),
)
READOUTS: dict[str, Readout] = {readout.name: readout for readout in _TABLE}
