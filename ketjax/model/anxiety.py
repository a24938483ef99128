"""Anxiolysis: an acute part and one that lasts days.

Owns `acute_anxiolysis` and `lasting_anxiolysis`.
"""

from ketjax.model.parameters import Anxiety, Leaf


def acute_rate(acute: Leaf, effect: Leaf, p: Anxiety) -> Leaf:
    """Rate of change of acute anxiolysis.

    Equation:
        AnxF' = hx (1 - AnxF)/tonAx - (1 - hx) AnxF/toffAx

    Args:
        acute: AnxF [1].
        effect: hx, Hill function of the effect site [1].
        p: Anxiety, tonAx and toffAx [h].

    Returns:
        AnxF' [1/h].

    Source:
        Glue2017: onset below 1 h.
    """
    return effect * (1 - acute) / p.onset_time - (1 - effect) * acute / p.offset_time


def lasting_rate(lasting: Leaf, acute: Leaf, p: Anxiety) -> Leaf:
    """Rate of change of lasting anxiolysis.

    Equation:
        AnxQ' = kAx AnxF (1 - AnxQ) - AnxQ/tauAx

    Args:
        lasting: AnxQ [1].
        acute: AnxF [1].
        p: Anxiety, kAx [1/h], tauAx [h].

    Returns:
        AnxQ' [1/h].

    Source:
        Glue2017: to one week at the higher doses.
    """
    return p.carry_rate * acute * (1 - lasting) - lasting / p.persistence_time


def anxiety(
    acute: Leaf, lasting: Leaf, mood: Leaf, expected: Leaf, calmed: Leaf, p: Anxiety
) -> Leaf:
    """Anxiety, HAM-A.

    Equation:
        HAMA = A0 (1 - wAxF AnxF)(1 - wAxQ AnxQ)(1 - wAxM effd)(1 - X) mB

    Args:
        acute: AnxF [1].
        lasting: AnxQ [1].
        mood: effd, share of the score that the drug's mood drive alone would take [1].
        expected: X, share that expectancy alone would take [1].
        calmed: mB, factor of midazolam [1].
        p: Anxiety.

    Returns:
        HAM-A [points].

    Source:
        Glue2017: effect in people who were not depressed.
    """
    drug = (1 - p.weight_acute * acute) * (1 - p.weight_persisting * lasting)
    return p.baseline * drug * (1 - p.weight_mood * mood) * (1 - expected) * calmed
