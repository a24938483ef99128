"""Each equation says what it computes, in which units, and from which source."""

import ast
import re
from pathlib import Path

import pytest

import ketjax
from ketjax.model.parameters import rows
from ketjax.model.sources import SOURCES

FOLDER = Path(ketjax.__file__).parent / "model"
# Tables of data and of types hold no equations.
TABLES = {"__init__", "inputs", "laws", "overrides", "parameters", "readouts", "sources", "states"}
PUBLIC = {
    f"{file.stem}.{node.name}": node
    for file in sorted(FOLDER.glob("*.py"))
    if file.stem not in TABLES
    for node in ast.parse(file.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
}
SECTIONS = ("Equation", "Args", "Returns", "Raises", "Source")
UNIT = re.compile(r"\[[^\]]+\]")
CITATION = re.compile(r"\b[A-Z][A-Za-z]+(?:19|20)\d\d[a-z]?\b")
HEAD = re.compile(r"(?:^|\. )((?:\w+, )*\w+):")
# Smooth functions take a quantity of any unit.
ANY_UNIT = {"smooth.power_ratio", "smooth.hill"}
# Mathematics has no source.
NO_SOURCE = ("smooth.",)


def sections_of(docstring: str) -> dict[str, str]:
    """The summary under "" and the text of each section under its name."""
    parts: dict[str, list[str]] = {"": []}
    name = ""
    for line in docstring.splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            name = line.rstrip(":")
            parts[name] = []
        else:
            parts[name].append(line.strip())
    return {name: "\n".join(lines).strip() for name, lines in parts.items()}


def arguments_of(text: str) -> dict[str, str]:
    """What the Args section says about each argument."""
    found = re.findall(r"^(\w+): (.*(?:\n(?!\w+: ).*)*)", text, re.M)
    return dict(found)


def is_quantity(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "Leaf"


@pytest.mark.parametrize("name", PUBLIC)
def test_equation_is_documented(name: str):
    function = PUBLIC[name]
    sections = sections_of(ast.get_docstring(function) or "")
    assert sections[""], f"{name} has no docstring"
    if "Args" not in sections:
        # A one-line function, its unit at the end of the line where it returns a quantity.
        assert "Equation" not in sections, f"{name} has an equation but no Args"
        assert "\n" not in sections[""], f"{name} needs Args and Returns, or one clear line"
        assert not is_quantity(function.returns) or UNIT.search(sections[""]), f"{name}: unit?"
        return
    assert "Returns" in sections, f"{name} does not say what it returns"
    documented = arguments_of(sections["Args"])
    arguments = function.args.args + function.args.kwonlyargs
    assert list(documented) == [argument.arg for argument in arguments], name
    for argument in arguments:
        if is_quantity(argument.annotation) and name not in ANY_UNIT:
            assert UNIT.search(documented[argument.arg]), f"{name}: unit of {argument.arg}?"
    if is_quantity(function.returns):
        assert "Equation" in sections, f"{name} returns a quantity without an Equation"
        assert UNIT.search(sections["Returns"]), f"{name}: unit of what it returns?"
        assert "Source" in sections or name.startswith(NO_SOURCE), f"{name} has no Source"


@pytest.mark.parametrize("name", PUBLIC)
def test_sources_exist(name: str):
    text = sections_of(ast.get_docstring(PUBLIC[name]) or "").get("Source")
    if text is None:
        return
    heads = {key for head in HEAD.findall(text.replace("\n", " ")) for key in head.split(", ")}
    assert heads, f"{name}: begin a Source with its key and a colon"
    unknown = (heads | set(CITATION.findall(text))) - SOURCES.keys()
    assert not unknown, f"{name}: {unknown} not in ketjax/model/sources.py"


def test_no_source_is_idle():
    used = {row.source for row in rows()}
    text = "\n".join(
        file.read_text(encoding="utf-8") for file in FOLDER.glob("*.py") if file.stem != "sources"
    )
    idle = [key for key in SOURCES if key not in used and not re.search(rf"\b{key}\b", text)]
    assert not idle


def test_sources_are_well_formed():
    for key, source in SOURCES.items():
        assert source.mark in ("read", "secondary", "unverified", "derived", "assumed"), key
        assert source.reference and source.preparation, key
        assert re.fullmatch(r"(10\.\d{4,}/[^\s()]+)?", source.doi), key
