"""What can be made of a simulated course: one number, to be held against a published one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.analysis.survival import DAY, RELAPSE_RULES, RELAPSE_SCORE, relapse_days

# Least fall of those who stay well after one infusion [%].
KEPT = 100 * RELAPSE_RULES["quarter_of_gain"].threshold


@dataclass(frozen=True)
class Course:
    """One readout of one arm.

    Attributes:
        times: Times [h], shape (time,).
        values: Numbers, shape (time, patient).
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]

    def at(self, time: float) -> NDArray[np.float64]:
        """All patients at the output time nearest to `time` [h], shape (patient,)."""
        return self.values[int(np.abs(self.times - time).argmin())]

    def within(self, start: float, stop: float) -> "Course":
        """The part from `start` to `stop` [h]."""
        inside = (self.times >= start - 1e-9) & (self.times <= stop + 1e-9)
        return Course(self.times[inside], self.values[inside])

    def falls(self) -> NDArray[np.float64]:
        """Fall from time 0 [%], shape (time, patient)."""
        return 100 * (1 - self.values / self.values[0])


Statistic = Callable[[Course, float, float], float]


def mean(course: Course, start: float, stop: float) -> float:
    """Mean over patients at `start`, or over the window up to `stop` as well."""
    if np.isnan(stop):
        return float(course.at(start).mean())
    return area(course, start, stop) / (stop - start)


def area(course: Course, start: float, stop: float) -> float:
    """Area under the mean of the patients by trapezia [unit h]."""
    part = course.within(start, stop)
    return float(np.trapezoid(part.values.mean(axis=1), part.times))


def peak(course: Course, start: float, stop: float) -> float:
    """Mean of each patient's highest value."""
    return float(course.within(start, stop).values.max(axis=0).mean())


def lowest(course: Course, start: float, stop: float) -> float:
    """Mean of each patient's lowest value."""
    return float(course.within(start, stop).values.min(axis=0).mean())


def time_of_peak(course: Course, start: float, stop: float) -> float:
    """Time at which the mean of the patients is highest [h]."""
    part = course.within(start, stop)
    return float(part.times[part.values.mean(axis=1).argmax()])


def share_of_peak(course: Course, start: float, stop: float) -> float:
    """Mean at `start` over the highest mean."""
    del stop
    return float(course.at(start).mean() / course.values.mean(axis=1).max())


def ratio_to_start(course: Course, start: float, stop: float) -> float:
    """Mean over patients of the value over that at time 0."""
    del stop
    return float((course.at(start) / course.values[0]).mean())


def change(course: Course, start: float, stop: float) -> float:
    """Mean change from time 0."""
    del stop
    return float((course.at(start) - course.values[0]).mean())


def sd_of_change(course: Course, start: float, stop: float) -> float:
    """Standard deviation over patients of the change from time 0."""
    del stop
    return float((course.at(start) - course.values[0]).std(ddof=1))


def fall(course: Course, start: float, stop: float) -> float:
    """Mean fall from time 0 [%]."""
    del stop
    return float(100 * (1 - course.at(start) / course.values[0]).mean())


def share_of_change(course: Course, start: float, stop: float) -> float:
    """Change at `start` over the change at `stop` [%]."""
    return 100 * change(course, start, stop) / change(course, stop, stop)


def response(course: Course, start: float, stop: float) -> float:
    """Patients whose score has halved [%]."""
    del stop
    return float(100 * (course.at(start) <= (1 - RESPONSE_FRACTION) * course.values[0]).mean())


def remission(course: Course, start: float, stop: float) -> float:
    """Patients at or below the remission score [%]."""
    del stop
    return float(100 * (course.at(start) <= REMISSION_SCORE).mean())


def sustained_response(course: Course, start: float, stop: float) -> float:
    """Patients whose score has halved at two or more of the visits of the window [%]."""
    inside = (course.times >= start - 1e-9) & (course.times <= stop + 1e-9)
    return float(
        100 * ((course.falls()[inside] >= 100 * RESPONSE_FRACTION).sum(axis=0) >= 2).mean()
    )


