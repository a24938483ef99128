"""Individual fits: some patients' courses, and all observations beside what is predicted."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ketjax.figures.style import (
    ARM_COLOURS,
    DAY,
    TEXT_SIZE,
    draw_legend,
    draw_time_axis,
    tidy,
    time_positions,
)

OWN, USUAL, SEEN = ARM_COLOURS["ketamine"], "0.55", "#000000"
COLUMNS, MOST_QUANTITIES = 4, 3
ONE_DOSE = 4 * DAY  # up to which last time a course is drawn on a logarithmic axis [h]


def plot_individuals(
    results: xr.Dataset, curves: xr.Dataset, figure: Figure | None = None
) -> Figure:
    """Draw courses of some patients, and observed against predicted of all.

    Args:
        results: Dimensions patient, parameter, observation: `observed_patient`, `quantity`, `time`,
            `observed`, `individual_prediction`, `population_prediction`, `observed_unit`.
        curves: `individual` and `population` over patient, time and quantity.
        figure: An empty figure to draw on.

    Returns:
        The figure: the quantity that was observed most in each of the patients of `curves`, from
        the one who is met best to the one who is met worst; below, a panel a quantity.
    """
    quantity = results["quantity"].to_numpy()
    names, counts = np.unique(quantity, return_counts=True)
    ranked = [str(name) for name in names[np.argsort(-counts, kind="stable")]][:MOST_QUANTITIES]
    patients = curves["patient"].to_numpy()
    rows = -(-len(patients) // COLUMNS)
    if figure is None:
        height = 1.3 + 1.75 * rows + 3.4
        figure = Figure(figsize=(11.0, height), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.75 * rows, 3.4))
    above, below = parts
    grid = np.atleast_2d(above.subplots(rows, COLUMNS, sharex=True, squeeze=False))
    for k, axes in enumerate(grid.flat):
        if k >= len(patients):
            axes.axis("off")
            continue
        _draw_patient(axes, results, curves.isel(patient=k), ranked)
    for axes, name in zip(below.subplots(1, len(ranked), squeeze=False).flat, ranked, strict=True):
        _draw_agreement(axes, results, name)
    handles = [
        Line2D([], [], color=SEEN, marker="o", linestyle="", markersize=4, label="observed"),
        Line2D([], [], color=OWN, label="the patient's own prediction"),
        Line2D([], [], color=USUAL, linestyle="--", label="the population's"),
    ]
    name = results.attrs.get("individuals", "")
    draw_legend(figure, handles, f"Individual fits: {name}" if name else "Individual fits")
    footer = [
        f"{results.sizes['patient']:,} patients, {results.sizes['observation']:,} observations",
        f"ketjax {results.attrs.get('ketjax', 'version unknown')}",
        "research model, not for clinical use",
    ]
    figure.supxlabel("  ·  ".join(footer), fontsize=TEXT_SIZE - 1.5, color="0.35")
    return figure


def _draw_patient(axes: Axes, results: xr.Dataset, curve: xr.Dataset, ranked: list[str]) -> None:
    """One patient: observations, own and usual course of the quantity observed most of all."""
    patient = str(curve["patient"].item())
    own = results["observed_patient"].to_numpy() == patient
    quantity = results["quantity"].to_numpy()
    name = next((n for n in ranked if (own & (quantity == n)).any()), ranked[0])
    here = own & (quantity == name)
    one = curve.sel(quantity=name)
    end = float(curve["time"][-1])
    linear = end > ONE_DOSE
    hours = curve["time"].to_numpy()
    times = hours if linear else time_positions(hours)
    seen = results["time"].to_numpy()[here]
    axes.plot(times, one["population"], color=USUAL, linestyle="--", linewidth=1.2)
    axes.plot(times, one["individual"], color=OWN, linewidth=1.6)
    axes.plot(
        seen if linear else time_positions(seen),
        results["observed"].to_numpy()[here],
        "o",
        color=SEEN,
        markersize=3.5,
        clip_on=False,
    )
    draw_time_axis(axes, end, linear=linear)
    unit = results["observed_unit"].to_numpy()[here][0]
    axes.set_title(f"{patient}: {name} [{unit}]", fontsize=TEXT_SIZE, loc="left")


def _draw_agreement(axes: Axes, results: xr.Dataset, name: str) -> None:
    """All observations of one quantity against what population and patient predict."""
    here = results["quantity"].to_numpy() == name
    observed = results["observed"].to_numpy()[here]
    own = results["individual_prediction"].to_numpy()[here]
    usual = results["population_prediction"].to_numpy()[here]
    axes.plot(usual, observed, "o", color=USUAL, markersize=2.2, alpha=0.35, markeredgewidth=0)
    axes.plot(own, observed, "o", color=OWN, markersize=2.4, alpha=0.5, markeredgewidth=0)
    everything = np.concatenate([observed, own])
    ends = [float(np.nanmin(everything)), float(np.nanmax(everything))]
    axes.plot(ends, ends, color="0.2", linewidth=0.8)
    unit = results["observed_unit"].to_numpy()[here][0]
    axes.set_title(f"{name} [{unit}]", fontsize=TEXT_SIZE, loc="left")
    axes.set_xlabel("predicted", fontsize=TEXT_SIZE)
    axes.set_ylabel("observed", fontsize=TEXT_SIZE)
    tidy(axes)
