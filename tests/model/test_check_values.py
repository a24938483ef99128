"""The whole chain against the check values of the science documents, typical patient.

The check values belong to the first fit, which is set here: its weights and rates, without slow
symptoms and without a mood effect of the surge itself. The printed scores belong to an improvable
share of logistic(1.4) = 0.802, not to the median of 0.90 that the parameter table of the same
document states: every state agrees without a change, and the scores do with that share.

Its TrkB leaked a little after each surge, which the document names as a fault: late printed values
lie above those without a leak by at most `LEAK`.
"""

import math
from typing import Any

import numpy as np
import pytest

from ketjax.population import Recipe, draw
from ketjax.regimen import Blocker, Dose, Regimen, Session, repeat
from ketjax.simulate import Simulation, Solution, Treatment

FIRST_FIT = {
    "synapses.synaptic_protein_loss_rate": 0.00825,
    "consolidation.consolidation_rate": 0.00316,
    "consolidation.consolidation_loss_rate": 0.000754,
    "consolidation.half_drive": 0.551,
    "score.weight_potentiation": 0.443,
    "score.weight_synapses": 0.137,
    "score.weight_network": 0.151,
    "score.weight_habenula": 0.132,
    "score.weight_consolidation": 0.402,
    "score.weight_activation": 0.0,
    "score.drive_exponent": 2.74,
    "score.improvable_share": 1 / (1 + math.exp(-1.4)),
    "score.score_rate": 0.8,
    "score.slow_share": 0.0,
}
DAY = 24.0
# At each time of the printed states, of the printed gains [%], and of those of the rat [%].
STATE_LEAK = (0, 0, 0, 0, 0, 0, 0, 0.003, 0.003)
SCORE_LEAK = (0, 0, 0, 0, 0, 0, 0, 0.05, 0.05)
RELAPSE_LEAK = (0, 0, 0, 0, 0.05, 0.05)
GAIN_LEAK = (0, 0, 0, 0.1, 0.25, 0.35)
RAT_LEAK = (0, 0.15)
INFUSION = Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3)
STATE_TIMES = (1 / 3, 2 / 3, 1.0, 2.0, 4.0, 24.0, 72.0, 168.0, 336.0)
TIMES = tuple(
    sorted(
        {
            *(k / 30 for k in range(61)),
            *STATE_TIMES,
            1.5,
            5.5,
            12.0,
            25.5,
            48.0,
            73.5,
            240.0,
            337.5,
            672.0,
        }
    )
)


def infusion(amount: float, *days: float) -> Regimen:
    return Regimen(
        tuple(
            Dose("ketamine", "intravenous", amount, True, day * DAY, 2 / 3)
            for day in days or (0.0,)
        )
    )


def nasal(amount: float) -> Regimen:
    return Regimen(repeat(Dose("esketamine", "intranasal", amount), 72.0, 2))


def blocked(target: str, fraction: float) -> Regimen:
    return Regimen((INFUSION, Blocker(target, fraction, 0.0, 28 * DAY)))


def typical(
    treatments: dict[str, Treatment], times: tuple[float, ...], **settings: Any
) -> Solution:
    recipe = Recipe(
        typical=True, values=settings.pop("values", {}), species=settings.pop("species", "human")
    )
    simulation = Simulation(recipe, treatments, times, dtype="float64", rtol=1e-5, **settings)
    return simulation.solve(draw(recipe, [0]))


