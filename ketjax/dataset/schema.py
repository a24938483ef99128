"""What is on disk: dimensions, coordinates, variables and the status of a patient.

A store holds one block of numbers a variable. The patient axis is always last and contiguous; a
readout is ``(arm, time, patient)`` or ``(arm, region, time, patient)``, a status is
``(arm, patient)``, a drawn parameter or a covariate is ``(patient,)``.

Names are public names: a readout is called as in the study (``madrs``), a drawn parameter by its
dotted path (``receptors.kd_interneuron``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec, Crc32cCodec

SCHEMA_VERSION = 1
"""Raised when a store written before can no longer be read by the code of today."""

DIMENSIONS = ("arm", "region", "time", "patient")
DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64")
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")

STATUS_FLAGS: Mapping[int, str] = MappingProxyType(
    {
        -1: "not_run",
        0: "ok",
        1: "max_steps",
        2: "non_finite",
        3: "step_too_small",
        4: "newton_failed",
        5: "out_of_bounds",
        6: "input_invalid",
        7: "event_limit",
        8: "excluded_by_user",
    }
)
"""Meaning of a patient's status. Codes are never renumbered."""

NOT_RUN = -1
OK = 0

# Makes readouts as small as zstd with shuffled bytes does, and takes less time for it.
_COMPRESSION = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
COMPRESSORS = (_COMPRESSION, Crc32cCodec())
"""How every array is stored; the checksum notices damage."""


@dataclass(frozen=True)
class Variable:
    """One variable of the store.

    Attributes:
        name: Public name: letters, digits, ``_``, ``-`` and dots.
        dims: Dimensions in the order of `DIMENSIONS`, the last one ``patient``.
        unit: Unit as text, ``"1"`` when dimensionless.
        long_name: What the numbers mean, for people.
        dtype: NumPy name of the type on disk, one of `DTYPES`.
        attributes: Further (name, value) pairs for the file.
    """

    name: str
    dims: tuple[str, ...]
    unit: str
    long_name: str
    dtype: str = "float32"
    attributes: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a variable that the store could not hold."""
        if not NAME.fullmatch(self.name) or self.name in (*DIMENSIONS, "journal"):
            raise ValueError(f"variable name {self.name!r} is not allowed in a store")
        ordered = tuple(dim for dim in DIMENSIONS if dim in self.dims)
        if self.dims != ordered or self.dims[-1:] != ("patient",):
            raise ValueError(
                f"variable {self.name!r} has dims {self.dims}; allowed are some of {DIMENSIONS} "
                "in this order, the last one 'patient'"
            )
        if self.dtype not in DTYPES:
            raise ValueError(f"variable {self.name!r} has dtype {self.dtype!r}; one of {DTYPES}")

    @property
    def fill(self) -> float | int:
        """Value of a number that was never written: NaN, or -1 for integers."""
        return np.nan if self.dtype.startswith("float") else -1


@dataclass(frozen=True)
class Coordinates:
    """The axes of a store.

    Attributes:
        arms: Names of the arms.
        regions: Names of the brain regions, empty when no variable has a region.
        times: Output times [h] from the start, strictly increasing.
        patients: Number of patients; their ids are 0, 1, ... patients - 1.
    """

    arms: tuple[str, ...]
    regions: tuple[str, ...]
    times: tuple[float, ...]
    patients: int

    def __post_init__(self) -> None:
        """Refuse axes that could not be told apart when read back."""
        for axis, names in (("arm", self.arms), ("region", self.regions)):
            if len(set(names)) < len(names) or not all(map(NAME.fullmatch, names)):
                raise ValueError(f"names of axis {axis!r} must be plain and different: {names}")
            if len(names) > np.iinfo(np.int8).max:
                raise ValueError(f"axis {axis!r} has {len(names)} names; at most 127")
        times = np.asarray(self.times, dtype=np.float64)
        if not self.arms or not len(times) or self.patients < 1:
            raise ValueError("a store needs at least one arm, one time and one patient")
        if not (np.isfinite(times).all() and (np.diff(times) > 0.0).all()):
            raise ValueError("times must be finite and strictly increasing")

    def sizes(self) -> dict[str, int]:
        """Length of each dimension."""
        lengths = (len(self.arms), len(self.regions), len(self.times), self.patients)
        return dict(zip(DIMENSIONS, lengths, strict=True))


def flags(meanings: Mapping[int, str]) -> dict[str, Any]:
    """CF attributes that give integer codes their names.

    Args:
        meanings: Code to name; names hold no blank.

    Returns:
        The attributes ``flag_values`` and ``flag_meanings``.
    """
    return {"flag_values": list(meanings), "flag_meanings": " ".join(meanings.values())}


STATUS = Variable(
    "status",
    ("arm", "patient"),
    "1",
    "outcome of the simulation of a patient",
    "int8",
    tuple(flags(STATUS_FLAGS).items()),
)
SOLVER_ERROR = Variable(
    "solver_error",
    ("arm", "patient"),
    "1",
    "largest local error in units of the tolerance",
    attributes=(("ancillary_variables", "status"),),
)

DRAW = Variable(
    "draw", ("patient",), "1", "posterior draw whose typical values the patient has", "int32"
)
WEIGHT = Variable(
    "weight",
    ("patient",),
    "1",
    "weight of a patient, sum 1; 0 where the simulation failed in an arm",
    "float64",
)
"""Written by an analysis of a finished store, never by a run."""


def readout(
    name: str,
    unit: str,
    long_name: str,
    *,
    regional: bool = False,
    dtype: str = "float32",
    scale: float | None = None,
) -> Variable:
    """A course in time, per arm and patient, and per region where `regional`.

    Its scale, if that is known, is its usual size [unit].
    """
    dims = ("arm", "region", "time", "patient") if regional else ("arm", "time", "patient")
    attributes: dict[str, Any] = {"ancillary_variables": "status"}
    if scale is not None:
        attributes["scale"] = scale
    return Variable(name, dims, unit, long_name, dtype, tuple(attributes.items()))


def outcome(
    name: str,
    unit: str,
    long_name: str,
    *,
    dtype: str = "float64",
    meanings: Mapping[int, str] | None = None,
) -> Variable:
    """What became of a patient in an arm: one number, or a code with its meanings."""
    attributes: dict[str, Any] = {"ancillary_variables": "status"}
    if meanings:
        attributes |= flags(meanings)
    return Variable(name, ("arm", "patient"), unit, long_name, dtype, tuple(attributes.items()))


def trait(name: str, unit: str, long_name: str, *, dtype: str = "float32") -> Variable:
    """A drawn parameter or a covariate: one number a patient, the same in every arm."""
    return Variable(name, ("patient",), unit, long_name, dtype)
