"""What a clinic, a microscope or an electrode would see: readouts of the state, by plain name.

Regional readouts come once for each region. Readouts are functions of state and parameters only;
rating noise is added where patients are rated (`simulate`).
"""

import dataclasses
from collections.abc import Callable

from ketjax.model import exposure, mood, regions
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


def _expectancy(v: View) -> Leaf:
    return v.state.fast_expectancy + v.state.session_expectancy + v.state.antidepressant


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
    Readout("inflammation", "1", 1.0, "neuro-inflammation (healthy = 1)", False, lambda v: v.state.inflammation),
    Readout("habenula", "1", 1.0, "lateral habenula bursting relative to the untreated patient", False, lambda v: v.state.habenula),
    Readout("network_excess", "1", 1.0, "default mode network excess relative to the untreated patient", False, lambda v: v.state.network_excess),
    Readout("consolidation", "1", 1.0, "consolidated gain", False, lambda v: v.state.consolidation),
    Readout("expectancy", "1", 1.0, "mood drive of expectancy and daily antidepressant", False, _expectancy),
    Readout("learning", "1", 1.0, "learning in psychotherapy, labile and consolidated", False, lambda v: v.state.labile_learning + v.state.consolidated_learning),
    Readout("dissociation", "points", 10.0, "dissociation, CADSS", False, _cadss),
    Readout("drug_high", "points", 10.0, "drug high, 0 to 10", False, lambda v: mood.drug_high(v.state.dissociation_site, v.p.dissociation)),
    Readout("madrs", "points", 30.0, "depression score, MADRS without rating noise", False, lambda v: v.state.score),
)
READOUTS: dict[str, Readout] = {readout.name: readout for readout in _TABLE}
