"""What came out, in numbers: outcomes by arm and time, differences within patients, relapse."""

import numpy as np
import xarray as xr

from ketjax.analysis import describe_draws, summarise, wilson
from ketjax.analysis.comparisons import compare
from ketjax.analysis.draws import format_interval
from ketjax.analysis.survival import RELAPSE_STATES
from ketjax.dataset.schema import OK
from ketjax.errors import StoreError
from ketjax.report.page import Part, Points, Table, Text
from ketjax.report.subject import Subject
from ketjax.report.wording import DASH, MINUS, interval, listed, number, when, words

OUTCOMES = ("madrs_change", "response", "remission")
CODES = {state: code for code, state in RELAPSE_STATES.items()}
NOT_TRUTH = (
    "Intervals say how much another draw of so many virtual patients would differ (Monte-Carlo "
    "error). They shrink with the number of patients, and say nothing of how far the model is from "
    "real patients."
)


def differences(subject: Subject) -> xr.Dataset | None:
    """First arm less each other arm within patients, or each less the first if that is a sham.

    None where there is nothing to compare.
    """
    if subject.summary is None or len(subject.arms) < 2:
        return None
    try:
        found = compare(subject.dataset, subject.hours, weighted=subject.weighted)
    except StoreError:
        return None
    if subject.sham_first:
        for name in OUTCOMES:
            low, high = f"{name}_low", f"{name}_high"
            found[low], found[high], found[name] = -found[high], -found[low], -found[name]
    return found


def findings(subject: Subject, apart: xr.Dataset | None) -> list[Part]:
    """The answer in a few sentences."""
    if subject.summary is None:
        return [Text(subject.no_summary), Text(_kept(subject))]
    hour, first = subject.main_hour, subject.lead
    own = subject.summary.sel(arm=first, hour=hour)
    error = float(own["madrs_change_sd"]) / np.sqrt(_count(own))
    place = ", where the arms lie furthest apart," if len(subject.arms) > 1 else ""
    items = [
        f"{when(hour)} after the start{place} the rated MADRS has changed by "
        f"{number(float(own['madrs_change']))} points on average in arm {words(first)} (standard "
        f"error {number(error, 2)}); {number(float(own['response']))} % of the patients respond "
        f"({_bounds(own, 'response')}) and {number(float(own['remission']))} % are in remission "
        f"({_bounds(own, 'remission')})."
    ]
    if apart is not None:
        others = [first] if subject.sham_first else [str(arm) for arm in apart["arm"].values[:4]]
        for arm in others:
            gap = apart.sel(arm=arm, hour=hour)
            other = subject.arms[0] if subject.sham_first else arm
            items.append(
                f"Against {words(other)}, in the same patients: "
                f"{number(float(gap['madrs_change']), sign=True)} points "
                f"({_bounds(gap, 'madrs_change')}), and "
                f"{number(float(gap['response']), sign=True)} percentage points of response "
                f"({_bounds(gap, 'response')})."
            )
    last = subject.hours[-1]
    if last != hour:
        late = subject.summary.sel(arm=first, hour=last)
        items.append(
            f"At {when(last)}, the last of the hours reported, the mean change is "
            f"{number(float(late['madrs_change']))} points and {number(float(late['response']))} % "
            f"respond ({_bounds(late, 'response')})."
        )
    return [Points(items), Text(f"Intervals in parentheses are 95 %. {NOT_TRUTH}")]


def outcome_parts(subject: Subject, summary: xr.Dataset, apart: xr.Dataset | None) -> list[Part]:
    """Tables of outcomes and of differences."""
    parts: list[Part] = [_outcome_table(subject, summary)]
    if apart is None:
        why = "the store keeps no scores of single patients"
        if len(subject.arms) < 2:
            why = "the study has one arm"
        parts.append(Text(f"Differences between arms are left out: {why}."))
    else:
        parts.append(_difference_table(subject, apart))
    if "dropout_time" in subject.dataset:
        parts.append(_dropout_table(subject))
    return parts


def survival_table(subject: Subject) -> Table:
    """Responders and how many of them are still well, by arm.

    Raises:
        StoreError: The store has no time to relapse.
    """
    if "time_to_relapse" not in subject.dataset:
        raise StoreError(
            "the store has no time_to_relapse; ask for it in [output] of the study: "
            'outcomes = ["time_to_relapse"] and relapse = "..."'
        )
    shown = subject.dataset[["time_to_relapse", "relapse_state", "status"]].compute()
    end = float(shown["time_to_relapse"].max()) if shown["time_to_relapse"].notnull().any() else 0
    marks = [24.0 * day for day in (7, 14, 28, 56, 84) if 24.0 * day < end]
    rows = []
    for arm in subject.arms:
        one = shown.sel(arm=arm)
        state = one["relapse_state"].to_numpy()
        at_risk = (one["status"].to_numpy() == OK) & (state != CODES["never_responded"])
        hours, lost = (
            one["time_to_relapse"].to_numpy()[at_risk],
            state[at_risk] == CODES["relapsed"],
        )
        cells = []
        for mark in marks:
            well = int((~(lost & (hours <= mark))).sum())
            low, high = (float(x) for x in wilson(well, hours.size))
            share = 100 * well / hours.size if hours.size else np.nan
            cells.append(f"{number(share)} ({interval(100 * low, 100 * high)})")
        gone = hours[lost]
        half = np.sort(gone)[int(np.ceil(hours.size / 2)) - 1] / 24.0 if (
            gone.size and 2 * gone.size >= hours.size
        ) else np.nan  # fmt: skip
        rows.append(
            (
                words(arm),
                f"{hours.size:,}",
                f"{gone.size:,} ({100 * gone.size / max(hours.size, 1):.0f} %)",
                number(float(half), 0) if np.isfinite(half) else "not reached",
                *cells,
            )
        )
    return Table(
        "Responders still well, counted from the visit at which response was judged",
        (
            "Arm",
            "Responders",
            "Relapsed",
            "Median [d]",
            *(f"Well at {when(mark)} [%]" for mark in marks),
        ),
        rows,
        "Everybody is followed to the last visit, so shares are plain ones, with 95 % Wilson "
        f"intervals. Rule: {shown['relapse_state'].attrs.get('long_name', 'unknown')}.",
    )


