"""Dose and exposure against what they do: the score where there is one, else the mechanism."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ketjax.analysis.exposures import ExposureGroups
from ketjax.errors import StoreError
from ketjax.figures.courses import SHOWN_REGION
from ketjax.figures.style import (
    TEXT_SIZE,
    arm_colours,
    draw_footer,
    draw_legend,
    hour_text,
    tidy,
)

SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Colours of hours."""

OUTCOMES = (
    ("madrs_change", "Mean change of the score", "MADRS [points]"),
    ("response", "Response: score halved", "patients [%]"),
)


def plot_dose_response(
    summary: xr.Dataset,
    doses: Mapping[str, float],
    label: str,
    dataset: xr.Dataset,
    figure: Figure | None = None,
    *,
    columns: int = 2,
) -> Figure:
    """Draw mean change and response over dose, a line an hour.

    Args:
        summary: What `summarise` returned.
        doses: Dose of each arm that belongs to the series.
        label: Drug and unit, for the axis.
        dataset: The store, for the footer.
        figure: An empty figure to draw on.
        columns: Panels beside each other.

    Returns:
        The figure: bars are 95 % intervals of the mean, and Wilson intervals of the share.
    """
    arms = sorted(doses, key=lambda arm: doses[arm])
    places = np.array([doses[arm] for arm in arms])
    if figure is None:
        figure = Figure(figsize=(3.7 * columns, 3.0 * 2 / columns + 0.6), layout="constrained")
    grid = figure.subplots(2 // columns, columns, squeeze=False).ravel()
    count = summary["n_effective" if "n_effective" in summary else "n_ok"]
    reach = 1.959963984540054 * summary["madrs_change_sd"] / np.sqrt(count)
    hours = summary["hour"].to_numpy()
    for axes, (name, heading, unit) in zip(grid, OUTCOMES, strict=True):
        for hour, colour in zip(hours, _colours(hours.size), strict=True):
            own = summary.sel(arm=arms, hour=hour)
            middle = own[name].to_numpy()
            if name == "madrs_change":
                ends = np.tile(reach.sel(arm=arms, hour=hour), (2, 1))
            else:
                ends = np.stack([middle - own[f"{name}_low"], own[f"{name}_high"] - middle])
            _draw_points(axes, places, middle, ends, colour)
        axes.set_title(heading, loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_ylabel(unit, fontsize=TEXT_SIZE)
        axes.set_xlabel(label, fontsize=TEXT_SIZE)
        tidy(axes)
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=hour_text(float(hour)))
        for hour, colour in zip(hours, _colours(hours.size), strict=True)
    ]
    draw_legend(figure, handles)
    draw_footer(figure, dataset, weighted="n_effective" in summary)
    return figure


