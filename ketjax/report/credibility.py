"""What the answer may be used for, on what it rests, and where it ends."""

import json
from collections import Counter
from typing import Any

from ketjax.dataset import DRAW
from ketjax.evidence.rows import KINDS, read_rows
from ketjax.fields import VALIDATED_DOSE
from ketjax.model.parameters import rows
from ketjax.report.page import Points, Section, Table, Terms, Text
from ketjax.report.subject import Subject
from ketjax.report.wording import listed, words

STATUSES = {
    "measured": "published measurement",
    "derived": "calculated from measurements",
    "fitted": "moved until published summaries agreed",
    "assumed": "a choice without data, to be varied",
    "switch": "set by experiments, no unknown",
}
"""Status of a parameter of the table, and what it means."""


def context_section(subject: Subject) -> Section:
    """Question and context of use, in the terms of model-informed drug development."""
    terms = [
        ("Question of interest", subject.question or "The study states no question."),
        (
            "Context of use",
            f"To explore, in virtual {subject.people}, what a set of "
            "explicit hypotheses about ketamine implies for the question, and to find what is "
            "worth measuring.",
        ),
        (
            "Not for",
            "Clinical decisions, choice or change of a dose for any person, regulatory claims of "
            "efficacy or safety.",
        ),
        (
            "Model influence",
            "None on the treatment of people. Results are hypotheses beside experiments and "
            "trials, never in their place.",
        ),
        (
            "Consequence of a wrong answer",
            "An experiment that was not worth its effort, or one that was not done. Used for "
            "anything beyond this, the consequences have not been assessed.",
        ),
        (
            "Model",
            "A cascade of ordinary differential equations from dose to plasma and brain, receptor "
            "block, disinhibition, glutamate, BDNF and mTORC1, synapses, network and depression "
            "score, with parameters that vary between patients. Expectancy acts beside the drug.",
        ),
    ]
    note = (
        "The terms are those of ICH M15 (general principles of model-informed drug development). "
        "The report follows its order of thought and claims no conformity with it."
    )
    return Section("context", "Question and context of use", [Terms(terms), Text(note)])


def limits_section(subject: Subject) -> Section:
    """What is known of parameters and evidence, and what this study adds to the doubt."""
    return Section(
        "credibility",
        "Credibility and limits",
        [
            Points(_limits(subject)),
            _parameter_table(),
            _evidence_table(),
            Text(
                "How the simulation compares with each finding is not computed for a report: "
                "`ketjax validate` does so. The README of ketjax shows the result, with the "
                "findings that the model misses, and lists its known weaknesses. Findings called "
                "predicted set no parameter; only these test the model."
            ),
        ],
    )


def _limits(subject: Subject) -> list[str]:
    """Limits of this study, in sentences."""
    study, attributes = subject.study, subject.dataset.attrs
    found = [
        "Intervals are Monte-Carlo error of a finite number of virtual patients. Uncertainty of "
        + (
            "parameters is shown between posterior draws of the set; that of the model's form is "
            "in no number."
            if DRAW.name in subject.dataset
            else "parameters and of the model's form is in no number: no posterior was sampled."
        ),
    ]
    if subject.people == "rats":
        found.append("Rats: nothing of this carries over to people by itself.")
    else:
        found.append(
            "The depression score and its spread were fitted to published averages of trials; "
            "single virtual patients are not models of real ones."
        )
    if study.get("allow_extrapolation"):
        found.append(
            "Extrapolation was allowed by the study (allow_extrapolation): doses were not held to "
            f"the range of the model, up to {_validated()}."
        )
    if beyond := _doses_beyond(study):
        found.append(f"Beyond that range: {listed(beyond)}.")
    elif study:
        found.append(
            f"All doses lie within the range that the model accepts, up to {_validated()}."
        )
    moved = [*study.get("parameters", {})]
    for name, arm in study.get("arms", {}).items():
        moved += [f"{path} (arm {words(name)})" for path in arm.get("parameters", {})]
    if moved:
        found.append(f"The study itself sets typical values: {listed(moved)}.")
    if laws := [*study.get("population", {}).get("laws", {})]:
        found.append(f"The study itself says how these vary: {listed(laws)}.")
    if "parameter_set" in attributes:
        found.append(_of_set(attributes["parameter_set"], study.get("set")))
    if failed := failures(subject):
        found.append(
            f"Simulations failed and are left out of every number: {failed}. Failures need not be "
            "missing at random."
        )
    if subject.weighted:
        found.append(
            "Patients count by weights made to meet targets (`ketjax weights`); intervals rest on "
            "the effective sample size, an approximation."
        )
    if "drawn_patient" in subject.dataset:
        found.append(
            "Patients were moved into bounds (`ketjax repair`): they stand for no probability."
        )
    return found


def failures(subject: Subject) -> str:
    """Simulations that did not end well, by status, as text; empty if there are none."""
    try:
        counts = json.loads(str(subject.dataset.attrs.get("patients_by_status", "{}")))
    except ValueError:
        counts = {}
    return listed([f"{n:,} {words(name)}" for name, n in counts.items() if name != "ok" and n])


def _parameter_table() -> Table:
    counts = Counter(row.status for row in rows())
    total = sum(counts.values())
    lines = [
        (status, f"{counts[status]}", f"{100 * counts[status] / total:.0f} %", meaning)
        for status, meaning in STATUSES.items()
    ]
    return Table(
        f"On what the {total} parameters of the model rest",
        ("Status", "Parameters", "Share", "Meaning"),
        lines,
        "Of the installed version of ketjax; `ketjax parameters` prints each with its source.",
        words=True,
    )


def _evidence_table() -> Table:
    evidence = read_rows()
    stages = list(dict.fromkeys(row.stage for row in evidence))
    counts = Counter((row.stage, row.kind) for row in evidence)
    lines = [(words(stage), *[str(counts[stage, kind]) for kind in KINDS]) for stage in stages]
    lines.append(("all", *[str(sum(row.kind == kind for row in evidence)) for kind in KINDS]))
    return Table(
        f"Findings that the model is held against: {len(evidence)}",
        ("Stage of the cascade", *(kind.capitalize() for kind in KINDS)),
        lines,
        "Built in: follows from an equation. Calibrated: was used to set a parameter. Predicted: "
        "neither.",
        folded=True,
    )


def _of_set(name: str, tables: Any) -> str:
    """What a parameter set sets, in words."""
    kinds = {"parameters": "typical values", "laws": "spreads", "correlations": "correlations"}
    counts = [
        f"{len(tables[key])} {words_}"
        for key, words_ in kinds.items()
        if isinstance(tables, dict) and tables.get(key)
    ]
    what = listed(counts) if counts else "Some typical values"
    return f"{what} come from the parameter set {name!r}, all others from the table of parameters."


def _validated() -> str:
    return listed([f"{limit:g} {unit}" for unit, limit in VALIDATED_DOSE.items()], "or")


def _doses_beyond(study: dict[str, Any]) -> list[str]:
    """Doses above the validated range, in words."""
    found = []
    for name, arm in study.get("arms", {}).items():
        for dose in arm.get("doses", ()):
            value, _, unit = str(dose.get("amount", "")).partition(" ")
            try:
                amount = float(value)
            except ValueError:
                continue
            if amount > VALIDATED_DOSE.get(unit, float("inf")):
                found.append(f"{amount:g} {unit} in arm {words(name)}")
    return list(dict.fromkeys(found))
