"""Plasma concentrations against the check values of the kinetic document and its exact solution."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.linalg import expm

from ketjax.model import pharmacokinetics as pk
from ketjax.model.covariates import individual
from ketjax.model.inputs import DrugInput
from ketjax.model.overrides import OVERRIDES
from ketjax.model.parameters import Parameters, replace
from ketjax.model.states import EnantiomerState
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import Simulation, Solution, Treatment

NAMES = (
    "plasma_ketamine",
    "plasma_esketamine",
    "plasma_arketamine",
    "plasma_norketamine",
    "plasma_s_hydroxynorketamine",
    "plasma_r_hydroxynorketamine",
    "dissociation",
)
CHECK_TIMES = (0.25, 0.5, 2 / 3, 4 / 3, 11 / 6, 2.0, 23 / 6, 6.0, 8.0, 12.0, 24.0)
TIMES = tuple(
    sorted({*(k / 20 for k in range(31)), *CHECK_TIMES, *range(2, 12), *range(14, 49, 2), 1 / 30})
)
# 0.5 mg/kg over 40 min, 70 kg [ng/mL], in the order of NAMES.
INFUSION = {
    0.25: (126.2, 61.6, 64.6, 9.9, 0.3, 0.3),
    0.5: (167.3, 81.3, 86.0, 36.2, 2.0, 1.9),
    2 / 3: (190.3, 92.2, 98.1, 56.7, 4.0, 3.9),
    4 / 3: (75.1, 35.6, 39.5, 83.7, 12.2, 12.7),
    11 / 6: (60.1, 28.7, 31.4, 78.5, 15.6, 17.1),
    2.0: (55.9, 26.8, 29.2, 76.3, 16.5, 18.4),
    23 / 6: (27.5, 13.4, 14.1, 54.7, 20.7, 26.6),
    6.0: (14.3, 7.0, 7.3, 39.9, 20.0, 29.4),
    8.0: (9.1, 4.4, 4.7, 31.5, 17.6, 28.9),
    12.0: (4.9, 2.4, 2.5, 20.6, 12.5, 24.4),
    24.0: (1.1, 0.6, 0.5, 5.9, 3.8, 9.6),
}


def given(drug: str, route: str, amount: float, duration: float = 0.0) -> Treatment:
    return Treatment(Regimen((Dose(drug, route, amount, False, 0.0, duration),)))


ARMS = {
    "infusion": given("ketamine", "intravenous", 35.0, 2 / 3),
    "esketamine infusion": given("esketamine", "intravenous", 28.0, 2 / 3),
    "nasal 28": given("esketamine", "intranasal", 28.0),
    "nasal 56": given("esketamine", "intranasal", 56.0),
    "nasal 84": given("esketamine", "intranasal", 84.0),
    "oral esketamine 84": given("esketamine", "oral", 84.0),
    "oral 25": given("ketamine", "oral", 25.0),
    "oral 35": given("ketamine", "oral", 35.0),
    "sublingual 25": given("ketamine", "sublingual", 25.0),
    "intramuscular 35": given("ketamine", "intramuscular", 35.0),
    "subcutaneous 35": given("ketamine", "subcutaneous", 35.0),
    "bolus 10": given("ketamine", "intravenous", 10.0),
    "infusion 7": given("ketamine", "intravenous", 7.0, 2 / 3),
    "infusion 17.5": given("ketamine", "intravenous", 17.5, 2 / 3),
    "infusion 70": given("ketamine", "intravenous", 70.0, 2 / 3),
    "esketamine infusion 35": given("esketamine", "intravenous", 35.0, 2 / 3),
    "arketamine infusion 35": given("arketamine", "intravenous", 35.0, 2 / 3),
    "subcutaneous 17.5": given("ketamine", "subcutaneous", 17.5),
    "subcutaneous 70": given("ketamine", "subcutaneous", 70.0),
}
# Peak of the CADSS, and its value at 40 min, 80 min, 2 h and 230 min.
DISSOCIATION = {
    "infusion 17.5": (3.8, 3.8, 1.1, 0.6, 0.17),
    "infusion": (12.0, 11.9, 3.6, 2.0, 0.58),
    "infusion 70": (31.7, 31.4, 11.3, 6.8, 1.98),
    "esketamine infusion 35": (22.3, 22.0, 7.1, 4.2, 1.21),
    "arketamine infusion 35": (3.6, 3.5, 1.0, 0.6, 0.16),
    "nasal 28": (2.5, 2.5, 1.6, 0.9, 0.24),
    "nasal 56": (6.7, 6.6, 4.7, 2.6, 0.71),
    "nasal 84": (12.0, 11.7, 8.7, 5.0, 1.37),
    "subcutaneous 17.5": (1.9, 1.8, 1.0, 0.5, 0.15),
    "subcutaneous 35": (6.3, 5.9, 3.2, 1.9, 0.51),
    "subcutaneous 70": (18.8, 17.6, 10.4, 6.2, 1.75),
}
# Ketamine peak [ng/mL], its time [h], norketamine peak [ng/mL], its time [h].
ROUTES = {
    "esketamine infusion": (147.5, 0.67, None, None),
    "nasal 28": (43.5, 0.30, 61.3, 1.15),
    "nasal 56": (76.8, 0.65, 122.9, 1.10),
    "nasal 84": (110.7, 0.65, 184.6, 1.10),
    "oral esketamine 84": (63.5, 0.70, 372.2, None),
    "oral 25": (20.1, 0.70, 114.8, 0.90),
    "oral 35": (28.2, 0.70, 160.7, 0.90),
    "sublingual 25": (29.6, 0.65, 104.5, 0.90),
    "intramuscular 35": (201.6, 0.15, 77.2, 1.15),
}


@pytest.fixture(scope="module")
def plasma() -> Solution:
    # The printed dissociation is that before tolerance: the equation itself lets tolerance grow
    # within the first session already, which takes 3 % off the peak of 12 points.
    recipe = Recipe(typical=True, values={"dissociation.tolerance_gain": 0.0})
    simulation = Simulation(recipe, ARMS, TIMES, names=NAMES, dtype="float64", rtol=1e-5)
    return simulation.solve(draw(recipe, [0]))


def course(plasma: Solution, arm: str, name: str) -> np.ndarray:
    return plasma.readouts[name][list(ARMS).index(arm), :, 0]


@pytest.mark.parametrize("time", CHECK_TIMES)
def test_infusion_at_the_listed_times(plasma: Solution, time: float) -> None:
    found = [course(plasma, "infusion", name)[TIMES.index(time)] for name in NAMES[:-1]]
    np.testing.assert_allclose(found, INFUSION[time], rtol=0.005, atol=0.05)


@pytest.mark.parametrize("arm", ROUTES)
def test_peaks_of_other_routes(plasma: Solution, arm: str) -> None:
    for name, peak, when in (
        ("plasma_ketamine", *ROUTES[arm][:2]),
        ("plasma_norketamine", *ROUTES[arm][2:]),
    ):
        values = course(plasma, arm, name)
        if peak is not None:
            np.testing.assert_allclose(values.max(), peak, rtol=0.01)
        if when is not None:
            assert abs(TIMES[values.argmax()] - when) <= 0.1


def test_bolus(plasma: Solution) -> None:
    ketamine = course(plasma, "bolus 10", "plasma_ketamine")
    assert ketamine[0] == 0.0  # an output at the time of a dose is taken before it
    np.testing.assert_allclose(ketamine[TIMES.index(1 / 30)], 181.0, rtol=0.005)


@pytest.mark.parametrize("arm", DISSOCIATION)
def test_dissociation_by_dose_and_route(plasma: Solution, arm: str) -> None:
    peak, *later = DISSOCIATION[arm]
    cadss = course(plasma, arm, "dissociation")
    np.testing.assert_allclose(cadss.max(), peak, rtol=0.01, atol=0.05)
    found = [cadss[TIMES.index(time)] for time in (2 / 3, 4 / 3, 2.0, 23 / 6)]
    np.testing.assert_allclose(found, later, rtol=0.01, atol=0.055)


def test_nothing_is_lost_or_made() -> None:
    """Amount in the body, with each inflow, outflow and conversion counted once."""
    p = individual(Parameters())
    d = pk.s_disposition(p)
    amounts = EnantiomerState(*np.linspace(1.0, 2.0, len(dataclasses.fields(EnantiomerState))))
    inflow = pk.delivered(DrugInput(*np.linspace(0.1, 1.0, 11)), p.absorption, p.depots)
    rates = pk.enantiomer_rates(amounts, inflow, d, p.absorption, p.depots)
    metabolised = d.intrinsic_clearance * amounts.liver / d.liver
    cleared = d.norketamine_clearance * amounts.norketamine / d.norketamine
    lost = (
        (1 - d.fraction_norketamine) * metabolised
        + (1 - d.fraction_hydroxynorketamine) * cleared
        + d.hydroxynorketamine_clearance * amounts.hydroxynorketamine / d.hydroxynorketamine
    )
    total = sum(jax.tree.leaves(rates))
    assert abs(total - (sum(inflow.values()) - lost)) < 1e-11


def test_linear_system_equals_its_matrix_exponential() -> None:
    """The kinetic equations are linear: SciPy's matrix exponential is their exact solution."""
    p = individual(replace(Parameters(), {"demography.weight": 90.0, "demography.age": 72.0}))
    d = pk.s_disposition(p)
    n = len(dataclasses.fields(EnantiomerState))

    def rates(amounts: np.ndarray, rate: float) -> np.ndarray:
        inflow = pk.delivered(DrugInput(intravenous=rate), p.absorption, p.depots)
        state = EnantiomerState(*amounts)
        return np.array(
            jax.tree.leaves(pk.enantiomer_rates(state, inflow, d, p.absorption, p.depots))
        )

    matrix = np.array([rates(unit, 0.0) for unit in np.eye(n)]).T
    augmented = np.zeros((n + 1, n + 1))
    augmented[:n, :n], augmented[:n, n] = matrix, rates(np.zeros(n), 1.0)
    exact = expm(augmented * 2 / 3)[:n, n] * (45.0 / 2 / 237.73 * 1000 / (2 / 3))
    values = {"demography.weight": 90.0, "demography.age": 72.0}
    recipe = Recipe(typical=True, values=values)
    arm = Treatment(Regimen((Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3),)))
    simulation = Simulation(
        recipe, {"k": arm}, (0.0, 2 / 3), names=NAMES[1:2], dtype="float64", rtol=1e-8
    )
    found = simulation.solve(draw(recipe, [0])).readouts["plasma_esketamine"][0, -1, 0]
    names = [field.name for field in dataclasses.fields(EnantiomerState)]
    plasma = exact[names.index("central")] / d.central * p.metabolites.ketamine_molar_mass
    np.testing.assert_allclose(found, plasma, rtol=1e-7)


