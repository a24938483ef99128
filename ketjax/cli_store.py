"""The commands `ketjax verify` and `ketjax export`: parsing and printing only."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ketjax.console import mistakes, progress, say

if TYPE_CHECKING:
    from xarray import Dataset

Store = Annotated[Path, typer.Argument(help="A ketjax store (a folder that ends in .zarr).")]


def verify(
    store: Store,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make it whole; only what is damaged is computed.")
    ] = False,
    study: Annotated[
        Path | None,
        typer.Option(help="The study, where --repair no longer finds it in the store."),
    ] = None,
) -> None:
    """Check every byte of a store against its journal."""
    with mistakes():
        from ketjax.dataset import open_store
        from ketjax.dataset import verify as check
        from ketjax.errors import StoreError

        if repair:
            from ketjax.restoration import restore
            from ketjax.study import Study

            with progress(store.name, 0) as tell:
                done = restore(store, Study.read(study) if study else None, tell)
            for file in done.files:
                say(f"{file}: written again")
            for shard in done.shards:
                say(f"shard {shard}: computed again")
            faults = done.left
        else:
            faults = check(store)
        if faults:
            lines = [*map(str, faults)]
            if any(fault.group for fault in faults):
                lines.append(f"Go on with: ketjax sensitivity STUDY.toml --out {store} --resume")
            raise StoreError("\n".join(lines))
        say(f"{store}: every shard and every header is as it was written")
        say_audit(open_store(store))


def export(
    store: Store,
    file: Annotated[
        Path, typer.Argument(help="FILE.nc with everything; FILE.parquet or .csv with outcomes.")
    ],
    hours: Annotated[
        str | None, typer.Option(help="Hours of the score in the table, separated by commas.")
    ] = None,
    score: Annotated[str | None, typer.Option(help="Score of the table, instead of MADRS.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Write a store as NetCDF, or its outcomes as a table: one row a patient and arm."""
    with mistakes():
        from ketjax.dataset import export

        try:
            when = [float(hour) for hour in hours.split(",")] if hours else None
        except ValueError:
            raise typer.BadParameter(
                f"--hours {hours}: numbers are needed, such as 24,168"
            ) from None
        say(f"{export(store, file, score=score, hours=when, overwrite=overwrite)} is written")


def say_audit(dataset: "Dataset") -> None:
    """How far the patients that were marched again in float64 lie from the store, if there are."""
    from ketjax.dataset import disagreement

    if worst := disagreement(dataset):
        name, size = worst
        say(
            f"Marched again in float64: {dataset.attrs['audited_patients']:,} patients; at most "
            f"{size:.1e} of a readout's scale apart ({name}); "
            f"{dataset.attrs['audit_status_differs']} ended otherwise"
        )
