"""Parameter sets: typical values, spreads and correlations that belong together, chosen by name.

[parameters]
"score.weight_potentiation" = 1.2

[laws]
"score.weight_potentiation" = 0.35      # the spread of the law that the table gives it

[correlations]
"expectancy.course_gain ~ expectancy.gain" = 0.4

A set applies below what a study says itself. Where a study of humans names no set, the one called
human is used, which was fitted to published trials; set = "table" uses the table of parameters and
no set. A posterior beside a set says how uncertain its numbers are: each of its draws is another
set of the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    ValidationInfo,
)

from ketjax import manifest
from ketjax.arms import Section
from ketjax.errors import Problem, StudyError, check_name, show
from ketjax.fields import (
    Context,
    Correlations,
    Integer,
    Name,
    Overrides,
    Vocabulary,
    context_of,
    known,
    model_vocabulary,
    refuse,
)
from ketjax.posteriors import CheckedPosterior, Posterior, write_posterior
from ketjax.units import display, is_plain, parse
from ketjax.variation import AROUND

FOLDER = Path(__file__).with_name("sets")
TABLE = "table"  # what a manifest calls the table of parameters without any set
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.toml")))  # of those in the package


class Provenance(Section):
    """`[provenance]`: where a set comes from.

    Attributes:
        name: of the set.
        species: whose numbers they are.
        question: what the fit asked.
        source: digest of the fit, or key of a publication.
        ketjax: version of ketjax that made it.
        method: how it was made.
    """

    name: Name
    species: Annotated[str, known("species", "species")]
    question: str = ""
    source: str = ""
    ketjax: str = ""
    method: str = ""


class Uncertainty(Section):
    """`[uncertainty]`: patients are shared out between draws of the posterior of the set.

    Attributes:
        draws: how many; patient i belongs to draw i modulo this number.
        seed: of their choice from the posterior.
    """

    draws: Annotated[Integer, Field(ge=1, le=10_000)]
    seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 1


def _read_spreads(value: Any, info: ValidationInfo) -> dict[str, float]:
    """Spreads of laws by dotted path; nested tables and dotted keys are the same."""
    if not isinstance(value, dict):
        raise StudyError(Problem("", "a table is needed", show(value), code="wrong_type"))
    rows, problems, spreads = context_of(info).vocabulary.parameters, [], {}
    for path, given in _flat(value):
        if unknown := check_name(path, path, rows, "parameter"):
            problems += unknown
        elif (law := rows[path].law) not in AROUND:
            message = f"the law of this parameter is {law}, which has no spread"
            allowed = f"a law among {', '.join(AROUND)}"
            problems.append(Problem(path, message, show(given), allowed, code="no_law"))
        elif path in spreads:
            problems.append(Problem(path, "given twice", show(given), code="duplicate"))
        else:
            try:
                spreads[path] = parse(given, _unit_of_spread(rows[path]))
            except StudyError as error:
                problems += [problem.under(path) for problem in error.problems]
                continue
            if not spreads[path] > 0:
                message, allowed = "not positive", "above 0"
                problems.append(Problem(path, message, show(given), allowed, code="out_of_range"))
    refuse(problems)
    return dict(sorted(spreads.items()))


def _write_spreads(spreads: dict[str, float], info: SerializationInfo) -> dict[str, float | str]:
    rows = context_of(info).vocabulary.parameters
    units = {path: _unit_of_spread(rows[path]) for path in spreads}
    return {
        path: spread if is_plain(units[path]) else display(spread, units[path])
        for path, spread in spreads.items()
    }


def _unit_of_spread(row: Any) -> str:
    return row.unit if row.law == "normal" else "1"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of nested tables by dotted key."""
    for key, inner in table.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


Spreads = Annotated[
    dict[str, float], BeforeValidator(_read_spreads), PlainSerializer(_write_spreads)
]


