"""From a sensitivity analysis to the parameters worth fitting, and a fit that frees them.

    ketjax sensitivity studies/s15_sensitivity.toml
    python studies/worth_fitting.py out/s15_sensitivity.sensitivity.zarr
    ketjax fit out/worth_fitting.toml

A number is worth fitting where its total index of an output that trials measure is not small at
some hour. Targets, arms and settings are those of another fit, `fits/human.toml` unless said
otherwise; numbers that no fit can free are named and left out. Whether the targets then tell the
numbers apart is what `ketjax identify` says: an index knows nothing of data.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ketjax.console import mistakes
from ketjax.errors import StoreError, StudyError
from ketjax.fit import Fit
from ketjax.model.parameters import rows
from ketjax.report.origin import toml_text
from ketjax.sensitivity.report import selected
from ketjax.tables import formatted

FITS = Path(__file__).parents[1] / "fits"
LEAST = 0.02  # total index from which a number counts, unless said otherwise


def largest_totals(
    store: Path, outputs: list[str], hours: list[float], arm: str
) -> Iterator[tuple[str, float, str]]:
    """Name, largest total index and where it is reached, of every number that was varied."""
    found = selected(store, "sobol", outputs, arm)
    totals = found["value"].sel(index="total")
    if absent := [h for h in hours if np.abs(found["time"] - h).min() > 1e-6]:
        raise StoreError(f"{store}: has no output at {absent} h")
    totals = totals.sel(time=hours, method="nearest").fillna(0.0)
    for name in totals["parameter"].values:
        own = totals.sel(parameter=name).transpose("output", "time")
        row, column = np.unravel_index(own.to_numpy().argmax(), own.shape)
        output, hour = str(own["output"].values[row]), float(own["time"][column])
        yield str(name), float(own[row, column]), f"{output} at {hour:g} h"


def fit_with(base: Path, names: list[str]) -> tuple[Fit, dict[str, str]]:
    """The fit that frees these numbers, and why others of them cannot be free."""
    document = Fit.read(base).to_dict() | {"name": "worth_fitting"}
    document.pop("shared", None)
    refused: dict[str, str] = {}
    while True:
        free = [name for name in names if name not in refused]
        try:
            return Fit.parse(document | {"free": {name: {} for name in free}}, base.parent), refused
        except StudyError as error:
            unfit = {
                name: problem.message
                for problem in error.problems
                for name in free
                if problem.place.replace('"', "").startswith(f"free.{name}")
            }
            if not unfit:
                raise
            refused |= unfit


def main() -> None:
    """Rank, choose, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path, help="of `ketjax sensitivity`, with Sobol indices")
    parser.add_argument("--base", type=Path, default=FITS / "human.toml", help="fit to start from")
    parser.add_argument("--outputs", default="madrs", help="readouts, separated by commas")
    parser.add_argument("--hours", default="24,168", help="separated by commas")
    parser.add_argument("--arm", default="ketamine")
    parser.add_argument("--least", type=float, default=LEAST, help="total index")
    parser.add_argument("--out", type=Path, default=Path("out/worth_fitting.toml"))
    asked = parser.parse_args()
    with mistakes():
        hours = [float(hour) for hour in asked.hours.split(",")]
        ranked = list(largest_totals(asked.store, asked.outputs.split(","), hours, asked.arm))
        ranked = sorted((one for one in ranked if one[1] >= asked.least), key=lambda one: -one[1])
        fit, refused = fit_with(asked.base, [name for name, _, _ in ranked])
        status = {row.path: row.status for row in rows()}
        lines = [
            [name, f"{total:.3f}", where, status.get(name, ""), refused.get(name, "free")]
            for name, total, where in ranked
        ]
        head = ["parameter", "largest total index", "of", "status", "in the fit"]
        sys.stdout.write(formatted(head, lines, "text"))
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(toml_text(fit.to_dict()), encoding="utf-8")
        print(f"\n{len(fit.unknowns)} numbers free, {len(fit.summaries)} targets: {asked.out}")


if __name__ == "__main__":
    main()
