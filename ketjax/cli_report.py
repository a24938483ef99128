"""The command `ketjax report`: parsing and printing only."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ketjax.console import mistakes, say


def report(
    store: Annotated[Path, typer.Argument(help="A ketjax store (a folder that ends in .zarr).")],
    out: Annotated[
        Path | None, typer.Option(help="File to write: STORE_report.html beside the store.")
    ] = None,
    hours: Annotated[
        str | None, typer.Option(help="Hours of the outcomes, separated by commas.")
    ] = None,
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Use the weights that `ketjax weights` wrote.")
    ] = False,
    sensitivity: Annotated[
        Path | None,
        typer.Option(help="Store of a sensitivity analysis: its figures and tables come in."),
    ] = None,
    attach: Annotated[
        list[str] | None,
        typer.Option(help="A further figure, FIGURE.png=caption; may be given more than once."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing report.")] = False,
) -> None:
    """Write the report of a store: one HTML file that works without a network."""
    with mistakes():
        from ketjax.report import write_report

        try:
            when = [float(hour) for hour in hours.split(",")] if hours else None
        except ValueError:
            raise typer.BadParameter(
                f"--hours {hours}: numbers are needed, such as 24,168"
            ) from None
        path = write_report(
            store,
            out,
            hours=when,
            weighted=weighted,
            sensitivity=sensitivity,
            attachments=attach or (),
            overwrite=overwrite,
            tell=lambda part: say(f"{part} ..."),
        )
        sys.stdout.write(f"{path}\n")
