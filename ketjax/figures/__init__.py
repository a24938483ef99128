"""Figures of a dataset, drawn without a screen and without pyplot."""

from ketjax.figures.attribution import plot_shares
from ketjax.figures.correlations import plot_correlations
from ketjax.figures.courses import plot_cascade, plot_response
from ketjax.figures.designs import plot_design
from ketjax.figures.doses import plot_dose_peaks, plot_dose_response, plot_exposure_response
from ketjax.figures.embedding import data_uri
from ketjax.figures.evidence import plot_evidence
from ketjax.figures.fits import (
    plot_intervals,
    plot_profiles,
    plot_spectrum,
    plot_targets,
)
from ketjax.figures.pairs import plot_pairs
from ketjax.figures.panels import plot_outcomes, plot_panels
from ketjax.figures.ranks import plot_waterfall
from ketjax.figures.ribbons import plot_ribbons
from ketjax.figures.sensitivity import plot_areas, plot_bars, plot_tornado
from ketjax.figures.style import save
from ketjax.figures.survival import plot_survival

__all__ = [
    "plot_areas",
    "plot_bars",
    "data_uri",
    "plot_cascade",
    "plot_correlations",
    "plot_design",
    "plot_dose_peaks",
    "plot_dose_response",
    "plot_evidence",
    "plot_exposure_response",
    "plot_intervals",
    "plot_outcomes",
    "plot_pairs",
    "plot_panels",
    "plot_profiles",
    "plot_response",
    "plot_ribbons",
    "plot_shares",
    "plot_spectrum",
    "plot_survival",
    "plot_tornado",
    "plot_targets",
    "plot_waterfall",
    "save",
]
