"""Figures show what the store holds, in fixed colours, on a time axis that people can read."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from mock_store import mock_store

from ketjax import dataset as ds
from ketjax.errors import StoreError
from ketjax.figures import plot_cascade, plot_panels, plot_response, save
from ketjax.figures.style import arm_colours


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """A complete store of 500 patients, opened."""
    return ds.open_store(mock_store(tmp_path_factory.mktemp("stores") / "figures.zarr"))


def test_cascade_shows_eight_panels_in_the_order_of_the_biology(dataset: xr.Dataset) -> None:
    figure = plot_cascade(dataset)
    titles = sorted(axes.get_title(loc="left") for axes in figure.axes)
    assert [title[0] for title in titles] == list("12345678")
    assert "plasma" in titles[0] and "Glutamate" in titles[3] and "score" in titles[7]
    labels = {axes.get_ylabel() for axes in figure.axes}
    assert "concentration [ng/mL]" in labels and "MADRS [points]" in labels


def test_lines_are_the_medians_of_each_arm(dataset: xr.Dataset) -> None:
    (axes,) = (a for a in plot_cascade(dataset).axes if "score" in a.get_title(loc="left"))
    lines = {to_hex(line.get_color()).upper(): line for line in axes.lines}
    assert lines.keys() == {"#D55E00", "#0072B2", "#000000"}
    median = np.nanmedian(dataset["madrs"].sel(arm="ketamine"), axis=-1)
    np.testing.assert_allclose(np.asarray(lines["#D55E00"].get_ydata()), median, rtol=1e-6)


def test_hippocampus_is_dashed(dataset: xr.Dataset) -> None:
    (axes,) = (a for a in plot_cascade(dataset).axes if "BDNF" in a.get_title(loc="left"))
    assert sum(line.is_dashed() for line in axes.lines) == 3
    assert len(axes.lines) == 6


def many_arms(dataset: xr.Dataset) -> xr.Dataset:
    """The three arms and a copy of the first by another name."""
    return dataset.isel(arm=[0, 1, 2, 0]).assign_coords(arm=[*dataset["arm"].values, "again"])


def test_spread_of_many_arms_stands_beside_the_panel(dataset: xr.Dataset) -> None:
    """Bars at the time at which the medians lie furthest apart, no band, no second region."""
    few = plot_panels(dataset, ["madrs", "bdnf"]).axes[0]
    assert len(few.collections) == 3 and not few.child_axes
    score, bdnf = plot_panels(many_arms(dataset), ["madrs", "bdnf"]).axes
    assert not score.collections and len(score.lines) == len(bdnf.lines) == 4 + 1
    medians = dataset["madrs"].where(dataset["status"] == 0).median("patient")
    apart = medians.max("arm") - medians.min("arm")
    hour = float(dataset["time"][int(apart.argmax("time"))])
    assert np.asarray(score.lines[-1].get_xdata())[0] == pytest.approx(hour)
    (strip,) = score.child_axes
    bars = strip.collections[0]
    assert isinstance(bars, LineCollection)
    heights = [np.asarray(bar)[:, 1] for bar in bars.get_segments()]
    first = dataset.sel(arm="ketamine", time=hour)
    known = first["madrs"].where(first["status"] == 0).quantile([0.05, 0.95], "patient")
    np.testing.assert_allclose(heights[0], known, rtol=1e-6)
    np.testing.assert_allclose(heights[0], heights[3])


def test_response_of_many_arms_has_no_bands(dataset: xr.Dataset) -> None:
    for axes in plot_response(many_arms(dataset)).axes:
        assert not axes.collections and len(axes.child_axes) == 1


def test_a_long_legend_stays_within_the_figure(dataset: xr.Dataset) -> None:
    names = [f"an arm with a long name, number {number}" for number in range(6)]
    many = dataset.isel(arm=[0, 1, 2, 0, 1, 2]).assign_coords(arm=names)
    for figure in (plot_cascade(many), plot_panels(many, ["madrs"]), plot_response(many)):
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_time_axis_runs_from_the_start_to_the_end_in_words(dataset: xr.Dataset) -> None:
    axes = plot_response(dataset).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert sorted(labels) == sorted(["0", "10 min", "1 h", "4 h", "1 d", "3 d", "7 d", "14 d"])
    assert axes.get_xlim() == (pytest.approx(1 / 60), 336.0)
    assert np.asarray(axes.lines[0].get_xdata())[0] == pytest.approx(
        1 / 60
    )  # the state before the dose


@pytest.mark.parametrize("end", [24.0, 336.0, 672.0, 8760.0, 26280.0])
def test_time_labels_do_not_touch(end: float, dataset: xr.Dataset) -> None:
    scaled = dataset.assign_coords(time=dataset["time"] * (end / 336.0))
    figure = plot_response(scaled)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = sorted(
            (label.get_window_extent() for label in axes.get_xticklabels()), key=lambda b: b.x0
        )
        assert len(boxes) >= 5
        assert all(left.x1 + 2 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
        assert all(box.x1 < figure.bbox.x1 for box in boxes)


def test_footer_tells_where_the_numbers_come_from(dataset: xr.Dataset) -> None:
    for figure in (plot_cascade(dataset), plot_response(dataset)):
        footer = figure.get_supxlabel()
        for part in ("s01_single_infusion", "500", "seed 1", "ketjax 0.1.0", "not for clinical"):
            assert part in footer


def test_absent_readouts_are_left_out(dataset: xr.Dataset) -> None:
    figure = plot_cascade(dataset[["plasma_ketamine", "synapse_density", "madrs", "status"]])
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 3
    with pytest.raises(StoreError, match="no readout of the cascade"):
        plot_cascade(dataset[["madrs_rated", "status"]])


def test_colours_stay_with_the_names() -> None:
    assert arm_colours(["saline", "esketamine"]) == {"saline": "#000000", "esketamine": "#009E73"}
    assert len(set(arm_colours(["ketamine", "a", "b", "c", "d", "e"]).values())) == 6


def test_a_given_figure_is_drawn_on_and_saved_as_png(dataset: xr.Dataset, tmp_path: Path) -> None:
    given = Figure(figsize=(9.0, 3.0), layout="constrained")
    assert plot_response(dataset, given) is given
    path = save(given, tmp_path / "response.png")
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(header[16:20]) == 9 * 150