# Ratio of ketamine exposure: intravenous, nasal, oral; norketamine after intravenous.
INTERACTIONS = {
    "ticlopidine": (1.25, 1.61, 2.18, 1.00),
    "st_johns_wort": (0.96, 0.76, 0.44, 0.91),
    "rifampicin": (0.90, 0.60, 0.15, 0.50),
    "grapefruit": (1.13, 1.67, 2.51, 1.00),
    "moderate_hepatic_impairment": (1.76, 2.05, 2.50, 1.67),
}


def exposure(values: dict[str, float], route: DrugInput) -> tuple[float, float]:
    """Area under plasma ketamine and norketamine of S after a unit dose: -A^-1 b."""
    p = individual(replace(Parameters(), values))
    d = pk.s_disposition(p)
    n = len(dataclasses.fields(EnantiomerState))
    none = pk.delivered(DrugInput(), p.absorption, p.depots)
    matrix = np.array(
        [
            jax.tree.leaves(
                pk.enantiomer_rates(EnantiomerState(*unit), none, d, p.absorption, p.depots)
            )
            for unit in np.eye(n)
        ],
        dtype=float,
    ).T
    inflow = pk.delivered(route, p.absorption, p.depots)
    names = [field.name for field in dataclasses.fields(EnantiomerState)]
    dose = np.array([float(inflow.get(name, 0.0)) for name in names])
    area = np.linalg.solve(-matrix, dose)
    return area[names.index("central")] / d.central, area[
        names.index("norketamine")
    ] / d.norketamine


