"""Follow-up from counts against the published table and against patients one by one."""

import numpy as np
import pytest
import xarray as xr

from ketjax.analysis import follow_up
from ketjax.analysis.survival import Endings, product_limit
from ketjax.errors import StoreError

# Remission under 6-MP, Freireich 1963, as in Kalbfleisch and Prentice: 21 patients.
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
LOST = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def store(patients: int = 400) -> xr.Dataset:
    """Two arms; who leaves is censored at no time, failed patients do not count."""
    random = np.random.default_rng(4)
    left = random.exponential(300.0, (2, patients))
    left[left > 336.0] = np.nan
    status = np.zeros((2, patients), np.int8)
    status[0, ::50] = 2
    return xr.Dataset(
        {
            "dropout_time": (("arm", "patient"), left),
            "status": (("arm", "patient"), status),
            "female": ("patient", random.integers(0, 2, patients)),
            "weight": ("patient", np.full(patients, 1.0 / patients)),
        },
        coords={"arm": ["open", "sham"], "time": [0.0, 24.0, 168.0, 336.0]},
    )


def relapse_store() -> xr.Dataset:
    """The published patients, and two who never responded."""
    hours = np.array([*WEEKS, np.nan, np.nan]) * 168.0
    state = np.array([*(0 if lost else 1 for lost in LOST), 2, 2], np.int8)
    return xr.Dataset(
        {
            "time_to_relapse": (("arm", "patient"), hours[None]),
            "relapse_state": (("arm", "patient"), state[None]),
            "status": (("arm", "patient"), np.zeros((1, 23), np.int8)),
        },
        coords={"arm": ["open"], "time": [0.0, 35 * 168.0]},
    )


def test_the_published_curve_and_its_bounds() -> None:
    weeks = np.array([5.0, 6.0, 10.0, 22.0, 23.0])
    found = follow_up(relapse_store(), "time_to_relapse", weeks * 168.0).isel(arm=0, stratum=0)
    np.testing.assert_allclose(found["survival"], [1, 0.857, 0.753, 0.538, 0.448], atol=5e-4)
    assert found["at_risk"].values.tolist() == [21, 21, 15, 7, 6]
    assert found["lost"].values.tolist() == [0, 3, 5, 8, 9]
    assert found["median"] == 23 * 168.0
    # Greenwood's standard errors, as in Kalbfleisch and Prentice: 0.0764, 0.0963, 0.1282, 0.1346.
    spread = Endings.of(WEEKS, LOST)
    share = spread.product_limit() * np.sqrt(spread.spread())
    at = np.searchsorted(spread.times, weeks[1:])
    np.testing.assert_allclose(share[at], [0.0764, 0.0963, 0.1282, 0.1346], atol=5e-5)
    low, high = found["survival_low"], found["survival_high"]
    assert (low <= found["survival"]).all() and (found["survival"] <= high).all()
    # Log-log bounds of the last one, by the formula.
    s, error = 0.44817, 0.13459
    reach = 1.96 * error / (s * abs(np.log(s)))
    assert float(low[-1]) == pytest.approx(s ** np.exp(reach), abs=1e-3)
    assert float(high[-1]) == pytest.approx(s ** np.exp(-reach), abs=1e-3)


def test_parts_of_the_patients_add_up_to_the_bit() -> None:
    random = np.random.default_rng(1)
    times, lost = random.integers(0, 20, 300), random.integers(0, 2, 300).astype(bool)
    known = Endings.of(times, lost)
    order = random.permutation(300)
    parts = [Endings.of(times[own], lost[own]) for own in np.split(order, [10, 11, 200])]
    found = Endings.merged(parts[::-1])
    for name in ("times", "lost", "censored"):
        assert np.array_equal(getattr(found, name), getattr(known, name))
    at, share = product_limit(times, lost)
    event = known.lost > 0
    assert np.array_equal(at[1:], known.times[event])
    assert np.array_equal(share[1:], known.product_limit()[event])


def test_leaving_is_the_share_of_who_is_still_there() -> None:
    """Nobody is censored before the end, so the estimate is a share; by stratum and chunk."""
    dataset = store()
    found = follow_up(dataset, "dropout_time", by="female")
    for i in range(2):
        for sex in (0, 1):
            own = (dataset["female"] == sex) & (dataset["status"][i] == 0)
            left = dataset["dropout_time"][i].values[own.values]
            for k, hour in enumerate(dataset["time"].values):
                row = found.isel(arm=i, stratum=sex, hour=k)
                share = 1.0 - (left <= hour).mean()
                assert row["survival"] == pytest.approx(share, abs=1e-12)
                assert row["lost"] == (left <= hour).sum()
                assert row["at_risk"] == left.size - (left < hour).sum()
    xr.testing.assert_identical(
        follow_up(dataset.chunk(patient=33), "dropout_time", by="female"), found
    )
    even = follow_up(dataset, "dropout_time", by="female", weighted=True)
    np.testing.assert_allclose(even["survival"], found["survival"], atol=1e-12)
    np.testing.assert_allclose(even["at_risk"], found["at_risk"], atol=1e-6)
    assert np.isnan(even["survival_low"]).all()


def test_events_that_a_store_lacks_are_named() -> None:
    with pytest.raises(StoreError, match="no event time_to_relapse; it has dropout_time"):
        follow_up(store(), "time_to_relapse")
