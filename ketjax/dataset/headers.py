"""The headers of a store: what each `zarr.json` said when it was written.

A copy of every header stands in the journal, in ``headers.json`` under a digest of its own. A
header that was edited or lost is noticed by it and written again from it, and so are the
coordinates, which are counts, apart from the times that the copy holds.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ketjax.dataset import journal
from ketjax.dataset.schema import DIMENSIONS

FILE = f"{journal.FOLDER}/headers.json"
HEADER = "zarr.json"


def keep(path: Path, changed: Mapping[str, str], times: Iterable[float] | None = None) -> None:
    """Copy headers into the journal.

    Args:
        path: The store.
        changed: Text of headers by their place in the store; the others stay as they are.
        times: Output times [h]; as they are if None.
    """
    content = _content(path) or {"headers": {}, "times": []}
    content["headers"] |= changed
    if times is not None:
        content["times"] = list(times)
    journal.put(path / FILE, json.dumps({**content, "sha256": _digest(content)}))


def found_on_disk(path: Path) -> dict[str, str]:
    """Text of all headers of a store, by their place in it."""
    files = [path / HEADER, *sorted(path.glob(f"*/{HEADER}"))]
    return {str(file.relative_to(path)): file.read_text("utf-8") for file in files}


def kept(path: Path) -> dict[str, str] | None:
    """Text of the headers as they were written; None if the copy is lost or damaged."""
    content = _content(path)
    return None if content is None else dict(content["headers"])


def write(path: Path, texts: Mapping[str, str]) -> None:
    """Write headers, that of the store last: it says whether the store is complete.

    Args:
        path: The store.
        texts: Text by place in the store.
    """
    for place in sorted(texts, key=lambda place: place == HEADER):
        (path / place).parent.mkdir(exist_ok=True)
        journal.put(path / place, texts[place])


def with_attributes(text: str, attributes: Mapping[str, Any]) -> str:
    """A header with further attributes."""
    document = json.loads(text)
    document["attributes"] = {**document.get("attributes", {}), **attributes}
    return json.dumps(document, indent=2, allow_nan=False)


def damaged(path: Path) -> dict[str, str]:
    """Compare headers and coordinates with what was written.

    Args:
        path: The store.

    Returns:
        What is wrong, by place in the store.
    """
    content = _content(path)
    if content is None:
        lost = "damaged" if (path / FILE).exists() else "missing"
        return {FILE: f"{lost}, so headers cannot be checked"}
    wrong: dict[str, str] = {}
    for place, text in content["headers"].items():
        if place == "weight/zarr.json" and not (path / "weight").exists():
            continue  # a writer of weights was killed before they took their place
        try:
            if (path / place).read_text("utf-8") != text:
                wrong[place] = "the header differs from what was written"
        except FileNotFoundError:
            wrong[place] = "the header is missing"
        except (OSError, ValueError):
            wrong[place] = "the header cannot be read"
    for dim, values in _coordinates(content).items():
        if f"{dim}/{HEADER}" not in wrong and not _holds(path / dim, values):
            wrong[dim] = "the coordinate differs from what was written"
    return wrong


def restore(path: Path) -> list[str]:
    """Write headers and coordinates again that are not as they were.

    Args:
        path: The store; its copy of the headers must be whole.

    Returns:
        Places that were written.
    """
    content = _content(path)
    assert content is not None
    wrong = damaged(path)
    write(path, {place: content["headers"][place] for place in wrong if place.endswith(HEADER)})
    for dim, values in _coordinates(content).items():
        if not _holds(path / dim, values):
            zarr.open_array(path / dim, mode="r+", zarr_format=3)[:] = values
    return list(wrong)


def _content(path: Path) -> dict[str, Any] | None:
    """The copy in the journal, if it is whole."""
    try:
        content = json.loads((path / FILE).read_text("utf-8"))
        digest = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if digest == _digest(content) else None


def _coordinates(content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What the coordinates hold: they count, apart from the times."""
    values = {}
    for dim in DIMENSIONS:
        text = content["headers"].get(f"{dim}/{HEADER}")
        if text is not None:
            header = json.loads(text)
            kind = header["data_type"]
            values[dim] = (
                np.asarray(content["times"], kind)
                if dim == "time"
                else np.arange(header["shape"][0], dtype=kind)
            )
    return values


def _holds(place: Path, values: np.ndarray) -> bool:
    """Whether an array on disk holds these numbers."""
    try:
        stored = np.asarray(zarr.open_array(place, mode="r", zarr_format=3)[:])
    except Exception:  # a codec may raise anything on damaged bytes
        return False
    return stored.dtype == values.dtype and np.array_equal(stored, values)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
