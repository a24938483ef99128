"""A study that keeps summaries: the same numbers as from trajectories, under the same journal."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import ketjax
from ketjax import corridor, preparation, simulate
from ketjax.analysis import aggregate, bands, spreads, summarise
from ketjax.cli import app
from ketjax.dataset import disagreement, verify
from ketjax.errors import StoreError, StudyError
from ketjax.figures import plot_cascade, plot_response
from ketjax.restoration import restore
from ketjax.study import Study

MANIFEST = """
name = "short"
[population]
patients = 130
seed = 5
[output]
horizon = "28 h"
times = ["0 h", "40 min", "24 h", "28 h"]
readouts = ["plasma_ketamine", "glutamate", "madrs", "madrs_rated"]
outcomes = ["time_to_response", "dropout_time"]
[arms.infusion]
[[arms.infusion.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
duration = "40 min"
time = "0 h"
"""


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Blocks of 64 patients, one block a shard: three shards for 130 patients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "BLOCK", 64)
        patch.setattr(preparation, "BLOCK", 64)
        patch.setattr(preparation, "SHARD_BYTES", 1)
        yield


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.parse(MANIFEST)


@pytest.fixture(scope="module")
def full(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corridor.run(study, tmp_path_factory.mktemp("run") / "full.zarr")


@pytest.fixture(scope="module")
def kept(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "kept.zarr"
    return corridor.run(study.replace(keep="summaries"), out)


def test_numbers_are_those_of_the_trajectories(full: Path, kept: Path) -> None:
    all_, few = ketjax.open_store(full), ketjax.open_store(kept)
    assert not {"madrs", "glutamate"} & set(few.data_vars) and verify(kept) == []
    expected, found = aggregate(all_), aggregate(few)
    assert set(expected.data_vars) == set(found.data_vars)
    for name, array in expected.data_vars.items():
        assert found[name].values.tobytes() == array.values.tobytes(), name
        assert found[name].attrs == array.attrs
    for missing in ("none", "last", "entry"):
        known = summarise(all_, [24.0, 28.0], missing=missing)
        xr.testing.assert_identical(summarise(few, [24.0, 28.0], missing=missing), known)
    for name in ("time_to_response", "dropout_time", "status", "demography.age"):
        assert few[name].values.tobytes() == all_[name].values.tobytes()


def test_the_audit_is_kept(tmp_path: Path) -> None:
    kinetics = Study.parse(
        MANIFEST.replace(', "glutamate", "madrs", "madrs_rated"', "").replace(
            'outcomes = ["time_to_response", "dropout_time"]', ""
        )
    )
    store = corridor.run(
        kinetics.replace(keep="summaries", audit=True, patients=40), tmp_path / "a"
    )
    found = disagreement(ketjax.open_store(store))
    assert found is not None and found[0] == "plasma_ketamine" and 0 < found[1] < 1e-4


def test_bands_and_figures_come_from_what_is_kept(
    full: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_, few = ketjax.open_store(full), ketjax.open_store(kept)
    monkeypatch.setattr(spreads, "EXACT_PATIENTS", 100)
    known, found = (bands(one, "glutamate", "madrs") for one in (all_, few))
    for name in ("glutamate", "madrs"):
        np.testing.assert_array_equal(found[name], known[name])
        assert found[name].attrs["cell_methods"] == known[name].attrs["cell_methods"]
    for figure in (plot_cascade(few), plot_response(few)):
        figure.draw_without_rendering()
        assert any(axes.lines for axes in figure.axes)


def test_interrupt_and_resume_give_the_same_sketches(
    study: Study, kept: Path, tmp_path: Path
) -> None:
    out, asked = tmp_path / "broken.zarr", study.replace(keep="summaries")

    def interrupt(done: int, _: int) -> None:
        if done > 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corridor.run(asked, out, progress=interrupt)
    with pytest.raises(StoreError, match="another configuration"):
        corridor.run(study, out, resume=True)
    seen: list[int] = []
    corridor.run(asked, out, resume=True, progress=lambda done, _: seen.append(done))
    assert seen[0] == 64
    known = ketjax.open_store(kept)
    for name, array in ketjax.open_store(out).data_vars.items():
        assert array.values.tobytes() == known[name].values.tobytes(), name


def counts_of(store: Path, part: str) -> Path:
    files = (store / "sketches" / part / "counts" / "c").rglob("*")
    return next(file for file in files if file.is_file())


def test_damaged_sketches_are_found_and_made_again(
    study: Study, kept: Path, tmp_path: Path
) -> None:
    out, asked = tmp_path / "damaged.zarr", study.replace(keep="summaries")
    corridor.run(asked, out)
    entry = json.loads((out / "journal" / "shard-000001.json").read_text())
    assert len(entry["sketches"]["sha256"]) == 64
    for part, where, shards in (
        ("shard-000001", "shard 1, sketches", (1,)),
        ("whole", "sketches/whole", ()),
    ):
        chunk = counts_of(out, part)
        whole = chunk.read_bytes()
        chunk.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        assert [fault.where for fault in verify(out)] == [where]
        restored = restore(out)
        assert (restored.shards, restored.left) == (shards, ())
        assert counts_of(out, part).read_bytes() == whole
    chunk = counts_of(out, "shard-000001")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert corridor.store.finished_shards(out, asked.digest()) == {0, 2}
    corridor.run(asked, out, resume=True)
    assert verify(out) == []
    assert aggregate(ketjax.open_store(out)).equals(aggregate(ketjax.open_store(kept)))


def test_what_summaries_cannot_say_is_refused(kept: Path) -> None:
    dataset = ketjax.open_store(kept)
    with pytest.raises(StoreError, match="instead of trajectories.*--keep all"):
        aggregate(dataset, ["madrs"], by="demography.female")
    with pytest.raises(StoreError, match="instead of trajectories.*--keep all"):
        summarise(dataset, [24.0], by="demography.female")
    found = aggregate(dataset, ["dropout_time"], by="demography.female")
    assert found["stratum"].size == 2


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["summarise", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_command_prints_numbers_of_either_store(full: Path, kept: Path) -> None:
    for options in (
        (),
        ("--json", "--variables", "madrs,demography.age"),
        (
            "--variables",
            "glutamate",
            "--variables",
            "dropout_time",
            "--quantiles",
            "0.1,0.9",
            "--format",
            "csv",
        ),
        ("--survival", "dropout_time", "--by", "demography.female"),
    ):
        answers = [call(store, *options) for store in (full, kept)]
        lines = [
            [line for line in text.splitlines() if "patients per second" not in line]
            for _, text, _ in answers
        ]
        assert [code for code, _, _ in answers] == [0, 0]
        assert lines[0] == lines[1], options
    _, csv, _ = call(full, "--variables", "madrs", "--by", "demography.age:2", "--format", "csv")
    head, *rows = csv.splitlines()
    assert head == "variable,unit,arm,stratum,time,n,mean,sd,mc_error,q5,q50,q95"
    assert len(rows) == 8 and rows[0].startswith("madrs,points,infusion,demography.age <")
    table = call(full, "--by", "demography.female")[1]
    assert table.split()[:3] == ["arm", "stratum", "time"]
    assert "demography.female = 1" in table


def test_mistakes_of_the_command_are_told(full: Path) -> None:
    for options, code, said in (
        (("--variables", "madrz"), 4, "madrs"),
        (("--by", "madrs"), 4, "no trait"),
        (("--variables", "madrs", "--quantiles", "1.5"), 2, "between 0 and 1"),
        (("--variables", "madrs", "--quantiles", "half"), 2, "numbers are needed"),
        (("--survival", "time_to_relapse"), 4, "dropout_time"),
    ):
        found, out, errors = call(full, *options)
        assert found == code and said in " ".join(errors.split()) and not out, options


STRATA = ("demography.female", "demography.age:30,50")


def test_strata_of_summaries_are_those_of_the_trajectories(
    study: Study, full: Path, tmp_path: Path
) -> None:
    divided = study.replace(keep="summaries", strata=STRATA)
    few = ketjax.open_store(corridor.run(divided, tmp_path / "divided.zarr"))
    all_ = ketjax.open_store(full)
    for by in (None, *STRATA):
        expected, found = aggregate(all_, by=by), aggregate(few, by=by)
        assert expected["stratum"].values.tolist() == found["stratum"].values.tolist()
        for name, array in expected.data_vars.items():
            assert found[name].values.tobytes() == array.values.tobytes(), (by, name)
        for missing in ("none", "last"):
            known = summarise(all_, [24.0, 28.0], missing=missing, by=by)
            xr.testing.assert_identical(summarise(few, [24.0, 28.0], missing=missing, by=by), known)
    for by, weighted in (("demography.age:4", False), (STRATA[0], True)):
        with pytest.raises(StoreError, match=r"strata \(demography.female, demography.age:30,50\)"):
            summarise(few, [24.0], by=by, weighted=weighted)


def test_strata_that_cannot_be_kept_are_refused(study: Study, tmp_path: Path) -> None:
    asked = ("demography.agee:30,50", "demography.age:4", "demography.age", "score.baseline:50,30")
    with pytest.raises(StudyError) as caught:
        corridor.run(study.replace(keep="summaries", strata=asked), tmp_path / "none.zarr")
    said = str(caught.value)
    assert "did you mean demography.age" in said and not (tmp_path / "none.zarr").exists()
    assert said.count("bounds are needed, such as demography.age:30,50") == 2
    assert "bounds must rise" in said
