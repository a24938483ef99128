"""What outputs hang on: first-order indices over time, bars with intervals, tornado.

All fit a page and a telephone: they take the width of the figure and set its height.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from ketjax.figures.style import (
    ARM_COLOURS,
    FAINTEST_COLOUR,
    OTHER_COLOURS,
    TEXT_SIZE,
    draw_legend,
    draw_origin,
    draw_time_axis,
    hour_text,
    is_narrow,
    label_time,
    tidy,
    time_positions,
)

BLUE, RED = ARM_COLOURS["midazolam"], ARM_COLOURS["ketamine"]
LIGHT_BLUE = "#56B4E9"
COLOURS = (BLUE, RED, *OTHER_COLOURS, FAINTEST_COLOUR)
HATCHES = ("", "////", "....")
"""With the colours: as many parameters can be told apart."""

BANDS = 8  # parameters of a panel that are drawn apart
LEAST_SHARE = 0.01  # of the variance, which a parameter must make up somewhere to be one of them
LEAST = 0.005  # of the longest bar, which a bar must have to be seen
INDEX_NAMES = {
    "first": "first order: alone",
    "total": "total: with all that it does together with others",
    "mu_star": "mu*: mean size of the effect",
    "prcc": "partial rank correlation",
    "bound": "bound: the total index is no more",
}
UNSAID = {1: "constant: nothing varies", 2: "left open: too many rows failed"}
"""Why there are no indices, by the reason that a store gives (`sensitivity.sobol.REASONS`)."""

NAMES_WIDTH, HOUR_WIDTH = 2.9, 2.2
"""Widths of the names and of a panel where nothing sets that of the figure [inch]."""


def plot_areas(found: xr.Dataset, title: str = "", figure: Figure | None = None) -> Figure:
    """Draw how the variance of outputs is shared out over time.

    Args:
        found: `value` over (output, index, parameter, time), the index "first" among them, and
            `reason` over (output, time).
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel an output: the parameters that matter most there, all others, and
        what parameters do only together. White where the output is constant or too many rows
        failed; estimates that add to more than one are drawn as shares of their sum.
    """
    first = found["value"].sel(index="first")
    outputs = [str(name) for name in found["output"].values]
    if figure is None:
        figure = Figure(figsize=(9.5, 1.0), layout="constrained")
    orders = [_most(first.sel(output=output).to_numpy()) for output in outputs]
    if is_narrow(figure):  # each panel has its legend below it
        heights = [h for order in orders for h in (1.9, 0.2 + 0.14 * (len(order) + 2))]
        figure.set_figheight(0.5 + sum(heights))
        grid = figure.subplots(2 * len(outputs), 1, height_ratios=heights).reshape(-1, 2)
    else:
        figure.set_figheight(0.9 + 2.2 * len(outputs))
        grid = figure.subplots(len(outputs), 2, squeeze=False, width_ratios=(1.0, 0.62))
    looks = _looks(first)
    hours = found["time"].to_numpy()
    for (axes, side), output, order in zip(grid, outputs, orders, strict=True):
        shares = first.sel(output=output).to_numpy()
        known = np.isfinite(shares).all(axis=0)
        bands = np.maximum(shares[order], 0.0)
        others = np.maximum(np.delete(shares, order, axis=0).sum(axis=0), 0.0)
        most = np.maximum(bands.sum(axis=0) + others, 1.0)
        bands, others = bands / most, others / most
        together = np.maximum(1.0 - bands.sum(axis=0) - others, 0.0)
        names = [str(found["parameter"].values[k]) for k in order]
        handles = []
        base = np.zeros(hours.size)
        for name, band in zip(
            (*names, "all other parameters", "interactions"),
            (*bands, others, together),
            strict=True,
        ):
            look = looks.get(name, {"facecolor": "0.8" if name[0] == "a" else "0.45"})
            axes.fill_between(
                time_positions(hours), base, base + band, where=known, edgecolor="white",
                linewidth=0.4, **look,
            )  # fmt: skip
            base = base + band
            if (band[known] > 0).any():
                handles.append(Patch(edgecolor="white", label=name, **look))
        draw_time_axis(axes, float(hours[-1]))
        axes.set_ylim(0, 1)
        axes.set_title(output.replace("_", " "), loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_ylabel("share of variance", fontsize=TEXT_SIZE)
        axes.tick_params(labelbottom=is_narrow(figure))
        side.axis("off")
        side.legend(
            handles=handles[::-1],
            loc="upper left" if is_narrow(figure) else "center left",
            frameon=False,
            fontsize=TEXT_SIZE - 1.5,
            borderaxespad=0,
        )
    label_time(grid[:, :1])
    reasons = [UNSAID[k].partition(":")[0] for k in UNSAID if (found["reason"] == k).any()]
    if title and reasons:
        title += f" (white: {' or '.join(reasons)})"
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=TEXT_SIZE + 3)
    draw_origin(figure, str(found.attrs.get("origin", "")))
    return figure


def plot_bars(
    found: xr.Dataset,
    hours: Sequence[float],
    indices: Sequence[tuple[str, str]],
    *,
    top: int = 8,
    reach: float = 1.96,
    title: str = "",
    limit: float = np.inf,
    figure: Figure | None = None,
) -> Figure:
    """Draw indices of the most important parameters with their intervals.

    Args:
        found: `value` over (output, index, parameter, time) and `reason` over (output, time).
        hours: When; one column each [h].
        indices: Names of indices and of their standard errors, or "" where "low" and "high" are
            the ends; the last one ranks.
        top: Parameters of a row of panels: those that are largest at some hour.
        reach: Half-width of an interval in standard errors.
        title: What the figure shows.
        limit: Where the axis ends at most, and at a quarter of it below zero, so that one wide
            interval hides no other bar; a longer bar is cut off and says its number.
        figure: An empty figure to draw on.

    Returns:
        The figure, one row an output and one panel an hour.
    """
    sizes = abs(found["value"].sel(index=indices[-1][0], time=list(hours)))
    orders = [_largest(sizes.sel(output=output), top) for output in found["output"].values]
    figure, grid = _panels(found, hours, [order.size for order in orders], figure)
    colours = (LIGHT_BLUE, BLUE) if len(indices) > 1 else (BLUE,)
    names = found["parameter"].values
    height = 0.8 / len(indices) / (1 + is_narrow(figure))
    ends = []
    for row, output, order in zip(grid, found["output"].values, orders, strict=True):
        own = found.sel(output=output, time=list(hours))
        for axes, hour in zip(row, hours, strict=True):
            one = own["value"].sel(time=hour).isel(parameter=order)
            if reason := int(own["reason"].sel(time=hour)):
                _say(axes, UNSAID[reason], is_narrow(figure))
                continue
            for k, (index, error) in enumerate(indices):
                at = -np.arange(order.size) + height * ((len(indices) - 1) / 2 - k)
                mean = one.sel(index=index).to_numpy()
                axes.barh(at, mean, height=height, color=colours[k])
                if error:
                    width = reach * one.sel(index=error).to_numpy()
                    low, high = mean - width, mean + width
                else:
                    low, high = (one.sel(index=end).to_numpy() for end in ("low", "high"))
                axes.hlines(at, low, high, color="0.15", linewidth=0.9)
                for place, number in zip(at, mean, strict=True):
                    if number > limit:
                        axes.text(
                            0.97 * limit, place, f"{number:.3g}", ha="right", va="center",
                            fontsize=TEXT_SIZE - 3, color="white",
                        )  # fmt: skip
            axes.axvline(0.0, color="0.4", linewidth=0.8)
            ends.append(axes.get_xlim())
        _name_rows(row, [str(names[k]) for k in order])
    if "mu_star" not in found["index"] and ends:  # of the others all panels mean the same
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        for axes in grid.flat:
            axes.set_xlim(max(low, -limit / 4), min(high, limit))
    handles: list[Artist] = [
        Patch(color=colours[k], label=INDEX_NAMES.get(index, index))
        for k, (index, _) in enumerate(indices)
    ]
    confidence = 100 * float(found.attrs.get("confidence", 0.95))
    label = f"{confidence:g} % interval"
    handles.append(Line2D([], [], color="0.15", linewidth=0.9, label=label))
    draw_legend(figure, handles, title)
    draw_origin(figure, str(found.attrs.get("origin", "")))
    return figure


def plot_tornado(
    found: xr.Dataset,
    hours: Sequence[float],
    *,
    top: int = 8,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw how far outputs move when one parameter goes to either end of its law.

    Args:
        found: `value` over (output, index, parameter, time), the indices "low" and "high", and
            `middle` over (output, time); attribute `units`, one an output.
        hours: When; one column each [h].
        top: Parameters of a row of panels: those that move most at some hour.
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure, one row an output and one panel an hour.
    """
    moved = (found["value"] - found["middle"]).sel(time=list(hours))
    sizes = abs(moved).max("index")
    orders = [_largest(sizes.sel(output=output), top) for output in found["output"].values]
    figure, grid = _panels(found, hours, [order.size for order in orders], figure)
    names = found["parameter"].values
    units = dict(zip(found["output"].values, found.attrs["units"], strict=True))
    height = 0.7 / (1 + is_narrow(figure))
    for row, output, order in zip(grid, found["output"].values, orders, strict=True):
        for axes, hour in zip(row, hours, strict=True):
            one, longest = moved.sel(output=output, time=hour), sizes.sel(output=output, time=hour)
            if not longest.max() > 0:
                failed = not np.isfinite(one).any()
                text = "left open: rows failed" if failed else UNSAID[1]
                _say(axes, text, is_narrow(figure))
                continue
            places, scale = -np.arange(order.size), _scale(float(longest.max()))
            for end, colour in (("low", BLUE), ("high", RED)):
                width = one.sel(index=end).isel(parameter=order) / scale
                axes.barh(places, width, height=height, color=colour, alpha=0.85)
            axes.axvline(0.0, color="0.2", linewidth=0.9)
            middle = float(found["middle"].sel(output=output, time=hour))
            unit = "" if units[output] == "1" else f" {units[output]}"
            label = ["change" if scale == 1 else f"change in {scale:.0e}"]
            label += ["from", f"{middle:.3g}{unit}"]
            if is_narrow(figure):
                axes.set_xlabel("\n".join(label), fontsize=TEXT_SIZE - 2.5)
            else:
                axes.set_xlabel("\nfrom ".join(label[::2]), fontsize=TEXT_SIZE - 1.5)
        _name_rows(row, [str(names[k]) for k in order])
    handles = [
        Patch(color=BLUE, alpha=0.85, label="parameter low: 2.5 % of its law"),
        Patch(color=RED, alpha=0.85, label="parameter high: 97.5 %"),
    ]
    draw_legend(figure, handles, title)
    draw_origin(figure, str(found.attrs.get("origin", "")))
    return figure


