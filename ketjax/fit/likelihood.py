"""How far predictions are from what was published: residuals, whitened.

Half the sum of their squares is minus the log-likelihood but for a constant. Each target has its
residual in its own unit (`misfit`), its standard error, and what its trial adds to all its targets:

    e = D b + own error,  D = diag(s tau),  b ~ Normal(0, 1), one for each trial and kind of number

b is summed out: e ~ Normal(0, diag(se^2) + (s tau)(s tau)') within a trial, and the residuals are
that covariance's Cholesky factor solved by e. The targets of one published source are one trial.
A trial whose patients do better has lower scores and higher shares: kinds of number that cannot be
added, points and shares, have an effect each, and within a kind s is the direction. A target about
two arms of a trial has none of that, but one of its own: trials differ in what a drug adds too.
(That points and shares move apart, and that one effect serves all times of a trial, is assumed.)
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.fit.plan import Fit
from ketjax.fit.quantities import standard_error
from ketjax.fit.targets import Target

EDGE = 1e-3  # simulated shares are told from 0 and 1 by no less than this [1]; assumed
NEAR = 1e-2  # difference in log-odds below which the root of a deviance is a series [1]


@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
    """Standard errors and covariance of some targets.

    Attributes:
        error: Standard error of each, in the unit of its misfit, shape (target,).
        matrix: Turns misfits into residuals, shape (target, target); zero for a weight of zero.
    """

    error: np.ndarray
    matrix: np.ndarray


class Likelihood:
    """Residuals of predictions from what was published."""

    def __init__(self, fit: Fit) -> None:
        """Residuals of a fit's targets, in the order of `fit.summaries`.

        Args:
            fit: The plan; `[likelihood] trial_effects` says whether targets of a trial share one.
        """
        targets = fit.summaries
        self._targets = targets
        self._mean = np.array([target.mean for target in targets])
        self._deviation = np.array([fit.deviation(target) for target in targets])
        self._patients = np.array([effective(target) for target in targets])
        self._share = np.array([target.kind.error == "share" for target in targets])
        self._spread = np.array([target.kind.error == "spread" for target in targets])
        self._whitening = whitening(fit)

    def misfits(self, predictions: jax.Array) -> jax.Array:
        """How far each prediction is from its target, on the scale of the target's error.

        Equation:
            normal  e = x - mean
            spread  e = log(x / mean), whose standard error is 1 / sqrt(2 (n - 1)) whatever the mean
            share   e = se sign(x - y) sqrt(2 n (y log(y/x) + (1 - y) log((1 - y)/(1 - x)))):
                    half of (e/se)^2 is minus the binomial log-likelihood but for a constant

        A share among whom some left early counts for n less half of those, as in a life table.

        Args:
            predictions: Numbers [unit of each quantity], shape (target,).

        Returns:
            e, shape (target,).
        """
        mean = jnp.asarray(self._mean, predictions.dtype)
        number = predictions - mean
        # Where the prediction is no spread, or no share, the logarithms get a harmless number.
        ratio = jnp.where(self._spread, predictions / jnp.where(self._spread, mean, 1.0), 1.0)
        spread = 0.5 * jnp.log((ratio**2 + EDGE**2) / (1 + EDGE**2))  # finite at zero
        share = jnp.where(self._share, mean, 0.5)
        root = deviance_root(share, jnp.where(self._share, predictions, 0.5))
        scale = jnp.asarray(self._whitening.error * np.sqrt(self._patients), predictions.dtype)
        return jnp.where(self._share, scale * root, jnp.where(self._spread, spread, number))

    def residuals(self, predictions: jax.Array) -> jax.Array:
        """Whitened residuals.

        Args:
            predictions: Numbers [unit of each quantity], shape (target,).

        Returns:
            r [1], shape (target,); 0 for a target of weight 0. Half of sum(r^2) is minus the
            log-likelihood but for a constant. Within a trial a residual is that of its target
            given those before it.
        """
        matrix = jnp.asarray(self._whitening.matrix, predictions.dtype)
        return jnp.matmul(matrix, self.misfits(predictions), precision=jax.lax.Precision.HIGHEST)

    def deviations(self, predictions: jax.Array) -> jax.Array:
        """How far each prediction is from its target, one by one, whatever its weight.

        Args:
            predictions: Numbers [unit of each quantity], shape (target,).

        Returns:
            Difference in standard errors, that between trials included (`Fit.deviation`) [1], shape
            (target,).
        """
        mean = jnp.asarray(self._mean, predictions.dtype)
        return (predictions - mean) / jnp.asarray(self._deviation, predictions.dtype)


def deviance_root(published: jax.Array, predicted: jax.Array) -> jax.Array:
    """Signed root of the binomial deviance of one patient, finite and smooth everywhere.

    Equation:
        r = sign(x - y) sqrt(2 (y log(y/x) + (1 - y) log((1 - y)/(1 - x))));
        published and predicted share are both brought to EDGE <= y, x <= 1 - EDGE

    Args:
        published: Share [1].
        predicted: Share [1], of the same shape.

    Returns:
        r [1].
    """
    y = EDGE + (1 - 2 * EDGE) * published
    x = EDGE + (1 - 2 * EDGE) * jnp.clip(predicted, 0, 1)
    variance = y * (1 - y)
    gap = (x - y) / variance
    near = jnp.abs(gap) < NEAR
    # About x = y the root of the deviance over its first term, (x - y)^2 / variance.
    series = (
        -2 / 3 * (1 - 2 * y) * gap
        + (1 - 3 * variance) / 2 * gap**2
        - 2 / 5 * (1 - 2 * y) * (1 - 2 * variance) * gap**3
    )
    nearby = gap * jnp.sqrt(variance) * jnp.sqrt(jnp.where(near, 1 + series, 1.0))
    own, other = jnp.where(near, 0.25, y), jnp.where(near, 0.5, x)  # no root of zero where unused
    deviance = 2 * (own * jnp.log(own / other) + (1 - own) * jnp.log((1 - own) / (1 - other)))
    return jnp.where(near, nearby, jnp.sign(gap) * jnp.sqrt(deviance))


def effective(target: Target) -> float:
    """Patients that a share rests on: who left early counts for half, as in a life table."""
    return target.n - target.censored / 2


def whitening(fit: Fit) -> Whitening:
    """Standard errors of the targets of a fit, and what turns misfits into residuals.

    A weight w says that a target alone is worth w of its kind: its variance, that of its trial
    included, is 1/w of it, and what is added is the target's own. Above 1 the trial's part stays
    and the own part falls.

    Args:
        fit: The plan.
    """
    targets = fit.summaries
    error = np.array([_error(target) for target in targets])
    tau = np.array([_between(fit, target) for target in targets])
    together = fit.likelihood.trial_effects == "shared"
    groups: dict[object, list[int]] = {}
    for k, target in enumerate(targets):
        if target.weight > 0:
            groups.setdefault(_trial(target) if together else k, []).append(k)
    matrix = np.zeros((len(targets), len(targets)))
    for group in groups.values():
        shared = np.array([_direction(targets[k]) for k in group]) * tau[group]
        weight = np.array([targets[k].weight for k in group])
        own = np.where(
            weight <= 1,
            (error[group] ** 2 + shared**2) / weight - shared**2,
            error[group] ** 2 / weight,
        )
        covariance = np.diag(own) + np.outer(shared, shared)
        matrix[np.ix_(group, group)] = np.linalg.inv(np.linalg.cholesky(covariance))
    return Whitening(error, matrix)


def _error(target: Target) -> float:
    """Standard error in the unit of the misfit."""
    if target.kind.error == "spread":
        return target.error / target.mean
    if target.kind.error == "share":
        return standard_error(target.kind, target.mean, target.spread, effective(target))
    return target.error


def _between(fit: Fit, target: Target) -> float:
    """SD between trials in the unit of the misfit."""
    scale = target.mean if target.kind.error == "spread" else 1.0
    return fit.between(target) / scale


def _trial(target: Target) -> tuple[object, ...]:
    """Targets with the same share an effect."""
    if target.versus:
        return (target.source, target.line, target.name)
    if target.quantity in ("score", "change"):
        return (target.source, "points")
    if target.kind.error == "share" or target.quantity == "percent change":
        return (target.source, "shares")
    return (target.source, target.quantity)


def _direction(target: Target) -> int:
    """Which way the target moves in a trial whose effect is positive."""
    return -1 if target.quantity == "percent change" else 1
