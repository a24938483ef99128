"""Can the numbers be trusted as numbers? What the solver said of its own work."""

import json

from ketjax.dataset import disagreement
from ketjax.report.page import Section, Table, Text
from ketjax.report.subject import Subject
from ketjax.report.wording import DASH, significant, words

FAILED_SHARE = 1e-4
"""Largest share of failed simulations at which nothing is said of them [1]."""

WITHIN = 0.9
"""Least share of patients within the tolerance at which the errors are called small [1]."""

LARGE_ERROR = 10.0
"""Largest local error, over the tolerance, at which they are."""

FAR = 1e-2
"""Distance between float32 and float64 at which rounding is seen [scale of a readout]."""


def health_section(subject: Subject) -> Section:
    """Status of the patients, local errors, single against double precision, and the verdict."""
    attributes = subject.dataset.attrs
    solver = subject.study.get("solver", {})
    ended = _ended(subject)
    total = sum(ended.values())
    failed = total - ended.get("ok", 0)
    within, largest = attributes.get("within_tolerance"), attributes.get("largest_solver_error")
    apart = disagreement(subject.dataset)
    rows = [
        ("Method", "Rosenbrock (linearly implicit), one mesh of steps for all patients"),
        ("Relative tolerance", f"{solver['rtol']:g}" if "rtol" in solver else DASH),
        ("Floating-point type", str(solver.get("dtype", _dtype(subject)))),
        ("Steps", f"{attributes['steps']:,}" if "steps" in attributes else DASH),
        *(
            (f"Simulations ended: {words(name)}", f"{number:,} of {total:,}")
            for name, number in ended.items()
        ),
        (
            "Patients whose largest local error is within the tolerance",
            DASH if within is None else f"{100 * within:.1f} %",
        ),
        (
            "Largest local error of all, over the tolerance",
            DASH if largest is None else significant(largest, 2),
        ),
        (
            "Float32 against float64, largest distance over the readout's scale",
            "not examined in this run"
            if apart is None
            else f"{apart[1]:.1e} ({words(apart[0])}), {attributes.get('audited_patients', 0):,} "
            "patients",
        ),
    ]
    table = Table("What the solver says of its work", ("", "Value"), rows, words=True)
    text, worrying = _verdict(failed, total, within, largest, apart)
    return Section("solver", "Solver health", [Text(text, strong=worrying), table])


def _verdict(
    failed: int,
    total: int,
    within: float | None,
    largest: float | None,
    apart: tuple[str, float] | None,
) -> tuple[str, bool]:
    """What it comes to, in words, and whether the reader must be warned."""
    doubts = []
    if total and failed > FAILED_SHARE * total:
        doubts.append(
            f"{failed:,} of {total:,} simulations failed ({100 * failed / total:.2g} %): numbers "
            "speak of the others only"
        )
    if within is None or largest is None:
        doubts.append("the store does not say which tolerance the steps kept")
    elif within < WITHIN or largest > LARGE_ERROR:
        doubts.append(
            f"local errors exceed the tolerance in {100 * (1 - within):.0f} % of the patients, by "
            f"up to {significant(largest, 2)} times: run the study again with a smaller rtol"
        )
    if apart is not None and apart[1] > FAR:
        doubts.append(
            f"single precision is {apart[1]:.1e} of the scale of {words(apart[0])} off: run the "
            "study again with float64"
        )
    if doubts:
        return f"With caution: {'; '.join(doubts)}.", True
    text = (
        "As solutions of the equations the numbers can be trusted: "
        + ("every simulation ended well" if not failed else f"{failed:,} of {total:,} failed")
        + ", and local errors stay near or below the tolerance."
    )
    if apart is None:
        text += (
            " How far single precision is off was not examined in this run; `ketjax run --audit` "
            "does so."
        )
    return f"{text} This says nothing of whether the equations are right.", False


def _ended(subject: Subject) -> dict[str, int]:
    """Simulations (a patient in an arm) by status."""
    try:
        counts = json.loads(str(subject.dataset.attrs["patients_by_status"]))
        return {str(name): int(number) for name, number in counts.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        good = int((subject.dataset["status"] == 0).sum())
        total = subject.patients * len(subject.arms)
        return {"ok": good, **({"failed": total - good} if total > good else {})}


def _dtype(subject: Subject) -> str:
    names = subject.readouts
    return str(subject.dataset[names[0]].dtype) if names else DASH
