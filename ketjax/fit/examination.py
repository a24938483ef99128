"""What a finished fit knows, written down: tables, draws and figures in one folder."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ketjax.errors import Problem, StoreError, StudyError, check_name
from ketjax.fit.free import Free
from ketjax.fit.identifiability import Spectrum, spectrum
from ketjax.fit.journal import Journal
from ketjax.fit.posterior import Posterior, posterior
from ketjax.fit.profile import Profile, as_dataset, profile
from ketjax.fit.targets import Target
from ketjax.fit.uncertainty import (
    IDENTIFIABLE,
    NOT_IDENTIFIABLE,
    Floats,
    Information,
    Objective,
    departures,
    information,
    uncertainty,
)

CORRELATED = 0.9  # least correlation that is worth a line; assumed
FILES = (
    "identifiability.csv",
    "fit_spectrum.csv",
    "fit_spectrum.png",
    "fit_intervals.png",
)
PROFILE_FILES = ("fit_profiles.csv", "fit_profiles.png")
DRAW_FILES = ("draws.csv", "posterior.csv")
TARGET_FILES = ("fit_targets.png",)
WORDS = {
    "identifiable": "identifiable",
    "weakly": "weakly identifiable",
    "not": "not identifiable",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Examination:
    """What was found about a fit.

    Attributes:
        information: Of data and priors at the optimum.
        uncertainty: Standard errors and intervals, as `uncertainty` gives them.
        spectrum: Directions that the data tell, and those that they do not.
        profiles: Of the numbers that were asked for.
        posterior: Draws, None if none were asked for.
        files: What was written.
    """

    information: Information
    uncertainty: xr.Dataset
    spectrum: Spectrum
    profiles: tuple[Profile, ...]
    posterior: Posterior | None
    files: tuple[Path, ...]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and lines: one line a number, the least known last."""
        return identifiability_table(self.uncertainty)

    def closing(self) -> str:
        """What the table does not say: flat directions, correlations, profiles, warnings."""
        known = self.uncertainty
        verdicts = known["verdict"].to_numpy()
        counts = [f"{int(np.sum(verdicts == kind))} {words}" for kind, words in WORDS.items()]
        lines = [
            f"{', '.join(counts)} (the prior alone leaves less than {IDENTIFIABLE:.0%}, less than "
            f"{NOT_IDENTIFIABLE:.0%}, or more of the variance)",
            f"The data tell {self.spectrum.rank} of {len(self.spectrum.names)} directions at all",
        ]
        if self.spectrum.unseen:
            unseen = ", ".join(self.spectrum.unseen)
            lines.append(f"Hardly seen by the targets, even if all else were known: {unseen}")
        lines += [f"Ridge: {one.text}" for one in self.spectrum.ridges]
        lines += [f"Correlated: {text}" for text in _correlated(known)]
        bound = [str(name) for name in known["number"].values[known["at_bound"].to_numpy()]]
        if bound:
            lines.append(f"On a bound, so that its interval means little: {', '.join(bound)}")
        lines += [f"Profile of {one.text}" for one in self.profiles]
        if self.posterior is not None:
            draws = self.posterior
            lines.append(
                f"{draws.weights.size} draws count as {draws.effective:.0f}, k = {draws.shape:.2f}"
            )
            lines += [f"Careful: {warning}" for warning in draws.warnings]
        return "\n".join(lines) + "\n"


