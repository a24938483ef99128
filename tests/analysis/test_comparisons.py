"""Paired differences, exposure groups and traits against plain NumPy and SciPy."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from ketjax.analysis.comparisons import compare
from ketjax.analysis.exposures import GROUPS, by_exposure
from ketjax.analysis.traits import chance_correlation, changes, describe_traits
from ketjax.errors import StoreError

PATIENTS = 400
HOURS = [24.0, 168.0]


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """Two arms, a week, one failed patient in the second arm, and unequal weights."""
    random = np.random.default_rng(3)
    times = np.array([0.0, *np.linspace(0.5, 24.0, 12), 168.0])
    entry = random.uniform(25.0, 40.0, PATIENTS)
    clearance = np.exp(0.3 * random.standard_normal(PATIENTS))
    plasma = 100.0 * np.exp(-clearance * times[:, None] / 5.0)
    share = random.uniform(0.0, 1.0, (2, 1, PATIENTS)) * np.array([0.9, 0.5])[:, None, None]
    score = np.round(entry * (1 - share * (times > 0)[:, None]))
    status = np.zeros((2, PATIENTS), np.int8)
    status[1, 7] = 2
    score[1, :, 7] = np.nan
    weight = random.uniform(0.0, 2.0, PATIENTS) / PATIENTS
    return xr.Dataset(
        {
            "plasma_ketamine": (
                ("arm", "time", "patient"),
                np.stack([plasma, 0.0 * plasma]),
                {"units": "ng/mL"},
            ),
            "madrs_rated": (("arm", "time", "patient"), score),
            "baseline_madrs": ("patient", entry, {"units": "points", "long_name": "entry"}),
            "clearance": ("patient", clearance, {"units": "L/h", "long_name": "clearance"}),
            "alleles": ("patient", random.integers(0, 3, PATIENTS).astype(float)),
            "status": (("arm", "patient"), status),
            "weight": ("patient", weight),
        },
        coords={"arm": ["a", "b"], "time": times, "patient": np.arange(PATIENTS)},
    ).chunk(patient=90)


def test_equal_weights_change_nothing(dataset: xr.Dataset) -> None:
    equal = dataset.assign(weight=("patient", np.full(PATIENTS, 1 / PATIENTS)))
    xr.testing.assert_allclose(compare(dataset, HOURS), compare(equal, HOURS, weighted=True))


def test_weighted_difference_is_that_of_repeated_patients(dataset: xr.Dataset) -> None:
    """A weight of two is a patient that is there twice, as far as means go."""
    times = np.random.default_rng(5).integers(1, 4, PATIENTS)
    weighted = compare(
        dataset.assign(weight=("patient", times / times.sum())), HOURS, weighted=True
    )
    repeated = compare(dataset.isel(patient=np.repeat(np.arange(PATIENTS), times)), HOURS)
    for name in ("madrs_change", "response", "remission"):
        np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-12)


def test_interval_of_paired_change_is_that_of_scipy(dataset: xr.Dataset) -> None:
    found = compare(dataset, HOURS).sel(arm="b", hour=24.0)
    score = dataset["madrs_rated"].sel(time=24.0).to_numpy()
    gap = np.delete(score[0] - score[1], 7)
    reach = stats.norm.ppf(0.975) * stats.sem(gap)
    assert found["pairs"] == PATIENTS - 1
    assert float(found["madrs_change_low"]) == pytest.approx(gap.mean() - reach, rel=1e-12)
    assert float(found["madrs_change_high"]) == pytest.approx(gap.mean() + reach, rel=1e-12)


def test_one_arm_or_a_wrong_hour_is_refused(dataset: xr.Dataset) -> None:
    with pytest.raises(StoreError, match="one arm"):
        compare(dataset.isel(arm=[0]), HOURS)
    with pytest.raises(StoreError, match="no output at 25 h"):
        compare(dataset, [25.0])
    with pytest.raises(StoreError, match="no variable madrs_rated"):
        compare(dataset.drop_vars("madrs_rated"), HOURS)


def test_groups_of_exposure(dataset: xr.Dataset) -> None:
    found = by_exposure(dataset, 24.0)
    assert found.groups["arm"].values.tolist() == ["a"] and found.unit == "ng/mL h"
    times = dataset["time"].to_numpy()[:-1]
    area = np.trapezoid(dataset["plasma_ketamine"][0, :-1].to_numpy(), times, axis=0)
    first = np.argsort(area)[: PATIENTS // GROUPS]
    score = dataset["madrs_rated"].sel(arm="a", time=24.0).to_numpy()
    entry = dataset["baseline_madrs"].to_numpy()
    own = found.groups.sel(arm="a", group=0)
    assert float(own["exposure"]) == pytest.approx(np.median(area[first]), rel=1e-12)
    assert float(own["change"]) == pytest.approx((score - entry)[first].mean(), rel=1e-12)
    share = 100 * np.mean(score[first] <= entry[first] / 2)
    assert float(own["response"]) == pytest.approx(share, rel=1e-12)
    sparse = by_exposure(dataset.isel(time=[0, 1, 12, 13]), 24.0)
    assert "highest" in sparse.measure and sparse.unit == "ng/mL"
    with pytest.raises(StoreError, match="no arm has any"):
        by_exposure(dataset.isel(arm=[1]), 24.0)
    with pytest.raises(StoreError, match="fewer than"):
        by_exposure(dataset.isel(patient=slice(20)), 24.0)


def test_traits_equal_numpy_and_scipy(dataset: xr.Dataset) -> None:
    change = changes(dataset, "b", 24.0)
    assert np.isnan(change[7]) and np.isfinite(np.delete(change, 7)).all()
    groups = {"one": change <= -0.2, "two": change > -0.2}
    traits = {t.name: t for t in describe_traits(dataset, groups, change)}
    assert traits.keys() == {"baseline_madrs", "clearance", "alleles"}
    values, fine = dataset["clearance"].to_numpy(), np.isfinite(change)
    known, _ = stats.spearmanr(values[fine], change[fine])
    assert traits["clearance"].correlation == pytest.approx(known, rel=1e-10)
    assert traits["clearance"].groups["all"].quartiles[1] == np.median(values)
    assert traits["baseline_madrs"].covariate and not traits["clearance"].covariate
    levels = traits["alleles"].groups["all"].levels
    assert levels == {k: int((dataset["alleles"] == k).sum()) for k in (0, 1, 2)}


def test_chance_of_the_strongest_correlation() -> None:
    """Of 50 correlations of noise the strongest exceeds the bound about once in twenty times."""
    random = np.random.default_rng(11)
    bound, over = chance_correlation(100, 50), 0
    for _ in range(400):
        ranks = np.argsort(random.random((51, 100)), axis=1).argsort(axis=1)
        strongest = np.abs(np.asarray(np.corrcoef(ranks))[0, 1:]).max()
        over += bool(strongest > bound)
    assert 0.02 < over / 400 < 0.08
