"""Counting what falls in which bin."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array


class Tally:
    """Mass by bin, of as many numbers at a time as there is mass for.

    A sparse column adds up what it holds in one row when it is multiplied by one, and its row
    numbers are the bins. `np.bincount` takes twice as long: it copies the bins to int64 and looks
    for their ends first; it also holds Python's lock.
    """

    def __init__(self, mass: NDArray[Any]) -> None:
        """Of numbers that weigh so much, whole numbers in int32 or float64."""
        self._one = np.ones(1, mass.dtype)
        self._column = _column(mass, np.zeros(mass.size, np.int32), 1)

    @property
    def bins(self) -> NDArray[np.int32]:
        """Memory for the bins of the numbers, which are counted from 0."""
        return self._column.indices

    def counts(self, width: int) -> NDArray[np.int64]:
        """Mass in each of the first bins; no number may be in a bin beyond them."""
        if width > self._column.shape[0]:
            self._column = _column(self._column.data, self.bins, 2 * width)
        return (self._column @ self._one)[:width].astype(np.int64)


def _column(mass: NDArray[Any], bins: NDArray[np.int32], width: int) -> Any:
    """The column; only if its ends are int32 as well are the bins not copied."""
    return csc_array((mass, bins, np.array([0, mass.size], np.int32)), shape=(width, 1))
