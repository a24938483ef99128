"""What a finished simulation means: summaries of a dataset, without jax and without the model."""

from ketjax.analysis.aggregation import aggregate, courses_of, describe_error
from ketjax.analysis.draws import between_draws, describe_draws
from ketjax.analysis.spreads import bands
from ketjax.analysis.summaries import format_table, summarise, wilson
from ketjax.analysis.waiting import follow_up

__all__ = [
    "aggregate",
    "bands",
    "between_draws",
    "courses_of",
    "describe_draws",
    "describe_error",
    "follow_up",
    "format_table",
    "summarise",
    "wilson",
]
