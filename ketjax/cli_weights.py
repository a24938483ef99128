"""The command `ketjax weights`: parsing and printing only."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ketjax.console import mistakes, say


def weights(
    targets: Annotated[Path, typer.Argument(help="The targets, a TOML file.")],
    store: Annotated[
        Path | None, typer.Option(help="The store, instead of the one that the file names.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write the weights into the store.")
    ] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace weights that are there.")] = False,
    exact_prices: Annotated[
        bool, typer.Option("--exact-prices", help="Fit again without each target for its price.")
    ] = False,
    format_: Annotated[
        Literal["text", "csv", "markdown"], typer.Option("--format", help="How to print.")
    ] = "text",
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Weigh the patients of a store so that weighted summaries meet targets."""
    with mistakes():
        from ketjax.tables import formatted
        from ketjax.targets import store_of
        from ketjax.weighting import weigh

        place = store or store_of(targets)
        options = {"write": write, "overwrite": overwrite, "exact_prices": exact_prices}
        report = weigh(targets, place, **options)
        if json_:
            sys.stdout.write(json.dumps({"store": str(place), **report.to_dict()}, indent=2) + "\n")
        else:
            sys.stdout.write(formatted(*report.table(), format_))
            if format_ == "text":
                sys.stdout.write(report.closing())
            else:
                say(report.closing())
        if write:
            say(f"Weights are in {place}; ketjax summarise {place} --weighted uses them")
