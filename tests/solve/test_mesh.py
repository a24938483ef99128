"""The mesh keeps the pilot's steps, stops at every output, and comes apart into windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketjax.solve.mesh import anchors_of, build_mesh


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=4, max_size=4),
    steps=st.integers(1, 50),
    outputs=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_mesh_properties(counts, steps, outputs, seed):
    times, edges = np.array([0.0, 1.0, 4.0, 1e6]), np.array([2.5])
    anchors = anchors_of(times, edges)
    generator = np.random.default_rng(seed)
    accepted = []
    for left, right, count in zip(anchors[:-1], anchors[1:], counts, strict=True):
        inside = np.cumsum(generator.uniform(0.1, 1.0, count))
        knots = left + (right - left) * np.concatenate([[0.0], inside / inside[-1]])
        accepted.append(np.concatenate([knots[:-1], [right]]))
    mesh = build_mesh(times, edges, accepted)
    assert mesh.steps == sum(counts) and np.all(mesh.length > 0.0)
    knots = np.append(mesh.start, mesh.start[-1] + mesh.length[-1])
    np.testing.assert_allclose(knots[mesh.output], times, rtol=1e-12)
    assert mesh.start[mesh.first].tolist() == [0.0, 2.5]
    assert np.array_equal(mesh.segment, (mesh.start >= 2.5).astype(int))

    windows = list(mesh.windows(steps, outputs))
    taken = np.concatenate([np.arange(mesh.steps)[part] for part, _, _ in windows])
    assert np.array_equal(taken, np.arange(mesh.steps))
    done, found = 0, {}
    for part, numbers, indices in windows:
        assert part.stop - part.start == sum(numbers) <= steps
        assert len(numbers) == len(indices) <= outputs
        for number, index in zip(numbers, indices, strict=True):
            done += number
            if index >= 0:
                found[index] = done
    assert found == dict(enumerate(mesh.output.tolist()))


def test_halved_mesh_covers_the_same_time():
    times = np.array([0.0, 1.0, 2.0])
    mesh = build_mesh(times, np.array([]), [np.array([0.0, 0.5, 1.0]), np.array([1.0, 2.0])])
    fine = mesh.halve()
    assert fine.steps == 2 * mesh.steps and fine.first.sum() == 1
    assert fine.length.sum() == pytest.approx(2.0)
    np.testing.assert_allclose(np.cumsum(fine.length)[fine.output[1:] - 1], times[1:])
