"""What a trial writes down of each patient: when they respond, remit, relapse and leave.

Visits are the output times. The other outcomes are those of a full follow-up, by the score that the
study names; when a patient leaves stands beside them, so that what the trial would have seen can be
made of both (`analysis.summarise` does so for response and remission).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from ketjax import dataset as store
from ketjax.analysis.summaries import REMISSION_SCORE, RESPONSE_FRACTION
from ketjax.analysis.survival import RELAPSE_RULES, RELAPSE_STATES, ROUNDING, time_to_relapse
from ketjax.errors import Problem
from ketjax.model.parameters import Dropout, leaf, replace
from ketjax.population import Population
from ketjax.population.designs import random_normals
from ketjax.regimen import ENANTIOMER_SHARES, Regimen
from ketjax.simulate import Solution, Treatment
from ketjax.study import Study

Array = NDArray[np.float64]

OUTCOMES: dict[str, str] = {
    "time_to_response": "first visit at which the score has fallen by half",
    "time_to_remission": f"first visit with a score of at most {REMISSION_SCORE:g} points",
    "time_to_relapse": "time from the visit at which response is judged to relapse or last visit",
    "dropout_time": "when the patient leaves the trial",
}
"""By name: what it is. All are times [h], NaN where it does not happen."""

RELAPSE_STATE = "relapse_state"
DISSOCIATION = "dissociation"


def variables(study: Study) -> list[store.Variable]:
    """What the store of a study holds of its outcomes."""
    found = [store.outcome(name, "h", OUTCOMES[name]) for name in study.output.outcomes]
    if "time_to_relapse" in study.output.outcomes:
        rule = RELAPSE_RULES[study.output.relapse or ""]
        meaning = f"what became of the patient by the rule of {rule.trial}"
        found.append(
            store.outcome(RELAPSE_STATE, "1", meaning, dtype="int8", meanings=RELAPSE_STATES)
        )
    return found


def needed(study: Study) -> tuple[str, ...]:
    """Readouts from which the outcomes of a study are made, beyond those that it keeps."""
    outcomes = study.output.outcomes
    names = [study.output.outcome_score] if outcomes else []
    names += [DISSOCIATION] if "dropout_time" in outcomes else []
    return tuple(name for name in names if name not in study.readouts)


def problems_of(study: Study) -> list[Problem]:
    """What keeps the outcomes of a study from being judged."""
    if study.output.relapse is None:
        return []
    rule, problems = RELAPSE_RULES[study.output.relapse], []
    for name, arm in study.arms.items():
        start = clock(study.output.relapse, arm.regimen)
        visits = sum(time >= start - ROUNDING for time in study.times)
        if visits <= rule.visits:
            problems.append(
                Problem(
                    "output.times",
                    f"arm {name!r} cannot relapse by the rule {study.output.relapse!r}",
                    f"{visits} visits from {start:g} h on",
                    f"one at which response is judged and at least {rule.visits} that follow",
                    "add output times, or choose another rule",
                    "too_short",
                )
            )
    return problems


def outcomes_of(
    study: Study,
    treatments: dict[str, Treatment],
    population: Population,
    solution: Solution,
) -> dict[str, NDArray]:
    """Outcomes of some patients in all arms.

    Args:
        study: What is asked.
        treatments: Arms by name.
        population: The patients.
        solution: Their readouts, those of `needed` included.

    Returns:
        The variables of `variables` by name, shape (arm, patient). Who failed has no outcome.
    """
    asked = study.output.outcomes
    entry = np.broadcast_to(
        np.asarray(leaf(population.parameters, "score.baseline"), np.float64),
        population.patient.shape,
    )
    luck = _luck(study, population)
    found: dict[str, list[NDArray]] = {name: [] for name in asked}
    if "time_to_relapse" in asked:
        found[RELAPSE_STATE] = []
    for k, treatment in enumerate(treatments.values()):
        failed = solution.status[k] != 0
        readouts = {
            name: np.where(failed, np.nan, solution.readouts[name][k].astype(np.float64))
            for name in (study.output.outcome_score, DISSOCIATION)
            if name in solution.readouts
        }
        score = readouts.get(study.output.outcome_score, np.empty(0))
        for name in asked:
            if name == "time_to_response":
                time = first_time(solution.times, score <= (1 - RESPONSE_FRACTION) * entry)
            elif name == "time_to_remission":
                time = first_time(solution.times, score <= REMISSION_SCORE)
            elif name == "time_to_relapse":
                rule = study.output.relapse or ""
                start = clock(rule, treatment.regimen)
                time, state = time_to_relapse(
                    solution.times, score, entry, start, RELAPSE_RULES[rule]
                )
                found[RELAPSE_STATE].append(state)
            else:
                p = replace(population.parameters, treatment.values).dropout
                rate = hazard(1 - score / entry, readouts[DISSOCIATION], p, active(treatment))
                time = time_of_leaving(solution.times, rate, luck)
            found[name].append(time)
    return {name: np.stack(arms) for name, arms in found.items()}


def clock(rule: str, regimen: Regimen) -> float:
    """When the clock of a rule starts under a regimen [h]."""
    return RELAPSE_RULES[rule].start([dose.time for dose in regimen.doses])


def active(treatment: Treatment) -> bool:
    """Whether an arm gets ketamine or one of its enantiomers."""
    return any(dose.amount > 0 and ENANTIOMER_SHARES[dose.drug] for dose in treatment.regimen.doses)


def first_time(times: Array, reached: NDArray[np.bool_]) -> Array:
    """First of the times at which something holds [h], NaN if never, shape (patient,).

    Args:
        times: Times [h], shape (time,).
        reached: Whether it holds, shape (time, patient).
    """
    return np.where(reached.any(axis=0), times[reached.argmax(axis=0)], np.nan)


def hazard(fall: Array, dissociation: Array, p: Dropout, drug: bool) -> Array:
    """Hazard of leaving between one visit and the next.

    Missing scores depend on what patients felt: on how much better they were at the last visit, and
    on the strongest dissociation at any visit so far.

    Equation:
        h = h0 exp(bdo (fdo - fall) + bdd (CADSS_peak - Ddo)), h0 = hdo with drug, hdp without

    Args:
        fall: Fall of the score from entry, as a share of it [1], shape (time, patient).
        dissociation: CADSS [points], shape (time, patient).
        p: Dropout: hdo and hdp [1/h], bdo [1], fdo [1], bdd [1/points], Ddo [points].
        drug: Whether the arm gets ketamine.

    Returns:
        h from each visit but the last [1/h], shape (time - 1, patient).

    Source:
        TransformTrials: scores present at day 28.
    """
    peak = np.maximum.accumulate(dissociation)[:-1]
    return np.asarray(p.active_hazard if drug else p.control_hazard) * np.exp(
        np.asarray(p.failure_effect) * (np.asarray(p.reference_fall) - fall[:-1])
        + np.asarray(p.dissociation_effect) * (peak - np.asarray(p.reference_dissociation))
    )


def time_of_leaving(times: Array, rate: Array, luck: Array) -> Array:
    """When the hazard that has added up exceeds the patient's luck.

    Args:
        times: Visits [h], shape (time,).
        rate: Hazard from each visit to the next [1/h], shape (time - 1, patient).
        luck: Exponential number of mean 1, shape (patient,).

    Returns:
        Time [h], NaN for who stays, shape (patient,).
    """
    first = np.zeros((1, rate.shape[1]))
    total = np.concatenate([first, np.cumsum(rate * np.diff(times)[:, None], axis=0)])
    found = np.full(luck.shape, np.nan)
    leaves = np.flatnonzero(total[-1] > luck)
    last = (total[:, leaves] <= luck[leaves]).sum(axis=0) - 1
    found[leaves] = times[last] + (luck[leaves] - total[last, leaves]) / rate[last, leaves]
    return found


def _luck(study: Study, population: Population) -> Array:
    """One exponential number a patient, the same in every arm; a typical patient never leaves."""
    if study.population.typical:
        return np.full(population.patient.shape, np.inf)
    return -log_ndtr(random_normals(study.population.seed, ("dropout",), population.patient)[0])
