"""Figures as text that a page can hold: SVG where it is small, PNG where it is not."""

import base64
import io
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

LARGEST_SVG = 250_000
"""Bytes of drawing beyond which pixels are smaller than lines."""

SVG_SETTINGS: dict[Any, str] = {"svg.fonttype": "none", "svg.hashsalt": "ketjax"}
"""Text stays text; equal figures give equal bytes."""

SHARP = 180
"""Pixels on one inch of a figure that became PNG."""


def data_uri(figure: Figure, *, largest_svg: int = LARGEST_SVG) -> str:
    """A figure as the address of itself.

    Args:
        figure: What a plot function returned.
        largest_svg: Most bytes of SVG; above that it becomes PNG.

    Returns:
        ``data:image/svg+xml;base64,...`` or ``data:image/png;base64,...``.
    """
    buffer = io.BytesIO()
    with rc_context(SVG_SETTINGS):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    if len(buffer.getvalue()) <= largest_svg:
        return _address("image/svg+xml", buffer.getvalue())
    buffer = io.BytesIO()
    figure.set_dpi(SHARP)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return _address("image/png", buffer.getvalue())


def png_uri(data: bytes) -> str:
    """The bytes of a PNG file as the address of themselves."""
    return _address("image/png", data)


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
