"""Figures of a report: ribbons, waterfall, dose, exposure, and how they become part of a page."""

import base64
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mock_store import ARMS, mock_store

from ketjax import dataset as ds
from ketjax.analysis import summarise
from ketjax.analysis.exposures import by_exposure
from ketjax.analysis.traits import Trait, changes
from ketjax.errors import StoreError
from ketjax.figures import (
    data_uri,
    plot_correlations,
    plot_dose_peaks,
    plot_dose_response,
    plot_exposure_response,
    plot_ribbons,
    plot_waterfall,
)
from ketjax.figures.ranks import RANKS, by_rank


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """A complete store of 500 patients, opened."""
    return ds.open_store(mock_store(tmp_path_factory.mktemp("stores") / "reporting.zarr"))


def test_ribbons_show_quantiles_and_single_patients(dataset: xr.Dataset) -> None:
    axes = plot_ribbons(dataset, "madrs").axes[0]
    assert axes.get_title(loc="left") == "ketamine"
    *singles, median = axes.lines
    assert len(singles) == 30
    one = dataset["madrs"].sel(arm="ketamine")
    np.testing.assert_allclose(np.asarray(singles[3].get_ydata()), one.isel(patient=3))
    assert np.isnan(np.asarray(singles[13].get_ydata())).all()  # this one failed
    known = one.where(dataset["status"].sel(arm="ketamine") == 0).median("patient")
    np.testing.assert_allclose(np.asarray(median.get_ydata()), known, rtol=1e-6)
    with pytest.raises(StoreError, match="no variable pain"):
        plot_ribbons(dataset, "pain")


def test_waterfall_is_filled_as_far_as_patients_respond(dataset: xr.Dataset) -> None:
    figure = plot_waterfall(dataset, 24.0)
    axes = figure.axes[0]
    change = changes(dataset, "ketamine", 24.0)
    share = 100 * np.mean(change[np.isfinite(change)] <= -0.5)
    assert f"{share:.0f} % respond" in [text.get_text() for text in axes.texts]
    coloured = np.asarray(axes.collections[1].get_paths()[0].vertices)
    assert coloured[:, 0].max() == pytest.approx(share, abs=0.5)


def test_ranks_are_thinned_and_weighted() -> None:
    change = np.random.default_rng(1).normal(size=20_000)
    rank, shown = by_rank(change, np.ones(change.size))
    assert rank.size <= RANKS and (np.diff(shown) >= 0).all()
    assert shown[0] == change.min() and shown[-1] == change.max()
    known = np.percentile(change, rank[1:-1])
    np.testing.assert_allclose(shown[1:-1], known, atol=0.01)
    rank, shown = by_rank(np.array([3.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0]))
    assert shown.tolist() == [1.0, 2.0, 3.0] and rank.tolist() == [12.5, 37.5, 75.0]


def test_doses_are_sorted_and_have_intervals(dataset: xr.Dataset) -> None:
    doses: dict[str, float] = dict(zip(ARMS, (0.5, 0.0, 0.2), strict=True))
    summary = summarise(dataset, [24.0, 168.0])
    change, response = plot_dose_response(summary, doses, "dose", dataset).axes
    line = change.lines[0]
    assert np.asarray(line.get_xdata()).tolist() == [0.0, 0.2, 0.5]
    wanted = summary["madrs_change"].sel(hour=24.0, arm=["midazolam", "saline", "ketamine"])
    np.testing.assert_allclose(np.asarray(line.get_ydata()), wanted)
    assert response.get_ylabel() == "patients [%]"


def test_peaks_go_either_way(dataset: xr.Dataset) -> None:
    doses: dict[str, float] = dict(zip(ARMS, (0.5, 0.0, 0.2), strict=True))
    figure = plot_dose_peaks(dataset, ["interneuron_rate", "glutamate"], doses, "dose")
    down, up = (np.asarray(axes.lines[0].get_ydata())[-1] for axes in figure.axes[:2])
    assert down < -0.1 and up > 0.1


def test_exposure_and_correlations_are_drawn(dataset: xr.Dataset) -> None:
    found = by_exposure(dataset, 24.0)
    figure = plot_exposure_response(found, dataset, 24.0)
    assert len(np.asarray(figure.axes[0].lines[0].get_xdata())) == 5
    traits = [Trait("a.b_c", "", "1", False, {}, np.nan, r) for r in (0.1, -0.6, np.nan)]
    axes = plot_correlations(traits, 0.2, dataset).axes[0]
    widths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert widths == [-0.6, 0.1]
    with pytest.raises(StoreError, match="nothing was drawn"):
        plot_correlations(traits[2:], 0.2, dataset)


def test_small_figures_are_lines_and_large_ones_pixels(tmp_path: Path) -> None:
    figure = Figure(figsize=(2.0, 1.0))
    figure.subplots().set_title("<i>real & text</i>")
    kind, _, data = data_uri(figure).partition(",")
    assert kind == "data:image/svg+xml;base64"
    drawing = base64.b64decode(data).decode("utf-8")
    assert "&lt;i&gt;real &amp; text&lt;/i&gt;" in drawing
    assert data_uri(figure).partition(",")[2] == data
    kind, _, data = data_uri(figure, largest_svg=100).partition(",")
    header = base64.b64decode(data)[:24]
    assert kind == "data:image/png;base64" and header[:4] == b"\x89PNG"
    assert int.from_bytes(header[16:20]) == 2 * 180
