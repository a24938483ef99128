"""What a design found: the outcome against the number of infusions, and the best schedule."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ketjax.figures.style import (
    ARM_COLOURS,
    TEXT_SIZE,
    draw_legend,
    draw_time_axis,
    label_time,
    tidy,
)

BLUE, RED, GREY = ARM_COLOURS["midazolam"], ARM_COLOURS["ketamine"], "0.55"
NORMAL_95 = 1.96
LABEL = 0.08  # width of a label of an amount, as a share of the time axis


def plot_design(found: xr.Dataset, best: xr.Dataset, figure: Figure | None = None) -> Figure:
    """Draw how the outcome grows with the number of infusions, and the best schedule.

    Args:
        found: Over `infusions`: `share`, `share_se`, `counted`, `counted_se` [1], `cap` (what it
            does: "binds", "free", "exceeded" or "none"); attributes `outcome`, `day`, `best`,
            `name`, `patients`.
        best: Over `time` [h]: `median`, `low`, `high` of the score and `mean_dissociation`
            [points]; over `infusion`: `amount`, `start` [h]; attributes `unit` and `limit`, the
            cap on the mean highest dissociation [points], NaN without one.
        figure: An empty figure to draw on.

    Returns:
        The figure: shares on the left; score, dissociation and amounts in time on the right.
    """
    if figure is None:
        figure = Figure(figsize=(11.0, 5.6), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.7))[0]
    shares = left.subplots()
    count = found["infusions"].to_numpy()
    for name, colour, marker, offset in (
        ("share", BLUE, "o", 0.0), ("counted", GREY, "s", 0.12),
    ):  # fmt: skip
        shares.errorbar(
            count + offset, 100 * found[name], 100 * NORMAL_95 * found[f"{name}_se"],
            color=colour, marker=marker, markersize=4.5, linewidth=1.4 * (offset == 0),
            elinewidth=1.0, capsize=2,
        )  # fmt: skip
    for place, row in enumerate(found["cap"].values):
        if row == "binds":
            shares.plot(count[place], 100 * found["share"][place], "o", color=RED, markersize=4.5)
        elif row == "exceeded":
            shares.plot(count[place], 100 * found["share"][place], "x", color=RED, markersize=8)
    shares.set_xlim(count[0] - 0.4, count[-1] + 0.4)
    shares.xaxis.set_major_locator(MaxNLocator(integer=True))
    shares.set_xlabel("number of infusions", fontsize=TEXT_SIZE)
    outcome, day = found.attrs["outcome"], found.attrs["day"]
    shares.set_ylabel(f"{outcome} at day {day:g} [%]", fontsize=TEXT_SIZE)
    tidy(shares)
    shares.set_ylim(bottom=0)

    grid = right.subplots(3, 1, sharex=True, height_ratios=(2, 1.2, 0.9), squeeze=False)
    score, dissociation, amounts = grid[:, 0]
    time, starts = best["time"].to_numpy(), best["start"].to_numpy()
    score.fill_between(time, best["low"], best["high"], color=BLUE, alpha=0.15, linewidth=0)
    score.plot(time, best["median"], color=BLUE, linewidth=1.8)
    score.set_ylabel("MADRS", fontsize=TEXT_SIZE)
    dissociation.plot(time, best["mean_dissociation"], color="0.2", linewidth=1.2)
    if np.isfinite(best.attrs["limit"]):
        dissociation.axhline(best.attrs["limit"], color=RED, linewidth=1.0, linestyle="--")
    dissociation.set_ylabel("CADSS, mean", fontsize=TEXT_SIZE)
    amounts.vlines(starts, 0, best["amount"], color=RED, linewidth=2.2)
    amounts.plot(starts, best["amount"], "o", color=RED, markersize=4.5)
    room = np.diff([*starts, np.inf])  # to the next infusion; a label goes where there is some
    for start, amount, next_in in zip(starts, best["amount"].values, room, strict=True):
        left = next_in < LABEL * float(time[-1])
        amounts.annotate(
            f"{amount:.2g}", (start, amount), xytext=(-4 if left else 4, 4),
            textcoords="offset points", ha="right" if left else "left", fontsize=TEXT_SIZE - 1,
        )  # fmt: skip
    amounts.set_ylabel(f"amount\n[{best.attrs['unit']}]", fontsize=TEXT_SIZE)
    for axes in (score, dissociation, amounts):
        draw_time_axis(axes, float(time[-1]), linear=True)
        axes.set_ylim(bottom=0)
    amounts.set_ylim(0, 1.45 * float(best["amount"].max()))
    label_time(grid)
    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=4.5, label="mean over raters, 95 % CI"),
        Line2D([], [], color=GREY, marker="s", linestyle="", markersize=4.5, label="counted"),
        Line2D([], [], color=RED, marker="o", linestyle="", markersize=4.5, label="cap binds"),
        Patch(color=BLUE, alpha=0.3, label="score: median, 10th to 90th percentile"),
        Line2D([], [], color=RED, linestyle="--", label="cap on mean highest dissociation"),
    ]
    title = f"Best schedule of {found.attrs['best']} infusions: {found.attrs['name']}"
    draw_legend(figure, handles, title)
    figure.supxlabel(
        f"{found.attrs['patients']:,} virtual patients  ·  hypothesis, not advice: repeated doses "
        "do more in this model than in trials  ·  not for clinical use",
        fontsize=TEXT_SIZE - 1.5, color="0.35",
    )  # fmt: skip
    return figure
