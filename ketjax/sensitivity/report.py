"""What an analysis found, for people and for programs: the outputs that are shown, as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ketjax.dataset import read_attributes
from ketjax.model.readouts import READOUTS
from ketjax.sensitivity.designs import quantile_of_normal
from ketjax.sensitivity.groups import DESIGN, has_group, open_group
from ketjax.sensitivity.plan import SensitivityStudy
from ketjax.sensitivity.rows import STATISTICS, shares_of
from ketjax.sensitivity.sobol import REASONS

RANKED_BY = {"sobol": "total", "morris": "mu_star", "prcc": "prcc", "dgsm": "bound"}
"""By which index the parameters of an output stand in order."""

COLUMNS = {
    "sobol": (("first", "first_error"), ("total", "total_error")),
    "morris": (("mu_star", "mu_star_error"), ("mu", ""), ("sigma", "")),
    "prcc": (("prcc", ""),),
    "dgsm": (("bound", "bound_error"),),
}
"""Indices that a table shows, each with its standard error if it has one."""


LEAST = 0.01
"""Of the largest index of an output, which another must reach to be shown."""


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


def selected(path: Path, method: str, names: Sequence[str], arm: str) -> xr.Dataset:
    """Indices of some outputs in one arm, at the whole size of the design.

    Args:
        path: The store.
        method: "tornado", "sobol", "morris", "prcc" or "dgsm".
        names: Outputs, as the store calls them.
        arm: The arm.

    Returns:
        `value` over (output, index, parameter, time), `reason` or, of a tornado, `middle` over
        (output, time); outputs are named with their region where they have one.
    """
    group = open_group(path, method).sel(arm=arm)
    if "samples" in group.dims:
        group = group.isel(samples=-1)
    parts: list[xr.Dataset] = []
    for name in names:
        for region in _regions(group, name):
            chosen = group if region is None else group.sel(region=region)
            said = "middle" if method == "tornado" else "reason"
            label = name if region is None else f"{name} ({region})"
            part = xr.Dataset({"value": chosen[name], said: chosen[f"{said}.{name}"]})
            part = part.drop_vars(["arm", "region", "samples"], errors="ignore")
            parts.append(part.expand_dims(output=[label]))
    joined = xr.concat(parts, "output", data_vars="all", coords="minimal", compat="override")
    found = joined.compute()
    units = [group[name].attrs["units"] for name in names for _ in _regions(group, name)]
    found.attrs = {**group.attrs, "arm": arm, "units": units, "origin": _origin(path)}
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
    """One record an arm, output, hour and parameter, the largest index first.

    Args:
        path: The store.
        method: Of the indices.
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


def pairs(
    path: Path, study: SensitivityStudy, arm: str, top: int
) -> tuple[list[str], list[list[str]]]:
    """The interactions of two parameters that matter most, as a table.

    Args:
        path: The store, with indices of second order.
        study: What was asked.
        arm: Which arm.
        top: Pairs of each output.

    Returns:
        Names of the columns, and lines.
    """
    group = open_group(path, "sobol").sel(arm=arm, time=list(study.shown_hours)).compute()
    reach = quantile_of_normal(study.sensitivity.confidence)
    parameters = group["parameter"].values
    lines = []
    for name in shown_names(study):
        course = _outputs_apart(group[f"second.{name}"].rename(name))
        for output in course["output"].values:
            own = course.sel(output=output)
            second, error = (own.sel(pair=p).to_numpy() for p in ("second", "second_error"))
            order = np.argsort(-np.nan_to_num(np.abs(second), nan=-1.0), axis=None)[:top]
            for k, place in enumerate(order):
                i, j = np.unravel_index(place, second.shape)
                if np.isfinite(second[i, j]):
                    width = reach * error[i, j]
                    ends = f"({second[i, j] - width:.3f} to {second[i, j] + width:.3f})"
                    cells = [str(parameters[i]), str(parameters[j]), f"{second[i, j]:.3f} {ends}"]
                    lines.append([str(output) if k == 0 else "", *cells])
    return ["output", "parameter", "and", "second order"], lines


def _ranked(
    head: dict[str, Any], values: xr.DataArray, reason: int, method: str, reach: float
) -> Iterator[dict[str, Any]]:
    """Records of one output, its most important parameter first."""
    if reason:
        yield {**head, "parameter": "", "reason": REASONS[reason]}
        return
    size = np.abs(values.sel(index=RANKED_BY[method]).to_numpy())
    for k in np.argsort(-size):
        one = values.isel(parameter=k)
        record = {**head, "parameter": str(values["parameter"].values[k])}
        for index, error in COLUMNS[method]:
            number = float(one.sel(index=index))
            record[index] = number
            if error:
                width = reach * float(one.sel(index=error))
                record |= {f"{index}_low": number - width, f"{index}_high": number + width}
            elif method == "prcc":
                record |= {f"prcc_{end}": float(one.sel(index=end)) for end in ("low", "high")}
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
    names = [index for index, _ in COLUMNS[method]]
    if exact:
        head = [*keys, "parameter"]
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
        lines.append([*lead, one["parameter"], *cells])
    heads = [str(_HEADS.get(name, name)) for name in names]
    return [*keys, "parameter", *heads], lines


WITH_UNIT = ("mu", "mu_star", "sigma")
_HEADS = {
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
    text = f"{one[name]:{form}}"
    if f"{name}_low" not in one:
        return text
    return f"{text} ({one[f'{name}_low']:{form}} to {one[f'{name}_high']:{form}})"


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
