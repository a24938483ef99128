"""Courses in time: the cascade from plasma to score, and the clinical response."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ketjax.analysis import bands, courses_of, summarise
from ketjax.errors import StoreError
from ketjax.figures.style import (
    TEXT_SIZE,
    arm_colours,
    arm_widths,
    draw_footer,
    draw_legend,
    draw_time_axis,
    label_time,
    time_positions,
)


@dataclass(frozen=True)
class Panel:
    """One panel of the cascade: a readout, its title, and the label of its axis without unit."""

    variable: str
    title: str
    label: str


CASCADE = (
    Panel("plasma_ketamine", "Ketamine in plasma", "concentration"),
    Panel("interneuron_block", "NMDA receptor block, interneurons", "blocked fraction"),
    Panel("interneuron_rate", "Interneuron firing: disinhibition", "firing rate"),
    Panel("glutamate", "Glutamate surge", "extracellular level"),
    Panel("bdnf", "BDNF release", "released level"),
    Panel("mtorc1", "mTORC1 activity", "activity"),
    Panel("synapse_density", "Synapse density", "density"),
    Panel("madrs", "Depression score", "MADRS"),
)
"""The panels in the order of the biology: down the left column, then down the right one."""

DASHES = (0, (4, 2))
SHOWN_REGION = "prefrontal"
COMPARED_REGION = "hippocampus"
MOST_BANDS = 3
"""Arms whose bands can be told apart in one panel."""

BAR_WIDTH = 0.022
"""Width of the place of one arm's bar beside a panel, in widths of the panel."""


