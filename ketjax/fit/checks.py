"""What several tables of a fit must agree on: free numbers, arms, targets, population."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from ketjax.analysis.survival import DAY, RELAPSE_RULES
from ketjax.arms import Arm
from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fit.drawing import laws_at_start
from ketjax.fit.free import SPREAD, Asked, Free, resolve, table
from ketjax.fit.settings import SharedPrior
from ketjax.fit.targets import Target
from ketjax.model.laws import FIXED, Law
from ketjax.model.overrides import OVERRIDES
from ketjax.model.parameters import leaf
from ketjax.population import DEFAULT_CORRELATIONS, SHARED_EFFECTS, Recipe
from ketjax.preparation import check_recipe, recipe_from, values_of
from ketjax.sets import ParameterSet
from ketjax.study import PopulationSettings
from ketjax.trials import clock
from ketjax.variation import AROUND, BETWEEN


def recipe_of(
    settings: PopulationSettings,
    parameters: Mapping[str, float],
    chosen: ParameterSet | None,
    problems: list[Problem],
) -> Recipe | None:
    """Who is drawn where nothing has moved; None, with what is wrong added, if nobody can be."""
    try:
        recipe = recipe_from(settings, parameters, chosen)
        check_recipe(recipe)
    except StudyError as error:
        problems += error.problems
        return None
    return recipe


def unknowns(
    free: Mapping[str, Asked],
    recipe: Recipe,
    parameters: Mapping[str, float],
    problems: list[Problem],
) -> tuple[Free, ...]:
    """What may move, completed from the table of parameters and the population.

    Args:
        free: What is written.
        recipe: Who is drawn.
        parameters: What is set and stays.
        problems: What is wrong is added here.

    Returns:
        The numbers that make sense; typical values, then spreads, then correlations.
    """
    laws = recipe.laws()
    found: list[Free] = []
    for asked in free.values():
        if asked.kind != "typical value":
            continue
        if one := _typical(asked, recipe, laws, parameters, problems):
            found.append(one)
    laws = laws_at_start(recipe, found)
    for asked in free.values():
        if asked.kind == "spread" and (one := _spread(asked, recipe, laws, problems)):
            found.append(one)
        elif asked.kind == "correlation" and (one := _correlation(asked, recipe, laws, problems)):
            found.append(one)
    problems += _impossible_together(found, recipe)
    return tuple(found)


def _typical(
    asked: Asked,
    recipe: Recipe,
    laws: Mapping[str, tuple[float, Law]],
    parameters: Mapping[str, float],
    problems: list[Problem],
) -> Free | None:
    path = asked.paths[0]
    place = f"free.{show(asked.name)}"
    value, law = laws.get(path, (float(leaf(recipe.typical_patient(), path)), FIXED))
    if path in parameters:
        message = "the parameter is both free and set"
        hint = f"remove it from [parameters], or write start = {value:g} here instead"
        problems.append(Problem(place, message, f"{value:g}", "either", hint, "fixed"))
        return None
    if path in recipe.own_laws and recipe.own_laws[path].kind in BETWEEN:
        message = f"a {recipe.own_laws[path].kind} law has no typical value that could move"
        hint = "remove the law from [population.laws]"
        problems.append(Problem(place, message, str(law), "a law about a value", hint, "no_value"))
        return None
    if value == 0 and OVERRIDES[recipe.species].get(path) == 0 and asked.start is None:
        message = f"the {recipe.species} has none of it: the parameter is fixed at 0"
        hint = "remove it, or write start"
        problems.append(Problem(place, message, "0", "a parameter at work", hint, "fixed_at_zero"))
        return None
    start = value
    if law.centre is not None:  # the law's own: what the patients vary about
        start = 1 / (1 + float(np.exp(-law.centre))) if law.kind == "logit-normal" else law.centre
    if path not in laws:  # the scale is still that of the table; a species need not keep its bounds
        law = dataclasses.replace(table()[path].law, low=None, high=None)
    return resolve(asked, start, law, problems)


def _spread(
    asked: Asked,
    recipe: Recipe,
    laws: Mapping[str, tuple[float, Law]],
    problems: list[Problem],
) -> Free | None:
    path = asked.paths[0]
    law = laws.get(path, (0.0, FIXED))[1]
    if law.kind in AROUND:
        return resolve(asked, law.spread, law, problems)
    place = f"free.{show(asked.name)}"
    if recipe.typical:
        message = "every patient is the typical one: there are no spreads"
    elif law.kind in BETWEEN or law.kind == "categorical":
        message = f"its law is {law.kind}, which has no spread"
    elif (own := table()[path].law).kind not in (*AROUND, "fixed"):
        message = f"about a value its {own.kind} law does not vary"
    else:
        message = "the parameter has no law here: everybody has the same value"
    hint = "give it a law in [population.laws], or free its typical value"
    allowed = f"a law among {', '.join(AROUND)}"
    problems.append(Problem(place, message, str(law), allowed, hint, "no_law"))
    return None


def _correlation(
    asked: Asked,
    recipe: Recipe,
    laws: Mapping[str, tuple[float, Law]],
    problems: list[Problem],
) -> Free | None:
    lacking = [path for path in asked.paths if path not in laws or path in SHARED_EFFECTS]
    for path in lacking:
        message = f"{path} has no random effect of its own here"
        allowed = "two parameters that vary"
        problems.append(Problem(f"free.{show(asked.name)}", message, "", allowed, "", "no_law"))
    if lacking:
        return None
    start = {**DEFAULT_CORRELATIONS, **recipe.correlations}.get(asked.name, 0.0)
    return resolve(asked, start, laws[asked.paths[0]][1], problems)


def _impossible_together(found: Sequence[Free], recipe: Recipe) -> list[Problem]:
    """Free correlations that can leave what a population can have.

    Positive definite matrices are a convex set: if the corners of the bounds are, all between is.
    """
    free = [one for one in found if one.kind == "correlation"]
    fixed = {**DEFAULT_CORRELATIONS, **recipe.correlations}
    fixed = {tuple(name.split(" ~ ")): r for name, r in fixed.items()}
    problems = []
    for group in _linked([one.paths for one in free], list(fixed)):
        ours = [one for one in free if one.paths in group]
        if not ours:
            continue
        names = sorted({path for pair in group for path in pair})
        least = min(
            _least_eigenvalue(names, {p: fixed[p] for p in group if p in fixed}
                              | {one.paths: r for one, r in zip(ours, corner, strict=True)})
            for corner in itertools.product(*((one.low, one.high) for one in ours))
        )  # fmt: skip
        if least <= 0:
            message = "within these bounds there are correlations that no population has together"
            value = f"smallest eigenvalue {least:.3g} at a corner of the bounds"
            hint = "bring the bounds of correlations of the same parameters nearer to zero"
            place = f"free.{show(ours[0].name)}"
            allowed = "bounds all of whose corners are positive definite"
            problems.append(Problem(place, message, value, allowed, hint, "not_positive_definite"))
    return problems


def _linked(
    free: Sequence[tuple[str, ...]], fixed: Sequence[tuple[str, ...]]
) -> list[list[tuple[str, ...]]]:
    """Pairs in groups that share no parameter with each other."""
    groups: list[list[tuple[str, ...]]] = []
    for pair in dict.fromkeys((*free, *fixed)):
        touching = [g for g in groups if any(set(pair) & set(other) for other in g)]
        groups = [g for g in groups if g not in touching]
        groups.append([other for g in touching for other in g] + [pair])
    return groups


def _least_eigenvalue(names: Sequence[str], pairs: Mapping[tuple[str, ...], float]) -> float:
    matrix = np.eye(len(names))
    for pair, r in pairs.items():
        i, j = (names.index(path) for path in pair)
        matrix[i, j] = matrix[j, i] = r
    return float(np.linalg.eigvalsh(matrix)[0])


def of_free(free: Sequence[Free], arms: Mapping[str, Arm]) -> list[Problem]:
    """Free parameters that no arm would feel."""
    problems = []
    for one in free:
        for path in one.paths:
            settings = [values_of(arm) for arm in arms.values()]
            set_by = [values[path] for values in settings if path in values]
            place = f"free.{show(one.name)}"
            if len(set_by) == len(arms):
                zero = not any(set_by)
                message = "every arm sets this parameter" + (" to 0" if zero else "")
                message += ": nothing would move"
                hint = "remove it from the parameters of an arm, or from [free]"
                code = "fixed_at_zero" if zero else "overridden"
                allowed = "a parameter that some arm leaves alone"
                problems.append(Problem(place, message, path, allowed, hint, code))
            group, _, rest = path.partition(".")
            used = {arm.expectancy for arm in arms.values()}
            if group == "designs" and rest.partition(".")[0] not in used:
                message = "no arm is of this trial design: nothing would move"
                allowed = "a design among " + ", ".join(sorted(used))
                problems.append(Problem(place, message, path, allowed, "", "idle"))
    return problems


def of_shared(
    shared: Mapping[str, SharedPrior], free: Mapping[str, Asked], unknowns: Sequence[Free]
) -> list[Problem]:
    """Classes with a common prior whose members are not free, or cannot have one in common."""
    problems: list[Problem] = []
    scales = {one.name: one.scale for one in unknowns}
    classes: dict[str, str] = {}
    for name, one in shared.items():
        if len(one.of) < 2:
            problems.append(
                Problem(
                    f"shared.{show(name)}.of", "nothing is shared", show(list(one.of)),
                    "two free numbers or more", "name more, or remove the class", "too_few",
                )
            )  # fmt: skip
        found = []
        for k, member in enumerate(one.of):
            place = f"shared.{show(name)}.of[{k}]"
            if member not in free:
                problems += _not_free(place, member, free)
                continue
            found += [scales[member]] if member in scales else []
            if member in classes:
                both = "twice in this class" if classes[member] == name else "in two classes"
                hint = "a number has one prior: keep one"
                problems.append(Problem(place, f"stands {both}", member, "", hint, "duplicate"))
            elif free[member].prior is not None:
                hint = f"remove prior from free.{show(member)}: spread of the class stands for it"
                message = "has a prior of its own as well"
                problems.append(Problem(place, message, member, "either", hint, "fixed"))
            classes[member] = name
        if len(set(found)) > 1:
            problems.append(
                Problem(
                    f"shared.{show(name)}.of", "the numbers move on different scales",
                    ", ".join(dict.fromkeys(found)), "one scale",
                    "make a class of each scale", "scale",
                )
            )  # fmt: skip
    return problems


def _not_free(place: str, name: str, free: Mapping[str, Asked]) -> list[Problem]:
    if name not in table() and name.removesuffix(SPREAD) not in table():
        return check_name(place, name, free, "free number")
    hint = f'write "{name}" = {{}} in [free], or leave it out here'
    return [Problem(place, "the number is not free", name, "a name of [free]", hint, "not_free")]


def of_targets(
    targets: Sequence[Target], arms: Mapping[str, Arm], horizon: float | None
) -> list[Problem]:
    """Targets whose arm, design or time the fit does not have."""
    problems: list[Problem] = []
    absent = {name: target for target in targets for name in target.arms if name not in arms}
    for name, target in absent.items():
        hint = f"write [arms.{name}], or leave out profile {target.profile} by profiles = [..]"
        unknown = check_name("arms", name, arms, "arm")
        problems += [
            dataclasses.replace(
                problem, message=f"the arm of a target is missing ({target.name})",
                hint=f"{problem.hint} {hint}".strip(), code="arm_missing",
            )
            for problem in unknown
        ]  # fmt: skip
    for target in targets:
        place = f"targets, line {target.line}"
        if horizon is not None and target.last > horizon:
            message = f"the target lies after the end of the fit ({target.name})"
            allowed = f"up to {horizon:g} h"
            hint = "raise horizon, or leave it out: then it is the last time of the targets"
            problems.append(
                Problem(place, message, f"{target.last:g} h", allowed, hint, "out_of_range")
            )
        if target.arm in arms and arms[target.arm].expectancy != target.design:
            message = f"the arm {target.arm} is of another trial design"
            allowed = arms[target.arm].expectancy
            hint = f"set expectancy in [arms.{target.arm}], or the design of the line"
            problems.append(Problem(place, message, target.design, allowed, hint, "design"))
        if target.rule and target.arm in arms:
            rule = RELAPSE_RULES[target.rule]
            start = clock(target.rule, arms[target.arm].regimen)
            if target.time < start + rule.visits * DAY:
                message = f"nobody can have relapsed by the rule {target.rule} ({target.name})"
                allowed = f"{start + rule.visits * DAY:g} h or later"
                hint = f"its clock starts at {start:g} h in this arm"
                problems.append(
                    Problem(place, message, f"{target.time:g} h", allowed, hint, "too_short")
                )
    return problems


def of_counts(free: Mapping[str, Asked], targets: Sequence[Target]) -> list[Problem]:
    """More free numbers than summaries that count for something."""
    count = sum(target.weight > 0 for target in targets)
    if len(free) <= count:
        return []
    message = "there are more free numbers than targets"
    given = f"{len(free)} free, {count} targets with a weight above 0"
    hint = "free less, or use more profiles"
    return [Problem("free", message, given, f"at most {count}", hint, "too_many")]


def idle_arms(targets: Sequence[Target], arms: Mapping[str, Arm]) -> list[Problem]:
    """Arms of which no target speaks: they cost time and change nothing."""
    used = {name for target in targets for name in target.arms}
    hint = "remove the arm, or add a target"
    return [
        Problem(f"arms.{name}", "no target speaks of this arm", "", "", hint, "idle")
        for name in arms
        if name not in used
    ]


def lost_variation(free: Sequence[Free], recipe: Recipe) -> list[Problem]:
    """Parameters that vary now, but not about a value of their own."""
    before, after = recipe.laws(), laws_at_start(recipe, free)
    return [
        Problem(
            f"free.{show(one.name)}",
            f"its {before[path][1].kind} law does not vary about a value: everybody gets the same",
            str(before[path][1]),
            "",
            "give it a law in [population.laws]",
            "no_law",
        )
        for one in free
        if one.kind == "typical value"
        for path in one.paths
        if path in before and path not in after
    ]
