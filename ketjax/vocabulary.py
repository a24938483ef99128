"""The names that a study may use: readouts, parameters, designs and covariates of the model."""

import dataclasses
import math

from ketjax.analysis.survival import RELAPSE_RULES
from ketjax.fields import ParameterRow, Vocabulary
from ketjax.model.overrides import HIPPOCAMPAL_PARTS, INTERACTIONS, SPECIES
from ketjax.model.parameters import Designs, Parameters, Row, rows
from ketjax.observation import OBSERVED
from ketjax.population import COVARIATES
from ketjax.schedule import SHARED
from ketjax.simulate import READOUT_NAMES
from ketjax.trials import OUTCOMES

SMALLEST = 1e-12
DEFAULT_SETS = {
    "human": "human"
}  # fitted to trials; no profile of targets is met worse than by the table
# What the equations divide by: times, volumes, masses, concentrations, half effects, widths.
DIVIDING_UNITS = ("h", "L", "kg", "mg", "g/mol", "uM", "ng/mL")
DIVIDING_WORDS = ("half", "scale", "width", "floor", "maximum", "affinity", "potency_ratio")


def vocabulary() -> Vocabulary:
    """Names, units and physical bounds of everything that a study can mention."""
    table = {row.path: row for row in rows()}
    return Vocabulary(
        readouts=frozenset(READOUT_NAMES),
        observations=frozenset(OBSERVED),
        outcomes=frozenset(OUTCOMES),
        relapse_rules=frozenset(RELAPSE_RULES),
        parameters={
            path: ParameterRow(row.unit, *support(row), varies(row), row.law.kind)
            for path, row in table.items()
        },
        expectancy_designs=frozenset(field.name for field in dataclasses.fields(Designs)),
        covariates={name: table[path].unit for name, path in COVARIATES.items()},
        species=frozenset(SPECIES),
        interactions=frozenset({"none", *INTERACTIONS}),
        hippocampal_parts=frozenset(HIPPOCAMPAL_PARTS),
        default_sets=DEFAULT_SETS,
    )


def varies(row: Row) -> bool:
    """Whether a study may set the law of a parameter: not of counts, nor of what all share."""
    return row.law.kind != "categorical" and not row.path.startswith(SHARED)


def support(row: Row) -> tuple[float, float]:
    """Values that a parameter can take at all; experiments may leave its plausible range.

    Fractions lie between 0 and 1, what has a negative plausible bound may be anything, what divides
    is positive, all else is not negative.
    """
    if row.law.kind == "categorical":
        return -1.0, float(len(row.law.shares) - 1)
    if row.path == "synapses.maximal_density":
        return 1.0 + SMALLEST, math.inf
    if row.path == "score.baseline":
        return 0.0, Parameters().score.rating_maximum
    name = row.path.rpartition(".")[2]
    if row.unit in DIVIDING_UNITS or any(word in name for word in DIVIDING_WORDS):
        return SMALLEST, math.inf
    if row.low is not None and row.low < 0:
        return -math.inf, math.inf
    bounded = row.law.kind == "logit-normal" or row.law.cap == 1
    is_fraction = bounded or (row.high == 1 and row.law.kind in ("fixed", "uniform"))
    return 0.0, 1.0 if is_fraction else math.inf
