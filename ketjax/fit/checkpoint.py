"""The state of a search on disk: written whole or not at all, and read back bit for bit."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ketjax.errors import StoreError

HEADER = "header"


def write(path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Put a state in the place of the one before, in one step.

    Args:
        path: An npz file.
        header: What is JSON.
        arrays: What is not; numbers only.
    """
    with partial(path).open("wb") as file:
        np.savez(file, **{HEADER: np.array(json.dumps(header))}, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    partial(path).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a state.

    Args:
        path: An npz file.

    Raises:
        StoreError: There is none, or it was damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        return json.loads(str(arrays.pop(HEADER))), arrays
    except FileNotFoundError:
        raise StoreError(f"{path}: no fit was begun here; run without --resume") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path}: is no state of a fit, or was damaged ({error}); begin again (--overwrite)"
        ) from None


def check_identity(path: Path, kept: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse the state of another fit.

    Args:
        path: Where it was read from.
        kept: What it says of its fit.
        ours: What this fit is.

    Raises:
        StoreError: They differ; the message says in what, and what to do.
    """
    names = [name for name in {**kept, **ours} if kept.get(name) != ours.get(name)]
    if not names:
        return
    differ = "; ".join(
        f"{name} {_brief(kept.get(name))}, here {_brief(ours.get(name))}" for name in names
    )
    raise StoreError(
        f"{path}: was written by another fit ({differ}). Resume with the file, options and "
        "versions that it was begun with, or write to another folder (--out), or begin again "
        "(--overwrite)."
    )


def partial(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f"{path.name}.partial")


def _brief(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
