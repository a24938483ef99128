"""Patients as the solver sees them: their own constants, and the cascade as plain functions."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ketjax import schedule
from ketjax.model import cascade, readouts
from ketjax.model.covariates import individual
from ketjax.model.parameters import Parameters, leaf, replace, rows
from ketjax.model.states import rows as state_rows
from ketjax.regimen import RESOLUTION, Regimen, merge_times
from ketjax.schedule import Amounts, doses, edges_of, inputs_of
from ketjax.solve import RODAS4, RODAS5P, Method, System
from ketjax.solve.keeping import source_of

LOOSE = 1e-6  # tolerance above which the method of lower order is the cheaper one
TOGETHER = 4096  # patients whose own parameters are computed at once
SOURCE = source_of(Path(__file__), Path(schedule.__file__), Path(cascade.__file__).parent)


@dataclasses.dataclass(frozen=True)
class Cascade:
    """The equations of the patients for the solver; arguments are (parameters, trial design).

    Attributes:
        literal: Parameters that are exactly 0 or 1 for everybody; as Python numbers in the
            equations they let the solver see which mechanisms are off.
        computed: Readouts that are observed.
        identity: All that the functions depend on besides their arguments.
    """

    literal: Mapping[str, float]
    computed: tuple[str, ...]

    @property
    def identity(self) -> str:
        """As `solve.System` wants it."""
        return repr((SOURCE, _structure(), dict(self.literal), self.computed))

    def system(
        self,
        y0: tuple,
        parameters: tuple,
        forcing: Any,
        impulses: Any,
        rtol: float,
        method: Method | None = None,
    ) -> System:
        """The solver of these equations.

        Args:
            y0: Example start, arrays (patient,).
            parameters: Example parameters and trial design, leaves scalar or (patient,).
            forcing: Example inputs; what is zero in them promises zero.
            impulses: Example impulses, or None.
            rtol: Relative tolerance [1]; that of a state times its scale is the absolute one.
            method: Rosenbrock method; by tolerance if None.

        Returns:
            The system, its programs kept for later processes.
        """
        return System(
            self.rhs,
            y0,
            parameters,
            forcing=forcing,
            jump=None if impulses is None else self.jump,
            impulses=impulses,
            observe=self.observe,
            method=method or (RODAS4 if rtol > LOOSE else RODAS5P),
            rtol=rtol,
            atol=[rtol * row.scale for row in state_rows()],
            identity=self.identity,
        )

    @staticmethod
    def start(p: Parameters) -> tuple:
        """Resting state as a tuple of arrays (patient,) or scalars."""
        return tuple(jax.tree.leaves(cascade.resting_state(p)))

    def rhs(self, time: jax.Array, y: tuple, arguments: tuple) -> tuple:
        """Rates of change."""
        (p, design), forcing = arguments
        p = replace(p, self.literal)
        state = jax.tree.unflatten(_structure(), y)
        return tuple(jax.tree.leaves(cascade.rhs(time, state, p, inputs_of(forcing, p, design))))

    def jump(self, y: tuple, parameters: tuple, amounts: Amounts) -> tuple:
        """Impulse doses."""
        p = replace(parameters[0], self.literal)
        state = jax.tree.unflatten(_structure(), y)
        given = doses(amounts, p.demography.weight)
        return tuple(jax.tree.leaves(cascade.absorb(state, p, *given)))

    def observe(self, time: jax.Array, y: tuple, parameters: tuple) -> tuple:
        """Readouts, in the order of `readouts.columns`."""
        del time
        p = replace(parameters[0], self.literal)
        return readouts.observe(jax.tree.unflatten(_structure(), y), p, self.computed)


def literals(p: Parameters) -> dict[str, float]:
    """Parameters that are exactly 0 or 1 for every patient."""
    values = {row.path: leaf(p, row.path) for row in rows()}
    return {
        path: float(value)
        for path, value in values.items()
        if np.ndim(value) == 0 and float(value) in (0.0, 1.0)
    }


def own_parameters(p: Parameters, patients: int) -> Parameters:
    """`individual`, a fixed number of patients at a time: no size of population compiles anew."""

    def some(start: int) -> list[np.ndarray]:
        part = [
            np.resize(values[start : start + TOGETHER], TOGETHER) if np.ndim(values) else values
            for values in leaves
        ]
        return [np.asarray(value) for value in jax.tree.leaves(individual(tree.unflatten(part)))]

    leaves, tree = jax.tree.flatten(p)
    parts = [some(start) for start in range(0, patients, TOGETHER)]
    return tree.unflatten(
        np.concatenate(values)[:patients] if values[0].ndim else values[0]
        for values in zip(*parts, strict=True)
    )


def timeline(
    times: Sequence[float] | np.ndarray, regimens: Sequence[tuple[Regimen, Parameters]]
) -> tuple[np.ndarray, np.ndarray]:
    """Output times and event edges as the solver wants them.

    Args:
        times: Output times [h], strictly increasing, 0 or later.
        regimens: What is given, each with the typical patient whom it is given to.

    Returns:
        Output times from 0 on, at least two, and edges strictly between the first and the last
        [h]; an edge that differs from an output by rounding only is that output.
    """
    grid = merge_times([0.0], np.asarray(times), [] if times[-1] > 0 else [1.0])
    edges = merge_times(*(edges_of(regimen, p) for regimen, p in regimens), [0.0])
    gaps = np.abs(edges[:, None] - grid)
    nearest = grid[gaps.argmin(axis=1)]
    edges = np.unique(np.where(gaps.min(axis=1) <= RESOLUTION, nearest, edges))
    return grid, edges[(edges > 0) & (edges < grid[-1])]


def lengthen(inputs: Any, segments: int) -> Any:
    """Inputs with room for more segments, which no time reaches.

    Args:
        inputs: Leaves (segment,).
        segments: Length of all leaves that come out, at least theirs.

    Returns:
        The same inputs, zero in the further segments.
    """
    return jax.tree.map(lambda values: np.pad(values, (0, segments - values.size)), inputs)


@functools.cache
def _structure() -> Any:
    """How states lie in the tuple."""
    return jax.tree.structure(cascade.resting_state(Parameters()))
