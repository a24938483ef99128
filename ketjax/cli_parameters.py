"""The command `ketjax parameters`: parsing and printing only."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ketjax.console import mistakes, say

if TYPE_CHECKING:
    from ketjax.sets import ParameterSet

HEAD = ("path", "symbol", "value", "unit", "low", "high", "law", "status", "source", "meaning")


def parameters(
    format_: Annotated[
        Literal["text", "csv", "markdown"], typer.Option("--format", help="How to print.")
    ] = "text",
    species: Annotated[
        str, typer.Option(help="human or rat, or a named setting of an arm.")
    ] = "human",
    set_: Annotated[
        str | None,
        typer.Option("--set", help="A parameter set: what it changes is marked."),
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Print the sources and what rests on each.")
    ] = False,
) -> None:
    """Print the table of parameters, or of the sources that it rests on."""
    with mistakes():
        from ketjax.tables import formatted

        if sources:
            from ketjax.model.provenance import resting_on

            sys.stdout.write(formatted(*resting_on(), format_))
            return
        from ketjax.errors import StudyError, check_name
        from ketjax.model.overrides import OVERRIDES
        from ketjax.sets import ParameterSet, misfits
        from ketjax.vocabulary import DEFAULT_SETS

        if problems := check_name("--species", species, OVERRIDES, "setting"):
            raise StudyError(problems)
        chosen = None if set_ is None else ParameterSet.read(set_)
        if problems := misfits(chosen, None, species=species):
            raise StudyError(problems)
        sys.stdout.write(formatted(*_table(species, chosen), format_))
        if chosen is not None:
            for key, text in chosen.provenance:
                say(f"{key}: {text or '(not said)'}")
            for pair, r in chosen.correlations.items():
                say(f"correlation {pair}: {r:g}")
            draws = 0 if chosen.posterior is None else len(chosen.posterior.draws)
            say(f"posterior: {draws} draws" if draws else "posterior: none")
        elif default := DEFAULT_SETS.get(species):
            say(f"Studies use the set {default} above this table: --set {default} shows both.")


def _table(
    setting: str, chosen: "ParameterSet | None"
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The table under a setting and a set; with a set, one more column says what is of the set."""
    from ketjax.model.laws import FIXED
    from ketjax.model.overrides import OVERRIDES
    from ketjax.model.parameters import rows
    from ketjax.population import Recipe
    from ketjax.population.population import moved

    values, spreads = dict(OVERRIDES[setting]), {}
    if chosen is not None:
        values, spreads = {**values, **chosen.parameters}, chosen.laws
        laws = moved(Recipe(species=setting), chosen.parameters, spreads, {}).laws()
    table = []
    for row in rows():
        marks = []
        law = row.law
        if chosen is not None:
            marks = [word for word, own in (("value", chosen.parameters), ("spread", spreads))
                     if row.path in own]  # fmt: skip
            law = laws.get(row.path, (0.0, FIXED))[1] if marks else law
        line = (
            row.path,
            row.symbol,
            f"{values.get(row.path, row.value):.6g}",
            row.unit,
            "" if row.low is None else f"{row.low:.6g}",
            "" if row.high is None else f"{row.high:.6g}",
            str(law),
            row.status,
            row.source,
            row.meaning,
        )
        table.append(line if chosen is None else (*line[:3], " and ".join(marks), *line[3:]))
    return (HEAD if chosen is None else (*HEAD[:3], "set", *HEAD[3:])), table
