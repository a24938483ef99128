"""Targets as a user writes them, weights in a store, and what uses them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from mock_store import ARMS, TIMES, mock_store, template
from typer.testing import CliRunner

from ketjax import dataset as ds
from ketjax.analysis import bands, format_table, summaries, summarise
from ketjax.cli import app
from ketjax.dataset import additions, journal
from ketjax.errors import StoreError, StudyError
from ketjax.figures import plot_response
from ketjax.targets import store_of
from ketjax.weighting import weigh

TARGETS = """
store = "whole.zarr"

[[targets]]
name = "change"
arm = "ketamine"
readout = "madrs_rated"
time = "1 day"
measure = "change"
statistic = "mean"
value = "-17 points"

[[targets]]
name = "spread"
arm = "ketamine"
readout = "madrs_rated"
time = "24 h"
measure = "change"
statistic = "sd"
value = "7.5 points"

[[targets]]
name = "responders"
arm = "ketamine"
time = "72 h"
statistic = "response"
value = "35 %"
error = "3 %"

[[targets]]
name = "remitters"
arm = "ketamine"
time = "72 h"
statistic = "remission"
value = 0.2
held_out = true

[[targets]]
name = "affinity"
trait = "receptors.kd_interneuron"
statistic = "quantile"
level = 0.9
value = "600 nM"

[[targets]]
name = "plasma"
arm = "ketamine"
readout = "plasma_ketamine"
time = "2 h"
statistic = "bin"
low = "45 ng/mL"
high = "60 ng/mL"
value = 0.5

[[targets]]
name = "synapses"
arm = "ketamine"
versus = "saline"
readout = "synapse_density"
region = "hippocampus"
time = "24 h"
statistic = "mean"
value = 0.2
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store of 2,000 patients in shards of 700."""
    return mock_store(tmp_path_factory.mktemp("stores") / "whole.zarr", 2_000, 700)


@pytest.fixture(scope="module")
def weighted(original: Path) -> Path:
    """The same store with weights."""
    manifest = original.with_name("targets.toml")
    manifest.write_text(TARGETS)
    weigh(manifest, original, overwrite=True)
    return original


Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write a manifest of targets."""

    def write(text: str, *changes: tuple[str, str]) -> Path:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "targets.toml"
        path.write_text(text)
        return path

    return write


def test_the_weighted_store_meets_the_targets(weighted: Path) -> None:
    """By plain NumPy on the store."""
    whole = ds.open_store(weighted).load()
    w = whole["weight"].to_numpy()
    ok = (whole["status"] == 0).all("arm").to_numpy()
    assert w.sum() == pytest.approx(1.0, rel=1e-12)
    assert (w[~ok] == 0).all() and (w[ok] > 0).all()
    entry = whole["baseline_madrs"].to_numpy()[ok]
    w = w[ok]

    def at(name: str, hour: float, arm: str = "ketamine") -> np.ndarray:
        place = int(np.abs(np.array(TIMES) - hour).argmin())
        return whole[name].sel(arm=arm).isel(time=place).to_numpy()[..., ok].astype(float)

    change = at("madrs_rated", 24) - entry
    assert w @ change == pytest.approx(-17.0, abs=1e-8)
    assert np.sqrt(w @ (change + 17.0) ** 2) == pytest.approx(7.5, abs=1e-8)
    kd = whole["receptors.kd_interneuron"].to_numpy()[ok]
    assert w @ (kd <= 0.6) == pytest.approx(0.9, abs=1e-9)
    plasma = at("plasma_ketamine", 2)
    assert w @ ((plasma >= 45) & (plasma < 60)) == pytest.approx(0.5, abs=1e-9)
    density = at("synapse_density", 24)[1] - at("synapse_density", 24, "saline")[1]
    assert w @ density == pytest.approx(0.2, abs=1e-9)
    shares = json.loads(whole["weight"].attrs["targets"])
    responders, remitters = shares[2], shares[3]
    assert w @ (at("madrs_rated", 72) <= entry / 2) == pytest.approx(responders["weighted"])
    assert responders["unweighted"] != pytest.approx(responders["weighted"], abs=1e-3)
    assert w @ (at("madrs_rated", 72) <= 10) == pytest.approx(remitters["weighted"])
    assert remitters["multiplier"] is None and remitters["price"] is None