def _panels(
    found: xr.Dataset, hours: Sequence[float], counts: Sequence[int], figure: Figure | None
) -> tuple[Figure, np.ndarray]:
    """A grid of titled panels, an output a row and an hour a column, as high as its bars need."""
    rows, columns = found.sizes["output"], len(hours)
    if figure is None:
        width = NAMES_WIDTH + HOUR_WIDTH * max(columns, 2)
        figure = Figure(figsize=(width, 1.0), layout="constrained")
    line = 0.32 if is_narrow(figure) else 0.19
    heights = [0.3 + line * max(3, count) for count in counts]
    figure.set_figheight(1.2 + 0.65 * rows + sum(heights))
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row", height_ratios=heights)
    for row, output in zip(grid, found["output"].values, strict=True):
        for k, (axes, hour) in enumerate(zip(row, hours, strict=True)):
            text = hour_text(float(hour))
            if k == 0:  # the output stands over the whole row
                text = f"{str(output).replace('_', ' ')}\n{text}"
            axes.set_title(text, loc="left", fontsize=TEXT_SIZE + 0.5)
            tidy(axes)
    return figure, grid


def _name_rows(row: np.ndarray, names: list[str]) -> None:
    """Name the bars of a row of panels: beside the first panel, or above them on a telephone."""
    first, last = row[0], row[-1]
    above = is_narrow(first.get_figure())
    for axes in row:
        axes.set_yticks(-np.arange(len(names)), [""] * len(names) if above else names)
        axes.tick_params(axis="y", labelsize=TEXT_SIZE - 2, length=0, labelleft=axes is first)
        axes.set_ylim(min(-len(names), -3) + 0.4, 0.9 if above else 0.6)
        axes.grid(False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(3 if above else 4))
        axes.ticklabel_format(axis="x", scilimits=(-2, 4))  # wide labels touch those beside them
        axes.xaxis.get_offset_text().set_fontsize(TEXT_SIZE - 1.5)
        axes.patch.set_visible(not above)
    if above:  # on the panel that is drawn last, so that nothing lies over the names
        left_of_first = blended_transform_factory(first.transAxes, last.transData)
        for k, name in enumerate(names):
            text = last.text(
                0.02, 0.24 - k, name, transform=left_of_first, fontsize=TEXT_SIZE - 2, va="bottom"
            )
            text.set_in_layout(False)  # it may be wider than a panel


