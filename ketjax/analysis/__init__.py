"""What a finished simulation means: summaries of a dataset, without jax and without the model."""

from ketjax.analysis.draws import between_draws, describe_draws
from ketjax.analysis.summaries import bands, format_table, summarise, wilson

__all__ = ["bands", "between_draws", "describe_draws", "format_table", "summarise", "wilson"]
