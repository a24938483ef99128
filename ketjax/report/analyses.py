"""The sensitivity analysis that comes with a report: its figures and tables, from its store."""

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ketjax.dataset import read_attributes
from ketjax.figures.pairs import LEAST as LEAST_PAIR
from ketjax.report.drawings import pictured
from ketjax.report.page import Part, Table, Text
from ketjax.report.wording import MINUS, listed, when, words
from ketjax.sensitivity.pictures import Drawing, pictures
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.report import (
    PAIRS,
    convergence,
    crossed,
    described,
    records,
    study_of,
    table,
)

CAPTIONS = {
    "areas": "What the variance of each output comes from over time: what a parameter does alone "
    "(first-order Sobol index), and what parameters do only together (interactions). White: the "
    "output is constant, or too many rows failed.",
    "sobol": "Sobol indices. First order: share of the variance that a parameter explains alone; "
    "total: with all that it does together with others.",
    PAIRS: "Sobol indices of second order of the strongest pairs: the share of the variance that "
    "two parameters make together beyond what each does alone. Numbers beside a matrix are those "
    "of the names above it. Bold: the interval leaves out zero; red: below zero, which only an "
    "error of the estimate can be.",
    "morris": "Elementary effects (Morris): mean size mu* of the step in the output when one "
    "parameter goes a step through the central 95 % of its law, in the unit of the output.",
    "prcc": "Partial rank correlation: how far the output goes up or down with a parameter when "
    "the others are held fixed.",
    "dgsm": "Bounds by derivatives: the mean squared derivative of the output, by Poincare's "
    "inequality, sets a bound that the total Sobol index cannot exceed. No index is above 1, so "
    "a bound beyond it says nothing; bars that are cut off say their number.",
    "tornado": "One parameter at a time: the output when one parameter is at either end of its "
    "law and all others in the middle of theirs.",
}
"""What is seen, by the name of a figure."""

PICTURES = ("areas", "tornado")
"""Figures without a table: the one is that of Sobol indices, the other is read off."""

BEST = 3
"""Parameters that the alternative of a figure names."""


def analysis_parts(path: str | Path) -> list[Part]:
    """Figures and tables of a sensitivity analysis.

    Args:
        path: Its store.

    Raises:
        StoreError: There is none, or it was not written to its end.
    """
    path = Path(path)
    study = study_of(path)
    arm = study.chosen_arms[0]
    parts: list[Part] = [Text(_about(path, study, arm))]
    for one in pictures(path, study, arm):
        found = [] if one.name in PICTURES else list(records(path, one.name, study, (arm,)))
        largest = [
            _who(record[key] for key in ("parameter", "other") if key in record)
            for record in found
            if not record["reason"]
        ]
        best = list(dict.fromkeys(largest))[:BEST]
        alternative = (
            f"{one.title} of {listed([words(name) for name in one.found['output'].values])}."
        )
        if best:
            alternative += f" Among the largest: {listed(best)}."
        parts += pictured(partial(_draw, one), lambda _: 1.0, CAPTIONS[one.name], alternative)
        if found:
            parts.append(_table(found, one, study))
    parts += [Text(f"{line}.") for line in convergence(path, study, arm)]
    if "dgsm" in study.sensitivity.methods and (text := crossed(path, study, arm)):
        parts.append(Text(text))
    return parts


def _draw(one: Drawing, figure: Figure, _columns: int) -> Figure:
    """A figure takes its width from the page, and sets its height."""
    return one.draw(figure=figure)


def _about(path: Path, study: SensitivityStudy, arm: str) -> str:
    """What was varied in whom, in sentences."""
    held, count = read_attributes(path), len(described(path))
    s = study.sensitivity
    who = f"populations of {s.patients} patients" if study.is_population else "the typical patient"
    text = (
        f"Sensitivity analysis `{study.name}`, a study of its own: {count} parameters are "
        f"varied in {who}, each by its own law and none with another, in "
        f"{int(held['patients']):,} rows (seed {s.seed}, ketjax {held['ketjax_version']}). "
    )
    if len(study.chosen_arms) > 1:
        text += f"Shown is arm {words(arm)} of {listed([words(a) for a in study.chosen_arms])}. "
    return text + (
        f"Intervals are {100 * s.confidence:g} %. An index is a statement about these laws: "
        "assumed ones give assumed answers."
    )


def _table(found: list[dict[str, Any]], one: Drawing, study: SensitivityStudy) -> Table:
    """Records of a method: a group of rows for each output and hour."""
    note, names = "", slice(3, 5 if one.name == PAIRS else 4)  # arm, output and hour come first
    if one.name == PAIRS:
        found = [record for record in found if abs(record.get("second", 1.0)) >= LEAST_PAIR]
        note = f"Pairs below {LEAST_PAIR:g} are left out."
    rows: list[tuple[str, ...]] = []
    for (output, hour), group in groupby(found, itemgetter("output", "hour")):
        own = list(group)
        place = f"{words(output)}, {when(hour)}"
        if reason := own[0]["reason"]:
            rows.append((f"{place}: {words(reason)}",))
            continue
        rows.append((place,))
        for line in table(own, one.name, study.sensitivity.top)[1]:
            numbers = (cell.replace("-", MINUS) for cell in line[names.stop :])
            rows.append((_who(line[names]), *numbers))
    heads = table(found, one.name, 1)[0][names.stop :]
    heads = ["", *(text[:1].upper() + text[1:] for text in heads)]
    caption = f"{one.title}: the largest at each hour, with intervals"
    return Table(caption, heads, rows, note, folded=True)


def _who(names: Iterable[str]) -> str:
    """A parameter or a pair in words."""
    return " and ".join(words(name.replace(".", ": ", 1)) for name in names)
