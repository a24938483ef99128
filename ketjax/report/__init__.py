"""The report of a store: one HTML file that stands alone."""

from ketjax.report.run import write_report

__all__ = ["write_report"]
