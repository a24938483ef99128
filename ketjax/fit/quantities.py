"""What a published summary can speak of: a closed list, as data.

A quantity has a unit, the readout that it is made of, the family of its likelihood, and the rule by
which its standard error comes from spread and number of patients. Two trials of the same treatment
differ by more than their errors: the SD between trials is 3 points of MADRS or 10 percentage points
(assumed), and zero where nothing is known of it; a fit can set it.
"""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist
from typing import Literal

Family = Literal["normal", "binomial", "interval-censored"]
ErrorRule = Literal["mean", "share", "spread", "quantile"]

DAILY = 24.0  # between visits of a trial [h]
CLOSELY = 1 / 6  # between times at which a highest value is looked for [h]; assumed
BETWEEN_POINTS, BETWEEN_SHARES = 3.0, 0.1  # SD between trials [points], [1]; assumed
ADDED = 2.0  # successes, and failures, that the error of a share counts beside the patients


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One kind of published summary.

    Attributes:
        name: As a table of targets writes it.
        meaning: What it is.
        readout: What it is made of.
        unit: Of the mean and of its error, once read.
        spellings: Units in which a table may give it.
        family: Of its likelihood.
        error: How its standard error is found.
        between: SD between trials [unit].
        needs: Columns that it needs beside those of all.
        takes: Columns that it may have.
        every: Time between visits where it takes several [h]; zero where it takes one.
        level: Share of the responders who have relapsed by a quantile [1].
    """

    name: str
    meaning: str
    readout: str
    unit: str
    spellings: tuple[str, ...]
    family: Family = "normal"
    error: ErrorRule = "mean"
    between: float = 0.0
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    every: float = 0.0
    level: float = math.nan


# Unit of a number once it is read, and the spellings of a table.
_POINTS = ("points", ("points", "point"))
_SHARE = ("1", ("%", "percent", "1"))
_DAYS = ("day", ("day", "days", "d", "week", "h"))
_PLASMA = ("ng/mL", ("ng/mL", "ng/ml", "ug/L"))
_PRESSURE = ("mmHg", ("mmHg",))


def _score(name: str, meaning: str, error: ErrorRule = "mean", **more) -> Quantity:
    more = {"takes": ("baseline",), **more}
    return Quantity(name, meaning, "madrs_rated", *_POINTS, "normal", error, **more)


def _share(name: str, meaning: str, family: Family = "binomial", **more) -> Quantity:
    more = {"takes": ("baseline", "censored"), **more}
    return Quantity(name, meaning, "madrs_rated", *_SHARE, family, "share", BETWEEN_SHARES, **more)


def _days(name: str, meaning: str, error: ErrorRule, level: float = math.nan) -> Quantity:
    more = {"needs": ("rule",), "takes": ("censored",), "every": DAILY, "level": level}
    return Quantity(name, meaning, "madrs_rated", *_DAYS, "normal", error, **more)


_PEAK = {"needs": ("stop",), "every": CLOSELY}
_TABLE = (
    _score("score", "mean score", between=BETWEEN_POINTS),
    _score("change", "mean change of the score from entry", between=BETWEEN_POINTS),
    Quantity(
        "percent change",
        "mean change from entry as a share of the score at entry",
        "madrs_rated",
        *_SHARE,
        between=BETWEEN_SHARES,
        takes=("baseline",),
    ),
    _score("SD of change", "SD over patients of the change from entry", "spread"),
    _share("response", "patients whose score has halved"),
    _share("remission", "patients at 10 points or fewer"),
    _share(
        "sustained response",
        "patients whose score has halved on two or more days of a window",
        needs=("stop",),
        every=DAILY,
    ),
    Quantity(
        "effect size",
        "fall beyond that of another arm, in pooled SDs of change",
        "madrs_rated",
        *("1", ("1",)),
        needs=("versus",),
    ),
    _score(
        "difference of changes",
        "change less that of another arm",
        between=BETWEEN_POINTS,
        needs=("versus",),
    ),
    # Days count from the start of the rule's clock, times from the first event.
    _share(
        "share not relapsed",
        "responders who are still well at this time",
        "interval-censored",
        needs=("rule",),
        takes=("censored",),
        every=DAILY,
    ),
    _days("restricted mean days", "mean days well, at most until this time", "mean"),
    _days("median days to relapse", "followed until this time", "quantile", 0.5),
    _days("lower quartile of days to relapse", "followed until this time", "quantile", 0.25),
    _days("upper quartile of days to relapse", "followed until this time", "quantile", 0.75),
    Quantity(
        "share of final gain",
        "change as a share of that at the end of a window",
        "madrs_rated",
        *_SHARE,
        needs=("stop",),
    ),
    Quantity("plasma ketamine", "mean, S and R", "plasma_ketamine", *_PLASMA),
    Quantity("plasma esketamine", "mean", "plasma_esketamine", *_PLASMA),
    Quantity("plasma norketamine", "mean, S and R", "plasma_norketamine", *_PLASMA),
    Quantity(
        "highest plasma ketamine",
        "mean of the highest of a window, S and R",
        "plasma_ketamine",
        *_PLASMA,
        **_PEAK,
    ),
    Quantity("dissociation", "mean CADSS", "dissociation", *_POINTS),
    Quantity(
        "highest dissociation",
        "mean of the highest CADSS of a window",
        "dissociation",
        *_POINTS,
        **_PEAK,
    ),
    Quantity("change of systolic pressure", "mean, from before", "systolic_pressure", *_PRESSURE),
    Quantity("change of diastolic pressure", "mean, from before", "diastolic_pressure", *_PRESSURE),
)
QUANTITIES: dict[str, Quantity] = {row.name: row for row in _TABLE}
"""By name."""

OPTIONAL = ("versus", "stop", "censored", "baseline", "rule")
"""Columns that only some quantities have."""


def standard_error(quantity: Quantity, mean: float, spread: float, n: float) -> float:
    """How far a published summary may be off because few patients were in it.

    Equation:
        mean      SD / sqrt(n)
        share     sqrt(p (1 - p) / (n + 4)),  p = (n share + 2) / (n + 4)  (Agresti and Coull 1998)
        spread    SD / sqrt(2 (n - 1)), the delta method for a normal sample
        quantile  sqrt(q (1 - q) / n) / f,  f = phi(Phi^-1(q)) / SD: a normal sample is assumed

    Args:
        quantity: What it is.
        mean: The number published [unit]; of a spread the SD itself.
        spread: SD over patients [unit]; not used of shares and spreads.
        n: Patients.

    Returns:
        Standard error [unit]; positive at a share of 0 % and of 100 % too.
    """
    if quantity.error == "share":
        share = (n * mean + ADDED) / (n + 2 * ADDED)
        return math.sqrt(share * (1 - share) / (n + 2 * ADDED))
    if quantity.error == "spread":
        return mean / math.sqrt(2 * (n - 1))
    if quantity.error == "quantile":
        q, normal = quantity.level, NormalDist()
        density = normal.pdf(normal.inv_cdf(q)) / spread
        return math.sqrt(q * (1 - q) / n) / density
    return spread / math.sqrt(n)
