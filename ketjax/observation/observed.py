"""Observations by name: what each is made of, its unit and how it is made.

They are readouts of a study like the model's own, but for noise: "all" readouts hold the rated
score alone of them, the others are kept where a study names them. Items are ten readouts rather
than an axis, so that a store keeps those that are asked for and holds them as any other course.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ketjax.model.parameters import Parameters
from ketjax.model.readouts import READOUTS, Readout
from ketjax.observation import markers, ratings
from ketjax.observation.noise import Noise

RATED = "madrs_rated"


@dataclasses.dataclass(frozen=True)
class Observed:
    """One observation.

    Attributes:
        name: Public name.
        of: Readout of the model that it shows.
        unit: Unit.
        scale: As of a readout.
        meaning: What it is.
        regional: Whether it comes once for each region.
        compute: From values of `of` in one arm, parameters and random numbers.
    """

    name: str
    of: str
    unit: str
    scale: float
    meaning: str
    regional: bool
    compute: Callable[[NDArray[np.float64], Parameters, Noise], NDArray[np.float64]]


def _rating(name: str, meaning: str, compute: Callable) -> Observed:
    row = READOUTS["madrs"]
    return Observed(name, row.name, row.unit, row.scale, meaning, False, compute)


def _measured(name: str) -> Observed:
    row = READOUTS[name]
    plain = row.meaning.removesuffix(" and without the noise of a scan")
    meaning = f"{plain}, with the noise of the method"
    compute = partial(markers.measured, name)
    return Observed(f"{name}_measured", name, row.unit, row.scale, meaning, row.regional, compute)


_TABLE = (
    _rating(RATED, "depression score as rated, MADRS", ratings.rating),
    *(
        _rating(f"madrs_item_{k + 1:02}", f"MADRS item, {text}", partial(ratings.item, k))
        for k, text in enumerate(ratings.ITEMS)
    ),
    _rating("hamd17_rated", "depression score as rated, HAM-D17", ratings.hamd),
    *map(_measured, markers.LAWS),
)
OBSERVED: dict[str, Observed] = {row.name: row for row in _TABLE}
READABLE: dict[str, Readout | Observed] = {**READOUTS, **OBSERVED}
"""Everything that can be kept of a course in time."""


def needed(names: Sequence[str]) -> tuple[str, ...]:
    """Readouts of the model that the named ones are, or are made of; each once."""
    return tuple(
        dict.fromkeys(
            [name for name in names if name in READOUTS]
            + [OBSERVED[name].of for name in names if name in OBSERVED]
        )
    )


def observe(
    names: Sequence[str],
    values: Mapping[str, NDArray],
    parameters: Sequence[Parameters],
    noise: Noise,
) -> dict[str, NDArray]:
    """Make the observations among some readouts.

    Args:
        names: Readouts and observations.
        values: Readouts of the model by name, the arm first, the patient last.
        parameters: Parameters as drawn, of each arm.
        noise: Random numbers.

    Returns:
        Observations by name, of the shape and type of what they are made of.
    """
    found = {}
    for row in (OBSERVED[name] for name in names if name in OBSERVED):
        arms = [
            row.compute(arm.astype(np.float64), p, noise).astype(arm.dtype)
            for arm, p in zip(values[row.of], parameters, strict=True)
        ]
        found[row.name] = np.stack(arms)
        noise.forget_but(*ratings.SHARED)
    return found
