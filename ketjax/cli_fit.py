"""The command `ketjax fit`: parsing and printing only."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ketjax.console import mistakes, say, search_progress, stop

if TYPE_CHECKING:
    from ketjax.fit.optimise import Progress


def fit(
    manifest: Annotated[Path, typer.Argument(metavar="FIT", help="The fit, a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write: out/NAME.fit.")] = None,
    patients: Annotated[int | None, typer.Option(help="Patients, instead of the fit's.")] = None,
    starts: Annotated[int | None, typer.Option(help="Searches, instead of the fit's.")] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Iterations of each method, instead of the fit's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted fit.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing fit.")
    ] = False,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64, instead of the fit's.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Move free numbers until published summaries are met: a report on stdout, a folder on disk."""
    with mistakes():
        from ketjax.fit.run import read, run

        if overwrite and resume:
            raise typer.BadParameter("use either --overwrite or --resume")
        given = {"patients": patients, "starts": starts, "iterations": iterations, "dtype": dtype}
        changes = {name: value for name, value in given.items() if value is not None}
        asked = read(manifest, changes)
        folder = out or Path("out") / f"{asked.name}.fit"
        if resume:
            asked = read(manifest, changes, folder)
        for warning in asked.warnings:
            say(f"Warning: {warning}")
        try:
            with search_progress(asked.name) as tell:
                report = run(
                    asked, folder, resume=resume, overwrite=overwrite,
                    tell=lambda found: tell(found.done, found.total, line_of(found)),
                )  # fmt: skip
        except KeyboardInterrupt:
            options = "".join(f" --{name} {value}" for name, value in changes.items())
            again = f"ketjax fit {manifest}{options} --out {folder} --resume"
            begun = (folder / "checkpoint.npz").exists()
            say(f"Interrupted. Go on with: {again}" if begun else "Interrupted.")
            stop()
        if json_:
            record = {"folder": str(folder), **report.to_dict()}
            sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(report.text())
        if refused := sum(one["refused"] for one in report.starts()):
            say(f"{refused} evaluations were not finite: these steps were refused and shortened")
        say(f"Folder {folder}: set.toml, targets.csv, free.csv, history.zarr")


def line_of(found: "Progress") -> str:
    """Where a fit stands, on one line."""
    stage = found.stage
    method = f"{stage.method} {found.iteration}/{stage.iterations}"
    width = f", width {stage.width:g}" if stage.width else ""
    fall = "" if math.isnan(found.fall) else f" (fell {found.fall:.2g})"
    minutes, seconds = divmod(round(found.left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}"
    return (
        f"start {found.start + 1}/{found.starts}, {method}{width}: "
        f"objective {found.value:.6g}{fall}, gradient {found.gradient_norm:.2g}, "
        f"{found.pace:.2g} s/iteration, at most {left} left"
    )
