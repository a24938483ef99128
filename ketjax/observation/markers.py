"""Readouts as a laboratory, a scanner or a cuff measures them: each time with noise of its own.

A measured readout is called as the readout it shows with `_measured` behind. The noise of a region
is independent of that of the other.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ketjax.model.parameters import Measurement, Parameters
from ketjax.model.readouts import REGIONS
from ketjax.observation.noise import Noise

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Law:
    """How noise joins a value x: ln y = ln x + sd z where `relative`, else y = x + sd z.

    Attributes:
        parameter: Field of the group `measurement` that says how large the noise is.
        relative: Whether it is relative to the value.
        spread: sd from that parameter.
    """

    parameter: str
    relative: bool
    spread: Callable[[Any], Any]


def _itself(sd: Any) -> Any:
    """An SD in the unit of the readout."""
    return sd


def _of_variation(cv: Any) -> Any:
    """SD of the logarithm with a coefficient of variation: sqrt(ln(1 + cv^2))."""
    return np.sqrt(np.log1p(np.square(cv)))


def _of_pair(sd: Any) -> Any:
    """The same where the relative difference of two measurements has the SD given."""
    return _of_variation(sd / np.sqrt(2))


def _of_retest(icc: Any) -> Any:
    """SD of the noise where people differ with SD 1: sqrt((1 - icc)/icc)."""
    return np.sqrt((1 - icc) / icc)


LAWS: dict[str, Law] = {
    "dialysate_glutamate": Law("dialysate_cv", True, _of_variation),
    "systolic_pressure": Law("systolic_sd", False, _itself),
    "diastolic_pressure": Law("diastolic_sd", False, _itself),
    "heart_rate": Law("heart_rate_sd", False, _itself),
    "default_mode_connectivity": Law("network_retest", False, _of_retest),
    "salience_connectivity": Law("network_retest", False, _of_retest),
    "il6": Law("il6_cv", True, _of_variation),
    "crp": Law("crp_cv", True, _of_variation),
    "tnf": Law("tnf_cv", True, _of_variation),
    "plasma_bdnf": Law("plasma_bdnf_cv", True, _of_variation),
    "mrs_glutamate": Law("mrs_cv", True, _of_variation),
    "mrs_glutamine": Law("mrs_cv", True, _of_variation),
    "sv2a_binding": Law("sv2a_paired_sd", True, _of_pair),
}
"""By readout."""


def measured(name: str, values: Array, p: Parameters, noise: Noise) -> Array:
    """A readout as it is measured, at time 0 as well.

    Args:
        name: Readout, one of `LAWS`.
        values: x, shape (time, patient), or (region, time, patient).
        p: Parameters.
        noise: Random numbers.

    Returns:
        y in the unit of x, of the same shape; a relative noise leaves the median where it is.
    """
    law = LAWS[name]
    if values.ndim > 2:
        z = np.stack([noise.normals(f"{name} in {region}") for region in REGIONS])
    else:
        z = noise.normals(name)
    group: Measurement = p.measurement
    sd = law.spread(np.asarray(getattr(group, law.parameter), np.float64))
    return values * np.exp(sd * z) if law.relative else values + sd * z
