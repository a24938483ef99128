"""What a fit knows: directions, intervals, profiles, and its targets beside the simulation."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ketjax.figures.style import ARM_COLOURS, TEXT_SIZE, draw_legend, tidy

BLUE, RED = ARM_COLOURS["midazolam"], ARM_COLOURS["ketamine"]
KIND_COLOURS = {"stiff": BLUE, "sloppy": "#56B4E9", "flat": RED}
"""Colours of directions, from the palette of Okabe and Ito (2008)."""

VERDICT_COLOURS = {"identifiable": BLUE, "weakly": "#56B4E9", "not": RED}
LEAST_EIGENVALUE = 1e-6
"""Where a direction is drawn about which the data say less, or nothing."""

DEEPEST = 8.0
"""Departures that are drawn in full [SD of the prior]."""

PROFILE_COLUMNS = 4
TITLE_WIDTH, LABEL_WIDTH = 40, 54  # letters in a line
HEADING_ROWS = 2.2
"""Height of the title and the axis of a panel of targets, in rows."""


def plot_spectrum(found: xr.Dataset, title: str = "", figure: Figure | None = None) -> Figure:
    """Draw how much the data say about each direction, and which numbers take part in it.

    Args:
        found: `eigenvalue`, `kind` over `direction`, `loading` over `direction` and `number`.
        title: Of what.
        figure: An empty figure to draw on.

    Returns:
        The figure: eigenvalues on the left, the stiffest direction at the top; loadings beside.
    """
    size = found.sizes["number"]
    if figure is None:
        figure = Figure(figsize=(5.0 + 0.27 * size, 3.8 + 0.22 * size), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.2, max(2.2, 0.22 * size)))
    places = np.arange(size)
    eigenvalues = np.maximum(found["eigenvalue"].to_numpy(), LEAST_EIGENVALUE)
    least = min(0.1, eigenvalues.min()) / 2
    colours = [KIND_COLOURS[str(kind)] for kind in found["kind"].values]
    left.barh(places, eigenvalues - least, left=least, color=colours, height=0.75)
    left.set_xscale("log")
    left.set_xlim(least, 3 * max(eigenvalues.max(), 10.0))
    left.axvline(1.0, color="0.2", linewidth=1.0)
    left.set_yticks(places, [str(k + 1) for k in places])
    left.set_ylabel("direction, the best known first", fontsize=TEXT_SIZE)
    left.set_xlabel("information of the data\nover that of the priors", fontsize=TEXT_SIZE)
    tidy(left)
    left.set_ylim(size - 0.5, -0.5)
    image = right.imshow(found["loading"].to_numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    names = [str(name) for name in found["number"].values]
    right.set_xticks(places, names, rotation=90, fontsize=TEXT_SIZE - 0.5)
    right.tick_params(length=2)
    right.tick_params(axis="y", labelleft=False)
    right.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    right.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    right.grid(which="minor", color="0.9", linewidth=0.4)
    right.tick_params(which="minor", length=0)
    bar = figure.colorbar(image, ax=right, shrink=0.5, pad=0.01)
    bar.set_label("part (its square: share)", fontsize=TEXT_SIZE)
    bar.ax.tick_params(labelsize=TEXT_SIZE - 0.5)
    handles = [
        Patch(color=KIND_COLOURS["stiff"], label="well told by the data"),
        Patch(color=KIND_COLOURS["sloppy"], label="loosely"),
        Patch(color=KIND_COLOURS["flat"], label="less than by the priors: flat"),
    ]
    draw_legend(figure, handles, _of("What the targets tell apart", title))
    return figure


def plot_intervals(known: xr.Dataset, title: str = "", figure: Figure | None = None) -> Figure:
    """Draw the interval of each number before and after the fit, in SDs of its prior.

    Args:
        known: Over `number`: `departure`, `departure_low`, `departure_high`, `prior_low`,
            `prior_high`, `prior_share`, `verdict`, `value`, `low`, `high`, `unit`; where there are
            draws, `drawn_low` and `drawn_high`.
        title: Of what.
        figure: An empty figure to draw on.

    Returns:
        The figure, the best known number at the top.
    """
    order = np.argsort(known["prior_share"].to_numpy(), kind="stable")
    size = len(order)
    if figure is None:
        figure = Figure(figsize=(11.0, 1.5 + 0.24 * size), layout="constrained")
    axes = figure.subplots()
    edge = 3.0
    for place, k in enumerate(order):
        one = known.isel(number=k, other=0, missing_dims="ignore")
        prior = [float(one[name]) for name in ("prior_low", "prior_high")]
        ends = [float(one[name]) for name in ("departure_low", "departure_high")]
        colour = VERDICT_COLOURS[str(one["verdict"].item())]
        axes.plot(prior, [place, place], color="0.85", linewidth=8, solid_capstyle="butt")
        axes.plot(ends, [place, place], color=colour, linewidth=2.6, solid_capstyle="butt")
        axes.plot(float(one["departure"]), place, "o", color=colour, markersize=4.5)
        edge = max(edge, *np.abs([*prior, *ends]).tolist())
        if "drawn_low" in known:
            drawn = [float(one[name]) for name in ("drawn_low", "drawn_high")]
            axes.plot(drawn, [place + 0.3] * 2, color="0.2", linewidth=1.0)
            edge = max(edge, *np.abs(drawn).tolist())
        unit = "" if str(one["unit"].item()) == "1" else f" {one['unit'].item()}"
        axes.annotate(
            "{:.3g} ({:.3g} to {:.3g})".format(*(float(one[n]) for n in ("value", "low", "high")))
            + unit,
            (1.01, place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=TEXT_SIZE - 0.5,
        )
    axes.axvline(0.0, color="0.4", linewidth=0.8)
    names = [str(name) for name in known["number"].values[order]]
    axes.set_yticks(range(size), names)
    axes.set_xlim(-min(edge, DEEPEST) - 0.2, min(edge, DEEPEST) + 0.2)
    axes.set_xlabel("distance from the centre of the prior [its SD]", fontsize=TEXT_SIZE)
    tidy(axes)
    axes.set_ylim(size - 0.4, -0.6)
    handles: list[Any] = [Patch(color="0.85", label="prior, 95 %")]
    texts = {"identifiable": "identifiable", "weakly": "weakly", "not": "not identifiable"}
    for kind, text in texts.items():
        style = {"color": VERDICT_COLOURS[kind], "linewidth": 2.6, "marker": "o", "markersize": 4.5}
        handles.append(Line2D([], [], label=text, **style))
    if "drawn_low" in known:
        handles.append(Line2D([], [], color="0.2", linewidth=1.0, label="95 % of the draws"))
    draw_legend(figure, handles, _of("Before and after the fit, 95 % intervals", title))
    return figure


def plot_profiles(found: xr.Dataset, title: str = "", figure: Figure | None = None) -> Figure:
    """Draw how the objective rises when a number is held away from the optimum.

    Args:
        found: `value`, `rise` and `data` over `number` and `point`; `low`, `high`, `open_low`,
            `open_high` over `number`; attribute `rise_of_interval`.
        title: Of what.
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel a number; between the dashed lines lies the 95 % interval.
    """
    size = found.sizes["number"]
    columns = min(PROFILE_COLUMNS, size)
    rows = -(-size // columns)
    level = float(found.attrs["rise_of_interval"])
    if figure is None:
        figure = Figure(figsize=(max(3.1 * columns, 5.4), 2.5 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, k in zip(grid.flat, range(size), strict=False):
        one = found.isel(number=k).dropna("point", subset=["value"])
        lowest = int(np.argmin(one["rise"].to_numpy()))
        data = one["data"] - one["data"][lowest]
        axes.axhline(level, color="0.5", linewidth=0.8, linestyle=":")
        axes.plot(one["value"], data, color="#E69F00", linewidth=1.2)
        axes.plot(one["value"], one["rise"], color=BLUE, linewidth=1.6, marker="o", markersize=3.5)
        for side in ("low", "high"):
            if not bool(one[f"open_{side}"]):
                axes.axvline(float(one[side]), color="0.3", linewidth=0.9, linestyle="--")
            else:
                axes.annotate(
                    "open",
                    (0.02 if side == "low" else 0.98, 0.92),
                    xycoords="axes fraction",
                    ha="left" if side == "low" else "right",
                    fontsize=TEXT_SIZE,
                    color=RED,
                )
        name = textwrap.fill(str(one["number"].item()).replace(".", ". "), TITLE_WIDTH)
        axes.set_title(name.replace(". ", "."), loc="left", fontsize=TEXT_SIZE)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        tidy(axes)
        axes.set_ylim(min(-0.4, max(float(data.min()), -level)), 1.6 * level)
    for axes in list(grid.flat)[size:]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("rise of the objective", fontsize=TEXT_SIZE)
    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=3.5, label="all others optimised again"),
        Line2D([], [], color="#E69F00", label="of it the data"),
        Line2D([], [], color="0.5", linestyle=":", label=f"95 %: {level:.2f}"),
        Line2D([], [], color="0.3", linestyle="--", label="ends of the interval"),
    ]
    draw_legend(figure, handles, _of("Profiles", title))
    return figure


def plot_targets(
    records: Sequence[Mapping[str, Any]], title: str = "", figure: Figure | None = None
) -> Figure:
    """Draw what was published beside what is simulated.

    Args:
        records: A line each: `profile`, `label`, `unit`, `published`, `error` (standard error) and
            `simulated`, the last three in the unit.
        title: Of what.
        figure: An empty figure to draw on.

    Returns:
        The figure, in two columns: a panel for each profile and unit, each row with the published
        number, two standard errors to either side, and the simulated one.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["profile"], record["unit"]), []).append(record)
    columns = _in_columns({key: len(own) + HEADING_ROWS for key, own in groups.items()})
    rows = max(sum(len(groups[key]) + HEADING_ROWS for key in column) for column in columns)
    if figure is None:
        figure = Figure(figsize=(7.2 * len(columns), 0.9 + 0.25 * rows), layout="constrained")
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, column in zip(parts, columns, strict=True):
        heights = [len(groups[key]) + HEADING_ROWS for key in column]
        filled = heights + ([rows - sum(heights)] if rows - sum(heights) > 0.5 else [])
        panels = part.subplots(len(filled), 1, squeeze=False, height_ratios=filled)[:, 0]
        for axes, key in zip(panels, column, strict=False):
            _draw_targets(axes, key, groups[key])
        for axes in panels[len(column) :]:
            axes.set_axis_off()
    handles = [
        Line2D([], [], color="0.45", marker="|", markersize=9, linewidth=3,
               label="published, two standard errors"),
        Line2D([], [], color=BLUE, marker="o", linestyle="", label="simulated, within"),
        Line2D([], [], color=RED, marker="D", linestyle="", label="simulated, outside"),
    ]  # fmt: skip
    draw_legend(figure, handles, _of("Targets, published and simulated", title))
    return figure


