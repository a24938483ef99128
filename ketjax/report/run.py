"""From a store to its report: look, draw, write."""

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from ketjax.errors import StoreError
from ketjax.report.attachments import attached_figures
from ketjax.report.credibility import context_section, limits_section
from ketjax.report.drawings import (
    cascade_parts,
    correlation_parts,
    dose_parts,
    exposure_parts,
    score_parts,
    survival_parts,
)
from ketjax.report.health import health_section
from ketjax.report.origin import closing, origin_section
from ketjax.report.outcomes import differences, findings, outcome_parts
from ketjax.report.page import Page, Part, Section, Text, render
from ketjax.report.participants import (
    Participants,
    arms_section,
    describe_participants,
    population_section,
)
from ketjax.report.subject import Subject, read_subject


def write_report(
    store: str | Path,
    out: str | Path | None = None,
    *,
    hours: Sequence[float] | None = None,
    weighted: bool = False,
    sensitivity: str | Path | None = None,
    attachments: Sequence[str] = (),
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write the report of a store as one HTML file that needs nothing else.

    Memory holds a few numbers a patient at once, never all courses.

    Args:
        store: A complete store.
        out: The file; ``NAME_report.html`` beside the store if None.
        hours: When outcomes are read [h]; usual hours if None.
        weighted: Whether patients count by the weights of the store.
        sensitivity: Store of a sensitivity analysis.
        attachments: Further figures, each as ``FILE.png=caption``.
        overwrite: Replace a file that is there.
        tell: Called with the name of each part before it is made.

    Returns:
        The file.

    Raises:
        StoreError: There is no complete store, or no complete analysis, or the output exists.
        StudyError: An hour or an attachment is not there; every problem at once.
    """
    say = tell or (lambda _: None)
    path = Path(store)
    target = Path(out) if out is not None else path.with_name(f"{path.stem}_report.html")
    subject = read_subject(path, hours=hours, weighted=weighted)
    _check_output(target, overwrite)
    attached = attached_figures(attachments)
    analysis: list[Part] = []
    if sensitivity is not None:
        from ketjax.report.analyses import analysis_parts  # loads jax: other reports need none

        say("sensitivity")
        analysis = analysis_parts(sensitivity)
    text = render(_page(subject, analysis, attached, say))
    building = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        building.write_text(text, encoding="utf-8")
        os.replace(building, target)
    finally:
        building.unlink(missing_ok=True)
    return target


def _page(
    subject: Subject, analysis: list[Part], attached: list[Part], say: Callable[[str], None]
) -> Page:
    say("outcomes")
    apart = differences(subject)
    say("population")
    participants = describe_participants(subject)
    sections = [
        Section("findings", "In brief", findings(subject, apart)),
        context_section(subject),
        arms_section(subject),
        population_section(subject, participants),
    ]
    say("figures")
    results = score_parts(subject)
    if subject.summary is not None:
        results = [*outcome_parts(subject, subject.summary, apart), *results]
    if results:
        sections.append(Section("results", "Results", results))
    if subject.summary is not None:
        sections.append(Section("relapse", "How long it lasts", survival_parts(subject)))
    sections.append(Section("mechanism", "Mechanism", cascade_parts(subject)))
    sections += [
        Section("exposure", "Dose and exposure", [*dose_parts(subject), *exposure_parts(subject)]),
        Section(
            "sensitivity", "Sensitivity", _sensitivity(subject, participants, analysis, attached)
        ),
        limits_section(subject),
        health_section(subject),
        origin_section(subject),
    ]
    return Page(subject.name, subject.question, _facts(subject), sections, closing(subject))


def _sensitivity(
    subject: Subject, participants: Participants, analysis: list[Part], attached: list[Part]
) -> list[Part]:
    parts = correlation_parts(subject, participants)
    if participants.arm:
        parts.append(
            Text("Correlations find what goes with the outcome, one by one, in this study.")
        )
    if not analysis:
        hint = "`ketjax report --sensitivity STORE` puts one here"
        analysis = [Text(f"No sensitivity analysis of its own is attached ({hint}).")]
    if attached:
        attached = [Text("Attached by whoever wrote this report:"), *attached]
    return [*parts, *analysis, *attached]


def _facts(subject: Subject) -> list[str]:
    attributes, arms = subject.dataset.attrs, len(subject.arms)
    date = str(attributes.get("end_time", ""))[:10]
    return [
        f"{subject.patients:,} virtual {subject.people}"
        if subject.patients > 1
        else f"the typical {subject.people.removesuffix('s')}",
        f"{arms} {'arms' if arms > 1 else 'arm'}",
        *([f"simulated {date}"] if date else []),
        f"ketjax {attributes.get('ketjax_version', 'of unknown version')}",
        f"configuration {str(attributes.get('configuration_sha256', ''))[:12]}",
    ]


def _check_output(target: Path, overwrite: bool) -> None:
    """Refuse a place that is taken or cannot be written, before anything is drawn."""
    if not target.parent.is_dir():
        raise StoreError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise StoreError(f"{target}: is a folder; name a file to write (--out)")
    if os.path.lexists(target) and not overwrite:
        raise StoreError(
            f"{target}: exists already. Choose another output (--out) or replace it (--overwrite)."
        )
