"""The command `ketjax fit` with a small objective in closed form in the place of the patients."""

import csv
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from ketjax import cli_fit, console
from ketjax.cli import app
from ketjax.errors import StoreError
from ketjax.fit import Fit, run
from ketjax.fit.report import at_bound
from ketjax.fit.run import fit_in
from ketjax.fit.starts import draw_starts
from ketjax.fit.targets import COLUMNS, digest
from ketjax.fit.transforms import on_scale
from ketjax.preparation import recipe_of
from ketjax.sets import ParameterSet
from ketjax.study import Study

LINES = (
    "A,drug,open_label,change,24 h,-16.5,11,47,points,S1,1,,,,33,,",
    "A,drug,open_label,response,24 h,64,,47,%,S1,1,,,,,,",
    "B,drug,open_label,share not relapsed,5 day,27,,26,%,S3,1,,,,,quarter_of_gain,",
    "B,drug,open_label,sustained response,24 h,40,,26,%,S3,0,,96 h,,,,",
)
TEXT = """
name = "small"
targets = "table.csv"

[population]
patients = 16
seed = 4

[free]
"score.score_rate" = {}
"score.weight_potentiation.spread" = {}
"expectancy.course_gain ~ expectancy.gain" = {}

[optimise]
methods = ["adam", "lbfgs"]
iterations = 12
checkpoint_every = 2

[arms.drug]
expectancy = "open_label"
doses = [{ drug = "ketamine", route = "intravenous", amount = "0.5 mg/kg", time = "0 h" }]
"""
BEST = np.array([0.3, -0.4, 0.2])  # from the start, in numbers without bounds


class Linear:
    """Deviations of the targets grow with the distance from a known best; one is always missed."""

    slopes = np.array([[2.0, 0.5, 0.0], [0.0, 1.5, 0.3], [0.4, 0.0, 3.0], [0.0, 0.0, 0.0]])

    def __init__(self, fit: Fit, stop_after: int = 10**9) -> None:
        """Of a fit; calls beyond `stop_after` are interrupted."""
        self.fit, self.names = fit, tuple(one.name for one in fit.unknowns)
        self._start = draw_starts(fit.unknowns, 1, 1)[0]
        self.calls, self.stop_after = 0, stop_after

    def start(self) -> np.ndarray:
        """At the start of each number."""
        return self._start

    def deviations(self, theta: np.ndarray) -> np.ndarray:
        """In standard errors."""
        return self.slopes @ (theta - self._start - BEST) + np.array([0.0, 0.0, 0.0, -5.0])

    def predictions(self, theta: np.ndarray, width: float = 0.0) -> np.ndarray:
        """In units."""
        targets = self.fit.summaries
        error = np.array([self.fit.deviation(target) for target in targets])
        return np.array([t.mean for t in targets]) + error * self.deviations(theta)

    hard_predictions = predictions

    def residuals_and_jacobian(self, theta, width=0.0):
        """Of the three targets that weigh something."""
        self.calls += 1
        if self.calls > self.stop_after:
            raise KeyboardInterrupt
        return self.deviations(theta)[:3], self.slopes[:3]

    def value_and_gradient(self, theta, width=0.0):
        """Half a sum of squares."""
        residuals, jacobian = self.residuals_and_jacobian(theta, width)
        return 0.5 * residuals @ residuals, jacobian.T @ residuals


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "table.csv").write_text("\n".join((",".join(COLUMNS), *LINES)) + "\n", "utf-8")
    (tmp_path / "small.toml").write_text(TEXT, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "objective_of", Linear)
    return tmp_path / "small.toml"


