"""NMDA-receptor block by cell type.

Tonically firing interneurons lose their Mg block and feed use dependence, so that the same brain
concentration blocks them first: two half-block concentrations carry that tone dependence, the
unblocking rates carry trapping. Owns `interneuron_block`, `pyramidal_block`.
"""

from ketjax.model.parameters import Leaf


def active_blocker(brain: Leaf, norketamine: Leaf, affinity_ratio: Leaf) -> Leaf:
    """Active blocker, in ketamine equivalents.

    Equation:
        x = Ke + fu Kpuu NKeff/rNK

    Args:
        brain: Ke, unbound ketamine [uM].
        norketamine: fu Kpuu NKeff, unbound norketamine in racemate equivalents [uM].
        affinity_ratio: rNK, dissociation constant of norketamine over ketamine [1].

    Returns:
        x [uM].

    Source:
        Salat2015: affinity of norketamine.
    """
    return brain + norketamine / affinity_ratio


def block_rate(block: Leaf, blocker: Leaf, half_block: Leaf, koff: Leaf) -> Leaf:
    """Rate of change of the blocked share of one cell type's receptors.

    Equation:
        B' = koff ((x/Kd)(1 - B) - B)

    Args:
        block: B, blocked share [1].
        blocker: x, active blocker [uM].
        half_block: Kd [uM].
        koff: Effective unblocking rate, trapping included [1/h].

    Returns:
        B' [1/h].

    Source:
        Kotermanski2009: subtypes in Mg. Gerhard2020: block at 1 uM and cell types.
    """
    return koff * (blocker / half_block * (1 - block) - block)
