"""From a study to its store: rows, indices, an interrupt, failures, populations, derivatives."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtr, ndtri
from typer.testing import CliRunner

from ketjax import simulate
from ketjax.cli import app
from ketjax.dataset import open_store, verify
from ketjax.errors import StoreError, StudyError
from ketjax.model.parameters import leaf
from ketjax.population import draw
from ketjax.sensitivity import indices as indices_module
from ketjax.sensitivity import rows as rows_module
from ketjax.sensitivity import run as run_module
from ketjax.sensitivity import sobol
from ketjax.sensitivity.designs import sobol_points
from ketjax.sensitivity.gradients import Derivatives
from ketjax.sensitivity.groups import open_group, rows_of
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.report import records
from ketjax.sensitivity.rows import Rows, middle

SAMPLES, FACTORS = 16, 4
PARAMETERS = {
    "pharmacokinetics.central_volume": {},
    "pharmacokinetics.hepatic_intrinsic_clearance": {"factor": 1.5},
    "pharmacokinetics.slow_peripheral_flow": {"low": "20 L/h", "high": "40 L/h"},
    "metabolites.norketamine_clearance": {"range": "law"},
    "depots": {},  # of other routes: moves nothing here
}


def study(dtype: str = "float32", **settings: Any) -> SensitivityStudy:
    dose = {"route": "intravenous", "amount": "0.5 mg/kg", "time": "0 h", "duration": "40 min"}
    settings = {"parameters": PARAMETERS, "samples": SAMPLES, "trajectories": 8, **settings}
    return SensitivityStudy.parse(
        {
            "name": "small",
            "population": {"patients": 1, "seed": 1},
            "output": {
                "horizon": "8 h",
                "times": ["0 h", "40 min", "8 h"],
                "readouts": ["plasma_ketamine", "plasma_norketamine"],
            },
            "solver": {"dtype": dtype, "rtol": 1e-5 if dtype == "float64" else 1e-3},
            "arms": {name: {"doses": [{"drug": name, **dose}]} for name in ("ketamine", "saline")},
            "sensitivity": settings,
        }
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "BLOCK", 64)
    monkeypatch.setattr(rows_module, "LANES", 80)  # 40 rows in two arms: several shards


ASKED = study(methods=["sobol", "morris", "prcc"], second_order=True, hours=["8 h"])

METHODS = ["tornado", "sobol", "morris", "prcc"]
"""Groups of indices, in the order in which they are written."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "BLOCK", 64)
        patch.setattr(rows_module, "LANES", 80)
        path = tmp_path_factory.mktemp("whole") / "a.zarr"
        outcome = run_module.run(ASKED, path)
    assert outcome.failed == 0 and outcome.lost == 0
    assert all(name.startswith("depots.") for name in outcome.dropped) and outcome.dropped
    return path


def test_rows_are_the_design(finished: Path) -> None:
    design, store = open_group(finished, "design"), open_store(finished)
    assert verify(finished) == []
    places = json.loads(design.attrs["methods"])
    group = 2 * FACTORS + 2
    assert places["sobol"] == [1 + 2 * FACTORS, 1 + 2 * FACTORS + SAMPLES * group]
    assert store.sizes["patient"] == design.sizes["row"] == places["morris"][1]
    rows = Rows(ASKED)
    some = np.array([0, 3, 11, 100])
    cube = np.tile(middle(rows.factors), (some.size, 1))
    chosen = [[one.name for one in rows.factors].index(n) for n in design["parameter"].values]
    cube[:, chosen] = design["unit_cube"].values.T[some]
    found = rows.march(cube)
    np.testing.assert_array_equal(found["plasma_ketamine"], store["plasma_ketamine"][..., some])
    population = rows.population(rows_module.values(rows.factors, cube), some)
    for k, name in enumerate(design["parameter"].values):
        own = np.broadcast_to(leaf(population.parameters, name), some.shape)
        np.testing.assert_allclose(own, design["value"].values[k, some], rtol=1e-12)


