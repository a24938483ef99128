"""What rests on which source: parameters by path, equations by module and function."""

import ast
import re
from pathlib import Path

from ketjax.model.parameters import rows
from ketjax.model.sources import SOURCES

HEAD = ("source", "mark", "species", "reference", "doi", "parameters", "equations")


def resting_on() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The sources with what rests on them.

    Returns:
        Head and lines of a table, in the order of the list of sources.
    """
    parameters: dict[str, list[str]] = {key: [] for key in SOURCES}
    for row in rows():
        parameters[row.source].append(row.path)
    equations: dict[str, list[str]] = {key: [] for key in SOURCES}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                named = (ast.get_docstring(node) or "").partition("Source:")[2]
                for key in set(re.findall(r"\w+", named)) & SOURCES.keys():
                    equations[key].append(f"{file.stem}.{node.name}")
    return HEAD, [
        (
            key,
            source.mark,
            source.species,
            source.reference,
            source.doi,
            " ".join(parameters[key]),
            " ".join(equations[key]),
        )
        for key, source in SOURCES.items()
    ]
