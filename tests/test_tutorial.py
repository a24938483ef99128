"""The tutorial of fitting runs from its table to its predictions, with few patients."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "studies" / "fit_tutorial.py"


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorial") / "fit"
    main = runpy.run_path(str(SCRIPT))["main"]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        return main(folder, fitted=128, predicted=1000), folder


def test_predictions_have_intervals(walked):
    shown, _ = walked
    assert list(shown) == ["before", "after"]
    for summary in shown.values():
        low, middle, high = (
            summary[f"response{end}"].to_numpy() for end in ("_draws_low", "", "_draws_high")
        )
        seen = np.isfinite(low)
        assert seen.any()
        assert ((0 <= low) & (low <= high) & (high <= 100))[seen].all()
        assert ((0 < middle) & (middle < 100)).all()


def test_everything_is_left_in_the_folder(walked):
    _, folder = walked
    for name in ("set.toml", "posterior.csv", "prior.csv", "after.toml", "after.zarr"):
        assert (folder / name).exists(), name
