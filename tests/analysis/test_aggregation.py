"""Aggregation against numpy on the same patients; chunks and workers leave no trace."""

import dask
import numpy as np
import pytest
import xarray as xr
from mock_store import ARMS, TIMES, courses, mock_store

from ketjax import dataset as ds
from ketjax.analysis import aggregate, aggregation, courses_of, describe_error, summarise
from ketjax.analysis.aggregation import ruler_of
from ketjax.analysis.strata import strata_of
from ketjax.errors import StoreError

SHARES = [0.05, 0.5, 0.95]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """A complete store of 500 patients in shards of 200, with weights, opened."""
    path = mock_store(tmp_path_factory.mktemp("stores") / "aggregation.zarr")
    weight = np.random.default_rng(5).exponential(size=500)
    ds.write_weight(path, np.split(weight / weight.sum(), [200, 400]), {})
    return ds.open_store(path)


def whole(name: str) -> np.ndarray:
    """A variable of all patients."""
    parts = [courses(start, min(start + 200, 500))[name] for start in (0, 200, 400)]
    return np.concatenate(parts, axis=-1).astype(np.float64)


@pytest.mark.parametrize("name", ["madrs", "glutamate", "plasma_ketamine"])
def test_numbers_of_courses_by_sex(dataset: xr.Dataset, name: str) -> None:
    found = aggregate(dataset, [name], by="female", quantiles=SHARES)
    assert found["stratum"].values.tolist() == ["female = 0", "female = 1"]
    values, status, female = whole(name), whole("status"), whole("female")
    allowed = found[name].attrs
    for i in range(len(ARMS)):
        for sex in (0, 1):
            own = values[i][..., (status[i] == 0) & (female == sex)]
            at = {"arm": i, "stratum": sex}
            assert (found[f"{name}_n"].isel(at) == own.shape[-1]).all()
            exact = np.moveaxis(np.quantile(own, SHARES, axis=-1), 0, -1)
            low, high = (
                np.abs(np.quantile(own, SHARES, axis=-1, method=side))
                for side in ("lower", "higher")
            )
            size = np.moveaxis(np.maximum(low, high), 0, -1) + allowed["floor"]
            assert (
                abs(found[name].isel(at) - exact) <= 1.001 * allowed["relative_error"] * size
            ).all()
            mean = found[f"{name}_mean"].isel(at)
            np.testing.assert_allclose(mean, own.mean(axis=-1), rtol=1e-4, atol=1e-4)
            spread = found[f"{name}_sd"].isel(at)
            np.testing.assert_allclose(spread, own.std(axis=-1, ddof=1), rtol=1e-3, atol=1e-4)
            error = found[f"{name}_error"].isel(at)
            np.testing.assert_allclose(error, spread / np.sqrt(own.shape[-1]), rtol=1e-12)
            np.testing.assert_array_equal(found[f"{name}_least"].isel(at), own.min(axis=-1))
            np.testing.assert_array_equal(found[f"{name}_greatest"].isel(at), own.max(axis=-1))
    failed = found["n"].sel(arm="ketamine", status="non_finite").sum()
    assert failed == 6 and found["n"].sel(arm="saline").sum() == 500
    for array in found.data_vars.values():
        assert array.attrs["long_name"] and array.attrs["units"]


@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_workers_and_order_leave_no_trace(dataset: xr.Dataset, weighted: bool) -> None:
    names = ["madrs", "bdnf"]
    scaled = dataset[[*names, "status", "female", "weight"]].copy()
    for name in names:
        scaled[name] = scaled[name].assign_attrs(scale=30.0)
    known = aggregate(scaled, names, by="female", weighted=weighted)
    turned = scaled.isel(patient=slice(None, None, -1))
    for other, workers in ((scaled.chunk(patient=137), 3), (scaled.load(), 1), (turned, 2)):
        with dask.config.set(scheduler="threads", num_workers=workers):  # type: ignore[attr-defined]
            found = aggregate(other, names, by="female", weighted=weighted)
        for name, array in known.data_vars.items():
            assert found[name].values.tobytes() == array.values.tobytes(), name


