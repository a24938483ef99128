"""Ratings against what raters and days are known to add, and against each other."""

import numpy as np
import pytest

from ketjax.model.parameters import Parameters, replace
from ketjax.observation import OBSERVED, RATED, Noise, observe
from ketjax.observation.ratings import ITEMS, latent

TIMES = np.array([0.0, 2.0, 24.0, 72.0, 168.0, 600.0])
PATIENTS = np.arange(20_000)
SUM = [f"madrs_item_{k + 1:02}" for k in range(len(ITEMS))]
P = Parameters()
STEADY = replace(P, {"rating.fluctuation": 0.0})  # no better or worse days


def noise(patients=PATIENTS, times=TIMES, **options) -> Noise:
    return Noise(7, times, patients, **options)


def scores(level: float, patients=PATIENTS, times=TIMES) -> np.ndarray:
    """The same score in one arm at all times."""
    return np.full((1, times.size, patients.size), level)


def rated(level: float, p=STEADY, names=(RATED,), **kept) -> dict[str, np.ndarray]:
    return {
        name: values[0]
        for name, values in observe(
            names, {"madrs": scores(level, **kept)}, [p], noise(**kept)
        ).items()
    }


@pytest.mark.parametrize(("level", "sd"), [(25.0, 2.4), (5.0, 1.3)])
def test_raters_scatter_as_is_known(level: float, sd: float) -> None:
    """SD of 20,000 ratings a time, but for rounding, which adds 1/12 to the variance.

    The known SDs have one decimal; the SE of the simulated ones is 0.5 %.
    """
    found = rated(level)[RATED][1:]
    assert np.sqrt(found.var(axis=1) - 1 / 12) == pytest.approx(sd, abs=0.07)
    assert found.mean() == pytest.approx(level, abs=0.03)


def test_beta_has_its_closed_form() -> None:
    m = 25 / 60
    expected = 3600 * m * (1 - m) / (1 + 151) + 1 / 12
    assert rated(25.0)[RATED][1:].var() == pytest.approx(expected, rel=0.02)


def test_ratings_are_whole_and_on_the_scale() -> None:
    for level in (0.0, 1.0, 30.0, 59.5, 60.0):
        found = rated(level, P)[RATED]
        assert np.all(found[0] == level)  # the baseline is known exactly
        later = found[1:]
        np.testing.assert_array_equal(later, np.round(later))
        assert later.min() >= 0 and later.max() <= 60


def test_days_are_stationary_and_forgotten() -> None:
    """In the middle of the scale the SD is sdOU; correlation exp(-gap/tau) at unequal times."""
    fluctuation = latent(scores(30.0)[0], P, noise()) - 30.0
    assert np.all(fluctuation[0] == 0)
    assert fluctuation[1:].std(axis=1) == pytest.approx(3.0, rel=0.03)
    assert fluctuation[1:].mean(axis=1) == pytest.approx(0.0, abs=0.1)
    expected = np.exp(-np.abs(np.subtract.outer(TIMES[1:], TIMES[1:])) / 120)
    np.testing.assert_allclose(np.corrcoef(fluctuation[1:]), expected, atol=0.03)


def test_days_count_less_at_the_ends_of_the_scale() -> None:
    for level in (6.0, 54.0):  # sqrt(4 * 0.1 * 0.9) is 0.6
        sd = (latent(scores(level)[0], P, noise())[1:] - level).std()
        assert sd == pytest.approx(1.8, rel=0.03)


@pytest.mark.parametrize("name", [RATED, "madrs_item_04", "hamd17_rated", "il6_measured"])
def test_numbers_are_the_patients_own(name: str) -> None:
    """Whoever is beside, and in every arm."""
    many = np.arange(50)
    order = np.random.default_rng(0).permutation(50)[:20]
    row = OBSERVED[name]
    course = np.random.default_rng(1).uniform(5, 40, (2, TIMES.size, 50))
    course[1] = course[0]
    all_ = observe([name], {row.of: course}, [P, P], noise(many))[name]
    some = observe([name], {row.of: np.ascontiguousarray(course[..., order])}, [P, P], noise(order))
    assert some[name].tobytes() == np.ascontiguousarray(all_[..., order]).tobytes()
    assert all_[0].tobytes() == all_[1].tobytes()
    assert not np.array_equal(all_, course)


@pytest.mark.parametrize("name", [RATED, "hamd17_rated", "il6_measured"])
def test_observations_have_luck_of_their_own(name: str) -> None:
    """Noise of the sum, of an item and of a marker is independent."""
    for other in (RATED, "madrs_item_01", "hamd17_rated", "tnf_measured"):
        if other == name or {name, other} == {RATED, "hamd17_rated"}:
            continue
        a, b = (
            observe([n], {OBSERVED[n].of: scores(25.0)}, [STEADY], noise())[n][0, 2]
            for n in (name, other)
        )
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_items_add_up() -> None:
    """Their sum has the mean and about the SD of a rating, and they differ as they should."""
    items = rated(25.0, STEADY, tuple(SUM))
    stacked = np.stack([items[name] for name in SUM])
    later = stacked[:, 1:]
    assert later.min() >= 0 and later.max() <= 6
    np.testing.assert_array_equal(later, np.round(later))
    assert later.sum(axis=0).std() == pytest.approx(2.4, abs=0.1)
    assert later.sum(axis=0).mean() == pytest.approx(25.0, abs=0.1)
    means = later.mean(axis=(1, 2))
    assert means.std() == pytest.approx(0.6, abs=0.03)
    assert means.argmin() == ITEMS.index("suicidal thoughts")
    np.testing.assert_allclose(stacked[:, 0].sum(axis=0), 25.0)  # at time 0 without noise
    assert stacked[:, 0].std(axis=0) == pytest.approx(0.6)


def test_items_and_their_sum_share_the_day() -> None:
    found = rated(30.0, P, (RATED, *SUM))
    together = np.corrcoef(np.sum([found[name][3] for name in SUM], axis=0), found[RATED][3])[0, 1]
    assert together == pytest.approx(9 / (9 + 2.4**2), abs=0.05)  # share of the days' variance


def test_hamd_follows_the_rating() -> None:
    found = rated(28.0, P, (RATED, "hamd17_rated"))
    apart = found["hamd17_rated"] - 0.75 * found[RATED]
    assert np.all(apart[0] == 0)
    assert apart[1:].std() == pytest.approx(2.5, abs=0.05)
    np.testing.assert_array_equal(found["hamd17_rated"][1:], np.round(found["hamd17_rated"][1:]))


def test_typical_patient_is_rated_without_noise() -> None:
    few = PATIENTS[:3]
    quiet = noise(few, absent=True)
    given = {"madrs": scores(21.3, few), "il6": scores(2.2, few)}
    found = observe([RATED, "il6_measured", "hamd17_rated"], given, [P], quiet)
    np.testing.assert_array_equal(found[RATED], given["madrs"])
    np.testing.assert_array_equal(found["il6_measured"], given["il6"])
    np.testing.assert_allclose(found["hamd17_rated"], 0.75 * given["madrs"])


def test_who_failed_is_not_rated() -> None:
    course = scores(20.0, PATIENTS[:4])
    course[..., 1:, 2] = np.nan
    found = observe([RATED, SUM[0]], {"madrs": course}, [P], noise(PATIENTS[:4]))
    for name in (RATED, SUM[0]):
        assert np.isnan(found[name][0, 1:, 2]).all()
        assert np.isfinite(np.delete(found[name], 2, axis=-1)).all()
