"""From receptor block to pyramidal activity: interneurons fall, pyramidal cells are let go.

Adaptation ends the surge by 2-3 h; network depression by high concentrations gives the inverted U.
Owns `adaptation`, `network_depression`, `interneuron_rate`, `pyramidal_rate`.
"""

from ketjax.model.parameters import Circuit, Leaf, Smoothing
from ketjax.model.smooth import positive_drive, power_ratio


def adaptation_rate(adaptation: Leaf, block: Leaf, p: Circuit) -> Leaf:
    """Rate of change of the adaptation of disinhibition.

    Equation:
        X' = (BI - X)/tauX

    Args:
        adaptation: X [1].
        block: BI, interneuron block [1].
        p: Circuit, tauX [h].

    Returns:
        X' [1/h].

    Source:
        Moghaddam1997: no delayed surge after high doses.
    """
    return (block - adaptation) / p.adaptation_time_constant


def depression_rate(depression: Leaf, brain: Leaf, p: Circuit, smoothing: Smoothing) -> Leaf:
    """Rate of change of network depression: onset speeds up with concentration.

    Equation:
        AN' = (z (1 - AN) - AN)/tauANoff,  z = (Ke/ICan)^nAN

    Args:
        depression: AN [1].
        brain: Ke, unbound ketamine [uM].
        p: Circuit, ICan [uM], nAN [1], tauANoff [h].
        smoothing: Floor of the power [1].

    Returns:
        AN' [1/h].

    Source:
        Moghaddam1997: 30 mg/kg raises, 50 mg/kg does not.
    """
    z = power_ratio(brain, p.depression_half_concentration, p.depression_hill, smoothing)
    return (z * (1 - depression) - depression) / p.depression_recovery_time


def interneuron_rate(
    rate: Leaf, pyramidal: Leaf, block: Leaf, adaptation: Leaf, p: Circuit
) -> Leaf:
    """Rate of change of interneuron activity.

    Equation:
        I' = ((1 - wI (BI - chiX X))(1 + gEI (E - 1)) - I)/tauI

    Args:
        rate: I, interneuron activity [1].
        pyramidal: E, pyramidal activity [1].
        block: BI, interneuron block [1].
        adaptation: X [1].
        p: Circuit, wI, chiX, gEI [1], tauI [h].

    Returns:
        I' [1/h].

    Source:
        Homayoun2007: interneurons fall first. Gerhard2020: receptors on interneurons are needed.
    """
    drive = 1 - p.interneuron_nmda_dependence * (block - p.adaptation_fraction * adaptation)
    recurrent = 1 + p.pyramidal_to_interneuron_gain * (pyramidal - 1)
    return (drive * recurrent - rate) / p.interneuron_time_constant


def pyramidal_rate(
    rate: Leaf,
    interneurons: Leaf,
    block: Leaf,
    depression: Leaf,
    gate: Leaf,
    p: Circuit,
    smoothing: Smoothing,
) -> Leaf:
    """Rate of change of pyramidal activity.

    Equation:
        E' = ((1 - wP BP)(1 - gAN AN) pos1(1 + gIE (1 - I)) - E)/tauE

    Args:
        rate: E, pyramidal activity [1].
        interneurons: I, interneuron activity [1].
        block: BP, pyramidal block [1].
        depression: AN, network depression [1].
        gate: gAN, level of its gate [1].
        p: Circuit, wP, gIE [1], tauE [h].
        smoothing: Width of pos1 [1].

    Returns:
        E' [1/h].

    Source:
        Homayoun2007: pyramidal firing rises later. Moghaddam1997: inverted U.
    """
    released = positive_drive(1 + p.disinhibition_gain * (1 - interneurons), smoothing)
    intact = (1 - p.pyramidal_nmda_dependence * block) * (1 - gate * depression)
    return (intact * released - rate) / p.pyramidal_time_constant
