"""Figures of a report: each drawn for a page and for a telephone, with a caption that explains it.

A figure that the store cannot give is replaced by a sentence that says why.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from matplotlib.figure import Figure

from ketjax.analysis.exposures import GROUPS, by_exposure
from ketjax.errors import StoreError
from ketjax.figures import (
    data_uri,
    plot_cascade,
    plot_correlations,
    plot_dose_peaks,
    plot_dose_response,
    plot_exposure_response,
    plot_panels,
    plot_response,
    plot_ribbons,
    plot_survival,
    plot_waterfall,
)
from ketjax.figures.courses import CASCADE, MOST_BANDS
from ketjax.figures.doses import departures
from ketjax.figures.ranks import ranked
from ketjax.figures.ribbons import first_patients
from ketjax.report.outcomes import survival_table
from ketjax.report.page import Part, Picture, Text
from ketjax.report.participants import Participants
from ketjax.report.series import dose_series
from ketjax.report.subject import LEAST_PANELS, MOST_PANELS, Subject
from ketjax.report.wording import listed, number, when, words

PAGE, TELEPHONE = 7.4, 3.75
"""Widths of a figure [inch], so that text is as large as that around it."""

MIDDLE = (0.05, 0.5, 0.95)
"""Quantiles of a band."""

LONG = 28 * 24.0
"""Longest study with a logarithmic time axis [h]."""
SPREAD = "bands hold the middle 90 % of patients (5th to 95th percentile)"
AT_ONE_TIME = "at the time of the dotted line, where arms lie furthest apart"
BARS = f"bars beside a panel hold the middle 90 % of patients {AT_ONE_TIME}"


def cascade_parts(subject: Subject) -> list[Part]:
    """The mechanism from drug to score, or the readouts that are kept."""
    names = subject.shown
    kept = [panel for panel in CASCADE if panel.variable in names]
    spread = SPREAD if len(subject.arms) <= MOST_BANDS else BARS
    spread = f" Lines are medians; {spread}." if subject.patients > 1 else " The typical patient."
    linear = _over_weeks(subject)
    axis = " The time axis is logarithmic, so that minutes and days can be seen together."
    if len(kept) >= LEAST_PANELS or not names:  # it says what it lacks
        shown = listed([panel.title for panel in kept])
        return pictured(
            lambda figure, columns: plot_cascade(
                subject.dataset,
                figure,
                weighted=subject.weighted,
                columns=min(columns, 2),
                drawn=subject.courses.sel(quantile=list(MIDDLE)),
            ),
            lambda columns: 1.75 * -(-len(kept) // min(columns, 2)) + 1.0,
            f"From drug to score, in the order of the mechanism.{spread}{axis} Regional readouts: "
            "solid prefrontal cortex, dashed hippocampus.",
            f"Courses over time, one panel each: {shown}.",
        )
    return pictured(
        lambda figure, columns: plot_panels(
            subject.dataset,
            names,
            linear=linear,
            figure=figure,
            columns=min(columns, 2),
            drawn=subject.courses.sel(quantile=list(MIDDLE)),
        ),
        lambda columns: 2.1 * -(-len(names) // min(columns, 2)) + 1.0,
        f"Courses of {listed([words(name) for name in names])}.{spread}{'' if linear else axis}",
        f"Courses over time, one panel each: {listed([words(name) for name in names])}.",
    )


def score_parts(subject: Subject) -> list[Part]:
    """The score over time with single patients, response over time, and every patient's change."""
    if subject.people == "rats":
        return []
    arms, summary = subject.arms, subject.summary

    def rows(columns: int) -> int:
        return -(-len(arms) // min(columns, len(arms)))

    score = subject.score
    singles = first_patients(subject.dataset, score)
    noise = ", without the noise of ratings" if score == "madrs" else ", as rated"
    single = " Single patients cannot be drawn: the store keeps summaries of them."
    if subject.readouts:
        single = " Thin grey lines: single patients, the first of the population, in every panel."
    parts = pictured(
        lambda figure, columns: plot_ribbons(
            subject.dataset,
            score,
            figure,
            weighted=subject.weighted,
            columns=columns,
            linear=_over_weeks(subject),
            drawn=subject.courses,
            singles=singles,
        ),
        lambda columns: 2.4 * rows(columns) + 0.9,
        f"Depression score (MADRS{noise}) of the population, a panel an arm. Coloured "
        f"line: median; dark and light ribbon: middle 50 % and 90 % of patients.{single}",
        f"Median and spread of the MADRS over time in {listed([words(arm) for arm in arms])}.",
    )
    if summary is None:
        return parts if "madrs" in subject.readouts else []
    hour = subject.main_hour
    own = summary.sel(hour=hour)
    shares = listed(
        [f"{number(float(own['response'].sel(arm=arm)), 0)} % in {words(arm)}" for arm in arms]
    )
    parts += pictured(
        lambda figure, columns: plot_response(
            subject.dataset,
            figure,
            weighted=subject.weighted,
            columns=columns,
            linear=_over_weeks(subject),
            summary=subject.responses,
        ),
        lambda columns: 3.3 if columns > 1 else 7.4,
        "Response, remission and mean change of the rated score over time. Around the shares: 95 % "
        "Wilson intervals, which is Monte-Carlo error. Around the mean change: one standard "
        "deviation of the patients, which is how much patients differ."
        + (
            ""
            if len(arms) <= MOST_BANDS
            else f" With so many arms both stand beside the panel, {AT_ONE_TIME}."
        ),
        "Shares of patients that respond and that remit, and the mean change of the score, over "
        "time and by arm.",
    )
    ranks = cache(lambda: ranked(subject.dataset, hour, weighted=subject.weighted))
    parts += pictured(
        lambda figure, columns: plot_waterfall(
            subject.dataset,
            hour,
            figure,
            weighted=subject.weighted,
            columns=columns,
            ranks=ranks(),
        ),
        lambda columns: 2.3 * rows(columns) + 0.6,
        f"Waterfall: change of the rated score of every patient at {when(hour)}, sorted from the "
        "largest fall. Below the dashed line the score has halved: these patients, in colour, "
        "respond.",
        f"Change of every patient at {when(hour)} by rank; responders: {shares}.",
    )
    return parts


def survival_parts(subject: Subject) -> list[Part]:
    """Kaplan-Meier curves with their table."""
    try:
        table = survival_table(subject)
    except StoreError as error:
        return [Text(f"Time to relapse is left out: {error}.")]
    rows = len(subject.arms)
    drawn = pictured(
        lambda figure, columns: plot_survival(subject.dataset, figure=figure),
        lambda columns: 4.0 + 0.3 * rows,
        "Kaplan-Meier estimate of the share of responders who have not relapsed, with the numbers "
        "still at risk below. Time counts from the visit at which response is judged; arms "
        "therefore start with different patients.",
        "Share of responders without relapse over days, by arm; the table that follows gives it in "
        "numbers.",
    )
    return [*drawn, table]


def dose_parts(subject: Subject) -> list[Part]:
    """Dose-response, if arms differ in dose alone."""
    try:
        series = dose_series(subject.study)
    except StoreError as error:
        return [Text(f"Dose-response is left out: {error}.")]
    label = f"{words(series.drug)} [{series.unit}]"
    apart = ""
    if series.left_out:
        apart = f" Not in the series: {listed([words(arm) for arm in series.left_out])}."
    summary = subject.summary
    if summary is not None:
        return pictured(
            lambda figure, columns: plot_dose_response(
                summary, series.doses, label, subject.dataset, figure, columns=min(columns, 2)
            ),
            lambda columns: 3.3 if columns > 1 else 5.6,
            f"Dose-response: mean change of the rated score and share of responders over the dose "
            f"of {words(series.drug)}, in the same patients. Bars are 95 % intervals (Monte-Carlo "
            f"error); lines between doses are a guide to the eye.{apart}",
            f"Change and response at {listed([when(h) for h in subject.hours])} over "
            f"{len(series.doses)} doses.",
        )
    names = subject.readouts[:MOST_PANELS]
    spread = " Bars hold the middle 90 % of patients." if subject.patients > 1 else ""
    departed = {name: departures(subject.dataset, name, series.doses) for name in names}
    return pictured(
        lambda figure, columns: plot_dose_peaks(
            subject.dataset,
            names,
            series.doses,
            label,
            figure,
            columns=min(columns, 2),
            departed=departed,
        ),
        lambda columns: 2.1 * -(-len(names) // min(columns, 2)) + 0.5,
        f"Dose and mechanism: largest departure of each readout from its value at the start, up or "
        f"down, over the dose of {words(series.drug)}.{spread} Of regional readouts the "
        f"prefrontal cortex is shown.{apart}",
        f"Largest departures of {listed([words(name) for name in names])} over "
        f"{len(series.doses)} doses.",
    )


def exposure_parts(subject: Subject) -> list[Part]:
    """Exposure-response by groups of patients."""
    if subject.summary is None:
        return [Text("Exposure-response of the score is left out: there is no rated score.")]
    hour = subject.main_hour
    try:
        found = by_exposure(subject.dataset, hour)
    except StoreError as error:
        return [Text(f"Exposure-response is left out: {error}.")]
    arms = [words(arm) for arm in found.groups["arm"].values]
    remark = " Patients are as drawn, without weights." if subject.weighted else ""
    return pictured(
        lambda figure, columns: plot_exposure_response(
            found, subject.dataset, hour, figure, columns=min(columns, 2)
        ),
        lambda columns: 3.3 if columns > 1 else 5.8,
        f"Exposure-response: patients of an arm in {GROUPS} groups of equal size by the "
        f"{found.measure} of ketamine in plasma; each point is a group at its median exposure, "
        "with 95 % intervals of mean and share (Monte-Carlo error). Within an arm exposure differs "
        "because patients do, so this is an association, not the effect of dose."
        f"{remark}",
        f"Change and response at {when(hour)} of groups of patients over exposure in "
        f"{listed(arms)}.",
    )


def correlation_parts(subject: Subject, participants: Participants) -> list[Part]:
    """Which drawn numbers go with the change."""
    if not participants.arm:
        return [Text("What goes with the change is left out: there is no change of a rated score.")]
    known = [trait for trait in participants.traits if np.isfinite(trait.correlation)]
    above = sum(abs(trait.correlation) > participants.chance for trait in known)
    return pictured(
        lambda figure, columns: plot_correlations(
            participants.traits, participants.chance, subject.dataset, figure
        ),
        lambda columns: 4.6 if columns > 1 else 5.6,
        f"Spearman rank correlation of covariates and drawn parameters with the change of the "
        f"rated score at {when(subject.main_hour)} in arm {words(participants.arm)}, strongest "
        f"first; bars to the left go with a larger fall. {above} of {len(known)} lie beyond the "
        "dashed lines, which the strongest of all reaches by chance once in twenty times; grey "
        "bars may be luck.",
        "Bars of rank correlations: "
        + listed(
            [
                f"{words(t.name)} {number(t.correlation, 2)}"
                for t in sorted(known, key=lambda t: -abs(t.correlation))[:5]
            ]
        )
        + ".",
    )


def _over_weeks(subject: Subject) -> bool:
    """Whether the study is a course of weeks, which is read more easily on a linear time axis."""
    return float(subject.times.max(initial=0.0)) > LONG


def pictured(
    draw: Callable[[Figure, int], Figure],
    height: Callable[[int], float],
    caption: str,
    alternative: str,
) -> list[Part]:
    """A figure at both widths; a sentence if the store cannot give it.

    Args:
        draw: Draws on a figure with so many columns of panels.
        height: Height for so many columns [inch].
        caption: What is seen.
        alternative: The same in a sentence.
    """
    addresses = []
    for width, columns in ((PAGE, 3), (TELEPHONE, 1)):
        figure = Figure(figsize=(width, height(columns)), layout="constrained")
        try:
            addresses.append(data_uri(draw(figure, columns)))
        except StoreError as error:
            what = caption.partition(":")[0].partition(".")[0]
            return [Text(f"A figure is left out ({what}): {error}.")]
    return [Picture(caption, alternative, *addresses)]
