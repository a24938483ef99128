"""A report as a tree of parts, and the one way from that tree to HTML.

Every text enters through the template, which escapes it; control characters are taken out first.
The page loads nothing from anywhere: pictures are part of it, and its content policy forbids the
rest.
"""

import base64
import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

ANSI = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\].*?(?:\x07|\x1b\\)|.)?", re.DOTALL)
"""Escape sequences of terminals, whole."""

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Categories of characters that are not seen, or turn text around."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: What it says.
        strong: Whether it is a warning that must not be missed.
    """

    text: str
    strong: bool = False
    kind: ClassVar[str] = "text"


@dataclasses.dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]
    kind: ClassVar[str] = "points"


@dataclasses.dataclass(frozen=True)
class Terms:
    """Terms with what belongs to each."""

    items: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "terms"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first column names the rows.

    Attributes:
        caption: What it shows.
        head: Names of the columns.
        rows: Cells as text, one sequence a row.
        note: What the reader must know besides.
        folded: Whether it is shown only when asked for.
        words: Whether cells hold words, to be set to the left, rather than numbers.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    folded: bool = False
    words: bool = False
    kind: ClassVar[str] = "table"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        caption: What is seen and what the marks mean.
        alternative: The same in a sentence, for who cannot see it.
        wide: Data URI for a page.
        narrow: Data URI for a telephone; empty if there is only one.
    """

    caption: str
    alternative: str
    wide: str
    narrow: str = ""
    kind: ClassVar[str] = "picture"


@dataclasses.dataclass(frozen=True)
class Listing:
    """Text as it is, shown when asked for, or at once as a command.

    Attributes:
        summary: What it is; empty for a command, which is shown at once.
        text: The lines.
        file: Name under which it can be saved; empty if it is not a file.
    """

    summary: str
    text: str
    file: str = ""
    kind: ClassVar[str] = "listing"

    @property
    def address(self) -> str:
        """The file as the address of itself."""
        data = base64.b64encode(self.text.encode()).decode("ascii")
        return f"data:application/octet-stream;base64,{data}"


Part = Text | Points | Terms | Table | Picture | Listing


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the report, named in the list of contents.

    Attributes:
        key: Its anchor.
        title: Its heading.
        parts: What stands in it, in order.
    """

    key: str
    title: str
    parts: Sequence[Part]


@dataclasses.dataclass(frozen=True)
class Page:
    """The report.

    Attributes:
        title: Name of the study.
        question: What it asks.
        facts: Short facts under the title.
        sections: The report.
        closing: Last line.
    """

    title: str
    question: str
    facts: Sequence[str]
    sections: Sequence[Section]
    closing: str


def plain(text: object) -> object:
    """Text without escape sequences and unseen characters; line breaks and tabs stay.

    Args:
        text: Anything that a template shows; what is no text, or is marked safe, stays.
    """
    if not isinstance(text, str) or isinstance(text, Markup):
        return text
    text = ANSI.sub("", text)
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in HIDDEN)


QUANTITY = re.compile(r"(?<=\d) (?=%|(?:h|d|min|mg|mg/kg|points?)\b)")
"""The space between a number and its unit, where a line must not break."""


NAME_PART = re.compile(r"(?<=[a-z0-9][._])(?=[a-z])")
"""The places between the words of a public name."""


def coded(text: str) -> Markup:
    """Text with what stands between backticks as code; all of it escaped."""
    parts = [escape(plain(QUANTITY.sub("\u00a0", part))) for part in text.split("`")]
    if len(parts) % 2 == 0:  # a backtick that is not closed is a letter
        parts[-2:] = [parts[-2] + "`" + parts[-1]]
    marked = [Markup("<code>") + p + Markup("</code>") if k % 2 else p for k, p in enumerate(parts)]
    return Markup("").join(marked)


def breakable(text: str) -> Markup:
    """Text, escaped, in which a long public name may be broken where its words end."""
    return Markup("<wbr>").join(escape(part) for part in NAME_PART.split(str(plain(text))))


def render(page: Page) -> str:
    """The page as one HTML document.

    Args:
        page: The report.

    Returns:
        HTML 5 in UTF-8, with every text escaped, style and pictures within.
    """
    environment = Environment(
        loader=PackageLoader("ketjax.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"coded": coded, "breakable": breakable}
    style = files("ketjax.report").joinpath("templates/report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    template = environment.get_template("report.html.j2")
    return template.render(page=page, style=Markup(style), style_digest=digest)