def test_a_held_out_target_changes_nothing(weighted: Path, write: Writer) -> None:
    other = write(TARGETS, ("value = 0.2\nheld_out", "value = 0.7\nheld_out"))
    report = weigh(other, weighted, write=False)
    stored = json.loads(ds.open_store(weighted)["weight"].attrs["targets"])
    for row, before in zip(report.rows, stored, strict=True):
        assert row.weighted == pytest.approx(before["weighted"], rel=1e-12)


def test_a_store_stays_whole(weighted: Path) -> None:
    assert ds.verify(weighted) == []
    assert ds.finished_shards(weighted, "0" * 64) == {0, 1, 2}
    dataset = ds.open_store(weighted)
    assert dataset["weight"].dims == ("patient",) and dataset["weight"].chunks == ((700, 700, 600),)
    attributes = dataset["weight"].attrs
    assert attributes["units"] == "1" and len(attributes["targets_sha256"]) == 64
    assert not list(weighted.glob("*.partial"))


def test_damage_to_the_weights_is_noticed(tmp_path: Path) -> None:
    path = mock_store(tmp_path / "damaged.zarr", 300, 200)
    ds.write_weight(path, [np.full(200, 1 / 300), np.full(100, 1 / 300)], {})
    array = zarr.open_array(path / "weight", mode="r+")
    array[250] = 0.5
    assert [*map(str, ds.verify(path))] == ["shard 1, weight: differs from what was written"]
    (path / "weight" / "c" / "0").write_bytes(b"x")
    assert "shard 0, weight: cannot be read" in str(ds.verify(path)[0])
    (path / "weight" / "zarr.json").write_text("{")
    assert [*map(str, ds.verify(path))] == [
        "weight/zarr.json: the header differs from what was written"
    ]


def test_weights_come_whole_or_not_at_all(tmp_path: Path) -> None:
    path = mock_store(tmp_path / "kept.zarr", 300, 200)
    ds.write_weight(path, [np.full(200, 1.0), np.zeros(100)], {})

    def interrupted():
        yield np.zeros(200)
        raise KeyboardInterrupt

    with pytest.raises(StoreError, match="has weights already"):
        ds.write_weight(path, [], {})
    with pytest.raises(KeyboardInterrupt):
        ds.write_weight(path, interrupted(), {}, overwrite=True)
    with pytest.raises(StoreError, match="shard 1 have shape"):
        ds.write_weight(path, [np.zeros(200), np.zeros(7)], {}, overwrite=True)
    with pytest.raises(StoreError, match="200 weights for 300 patients"):
        ds.write_weight(path, [np.zeros(200)], {}, overwrite=True)
    assert ds.open_store(path)["weight"].sum() == 200.0 and ds.verify(path) == []
    with journal.lock(path):
        assert not list(path.glob("*.partial"))  # what was left is cleared away
        with pytest.raises(StoreError, match="another run"):
            ds.write_weight(path, [], {}, overwrite=True)
    ds.write_weight(path, [np.zeros(200), np.full(100, 1.0)], {}, overwrite=True)
    assert ds.open_store(path)["weight"].sum() == 100.0
    assert not list(path.glob("*.partial"))


def test_an_unfinished_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has not finished"):
        additions.check_weight(template(tmp_path / "part.zarr"))


