"""Who was treated with what: the arms, and Table 1 of the population."""

import dataclasses
from typing import Any

import numpy as np

from ketjax.analysis.summaries import RESPONSE_FRACTION
from ketjax.analysis.traits import Distribution, Trait, chance_correlation, changes, describe_traits
from ketjax.errors import StoreError
from ketjax.report.page import Part, Section, Table, Terms, Text
from ketjax.report.subject import Subject
from ketjax.report.wording import DASH, listed, number, significant, when, words

MOST_PARAMETERS = 10
"""Drawn parameters that stand in Table 1 itself, beside the covariates."""

LEVELS = {
    "demography.female": {0.0: "men", 1.0: "women"},
    "demography.cyp2b6_variants": {0.0: "none", 1.0: "one", 2.0: "two"},
    "demography.met_alleles": {0.0: "none", 1.0: "one", 2.0: "two"},
}
"""What the values of some categories mean."""

NAMES = {
    "demography.age": "Age",
    "demography.female": "Sex",
    "demography.weight": "Body weight",
    "demography.cyp2b6_variants": "CYP2B6*6 alleles",
    "demography.met_alleles": "Met alleles of BDNF Val66Met",
    "baseline_madrs": "MADRS at entry",
    "inflammation.baseline": "Neuro-inflammation, healthy = 1",
    "anxiety.baseline": "Anxiety at entry (HAM-A)",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Participants:
    """The population in numbers.

    Attributes:
        traits: Covariates and drawn parameters that vary.
        arm: Arm by whose response patients are told apart; empty if they are not.
        counted: Patients behind each correlation.
    """

    traits: list[Trait]
    arm: str
    counted: int

    @property
    def chance(self) -> float:
        """Correlation that the strongest reaches by chance, once in twenty times [1]."""
        return chance_correlation(self.counted, len(self.traits))


def describe_participants(subject: Subject) -> Participants:
    """Look once at every covariate and drawn parameter."""
    if subject.summary is None or subject.patients < 3:
        return Participants(describe_traits(subject.dataset, {}), "", 0)
    arm = subject.lead
    try:
        change = changes(subject.dataset, arm, subject.main_hour)
    except StoreError:
        return Participants(describe_traits(subject.dataset, {}), "", 0)
    groups = {"responders": change <= -RESPONSE_FRACTION, "others": change > -RESPONSE_FRACTION}
    traits = describe_traits(subject.dataset, groups, change)
    return Participants(traits, arm, int(np.isfinite(change).sum()))


def population_section(subject: Subject, participants: Participants) -> Section:
    """Table 1, and the other drawn parameters folded away."""
    settings = subject.study.get("population", {})
    typical = settings.get("typical") or subject.patients == 1
    text = "The typical patient: no parameter varies"
    if not typical:
        text = f"{subject.patients:,} virtual {subject.people}, the same in every arm, drawn with "
        text += f"seed {subject.dataset.attrs.get('seed', 'unknown')}"
        text += f" ({settings['design']} design)" if settings.get("design") else ""
    entry = [
        f"{words(name)} {_range(limits)}" for name, limits in settings.get("entry", {}).items()
    ]
    text += f". Entry: {listed(entry)}." if entry else "."
    parts: list[Part] = [Text(text)]
    covariates = [trait for trait in participants.traits if trait.covariate]
    others = [trait for trait in participants.traits if not trait.covariate]
    shown = _that_matter(others, participants)
    if participants.traits:
        parts.append(_table_one(subject, participants, covariates, shown))
    rest = [trait for trait in others if trait not in shown]
    if rest:
        heads, rows = _rows(rest, participants, names=False)
        caption = f"All other drawn parameters ({len(rest)})"
        parts.append(Table(caption, heads, rows, folded=True))
    return Section("population", "Population", parts)


def arms_section(subject: Subject) -> Section:
    """What each arm gets."""
    arms = subject.study.get("arms", {})
    parts: list[Part] = []
    if not arms:
        parts.append(Text(f"The store does not say what its arms get: {listed(subject.arms)}."))
        return Section("arms", "What was simulated", parts)
    output = subject.study.get("output", {})
    parts.append(
        Text(
            f"Every patient goes through every arm; differences between arms are those within "
            f"patients. Follow-up {_time(output.get('horizon', ''))}, "
            f"{subject.times.size} output times."
        )
    )
    parts.append(Terms([(words(name), _arm(arm)) for name, arm in arms.items()]))
    parts.append(
        Text("Expectancy is named after the kind of trial whose expectancy acts in the arm.")
    )
    return Section("arms", "What was simulated", parts)


def _that_matter(traits: list[Trait], participants: Participants) -> list[Trait]:
    """Drawn parameters that go with the change in the first arm more than chance explains."""
    known = [t for t in traits if abs(t.correlation) > participants.chance]
    return sorted(known, key=lambda trait: -abs(trait.correlation))[:MOST_PARAMETERS]


def _table_one(
    subject: Subject, participants: Participants, covariates: list[Trait], shown: list[Trait]
) -> Table:
    heads, rows = _rows(covariates, participants, names=True)
    if shown:
        rows.append(("Drawn parameters that go most with the change",))
        rows += _rows(shown, participants, names=False)[1]
    note = "Mean (SD), below it median [25 %, 75 %]; or number (%)."
    if participants.arm:
        chance = number(participants.chance, 2)
        note += (
            f" Responders and others: score halved or not at {when(subject.main_hour)} in arm "
            f"{words(participants.arm)}. SMD: standardised mean difference, "
            "responders less others; of categories, of the mean code. Drawn parameters are listed "
            f"when their rank correlation with the change exceeds {chance}, "
            f"which the strongest of {len(participants.traits)} reaches by chance once in twenty "
            "times."
        )
    if subject.weighted:
        note += " Patients are as drawn, without weights."
    caption = "The virtual patients"
    return Table(caption, heads, rows, note)


def _rows(
    traits: list[Trait], participants: Participants, *, names: bool
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows for some traits."""
    grouped = bool(participants.arm)
    first = traits[0].groups if traits else {}
    first_count = max((t.groups["all"].count for t in participants.traits), default=0)
    heads = ["", f"All\nn = {first_count:,}"]
    if grouped:
        sizes = {group: max(t.groups[group].count for t in participants.traits)
                 for group in ("responders", "others")}  # fmt: skip
        heads += [f"{group.capitalize()}\nn = {size:,}" for group, size in sizes.items()]
        heads.append("SMD")
    rows: list[tuple[str, ...]] = []
    for trait in traits:
        label = NAMES.get(trait.name) if names else None
        label = label or _label(trait, names)
        unit = "" if trait.unit == "1" else f" [{trait.unit}]"
        parts = list(trait.groups.values())
        tail = [number(trait.difference, 2, sign=True)] if grouped else []
        if parts[0].levels:
            rows.append((f"{label}, n (%)", *[""] * len(first), *tail))
            meanings = LEVELS.get(trait.name, {})
            for level in parts[0].levels:
                cells = [_share(part, level) for part in parts]
                rows.append(
                    (f"\u2003{meanings.get(level, f'{level:g}')}", *cells, *[""] * len(tail))
                )
        else:
            rows.append((f"{label}{unit}", *[_numbers(part) for part in parts], *tail))
    return tuple(heads), rows


def _label(trait: Trait, names: bool) -> str:
    """What a trait is, up to the first remark, with its public name for parameters."""
    meaning = trait.meaning.partition(";")[0]
    return meaning if names else f"{meaning} ({trait.name})"


def _numbers(part: Distribution) -> str:
    if not part.count:
        return DASH
    low, middle, high = (significant(q) for q in part.quartiles)
    return f"{significant(part.mean)} ({significant(part.deviation)})\n{middle} [{low}, {high}]"


def _share(part: Distribution, level: float) -> str:
    count = part.levels.get(level, 0)
    return f"{count:,} ({100 * count / part.count:.0f} %)" if part.count else DASH


def _arm(arm: dict[str, Any]) -> str:
    """What an arm gets, in one sentence."""
    doses = "; ".join(_dose(dose) for dose in arm.get("doses", ())) or "no dose"
    besides = "".join(f"; {text}" for text in _besides(arm))
    expectancy = words(arm.get("expectancy", DASH))
    return f"{doses[0].upper()}{doses[1:]}. Expectancy: {expectancy}{besides}."


def _range(limits: object) -> str:
    if isinstance(limits, (list, tuple)) and len(limits) == 2:
        low, high = (f"{x:g}" if isinstance(x, float) else str(x) for x in limits)
        low = low.removesuffix(" year").removesuffix(".0")
        return f"{low} to {high.replace('.0 ', ' ')}{'s' if high.endswith(' year') else ''}"
    return str(limits)


def _dose(dose: dict[str, Any]) -> str:
    """One line of a regimen in words."""
    text = f"{words(dose.get('drug', ''))} {_plain(dose.get('amount', ''))}"
    text += f" {words(dose.get('route', ''))}"
    if str(dose.get("duration", "")).partition(" ")[0] not in ("", "0", "0.0"):
        text += f" over {_time(dose['duration'])}"
    text += f" at {_time(dose.get('time', '0 h'))}"
    again = dose.get("repeat")
    if isinstance(again, dict):
        text += f", {again.get('count')} times, every {_time(again.get('every', ''))}"
    return text


def _besides(arm: dict[str, Any]) -> list[str]:
    """Settings of an arm beyond doses and expectancy."""
    found = [
        f"{words(name)} {words(arm[name])}"
        for name, usual in (("interaction", "none"), ("hippocampus", "ca1_subiculum"))
        if arm.get(name, usual) != usual
    ]
    found += [f"{name} {value}" for name, value in arm.get("parameters", {}).items()]
    for kind in ("blockers", "gates", "agents", "sessions"):
        if own := arm.get(kind):
            found.append(f"{len(own)} {kind if len(own) > 1 else kind[:-1]}")
    return found


def _plain(text: object) -> str:
    """A quantity without needless decimals."""
    value, _, unit = str(text).partition(" ")
    try:
        return f"{float(value):.6g} {unit}".strip()
    except ValueError:
        return str(text)


def _time(text: object) -> str:
    """A time of a manifest in words."""
    value, _, unit = str(text).partition(" ")
    try:
        return when(round(float(value), 6)) if unit == "h" else _plain(text)
    except ValueError:
        return str(text)
