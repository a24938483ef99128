"""States of the cascade: one line a state, with symbol, unit and meaning.

Amounts are in umol, brain concentrations in uM, pools are relative to the drug-free healthy brain
(1) unless said. `EnantiomerState` stands once for S and once for R, `RegionState` once for each
brain region; nothing of `OutcomeState` acts on the others.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from ketjax.model.parameters import Leaf, group


def state(symbol: str, unit: str, scale: float, meaning: str) -> Any:
    """One line of the list of states; `scale` is the size that errors are weighed against."""
    return dataclasses.field(metadata=dict(symbol=symbol, unit=unit, scale=scale, meaning=meaning))


@group
class EnantiomerState:
    """Amounts of one enantiomer of ketamine and its metabolites."""

    nasal: Leaf = state("A_n", "umol", 10.0, "nasal depot")
    sublingual: Leaf = state("A_sl", "umol", 10.0, "oral mucosa")
    intramuscular: Leaf = state("A_im", "umol", 10.0, "muscle depot")
    subcutaneous: Leaf = state("A_sc", "umol", 10.0, "subcutaneous depot")
    intraperitoneal: Leaf = state("A_ip", "umol", 10.0, "peritoneal depot")
    gut: Leaf = state("A_g", "umol", 10.0, "gut, ketamine")
    gut_norketamine: Leaf = state("A_gn", "umol", 10.0, "gut, norketamine formed in its wall")
    central: Leaf = state("A_1", "umol", 10.0, "central compartment")
    fast_peripheral: Leaf = state("A_2", "umol", 10.0, "fast peripheral compartment")
    slow_peripheral: Leaf = state("A_3", "umol", 10.0, "slow peripheral compartment")
    liver: Leaf = state("A_h", "umol", 10.0, "liver")
    norketamine: Leaf = state("A_nk", "umol", 10.0, "norketamine, central")
    norketamine_peripheral: Leaf = state("A_nkp", "umol", 10.0, "norketamine, peripheral")
    hydroxynorketamine: Leaf = state("A_hk", "umol", 10.0, "hydroxynorketamine, central")
    hydroxynorketamine_peripheral: Leaf = state("A_hkp", "umol", 10.0, "hydroxynorketamine, peripheral")


@group
class RegionState:
    """One brain region."""

    interneuron_block: Leaf = state("BI", "1", 0.1, "blocked share of interneuron NMDA receptors")
    pyramidal_block: Leaf = state("BP", "1", 0.1, "blocked share of pyramidal NMDA receptors")
    adaptation: Leaf = state("X", "1", 0.1, "adaptation of disinhibition")
    network_depression: Leaf = state("AN", "1", 0.1, "depression of the network by high concentrations")
    interneuron_rate: Leaf = state("I", "1", 1.0, "interneuron activity")
    pyramidal_rate: Leaf = state("E", "1", 1.0, "pyramidal activity")
    vesicle_pool: Leaf = state("V", "1", 1.0, "release-ready vesicles")
    glutamate: Leaf = state("G", "1", 1.0, "extracellular glutamate")
    dialysate: Leaf = state("Gd", "1", 1.0, "glutamate in dialysate")
    autoinhibition: Leaf = state("Mu", "1", 0.1, "presynaptic brake by mGluR2/3 and A1")
    uptake: Leaf = state("T", "1", 1.0, "glial uptake capacity")
    calcium: Leaf = state("Ca", "1", 0.1, "calcium through AMPA receptors and voltage-gated channels")
    phospho_eef2: Leaf = state("pE", "1", 1.0, "phosphorylated eEF2")
    bdnf_protein: Leaf = state("Bp", "1", 1.0, "BDNF protein")
    bdnf: Leaf = state("Be", "1", 0.1, "released BDNF")
    trkb: Leaf = state("Tk", "1", 0.1, "TrkB activity")
    mtorc1: Leaf = state("M", "1", 0.1, "mTORC1 activity")
    s6k: Leaf = state("F", "1", 0.1, "p70S6K feedback")
    plasticity_capacity: Leaf = state("Q", "1", 1.0, "plasticity capacity")
    transit_protein: Leaf = state("SP1", "1", 0.1, "synaptic protein in transit")
    synaptic_protein: Leaf = state("SP2", "1", 0.1, "synaptic protein built in")
    potentiation: Leaf = state("P", "1", 0.1, "fast functional potentiation")
    nascent_synapses: Leaf = state("Nn", "1", 0.1, "nascent synapses")
    stable_synapses: Leaf = state("Ns", "1", 1.0, "stable synapses")


@group
class OutcomeState:
    """What is seen beside the cascade and does not act on it."""

    r_site: Leaf = state("CeR", "ng/mL", 100.0, "R-ketamine at the effect site of acute effects")
    pain_site: Leaf = state("CeA", "ng/mL", 100.0, "effect site of analgesia, S-equivalents")
    pain_norketamine: Leaf = state("CeNA", "ng/mL", 100.0, "S-norketamine at the effect site of analgesia")
    circulation_norketamine: Leaf = state("CeNC", "ng/mL", 100.0, "S-norketamine at the effect site of the circulation")
    pressure: Leaf = state("dMAP", "mmHg", 10.0, "rise of mean arterial pressure")
    baroreflex: Leaf = state("Bar", "mmHg", 10.0, "pressure to which the baroreflex has reset")
    heart_rate: Leaf = state("dHR", "1/min", 10.0, "rise of heart rate")
    acute_anxiolysis: Leaf = state("AnxF", "1", 0.1, "acute anxiolysis")
    lasting_anxiolysis: Leaf = state("AnxQ", "1", 0.1, "lasting anxiolysis")
    rumination: Leaf = state("Rum", "1", 1.0, "rumination relative to before treatment")
    early_il6: Leaf = state("A6a", "1", 0.1, "delay of the acute rise of interleukin 6")
    acute_il6: Leaf = state("A6", "1", 0.1, "acute rise of interleukin 6")
    plasma_bdnf: Leaf = state("pB", "ng/mL", 10.0, "BDNF in plasma")
    midazolam: Leaf = state("Mz", "1", 0.1, "midazolam relative to the comparator's dose")
    glutamine: Leaf = state("Gl", "1", 0.1, "lagging glutamate of prefrontal cortex, which glutamine follows")


@group
class State:
    """The whole patient."""

    s_ketamine: EnantiomerState
    r_ketamine: EnantiomerState
    prefrontal: RegionState
    hippocampus: RegionState
    outcomes: OutcomeState
    brain_ketamine: Leaf = state("Ke", "uM", 0.1, "unbound ketamine in the brain, racemate equivalents")
    dissociation_site: Leaf = state("CeD", "ng/mL", 100.0, "effect site of dissociation, S-equivalents")
    dissociation_tolerance: Leaf = state("TolD", "1", 0.1, "tolerance to dissociation")
    inflammation: Leaf = state("IN", "1", 1.0, "neuro-inflammation (healthy = 1)")
    habenula: Leaf = state("L", "1", 1.0, "lateral habenula bursting (untreated = 1)")
    network_excess: Leaf = state("D", "1", 1.0, "default mode network excess (untreated = 1)")
    consolidation: Leaf = state("W", "1", 0.1, "consolidated gain")
    fast_expectancy: Leaf = state("EF", "1", 0.1, "fast expectancy")
    session_expectancy: Leaf = state("ES", "1", 0.1, "session and course expectancy")
    antidepressant: Leaf = state("AD", "1", 0.1, "daily monoaminergic antidepressant")
    slow_relief: Leaf = state("H", "1", 0.1, "relief of the symptoms that need days")
    practice: Leaf = state("Prac", "1", 1.0, "trace of practice")
    labile_learning: Leaf = state("LrnA", "1", 0.1, "labile learning")
    consolidated_learning: Leaf = state("LrnC", "1", 0.1, "consolidated learning")
    score: Leaf = state("S", "points", 10.0, "depression score, MADRS")


@dataclasses.dataclass(frozen=True)
class StateRow:
    """One line of the list of states."""

    path: str
    symbol: str
    unit: str
    scale: float
    meaning: str


def rows() -> tuple[StateRow, ...]:
    """All states in the order of the pytree's leaves."""
    return tuple(_rows(State, ""))


def _rows(cls: type, prefix: str) -> Iterator[StateRow]:
    for field in dataclasses.fields(cls):
        if field.metadata:
            yield StateRow(prefix + field.name, **field.metadata)
        else:
            assert isinstance(field.type, type)
            yield from _rows(field.type, f"{prefix}{field.name}.")
