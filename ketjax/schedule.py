"""From a regimen to what acts on the patient: event edges, constant inputs, impulses.

Doses are sorted into the channels of the pharmacokinetic model; amounts in mg/kg stay apart from
amounts in mg, so that each patient's weight enters where the patient is known.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ketjax.agents import agent_edges, agent_levels
from ketjax.model.inputs import DrugInput, Inputs
from ketjax.model.parameters import Gates, Leaf, Parameters, group
from ketjax.regimen import ENANTIOMER_SHARES, RESOLUTION, Dose, Regimen, merge_times

ENANTIOMERS = {"esketamine": "s_ketamine", "arketamine": "r_ketamine"}
# What a schedule is made of: all patients share it, so that none of these varies between them.
SHARED = (
    "absorption.nasal_device_dose",
    "absorption.oral_release_duration",
    "absorption.sublingual_release_duration",
    "absorption.swallowed_release_duration",
    "agents.",
    "expectancy.session_duration",
    "glutamate.autoinhibition_at_full_agonist",
    "metabolites.ketamine_molar_mass",
    "pharmacokinetics.reference_weight",
)
MIDAZOLAM = ("midazolam", "midazolam_per_kg")
INJECTED = ("intravenous", "intramuscular", "subcutaneous", "intraperitoneal")


@group
class Amounts:
    """Rates [umol/h] or amounts [umol] of both enantiomers, and the same for each kg of weight.

    Of midazolam, which has no kinetics but a half-life, they are in [mg/h] or [mg].
    """

    s_ketamine: DrugInput
    r_ketamine: DrugInput
    s_ketamine_per_kg: DrugInput
    r_ketamine_per_kg: DrugInput
    midazolam: Leaf
    midazolam_per_kg: Leaf


@group
class Forcing:
    """Inputs that are constant within a segment; leaves of shape (segment,)."""

    rates: Amounts
    session: Leaf
    psychotherapy: Leaf
    lost: Gates


@dataclasses.dataclass(frozen=True)
class Delivery:
    """One part of a dose on its way into one channel; an impulse if `duration` is 0."""

    channel: str
    time: float
    duration: float
    share: float


def deliveries(dose: Dose, p: Parameters) -> Iterator[Delivery]:
    """The channels of a dose.

    Args:
        dose: Dose, duration and time [h].
        p: Parameters: release durations [h] and the nasal device's dose [mg]; the number of
            devices of a dose in mg/kg is that of the reference weight.

    Returns:
        Parts of the dose; shares of one kind of part add to 1.
    """
    a, start = p.absorption, dose.time
    if dose.route in INJECTED:
        yield Delivery(dose.route, start, dose.duration, 1.0)
    elif dose.route == "oral":
        yield Delivery("oral", start, a.oral_release_duration, 1.0)
    elif dose.route == "sublingual":
        yield Delivery("sublingual", start, a.sublingual_release_duration, 1.0)
        yield Delivery("swallowed_sublingual", start, a.oral_release_duration, 1.0)
    elif dose.route == "intranasal":
        amount = dose.amount * (p.pharmacokinetics.reference_weight if dose.per_kg else 1.0)
        devices = max(1, round(amount / a.nasal_device_dose))
        first, later = 1 / devices, (devices - 1) / devices
        yield Delivery("nasal", start, 0.0, first)
        yield Delivery("swallowed_nasal", start, a.swallowed_release_duration, first)
        yield Delivery("nasal_later", start, 0.0, later)
        yield Delivery("swallowed_nasal_later", start, a.swallowed_release_duration, later)


def edges_of(regimen: Regimen, p: Parameters) -> np.ndarray:
    """Times at which anything changes [h]: events, releases, agents, ends of dosing sessions."""
    times = [regimen.edges(), agent_edges(regimen, p)]
    for dose in regimen.doses:
        times.append(np.array([dose.time + p.expectancy.session_duration]))
        times.append(np.array([part.time + part.duration for part in deliveries(dose, p)]))
    return merge_times(*times)


def forcing_of(regimen: Regimen, p: Parameters, bounds: np.ndarray) -> Forcing:
    """Inputs in each segment.

    Args:
        regimen: Regimen whose edges are among the bounds.
        p: Parameters: molar mass [g/mol], release and session durations [h].
        bounds: Segment bounds [h], shape (segment + 1,).

    Returns:
        Inputs with leaves of shape (segment,), float64.
    """
    session = np.zeros(bounds.size - 1)
    middles = 0.5 * (bounds[:-1] + bounds[1:])
    for dose in regimen.doses:
        session[(dose.time <= middles) & (middles < dose.time + p.expectancy.session_duration)] = 1
    lost = {field.name: regimen.lost(field.name, bounds) for field in dataclasses.fields(Gates)}
    for gate, level in agent_levels(regimen, p, bounds).items():
        lost[gate] = 1 - (1 - lost[gate]) * level
    return Forcing(
        rates=_amounts(regimen, p, bounds, impulses=False),
        session=session,
        psychotherapy=regimen.session_intensity(bounds),
        lost=Gates(**lost),
    )


def impulses_of(regimen: Regimen, p: Parameters, bounds: np.ndarray) -> Amounts:
    """Amounts given at once at the start of each segment; leaves of shape (segment,)."""
    return _amounts(regimen, p, bounds, impulses=True)


def _amounts(regimen: Regimen, p: Parameters, bounds: np.ndarray, impulses: bool) -> Amounts:
    """Rates, or impulses, by enantiomer and channel."""
    channels = [field.name for field in dataclasses.fields(DrugInput)]
    kinds = [f"{name}{each}" for each in ("", "_per_kg") for name in ENANTIOMERS.values()]
    table = {(kind, channel): np.zeros(bounds.size - 1) for kind in kinds for channel in channels}
    midazolam = {kind: np.zeros(bounds.size - 1) for kind in MIDAZOLAM}
    micromol = 1000.0 / p.metabolites.ketamine_molar_mass
    for dose in regimen.doses:
        if dose.drug == "midazolam":
            whole = Delivery("", dose.time, dose.duration, 1.0)
            _deliver(midazolam[MIDAZOLAM[dose.per_kg]], whole, dose.amount, bounds, impulses)
        for enantiomer, fraction in ENANTIOMER_SHARES[dose.drug].items():
            kind = ENANTIOMERS[enantiomer] + ("_per_kg" if dose.per_kg else "")
            for part in deliveries(dose, p):
                amount = dose.amount * fraction * part.share * micromol
                _deliver(table[kind, part.channel], part, amount, bounds, impulses)
    inputs = {kind: DrugInput(*(table[kind, channel] for channel in channels)) for kind in kinds}
    return Amounts(**inputs, **midazolam)


def _deliver(
    row: np.ndarray, part: Delivery, amount: float, bounds: np.ndarray, impulses: bool
) -> None:
    """Add one part of a dose to its row, as an impulse or as a rate."""
    if impulses and part.duration == 0:
        if part.time >= bounds[-1] - RESOLUTION:
            return  # given after all that is observed
        nearest = int(np.argmin(np.abs(bounds[:-1] - part.time)))
        if abs(bounds[nearest] - part.time) > RESOLUTION:
            raise ValueError(f"no segment starts at the dose at {part.time!r} h")
        row[nearest] += amount
    elif not impulses and part.duration > 0:
        middles = 0.5 * (bounds[:-1] + bounds[1:])
        inside = (part.time <= middles) & (middles < part.time + part.duration)
        row[inside] += amount / part.duration


def doses(amounts: Amounts, weight: Leaf) -> tuple[DrugInput, DrugInput, Leaf]:
    """Channels of S and R, and midazolam for each kg, for a patient of a given weight [kg]."""

    def both(fixed: DrugInput, per_kg: DrugInput) -> DrugInput:
        return DrugInput(
            *(
                getattr(fixed, field.name) + weight * getattr(per_kg, field.name)
                for field in dataclasses.fields(DrugInput)
            )
        )

    return (
        both(amounts.s_ketamine, amounts.s_ketamine_per_kg),
        both(amounts.r_ketamine, amounts.r_ketamine_per_kg),
        amounts.midazolam / weight + amounts.midazolam_per_kg,
    )


def inputs_of(forcing: Forcing, p: Parameters, design: Leaf) -> Inputs:
    """Inputs of one segment for patients with parameters `p` in a trial of some design."""
    s_ketamine, r_ketamine, midazolam = doses(forcing.rates, p.demography.weight)
    return Inputs(
        s_ketamine=s_ketamine,
        r_ketamine=r_ketamine,
        midazolam=midazolam,
        session=forcing.session,
        psychotherapy=forcing.psychotherapy,
        lost=forcing.lost,
        design=design,
    )
