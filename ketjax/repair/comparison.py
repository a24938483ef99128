"""Repair beside rejection: what an accepted patient costs, and how far repaired ones are off.

Rejection keeps the drawn patients who are plausible: exact draws from the prior given the bounds.
Repaired patients are none: they gather near the bounds, on the side from which they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ketjax.repair.moves import Box

Floats = NDArray[np.float64]

EDGE, NEAR = 0.01, 0.1  # distances to a bound, in widths of the box


@dataclass(frozen=True)
class Costs:
    """What was spent, in marches of one patient through the arms of the bounds.

    Attributes:
        drawn: Patients drawn and marched once.
        plausible: Those who were plausible as drawn.
        repaired: Those who are plausible after repair, marched again.
        failed: Those whose march failed as drawn.
        gradients: Marches with a gradient.
        price: What such a march costs, measured in marches.
        checked: Marches to see that the repaired are plausible.
        further: Patients who were only drawn, to know rejection better.
        further_plausible: Those of them who are plausible.
    """

    drawn: int
    plausible: int
    repaired: int
    failed: int
    gradients: int
    price: float
    checked: int
    further: int = 0
    further_plausible: int = 0

    @property
    def by_rejection(self) -> float:
        """Marches for each accepted patient if nobody is repaired, by all who were drawn."""
        plausible = self.plausible + self.further_plausible
        return (self.drawn + self.further) / plausible if plausible else np.inf

    @property
    def by_repair(self) -> float:
        """Marches for each accepted patient, the plausible as drawn among them."""
        accepted = self.plausible + self.repaired
        spent = self.drawn + self.price * self.gradients + self.checked
        return spent / accepted if accepted else np.inf

    @property
    def of_a_repair(self) -> float:
        """Marches spent on repair alone for each repaired patient."""
        spent = self.price * self.gradients + self.checked
        return spent / self.repaired if self.repaired else np.inf


@dataclass(frozen=True)
class Bias:
    """How accepted patients differ from those of rejection; NaN where there are too few.

    Attributes:
        reference: Patients of rejection to compare with.
        moved: Mean and greatest distance |e - e_0| of the repaired [1].
        edge: Share within `EDGE` of a bound: of rejection, of the repaired.
        near: The same within `NEAR`.
        neighbour: Mean distance to the nearest of as many patients [1]: rejection, accepted.
        covariance: Frobenius distance of the covariances of accepted and rejection over its norm.
        noise: The same between two halves of rejection, of which noise alone makes.
        means, deviations: By parameter: of rejection, of all accepted, of the repaired [1].
    """

    reference: int
    moved: tuple[float, float]
    edge: tuple[float, float]
    near: tuple[float, float]
    neighbour: tuple[float, float]
    covariance: float
    noise: float
    means: dict[str, tuple[float, float, float]]
    deviations: dict[str, tuple[float, float, float]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def compare(
    paths: Sequence[str],
    box: Box,
    reference: tuple[Floats, Floats],
    kept: tuple[Floats, Floats],
    repaired: tuple[Floats, Floats],
    start: Floats,
) -> Bias:
    """Compare the random effects of accepted patients with those of rejection.

    Args:
        paths: Parameters behind the effects.
        box: The bounds.
        reference: Effects (effect, patient) and what is bounded (bound, patient), of rejection.
        kept: The same of patients who were plausible as drawn.
        repaired: The same of repaired patients.
        start: Effects of the repaired as drawn.

    Returns:
        What differs.
    """
    exact, accepted = reference[0], np.concatenate([kept[0], repaired[0]], axis=1)
    groups = (exact, accepted, repaired[0])
    moved = np.sqrt(((repaired[0] - start) ** 2).sum(axis=0))
    half = exact.shape[1] // 2
    number = min(exact.shape[1], accepted.shape[1])
    return Bias(
        reference=exact.shape[1],
        moved=(float(moved.mean()), float(moved.max())) if moved.size else (np.nan, np.nan),
        edge=(_share(box, reference[1], EDGE), _share(box, repaired[1], EDGE)),
        near=(_share(box, reference[1], NEAR), _share(box, repaired[1], NEAR)),
        neighbour=(_neighbour(exact, number), _neighbour(accepted, number)),
        covariance=_apart(exact, accepted),
        noise=_apart(exact[:, :half], exact[:, half:]),
        means={path: _three(np.mean, groups, k) for k, path in enumerate(paths)},
        deviations={path: _three(np.std, groups, k) for k, path in enumerate(paths)},
    )


def _three(of: Any, groups: tuple[Floats, ...], k: int) -> tuple[float, float, float]:
    first, second, third = (float(of(e[k])) if e.size else np.nan for e in groups)
    return first, second, third


def _share(box: Box, values: Floats, reach: float) -> float:
    """Share of patients who lie within a distance of a bound."""
    if not values.shape[1]:
        return np.nan
    gaps = np.minimum(values - box.low[:, None], box.high[:, None] - values)
    return float((gaps / box.scale[:, None] <= reach).any(axis=0).mean())


def _neighbour(e: Floats, number: int) -> float:
    """Mean distance to the nearest other of some patients, spread over all of them."""
    if number < 2:
        return np.nan
    some = e[:, np.linspace(0, e.shape[1] - 1, number).round().astype(int)].T
    return float(KDTree(some).query(some, k=2)[0][:, 1].mean())


def _apart(first: Floats, second: Floats) -> float:
    """Distance of two covariances over the norm of the first."""
    if min(first.shape[1], second.shape[1]) < 2:
        return np.nan
    one, other = np.atleast_2d(np.cov(first)), np.atleast_2d(np.cov(second))
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))
