"""Bins that nobody has to choose: the leading bits of a number.

The leading bits of the float32 number |x| + t are a bin number. Above t the width of bins is a
constant share of the value, below it constant; t is a small part of the scale of the readout.
"""

import dataclasses
import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

KEPT_BITS = 10
"""Bits of the fraction of a float32 number that number a bin: 1024 from a value to twice it."""

FLOOR = 2.0**-10
"""Below this part of the scale of a readout bins have constant width [1]."""

UNIT = 2.0**-18
"""What values are rounded to in sums, as a part of the scale of their readout [1]."""

_SHIFT = 23 - KEPT_BITS


@dataclasses.dataclass(frozen=True)
class Ruler:
    """Bins and unit of a readout; sketches that are merged have the same.

    Attributes:
        scale: Size of the readout [its unit], a power of two.
    """

    scale: float

    @classmethod
    def of(cls, size: float) -> Self:
        """The ruler of a readout of about some size: the power of two that is next above it."""
        positive = size if math.isfinite(size) and size > 0.0 else 1.0
        return cls(2.0 ** math.ceil(math.log2(positive)))

    @property
    def floor(self) -> float:
        """Where bins of constant width end [unit of the readout]."""
        return FLOOR * self.scale

    @property
    def unit(self) -> float:
        """What values are rounded to in sums [unit of the readout]."""
        return UNIT * self.scale

    def quantile_error(self, value: NDArray[np.floating] | float) -> NDArray[np.floating] | float:
        """Farthest that a quantile of a sketch lies from that of the numbers themselves.

        Equation:
            e = 2^-10 (|x| + t), and what float32 rounds

        Args:
            value: Quantiles [unit of the readout].
        """
        return (2.0**-KEPT_BITS + 2.0**-22) * (np.abs(value) + self.floor)

    def number(
        self,
        values: NDArray[np.float32],
        lowest: float,
        out: NDArray[np.float32] | None = None,
        origin: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """Numbers of the bins of some values; they rise with the value.

        Args:
            values: Finite values.
            lowest: The least of them.
            out: Memory for the result, of the shape of the values.
            origin: Numbers to count from, 0 if None.
        """
        floor, start = np.float32(self.floor), np.int32(0) if origin is None else origin
        base = floor.view(np.int32) >> _SHIFT
        far = values if lowest >= 0.0 else np.abs(values, out=out)
        bins = np.add(far, floor, out=out).view(np.int32)
        np.right_shift(bins, _SHIFT, out=bins)
        if lowest >= 0.0:
            return np.subtract(bins, base + start, out=bins)
        np.subtract(bins, base, out=bins)
        np.invert(bins, where=values < 0.0, out=bins)
        return np.subtract(bins, start, out=bins)

    def edges(self, bins: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends of bins [unit of the readout]."""
        floor = np.float32(self.floor)
        near = np.where(bins < 0, ~bins, bins).astype(np.int32) + (floor.view(np.int32) >> _SHIFT)
        low, high = (
            ((near + step) << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
            - self.floor
            for step in (0, 1)
        )
        return np.where(bins < 0, -high, low), np.where(bins < 0, -low, high)
