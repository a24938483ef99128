"""The journal of a store: which shards are finished, and what their bytes were.

One small JSON file a shard under ``<store>/journal/``. It appears in one step, after all arrays of
the shard have been written; what it does not list does not count as data. Beside the entries lie
the shards that were given up, and two locks: one is held by the run, the other is shared by all
processes that write for it, so that no run begins while those of a killed one still write.
"""

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ketjax.errors import StoreError

FOLDER = "journal"
PATIENCE = 60.0  # seconds that a run waits for the last processes of a killed one


def entries(path: str | Path) -> dict[int, dict[str, Any]]:
    """Read the journal.

    Args:
        path: The store.

    Returns:
        Shard number to entry; an entry that is not whole, or was changed since, is left out, so its
        shard does not count.
    """
    files = sorted((Path(path) / FOLDER).glob("shard-*.json"))
    found = filter(None, map(_read, files))
    return {int(entry["shard"]): entry for entry in found}


def entry_of(path: str | Path, shard: int) -> dict[str, Any] | None:
    """The entry of one shard, if there is a whole one."""
    return _read(_file(Path(path), shard))


def check_again(
    path: str | Path, before: Mapping[int, Mapping[str, Any]], shards: Iterable[int]
) -> None:
    """Refuse shards that were computed again and came out as other bytes.

    Args:
        path: The store.
        before: Its journal before they were.
        shards: Their numbers.

    Raises:
        StoreError: With the numbers of those that differ.
    """
    after = entries(path)
    differ = [k for k in shards if k in before and before[k]["sha256"] != after[k]["sha256"]]
    if differ:
        raise StoreError(
            f"{path}: shards {differ[:10]}, computed again, are not what the journal says of them: "
            "another machine or version made this store"
        )


def failures(path: str | Path) -> dict[int, str]:
    """Shards that were given up, with the reason."""
    found = {}
    for file in sorted((Path(path) / FOLDER).glob("failed-*.json")):
        try:
            entry = json.loads(file.read_text("utf-8"))
            found[int(entry["shard"])] = str(entry["reason"])
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
    whole = {"shard": shard, **entry}
    text = json.dumps({**whole, "sha256_of_entry": _digest(whole)}, indent=1, allow_nan=False)
    put(_file(path, shard), text)
    _failed(path, shard).unlink(missing_ok=True)


def give_up(path: Path, shard: int, reason: str) -> None:
    """Enter a shard that cannot be computed; a run that resumes tries it again.

    Args:
        path: The store.
        shard: Number of the shard.
        reason: Why.
    """
    strike(path, shard)
    entry = {"shard": shard, "reason": reason, "given_up": now()}
    put(_failed(path, shard), json.dumps(entry, indent=1))


def put(target: Path, text: str) -> None:
    """Write a file, so that it is on disk whole or not at all.

    Args:
        target: The file; it is replaced.
        text: What it holds.
    """
    temporary = target.with_name(f"{target.name}.{uuid4().hex}.partial")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def agree(path: str | Path, name: str, value: str) -> str:
    """Settle a value that all writers of a store must share: whoever comes first decides.

    Args:
        path: The store.
        name: Of the value.
        value: That of this writer.

    Returns:
        The value that stands.
    """
    target = Path(path) / FOLDER / name
    temporary = target.with_name(f"{name}.{uuid4().hex}.partial")
    try:
        temporary.write_text(value, "utf-8")
        os.link(temporary, target)  # fails if it is there
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    return target.read_text("utf-8")


def strike(path: str | Path, shard: int) -> None:
    """Take a shard out of the journal, before it is written again."""
    _file(Path(path), shard).unlink(missing_ok=True)


@contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Hold a store for one run; the system lets go of it when the process ends, however it ends.

    Args:
        path: The store. Worker processes of the same run write under the lock of their parent.
            What a killed process left half written is cleared away.

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
        _wait_for_writers(Path(path))
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
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


@contextmanager
def writing(path: Path, shard: int) -> Iterator[None]:
    """Write for the run that holds a store; many processes may at once, each a shard of its own.

    Args:
        path: The store.
        shard: Number of the shard; who else wants to write it waits.

    Yields:
        Nothing; no other run takes the store until the block ends.
    """
    import fcntl

    with (path / FOLDER / "writers").open("a+") as run, (path / FOLDER / "turns").open("a+") as own:
        fcntl.flock(run, fcntl.LOCK_SH)
        fcntl.lockf(own, fcntl.LOCK_EX, 1, shard)
        yield


def _wait_for_writers(path: Path) -> None:
    """Wait for processes of a killed run: a worker ends the shard that it is writing.

    Raises:
        StoreError: They do not come to an end.
    """
    import fcntl

    end = time.monotonic() + PATIENCE
    with (path / FOLDER / "writers").open("a+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > end:
                    raise StoreError(
                        f"{path}: workers of an earlier run are still writing this store. "
                        "End them, or wait."
                    ) from None
                time.sleep(0.05)


def now() -> str:
    """The time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _read(file: Path) -> dict[str, Any] | None:
    """An entry, if it is as it was written."""
    try:
        entry = json.loads(file.read_text("utf-8"))
        whole = entry.pop("sha256_of_entry", None) in (None, _digest(entry))
        return entry if whole and isinstance(entry["shard"], int) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def _file(path: Path, shard: int) -> Path:
    return path / FOLDER / f"shard-{shard:06d}.json"


def _failed(path: Path, shard: int) -> Path:
    return path / FOLDER / f"failed-{shard:06d}.json"
