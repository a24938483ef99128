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
from typing import Any

import numpy as np

from benchmarks.course import Sample, course, error_of, own_rate
from benchmarks.peers.cvode import Cvode
from benchmarks.record import Figure, NotMeasured, cores, median_of, seconds_of
from ketjax.preparation import simulation_of
from ketjax.study import Study

NEAR = 0.6  # an error between this share of the aim and the aim is near enough
TRIALS = 6
TARGETS = {"CVODE": 60.0, "diffrax": 300.0}

# Solvers of diffrax with the tolerance that the search begins with, the most promising first.
# Kvaerno4 takes twice as long as Kvaerno3 at the same error.
STARTS = {
    "Kvaerno3": 1.3e-5,  # meets the aim: its error is seven tenths of the tolerance
    "Tsit5": 7e-7,  # stability bounds its steps, so that a tight tolerance costs little
    "Kvaerno5": 1e-5,  # loses its order: misses the aim hundredfold, and takes longer
}
START_FLOAT32 = 1e-5  # the error of Kvaerno3 stays above 1e-3 at any tolerance
BATCH = 32  # the time for a patient falls with the batch, hardly any more from here
COMPILING = 300.0  # longest compilation, with the course [s]
LONGEST = 90.0  # longest trial of a solver [s]
SHORTEST = 30.0  # a trial is given at least this [s] ...
PATIENCE = 3.0  # ... and at least this multiple of the fastest solver's time
# Single runs vary: only a solver slower by this factor is out, the others are timed repeatedly.
MARGIN = 1.5
BUDGET = 150.0  # for the trials of a solver [s]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a peer: its tolerance, error, wall time [s] and steps of a patient."""

    rtol: float
    error: float
    seconds: float
    steps: float


def loosest(
    run: Callable[[float], Trial],
    aim: float,
    first: float,
    least: float,
    slowest: float = math.inf,
    budget: float = math.inf,
) -> list[Trial]:
    """Search the loosest tolerance whose error does not exceed an aim.

    Args:
        run: Runs the peer at a tolerance.
        aim: Largest error that is allowed.
        first: Tolerance to begin with.
        least: Smallest tolerance that the peer's precision allows.
        slowest: Wall time [s] after which a trial that misses the aim ends the search: tighter
            tolerances take longer still.
        budget: Wall time of all trials together [s].

    Returns:
        All trials; those that meet the aim may be none.
    """
    trials = [run(first)]
    while len(trials) < TRIALS:
        last = trials[-1]
        if NEAR * aim <= last.error <= aim or (last.error > aim and last.rtol <= least):
            break
        if last.error > aim and last.seconds > slowest:
            break
        if sum(trial.seconds for trial in trials) > budget:
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

    batch, processes = (2, 1) if quick else (BATCH, cores())
    found: dict[tuple[str, str], list[Trial]] = {}
    best_name, fastest = "Kvaerno3", math.inf
    with Search(quick, batch, processes) as search:
        search.prepare("Kvaerno3", "float64")
        wanted = aim(quick, batch * processes)  # while the processes compile
        kinds = [("Kvaerno3", "float64", 5e-5)]
        if not quick:
            kinds = [(name, "float64", first) for name, first in STARTS.items()]
            kinds.append(("", "float32", START_FLOAT32))
        for name, dtype, first in kinds:
            name = name or best_name  # the fastest once more in single precision
            try:
                trials = search.trials(name, dtype, first, fastest, wanted)
            except TimeoutError as reason:
                yield Figure(f"diffrax {name} {dtype}", None, "", note=f"compilation: {reason}")
                continue
            found[name, dtype] = trials
            yield _attempt(name, dtype, trials, wanted, fastest)
            chosen = best(trials, wanted.error)
            if chosen is not None and chosen.seconds < fastest:
                best_name, fastest = name, chosen.seconds
        reached = {key: best(trials, wanted.error) for key, trials in found.items()}
        usable = {key: trial for key, trial in reached.items() if trial is not None}
        if not usable:
            raise NotMeasured(f"no solver of diffrax reaches an error of {wanted.error:.1e}")
        timed = {
            key: search.seconds(*key, trial.rtol, max(2 if quick else 3, repetitions))
            for key, trial in usable.items()
            if trial.seconds <= MARGIN * fastest
        }
    key = min(timed, key=lambda key: statistics.median(timed[key]))
    yield from _against(
        "diffrax", f"{key[0]}, {key[1]}, batches of {batch}", usable[key], found[key], wanted,
        timed[key], quick, repetitions,
    )  # fmt: skip


