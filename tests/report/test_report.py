"""A report stands alone, says nothing that was not escaped, and its numbers are those of NumPy."""

import base64
import hashlib
import json
import math
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_reading import Reader
from mock_store import ARMS, DIGEST, TIMES, VARIABLES, coordinates, courses, template
from scipy.stats import binomtest
from typer.testing import CliRunner
from zarr.storage import LocalStore

from ketjax import dataset as ds
from ketjax.analysis.survival import RELAPSE_STATES
from ketjax.cli import app
from ketjax.report import write_report
from ketjax.report.origin import origin_section
from ketjax.report.page import Listing, coded, plain
from ketjax.report.subject import read_subject

PATIENTS, SHARD = 260, 130
ATTACK = (
    "<script>alert(1)</script> \"quoted\" 'too' & \x1b[31mred\x1b[0m \x1b]0;title\x07"
    "\u202eturned\x00 <img src=x onerror=alert(2)>"
)
STUDY = {
    "set": "table",
    "name": "s01_single_infusion",
    "question": ATTACK,
    "population": {"patients": PATIENTS, "seed": 1, "design": "random", "entry": {}},
    "output": {"horizon": "336.0 h"},
    "solver": {"rtol": 1e-3, "dtype": "float32"},
    "arms": {
        arm: {"doses": [{"drug": arm, "amount": f"{dose} mg/kg", "route": "<i>by</i>"}]}
        for arm, dose in zip(ARMS, (0.5, 0.045, 0.0), strict=True)
    },
}
OUTCOMES = (
    ds.outcome("time_to_relapse", "h", "time to relapse"),
    ds.outcome("relapse_state", "1", "<u>rule</u>", dtype="int8", meanings=RELAPSE_STATES),
    ds.trait("demography.age", "year", "age <b>", dtype="float64"),
)


def arrays_of(start: int, stop: int) -> dict[str, np.ndarray]:
    """The courses of the mock store, with an age and a relapse of some patients."""
    random = np.random.default_rng([7, start])
    size = (len(ARMS), stop - start)
    state = random.integers(0, 3, size).astype(np.int8)
    hours = np.where(state == 1, 840.0, 24.0 * random.integers(1, 35, size))
    return {
        **courses(start, stop),
        "time_to_relapse": np.where(state == 2, np.nan, hours),
        "relapse_state": state,
        "demography.age": random.uniform(18.0, 65.0, size[1]),
    }


def make_store(path: Path, variables: tuple[ds.Variable, ...], **attributes: Any) -> Path:
    """A complete store of some of the variables."""
    ds.create(
        path,
        variables,
        coordinates(PATIENTS),
        shard=SHARD,
        digest=DIGEST,
        attributes={"study": "s01<i>", "seed": 1, "ketjax_version": "0.1.0", **attributes},
        provenance={"study": STUDY, "digest": DIGEST, "versions": {"jax": "<s>1</s>"}},
    )
    names = {variable.name for variable in variables} | {"status"}
    for index, start in enumerate(range(0, PATIENTS, SHARD)):
        arrays = arrays_of(start, start + SHARD)
        ds.write_shard(path, index, {name: arrays[name] for name in names})
    ds.finish(path, {"within_tolerance": 0.99, "largest_solver_error": 1.5, "steps": 100})
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("report") / "whole.zarr", (*VARIABLES, *OUTCOMES))


@pytest.fixture(scope="module")
def page(store: Path) -> str:
    path = write_report(store)
    assert path.name == "whole_report.html"
    assert not list(path.parent.glob("*.partial"))
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    parts = [arrays_of(start, start + SHARD) for start in range(0, PATIENTS, SHARD)]
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout + result.stderr


def test_page_is_well_formed(read: Reader) -> None:
    assert not read.faults
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in read.tags:
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids
        for name in ("aria-labelledby",):
            assert attributes.get(name, ids[0]) in ids
        if tag == "img":
            assert len(attributes["alt"]) > 20
    tags = [tag for tag, _ in read.tags]
    assert read.tags[0] == ("html", {"lang": "en"})
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert tags.count("figure") == tags.count("figcaption") >= 7


