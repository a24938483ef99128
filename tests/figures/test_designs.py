"""The figure of a design: what it must show."""

import numpy as np
import xarray as xr

from ketjax.figures import plot_design


def test_the_figure_shows_each_number_of_infusions_and_the_best_schedule(tmp_path):
    count = np.arange(1, 4)
    found = xr.Dataset(
        {
            "share": ("infusions", [0.1, 0.2, 0.3]),
            "share_se": ("infusions", [0.02, 0.02, 0.02]),
            "counted": ("infusions", [0.1, 0.21, 0.29]),
            "counted_se": ("infusions", [0.03, 0.03, 0.03]),
            "cap": ("infusions", ["free", "binds", "exceeded"]),
        },
        {"infusions": count},
        {"outcome": "remission", "day": 28.0, "best": 2, "name": "test", "patients": 256},
    )
    time = np.linspace(0, 672, 50)
    course = 30 - 10 * time / 672
    best = xr.Dataset(
        {
            "low": ("time", course - 5),
            "median": ("time", course),
            "high": ("time", course + 5),
            "mean_dissociation": ("time", np.zeros(50)),
            "amount": ("infusion", [0.5, 0.4]),
            "start": ("infusion", [0.0, 300.0]),
        },
        {"time": time},
        {"unit": "mg/kg", "limit": 12.0},
    )
    figure = plot_design(found, best)
    shares, score, dissociation, amounts = (axes for part in figure.subfigs for axes in part.axes)
    assert shares.get_ylabel() == "remission at day 28 [%]"
    np.testing.assert_allclose(np.asarray(score.lines[0].get_ydata(), float), course)
    np.testing.assert_array_equal(np.asarray(dissociation.lines[1].get_ydata()), 12.0)
    assert [text.get_text() for text in amounts.texts] == ["0.5", "0.4"]
    assert "not advice" in figure.get_supxlabel()
