"""Shares of an effect: what each mechanism adds to the fall of the score."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ketjax.figures.style import (
    ARM_COLOURS,
    OTHER_COLOURS,
    TEXT_SIZE,
    draw_footer,
    hour_text,
    tidy,
)

SHARE_COLOURS = {
    "expectancy": ARM_COLOURS["midazolam"],
    "none of these": "0.6",
    "all others together": OTHER_COLOURS[0],
}
"""Colours of bars that stand for no mechanism of the drug."""


def plot_shares(found: xr.Dataset, figure: Figure | None = None) -> Figure:
    """Draw the mean share of each mechanism, and how far the shares of patients spread.

    Args:
        found: Shares of the fall of the score: ``share`` (mechanism, hour, patient), ``effect`` and
            ``rest`` (hour, patient), and ``joint_share`` (player, hour, patient) where there is one.
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
    for axes, hour in zip(grid, hours, strict=True):
        for place, (name, values) in zip(places, bars, strict=True):
            one = values.sel(hour=hour)
            low, high = one.quantile([0.05, 0.95]).to_numpy()
            mean = float(one.mean())
            colour = SHARE_COLOURS.get(name, ARM_COLOURS["ketamine"])
            axes.barh(place, mean, height=0.7, color=colour, alpha=0.75)
            axes.plot([low, high], [place, place], color="0.2", linewidth=1.0)
            axes.annotate(
                f"{mean:.1f}",
                (max(high, mean), place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=TEXT_SIZE - 1,
            )
        if own < len(bars):
            axes.axhline(places[own] + 0.75, color="0.6", linewidth=0.8)
        axes.axvline(0.0, color="0.4", linewidth=0.8)
        total = float(found["effect"].sel(hour=hour).mean())
        title = f"{hour_text(float(hour))}: fall of {total:.1f} points"
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE + 1.5)
        axes.set_xlabel("share of the fall [points]", fontsize=TEXT_SIZE)
        tidy(axes)
        axes.margins(x=0.12)
    names = [name.replace("_", " ") for name, _ in bars]
    grid[0].set_yticks(places, names, fontsize=TEXT_SIZE)
    figure.suptitle(
        f"What each mechanism adds to the fall of the score, {_arm(found)}\n",
        fontsize=TEXT_SIZE + 3,
        x=0.01,
        ha="left",
    )
    draw_footer(figure, found)
    return figure


def _arm(found: xr.Dataset) -> str:
    return f"arm {str(found.attrs.get('arm', 'without a name')).replace('_', ' ')}"
