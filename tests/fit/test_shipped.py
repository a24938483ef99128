"""The shipped set: it comes from the shipped manifest, and its report says so."""

import csv
from pathlib import Path

import numpy as np

from ketjax.fit import Fit
from ketjax.fit.free import table
from ketjax.sets import NAMES, ParameterSet

FITS = Path(__file__).parents[2] / "fits"


def test_set_comes_from_the_manifest() -> None:
    assert "human" in NAMES
    fit, found = Fit.read(FITS / "human.toml"), ParameterSet.read("human")
    assert found.provenance.source == fit.digest()
    for one in fit.unknowns:
        kinds = {"typical value": found.parameters, "spread": found.laws}
        number = kinds.get(one.kind, found.correlations)[
            one.name if one.kind == "correlation" else one.paths[0]
        ]
        assert one.low < number < one.high
    assert set(found.parameters) <= set(table())


def test_no_profile_is_met_worse_than_by_the_table() -> None:
    """The default of human studies; what no free number moves is met as before."""
    lines = (FITS / "human" / "report.txt").read_text("utf-8").splitlines()
    rows = [line.split() for line in lines if line.startswith(("P0", "P1"))][:12]
    assert len({row[0] for row in rows}) == 12
    for profile, *_, before, after in rows:
        assert float(after) <= float(before), profile


def test_report_is_of_every_target() -> None:
    """More than 85 % of the targets are within two errors of the published numbers alone."""
    with (FITS / "human" / "targets.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["target"] for row in rows] == [
        target.name for target in Fit.read(FITS / "human.toml").summaries
    ]
    off, error, wide = (
        np.array([float(row[name]) for row in rows])
        for name in ("simulated_smooth", "se", "se_with_trials")
    )
    off -= [float(row["published"]) for row in rows]
    assert np.mean(np.abs(off) <= 2 * error) > 0.85
    assert np.mean(np.abs(off) <= 2 * wide) > 0.95