class Search:
    """Runs of diffrax on the first patients, a batch in each process, each run within a limit."""

    def __init__(self, quick: bool, batch: int, processes: int) -> None:
        """Prepare; processes start when they are needed."""
        self._quick, self._patients = quick, batch * processes
        self._parts = [slice(begin, begin + batch) for begin in range(0, self._patients, batch)]
        self._crew: Any = None
        self._prepared: set[tuple[str, str]] = set()
        self._compiling = False

    def prepare(self, name: str, dtype: str) -> None:
        """Let the processes compile, without waiting for them: the next results are of no use."""
        from benchmarks.peers.diffrax_peer import Crew, course_solver

        if self._crew is None:
            self._crew = Crew(len(self._parts), course_solver, self._quick, self._patients)
            self._prepared = set()
        self._crew.order([(name, dtype, part, 1.0) for part in self._parts])
        self._prepared.add((name, dtype))
        self._compiling = True

    def trials(
        self, name: str, dtype: str, first: float, fastest: float, wanted: Aim
    ) -> list[Trial]:
        """Search the loosest tolerance that meets the aim, as long as the solver can be the best.

        Args:
            name: Solver.
            dtype: Precision.
            first: Tolerance to begin with.
            fastest: Wall time of the best solver so far [s].
            wanted: The aim.

        Returns:
            All trials; one that was stopped has an infinite error.
        """
        problem = course(self._quick)
        limit = min(LONGEST, max(SHORTEST, PATIENCE * fastest))

        def run(rtol: float) -> Trial:
            before = time.perf_counter()
            try:
                parts = self._run(name, dtype, rtol, limit)
            except TimeoutError:
                return Trial(rtol, math.inf, limit, math.nan)
            seconds = time.perf_counter() - before
            states = np.concatenate([part[0] for part in parts], axis=-1)
            error = error_of(problem.readouts(states, wanted.sample), wanted.reference)
            steps = np.concatenate([part[1] for part in parts])
            return Trial(rtol, error, seconds, float(steps.mean()))

        self._compile(name, dtype)
        least = 1e-6 if dtype == "float32" else 1e-12
        return loosest(run, wanted.error, first, least, MARGIN * fastest, BUDGET)

    def seconds(self, name: str, dtype: str, rtol: float, repetitions: int) -> list[float]:
        """Wall times of a run [s]."""
        self._compile(name, dtype)
        return seconds_of(lambda: self._run(name, dtype, rtol, LONGEST), repetitions)

    def _compile(self, name: str, dtype: str) -> None:
        """Compile, if the processes have not, and wait for it."""
        if self._crew is None or (name, dtype) not in self._prepared:
            self.prepare(name, dtype)
        if self._compiling:
            self._results(COMPILING)
            self._compiling = False

    def _run(self, name: str, dtype: str, rtol: float, limit: float) -> list[Any]:
        self._crew.order([(name, dtype, part, rtol) for part in self._parts])
        return self._results(limit)

    def _results(self, limit: float) -> list[Any]:
        try:
            return self._crew.results(limit)
        except TimeoutError:
            self._crew = None
            raise

    def __enter__(self) -> "Search":
        """The search."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        if self._crew is not None:
            self._crew.stop()


def _attempt(name: str, dtype: str, trials: list[Trial], wanted: Aim, fastest: float) -> Figure:
    """What one solver of diffrax did in the search."""
    chosen = best(trials, wanted.error)
    closest = chosen or min(trials, key=lambda trial: (trial.error, trial.seconds))
    if chosen:
        reach = ""
    elif trials[-1].seconds > MARGIN * fastest:
        reach = f", misses {wanted.error:.1e} and is slower than the best already: search ended"
    else:
        reach = f", does not reach {wanted.error:.1e}"
    seen = f"error {closest.error:.1e}, {closest.steps:.0f} steps"
    if math.isnan(closest.steps):
        seen = f"stopped after {closest.seconds:.0f} s, slower than this rate"
    elif math.isinf(closest.error):
        seen = f"not at the end after {closest.steps:.0f} steps, slower than this rate"
    return Figure(
        f"diffrax {name} {dtype}",
        wanted.sample.patients / closest.seconds,
        "patients/s",
        note=f"one run: rtol {closest.rtol:.1e}, {seen}{reach}",
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
