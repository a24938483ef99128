"""Repair: implausible patients moved into bounds by gradients, beside plain rejection."""

from ketjax.repair.run import Mended, mend, patients_of

__all__ = ["Mended", "mend", "patients_of"]
