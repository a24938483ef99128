"""Room on the disk: is there enough before a run begins, and what is said when it ends."""

import errno
import json
import math
import shutil
from pathlib import Path

import numpy as np

from ketjax.dataset import journal
from ketjax.dataset.reading import read_attributes, shards
from ketjax.errors import EnvironmentFault

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when a file finds no room: disk, quota, or limit of a file."""

COMPRESSED = 0.5
"""Bytes on disk over bytes of numbers; the first study has 0.47, drawn parameters alone 0.9."""


def check_room(path: str | Path, freed: int = 0) -> None:
    """Check that what a store still lacks can fit on its disk.

    Args:
        path: The store.
        freed: What will be deleted before [B].

    Raises:
        EnvironmentFault: Not even if it is compressed as well as stores are.
    """
    path = Path(path)
    missing = 1 - len(journal.entries(path)) / shards(path)
    need = missing * sum(_bytes_of(path / name) for name in read_attributes(path)["variables"])
    free = shutil.disk_usage(path).free + freed
    if COMPRESSED * need > free:
        raise EnvironmentFault(
            f"{path}: no room: {_megabytes(need)} of numbers have to be written, about "
            f"{_megabytes(COMPRESSED * need)} on disk, and {_megabytes(free)} are free. Make room, "
            "choose another disk (--out), or keep fewer readouts, times or patients."
        )


def no_room(path: Path, shard: int, need: int, error: OSError) -> EnvironmentFault:
    """What to say when a shard could not be written.

    Args:
        path: The store.
        shard: Number of the shard.
        need: Size of its numbers [B].
        error: What the system said.

    Returns:
        The exception to raise.
    """
    free = _megabytes(shutil.disk_usage(path).free)
    return EnvironmentFault(
        f"{path}: no room for shard {shard}, which takes up to {_megabytes(need)}; {free} are free "
        f"({error.strerror}). What was written before is whole: make room and go on with --resume."
    )


def _bytes_of(array: Path) -> int:
    """Size of the numbers of an array [B]."""
    header = json.loads((array / "zarr.json").read_text("utf-8"))
    return math.prod(header["shape"]) * np.dtype(header["data_type"]).itemsize


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
