"""The command line: parsing and printing only. Data on stdout, messages and progress on stderr."""

import gc
import json
import os
import signal
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ketjax.backend import prepared
from ketjax.cli_aggregate import Format, numbers_of, print_numbers, print_waiting
from ketjax.cli_design import design
from ketjax.cli_fit import fit
from ketjax.cli_identify import identify
from ketjax.cli_individual import individual
from ketjax.cli_parameters import parameters
from ketjax.cli_repair import repair
from ketjax.cli_report import report
from ketjax.cli_sensitivity import sensitivity
from ketjax.cli_store import Store, export, say_audit, verify
from ketjax.cli_weights import weights
from ketjax.console import mistakes, progress, say, stop
from ketjax.errors import EnvironmentFault, TooManyFailures

if TYPE_CHECKING:
    from xarray import Dataset

MAX_FAILED_SHARE = 1e-4

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How ketamine works, over a population of virtual patients. Not for clinical use.\n\n"
    "Begin with: ketjax run studies/s01_single_infusion.toml",
)
app.command()(fit)
app.command()(identify)
app.command()(individual)
app.command()(design)
app.command()(weights)
app.command()(repair)
app.command()(sensitivity)
app.command()(report)
app.command()(parameters)
app.command()(verify)
app.command()(export)


@app.command("run")
def run_study(
    study: Annotated[Path, typer.Argument(help="The study, a TOML file.")],
    patients: Annotated[int | None, typer.Option(help="Patients, instead of the study's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Store to write: out/NAME.zarr.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing store.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = False,
    shard: Annotated[
        int | None, typer.Option(min=1, help="Patients that one process solves at once.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of this machine that solve shards, beside this.")
    ] = 0,
    scheduler: Annotated[
        str, typer.Option(help="Dask scheduler whose workers solve shards: tls://HOST:PORT.")
    ] = "",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow tcp:// to another machine.")
    ] = False,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64, instead of the study's.")
    ] = None,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit",
            help="March one patient in a hundred again in float64 (with 100,000 patients or more).",
        ),
    ] = None,
    keep: Annotated[
        Literal["all", "summaries"] | None,
        typer.Option(help="Keep trajectories, or summaries of all patients in their place."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Simulate a study: a summary on stdout, a store and two figures on disk."""
    with mistakes():
        from ketjax.cluster import Workers
        from ketjax.corridor import failed_share, run
        from ketjax.dataset import failures, open_store, read_attributes
        from ketjax.preparation import shard_length
        from ketjax.study import Study

        if overwrite and resume:
            raise typer.BadParameter("use either --overwrite or --resume")
        if resume and shard:
            raise typer.BadParameter("--resume keeps the shards that it finds: leave --shard out")
        helpers = Workers(workers, scheduler, insecure) if workers or scheduler else None
        changes = {"patients": patients, "dtype": dtype, "audit": audit, "keep": keep}
        changes = {name: value for name, value in changes.items() if value is not None}
        asked = Study.read(study)
        path = out or Path("out") / f"{asked.name}.zarr"
        if resume and not _has_seed(study):
            # The seed was drawn when the run began: it stands in the store.
            changes["seed"] = read_attributes(path)["seed"]
        asked = asked.replace(**changes)
        count = asked.population.patients
        if (state := prepared().cache_state).startswith("off: ") and "KETJAX_CACHE" not in state:
            say(f"Programs are compiled anew each time: {state.removeprefix('off: ')}")
        if helpers and not resume:
            pieces = -(-count // (shard or shard_length(asked, count)))
            if workers > pieces:
                say(f"Shards to share out: {pieces}; --shard makes smaller ones, for more workers.")
        try:
            with progress(asked.name, count) as tell:
                run(
                    asked,
                    path,
                    overwrite=overwrite,
                    resume=resume,
                    shard=shard,
                    workers=helpers,
                    progress=tell,
                )
        except KeyboardInterrupt:
            chosen = {"workers": workers or None, "scheduler": scheduler or None}
            chosen |= {"insecure": insecure or None, **changes, "seed": None}
            options = "".join(_option(k, v) for k, v in chosen.items() if v is not None)
            again = f"ketjax run {study}{options} --out {path} --resume"
            say(f"Interrupted. Go on with: {again}" if path.exists() else "Interrupted.")
            stop()
        dataset = open_store(path)
        figures = _draw(path, dataset)
        _print_summary(path, dataset, json_)
        say(f"Store {path}; figures {', '.join(str(figure) for figure in figures)}")
        for number, reason in failures(path).items():
            say(f"Shard {number} was given up: {reason}. --resume tries it again.")
        share = failed_share(dataset)
        if share > MAX_FAILED_SHARE:
            raise TooManyFailures(
                f"{share:.2%} of the patients failed, allowed are {MAX_FAILED_SHARE:.2%}; "
                "see `status` in the store (1: too stiff for the tolerance, 2: not finite); "
                "look for parameters outside their range, or try a smaller rtol"
            )


@app.command()
def summarise(
    store: Store,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    missing: Annotated[
        Literal["none", "last", "entry"],
        typer.Option(help="Score of who has left: their own, the last rated, or that at entry."),
    ] = "none",
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Use the weights that `ketjax weights` wrote.")
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Draw the figures beside the store again.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(help="Trait that divides the patients: PATH, PATH:4 groups, PATH:30,50."),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option(help="Readouts, outcomes, traits: their quantiles and means. Several: A,B."),
    ] = None,
    quantiles: Annotated[
        str, typer.Option(help="Shares of the patients, with --variables.")
    ] = "0.05,0.5,0.95",
    survival: Annotated[
        str | None, typer.Option(help="Outcome: the share of the patients still without it.")
    ] = None,
    format_: Annotated[
        Literal["text", "csv", "markdown"],
        typer.Option("--format", help="How to print what --variables and --survival ask for."),
    ] = "text",
) -> None:
    """Response, remission and change of MADRS by arm and time; or what is asked for."""
    with mistakes():
        from ketjax.dataset import open_store

        dataset = open_store(store)
        shown: Format = "json" if json_ else format_
        if variables:
            shares = numbers_of(quantiles, "--quantiles")
            names = [name for given in variables for name in given.split(",")]
            print_numbers(dataset, names, shares, shown, by, weighted)
        if survival:
            print_waiting(dataset, survival, shown, by, weighted)
        if not variables and not survival:
            _print_summary(store, dataset, json_, missing, weighted, by)
        if figures:
            drawn = _draw(store, dataset, weighted=weighted)
            say(f"Figures {', '.join(str(figure) for figure in drawn)}")


@app.command()
def validate(
    format_: Annotated[
        Literal["text", "csv"], typer.Option("--format", help="How to print.")
    ] = "text",
    patients: Annotated[
        int | None, typer.Option(min=2, help="Patients of each trial, instead of 1000.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the table: a PNG file to write.")
    ] = None,
) -> None:
    """Hold the model against the evidence: every finding with what the population does."""
    with mistakes():
        from ketjax.evidence import KINDS, validate
        from ketjax.tables import formatted

        verdicts = validate(patients=patients, progress=lambda name: say(f"Simulating {name} ..."))
        records = [verdict.record() for verdict in verdicts]
        sys.stdout.write(formatted(list(records[0]), [list(r.values()) for r in records], format_))
        for verdict in verdicts:
            if not verdict.passed:
                e = verdict.evidence
                say(f"{e.id} fails: {e.condition}. {e.reason}")
        for kind in (*KINDS, ""):
            own = [v.passed for v in verdicts if kind in ("", v.evidence.kind)]
            say(f"{kind or 'all'}: {sum(own)} of {len(own)} pass, {sum(own) / len(own):.0%}")
        if figure is not None:
            from ketjax.figures import plot_evidence, save

            say(f"Figure {save(plot_evidence(records), figure)}")


@app.command()
def attribute(
    study: Annotated[Path, typer.Argument(help="The study, a TOML file.")],
    arm: Annotated[str | None, typer.Option(help="Arm, instead of the first.")] = None,
    mechanisms: Annotated[
        str | None, typer.Option(help="Gates, separated by commas, instead of the usual seven.")
    ] = None,
    hours: Annotated[
        str | None, typer.Option(help="Hours of the effect, separated by commas.")
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="Patients.")] = 256,
    format_: Annotated[
        Literal["text", "csv", "markdown"], typer.Option("--format", help="How to print.")
    ] = "text",
    figure: Annotated[
        Path | None, typer.Option(help="Draw the shares: a PNG file to write.")
    ] = None,
) -> None:
    """What each mechanism adds to the fall of the score: Shapley values over the population."""
    with mistakes():
        from ketjax.attribution import MECHANISMS, attribute, table
        from ketjax.study import Study
        from ketjax.tables import formatted

        chosen = mechanisms.split(",") if mechanisms else MECHANISMS
        try:
            when = [float(hour) for hour in hours.split(",")] if hours else None
        except ValueError:
            raise typer.BadParameter(
                f"--hours {hours}: numbers are needed, such as 24,168"
            ) from None
        asked = Study.read(study).replace(patients=patients)
        found = attribute(asked, arm, mechanisms=chosen, hours=when)
        sys.stdout.write(formatted(*table(found), format_))
        if figure is not None:
            from ketjax.figures import plot_shares, save

            say(f"Figure {save(plot_shares(found), figure)}")


@app.command()
def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what this machine has: versions, devices, flags, cache; and try a small solve."""
    with mistakes():
        from ketjax.doctor import examine

        found, faults = examine()
        if json_:
            sys.stdout.write(json.dumps({**found, "faults": faults}, indent=2) + "\n")
        else:
            for name, value in found.items():
                text = " ".join(value) if isinstance(value, list) else value
                sys.stdout.write(f"{name:25} {text}".rstrip() + "\n")
        if faults:
            raise EnvironmentFault("\n".join(faults))


def _option(name: str, value: object) -> str:
    """A setting as an option of the command line."""
    if isinstance(value, bool):
        return f" --{name}" if value else f" --no-{name}"
    return f" --{name} {value}"


def _has_seed(study: Path) -> bool:
    """Whether the manifest of a study that is known to be right states its seed."""
    return "seed" in tomllib.loads(study.read_text("utf-8-sig"))["population"]


def _draw(path: Path, dataset: "Dataset", *, weighted: bool = False) -> list[Path]:
    """Draw the cascade and the response beside the store."""
    from ketjax.analysis import courses_of
    from ketjax.figures import plot_cascade, plot_response, save

    figures = []
    for name, plot, needed in (
        ("cascade", plot_cascade, "madrs"),
        ("response", plot_response, "madrs_rated"),
    ):
        if needed in courses_of(dataset):
            file = path.with_name(f"{path.stem}_{name}{'_weighted' if weighted else ''}.png")
            figures.append(save(plot(dataset, weighted=weighted), file))
    return figures


def _print_summary(
    path: Path,
    dataset: "Dataset",
    as_json: bool,
    missing: Literal["none", "last", "entry"] = "none",
    weighted: bool = False,
    by: str | None = None,
) -> None:
    """Print the summary of a store at the hours that it holds."""
    from ketjax.analysis import courses_of, describe_draws, format_table, summarise
    from ketjax.dataset import disagreement

    say_audit(dataset)
    if dataset.attrs.get("species", "human") != "human":
        say("A depression score means nothing in a rat: no summary.")
        return
    wanted = (2.0, 24.0, 72.0, 168.0, 336.0)
    hours = [h for h in wanted if float(abs(dataset["time"] - h).min()) < 1e-6]
    if "madrs_rated" not in courses_of(dataset) or not hours:
        say("The store holds no rated MADRS at 2 h, 24 h, day 3, 7 or 14: no summary.")
        return
    summary = summarise(dataset, hours=hours, missing=missing, weighted=weighted, by=by)
    speed = dataset.attrs.get("patients_per_second")
    if as_json:
        record = {
            "store": str(path),
            "patients": dataset.sizes["patient"],
            "patients_per_second": speed,
            "float64_disagreement": disagreement(dataset),
            "summary": json.loads(
                summary.to_dataframe().reset_index().to_json(orient="records") or "[]"
            ),
        }
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
        return
    sys.stdout.write(format_table(summary).rstrip() + "\n")
    if "n_draws" in summary:
        sys.stdout.write(describe_draws(summary))
    failed = int((dataset["status"] != 0).any("arm").sum())
    sys.stdout.write(
        f"{dataset.sizes['patient']:,} patients in {dataset.sizes['arm']} arms, "
        f"{speed:,.0f} patients per second, {failed} failed\n"
        if speed
        else f"{dataset.sizes['patient']:,} patients, {failed} failed\n"
    )
    if "largest_solver_error" in dataset.attrs:
        say(
            f"{dataset.attrs['steps']} steps: the largest local error is within the tolerance in "
            f"{dataset.attrs['within_tolerance']:.1%} of the patients, and at most "
            f"{dataset.attrs['largest_solver_error']:.2g} times it"
        )


def main() -> None:
    """Entry point of the `ketjax` command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as an interrupt: can be resumed
    gc.set_threshold(100_000)  # the libraries bring a million objects that stay
    os.environ.setdefault("DASK_SCHEDULER", "threads")  # else it loads the distributed one to ask
    try:
        app()
    finally:
        gc.freeze()  # the process ends: nothing needs to be taken apart
