"""Panels of a study: chosen readouts over time, and outcomes side by side by arm."""

import re
import textwrap
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ketjax.analysis import bands, summarise
from ketjax.figures.courses import arm_handles, draw_bands, regional_handle, spread_handle
from ketjax.figures.style import (
    TEXT_SIZE,
    draw_footer,
    draw_legend,
    draw_time_axis,
    hour_text,
    label_time,
    tidy,
)

COLUMNS = 3

LABEL_WIDTH = 28
"""Letters in a line of the label of an axis."""


def plot_panels(
    dataset: xr.Dataset,
    variables: Sequence[str],
    *,
    title: str = "",
    linear: bool = False,
    figure: Figure | None = None,
    columns: int = COLUMNS,
    drawn: xr.Dataset | None = None,
) -> Figure:
    """Draw readouts over time: the median of each arm and the middle 90 % of patients.

    Args:
        dataset: A store.
        variables: Readouts; of regional ones prefrontal cortex is drawn, with a few arms the
            hippocampus dashed.
        title: What the figure shows.
        linear: Whether the time axis is linear, for courses over weeks.
        figure: An empty figure to draw on.
        columns: Panels beside each other, at most.
        drawn: What `bands` says of the readouts, computed if None.

    Returns:
        The figure.

    Raises:
        StoreError: The store lacks a readout.
    """
    if drawn is None:
        drawn = bands(dataset, *variables)
    columns = min(2 if len(variables) == 4 else columns, len(variables), columns)
    rows = -(-len(variables) // columns)
    if figure is None:
        figure = Figure(figsize=(4.8 * columns, 2.7 * rows + 1.1), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, name in zip(grid.flat, variables, strict=False):
        draw_bands(axes, drawn[name])
        heading, label = _title_and_label(drawn[name])
        axes.set_title(heading, loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_ylabel(label, fontsize=TEXT_SIZE)
        draw_time_axis(axes, float(dataset["time"][-1]), linear=linear)
    for axes in list(grid.flat)[len(variables) :]:
        axes.set_axis_off()
    label_time(grid)
    regional = any("region" in drawn[name].dims for name in variables)
    handles = arm_handles(dataset)
    if regional:
        handles += regional_handle(dataset)
    handles += spread_handle(dataset, "5-95 % of patients")
    draw_legend(figure, handles, title)
    draw_footer(figure, dataset)
    return figure


def plot_outcomes(
    dataset: xr.Dataset, hours: Sequence[float], *, title: str = "", figure: Figure | None = None
) -> Figure:
    """Draw mean change, response and remission of the rated score, arm beside arm.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        hours: Times [h], each an output time of the store.
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure: the mean change with one standard deviation of the patients, proportions with
        95 % Wilson intervals.
    """
    summary = summarise(dataset, hours)
    arms = [str(arm) for arm in summary["arm"].values]
    if figure is None:
        figure = Figure(figsize=(13.5, 0.42 * len(arms) * len(hours) + 2.2), layout="constrained")
    panels = (
        ("madrs_change", "Change of the score, mean ± SD", "MADRS [points]"),
        ("response", "Response: score halved", "patients [%]"),
        ("remission", "Remission: score 10 or less", "patients [%]"),
    )
    grid = figure.subplots(1, 3, sharey=True)
    places = np.arange(len(arms))[::-1].astype(float)
    shades = np.linspace(1.0, 0.35, len(hours))
    height = 0.8 / len(hours)
    for axes, (name, heading, label) in zip(grid, panels, strict=True):
        for k, hour in enumerate(hours):
            one = summary.sel(hour=hour)
            values = one[name].to_numpy()
            if name == "madrs_change":
                spread = np.tile(one["madrs_change_sd"].to_numpy(), (2, 1))
            else:
                spread = np.abs(
                    np.stack([one[f"{name}_low"] - values, one[f"{name}_high"] - values])
                )
            axes.barh(
                places + height * ((len(hours) - 1) / 2 - k),
                values,
                height=0.9 * height,
                xerr=spread,
                color="#0072B2",
                alpha=shades[k],
                error_kw={"elinewidth": 0.8, "ecolor": "0.3"},
                label=hour_text(hour),
            )
        axes.set_title(heading, loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_xlabel(label, fontsize=TEXT_SIZE)
        tidy(axes)
    grid[0].set_yticks(places, [arm.replace("_", " ") for arm in arms], fontsize=TEXT_SIZE)
    grid[0].legend(fontsize=TEXT_SIZE - 1, frameon=False)
    if title:
        figure.suptitle(title, fontsize=TEXT_SIZE + 3, x=0.01, ha="left")
    draw_footer(figure, dataset)
    return figure


def _title_and_label(values: xr.DataArray) -> tuple[str, str]:
    """What a readout is, with a capital, and the rest of its meaning with the unit for the axis."""
    meaning = str(values.attrs.get("long_name", values.name))
    first, rest = (*re.split(r"(?=, | relative to )", meaning, maxsplit=1), "")[:2]
    unit = values.attrs.get("units", "unit unknown")
    heading = first if first[1:2].isupper() else first[:1].upper() + first[1:]
    label = rest.lstrip(" ,") + ("" if unit == "1" else f" [{unit}]")
    return heading, textwrap.fill(label.strip(), LABEL_WIDTH)
