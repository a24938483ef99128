"""Courses in time: the cascade from plasma to score, and the clinical response."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ketjax.analysis import bands, summarise
from ketjax.errors import StoreError
from ketjax.figures.style import (
    TEXT_SIZE,
    arm_colours,
    arm_widths,
    draw_footer,
    draw_time_axis,
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


def plot_cascade(dataset: xr.Dataset, figure: Figure | None = None) -> Figure:
    """Draw the mechanism on one logarithmic time axis, from the drug to the score.

    Each arm has its median and the band of the middle 90 % of patients. Readouts with regions show
    the prefrontal cortex, and the median of the hippocampus as a dashed line.

    Args:
        dataset: A store; readouts of the cascade that it lacks are left out.
        figure: An empty figure to draw on.

    Returns:
        The figure.

    Raises:
        StoreError: The store has no readout of the cascade.
    """
    panels = [panel for panel in CASCADE if panel.variable in dataset]
    if not panels:
        raise StoreError(
            "the store has no readout of the cascade; the figure needs one of "
            + ", ".join(panel.variable for panel in CASCADE)
        )
    rows = -(-len(panels) // 2)
    columns = -(-len(panels) // rows)
    if figure is None:
        figure = Figure(figsize=(5.2 * columns, 2.15 * rows + 0.9), layout="constrained")
    drawn = bands(dataset, *(panel.variable for panel in panels))
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    places = grid.T.ravel()
    for number, (panel, axes) in enumerate(zip(panels, places, strict=False), start=1):
        draw_bands(axes, drawn[panel.variable])
        axes.set_title(f"{number}  {panel.title}", loc="left", fontsize=TEXT_SIZE + 1.5)
        unit = dataset[panel.variable].attrs.get("units", "unit unknown")
        axes.set_ylabel(f"{panel.label} [{unit}]", fontsize=TEXT_SIZE)
        draw_time_axis(axes, float(dataset["time"][-1]))
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("time from the first dose", fontsize=TEXT_SIZE)
    regional = any("region" in dataset[panel.variable].dims for panel in panels)
    _draw_legend(figure, dataset, regional)
    draw_footer(figure, dataset)
    return figure


def plot_response(dataset: xr.Dataset, figure: Figure | None = None) -> Figure:
    """Draw response, remission and mean change of the rated score over time.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        figure: An empty figure to draw on.

    Returns:
        The figure: proportions with 95 % Wilson intervals, the mean change within one standard
        deviation of the patients.
    """
    summary = summarise(dataset, dataset["time"].to_numpy().tolist())
    if figure is None:
        figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    response, remission, change = figure.subplots(1, 3)
    deviation = summary["madrs_change_sd"]
    panels = (
        (response, "response", "Response: score halved", "patients [%]", None),
        (remission, "remission", "Remission: score 10 or less", "patients [%]", None),
        (change, "madrs_change", "Change of the score, mean ± SD", "MADRS [points]", deviation),
    )
    places = time_positions(summary["hour"].to_numpy())
    colours = arm_colours(summary["arm"].values)
    for axes, name, title, label, spread in panels:
        for arm, width in arm_widths(colours).items():
            one = summary.sel(arm=arm)
            if spread is None:
                low, high = one[f"{name}_low"], one[f"{name}_high"]
            else:
                low, high = one[name] - spread.sel(arm=arm), one[name] + spread.sel(arm=arm)
            _draw_course(axes, places, one[name], low, high, colours[arm], width)
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE + 1.5)
        axes.set_ylabel(label, fontsize=TEXT_SIZE)
        axes.set_xlabel("time from the first dose", fontsize=TEXT_SIZE)
        draw_time_axis(axes, float(summary["hour"][-1]))
    for axes in (response, remission):
        axes.set_ylim(bottom=0.0)
    change.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, label=arm) for arm, colour in colours.items()
    ]
    handles.append(Patch(color="0.8", label="95 % interval (left, middle), SD (right)"))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=5, frameon=False, fontsize=TEXT_SIZE
    )
    draw_footer(figure, dataset)
    return figure


def draw_bands(axes: Axes, band: xr.DataArray) -> None:
    """Draw all arms of one readout, bands and medians, on a panel.

    Args:
        axes: The panel.
        band: The readout as `bands` gives it, with dims arm, time and quantile.
    """
    places = time_positions(band["time"].to_numpy())
    colours = arm_colours(band["arm"].values)
    for arm, width in arm_widths(colours).items():
        one = band.sel(arm=arm)
        if "region" in one.dims:
            regions = [str(region) for region in one["region"].values]
            if COMPARED_REGION in regions and COMPARED_REGION != regions[0]:
                median = one.sel(region=COMPARED_REGION).isel(quantile=1)
                axes.plot(places, median, color=colours[arm], linewidth=1.0, linestyle=DASHES)
            one = one.sel(region=SHOWN_REGION if SHOWN_REGION in regions else regions[0])
        low, median, high = (one.isel(quantile=index) for index in range(3))
        _draw_course(axes, places, median, low, high, colours[arm], width)


def _draw_course(
    axes: Axes,
    places: np.ndarray,
    middle: xr.DataArray,
    low: xr.DataArray,
    high: xr.DataArray,
    colour: str,
    width: float,
) -> None:
    axes.fill_between(places, low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
    axes.plot(places, middle, color=colour, linewidth=width)


def _draw_legend(figure: Figure, dataset: xr.Dataset, regional: bool) -> None:
    colours = arm_colours(dataset["arm"].values)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, linewidth=2.0, label=arm) for arm, colour in colours.items()
    ]
    solid = "median, prefrontal cortex" if regional else "median"
    handles.append(Line2D([], [], color="0.4", linewidth=1.9, label=solid))
    if regional:
        dashed = "median, hippocampus"
        handles.append(Line2D([], [], color="0.4", linewidth=1.0, linestyle=DASHES, label=dashed))
    handles.append(Patch(color="0.85", label="5-95 % of patients"))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=6, frameon=False, fontsize=TEXT_SIZE
    )
