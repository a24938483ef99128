"""Evidence against simulation: run the experiments, measure each finding, say pass or fail."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from ketjax.errors import Problem, StudyError, check_name
from ketjax.evidence.rows import FOLDER, Evidence, read_rows
from ketjax.evidence.statistics import CONTRASTS, STATISTICS, Course
from ketjax.model.readouts import REGIONS
from ketjax.observation import READABLE
from ketjax.population import draw
from ketjax.preparation import recipe_of, simulation_of
from ketjax.simulate import Solution
from ketjax.study import Study


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A finding with what the population does.

    Attributes:
        evidence: The finding.
        simulated: The same statistic of the simulation, in the unit of the finding.
    """

    evidence: Evidence
    simulated: float

    @property
    def passed(self) -> bool:
        """Whether the simulation lies within what the source leaves open."""
        return self.evidence.low <= self.simulated <= self.evidence.high

    def record(self) -> dict[str, str]:
        """The finding as a line of the table that is printed."""
        e = self.evidence
        return {
            "id": e.id,
            "claim": str(e.claim),
            "stage": e.stage,
            "kind": e.kind,
            "source": e.source,
            "expected": e.expected,
            "low": f"{e.low:g}",
            "high": f"{e.high:g}",
            "simulated": f"{self.simulated:.4g}",
            "verdict": "pass" if self.passed else "fail",
        }


def validate(
    rows: Sequence[Evidence] | None = None,
    *,
    patients: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Verdict]:
    """Simulate every experiment of the table and measure its findings.

    Args:
        rows: Findings; the whole table if None.
        patients: Patients of experiments with a population, instead of their own number.
        progress: Called with the name of each experiment before it runs.

    Returns:
        One verdict a finding, in their order. A statistic that cannot be computed is NaN and fails.

    Raises:
        StudyError: A finding asks for an arm or readout that its experiment does not have.
    """
    rows = read_rows() if rows is None else rows
    names = list(dict.fromkeys(row.experiment for row in rows))
    studies = {name: Study.read(FOLDER / f"{name}.toml") for name in names}
    if problems := [problem for row in rows for problem in _problems(row, studies[row.experiment])]:
        raise StudyError(problems)
    found: dict[str, float] = {}
    for name in names:
        study = studies[name]
        if patients is not None and not study.population.typical:
            study = study.replace(patients=patients)
        if progress is not None:
            progress(name)
        solution = _solve(study)
        for row in rows:
            if row.experiment == name:
                found[row.id] = measure(row, study, solution)
    return [Verdict(row, found[row.id]) for row in rows]


def measure(row: Evidence, study: Study, solution: Solution) -> float:
    """The statistic of one finding in a solved experiment; NaN where it does not exist."""
    statistic, contrast = STATISTICS[row.statistic], CONTRASTS[row.contrast]
    own = _course(row, study, solution, row.arm, row.readout)
    with np.errstate(divide="ignore", invalid="ignore"):
        if contrast is None:
            return statistic(own, row.start, row.stop)
        other = _course(
            row, study, solution, row.versus or row.arm, row.versus_readout or row.readout
        )
        try:
            return float(contrast(statistic, own, other, row.start, row.stop))
        except ZeroDivisionError:
            return math.nan


def _solve(study: Study) -> Solution:
    """All arms of an experiment."""
    recipe = recipe_of(study)
    return simulation_of(study, recipe).solve(draw(recipe, np.arange(study.population.patients)))


def _course(row: Evidence, study: Study, solution: Solution, arm: str, readout: str) -> Course:
    place = list(study.arms).index(arm)
    values = solution.readouts[readout][place]
    if row.region and values.ndim == 3:
        values = values[REGIONS.index(row.region)]
    solved = solution.status[place] == 0
    return Course(solution.times, values[:, solved].astype(np.float64))


def _problems(row: Evidence, study: Study) -> list[Problem]:
    """What a finding asks for that its experiment lacks."""
    problems = []
    for arm in filter(None, (row.arm, row.versus)):
        problems += check_name(f"{row.id}, arm", arm, study.arms, "arm")
    for readout in filter(None, (row.readout, row.versus_readout)):
        problems += check_name(f"{row.id}, readout", readout, study.readouts, "readout")
        regional = readout in READABLE and READABLE[readout].regional
        if regional != bool(row.region):
            problems.append(Problem(f"{row.id}, region", "is needed with a regional readout only"))
    last = study.times[-1]
    if row.start > last or row.stop > last:
        problems.append(Problem(f"{row.id}", "asks for a time after the end of its experiment"))
    return problems
