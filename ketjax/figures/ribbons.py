"""Ribbons: how far patients spread about the median course, with single patients drawn through."""

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ketjax.analysis import bands
from ketjax.dataset.schema import OK
from ketjax.figures.courses import SHOWN_REGION
from ketjax.figures.style import (
    TEXT_SIZE,
    arm_colours,
    draw_footer,
    draw_legend,
    draw_time_axis,
    label_time,
    time_positions,
)

SINGLES = 30
"""Patients drawn one by one: enough to see the shapes, few enough to follow a line."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def plot_ribbons(
    dataset: xr.Dataset,
    variable: str = "madrs",
    figure: Figure | None = None,
    *,
    weighted: bool = False,
    columns: int = 3,
    linear: bool = False,
    drawn: xr.Dataset | None = None,
    singles: xr.DataArray | None = None,
) -> Figure:
    """Draw one readout over time, a panel an arm: median, middle 50 and 90 %, single patients.

    Args:
        dataset: A store with the course of the readout.
        variable: The readout; of a regional one the prefrontal cortex is drawn.
        figure: An empty figure to draw on.
        weighted: Use the weights of the store for the bands; single patients are those drawn
            first, whatever their weight.
        columns: Panels beside each other, at most.
        linear: Whether the time axis is linear, for courses over weeks.
        drawn: What `bands` says of readouts with `QUANTILES`, computed if it lacks this one.
        singles: What `first_patients` says of it, computed if None.

    Returns:
        The figure. The single patients are the first ones of the store, the same in every panel;
        a store that keeps summaries alone has none.

    Raises:
        StoreError: The store keeps no such course.
    """
    if drawn is None or variable not in drawn:
        drawn = bands(dataset, variable, quantiles=QUANTILES, weighted=weighted)
    band = drawn[variable]
    course = first_patients(dataset, variable) if singles is None else singles
    if "region" in band.dims:
        regions = [str(region) for region in band["region"].values]
        region = SHOWN_REGION if SHOWN_REGION in regions else regions[0]
        band = band.sel(region=region)
        course = course if course is None else course.sel(region=region)
    colours = arm_colours(dataset["arm"].values)
    columns = min(columns, len(colours))
    rows = -(-len(colours) // columns)
    if figure is None:
        figure = Figure(figsize=(2.9 * columns + 0.6, 2.7 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    places = time_positions(dataset["time"].to_numpy())
    unit = band.attrs.get("units", "")
    for axes, (arm, colour) in zip(grid.flat, colours.items(), strict=False):
        own = band.sel(arm=arm).transpose("quantile", "time").to_numpy()
        for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.25)):
            axes.fill_between(places, own[low], own[high], color=colour, alpha=alpha, linewidth=0)
        if course is not None:
            lines = course.sel(arm=arm).transpose("time", "patient").to_numpy()
            axes.plot(places, lines, color="0.25", linewidth=0.5, alpha=0.45)
        axes.plot(places, own[2], color=colour, linewidth=2.2)
        axes.set_title(arm.replace("_", " "), loc="left", fontsize=TEXT_SIZE + 1)
        draw_time_axis(axes, float(dataset["time"][-1]), linear=linear)
    for axes in list(grid.flat)[len(colours) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{variable.upper()} [{unit}]", fontsize=TEXT_SIZE)
    label_time(grid)
    handles = [
        Line2D([], [], color="0.3", linewidth=2.2, label="median"),
        Patch(color="0.65", label="25-75 % of patients"),
        Patch(color="0.85", label="5-95 %"),
    ]
    if course is not None:
        shown = int(course.notnull().any(("arm", "time")).sum())
        label = f"{shown} single patients"
        handles.append(Line2D([], [], color="0.25", linewidth=0.6, label=label))
    draw_legend(figure, handles)
    draw_footer(figure, dataset, weighted=weighted)
    return figure


def first_patients(dataset: xr.Dataset, variable: str) -> xr.DataArray | None:
    """Courses of the first patients, NaN where one failed; None if the store keeps no courses."""
    if variable not in dataset:
        return None
    first = dataset[[variable, "status"]].isel(patient=slice(SINGLES)).compute()
    return first[variable].where(first["status"] == OK)
