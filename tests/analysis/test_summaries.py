"""Summaries agree with plain NumPy on the same numbers, and with published intervals."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from mock_store import ARMS, TIMES, courses, mock_store, template

from ketjax import dataset as ds
from ketjax.analysis import bands, format_table, spreads, summaries, summarise, wilson
from ketjax.errors import StoreError

HOURS = (2.0, 24.0, 336.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store of 500 patients in shards of 200."""
    return mock_store(tmp_path_factory.mktemp("stores") / "summaries.zarr")


@pytest.fixture
def dataset(store: Path) -> xr.Dataset:
    """The same store, opened."""
    return ds.open_store(store)


def _whole() -> dict[str, np.ndarray]:
    parts = [courses(start, min(start + 200, 500)) for start in (0, 200, 400)]
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def test_summary_equals_numpy_patient_by_patient(dataset: xr.Dataset) -> None:
    summary = summarise(dataset, HOURS)
    arrays = _whole()
    for i, arm in enumerate(ARMS):
        ok = arrays["status"][i] == 0
        entry = arrays["baseline_madrs"][ok]
        for hour in HOURS:
            score = arrays["madrs_rated"][i, TIMES.index(hour), ok].astype(np.float64)
            row = summary.sel(arm=arm, hour=hour)
            assert row["n_ok"] == ok.sum()
            assert row["n_failed"] == (~ok).sum()
            # Changes and their squares are rounded to parts of a point, far finer than a rater.
            assert row["madrs_change"] == pytest.approx((score - entry).mean(), abs=summaries.PART)
            spread = pytest.approx((score - entry).std(ddof=1), abs=4 * summaries.PART)
            assert row["madrs_change_sd"] == spread
            response = 100.0 * np.mean((entry - score) / entry >= 0.5)
            assert row["response"] == pytest.approx(response, rel=1e-12)
            assert row["remission"] == pytest.approx(100.0 * np.mean(score <= 10.0), rel=1e-12)
    assert summary["n_failed"].sel(arm="ketamine", hour=24.0) == 6


def test_response_and_remission_include_their_limits() -> None:
    score = np.array([15.0, 15.5, 10.0, 10.5, 9.0, np.nan])
    dataset = xr.Dataset(
        {
            "madrs_rated": (("arm", "time", "patient"), score[None, None, :].astype(np.float32)),
            "baseline_madrs": ("patient", np.array([30.0, 30.0, 19.0, 40.0, 12.0, 30.0])),
            "status": (("arm", "patient"), np.zeros((1, 6), np.int8)),
        },
        coords={"arm": ["open"], "time": [24.0]},
    )
    row = summarise(dataset, [24.0]).isel(arm=0, hour=0)
    assert row["response"] == pytest.approx(40.0)  # 15 of 30 and 10.5 of 40
    assert row["remission"] == pytest.approx(40.0)  # 10 and 9
    assert (row["n_ok"], row["n_failed"]) == (5, 1)  # a missing score is not a success


def test_summary_does_not_depend_on_chunks(dataset: xr.Dataset) -> None:
    xr.testing.assert_identical(
        summarise(dataset, HOURS), summarise(dataset.chunk(patient=37), HOURS)
    )


def test_patients_not_run_are_counted_apart(tmp_path: Path) -> None:
    path = template(tmp_path / "part.zarr")
    ds.write_shard(path, 1, courses(200, 400))
    dataset = ds.open_store(path, allow_incomplete=True)
    summary = summarise(dataset, [24.0])
    assert (summary["n_not_run"] == 300).all()
    assert (summary["n_ok"] + summary["n_failed"] == 200).all()


def test_an_arm_without_a_single_success_is_nan_not_zero(dataset: xr.Dataset) -> None:
    failed = dataset.assign(status=dataset["status"] * 0 + 2)
    summary = summarise(failed, [24.0])
    assert summary["response"].isnull().all() and summary["madrs_change"].isnull().all()
    assert (summary["n_failed"] == 500).all()
    assert bands(failed, "madrs")["madrs"].isnull().all()


