"""The schema refuses what a store could not hold, and the chunks divide the shards."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketjax.dataset import Coordinates, Variable, readout, trait
from ketjax.dataset.store import CHUNK, chunk_length


def test_dims_follow_the_axis_rule() -> None:
    assert readout("madrs", "points", "score").dims == ("arm", "time", "patient")
    regional = readout("bdnf", "1", "BDNF", regional=True)
    assert regional.dims == ("arm", "region", "time", "patient")
    assert trait("receptors.kd_interneuron", "uM", "kd").dims == ("patient",)
    for dims in (("patient", "arm"), ("arm", "time"), ("arm", "cell", "patient"), ()):
        with pytest.raises(ValueError, match="has dims"):
            Variable("madrs", dims, "points", "score")


def test_names_and_types_are_plain() -> None:
    for name in ("", "a/b", "../up", ".hidden", "patient", "journal", "white space"):
        with pytest.raises(ValueError, match="not allowed"):
            trait(name, "1", "nothing")
    with pytest.raises(ValueError, match="dtype"):
        trait("weight", "kg", "body weight", dtype="object")


def test_unwritten_numbers_are_not_numbers() -> None:
    assert math.isnan(readout("madrs", "points", "score").fill)
    assert trait("female", "1", "sex", dtype="int8").fill == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ("a", "a")}, "different"),
        ({"arms": ("two words",)}, "plain"),
        ({"arms": ()}, "at least one arm"),
        ({"times": (0.0, 0.0)}, "increasing"),
        ({"times": (0.0, math.nan)}, "finite"),
        ({"patients": 0}, "one patient"),
    ],
)
def test_axes_can_be_told_apart(change: dict, message: str) -> None:
    good = {"arms": ("a",), "regions": ("r",), "times": (0.0, 1.0), "patients": 1}
    Coordinates(**good)
    with pytest.raises(ValueError, match=message):
        Coordinates(**(good | change))


@given(st.integers(1, 200_000))
def test_chunks_divide_the_shard_and_are_neither_huge_nor_tiny(shard: int) -> None:
    length = chunk_length(shard)
    assert shard % length == 0
    assert length == shard or CHUNK // 8 <= length <= CHUNK


def test_chunks_of_usual_shards() -> None:
    assert [chunk_length(n) for n in (100, 8192, 16384, 65536)] == [100, 8192, 8192, 8192]