def _days_well(course: Course, start: float, stop: float, lost: NDArray[np.bool_]) -> NDArray:
    """Days from `start` to relapse for those who respond; infinity for who stays well to `stop`."""
    seen = course.times <= stop + 1e-9
    days, relapsed = relapse_days(course.times[seen], course.values[seen], start, lost[seen])
    return np.where(relapsed, days, np.inf)


def _mean(values: NDArray) -> float:
    """Mean; NaN if there is nobody."""
    return float(values.mean()) if values.size else np.nan


def _days_with_gain(course: Course, start: float, stop: float) -> NDArray:
    return _days_well(course, start, stop, course.falls() < KEPT)


def _days_below(course: Course, start: float, stop: float) -> NDArray:
    return _days_well(course, start, stop, course.values >= RELAPSE_SCORE)


def well_with_gain(course: Course, start: float, stop: float) -> float:
    """Responders at `start` who keep a quarter of the gain until `stop` [%]."""
    return 100 * _mean(np.isinf(_days_with_gain(course, start, stop)))


def restricted_mean_with_gain(course: Course, start: float, stop: float) -> float:
    """Mean time for which they keep it, at most until `stop` [day]."""
    return _mean(np.minimum(_days_with_gain(course, start, stop), (stop - start) / DAY))


def well_below(course: Course, start: float, stop: float) -> float:
    """Responders at `start` who stay below the score of relapse until `stop` [%]."""
    return 100 * _mean(np.isinf(_days_below(course, start, stop)))


def median_below(course: Course, start: float, stop: float) -> float:
    """Median time for which they do [day]; infinity if half of them stay well."""
    days = _days_below(course, start, stop)
    return float(np.median(days)) if days.size else np.nan


STATISTICS: dict[str, Statistic] = {
    "mean": mean,
    "area": area,
    "peak": peak,
    "lowest": lowest,
    "time of peak": time_of_peak,
    "share of peak": share_of_peak,
    "ratio to start": ratio_to_start,
    "change": change,
    "SD of change": sd_of_change,
    "fall": fall,
    "share of change": share_of_change,
    "response": response,
    "remission": remission,
    "sustained response": sustained_response,
    "well, a quarter of the gain": well_with_gain,
    "days well, a quarter of the gain": restricted_mean_with_gain,
    "well, below 20": well_below,
    "median days, below 20": median_below,
}


def over(statistic: Statistic, a: Course, b: Course, start: float, stop: float) -> float:
    """Ratio of the statistics."""
    return statistic(a, start, stop) / statistic(b, start, stop)


def minus(statistic: Statistic, a: Course, b: Course, start: float, stop: float) -> float:
    """Difference of the statistics."""
    return statistic(a, start, stop) - statistic(b, start, stop)


def odds(statistic: Statistic, a: Course, b: Course, start: float, stop: float) -> float:
    """Odds ratio of two percentages."""
    p, q = statistic(a, start, stop) / 100, statistic(b, start, stop) / 100
    return p * (1 - q) / (q * (1 - p))


def effect_size(statistic: Statistic, a: Course, b: Course, start: float, stop: float) -> float:
    """Fall of the first over that of the second, in units of the pooled SD of change."""
    del statistic
    spread = np.hypot(sd_of_change(a, start, stop), sd_of_change(b, start, stop)) / np.sqrt(2)
    return float((change(b, start, stop) - change(a, start, stop)) / spread)


def share(statistic: Statistic, a: Course, b: Course, start: float, stop: float) -> float:
    """Difference at `start` over the difference at `stop` [%]."""
    return 100 * minus(statistic, a, b, start, np.nan) / minus(statistic, a, b, stop, np.nan)


CONTRASTS: dict[str, Callable[[Statistic, Course, Course, float, float], float] | None] = {
    "": None,
    "over": over,
    "minus": minus,
    "odds": odds,
    "effect size": effect_size,
    "share": share,
}
