"""What an analysis found, for people and for programs: the outputs that are shown, as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ketjax.dataset import read_attributes
from ketjax.errors import StoreError, StudyError
from ketjax.model.readouts import READOUTS
from ketjax.sensitivity.designs import quantile_of_normal
from ketjax.sensitivity.groups import DESIGN, has_group, open_group
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.rows import STATISTICS, shares_of
from ketjax.sensitivity.sobol import REASONS

PAIRS = "pairs"
"""Stands for a method where indices of second order are meant, which are Sobol indices too."""

RANKED_BY = {
    "sobol": "total", PAIRS: "second", "morris": "mu_star", "prcc": "prcc", "dgsm": "bound",
}  # fmt: skip
"""By which index the parameters of an output stand in order."""

COLUMNS = {
    "sobol": (("first", "first_error"), ("total", "total_error")),
    PAIRS: (("second", "second_error"),),
    "morris": (("mu_star", "mu_star_error"), ("mu", ""), ("sigma", "")),
    "prcc": (("prcc", ""),),
    "dgsm": (("total", "total_error"), ("bound", "bound_error"), ("mean_square", "")),
}
"""Indices that a table shows, each with its standard error if it has one; as far as there are."""

TITLES = {
    "sobol": "Sobol indices",
    PAIRS: "Interactions of pairs (Sobol indices of second order)",
    "morris": "Elementary effects (Morris)",
    "prcc": "Partial rank correlations",
    "dgsm": "Bounds on total indices by derivatives",
}
"""What a table or a figure of a method shows."""


LEAST = 0.01
"""Of the largest index of an output, which another must reach to be shown."""

LEAST_TOTAL = 0.01
"""Least total index that is held against its bound: rounding of the rows makes small ones [1]."""


def shown_names(study: SensitivityStudy, method: str = "") -> tuple[str, ...]:
    """Outputs that are shown, as the store calls them.

    Args:
        study: What was asked.
        method: Whose indices are shown: shares and what is rounded have no derivatives.
    """
    smooth = method == "dgsm"
    names = [n for n in study.shown_readouts if not smooth or n in READOUTS]
    if not study.is_population:
        return tuple(names)
    courses = [f"{name}_{kind}" for name in names for kind in STATISTICS]
    return (*courses, *(() if smooth else shares_of(study)))


def holds_analysis(path: str | Path) -> bool:
    """Whether a store is that of a sensitivity analysis; not if it does not say so any more."""
    try:
        return "sensitivity" in json.loads(read_attributes(path)["ketjax_provenance"])["study"]
    except (StoreError, KeyError, TypeError, ValueError):
        return False


def study_of(path: str | Path) -> SensitivityStudy:
    """The study that a store of a sensitivity analysis was made of.

    Raises:
        StoreError: It is no such store, or this version of ketjax cannot read its study.
    """
    try:
        document = json.loads(read_attributes(path)["ketjax_provenance"])["study"]
        document = {"set": "table", **document}  # what says of none has none
        varied = document["sensitivity"]
    except (KeyError, TypeError, ValueError):
        varied = None
    if varied is None:
        raise StoreError(f"{path}: is no store of a sensitivity analysis")
    try:
        return SensitivityStudy.parse(document)
    except StudyError as error:
        raise StoreError(f"{path}: its study cannot be read by this version: {error}") from None


def methods_of(study: SensitivityStudy) -> tuple[str, ...]:
    """Methods of a study in the order in which they are shown, pairs after their Sobol indices."""
    s = study.sensitivity
    found: list[str] = list(s.methods)
    if s.second_order and "sobol" in found:
        found.insert(found.index("sobol") + 1, PAIRS)
    return tuple(found)


def selected(path: Path, method: str, names: Sequence[str], arm: str) -> xr.Dataset:
    """Indices of some outputs in one arm, at the whole size of the design.

    Args:
        path: The store.
        method: "tornado", "sobol", "pairs", "morris", "prcc" or "dgsm".
        names: Outputs, as the store calls them.
        arm: The arm.

    Returns:
        `value` over (output, index, parameter, time), of pairs over (output, pair, parameter,
        other, time); `reason` or, of a tornado, `middle` over (output, time). Outputs are named
        with their region where they have one. Bounds by derivatives have the total index beside
        them where the store holds Sobol indices.
    """
    group = open_group(path, "sobol" if method == PAIRS else method).sel(arm=arm)
    if "samples" in group.dims:
        group = group.isel(samples=-1)
    parts: list[xr.Dataset] = []
    for name in names:
        for region in _regions(group, name):
            chosen = group if region is None else group.sel(region=region)
            said = "middle" if method == "tornado" else "reason"
            label = name if region is None else f"{name} ({region})"
            value = chosen[f"second.{name}" if method == PAIRS else name]
            part = xr.Dataset({"value": value, said: chosen[f"{said}.{name}"]})
            part = part.drop_vars(["arm", "region", "samples"], errors="ignore")
            parts.append(part.expand_dims(output=[label]))
    joined = xr.concat(parts, "output", data_vars="all", coords="minimal", compat="override")
    found = joined.compute()
    units = [group[name].attrs["units"] for name in names for _ in _regions(group, name)]
    found.attrs = {**group.attrs, "arm": arm, "units": units, "origin": _origin(path)}
    if method == "dgsm" and has_group(path, "sobol"):
        totals = selected(path, "sobol", names, arm)["value"].sel(index=["total", "total_error"])
        both = xr.concat([totals, found["value"]], "index", coords="minimal", compat="override")
        found = found.drop_vars(["value", "index"]).assign(value=both)
    return found


def _origin(path: Path) -> str:
    """Where numbers come from, and what they are not, for the foot of a figure."""
    held = read_attributes(path)
    parts = [
        str(held["study"]),
        f"{int(held['patients']):,} rows",
        f"seed {held['seed']}",
        f"ketjax {held['ketjax_version']}",
        "research model, not for clinical use",
    ]
    return "  ·  ".join(parts)


def _regions(group: xr.Dataset, name: str) -> list[Any]:
    return group[name]["region"].values.tolist() if "region" in group[name].dims else [None]


def records(
    path: Path, method: str, study: SensitivityStudy, arms: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """One record an arm, output, hour and parameter or pair, the largest index first.

    Args:
        path: The store.
        method: Of the indices, one of `methods_of`.
        study: What was asked.
        arms: Which arms.

    Yields:
        Names, indices, ends of their intervals, and why there is none.
    """
    reach = quantile_of_normal(study.sensitivity.confidence)
    for arm in arms:
        found = selected(path, method, shown_names(study, method), arm)
        for output in found["output"].values:
            for hour in study.shown_hours:
                one = found.sel(output=output, time=hour)
                head = {"arm": arm, "output": str(output), "hour": hour}
                yield from _ranked(head, one["value"], int(one["reason"]), method, reach)


def _ranked(
    head: dict[str, Any], values: xr.DataArray, reason: int, method: str, reach: float
) -> Iterator[dict[str, Any]]:
    """Records of one output, its most important parameter or pair first."""
    who = ["parameter", "other"] if method == PAIRS else ["parameter"]
    if reason:
        yield {**head, **dict.fromkeys(who, ""), "reason": REASONS[reason]}
        return
    kinds = "pair" if method == PAIRS else "index"
    values = values.stack(place=who).transpose(kinds, "place")
    numbers = dict(zip(values[kinds].values.tolist(), values.to_numpy().tolist(), strict=True))
    names = [values[key].values.tolist() for key in who]
    size = np.abs(numbers[RANKED_BY[method]])
    for k in np.argsort(-size, kind="stable"):  # NaN, of a pair the other way round, comes last
        if np.isnan(size[k]):
            return
        record = {**head, **{key: own[k] for key, own in zip(who, names, strict=True)}}
        for index, error in COLUMNS[method]:
            if index not in numbers:
                continue
            record[index] = number = numbers[index][k]
            if error:
                width = reach * numbers[error][k]
                record |= {f"{index}_low": number - width, f"{index}_high": number + width}
            elif method == "prcc":
                record |= {f"prcc_{end}": numbers[end][k] for end in ("low", "high")}
        yield {**record, "reason": ""}


def table(
    found: Sequence[dict[str, Any]], method: str, top: int, *, exact: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Records as cells.

    Args:
        found: What `records` yields.
        method: Of the indices.
        top: Parameters of each output that are shown.
        exact: All of them with all digits, ends of intervals in columns of their own.

    Returns:
        Names of the columns, and lines.
    """
    keys = [key for key in ("arm", "output", "hour") if any(key in one for one in found)]
    who = [key for key in ("parameter", "other") if any(key in one for one in found)]
    names = [index for index, _ in COLUMNS[method]]
    names = [name for name in names if any(name in one for one in found)] or names
    if exact:
        head = [*keys, *who]
        for name in names:
            ends = [f"{name}_{end}" for end in ("low", "high")]
            head += [name, *(key for key in ends if any(key in one for one in found))]
        head.append("reason")
        return head, [[_exact(one.get(key, "")) for key in head] for one in found]
    lines: list[list[str]] = []
    before: list[str] = []
    rank, most = 0, 0.0
    for one in found:
        own = [_plain(key, one[key]) for key in keys]
        rank = rank + 1 if own == before else 1
        if rank == 1:
            most = abs(one.get(RANKED_BY[method], 0.0))
        if rank > top or abs(one.get(RANKED_BY[method], 0.0)) < LEAST * most:
            continue
        lead = own if own != before else [""] * len(keys)
        before = own
        cells = [_interval(one, name) for name in names]
        if one["reason"]:
            cells = [one["reason"].replace("_", " ")] + [""] * (len(names) - 1)
        lines.append([*lead, *(one[key] for key in who), *cells])
    heads = [_HEADS.get(name, name) for name in (*who, *names)]
    return [*keys, *heads], lines


