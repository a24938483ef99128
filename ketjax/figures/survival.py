"""How long responders stay well, with numbers at risk."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ketjax.analysis.survival import DAY, RELAPSE_STATES, at_risk, product_limit
from ketjax.dataset.schema import OK
from ketjax.errors import StoreError
from ketjax.figures.style import TEXT_SIZE, arm_colours, draw_footer, draw_legend, is_narrow, tidy

MARK = 14.0
"""Time from one number at risk to the next [day]."""

ROUNDING = 1e-9
"""What a product of shares may be off by [1]."""

CODES = {state: code for code, state in RELAPSE_STATES.items()}
"""What became of a patient: by name the number in the store."""


def plot_survival(dataset: xr.Dataset, *, title: str = "", figure: Figure | None = None) -> Figure:
    """Draw the share of responders who have not relapsed, by the product-limit method.

    Args:
        dataset: A store with the outcome ``time_to_relapse`` and its ``relapse_state``.
        title: What the figure shows, and the rule of relapse.
        figure: An empty figure to draw on.

    Returns:
        The figure; below it the numbers at risk.

    Raises:
        StoreError: The store lacks the outcome.
    """
    if "time_to_relapse" not in dataset:
        raise StoreError(
            "the store has no time_to_relapse; ask for it in the study: [output] "
            'outcomes = ["time_to_relapse"] with relapse = "..."'
        )
    shown = dataset[["time_to_relapse", "relapse_state", "status"]].compute()
    colours = arm_colours(shown["arm"].values)
    if figure is None:
        figure = Figure(figsize=(8.0, 4.2 + 0.25 * len(colours)), layout="constrained")
    curves, table = figure.subplots(2, 1, height_ratios=[5, 0.4 + 0.42 * len(colours)], sharex=True)
    marks = np.arange(0.0, float(shown["time_to_relapse"].max()) / DAY, MARK)
    for row, (arm, colour) in enumerate(colours.items()):
        one = shown.sel(arm=arm)
        responders = (one["status"] == OK) & (one["relapse_state"] != CODES["never_responded"])
        one = one.isel(patient=responders.to_numpy())
        days = one["time_to_relapse"].to_numpy() / DAY
        at, share = product_limit(days, one["relapse_state"] == CODES["relapsed"])
        end = days.max(initial=0.0)
        name = f"{arm.replace('_', ' ')}: {days.size:,} responders"
        median = at[share <= 1 / 2 + ROUNDING]
        curves.step(
            [*at, end],
            [*100 * share, 100 * share[-1]],
            where="post",
            color=colour,
            label=f"{name}, median {median[0]:.0f} d" if median.size else name,
        )
        for mark, number in zip(marks, at_risk(days, marks), strict=True):
            if mark <= end:
                table.text(
                    mark,
                    -row,
                    f"{number:,}",
                    ha="center",
                    va="center",
                    fontsize=TEXT_SIZE - 0.5,
                    color=colour,
                )
    curves.set_ylim(0, 102)
    curves.set_ylabel("not relapsed [% of responders]", fontsize=TEXT_SIZE)
    if is_narrow(figure):  # a legend among the curves would hide them
        draw_legend(figure, curves.get_legend_handles_labels()[0])
    else:
        curves.legend(frameon=False, fontsize=TEXT_SIZE)
    curves.set_title(title, loc="left", fontsize=TEXT_SIZE + 3)
    tidy(curves)
    table.set_ylim(-len(colours) + 0.4, 0.6)
    table.set_yticks([])
    table.set_ylabel("at risk", fontsize=TEXT_SIZE)
    table.set_xticks(marks)
    table.tick_params(labelsize=TEXT_SIZE - 0.5, length=3)
    table.spines[["top", "right", "left"]].set_visible(False)
    table.set_xlabel("days from the visit at which response was judged", fontsize=TEXT_SIZE)
    draw_footer(figure, dataset)
    return figure
