"""The command `ketjax design`: parsing and printing only."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ketjax.console import mistakes, say, search_progress

if TYPE_CHECKING:
    from ketjax.design.run import Progress


def design(
    manifest: Annotated[Path, typer.Argument(metavar="DESIGN", help="The design, a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write: out/NAME.design.")] = None,
    patients: Annotated[int | None, typer.Option(help="Patients, instead of the design's.")] = None,
    infusions: Annotated[
        int | None, typer.Option(help="Most infusions, instead of the design's.")
    ] = None,
    starts: Annotated[
        int | None, typer.Option(help="Searches of each number, instead of the design's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing design.")] = False,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64, instead of the design's.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Choose amounts and days of infusions by gradients: a hypothesis of the model, not advice."""
    with mistakes():
        from ketjax.design.run import read, run

        given = {"patients": patients, "infusions": infusions, "starts": starts, "dtype": dtype}
        asked = read(manifest, {name: value for name, value in given.items() if value is not None})
        folder = out or Path("out") / f"{asked.name}.design"
        with search_progress(asked.name) as tell:
            report = run(
                asked,
                folder,
                overwrite=overwrite,
                tell=lambda found: tell(found.infusions - 1, found.most, line_of(found)),
            )
        if json_:
            record = {"folder": str(folder), **report.to_dict()}
            sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(report.text())
        say(f"Folder {folder}: design.csv, regimen.toml, design.png")


def line_of(found: "Progress") -> str:
    """Where a design stands, on one line."""
    return (
        f"{found.infusions} of {found.most} infusions, {found.marches} marches: "
        f"{100 * found.worth.share:.2f} %, capped {found.worth.worst:.3g}"
    )
