"""Run the suite: `python -m benchmarks [--only ROW ...] [--quick] [--list]`."""

import argparse
import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

import ketjax  # noqa: F401 - chooses the settings of XLA before jax starts
from benchmarks.record import ROOT, Figure, NotMeasured, machine, table, write

ROWS = {
    "course": ("course.measure", "patients/s through eight infusions in 28 days"),
    "c_bound": (
        "peers.c_bound.measure",
        "the same steps as vectorised C: the bound of the arithmetic",
    ),
    "cvode": ("equal_error.measure_cvode", "SUNDIALS CVODE, equations in C, at equal error"),
    "diffrax": ("equal_error.measure_diffrax", "jit(vmap(diffeqsolve)) at equal error"),
    "pollu": ("pollu.measure", "131,072 POLLU systems against diffrax"),
    "gradient": (
        "gradient.measure",
        "value and gradient for 40 parameters against the forward run",
    ),
    "first_command": ("commands.measure_first", "`ketjax run` on the first study, cold and warm"),
    "scaling": ("commands.measure_scaling", "time and memory against the number of patients"),
    "weights": ("weights.measure", "`ketjax weights`: a million patients, 20 targets"),
    "sensitivity": (
        "sensitivity.measure",
        "`ketjax sensitivity`: all uncertain parameters, 1,024 base samples, all readouts",
    ),
    "aggregation": ("aggregation.measure", "a summary of a million patients against reading them"),
    "repair": ("repair.measure", "`ketjax repair` against rejection, on two boxes"),
    "fit": ("fits.measure", "value and gradient of the shipped fit, and its differences"),
    "work_precision": (
        "work_precision.measure",
        "methods and a rival at equal error",
    ),
    "stages": ("stages.measure", "where the time of a run goes"),
    "compiler": ("compiler.measure", "flags and passes of XLA, block sizes, devices"),
}
"""Row: the function of this package that yields its figures, and what it measures."""


DRAWN = ("scaling", "work_precision")
"""Rows that draw a figure."""


def main() -> int:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="only these rows")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work?")
    parser.add_argument("--large", action="store_true", help="scaling to ten million patients")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--out", type=Path, help="folder of the JSON lines and figures")
    options = parser.parse_args()
    if options.list:
        width = max(map(len, ROWS))
        print("\n".join(f"{name:{width}}  {about}" for name, (_, about) in ROWS.items()))
        return 0

    # Quick figures say nothing, so they do not replace those that do.
    usual = ROOT / "out" / "benchmarks" if options.quick else ROOT / "benchmarks" / "results"
    folder = options.out or usual
    repetitions = 2 if options.quick else options.repetitions
    surroundings = machine() | {"quick": options.quick}
    everything, crashed = [], False
    for name in options.only or ROWS:
        figures: list[Figure] = []
        try:
            module, _, function = ROWS[name][0].rpartition(".")
            measure = getattr(importlib.import_module(f"benchmarks.{module}"), function)
            extra: dict[str, Any] = {"folder": folder} if name in DRAWN else {}
            if name == "scaling":
                extra["large"] = options.large
            for figure in measure(options.quick, repetitions, **extra):
                figures.append(figure)
                print(table([figure]).splitlines()[1], flush=True)
        except NotMeasured as reason:
            figures.append(Figure(name, None, "", note=str(reason)))
        except Exception as error:
            # One row that breaks does not cost the others.
            traceback.print_exc()
            crashed = True
            figures.append(Figure(name, None, "", note=f"{type(error).__name__}: {error}"))
        everything += figures
        write(folder, name, figures, surroundings)
    print(f"\n{table(everything)}\n\nwritten to {folder}")
    return int(crashed)


if __name__ == "__main__":
    sys.exit(main())
