"""The command `ketjax identify`: parsing and printing only."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ketjax.console import mistakes, say

PRECISION = {"float32": 1e-5, "float64": None}
"""Below which slopes are rounding; found by itself where nothing is said."""


def identify(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished fit.")],
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profile", help="A free number to profile; can be given again."),
    ] = None,
    draws: Annotated[int, typer.Option(min=0, help="Draws from the posterior.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 1,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Fit again without each profile, and predict it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace files that are there.")] = False,
    format_: Annotated[
        Literal["text", "csv", "markdown"], typer.Option("--format", help="How to print.")
    ] = "text",
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """How well a fit knows its numbers: intervals, flat directions, profiles, draws."""
    with mistakes():
        from ketjax.fit.examination import csv_text, examine, optimum_of, target_lines, write
        from ketjax.fit.objective import Objective
        from ketjax.fit.run import fit_in
        from ketjax.tables import formatted

        fit = fit_in(folder)
        theta = optimum_of(folder, fit.unknowns)
        objective = Objective(fit, dtype=fit.solver.dtype)
        if fit.optimise.no_profile_worse:
            say("The fit had walls; what it knows is asked without them, about where it ended")
        found = examine(
            objective,
            fit.unknowns,
            theta,
            folder,
            profiles=profiles or (),
            draws=draws,
            seed=seed,
            precision=PRECISION[fit.solver.dtype],
            targets=target_lines(fit.summaries, objective.predictions(theta).tolist()),
            title=fit.name,
            overwrite=overwrite,
            tell=say,
        )
        head, lines = found.table()
        if json_:
            records = [dict(zip(head, line, strict=True)) for line in lines]
            directions = [one.text for one in found.spectrum.directions]
            summary = {"numbers": records, "rank": found.spectrum.rank, "directions": directions}
            sys.stdout.write(json.dumps(summary, indent=2) + "\n")
        else:
            sys.stdout.write(formatted(head, lines, format_))
            if format_ == "text":
                sys.stdout.write("\n" + found.closing())
            else:
                say(found.closing())
        if leave_out:
            from ketjax.fit import left_out

            parts = left_out.leave_out(fit, objective, theta, tell=say)
            lines = [part.row() for part in parts]
            write(folder / "leave_out.csv", csv_text(left_out.HEAD, lines))
            table = formatted(left_out.HEAD, lines, format_)
            say(table) if json_ else sys.stdout.write("\n" + table)
        say(f"Written: {', '.join(str(path) for path in found.files)}")