class ParameterSet(Section):
    """Numbers of a population that belong together, and where they come from.

    Attributes:
        provenance: where they come from.
        parameters: typical values by path [unit].
        laws: spreads by path: SD of logarithm or logit [1], of a normal law in the unit of the
            parameter; the rest of a law is as the table has it.
        correlations: of random effects, by "path ~ path".
        posterior: how uncertain these numbers are.
    """

    provenance: Provenance
    parameters: Overrides = Field(default_factory=dict)
    laws: Spreads = Field(default_factory=dict)
    correlations: Correlations = Field(default_factory=dict)
    posterior: CheckedPosterior | None = None

    @classmethod
    def read(
        cls, name: str | Path, vocabulary: Vocabulary | None = None, folder: str | Path = "."
    ) -> ParameterSet:
        """Read a set.

        Args:
            name: of a set of the package, or a path that ends in .toml.
            vocabulary: the names that may be used; those of the model if not given.
            folder: where a path that is not absolute begins.

        Returns:
            The set, complete and checked.

        Raises:
            StudyError: with every problem of the file and of its posterior.
        """
        path = Path(folder) / name
        if path.suffix != ".toml":
            for p in check_name("", str(name), NAMES, "parameter set"):
                allowed = p.allowed or "the package has none yet"
                hint = f"{p.hint} A path of your own ends in .toml; {TABLE} is no set at all"
                hint = hint.strip()
                raise StudyError(Problem("", p.message, p.value, allowed, hint, p.code))
            path = FOLDER / f"{name}.toml"
        text = ""
        try:
            text = manifest.read_text(path)
            document = manifest.parse_toml(text)
            context = Context(vocabulary or model_vocabulary(), folder=path.parent)
            return cls.model_validate(document, context=context)
        except ValidationError as error:
            raise StudyError(manifest.explain(error, cls, text), source=str(path)) from None
        except StudyError as error:
            raise StudyError(error.problems, source=str(path)) from None

    @property
    def name(self) -> str:
        """What the set calls itself."""
        return self.provenance.name

    def digest(self) -> str:
        """The SHA-256 of values, spreads and correlations, 64 hexadecimal digits."""
        numbers = [self.parameters, self.laws, self.correlations]
        return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()

    def members(self) -> tuple[ParameterSet, ...]:
        """One set for each draw of the posterior; none without one."""
        if self.posterior is None:
            return ()
        kinds = self.posterior.kinds()
        found = []
        for draw in self.posterior.draws:
            own: dict[str, dict[str, float]] = {"parameters": {}, "laws": {}, "correlations": {}}
            for (kind, name), number in zip(kinds, draw, strict=True):
                own[kind][name] = number
            numbers = {kind: {**getattr(self, kind), **of_kind} for kind, of_kind in own.items()}
            found.append(self.model_copy(update={**numbers, "posterior": None}))
        return tuple(found)

    def write(self, path: str | Path) -> None:
        """Write the set, and its posterior beside it; reading gives the same numbers to the bit.

        Args:
            path: The file, NAME.toml; a posterior becomes NAME_posterior.csv.
        """
        path = Path(path)
        context = Context(model_vocabulary())
        tables = self.model_dump(mode="json", exclude={"posterior"}, context=context)
        lines = []
        if self.posterior is not None:
            beside = path.with_name(f"{path.stem}_posterior.csv")
            write_posterior(self.posterior, beside)
            lines.append(f"posterior = {_quoted(beside.name)}\n")
        for table, entries in tables.items():
            lines.append(f"[{table}]")
            lines += [f"{_quoted(key)} = {_quoted(value)}" for key, value in entries.items()]
            lines.append("")
        path.write_text("\n".join(lines), encoding="utf-8")


