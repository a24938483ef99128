"""The march in one kernel: interpreted it equals the march, and it lowers without a GPU."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ivp_problems import POLLU_END, POLLU_RATES, POLLU_START, pollu
from jax.experimental.pallas import mosaic_gpu
from test_march import DOSES, EDGES, FORCING, START, TIMES, add_dose, gated, population

from ketjax.solve import RODAS3, System
from ketjax.solve.devices import block_of
from ketjax.solve.kernel import Kernel, march_kernel
from ketjax.solve.kernel_program import evaluate_reading, hoist_scalars
from ketjax.solve.solution import Status
from ketjax.solve.structure import aval, evaluate, trace

PATIENTS = 300


@pytest.fixture(scope="module")
def system():
    return System(
        gated, START, population(lanes=PATIENTS), forcing=FORCING, jump=add_dose, impulses=DOSES,
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mesh(system):
    return system.make_mesh(START, population(lanes=PATIENTS), TIMES, EDGES, FORCING, DOSES)


@pytest.fixture(scope="module")
def kernel(system):
    return Kernel(system, programs=2, interpret=True)


def assert_same(found, expected):
    for mine, other in zip(
        jax.tree.leaves((found.readouts, found.error, found.status, found.y)),
        jax.tree.leaves((expected.readouts, expected.error, expected.status, expected.y)),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_kernel_marches_as_the_march_does(system, mesh, kernel):
    parameters = population(lanes=PATIENTS)
    assert_same(
        kernel.march(mesh, START, parameters, FORCING, DOSES),
        system.march(mesh, START, parameters, FORCING, DOSES),
    )


def test_inputs_of_each_patient(system, mesh, kernel):
    parameters = population(lanes=PATIENTS)
    doses = jnp.stack([jnp.linspace(0.5, 2.0, PATIENTS), jnp.ones(PATIENTS)])
    forcing = jnp.stack([jnp.linspace(0.0, 1.0, PATIENTS), jnp.zeros(PATIENTS)])
    assert_same(
        kernel.march(mesh, START, parameters, forcing, doses),
        system.march(mesh, START, parameters, forcing, doses),
    )


def test_halved_steps_and_limit(system, mesh, kernel):
    parameters = population(lanes=PATIENTS)
    finer = mesh.halve()
    limit = float(np.median(system.march(finer, START, parameters, FORCING, DOSES).error))
    found = kernel.march(finer, START, parameters, FORCING, DOSES, limit=limit)
    assert_same(found, system.march(finer, START, parameters, FORCING, DOSES, limit=limit))
    assert set(np.asarray(found.status)) == {Status.OK, Status.MAX_STEPS}


def test_a_patient_that_fails_is_marked_and_harms_nobody(system, mesh, kernel):
    parameters = population(lanes=PATIENTS)
    broken = {**parameters, "k": parameters["k"].at[7].set(jnp.nan)}
    found = kernel.march(mesh, START, broken, FORCING, DOSES)
    whole = kernel.march(mesh, START, parameters, FORCING, DOSES)
    assert found.status[7] == Status.NON_FINITE
    others = np.arange(PATIENTS) != 7
    np.testing.assert_array_equal(found.readouts[2][:, others], whole.readouts[2][:, others])


def test_pollu_reaches_its_published_end():
    with jax.enable_x64(True):
        rates = (np.full(3, POLLU_RATES[0]), *POLLU_RATES[1:])
        system = System(pollu, POLLU_START, rates, rtol=1e-5, atol=1e-12, method=RODAS3)
        mesh = system.make_mesh(POLLU_START, rates, (0.0, 60.0))
        found = march_kernel(system, mesh, POLLU_START, rates)
    ends = np.stack([np.asarray(leaf)[-1] for leaf in found.readouts])
    np.testing.assert_allclose(ends, np.tile(np.array(POLLU_END)[:, None], 3), rtol=1e-3)


def test_lowers_for_cuda_without_a_gpu():
    if "out_type" not in inspect.signature(mosaic_gpu.kernel).parameters:
        pytest.skip(f"jax {jax.__version__} has an older Mosaic GPU; the kernel needs 0.11")
    rates = (np.full(256, POLLU_RATES[0], np.float32), *map(np.float32, POLLU_RATES[1:]))
    start = tuple(map(np.float32, POLLU_START))
    system = System(pollu, start, rates, rtol=1e-5, atol=1e-9)
    for exact in (False, True):
        kernel = Kernel(system, programs=2, exact=exact)
        assert "mosaic_gpu" in kernel.lower(start, rates, steps=100, outputs=3).as_text()


def test_scalars_are_hoisted_and_inputs_read_when_used():
    def function(a, b, x, y):
        return jnp.exp(a) * b * x + y, (a + b) ** 2 * y

    lane = jax.ShapeDtypeStruct((4,), jnp.float32)
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    program = trace(function, scalar, scalar, lane, lane)
    outer, inner = hoist_scalars(program)
    assert not any(len(aval(equation.outvars[0]).shape) for equation in outer.equations)
    a, b, x, y = np.float32(0.3), np.float32(2.0), np.arange(4, dtype=np.float32), np.ones(4)
    reads = []

    def reader(value):
        def read():
            reads.append(value)
            return value

        return read

    scalars = evaluate(outer, (a, b))
    y = y.astype(np.float32)
    found = evaluate_reading(inner, [*map(reader, scalars), reader(x)], [y])
    np.testing.assert_allclose(np.stack(found), np.stack(function(a, b, x, y)), rtol=1e-6)
    assert len(reads) == len(scalars) + 1


def test_blocks_fit_the_memory():
    class Device:
        def __init__(self, memory):
            self.memory = memory

        def memory_stats(self):
            return {"bytes_limit": self.memory} if self.memory else None

    assert block_of(Device(0)) == 1024
    assert block_of(Device(2**20)) == 1024
    small = block_of(Device(2**30))
    assert small & (small - 1) == 0
    assert small * 1500 * 4 <= 2**29 < 2 * small * 1500 * 4
    assert block_of(Device(140 * 2**30)) == 2**18


def test_lanes_are_whole_warpgroups(system):
    with pytest.raises(ValueError, match="multiple of 128"):
        Kernel(system, lanes=64)