def plot_cascade(
    dataset: xr.Dataset,
    figure: Figure | None = None,
    *,
    weighted: bool = False,
    columns: int = 2,
    drawn: xr.Dataset | None = None,
) -> Figure:
    """Draw the mechanism on one logarithmic time axis, from the drug to the score.

    Each arm has its median and the middle 90 % of patients (`draw_bands`). Readouts with regions
    show the prefrontal cortex.

    Args:
        dataset: A store; readouts of the cascade that it lacks are left out.
        figure: An empty figure to draw on.
        weighted: Use the weights of the store.
        columns: Panels beside each other, at most.
        drawn: What `bands` says of the readouts, computed if None.

    Returns:
        The figure.

    Raises:
        StoreError: The store has no readout of the cascade.
    """
    known = courses_of(dataset)
    panels = [panel for panel in CASCADE if panel.variable in known]
    if not panels:
        raise StoreError(
            "the store has no readout of the cascade; the figure needs one of "
            + ", ".join(panel.variable for panel in CASCADE)
        )
    rows = -(-len(panels) // columns)
    columns = -(-len(panels) // rows)
    if figure is None:
        figure = Figure(figsize=(5.2 * columns, 2.15 * rows + 0.9), layout="constrained")
    if drawn is None:
        drawn = bands(dataset, *(panel.variable for panel in panels), weighted=weighted)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    places = grid.T.ravel()
    for number, (panel, axes) in enumerate(zip(panels, places, strict=False), start=1):
        draw_bands(axes, drawn[panel.variable])
        axes.set_title(f"{number}  {panel.title}", loc="left", fontsize=TEXT_SIZE + 1.5)
        unit = known[panel.variable].units or "unit unknown"
        axes.set_ylabel(f"{panel.label} [{unit}]", fontsize=TEXT_SIZE)
        draw_time_axis(axes, float(dataset["time"][-1]))
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    label_time(grid)
    regional = any(known[panel.variable].regional for panel in panels)
    _draw_legend(figure, dataset, regional)
    draw_footer(figure, dataset, weighted=weighted)
    return figure


def plot_response(
    dataset: xr.Dataset,
    figure: Figure | None = None,
    *,
    title: str = "",
    weighted: bool = False,
    columns: int = 3,
    linear: bool = False,
    summary: xr.Dataset | None = None,
) -> Figure:
    """Draw response, remission and mean change of the rated score over time.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        figure: An empty figure to draw on.
        title: What the figure shows.
        weighted: Use the weights of the store.
        columns: 3 for panels beside each other, 1 for panels below each other.
        linear: Whether the time axis is linear, for courses over weeks.
        summary: What `summarise` says of the score at all times, computed if None.

    Returns:
        The figure: proportions with 95 % Wilson intervals, the mean change within one standard
        deviation of the patients.
    """
    if summary is None:
        summary = summarise(dataset, dataset["time"].to_numpy().tolist(), weighted=weighted)
    summary = summary.rename(hour="time")
    if figure is None:
        figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    response, remission, change = figure.subplots(3 // columns, columns, squeeze=False).ravel()
    mean, deviation = summary["madrs_change"], summary["madrs_change_sd"]
    around = (mean - deviation, mean, mean + deviation)
    panels = (
        (response, _interval(summary, "response"), "Response: score halved", "patients [%]"),
        (remission, _interval(summary, "remission"), "Remission: score 10 or less", "patients [%]"),
        (change, around, "Mean change ± SD", "MADRS [points]"),
    )
    for axes, interval, heading, label in panels:
        draw_bands(axes, xr.concat(interval, "quantile"))
        axes.set_title(heading, loc="left", fontsize=TEXT_SIZE + 1.5)
        axes.set_ylabel(label, fontsize=TEXT_SIZE)
        axes.set_xlabel("time from the start", fontsize=TEXT_SIZE)
        draw_time_axis(axes, float(summary["time"][-1]), linear=linear)
    for axes in (response, remission):
        axes.set_ylim(bottom=0.0)
    change.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    handles = arm_handles(dataset)
    handles += spread_handle(dataset, "shares: 95 % interval; change: SD")
    draw_legend(figure, handles, title)
    draw_footer(figure, dataset, weighted=weighted)
    return figure


def draw_bands(axes: Axes, band: xr.DataArray) -> None:
    """Draw all arms of one readout on a panel: medians, and how far patients spread about them.

    A few arms have a band each and a dashed median of the hippocampus. Bands of many arms would
    hide each other: their spread is drawn beside the panel, as bars at the time at which the
    medians lie furthest apart, marked by a dotted line.

    Args:
        axes: The panel.
        band: The readout as `bands` gives it, with dims arm, time and quantile.
    """
    places = time_positions(band["time"].to_numpy())
    colours = arm_colours(band["arm"].values)
    shown, compared = band, None
    if "region" in band.dims:
        regions = [str(region) for region in band["region"].values]
        shown = band.sel(region=SHOWN_REGION if SHOWN_REGION in regions else regions[0])
        if COMPARED_REGION in regions and COMPARED_REGION != regions[0]:
            compared = band.sel(region=COMPARED_REGION).isel(quantile=1)
    few = len(colours) <= MOST_BANDS
    for arm, width in arm_widths(colours).items():
        colour = colours[arm]
        low, median, high = (shown.sel(arm=arm).isel(quantile=index) for index in range(3))
        if few and compared is not None:
            axes.plot(places, compared.sel(arm=arm), color=colour, linewidth=1.0, linestyle=DASHES)
        if few:
            axes.fill_between(places, low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
        axes.plot(places, median, color=colour, linewidth=width)
    if not few:
        _draw_bars(axes, shown, places, colours)


def _draw_bars(axes: Axes, band: xr.DataArray, places: np.ndarray, colours: dict[str, str]) -> None:
    """Beside the panel the spread of each arm at one time."""
    median = band.isel(quantile=1)
    index = int((median.max("arm") - median.min("arm")).argmax("time"))
    low, middle, high = (band.isel(time=index, quantile=k).to_numpy() for k in range(3))
    if np.array_equal(low, high):
        return  # the typical patient alone
    axes.axvline(places[index], color="0.5", linewidth=0.9, linestyle=":", zorder=0)
    strip = axes.inset_axes((1.01, 0.0, BAR_WIDTH * len(colours), 1.0), sharey=axes)
    where = np.arange(len(colours))
    strip.vlines(where, low, high, colors=list(colours.values()), linewidth=2.4, alpha=0.45)
    strip.scatter(where, middle, s=9, c=list(colours.values()), zorder=3)
    strip.set_xlim(-0.8, len(colours) - 0.2)
    strip.set_axis_off()


def _interval(summary: xr.Dataset, name: str) -> tuple[xr.DataArray, ...]:
    return summary[f"{name}_low"], summary[name], summary[f"{name}_high"]


def arm_handles(dataset: xr.Dataset) -> list[Artist]:
    """Entries of a legend for the arms."""
    return [
        Line2D([], [], color=colour, linewidth=2.0, label=arm.replace("_", " "))
        for arm, colour in arm_colours(dataset["arm"].values).items()
    ]


def spread_handle(dataset: xr.Dataset, meaning: str) -> list[Artist]:
    """Entry of a legend for how far patients spread about the medians, if there are several."""
    if dataset.sizes["patient"] == 1:
        return []
    if dataset.sizes["arm"] <= MOST_BANDS:
        return [Patch(color="0.85", label=meaning)]
    label = f"bars: {meaning}, at the dotted line"
    return [Line2D([], [], color="0.6", linewidth=2.4, marker="o", markersize=3, label=label)]


def regional_handle(dataset: xr.Dataset) -> list[Artist]:
    """Entry of a legend for the dashed lines of regional readouts, where `draw_bands` has them."""
    if dataset.sizes["arm"] > MOST_BANDS:
        return []
    return [Line2D([], [], color="0.4", linewidth=1.0, linestyle=DASHES, label="hippocampus")]


def _draw_legend(figure: Figure, dataset: xr.Dataset, regional: bool) -> None:
    handles = arm_handles(dataset)
    solid = "median, prefrontal cortex" if regional else "median"
    handles.append(Line2D([], [], color="0.4", linewidth=1.9, label=solid))
    if regional:
        handles += regional_handle(dataset)
    handles += spread_handle(dataset, "5-95 % of patients")
    draw_legend(figure, handles)
