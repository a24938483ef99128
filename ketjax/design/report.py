"""What a design found, for people and for programs: tables, an arm of a study, one record."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ketjax.design.objective import Worth, standard_error
from ketjax.design.plan import DAY, Design
from ketjax.design.search import BINDS, Found
from ketjax.errors import TooManyFailures
from ketjax.tables import formatted

Array = NDArray[np.float64]

CAUTION = (
    "A hypothesis of the model, not advice: its repeated doses do more than those of trials\n"
    "(findings C73 and E09 of the evidence), so that many infusions look better than they are.\n"
)
AMOUNT_DIGITS, TIME_DIGITS = 4, 1  # of the arm that is written: significant; after the point [h]


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """A design and what it led to.

    Attributes:
        design: What was asked.
        found: The best schedule of each number of infusions, from one on.
        counted: For each, whether each patient is rated as having reached the outcome, (patient,).
    """

    design: Design
    found: Sequence[Found]
    counted: Sequence[Array]

    @cached_property
    def best(self) -> int:
        """Place of the best schedule that keeps the cap.

        Raises:
            TooManyFailures: There is none.
        """
        shares = [one.worth.share if one.allowed else -math.inf for one in self.found]
        if max(shares) == -math.inf:
            raise TooManyFailures("no schedule within the bounds keeps the cap; raise the cap")
        return int(np.argmax(shares))

    def rows(self) -> list[dict[str, Any]]:
        """Each number of infusions: its schedule, what it does, how sure that is."""
        cap = self.design.design.cap
        best = self.found[self.best].worth.chances
        rows = []
        for one, counted in zip(self.found, self.counted, strict=True):
            worth, course = one.worth, one.worth.course
            rows.append(
                {
                    "infusions": one.schedule.infusions,
                    f"amounts_{self.design.unit}": one.schedule.amounts.tolist(),
                    "days": (one.schedule.starts / DAY).tolist(),
                    "share": worth.share,
                    "share_se": worth.error,
                    "share_counted": float(np.nanmean(counted)),
                    "share_counted_se": standard_error(counted),
                    "less_than_best": float(np.nanmean(best - worth.chances)),
                    "less_than_best_se": standard_error(best - worth.chances),
                    "highest_dissociation": float(np.nanmean(worth.highest, axis=1).max()),
                    "share_beyond_cap": math.nan
                    if cap is None
                    else float(np.nanmean(_beyond(worth, cap.dissociation), axis=1).max()),
                    "cap": self._cap(one),
                    "failed": int((~course.well).sum()),
                    "within_tolerance": float(np.mean(course.error[course.well] <= 1.0)),
                    "largest_error": float(course.error[course.well].max()),
                    "starts": list(one.starts),
                    "rounds": one.rounds,
                    "marches": one.evaluations,
                    "seconds": one.seconds,
                }
            )
        return rows

    def text(self) -> str:
        """All of it as a person reads it."""
        d, unit = self.design.design, self.design.unit
        lines = [
            [
                str(row["infusions"]),
                " ".join(f"{amount:.3g}" for amount in row[f"amounts_{unit}"]),
                " ".join(f"{day:.3g}" for day in row["days"]),
                f"{100 * row['share']:.1f} ({100 * row['share_se']:.1f})",
                f"{100 * row['share_counted']:.1f} ({100 * row['share_counted_se']:.1f})",
                f"{100 * row['less_than_best']:.1f} ({100 * row['less_than_best_se']:.1f})",
                f"{row['highest_dissociation']:.2f}",
                row["cap"],
                f"{100 * row['within_tolerance']:.0f}",
            ]
            for row in self.rows()
        ]
        head = ["infusions", f"amounts [{unit}]", "days", f"{d.outcome} % (SE)", "counted % (SE)",
                "less than best (SE)", "dissociation", "cap", "steps good %"]  # fmt: skip
        best = self.found[self.best]
        wide = [one for one in self.found if len(one.starts) > 1]
        apart = max((max(one.starts) - min(one.starts) for one in wide), default=0.0)
        parts = [
            f"{d.outcome} at day {d.day:g}, {self._cap_text()}\n",
            formatted(head, lines, "text"),
            f"\nBest: {best.schedule.infusions} infusions.\n",
            f"Searches of one number of infusions ended at most {100 * apart:.1f} points apart.\n",
            f"\n{CAUTION}",
        ]
        return "".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it; what is not finite is None."""
        rows = [
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in r.items()}
            for r in self.rows()
        ]
        best = self.found[self.best].schedule.infusions
        return {"design": self.design.name, "best": best, "rows": rows, "caution": CAUTION}

    def table(self) -> str:
        """All rows as CSV, numbers in full; lists stand in one cell."""
        rows = self.rows()
        cells = [
            [" ".join(map(repr, v)) if isinstance(v, list) else _cell(v) for v in row.values()]
            for row in rows
        ]
        return formatted(list(rows[0]), cells, "csv")

    def arm_text(self) -> str:
        """The best schedule as an arm of a study, amounts and times rounded."""
        best = self.found[self.best].schedule
        amounts = [float(f"{amount:.{AMOUNT_DIGITS}g}") for amount in best.amounts]
        starts = [round(float(start), TIME_DIGITS) for start in best.starts]
        arm = self.design.arm_tables(amounts, starts)
        name = "designed"
        lines = [
            f"# Found by ketjax design: {self.design.name}. Research model, not for clinical use.",
            *(f"# {line}" for line in CAUTION.splitlines()),
            "",
            f"[arms.{name}]",
            f"expectancy = {_quoted(arm['expectancy'])}",
            f"interaction = {_quoted(arm['interaction'])}",
        ]
        if arm["parameters"]:
            lines += ["", f"[arms.{name}.parameters]"]
            lines += [f"{_quoted(k)} = {_quoted(v)}" for k, v in arm["parameters"].items()]
        for dose in arm["doses"]:
            lines += ["", f"[[arms.{name}.doses]]"]
            lines += [f"{key} = {_quoted(value)}" for key, value in dose.items()]
        return "\n".join(lines) + "\n"

    def _cap(self, one: Found) -> str:
        """Whether the cap holds a schedule back."""
        cap = self.design.design.cap
        if cap is None:
            return "none"
        if not one.allowed:
            return "exceeded"
        return "binds" if one.worth.worst > (1 - BINDS) * cap.limit else "free"

    def _cap_text(self) -> str:
        cap = self.design.design.cap
        if cap is None:
            return "dissociation not capped"
        points = f"{cap.dissociation:g} points"
        if cap.share is None:
            return f"mean highest dissociation of a session at most {points}"
        share = f"{100 * cap.share:g} % of the patients"
        return f"dissociation of a session above {points} in at most {share}"


def _beyond(worth: Worth, points: float) -> Array:
    """Whether each patient goes beyond so many points in each session, (infusion, patient)."""
    return np.where(worth.course.well, worth.highest > points, np.nan)


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _quoted(value: Any) -> str:
    """Text or a number as TOML writes it; its escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
