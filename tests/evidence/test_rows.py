"""The evidence table: complete, sound, and refused with every problem at once where it is not."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ketjax.errors import StudyError
from ketjax.evidence import KINDS, Verdict, read_rows, validation
from ketjax.evidence.rows import FOLDER
from ketjax.study import Study


def test_the_table_says_enough() -> None:
    rows = read_rows()
    kinds = Counter(row.kind for row in rows)
    assert len(rows) >= 80 and kinds["predicted"] >= 25 and set(kinds) == set(KINDS)
    assert {row.claim for row in rows} == set(range(1, 13))
    for row in rows:
        assert row.source and row.condition and row.expected, row.id
        number = row.expected.lstrip("-").replace(".", "").isdigit()
        words = ("up", "down", "none", "abolished")
        assert number or row.expected in words, row.id
        if number:
            assert row.low <= float(row.expected) <= row.high, row.id


def test_experiments_have_what_the_table_asks_for() -> None:
    rows = read_rows()
    studies = {
        name: Study.read(FOLDER / f"{name}.toml") for name in {row.experiment for row in rows}
    }
    assert [p for row in rows for p in validation._problems(row, studies[row.experiment])] == []
    used = {(row.experiment, arm) for row in rows for arm in (row.arm, row.versus) if arm}
    for name, study in studies.items():
        unused = set(study.arms) - {arm for experiment, arm in used if experiment == name}
        assert not unused, f"{name}: nothing is read from {sorted(unused)}"


def test_all_problems_of_a_table_are_told(tmp_path: Path) -> None:
    with (FOLDER / "table.csv").open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    wrong = (
        {"kind": "guessed"},
        {"id": "A", "statistic": "mode", "low": "9", "high": "2"},
        {"id": "B", "start": "soon"},
        {},
    )
    table = tmp_path / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerows({**first, **cells} for cells in wrong)
    with pytest.raises(StudyError) as raised:
        read_rows(table)
    told = str(raised.value)
    for words in ("line 2, kind", "line 3, statistic", "interval is empty", "line 4", "twice"):
        assert words in told, words


def test_a_number_that_does_not_exist_fails() -> None:
    row = read_rows()[0]
    assert not Verdict(row, float("nan")).passed
    assert Verdict(row, row.low).passed and Verdict(row, row.high).passed
    assert not Verdict(row, float(np.nextafter(row.high, np.inf))).passed
    record = Verdict(row, row.low).record()
    assert list(record) == (
        "id claim stage kind source expected low high simulated verdict".split()
    )
