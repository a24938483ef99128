"""Which arms of a study differ in the dose of one drug and in nothing else."""

import dataclasses
import json
from typing import Any

from ketjax.errors import StoreError

FEWEST = 3
"""Least doses that make a series, none included."""

INERT = "saline"


@dataclasses.dataclass(frozen=True)
class DoseSeries:
    """Arms that differ in dose.

    Attributes:
        drug: What is given.
        unit: Unit of the doses.
        doses: Dose of each arm, at each of its times alike; 0 for a sham.
        left_out: Arms that do not belong to the series.
    """

    drug: str
    unit: str
    doses: dict[str, float]
    left_out: tuple[str, ...]


def dose_series(study: dict[str, Any]) -> DoseSeries:
    """The longest series of arms that differ in dose alone.

    Args:
        study: Tables of the study.

    Returns:
        The series.

    Raises:
        StoreError: There is none; the message says why.
    """
    series: dict[tuple[str, str, str], dict[str, float]] = {}
    shams: dict[str, list[str]] = {}
    for name, arm in study.get("arms", {}).items():
        frame, found = _frame(arm), _dose(arm)
        if found is None:
            continue
        drug, amount, unit = found
        if amount:
            series.setdefault((frame, drug, unit), {})[name] = amount
        else:
            shams.setdefault(frame, []).append(name)
    for (frame, _, _), doses in series.items():
        doses |= dict.fromkeys(shams.get(frame, ()), 0.0)
    if not series:
        raise StoreError("no arm gets one drug in one amount")
    (_, drug, unit), doses = max(series.items(), key=lambda item: len(set(item[1].values())))
    if len(set(doses.values())) < FEWEST:
        raise StoreError(
            f"fewer than {FEWEST} arms differ in the dose of one drug and in nothing else"
        )
    arms = tuple(name for name in study["arms"] if name not in doses)
    doses = {name: doses[name] for name in study["arms"] if name in doses}
    return DoseSeries(drug, unit, doses, arms)


def _frame(arm: dict[str, Any]) -> str:
    """Everything of an arm but what is given, and how much."""
    doses = [
        {key: value for key, value in dose.items() if key not in ("drug", "amount")}
        for dose in arm.get("doses", ())
    ]
    rest = {key: value for key, value in arm.items() if key != "doses"}
    return json.dumps([doses, rest], sort_keys=True)


def _dose(arm: dict[str, Any]) -> tuple[str, float, str] | None:
    """Drug, amount and unit if all doses of an arm are alike, else None."""
    found = set()
    for dose in arm.get("doses", ()):
        value, _, unit = str(dose.get("amount", "")).partition(" ")
        try:
            found.add((str(dose.get("drug", "")), float(value), unit))
        except ValueError:
            return None
    if len(found) != 1:
        return None
    drug, amount, unit = found.pop()
    return (drug, 0.0, unit) if drug == INERT else (drug, amount, unit)
