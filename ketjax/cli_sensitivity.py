"""The command `ketjax sensitivity`: parsing and printing only."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ketjax.console import mistakes, say, search_progress, stop
from ketjax.errors import TooManyFailures

if TYPE_CHECKING:
    from ketjax.sensitivity.plan import SensitivityStudy


def sensitivity(
    study: Annotated[
        Path, typer.Argument(help="A study, with a table [sensitivity] or without one.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Store to write: out/NAME.sensitivity.zarr.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Base samples, instead of the study's.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Arm that is shown; the first.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing store.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = False,
    format_: Annotated[
        Literal["text", "csv", "json"], typer.Option("--format", help="How to print.")
    ] = "text",
) -> None:
    """Which parameters outputs hang on: Sobol, Morris, PRCC and derivative-based indices."""
    with mistakes():
        from ketjax.errors import StudyError, check_name
        from ketjax.sensitivity.plan import SensitivityStudy
        from ketjax.sensitivity.run import place_of, run

        if overwrite and resume:
            raise typer.BadParameter("use either --overwrite or --resume")
        asked = SensitivityStudy.read(study)
        if samples is not None:
            asked = asked.with_settings(samples=samples)
        chosen = arm or asked.chosen_arms[0]
        if unknown := check_name("--arm", chosen, asked.chosen_arms, "arm of the analysis"):
            raise StudyError(unknown)
        for notice in asked.notices():
            say(notice)
        path = place_of(asked, out)
        try:
            with search_progress(asked.name) as tell:
                outcome = run(asked, path, overwrite=overwrite, resume=resume, tell=tell)
        except KeyboardInterrupt:
            options = "" if samples is None else f" --samples {samples}"
            again = f"ketjax sensitivity {study}{options} --out {path} --resume"
            say(f"Interrupted. Go on with: {again}" if path.exists() else "Interrupted.")
            stop()
        _print(path, asked, chosen, format_)
        if outcome.dropped:
            say(f"{len(outcome.dropped)} parameters move no output by a bit and are left out.")
        figures = draw(path, asked, chosen)
        say(f"Store {path}, {outcome.rows:,} rows; figures {', '.join(map(str, figures))}")
        if outcome.failed:
            say(f"{outcome.failed} rows failed: base samples lost with them {outcome.lost:.2%}.")
        if outcome.lost > asked.sensitivity.max_failed_share:
            raise TooManyFailures(
                f"{outcome.lost:.2%} of the base samples, trajectories or samples of an output "
                f"were lost with failed rows, allowed are {asked.sensitivity.max_failed_share:.2%}"
                ": its indices are left open. See `status` in the store; look for ranges in which "
                "the model breaks down, or try a smaller rtol"
            )


def _print(path: Path, asked: "SensitivityStudy", arm: str, style: str) -> None:
    """Tables of all methods: those shown as text, all as CSV or JSON."""
    from ketjax.sensitivity.report import (
        convergence,
        crossed,
        described,
        methods_of,
        records,
        table,
    )
    from ketjax.tables import formatted

    methods = methods_of(asked)
    arms = (arm,) if style == "text" else asked.chosen_arms
    found = {method: list(records(path, method, asked, arms)) for method in methods}
    if style == "json":
        whole = {"store": str(path), "parameters": described(path), **found}
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
        return
    for place, method in enumerate(methods):
        head, lines = table(found[method], method, asked.sensitivity.top, exact=style == "csv")
        if style == "csv":
            head, lines = ["method", *head], [[method, *line] for line in lines]
        sys.stdout.write(("\n" if place else "") + formatted(head, lines, style))
    for line in convergence(path, asked, arm):
        say(line)
    if "dgsm" in methods and (text := crossed(path, asked, arm)):
        say(text)


def draw(path: Path, asked: "SensitivityStudy", arm: str) -> list[Path]:
    """Draw what an analysis found beside its store.

    Args:
        path: The store.
        asked: What was asked.
        arm: Which arm is shown.

    Returns:
        The files.
    """
    from ketjax.figures import save
    from ketjax.sensitivity.pictures import pictures

    stem = path.name.removesuffix(".zarr")
    where = f"{asked.name}, arm {arm}"
    return [
        save(one.draw(f"{one.title}: {where}"), path.with_name(f"{stem}_{one.name}.png"))
        for one in pictures(path, asked, arm)
    ]
