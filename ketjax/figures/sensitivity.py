"""What outputs hang on: first-order indices over time, bars with intervals, tornado."""

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

from ketjax.figures.style import (
    ARM_COLOURS,
    FAINTEST_COLOUR,
    OTHER_COLOURS,
    TEXT_SIZE,
    draw_legend,
    draw_time_axis,
    hour_text,
    label_time,
    tidy,
    time_positions,
)

BLUE, RED = ARM_COLOURS["midazolam"], ARM_COLOURS["ketamine"]
COLOURS = (BLUE, RED, *OTHER_COLOURS, FAINTEST_COLOUR)
HATCHES = ("", "////", "....")
"""With the colours: as many parameters can be told apart."""

BANDS = 8  # parameters of a panel that are drawn apart
LEAST = 0.005  # of the longest bar, which a bar must have to be seen
INDEX_NAMES = {
    "first": "first order: alone",
    "total": "total: with all that it does together with others",
    "mu_star": "mu*: mean size of the effect",
    "prcc": "partial rank correlation",
}


def plot_areas(found: xr.Dataset, title: str = "", figure: Figure | None = None) -> Figure:
    """Draw how the variance of outputs is shared out over time.

    Args:
        found: `value` over (output, index, parameter, time), the index "first" among them.
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel an output: the parameters that matter most there, all others, and
        what parameters do only together. White where the output is constant; estimates that add to
        more than one are drawn as shares of their sum.
    """
    first = found["value"].sel(index="first")
    outputs = [str(name) for name in found["output"].values]
    if figure is None:
        figure = Figure(figsize=(9.5, 0.9 + 2.2 * len(outputs)), layout="constrained")
    grid = figure.subplots(
        len(outputs), 2, squeeze=False, width_ratios=(1.0, 0.62), gridspec_kw={"hspace": 0.06}
    )
    looks = _looks(first)
    hours = found["time"].to_numpy()
    for (axes, side), output in zip(grid, outputs, strict=True):
        shares = first.sel(output=output).to_numpy()
        known = np.isfinite(shares).all(axis=0)
        order = _most(shares)
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
            handles.append(Patch(edgecolor="white", label=name, **look))
        draw_time_axis(axes, float(hours[-1]))
        axes.set_ylim(0, 1)
        axes.set_title(output.replace("_", " "), loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_ylabel("share of variance", fontsize=TEXT_SIZE)
        axes.tick_params(labelbottom=False)
        side.axis("off")
        side.legend(
            handles=handles[::-1],
            loc="center left",
            frameon=False,
            fontsize=TEXT_SIZE - 1.5,
            borderaxespad=0,
        )
    label_time(grid[:, :1])
    if first.isnull().any():
        title += " (white: it does not vary)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=TEXT_SIZE + 3)
    _say_origin(figure, found)
    return figure


def plot_bars(
    found: xr.Dataset,
    hours: Sequence[float],
    indices: Sequence[tuple[str, str]],
    *,
    top: int = 8,
    reach: float = 1.96,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw indices of the most important parameters with their intervals.

    Args:
        found: `value` over (output, index, parameter, time) and `reason` over (output, time).
        hours: When; one column each [h].
        indices: Names of indices and of their standard errors, or "" where "low" and "high" are
            the ends; the last one ranks.
        top: Parameters of a panel.
        reach: Half-width of an interval in standard errors.
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel an output and hour.
    """
    figure, grid = _panels(found, hours, top, figure)
    colours = ("#56B4E9", BLUE) if len(indices) > 1 else (BLUE,)
    names = found["parameter"].values
    for axes, output, hour in _places(grid, found, hours):
        one = found["value"].sel(output=output, time=hour)
        if not np.isfinite(one.sel(index=indices[-1][0])).any():
            _say_constant(axes)
            continue
        order = _largest(np.abs(one.sel(index=indices[-1][0]).to_numpy()), top)
        height = 0.8 / len(indices)
        for k, (index, error) in enumerate(indices):
            at = -np.arange(order.size) + height * ((len(indices) - 1) / 2 - k)
            mean = one.sel(index=index).to_numpy()[order]
            axes.barh(at, mean, height=height, color=colours[k])
            if error:
                width = reach * one.sel(index=error).to_numpy()[order]
                low, high = mean - width, mean + width
            else:
                low, high = (one.sel(index=end).to_numpy()[order] for end in ("low", "high"))
            axes.hlines(at, low, high, color="0.15", linewidth=0.9)
        axes.axvline(0.0, color="0.4", linewidth=0.8)
        _name_rows(axes, [str(names[k]) for k in order])
    handles: list[Artist] = [
        Patch(color=colours[k], label=INDEX_NAMES.get(index, index))
        for k, (index, _) in enumerate(indices)
    ]
    confidence = 100 * float(found.attrs.get("confidence", 0.95))
    label = f"{confidence:g} % interval"
    handles.append(Line2D([], [], color="0.15", linewidth=0.9, label=label))
    draw_legend(figure, handles, title)
    _say_origin(figure, found)
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
        top: Parameters of a panel.
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel an output and hour.
    """
    figure, grid = _panels(found, hours, top, figure)
    names = found["parameter"].values
    units = dict(zip(found["output"].values, found.attrs["units"], strict=True))
    for axes, output, hour in _places(grid, found, hours):
        one = found.sel(output=output, time=hour)
        moved = (one["value"] - one["middle"]).to_numpy()
        size = np.abs(moved).max(axis=0)
        if not np.nanmax(size, initial=0.0) > 0:
            _say_constant(axes)
            continue
        order = _largest(size, top)
        places = -np.arange(order.size)
        for end, colour in ((0, BLUE), (1, RED)):
            axes.barh(places, moved[end, order], height=0.7, color=colour, alpha=0.85)
        axes.axvline(0.0, color="0.2", linewidth=0.9)
        unit = "" if units[output] == "1" else f" [{units[output]}]"
        axes.set_xlabel(f"change from {float(one['middle']):.3g}{unit}", fontsize=TEXT_SIZE - 1)
        _name_rows(axes, [str(names[k]) for k in order])
    handles = [
        Patch(color=BLUE, alpha=0.85, label="parameter low: 2.5 % of its law"),
        Patch(color=RED, alpha=0.85, label="parameter high: 97.5 %"),
    ]
    draw_legend(figure, handles, title)
    _say_origin(figure, found)
    return figure


def _panels(
    found: xr.Dataset, hours: Sequence[float], top: int, figure: Figure | None
) -> tuple[Figure, np.ndarray]:
    """A grid of panels, an output a row and an hour a column."""
    rows, columns = found.sizes["output"], len(hours)
    lines = min(top, found.sizes["parameter"])
    if figure is None:
        size = (4.4 * columns, 0.9 + rows * (0.75 + 0.19 * lines))
        figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _places(grid: np.ndarray, found: xr.Dataset, hours: Sequence[float]) -> list[tuple]:
    """Each panel with its output and hour, titled."""
    found_places = []
    for row, output in zip(grid, found["output"].values, strict=True):
        for axes, hour in zip(row, hours, strict=True):
            text = f"{str(output).replace('_', ' ')}, {hour_text(float(hour))}"
            axes.set_title(text, loc="right", fontsize=TEXT_SIZE + 0.5)
            tidy(axes)
            found_places.append((axes, output, hour))
    return found_places


def _say_origin(figure: Figure, found: xr.Dataset) -> None:
    """Say under the figure where its numbers come from."""
    if "origin" in found.attrs:
        figure.supxlabel(found.attrs["origin"], fontsize=TEXT_SIZE - 1.5, color="0.35")


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(-np.arange(len(names)), names, fontsize=TEXT_SIZE - 2)
    axes.set_ylim(min(-len(names), -3) + 0.4, 0.6)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.get_offset_text().set_fontsize(TEXT_SIZE - 1.5)


def _largest(size: np.ndarray, top: int) -> np.ndarray:
    """Places of the longest bars that can be seen, the longest first."""
    size = np.where(np.isfinite(size), size, -1.0)
    order = np.argsort(-size)[:top]
    return order[size[order] > LEAST * size.max()]


def _say_constant(axes: Axes) -> None:
    """Say instead of bars that there is nothing to explain."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(
        0.5, 0.5, "constant: nothing varies", transform=axes.transAxes, ha="center",
        va="center", fontsize=TEXT_SIZE, color="0.4",
    )  # fmt: skip


def _most(shares: np.ndarray) -> list[int]:
    """Places of the parameters that matter most at some time or over time, (parameter, time)."""
    weight = np.nan_to_num(shares)
    return np.argsort(-(weight.max(axis=1) + weight.mean(axis=1)))[:BANDS].tolist()


def _looks(first: xr.DataArray) -> dict[str, dict[str, Any]]:
    """Colour and hatch of each parameter that is drawn apart somewhere."""
    looks: dict[str, dict[str, Any]] = {}
    for output in first["output"].values:
        for k in _most(first.sel(output=output).to_numpy()):
            name, place = str(first["parameter"].values[k]), len(looks)
            hatch = HATCHES[place // len(COLOURS) % len(HATCHES)]
            looks.setdefault(name, {"facecolor": COLOURS[place % len(COLOURS)], "hatch": hatch})
    return looks
