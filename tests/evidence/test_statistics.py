"""Statistics of courses by hand."""

import numpy as np
import pytest

from ketjax.evidence.statistics import CONTRASTS, STATISTICS, Course

NAN = float("nan")
TIMES = np.array([0.0, 1.0, 2.0, 4.0])
TWO = Course(TIMES, np.array([[10.0, 20.0], [14.0, 20.0], [12.0, 26.0], [10.0, 10.0]]))
DAILY = np.arange(0.0, 24 * 11, 24.0)


def of(name: str, course: Course, start: float, stop: float = NAN) -> float:
    return STATISTICS[name](course, start, stop)


@pytest.mark.parametrize(
    ("name", "start", "stop", "value"),
    [
        ("mean", 1.0, NAN, 17.0),
        ("mean", 0.0, 2.0, (15 / 2 + 17 + 19 / 2) / 2),
        ("area", 0.0, 4.0, 16.0 + 18.0 + 29.0),
        ("peak", 0.0, 4.0, 20.0),
        ("lowest", 0.0, 2.0, 15.0),
        ("time of peak", 0.0, 4.0, 2.0),
        ("share of peak", 4.0, NAN, 10 / 19),
        ("ratio to start", 1.0, NAN, 1.2),
        ("change", 1.0, NAN, 2.0),
        ("SD of change", 1.0, NAN, np.sqrt(8)),
        ("fall", 4.0, NAN, 25.0),
        ("share of change", 1.0, 2.0, 50.0),
        ("response", 4.0, NAN, 50.0),
        ("remission", 4.0, NAN, 100.0),
        ("remission", 0.0, NAN, 50.0),
    ],
)
def test_one_course(name: str, start: float, stop: float, value: float) -> None:
    assert of(name, TWO, start, stop) == pytest.approx(value)


def test_sustained_response_needs_two_visits() -> None:
    falls = np.array([[0, 0, 0], [60, 60, 10], [60, 10, 10], [10, 10, 60], [60, 10, 10]]) / 100
    course = Course(DAILY[:5], 30 * (1 - falls))
    assert of("sustained response", course, 24.0, 96.0) == pytest.approx(100 / 3)
    assert of("sustained response", course, 48.0, 72.0) == 0.0


def test_relapse_is_two_visits_in_a_row() -> None:
    """Four responders: lost on day 4, lost for one day only, never, and who never responded."""
    falls = np.full((11, 4), 0.6)
    falls[4:, 0] = 0.1
    falls[4, 1] = 0.1
    falls[:, 3] = 0.3
    falls[0] = 0.0
    course = Course(DAILY, 40 * (1 - falls))
    assert of("well, a quarter of the gain", course, 24.0, 240.0) == pytest.approx(200 / 3)
    assert of("days well, a quarter of the gain", course, 24.0, 240.0) == pytest.approx(21 / 3)
    assert of("well, below 20", course, 24.0, 240.0) == pytest.approx(200 / 3)
    assert of("median days, below 20", course, 24.0, 240.0) == np.inf
    assert of("median days, below 20", Course(DAILY, course.values[:, :1]), 24.0, 240.0) == 3.0


def test_nobody_who_responds_leaves_no_number() -> None:
    course = Course(DAILY, np.full((11, 2), 30.0))
    for name in ("well, below 20", "median days, below 20", "days well, a quarter of the gain"):
        assert np.isnan(of(name, course, 24.0, 240.0))


def test_contrasts() -> None:
    a = Course(TIMES, np.array([[20.0, 20.0], [8.0, 16.0], [5.0, 15.0], [4.0, 12.0]]))
    b = Course(TIMES, np.array([[20.0, 20.0], [18.0, 9.0], [20.0, 18.0], [16.0, 18.0]]))

    def contrast(name: str, statistic: str, start: float, stop: float = NAN) -> float:
        compare = CONTRASTS[name]
        assert compare is not None
        return compare(STATISTICS[statistic], a, b, start, stop)

    assert contrast("over", "mean", 2.0) == pytest.approx(10 / 19)
    assert contrast("minus", "fall", 2.0) == pytest.approx(45.0)
    assert contrast("odds", "response", 1.0) == pytest.approx(1.0)
    assert contrast("share", "fall", 2.0, 4.0) == pytest.approx(100 * 45 / 45)
    changes = (np.array([-15.0, -5.0]), np.array([0.0, -2.0]))
    pooled = np.sqrt((changes[0].var(ddof=1) + changes[1].var(ddof=1)) / 2)
    assert contrast("effect size", "change", 2.0) == pytest.approx((-1 + 10) / pooled)
