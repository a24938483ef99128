"""What experiments and trials found, beside what the population does."""

from ketjax.evidence.rows import KINDS, Evidence, read_rows
from ketjax.evidence.validation import Verdict, validate

__all__ = ["KINDS", "Evidence", "Verdict", "read_rows", "validate"]
