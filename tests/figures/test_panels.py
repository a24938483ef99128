"""Panels say what their axes mean; curves of relapse are those of a table made by hand."""

import numpy as np
import pytest
import xarray as xr

from ketjax.analysis import format_table, summarise
from ketjax.errors import StoreError
from ketjax.figures import plot_panels, plot_response, plot_survival

HOURS = np.arange(0, 29) * 24.0


def store(patients: int = 3) -> xr.Dataset:
    """Two arms over four weeks; scores fall from 32 to 16 and 24 points at once."""
    score = np.full((2, HOURS.size, patients), 32.0)
    score[0, 1:], score[1, 1:] = 16.0, 24.0
    meanings = {
        "madrs": "depression score, MADRS without rating noise",
        "madrs_rated": "depression score as a rater gives it",
    }
    dataset = xr.Dataset(
        {name: (("arm", "time", "patient"), score) for name in meanings},
        {"arm": ["ketamine", "saline"], "time": HOURS},
    )
    for name, meaning in meanings.items():
        dataset[name].attrs = {"units": "points", "long_name": meaning}
    dataset["share"] = dataset["madrs"].copy(data=score / 32.0)
    dataset["share"].attrs = {"units": "1", "long_name": "share relative to before treatment"}
    dataset["baseline_madrs"] = ("patient", np.full(patients, 32.0))
    dataset["status"] = (("arm", "patient"), np.zeros((2, patients), np.int8))
    return dataset


def test_title_and_label_share_the_meaning() -> None:
    score, share = plot_panels(store(), ["madrs", "share"]).axes
    assert score.get_title(loc="left") == "Depression score"
    assert score.get_ylabel().split() == "MADRS without rating noise [points]".split()
    assert share.get_title(loc="left") == "Share"
    assert share.get_ylabel() == "relative to before treatment"
    assert score.get_xlabel() == share.get_xlabel() == "time from the start"


def test_a_linear_axis_counts_weeks() -> None:
    figure = plot_panels(store(), ["madrs"], linear=True)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    shown = [
        label.get_text()
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    assert shown == ["0 d", "7 d", "14 d", "21 d", "28 d"]
    assert axes.get_xscale() == "linear" and low < 0 and high == HOURS[-1]


def test_one_patient_has_no_interval() -> None:
    one = store(1)
    summary = summarise(one, [24.0])
    assert (summary["response"].sel(arm="ketamine") == 100).all()
    assert summary["response_low"].isnull().all() and summary["response_high"].isnull().all()
    line = format_table(summary).splitlines()[1].split()
    assert line == ["ketamine", "24", "h", "1", "0", "-16.0", "100.0", "0.0"]
    for figure in (plot_response(one), plot_panels(one, ["madrs"])):
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels == ["ketamine", "saline"]


def test_relapse_is_drawn_as_counted_by_hand() -> None:
    """Of four responders one each is lost on days 5 and 10; one does not respond, one failed."""
    days = np.array([[5.0, 10.0, 28.0, 28.0, np.nan, 3.0]] * 2)
    state = np.array([[0, 0, 1, 1, 2, 0]] * 2, np.int8)
    dataset = xr.Dataset(
        {
            "time_to_relapse": (("arm", "patient"), days * 24.0),
            "relapse_state": (("arm", "patient"), state),
            "status": (("arm", "patient"), np.array([[0, 0, 0, 0, 0, 2]] * 2, np.int8)),
        },
        {"arm": ["one", "six"]},
    )
    curves, table = plot_survival(dataset).axes
    line = curves.lines[0]
    assert np.asarray(line.get_xdata()).tolist() == [0, 5, 10, 28]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([100, 75, 50, 50])
    assert line.get_label() == "one: 4 responders, median 10 d"
    assert [text.get_text() for text in table.texts] == ["4", "2"] * 2
    with pytest.raises(StoreError, match="no time_to_relapse"):
        plot_survival(store())
