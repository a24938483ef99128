"""What the two regions together mean for network and mood."""

import dataclasses

from ketjax.model import mood, regions, synaptogenesis
from ketjax.model.parameters import Leaf, Parameters
from ketjax.model.states import State


@dataclasses.dataclass(frozen=True)
class Plasticity:
    """What mood and network see of both regions.

    Attributes:
        restored: rbar, restored share of the synaptic deficit [1].
        potentiation: Pbar, fast potentiation [1].
        activation: Cbar, drive through AMPA receptors while the surge lasts [1].
        gain: u, what plasticity, network, habenula and consolidation give to mood [1].
    """

    restored: Leaf
    potentiation: Leaf
    activation: Leaf
    gain: Leaf


def shared_plasticity(
    state: State, p: Parameters, prefrontal: Parameters, hippocampus: Parameters
) -> Plasticity:
    """Plasticity as mood and network see it, over both regions.

    Equation:
        rbar = wreg r_PFC + (1 - wreg) r_HC;  Pbar and Cbar likewise;  u: `mood.plasticity_gain`

    Args:
        state: Patient.
        p: Parameters of the patient.
        prefrontal: Parameters of prefrontal cortex, wreg [1].
        hippocampus: Parameters of the hippocampus.

    Returns:
        Plasticity [1].

    Source:
        Fuchikami2015: prefrontal cortex is needed and suffices.
    """
    weight = prefrontal.hippocampus.prefrontal_weight

    def both(cortical: Leaf, hippocampal: Leaf) -> Leaf:
        return weight * cortical + (1 - weight) * hippocampal

    a, b = state.prefrontal, state.hippocampus
    restored = both(regions.restored(a, prefrontal), regions.restored(b, hippocampus))
    potentiation = both(a.potentiation, b.potentiation)
    gain = mood.plasticity_gain(
        potentiation,
        synaptogenesis.saturated(restored, p.smoothing),
        state.network_excess,
        state.habenula,
        state.consolidation,
        p.score,
    )
    return Plasticity(restored, potentiation, both(a.calcium, b.calcium), gain)


def drug_drive(shared: Plasticity, p: Parameters) -> Leaf:
    """Mood drive of the drug alone.

    Equation:
        u + wCs Cbar

    Args:
        shared: u and Cbar [1].
        p: Parameters, wCs [1].

    Returns:
        Mood drive [1].

    Source:
        DiazGranados2010: half an SD at 40 min, before potentiation has built up. That the surge
        itself lifts mood is assumed.
    """
    return shared.gain + p.score.weight_activation * shared.activation


def expected_drive(state: State) -> Leaf:
    """Mood drive of expectancy and of the daily antidepressant.

    Equation:
        EF + ES + AD

    Args:
        state: Patient.

    Returns:
        Mood drive [1].

    Source:
        TargetProfiles: the two layers add before the map.
    """
    return state.fast_expectancy + state.session_expectancy + state.antidepressant
