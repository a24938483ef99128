"""Concomitant agents: what is left of an intake, and the level of the gate that this much sets.

Agents do nothing alone: each lowers or raises the gate of one mechanism. All sizes of effect in
people are untested hypotheses, not clinical interactions. What is given and when stands in a
regimen; `ketjax.agents` makes levels of it that are constant between edges.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ketjax.model.parameters import Leaf, Parameters


@dataclasses.dataclass(frozen=True)
class Family:
    """Agents that act alike: their amounts add, and their sum sets the level of one gate.

    Attributes:
        gate: Mechanism, a field of `Gates`.
        level: Level of the gate [1] from the amount [usual doses, or mg diazepam-equivalents].
    """

    gate: str
    level: Callable[[Leaf, Parameters], Leaf]


def mean_left(start: Leaf, stop: Leaf, half_life: Leaf) -> Leaf:
    """Mean share of an intake that is left over a while, by first-order loss.

    Equation:
        m = th (2^(-a/th) - 2^(-b/th))/(ln 2 (b - a))

    Args:
        start: a, time since the intake [h].
        stop: b, later than a [h].
        half_life: th [h].

    Returns:
        m [1].

    Source:
        assumed: absorbed at once, lost in proportion.
    """
    lost = np.exp2(-start / half_life) - np.exp2(-stop / half_life)
    return half_life * lost / (np.log(2) * (stop - start))


def blocked_level(amount: Leaf, block: Leaf) -> Leaf:
    """Level of a gate under an antagonist.

    Equation:
        u = max(0, 1 - b g)

    Args:
        amount: g, usual doses in the body [1].
        block: b, what one usual dose blocks [1].

    Returns:
        u [1].

    Source:
        assumed: in proportion to the amount.
    """
    return np.maximum(0.0, 1 - block * amount)


def agonist_level(amount: Leaf, factor: Leaf) -> Leaf:
    """Level of autoinhibition under an mGluR2/3 agonist.

    Equation:
        u = 1 + (fAg - 1) min(1, g)

    Args:
        amount: g, full doses in the body [1].
        factor: fAg, level under a full dose [1].

    Returns:
        u [1].

    Source:
        Schobel2013: an agonist abolishes the surge; size assumed.
    """
    return 1 + (factor - 1) * np.minimum(1.0, amount)


def benzodiazepine_level(amount: Leaf, maximum: Leaf, half_dose: Leaf) -> Leaf:
    """Level of disinhibition under benzodiazepines.

    Equation:
        u = 1 - EBz DE/(DE + DBz)

    Args:
        amount: DE, diazepam-equivalents in the body [mg].
        maximum: EBz, largest loss [1].
        half_dose: DBz [mg].

    Returns:
        u [1].

    Source:
        Andrashko2020: 8 mg a day separate responders from others; size assumed.
    """
    return 1 - maximum * amount / (amount + half_dose)


FAMILIES: dict[str, Family] = {
    "ampa antagonist": Family("ampa", lambda g, p: blocked_level(g, p.agents.perampanel_block)),
    "mtor inhibitor": Family("mtorc1", lambda g, p: blocked_level(g, p.agents.sirolimus_block)),
    "mglur23 agonist": Family(
        "autoinhibition",
        lambda g, p: agonist_level(g, p.glutamate.autoinhibition_at_full_agonist),
    ),
    "dihydropyridine": Family(
        "l_type_calcium", lambda g, p: blocked_level(g, p.agents.dihydropyridine_block)
    ),
    "benzodiazepine": Family(
        "disinhibition",
        lambda g, p: benzodiazepine_level(
            g, p.agents.benzodiazepine_maximum, p.agents.benzodiazepine_half_dose
        ),
    ),
    # Half of the brake on release, as a factor on the gain of disinhibition.
    "lamotrigine": Family(
        "disinhibition", lambda g, p: blocked_level(g, p.agents.lamotrigine_brake / 2)
    ),
    "opioid antagonist": Family("opioid", lambda g, p: blocked_level(g, p.agents.naltrexone_block)),
}
# Each agent with its family and its half-life, a field of the group `agents` of the table.
AGENTS: dict[str, tuple[str, str]] = {
    "perampanel": ("ampa antagonist", "perampanel_half_life"),
    "sirolimus": ("mtor inhibitor", "sirolimus_half_life"),
    "mglur23_agonist": ("mglur23 agonist", "mglur23_agonist_half_life"),
    "nifedipine": ("dihydropyridine", "dihydropyridine_half_life"),
    "nimodipine": ("dihydropyridine", "dihydropyridine_half_life"),
    "midazolam": ("benzodiazepine", "midazolam_half_life"),
    "lorazepam": ("benzodiazepine", "lorazepam_half_life"),
    "diazepam": ("benzodiazepine", "diazepam_half_life"),
    "lamotrigine": ("lamotrigine", "lamotrigine_half_life"),
    "naltrexone": ("opioid antagonist", "naltrexone_half_life"),
}
