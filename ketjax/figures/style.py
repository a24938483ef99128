"""How figures of ketjax look: colours of the arms, the time axis, the footer, saving."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import FixedLocator, FuncFormatter, MultipleLocator, NullLocator

ARM_COLOURS = {"ketamine": "#D55E00", "midazolam": "#0072B2", "saline": "#000000"}
"""Colours of the arms of the first study, from the palette of Okabe and Ito (2008)."""

OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The rest of that palette, for arms of other names; then come colours that no arm here has."""

FAINTEST_COLOUR = "#F0E442"
"""Its yellow, which is hard to see on white: taken last."""

FIRST_MINUTE = 1.0 / 60.0
"""Left edge of the time axis [h]: the logarithmic axis has no zero, the start is drawn here."""

TIME_TICKS = {
    1.0 / 6.0: "10 min",
    1.0: "1 h",
    4.0: "4 h",
    24.0: "1 d",
    72.0: "3 d",
    168.0: "7 d",
    336.0: "14 d",
    672.0: "28 d",
    1344.0: "8 wk",
    2688.0: "16 wk",
    8760.0: "1 y",
    26280.0: "3 y",
}
"""Hours to the label of a tick; only round times of a trial."""

DAY, WEEK = 24.0, 168.0  # [h]

LINEAR_MARGIN = 0.01
"""Room before the start of a linear time axis, so that what rises at once does not hide in it."""

MOST_WEEKS = 8
"""Most labels of a linear time axis beside its zero."""

WEEK_INCHES = 0.6
"""Least width of a panel for each of them [inch]."""

LABEL_GAP = 0.068
"""Least distance of two labels as a fraction of the time axis; a label nearer is left out."""

LABEL_INCHES = 0.3
"""The same on narrow panels [inch]."""

TEXT_SIZE = 8.5
"""Size of the text on the axes [points]."""


ENTRY_WIDTH, LETTER_WIDTH = 5.0, 0.56
"""Widths in a legend, of an entry without its text and of a letter, in sizes of the text."""

NARROW = 6.0
"""Width below which a figure counts as narrow [inch]."""

RESOLUTION = 150
"""Pixels of a saved figure on one inch."""


def arm_colours(arms: Iterable[str]) -> dict[str, str]:
    """Give every arm a colour that colour-blind readers can tell apart.

    Args:
        arms: Names of the arms.

    Returns:
        Name to colour; the known names keep theirs in every figure.
    """
    names = [str(arm) for arm in arms]
    others = [name for name in names if name not in ARM_COLOURS]
    free = [colour for name, colour in ARM_COLOURS.items() if name not in names]
    colours = (*OTHER_COLOURS, *free, FAINTEST_COLOUR)
    spare = {name: colours[i % len(colours)] for i, name in enumerate(others)}
    return {name: ARM_COLOURS.get(name) or spare[name] for name in names}


def arm_widths(arms: Iterable[str]) -> dict[str, float]:
    """Line widths in the order to draw: the first arm last, each other one thinner than the last.

    Comparator arms often share a course to the bit; the thin line then lies on the wide one.

    Args:
        arms: Names of the arms.

    Returns:
        Name to width [points].
    """
    first, *others = (str(arm) for arm in arms)
    widths = np.linspace(3.0, 1.2, max(len(others), 2)).tolist()
    return {**dict(zip(others, widths, strict=False)), first: 1.9}


def time_positions(hours: np.ndarray) -> np.ndarray:
    """Places on the logarithmic axis; everything up to the first minute lies on its left edge."""
    return np.maximum(hours, FIRST_MINUTE)


def draw_time_axis(axes: Axes, end: float, *, linear: bool = False) -> None:
    """Make the horizontal axis a time axis from the start to `end` [h].

    Args:
        axes: The panel.
        end: Last time [h].
        linear: In days, for courses of treatment over weeks; else logarithmic, as one dose needs.
    """
    if linear:
        axes.set_xlim(-LINEAR_MARGIN * end, end)
        most = min(MOST_WEEKS, max(2, int(_panel_width(axes) / WEEK_INCHES)))
        axes.xaxis.set_major_locator(MultipleLocator(WEEK * np.ceil(end / WEEK / most)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{hour / DAY:g} d"))
        tidy(axes)
        return
    ticks = {FIRST_MINUTE: "0"}
    gap = (end / FIRST_MINUTE) ** max(LABEL_GAP, LABEL_INCHES / _panel_width(axes))
    following = np.inf
    for hour, label in sorted(TIME_TICKS.items(), reverse=True):
        if hour <= end * 1.001 and hour * gap < following:
            ticks[hour] = label
            following = hour
    axes.set_xscale("log")
    axes.set_xlim(FIRST_MINUTE, end)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), list(ticks.values()))
    tidy(axes)


