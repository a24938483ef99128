"""Fitting: targets, what may move, the patients as a function of it, and how far all is off."""

from ketjax.fit.drawing import PopulationMap
from ketjax.fit.free import Free
from ketjax.fit.likelihood import Likelihood
from ketjax.fit.plan import Fit
from ketjax.fit.priors import Priors
from ketjax.fit.quantities import QUANTITIES, Quantity
from ketjax.fit.settings import Optimise
from ketjax.fit.statistics import Statistics
from ketjax.fit.targets import Target, read_targets
from ketjax.fit.transforms import Transform

__all__ = [
    "QUANTITIES",
    "Fit",
    "Free",
    "Likelihood",
    "Optimise",
    "PopulationMap",
    "Priors",
    "Quantity",
    "Statistics",
    "Target",
    "Transform",
    "read_targets",
]
