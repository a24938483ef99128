"""From the score to what a rater writes down: MADRS in sum and by items, and HAM-D17.

At time 0 nothing is added: the baseline of a change is the patient's usual score, known exactly,
neither noisy nor rounded. A typical patient is rated without noise at all times. Elsewhere a
patient has better and worse days (`latent`), and a rater scatters about the day's score (`rating`).
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from ketjax.model.parameters import Parameters
from ketjax.observation.noise import Noise

Array = NDArray[np.float64]

ITEMS = (
    "apparent sadness",
    "reported sadness",
    "inner tension",
    "reduced sleep",
    "reduced appetite",
    "concentration difficulties",
    "lassitude",
    "inability to feel",
    "pessimistic thoughts",
    "suicidal thoughts",
)
"""The items of the MADRS in the order of the scale."""

HIGHEST_FIRST = (1, 0, 7, 6, 5, 2, 3, 8, 4, 9)
"""Items by how high they are rated at the same total score; assumed."""

SHARED = ("day", "rating")
"""Random numbers that several ratings of one interview share."""


def latent(score: Array, p: Parameters, noise: Noise) -> Array:
    """Score of the day: the patient's usual one with better and worse days.

    Equation:
        Sx = S + sdOU X(t) sqrt(4 mu (1 - mu)), mu = S/Smax; Sx = S at time 0

    Args:
        score: S [points], shape (time, patient).
        p: Parameters: sdOU [points], tauOU [h] of X, Smax [points].
        noise: Random numbers.

    Returns:
        Sx [points], shape (time, patient); it may leave the scale a little.
    """
    mu = np.clip(score / np.asarray(p.score.rating_maximum), 0, 1)
    days = noise.course("day", np.asarray(p.rating.fluctuation_time)) * _noisy(noise)
    return score + np.asarray(p.rating.fluctuation) * days * np.sqrt(4 * mu * (1 - mu))


def rating(score: Array, p: Parameters, noise: Noise) -> Array:
    """MADRS as a rater sums it up.

    Equation:
        Y = round(Smax Beta(phiS m, phiS (1 - m))), m = min(1 - eS, max(eS, Sx/Smax));
        Y = S at time 0

    Args:
        score: S [points], shape (time, patient).
        p: Parameters: phiS [1], eS [1], Smax [points], and those of `latent`.
        noise: Random numbers.

    Returns:
        Y [points], whole but at time 0, shape (time, patient).

    Source:
        WilliamsKobak2008: agreement of raters, from which phiS is derived.
    """
    later = _noisy(noise)[:, 0]
    rated = score.copy()
    if not later.any():
        return rated
    mean = _mean(score, p, noise)[later]
    precision = np.asarray(p.rating.precision)
    # The quantile of the patient's own uniform number: the same luck in every arm.
    chance = ndtr(noise.normals("rating")[later])
    # Most of a rating's time; SciPy lets several threads compute side by side.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        rows = threads.map(betaincinv, precision * mean, precision * (1 - mean), chance)
        share = np.stack(list(rows))
    # A patient whose march failed has no score, hence no rating.
    rated[later] = np.round(np.asarray(p.score.rating_maximum) * share)
    return rated


def item(number: int, score: Array, p: Parameters, noise: Noise) -> Array:
    """One item of the MADRS, rated apart from the sum on the same day.

    The offsets b are evenly spaced, with mean 0 and SD sdIb, in the order `HIGHEST_FIRST`.

    Equation:
        y = min(6, max(0, round(6 m + b + sdIt z))); at time 0 without sdIt z and not rounded

    Args:
        number: Which item, from 0.
        score: S [points], shape (time, patient).
        p: Parameters: sdIb and sdIt [points], and those of `rating`.
        noise: Random numbers.

    Returns:
        y [points], shape (time, patient).

    Source:
        MadrsItems2021: agreement on items, with which sdIt is in line.
    """
    ranks = np.argsort(np.array(HIGHEST_FIRST))
    centred = ranks.mean() - ranks
    offset = np.asarray(p.rating.item_offset) * centred[number] / centred.std()
    highest = np.asarray(p.score.rating_maximum) / len(ITEMS)
    noisy = _noisy(noise)
    z = noise.normals(f"item {number + 1}") * noisy
    value = highest * _mean(score, p, noise) + offset + np.asarray(p.rating.item_residual) * z
    return np.clip(np.where(noisy, np.round(value), value), 0, highest)


def hamd(score: Array, p: Parameters, noise: Noise) -> Array:
    """HAM-D17 of a patient whose MADRS is rated in the same interview.

    Equation:
        H = min(HDmax, max(0, round(aHD Y + sdHD z))); aHD S at time 0

    Args:
        score: S [points], shape (time, patient).
        p: Parameters: aHD [1], sdHD and HDmax [points], and those of `rating`.
        noise: Random numbers.

    Returns:
        H [points], shape (time, patient).
    """
    noisy = _noisy(noise)
    z = noise.normals("HAM-D17") * noisy
    value = np.asarray(p.rating.hamd_slope) * rating(score, p, noise)
    value = value + np.asarray(p.rating.hamd_residual) * z
    return np.clip(np.where(noisy, np.round(value), value), 0, np.asarray(p.rating.hamd_maximum))


def _noisy(noise: Noise) -> NDArray[np.bool_]:
    """Where ratings are noisy, shape (time, 1)."""
    return (noise.times[:, None] > 0) & (not noise.absent)


def _mean(score: Array, p: Parameters, noise: Noise) -> Array:
    """Share of the scale about which ratings of the day scatter: m [1]."""
    floor = np.asarray(p.rating.mean_floor)
    return np.clip(latent(score, p, noise) / np.asarray(p.score.rating_maximum), floor, 1 - floor)
