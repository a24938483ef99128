"""What an integration returns: states, and for each patient a status and an error estimate."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from ketjax.solve.mesh import Mesh


class Status(IntEnum):
    """Outcome of one patient's integration; the numbers are part of the file format."""

    NOT_RUN = -1
    OK = 0
    MAX_STEPS = 1
    NON_FINITE = 2
    STEP_TOO_SMALL = 3
    NEWTON_FAILED = 4
    OUT_OF_BOUNDS = 5
    INPUT_INVALID = 6
    EVENT_LIMIT = 7
    EXCLUDED_BY_USER = 8


@dataclass(frozen=True)
class Result:
    """One block marched over a mesh.

    Attributes:
        readouts: pytree of arrays (time, patient); NaN from a patient's failure on.
        error: (patient,) largest local error over the tolerance; infinite where not finite.
        status: (patient,) int8, see ``Status``.
        y: states at the end, one array (patient,) a state; dropped states are zero.
    """

    readouts: Any
    error: Any
    status: Any
    y: tuple[Any, ...]


@dataclass(frozen=True)
class Solution:
    """Solution of an initial value problem for many patients.

    Attributes:
        times: (time,) output times.
        states: (time, state, patient); NaN from a patient's failure on.
        status: (patient,) int8, 0 = ok, see ``Status``.
        error: (patient,) largest local error over the tolerance.
        steps: number of steps of the mesh.
        mesh: the mesh, for use in another call.
    """

    times: np.ndarray
    states: np.ndarray
    status: np.ndarray
    error: np.ndarray
    steps: int
    mesh: Mesh
