"""Exact sums of whole numbers that are held in float64."""

import numpy as np
from numpy.typing import NDArray

_EXACT = 2.0**53  # whole numbers up to here are exact in float64


def sums(numbers: NDArray[np.float64], most: float) -> list[int]:
    """Exact sums of rows of whole numbers of at most some size."""
    if most * numbers.shape[1] <= _EXACT:
        return [int(total) for total in numbers.sum(axis=1).tolist()]
    return [_sum(row, most) for row in numbers]


def sums_of_squares(numbers: NDArray[np.float64], most: float) -> list[int]:
    """Exact sums of the squares of rows of whole numbers of at most some size."""
    if most * numbers.shape[1] <= _EXACT / most:
        return [int(total) for total in np.vecdot(numbers, numbers).tolist()]
    return [_sum_of_squares(row, most) for row in numbers]


def _sum(numbers: NDArray[np.float64], most: float) -> int:
    """Exact sum of whole numbers of at most some size."""
    if most * numbers.size <= _EXACT:
        return int(numbers.sum())
    high = np.floor(numbers * 2.0**-26)
    if most <= _EXACT:
        return (int(high.sum()) << 26) + int((numbers - high * 2.0**26).sum())
    return sum(map(int, numbers.tolist()))


def _sum_of_squares(numbers: NDArray[np.float64], most: float) -> int:
    """Exact sum of the squares of whole numbers of at most some size."""
    if most * 2.0**6 <= _EXACT / most:
        return _sum_of_products(numbers, numbers, most**2)
    if most > _EXACT:
        return sum(number**2 for number in map(int, numbers.tolist()))
    high = np.floor(numbers * 2.0**-20)
    low, most_high = numbers - high * 2.0**20, most * 2.0**-20 + 1.0
    crossed = _sum_of_products(high, low, most_high * 2.0**20)
    ends = _sum_of_squares(high, most_high), _sum_of_products(low, low, 2.0**40)
    return (ends[0] << 40) + (crossed << 21) + ends[1]


def _sum_of_products(a: NDArray[np.float64], b: NDArray[np.float64], most: float) -> int:
    """Exact sum of products of at most some size, in pieces that float64 adds without rounding."""
    length = int(_EXACT // most)
    if length >= a.size:
        return int(a @ b)
    end = a.size // length * length
    pieces = (numbers[:end].reshape(-1, length) for numbers in (a, b))
    return _sum(np.vecdot(*pieces), _EXACT) + int(a[end:] @ b[end:])