def _quoted(value: float | str) -> str:
    """A key or a value as TOML; numbers read back to the same bits."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(float(value))


def _read_set(value: Any, info: ValidationInfo) -> Any:
    """The set of a name or a path, none for the table alone; tables are left to pydantic."""
    if value == TABLE:
        return None
    if not isinstance(value, str):
        return value
    context = context_of(info)
    try:
        return ParameterSet.read(value, context.vocabulary, context.folder)
    except StudyError as error:
        raise StudyError([_within(problem, error.source) for problem in error.problems]) from None


def _within(problem: Problem, source: str) -> Problem:
    """A problem of another file, as it stands in the manifest that names the file."""
    if not source:
        return problem
    line = f":{problem.position}" if problem.position else ""
    place = f", {problem.place}" if problem.place else ""
    message = f"{source}{line}{place}: {problem.message}"
    return Problem("", message, problem.value, problem.allowed, problem.hint, problem.code)


def _reduced(chosen: ParameterSet | None, info: ValidationInfo) -> ParameterSet | None:
    """The set with those draws of its posterior that the manifest asks for, none if it does not."""
    if chosen is None or chosen.posterior is None:
        return chosen
    posterior: Posterior | None = None
    try:
        asked = Uncertainty.model_validate(context_of(info).uncertainty)
        posterior = chosen.posterior.resampled(asked.draws, asked.seed)
    except ValidationError:
        pass  # nothing is asked for, or the table itself says what is wrong with it
    return chosen.model_copy(update={"posterior": posterior})


ChosenSet = Annotated[ParameterSet | None, BeforeValidator(_read_set), AfterValidator(_reduced)]


def with_default(document: Any, info: ValidationInfo) -> Any:
    """A manifest about patients that names no set has that of their species, if there is one."""
    if not isinstance(document, Mapping) or "set" in document:
        return document
    population = document.get("population", {})
    species = getattr(population, "species", "human")  # a table, or a section made by hand
    if isinstance(population, Mapping):
        species = population.get("species", species)
    chosen = context_of(info).vocabulary.default_sets.get(str(species))
    return document if chosen is None else {**document, "set": chosen}


def is_default(chosen: ParameterSet | None, species: str, vocabulary: Vocabulary) -> bool:
    """Whether a species has this set where a manifest names none."""
    name = vocabulary.default_sets.get(species)
    if chosen is None or name is None:
        return chosen is None and name is None
    return chosen.digest() == ParameterSet.read(name, vocabulary).digest()


def with_table(document: dict[str, Any]) -> dict[str, Any]:
    """Tables of a manifest that say so where it uses no set: it is read back without one."""
    return document if "set" in document else {"set": TABLE, **document}


def misfits(
    chosen: ParameterSet | None,
    uncertainty: Uncertainty | None,
    *,
    species: str,
    typical: bool = False,
    design: str = "random",
) -> list[Problem]:
    """What a set, its uncertainty and a population do not agree on.

    Args:
        chosen: the set, if there is one.
        uncertainty: what is asked for.
        species: who is simulated.
        typical: whether every patient is the typical one.
        design: how patients are spread over the population.
    """
    problems = []
    if chosen is not None and chosen.provenance.species != species:
        message = f"the set {chosen.name} is for another species"
        hint = "choose another set, or another species in [population]"
        given = chosen.provenance.species
        problems.append(Problem("set", message, given, species, hint, "species"))
    if uncertainty is not None and (chosen is None or chosen.posterior is None):
        message = "there is no posterior to draw from"
        hint = 'write set = "NAME" at the top, with a set that has a posterior'
        given = "no set" if chosen is None else f"set {chosen.name}"
        problems.append(Problem("uncertainty", message, given, "", hint, "no_posterior"))
    if uncertainty is not None and typical:
        message = "every patient is the typical one: there is nobody to share out between draws"
        hint = "remove typical from [population], or remove [uncertainty]"
        problems.append(Problem("uncertainty", message, "", "", hint, "typical"))
    if uncertainty is not None and design != "random":
        message = "every so many patients of this design are alike, and would share a draw"
        hint = 'write design = "random", or remove [uncertainty]'
        problems.append(Problem("uncertainty", message, design, "random", hint, "design"))
    return problems
