"""From the outputs of rows to indices: readout by readout, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ketjax.dataset import open_store
from ketjax.sensitivity import screening, sobol
from ketjax.sensitivity.designs import nested, quantile_of_normal
from ketjax.sensitivity.groups import REASON, rows_of, write_group

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Asked:
    """How indices are made of rows.

    Attributes:
        parameters: What is varied, by name.
        places: First and last row, the latter excluded, by method.
        second_order: Whether rows for pairs are there.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Of intervals [1].
        max_failed_share: Share of groups of rows that may be lost [1].
    """

    parameters: tuple[str, ...]
    places: Mapping[str, tuple[int, int]]
    second_order: bool
    resamples: int
    seed: int
    confidence: float
    max_failed_share: float


def analyse(
    path: Path, asked: Asked, points: Mapping[str, NDArray[np.float64]], tell: Tell | None = None
) -> float:
    """Make the indices of all outputs of a complete store, and write them into it.

    Args:
        path: The store.
        asked: How.
        points: Rows of the designs of "morris", (trajectory, row, factor), and "prcc", (sample,
            factor), if they are asked for.
        tell: Called with readouts done, readouts in all and a text.

    Returns:
        Largest share of base samples, trajectories or samples that an output lost [1].
    """
    store = open_store(path)
    names = [str(name) for name in store.data_vars if "time" in store[name].dims]
    ways = {
        "tornado": _tornado, "sobol": _sobol, "morris": _morris, "prcc": _prcc,
    }  # fmt: skip
    methods = [name for name in ways if name in asked.places]
    found: dict[str, dict[str, xr.Variable]] = {method: {} for method in methods}
    lost = 0.0
    for k, name in enumerate(names):
        array = store[name]
        dims, shape = array.dims[:-1], array.shape[:-1]
        for method in methods:
            first, last = asked.places[method]
            y = rows_of(path, name, first, last)
            y = y.reshape(-1, y.shape[-1])
            parts, share = ways[method](y, asked, float(array.attrs["scale"]), points.get(method))
            lost = max(lost, share)
            for part, (axes, values) in parts.items():
                meaning = {"units": "1", "long_name": str(array.attrs["long_name"])}
                if method in ("tornado", "morris") or part in ("variance", "mean"):
                    meaning["units"] = str(array.attrs["units"])
                if part == "variance":
                    meaning["units"] = f"({meaning['units']})2"
                if part == "reason":
                    meaning |= REASON
                key = f"{part}.{name}" if part else name
                shaped = values.reshape(*values.shape[:-1], *shape)
                found[method][key] = xr.Variable((*axes, *dims), shaped, meaning)
        if tell is not None:
            tell(k + 1, len(names), f"indices of {name}")
    coords = {dim: store[dim].values for dim in ("arm", "region", "time") if dim in store.coords}
    for method in methods:
        dataset = xr.Dataset(found[method]).assign_coords(_axes(method, asked))
        dataset = dataset.assign_coords({d: v for d, v in coords.items() if d in dataset.dims})
        dataset["time"].attrs["units"] = "h"
        dataset.attrs = {"confidence": asked.confidence, "resamples": asked.resamples}
        write_group(path, method, dataset)
    return lost


def _axes(method: str, asked: Asked) -> dict[str, Any]:
    """Names on the axes of a method's arrays."""
    names: dict[str, list[str]] = {
        "tornado": ["low", "high"],
        "sobol": ["first", "first_error", "total", "total_error"],
        "morris": ["mu", "mu_star", "mu_star_error", "sigma"],
        "prcc": ["prcc", "low", "high"],
    }
    axes: dict[str, Any] = {"parameter": list(asked.parameters), "index": names[method]}
    if method == "sobol":
        axes["samples"] = list(_sizes(asked))
        if asked.second_order:
            axes |= {"other": list(asked.parameters), "pair": ["second", "second_error"]}
    return axes


def _sizes(asked: Asked) -> tuple[int, ...]:
    first, last = asked.places["sobol"]
    return nested((last - first) // (len(asked.parameters) * (1 + asked.second_order) + 2))


def _sobol(y: NDArray, asked: Asked, scale: float, _: Any) -> tuple[dict[str, tuple], float]:
    """Indices at all sizes of the design; at the last those of pairs too."""
    count = len(asked.parameters)
    group = count * (1 + asked.second_order) + 2
    parts, at_sizes = {}, []
    for size in _sizes(asked):
        found = sobol.indices(
            y[:, : size * group],
            count,
            second_order=asked.second_order,
            resamples=asked.resamples,
            seed=asked.seed,
            max_failed_share=asked.max_failed_share,
            scale=scale,
        )
        rows = (found.first, found.first_error, found.total, found.total_error)
        at_sizes.append(np.stack([row.T for row in rows]))
    whole = _sizes(asked)[-1]
    values = np.stack(at_sizes, axis=1).astype(np.float32)
    parts[""] = (("index", "samples", "parameter"), values)
    if found.second is not None and found.second_error is not None:
        pairs = np.stack([found.second, found.second_error]).transpose(0, 2, 3, 1)
        parts["second"] = (("pair", "parameter", "other"), pairs.astype(np.float32))
    parts["variance"] = ((), found.variance)
    parts["mean"] = ((), found.mean)
    parts["reason"] = ((), found.reason)
    parts["groups"] = ((), found.groups)
    return parts, 1 - found.groups.min() / whole


def _morris(y: NDArray, asked: Asked, scale: float, points: Any) -> tuple[dict[str, tuple], float]:
    found = screening.morris(
        y,
        points,
        resamples=asked.resamples,
        seed=asked.seed,
        max_failed_share=asked.max_failed_share,
        scale=scale,
    )
    rows = (found.mu, found.mu_star, found.mu_star_error, found.sigma)
    return _parts(rows, found), 1 - found.groups.min() / len(points)


def _prcc(y: NDArray, asked: Asked, scale: float, points: Any) -> tuple[dict[str, tuple], float]:
    if y.shape[1] != len(points):  # a Saltelli design: its base samples are samples
        group = len(asked.parameters) * (1 + asked.second_order) + 2
        y = y.reshape(len(y), -1, group)[..., [0, -1]].reshape(len(y), -1)
    found = screening.partial_rank_correlations(
        y,
        points,
        resamples=asked.resamples,
        seed=asked.seed,
        reach=quantile_of_normal(asked.confidence),
        max_failed_share=asked.max_failed_share,
        scale=scale,
    )
    return _parts((found.prcc, found.low, found.high), found), 1 - found.groups.min() / len(points)


def _parts(rows: Sequence[NDArray], found: Any) -> dict[str, tuple]:
    values = np.stack([row.T for row in rows]).astype(np.float32)
    return {
        "": (("index", "parameter"), values),
        "reason": ((), found.reason),
        "groups": ((), found.groups),
    }


def _tornado(y: NDArray, asked: Asked, scale: float, _: Any) -> tuple[dict[str, tuple], float]:
    """Outputs with each factor low and high, and where nothing is varied.

    What varies by rounding alone is constant here as it is for `sobol.indices`.
    """
    count = len(asked.parameters)
    constant = sobol.still(y, scale, y.dtype)[:, None] & np.isfinite(y)
    y = np.where(constant, y[:, :1], y)
    ends = y[:, 1:].reshape(len(y), 2, count).transpose(1, 2, 0)
    return {"": (("index", "parameter"), ends), "middle": ((), y[:, 0])}, 0.0
