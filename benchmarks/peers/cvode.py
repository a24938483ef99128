"""SUNDIALS CVODE on the course: BDF, dense LU, one patient at a time, on all cores.

The right-hand side and its Jacobian are C, emitted from the very program that jax is given. Each
patient starts afresh at each edge of an infusion, as a change of the input demands. Each core has a
thread with a solver memory of its own.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_double, c_long
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.course import Course, Sample
from benchmarks.peers.c_bound import examples, layout
from benchmarks.peers.emit_c import Code, Dialect, compile_c, emit, pointer
from benchmarks.record import cores
from ketjax.solve.derivatives import linearise
from ketjax.solve.structure import trace, without_zeros

LIBRARIES = ("cvode", "nvecserial", "sunmatrixdense", "sunlinsoldense")
OPTIONS = ("-O3", "-march=native", *(f"-lsundials_{name}" for name in LIBRARIES), "-lm")
MOST_STEPS = 100_000


class Cvode:
    """CVODE for the equations of the course."""

    def __init__(self, problem: Course) -> None:
        """Emit and compile.

        Raises:
            NotMeasured: gcc or SUNDIALS is missing.
        """
        before = time.perf_counter()
        sample = problem.sample(2)
        names = layout(sample, "p[{}]").names
        y, parameters, row = examples(sample, 1)
        leaves = jax.tree.leaves((parameters, row))
        places: list[tuple[int, int]] = []
        with jax.enable_x64(True):
            rhs = partial(problem.system._reduction.rhs, problem.system._rhs)
            slopes = without_zeros(trace(rhs, np.float64(0), y, parameters, row))

            def jacobian(*values: Any) -> list[Any]:
                _, rows = linearise(slopes, values, range(1, len(y) + 1))
                places[:] = [(i, j - 1) for i, entries in enumerate(rows) for j in entries]
                return [value for entries in rows for value in entries.values()]

            entries = trace(jacobian, np.float64(0), *y, *leaves)
        inputs = ["t", *(f"y[{index}]" for index in range(len(y))), *names]
        self.rhs, self.jacobian = (
            emit(program, inputs, Dialect()) for program in (slopes, entries)
        )
        text = source(self.rhs, self.jacobian, places)
        self.library = compile_c(text, *OPTIONS)
        self.library.solve.restype = c_long
        self.compiling = time.perf_counter() - before

    def solve(self, sample: Sample, rtol: float) -> tuple[np.ndarray, int]:
        """Solve all patients of a sample.

        Args:
            sample: The patients.
            rtol: Relative tolerance; the absolute one is this times the scale of the state.

        Returns:
            States at the output times, shape (time, state, patient), NaN where it failed; steps
            of all patients together.
        """
        inputs = layout(sample, "p[{}]")
        own = np.ascontiguousarray(inputs.own.T)
        start = np.ascontiguousarray(sample.y0.T)
        patients, states = start.shape
        rows = np.ascontiguousarray(inputs.rows)
        atol = rtol * sample.scale
        found = np.full((patients, sample.times.size, states), np.nan)
        sizes = (states, own.shape[1], len(rows), rows.shape[1], sample.times.size)
        arrays = (sample.bounds, sample.times, rows, inputs.shared, own, atol, start, found)

        def share(first: int) -> int:
            numbers = [c_long(n) for n in (first, patients, cores(), *sizes)]
            return self.library.solve(*numbers, c_double(rtol), *map(pointer, arrays))

        with ThreadPoolExecutor(cores()) as pool:
            steps = sum(pool.map(share, range(cores())))
        return found.transpose(1, 2, 0), steps


def source(rhs: Code, jacobian: Code, places: list[tuple[int, int]]) -> str:
    """The library: right-hand side, Jacobian, and the loop over patients and segments."""
    slopes = "\n".join(f"  d[{index}] = {text};" for index, text in enumerate(rhs.outputs))
    entries = "\n".join(
        f"  SM_ELEMENT_D(matrix, {i}, {j}) = {text};"
        for (i, j), text in zip(places, jacobian.outputs, strict=True)
    )
    bodies = {
        name: "\n".join(f"  {line}" for line in code.before + code.statements)
        for name, code in (("rhs", rhs), ("jacobian", jacobian))
    }
    return f"""{Dialect().preamble()}
