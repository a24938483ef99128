"""What a sensitivity analysis varies, as a manifest writes it and as the table completes it.

[sensitivity.parameters]
uncertain = {}                                          # all assumed, fitted and derived numbers
plasticity = { range = "bounds" }                       # a group of the table
"score.weight_potentiation" = { low = 0.3, high = 0.9 }
"bdnf.release_gain" = { factor = 2 }
"receptors.kd_interneuron.spread" = {}                  # how patients differ, not the typical one

or a list of names, for the defaults. Each factor is drawn from a law of its own, independent of the
others. Where nothing is said, the law is the prior that a fit would have: about the value, on the
scale of the parameter, with an SD by its status (`fit.free`), cut off at its range.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fields import refuse
from ketjax.fit.free import Kind, table, units_of
from ketjax.model.overrides import INTERACTIONS, OVERRIDES
from ketjax.posteriors import SPREAD
from ketjax.units import display, is_plain, parse

Source = Literal["status", "law", "bounds"]
SOURCES = ("status", "law", "bounds")
KEYS = ("low", "high", "law", "factor", "range")
LAWS = ("uniform", "log-uniform")
UNCERTAIN = "uncertain"
UNCERTAIN_STATUS = ("assumed", "derived", "fitted")


@dataclasses.dataclass(frozen=True)
class Asked:
    """One line of `[sensitivity.parameters]` as it is written.

    Attributes:
        name: Path, path and ".spread", "path ~ path", or a group: the first part of paths, or
            "uncertain".
        low: Lower end [unit].
        high: Upper end [unit].
        law: Between the ends.
        factor: From the value over this to the value times this.
        range: Where the law comes from if nothing of that is given.
    """

    name: str
    low: float | None = None
    high: float | None = None
    law: str | None = None
    factor: float | None = None
    range: Source = "status"


def groups() -> dict[str, list[str]]:
    """Paths by the groups of the table, and those whose value is uncertain.

    What named interactions multiply with is 1 for certain in patients without one.
    """
    found: dict[str, list[str]] = {UNCERTAIN: []}
    certain = {path for name in INTERACTIONS for path in OVERRIDES[name]}
    for path, row in table().items():
        parts = path.split(".")
        for end in range(1, len(parts)):
            found.setdefault(".".join(parts[:end]), []).append(path)
        if row.status in UNCERTAIN_STATUS and path not in certain:
            found[UNCERTAIN].append(path)
    return found


def _read(value: Any) -> dict[str, Asked]:
    """What is varied, by name; a list, or a table in which nested and dotted keys are the same."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        if repeated := sorted({name for name in value if value.count(name) > 1}):
            problems = [Problem(show(n), "given twice", code="duplicate") for n in repeated]
            raise StudyError(problems)
        value = {name: {} for name in value}
    if not isinstance(value, dict) or not value:
        allowed = 'names, such as ["uncertain"], or a table such as { plasticity = {} }'
        raise StudyError(Problem("", "parameters are needed", show(value), allowed, "", "missing"))
    problems: list[Problem] = []
    found: dict[str, Asked] = {}
    known = {*table(), *groups()}
    pending = list(value.items())
    while pending:
        name, given = pending.pop(0)
        nested = isinstance(given, dict) and any(isinstance(v, dict) for v in given.values())
        if nested:
            inner = {key: v for key, v in given.items() if isinstance(v, dict)}
            pending = [(f"{name}.{key}", v) for key, v in inner.items()] + pending
            given = {key: v for key, v in given.items() if key not in inner}
            if not given:
                continue
        if "~" in name:
            name = " ~ ".join(sorted(part.strip() for part in name.split("~")))
        if name in found:
            problems.append(Problem(name, "given twice", show(given), code="duplicate"))
        elif (asked := _asked(name, given, known, problems)) is not None:
            found[name] = asked
    refuse(problems)
    return found


def _asked(name: str, given: Any, known: set[str], problems: list[Problem]) -> Asked | None:
    """One line; None, and what is wrong with it added to the problems, if it makes no sense."""
    before = len(problems)
    base = name.removesuffix(SPREAD) if name not in known else name
    parts = [part.strip() for part in name.split("~")]
    kind: Kind = "correlation" if len(parts) > 1 else "spread" if base != name else "typical value"
    if kind == "correlation" and (len(parts) != 2 or parts[0] == parts[1]):
        allowed = '"path ~ path", two different parameters'
        problems.append(Problem(name, "two paths are needed", "", allowed, "", "wrong_type"))
        return None
    for part in parts if kind == "correlation" else [base]:
        names = table() if kind == "correlation" else known
        problems += check_name(name, part, names, "parameter or group")
    if not isinstance(given, dict):
        allowed = "a table: {} for the defaults, or { low = .., high = .. }, or { factor = 2 }"
        problems.append(Problem(name, "a table is needed", show(given), allowed, "", "wrong_type"))
    if len(problems) > before:
        return None
    for key in given:
        problems += check_name(f"{name}.{key}", key, KEYS, "key")
    numbers: dict[str, Any] = {}
    is_group = base not in table() and kind != "correlation"
    unit = "1" if is_group else units_of(kind, table()[parts[0] if len(parts) > 1 else base])[0]
    for key, of in (("low", unit), ("high", unit), ("factor", "1")):
        if key not in given:
            continue
        if key != "factor" and is_group:
            message = "a group has no common ends"
            hint = "name its parameters, or write factor or range"
            problems.append(Problem(f"{name}.{key}", message, show(given[key]), "", hint, "group"))
            continue
        try:
            numbers[key] = parse(given[key], of)
        except StudyError as error:
            problems += [problem.under(f"{name}.{key}") for problem in error.problems]
    if not numbers.get("factor", 2.0) > 1:
        shown = show(given["factor"])
        problems.append(
            Problem(f"{name}.factor", "nothing would vary", shown, "above 1", "", "out_of_range")
        )
    for key, allowed in (("range", SOURCES), ("law", LAWS)):
        if key in given:
            problems += check_name(f"{name}.{key}", given[key], allowed, key)
            numbers[key] = given[key]
    ways = [("low" in given or "high" in given), "factor" in given, "range" in given]
    if sum(ways) > 1 or ("law" in given and not ways[0]) or ("low" in given) != ("high" in given):
        allowed = "low and high (with law, if wanted), or factor, or range"
        problems.append(Problem(name, "one range is needed", show(given), allowed, "", "ambiguous"))
    return Asked(name, **numbers) if len(problems) == before else None


def _write(asked: dict[str, Asked]) -> dict[str, dict[str, Any]]:
    """What is varied, as the manifest writes it."""
    written: dict[str, dict[str, Any]] = {}
    for name, one in asked.items():
        line: dict[str, Any] = {}
        for key in ("low", "high"):
            if (number := getattr(one, key)) is not None:
                kind = "spread" if name not in table() else "typical value"
                path = name.split(" ~ ")[0].removesuffix(SPREAD if kind == "spread" else "")
                unit = "1" if "~" in name else units_of(kind, table()[path])[0]
                line[key] = number if is_plain(unit) else display(number, unit)
        for key in ("law", "factor"):
            if getattr(one, key) is not None:
                line[key] = getattr(one, key)
        if one.range != "status":
            line["range"] = one.range
        written[name] = line
    return written


FactorTable = Annotated[dict[str, Asked], BeforeValidator(_read), PlainSerializer(_write)]
