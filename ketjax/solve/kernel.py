"""A march in which one GPU kernel takes all steps of its patients.

``System.march`` leaves each step to the compiler, which on a GPU is many launches with every
intermediate value in the device's memory. Here a program of the kernel holds the state of
``LANES`` patients through all steps and writes readouts only; parameters are read where they are
used. What does not depend on the patient (lengths of steps, forcing, parameters that all share)
is computed before, one row of numbers for each step.

    kernel = Kernel(system)
    result = kernel.march(mesh, y0, parameters, forcing, impulses)

gives what ``system.march`` gives, up to rounding, with the same equations and the same mesh. It
needs a CUDA device that Pallas on Mosaic GPU serves (Hopper or later); ``interpret=True`` runs it
anywhere. It has no derivatives. Pallas on Triton has more functions, but its compiler did not get
through a system of twenty states in half a minute.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from ketjax.solve.compilation import compile_program
from ketjax.solve.kernel_body import schedule_of, trajectories
from ketjax.solve.kernel_program import KERNEL_FORMS, hoist_scalars
from ketjax.solve.march import System
from ketjax.solve.mesh import Mesh
from ketjax.solve.solution import Result, status_of
from ketjax.solve.structure import Program, evaluate, trace

Tree = Any
LANES = 128  # patients of a program, one a thread: four warps, one for each scheduler
AXIS = "program"
HERE: Any = ...  # index of a row in a tree that holds that row alone


class Kernel:
    """The kernel of a system.

    Attributes:
        system: equations, method and tolerances.
        lanes: patients of a program, a multiple of 128.
        programs: programs in flight; each takes its patients in turn.
        exact: divide as IEEE says.
        interpret: run without a GPU, step by step.
    """

    def __init__(
        self,
        system: System,
        *,
        lanes: int = LANES,
        programs: int | None = None,
        exact: bool = False,
        interpret: bool = False,
    ) -> None:
        """Choose the shape of the kernel; nothing is compiled yet.

        Args:
            system: equations, method and tolerances.
            lanes: patients of a program, a multiple of 128.
            programs: programs in flight; one for each multiprocessor of the device if None.
                More of them hide latency, fewer leave each a larger share of the caches.
            exact: divide as IEEE says; otherwise float32 quotients are products with a reciprocal
                of the hardware, right to two units in the last place and free of branches.
            interpret: run without a GPU, step by step.

        Raises:
            ValueError: ``lanes`` is not a multiple of 128.
        """
        if lanes < 128 or lanes % 128:
            raise ValueError(f"lanes = {lanes} must be a multiple of 128, the threads of a program")
        self.system, self.lanes, self.interpret = system, lanes, interpret
        self.exact, self.programs = exact, programs or _multiprocessors()
        self._run = compile_program(self._march)

    def march(
        self,
        mesh: Mesh,
        y0: tuple,
        parameters: Tree,
        forcing: Tree = None,
        impulses: Tree = None,
        *,
        limit: float = np.inf,
    ) -> Result:
        """March one block of patients over a mesh.

        Args:
            mesh: the steps.
            y0: start, one array (patient,) or scalar a state.
            parameters: leaves scalar or (patient,).
            forcing: inputs, leaves (segment,) or (segment, patient).
            impulses: impulses, leaves (segment,) or (segment, patient).
            limit: error above which a patient's readouts are NaN from then on.

        Returns:
            Readouts at the mesh's output times, errors and status, as from ``System.march``.

        Raises:
            ValueError: a leaf that the examples promised to be zero is not.
        """
        system = self.system
        system._reduction.check_zeros(y0, forcing, impulses)
        y = system._start(y0, parameters)
        dtype = y[0].dtype
        ceiling = np.asarray(min(limit, float(jnp.finfo(dtype).max)), dtype)
        readouts, error, y = self._run(
            schedule_of(mesh, dtype), y, parameters, forcing, impulses, ceiling
        )
        late = mesh.times > mesh.reached * (1.0 + 1e-12)
        if late.any():
            readouts = jax.tree.map(lambda leaf: jnp.where(late[:, None], jnp.nan, leaf), readouts)
        status = status_of(error, ceiling, mesh.status)
        return Result(readouts, error, status, system._reduction.expand(y, jnp.zeros_like(y[0])))

    def lower(self, y0: tuple, parameters: Tree, *, steps: int, outputs: int) -> Any:
        """The kernel for CUDA as the compiler would get it; needs no GPU.

        Args:
            y0: start, one array (patient,) or scalar a state; no forcing and no impulses.
            parameters: leaves scalar or (patient,).
            steps: steps of the mesh.
            outputs: output times of the mesh.

        Returns:
            The lowered program of jax.
        """
        y = self.system._start(y0, parameters)
        of_steps, none = np.zeros(steps, y[0].dtype), np.zeros(steps, np.int32)
        schedule = {
            **{name: of_steps for name in ("start", "length", "first")},
            "segment": none,
            "end": np.zeros(outputs, y[0].dtype),
            "bounds": np.zeros(outputs + 1, np.int32),
        }
        traced = jax.jit(self._march).trace(
            schedule, y, parameters, None, None, y[0].dtype.type(1.0)
        )
        return traced.lower(lowering_platforms=("cuda",))

    def _march(
        self,
        schedule: dict[str, Any],
        y: tuple,
        parameters: Tree,
        forcing: Tree,
        impulses: Tree,
        limit: Any,
    ) -> tuple[Tree, Any, tuple]:
        """Readouts (time, patient), errors and states at the end."""
        count, lanes, dtype = y[0].size, self.lanes, y[0].dtype
        whole = -(-count // lanes) * lanes
        constants = self.system._constants(y, parameters, forcing)
        step, step_table, own, rows = self._step_program(
            schedule, y, (parameters, constants), (forcing, impulses)
        )
        observe, observe_table, tree = self._observe_program(schedule, y, parameters, limit)
        inputs = [
            schedule["bounds"],
            schedule["segment"],
            step_table,
            observe_table,
            _padded(jnp.stack([*y, jnp.zeros_like(y[0])]), whole),
            _padded(_stacked(own, (count,), dtype), whole),
            _padded(_stacked(rows, (1, count), dtype, axis=1), whole),
        ]
        outputs, readouts = len(schedule["end"]), len(observe.outputs)
        shapes = [
            jax.ShapeDtypeStruct((outputs, readouts, whole), dtype),
            jax.ShapeDtypeStruct((len(y) + 1, whole), dtype),
        ]
        tiles = whole // lanes
        programs = min(self.programs, tiles)
        body = functools.partial(
            trajectories,
            step,
            observe,
            lanes,
            tiles,
            programs,
            outputs,
            (len(own), len(_split(parameters, 0)[1])),
            len(rows),
            self._forms(dtype),
        )
        if self.interpret:
            launch = pl.pallas_call(
                lambda *refs: body(pl.program_id(0), *refs),
                out_shape=shapes,
                grid=(programs,),
                interpret=True,
            )
        else:
            launch = plgpu.kernel(
                lambda *refs: body(jax.lax.axis_index(AXIS), *refs),
                out_type=shapes,
                grid=(programs,),
                grid_names=(AXIS,),
                compiler_params=plgpu.CompilerParams(
                    lowering_semantics=plgpu.LoweringSemantics.Lane,
                    approx_math=dtype == np.float32,
                ),
            )
        seen, last = launch(*inputs)
        *y_end, error = last[:, :count]
        columns = [seen[:, index, :count] for index in range(readouts)]
        return jax.tree.unflatten(tree, columns), error, tuple(y_end)

    def _step_program(
        self, schedule: dict[str, Any], y: tuple, parameters: Tree, rows: Tree
    ) -> tuple[Program, jax.Array, list, list]:
        """One step for ``lanes`` patients.

        Returns:
            The program; its scalars in each step, (step, scalar); the leaves of the parameters and
            of the rows that have a patient axis.
        """
        system = self.system

        def advance(t: Any, h: Any, first: Any, p: Tree, rows: Tree, y: tuple, error: Any) -> tuple:
            step_row = (t, h, HERE, first > 0)
            y, local = system._one_step(y, step_row, *p, *rows)
            return y, jnp.maximum(error, local)

        scalar, lane = self._examples(y[0].dtype)
        program = trace(
            advance,
            scalar,
            scalar,
            scalar,
            jax.tree.map(lambda leaf: lane if jnp.ndim(leaf) else scalar, parameters),
            jax.tree.map(lambda leaf: lane if jnp.ndim(leaf) > 1 else scalar, rows),
            (lane,) * len(y),
            lane,
        )
        outer, inner = hoist_scalars(program)
        shared, own = _split(parameters, 0)
        shared_rows, own_rows = _split(rows, 1)

        def scalars(t: Any, h: Any, first: Any, segment: Any) -> list[Any]:
            here = [leaf[segment] for leaf in shared_rows]
            return evaluate(outer, (t, h, first, *shared, *here))

        columns = jax.vmap(scalars)(
            schedule["start"], schedule["length"], schedule["first"], schedule["segment"]
        )
        table = _stacked(columns, schedule["start"].shape, y[0].dtype, axis=1)
        return inner, table, own, own_rows

    def _observe_program(
        self, schedule: dict[str, Any], y: tuple, parameters: Tree, limit: Any
    ) -> tuple[Program, jax.Array, Any]:
        """Readouts of ``lanes`` patients, their scalars at each output time, and their tree."""
        system, trees = self.system, []

        def observe(t: Any, limit: Any, p: Tree, y: tuple, error: Any) -> list[Any]:
            states = system._reduction.expand(y, jnp.zeros_like(error))
            seen = states if system._observe is None else system._observe(t, states, p)
            leaves, tree = jax.tree.flatten(seen)
            trees.append(tree)
            return [
                jnp.where(error <= limit, jnp.broadcast_to(leaf, error.shape), jnp.nan)
                for leaf in leaves
            ]

        scalar, lane = self._examples(y[0].dtype)
        examples = jax.tree.map(lambda leaf: lane if jnp.ndim(leaf) else scalar, parameters)
        program = trace(observe, scalar, scalar, examples, (lane,) * len(y), lane)
        outer, inner = hoist_scalars(program)
        shared, _ = _split(parameters, 0)
        columns = jax.vmap(lambda t: evaluate(outer, (t, limit, *shared)))(schedule["end"])
        table = _stacked(columns, schedule["end"].shape, y[0].dtype, axis=1)
        return inner, table, trees[-1]

    def _forms(self, dtype: Any) -> Mapping[str, Callable[..., Any]]:
        """What takes the place of a primitive."""
        if self.interpret or self.exact or dtype != np.float32:
            return KERNEL_FORMS
        layout = plgpu.Layout.WG_STRIDED((self.lanes,), vec_size=1)
        result = plgpu.ShapeDtypeStruct((self.lanes,), dtype, layout=layout)

        def approximate(_: Any, x: Any) -> Any:
            return x._pointwise(x._lift_fast_instr("rcp.approx.f32"))

        inline: Any = plgpu.inline_mgpu(arg_types=(layout,), return_type=result)
        reciprocal = inline(approximate)

        def divide(x: Any, y: Any) -> Any:
            return x * reciprocal(y) if jnp.ndim(y) else x / y

        return {**KERNEL_FORMS, "div": divide}

    def _examples(self, dtype: Any) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """A scalar and the patients of one program."""
        return jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((self.lanes,), dtype)


def march_kernel(
    system: System,
    mesh: Mesh,
    y0: tuple,
    parameters: Tree,
    forcing: Tree = None,
    impulses: Tree = None,
    *,
    limit: float = np.inf,
) -> Result:
    """``System.march`` by the kernel of the system, which is made once and kept.

    Args:
        system: equations, method and tolerances.
        mesh: the steps.
        y0: start, one array (patient,) or scalar a state.
        parameters: leaves scalar or (patient,).
        forcing: inputs, leaves (segment,) or (segment, patient).
        impulses: impulses, leaves (segment,) or (segment, patient).
        limit: error above which a patient's readouts are NaN from then on.

    Returns:
        Readouts at the mesh's output times, errors and status.
    """
    return kernel_of(system).march(mesh, y0, parameters, forcing, impulses, limit=limit)


@functools.lru_cache(maxsize=4)
def kernel_of(system: System) -> Kernel:
    """The kernel of a system, interpreted where there is no GPU."""
    return Kernel(system, interpret=jax.default_backend() != "gpu")


def _split(tree: Tree, axis: int) -> tuple[list, list]:
    """Leaves that all patients share, and leaves with a patient axis."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return [leaf for leaf in leaves if leaf.ndim == axis], [
        leaf for leaf in leaves if leaf.ndim > axis
    ]


def _stacked(leaves: Sequence[Any], shape: tuple[int, ...], dtype: Any, axis: int = 0) -> jax.Array:
    """Leaves of a shape along a new axis; a single row of zeros, never read, if there are none."""
    return jnp.stack(leaves or [jnp.zeros(shape, dtype)], axis=axis).astype(dtype)


def _padded(values: jax.Array, whole: int) -> jax.Array:
    """The last patient repeated until the tiles are full."""
    spare = whole - values.shape[-1]
    return jnp.pad(values, [*[(0, 0)] * (values.ndim - 1), (0, spare)], mode="edge")


def _multiprocessors() -> int:
    """Multiprocessors of the device; 1 where there is no GPU."""
    device = jax.devices()[0]
    return getattr(device, "core_count", 1) if device.platform == "gpu" else 1
