"""What `ketjax summarise` prints of chosen variables: tables of numbers, nothing else."""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import typer

from ketjax.console import say
from ketjax.tables import formatted

if TYPE_CHECKING:
    from xarray import Dataset

Format = Literal["text", "csv", "markdown", "json"]
MISSING = {"text": "-", "csv": "", "markdown": "-"}


def numbers_of(text: str, option: str) -> list[float]:
    """Numbers that an option lists, separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: numbers are needed, such as 0.05,0.5") from None


def print_numbers(
    dataset: "Dataset",
    variables: list[str],
    quantiles: list[float],
    format_: Format,
    by: str | None,
    weighted: bool,
) -> None:
    """Print quantiles and means of variables by arm, stratum, region and time."""
    from ketjax.analysis import aggregate, describe_error
    from ketjax.backend import usable_cores

    if unfit := [q for q in quantiles if not 0.0 <= q <= 1.0]:
        raise typer.BadParameter(f"--quantiles {unfit[0]:g}: shares between 0 and 1 are needed")
    found = aggregate(
        dataset,
        variables,
        by=by,
        quantiles=quantiles,
        weighted=weighted,
        processes=usable_cores(),
    )
    records = [record for name in variables for record in _records(found, name)]
    _print(records, format_)
    if format_ == "text":
        for name in variables:
            say(f"Quantiles of {name}: {describe_error(found[name])}")


def print_waiting(
    dataset: "Dataset", outcome: str, format_: Format, by: str | None, weighted: bool
) -> None:
    """Print the share without an event by arm, stratum and time."""
    from ketjax.analysis import follow_up

    found = follow_up(dataset, outcome, by=by, weighted=weighted)
    axes = [found[axis].values for axis in ("arm", "stratum", "hour")]
    records = []
    for place in np.ndindex(*map(len, axes)):
        arm, stratum, hour = (axis[k] for axis, k in zip(axes, place, strict=True))
        record = {"arm": str(arm), "stratum": str(stratum), "hour": float(hour)}
        names = ("at_risk", "lost", "survival", "survival_low", "survival_high")
        records.append(record | {name: float(found[name].values[place]) for name in names})
    _print(records, format_)
    if format_ == "text":
        say(f"survival: {found['survival'].attrs['long_name']}, with 95 % bounds")


def _records(found: "Dataset", name: str) -> Iterator[dict[str, Any]]:
    """One line for each arm, stratum, region and time of a variable."""
    array = found[name]
    axes = [str(dim) for dim in array.dims[:-1]]
    columns = {"n": "n", "mean": "mean", "sd": "sd", "mc_error": "error"}
    units = array.attrs["units"]
    for place in np.ndindex(*array.shape[:-1]):
        labels = {axis: found[axis].values[k].item() for axis, k in zip(axes, place, strict=True)}
        everywhere = {"arm": "", "stratum": "", "region": "", "time": None}
        record: dict[str, Any] = {"variable": name, "unit": units} | everywhere | labels
        for column, suffix in columns.items():
            record[column] = found[f"{name}_{suffix}"].values[place].item()
        for share, value in zip(found["quantile"].values, array.values[place], strict=True):
            record[f"q{100 * share:g}"] = float(value)
        yield record


def _print(records: list[dict[str, Any]], format_: Format) -> None:
    """Print records; columns in which nothing stands are left out but in JSON."""

    def known(value: Any) -> Any:
        return None if isinstance(value, float) and not np.isfinite(value) else value

    if format_ == "json":
        plain = [{key: known(value) for key, value in record.items()} for record in records]
        sys.stdout.write(json.dumps(plain, indent=1, allow_nan=False) + "\n")
        return
    heads = [head for head in records[0] if any(r[head] not in ("", None) for r in records)]
    if {record.get("stratum") for record in records} == {"all"}:
        heads.remove("stratum")

    def cell(value: Any) -> str:
        if known(value) is None or value == "":
            return MISSING[format_]
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    rows = [[cell(record[head]) for head in heads] for record in records]
    sys.stdout.write(formatted(heads, rows, format_))
