"""The command `ketjax repair`: parsing and printing only."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ketjax.console import mistakes, say


def repair(
    manifest: Annotated[Path, typer.Argument(metavar="STUDY", help="The study, a TOML file.")],
    bounds: Annotated[
        Path, typer.Argument(metavar="PLAUSIBLE", help="What is plausible, a TOML file.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Store to write: out/NAME.plausible.zarr.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write the accepted patients.")
    ] = True,
    patients: Annotated[int | None, typer.Option(help="Patients, instead of the study's.")] = None,
    rejection: Annotated[
        int, typer.Option(min=0, help="Further patients drawn to compare with.")
    ] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a store that is there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Move implausible patients into bounds by gradients, and compare that with rejection."""
    with mistakes():
        from ketjax.plausible import Plausible
        from ketjax.repair import mend
        from ketjax.study import Study
        from ketjax.tables import formatted

        study = Study.read(manifest)
        if patients is not None:
            study = study.replace(patients=patients)
        asked = Plausible.read(bounds, study)
        place = out or Path("out") / f"{study.name}.plausible.zarr"
        target = place if write else None
        found = mend(study, asked, target, rejection=rejection, overwrite=overwrite, tell=say)
        if json_:
            record = {"store": str(place) if write else None, **found.to_dict()}
            sys.stdout.write(json.dumps(record, indent=2) + "\n")
        else:
            sys.stdout.write("\n".join(found.bounds) + "\n\n")
            for table in (found.table(), found.means()):
                sys.stdout.write(formatted(*table, "text") + "\n")
            sys.stdout.write(found.closing())
        if write:
            say(f"Patients are in {place}; ketjax weights and ketjax summarise read it")
