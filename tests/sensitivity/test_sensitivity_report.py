"""Indices of a store as tables, figures and parts of a report: what is drawn is what is stored."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ketjax import dataset as ds
from ketjax.errors import StoreError
from ketjax.figures.pairs import plot_pairs
from ketjax.figures.sensitivity import BLUE, LIGHT_BLUE
from ketjax.report.analyses import analysis_parts
from ketjax.report.page import Picture, Table, Text
from ketjax.sensitivity.groups import write_group
from ketjax.sensitivity.pictures import pictures
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.report import (
    PAIRS,
    crossed,
    methods_of,
    records,
    selected,
    study_of,
    table,
)
from ketjax.sensitivity.sobol import CONSTANT, FAILED

NAMES = ["score.a_b", "score.c", "score.d"]
HOURS = (0.0, 24.0, 168.0)
TOTAL = np.array([0.6, 0.3, 0.001])
BOUND = np.array([2.5, 0.4, 0.0001])
SECOND = {(0, 1): (0.2, 0.05), (0, 2): (-0.03, 0.05), (1, 2): (0.001, 0.05)}
REASONS = np.array([CONSTANT, 0, FAILED])

DOCUMENT = {
    "name": "small",
    "population": {"patients": 1, "seed": 1},
    "output": {
        "horizon": "168 h",
        "times": [f"{hour:g} h" for hour in HOURS],
        "readouts": ["madrs"],
    },
    "arms": {"ketamine": {"doses": []}},
    "sensitivity": {
        "parameters": ["score.half_effect_drive"],
        "methods": ["sobol", "dgsm"],
        "second_order": True,
        "hours": [f"{hour:g} h" for hour in HOURS],
    },
}


def known_only(values: np.ndarray) -> np.ndarray:
    """The same at all hours with indices, NaN at the others; (..., arm, time)."""
    wide = np.broadcast_to(values[..., None, None], (*values.shape, 1, len(HOURS)))
    return np.where(REASONS == 0, wide, np.nan)


def write(path: Path, group: str, axes: dict, parts: dict) -> None:
    """A group of indices of one output, with what was said of it."""
    values = {name: (dims, values, {"units": "1"}) for name, (dims, values) in parts.items()}
    values["reason.madrs"] = (("arm", "time"), REASONS[None], {})
    coords = {"parameter": NAMES, "arm": ["ketamine"], "time": list(HOURS), **axes}
    attributes = {"confidence": 0.95, "points": 8}
    write_group(path, group, xr.Dataset(values, coords, attributes))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("indices") / "s.zarr"
    document = SensitivityStudy.parse(DOCUMENT).to_dict()
    ds.create(
        path,
        (ds.readout("madrs", "points", "depression score"),),
        ds.Coordinates(arms=("ketamine",), regions=(), times=HOURS, patients=4),
        shard=4,
        digest="0" * 64,
        attributes={"study": "small", "seed": 1, "ketjax_version": "0.1.0"},
        provenance={"study": document},
    )
    rows = {"madrs": np.ones((1, 3, 4), np.float32), "status": np.zeros((1, 4), np.int8)}
    ds.write_shard(path, 0, rows)
    ds.finish(path)
    described = json.dumps([{"name": name} for name in NAMES])
    write_group(path, "design", xr.Dataset(attrs={"parameters": described}))
    dims = ("parameter", "arm", "time")
    error = np.full(3, 0.01)
    sobol = known_only(np.stack([TOTAL / 2, error, TOTAL, error]))[:, None]
    pairs = np.full((2, 3, 3), np.nan)
    for (i, j), numbers in SECOND.items():
        pairs[:, i, j] = numbers
    axes = {
        "index": ["first", "first_error", "total", "total_error"],
        "samples": [16],
        "pair": ["second", "second_error"],
        "other": NAMES,
    }
    write(path, "sobol", axes, {
        "madrs": (("index", "samples", *dims), sobol),
        "second.madrs": (("pair", "parameter", "other", "arm", "time"), known_only(pairs)),
    })  # fmt: skip
    bound = known_only(np.stack([BOUND * 7, BOUND, error]))
    index = {"index": ["mean_square", "bound", "bound_error"]}
    write(path, "dgsm", index, {"madrs": (("index", *dims), bound)})
    ends = np.broadcast_to(np.array([-1.0, 2.0])[:, None, None, None], (2, 3, 1, 3))
    with_middle = {"madrs": (("index", *dims), ends), "middle.madrs": (dims[1:], np.ones((1, 3)))}
    write(path, "tornado", {"index": ["low", "high"]}, with_middle)
    return path


def test_pairs_stand_in_order_with_intervals(store: Path) -> None:
    study = study_of(store)
    assert methods_of(study) == ("sobol", PAIRS, "dgsm")
    found = list(records(store, PAIRS, study, ["ketamine"]))
    assert [(one["hour"], one["reason"]) for one in found if one["reason"]] == [
        (0.0, "constant"),
        (168.0, "too_many_rows_failed"),
    ]
    there = [one for one in found if not one["reason"]]
    assert [(one["parameter"], one["other"]) for one in there] == [
        (NAMES[i], NAMES[j]) for i, j in SECOND
    ]
    assert there[1]["second_low"] == pytest.approx(-0.03 - 1.96 * 0.05, abs=1e-4)
    head, lines = table(found, PAIRS, 2)
    assert head == ["arm", "output", "hour", "parameter", "and", "second order"]
    assert [line[-1] for line in lines] == [
        "constant",
        "0.200 (0.102 to 0.298)",
        "-0.030 (-0.128 to 0.068)",
        "too many rows failed",
    ]


def test_bounds_stand_beside_totals(store: Path) -> None:
    study = study_of(store)
    best = next(one for one in records(store, "dgsm", study, ["ketamine"]) if not one["reason"])
    assert best["parameter"] == NAMES[0]
    assert (best["total"], best["bound"]) == pytest.approx((0.6, 2.5))
    assert best["mean_square"] == pytest.approx(17.5)
    # The third total index is as small as rounding of the rows.
    assert crossed(store, study, "ketamine").startswith("All 2 bounds")
    (drawn,) = (one for one in pictures(store, study, "ketamine") if one.name == "dgsm")
    axes = drawn.draw().axes[1]
    bars = {
        colour: [
            bar.get_width()
            for bar in axes.patches
            if isinstance(bar, Rectangle) and bar.get_facecolor() == to_rgba(colour)
        ]
        for colour in (LIGHT_BLUE, BLUE)
    }
    assert bars[LIGHT_BLUE] == pytest.approx(TOTAL[:2]) and bars[BLUE] == pytest.approx(BOUND[:2])
    assert [text.get_text() for text in axes.texts] == ["2.5"]  # cut off: it says its number
    assert axes.get_xlim()[1] == pytest.approx(1.3)


def test_a_bound_below_its_total_is_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ketjax.sensitivity import report

    low = selected(store, "dgsm", ["madrs"], "ketamine")
    low["value"].loc[{"index": "bound", "parameter": NAMES[1]}] = 0.1
    monkeypatch.setattr(report, "selected", lambda *_: low)
    said = crossed(store, study_of(store), "ketamine")
    assert said.startswith("1 of 2 bounds") and "8 points are too few" in said


def test_one_wide_interval_hides_no_other_bar(store: Path) -> None:
    (drawn,) = (one for one in pictures(store, study_of(store), "ketamine") if one.name == "sobol")
    drawn.found["value"].loc[{"index": "total_error", "parameter": NAMES[1]}] = 40.0
    low, high = drawn.draw().axes[1].get_xlim()
    assert -0.4 < low < 0 and 1 < high < 1.5


@pytest.mark.parametrize("width", [7.4, 3.75])
def test_matrix_shows_the_pairs_that_matter(store: Path, width: float) -> None:
    found = selected(store, PAIRS, ["madrs"], "ketamine")
    figure = plot_pairs(found, HOURS, figure=Figure(figsize=(width, 1.0), layout="constrained"))
    still, matrix, lost = figure.axes
    assert "constant" in still.texts[0].get_text() and "left open" in lost.texts[0].get_text()
    shown = {text.get_position(): text for text in matrix.texts}
    assert {place: text.get_text() for place, text in shown.items()} == {
        (0, 1): ".20",
        (0, 2): "\u2212.03",
    }
    assert shown[0, 1].get_fontweight() == "bold" and shown[0, 2].get_fontweight() == "normal"
    heading = still.get_title(loc="left").splitlines()
    assert heading == ["madrs", *(f"{k + 1}  {name}" for k, name in enumerate(NAMES)), "0 h"]


@pytest.mark.parametrize("width", [7.4, 3.75])
def test_where_nothing_is_known_it_is_said(store: Path, width: float) -> None:
    study = study_of(store)
    for one in pictures(store, study, "ketamine"):
        one.found["value"][:] = np.nan
        if "reason" in one.found:
            one.found["reason"][:] = FAILED
        figure = one.draw(figure=Figure(figsize=(width, 1.0), layout="constrained"))
        if one.name != "areas":
            said = [axes.get_xlabel() + "".join(t.get_text() for t in axes.texts)
                    for axes in figure.axes]  # fmt: skip
            assert all("left open" in text for text in said)
    record = {"arm": "ketamine", "output": "madrs", "hour": 1.0, "parameter": ""}
    head, lines = table([{**record, "reason": "constant"}], "morris", 3)
    assert lines == [["ketamine", "madrs", "1 h", "", "constant", "", ""]]
    assert len(head) == len(lines[0])


def test_report_has_every_method_as_figure_and_table(store: Path) -> None:
    parts = analysis_parts(store)
    figures = [part for part in parts if isinstance(part, Picture)]
    assert len(figures) == 5 and all(one.narrow and one.narrow != one.wide for one in figures)
    tables = {part.caption.partition(":")[0]: part for part in parts if isinstance(part, Table)}
    pairs = tables["Interactions of pairs (Sobol indices of second order)"]
    assert pairs.rows == [
        ("MADRS, 0 h: constant",),
        ("MADRS, 24 h",),
        ("score: a b and score: c", "0.200 (0.102 to 0.298)"),
        ("score: a b and score: d", "\u22120.030 (\u22120.128 to 0.068)"),
        ("MADRS, 7 d: too many rows failed",),
    ]
    bounds = tables["Bounds on total indices by derivatives"]
    assert list(bounds.head) == ["", "Total", "Total at most", "Mean squared derivative"]
    assert ("score: c", "0.300 (0.280 to 0.320)", "0.400 (0.380 to 0.420)", "2.8") in bounds.rows
    said = " ".join(part.text for part in parts if isinstance(part, Text))
    assert "3 parameters are varied in the typical patient" in said and "All 2 bounds" in said


def test_a_store_without_its_indices_is_refused(store: Path, tmp_path: Path) -> None:
    import shutil

    path = Path(shutil.copytree(store, tmp_path / "k.zarr"))
    (path / "journal/group-sobol.json").unlink()
    with pytest.raises(StoreError, match="holds no sobol.*--resume"):
        analysis_parts(path)
