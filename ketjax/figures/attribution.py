"""Shares of an effect: what each mechanism adds to the fall of the score."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ketjax.figures.style import (
    ARM_COLOURS,
    OTHER_COLOURS,
    TEXT_SIZE,
    draw_footer,
    draw_legend,
    hour_text,
    tidy,
)

SHARE_COLOURS = {
    "expectancy": ARM_COLOURS["midazolam"],
    "none of these": "0.6",
    "all others together": OTHER_COLOURS[0],
}
"""Colours of bars that stand for no mechanism of the drug."""

ROOM = 1.3
"""Length of the axis in longest lines: behind them stand the numbers."""


def plot_shares(found: xr.Dataset, figure: Figure | None = None) -> Figure:
    """Draw the mean share of each mechanism, and how far the shares of patients spread.

    Args:
        found: Shares of the fall of the score: ``share`` (mechanism, hour, patient), ``effect`` and
            ``rest`` (hour, patient), and, where there is one, ``joint_share`` (player, hour,
            patient).
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel an hour: bars are means and add to the fall in the title, thin lines
        the middle 90 % of patients. Below the rule the same fall is divided between two.
    """
    bars = [(str(name), found["share"].sel(mechanism=name)) for name in found["mechanism"].values]
    bars.append(("none of these", found["rest"]))
    own = len(bars)
    if "joint_share" in found:
        bars += [(str(n), found["joint_share"].sel(player=n)) for n in found["player"].values]
    places = -np.arange(len(bars), dtype=float)
    places[own:] -= 0.5
    hours = found["hour"].to_numpy()
    if figure is None:
        size = (1.8 + 4.2 * len(hours), 0.3 * len(bars) + 1.6)
        figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(hours), sharex=True, sharey=True, squeeze=False)[0]
    highest = 0.0
    for axes, hour in zip(grid, hours, strict=True):
        total = float(found["effect"].sel(hour=hour).mean())
        for place, (name, values) in zip(places, bars, strict=True):
            one = values.sel(hour=hour)
            low, high = one.quantile([0.05, 0.95]).to_numpy()
            mean = float(one.mean())
            highest = max(highest, high, mean)
            colour = SHARE_COLOURS.get(name, ARM_COLOURS["ketamine"])
            axes.barh(place, mean, height=0.7, color=colour, alpha=0.75)
            axes.plot([low, high], [place, place], color="0.2", linewidth=1.0)
            axes.text(
                0.995,
                place,
                f"{mean:.1f} ({100 * mean / total:.0f} %)",
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=TEXT_SIZE - 0.5,
            )
        if own < len(bars):
            axes.axhline(places[own] + 0.75, color="0.6", linewidth=0.8)
        axes.axvline(0.0, color="0.4", linewidth=0.8)
        title = f"{hour_text(float(hour))}: fall of {total:.1f} points"
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE + 1.5)
        axes.set_xlabel("share of the fall [points]", fontsize=TEXT_SIZE)
        tidy(axes)
    grid[0].set_xlim(right=ROOM * highest)
    names = [name.replace("_", " ") for name, _ in bars]
    names[own:] = [f"of two: {name}" for name in names[own:]]
    grid[0].set_yticks(places, names, fontsize=TEXT_SIZE)
    arm = str(found.attrs.get("arm", "without a name")).replace("_", " ")
    handles = [
        Patch(color=ARM_COLOURS["ketamine"], alpha=0.75, label="mean of patients"),
        Line2D([], [], color="0.2", linewidth=1.0, label="5-95 % of patients"),
    ]
    draw_legend(figure, handles, f"What each mechanism adds to the fall of the score, arm {arm}")
    draw_footer(figure, found)
    return figure