def test_indices_are_those_of_the_rows(finished: Path) -> None:
    places = json.loads(open_group(finished, "design").attrs["methods"])
    found = open_group(finished, "sobol").compute()
    y = rows_of(finished, "plasma_ketamine", *places["sobol"])
    expected = sobol.indices(y[0], FACTORS, second_order=True)
    last = found["plasma_ketamine"].sel(arm="ketamine").isel(samples=-1)
    np.testing.assert_allclose(last.sel(index="total").values.T, expected.total, rtol=1e-6)
    half = sobol.indices(y[0][:, : y.shape[-1] // 2], FACTORS, second_order=True)
    first = found["plasma_ketamine"].sel(arm="ketamine", index="first").isel(samples=-2)
    np.testing.assert_allclose(first.values.T, half.first, rtol=1e-6)
    assert expected.second is not None
    pairs = found["second.plasma_ketamine"].sel(arm="ketamine", pair="second").values
    np.testing.assert_allclose(pairs.transpose(2, 0, 1), expected.second, rtol=1e-5)
    # Nothing is given to saline, and nothing is there at time 0.
    reason = found["reason.plasma_ketamine"]
    assert np.all(reason.sel(arm="saline") == sobol.CONSTANT)
    assert reason.sel(arm="ketamine").values.tolist() == [sobol.CONSTANT, 0, 0]
    assert np.isnan(last.sel(time=0.0)).all()
    correlation = open_group(finished, "prcc")["plasma_ketamine"].sel(
        arm="ketamine", time=8.0, index="prcc", parameter="pharmacokinetics.central_volume"
    )
    assert -1 <= float(correlation) <= 1
    mu = open_group(finished, "morris")["plasma_ketamine"].sel(arm="ketamine", time=8.0)
    clearance = "pharmacokinetics.hepatic_intrinsic_clearance"
    assert float(mu.sel(index="mu", parameter=clearance)) < 0  # more clearance, less ketamine
    ends = open_group(finished, "tornado")
    middle_row = ends["middle.plasma_ketamine"].sel(arm="ketamine", time=8.0)
    one = ends["plasma_ketamine"].sel(arm="ketamine", time=8.0, parameter=clearance)
    assert float(one.sel(index="high")) < float(middle_row) < float(one.sel(index="low"))


def test_interrupted_run_goes_on_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.zarr"

    def stop(done: int, total: int, text: str) -> None:
        if "rows" in text and done >= 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_module.run(ASKED, path, tell=stop)
    with pytest.raises(StoreError, match="exists already"):
        run_module.run(ASKED, path)
    with pytest.raises(StoreError, match="another configuration"):
        run_module.run(study(seed=2), path, resume=True)
    run_module.run(ASKED, path, resume=True)
    for name in ("journal/shard-000001.json", "journal/shard-000004.json"):
        ours, theirs = (json.loads((where / name).read_text()) for where in (path, finished))
        assert ours["sha256"] == theirs["sha256"]
    for group in ("design", "sobol", "morris", "prcc", "tornado"):
        assert open_group(path, group).equals(open_group(finished, group))


def test_kill_between_rows_and_indices_is_seen(tmp_path: Path) -> None:
    """All rows are there, the journal is whole, and no index or only some were written."""
    path, write, runner = tmp_path / "k.zarr", indices_module.write_group, CliRunner()

    for missing in (METHODS, METHODS[2:]):

        def killed(path: Path, group: str, found: xr.Dataset, last: str = missing[0]) -> None:
            if group == last:
                raise KeyboardInterrupt
            write(path, group, found)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(indices_module, "write_group", killed)
            run_module.run(ASKED, path, resume=path.exists())
        assert open_store(path).attrs["complete"]
        expected = [f"{group}: the group was not written to its end" for group in missing]
        assert [str(fault) for fault in verify(path)] == expected
        said = runner.invoke(app, ["verify", str(path)])
        assert said.exit_code == 4
        go_on = f"Go on with: ketjax sensitivity STUDY.toml --out {path} --resume"
        assert said.stderr.splitlines() == [*expected, go_on]
    run_module.run(ASKED, path, resume=True)
    assert runner.invoke(app, ["verify", str(path)]).exit_code == 0


def test_damaged_rows_and_indices_are_made_again(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.zarr"
    shutil.copytree(finished, path)
    rows = sorted((path / "plasma_ketamine" / "c").rglob("*"))
    lost = next(file for file in reversed(rows) if file.is_file())
    content = lost.read_bytes()
    lost.unlink()
    shutil.rmtree(path / "sobol" / "plasma_ketamine" / "c")
    runner = CliRunner()
    assert runner.invoke(app, ["verify", str(path)]).exit_code == 4
    done = runner.invoke(app, ["verify", str(path), "--repair"])
    assert done.exit_code == 0 and "computed again" in done.stderr
    assert lost.read_bytes() == content
    for group in ("sobol", "morris", "prcc"):
        xr.testing.assert_identical(open_group(path, group), open_group(finished, group))


def test_a_tornado_says_constant_where_sobol_indices_do() -> None:
    """Rounding is no change; a change is, and a failed row stays one."""
    step = np.finfo(np.float32).eps
    y = np.array([[1.0, 1.0 + step, 1.0, np.nan, 1.0], [1.0, 1.1, 1.0, 1.0, 1.0]], np.float32)
    asked = indices_module.Asked(("a", "b"), {}, False, 20, 1, 0.95, 0.05)
    parts, _ = indices_module._tornado(y, asked, 1.0, None)
    ends = parts[""][1]  # (index, parameter, output)
    np.testing.assert_array_equal(ends[..., 0], [[1.0, 1.0], [np.nan, 1.0]])
    np.testing.assert_array_equal(ends[..., 1], np.array([[1.1, 1.0], [1.0, 1.0]], np.float32))


def test_failed_rows_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    march = Rows.march

    def failing(self: Rows, cube: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
        found = {name: np.array(values) for name, values in march(self, cube, first).items()}
        mine = (first + np.arange(len(cube))) == 60  # row 51 of the Saltelli design
        found["status"][0, mine] = 2
        found["plasma_ketamine"][0, :, mine] = np.nan
        return found

    monkeypatch.setattr(Rows, "march", failing)
    path = tmp_path / "c.zarr"
    outcome = run_module.run(study(max_failed_share=0.1), path)
    assert outcome.failed == 1 and outcome.lost == pytest.approx(1 / SAMPLES)
    found = open_group(path, "sobol")
    assert np.all(found["groups.plasma_ketamine"].sel(arm="ketamine") == SAMPLES - 1)
    assert np.all(found["groups.plasma_ketamine"].sel(arm="saline") == SAMPLES)
    strict = run_module.run(study(max_failed_share=0.0), path, overwrite=True)
    assert strict.lost == pytest.approx(1 / SAMPLES)
    reason = open_group(path, "sobol")["reason.plasma_ketamine"].sel(arm="ketamine")
    assert np.all(reason == sobol.FAILED)


def test_nothing_moves() -> None:
    class Still:
        """Rows whose outputs do not change by a bit."""

        study, factors, at_once = ASKED, ASKED.factors, 5

        def march(self, cube: np.ndarray, first: int) -> dict[str, np.ndarray]:
            return {"madrs": np.full((1, 2, len(cube)), 7.0), "status": np.zeros((1, len(cube)))}

    with pytest.raises(StudyError, match="none of it moves an output"):
        run_module.screened(Still())  # type: ignore[arg-type]


def test_rows_of_populations_are_drawn_populations() -> None:
    asked = study(
        subject="population",
        patients=6,
        parameters={
            "pharmacokinetics.central_volume": {"factor": 2},
            "pharmacokinetics.central_volume.spread": {"low": 0.1, "high": 0.6},
        },
    )
    rows = Rows(asked)
    cube = np.stack([middle(rows.factors), np.array([0.9, 0.2])])
    found = rows.march(cube)
    numbers = rows_module.values(rows.factors, cube)
    for k, (volume, spread) in enumerate(numbers):
        law = asked.recipe.laws()["pharmacokinetics.central_volume"][1]
        path = "pharmacokinetics.central_volume"
        recipe = dataclasses.replace(
            asked.recipe,
            values={**asked.recipe.values, path: volume},
            own_laws={path: dataclasses.replace(law, spread=spread)},
        )
        course = rows.simulation.solve(draw(recipe, np.arange(6))).readouts["plasma_ketamine"]
        course = course.astype(np.float64)
        mean, sd = course.mean(axis=-1), course.std(axis=-1, ddof=1)
        np.testing.assert_allclose(found["plasma_ketamine_mean"][..., k], mean, rtol=1e-5)
        np.testing.assert_allclose(found["plasma_ketamine_sd"][..., k], sd, rtol=1e-4, atol=1e-9)


def test_groups_are_data_once_they_are_whole(finished: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(finished, tmp_path / "g.zarr"))
    files = [file for file in (path / "sobol").rglob("c/**/*") if file.is_file()]
    chunk = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    shutil.rmtree(path / "morris")
    (path / "journal/group-design.json").unlink()  # a kill while the design was written
    (path / "journal/group-prcc.json").write_text("{")
    assert [str(fault) for fault in verify(path)] == [
        "design: the group was not written to its end",
        "sobol: differs from what was written",
        "morris: is missing",
        "prcc: its entry in the journal is damaged",
    ]
    with pytest.raises(StoreError, match="holds no design"):
        open_group(path, "design")
    run_module.run(ASKED, path, resume=True)
    assert verify(path) == []
    for name in ("design", "sobol", "morris", "prcc"):
        known, found = (open_group(one, name) for one in (finished, path))
        assert known.equals(found)


def test_derivatives_are_those_of_the_rows(tmp_path: Path) -> None:
    """Against central differences of marched rows in double precision; the bounds hold."""
    asked = study(
        "float64", methods=["sobol", "dgsm"], gradients=8, hours=["40 min", "8 h"],
        readouts=["plasma_ketamine"],
    )  # fmt: skip
    outcome = run_module.run(asked, tmp_path / "f.zarr")
    kept, design = open_group(outcome.path, "dgsm"), open_group(outcome.path, "design")
    factors = tuple(one for one in asked.factors if one.named)
    assert [one.name for one in factors] == kept["parameter"].values.tolist()
    first = json.loads(design.attrs["methods"])["sobol"][0]
    cube = design["unit_cube"].values.T[first :: FACTORS + 2][:8]
    whole, derivative = Derivatives(asked, factors, cube)(0)
    rows, step = Rows(asked, factors), 1e-4
    middle = rows.march(cube)
    for name in asked.readouts:
        np.testing.assert_allclose(whole[name], middle[name], rtol=1e-9)
    for k in range(FACTORS):
        shift = step * np.eye(FACTORS)[k]
        high, low = (rows.march(ndtr(ndtri(cube) + way * shift)) for way in (1, -1))
        for name in asked.readouts:
            slope = (high[name] - low[name]) / (2 * step)
            np.testing.assert_allclose(derivative[name][k], slope, rtol=2e-3, atol=1e-3)
    sobol_group = open_group(outcome.path, "sobol").isel(samples=-1).sel(arm="ketamine")
    for name in asked.readouts:
        one = kept.sel(arm="ketamine")
        assert one[f"reason.{name}"].values.tolist() == [1, 0, 0]  # nothing is there at the start
        bound, error = (one[name].sel(index=index).values for index in ("bound", "bound_error"))
        total, off = (sobol_group[name].sel(index=i).values for i in ("total", "total_error"))
        assert np.all((bound + 4 * error)[:, 1:] >= (total - 4 * off)[:, 1:])
    bound = kept["plasma_ketamine"].sel(index="bound", arm="ketamine", time=2 / 3).values
    line = next(records(outcome.path, "dgsm", asked, ["ketamine"]))
    assert line["bound_low"] < line["bound"] == bound.max()
    assert line["output"] == "plasma_ketamine" and line["hour"] == 2 / 3


def test_derivatives_of_populations() -> None:
    """By a typical value, a spread and a correlation, against differences of whole populations."""
    volume, clearance = (
        "pharmacokinetics.central_volume",
        "pharmacokinetics.hepatic_intrinsic_clearance",
    )
    asked = study(
        "float64", methods=["dgsm"], gradients=8, patients=6,
        parameters=[volume, f"{volume}.spread", f"{volume} ~ {clearance}"],
    )  # fmt: skip
    cube = sobol_points(8, 3, 2)
    found, slopes = Derivatives(asked, asked.factors, cube)(0)
    rows, step = Rows(asked, asked.factors), 1e-4
    assert found["plasma_ketamine_sd"].shape == (2, 3, 8)
    for name in ("plasma_ketamine_mean", "plasma_norketamine_sd"):
        # A patient who goes again on finer steps differs by their error.
        np.testing.assert_allclose(found[name], rows.march(cube)[name], rtol=1e-6)
        for k in range(3):
            shift = step * np.eye(3)[k]
            high, low = (rows.march(ndtr(ndtri(cube) + way * shift))[name] for way in (1, -1))
            np.testing.assert_allclose(
                slopes[name][k], (high - low) / (2 * step), rtol=2e-3, atol=1e-4
            )


def test_command(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SensitivityStudy, "read", classmethod(lambda cls, path: ASKED))
    runner = CliRunner()
    out = ["--out", str(tmp_path / "e.zarr")]
    done = runner.invoke(app, ["sensitivity", "small.toml", *out])
    assert done.exit_code == 0, done.output
    assert "pharmacokinetics.central_volume" in done.stdout and "first order" in done.stdout
    assert "left out" in done.stderr and "base samples" in done.stderr
    drawn = {file.name for file in tmp_path.glob("*.png")}
    assert drawn == {f"e_{kind}.png" for kind in ("areas", *METHODS, "pairs")}
    again = runner.invoke(app, ["sensitivity", "small.toml", *out])
    assert again.exit_code == 4 and "exists already" in again.stderr
    printed = runner.invoke(
        app, ["sensitivity", "small.toml", *out, "--resume", "--format", "json"]
    )
    record = json.loads(printed.stdout)
    assert record["sobol"][0]["total"] > 0 and record["parameters"][0]["origin"]
    assert len(record["pairs"]) > FACTORS * (FACTORS - 1) / 2 and record["pairs"][0]["second_low"]
    wrong = runner.invoke(app, ["sensitivity", "small.toml", *out, "--arm", "salin"])
    assert wrong.exit_code == 2 and "did you mean saline" in wrong.stderr
