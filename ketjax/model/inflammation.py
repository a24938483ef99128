"""Neuro-inflammation and ketamine's weak effect on it. Owns `inflammation`."""

from ketjax.model.parameters import Inflammation, Leaf


def inflammation_rate(
    inflammation: Leaf, brain: Leaf, hydroxynorketamine: Leaf, p: Inflammation
) -> Leaf:
    """Rate of change of neuro-inflammation.

    Equation:
        IN' = kI (IN0 - IN) - kanti IN (Ke/(Ke + Kanti) + aH HN)

    Args:
        inflammation: IN (healthy = 1) [1].
        brain: Ke, unbound ketamine [uM].
        hydroxynorketamine: HN, saturating effect of hydroxynorketamine [1].
        p: Inflammation, kI and kanti [1/h], IN0, aH [1], Kanti [uM].

    Returns:
        IN' [1/h].

    Source:
        Osimo2020: baseline. Park2017: conflicting acute changes, hence a weak effect.
    """
    effect = brain / (brain + p.anti_inflammatory_half_concentration)
    effect = effect + p.hydroxynorketamine_share * hydroxynorketamine
    return (
        p.turnover_rate * (p.baseline - inflammation)
        - p.anti_inflammatory_gain * inflammation * effect
    )
