"""What a study needs before it runs: who is drawn, what happens to them, and a store to fill."""

import dataclasses
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

import ketjax
from ketjax import dataset as store
from ketjax import trials
from ketjax.analysis.aggregation import describe_courses
from ketjax.analysis.strata import describe_divisions
from ketjax.condense import courses_kept, divisions_kept
from ketjax.errors import Problem, StudyError
from ketjax.model.laws import Law
from ketjax.model.overrides import OVERRIDES
from ketjax.model.parameters import Parameters, leaf, rows
from ketjax.model.readouts import REGIONS
from ketjax.observation import READABLE
from ketjax.population import COVARIATES, SHARED_EFFECTS, Recipe, draw
from ketjax.population.distributions import holds
from ketjax.population.population import moved
from ketjax.sets import ParameterSet
from ketjax.simulate import BLOCK, Simulation, Treatment
from ketjax.study import Arm, PopulationSettings, Study
from ketjax.variation import AROUND, Variation
from ketjax.vocabulary import support

SHARD_BYTES = 512 * 2**20  # readouts of one shard in memory
SHARD_BLOCKS = 64  # at most, so that an interrupt costs little; few would march many again apart


def recipe_of(study: Study) -> Recipe:
    """Who is drawn."""
    return recipe_from(study.population, study.parameters, study.set)


def recipe_from(
    settings: PopulationSettings,
    parameters: Mapping[str, float],
    chosen: ParameterSet | None = None,
) -> Recipe:
    """Who is drawn, by the table of parameters, above it a set, above that what a study says.

    Args:
        settings: `[population]`.
        parameters: Typical values that the study itself sets.
        chosen: Set of parameters; with a posterior, patients are shared out between its draws.

    Returns:
        The recipe.

    Raises:
        StudyError: A law cannot vary about its typical value, or the set speaks of one that the
            species does not have.
    """
    s = settings
    if chosen is None:
        recipe = Recipe(s.seed, s.design, s.species, s.typical, s.entry, s.correlations, parameters)
        laws = own_laws(s.laws, recipe.typical_patient())
        return dataclasses.replace(recipe, own_laws=laws)
    _check_variation(chosen, s.species)
    recipe = _recipe_above(chosen, s, parameters)
    draws = tuple(_recipe_above(member, s, parameters) for member in chosen.members())
    return dataclasses.replace(recipe, draws=draws)


def _recipe_above(
    chosen: ParameterSet, settings: PopulationSettings, parameters: Mapping[str, float]
) -> Recipe:
    """The recipe of one set, below what the study itself says."""
    s = settings
    recipe = recipe_from(s, {**chosen.parameters, **parameters})
    # Where the study has a law of its own, or leaves no variation, the set has nothing to say.
    spreads = {path: spread for path, spread in chosen.laws.items() if path not in s.laws}
    recipe = moved(recipe, {}, spreads, {})
    varying = recipe.laws()
    correlations = {
        pair: r
        for pair, r in chosen.correlations.items()
        if pair not in s.correlations and all(path in varying for path in pair.split(" ~ "))
    }
    return moved(recipe, {}, {}, correlations)


def _check_variation(chosen: ParameterSet, species: str) -> None:
    """Refuse a set that speaks of the variation of what does not vary, even without a study.

    Raises:
        StudyError: It does.
    """
    for one in (chosen, *chosen.members()[:1]):
        laws = moved(Recipe(species=species), one.parameters, {}, {}).laws()
        pairs = [(pair, path) for pair in one.correlations for path in pair.split(" ~ ")]
        spreads = [(path, path) for path in one.laws]
        problems = [
            Problem(
                f"set, {kind}.{name}",
                f"{path} has no {what} in the {species}, by the set {chosen.name}",
                allowed="parameters that vary",
                code="no_law",
            )
            for kind, what, named in (
                ("laws", "law", spreads),
                ("correlations", "random effect of its own", pairs),
            )
            for name, path in named
            if path not in laws or (kind == "correlations" and path in SHARED_EFFECTS)
        ]
        if problems:
            raise StudyError(problems)


