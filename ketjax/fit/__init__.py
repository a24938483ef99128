"""The data side of fitting: targets, what may move, and the patients as a function of it."""

from ketjax.fit.drawing import PopulationMap
from ketjax.fit.free import Free
from ketjax.fit.plan import Fit, Optimise
from ketjax.fit.quantities import QUANTITIES, Quantity
from ketjax.fit.targets import Target, read_targets
from ketjax.fit.transforms import Transform

__all__ = [
    "QUANTITIES",
    "Fit",
    "Free",
    "Optimise",
    "PopulationMap",
    "Quantity",
    "Target",
    "Transform",
    "read_targets",
]
