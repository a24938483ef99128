"""What a clinic records: ratings, items and measurements, made of readouts after the march."""

from ketjax.observation.noise import Noise
from ketjax.observation.observed import OBSERVED, RATED, READABLE, Observed, needed, observe

__all__ = ["OBSERVED", "RATED", "READABLE", "Noise", "Observed", "needed", "observe"]
