"""Sparse LU of a matrix whose entries are arrays over patients, written out element by element.

The elimination order is chosen from the sparsity alone (Markowitz counts on the diagonal), so that
the factor of a nearly triangular system has hardly more entries than the matrix. There is no
pivoting by value: the matrix ``I / (gamma h) - J`` becomes diagonally dominant as ``h`` falls.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

Entries = dict[tuple[int, int], Any]
"""Structural nonzeros of a matrix: (row, column) to a float, a scalar or an array (patient,)."""


@dataclass(frozen=True)
class Factor:
    """Lower and upper factors in elimination order.

    Attributes:
        order: pivots in the order of elimination.
        lower: multipliers of each pivot, as (row, multiplier) pairs.
        upper: entries right of each pivot, as (column, entry) pairs.
        reciprocal: one over each pivot.
    """

    order: tuple[int, ...]
    lower: dict[int, list[tuple[int, Any]]]
    upper: dict[int, list[tuple[int, Any]]]
    reciprocal: dict[int, Any]


def elimination_order(size: int, pattern: Collection[tuple[int, int]]) -> tuple[int, ...]:
    """Diagonal elimination order that keeps the fill small.

    At each turn the pivot with the smallest product of its row and column counts is taken, the
    lowest index among equals.

    Args:
        size: number of rows.
        pattern: (row, column) of the structural nonzeros; the diagonal is implied.

    Returns:
        The rows in elimination order.
    """
    columns = {row: set() for row in range(size)}
    rows = {column: set() for column in range(size)}
    for row, column in pattern:
        if row != column:
            columns[row].add(column)
            rows[column].add(row)
    remaining = set(range(size))
    order = []
    while remaining:
        pivot = min(remaining, key=lambda index: (len(columns[index]) * len(rows[index]), index))
        remaining.remove(pivot)
        order.append(pivot)
        for row in rows[pivot]:
            columns[row].discard(pivot)
            columns[row] |= columns[pivot] - {row}
        for column in columns[pivot]:
            rows[column].discard(pivot)
            rows[column] |= rows[pivot] - {column}
    return tuple(order)


def factorise(entries: Entries, order: Sequence[int]) -> Factor:
    """LU factors of a sparse matrix.

    Args:
        entries: structural nonzeros; every diagonal entry is present.
        order: elimination order of all rows.

    Returns:
        The factors, with fill where elimination makes it.
    """
    work = dict(entries)
    by_row: dict[int, set[int]] = {index: set() for index in order}
    by_column: dict[int, set[int]] = {index: set() for index in order}
    for row, column in work:
        by_row[row].add(column)
        by_column[column].add(row)
    lower, upper, reciprocal = {}, {}, {}
    eliminated: set[int] = set()
    for pivot in order:
        eliminated.add(pivot)
        reciprocal[pivot] = 1.0 / work[pivot, pivot]
        upper[pivot] = [
            (column, work[pivot, column]) for column in sorted(by_row[pivot] - eliminated)
        ]
        lower[pivot] = []
        for row in sorted(by_column[pivot] - eliminated):
            multiplier = work[row, pivot] * reciprocal[pivot]
            lower[pivot].append((row, multiplier))
            for column, entry in upper[pivot]:
                product = multiplier * entry
                key = (row, column)
                work[key] = work[key] - product if key in work else -product
                by_row[row].add(column)
                by_column[column].add(row)
    return Factor(tuple(order), lower, upper, reciprocal)


def solve(factor: Factor, right: Sequence[Any]) -> list[Any]:
    """Solution of the factored system for one right-hand side.

    Args:
        factor: from ``factorise``.
        right: one array (patient,) a row.

    Returns:
        One array (patient,) a column.
    """
    solution = list(right)
    for pivot in factor.order:
        for row, multiplier in factor.lower[pivot]:
            solution[row] = solution[row] - multiplier * solution[pivot]
    for pivot in reversed(factor.order):
        total = solution[pivot]
        for column, entry in factor.upper[pivot]:
            total = total - entry * solution[column]
        solution[pivot] = total * factor.reciprocal[pivot]
    return solution
