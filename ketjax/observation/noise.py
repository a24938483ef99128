"""Random numbers of observations: by name, time and patient, the same in every arm."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketjax.population.designs import random_normals

Array = NDArray[np.float64]


class Noise:
    """Standard normal numbers of some patients at some times.

    A number depends on the seed, on what is observed, on the time and on the patient's identity: on
    nobody beside, on no block and on no arm.

    Attributes:
        times: Output times [h], shape (time,).
        absent: Nobody is observed with noise: all numbers are 0.
    """

    def __init__(
        self, seed: int, times: Array, patients: NDArray[np.int64], *, absent: bool = False
    ) -> None:
        """Numbers of a study.

        Args:
            seed: Seed of the study.
            times: Output times [h], strictly increasing.
            patients: Identities, shape (patient,).
            absent: Leave noise out.
        """
        self.times, self.absent = times, absent
        self._seed, self._patients = seed, patients
        self._drawn: dict[str, Array] = {}

    def normals(self, name: str) -> Array:
        """Independent numbers of one observation, shape (time, patient)."""
        if name not in self._drawn:
            streams = tuple(f"{name} at {round(time * 3600)} s" for time in self.times)
            shape = (self.times.size, self._patients.size)
            self._drawn[name] = (
                np.zeros(shape)
                if self.absent
                else random_normals(self._seed, streams, self._patients)
            )
        return self._drawn[name]

    def forget_but(self, *names: str) -> None:
        """Free the numbers of all other observations; they would be the same if drawn again."""
        self._drawn = {name: z for name, z in self._drawn.items() if name in names}

    def course(self, name: str, memory: ArrayLike) -> Array:
        """A stationary process of unit variance whose values are alike when near in time.

        It is sampled exactly, whatever the output times: a value at one time depends on those
        before, so the same patient has another course where a study has other output times.

        Equation:
            dX = -X/tau dt + sqrt(2/tau) dW, X(first time) ~ Normal(0, 1);
            X(t + d) = exp(-d/tau) X(t) + sqrt(1 - exp(-2 d/tau)) z

        Args:
            name: What fluctuates.
            memory: tau [h], a scalar or of shape (patient,).

        Returns:
            X [1], shape (time, patient).
        """
        course = self.normals(name).copy()
        for k, gap in enumerate(np.diff(self.times), start=1):
            kept = np.exp(-gap / np.asarray(memory, np.float64))
            course[k] = kept * course[k - 1] + np.sqrt(1 - kept**2) * course[k]
        return course
