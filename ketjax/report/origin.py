"""Where the numbers come from, and how to make them again."""

import json
import shlex
from typing import Any

import ketjax
from ketjax.report.page import Listing, Part, Section, Terms, Text
from ketjax.report.subject import Subject, choose_hours
from ketjax.report.wording import DASH


def origin_section(subject: Subject) -> Section:
    """Versions, seed, dates, device, the manifest in full, and the command that repeats it."""
    attributes, provenance = subject.dataset.attrs, subject.provenance
    versions = provenance.get("versions", {})
    device = provenance.get("device", {})
    terms = [
        ("Store", subject.path.name),
        ("Configuration (SHA-256)", str(attributes.get("configuration_sha256", DASH))),
        ("ketjax", str(attributes.get("ketjax_version", DASH))),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in versions.items()) or DASH),
        ("Device", ", ".join(f"{name} {value}" for name, value in device.items()) or DASH),
        ("Compiler flags", str(provenance.get("xla_flags") or DASH)),
        ("Seed", str(attributes.get("seed", DASH))),
        ("Random numbers", str(provenance.get("streams", DASH))),
        (
            "Simulated",
            f"{attributes.get('start_time', DASH)} to {attributes.get('end_time', DASH)}",
        ),
    ]
    if subject.weighted:
        weights = subject.dataset["weight"].attrs
        terms.append(("Weights", str(weights.get("digest", weights.get("targets", DASH)))))
    parts: list[Part] = []
    if not subject.study:
        parts.append(Text("The store does not hold its study: it cannot be made again from here."))
    elif provenance.get("digest") != attributes.get("configuration_sha256"):
        parts.append(
            Text(
                "The store was made from this study by more than a run (such as `ketjax repair`): "
                "the study alone does not make it again."
            )
        )
    else:
        file = f"{subject.name}.toml"
        store = f"{subject.name}.zarr"
        run = f"ketjax run {shlex.quote(file)} --out {shlex.quote(store)}"
        weights = (
            "Between the two, `ketjax weights` writes the weights. " if subject.weighted else ""
        )
        parts += [
            Text(
                f"Save the study below as {file}; then this command simulates it again and writes "
                "this report:"
            ),
            Listing("", f"{run} && ketjax report {shlex.quote(store)}{_options(subject)}"),
            Text(
                f"{weights}With the versions below on the same kind of device the store is equal "
                "to the bit; on others, numbers agree within the tolerance of the solver."
            ),
        ]
    if subject.study:
        text = toml_text(subject.study)
        parts.append(Listing("The study in full (TOML)", text, f"{subject.name}.toml"))
    parts.append(Terms(terms))
    record = {key: value for key, value in provenance.items() if key != "study"}
    parts.append(Listing("The record of the run in full (JSON)", json.dumps(record, indent=2)))
    return Section("provenance", "Provenance and reproduction", parts)


def toml_text(tables: dict[str, Any]) -> str:
    """Tables of a study as TOML, one line a setting.

    Args:
        tables: What `Study.to_dict` gives: text, numbers, booleans, lists and tables.

    Returns:
        TOML that `Study.parse` reads back to an equal study.
    """
    lines = [
        f"{_key(name)} = {_value(value)}" for name, value in tables.items() if not _inner(value)
    ]
    for name, value in tables.items():
        if _inner(value):
            lines += _table(value, _key(name))
    return "\n".join(lines) + "\n"


def _table(table: dict[str, Any], place: str) -> list[str]:
    lines = ["", f"[{place}]"]
    lines += [
        f"{_key(name)} = {_value(value)}" for name, value in table.items() if not _inner(value)
    ]
    for name, value in table.items():
        if _inner(value):
            lines += _table(value, f"{place}.{_key(name)}")
    return lines


def _inner(value: Any) -> bool:
    return isinstance(value, dict)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    """A value in TOML, whose text, numbers and booleans are those of JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")


def _options(subject: Subject) -> str:
    """Options of the report that are not the usual ones."""
    options = " --weighted" if subject.weighted else ""
    if subject.hours and subject.hours != choose_hours(subject.times, None):
        options += f" --hours {','.join(f'{hour:g}' for hour in subject.hours)}"
    return options


def closing(subject: Subject) -> str:
    """Last line of the report."""
    return (
        f"Written by ketjax {ketjax.__version__} from {subject.path.name}. Research model, not for "
        "clinical use."
    )
