"""What each mechanism contributes to an effect of a study's arm, patient by patient.

Every combination of the mechanisms is an arm in which the gates of the others are closed. The
patients are the same in all, so that each has shares of an own effect, which add to it.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr

import ketjax
from ketjax.analysis.attribution import coalitions, one_against_the_rest, shapley
from ketjax.errors import Problem, StudyError, check_name, check_range
from ketjax.population import draw
from ketjax.preparation import check_arms, check_recipe, recipe_of, values_of
from ketjax.regimen import Mechanism
from ketjax.simulate import Simulation, Treatment
from ketjax.study import Study

MECHANISMS = ("interneuron_nmda", "presynaptic", "ampa", "trkb", "mtorc1", "habenula", "expectancy")
EXPECTANCY, OTHERS = "expectancy", "all others together"
HOURS = (24.0, 168.0)
MOST = 10  # mechanisms: a thousand combinations


def attribute(
    study: Study,
    arm: str | None = None,
    *,
    mechanisms: Sequence[str] = MECHANISMS,
    hours: Sequence[float] | None = None,
) -> xr.Dataset:
    """Shapley values of mechanisms for the fall of the score.

    Args:
        study: Who is treated and how.
        arm: Arm of the study; its first if None.
        mechanisms: Gates to open one after the other.
        hours: Times of the effect [h]; those of a day and a week that the study reaches if None, or
            its end.

    Returns:
        Dataset with dims mechanism, hour and patient: ``share`` of the fall [points], ``effect``
        with all open and ``rest`` with none [points]. Where expectancy is among several mechanisms,
        ``joint_share`` (player, hour, patient) divides the fall between it and all others as one.
        Patients that failed anywhere are NaN.

    Raises:
        StudyError: A name or a time does not exist, or there are too many mechanisms.
    """
    arm = next(iter(study.arms)) if arm is None else arm
    if hours is None:
        hours = [hour for hour in HOURS if hour <= study.horizon] or [study.horizon]
    problems = check_name("arm", arm, study.arms, "arm")
    for mechanism in mechanisms:
        problems += check_name("mechanisms", mechanism, Mechanism.__args__, "mechanism")
    if not 0 < len(mechanisms) <= MOST or len(set(mechanisms)) < len(mechanisms):
        given = f"{len(mechanisms)}, {len(set(mechanisms))} different"
        allowed = f"1 to {MOST} different ones"
        problems.append(Problem("mechanisms", "cannot be combined", given, allowed, code="number"))
    for hour in hours:
        problems += check_range("hours", float(hour), 0.0, study.horizon, "h")
    if problems:
        raise StudyError(problems)
    recipe = recipe_of(study)
    check_recipe(recipe)
    check_arms(study)
    chosen = study.arms[arm]
    values = values_of(chosen)
    treatments = {
        f"{number}": Treatment(
            chosen.regimen,
            chosen.expectancy,
            values | {f"gates.{name}": 0.0 for name in itertools.compress(mechanisms, ~on)},
        )
        for number, on in enumerate(coalitions(len(mechanisms)))
    }
    times = sorted({0.0, *map(float, hours)})
    simulation = Simulation(
        recipe,
        treatments,
        times,
        names=("madrs",),
        rtol=study.solver.rtol,
        dtype=study.solver.dtype,
    )
    patients = np.arange(study.population.patients)
    solution = simulation.solve(draw(recipe, patients))
    scores = solution.readouts["madrs"].astype(np.float64)
    scores[np.broadcast_to((solution.status != 0).any(axis=0), scores.shape)] = np.nan
    falls = scores[:, :1] - scores[:, [times.index(hour) for hour in hours]]
    points = {"units": "points"}
    found = xr.Dataset(
        {
            "share": (
                ("mechanism", "hour", "patient"),
                shapley(falls),
                points | {"long_name": "share of the fall of the score"},
            ),
            "effect": (
                ("hour", "patient"),
                falls[-1],
                points | {"long_name": "fall of the score with every mechanism"},
            ),
            "rest": (
                ("hour", "patient"),
                falls[0],
                points | {"long_name": "fall of the score with none of the mechanisms"},
            ),
        },
        {"mechanism": list(mechanisms), "hour": list(hours), "patient": patients},
        {
            "study": study.name,
            "arm": arm,
            "seed": study.population.seed,
            "ketjax_version": ketjax.__version__,
        },
    )
    if EXPECTANCY in mechanisms and len(mechanisms) > 1:
        joint = one_against_the_rest(falls, list(mechanisms).index(EXPECTANCY))
        about = points | {"long_name": "share of the fall, of two players"}
        found["joint_share"] = (("player", "hour", "patient"), joint, about)
        found["player"] = [EXPECTANCY, OTHERS]
    return found


def table(found: xr.Dataset) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Mean share and middle 90 % of the patients, for each mechanism and hour.

    Args:
        found: What `attribute` returned.

    Returns:
        Head and lines of a table. The shares and the rest add to the total; so do the two shares
        of expectancy and of all others together, which end the table.
    """
    lines = []
    parts = {str(name): found["share"].sel(mechanism=name) for name in found["mechanism"].values}
    parts |= {"none of these": found["rest"], "all": found["effect"]}
    if "joint_share" in found:
        joint = found["joint_share"]
        parts |= {f"of two: {name}": joint.sel(player=name) for name in found["player"].values}
    total = found["effect"].mean("patient")
    for name, values in parts.items():
        cells = [name]
        for hour in found["hour"].values:
            one = values.sel(hour=hour)
            low, high = (float(one.quantile(q)) for q in (0.05, 0.95))
            share = 100 * float(one.mean()) / float(total.sel(hour=hour))
            cells += [f"{float(one.mean()):.2f} ({low:.1f} to {high:.1f})", f"{share:.0f}"]
        lines.append(tuple(cells))
    head = ["mechanism"]
    for hour in found["hour"].values:
        head += [f"points at {hour:g} h (5 to 95 %)", "% of the fall"]
    return tuple(head), lines
