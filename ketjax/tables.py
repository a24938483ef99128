"""Tables as text, CSV or Markdown."""

import csv
import io
from collections.abc import Sequence


def formatted(head: Sequence[str], lines: Sequence[Sequence[str]], style: str) -> str:
    """Write a table.

    Args:
        head: Names of the columns.
        lines: Cells, as text.
        style: "text", "csv" or "markdown".

    Returns:
        The table with a final line break.
    """
    if style == "csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([head, *lines])
        return buffer.getvalue()
    if style == "markdown":
        rows = [head, ("---",) * len(head), *lines]
        return "".join(f"| {' | '.join(c.replace('|', '/') for c in row)} |\n" for row in rows)
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in [head, *lines]
    )
