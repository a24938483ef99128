"""Are twelve typical values and four spreads found again from summaries that the model made?

    python benchmarks/fit_recovery.py

The table of parameters is the truth. Its own patients give means, spreads and shares in five arms;
starts lie a quarter of a logarithm away, by turns above and below, under wide priors. A number
counts as identifiable by the criterion of `ketjax identify`. The summaries come from the same
random patients, so that what is missed is the optimiser's; then from 256 others, with the errors
that so few have, so that what is missed is their luck too.
"""

import dataclasses
import math
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ketjax.fit import Fit, Target
from ketjax.fit.objective import Objective
from ketjax.fit.optimise import optimise
from ketjax.fit.targets import targets_text
from ketjax.fit.uncertainty import information, uncertainty
from ketjax.tables import formatted

HERE = Path(__file__).parent
MANIFEST = HERE / "fit_recovery.toml"
RESULT = HERE / "results" / "fit_recovery.txt"
TABLE = "recovery.csv"
HOURS = (1.0, 2.0, 6.0, 24.0, 48.0, 96.0, 168.0)
PATIENTS = 256  # of each population
TRIAL = 5000  # patients of the made-up trial, where its luck is that of the fit
AWAY = 0.25  # logarithm of start over truth
SHARE = 0.05  # of the truth within which a number counts as found


def questions(arms: list[str], n: int) -> Iterator[Target]:
    """Summaries of all arms, whose numbers are still to be filled in."""
    for arm in arms:
        design = "none" if arm == "unblinded" else "pooled"
        for hour in HOURS:
            for quantity, spread in (("change", 10.0), ("SD of change", math.nan)):
                yield Target("R", arm, design, quantity, hour, 1.0, spread, n, "made up")
            for quantity in ("response", "remission"):
                yield Target("R", arm, design, quantity, hour, 0.5, math.nan, n, "made up")
        if arm != "sham":
            for hour in (0.5, 1.0, 2.0):
                yield Target("R", arm, design, "dissociation", hour, 1.0, 10.0, n, "made up")


def fit_of(folder: Path, targets: list[Target], seed: int, away: float) -> Fit:
    """The fit with these summaries; starts are so far from the truth, by turns up and down."""
    document = tomllib.loads(MANIFEST.read_text("utf-8"))
    document["population"]["seed"] = seed
    (folder / TABLE).write_text(
        targets_text([dataclasses.replace(one, line=0) for one in targets]), "utf-8"
    )
    plain = Fit.parse(document, folder)
    for k, one in enumerate(plain.unknowns):
        start = one.start * math.exp(away * (-1) ** k)
        document["free"][one.name]["start"] = f"{start!r} {one.unit}" if one.unit != "1" else start
    return Fit.parse(document, folder)


def made(folder: Path, seed: int, n: int) -> list[Target]:
    """Summaries of the truth, as trials of many patients would publish them."""
    arms = list(tomllib.loads(MANIFEST.read_text("utf-8"))["arms"])
    asked = list(questions(arms, n))
    truth = Objective(fit_of(folder, asked, seed, 0.0), dtype="float64")
    found = truth.predictions(truth.start())
    return [
        dataclasses.replace(one, mean=float(number))
        for one, number in zip(asked, found, strict=True)
        if one.kind.error != "spread" or number > 0.5  # nobody's change varies at the start
    ]


def recover(folder: Path, seed: int, of: int) -> str:
    """A table: truth, start, what was found, how sure the fit is, and whether it may be."""
    targets = made(folder, of, TRIAL if of == seed else PATIENTS)
    fit = fit_of(folder, targets, seed, AWAY)
    objective = Objective(fit, dtype="float64")
    begun = time.perf_counter()
    result = optimise(objective, fit.optimise, objective.start()[None])
    seconds = time.perf_counter() - begun
    known = uncertainty(fit.unknowns, information(objective, result.theta))
    lines, found = [], []
    for k, one in enumerate(fit.unknowns):
        truth = one.start / math.exp(AWAY * (-1) ** k)
        number = float(one.transform.forward(result.theta[k]))
        verdict = str(known["verdict"].to_numpy()[k])
        near = abs(number / truth - 1) <= SHARE
        low, high = (float(known[end].to_numpy()[k]) for end in ("low", "high"))
        held = low <= truth <= high
        found.append((verdict, near, held))
        lines.append(
            [one.name, *(f"{x:.4g}" for x in (truth, one.start, number)),
             f"{100 * (number / truth - 1):+.2f} %", verdict, "yes" if near else "no",
             f"{low:.4g} to {high:.4g}", "yes" if held else "no"]
        )  # fmt: skip
    head = ["number", "truth", "start", "found", "off", "identifiable", "within 5 %",
            "95 % interval", "holds the truth"]  # fmt: skip
    clear = [near for verdict, near, _ in found if verdict == "identifiable"]
    return (
        formatted(head, lines, "text")
        + f"\n{sum(clear)} of {len(clear)} identifiable numbers within 5 %; "
        f"{sum(near for _, near, _ in found)} of all {len(found)}; "
        f"{sum(held for _, _, held in found)} of {len(found)} intervals hold the truth. Objective "
        f"{objective.value(objective.start()):.4g} at the start, {result.value:.4g} at the end; "
        f"{len(targets)} summaries, {seconds:.0f} s, "
        f"{result.searches[0].evaluations} evaluations, ended by {result.searches[0].stops[-1]}.\n"
    )


def main() -> None:
    """Recover from the same and from other patients, and keep the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "Summaries of the same 256 patients\n\n" + recover(folder, 7, 7)
        text += "\nSummaries of 256 other patients\n\n" + recover(folder, 7, 8)
    sys.stdout.write(text)
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
