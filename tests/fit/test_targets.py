"""Targets: the table of the package, what a line says, and every mistake in a table."""

import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from ketjax.analysis.survival import RELAPSE_RULES
from ketjax.errors import StudyError
from ketjax.evidence.rows import FOLDER
from ketjax.fit.quantities import QUANTITIES, standard_error
from ketjax.fit.targets import COLUMNS, LEFT_OUT, digest, read_targets
from ketjax.observation import READABLE
from ketjax.units import check_unit

HEAD = ",".join(COLUMNS)
LINE = "P01,arm,none,change,24 h,-16.5,11,47,points,Source 2013,1,,,,,,"


@pytest.fixture(scope="module")
def shipped():
    return read_targets()


def write(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return path


def refused(folder: Path, *lines: str, head: str = HEAD) -> list[tuple[str, str, str]]:
    """Position, place and code of each problem; every one says what to do about it."""
    path = write(folder, *lines, head=head)
    with pytest.raises(StudyError) as caught:
        read_targets(path)
    assert caught.value.source == str(path)
    assert all(p.allowed or p.hint for p in caught.value.problems)
    return [(p.position, p.place, p.code) for p in caught.value.problems]


def test_published_summaries_are_those_of_their_sources(shipped) -> None:
    found = {(t.arm, t.quantity, t.time): t for t in shipped}
    murrough = found["midazolam_trial_ketamine", "change", 24.0]
    assert (murrough.mean, murrough.spread, murrough.n) == (-16.5, 11.0, 47)
    assert murrough.error == pytest.approx(1.60, abs=0.01)
    effect = found["crossover_ketamine", "effect size", 2 / 3]
    assert effect.versus == "crossover_saline"
    assert effect.error == pytest.approx(0.12, abs=0.005)  # from the published interval
    assert found["open_label", "restricted mean days", 696.0].error == pytest.approx(2.2, abs=0.01)
    an = found["esketamine_and_antidepressant", "difference of changes", 24.0]
    assert an.error == pytest.approx(0.51, abs=0.01)
    assert an.weight == 0  # says the same as the trials beside it
    assert len(shipped) == 82
    assert LEFT_OUT


def test_arms_are_those_of_the_evidence(shipped) -> None:
    document = tomllib.loads((FOLDER / "trials.toml").read_text("utf-8"))
    new = {"thrice_a_week_saline", "subcutaneous_weekly"}
    for target in shipped:
        for arm in set(target.arms) - new:
            expectancy = document["arms"][arm].get("expectancy", "none")
            assert arm != target.arm or expectancy == target.design, target.name


def test_errors_agree_with_those_of_the_first_fit(shipped) -> None:
    """Of changes, which it rounded to a few digits; it used other rules for shares."""
    for target in shipped:
        if target.profile == "P04" and target.quantity == "change":
            assert target.error == pytest.approx(target.spread / math.sqrt(target.n))
            assert 1.7 < target.error < 2.9


def test_quantities_can_be_read() -> None:
    for quantity in QUANTITIES.values():
        assert quantity.readout in READABLE
        check_unit(quantity.unit)
        assert quantity.between >= 0
        assert quantity.unit in quantity.spellings or quantity.unit == "1"


def test_error_of_a_share_is_never_zero() -> None:
    share = QUANTITIES["response"]
    for mean in (0.0, 1.0):
        assert standard_error(share, mean, math.nan, 30) > 0
    # Of many patients it is that of the binomial law.
    assert standard_error(share, 0.3, math.nan, 10**6) == pytest.approx(
        math.sqrt(0.3 * 0.7 / 10**6), rel=1e-5
    )


@pytest.mark.parametrize(
    "name, of",
    [
        ("SD of change", lambda x: x.std(axis=1, ddof=1)),
        ("median days to relapse", lambda x: np.median(x, axis=1)),
        ("upper quartile of days to relapse", lambda x: np.quantile(x, 0.75, axis=1)),
        ("change", lambda x: x.mean(axis=1)),
    ],
)
def test_errors_are_those_of_repeated_samples(name, of) -> None:
    n, spread = 200, 9.0
    samples = np.random.default_rng(1).normal(0, spread, (4000, n))
    mean = spread if name == "SD of change" else 0.0
    error = standard_error(QUANTITIES[name], mean, spread, n)
    # An SD from 4000 samples is known to 1.1 %; 5 % leaves room for the approximation.
    assert of(samples).std() == pytest.approx(error, rel=0.05)


def test_optional_columns_may_be_absent(tmp_path) -> None:
    head = HEAD.partition(",versus")[0]
    (target,) = read_targets(write(tmp_path, LINE.rstrip(","), head=head))
    assert (target.mean, target.n, target.line) == (-16.5, 47, 2)
    assert math.isnan(target.stop) and not target.versus


def test_units_are_converted(tmp_path) -> None:
    path = write(
        tmp_path,
        "P,a,none,response,7 day,64,,47,%,S,1,,,,,,",
        "P,a,none,restricted mean days,28 day,2,1,9,week,S,1,,,,,quarter_of_gain,",
    )
    share, days = read_targets(path)
    assert (share.mean, share.time) == (0.64, 168.0)
    assert (days.mean, days.spread) == (14.0, 7.0)


def test_every_problem_is_named_with_its_line(tmp_path) -> None:
    lines = [
        LINE,
        LINE,  # twice
        LINE.replace("change", "chnge"),
        LINE.replace(",11,", ",-1,"),
        LINE.replace(",47,", ",0,"),
        LINE.replace("Source 2013,1", "Source 2013,-1"),
        LINE.replace("24 h", "24"),
        LINE.replace("points", "%"),
        LINE.replace(",11,", ",,"),
        "P,a,none,response,24 h,120,,47,%,S,1,,,,,,",
        "P,a,none,response,24 h,20,5,47,%,S,1,,,,,,",
        "P,a,none,sustained response,24 h,20,,47,%,S,1,,12 h,,,,",
        "P,a,none,effect size,24 h,0.5,0.5,47,1,S,1,a,,,,,",
        "P,a,none,share not relapsed,24 h,20,,47,%,S,1,,,,,nonsense,",
        "P,a,none,share not relapsed,24 h,20,,47,%,S,1,,,47,,quarter_of_gain,",
        "P,a,none,change,24 h,x,11,4.5,points,S,1,,,,,,",
        ",a,none,change,24 h,1,11,4,points,S,1,,,,,,",
        "P,a,none,change,24 h,nan,11,4,points,S,1,,,,,,",
        "P,a,none,change,24 h,2,11,4,points,S,1,,,,,,,too,many",
    ]
    assert refused(tmp_path, *lines) == [
        ("3", "quantity", "duplicate"),
        ("4", "quantity", "unknown_name"),
        ("5", "spread", "out_of_range"),
        ("6", "n", "out_of_range"),
        ("7", "weight", "out_of_range"),
        ("8", "time", "unit_missing"),
        ("9", "unit", "unknown_name"),
        ("10", "spread", "missing"),
        ("11", "mean", "out_of_range"),
        ("12", "spread", "no_use"),
        ("13", "stop", "empty_range"),
        ("14", "versus", "same_arm"),
        ("15", "rule", "unknown_name"),
        ("16", "censored", "censored"),
        ("17", "mean", "wrong_type"),
        ("17", "n", "wrong_type"),
        ("18", "profile", "missing"),
        ("19", "mean", "not_finite"),
        ("20", "", "wrong_type"),
    ]


def test_columns(tmp_path) -> None:
    wrong = HEAD.replace("weight", "wieght").replace("stop", "time")
    found = refused(tmp_path, LINE, head=wrong)
    assert found == [
        ("1", "weight", "missing"),
        ("1", "wieght", "unknown_name"),
        ("1", "time", "duplicate"),
    ]
    assert refused(tmp_path) == [("", "", "empty")]


def test_missing_file(tmp_path) -> None:
    with pytest.raises(StudyError, match="no such file"):
        read_targets(tmp_path / "nothing.csv")


def test_message_is_one_that_helps(tmp_path) -> None:
    path = write(tmp_path, LINE.replace("change", "chnge"))
    with pytest.raises(StudyError) as caught:
        read_targets(path)
    text = str(caught.value)
    assert re.match(rf"{re.escape(str(path))}:2: quantity: unknown quantity", text)
    assert "did you mean change" in text


def test_digest_is_of_what_is_said(tmp_path) -> None:
    once = read_targets(write(tmp_path, LINE))
    moved = read_targets(write(tmp_path, LINE.replace("P01", "P02"), LINE))
    assert digest(once) == digest(moved[1:])
    assert digest(once) != digest(moved[:1])


def test_rules_exist(shipped) -> None:
    assert {t.rule for t in shipped if t.rule} <= set(RELAPSE_RULES)