def test_hours_must_be_output_times(dataset: xr.Dataset) -> None:
    assert summarise(dataset, [24.0 + 1e-7]).sizes["hour"] == 1
    with pytest.raises(StoreError, match=r"no output at 5\.5, 400 h; its times are 0, 0\.1666"):
        summarise(dataset, [24.0, 5.5, 400.0])
    with pytest.raises(StoreError, match="no variable madrs_rated"):
        summarise(dataset.drop_vars("madrs_rated"))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert np.round(wilson(successes, trials), 4).tolist() == [low, high]


def test_wilson_interval_without_trials_is_unknown() -> None:
    assert np.isnan(wilson(0, 0)).all()


def test_bands_are_exact_quantiles_of_the_successful(dataset: xr.Dataset) -> None:
    band = bands(dataset, "glutamate", quantiles=(0.05, 0.5, 0.95))["glutamate"]
    assert band.dims == ("arm", "region", "time", "quantile")
    arrays = _whole()
    for i in range(len(ARMS)):
        values = arrays["glutamate"][i][..., arrays["status"][i] == 0].astype(np.float64)
        expected = np.stack([np.percentile(values, q, axis=-1) for q in (5, 50, 95)], axis=-1)
        np.testing.assert_allclose(band[i], expected, rtol=1e-12)
    assert bands(dataset, "solver_error")["solver_error"].dims == ("arm", "quantile")
    assert band.attrs["units"] == "1"
    assert band.attrs["patients_used"] == 500


def test_bands_of_a_large_population_are_of_all_patients(
    dataset: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = bands(dataset, "madrs", "glutamate")
    monkeypatch.setattr(spreads, "EXACT_PATIENTS", 300)
    found = bands(dataset, "madrs", "glutamate")
    for name in ("madrs", "glutamate"):
        assert found[name].dims == exact[name].dims
        assert found[name].attrs["patients_used"] == 500
        assert "all 500 patients, within 0.1% of (" in found[name].attrs["cell_methods"]
        gap, allowed = abs(found[name] - exact[name]), found[name].attrs
        assert (gap <= allowed["relative_error"] * (abs(exact[name]) + allowed["floor"])).all()


def test_table_reads_without_a_screen(dataset: xr.Dataset) -> None:
    lines = format_table(summarise(dataset, HOURS)).splitlines()
    assert len(lines) == 1 + len(ARMS) * len(HOURS)
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split()[:5] == ["ketamine", "24", "h", "494", "6"]


@pytest.mark.parametrize(
    ("missing", "change", "response"), [("none", -20.0, 100.0), ("last", -14.0, 50.0)]
)
def test_scores_of_who_has_left(missing: str, change: float, response: float) -> None:
    """Two patients fall by 8, then 20 points; one leaves between. By hand."""
    course = np.array([[32.0, 24.0, 12.0]] * 2 + [[32.0, np.nan, np.nan]]).T
    dataset = xr.Dataset(
        {
            "madrs_rated": (("arm", "time", "patient"), course[None]),
            "baseline_madrs": ("patient", np.full(3, 32.0)),
            "dropout_time": (("arm", "patient"), np.array([[30.0, np.nan, 30.0]])),
            "status": (("arm", "patient"), np.array([[0, 0, 2]], np.int8)),
        },
        coords={"arm": ["open"], "time": [0.0, 24.0, 48.0]},
    )
    row = summarise(dataset, [48.0], missing=missing).isel(arm=0, hour=0)  # pyright: ignore
    assert row["madrs_change"] == pytest.approx(change)
    assert row["response"] == pytest.approx(response)
    assert (row["n_ok"], row["n_failed"]) == (2, 1)
    assert ("n_left" in row) == (missing != "none")
    early = summarise(dataset, [24.0], missing="last").isel(arm=0, hour=0)
    assert early["madrs_change"] == -8.0 and early["n_left"] == 0
    at_entry = summarise(dataset, [48.0], missing="entry").isel(arm=0, hour=0)
    assert at_entry["madrs_change"] == -10.0 and at_entry["n_left"] == 1
    with pytest.raises(StoreError, match="no variable dropout_time"):
        summarise(dataset.drop_vars("dropout_time"), [48.0], missing="last")
