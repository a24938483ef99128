"""Attribution of a study's effect: shares add, a silent mechanism has none, a chain shares."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ketjax.attribution import attribute, table
from ketjax.cli import app
from ketjax.errors import StudyError
from ketjax.study import Study

MANIFEST = """
name = "shares"
[population]
patients = 1
seed = 5
typical = true
[output]
horizon = "1 day"
times = ["0 h", "24 h"]
readouts = ["madrs"]
[solver]
dtype = "float64"
[arms.infusion]
expectancy = "open_label"
[[arms.infusion.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
duration = "40 min"
time = "0 h"
"""


def test_shares_add_to_the_effect() -> None:
    mechanisms = ("interneuron_nmda", "trkb", "opioid")
    found = attribute(Study.parse(MANIFEST), mechanisms=mechanisms, hours=(24.0,))
    share = {name: float(found["share"].sel(mechanism=name).squeeze()) for name in mechanisms}
    total, rest = float(found["effect"].squeeze()), float(found["rest"].squeeze())
    assert sum(share.values()) + rest == pytest.approx(total, rel=1e-12)
    assert "joint_share" not in found  # expectancy is not among them
    assert share["opioid"] == pytest.approx(0, abs=1e-9)  # its share is off
    assert total > rest > 1  # expectancy and habenula are left
    assert share["trkb"] > 1 and share["interneuron_nmda"] > 1
    head, lines = table(found)
    assert [line[0] for line in lines] == [*mechanisms, "none of these", "all"]
    shares = [float(line[2]) for line in lines]
    assert len(head) == 3 and sum(shares[:-1]) == pytest.approx(100, abs=2) and shares[-1] == 100


def test_of_two_players_the_second_is_all_others() -> None:
    found = attribute(Study.parse(MANIFEST), mechanisms=("expectancy", "trkb"), hours=(24.0,))
    own = found["share"].to_numpy()
    np.testing.assert_allclose(found["joint_share"], own, rtol=1e-12)  # there is one other only
    _, lines = table(found)
    assert [line[0] for line in lines[-3:]] == [
        "all",
        "of two: expectancy",
        "of two: all others together",
    ]
    assert lines[-2][1:] == lines[0][1:]


def test_what_cannot_be_attributed_is_told_at_once() -> None:
    with pytest.raises(StudyError) as raised:
        attribute(
            Study.parse(MANIFEST), "placebo", mechanisms=("ampa", "ampa", "nmda"), hours=[168]
        )
    places = {problem.place for problem in raised.value.problems}
    assert places == {"arm", "mechanisms", "hours"}  # the study ends before day 7
    assert "nmda" in str(raised.value) and "different" in str(raised.value)
    with pytest.raises(StudyError, match="-1 h"):
        attribute(Study.parse(MANIFEST), mechanisms=("ampa",), hours=(-1.0, 24.0))


def test_the_command_prints_and_draws(tmp_path: Path) -> None:
    study, figure = tmp_path / "study.toml", tmp_path / "shares.png"
    study.write_text(MANIFEST)
    options = ["--mechanisms", "expectancy,trkb", "--patients", "1", "--format", "csv"]
    result = CliRunner().invoke(app, ["attribute", str(study), *options, "--figure", str(figure)])
    assert result.exit_code == 0, result.stderr
    names = [line.partition(",")[0] for line in result.stdout.splitlines()]
    assert names[0] == "mechanism" and names[-1] == "of two: all others together"
    assert figure.read_bytes()[:4] == b"\x89PNG" and str(figure) in result.stderr