def test_page_stands_alone(read: Reader, page: str) -> None:
    policies = [a["content"] for _, a in read.tags if a.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(read.style.encode()).digest()).decode()
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policies[0]
    assert not {tag for tag, _ in read.tags} & {
        "script",
        "link",
        "iframe",
        "object",
        "form",
        "base",
    }
    for _, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith(
            ("#", "data:application/octet-stream;base64,")
        )
    assert "url(" not in read.style and "@import" not in read.style
    assert "http://" not in read.text and "https://" not in read.text
    assert len(page) < 3_000_000


def test_figures_load_nothing_and_run_nothing(read: Reader) -> None:
    drawings = [
        base64.b64decode(a[name].partition(",")[2]).decode("utf-8")
        for _, a in read.tags
        for name in ("src", "srcset")
        if a.get(name, "").startswith("data:image/svg+xml")
    ]
    assert len(drawings) >= 10
    for drawing in drawings:
        assert (
            "<script" not in drawing and "<i>" not in drawing and "not for clinical use" in drawing
        )
        assert not re.search(r"href=\"(?!#)", drawing)


def test_every_string_is_escaped(read: Reader, page: str) -> None:
    assert "<script>alert(1)</script> \"quoted\" 'too' & red" in read.text
    assert {"script", "i", "u", "s"}.isdisjoint(tag for tag, _ in read.tags)
    assert [a for tag, a in read.tags if tag == "img" and a["src"] == "x"] == []
    assert not re.search(r"(?<!\\u001b)\[31m", page)  # as TOML writes it, in the study alone
    hidden = {c for c in page if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"}
    assert not hidden


def test_control_characters_and_sequences_go() -> None:
    assert plain("a\x1b[1;31mb\x1b[0mc\x07\u202ed\te\n") == "abcd\te\n"
    assert plain("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert plain(3) == 3
    assert coded("run `a<b` & 95 %") == "run <code>a&lt;b</code> &amp; 95\u00a0%"
    assert coded("a ` b") == "a ` b"


def numbers(text: str) -> list[float]:
    """All numbers of a cell."""
    plainly = text.replace("\u2212", "-").replace("\u2013", " ").replace(",", "")
    return [float(found) for found in re.findall(r"[-+]?\d+(?:\.\d+)?", plainly)]


def scores(arrays: dict[str, np.ndarray], arm: str, hour: float) -> tuple[np.ndarray, ...]:
    """Score, entry and whether the patient succeeded, in an arm."""
    k = ARMS.index(arm)
    score = arrays["madrs_rated"][k, TIMES.index(hour)].astype(float)
    return score, arrays["baseline_madrs"], arrays["status"][k] == 0


def rows_of(table: list[list[str]], group: str) -> dict[str, list[str]]:
    """Rows below a heading of a table, by their first cell."""
    found, inside = {}, False
    for row in table[1:]:
        if len(row) == 1:
            inside = row[0] == group
        elif inside:
            found[row[0]] = row[1:]
    return found


def test_outcomes_equal_numpy(read: Reader, arrays: dict[str, np.ndarray]) -> None:
    table = read.table("Mean change (SE)", "Remission")
    for arm in ARMS:
        for hour, label in ((2.0, "2 h"), (24.0, "24 h"), (336.0, "14 d")):
            score, entry, fine = scores(arrays, arm, hour)
            change, n = (score - entry)[fine], int(fine.sum())
            count, failed, mean, spread, response, remission = rows_of(table, arm)[label]
            assert int(count) == n and int(failed) == PATIENTS - n
            wanted = [change.mean(), change.std(ddof=1) / math.sqrt(n)]
            assert numbers(mean) == pytest.approx(wanted, abs=0.051)
            assert numbers(spread) == pytest.approx([change.std(ddof=1)], abs=0.051)
            for cell, reached in ((response, score <= entry / 2), (remission, score <= 10)):
                hits = int(reached[fine].sum())
                known = binomtest(hits, n).proportion_ci(method="wilson")
                wanted = [100 * hits / n, 100 * known.low, 100 * known.high]
                assert numbers(cell) == pytest.approx(wanted, abs=0.051)


def test_differences_are_paired(read: Reader, arrays: dict[str, np.ndarray]) -> None:
    table = read.table("Pairs", "Change")
    for arm in ARMS[1:]:
        first, entry, one = scores(arrays, ARMS[0], 24.0)
        other, _, two = scores(arrays, arm, 24.0)
        both = one & two
        gap, n = (first - other)[both], int(both.sum())
        pairs, change, response, _ = rows_of(table, f"ketamine less {arm}")["24 h"]
        reach = 1.96 * gap.std(ddof=1) / math.sqrt(n)
        assert int(pairs) == n
        wanted = [gap.mean(), gap.mean() - reach, gap.mean() + reach]
        assert numbers(change) == pytest.approx(wanted, abs=0.06)
        here, there = (first <= entry / 2)[both], (other <= entry / 2)[both]
        b, c = int((here & ~there).sum()), int((there & ~here).sum())
        # The interval as its authors programmed it.
        middle = (b - c) / (n + 2)
        reach = 1.96 * math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2)
        wanted = [100 * (b - c) / n, 100 * (middle - reach), 100 * (middle + reach)]
        assert numbers(response) == pytest.approx(wanted, abs=0.06)


def test_table_one_equals_numpy(read: Reader, arrays: dict[str, np.ndarray]) -> None:
    table = read.table("All", "Responders", "SMD")
    assert "n = 260" in table[0][1]
    (age,) = (row for row in table if row[0].startswith("Age"))
    values = arrays["demography.age"]
    wanted = [values.mean(), values.std(ddof=1), *np.percentile(values, [50, 25, 75])]
    assert numbers(age[1]) == pytest.approx(wanted, abs=0.06)
    changes = []
    for hour in (2.0, 24.0, 72.0, 168.0, 336.0):  # the hour at which arms lie furthest apart
        means = []
        for arm in ARMS:
            score, entry, fine = scores(arrays, arm, hour)
            means.append((score - entry)[fine].mean())
        changes.append((max(means) - min(means), hour))
    score, entry, fine = scores(arrays, "ketamine", max(changes)[1])
    groups = [values[fine & (score <= entry / 2)], values[fine & (score > entry / 2)]]
    assert f"n = {groups[0].size}" in table[0][2]
    spread = math.sqrt((groups[0].var(ddof=1) + groups[1].var(ddof=1)) / 2)
    wanted = [(groups[0].mean() - groups[1].mean()) / spread]
    assert numbers(age[4]) == pytest.approx(wanted, abs=0.006)


def test_relapses_equal_counts(read: Reader, arrays: dict[str, np.ndarray]) -> None:
    for row in read.table("Responders", "Relapsed", "Median")[1:]:
        k = ARMS.index(row[0])
        state, hours = arrays["relapse_state"][k], arrays["time_to_relapse"][k]
        risk = (arrays["status"][k] == 0) & (state != 2)
        lost = risk & (state == 0)
        assert numbers(row[1]) == [risk.sum()]
        assert numbers(row[2])[0] == lost.sum()
        well = 1 - (lost & (hours <= 14 * 24)).sum() / risk.sum()
        assert numbers(row[5])[0] == pytest.approx(100 * well, abs=0.051)


def test_what_is_left_out_is_said(read: Reader) -> None:
    assert "Dose-response is left out" in read.text
    assert "not examined in this run" in read.text


def test_rats_have_mechanisms_and_no_score(tmp_path: Path) -> None:
    store = make_store(tmp_path / "rats.zarr", (*VARIABLES, *OUTCOMES), species="rat")
    code, output = invoke(store, "--out", tmp_path / "rats.html")
    assert code == 0 and output.startswith(f"{tmp_path / 'rats.html'}\n")
    read = Reader((tmp_path / "rats.html").read_text("utf-8"))
    assert not read.faults
    assert "A depression score means nothing in a rat" in read.text
    assert "From drug to score" in read.text and "Responders" not in read.text
    assert invoke(store, "--out", tmp_path / "other.html", "--hours", "24")[0] == 2


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that keeps no courses."""
    kept = tuple(variable for variable in (*VARIABLES, *OUTCOMES) if "time" not in variable.dims)
    return make_store(tmp_path_factory.mktemp("report") / "few.zarr", kept)


def test_store_without_courses(few: Path) -> None:
    read = Reader(write_report(few).read_text("utf-8"))
    assert not read.faults
    assert "Response, remission and change cannot be given" in read.text
    assert "the store has no readout of the cascade" in read.text


def test_output_is_not_replaced_unasked(store: Path, page: str) -> None:
    assert page
    code, output = invoke(store)
    assert code == 4 and "exists already" in output and "--overwrite" in output
    nowhere = store.parent / "no" / "folder.html"
    code, output = invoke(store, "--out", nowhere)
    assert code == 4 and "does not exist" in output
    code, output = invoke(store, "--out", store.parent, "--overwrite")
    assert code == 4 and "is a folder" in output


def test_equal_stores_give_equal_reports(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.html"
    first = write_report(few, out).read_bytes()
    assert invoke(few, "--out", out, "--overwrite")[0] == 0
    assert out.read_bytes() == first


def test_wrong_input_is_named(store: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x.html")
    code, output = invoke(store, *out, "--hours", "24,25")
    assert code == 2 and "given:   25" in output and "0.5" in output
    assert invoke(store, *out, "--hours", "soon")[0] == 2
    code, output = invoke(tmp_path / "absent.zarr", *out)
    assert code == 4 and "no such store" in output
    (tmp_path / "folder").mkdir()
    code, output = invoke(tmp_path / "folder", *out)
    assert code == 4 and "is not a ketjax store" in output
    template(tmp_path / "half.zarr")
    code, output = invoke(tmp_path / "half.zarr", *out)
    assert code == 4 and "has not finished" in output
    code, output = invoke(store, *out, "--weighted")
    assert code == 4 and "has no weights" in output
    assert not (tmp_path / "x.html").exists()


def test_command_repeats_the_hours(store: Path, tmp_path: Path) -> None:
    subject = read_subject(store, hours=[72.0, 24.0])
    (command,) = (
        part.text
        for part in origin_section(subject).parts
        if isinstance(part, Listing) and not part.summary
    )
    # The name of this study would be taken for something else by a shell.
    assert command == (
        "ketjax run 's01<i>.toml' --out 's01<i>.zarr' && ketjax report 's01<i>.zarr' --hours 24,72"
    )
    usual = origin_section(read_subject(store)).parts
    assert not [part for part in usual if isinstance(part, Listing) and "--hours" in part.text]


def test_each_course_is_read_once_for_both_widths(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Singles, and the scale of a readout that does not say it, are read off the first patients."""
    reads: Counter[str] = Counter()
    get = LocalStore.get

    async def counted(self: LocalStore, key: str, *arguments: Any, **options: Any) -> Any:
        name, _, chunk = key.partition("/c/")
        reads[name] += bool(chunk)
        return await get(self, key, *arguments, **options)

    monkeypatch.setattr(LocalStore, "get", counted)
    write_report(store, tmp_path / "x.html")
    chunks = len(ARMS) * PATIENTS // SHARD
    drawn = ("interneuron_block", "glutamate", "bdnf", "mtorc1", "synapse_density")
    assert {reads[name] for name in drawn} == {chunks}
    assert reads["madrs"] == chunks + len(ARMS)  # the single patients


def test_attachments_are_checked_together_and_shown(few: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    out = ("--out", tmp_path / "x.html")
    wrong = [f"--attach={tmp_path}/{name}" for name in ("text.png=a", "absent.png=b", "text.png")]
    code, output = invoke(few, *out, *wrong)
    assert code == 2
    for part in ("this is no PNG file", "there is no such file", "a caption is needed"):
        assert part in output
    pixel = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
        "rkJggg=="
    )
    (tmp_path / "indices.png").write_bytes(pixel)
    path = write_report(few, out[1], attachments=[f"{tmp_path}/indices.png=Total <b> indices=1"])
    text = path.read_text("utf-8")
    assert "Total &lt;b&gt; indices=1" in text
    assert base64.b64encode(pixel).decode() in text
    code, output = invoke(few, *out, "--overwrite", "--sensitivity", few)
    assert code == 4 and "is no store of a sensitivity analysis" in output


def test_study_comes_back_from_the_page(read: Reader) -> None:
    import tomllib

    (link,) = (a["href"] for tag, a in read.tags if tag == "a" and "download" in a)
    text = base64.b64decode(link.partition(",")[2]).decode("utf-8")
    assert tomllib.loads(text) == json.loads(json.dumps(STUDY))
