"""Sparse LU against numpy.linalg.solve."""

import numpy as np
import pytest

from ketjax.solve.factor import elimination_order, factorise, solve


@pytest.mark.parametrize(("size", "density"), [(1, 0.0), (6, 0.3), (25, 0.1), (25, 0.5)])
def test_solution_equals_numpy(size, density):
    generator = np.random.default_rng(size)
    lanes = 4
    pattern = generator.uniform(size=(size, size)) < density
    matrix = generator.normal(size=(lanes, size, size)) * pattern
    matrix += np.eye(size) * (size + 2.0)
    entries = {
        (row, column): matrix[:, row, column]
        for row in range(size)
        for column in range(size)
        if pattern[row, column] or row == column
    }
    right = generator.normal(size=(size, lanes))
    factor = factorise(entries, elimination_order(size, entries))
    expected = np.linalg.solve(matrix, right.T[..., None])[..., 0].T
    np.testing.assert_allclose(solve(factor, list(right)), expected, rtol=1e-12, atol=1e-14)


def test_arrow_matrix_gets_no_fill():
    size = 12
    pattern = {(0, i) for i in range(size)} | {(i, 0) for i in range(size)}
    pattern |= {(i, i) for i in range(size)}
    order = elimination_order(size, pattern)
    factor = factorise({key: 2.0 + (key[0] == key[1]) * size for key in pattern}, order)
    entries = sum(len(factor.lower[i]) + len(factor.upper[i]) + 1 for i in range(size))
    assert entries == len(pattern)
    assert order.index(0) >= size - 2
