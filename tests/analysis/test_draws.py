"""Intervals between posterior draws: against plain NumPy, and against a known truth."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from ketjax.analysis import between_draws, describe_draws, format_table, summarise

DRAWS, EACH = 60, 25
RATED, ENTRY = 24.0, 33.0


def made(between: float, within: float, seed: int = 1, draws: int = DRAWS, each: int = EACH):
    """A store whose patients' falls differ between draws and within them by known SDs."""
    random = np.random.default_rng(seed)
    patient = np.arange(draws * each)
    truth = random.normal(0.0, between, draws)
    score = RATED + truth[patient % draws] + random.normal(0.0, within, (2, 1, patient.size))
    return xr.Dataset(
        {
            "madrs_rated": (("arm", "time", "patient"), score),
            "baseline_madrs": ("patient", np.full(patient.size, ENTRY)),
            "status": (("arm", "patient"), np.zeros((2, patient.size), np.int8)),
            "draw": ("patient", (patient % draws).astype(np.int32)),
        },
        {"arm": ["drug", "sham"], "time": [24.0]},
    )


def test_means_of_draws_without_noise_are_those_of_numpy() -> None:
    dataset = made(2.0, 0.0)
    summary = summarise(dataset, [24.0]).isel(arm=0, hour=0)
    score = dataset["madrs_rated"].to_numpy()[0, 0]
    means = [(score - ENTRY)[dataset["draw"] == k].mean() for k in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert float(summary["madrs_change_draws_low"]) == pytest.approx(low, rel=1e-6)
    assert float(summary["madrs_change_draws_high"]) == pytest.approx(high, rel=1e-6)
    assert float(summary["madrs_change_noise"]) < 1e-6
    assert (int(summary["n_draws"]), int(summary["n_of_draw"])) == (DRAWS, EACH)


def test_noise_within_draws_is_taken_out() -> None:
    """The width is that of the truth, where means of draws are half as wide again."""
    widths, naive = [], []
    for seed in range(40):
        dataset = made(2.0, 9.0, seed)
        summary = summarise(dataset, [24.0]).isel(hour=0)
        widths += list(summary["madrs_change_draws_high"] - summary["madrs_change_draws_low"])
        means = dataset["madrs_rated"].to_numpy().reshape(2, EACH, DRAWS).mean(axis=1)
        naive += list(np.subtract(*np.percentile(means, [97.5, 2.5], axis=1)))
    # Interpolated ends of 60 draws lie where order statistics do, not at 1.96 SD.
    known = np.random.default_rng(0).normal(0, 2.0, (4000, DRAWS))
    expected = np.mean(np.subtract(*np.percentile(known, [97.5, 2.5], axis=1)))
    assert np.mean(widths) == pytest.approx(expected, rel=0.06)
    assert np.mean(naive) > 1.25 * expected


def test_shares_have_binomial_noise() -> None:
    """Equal draws: all that differs is luck, and the share of noise is about one."""
    shares = [
        float(summarise(made(0.0, 9.0, seed), [24.0])["response_noise"].isel(arm=0, hour=0))
        for seed in range(20)
    ]
    assert np.mean(shares) > 0.85
    dataset = made(0.0, 9.0)
    own = (dataset["madrs_rated"].isel(time=0, arm=0) <= ENTRY / 2).to_numpy()
    rates = np.array([own[dataset["draw"] == k].mean() for k in range(DRAWS)])
    noise = np.mean(rates * (1 - rates) / (EACH - 1))
    found = float(summarise(dataset, [24.0])["response_noise"].isel(arm=0, hour=0))
    assert found == pytest.approx(min(1.0, noise / rates.var(ddof=1)), rel=1e-9)


def test_chunks_and_order_do_not_matter() -> None:
    dataset = made(2.0, 5.0)
    whole = summarise(dataset, [24.0])
    xr.testing.assert_allclose(whole, summarise(dataset.chunk(patient=170), [24.0]), rtol=1e-10)
    order = np.random.default_rng(3).permutation(dataset.sizes["patient"])
    xr.testing.assert_allclose(whole, summarise(dataset.isel(patient=order), [24.0]), rtol=1e-10)


def test_weights_count_as_patients_do() -> None:
    """Whole weights are patients that stand there several times, but for the noise."""
    dataset = made(2.0, 5.0)
    times = np.random.default_rng(5).integers(1, 4, dataset.sizes["patient"])
    change = dataset["madrs_rated"].isel(time=0, drop=True) - ENTRY
    quantity = {"x": change.assign_attrs(units="points", long_name="change")}
    all_in = xr.ones_like(change, dtype=bool)
    weight = xr.DataArray(times / times.sum(), dims="patient")
    found = between_draws(dataset, quantity, all_in, weight)
    means = [
        np.average(change.isel(arm=0)[dataset["draw"] == k], weights=times[dataset["draw"] == k])
        for k in range(DRAWS)
    ]
    low, high = (float(found[f"x_draws_{end}"].isel(arm=0)) for end in ("low", "high"))
    shrink = np.sqrt(1 - float(found["x_noise"].isel(arm=0)))
    moved = np.mean(means) + np.subtract(means, np.mean(means)) * shrink
    np.testing.assert_allclose((low, high), np.percentile(moved, [2.5, 97.5]), rtol=1e-12)


def test_patients_that_failed_and_draws_without_patients() -> None:
    dataset = made(2.0, 5.0, draws=4, each=3)
    status = dataset["status"].to_numpy()
    status[0, [0, 4]] = 2  # one patient of draw 0 is left: nothing is known of its spread
    dataset["madrs_rated"][0, 0, [0, 4]] = np.nan
    summary = summarise(dataset, [24.0]).isel(hour=0)
    assert list(summary["n_draws"]) == [3, 4] and list(summary["n_of_draw"]) == [3, 3]
    alone = summarise(made(1.0, 1.0, draws=1), [24.0]).isel(hour=0)
    assert np.isnan(alone["response_draws_low"]).all()


def test_table_shows_the_interval_beside_the_usual_one() -> None:
    dataset = made(2.0, 5.0)
    summary = summarise(dataset, [24.0])
    text = format_table(summary)
    assert text.splitlines()[0].count("between draws") == 3
    row = summary.isel(arm=0, hour=0)
    low, high = (float(row[f"madrs_change_draws_{end}"]) for end in ("low", "high"))
    assert f"{low:.1f} to {high:.1f}" in text.splitlines()[1]
    alike = made(0.0, 5.0, seed=0)
    alike["madrs_rated"] = alike["madrs_rated"] * 0 + np.tile([20.0, 30.0], DRAWS * EACH // 2)
    alike["draw"] = ("patient", np.arange(DRAWS * EACH) // EACH)  # nearly the same in each draw
    assert "within noise" in format_table(summarise(alike, [24.0]))
    said = describe_draws(summary)
    assert "60 posterior draws with at least 25 patients each" in said and "noise" in said
    assert all(array.attrs["units"] for array in summary.data_vars.values())
    usual = summarise(dataset.drop_vars("draw"), [24.0])
    assert "n_draws" not in usual and "between draws" not in format_table(usual)
    xr.testing.assert_identical(usual, summary[list(usual.data_vars)])


def test_ends_of_a_share_of_many_draws_are_quantiles_of_its_law() -> None:
    """With many draws and patients the interval is that of the distribution of the truth."""
    dataset = made(1.5, 4.0, draws=2000, each=40)
    summary = summarise(dataset, [24.0]).isel(arm=0, hour=0)
    expected = RATED - ENTRY + 1.5 * stats.norm.ppf([0.025, 0.975])
    found = [float(summary[f"madrs_change_draws_{end}"]) for end in ("low", "high")]
    # SE of a 2.5 % quantile of 2,000 normal numbers of SD 1.5: 0.09
    np.testing.assert_allclose(found, expected, atol=4 * 0.09)