def _largest(size: xr.DataArray, top: int) -> np.ndarray:
    """Places of the longest bars that can be seen at some hour, the longest first.

    Args:
        size: Lengths over (parameter, time), NaN where there is none.
        top: How many.
    """
    longest = size.max("parameter")
    share = (size / longest.where(longest > 0)).max("time").fillna(-1.0).to_numpy()
    order = np.argsort(-share, kind="stable")[:top]
    return order[share[order] > LEAST]


def _scale(size: float) -> float:
    """A power of a thousand in which so large a change is written, 1 if it needs none."""
    return 1.0 if 0.1 <= size < 1e4 else 10.0 ** (3 * np.floor(np.log10(size) / 3))


def _say(axes: Axes, text: str, narrow: bool) -> None:
    """Say instead of bars why there are none; below the panel where names stand in it."""
    axes.tick_params(bottom=False, labelbottom=False)
    axes.grid(False)
    if narrow:
        axes.set_xlabel(text.partition(":")[0], fontsize=TEXT_SIZE - 1.5, color="0.4")
        return
    axes.text(
        0.5, 0.5, text.replace(": ", ":\n"), transform=axes.transAxes, ha="center",
        va="center", fontsize=TEXT_SIZE - 1, color="0.4",
    )  # fmt: skip


def _most(shares: np.ndarray) -> list[int]:
    """Places of the parameters that matter most at some time or over time, (parameter, time)."""
    weight = np.nan_to_num(shares)
    order = np.argsort(-(weight.max(axis=1) + weight.mean(axis=1)))[:BANDS]
    return order[weight[order].max(axis=1) > LEAST_SHARE].tolist()


def _looks(first: xr.DataArray) -> dict[str, dict[str, Any]]:
    """Colour and hatch of each parameter that is drawn apart somewhere."""
    looks: dict[str, dict[str, Any]] = {}
    for output in first["output"].values:
        for k in _most(first.sel(output=output).to_numpy()):
            name, place = str(first["parameter"].values[k]), len(looks)
            hatch = HATCHES[place // len(COLOURS) % len(HATCHES)]
            looks.setdefault(name, {"facecolor": COLOURS[place % len(COLOURS)], "hatch": hatch})
    return looks
