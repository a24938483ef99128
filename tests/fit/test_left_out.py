"""Profiles left out in turn, with predictions that are linear in the free numbers."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ketjax.fit import Fit
from ketjax.fit.left_out import HEAD, leave_out
from ketjax.fit.likelihood import Likelihood
from ketjax.fit.priors import Priors

LINES = """\
profile,arm,design,quantity,time,mean,spread,n,unit,source,weight
A,drug,open_label,change,24 h,-16,10,40,points,S1,1
A,drug,open_label,change,72 h,-14,10,40,points,S2,1
B,drug,open_label,score,168 h,12,9,30,points,S3,1
C,drug,open_label,score,240 h,30,9,30,points,S4,0
"""
TEXT = """
name = "linear"
targets = "table.csv"

[population]
patients = 4
seed = 1

[free]
"expectancy.decay_time" = {}
"score.score_rate" = {}

[arms.drug]
expectancy = "open_label"

[[arms.drug.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
time = "0 h"
duration = "40 min"
"""
SLOPES = np.array([[4.0, 1.0], [2.0, -3.0], [1.0, 5.0], [0.0, 1.0]])
OFFSET = np.array([-12.0, -12.0, 15.0, 20.0])


class Linear:
    """Predictions OFFSET + SLOPES (theta - start), judged as the fit says."""

    def __init__(self, fit: Fit) -> None:
        """Judged by this fit."""
        self.fit = fit
        self.names = tuple(one.name for one in fit.unknowns)
        with jax.enable_x64(True):
            self.likelihood, self.priors = Likelihood(fit), Priors(fit)

    def of(self, fit: Fit) -> "Linear":
        """Judged by another."""
        return Linear(fit)

    def forget(self) -> None:
        """Nothing is kept."""

    def start(self) -> np.ndarray:
        """Where nothing has moved."""
        return self.fit.population_map(1).start()

    def predictions(self, theta: np.ndarray) -> np.ndarray:
        """Of all targets."""
        return OFFSET + SLOPES @ (theta - self.start())

    def deviations(self, theta: np.ndarray) -> np.ndarray:
        """In standard errors."""
        with jax.enable_x64(True):
            return np.asarray(self.likelihood.deviations(jnp.asarray(self.predictions(theta))))

    def residuals_and_jacobian(self, theta, width=0.0):
        """Of targets, then of priors."""
        del width
        with jax.enable_x64(True):
            predicted, where = jnp.asarray(self.predictions(theta)), jnp.asarray(theta)
            parts = [self.likelihood.residuals(predicted), self.priors.residuals(where)]
            slopes = np.asarray(jax.jacfwd(self.likelihood.residuals)(predicted)) @ SLOPES
            own = jax.jacfwd(self.priors.residuals)(where)
        return np.concatenate(parts), np.concatenate([slopes, own])

    def value_and_gradient(self, theta, width=0.0):
        """Half the sum of squares, and its slopes."""
        residuals, jacobian = self.residuals_and_jacobian(theta, width)
        return float(0.5 * residuals @ residuals), jacobian.T @ residuals


@pytest.fixture(scope="module")
def fit(tmp_path_factory) -> Fit:
    folder: Path = tmp_path_factory.mktemp("linear")
    (folder / "table.csv").write_text(LINES, "utf-8")
    return Fit.parse(TEXT, folder)


def test_what_is_left_out_does_not_speak(fit) -> None:
    """Each refit ends where the sum of squares without the profile has no slope."""
    objective = Linear(fit)
    found = leave_out(fit, objective, objective.start() + 0.1)
    assert [part.profile for part in found] == ["A", "B"]  # C weighs nothing
    for part, own in zip(found, ([0, 1], [2]), strict=True):
        theta = _lowest(objective, [k for k in (0, 1, 2) if k not in own])
        expected = objective.deviations(theta)[own]
        np.testing.assert_allclose(part.predicted, expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(
            part.shown, objective.deviations(objective.start() + 0.1)[own], rtol=1e-12
        )
        assert part.targets == len(own) and len(part.row()) == len(HEAD)


def _lowest(objective: Linear, told: list[int]) -> np.ndarray:
    """By Newton steps on residuals of some targets and all priors; no trial has two."""
    theta = objective.start()
    for _ in range(20):
        residuals, jacobian = objective.residuals_and_jacobian(theta)
        kept = [*told, 4, 5]
        step = np.linalg.lstsq(jacobian[kept], -residuals[kept], rcond=None)[0]
        theta = theta + step
    return theta