def _draw_targets(axes: Axes, key: tuple[str, str], own: Sequence[Mapping[str, Any]]) -> None:
    """One panel: the rows of a profile that have the same unit."""
    for place, record in enumerate(own):
        published, error, simulated = (
            float(record[name]) for name in ("published", "error", "simulated")
        )
        ends = (published - 2 * error, published + 2 * error)
        axes.plot(ends, [place, place], color="0.75", linewidth=4, solid_capstyle="butt")
        axes.plot(published, place, "|", color="0.3", markersize=9, markeredgewidth=1.4)
        inside = ends[0] <= simulated <= ends[1]
        colour, marker = (BLUE, "o") if inside else (RED, "D")
        axes.plot(simulated, place, marker, color=colour, markersize=4.2)
    profile, unit = key
    heading = profile if unit == "1" else f"{profile} [{unit}]"
    axes.set_title(heading, loc="left", fontsize=TEXT_SIZE, fontweight="bold")
    labels = [textwrap.fill(str(record["label"]), LABEL_WIDTH) for record in own]
    axes.set_yticks(range(len(own)), labels)
    tidy(axes)
    axes.tick_params(labelsize=TEXT_SIZE - 1.5)
    axes.tick_params(axis="y", labelsize=TEXT_SIZE - 2)
    axes.set_ylim(len(own) - 0.4, -0.6)


def _in_columns(
    heights: Mapping[tuple[str, str], float],
) -> list[list[tuple[str, str]]]:
    """Panels in order, in two columns about as high as each other; in one if they are few."""
    total = sum(heights.values())
    if total < 24 or len(heights) < 2:
        return [list(heights)]
    first: list[tuple[str, str]] = []
    for key, height in heights.items():
        filled = sum(heights[one] for one in first)
        if first and filled + height / 2 > total / 2:
            break
        first.append(key)
    return [first, [key for key in heights if key not in first]]


def _of(what: str, title: str) -> str:
    return f"{what}: {title}" if title else what
