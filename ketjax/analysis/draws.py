"""Uncertainty of parameters in a summary: how far it differs between posterior draws.

Patients of a study with uncertainty belong to draws; a summary is made of the patients of each.
Such a mean differs between draws because the parameters do, and because few patients make it.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ketjax.dataset.schema import DRAW

ENDS = (2.5, 97.5)  # of the interval between draws [%]


def between_draws(
    dataset: xr.Dataset,
    quantities: Mapping[str, xr.DataArray],
    counted: xr.DataArray,
    weight: xr.DataArray | None = None,
) -> xr.Dataset:
    """Intervals of means over the posterior draws of a store.

    The noise of the patients within a draw is taken out, to second order: means of draws are moved
    towards their own mean until their variance is the one between draws alone.

    Equation:
        m_k' = m + (m_k - m) sqrt(max(0, 1 - e/v)),  v = var(m_k), e = mean(s_k^2/n_k)

    Here n_k patients of draw k have mean m_k and variance s_k^2; with weights n_k is the effective
    number.

    Args:
        dataset: A store with ``draw``.
        quantities: By name, a number of each patient, with ``units`` and ``long_name``.
        counted: Which patients are in the summary.
        weight: Weights of the patients; the same for all if None.

    Returns:
        Dataset with the dimensions that are left: of each quantity ``NAME_draws_low`` and
        ``NAME_draws_high``, the 2.5 and 97.5 % of m_k', and ``NAME_noise``, e/v: the share of the
        variance of m_k that is noise [1]. ``n_draws`` are draws with at least two patients,
        ``n_of_draw`` the fewest patients of one. NaN with fewer than two such draws.
    """
    # One chunk of patients after the other: memory does not grow with their number.
    draws = dataset[DRAW.name].to_numpy()
    count = int(draws.max()) + 1
    whole = xr.Dataset({**quantities, "counted": counted}).transpose(..., "patient")
    weights = np.ones(draws.size) if weight is None else weight.to_numpy()
    length = max((dataset.chunks or {}).get("patient", (draws.size,)))
    sums: dict[str, np.ndarray] = {}
    for start in range(0, draws.size, length):
        here = slice(start, start + length)
        part = whole.isel(patient=here).compute()
        inside = part["counted"].to_numpy() * weights[here]
        own = {"n": part["counted"].to_numpy() * 1.0, "w": inside, "ww": inside * weights[here]}
        for name in quantities:
            x = np.where(inside > 0, part[name].to_numpy().astype(np.float64), 0.0)
            own |= {f"{name}, x": inside * x, f"{name}, xx": inside * x**2}
        for name, values in own.items():
            sums[name] = sums.get(name, 0.0) + _by_draw(values, draws[here], count)
    return _intervals(whole, list(quantities), sums)


def _by_draw(values: np.ndarray, draws: np.ndarray, count: int) -> np.ndarray:
    """Sums over the patients of each draw, who are last; the draws are last then."""
    rows = values.reshape(-1, draws.size)
    found = [np.bincount(draws, row, minlength=count) for row in rows]
    return np.reshape(found, (*values.shape[:-1], count))


def _intervals(whole: xr.Dataset, names: list[str], sums: dict[str, np.ndarray]) -> xr.Dataset:
    like = whole["counted"].isel(patient=0, drop=True)
    enough = (sums["n"] >= 2) & (sums["ww"] > 0)
    found = xr.Dataset(coords=like.coords)

    def keep(name: str, values: np.ndarray, unit: str, meaning: str) -> None:
        found[name] = (like.dims, values, {"units": unit, "long_name": meaning})

    with np.errstate(divide="ignore", invalid="ignore"):
        effective = sums["w"] ** 2 / sums["ww"]
        for name in names:
            mean = np.where(enough, sums[f"{name}, x"] / sums["w"], np.nan)
            variance = sums[f"{name}, xx"] / sums["w"] - mean**2
            noise = np.maximum(variance, 0.0) / (effective - 1)
            ends = np.full((3, *like.shape), np.nan)
            for place in np.ndindex(*like.shape):
                ours = enough[place]
                if ours.sum() >= 2:
                    ends[(slice(None), *place)] = _interval(mean[place][ours], noise[place][ours])
            unit, meaning = (whole[name].attrs[key] for key in ("units", "long_name"))
            keep(f"{name}_draws_low", ends[0], unit, f"{meaning}, 2.5 % between draws")
            keep(f"{name}_draws_high", ends[1], unit, f"{meaning}, 97.5 % between draws")
            keep(f"{name}_noise", ends[2], "1", f"{meaning}, share of noise between draws")
    number = enough.sum(axis=-1)
    fewest = np.where(enough, sums["n"], np.inf).min(axis=-1)
    keep("n_draws", number, "1", "posterior draws with at least two patients in the summary")
    keep("n_of_draw", np.where(number > 0, fewest, 0), "1", "fewest patients of such a draw")
    return found


def _interval(means: np.ndarray, noise: np.ndarray) -> tuple[float, float, float]:
    """Ends of the interval between draws, and the share of noise in the variance of the means."""
    variance = means.var(ddof=1)
    share = min(1.0, float(noise.mean()) / variance) if variance > 0 else 0.0
    moved = means.mean() + (means - means.mean()) * np.sqrt(1.0 - share)
    low, high = np.percentile(moved, ENDS)
    return float(low), float(high), float(share)


def format_interval(row: Mapping[str, float], name: str) -> str:
    """The interval of a quantity between draws as text, or that nothing but noise is seen.

    Args:
        row: A summary of one arm at one hour, by name.
        name: The quantity.
    """
    if row[f"{name}_noise"] >= 1:
        return "within noise"
    return f"{row[f'{name}_draws_low']:.1f} to {row[f'{name}_draws_high']:.1f}"


def describe_draws(summary: xr.Dataset) -> str:
    """One sentence on the intervals between draws of a summary."""
    draws, patients = int(summary["n_draws"].max()), int(summary["n_of_draw"].min())
    noise = float(summary["madrs_change_noise"].max())
    text = (
        f"Between draws: 2.5 to 97.5 % of {draws} posterior draws with at least {patients} "
        f"patients each"
    )
    if np.isfinite(noise):
        text += (
            "; the noise of so few patients, up to "
            f"{noise:.0%} of the variance of the mean change between draws, is taken out"
        )
    return f"{text}.\n"