def plot_dose_peaks(
    dataset: xr.Dataset,
    variables: Sequence[str],
    doses: Mapping[str, float],
    label: str,
    figure: Figure | None = None,
    *,
    columns: int = 2,
    departed: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Figure:
    """Draw how far readouts depart from where they start, over dose.

    Args:
        dataset: A store with the courses of the readouts.
        variables: Readouts; of regional ones the prefrontal cortex is drawn.
        doses: Dose of each arm that belongs to the series.
        label: Drug and unit, for the axis.
        figure: An empty figure to draw on.
        columns: Panels beside each other, at most.
        departed: What `departures` says of each readout, computed if None.

    Returns:
        The figure: median and middle 90 % of the patients' largest departures from the first
        output time, up or down.

    Raises:
        StoreError: The store keeps no such course.
    """
    if missing := [name for name in variables if name not in dataset]:
        raise StoreError(f"the store keeps no course of {', '.join(missing)}")
    arms = sorted(doses, key=lambda arm: doses[arm])
    places = np.array([doses[arm] for arm in arms])
    rows = -(-len(variables) // columns)
    if figure is None:
        figure = Figure(figsize=(3.7 * columns, 2.3 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, name in zip(grid.flat, variables, strict=False):
        found = departures(dataset, name, arms) if departed is None else departed[name]
        low, middle, high = np.array([found[arm] for arm in arms]).T
        _draw_points(axes, places, middle, np.stack([middle - low, high - middle]), SHADES[0])
        axes.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
        meaning = str(dataset[name].attrs.get("long_name", name)).partition(",")[0]
        heading = meaning.partition(" relative to ")[0]
        axes.set_title(heading, loc="left", fontsize=TEXT_SIZE + 1)
        unit = dataset[name].attrs.get("units", "")
        axes.set_ylabel(f"departure [{unit}]", fontsize=TEXT_SIZE)
        axes.set_xlabel(label, fontsize=TEXT_SIZE)
        tidy(axes)
    for axes in list(grid.flat)[len(variables) :]:
        axes.set_axis_off()
    draw_footer(figure, dataset)
    return figure


def departures(dataset: xr.Dataset, name: str, arms: Iterable[str]) -> dict[str, np.ndarray]:
    """Largest departures of a readout from its first output time, up or down.

    Args:
        dataset: A store.
        name: The readout; of a regional one the prefrontal cortex counts.
        arms: Which arms.

    Returns:
        By arm the 5th, 50th and 95th percentile of the patients.
    """
    course, found = dataset[name], {}
    if "region" in course.dims:
        course = course.sel(region=SHOWN_REGION)
    for arm in arms:
        moved = course.sel(arm=arm) - course.sel(arm=arm).isel(time=0, drop=True)
        low, high = (end("time", skipna=False) for end in (moved.min, moved.max))
        furthest = high.where(high >= -low, low).to_numpy()
        found[arm] = np.nanpercentile(furthest, [5, 50, 95])
    return found


def plot_exposure_response(
    found: ExposureGroups,
    dataset: xr.Dataset,
    hour: float,
    figure: Figure | None = None,
    *,
    columns: int = 2,
) -> Figure:
    """Draw mean change and response of groups of patients over their exposure, a line an arm.

    Args:
        found: What `by_exposure` returned.
        dataset: The store, for colours and footer.
        hour: When the score was read [h].
        figure: An empty figure to draw on.
        columns: Panels beside each other.

    Returns:
        The figure: points at the median exposure of a group, bars are 95 % intervals.
    """
    if figure is None:
        figure = Figure(figsize=(3.7 * columns, 3.0 * 2 / columns + 0.6), layout="constrained")
    grid = figure.subplots(2 // columns, columns, squeeze=False).ravel()
    colours = arm_colours(dataset["arm"].values)
    arms = [str(arm) for arm in found.groups["arm"].values]
    panels = (
        ("change", "Mean change of the score", "MADRS [points]"),
        ("response", "Response: score halved", "patients [%]"),
    )
    for axes, (name, heading, unit) in zip(grid, panels, strict=True):
        for arm in arms:
            own = found.groups.sel(arm=arm)
            middle = own[name].to_numpy()
            ends = np.stack([middle - own[f"{name}_low"], own[f"{name}_high"] - middle])
            _draw_points(axes, own["exposure"].to_numpy(), middle, ends, colours[arm])
        axes.set_title(f"{heading}, {hour_text(hour)}", loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_ylabel(unit, fontsize=TEXT_SIZE)
        axes.set_xlabel(f"{found.measure}\n[{found.unit}]", fontsize=TEXT_SIZE)
        axes.set_xlim(left=0.0)
        tidy(axes)
    handles = [
        Line2D([], [], color=colours[arm], marker="o", markersize=4, label=arm.replace("_", " "))
        for arm in arms
    ]
    draw_legend(figure, handles)
    draw_footer(figure, dataset)
    return figure


def _draw_points(
    axes: Axes, places: np.ndarray, middle: np.ndarray, ends: np.ndarray, colour: str
) -> None:
    """Points with intervals, joined by a thin line that promises nothing between them."""
    axes.errorbar(
        places,
        middle,
        yerr=np.maximum(ends, 0.0),
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.0,
        capsize=2,
        elinewidth=1.0,
    )


def _colours(count: int) -> tuple[str, ...]:
    return tuple(SHADES[k % len(SHADES)] for k in range(count))
