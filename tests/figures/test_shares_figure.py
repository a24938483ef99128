"""The figure of shares: bars are means, lines the middle of the patients, the title has the sum."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Rectangle

from ketjax.figures import plot_shares


@pytest.fixture
def found() -> xr.Dataset:
    """Two mechanisms, two hours, 101 patients: shares that are known by heart."""
    spread = np.linspace(-1.0, 1.0, 101)
    means = np.array([[4.0, 2.0], [6.0, 3.0]])  # mechanism, hour
    share = means[:, :, None] + spread
    rest = np.full((2, 101), 0.5)
    return xr.Dataset(
        {
            "share": (("mechanism", "hour", "patient"), share),
            "rest": (("hour", "patient"), rest),
            "effect": (("hour", "patient"), share.sum(axis=0) + rest),
        },
        {"mechanism": ["ampa", "expectancy"], "hour": [24.0, 168.0]},
        {"study": "s01", "arm": "ketamine", "seed": 3},
    )


def widths(axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_add_to_the_title(found: xr.Dataset) -> None:
    figure = plot_shares(found)
    day, week = figure.axes
    assert widths(day) == pytest.approx([4.0, 6.0, 0.5])
    assert widths(week) == pytest.approx([2.0, 3.0, 0.5])
    assert "24 h: fall of 10.5 points" in day.get_title(loc="left")
    assert "7 d: fall of 5.5 points" in week.get_title(loc="left")
    assert np.asarray(day.lines[0].get_xdata()) == pytest.approx([4 - 0.9, 4 + 0.9])
    labels = [label.get_text() for label in day.get_yticklabels()]
    assert labels == ["ampa", "expectancy", "none of these"]
    assert [text.get_text() for text in day.texts] == ["4.0 (38 %)", "6.0 (57 %)", "0.5 (5 %)"]
    assert "101" in figure.get_supxlabel() and "seed 3" in figure.get_supxlabel()


def test_two_players_stand_below(found: xr.Dataset) -> None:
    found["joint_share"] = (("player", "hour", "patient"), found["share"].to_numpy()[::-1])
    found["player"] = ["expectancy", "all others together"]
    day = plot_shares(found.isel(hour=[0])).axes[0]
    assert widths(day) == pytest.approx([4.0, 6.0, 0.5, 6.0, 4.0])
    places = day.get_yticks()
    assert places[2] - places[3] > places[1] - places[2]  # a gap between the two divisions
