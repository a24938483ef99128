"""How well a fit predicts what it was not shown: each profile left out in turn.

The same patients and meshes serve every refit, and a refit begins where the whole fit ended, so
that few iterations of Gauss-Newton are enough. The numbers that only the left-out profile could
tell stay at their priors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ketjax.fit import methods
from ketjax.fit.optimise import optimise
from ketjax.fit.plan import Fit

ITERATIONS = 8  # of Gauss-Newton in each refit; assumed to be enough from where the fit ended
MET = 2.0  # standard errors within which a target counts as met


class Objective(methods.Objective, Protocol):
    """An objective whose targets can be weighed anew."""

    def of(self, fit: Fit, /) -> Objective:
        """The objective of a fit that differs in the weights of its targets alone."""
        ...

    def forget(self) -> None:
        """Let go of what the last evaluation left in memory."""
        ...

    def deviations(self, theta: np.ndarray, /) -> np.ndarray:
        """Predicted less published, in standard errors [1], shape (target,)."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class LeftOut:
    """A profile that was left out.

    Attributes:
        profile: Which.
        targets: How many of its targets weigh something.
        shown: Deviations of these targets where the fit was shown them, in standard errors.
        predicted: Deviations where it was not.
        moved: Largest departure of a free number from the whole fit, in SDs of its prior.
        mover: The number that moved most.
        stop: Why the refit ended.
    """

    profile: str
    targets: int
    shown: np.ndarray
    predicted: np.ndarray
    moved: float
    mover: str
    stop: str

    def row(self) -> list[str]:
        """As `HEAD` names the cells."""
        return [
            self.profile,
            str(self.targets),
            f"{np.sqrt(np.mean(self.shown**2)):.2f}",
            f"{np.sqrt(np.mean(self.predicted**2)):.2f}",
            str(int(np.sum(np.abs(self.predicted) <= MET))),
            f"{np.max(np.abs(self.predicted)):.2f}",
            f"{self.mover} {self.moved:+.2f}",
        ]


HEAD = [
    "profile",
    "targets",
    "root mean square, fitted [SE]",
    "root mean square, left out [SE]",
    "within 2 SE, left out",
    "farthest, left out [SE]",
    "moved most [SD of its prior]",
]


def leave_out(
    fit: Fit,
    objective: Objective,
    theta: np.ndarray,
    profiles: Sequence[str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[LeftOut]:
    """Fit again without each profile, and predict it.

    Args:
        fit: The fit.
        objective: Its objective, without walls.
        theta: Where it ended, numbers without bounds, shape (free,).
        profiles: Which to leave out; all whose targets weigh something if not given.
        tell: Called before each refit.

    Returns:
        One for each profile.
    """
    weighty = np.array([target.weight > 0 for target in fit.summaries])
    names = np.array([target.profile for target in fit.summaries])
    chosen = profiles or list(dict.fromkeys(names[weighty].tolist()))
    settings = fit.optimise.model_copy(
        update={"methods": ("gauss_newton",), "iterations": ITERATIONS, "width": 0.0}
    )
    if fit.optimise.no_profile_worse:  # walls are asked nothing here: the optimum without them
        tell("All profiles, without walls")
        theta = optimise(objective, settings, theta[None]).theta
    whole = objective.deviations(theta)
    found = []
    for place, profile in enumerate(chosen):
        tell(f"Without {profile} ({place + 1} of {len(chosen)})")
        other = objective.of(_without(fit, profile))
        result = optimise(other, settings, theta[None])
        other.forget()
        own = weighty & (names == profile)
        departures = [
            float(one.departure(one.transform.forward(after)))
            - float(one.departure(one.transform.forward(before)))
            for one, after, before in zip(fit.unknowns, result.theta, theta, strict=True)
        ]
        most = int(np.argmax(np.abs(departures)))
        found.append(
            LeftOut(
                profile,
                int(own.sum()),
                whole[own],
                objective.deviations(result.theta)[own],
                departures[most],
                objective.names[most],
                result.searches[0].stops[-1],
            )
        )
    return found


def _without(fit: Fit, profile: str) -> Fit:
    """The same fit, in which the targets of a profile weigh nothing."""
    other = fit.model_copy()
    other._table = tuple(
        dataclasses.replace(target, weight=0.0) if target.profile == profile else target
        for target in fit.summaries
    )
    return other
