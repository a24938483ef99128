"""The command `ketjax design`: mistakes and folders; the search itself is tested apart."""

from pathlib import Path

from typer.testing import CliRunner

from ketjax.cli import app

EXAMPLE = Path(__file__).parents[1] / "fits" / "design.toml"


def test_mistakes_are_told_together_without_a_traceback(tmp_path):
    path = tmp_path / "wrong.toml"
    text = EXAMPLE.read_text("utf-8").replace('"intravenous"', '"intranasal"')
    path.write_text(text.replace('rest = "1 day"', 'rest = "1 apple"'), "utf-8")
    result = CliRunner().invoke(app, ["design", str(path)])
    assert result.exit_code == 2
    assert "arm.route" in result.output and "design.rest" in result.output
    assert "Traceback" not in result.output


def test_an_option_is_checked_like_the_file(tmp_path):
    result = CliRunner().invoke(app, ["design", str(EXAMPLE), "--infusions", "60"])
    assert result.exit_code == 2
    assert "design.infusions" in result.output


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    command = ["design", str(EXAMPLE), "--out", str(tmp_path), "--overwrite"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 4
    assert (tmp_path / "notes.txt").read_text("utf-8") == "mine"