CASES = {
    "default": Treatment(infusion(0.5)),
    "0.2 mg/kg": Treatment(infusion(0.2)),
    "1.0 mg/kg": Treatment(infusion(1.0)),
    "ampa": Treatment(blocked("ampa", 1.0)),
    "trkb": Treatment(blocked("trkb", 0.95)),
    "mtor": Treatment(blocked("mtor", 0.9)),
    "mtor, phiP 0": Treatment(blocked("mtor", 0.9), values={"potentiation.mtor_share": 0.0}),
    "wI 0": Treatment(infusion(0.5), values={"circuit.interneuron_nmda_dependence": 0.0}),
    "rhoM 10": Treatment(infusion(0.5), values={"glutamate.autoinhibition_gain": 10.0}),
    "chiX 0": Treatment(infusion(0.5), values={"circuit.adaptation_fraction": 0.0}),
    "gF 0": Treatment(infusion(0.5), values={"mtorc1.s6k_feedback_gain": 0.0}),
    "2 a week": Treatment(infusion(0.5, 0, 3, 7, 10)),
    "3 a week": Treatment(infusion(0.5, 0, 2, 4, 7, 9, 11)),
    "nasal 28": Treatment(nasal(28.0)),
    "nasal 84": Treatment(nasal(84.0)),
    "session alone": Treatment(Regimen((Session(24.0, 1.5),))),
    **{
        f"session at {hour:g} h": Treatment(Regimen((INFUSION, Session(hour, 1.5))))
        for hour in (0.0, 4.0, 24.0, 72.0, 336.0)
    },
}
SESSION_ENDS = {0.0: 1.5, 4.0: 5.5, 24.0: 25.5, 72.0: 73.5, 336.0: 337.5}
# Case: dialysate peak, TrkB peak, mTORC1 peak, lowest capacity; gain of synapses [%] at 4, 12, 24,
# 72 h, 7, 14 d; network at 24 h, 48 h, 10 d; score at 2, 4, 24 h, 3, 7, 14 d.
PRINTED = {
    "default": (
        (1.22, 0.52, 0.23, 0.30),
        (0.3, 2.5, 5.7, 10.2, 8.6, 5.0),
        (0.73, 0.67, 0.82),
        (26.5, 22.9, 22.6, 26.0, 30.1, 31.7),
    ),
    "0.2 mg/kg": (
        (1.11, 0.28, 0.16, 0.57),
        (0.2, 1.7, 3.9, 7.2, 6.2, 3.5),
        (0.81, 0.76, 0.87),
        (30.5, 29.3, 28.3, 29.3, 31.2, 31.9),
    ),
    "1.0 mg/kg": (
        (1.31, 0.64, 0.26, 0.18),
        (0.4, 2.8, 6.5, 11.4, 9.6, 5.6),
        (0.70, 0.64, 0.80),
        (23.5, 18.8, 19.7, 24.5, 29.5, 31.5),
    ),
    "trkb": (
        (1.22, 0.03, 0.02, 0.94),
        (0.0, 0.3, 0.7, 1.4, 1.2, 0.7),
        (0.97, 0.95, 0.97),
        (31.7, 31.4, 31.8, 32.0, 32.0, 32.0),
    ),
    "mtor": (
        (1.22, 0.52, 0.03, 0.30),
        (0.0, 0.3, 0.8, 1.6, 1.4, 0.8),
        (0.84, 0.85, 0.96),
        (28.8, 26.5, 28.5, 31.2, 31.9, 32.0),
    ),
    "mtor, phiP 0": (
        (1.22, 0.52, 0.03, 0.30),
        (0.0, 0.3, 0.8, 1.6, 1.4, 0.8),
        (0.78, 0.80, 0.95),
        (26.5, 23.0, 25.3, 30.2, 31.9, 32.0),
    ),
    "wI 0": (
        (1.01, 0.00, 0.00, 0.99),
        (0.0, 0.0, 0.1, 0.3, 0.5, 0.5),
        (1.00, 0.99, 0.98),
        (31.8, 31.7, 32.0, 32.0, 32.0, 32.0),
    ),
    "rhoM 10": (
        (1.05, 0.10, 0.08, 0.85),
        (0.1, 0.7, 1.6, 3.2, 2.9, 1.7),
        (0.92, 0.89, 0.93),
        (31.2, 30.6, 31.2, 31.7, 31.9, 32.0),
    ),
    "chiX 0": (
        (1.33, 0.65, 0.25, 0.01),
        (0.4, 3.4, 8.0, 14.0, 11.7, 6.7),
        (0.65, 0.58, 0.76),
        (25.3, 20.0, 18.2, 22.1, 28.4, 31.2),
    ),
    "gF 0": (
        (1.22, 0.52, 0.32, 0.30),
        (0.5, 3.4, 7.8, 13.5, 11.3, 6.5),
        (0.71, 0.63, 0.77),
        (26.5, 22.9, 21.6, 24.5, 29.1, 31.4),
    ),
    "2 a week": (
        (1.22, 0.52, 0.23, 0.18),
        (0.3, 2.5, 5.7, 10.2, 13.5, 15.9),
        (0.73, 0.67, 0.60),
        (26.5, 22.9, 22.6, 26.0, 26.2, 25.0),
    ),
    "3 a week": (
        (1.22, 0.52, 0.23, 0.14),
        (0.3, 2.5, 5.7, 12.6, 15.8, 18.2),
        (0.73, 0.67, 0.53),
        (26.5, 22.9, 22.6, 19.1, 23.8, 22.5),
    ),
    "nasal 28": (
        (1.13, 0.33, 0.18, 0.30),
        (0.3, 2.2, 5.0, 9.1, 12.4, 7.4),
        (0.76, 0.71, 0.74),
        (29.0, 26.4, 25.3, 27.5, 27.1, 31.1),
    ),
    "nasal 84": (
        (1.24, 0.55, 0.25, 0.10),
        (0.4, 2.9, 6.7, 11.7, 14.6, 8.7),
        (0.70, 0.63, 0.70),
        (24.3, 19.2, 19.5, 24.3, 25.1, 30.4),
    ),
}
# Typical patient, 0.5 mg/kg: readout and its values at STATE_TIMES.
STATES = {
    "brain_ketamine": (0.2245, 0.3138, 0.1619, 0.0986, 0.0460, 0.0021, 0.0, 0.0, 0.0),
    "interneuron_block": (0.2881, 0.3906, 0.2835, 0.1949, 0.1076, 0.0068, 0.0, 0.0, 0.0),
    "interneuron_rate": (0.8722, 0.8824, 0.9761, 1.0057, 1.0080, 1.0, 1.0, 1.0, 1.0),
    "pyramidal_rate": (1.3291, 1.4392, 1.1860, 0.9686, 0.9595, 0.9994, 1.0, 1.0, 1.0),
    "extracellular": (1.4703, 1.5287, 1.3273, 1.1811, 1.1772, 1.1960, 1.1882, 1.2, 1.2082),
    "dialysate": (1.2860, 1.4529, 1.4389, 1.2010, 1.1752, 1.1962, 1.1882, 1.2, 1.2082),
    "calcium": (0.1920, 0.3445, 0.2363, -0.0019, -0.0019, -0.0018, -0.0019, -0.0018, -0.0010),
    "bdnf": (0.0968, 0.2985, 0.2702, -0.0016, -0.0017, -0.0016, -0.0016, -0.0015, -0.0009),
    "trkb": (0.0431, 0.4557, 0.4827, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "mtorc1": (0.0129, 0.2269, 0.1575, 0.0002, 0.0, 0.0, 0.0, 0.0, 0.0),
    "plasticity_capacity": (0.9942, 0.7449, 0.4297, 0.3005, 0.3094, 0.3928, 0.5532, 0.7558, 0.9133),
    "synaptic_protein": (0.0004, 0.0383, 0.0988, 0.1331, 0.1282, 0.1029, 0.0696, 0.0325, 0.0091),
    "potentiation": (0.0042, 0.1705, 0.3411, 0.3974, 0.3869, 0.2958, 0.1560, 0.0451, 0.0066),
    "synapse_density": (0.8584, 0.8584, 0.8584, 0.8589, 0.8612, 0.9075, 0.9462, 0.9325, 0.9009),
    "habenula": (0.9409, 0.7723, 0.6658, 0.5760, 0.5540, 0.8364, 0.9886, 0.9999, 1.0),
    "network_excess": (1.0, 0.9982, 0.9920, 0.9671, 0.9237, 0.7277, 0.6729, 0.7634, 0.8713),
    "consolidation": (0.0, 0.0, 0.0, 0.0001, 0.0003, 0.0025, 0.0055, 0.0066, 0.0061),
    "madrs": (32.0, 31.91, 30.90, 26.52, 22.94, 22.63, 26.04, 30.13, 31.67),
}
NAMES = tuple(name for name in STATES if name not in ("extracellular", "dialysate")) + (
    "glutamate",
    "dialysate_glutamate",
    "synapse_gain",
    "learning",
)
RESTING_GLUTAMATE = 1.21  # 1/T of the default patient


@pytest.fixture(scope="module")
def cascade() -> Solution:
    return typical(CASES, TIMES, names=NAMES, values=FIRST_FIT)


def course(solution: Solution, case: str, name: str) -> np.ndarray:
    values = solution.readouts[name][list(CASES).index(case)]
    return values[0, :, 0] if values.ndim == 3 else values[:, 0]


def at(times: tuple[float, ...]) -> list[int]:
    return [TIMES.index(time) for time in times]


def assert_leaking(found: np.ndarray, printed: tuple[float, ...], leak: tuple[float, ...]) -> None:
    """What is found is what is printed, to 1 % and the printed digit, or less by up to `leak`."""
    missing = np.array(printed) - found
    allowed = 0.055 + 0.01 * np.abs(printed)
    assert np.all((missing >= -allowed) & (missing <= allowed + np.array(leak))), (found, printed)


@pytest.mark.parametrize("name", STATES)
def test_states_of_the_typical_patient(cascade: Solution, name: str) -> None:
    scale = 1.0
    source = {"extracellular": "glutamate", "dialysate": "dialysate_glutamate"}.get(name, name)
    if source != name:
        scale = RESTING_GLUTAMATE
    found = scale * course(cascade, "default", source)[at(STATE_TIMES)]
    # 1 % of the value or, for the score, 0.1 points; half a unit of the printed digit besides.
    allowed = 0.1 if name == "madrs" else 0.01 * np.abs(STATES[name])
    leak = np.array(SCORE_LEAK if name == "madrs" else STATE_LEAK)
    excess = np.abs(found - STATES[name]) - allowed - leak
    assert np.all(excess <= 0.0051 if name == "madrs" else excess <= 2e-4), (found, excess)


@pytest.mark.parametrize("case", PRINTED)
def test_doses_blocks_and_schedules(cascade: Solution, case: str) -> None:
    peaks, gains, network, scores = PRINTED[case]
    found_peaks = [
        course(cascade, case, "dialysate_glutamate").max(),
        course(cascade, case, "trkb").max(),
        course(cascade, case, "mtorc1").max(),
        course(cascade, case, "plasticity_capacity").min(),
    ]
    # The lowest capacity after a later dose falls between the output times of this test.
    count = 4 if len(CASES[case].regimen.doses) == 1 else 3
    np.testing.assert_allclose(found_peaks[:count], peaks[:count], rtol=0.01, atol=0.0055)
    found = 100 * course(cascade, case, "synapse_gain")[at((4.0, 12.0, 24.0, 72.0, 168.0, 336.0))]
    assert_leaking(found, gains, GAIN_LEAK)
    found = course(cascade, case, "network_excess")[at((24.0, 48.0, 240.0))]
    np.testing.assert_allclose(found, network, rtol=0.01, atol=0.0055)
    found = course(cascade, case, "madrs")[at((2.0, 4.0, 24.0, 72.0, 168.0, 336.0))]
    above = found - np.array(scores)
    assert np.all((above >= -0.151) & (above <= 0.151 + np.array(RELAPSE_LEAK))), (found, scores)


def test_complete_ampa_block_abolishes(cascade: Solution) -> None:
    assert course(cascade, "ampa", "trkb").max() < 1e-4
    assert abs(course(cascade, "ampa", "synaptic_protein")[TIMES.index(336.0)]) < 1e-5
    assert abs(100 * course(cascade, "ampa", "synapse_gain")[TIMES.index(24.0)]) < 0.05
    scores = course(cascade, "ampa", "madrs")[at((2.0, 4.0, 24.0, 72.0))]
    np.testing.assert_allclose(scores, (31.9, 31.7, 32.0, 32.0), atol=0.15)


def test_learning_in_a_session_without_drug(cascade: Solution) -> None:
    """Closed form of a session of intensity 1: gain 0.1 x 0.25 a hour against all losses."""
    gain, loss = 0.1 * 0.25, 1 / 120 + 0.004
    labile = gain / (gain + loss) * (1 - math.exp(-1.5 * (gain + loss)))
    learned = course(cascade, "session alone", "learning")[TIMES.index(25.5)]
    np.testing.assert_allclose(labile, 0.036, atol=5e-4)  # the document's peak
    # Practice itself keeps nascent synapses and so opens the window by a little.
    np.testing.assert_allclose(learned, labile * (1 + 0.004 * 0.75), rtol=0.01)


def test_plasticity_opens_a_window_for_learning(cascade: Solution) -> None:
    """Most is learned a day or more after the infusion, less during it, little after two weeks."""
    learned = {
        hour: course(cascade, f"session at {hour:g} h", "learning")[TIMES.index(end)]
        for hour, end in SESSION_ENDS.items()
    }
    assert learned[0.0] < learned[4.0] < learned[24.0]
    assert learned[336.0] < learned[72.0]
    assert all(value > 0.036 for value in learned.values())
    alone, treated = (
        course(cascade, case, "madrs")[TIMES.index(672.0)]
        for case in ("default", "session at 24 h")
    )
    assert treated < alone - 0.1


# mg/kg: dialysate in 20-min bins over 2 h, mean, mTORC1 peak, protein peak, synapse gain [%] at
# 24 and 72 h; intraperitoneal bolus in a rat.
RAT = {
    3.0: ((1.03, 1.21, 1.19, 1.07, 0.99, 0.96), 1.07, 0.27, 0.134, 3.4, 6.0),
    10.0: ((1.06, 1.36, 1.33, 1.16, 1.04, 0.97), 1.15, 0.31, 0.157, 3.9, 6.9),
    20.0: ((1.09, 1.41, 1.38, 1.21, 1.08, 1.01), 1.20, 0.31, 0.165, 4.1, 7.2),
    30.0: ((1.10, 1.41, 1.36, 1.22, 1.09, 1.02), 1.20, 0.31, 0.166, 4.2, 7.3),
    50.0: ((1.10, 1.10, 0.84, 0.82, 0.86, 0.88), 0.93, 0.29, 0.096, 2.5, 4.7),
    80.0: ((1.04, 0.70, 0.38, 0.46, 0.65, 0.77), 0.67, 0.15, 0.041, 1.2, 2.3),
    200.0: ((0.95, 0.49, 0.18, 0.10, 0.20, 0.40), 0.39, 0.02, 0.004, 0.2, 0.6),
}
RAT_TIMES = (*(k / 30 for k in range(61)), 4.0, 24.0, 72.0)
RAT_NAMES = ("dialysate_glutamate", "mtorc1", "synaptic_protein", "synapse_gain")


@pytest.fixture(scope="module")
def rat() -> Solution:
    doses = {
        f"{dose:g}": Treatment(Regimen((Dose("ketamine", "intraperitoneal", dose, True),)))
        for dose in RAT
    }
    return typical(doses, RAT_TIMES, names=RAT_NAMES, species="rat", values=FIRST_FIT)


@pytest.mark.parametrize("dose", RAT)
def test_inverted_u_of_the_rat(rat: Solution, dose: float) -> None:
    bins, mean, mtorc1, protein, gain_24, gain_72 = RAT[dose]
    arm = list(RAT).index(dose)
    dialysate, activity, proteins, gain = (rat.readouts[name][arm, 0, :, 0] for name in RAT_NAMES)
    steps = dialysate[:61]
    binned = [np.trapezoid(3 * steps[k : k + 11], dx=1 / 30) for k in range(0, 60, 10)]
    np.testing.assert_allclose(binned, bins, rtol=0.01, atol=0.011)
    np.testing.assert_allclose(np.trapezoid(steps, dx=1 / 30) / 2, mean, rtol=0.01, atol=0.0055)
    np.testing.assert_allclose(activity.max(), mtorc1, rtol=0.01, atol=0.0055)
    np.testing.assert_allclose(proteins.max(), protein, rtol=0.015, atol=0.0011)
    assert_leaking(100 * gain[-2:], (gain_24, gain_72), RAT_LEAK)
