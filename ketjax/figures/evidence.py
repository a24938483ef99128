"""Evidence against simulation: where each simulated number falls within what was observed."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ketjax.figures.style import TEXT_SIZE, tidy

KIND_STYLES = {
    "built in": ("#999999", "s"),
    "calibrated": ("#0072B2", "o"),
    "predicted": ("#D55E00", "D"),
}
"""Colour and marker of each kind of evidence, from the palette of Okabe and Ito (2008)."""

EDGE = 0.75
"""How far outside of the interval, in its widths, a number is still drawn where it is."""

COLUMNS = 3
NAMES = 16  # that fit side by side in a panel


def plot_evidence(records: Sequence[Mapping[str, str]], figure: Figure | None = None) -> Figure:
    """Draw every finding as a marker on the interval that its source leaves open.

    Args:
        records: Lines of the printed table: id, stage, kind, low, high, simulated, verdict.
        figure: An empty figure to draw on.

    Returns:
        The figure, one panel a stage. Inside the band is a pass; what fails carries its id.
    """
    stages = list(dict.fromkeys(record["stage"] for record in records))
    rows = -(-len(stages) // COLUMNS)
    if figure is None:
        figure = Figure(figsize=(4.6 * COLUMNS, 2.1 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axes, stage in zip(grid.flat, stages, strict=False):
        own = [record for record in records if record["stage"] == stage]
        passed = sum(record["verdict"] == "pass" for record in own)
        axes.axhspan(0, 1, color="0.92", linewidth=0)
        named = -math.inf  # place of the last name: two side by side go to either side
        for place, record in enumerate(own):
            colour, marker = KIND_STYLES[record["kind"]]
            height = _position(record)
            axes.plot(place, height, marker, color=colour, markersize=4.5)
            if record["verdict"] != "pass":
                above = (height < 0.5) != (place - named < len(own) / NAMES)
                named = place
                axes.annotate(
                    record["id"],
                    (place, height),
                    (0, 5 if above else -11),
                    textcoords="offset points",
                    ha="center",
                    fontsize=TEXT_SIZE - 2,
                )
        axes.set_title(f"{stage}: {passed} of {len(own)}", loc="left", fontsize=TEXT_SIZE + 1.5)
        axes.set_ylim(-EDGE - 0.2, 1 + EDGE + 0.2)
        axes.set_yticks([0, 1], ["low", "high"])
        axes.set_xticks([])
        axes.set_xlim(-1, len(own))
        tidy(axes)
    for axes in list(grid.flat)[len(stages) :]:
        axes.set_axis_off()
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=kind)
        for kind, (colour, marker) in KIND_STYLES.items()
    ]
    handles.append(Patch(color="0.9", label="what the source leaves open"))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=TEXT_SIZE
    )
    return figure


def _position(record: Mapping[str, str]) -> float:
    """Simulated number on a scale where the interval is 0 to 1, held within the panel."""
    low, high, simulated = (float(record[name]) for name in ("low", "high", "simulated"))
    place = (simulated - low) / (high - low)
    return 1 + EDGE if math.isnan(place) else min(max(place, -EDGE), 1 + EDGE)
