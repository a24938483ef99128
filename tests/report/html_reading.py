"""HTML read by the standard library: tags that match, and what stands in tables and text."""

from html.parser import HTMLParser

VOID = {"meta", "img", "source", "br", "link", "base", "input", "hr", "wbr"}


class Reader(HTMLParser):
    """A page taken apart.

    Attributes:
        tags: Every tag with its attributes, in order.
        faults: Tags that do not match.
        text: All text but style.
        style: Text of the style element.
        tables: Rows of cells, by table.
    """

    def __init__(self, page: str) -> None:
        """Read a whole page."""
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.faults: list[str] = []
        self.text, self.style = "", ""
        self.tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.faults += [f"{tag} is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Match a tag with the last that is open."""
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"{tag} ends within {self._open[-3:]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Keep text where it stands."""
        if "style" in self._open:
            self.style += data
            return
        self.text += data
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def table(self, *heads: str) -> list[list[str]]:
        """Rows of the first table whose head holds these words."""
        for rows in self.tables:
            if all(any(head in cell for cell in rows[0]) for head in heads):
                return rows
        raise AssertionError(f"no table with {heads}")
