"""Derivatives by amounts, impulses and times of events: against differences and a closed form."""

from typing import Any

import jax
import numpy as np
import pytest
from test_march import DOSES, EDGES, FORCING, START, TIMES, add_dose, gated, population

from ketjax.solve import System
from ketjax.solve.adjoint import Adjoint
from ketjax.solve.mesh import anchors_of
from ketjax.solve.stretching import from_anchors, stretch

LANES = 8
WIDTH = 1e-6


@pytest.fixture(scope="module")
def wide():
    with jax.enable_x64(True):
        yield


def _start():
    return tuple(np.zeros(LANES) for _ in START)


def _population():
    return {name: np.asarray(values, float) for name, values in population(lanes=LANES).items()}


@pytest.fixture(scope="module")
def marching(wide):
    """A system, a mesh of it, and an adjoint to which nothing but its inputs moves."""
    system = System(
        gated, _start(), _population(), forcing=FORCING, jump=add_dose, impulses=DOSES,
        rtol=1e-6, atol=1e-8,
    )  # fmt: skip
    mesh = system.make_mesh(_start(), _population(), TIMES, EDGES, FORCING, DOSES)
    adjoint = Adjoint(system, [], _start(), _population(), FORCING, DOSES, acting=[0, 1])
    return mesh, adjoint


def _march(marching, anchors=None, forcing: Any = FORCING, impulses: Any = DOSES):
    mesh, adjoint = marching
    moved = mesh if anchors is None else stretch(mesh, anchors)
    return adjoint.march(moved, _start(), _population(), forcing, impulses)


def _difference(weights, ends):
    """Derivative by patient of a weighted sum of readouts."""
    above, below = (np.einsum("ctp,ctp->p", weights, tape.readouts) for tape in ends)
    return (above - below) / (2 * WIDTH)


@pytest.fixture(scope="module")
def pulled(marching):
    tape = _march(marching)
    weights = np.random.default_rng(3).standard_normal((2, *tape.readouts.shape))
    return weights, tape, marching[1].pull_inputs(tape, weights)


@pytest.mark.parametrize("segment", [0, 1])
def test_inputs_and_impulses_are_those_of_differences(marching, pulled, segment):
    weights, _, (_, _, _, from_inputs) = pulled
    for number in range(2):
        for place, name in enumerate(("forcing", "impulses")):
            ends = []
            for sign in (1, -1):
                values = np.array((FORCING, DOSES)[place], float)
                values[segment] += sign * WIDTH
                ends.append(_march(marching, **{name: values}))
            expected = _difference(weights[number], ends)
            np.testing.assert_allclose(
                from_inputs[number, place, segment], expected, rtol=1e-6, atol=1e-8
            )


def test_times_of_events_and_outputs_are_those_of_differences(marching, pulled):
    mesh, _ = marching
    weights, tape, (_, _, from_lengths, _) = pulled
    anchors = anchors_of(mesh.times, mesh.edges)
    found = from_anchors(tape.mesh, np.moveaxis(from_lengths, 1, -1))
    for place in range(1, anchors.size):
        ends = [
            _march(marching, anchors + sign * WIDTH * (np.arange(anchors.size) == place))
            for sign in (1, -1)
        ]
        expected = _difference(weights[1], ends)
        np.testing.assert_allclose(found[1, :, place], expected, rtol=1e-6, atol=1e-8)


def test_a_later_end_of_an_infusion_is_a_later_closed_form(wide):
    """Y' = rate - k y: by the end T of the infusion, dy/dT = rate exp(-k (t - T))."""
    rate, stop, end = 2.0, 1.5, 4.0
    k = np.linspace(0.2, 1.0, LANES)
    start, forcing = (np.zeros(LANES),), np.array([rate, 0.0])

    def leak(t, y, inputs):
        p, row = inputs
        return (row - p * y[0],)

    system = System(leak, start, k, forcing=forcing, rtol=1e-10, atol=1e-12)
    mesh = system.make_mesh(start, k, (0.0, end), (stop,), forcing)
    adjoint = Adjoint(system, [], start, k, forcing, acting=[0])
    tape = adjoint.march(mesh, start, k, forcing)
    last = np.zeros((1, *tape.readouts.shape))
    last[:, :, -1] = 1
    _, _, from_lengths, from_inputs = adjoint.pull_inputs(tape, last)
    by_anchor = from_anchors(mesh, np.moveaxis(from_lengths, 1, -1))[0]
    fall = np.exp(-k * (end - stop))
    np.testing.assert_allclose(by_anchor[:, 1], rate * fall, rtol=1e-7)
    np.testing.assert_allclose(from_inputs[0, 0, 0], (fall - np.exp(-k * end)) / k, rtol=1e-7)


def test_an_interval_must_not_collapse(marching):
    mesh, _ = marching
    anchors = anchors_of(mesh.times, mesh.edges)
    with pytest.raises(ValueError, match="has collapsed"):
        stretch(mesh, anchors[[0, 2, 1, 3]])
    with pytest.raises(ValueError, match="anchors for a mesh"):
        stretch(mesh, anchors[:-1])


def test_derivatives_of_inputs_must_be_asked_for(marching, pulled):
    mesh, adjoint = marching
    plain = Adjoint(adjoint.system, [0], _start(), _population(), FORCING, DOSES)
    with pytest.raises(ValueError, match="acting"):
        plain.pull_inputs(pulled[1], pulled[0])
