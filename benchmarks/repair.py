"""What an accepted patient costs: repair by gradients against plain rejection, on the same box.

Two boxes: rejection keeps about one patient in five of the loose one, one in a hundred of the
strict one. Costs are marches, in which a march with a gradient counts as what it is measured to.
"""

from collections.abc import Iterator

from benchmarks.commands import STUDY
from benchmarks.record import ROOT, Figure, cores
from ketjax.plausible import Plausible
from ketjax.repair import mend
from ketjax.study import Study

BOXES = ("loose", "strict")


def measure(quick: bool, repetitions: int) -> Iterator[Figure]:
    """Marches for each accepted patient, and how far repaired ones are off.

    Each box is repaired once: counts do not differ between repetitions.
    """
    del repetitions
    patients, rejection = (64, 256) if quick else (1024, 30_000)
    study = Study.read(STUDY).replace(patients=patients, set="table")
    for name in BOXES:
        asked = Plausible.read(ROOT / "benchmarks" / f"plausible_{name}.toml", study)
        found = mend(study, asked, rejection=rejection)
        costs, bias = found.costs, found.bias
        note = (
            f"{costs.drawn} drawn, {costs.plausible} plausible, {costs.repaired} repaired; a "
            f"gradient costs {costs.price:.1f} marches, {cores()} cores"
        )
        yield Figure(
            f"{name} box, repair", costs.by_repair, "marches", note=note, details=found.to_dict()
        )
        yield Figure(f"{name} box, rejection", costs.by_rejection, "marches")
        near = f"{bias.near[0]:.0%} by rejection"
        yield Figure(f"{name} box, repaired near a bound", 100 * bias.near[1], "%", note=near)
        noise = f"{bias.noise:.0%} between halves of {bias.reference} by rejection"
        yield Figure(f"{name} box, covariance off by", 100 * bias.covariance, "%", note=noise)