def _outcome_table(subject: Subject, summary: xr.Dataset) -> Table:
    drawn, weighted = "n_draws" in summary, "n_effective" in summary
    heads = ["Time", "Patients", *(["Effective"] if weighted else []), "Failed"]
    labels = ("Mean change (SE)", "Response, % (95\u00a0%)", "Remission, % (95\u00a0%)")
    heads += [h for label in labels for h in ((label, "between draws") if drawn else (label,))]
    heads.insert(heads.index(labels[1]), "SD")
    rows: list[tuple[str, ...]] = []
    for arm in subject.arms:
        rows.append((words(arm),))
        for hour in subject.hours:
            own = summary.sel(arm=arm, hour=hour)
            row = {str(name): float(value) for name, value in own.data_vars.items()}
            error = row["madrs_change_sd"] / np.sqrt(_count(own))
            cells = {
                "madrs_change": f"{number(row['madrs_change'])} ({number(error, 2)})",
                **{
                    name: f"{number(row[name])} ({_bounds(own, name)})"
                    for name in ("response", "remission")
                },
            }
            line = [when(hour), f"{row['n_ok']:,.0f}"]
            line += [f"{row['n_effective']:,.0f}"] if weighted else []
            line += [f"{row['n_failed']:,.0f}"]
            for name in OUTCOMES:
                line.append(cells[name])
                line += [format_interval(row, name).replace("-", MINUS)] if drawn else []
                line += [number(row["madrs_change_sd"])] if name == "madrs_change" else []
            rows.append(tuple(line))
    note = (
        "Change of the rated MADRS from entry [points]. Response: score fallen by at least half; "
        "remission: 10 points or fewer. SE: standard error, SD/\u221an of the patients, intervals "
        "of shares are Wilson's."
    )
    if weighted:
        note += " Patients count by their weights; errors rest on the effective sample size."
    if drawn:
        note += f" {describe_draws(summary).strip()} These show the uncertainty of parameters."
    return Table(
        "Change of the score, response and remission, with Monte-Carlo error", heads, rows, note
    )


def _difference_table(subject: Subject, apart: xr.Dataset) -> Table:
    first = words(subject.arms[0])
    rows: list[tuple[str, ...]] = []
    for arm in apart["arm"].values:
        pair = (words(arm), first) if subject.sham_first else (first, words(arm))
        rows.append((" less ".join(pair),))
        for hour in subject.hours:
            own = apart.sel(arm=arm, hour=hour)
            cells = [f"{number(float(own[n]), sign=True)} ({_bounds(own, n)})" for n in OUTCOMES]
            rows.append((when(hour), f"{int(own['pairs']):,}", *cells))
    return Table(
        "Differences within patients: "
        + (f"each arm less {first}" if subject.sham_first else f"{first} less each other arm"),
        (
            "Time",
            "Pairs",
            "Change, points (95\u00a0%)",
            "Response, percentage points (95\u00a0%)",
            "Remission, percentage points (95\u00a0%)",
        ),
        rows,
        "Each patient is compared with itself. Intervals: normal of the paired differences of the "
        "change; of shares from patients that reach the outcome in one arm only (Agresti and Min "
        "2005).",
    )


def _dropout_table(subject: Subject) -> Table:
    """Response when those who left count in different ways, at the last hour."""
    hour, rows = subject.hours[-1], []
    ways = {"none": "as if nobody left", "last": "last rated score", "entry": "score at entry"}
    for arm in subject.arms:
        cells, left = [], DASH
        for way in ways:
            found = summarise(subject.dataset, [hour], missing=way, weighted=subject.weighted)  # type: ignore[arg-type]
            own = found.sel(arm=arm, hour=hour)
            cells.append(f"{number(float(own['response']))} ({_bounds(own, 'response')})")
            left = f"{int(own['n_left']):,}" if "n_left" in own else left
        rows.append((words(arm), left, *cells))
    return Table(
        f"Response at {when(hour)}, by what stands for the scores of patients who have left",
        ("Arm", "Left", *(f"Response %, {text}" for text in ways.values())),
        rows,
        "All other numbers of this report are those of a full follow-up.",
    )


def _kept(subject: Subject) -> str:
    names = [words(name) for name in subject.readouts]
    shown = listed(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    return f"Courses kept in the store: {shown}." if names else "The store keeps no courses."


def _bounds(own: xr.Dataset, name: str) -> str:
    return interval(float(own[f"{name}_low"]), float(own[f"{name}_high"]))


def _count(own: xr.Dataset) -> float:
    return float(own["n_effective" if "n_effective" in own else "n_ok"])
