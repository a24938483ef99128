"""From targets to weights in a store: features, the dual, and what came of each target."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ketjax import dataset as ds
from ketjax.analysis.features import stacked
from ketjax.analysis.weights import Survey, Unreachable, Weighting, fit, survey
from ketjax.errors import Problem
from ketjax.targets import Target, Targets, refused

HEAD = (
    *("target", "statistic", "unit", "unweighted", "asked", "error", "weighted"),
    *("multiplier", "price [nat]"),
)


@dataclass(frozen=True)
class Row:
    """What came of one target.

    Attributes:
        name: Of the target.
        statistic: What was asked for.
        unit: Of the numbers that follow.
        unweighted: In equal weights.
        asked: The target.
        error: Its standard error, 0 if it is exact.
        weighted: Under the weights.
        multiplier: In one over the unit of the feature; None if held out. The feature of a standard
            deviation is the squared distance from the mean that is asked for.
        price: What the target costs when it comes last [nat] (`Weighting`); None if held out.
    """

    name: str
    statistic: str
    unit: str
    unweighted: float
    asked: float
    error: float
    weighted: float
    multiplier: float | None
    price: float | None


@dataclass(frozen=True)
class Report:
    """What came of all targets.

    Attributes:
        rows: One a target.
        patients: Patients in the store.
        excluded: Patients without weight because their simulation failed in an arm.
        effective: Effective sample size (sum w)^2 / sum w^2.
        entropy: Relative entropy to equal weights [nat].
        largest: Largest weight, in units of an equal one.
        accepted: Share of the patients that acceptance-rejection to the same targets would keep:
            patient i with probability w_i / max w.
        passes: How often the features of all patients were read.
        digest: sha256 of the targets and of the configuration of the store.
    """

    rows: tuple[Row, ...]
    patients: int
    excluded: int
    effective: float
    entropy: float
    largest: float
    accepted: float
    passes: int
    digest: str

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Heading and lines as text."""
        lines = []
        for row in self.rows:
            factor, unit = (100.0, "%") if row.unit == "%" else (1.0, row.unit)
            numbers = (row.unweighted, row.asked, row.error, row.weighted)
            shown = [f"{factor * number:.5g}" for number in numbers]
            last = (
                ["held out", ""]
                if row.multiplier is None or row.price is None
                else [f"{row.multiplier:.4g}", f"{row.price:.4f}"]
            )
            lines.append([row.name, row.statistic, unit, *shown, *last])
        return HEAD, lines

    def closing(self) -> str:
        """The lines below the table."""
        weighted = self.patients - self.excluded
        return (
            f"{weighted:,} patients, {self.excluded} without weight; effective sample size "
            f"{self.effective:,.0f} ({self.effective / weighted:.2%}), relative entropy "
            f"{self.entropy:.4f} nat, largest weight {self.largest:.1f} equal ones\n"
            f"Acceptance-rejection to the same targets keeps {self.accepted:.2%}: "
            f"{1 / self.accepted:,.1f} simulations a patient; weights spend "
            f"{weighted / self.effective:,.1f} an effective patient\n"
        )

    def to_dict(self) -> dict[str, object]:
        """As JSON; shares as fractions."""
        return asdict(self)


def weigh(
    path: str | Path,
    store: str | Path,
    *,
    write: bool = True,
    overwrite: bool = False,
    exact_prices: bool = False,
) -> Report:
    """Weigh the patients of a store so that targets are met.

    Args:
        path: The manifest of targets.
        store: The store.
        write: Write the weights into the store, as its variable ``weight``.
        overwrite: Replace weights that are there.
        exact_prices: Fit again without each target, in as many times the time.

    Returns:
        What came of each target.

    Raises:
        StudyError: The targets are wrong, or no weights meet them.
        StoreError: The store is incomplete or has weights.
    """
    if write:
        ds.check_weight(store, overwrite=overwrite)
    dataset = ds.open_store(store)
    asked = Targets.read(path, dataset)
    targets = asked.targets
    features = asked.features()
    values, errors = np.array([_feature_goal(target) for target in targets]).T
    with ds.scratch(stacked(dataset, features)) as kept:
        seen = survey(kept)
        if problems := list(_out_of_reach(asked, values, errors, seen)):
            raise refused(path, problems)
        try:
            fitted = [not target.held_out for target in targets]
            found = fit(kept, values, errors, fitted, seen, exact_prices=exact_prices)
        except Unreachable as error:
            raise refused(path, [_contradiction(targets, error)]) from None
        report = _report(asked, found, seen, dataset.sizes["patient"], dataset.attrs)
        if write:
            blocks = found.by_chunk(kept)
            ds.write_weight(store, blocks, _attributes(report), overwrite=overwrite)
    return report


