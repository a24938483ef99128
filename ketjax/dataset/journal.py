"""The journal of a store: which shards are finished, and what their bytes were.

One small JSON file a shard under ``<store>/journal/``. It appears in one step, after all arrays of
the shard have been written; what it does not list does not count as data. The lock that keeps two
runs from writing one store lives beside the entries.
"""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ketjax.errors import StoreError

FOLDER = "journal"


def entries(path: Path) -> dict[int, dict[str, Any]]:
    """Read the journal.

    Args:
        path: The store.

    Returns:
        Shard number to entry; an entry that is not whole JSON is left out, so its shard does not
        count.
    """
    found = {}
    for file in sorted((path / FOLDER).glob("shard-*.json")):
        try:
            entry = json.loads(file.read_text("utf-8"))
            found[int(entry["shard"])] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return found


def commit(path: Path, shard: int, entry: Mapping[str, Any]) -> None:
    """Enter a finished shard, so that the entry is on disk whole or not at all.

    Args:
        path: The store.
        shard: Number of the shard.
        entry: What is known of it, as JSON.
    """
    target = _file(path, shard)
    temporary = target.with_suffix(".partial")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"shard": shard, **entry}, file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    folder = os.open(path / FOLDER, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def strike(path: Path, shard: int) -> None:
    """Take a shard out of the journal, before it is written again."""
    _file(path, shard).unlink(missing_ok=True)


@contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Hold a store for one run; the system lets go of it when the process ends, however it ends.

    Args:
        path: The store. Worker processes of the same run write under the lock of their parent.

    Yields:
        Nothing; the store is held until the block ends.

    Raises:
        StoreError: Another process holds the store; the message names it.
    """
    import fcntl  # POSIX only: reading a store works without it

    file = Path(path) / FOLDER / "lock"
    if not file.parent.is_dir():
        raise StoreError(f"{path}: no ketjax store here; to begin one, run without --resume")
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise StoreError(
                f"{path}: another run is writing this store ({handle.read().strip()}). "
                "Wait for it to end, or choose another output."
            ) from None
        handle.truncate(0)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        handle.flush()
        for stale in list(Path(path).rglob("*.partial")):  # left by a process that was killed
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink(missing_ok=True)
        try:
            yield
        finally:
            handle.truncate(0)


def _file(path: Path, shard: int) -> Path:
    return path / FOLDER / f"shard-{shard:06d}.json"