def examine(
    objective: Objective,
    free: Sequence[Free],
    theta: Floats,
    out: str | Path,
    *,
    profiles: Sequence[str] = (),
    draws: int = 0,
    seed: int = 1,
    precision: float | None = None,
    targets: Sequence[Mapping[str, Any]] = (),
    title: str = "",
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Examine a finished fit and write what is found.

    Args:
        objective: What was minimised.
        free: What may move, in the order of the objective.
        theta: The optimum, numbers without bounds, shape (free,).
        out: Folder, made if it is not there. `identifiability.csv`, `fit_spectrum.csv` and figures;
            with profiles `fit_profiles.csv`, with draws `draws.csv` (weighted) and `posterior.csv`
            (resampled, of equal weight).
        profiles: Names of numbers of which a profile is made.
        draws: From the posterior.
        seed: Of the draws.
        precision: Relative precision of the derivatives, as `spectrum` takes it.
        targets: Lines for `fit_targets.png`, as `target_lines` makes them.
        title: What the figures are of.
        overwrite: Whether files that are there are replaced.
        tell: Called with what goes on.

    Returns:
        What was found.

    Raises:
        StoreError: A file is there already.
        StudyError: A name of `profiles` is not that of a free number, or the objective is not
            finite at the optimum.
        ValueError: The objective is finite at no draw.
    """
    folder = Path(out)
    names = FILES + (PROFILE_FILES if profiles else ()) + (DRAW_FILES if draws else ())
    names += TARGET_FILES if targets else ()
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise StoreError(f"{folder} has {', '.join(there)} already: use --overwrite to replace")
    problems = [p for n in profiles for p in check_name("profile", n, objective.names, "number")]
    if problems:
        raise StudyError(problems)
    try:
        found = information(objective, theta)
    except ValueError as error:
        hint = "fit again, from another start or with wider bounds"
        raise StudyError(Problem("the optimum", str(error), hint=hint, code="optimum")) from None
    known, directions = uncertainty(free, found), spectrum(found, precision)
    tell("Information at the optimum is there")
    made = profile(objective, free, found.theta, profiles, tell=tell) if profiles else ()
    drawn = None
    if draws:
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder / "draws.partial", found, draws, tell)
        drawn = posterior(
            objective, free, found.theta, draws, seed=seed, known=journal.known, tell=journal.keep
        )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "identifiability.csv", csv_text(*identifiability_table(known)))
    write(folder / "fit_spectrum.csv", csv_text(*spectrum_table(directions)))
    if made:
        write(folder / "fit_profiles.csv", csv_text(*profile_table(made)))
    if drawn is not None:
        equal = drawn.resampled(draws, seed)
        write(folder / "draws.csv", draw_text(free, drawn.numbers, drawn.weights))
        write(folder / "posterior.csv", draw_text(free, equal, np.full(draws, 1 / draws)))
        (folder / "draws.partial").unlink(missing_ok=True)
    _draw(folder, known, directions, made, drawn, targets, title)
    paths = tuple(folder / name for name in names)
    return Examination(found, known, directions, made, drawn, paths)


def optimum_of(folder: Path, free: Sequence[Free]) -> Floats:
    """Where a fit ended, from `result.json` of its folder: `theta` and `names`.

    Args:
        folder: Of the finished fit.
        free: What may move.

    Returns:
        Numbers without bounds in the order of `free`, shape (free,).

    Raises:
        StoreError: There is no result, or it is one of another fit.
    """
    path = folder / "result.json"
    hint = "give the folder of a finished fit"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        found = dict(zip(result["names"], map(float, result["theta"]), strict=True))
    except OSError:
        raise StoreError(f"{path} cannot be read: {hint}") from None
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{path} holds no names with a theta for each: {hint}") from None
    names = [one.name for one in free]
    if set(found) != set(names):
        differ = ", ".join(sorted(set(found) ^ set(names)))
        raise StoreError(f"{path} is of other free numbers than the fit: {differ}")
    if not np.all(np.isfinite(list(found.values()))):
        raise StoreError(f"{path} holds a theta that is not finite: {hint}")
    return np.array([found[name] for name in names])


def identifiability_table(known: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of numbers, the best known first.

    Args:
        known: What `uncertainty` returns.
    """
    head = ["number", "unit", "value", "standard_error", "low_95", "high_95"]
    head += ["departure", "posterior_over_prior_sd", "data_if_others_known", "verdict", "at_bound"]
    lines = []
    for k in np.argsort(known["prior_share"].to_numpy(), kind="stable"):
        one = known.isel(number=k, other=0)
        numbers = [one[name].item() for name in ("value", "standard_error", "low", "high")]
        ratio = np.sqrt(one["prior_share"].item())
        lines.append(
            [str(one["number"].item()), str(one["unit"].item())]
            + [f"{number:.4g}" for number in numbers]
            + [f"{one['departure'].item():.2f}", f"{ratio:.3f}"]
            + [f"{one['data_alone'].item():.3g}", str(one["verdict"].item())]
            + ["yes" if one["at_bound"].item() else "no"]
        )
    return head, lines


def spectrum_table(found: Spectrum) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of directions, the stiffest first.

    Args:
        found: The spectrum.
    """
    head = ["direction", "eigenvalue", "kind", "participants", "text"]
    lines = []
    for k, one in enumerate(found.directions):
        signs = {1: "up", -1: "down"}
        parts = [f"{name} {signs[sign]} {share:.2f}" for name, share, sign in one.participants]
        lines.append([str(k + 1), f"{one.eigenvalue:.4g}", one.kind, "; ".join(parts), one.text])
    return head, lines


def profile_table(profiles: Sequence[Profile]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the points of all profiles.

    Args:
        profiles: Whose points.
    """
    head = ["number", "value", "objective", "data", "low_95", "high_95"]
    lines = []
    for one in profiles:
        ends = [
            "open" if opened else f"{end:.6g}"
            for end, opened in ((one.low, one.open_low), (one.high, one.open_high))
        ]
        points = zip(one.values, one.objective, one.data, strict=True)
        lines += [[one.name, *(f"{number:.8g}" for number in point), *ends] for point in points]
    return head, lines


def draw_text(free: Sequence[Free], numbers: Floats, weights: Floats) -> str:
    """Draws as CSV: a column for each free number in its own unit, and `weight`.

    Args:
        free: What may move; the names are the heads of the columns, the units are those of the
            table of parameters.
        numbers: In those units, shape (draw, free).
        weights: Adding to one, shape (draw,).
    """
    lines = [
        [*(repr(float(number)) for number in row), repr(float(weight))]
        for row, weight in zip(numbers, weights, strict=True)
    ]
    return csv_text([*(one.name for one in free), "weight"], lines)


def target_lines(targets: Sequence[Target], simulated: Sequence[float]) -> list[dict[str, Any]]:
    """Lines of the figure of targets, shares in percent.

    Args:
        targets: Published summaries.
        simulated: The same of the simulation, in the units of the quantities.
    """
    from ketjax.figures.style import hour_text

    lines = []
    for target, number in zip(targets, simulated, strict=True):
        percent = "%" in target.kind.spellings
        factor = 100.0 if percent else 1.0
        label = f"{target.arm}: {target.quantity} at {hour_text(round(target.time, 2))}"
        label += "" if np.isnan(target.stop) else f" to {hour_text(round(target.stop, 2))}"
        label += f" against {target.versus}" if target.versus else ""
        lines.append(
            {
                "profile": target.profile,
                "label": label.replace("_", " "),
                "unit": "%" if percent else target.kind.unit,
                "published": factor * target.mean,
                "error": factor * target.error,
                "simulated": factor * float(number),
            }
        )
    return lines


def csv_text(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([head, *lines])
    return buffer.getvalue()


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _correlated(known: xr.Dataset) -> list[str]:
    """Pairs of numbers that move together."""
    matrix, names = known["correlation"].to_numpy(), known["number"].values
    first, second = np.nonzero(np.triu(np.abs(matrix) >= CORRELATED, 1))
    return [
        f"{names[i]} and {names[j]} ({matrix[i, j]:+.2f})"
        for i, j in zip(first, second, strict=True)
    ]


def _draw(
    folder: Path,
    known: xr.Dataset,
    directions: Spectrum,
    made: Sequence[Profile],
    drawn: Posterior | None,
    targets: Sequence[Mapping[str, Any]],
    title: str,
) -> None:
    """The figures."""
    from ketjax import figures

    shown = known
    if drawn is not None:
        low, high = departures(drawn.free, drawn.quantiles((0.025, 0.975)))
        shown = known.assign(drawn_low=("number", low), drawn_high=("number", high))
    plots = {
        "fit_spectrum.png": figures.plot_spectrum(directions.dataset(), title),
        "fit_intervals.png": figures.plot_intervals(shown, title),
    }
    if made:
        plots["fit_profiles.png"] = figures.plot_profiles(as_dataset(made), title)
    if targets:
        plots["fit_targets.png"] = figures.plot_targets(targets, title)
    for name, plot in plots.items():
        figures.save(plot, folder / name)
