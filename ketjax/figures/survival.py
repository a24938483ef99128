"""How long responders stay well, with numbers at risk."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ketjax.analysis.survival import RELAPSE_SCORE, at_risk, product_limit, relapse_days
from ketjax.errors import StoreError
from ketjax.figures.style import TEXT_SIZE, arm_colours, draw_footer, tidy


def plot_survival(
    dataset: xr.Dataset,
    starts: Mapping[str, float],
    *,
    limit: float = RELAPSE_SCORE,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw the share of responders who have not relapsed, by the product-limit method.

    Args:
        dataset: A store with ``madrs`` and ``status``.
        starts: For each arm the hour at which response is judged and from which time counts [h].
        limit: Score of relapse, at two visits in a row [points].
        title: What the figure shows.
        figure: An empty figure to draw on.

    Returns:
        The figure; below it the numbers at risk.

    Raises:
        StoreError: An arm is not in the store.
    """
    arms = [str(arm) for arm in dataset["arm"].values]
    if missing := sorted(set(starts) - set(arms)):
        raise StoreError(f"the store has no arm {', '.join(missing)}; it has {', '.join(arms)}")
    if figure is None:
        figure = Figure(figsize=(8.0, 4.2 + 0.25 * len(starts)), layout="constrained")
    curves, table = figure.subplots(2, 1, height_ratios=[5, 0.4 + 0.42 * len(starts)], sharex=True)
    colours = arm_colours(arms)
    times = dataset["time"].to_numpy()
    marks = np.arange(0.0, (times[-1] - min(starts.values())) / 24.0, 14.0)
    for row, (arm, start) in enumerate(starts.items()):
        one = dataset[["madrs", "status"]].sel(arm=arm).compute()
        scores = one["madrs"].transpose("time", "patient").to_numpy()
        scores = scores[:, one["status"].to_numpy() == 0]
        days, lost = relapse_days(times, scores, start, scores >= limit)
        at, share = product_limit(days, lost)
        end = (times[-1] - start) / 24.0
        name = f"{arm.replace('_', ' ')}: {days.size:,} responders"
        curves.step(
            [*at, end],
            [*100 * share, 100 * share[-1]],
            where="post",
            color=colours[arm],
            label=name,
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
                    color=colours[arm],
                )
    curves.set_ylim(0, 102)
    curves.set_ylabel("not relapsed [% of responders]", fontsize=TEXT_SIZE)
    curves.legend(frameon=False, fontsize=TEXT_SIZE)
    curves.set_title(title, loc="left", fontsize=TEXT_SIZE + 3)
    tidy(curves)
    table.set_ylim(-len(starts) + 0.4, 0.6)
    table.set_yticks([])
    table.set_ylabel("at risk", fontsize=TEXT_SIZE)
    table.set_xticks(marks)
    table.tick_params(labelsize=TEXT_SIZE - 0.5, length=3)
    table.spines[["top", "right", "left"]].set_visible(False)
    table.set_xlabel(
        f"days from the visit at which response was judged; relapse: {limit:g} points or more at "
        "two visits",
        fontsize=TEXT_SIZE,
    )
    draw_footer(figure, dataset)
    return figure
