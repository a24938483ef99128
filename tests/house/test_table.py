"""The table of parameters is complete and no number hides in an equation."""

import ast
from pathlib import Path

import numpy as np
import pytest

import ketjax
from ketjax.model import readouts, states
from ketjax.model.parameters import Parameters, Row, leaf, replace, rows
from ketjax.model.sources import SOURCES
from ketjax.population.distributions import holds, transform
from ketjax.units import check_unit

TABLE = {row.path: row for row in rows()}
EVERY = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
STATUSES = {"measured", "derived", "fitted", "assumed", "switch"}
# Tables and types, where numbers are at home; all other files of the model hold equations.
TABLES = {"inputs", "laws", "overrides", "parameters", "readouts", "sources", "states"}
EQUATIONS = [
    file
    for file in sorted((Path(ketjax.__file__).parent / "model").glob("*.py"))
    if file.stem not in TABLES
]
PLAIN = {0, 1, 2}  # numbers of a form, not of a patient
# File: other numbers that may stand in it. None so far; a number with a meaning is a parameter.
EXCEPTIONS: dict[str, set[float]] = {}


@EVERY
def test_row_is_complete(row: Row):
    check_unit(row.unit)
    assert row.status in STATUSES
    assert row.source in SOURCES
    assert row.symbol and row.meaning
    # A choice without data is not called a measurement, nor the other way round.
    assert (row.source != "assumed") or row.status in ("assumed", "switch")


@EVERY
def test_value_lies_in_its_range(row: Row):
    if row.low is not None:
        assert row.low <= row.value
    if row.high is not None:
        assert row.value <= row.high
    if row.law.kind in ("uniform", "log-uniform"):
        assert row.law.low is not None and row.law.high is not None
        assert row.law.low <= row.value <= row.law.high


@EVERY
def test_law_draws_around_the_value(row: Row):
    if row.law.kind == "fixed" or row.value == 0:  # a switch that is off has no spread until on
        return
    assert holds(row.law, row.value), f"{row.law} cannot vary around {row.value}"
    drawn = transform(row.law, row.value, np.linspace(-3.0, 3.0, 13))
    assert np.all(np.isfinite(drawn))
    assert np.all(np.diff(drawn) >= 0)
    assert drawn[0] < drawn[-1]
    if row.law.kind != "categorical":
        assert drawn[0] <= row.value <= drawn[-1]
    if row.low is not None and row.low >= 0:
        assert drawn[0] >= 0


def test_symbols_are_unique():
    symbols = [row.symbol for row in TABLE.values() if not row.path.startswith("designs.")]
    assert len(symbols) == len(set(symbols)), {s for s in symbols if symbols.count(s) > 1}


def test_path_leads_to_its_leaf():
    for path, row in TABLE.items():
        assert leaf(Parameters(), path) == row.value
        assert leaf(replace(Parameters(), {path: 7.0}), path) == 7.0


def test_units_of_states_and_readouts():
    for row in states.rows():
        check_unit(row.unit)
    for readout in readouts.READOUTS.values():
        check_unit(readout.unit)


@pytest.mark.parametrize("file", EQUATIONS, ids=lambda file: file.stem)
def test_equations_hold_no_numbers(file: Path):
    hidden = [
        f"{node.value} in line {node.lineno}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if node.value not in PLAIN | EXCEPTIONS.get(file.stem, set())
    ]
    assert not hidden, f"{file}: {hidden} belong in the table of parameters"
