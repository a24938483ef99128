"""What an examination writes, and what it refuses."""

import csv
import json

import numpy as np
import pytest
from fit_problems import LINEAR, Problem, linear, number
from matplotlib.image import imread

from ketjax.errors import StoreError, StudyError
from ketjax.fit.examination import examine, optimum_of, target_lines
from ketjax.fit.plan import Fit
from ketjax.tables import formatted


def rows_of(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_examination_writes_tables_draws_and_figures(tmp_path):
    free, problem = linear()
    told: list[str] = []
    out = tmp_path / "fit"
    found = examine(
        problem, free, LINEAR.mean, out, profiles=["b"], draws=200, title="linear", tell=told.append
    )
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in found.files)
    numbers = rows_of(out / "identifiability.csv")
    assert {row["number"] for row in numbers} == set("abcd")
    ratios = [float(row["posterior_over_prior_sd"]) for row in numbers]
    assert ratios == sorted(ratios)
    draws, equal = rows_of(out / "draws.csv"), rows_of(out / "posterior.csv")
    assert list(draws[0]) == ["a", "b", "c", "d", "weight"] == list(equal[0])
    assert sum(float(row["weight"]) for row in draws) == pytest.approx(1.0)
    assert {row["weight"] for row in equal} == {"0.005"}
    assert found.posterior is not None
    np.testing.assert_array_equal(
        [[float(row[name]) for name in "abcd"] for row in draws], found.posterior.numbers
    )
    for name in ("fit_spectrum.png", "fit_intervals.png", "fit_profiles.png"):
        assert imread(out / name)[..., :3].std() > 0.05
    text = formatted(*found.table(), "text") + found.closing()
    assert "identifiable" in text and "Profile of b: from" in text
    assert "The data tell 4 of 4 directions" in text
    assert "200 of 200 draws" in told


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    free, problem = linear()
    examine(problem, free, LINEAR.mean, tmp_path)
    before = problem.evaluations
    with pytest.raises(StoreError, match="identifiability.csv"):
        examine(problem, free, LINEAR.mean, tmp_path)
    assert problem.evaluations == before
    examine(problem, free, LINEAR.mean, tmp_path, overwrite=True)


def test_interrupted_draws_go_on_where_they_were(tmp_path):
    free, problem = linear()
    plain = examine(problem, free, LINEAR.mean, tmp_path / "plain", draws=50)
    count = 0
    value = problem.value

    def failing(theta, width: float = 0.0) -> float:
        nonlocal count
        count += 1
        if count == 31:
            raise KeyboardInterrupt
        return value(theta)

    problem.value = failing  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(KeyboardInterrupt):
        examine(problem, free, LINEAR.mean, tmp_path / "cut", draws=50)
    with (tmp_path / "cut" / "draws.partial").open("a") as file:
        file.write("0123 4.")  # a line that was cut off
    again = examine(problem, free, LINEAR.mean, tmp_path / "cut", draws=50)
    assert count == 51
    assert plain.posterior is not None and again.posterior is not None
    np.testing.assert_array_equal(again.posterior.weights, plain.posterior.weights)
    assert not (tmp_path / "cut" / "draws.partial").exists()


def test_unknown_profile_leaves_nothing_behind(tmp_path):
    free, problem = linear()
    with pytest.raises(StudyError, match="unknown number"):
        examine(problem, free, LINEAR.mean, tmp_path / "fit", profiles=["z"])
    assert not (tmp_path / "fit").exists()


def test_optimum_that_cannot_be_simulated_is_a_message(tmp_path):
    problem = Problem([number("a", 0.0)], lambda x: x * np.nan)
    with pytest.raises(StudyError, match="not finite here"):
        examine(problem, problem.free, np.zeros(1), tmp_path)


def test_ridge_and_what_is_not_seen_are_told_apart(tmp_path):
    # a and b are seen as a sum alone, c hardly at all, d well.
    free = [number(name, 0.0) for name in "abcd"]
    problem = Problem(free, lambda x: np.array([5 * (x[0] + x[1]), 0.1 * x[2], 8 * x[3]]))
    found = examine(problem, free, np.zeros(4), tmp_path)
    assert found.spectrum.unseen == ("c",)
    (ridge,) = found.spectrum.ridges
    assert {name for name, *_ in ridge.participants} == {"a", "b"}
    text = found.closing()
    assert "even if all else were known: c\n" in text
    assert "Ridge: " in text and text.count("Ridge") == 1


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot be read"),
        ("{", "holds no names"),
        ('{"theta": [1.0], "names": []}', "holds no names"),
        ('{"theta": [1, 2, 3], "names": ["a", "b", "c"]}', "other free numbers.*: d"),
        ('{"theta": [1, 2, 3, NaN], "names": ["a", "b", "c", "d"]}', "not finite"),
    ],
)
def test_result_of_another_fit_is_refused(tmp_path, content, message):
    free, _ = linear()
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(StoreError, match=message):
        optimum_of(tmp_path, free)


def test_result_is_read_by_name(tmp_path):
    free, _ = linear()
    result = {"theta": [4.0, 3.0, 2.0, 1.0], "names": ["d", "c", "b", "a"]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    np.testing.assert_array_equal(optimum_of(tmp_path, free), [1, 2, 3, 4])


def test_targets_of_the_package_are_drawn(tmp_path):
    fit = Fit.read("fits/human.toml")
    lines = target_lines(fit.summaries, [target.mean for target in fit.summaries])
    response = next(line for line in lines if "response" in line["label"])
    assert response["unit"] == "%" and 1 < response["published"] < 100
    free, problem = linear()
    examine(problem, free, LINEAR.mean, tmp_path, targets=lines)
    assert imread(tmp_path / "fit_targets.png").shape[0] > 1000
