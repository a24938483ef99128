"""The command line as a user meets it: the first study, mistakes, messages, exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

import ketjax
from ketjax import preparation, simulate
from ketjax.cli import app

TEXT: dict[str, Any] = {"capture_output": True, "text": True}
FIRST = Path(__file__).parents[1] / "studies" / "s01_single_infusion.toml"


def call(*arguments: object):
    """Run a command; whatever ends it other than a chosen exit is a failure of the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory):
    """The first study with 64 patients in a block of 64: its result and its store."""
    out = tmp_path_factory.mktemp("first") / "s01.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "BLOCK", 64)
        patch.setattr(preparation, "BLOCK", 64)
        return call("run", FIRST, "--patients", 64, "--out", out), out


def test_the_first_study(first) -> None:
    result, out = first
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    for arm in ("ketamine", "midazolam", "saline"):
        assert sum(row[:1] == [arm] for row in rows) == 5  # 2 h, 24 h, day 3, 7 and 14
    assert "patients per second, 0 failed" in result.stdout
    dataset = ketjax.open_store(out)
    assert dataset["arm"].values.tolist() == ["ketamine", "midazolam", "saline"]
    assert dataset["region"].values.tolist() == ["prefrontal", "hippocampus"]
    assert {"glutamate", "bdnf", "madrs", "madrs_rated", "status"} <= set(dataset.data_vars)
    assert dataset["glutamate"].dims == ("arm", "region", "time", "patient")
    for name in ("cascade", "response"):
        picture = out.with_name(f"s01_{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 50_000


def test_what_the_first_study_finds(first) -> None:
    """Directions that were read in the literature, in 64 patients."""
    _, out = first
    dataset = ketjax.open_store(out).load()
    course = dataset["glutamate"].sel(arm="ketamine", region="prefrontal").mean("patient")
    assert 1.15 < course.max() < 1.35 and abs(course.sel(time=slice(3, None)) - 1).max() < 0.06
    block = dataset["interneuron_block"] / dataset["pyramidal_block"].clip(1e-6)
    assert (block.sel(arm="ketamine").isel(time=5) > 1).all()
    gain = dataset["synapse_gain"].sel(arm="ketamine", region="prefrontal").mean("patient")
    assert gain.sel(time=4) < 0.01 < gain.sel(time=24) < gain.sel(time=72)
    change = (dataset["madrs"] - dataset["madrs"].isel(time=0)).mean("patient").sel(time=24)
    assert change.sel(arm="ketamine") < change.sel(arm="midazolam") < -5
    assert abs(change.sel(arm="saline")) < 0.01
    for name in ("plasma_ketamine", "dissociation", "bdnf"):
        assert np.abs(dataset[name].sel(arm="midazolam")).max() < 1e-2, name


def test_existing_output_ends_with_4(first) -> None:
    _, out = first
    result = call("run", FIRST, "--out", out)
    assert result.exit_code == 4
    assert "exists" in result.stderr and "--overwrite" in result.stderr


def test_summarise_and_verify(first) -> None:
    result, out = first
    again = call("summarise", out)
    assert again.exit_code == 0 and again.stdout == result.stdout
    record = json.loads(call("summarise", out, "--json").stdout)
    assert record["patients"] == 64 and len(record["summary"]) == 15
    assert call("verify", out).exit_code == 0
    missing = call("summarise", out.with_name("nothing.zarr"))
    assert missing.exit_code == 4 and "nothing.zarr" in missing.stderr
    nobody_left = call("summarise", out, "--missing", "last")
    assert nobody_left.exit_code == 4 and "dropout_time" in nobody_left.stderr


MISTAKES = {
    "unknown parameter": (
        "[solver]",
        '[parameters]\n"receptors.kd_interneurone" = "0.4 uM"\n[solver]',
        "receptors.kd_interneuron",
    ),
    "missing unit": ('amount = "0.5 mg/kg"', "amount = 0.5", "mg/kg"),
    "wrong dimension": ('amount = "0.5 mg/kg"', 'amount = "0.5 mL"', "mL"),
    "negative dose": ('amount = "0.5 mg/kg"', 'amount = "-0.5 mg/kg"', "-0.5"),
    "dose after the horizon": ('time = "0 h"', 'time = "15 day"', "arms.ketamine.doses[0].time"),
    "unsorted times": ('"5 min", "10 min"', '"10 min", "5 min"', "output.times"),
    "no patients": ("patients = 10000", "patients = 0", "population.patients"),
    "unknown interaction": (
        "[arms.ketamine]\n",
        '[arms.ketamine]\ninteraction = "grapefrut"\n',
        "grapefruit",
    ),
    "unknown part of the hippocampus": (
        "[arms.ketamine]\n",
        '[arms.ketamine]\nhippocampus = "dentate"\n',
        "dentate_entorhinal",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_with_2_and_say_where(name: str, tmp_path: Path) -> None:
    old, new, said = MISTAKES[name]
    text = FIRST.read_text()
    assert old in text
    study = tmp_path / "study.toml"
    study.write_text(text.replace(old, new, 1))
    result = call("run", study, "--out", tmp_path / "x.zarr")
    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == "" and not (tmp_path / "x.zarr").exists()


def test_patients_of_the_command_line_are_checked_too(tmp_path: Path) -> None:
    result = call("run", FIRST, "--patients", 0, "--out", tmp_path / "x.zarr")
    assert result.exit_code == 2 and "patients" in result.stderr


def test_no_traceback_from_a_real_process(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ketjax", "run", str(tmp_path / "missing.toml")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "missing.toml" in result.stderr and "Traceback" not in result.stderr


def test_parameter_table() -> None:
    text = call("parameters").stdout
    assert re.search(r"receptors\.kd_interneuron +KdI +0\.49 +uM", text)
    lines = call("parameters", "--format", "csv").stdout.splitlines()
    assert lines[0] == "path,symbol,value,unit,low,high,law,status,source,meaning"
    assert call("parameters", "--format", "markdown").stdout.count("\n") == len(lines) + 1
    rat = call("parameters", "--species", "rat", "--format", "csv").stdout
    assert "demography.weight,weight,0.3,kg" in rat
    wrong = call("parameters", "--species", "mouse")
    assert wrong.exit_code == 2 and "rat" in wrong.stderr


def test_doctor() -> None:
    result = call("doctor")
    assert result.exit_code == 0 and "devices" in result.stdout
    record = json.loads(call("doctor", "--json").stdout)
    assert record["multi-output fusion"] is True and record["faults"] == []
    assert record["usable cores"] >= 1 and record["jax"] == jax.__version__


def test_an_environment_that_cannot_run_ends_with_5() -> None:
    """Without jax and with a backend that is not there."""
    script = "import sys; sys.modules['jax'] = None; from ketjax.cli import app; app()"
    for code, arguments in ((script, ("doctor",)), (script, ("run", str(FIRST)))):
        result = subprocess.run([sys.executable, "-c", code, *arguments], **TEXT)
        assert result.returncode == 5 and "jax" in result.stderr
        assert "Traceback" not in result.stderr
    here = {**os.environ, "JAX_PLATFORMS": "martian"}
    result = subprocess.run([sys.executable, "-m", "ketjax", "doctor", "--json"], env=here, **TEXT)
    assert result.returncode == 5 and "martian" in json.loads(result.stdout)["faults"][0]


KINETICS = """
name = "kinetics"
population = {patients = 40, seed = 5}
output = {horizon = "2 h", times = ["0 h", "2 h"], readouts = ["plasma_ketamine"]}
[[arms.oral.doses]]
drug = "ketamine"
route = "oral"
amount = "50 mg"
time = "0 h"
"""


def test_precision_and_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "BLOCK", 64)
    monkeypatch.setattr(preparation, "BLOCK", 64)
    study, out = tmp_path / "study.toml", tmp_path / "x.zarr"
    study.write_text(KINETICS)
    audited = call("run", study, "--out", out, "--audit")
    assert audited.exit_code == 0
    assert re.search(r"in float64: 32 patients; .* \(plasma_ketamine\)", audited.stderr)
    assert "in float64: 32 patients" in call("verify", out).stderr
    refused = call("run", study, "--out", out, "--dtype", "float64", "--resume")
    assert refused.exit_code == 4 and "another configuration" in refused.stderr
    assert call("run", study, "--out", out, "--dtype", "float16", "--overwrite").exit_code == 2
    double = call("run", study, "--out", out, "--dtype", "float64", "--overwrite", "--audit")
    assert double.exit_code == 0 and "in float64" not in double.stderr
    dataset = ketjax.open_store(out)
    assert dataset["plasma_ketamine"].dtype == np.float64
    assert json.loads(dataset.attrs["ketjax_provenance"])["study"]["solver"]["dtype"] == "float64"