def _panel_width(axes: Axes) -> float:
    """About how wide a panel of a grid is [inch]."""
    place, figure = axes.get_subplotspec(), axes.get_figure(root=True)
    columns = place.get_gridspec().ncols if place is not None else 1
    return figure.get_size_inches()[0] / columns if figure is not None else np.inf


def label_time(grid: np.ndarray) -> None:
    """Name the time axis under the lowest panel of each column of a grid of panels."""
    for column in grid.T:
        lowest = [axes for axes in column if axes.axison][-1]
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel("time from the start", fontsize=TEXT_SIZE)


def hour_text(hour: float) -> str:
    """An hour as a label: days from the second day on, minutes before the first hour."""
    if 0 < hour < 1:
        return f"{60 * hour:g} min"
    return f"{hour / 24:g} d" if hour >= 48 else f"{hour:g} h"


def tidy(axes: Axes) -> None:
    """Light grid, no frame on top and right, small text."""
    axes.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT_SIZE - 0.5, length=3)
    axes.margins(y=0.06)


def is_narrow(figure: Figure) -> bool:
    """Whether a figure is for a telephone: labels must not take the width of what they name."""
    return bool(figure.get_size_inches()[0] < NARROW)


def draw_legend(figure: Figure, handles: Sequence[Artist], title: str = "") -> None:
    """Explain above a figure what is drawn, in as many columns as its width holds.

    Args:
        figure: The figure, in a constrained layout.
        handles: Labelled artists.
        title: What the figure shows.
    """
    labels = [str(handle.get_label()) for handle in handles]
    width = figure.get_size_inches()[0]
    columns = len(labels)
    while columns > 1 and _legend_width(labels, columns) > width:
        columns -= 1
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=TEXT_SIZE,
        title=title or None,
        title_fontsize=TEXT_SIZE + 3,
        alignment="left",
    )


def _legend_width(labels: Sequence[str], columns: int) -> float:
    """Width of a legend, filled column by column, by the length of its labels [inch]."""
    size = TEXT_SIZE / 72
    parts = np.array_split(np.array([len(label) for label in labels]), columns)
    return size * sum(ENTRY_WIDTH + LETTER_WIDTH * part.max() for part in parts)


def draw_footer(figure: Figure, dataset: xr.Dataset, *, weighted: bool = False) -> None:
    """Say under the figure where its numbers come from, and what they are not."""
    attributes, patients = dataset.attrs, dataset.sizes["patient"]
    origin = [
        str(attributes.get("study", "study without a name")),
        f"{patients:,} {'weighted ' if weighted else ''}virtual patients per arm"
        if patients > 1
        else "the typical patient",
        f"seed {attributes.get('seed', 'unknown')}",
        f"ketjax {attributes.get('ketjax_version', 'version unknown')}",
    ]
    if not attributes.get("complete", True):
        origin.append("incomplete run")
    origin.append("research model, not for clinical use")
    draw_origin(figure, "  ·  ".join(origin))


def draw_origin(figure: Figure, text: str) -> None:
    """Say something under the figure, in as many lines as its width needs.

    Args:
        figure: The figure, in a constrained layout.
        text: Where its numbers come from; nothing is drawn if it is empty.
    """
    if not text:
        return
    size = TEXT_SIZE - 1.5
    letters = int(figure.get_size_inches()[0] * 72 / (LETTER_WIDTH * size))
    figure.supxlabel(textwrap.fill(text, letters), fontsize=size, color="0.35")


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG.

    Args:
        figure: What a plot function returned.
        path: The file; its folder must exist.

    Returns:
        The path written.
    """
    path = Path(path)
    figure.set_dpi(RESOLUTION)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # once: `savefig` lays a figure out and draws it twice
    imsave(path, np.asarray(canvas.buffer_rgba()), format="png", dpi=RESOLUTION)
    return path
