"""The figures of an analysis, drawn from its store: at any width, with or without a title."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from ketjax.figures import plot_areas, plot_bars, plot_pairs, plot_tornado
from ketjax.sensitivity.designs import quantile_of_normal
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.report import PAIRS, TITLES, methods_of, selected, shown_names

BARS = {
    "sobol": (("first", "first_error"), ("total", "total_error")),
    "morris": (("mu_star", "mu_star_error"),),
    "prcc": (("prcc", ""),),
    "dgsm": (("total", "total_error"), ("bound", "bound_error")),
}
"""Indices that bars show, each with its standard error; the last one ranks."""

SHARE_LIMIT = 1.3
"""Where the axis of shares of the variance and of their bounds ends: no share is above 1."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn.

    Attributes:
        name: What it is called in the name of a file: a method, "areas" or "tornado".
        title: What it shows.
        found: What is drawn.
        plot: Draws with a title on a figure.
    """

    name: str
    title: str
    found: xr.Dataset
    plot: Callable[..., Figure]

    def draw(self, title: str = "", figure: Figure | None = None) -> Figure:
        """Draw it.

        Args:
            title: What stands over it.
            figure: An empty figure that has the width; a usual one if None.
        """
        return self.plot(title=title, figure=figure)


def pictures(path: Path, study: SensitivityStudy, arm: str) -> Iterator[Drawing]:
    """The figures of an analysis, in the order in which they are shown.

    Args:
        path: The store.
        study: What was asked.
        arm: Which arm is shown.

    Raises:
        StoreError: The analysis was not written to its end.
    """
    hours, s = study.shown_hours, study.sensitivity
    reach = quantile_of_normal(s.confidence)
    for method in methods_of(study):
        found = selected(path, method, shown_names(study, method), arm)
        if method == "sobol" and len(study.times) > 1:
            title = "What the variance comes from"
            yield Drawing("areas", title, found, partial(plot_areas, found))
        if method == PAIRS:
            plot = partial(plot_pairs, found, hours, reach=reach)
        else:
            shown = tuple(one for one in BARS[method] if one[0] in found["index"])
            limit = SHARE_LIMIT if method in ("sobol", "dgsm") else float("inf")
            plot = partial(plot_bars, found, hours, shown, top=s.top, reach=reach, limit=limit)
        yield Drawing(method, TITLES[method], found, plot)
    found = selected(path, "tornado", shown_names(study), arm)
    plot = partial(plot_tornado, found, hours, top=s.top)
    yield Drawing("tornado", "One parameter at a time", found, plot)