def own_laws(variations: Mapping[str, Variation], typical: Parameters) -> dict[str, Law]:
    """The laws that a study sets, by path.

    Args:
        variations: What the study says.
        typical: The typical patient, about whom normal laws vary.

    Returns:
        Laws; without bounds of their own, those that can leave what a parameter can be end there.

    Raises:
        StudyError: A law cannot vary about the typical value.
    """
    laws, problems = {}, []
    for row in rows():
        if row.path not in variations:
            continue
        value = float(leaf(typical, row.path))
        law = laws[row.path] = law_of(variations[row.path], value, *support(row))
        if law.kind in AROUND and not (holds(law, value) and law.spread > 0):
            allowed = "a positive value" if law.kind != "logit-normal" else "between 0 and 1"
            hint = f"set the typical value of {row.path} in [parameters], or take another law"
            message = f"a {law.kind} law with this spread cannot vary about the typical value"
            place = f"population.laws.{row.path}"
            problems.append(Problem(place, message, f"{value:g}", allowed, hint, "no_spread"))
    if problems:
        raise StudyError(problems)
    return laws


def law_of(variation: Variation, value: float, least: float, greatest: float) -> Law:
    """The law that a study sets for a parameter of some typical value and range of its own."""
    kind, low, high = variation.law, variation.low, variation.high
    if kind not in AROUND:
        return Law(kind, low=low, high=high)
    if low is None and (kind == "normal" or (kind == "log-normal" and greatest < math.inf)):
        low, high = least, greatest
    cv, spread = variation.cv, variation.sd
    if cv is not None and kind == "normal":
        spread = cv * abs(value)
    elif cv is not None and kind == "log-normal":
        spread = math.sqrt(math.log1p(cv**2))
    elif cv is not None:  # the slope of the logistic function at the value is value (1 - value)
        spread = cv / (1 - value) if value < 1 else 0.0
    assert spread is not None
    return Law(kind, spread, low=low, high=high)


def check_recipe(recipe: Recipe) -> None:
    """Draw a patient, one of each posterior draw if there are any.

    So limits and correlations that cannot hold are found at once.

    Raises:
        StudyError: Nobody can be drawn.
    """
    varying = recipe.laws()
    problems = [
        Problem(
            f"population.entry.{name}",
            "this does not vary here",
            allowed="covariates that the species varies",
            code="fixed",
        )
        for name in recipe.entry
        if not recipe.typical and COVARIATES[name] not in varying
    ]
    problems += [
        Problem(
            f"population.correlations.{pair!r}",
            f"{path} has no random effect of its own here",
            allowed="two parameters that vary",
            code="fixed",
        )
        for pair in recipe.correlations
        for path in pair.split(" ~ ")
        if not recipe.typical and (path not in varying or path in SHARED_EFFECTS)
    ]
    if problems:
        raise StudyError(problems)
    problems = [
        Problem(
            "set, posterior",
            f"{path} varies in the set but not about its value in draw {k + 1}, or the reverse",
            allowed="draws about whose values the same laws vary",
            code="no_law",
        )
        for k, one in enumerate(recipe.draws)
        for path in sorted(varying.keys() ^ one.laws().keys())
    ]
    if problems:
        raise StudyError(problems)
    try:
        draw(recipe, range(max(1, len(recipe.draws))))
    except ValueError as error:
        raise StudyError(
            [
                Problem(
                    "population",
                    str(error),
                    allowed="limits that leave somebody, correlations that can hold together",
                    hint="widen [population.entry] or lower [population.correlations]; those of a "
                    'set count too, unless the study gives them itself or says set = "table"',
                    code="nobody",
                )
            ]
        ) from None


def check_arms(study: Study) -> None:
    """All arms hold the same patients with the same baseline, and their outcomes can be judged.

    Raises:
        StudyError: An arm sets the baseline score, or is too short for a relapse.
    """
    problems = trials.problems_of(study) + [
        Problem(
            f"arms.{name}.parameters.score.baseline",
            "an arm cannot change the baseline: change is measured from it",
            hint="set it in [parameters] for all arms",
            code="baseline",
        )
        for name, arm in study.arms.items()
        if "score.baseline" in arm.parameters
    ]
    if problems:
        raise StudyError(problems)


def values_of(arm: Arm) -> dict[str, float]:
    """What an arm gives to every patient: its named settings, then its own parameters."""
    return {
        **OVERRIDES.get(arm.interaction, {}),
        **OVERRIDES.get(arm.hippocampus, {}),
        **arm.parameters,
    }


