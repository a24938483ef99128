"""Imports go down only: which room may import which, and which library lives where."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ketjax

PACKAGE = Path(ketjax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Room: rooms below that it may import, and libraries beyond the standard library.
ROOMS: dict[str, tuple[str, str]] = {
    "errors": ("", ""),
    "backend": ("", ""),
    "units": ("errors", "pint"),
    "regimen": ("errors units", "numpy"),
    # The science and the numerics: they never import each other.
    "model": ("", "jax numpy"),
    "solve": ("", "jax numpy"),
    "population": ("model", "jax numpy scipy"),
    "observation": ("model population", "numpy scipy"),
    "agents": ("model regimen", "numpy"),
    "schedule": ("agents model regimen", "numpy"),
    "individuals": ("model regimen schedule solve", "jax numpy"),
    "simulate": (
        "individuals model observation population regimen schedule solve",
        "jax numpy",
    ),
    # What is asked.
    "fields": ("errors regimen units", "numpy pydantic"),
    "manifest": ("errors", "pydantic"),
    "variation": ("errors fields units", "pydantic"),
    "arms": ("errors fields regimen", "pydantic"),
    "posteriors": ("arms errors fields manifest variation", "numpy pydantic"),
    "sets": ("arms errors fields manifest posteriors units variation", "pydantic"),
    "study": ("arms errors fields manifest regimen sets units variation", "numpy pydantic"),
    # The side wing: neither jax nor the model.
    "dataset": ("errors", "dask numpy pandas pyarrow xarray zarr"),
    "analysis": ("dataset errors", "dask numpy scipy threadpoolctl xarray"),
    "figures": ("analysis dataset errors", "matplotlib numpy xarray"),
    "tables": ("", ""),
    # What weights shall meet, and the weights.
    "targets": ("analysis arms dataset errors fields manifest units", "pydantic xarray"),
    "weighting": ("analysis dataset errors targets", "numpy"),
    # The roof.
    "trials": (
        "analysis dataset errors model population regimen simulate study",
        "numpy scipy",
    ),
    "vocabulary": ("analysis fields model observation population schedule simulate trials", ""),
    "condense": ("analysis dataset errors model observation study", "numpy xarray"),
    "doctor": ("backend solve", "jax numpy"),
    "audit": ("model population simulate study", "jax numpy"),
    "preparation": (
        "analysis condense dataset errors model observation population sets simulate study trials "
        "variation vocabulary",
        "jax numpy",
    ),
    "fit": (
        "analysis arms errors fields figures individuals manifest model observation population "
        "posteriors preparation schedule sets simulate solve study tables trials units variation "
        "vocabulary",
        "jax numpy optax pydantic scipy xarray",
    ),
    "design": (
        "analysis arms errors fields figures fit individuals manifest model observation "
        "population preparation regimen schedule sets simulate solve study tables units",
        "jax numpy pydantic scipy xarray",
    ),
    "evidence": (
        "analysis errors model observation population preparation simulate study",
        "numpy",
    ),
    "shards": (
        "condense dataset errors model population preparation simulate study trials",
        "jax numpy",
    ),
    "cluster": ("backend errors shards", "dask distributed"),
    "corridor": (
        "audit backend cluster condense dataset model population preparation shards simulate "
        "study trials",
        "numpy xarray",
    ),
    # Patients within bounds.
    "plausible": (
        "analysis arms errors fields manifest model population preparation study units",
        "pydantic",
    ),
    "repair": (
        "analysis dataset errors individuals model plausible population preparation shards "
        "simulate solve study",
        "jax numpy scipy xarray",
    ),
    "sensitivity": (
        "analysis arms backend dataset errors fields figures fit model observation plausible "
        "population posteriors preparation repair simulate solve study units variation vocabulary",
        "jax matplotlib numpy pydantic scipy threadpoolctl xarray zarr",
    ),
    "restoration": (
        "condense corridor dataset errors preparation sensitivity shards study",
        "",
    ),
    "attribution": (
        "analysis errors model population preparation regimen simulate study",
        "numpy xarray",
    ),
    # What is shown to others.
    "report": (
        "analysis dataset errors evidence fields figures model sensitivity",
        "jinja2 markupsafe matplotlib numpy xarray",
    ),
    "console": ("errors", "rich typer"),
    "cli_design": ("console design", "typer"),
    "cli_fit": ("console fit", "typer"),
    "cli_identify": ("console fit tables", "typer"),
    "cli_individual": ("console fit", "typer"),
    "cli_aggregate": ("analysis backend console tables", "numpy typer xarray"),
    "cli_repair": ("console plausible repair study tables", "typer"),
    "cli_sensitivity": ("console errors figures sensitivity tables", "typer"),
    "cli_report": ("console report", "typer"),
    "cli_store": ("console dataset errors restoration study", "typer xarray"),
    "cli_weights": ("console tables targets weighting", "typer"),
    "cli_parameters": (
        "console errors model population preparation sets tables vocabulary",
        "typer",
    ),
    "cli": (
        "analysis attribution backend cli_aggregate cli_design cli_fit cli_identify "
        "cli_individual cli_parameters cli_repair cli_report cli_sensitivity cli_store "
        "cli_weights cluster console corridor dataset doctor errors evidence figures preparation "
        "study tables",
        "typer xarray",
    ),
    "__main__": ("cli", ""),
    "__init__": ("analysis backend corridor dataset study", ""),
}
# A study asks for the vocabulary of the model when it is read, not when it is imported.
DEFERRED = {("fields", "vocabulary")}
# Tables are read across, one line a row; every other file that nears the limit has two subjects.
TABLES = {"model/parameters.py", "model/sources.py"}
LONGEST = 400


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: write the import in full"
            assert node.module
            package = node.module == "ketjax"
            names = [f"ketjax.{a.name}" for a in node.names] if package else [node.module]
            yield from ((node.lineno, name) for name in names)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_imports_go_down_only(file: Path):
    room = room_of(file)
    assert room in ROOMS, f"{room} has no floor yet: give it a line in ROOMS"
    rooms, libraries = (set(names.split()) for names in ROOMS[room])
    for line, name in imports_of(file):
        library, _, rest = name.partition(".")
        if library == "ketjax":
            below = rest.partition(".")[0]
            allowed = not below or below == room or below in rooms or (room, below) in DEFERRED
        else:
            allowed = library in sys.stdlib_module_names or library in libraries
        assert allowed, f"{file}:{line}: {room} may not import {name}"


def test_rooms_have_no_cycle():
    order: list[str] = []
    for room in ROOMS:
        below = set(ROOMS[room][0].split()) - {room}
        assert below <= set(order) or room == "__init__", f"{room} stands below {below}"
        order.append(room)


def test_deferred_imports_are_inside_functions():
    for room, below in DEFERRED:
        for file in (f for f in FILES if room_of(f) == room):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ImportFrom):
                    assert node.module != f"ketjax.{below}", f"{file}:{node.lineno}"


def loaded_by(modules: str, watched: str) -> set[str]:
    """Which of the watched modules a fresh interpreter has loaded after an import."""
    code = (
        f"import sys; import {modules}; print(*(m for m in {watched.split()} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_core_loads_neither_datasets_nor_figures_nor_manifests():
    watched = "xarray dask zarr optax matplotlib pandas pydantic pint typer rich"
    assert not loaded_by("ketjax.model.cascade, ketjax.solve, ketjax.simulate", watched)


def test_side_wing_loads_neither_jax_nor_the_model():
    watched = "jax ketjax.model ketjax.solve ketjax.simulate ketjax.study"
    assert not loaded_by("ketjax.dataset, ketjax.analysis, ketjax.figures", watched)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_no_file_is_too_long(file: Path):
    if file.relative_to(PACKAGE).as_posix() in TABLES:
        return
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{file} has {lines} lines: find its second subject"