def test_every_mistake_is_told_at_once(original: Path, write: Writer) -> None:
    text = """
[[targets]]
name = "a"
arm = "ketamin"
readout = "madrs_rate"
time = "25 h"
statistic = "mean"
value = "-17 points"

[[targets]]
name = "b"
arm = "ketamine"
time = "25 h"
statistic = "response"
value = "120 %"
error = "-3 %"

[[targets]]
name = "c"
trait = "female"
time = "24 h"
statistic = "bin"
value = "0.5 kg"
low = 1
"""
    with pytest.raises(StudyError) as caught:
        weigh(write(text), original, write=False)
    found = {(problem.place, problem.message) for problem in caught.value.problems}
    assert {
        ("targets[0].readout", "unknown readout of the store"),
        ("targets[0].arm", "unknown arm of the store"),
        ("targets[0].time", "the store has no output at this time"),
        ("targets[1].time", "the store has no output at this time"),
        ("targets[2].time", "a trait has no time"),
    } <= found
    assert all(problem.position for problem in caught.value.problems)
    assert "did you mean madrs_rated" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"35 %"', '"120 %"', "targets[2].value: this is no share"),
        ('error = "3 %"', 'error = "-3 %"', "targets[2].error: an error is negative"),
        ('"600 nM"', '"600 ng"', "targets[4].value: the unit has the wrong dimension"),
        ("level = 0.9\n", "", "targets[4].level: this is missing"),
        ('low = "45', 'low = "90', "targets[5].high: the bin is empty"),
        ('versus = "saline"', 'versus = "ketamine"', "targets[6].versus: an arm is compared with"),
        ('region = "hippocampus"\n', "", "targets[6].region: this is missing"),
        ('"spread"', '"change"', "targets[1].name: given twice"),
        ('"1 day"', '"2 h"', "targets[1]: a standard deviation needs the mean as a target"),
        ('statistic = "sd"', 'statistic = "mean"', "targets[1].value: contradicts target change"),
        ('trait = "rec', 'traits = "rec', "targets[4].traits: unknown key"),
        ('"madrs_rated"', '"glutamate"', "targets[0].region: this is missing"),
        (
            'readout = "plasma_ketamine"\ntime = "2 h"\nstatistic = "bin"\nlow = "45 ng/mL"\n'
            'high = "60 ng/mL"\n',
            'readout = "plasma_ketamine"\ntime = "2 h"\nstatistic = "mean"\n'
            'measure = "percent_change"\n',
            "patients have no finite number",
        ),
        ('"-17 points"', '"-57 points"', "no weights of these patients reach target change"),
        ('"7.5 points"', '"0.1 points"', "no weights of these patients meet them together"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    original: Path, write: Writer, old: str, new: str, message: str
) -> None:
    with pytest.raises(StudyError) as caught:
        weigh(write(TARGETS, (old, new)), original, write=False)
    assert message in str(caught.value)
    assert "targets.toml:" in str(caught.value)


def test_out_of_reach_says_what_is_in_reach(original: Path, write: Writer) -> None:
    with pytest.raises(StudyError) as caught:
        weigh(write(TARGETS, ('"-17 points"', '"-57 points"')), original, write=False)
    whole = ds.open_store(original).sel(arm="ketamine", time=24.0)
    change = (whole["madrs_rated"] - whole["baseline_madrs"]).to_numpy()
    (problem,) = caught.value.problems
    assert problem.place == "targets[0].value" and problem.value == "-57 points"
    low, high = np.nanmin(change), np.nanmax(change)
    assert problem.allowed == f"between {low:.6g} points and {high:.6g} points"


def test_which_store(tmp_path: Path, write: Writer) -> None:
    manifest = write(TARGETS)
    assert store_of(manifest) == tmp_path / "whole.zarr"
    study = Path(__file__).parents[1] / "studies" / "s01_single_infusion.toml"
    named = write(TARGETS, ('store = "whole.zarr"', f'study = "{study}"'))
    assert store_of(named) == Path("out/s01_single_infusion.zarr")
    with pytest.raises(StudyError, match="which store"):
        store_of(write(TARGETS, ('store = "whole.zarr"', "")))


def test_the_example_is_right(original: Path) -> None:
    example = Path(__file__).parents[1] / "studies" / "s01_targets.toml"
    report = weigh(example, original, write=False)
    assert [row.price is None for row in report.rows] == [False] * 4 + [True]