@pytest.mark.parametrize("name", INTERACTIONS)
def test_interactions(name: str) -> None:
    routes = (
        DrugInput(intravenous=1.0),
        # Three devices of 28 mg.
        DrugInput(
            nasal=1 / 3, swallowed_nasal=1 / 3, nasal_later=2 / 3, swallowed_nasal_later=2 / 3
        ),
        DrugInput(oral=1.0),
    )
    changed = [exposure(OVERRIDES[name], route) for route in routes]
    usual = [exposure({}, route) for route in routes]
    found = [a[0] / b[0] for a, b in zip(changed, usual, strict=True)]
    found.append(changed[0][1] / usual[0][1])
    np.testing.assert_allclose(found, INTERACTIONS[name], atol=0.02)


@pytest.mark.parametrize(("alleles", "ratio"), [(1.0, 1.07), (2.0, 1.17)])
def test_cyp2b6_variants_relative_to_the_wild_type(alleles: float, ratio: float) -> None:
    route = DrugInput(intravenous=1.0)
    variant = exposure({"demography.cyp2b6_variants": alleles}, route)[0]
    assert abs(variant / exposure({"demography.cyp2b6_variants": 0.0}, route)[0] - ratio) < 0.02


def test_derived_constants() -> None:
    """Clearance, extraction and volumes that the document derives, for S and R."""
    p = individual(Parameters())
    s = pk.s_disposition(p)
    r = pk.r_disposition(s, p.enantiomers)
    for d, clearance, extraction, volume in ((s, 89.9, 0.595, 401.0), (r, 84.7, 0.561, 357.0)):
        e = d.intrinsic_clearance / (d.hepatic_flow + d.intrinsic_clearance)
        np.testing.assert_allclose(d.hepatic_flow * e, clearance, rtol=0.002)
        np.testing.assert_allclose(e, extraction, rtol=0.002)
        steady = d.central + d.fast + d.slow + d.liver * (1 - e)
        np.testing.assert_allclose(steady, volume, rtol=0.002)
