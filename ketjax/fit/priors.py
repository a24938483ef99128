"""How far the free numbers are from what is known of them before the fit: residuals, whitened.

A prior is normal on the scale of its number (`Free.scale`), about the start or, in a class of
`[shared]`, about a value that the class has in common:

    x_i = c + spread z_i,  c = mean of the starts + common z,
    x ~ Normal(mean of the starts, spread^2 I + common^2 11')

c is summed out. What is maximised is the density of the numbers on that scale: it has no term for
the map into the bounds, so the optimum does not depend on how an optimiser moves.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ketjax.fit.plan import Fit
from ketjax.fit.transforms import on_scale


class Priors:
    """Residuals of the free numbers of a fit from their priors."""

    def __init__(self, fit: Fit) -> None:
        """Priors of a fit.

        Args:
            fit: The plan; free numbers in the order of `fit.unknowns`.
        """
        self._free = fit.unknowns
        centre, deviation = np.array([one.law for one in self._free]).T
        covariance = np.diag(deviation**2)
        place = {one.name: k for k, one in enumerate(self._free)}
        for shared in fit.shared.values():
            group = [place[name] for name in shared.of]
            own = shared.spread**2 * np.eye(len(group))
            covariance[np.ix_(group, group)] = own + shared.common**2
        self._centre = centre
        self._matrix = np.linalg.inv(np.linalg.cholesky(covariance))

    def residuals(self, theta: jax.Array) -> jax.Array:
        """How far the numbers are from their priors.

        Args:
            theta: Numbers without bounds, shape (free,).

        Returns:
            r [1], shape (free,): of an ordinary number its `departure`; within a class that of each
            given those before it. Half of sum(r^2) is minus the log-density but for a constant.
        """
        scaled = [
            on_scale(one.scale, one.transform.forward(theta[k])) for k, one in enumerate(self._free)
        ]
        away = jnp.stack(scaled) - jnp.asarray(self._centre, theta.dtype)
        matrix = jnp.asarray(self._matrix, theta.dtype)
        return jnp.matmul(matrix, away, precision=jax.lax.Precision.HIGHEST)
