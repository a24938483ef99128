"""Figures that come with a report."""

import json
from collections.abc import Sequence
from pathlib import Path

from ketjax.errors import Problem, StudyError
from ketjax.figures.embedding import png_uri
from ketjax.report.page import Part, Picture

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 3_000_000
"""Most bytes of an attached figure."""


def attached_figures(attachments: Sequence[str]) -> list[Part]:
    """Read the figures that come with a report.

    Args:
        attachments: Figures, each as ``FILE.png=caption``.

    Returns:
        The figures with their captions.

    Raises:
        StudyError: A figure is not there or is none; every problem at once.
    """
    read = [_read(*_split(text)) for text in attachments]
    if problems := [one for one in read if isinstance(one, Problem)]:
        raise StudyError(problems)
    return [one for one in read if isinstance(one, Picture)]


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
