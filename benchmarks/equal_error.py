"""Peers at equal error: the loosest tolerance at which a peer is as accurate as the simulation.

The reference is CVODE at a tolerance of 1e-9, or, where SUNDIALS is missing, the march itself in
float64 at 1e-6. The simulation's own error is measured against it on the same patients, in float32
as users run it.
"""

import dataclasses
import functools
import importlib.util
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.course import Sample, course, error_of, own_rate
from benchmarks.peers.cvode import Cvode
from benchmarks.record import Figure, NotMeasured, cores, median_of, seconds_of
from ketjax.run import simulation_of
from ketjax.study import Study

NEAR = 0.6  # an error between this share of the aim and the aim is near enough
TRIALS = 6
TARGETS = {"CVODE": 60.0, "diffrax": 300.0}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a peer: its tolerance, error, wall time [s] and steps of a patient."""

    rtol: float
    error: float
    seconds: float
    steps: float


def loosest(run: Callable[[float], Trial], aim: float, first: float, least: float) -> list[Trial]:
    """Search the loosest tolerance whose error does not exceed an aim.

    Args:
        run: Runs the peer at a tolerance.
        aim: Largest error that is allowed.
        first: Tolerance to begin with.
        least: Smallest tolerance that the peer's precision allows.

    Returns:
        All trials; those that meet the aim may be none.
    """
    trials = [run(first)]
    while len(trials) < TRIALS:
        last = trials[-1]
        if NEAR * aim <= last.error <= aim or (last.error > aim and last.rtol <= least):
            break
        finite = sorted((t for t in trials if 0 < t.error < math.inf), key=lambda t: t.rtol)
        if not finite:
            rtol = 0.1 * last.rtol
        else:
            near = sorted(finite, key=lambda t: abs(math.log(t.error / aim)))[:2]
            slope = 1.0
            if len(near) == 2 and near[0].rtol != near[1].rtol:
                rise = math.log(near[0].error / near[1].error)
                slope = min(3.0, max(0.3, rise / math.log(near[0].rtol / near[1].rtol)))
            step = math.log(0.8 * aim / near[0].error) / slope
            rtol = near[0].rtol * math.exp(min(4.6, max(-4.6, step)))
        rtol = max(least, rtol)
        if any(math.isclose(rtol, trial.rtol, rel_tol=0.02) for trial in trials):
            break
        trials.append(run(rtol))
    return trials


def best(trials: list[Trial], aim: float) -> Trial | None:
    """The loosest trial that meets the aim."""
    meeting = [trial for trial in trials if trial.error <= aim]
    return max(meeting, key=lambda trial: trial.rtol) if meeting else None


@dataclasses.dataclass(frozen=True, eq=False)
class Aim:
    """What the peers have to reach on a sample.

    Attributes:
        sample: The patients.
        reference: Readouts over scale, shape (readout, time, patient).
        error: Error of the simulation.
        by: What made the reference.
    """

    sample: Sample
    reference: np.ndarray
    error: float
    by: str


@functools.cache
def cvode(quick: bool) -> Cvode:
    """CVODE for the course, compiled once."""
    return Cvode(course(quick))


@functools.cache
def aim(quick: bool, patients: int) -> Aim:
    """Reference and own error on the first patients."""
    problem = course(quick)
    sample = problem.sample(patients)
    try:
        states, _ = cvode(quick).solve(sample, 1e-9)
        reference, by = problem.readouts(states, sample), "CVODE at 1e-9"
    except NotMeasured:
        study = Study.read(Path(__file__).with_name("course.toml"))
        tight = simulation_of(study.replace(rtol=1e-6, dtype="float64"), problem.recipe)
        reference = dataclasses.replace(problem, simulation=tight).own(patients)
        by = "the march in float64 at 1e-6"
    own = problem.own(patients)
    return Aim(sample, reference, error_of(own, reference), by)


def measure_cvode(quick: bool, repetitions: int) -> Iterator[Figure]:
    """CVODE: patients a second on all cores, and how many times that we are."""
    solver, problem = cvode(quick), course(quick)
    wanted = aim(quick, 8 if quick else 64)

    def run(rtol: float) -> Trial:
        before = time.perf_counter()
        states, steps = solver.solve(wanted.sample, rtol)
        seconds = time.perf_counter() - before
        error = error_of(problem.readouts(states, wanted.sample), wanted.reference)
        return Trial(rtol, error, seconds, steps / wanted.sample.patients)

    trials = loosest(run, wanted.error, 1e-5, 1e-12)
    chosen = best(trials, wanted.error)
    if chosen is None:
        raise NotMeasured(f"CVODE does not reach an error of {wanted.error:.1e}")
    seconds = seconds_of(lambda: solver.solve(wanted.sample, chosen.rtol), repetitions)
    yield from _against(
        "CVODE", "float64, BDF, Jacobian in C", chosen, trials, wanted, seconds, quick, repetitions
    )


def measure_diffrax(quick: bool, repetitions: int) -> Iterator[Figure]:
    """diffrax: the best of its solvers, and how many times that we are."""
    if importlib.util.find_spec("diffrax") is None:
        raise NotMeasured("diffrax is not installed: pip install -e .[bench]")
    from benchmarks.peers.diffrax_peer import SOLVERS, Diffrax

    problem = course(quick)
    batch = 2 if quick else 16
    wanted = aim(quick, batch * cores())

    def search(name: str, dtype: str) -> tuple[Diffrax, list[Trial]]:
        peer = Diffrax(problem, name, dtype, batch)
        sample = problem.sample(wanted.sample.patients, dtype)

        def run(rtol: float) -> Trial:
            before = time.perf_counter()
            states, steps = peer.solve(sample, rtol)
            seconds = time.perf_counter() - before
            found = problem.readouts(states, wanted.sample)
            return Trial(rtol, error_of(found, wanted.reference), seconds, float(steps.mean()))

        peer.solve(sample, 1.0)  # compiles
        least = 1e-6 if dtype == "float32" else 1e-12
        return peer, loosest(run, wanted.error, 1e-3 if quick else 1e-5, least)

    found: dict[tuple[str, str], tuple[Diffrax, list[Trial]]] = {}
    for name in ("Kvaerno3",) if quick else SOLVERS:
        found[name, "float64"] = search(name, "float64")
        yield _attempt(name, "float64", found[name, "float64"][1], wanted)
    reached = {key: best(trials, wanted.error) for key, (_, trials) in found.items()}
    usable = {key: trial for key, trial in reached.items() if trial is not None}
    if usable and not quick:
        # The fastest once more in single precision.
        fastest = min(usable, key=lambda key: usable[key].seconds)[0]
        found[fastest, "float32"] = search(fastest, "float32")
        yield _attempt(fastest, "float32", found[fastest, "float32"][1], wanted)
        single = best(found[fastest, "float32"][1], wanted.error)
        usable |= {} if single is None else {(fastest, "float32"): single}
    if not usable:
        raise NotMeasured(f"no solver of diffrax reaches an error of {wanted.error:.1e}")
    key = min(usable, key=lambda key: usable[key].seconds)
    peer, trials = found[key]
    sample = problem.sample(wanted.sample.patients, key[1])
    seconds = seconds_of(lambda: peer.solve(sample, usable[key].rtol), repetitions)
    yield from _against(
        "diffrax", f"{key[0]}, {key[1]}, batches of {batch}", usable[key], trials, wanted, seconds,
        quick, repetitions,
    )  # fmt: skip


def _attempt(name: str, dtype: str, trials: list[Trial], wanted: Aim) -> Figure:
    """What one solver of diffrax did in the search."""
    chosen = best(trials, wanted.error)
    closest = chosen or min(trials, key=lambda trial: trial.error)
    rate = wanted.sample.patients / closest.seconds
    reach = "" if chosen else ", does not reach the error"
    return Figure(
        f"diffrax {name} {dtype}",
        rate,
        "patients/s",
        note=f"one run: rtol {closest.rtol:.1e}, error {closest.error:.1e},"
        f" {closest.steps:.0f} steps{reach}",
        details={"trials": [dataclasses.asdict(trial) for trial in trials]},
    )


def _against(
    name: str,
    how: str,
    chosen: Trial,
    trials: list[Trial],
    wanted: Aim,
    seconds: list[float],
    quick: bool,
    repetitions: int,
) -> Iterator[Figure]:
    """The peer's rate, and ours over it."""
    patients = wanted.sample.patients
    rate = median_of(
        name,
        [patients / second for second in seconds],
        "patients/s",
        note=f"{how}, {patients} patients, {cores()} cores, rtol {chosen.rtol:.1e}: error"
        f" {chosen.error:.1e}, ours {wanted.error:.1e}",
        details={
            "rtol": chosen.rtol,
            "error": chosen.error,
            "own_error": wanted.error,
            "reference": wanted.by,
            "steps": chosen.steps,
            "seconds": statistics.median(seconds),
            "trials": [dataclasses.asdict(trial) for trial in trials],
        },
    )
    yield rate
    ours = own_rate(quick, repetitions)
    assert rate.value is not None and ours.value is not None
    ratio = ours.value / rate.value
    yield Figure(f"course over {name}", ratio, "times", TARGETS[name], note="at equal error")
