"""The script `studies/grid.py`, with studies that are not simulated."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "studies" / "grid.py"


def test_grid_ends_with_a_table_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("grid", SCRIPT)
    assert spec and spec.loader
    grid = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grid)
    ran: list[int] = []

    def run_study(folder: str, k: int, patients: int | None = None) -> dict[str, int]:
        ran.append(k)
        return {"patients": patients or 0}

    monkeypatch.setattr(grid, "run_study", run_study)
    monkeypatch.setattr(
        grid, "outcome_of", lambda path: {"remission": 51.23, "first_dissociation": 4.0}
    )
    monkeypatch.setattr(sys, "argv", ["grid.py", "--patients", "10", "--out", str(tmp_path)])
    grid.main()
    assert ran == list(range(48))
    assert len((tmp_path / "grid.csv").read_text().splitlines()) == 49
    assert (tmp_path / "grid.png").stat().st_size > 10_000
    assert "51.2" in capsys.readouterr().out