def call(*arguments: object):
    """Run a command; whatever ends it other than a chosen exit is a failure of the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in ("fit", *arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def leave() -> None:
    """In the place of the end of the process."""
    raise typer.Exit(console.INTERRUPTED)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_fit_from_file_to_folder(manifest: Path) -> None:
    result = call(manifest)
    assert result.exit_code == 0, result.stderr
    folder = Path("out/small.fit")
    names = ("manifest.json", "checkpoint.npz", "history.zarr", "set.toml", "targets.csv")
    names += ("free.csv", "result.json", "published.csv", "lock")
    assert set(names) == {file.name for file in folder.iterdir()}
    fit = Fit.read(manifest)
    # The folder tells the fit without the files that it was read from.
    again = fit_in(folder).to_dict()
    assert {**again, "targets": "table.csv"} == fit.to_dict()
    assert digest(fit_in(folder).summaries) == digest(fit.summaries)

    best = draw_starts(fit.unknowns, 1, 1)[0] + BEST
    expected = [float(one.transform.forward(u)) for one, u in zip(fit.unknowns, best, strict=True)]
    free = rows(folder / "free.csv")
    assert [row["name"] for row in free] == [one.name for one in fit.unknowns]
    np.testing.assert_allclose([float(row["value"]) for row in free], expected, rtol=1e-3)
    for row, one, number in zip(free, fit.unknowns, expected, strict=True):
        moved = float(on_scale(one.scale, number) - on_scale(one.scale, one.start)) / one.prior
        np.testing.assert_allclose(float(row["prior_departure"]), moved, rtol=0.02)
        assert row["at_bound"] == "" and row["unit"] == one.unit

    targets = rows(folder / "targets.csv")
    assert [row["target"] for row in targets] == [target.name for target in fit.summaries]
    published = [float(row["published"]) for row in targets]
    np.testing.assert_allclose(published, [t.mean for t in fit.summaries])
    np.testing.assert_allclose(
        [float(row["deviation_in_se"]) for row in targets], [0, 0, 0, -5], atol=0.01
    )
    for row in targets:
        assert float(row["se_with_trials"]) > float(row["se"]) > 0

    assert re.search(r"^A +2 +2 ", result.stdout, re.M)
    assert re.search(r"^all +4 +3 ", result.stdout, re.M)
    assert "Within 2 SE: 3 of 4" in result.stdout
    assert result.stdout.count("sustained response at 24 h") == 1  # the miss is named
    assert "slope below 0.001" in result.stdout and "score.score_rate" in result.stdout
    assert "start 1/1, adam 0/3, width 2: objective" in result.stderr


def test_the_set_is_read_back_to_the_last_digit(manifest: Path) -> None:
    call(manifest)
    found = ParameterSet.read(Path("out/small.fit/set.toml"))
    free = {row["name"]: row for row in rows(Path("out/small.fit/free.csv"))}
    rate, spread, r = free
    assert found.parameters == {rate: float(free[rate]["value"])}
    assert found.laws == {spread.removesuffix(".spread"): float(free[spread]["value"])}
    assert found.correlations == {r: float(free[r]["value"])}
    assert found.provenance.source == Fit.read(manifest).digest()
    assert "4 targets, 16 patients an arm" in found.provenance.method
    assert "3 targets within 2 SE" in found.provenance.method
    study = Study.parse(
        {
            "name": "again",
            "set": str(Path("out/small.fit/set.toml")),
            "population": {"patients": 2, "seed": 1},
            "output": {"horizon": "1 day", "times": ["1 h"]},
            "arms": tomllib.loads(TEXT)["arms"],
        }
    )
    recipe = recipe_of(study)
    assert recipe.values[rate] == float(free[rate]["value"])
    assert recipe.own_laws[spread.removesuffix(".spread")].spread == float(free[spread]["value"])


def test_json_says_the_same(manifest: Path) -> None:
    record = json.loads(call(manifest, "--starts", 3, "--iterations", 20, "--json").stdout)
    assert record["fit"] == "small" and record["folder"] == "out/small.fit"
    assert [row["start"] for row in record["starts"]] == [0, 1, 2]
    assert record["profiles"][-1]["within_2_se"] == 3 and len(record["misses"]) == 1
    assert record["objective"] == min(row["objective"] for row in record["starts"]) < 1e-6
    with xr.open_zarr("out/small.fit/history.zarr", consolidated=False) as history:
        assert history.sizes["start"] == 3 and history.attrs["digest"] == record["digest"]
        units = dict(zip(history["parameter"].values, history["unit"].values, strict=True))
        assert units["score.score_rate"] == "1/h"
        starts = [one.start for one in Fit.read(manifest).unknowns]
        np.testing.assert_allclose(history["number"][0, 0], starts, rtol=1e-12)


def test_an_existing_fit_is_not_replaced_unasked(manifest: Path) -> None:
    assert call(manifest).exit_code == 0
    again = call(manifest)
    assert again.exit_code == 4 and "--overwrite" in again.stderr and "--resume" in again.stderr
    assert call(manifest, "--overwrite").exit_code == 0
    for options in (("--patients", 8), ("--dtype", "float64"), ("--iterations", 9)):
        other = call(manifest, *options, "--resume")
        assert other.exit_code == 4 and "another fit" in other.stderr, options
        assert "digest" in other.stderr and "Traceback" not in other.stderr
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    foreign = call(manifest, "--out", "mine", "--overwrite")
    assert foreign.exit_code == 4 and Path("mine/letter.txt").exists()
    nothing = call(manifest, "--out", "new", "--resume")
    assert nothing.exit_code == 4 and "no fit was begun" in nothing.stderr


@pytest.mark.parametrize("seed", ["seed = 4", ""])
def test_interrupted_and_resumed(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    """Also where the file has no seed: that which was drawn goes on."""
    manifest.write_text(TEXT.replace("seed = 4", seed))
    monkeypatch.setattr(cli_fit, "stop", leave)
    monkeypatch.setattr(run, "objective_of", lambda fit: Linear(fit, stop_after=7))
    stopped = call(manifest, "--iterations", 15)
    assert stopped.exit_code == 130
    assert f"ketjax fit {manifest} --iterations 15 --out out/small.fit --resume" in stopped.stderr
    monkeypatch.setattr(run, "objective_of", Linear)
    resumed = call(manifest, "--iterations", 15, "--out", "out/small.fit", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    whole = call(manifest, "--iterations", 15, "--out", "out/whole.fit")
    assert whole.exit_code == 0
    for name in ("targets.csv", "free.csv"):
        texts = [Path(f"out/{which}.fit/{name}").read_bytes() for which in ("small", "whole")]
        assert texts[0] == texts[1]


def test_interrupted_before_the_first_evaluation(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(fit: Fit) -> Linear:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_fit, "stop", leave)
    monkeypatch.setattr(run, "objective_of", compiling)
    stopped = call(manifest)
    assert stopped.exit_code == 130 and "--resume" not in stopped.stderr
    monkeypatch.setattr(run, "objective_of", Linear)
    early = call(manifest, "--resume")
    assert early.exit_code == 4 and "without --resume" in early.stderr
    assert call(manifest).exit_code == 0


MISTAKES = {
    "unknown key": ("iterations = 12", "iteration = 12", "iterations"),
    "unknown method": ('"adam", ', '"adan", ', "optimise.methods"),
    "wrong unit of the width": ("iterations = 12", 'width = "2 h"', "optimise.width"),
    "negative width": ("iterations = 12", 'width = "-1 points"', "optimise.width"),
    "unknown parameter": ("score.score_rate", "score.score_rat", "score.score_rate"),
    "no table": ("table.csv", "tabel.csv", "tabel.csv"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_with_2_and_say_where(name: str, manifest: Path) -> None:
    old, new, said = MISTAKES[name]
    assert old in TEXT
    manifest.write_text(TEXT.replace(old, new, 1))
    result = call(manifest)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == "" and not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--patients", 0), "population.patients"),
        (("--starts", 0), "optimise.starts"),
        (("--iterations", -1), "optimise.iterations"),
        (("--dtype", "float16"), "solver.dtype"),
        (("--resume", "--overwrite"), "either"),
    ],
)
def test_options_are_checked_like_the_file(manifest: Path, options, said: str) -> None:
    result = call(manifest, *options)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.stderr
    assert not Path("out").exists()


def test_two_fits_do_not_share_a_folder(manifest: Path) -> None:
    call(manifest)
    fit = Fit.read(manifest)
    with run._held(Path("out/small.fit")), pytest.raises(StoreError, match="another fit"):
        run.run(fit, Path("out/small.fit"), resume=True)
    run.run(fit, Path("out/small.fit"), resume=True)


def test_progress_without_and_with_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with console.search_progress("small") as tell:
        for done in range(1, 100):
            tell(done, 99, f"iteration {done}")
    printed = capsys.readouterr()
    assert printed.err == "small: iteration 1\nsmall: iteration 99\n" and not printed.out
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.search_progress("small") as tell:
        tell(1, 2, "iteration 1")
    assert "iteration 1" in capsys.readouterr().err


def test_nowhere_finite_ends_with_3(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(Linear):  # noqa: D101
        def value_and_gradient(self, theta, width=0.0):
            return np.nan, np.full(3, np.nan)

    monkeypatch.setattr(run, "objective_of", Nowhere)
    result = call(manifest, "--starts", 2)
    assert result.exit_code == 3 and "none of the 2 starts" in result.stderr


def test_starts_are_drawn_from_the_prior_inside_the_bounds(manifest: Path) -> None:
    free = Fit.read(manifest).unknowns
    many = draw_starts(free, 400, 5)
    np.testing.assert_array_equal(draw_starts(free, 3, 5), many[:3])
    assert not np.array_equal(draw_starts(free, 3, 6)[1:], many[1:3])
    for k, one in enumerate(free):
        numbers = np.asarray(one.transform.forward(many[:, k]))
        np.testing.assert_allclose(numbers[0], one.start, rtol=1e-12)
        assert ((numbers > one.low) & (numbers < one.high)).all()
        departure = np.asarray(one.departure(numbers[1:]))
        # Bounds lie 3 SDs away at least for two of them, so the law is nearly normal.
        if one.kind != "typical value":
            assert abs(departure.mean()) < 0.15 and 0.85 < departure.std() < 1.1
        assert at_bound(one, one.start) == ""
        assert at_bound(one, one.low + 1e-6 * (one.start - one.low)) == "low"
        assert at_bound(one, one.high - 1e-6 * (one.high - one.start)) == "high"