#include <cvode/cvode.h>
#include <nvector/nvector_serial.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunmatrix/sunmatrix_dense.h>
#include <string.h>

typedef struct {{ const double *p, *shared, *row; }} Inputs;

static int slopes(realtype t, N_Vector state, N_Vector slope, void *user) {{
  const double *p = ((Inputs *)user)->p, *shared = ((Inputs *)user)->shared;
  const double *row = ((Inputs *)user)->row, *y = NV_DATA_S(state);
  double *d = NV_DATA_S(slope);
{bodies["rhs"]}
{slopes}
  return 0;
}}

static int jacobian(realtype t, N_Vector state, N_Vector slope, SUNMatrix matrix, void *user,
                    N_Vector a, N_Vector b, N_Vector c) {{
  const double *p = ((Inputs *)user)->p, *shared = ((Inputs *)user)->shared;
  const double *row = ((Inputs *)user)->row, *y = NV_DATA_S(state);
{bodies["jacobian"]}
{entries}
  return 0;
}}

/* Patients first, first + stride, ...; returns the steps of all of them. */
long solve(long first, long patients, long stride, long states, long parameters, long segments,
           long leaves, long outputs, double rtol, const double *bounds, const double *times,
           const double *rows, const double *shared, const double *own, const double *atol,
           const double *start, double *found) {{
  SUNContext context;
  SUNContext_Create(NULL, &context);
  Inputs inputs = {{own, shared, rows}};
  N_Vector y = N_VNew_Serial(states, context), tolerance = N_VNew_Serial(states, context);
  memcpy(NV_DATA_S(y), start, states * sizeof(double));
  memcpy(NV_DATA_S(tolerance), atol, states * sizeof(double));
  SUNMatrix matrix = SUNDenseMatrix(states, states, context);
  SUNLinearSolver linear = SUNLinSol_Dense(y, matrix, context);
  void *memory = CVodeCreate(CV_BDF, context);
  CVodeInit(memory, slopes, bounds[0], y);
  CVodeSVtolerances(memory, rtol, tolerance);
  CVodeSetLinearSolver(memory, linear, matrix);
  CVodeSetJacFn(memory, jacobian);
  CVodeSetUserData(memory, &inputs);
  CVodeSetMaxNumSteps(memory, {MOST_STEPS});
  CVodeSetErrFile(memory, NULL);
  long all = 0;
  for (long patient = first; patient < patients; patient += stride) {{
    double *rest = found + patient * outputs * states, t;
    long output = 0, failed = 0;
    inputs.p = own + patient * parameters;
    memcpy(NV_DATA_S(y), start + patient * states, states * sizeof(double));
    if (times[0] <= bounds[0])
      memcpy(rest + states * output++, NV_DATA_S(y), states * sizeof(double));
    for (long segment = 0; segment < segments && !failed; segment++) {{
      const double end = bounds[segment + 1];
      long taken;
      inputs.row = rows + segment * leaves;
      CVodeReInit(memory, bounds[segment], y);
      CVodeSetStopTime(memory, end);
      while (output < outputs && times[output] < end && !failed) {{
        failed = CVode(memory, times[output], y, &t, CV_NORMAL) < 0;
        if (!failed) memcpy(rest + states * output++, NV_DATA_S(y), states * sizeof(double));
      }}
      if (!failed) failed = CVode(memory, end, y, &t, CV_NORMAL) < 0;
      if (!failed && output < outputs && times[output] == end)
        memcpy(rest + states * output++, NV_DATA_S(y), states * sizeof(double));
      CVodeGetNumSteps(memory, &taken);
      all += taken;
    }}
  }}
  CVodeFree(&memory);
  SUNLinSolFree(linear);
  SUNMatDestroy(matrix);
  N_VDestroy(y);
  N_VDestroy(tolerance);
  SUNContext_Free(&context);
  return all;
}}
"""
