"""The command `ketjax individual`: parsing and printing only."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ketjax.console import mistakes, say, search_progress, stop


def individual(
    manifest: Annotated[
        Path, typer.Argument(metavar="INDIVIDUALS", help="The individual fits, a TOML file.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write: out/NAME.individuals.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing individual fits.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Fit each patient's own course under the population's prior: a summary, a folder on disk."""
    with mistakes():
        from ketjax.fit.individual_plan import IndividualPlan
        from ketjax.fit.individual_results import summary_of, summary_text
        from ketjax.fit.individual_run import run

        plan = IndividualPlan.read(manifest)
        folder = out or Path("out") / f"{plan.name}.individuals"
        for warning in plan.warnings:
            say(f"Warning: {warning}")
        try:
            with search_progress(plan.name) as tell:
                results = run(
                    plan, folder, overwrite=overwrite,
                    tell=lambda iteration, done, total: tell(
                        done, total, f"iteration {iteration}, {done} of {total} patients done"
                    ),
                )  # fmt: skip
        except KeyboardInterrupt:
            say("Interrupted: nothing was written. The same command begins again.")
            stop()
        if json_:
            record = {"folder": str(folder), **summary_of(results)}
            sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(summary_text(results))
        if failed := summary_of(results)["failed"]:
            say(f"{failed} patients could not be marched: their status is failed")
        say(
            f"Folder {folder}: individuals.zarr, patients.csv, observations.csv, "
            "individual_fits.png"
        )
