"""Which drawn numbers go with the change of the score: rank correlations, the strongest first."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ketjax.analysis.traits import Trait
from ketjax.errors import StoreError
from ketjax.figures.style import ARM_COLOURS, TEXT_SIZE, draw_footer, is_narrow, tidy

MOST_BARS = 15


def plot_correlations(
    traits: Sequence[Trait],
    chance: float,
    dataset: xr.Dataset,
    figure: Figure | None = None,
) -> Figure:
    """Draw rank correlations of traits with the change of the score.

    Args:
        traits: Traits with a correlation.
        chance: Correlation that the strongest of all reaches by chance, once in twenty times.
        dataset: The store, for the footer.
        figure: An empty figure to draw on.

    Returns:
        The figure: bars to the left go with a larger fall; between the dashed lines it may be luck.

    Raises:
        StoreError: No trait has a correlation.
    """
    known = [trait for trait in traits if np.isfinite(trait.correlation)]
    shown = sorted(known, key=lambda trait: -abs(trait.correlation))[:MOST_BARS]
    if not shown:
        raise StoreError("nothing was drawn that could go with the change of a score")
    if figure is None:
        figure = Figure(figsize=(7.4, 0.24 * len(shown) + 1.3), layout="constrained")
    axes = figure.subplots()
    values = np.array([trait.correlation for trait in shown])
    colours = [ARM_COLOURS["midazolam"] if abs(v) > chance else "0.75" for v in values]
    axes.barh(np.arange(len(shown)), values, color=colours, height=0.7)
    axes.axvline(0.0, color="0.3", linewidth=0.8)
    for side in (-chance, chance):
        axes.axvline(side, color="0.3", linewidth=0.8, linestyle="--")
    apart = ":\n" if is_narrow(figure) else ": "
    names = [trait.name.replace("_", " ").replace(".", apart, 1) for trait in shown]
    axes.set_yticks(np.arange(len(shown)), names)
    axes.invert_yaxis()
    tidy(axes)
    axes.tick_params(axis="y", labelsize=TEXT_SIZE)
    most = max(float(np.abs(values).max()), chance) * 1.1
    axes.set_xlim(-most, most)
    axes.set_xlabel("rank correlation", fontsize=TEXT_SIZE)
    draw_footer(figure, dataset)
    return figure