def test_processes_leave_no_trace(dataset: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "LEAST_BYTES", 0)
    names = ["madrs", "bdnf"]
    known, found = (aggregate(dataset, names, processes=number) for number in (0, 2))
    for name, array in known.data_vars.items():
        assert found[name].values.tobytes() == array.values.tobytes(), name


def test_weights_are_those_of_numpy(dataset: xr.Dataset) -> None:
    found = aggregate(dataset, ["madrs", "baseline_madrs"], quantiles=SHARES, weighted=True)
    weight, ok = dataset["weight"].to_numpy(), whole("status")[0] == 0
    values = whole("madrs")[0][:, ok]
    share = {"weights": weight[ok], "method": "inverted_cdf", "axis": -1}
    exact = np.quantile(values, SHARES, **share).T
    np.testing.assert_allclose(found["madrs"].isel(arm=0, stratum=0), exact, rtol=1.1e-3)
    mean = np.average(values, axis=-1, weights=weight[ok])
    half_unit = ruler_of(dataset, courses_of(dataset)["madrs"]).unit / 2
    np.testing.assert_allclose(
        found["madrs_mean"].isel(arm=0, stratum=0), mean, rtol=0, atol=half_unit
    )
    entry = whole("baseline_madrs")[ok]
    known = np.quantile(entry, SHARES, weights=weight[ok], method="inverted_cdf")
    np.testing.assert_array_equal(found["baseline_madrs"].isel(arm=0, stratum=0), known)
    with pytest.raises(StoreError, match="no weights"):
        aggregate(dataset.drop_vars("weight"), ["madrs"], weighted=True)


def test_outcomes_and_traits_are_exact(dataset: xr.Dataset) -> None:
    found = aggregate(dataset, ["receptors.kd_interneuron", "solver_error"], quantiles=SHARES)
    ok = whole("status") == 0
    for name, values in (
        ("receptors.kd_interneuron", np.tile(whole("receptors.kd_interneuron"), (3, 1))),
        ("solver_error", whole("solver_error")),
    ):
        for i in range(len(ARMS)):
            own = values[i, ok[i]]
            row = found.isel(arm=i, stratum=0)
            np.testing.assert_array_equal(row[name], np.quantile(own, SHARES))
            assert row[f"{name}_mean"] == pytest.approx(own.mean(), rel=1e-12)
            assert row[f"{name}_sd"] == pytest.approx(own.std(ddof=1), rel=1e-12)
        assert describe_error(found[name]) == "exact"


def test_response_by_stratum_is_that_of_the_patients_in_it(dataset: xr.Dataset) -> None:
    found = summarise(dataset, [24.0], by="baseline_madrs:30,35")
    entry = dataset["baseline_madrs"].to_numpy()
    bounds = (-np.inf, 30.0, 35.0, np.inf)
    for k, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False)):
        own = dataset.isel(patient=np.flatnonzero((entry >= low) & (entry < high)))
        xr.testing.assert_identical(
            found.isel(stratum=k).drop_vars("stratum"), summarise(own, [24.0])
        )


def test_strata(dataset: xr.Dataset) -> None:
    fourths = strata_of(dataset, "receptors.kd_interneuron")
    assert len(fourths.labels) == 4 and fourths.labels[0].startswith("receptors.kd_interneuron <")
    assert np.bincount(fourths.code).tolist() == [125] * 4
    assert np.bincount(strata_of(dataset, "baseline_madrs:2").code).tolist() == [250, 250]
    for by, said in (
        ("madrs", "madrs is no trait"),
        ("female:1", "whole number from 2"),
        ("female:x", "neither a number"),
        ("female:3,2", "must rise"),
    ):
        with pytest.raises(StoreError, match=said):
            strata_of(dataset, by)


def test_unknown_numbers_are_named(dataset: xr.Dataset) -> None:
    with pytest.raises(StoreError, match="madrz.*madrs"):
        aggregate(dataset, ["madrz"])
    assert len(TIMES) == aggregate(dataset, ["madrs"]).sizes["time"]
