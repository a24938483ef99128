"""Gradients window by window: against differences and against the march as one expression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_march import DOSES, EDGES, FORCING, START, TIMES, add_dose, gated, population

from ketjax.solve import System
from ketjax.solve.adjoint import Adjoint
from ketjax.solve.reverse import WINDOW

LANES = 64
NAMES = ("hill", "k", "ka")  # the leaves of the population, in order


@pytest.fixture(scope="module")
def wide():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def system(wide):
    return System(
        gated, _start(), _population(), forcing=FORCING, jump=add_dose, impulses=DOSES,
        rtol=1e-6, atol=1e-8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mesh(system):
    mesh = system.make_mesh(_start(), _population(), TIMES, EDGES, FORCING, DOSES)
    assert mesh.steps > 2 * WINDOW  # some interval takes several windows
    return mesh


@pytest.fixture(scope="module")
def adjoint(system):
    return Adjoint(system, [0, 1, 2], _start(), _population(), FORCING, DOSES)


def _start():
    return tuple(np.zeros(LANES) for _ in START)


def _population():
    return {name: np.asarray(values, float) for name, values in population(lanes=LANES).items()}


def _cotangents(tape, numbers):
    return np.random.default_rng(5).standard_normal((numbers, *tape.readouts.shape))


def test_rows_of_a_jacobian_equal_the_march_as_one_expression(system, mesh, adjoint):
    tape = adjoint.march(mesh, _start(), _population(), FORCING, DOSES)
    cotangents = _cotangents(tape, 2)
    from_y0, from_leaves = adjoint.pull(tape, cotangents)

    def effect(y0, parameters, row):
        result = system.march(mesh, y0, parameters, FORCING, DOSES)
        return sum(jnp.sum(row[k] * values) for k, values in enumerate(result.readouts))

    for number, row in enumerate(cotangents):
        y0, leaves = jax.grad(effect, argnums=(0, 1))(
            tuple(map(jnp.asarray, _start())), jax.tree.map(jnp.asarray, _population()), row
        )
        np.testing.assert_allclose(from_y0[number], np.stack(y0), rtol=1e-9, atol=1e-12)
        for k, name in enumerate(NAMES):
            np.testing.assert_allclose(from_leaves[number, k], leaves[name], rtol=1e-9, atol=1e-12)


def test_readouts_are_those_of_the_march_and_gradients_those_of_differences(system, mesh, adjoint):
    tape = adjoint.march(mesh, _start(), _population(), FORCING, DOSES)
    plain = np.stack(system.march(mesh, _start(), _population(), FORCING, DOSES).readouts)
    np.testing.assert_array_equal(tape.readouts, plain)
    cotangents = _cotangents(tape, 1)
    _, from_leaves = adjoint.pull(tape, cotangents)
    width = 1e-6
    for k, name in enumerate(NAMES):
        ends = []
        for sign in (1, -1):
            moved = _population()
            moved[name] = moved[name] + sign * width
            result = system.march(mesh, _start(), moved, FORCING, DOSES)
            ends.append(np.sum(cotangents[0] * np.stack(result.readouts), axis=(0, 1)))
        difference = (ends[0] - ends[1]) / (2 * width)
        np.testing.assert_allclose(from_leaves[0, k], difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("keep", [True, False])
def test_columns_of_a_jacobian_are_those_of_its_rows(mesh, adjoint, keep):
    """<row, J direction> = <J' row, direction>, patient by patient, over all outputs."""
    tape = adjoint.march(mesh, _start(), _population(), FORCING, DOSES, keep=keep)
    rows = _cotangents(tape, 2)
    from_y0, from_leaves = adjoint.pull(tape, rows)
    random = np.random.default_rng(6)
    to_y0, to_leaves = (
        random.standard_normal((3, *part.shape[1:])) for part in (from_y0, from_leaves)
    )
    along = adjoint.push(tape, to_y0, to_leaves)
    assert along.shape == (3, *tape.readouts.shape)
    forward = np.einsum("rctp,dctp->rdp", rows, along)
    back = np.einsum("rsp,dsp->rdp", from_y0, to_y0) + np.einsum(
        "rlp,dlp->rdp", from_leaves, to_leaves
    )
    np.testing.assert_allclose(forward, back, rtol=1e-9, atol=1e-12)


def test_states_that_were_not_kept_are_computed_again(mesh, adjoint):
    kept = adjoint.march(mesh, _start(), _population(), FORCING, DOSES)
    again = adjoint.march(mesh, _start(), _population(), FORCING, DOSES, keep=False)
    assert all(path is None for path in again.steps)
    cotangents = _cotangents(kept, 1)
    for one, other in zip(
        adjoint.pull(kept, cotangents), adjoint.pull(again, cotangents), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_only_what_depends_on_the_moving_leaves_is_carried(system, mesh, adjoint):
    """`hill` acts on the effect, and through its feedback on plasma, but not on the depot."""
    fixed_start = [False] * 3
    narrow = Adjoint(system, [0], _start(), _population(), FORCING, DOSES, start_moves=fixed_start)
    assert narrow.states == (1, 2)
    tape = narrow.march(mesh, _start(), _population(), FORCING, DOSES)
    whole = adjoint.march(mesh, _start(), _population(), FORCING, DOSES)
    cotangents = _cotangents(tape, 1)
    np.testing.assert_allclose(
        narrow.pull(tape, cotangents)[1][0, 0],
        adjoint.pull(whole, cotangents)[1][0, 0],
        rtol=1e-12,
    )