def test_weighted_summary_is_that_of_numpy(weighted: Path) -> None:
    dataset = ds.open_store(weighted)
    row = summarise(dataset, [72.0], weighted=True).sel(arm="ketamine", hour=72.0)
    whole = dataset.sel(arm="ketamine", time=72.0).load()
    w, score = whole["weight"].to_numpy(), whole["madrs_rated"].to_numpy().astype(float)
    w, score, entry = (x[w > 0] for x in (w, score, whole["baseline_madrs"].to_numpy()))
    effective = w.sum() ** 2 / (w**2).sum()
    # Weights are rounded to `GRAIN`, changes of the score and their squares to `PART`.
    assert row["n_effective"] == pytest.approx(effective, rel=summaries.SQUARE_GRAIN)
    assert row["n_ok"] == w.size
    mean = np.average(score - entry, weights=w)
    assert row["madrs_change"] == pytest.approx(mean, abs=2 * summaries.PART)
    expected = np.sqrt(np.cov(score - entry, aweights=w))  # reliability weights
    assert row["madrs_change_sd"] == pytest.approx(expected, abs=4 * summaries.PART)
    share = np.average(score <= entry / 2, weights=w)
    assert row["response"] == pytest.approx(100 * share, rel=2 * summaries.GRAIN)
    half = 1.96 * 100 * np.sqrt(share * (1 - share) / effective)
    assert (row["response_high"] - row["response_low"]) / 2 == pytest.approx(half, rel=0.05)
    assert "effective" in format_table(summarise(dataset, [72.0], weighted=True))


def test_equal_weights_change_no_summary(original: Path) -> None:
    dataset = ds.open_store(original).drop_vars("weight", errors="ignore")
    equal = xr.DataArray(np.full(2_000, 1 / 2_000), dims="patient")
    plain = summarise(dataset, [24.0])
    summary = summarise(dataset.assign(weight=equal), [24.0], weighted=True)
    xr.testing.assert_allclose(summary.drop_vars("n_effective"), plain, rtol=1e-9)
    np.testing.assert_allclose(summary["n_effective"], plain["n_ok"], rtol=1e-9)
    with pytest.raises(StoreError, match="has no weights"):
        summarise(dataset, [24.0], weighted=True)


def test_weighted_bands_and_figure(weighted: Path) -> None:
    dataset = ds.open_store(weighted)
    band = bands(dataset, "madrs", weighted=True)["madrs"].sel(arm="saline", time=24.0)
    x = dataset["madrs"].sel(arm="saline", time=24.0).to_numpy()
    w = dataset["weight"].to_numpy()
    order = np.argsort(x)
    for value, share in zip(band.to_numpy(), (0.05, 0.5, 0.95), strict=True):
        assert value == x[order][np.searchsorted(np.cumsum(w[order]), share)]
    figure = plot_response(dataset, weighted=True)
    assert "2,000 weighted virtual patients" in figure.get_supxlabel()


def test_the_command(tmp_path: Path) -> None:
    path = mock_store(tmp_path / "whole.zarr", 600, 300)
    manifest = tmp_path / "targets.toml"
    easy = TARGETS[: TARGETS.index('[[targets]]\nname = "affinity"')]
    manifest.write_text(easy)

    def call(*arguments: object):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    result = call("weights", manifest, "--no-write", "--format", "csv")
    assert result.exit_code == 0, result.stderr
    assert "weight" not in ds.open_store(path)
    head, *rows = result.stdout.splitlines()
    assert head == ("target,statistic,unit,unweighted,asked,error,weighted,multiplier,price [nat]")
    assert len(rows) == 4 and rows[0].split(",")[4] == rows[0].split(",")[6] == "-17"
    assert "effective sample size" in result.stderr and "Acceptance-rejection" in result.stderr
    result = call("weights", manifest, "--store", path, "--exact-prices", "--json")
    report = json.loads(result.stdout)
    assert report["patients"] == 600 and report["effective"] < 600
    assert report["accepted"] * (600 - report["excluded"]) < report["effective"]
    assert call("verify", path).exit_code == 0
    again = call("weights", manifest)
    assert again.exit_code == 4 and "--overwrite" in again.stderr
    assert call("weights", manifest, "--overwrite").exit_code == 0
    summary = call("summarise", path, "--weighted", "--figures")
    assert "effective" in summary.stdout and "whole_response_weighted.png" in summary.stderr
    assert (tmp_path / "whole_response_weighted.png").is_file()
    manifest.write_text(easy.replace("-17", "-57"))
    wrong = call("weights", manifest, "--overwrite")
    assert wrong.exit_code == 2 and "allowed: between" in wrong.stderr
    assert len(ARMS) == ds.open_store(path).sizes["arm"]
