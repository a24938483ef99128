"""What an integration returns: states, and for each patient a status and an error estimate."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import jax.numpy as jnp
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


def status_of(error: Any, ceiling: Any, pilot: int) -> Any:
    """Status of patients from their errors.

    Args:
        error: (patient,) largest local error over the tolerance; infinite where not finite.
        ceiling: error that is accepted.
        pilot: status with which the mesh's pilot ended; it is that of all who did not fail.

    Returns:
        (patient,) int8, of the kind of array that ``error`` is.
    """
    library = np if isinstance(error, np.ndarray) else jnp
    status = library.where(error > ceiling, np.int8(Status.MAX_STEPS), np.int8(pilot))
    return library.where(library.isinf(error), np.int8(Status.NON_FINITE), status)


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