WITH_UNIT = ("mu", "mu_star", "sigma", "mean_square")
_HEADS = {
    "other": "and",
    "second": "second order",
    "mean_square": "mean squared derivative",
    "first": "first order",
    "total": "total",
    "mu_star": "mu*",
    "bound": "total at most",
}


def _plain(key: str, value: Any) -> str:
    if key != "hour":
        return str(value)
    return f"{value:g} h" if value >= 1 or value == 0 else f"{60 * value:g} min"


def _exact(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _interval(one: dict[str, Any], name: str) -> str:
    """A number with its interval."""
    if name not in one:
        return ""
    form = ".3g" if name in WITH_UNIT else ".3f"
    keys = [key for key in (name, f"{name}_low", f"{name}_high") if key in one]
    text, *ends = (f"{one[key]:{form}}".replace("-0.000", "0.000") for key in keys)
    return f"{text} ({' to '.join(ends)})" if ends else text


def crossed(path: Path, study: SensitivityStudy, arm: str) -> str:
    """How often a bound lies below its total index by more than both intervals, in words.

    Args:
        path: The store, with indices by derivatives.
        study: What was asked.
        arm: Of the outputs that are shown.

    Returns:
        A sentence; empty where there are no total indices.
    """
    found = selected(path, "dgsm", shown_names(study, "dgsm"), arm)
    if "total" not in found["index"]:
        return ""
    reach = quantile_of_normal(study.sensitivity.confidence)
    shown = found["value"].sel(time=list(study.shown_hours))
    bound, off, total, error = (
        shown.sel(index=index, drop=True)
        for index in ("bound", "bound_error", "total", "total_error")
    )
    counted = bound.notnull() & (total >= LEAST_TOTAL)
    known = int(counted.sum())
    below = int((counted & (bound + reach * off < total - reach * error)).sum())
    what = f"bounds on total indices of at least {LEAST_TOTAL:g}"
    if below:
        return (
            f"{below} of {known} {what} lie below them by more than both intervals: "
            f"{found.attrs['points']} points are too few for those."
        )
    return f"All {known} {what} lie above them, or within both intervals of them."


def convergence(path: Path, study: SensitivityStudy, arm: str) -> list[str]:
    """How intervals of total indices narrow with the base samples, in words.

    Args:
        path: The store.
        study: What was asked.
        arm: Of the outputs that are shown.
    """
    if not has_group(path, "sobol"):
        return []
    group = open_group(path, "sobol").sel(arm=arm, time=list(study.shown_hours)).compute()
    reach = quantile_of_normal(study.sensitivity.confidence)
    names = shown_names(study)
    courses = [_outputs_apart(group[name]) for name in names]
    totals = xr.concat(courses, "output", coords="minimal", compat="override")
    totals = totals.dropna("output", how="all").transpose("output", "index", "samples", "parameter")
    if not totals.sizes["output"]:
        return []
    width = reach * totals.sel(index="total_error").max("parameter")
    index = totals.sel(index="total")
    moved = abs(index - index.isel(samples=-1)).max("parameter")
    parts = []
    for size in group["samples"].values:
        at = float(width.sel(samples=size).median())
        off = float(moved.sel(samples=size).median())
        parts.append(f"{size}: {at:.3f}" + (f" ({off:.3f})" if off else ""))
    worst = width.isel(samples=-1)
    return [
        "Half the widest interval of a total index, by base samples, median of the outputs shown "
        f"(how far the indices lay from the last): {', '.join(parts)}; at the end at most "
        f"{float(worst.max()):.3f} ({worst['output'].values[int(np.nanargmax(worst.values))]})"
    ]


def _outputs_apart(course: xr.DataArray) -> xr.DataArray:
    """One output along one axis: its regions and times, labelled."""
    axes = [dim for dim in ("region", "time") if dim in course.dims]
    flat = course.stack(place=axes)
    labels = [
        " ".join([str(course.name), *(f"{p:g} h" if isinstance(p, float) else p for p in place)])
        for place in flat["place"].values
    ]
    plain = flat.drop_vars(["place", *axes]).rename(place="output")
    return plain.assign_coords(output=labels).rename(None)


def described(path: Path) -> list[dict[str, Any]]:
    """What was varied: name, unit, value, law and where it comes from."""
    return json.loads(str(open_group(path, DESIGN).attrs["parameters"]))