def simulation_of(study: Study, recipe: Recipe) -> Simulation:
    """What happens to them, compiled."""
    treatments = {
        name: Treatment(arm.regimen, arm.expectancy, values_of(arm))
        for name, arm in study.arms.items()
    }
    return Simulation(
        recipe,
        treatments,
        study.times,
        names=(*study.readouts, *trials.needed(study)),
        rtol=study.solver.rtol,
        dtype=study.solver.dtype,
    )


def create(
    study: Study,
    recipe: Recipe,
    path: Path,
    *,
    overwrite: bool = False,
    more: Sequence[store.Variable] = (),
    digest: str = "",
    shard: int | None = None,
) -> None:
    """Write the template of a study's store.

    Args:
        study: What is asked.
        recipe: Who is drawn.
        path: Path of the store; its folder is made.
        overwrite: Replace an existing ketjax store.
        more: What is kept besides.
        digest: Of what made the store; that of the study if empty.
        shard: Patients in a shard; by `shard_length` if None.

    Raises:
        StoreError: The output exists.
        EnvironmentFault: The disk has no room for it.
    """
    count = study.population.patients
    path.parent.mkdir(parents=True, exist_ok=True)
    store.create(
        path,
        [*variables_of(study, recipe), *more],
        store.Coordinates(
            arms=tuple(study.arms), regions=REGIONS, times=study.times, patients=count
        ),
        shard=shard or shard_length(study, count),
        digest=digest or study.digest(),
        attributes={
            "title": study.question,
            "study": study.name,
            "seed": study.population.seed,
            "species": study.population.species,
            "ketjax_version": ketjax.__version__,
            "source": f"ketjax {ketjax.__version__}",
            "comment": "research model, not for clinical use",
            **({} if study.set is None else {"parameter_set": study.set.name}),
            **(
                {
                    "sketched": describe_courses(courses_kept(study)),
                    "sketched_strata": describe_divisions(divisions_kept(study, recipe.laws())),
                }
                if study.output.keep == "summaries"
                else {}
            ),
        },
        provenance=provenance_of(study),
        overwrite=overwrite,
    )


def variables_of(study: Study, recipe: Recipe) -> Iterator[store.Variable]:
    """What is kept: readouts, outcomes, drawn parameters, baseline score and the solver's word."""
    dtype = study.solver.dtype
    for name in study.readouts if study.output.keep == "all" else ():
        row = READABLE[name]
        more = {"regional": row.regional, "dtype": dtype, "scale": row.scale}
        yield store.readout(name, row.unit, row.meaning, **more)
    yield from trials.variables(study)
    table = {row.path: row for row in rows()}
    for path in recipe.varying():
        yield store.trait(path, table[path].unit, table[path].meaning, dtype="float64")
    if recipe.draws:
        yield store.DRAW
    yield store.trait("baseline_madrs", "points", "MADRS before treatment", dtype="float64")
    yield store.STATUS
    yield store.SOLVER_ERROR


def shard_length(study: Study, count: int) -> int:
    """Patients in a shard: whole blocks whose readouts stay below `SHARD_BYTES`."""
    itemsize = np.dtype(study.solver.dtype).itemsize
    names = (*study.readouts, *trials.needed(study))
    columns = sum(len(REGIONS) if READABLE[name].regional else 1 for name in names)
    patient = columns * len(study.times) * len(study.arms) * itemsize
    length = BLOCK
    longest = min(count, SHARD_BLOCKS * BLOCK)
    while length * 2 * patient <= SHARD_BYTES and length < longest:
        length *= 2
    return length


def provenance_of(study: Study) -> dict[str, object]:
    """What made the dataset, enough to make it again."""
    device = jax.devices()[0]
    return {
        "study": study.to_dict(),
        "digest": study.digest(),
        **(
            {}
            if study.set is None
            else {"parameter_set": {"name": study.set.name, "digest": study.set.digest()}}
        ),
        "ketjax": ketjax.__version__,
        "versions": {
            "jax": jax.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
        },
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "block": BLOCK,
        "streams": "random: threefry2x32, fold_in(fold_in(fold_in(key(seed mod 2^31), "
        "seed div 2^31), "
        "crc32(path)), patient); sobol: point number patient of the sequence scrambled by seed",
    }