def _feature_goal(target: Target) -> tuple[float, float]:
    """Target and standard error of the feature: of a standard deviation, of its square."""
    if target.statistic == "sd":
        return target.amount**2, 2.0 * target.amount * target.tolerance
    return target.amount, target.tolerance


def _out_of_reach(
    asked: Targets, values: np.ndarray, errors: np.ndarray, seen: Survey
) -> Iterator[Problem]:
    """Targets that lie outside the patients, whatever their weights."""
    if not seen.patients:
        yield Problem("", "no patient of the store was simulated in all arms")
        return
    inside = np.where(
        errors == 0.0,
        (seen.low < values) & (values < seen.high),
        (seen.low <= values) & (values <= seen.high),
    )
    far = {
        target.name
        for target, reached in zip(asked.targets, inside, strict=True)
        if not (reached or target.held_out)
    }
    for index, target in enumerate(asked.targets):
        place = f"targets[{index}]"
        if seen.gaps[index]:
            message = f"{seen.gaps[index]} patients have no finite number"
            yield Problem(place, message, target.name, hint="choose another readout or measure")
            continue
        mean = asked.mean_of(target) if target.statistic == "sd" else None
        # About a mean that is out of reach any spread is wrong.
        if target.name not in far or (mean is not None and mean.name in far):
            continue
        ends = np.array([seen.low[index], seen.high[index]])
        ends = np.sqrt(ends) if mean else ends
        message = f"no weights of these patients reach target {target.name}"
        allowed = f"between {_shown(target, ends[0])} and {_shown(target, ends[1])}"
        hint = "simulate a wider population, or hold this target out"
        key = "level" if target.statistic == "quantile" else "value"
        given = _shown(target, target.amount)
        yield Problem(f"{place}.{key}", message, given, allowed, hint, "infeasible")


def _shown(target: Target, value: float) -> str:
    """A value of a target's statistic with its unit."""
    return f"{100.0 * value:.6g} %" if target.share else f"{value:.6g} {target.unit}"


def _contradiction(targets: Sequence[Target], error: Unreachable) -> Problem:
    """Targets that cannot be met together."""
    names = [targets[place].name for place in error.places]
    first = targets[error.places[0]]
    without = math.sqrt(error.without) if first.statistic == "sd" else error.without
    others = "the other is" if len(names) == 2 else "the others are"
    return Problem(
        f"targets[{error.places[0]}]",
        f"contradicts {' and '.join(names[1:])}: no weights of these patients meet them together",
        f"{first.name} {_shown(first, first.amount)}",
        f"it is {_shown(first, without)} when {others} met" if len(names) > 1 else "",
        "give one of them an error, or hold one out",
        "infeasible",
    )


def _report(
    asked: Targets, found: Weighting, seen: Survey, patients: int, attributes: dict
) -> Report:
    targets = asked.targets
    places = {target.name: index for index, target in enumerate(targets)}

    def shown(index: int, means: np.ndarray) -> float:
        """The statistic of a target, from means of features."""
        target = targets[index]
        mean = asked.mean_of(target) if target.statistic == "sd" else None
        if mean is None:
            return float(means[index])
        away = means[places[mean.name]] - mean.amount
        return math.sqrt(max(means[index] - away**2, 0.0))

    rows = tuple(
        Row(
            name=target.name,
            statistic=target.statistic,
            unit="%" if target.share else target.unit,
            unweighted=shown(index, seen.mean),
            asked=target.amount,
            error=target.tolerance,
            weighted=shown(index, found.weighted),
            multiplier=None if target.held_out else float(found.multipliers[index]),
            price=None if target.held_out else float(found.price[index]),
        )
        for index, target in enumerate(targets)
    )
    text = json.dumps(
        [
            attributes["configuration_sha256"],
            [
                [asdict(feature), row.asked, row.error, row.price is None]
                for feature, row in zip(asked.features(), rows, strict=True)
            ],
        ]
    )
    return Report(
        rows=rows,
        patients=patients,
        excluded=patients - found.patients,
        effective=found.effective,
        entropy=found.entropy,
        largest=found.largest * found.patients,
        accepted=found.accepted,
        passes=found.passes,
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def _attributes(report: Report) -> dict[str, object]:
    """What the weights mean, for the store."""
    return {
        "targets": json.dumps([asdict(row) for row in report.rows], allow_nan=False),
        "targets_sha256": report.digest,
        "effective_sample_size": report.effective,
        "relative_entropy": report.entropy,
    }
