"""Does the search for a schedule find what a brute-force grid finds?

    python benchmarks/design_grid.py [--patients N] [--points N]

Two infusions with one amount, so that amount and gap move. Prints the best point of the grid that
keeps the cap, what the search found from each start, marches and seconds of both, and the slopes at
the middle of the grid beside differences.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from ketjax.design.courses import Schedule
from ketjax.design.objective import Objective
from ketjax.design.plan import Design
from ketjax.design.search import EXCESS, Variables, maximise

FEW = 16  # patients of the slopes
DESIGN = Path(__file__).parents[1] / "fits" / "design.toml"


def case() -> Design:
    """The example with two equal infusions in a fortnight."""
    document = Design.read(DESIGN).to_dict()
    document["design"] |= {"infusions": 2, "shared_amount": True, "day": 14.0}
    document["design"]["gap"] = {"low": "1 day", "high": "12 day"}
    return Design.parse(document)


def main() -> None:
    """March the grid, search, print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=256)
    parser.add_argument("--points", type=int, default=12)
    options = parser.parse_args()
    design = case()
    objective = Objective(design, options.patients)
    variables = Variables(design, 2)
    limit = design.design.cap.limit if design.design.cap else np.inf
    middle = variables.schedule(np.array([0.5, 0.5]))
    objective.slopes(objective.worth(objective.courses.frame(middle), middle))  # compiles

    shares = np.linspace(0, 1, options.points)
    begun, table = time.perf_counter(), np.full((options.points, options.points), np.nan)
    for column, gap in enumerate(shares):
        frame = objective.courses.frame(variables.schedule(np.array([0.5, gap])))
        for row, amount in enumerate(shares):
            worth = objective.worth(frame, variables.schedule(np.array([amount, gap])))
            if worth.worst <= limit * (1 + EXCESS):
                table[row, column] = worth.share
    grid_seconds = time.perf_counter() - begun
    best = np.unravel_index(np.nanargmax(table), table.shape)
    at = variables.schedule(shares[list(best)])
    found = maximise(objective, 2)
    cell = np.abs(variables.numbers(found.schedule) - shares[list(best)]) * (options.points - 1)

    print(f"{options.patients} patients, two infusions of one amount, remission at day 14,")
    print(f"mean highest dissociation at most {limit:g} points")
    print(f"{'':8}{'mg/kg':>8}{'gap [day]':>11}{'remission %':>13}{'marches':>9}{'seconds':>9}")
    rows = (
        ("grid", at, float(table[best]), options.points**2, grid_seconds),
        ("search", found.schedule, found.worth.share, found.evaluations, found.seconds),
    )
    for name, one, share, marches, seconds in rows:
        gap = (one.starts[1] - one.starts[0]) / 24
        print(
            f"{name:8}{one.amounts[0]:8.3f}{gap:11.2f}{100 * share:13.3f}{marches:9}{seconds:9.0f}"
        )
    print(f"distance in cells of the grid: amount {cell[0]:.2f}, gap {cell[1]:.2f}")
    print(f"dissociation at what was found: {found.worth.worst:.3f} points")
    print(f"searches ended at: {', '.join(f'{100 * one:.3f} %' for one in found.starts)}")
    _print_slopes(Objective(design, FEW, dtype="float64", pilot=FEW), middle)


def _print_slopes(objective: Objective, schedule: Schedule) -> None:
    """Slopes of share and dissociation beside differences."""
    frame = objective.courses.frame(schedule)
    by_amount, by_start = objective.slopes(objective.worth(frame, schedule))

    def difference(amount: float, start: float) -> np.ndarray:
        ends = []
        for sign in (1, -1):
            moved = Schedule(
                schedule.amounts + sign * np.array([0.0, amount]),
                schedule.starts + sign * np.array([0.0, start]),
            )
            worth = objective.worth(frame, moved)
            ends.append(np.append(worth.share, worth.capped))
        return (ends[0] - ends[1]) / (2 * max(amount, start))

    print(f"slopes at the middle of the grid, {FEW} patients in float64, beside differences:")
    for name, slopes, differences in (
        ("amount of the second, each mg/kg", by_amount[:, 1], difference(1e-4, 0.0)),
        ("start of the second, each h", by_start[:, 1], difference(0.0, 1e-2)),
    ):
        numbers = "  ".join(f"{a:.8g} ({b:.8g})" for a, b in zip(slopes, differences, strict=True))
        print(f"  {name}: share, dissociation of each session  {numbers}")


if __name__ == "__main__":
    main()
