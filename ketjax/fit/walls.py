"""Walls: no profile may end farther from its targets than it began.

What is known weighs profiles by their errors, so a fit may pay for ten targets met better with one
that is met worse. Where that is not wanted, every profile has one more residual, which is nothing
as long as the profile does better than at the start:

    r = max(0, sqrt(m / m_start) - 1 + MARGIN) / MARGIN,  m = sum(weight deviation^2) of the profile

To be as far as at the start costs half a unit, and much more beyond. A wall is a choice and no
knowledge: how well a fit knows its numbers is asked without walls (`identify`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.fit.plan import Fit

MARGIN = 0.03  # share of the distance at the start before which a wall begins; a choice
LEAST = 0.01  # misfit of a target that is as good as none [SE^2]; a choice


class Walls:
    """Residuals that keep each profile from being met worse than at the start.

    Attributes:
        profiles: Those whose targets weigh something, in the order of the residuals.
    """

    def __init__(self, fit: Fit, start: np.ndarray) -> None:
        """Walls about where a fit begins.

        Args:
            fit: The fit.
            start: Deviations of its targets there [SE], shape (target,).
        """
        weight = np.array([target.weight for target in fit.summaries])
        own = np.array([target.profile for target in fit.summaries])
        self.profiles = tuple(dict.fromkeys(own[weight > 0].tolist()))
        self._weight = np.array([weight * (own == profile) for profile in self.profiles])
        self._least = np.maximum(self._weight @ start**2, LEAST * self._weight.sum(axis=1))

    def residuals(self, deviations: jax.Array) -> jax.Array:
        """How far each profile stands in its wall.

        Args:
            deviations: Predicted less published [SE], shape (target,).

        Returns:
            r [1], shape (profile,); 0 where a profile is met better than at the start.
        """
        share = jnp.asarray(self._weight) @ deviations**2 / jnp.asarray(self._least)
        # Where there is no wall there is no root either, whose slope at zero is infinite.
        return (jnp.sqrt(jnp.maximum(share, (1.0 - MARGIN) ** 2)) - 1.0 + MARGIN) / MARGIN

    def bend(self, deviations: np.ndarray) -> np.ndarray:
        """What deviations have to be multiplied by to bend as walls do.

        A square in a root in a square is far from linear, so Gauss-Newton, which sees how r rises,
        has to be told how it bends:

            d2(r^2 / 2) = dr dr' + diag(bend^2),  bend^2 = 2 weight r dr/dm

        without what the root adds to it along dm, which is negative and small near the wall.

        Args:
            deviations: Predicted less published [SE], shape (target,).

        Returns:
            Shape (target,) [1].
        """
        height = np.asarray(self.residuals(jnp.asarray(deviations)))
        root = np.sqrt(self._weight @ deviations**2 * self._least)
        slope = np.divide(0.5 * height, MARGIN * root, out=np.zeros_like(root), where=height > 0)
        return np.sqrt(2.0 * slope @ self._weight)
