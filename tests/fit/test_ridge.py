"""The ridge of the BDNF gate is found in the model itself.

Released BDNF is linear in its release gain krel and begins at zero, and synapses see it as Be/KB
alone: krel and the half-activation KB times the same factor leave everything downstream as it was.
Clearance kclr adds to this only a lag of 1/kclr, five minutes: at a given krel/kclr it is all but
unseen. Plasma BDNF, and psychotherapy in the plasticity window, see Be itself and would break it.
"""

import dataclasses

import numpy as np
import pytest

from ketjax.fit.free import Asked, Free, resolve, table
from ketjax.fit.identifiability import spectrum
from ketjax.fit.uncertainty import departures, in_units, information, uncertainty
from ketjax.model.parameters import replace
from ketjax.population import Recipe, draw
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import Simulation, Treatment

RELEASE, CLEARANCE = "bdnf.release_gain", "bdnf.clearance_rate"
HALF = "mtorc1.bdnf_half_activation"
PATHS = (RELEASE, CLEARANCE, HALF)
TIMES = (0.0, 1.0, 2.0, 4.0, 24.0, 72.0)
NAMES = ("synapse_density", "potentiation")
ERROR = 0.02  # SD of each number that is seen
STEP = 1e-2


def free_numbers() -> list[Free]:
    """The three numbers, as a fit frees them."""
    problems: list = []
    found = [
        resolve(Asked(path, "typical value", (path,), prior=0.3, low=1e-3, high=1e3),
                table()[path].value, table()[path].law, problems)
        for path in PATHS
    ]  # fmt: skip
    assert not problems
    return [one for one in found if one is not None]


class Gate:
    """Synapses and potentiation of the typical patient after an infusion."""

    def __init__(self, free: list[Free]) -> None:
        """Compile the model once."""
        self.free, self.names = free, tuple(one.name for one in free)
        infusion = Regimen((Dose("ketamine", "intravenous", 0.5, True, 0.0, 2 / 3),))
        self.recipe = Recipe(typical=True)
        self.population = draw(self.recipe, np.arange(1))
        arms = {"ketamine": Treatment(infusion)}
        self.simulation = Simulation(self.recipe, arms, TIMES, names=NAMES, dtype="float64")
        self.seen = self.simulated([one.start for one in free])

    def simulated(self, numbers) -> np.ndarray:
        """What is seen, as one row of numbers."""
        values = {path: np.float64(x) for path, x in zip(PATHS, numbers, strict=True)}
        parameters = replace(self.population.parameters, values)
        population = dataclasses.replace(self.population, parameters=parameters)
        found = self.simulation.solve(population)
        assert not found.status.any()
        return np.concatenate([found.readouts[name].ravel() for name in NAMES])

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Of what is seen and, last, of the priors."""
        numbers = in_units(self.free, theta)
        data = (self.simulated(numbers) - self.seen) / ERROR
        return np.concatenate([data, departures(self.free, numbers)])

    def residuals_and_jacobian(self, theta, width: float = 0.0):
        """As the protocol has it, by central differences."""
        steps = STEP * np.eye(len(theta))
        columns = [
            (self.residuals(theta + step) - self.residuals(theta - step)) / (2 * STEP)
            for step in steps
        ]
        return self.residuals(theta), np.array(columns).T

    def value_and_gradient(self, theta, width: float = 0.0):
        """As the protocol has it."""
        residuals, jacobian = self.residuals_and_jacobian(theta)
        return 0.5 * float(residuals @ residuals), jacobian.T @ residuals


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(free_numbers())


def test_ridge_is_exact(gate: Gate):
    start = np.array([one.start for one in gate.free])
    along = gate.simulated(start * [1.2, 1.0, 1.2])
    across = gate.simulated(start * [1.2, 1.0, 1.0])
    assert np.abs(along - gate.seen).max() < 1e-9
    assert np.abs(across - gate.seen).max() > 1e-2


def test_ridge_is_found_and_named(gate: Gate):
    theta = np.array([float(one.transform.inverse(one.start)) for one in gate.free])
    found = information(gate, theta)
    seen = spectrum(found, precision=1e-5)  # of differences
    stiff, between, flat = seen.directions
    assert seen.rank == 2
    assert flat.kind == "flat" and flat.structural
    # Equal priors on logarithms: both move by the same factor, upwards together.
    shares = {name: (share, sign) for name, share, sign in flat.participants}
    assert shares.keys() == {RELEASE, HALF}
    assert shares[RELEASE][0] == pytest.approx(0.5, abs=0.01)
    assert shares[RELEASE][1] == shares[HALF][1]
    assert f"{RELEASE} and {HALF} up together" in flat.text.replace(
        f"{HALF} and {RELEASE}", f"{RELEASE} and {HALF}"
    )
    # What is well known is the ratio krel/(kclr KB); what is left, the lag of clearance, hardly.
    assert stiff.kind == "stiff"
    signs = {name: sign for name, _, sign in stiff.participants}
    assert signs[RELEASE] == -signs[CLEARANCE] == -signs[HALF]
    assert between.eigenvalue < stiff.eigenvalue / 100
    known = uncertainty(gate.free, found)
    assert list(known["verdict"].values).count("identifiable") == 0
