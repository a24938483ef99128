"""How observations of a patient scatter about what is predicted: by readout, or as a line says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_settings import Residual
from ketjax.model.parameters import leaf
from ketjax.observation import RATED, READABLE

Array = NDArray[np.float64]

LEAST = 1e-3  # least residual SD, as a share of the scale of a readout; assumed
ROUNDED = 1 / 12  # variance of what rounding to whole points leaves out [points^2]


class Scatter:
    """Residual SD of every observation as a function of its prediction.

    Equation:
        s^2 = a^2 + (b f)^2 + (l scale)^2
        rated score, mu = f/Smax within [eS, 1 - eS]:
            s^2 = sdOU^2 4 mu (1 - mu) + Smax^2 mu (1 - mu)/(phiS + 1) + 1/12
        where a line has an SD, s is that

    The days of a patient are alike when they are near (`ratings.latent`); here they count as
    independent, and ratings at time 0 scatter as all others do.
    """

    def __init__(self, plan: IndividualPlan, base: object) -> None:
        """Of the observations of a plan.

        Args:
            plan: The plan.
            base: Parameters of the median patient.
        """
        observed = list(plan.observations.values())
        shape = (len(observed), max(map(len, observed)))
        self.values = np.full(shape, np.nan)
        self._fixed = np.full(shape, np.nan)
        self._additive, self._proportional = np.zeros(shape), np.zeros(shape)
        self._rated = np.zeros(shape, bool)
        for row, some in enumerate(observed):
            for k, one in enumerate(some):
                error = plan.error.get(one.quantity, Residual())
                least = LEAST * READABLE[one.quantity].scale
                self.values[row, k] = one.value
                self._fixed[row, k] = one.sd
                self._additive[row, k] = np.hypot(error.additive, least)
                self._proportional[row, k] = error.proportional
                self._rated[row, k] = one.quantity == RATED and one.quantity not in plan.error

        def number(path: str) -> float:
            return float(leaf(base, path))  # pyright: ignore[reportArgumentType]

        self._most = number("score.rating_maximum")
        self._floor = number("rating.mean_floor")
        days = 4 * number("rating.fluctuation") ** 2
        self._points = days + self._most**2 / (number("rating.precision") + 1)

    def spread(self, predicted: Array, patients: NDArray[np.int64]) -> tuple[Array, Array]:
        """Residual SD, and its derivative by the prediction.

        Args:
            predicted: f [unit of each], shape (patient, observation).
            patients: Whose.

        Returns:
            s [unit of each] and ds/df [1].
        """
        share = np.clip(predicted / self._most, self._floor, 1 - self._floor)
        rated = np.sqrt(self._points * share * (1 - share) + ROUNDED)
        inside = (share == predicted / self._most).astype(float)
        rated_change = inside * self._points * (1 - 2 * share) / (2 * rated * self._most)
        proportional = self._proportional[patients]
        sd = np.hypot(self._additive[patients], proportional * predicted)
        with np.errstate(invalid="ignore"):
            change = np.where(sd > 0, proportional**2 * predicted / sd, 0.0)
        sd = np.where(self._rated[patients], rated, sd)
        change = np.where(self._rated[patients], rated_change, change)
        given = np.isfinite(self._fixed[patients])
        fixed = np.where(given, self._fixed[patients], sd)
        return fixed, np.where(given, 0.0, change)
