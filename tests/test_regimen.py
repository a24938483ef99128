"""Regimens: drug is conserved, order does not matter, and nonsense is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketjax.errors import StudyError
from ketjax.regimen import Blocker, Dose, Gate, Regimen, Session, merge_times, repeat

INFUSION = Dose("ketamine", "intravenous", 0.5, per_kg=True, time=0.0, duration=2 / 3)

times = st.floats(0, 300)
infusions = st.builds(
    Dose,
    drug=st.sampled_from(["ketamine", "esketamine", "arketamine", "midazolam"]),
    route=st.just("intravenous"),
    amount=st.floats(0, 1000),
    per_kg=st.booleans(),
    time=times,
    duration=st.just(0.0) | st.floats(0.01, 100),
)
windows = st.floats(0.01, 100)
events = st.one_of(
    infusions,
    st.builds(Blocker, st.just("ampa"), st.floats(0, 1), times, windows),
    st.builds(Gate, st.just("ampa"), st.floats(0, 10), times, windows),
    st.builds(Session, times, windows, st.floats(0, 1)),
)


@given(st.lists(events, max_size=5), st.randoms(use_true_random=False))
def test_order_of_the_events_is_irrelevant(given_events, random):
    shuffled = list(given_events)
    random.shuffle(shuffled)
    alone = [Regimen((event,)) for event in shuffled]
    assert Regimen(tuple(shuffled)) == Regimen(tuple(given_events))
    assert Regimen().merge(*alone) == Regimen(tuple(given_events))


@given(st.lists(events, min_size=1, max_size=5))
def test_inputs_are_constant_between_edges(given_events):
    regimen = Regimen(tuple(given_events))
    edges = regimen.edges()
    finer = merge_times(edges, np.linspace(edges[0], edges[-1], 50))
    segment = np.searchsorted(edges, 0.5 * (finer[:-1] + finer[1:]), side="right") - 1
    for inputs in (
        lambda bounds: regimen.lost("ampa", bounds),
        regimen.session_intensity,
    ):
        np.testing.assert_array_equal(inputs(finer), inputs(edges)[segment])


def test_repetition_and_sequence():
    course = Regimen(repeat(INFUSION, every=48.0, count=6))
    assert [dose.time for dose in course.doses] == [0, 48, 96, 144, 192, 240]
    session = Regimen((Session(24.0, 1.5),))
    assert course.then(session, after=240.0).sessions == (Session(264.0, 1.5),)
    with pytest.raises(StudyError, match="every"):
        repeat(INFUSION, every=0.0, count=2)


def test_gates_act_independently_and_the_most_intense_session_counts():
    half = Blocker("mtor", 0.5, 0.0, 2.0)
    regimen = Regimen((half, Gate("mtorc1", 0.5, 1.0, 2.0), Gate("trkb", 0.0, 0.0, 9.0)))
    np.testing.assert_array_equal(regimen.lost("mtorc1", [0, 1, 2, 3, 9]), [0.5, 0.75, 0.5, 0])
    raised = Regimen((Gate("autoinhibition", 10.0, 1.0, 2.0),))
    np.testing.assert_array_equal(raised.lost("autoinhibition", [0, 1, 3, 4]), [0, -9, 0])
    sessions = Regimen((Session(0.0, 2.0, 0.4), Session(1.0, 2.0, 0.9)))
    np.testing.assert_array_equal(sessions.session_intensity([0, 1, 2, 3]), [0.4, 0.9, 0.9])


def test_times_that_differ_by_rounding_are_one_edge():
    np.testing.assert_array_equal(merge_times([0.1 + 0.2, 1.0], [0.3]), [0.3, 1.0])
    thirds = Regimen(
        tuple(Dose("ketamine", "intravenous", 1.0, time=k * 0.1, duration=0.1) for k in range(30))
    )
    assert len(thirds.edges()) == 31


@pytest.mark.parametrize(
    ("make", "places"),
    [
        (lambda: Dose("ketamin", "nose", -1.0), ["drug", "route", "amount"]),
        (lambda: Dose("ketamine", "oral", np.nan, time=-1.0), ["amount", "time"]),
        (lambda: Dose("ketamine", "intravenous", 1.0, duration=np.inf), ["duration"]),
        (lambda: Dose("ketamine", "intranasal", 56.0, duration=0.5), ["duration"]),
        (lambda: Blocker("ampar", 1.5, 0.0, 0.0), ["target", "fraction", "duration"]),
        (lambda: Session(0.0, 1.0, -0.1), ["intensity"]),
    ],
)
def test_refused(make, places):
    with pytest.raises(StudyError) as caught:
        make()
    assert [problem.place for problem in caught.value.problems] == places


@pytest.mark.parametrize("route", ["intravenous", "intramuscular", "subcutaneous"])
def test_pumps_have_a_duration(route):
    assert Dose("ketamine", route, 10.0, time=1.0, duration=0.5).stop == 1.5


def test_equal_regimens_are_one_key():
    orders = itertools.permutations(repeat(INFUSION, 24.0, 3))
    assert len({Regimen(order) for order in orders}) == 1
