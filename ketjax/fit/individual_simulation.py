"""Synthetic observations: what patients whose random effects are known would have shown."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ketjax.fit.individual_data import Observation
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_scatter import Scatter
from ketjax.observation import RATED


def simulate(
    plan: IndividualPlan, march: IndividualMarch, eta: NDArray[np.float64], seed: int
) -> tuple[Observation, ...]:
    """Other values for the observations of a plan, scattered as its fit takes them to be.

    Args:
        plan: Who is seen when; the values of its observations are of no account.
        march: Its patients.
        eta: Random effects, shape (patient, free).
        seed: Of the scatter.

    Returns:
        Observations, patient by patient. A rated score is a whole number on its scale, nothing is
        negative.
    """
    everybody = np.arange(eta.shape[0])
    predicted = march.predict(eta, everybody, slopes=False).values
    sd, _ = Scatter(plan, march.effects.base).spread(predicted, everybody)
    values = predicted + sd * np.random.default_rng(seed).standard_normal(sd.shape)
    most = float(march.effects.base.score.rating_maximum)  # pyright: ignore[reportArgumentType]
    found = []
    for row, some in zip(values, plan.observations.values(), strict=True):
        for value, one in zip(row, some, strict=False):
            number = max(float(value), 0.0)
            if one.quantity == RATED:
                number = float(round(min(number, most)))
            found.append(dataclasses.replace(one, value=number))
    return tuple(found)
