"""Waterfall: the change of every patient, from who gains most to who gains least."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ketjax.analysis.summaries import RESPONSE_FRACTION
from ketjax.analysis.traits import changes
from ketjax.dataset.schema import WEIGHT
from ketjax.figures.style import (
    TEXT_SIZE,
    arm_colours,
    draw_footer,
    hour_text,
    tidy,
)

RANKS = 400
"""Points of a curve, however many patients it stands for."""

THRESHOLD = -100.0 * RESPONSE_FRACTION
"""Change that counts as response [%]."""

LOWEST, HIGHEST = -105.0, 60.0
"""Ends of the axis [%]; a change beyond them is drawn at the end."""


def plot_waterfall(
    dataset: xr.Dataset,
    hour: float,
    figure: Figure | None = None,
    *,
    weighted: bool = False,
    columns: int = 3,
    ranks: Mapping[str, tuple[np.ndarray, np.ndarray, float]] | None = None,
) -> Figure:
    """Draw the change of the rated score of all patients by rank, a panel an arm.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        hour: When [h]; an output time of the store.
        figure: An empty figure to draw on.
        weighted: A patient takes as much of the axis as its weight.
        columns: Panels beside each other, at most.
        ranks: What `ranked` says of them, computed if None.

    Returns:
        The figure: responders are filled in the colour of the arm, others in grey.

    Raises:
        StoreError: The store keeps no rated score.
    """
    colours = arm_colours(dataset["arm"].values)
    columns = min(columns, len(colours))
    rows = -(-len(colours) // columns)
    if figure is None:
        figure = Figure(figsize=(2.9 * columns + 0.6, 2.6 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    ranks = ranked(dataset, hour, weighted=weighted) if ranks is None else ranks
    for axes, (arm, colour) in zip(grid.flat, colours.items(), strict=False):
        rank, shown, share = ranks[arm]
        if rank.size:
            shown = np.clip(shown, LOWEST, HIGHEST)
            responds = shown <= THRESHOLD
            axes.fill_between(rank, shown, 0.0, step="mid", color="0.8", linewidth=0)
            axes.fill_between(
                rank, shown, 0.0, where=responds, step="mid", color=colour, alpha=0.75, linewidth=0
            )
            axes.text(
                0.97,
                0.04,
                f"{share:.0f} % respond",
                transform=axes.transAxes,
                ha="right",
                fontsize=TEXT_SIZE,
            )
        axes.axhline(0.0, color="0.3", linewidth=0.8)
        axes.axhline(THRESHOLD, color="0.3", linewidth=0.9, linestyle="--")
        axes.set_title(arm.replace("_", " "), loc="left", fontsize=TEXT_SIZE + 1)
        axes.set_xlim(0, 100)
        axes.set_ylim(LOWEST, HIGHEST)
        tidy(axes)
        axes.tick_params(labelbottom=True)
    for axes in list(grid.flat)[len(colours) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(f"change at {hour_text(hour)} [% of entry]", fontsize=TEXT_SIZE)
    for axes in grid[-1]:
        axes.set_xlabel("patients by rank [%]", fontsize=TEXT_SIZE)
    draw_footer(figure, dataset, weighted=weighted)
    return figure


def ranked(
    dataset: xr.Dataset, hour: float, *, weighted: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Changes of all patients in order, thinned as a figure needs them.

    One arm is held at a time, one number a patient.

    Args:
        dataset: A store with ``madrs_rated``, ``baseline_madrs`` and ``status``.
        hour: When [h]; an output time of the store.
        weighted: A patient takes as much of the axis as its weight.

    Returns:
        By arm what `by_rank` says, and the share of responders [%].

    Raises:
        StoreError: The store keeps no rated score.
    """
    weight = dataset[WEIGHT.name].to_numpy() if weighted else np.ones(dataset.sizes["patient"])
    found = {}
    for arm in map(str, dataset["arm"].values):
        change = 100.0 * changes(dataset, arm, hour)
        fine = np.isfinite(change)
        change, own = change[fine], weight[fine]
        share = 100.0 * np.average(change <= THRESHOLD, weights=own) if change.size else np.nan
        found[arm] = (*by_rank(change, own), float(share))
    return found


def by_rank(change: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Changes in order, thinned to at most `RANKS` points.

    Args:
        change: One number a patient.
        weight: How much of the axis a patient takes; any positive scale.

    Returns:
        Middle of the place of each shown patient [% of the patients], and the change.
    """
    if not change.size:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(change, kind="stable")
    ends = np.cumsum(weight[order])
    rank = 100.0 * (ends - 0.5 * weight[order]) / ends[-1]
    if order.size > RANKS:
        kept = np.searchsorted(rank, np.linspace(0.0, 100.0, RANKS)[1:-1])
        kept = np.unique(np.concatenate([[0], kept, [order.size - 1]]).clip(0, order.size - 1))
        return rank[kept], change[order][kept]
    return rank, change[order]
