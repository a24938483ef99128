"""Which parameters act together: indices of second order as a matrix of the strongest pairs."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ketjax.figures.sensitivity import BLUE, HOUR_WIDTH, NAMES_WIDTH, RED, UNSAID
from ketjax.figures.style import TEXT_SIZE, draw_legend, draw_origin, hour_text, is_narrow

MOST = 8
"""Parameters of a matrix."""

CELL, LEAST_CELL = 0.3, 0.17
"""Widths of a cell, at most and at least, so that its number can be read [inch]."""

LEAST_SCALE = 0.05
"""Least index at which colours end, so that small ones stay pale [1]."""

LEAST = 0.005
"""Least index that is shown: smaller ones are zero to two decimals [1]."""

COLOURS = LinearSegmentedColormap.from_list("pairs", [RED, "white", BLUE])


def plot_pairs(
    found: xr.Dataset,
    hours: Sequence[float],
    *,
    reach: float = 1.96,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw the interactions of the parameters that are in the strongest pairs.

    Args:
        found: `value` over (output, pair, parameter, other, time) with the index "second" and its
            standard error "second_error", NaN below the diagonal, and `reason` over (output,
            time).
        hours: When; one column each [h].
        reach: Half-width of an interval in standard errors.
        title: What the figure shows.
        figure: An empty figure to draw on; its height is set.

    Returns:
        The figure, one row an output and one matrix an hour, the parameters numbered: blue adds to
        the variance, red is less than nothing and so an error of the estimate; bold where the
        interval leaves out zero.
    """
    rows, columns = found.sizes["output"], len(hours)
    if figure is None:
        width = NAMES_WIDTH + HOUR_WIDTH * max(columns, 2)
        figure = Figure(figsize=(width, 1.0), layout="constrained")
    shown = found["value"].sel(time=list(hours))
    widest = figure.get_size_inches()[0] / columns - 0.35
    most = max(3, min(MOST, int(widest / LEAST_CELL) + 1))
    orders = [
        _strongest(shown.sel(output=output, pair="second"), most)
        for output in found["output"].values
    ]
    heights = [min(widest, CELL * max(len(order) - 1, 2)) for order in orders]
    names_height = sum(0.15 * (len(order) + 2) + 0.35 for order in orders)
    figure.set_figheight(1.1 + sum(heights) + names_height)
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    scale = max(float(abs(shown.sel(pair="second")).max().fillna(0.0)), LEAST_SCALE)
    for row, output, order in zip(grid, found["output"].values, orders, strict=True):
        names = [f"{n + 1}  {found['parameter'].values[p]}" for n, p in enumerate(order)]
        heading = "\n".join([str(output).replace("_", " "), *names, ""])
        for axes, hour in zip(row, hours, strict=True):
            text = hour_text(float(hour))
            text = heading + text if axes is row[0] else text
            axes.set_title(text, loc="left", fontsize=TEXT_SIZE)
            _frame(axes, len(order))
            one = shown.sel(output=output, time=hour).isel(parameter=order, other=order)
            second, error = (_whole(one.sel(pair=p)) for p in ("second", "second_error"))
            text = UNSAID.get(int(found["reason"].sel(output=output, time=hour)), "")
            if not text and not (np.abs(second) >= LEAST).any():
                text = f"no pair\nreaches\n{LEAST:g}"
            if text:
                _say(axes, text, is_narrow(figure))
            else:
                _draw_matrix(axes, second, reach * error, scale)
    confidence = 100 * float(found.attrs.get("confidence", 0.95))
    handles: list[Artist] = [
        Patch(color=BLUE, label="share that two parameters make together"),
        Patch(color=RED, label="below zero: error of the estimate"),
        Patch(color="none", label=f"bold: {confidence:g} % interval leaves out zero"),
    ]
    draw_legend(figure, handles, title)
    draw_origin(figure, str(found.attrs.get("origin", "")))
    return figure


def _draw_matrix(axes: Axes, second: np.ndarray, width: np.ndarray, scale: float) -> None:
    """Colours and numbers of the pairs below the diagonal."""
    edges = np.arange(len(second) + 1) - 0.5
    below = np.where(np.tri(len(second), k=-1), second, np.nan)
    axes.pcolormesh(
        edges, edges, below, cmap=COLOURS, vmin=-scale, vmax=scale, edgecolors="0.85", linewidth=0.4
    )
    for i, j in zip(*np.nonzero(np.abs(below) >= LEAST), strict=True):
        clear = abs(second[i, j]) > width[i, j]
        dark = abs(second[i, j]) > 0.55 * scale
        axes.text(
            j, i, _short(float(second[i, j])), ha="center", va="center", fontsize=TEXT_SIZE - 3,
            color="white" if dark else "black", fontweight="bold" if clear else "normal",
        )  # fmt: skip


def _frame(axes: Axes, count: int) -> None:
    """Numbers of the parameters on both sides; none is its own partner."""
    last = max(count, 3) - 1
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(last), map(str, range(1, last + 1)))
    axes.set_yticks(range(1, last + 1), map(str, range(2, last + 2)))
    axes.set_xlim(-0.5, last - 0.5)
    axes.set_ylim(last + 0.5, 0.5)
    axes.set_aspect("equal", anchor="NW")
    axes.tick_params(length=0, labelsize=TEXT_SIZE - 2)


def _say(axes: Axes, text: str, narrow: bool) -> None:
    """Say instead of a matrix why there is none."""
    axes.tick_params(labelbottom=False, labelleft=False)
    text = text.partition(":")[0] if narrow else text.replace(": ", ":\n")
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center",
        fontsize=TEXT_SIZE - 1.5, color="0.4",
    )  # fmt: skip


def _strongest(second: xr.DataArray, most: int) -> list[int]:
    """Places of the parameters of the strongest pairs at any hour, the strongest pair first."""
    size = abs(second).max("time").fillna(-1.0).transpose("parameter", "other").to_numpy()
    chosen: list[int] = []
    for place in np.argsort(-size, axis=None, kind="stable"):
        i, j = np.unravel_index(place, size.shape)
        new = [int(k) for k in (i, j) if k not in chosen]
        if size[i, j] < LEAST or len(chosen) + len(new) > most:
            break
        chosen += new
    return chosen


def _whole(upper: xr.DataArray) -> np.ndarray:
    """A matrix of which only one triangle is known, both triangles filled."""
    known = upper.transpose("parameter", "other").to_numpy()
    return np.where(np.isfinite(known), known, known.T)


def _short(value: float) -> str:
    """Two decimals without the zero before them."""
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", "\u2212")
