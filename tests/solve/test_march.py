"""The march: bits, failures, gradients, dropped states and size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ivp_problems import POLLU_END, POLLU_RATES, POLLU_START, pollu

from ketjax.solve import RODAS3, Status, System
from ketjax.solve.sweep import sweep

BLOCK = 64
TIMES = (0.0, 1.0, 5.0)
EDGES = (2.0,)
TRACED = []
"""One entry for each time the right-hand side is traced."""


def gated(t, y, inputs):
    """Absorption, elimination by a Hill law, and an effect with feedback."""
    TRACED.append(t)
    p, infusion = inputs
    depot, plasma, effect = y
    hill = jnp.exp(p["hill"] * jnp.log(plasma + 1e-6))
    response = hill / (1.0 + hill)
    return (
        -p["ka"] * depot,
        p["ka"] * depot + infusion - p["k"] * plasma * (1.0 + 0.1 * effect),
        response - p["k"] * effect,
    )


def add_dose(y, p, dose):
    return y[0] + dose, y[1], y[2]


def population(seed=0, lanes=BLOCK):
    generator = np.random.default_rng(seed)
    return {
        "ka": jnp.asarray(np.exp(0.3 * generator.standard_normal(lanes))),
        "k": jnp.asarray(0.4 * np.exp(0.3 * generator.standard_normal(lanes))),
        "hill": jnp.asarray(1.0 + generator.uniform(size=lanes)),
    }


START = (0.0, 0.0, 0.0)
FORCING = jnp.array([0.5, 0.0])
DOSES = jnp.array([1.0, 2.0])


@pytest.fixture(scope="module")
def system():
    return System(
        gated, START, population(), forcing=FORCING, jump=add_dose, impulses=DOSES,
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mesh(system):
    return system.make_mesh(START, population(), TIMES, EDGES, FORCING, DOSES)


def states(result):
    return np.stack(result.readouts)


def pick(parameters, lanes):
    return {name: value[lanes] for name, value in parameters.items()}


def test_bits_do_not_depend_on_neighbours_order_or_padding(system, mesh):
    parameters = population()
    all_lanes = states(system.march(mesh, START, parameters, FORCING, DOSES))
    order = np.random.default_rng(3).permutation(BLOCK)
    permuted = states(system.march(mesh, START, pick(parameters, order), FORCING, DOSES))
    np.testing.assert_array_equal(permuted, all_lanes[..., order])
    alone = states(system.march(mesh, START, pick(parameters, np.full(BLOCK, 17)), FORCING, DOSES))
    np.testing.assert_array_equal(alone, np.repeat(all_lanes[..., 17:18], BLOCK, axis=-1))
    others = population(seed=9)
    mixed = {name: value.at[5].set(parameters[name][5]) for name, value in others.items()}
    strange = states(system.march(mesh, START, mixed, FORCING, DOSES))
    np.testing.assert_array_equal(strange[..., 5], all_lanes[..., 5])


def test_bits_do_not_depend_on_the_block_or_the_devices(system, mesh):
    parameters = population(lanes=640)
    arguments = (START, parameters, FORCING, DOSES)
    results = [sweep(system, mesh, *arguments, block=block, limit=10.0) for block in (64, 128, 512)]
    for other in results[1:]:
        np.testing.assert_array_equal(states(other), states(results[0]))
        np.testing.assert_array_equal(other.error, results[0].error)


def test_bits_do_not_depend_on_blocks_launched_ahead(system, mesh, monkeypatch):
    arguments = (START, population(lanes=300), FORCING, DOSES)
    one_by_one = sweep(system, mesh, *arguments, block=BLOCK, limit=10.0)
    monkeypatch.setattr("ketjax.solve.sweep.jax.default_backend", lambda: "another")
    ahead = sweep(system, mesh, *arguments, block=BLOCK, limit=10.0)
    np.testing.assert_array_equal(states(ahead), states(one_by_one))
    np.testing.assert_array_equal(ahead.error, one_by_one.error)


def test_failed_lane_is_masked_and_leaves_the_others_alone(system, mesh):
    parameters = population()
    healthy = system.march(mesh, START, parameters, FORCING, DOSES)
    parameters["k"] = parameters["k"].at[7].set(jnp.nan)
    arguments = (START, parameters, FORCING, DOSES)
    result = sweep(system, mesh, *arguments, block=BLOCK, limit=10.0)
    assert result.status[7] == Status.NON_FINITE and np.isinf(result.error[7])
    assert np.isnan(states(result)[:, 1:, 7]).all()
    rest = np.arange(BLOCK) != 7
    np.testing.assert_array_equal(states(result)[..., rest], states(healthy)[..., rest])
    assert not np.asarray(result.status)[rest].any()


def test_pilot_ignores_a_lane_that_is_never_finite(system, mesh):
    parameters = population()
    parameters["k"] = parameters["k"].at[7].set(jnp.nan)
    again = system.make_mesh(START, parameters, TIMES, EDGES, FORCING, DOSES)
    assert again.status == Status.OK
    assert again.steps <= 2 * mesh.steps


def test_flagged_lanes_are_refined_towards_the_truth(system):
    easy = population()
    coarse = system.make_mesh(START, easy, TIMES, EDGES, FORCING, DOSES)
    hard = {**easy, "ka": easy["ka"].at[3].set(60.0)}
    arguments = (START, hard, FORCING, DOSES)
    first = system.march(coarse, *arguments)
    assert first.error[3] > 10.0
    result = sweep(system, coarse, *arguments, block=BLOCK, limit=10.0)
    assert result.status[3] == Status.OK and result.error[3] <= 10.0
    calm = np.asarray(first.error) <= 10.0
    np.testing.assert_array_equal(states(result)[..., calm], states(first)[..., calm])
    truth = states(system.march(coarse.halve().halve().halve().halve(), *arguments))
    assert (
        np.abs(states(result) - truth)[..., 3].max() < np.abs(states(first) - truth)[..., 3].max()
    )

    hopeless = {**easy, "ka": easy["ka"].at[3].set(1e5)}
    arguments = (START, hopeless, FORCING, DOSES)
    failed = sweep(system, coarse, *arguments, block=BLOCK, limit=1e-3, levels=1)
    assert failed.status[3] == Status.MAX_STEPS
    assert np.isnan(states(failed)[:, -1, 3]).all()


def test_new_doses_and_meshes_do_not_compile_again(system, mesh):
    parameters = population()
    system.march(mesh, START, parameters, FORCING, DOSES)
    count = len(TRACED)
    system.march(mesh.halve(), START, parameters, 2.0 * FORCING, 3.0 * DOSES)
    other = system.make_mesh(START, parameters, (0.0, 2.0, 9.0, 20.0), (7.0,), FORCING, DOSES)
    system.march(other, START, parameters, FORCING, DOSES)
    assert len(TRACED) == count


def test_doses_of_each_patient(system, mesh):
    parameters = population()
    doses = jnp.stack([jnp.linspace(0.5, 2.0, BLOCK), jnp.zeros(BLOCK)])
    own = states(system.march(mesh, START, parameters, FORCING, doses))
    shared = states(system.march(mesh, START, parameters, FORCING, jnp.array([0.5, 0.0])))
    np.testing.assert_allclose(own[..., 0], shared[..., 0], rtol=1e-12)
    assert np.all(np.diff(states(system.march(mesh, START, pick(parameters, np.zeros(BLOCK, int)),
                                              FORCING, doses))[1, 1]) > 0.0)  # fmt: skip


def test_gradient_equals_forward_mode_and_differences(system, mesh):
    parameters = population()

    def effect(shift):
        moved = {**parameters, "k": parameters["k"] * jnp.exp(shift)}
        return jnp.mean(system.march(mesh, START, moved, FORCING, DOSES).readouts[2][-1])

    zero = jnp.asarray(0.0)
    reverse = jax.grad(effect)(zero)
    _, forward = jax.jvp(effect, (zero,), (jnp.asarray(1.0),))
    difference = (effect(jnp.asarray(1e-5)) - effect(jnp.asarray(-1e-5))) / 2e-5
    assert float(reverse) == pytest.approx(float(forward), rel=1e-10)
    assert float(reverse) == pytest.approx(float(difference), rel=1e-6)


def test_states_that_stay_zero_or_unread_are_dropped():
    def rhs(t, y, inputs):
        k, (rate, unused) = inputs
        nasal, blocked, plasma, effect, onlooker = y
        return (
            unused - k * nasal,
            nasal * 2.0 - blocked,
            rate + k * nasal - k * plasma,
            plasma * (1.0 + blocked) - effect,
            plasma - onlooker,
        )

    forcing = (jnp.array([1.0]), jnp.array([0.0]))
    start = (0.0, 0.0, 0.0, 0.0, 1.0)
    everything = System(rhs, start, 0.3, forcing=forcing, method=RODAS3)
    assert everything.kept == (2, 3, 4)
    system = System(rhs, start, 0.3, forcing=forcing, observe=lambda t, y, k: y[3], method=RODAS3)
    assert system.kept == (2, 3)
    mesh = everything.make_mesh(start, 0.3, (0.0, 3.0), forcing=forcing)
    full = everything.march(mesh, start, 0.3, forcing)
    assert not np.any(full.readouts[0]) and not np.any(full.y[1])
    np.testing.assert_allclose(system.march(mesh, start, 0.3, forcing).readouts, full.readouts[3])
    with pytest.raises(ValueError, match="leaf 1 of forcing is not zero"):
        system.march(mesh, start, 0.3, (jnp.array([1.0]), jnp.array([2.0])))


def test_states_out_of_control_do_not_set_the_mesh():
    def rhs(t, y, k):
        return -k * y[0], jnp.where(t < 1.0, 1.0, -1.0) - 50.0 * y[1]

    steps = [
        System(rhs, (1.0, 0.0), 1.0, rtol=1e-5, atol=1e-9, control=control)
        .make_mesh((1.0, 0.0), 1.0, (0.0, 3.0))
        .steps
        for control in ((True, True), (True, False))
    ]
    assert steps[1] < steps[0] / 2


def test_pollu_for_131072_patients():
    lanes = 131_072
    k1 = np.logspace(np.log10(0.035), np.log10(3.5), lanes)
    k1[1000] = POLLU_RATES[0]
    parameters = (jnp.asarray(k1), *POLLU_RATES[1:])
    system = System(
        pollu, POLLU_START, parameters, observe=lambda t, y, k: (y[0], y[1]), method=RODAS3,
        rtol=1e-3, atol=1e-7,
    )  # fmt: skip
    mesh = system.make_mesh(POLLU_START, parameters, (0.0, 60.0))
    result = system.march(mesh, POLLU_START, parameters)
    assert np.all(np.asarray(result.status) == Status.OK)
    assert float(np.max(result.error)) < 2.0
    found = [readout[-1, 1000] for readout in result.readouts]
    np.testing.assert_allclose(found, POLLU_END[:2], rtol=1e-3)
