"""Figures that come with a report: those of a sensitivity analysis, and any other."""

import json
from collections.abc import Sequence
from pathlib import Path

from ketjax.errors import Problem, StudyError
from ketjax.figures.embedding import png_uri
from ketjax.report.page import Part, Picture
from ketjax.report.wording import words

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 3_000_000
"""Most bytes of an attached figure."""

METHODS = {
    "areas": "what the variance comes from over time (Sobol indices)",
    "sobol": "Sobol indices",
    "morris": "elementary effects (Morris)",
    "prcc": "partial rank correlations",
    "tornado": "one parameter at a time",
}
"""Figures of a sensitivity analysis by the end of their names, in the order of the report."""


def attached_figures(sensitivity: str | Path | None, attachments: Sequence[str]) -> list[Part]:
    """Read the figures that come with a report.

    Args:
        sensitivity: Store of a sensitivity analysis; its figures are the PNG files beside it whose
            names begin as its own.
        attachments: Further figures, each as ``FILE.png=caption``.

    Returns:
        The figures with their captions.

    Raises:
        StudyError: A figure is not there or is none; every problem at once.
    """
    found, problems = [], []
    asked = [] if sensitivity is None else _beside(Path(sensitivity))
    if sensitivity is not None and not asked:
        problems.append(
            Problem(
                "--sensitivity",
                "no figures lie beside this store",
                str(sensitivity),
                hint="ketjax sensitivity draws them",
                code="file_missing",
            )
        )
    for file, caption in [*asked, *map(_split, attachments)]:
        picture = _read(file, caption)
        if isinstance(picture, Problem):
            problems.append(picture)
        else:
            found.append(picture)
    if problems:
        raise StudyError(problems)
    return found


def _split(text: str) -> tuple[Path, str]:
    """File and caption; a folder may have an equals sign in its name."""
    name, ending, caption = text.partition(".png=")
    if not ending:
        name, _, caption = text.partition("=")
    return Path(name + ending.removesuffix("=")), caption.strip()


def _read(file: Path, caption: str) -> Picture | Problem:
    """One figure, or what is wrong with it."""
    place = f"--attach {json.dumps(str(file))}"
    if not caption:
        hint = "--attach FIGURE.png=caption"
        return Problem(place, "a caption is needed", str(file), hint=hint, code="missing")
    if not file.is_file():
        return Problem(place, "there is no such file", str(file), code="file_missing")
    if file.stat().st_size > LARGEST:
        size, most = f"{file.stat().st_size:,} bytes", f"at most {LARGEST:,}"
        return Problem(place, "the figure is too large", size, most, code="out_of_range")
    data = file.read_bytes()
    if not data.startswith(PNG):
        return Problem(place, "this is no PNG file", str(file), code="wrong_type")
    return Picture(caption, caption, png_uri(data))


def _beside(store: Path) -> list[tuple[Path, str]]:
    """Figures beside a store, each with its caption."""
    stem = store.name.removesuffix(".zarr")
    ends = {file.stem.removeprefix(f"{stem}_"): file for file in store.parent.glob(f"{stem}_*.png")}
    order = sorted(ends, key=lambda end: ([*METHODS, end].index(end), end))
    about = f"Sensitivity analysis {stem}, a study of its own"
    return [(ends[end], f"{about}: {METHODS.get(end, words(end))}.") for end in order]
