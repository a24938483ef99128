"""The text of a manifest: reading the file and its TOML, and saying where a problem stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ketjax.errors import Problem, StudyError, did_you_mean, show

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]")
_SETTING = re.compile(r"""\s*([A-Za-z0-9_\-."' ~]+?)\s*=""")
_TOML_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


def read_text(path: Path) -> str:
    """The text of a manifest.

    Args:
        path: a file in UTF-8; a byte order mark is skipped.

    Returns:
        Its text.

    Raises:
        StudyError: if it is missing, a directory, not readable, empty or not UTF-8.
    """
    if path.is_dir():
        raise _unreadable("this is a directory", "file_is_directory", "name the .toml file in it")
    if not path.exists():
        near = did_you_mean(path.name, (other.name for other in path.parent.glob("*.toml")))
        raise _unreadable("there is no such file", "file_missing", near)
    if not path.is_file():
        raise _unreadable("this is no regular file", "file_not_regular")
    try:
        data = path.read_bytes()
    except PermissionError:
        raise _unreadable("no permission to read the file", "file_permission") from None
    except OSError as error:
        raise _unreadable(f"the file cannot be read: {error.strerror}", "file_unreadable") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}"
        raise _unreadable(message, "file_encoding", "save the file as UTF-8") from None
    if not text.strip():
        hint = "start from studies/s01_single_infusion.toml"
        raise _unreadable("the file is empty", "file_empty", hint)
    return text


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a manifest.

    Args:
        text: TOML.

    Returns:
        Nested dictionaries.

    Raises:
        StudyError: if it is no TOML; with line and column where they are known.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem("", "the tables are nested too deeply", code="toml_syntax")
        raise StudyError(problem) from None
    except ValueError as error:
        message, excerpt, position = str(error), "", ""
        found = _TOML_POSITION.search(message)
        if found and found[1]:
            row, column = int(found[1]), int(found[2])
            line = (text.splitlines() or [""])[min(row, text.count("\n") + 1) - 1]
            excerpt = "".join(letter if letter.isprintable() else "?" for letter in line)
            excerpt = f"{excerpt[:80]}\n{'^':>{min(column, 80) + 11}}"
            position = f"{row}:{column}"
        message = f"this is no TOML: {_TOML_POSITION.sub('', message)}"
        hint = "text stands in quotes, a key is given once, a table begins with [name]"
        problem = Problem("", message, excerpt, "", hint, "toml_syntax", position)
        raise StudyError(problem) from None


def explain(error: ValidationError, model: type[BaseModel], text: str = "") -> list[Problem]:
    """Every problem that pydantic found, in the words of ketjax.

    Args:
        error: what pydantic raised.
        model: the model that was to be made.
        text: the TOML, if there is any, to say in which line a problem stands.

    Returns:
        The problems, in the order of the model's fields.
    """
    return located([p for item in error.errors() for p in _translate(item, model)], text)


def located(problems: Iterable[Problem], text: str) -> list[Problem]:
    """The problems, each with the line of the TOML in which it stands."""
    lines = _lines(text)
    return [replace(problem, position=_line(problem.place, lines)) for problem in problems]


def _unreadable(message: str, code: str, hint: str = "") -> StudyError:
    return StudyError(Problem("", message, hint=hint, code=code))


def _translate(item: Mapping[str, Any], model: type[BaseModel]) -> list[Problem]:
    """The problems in one error of pydantic; a `StudyError` raised by a check passes through."""
    steps = [step for step in item["loc"] if step != "[key]"]
    place, kind, context = _place(steps), item["type"], item.get("ctx", {})
    if isinstance(context.get("error"), StudyError):
        return [problem.under(place) for problem in context["error"].problems]
    if kind == "missing":
        return [Problem(place, "this is missing", hint="add it", code="missing")]
    if kind == "extra_forbidden":
        known = sorted(_keys(steps[:-1], model))
        allowed, hint = ", ".join(known), did_you_mean(steps[-1], known)
        return [Problem(place, "unknown key", show(item["input"]), allowed, hint, "unknown_key")]
    allowed = item["msg"].removeprefix("Input should be ").removeprefix("String should ")
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        hint = did_you_mean(item["input"], known)
        allowed = ", ".join(known)
        return [Problem(place, "unknown name", show(item["input"]), allowed, hint, "unknown_name")]
    if kind == "string_pattern_mismatch":
        allowed = "1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot"
    if kind == "too_short":
        allowed = "at least one"
    code = "wrong_type" if kind.endswith(("_type", "_from_float")) else "out_of_range"
    code = "not_finite" if kind == "finite_number" else code
    message = "this is of the wrong kind" if code == "wrong_type" else "this is not allowed"
    return [Problem(place, message, show(item["input"]), allowed, "", code)]


def _keys(steps: list[Any], model: Any) -> set[str]:
    """The keys that may stand in the table at this place."""
    for step in steps:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[step].annotation
        elif type(None) in get_args(model):
            model = get_args(model)[0].model_fields[step].annotation
        else:  # the items of a dictionary or a tuple
            model = [kind for kind in get_args(model) if kind is not Ellipsis][-1]
        while hasattr(model, "__metadata__"):
            model = get_args(model)[0]
    if type(None) in get_args(model):
        model = get_args(model)[0]
    return set(model.model_fields)


def _place(steps: list[Any]) -> str:
    """A place such as `arms.ketamine.doses[0].amount`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else show(step)
            text += f".{key}" if text else key
    return text


def _lines(text: str) -> dict[str, int]:
    """The line in which each table and key of simple TOML stands, by place."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _unquoted(header[2])
            for array, count in counts.items():
                if table.startswith(f"{array}."):
                    table = f"{array}[{count}]{table.removeprefix(array)}"
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, number)
                table = f"{table}[{counts[table]}]"
            lines.setdefault(table, number)
        elif setting := _SETTING.match(line):
            key = _unquoted(setting[1])
            lines.setdefault(f"{table}.{key}" if table else key, number)
    return lines


def _line(place: str, lines: dict[str, int]) -> str:
    """The line of a place, or of the nearest table around it; empty if unknown."""
    place = _unquoted(place)
    while place and place not in lines:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return str(lines[place]) if place else ""


def _unquoted(key: str) -> str:
    return re.sub(r"""["'\s]""", "", key)
