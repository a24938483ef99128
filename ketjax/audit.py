"""Is single precision enough? A sample of the patients is marched again in double precision.

Both marches take the same steps, so that what differs between them is rounding alone.
"""

import jax
import numpy as np
from numpy.typing import NDArray

from ketjax.model.readouts import READOUTS
from ketjax.population import Population, Recipe, draw
from ketjax.simulate import Solution
from ketjax.study import Study

SHARE = 0.01  # of the patients
FEWEST, MOST = 32, 4096  # patients
# The second march has to be compiled, which smaller studies would rather not wait for.
LARGE = 100_000  # patients
SOBOL_LENGTH = 2**16  # patients


def wanted(study: Study) -> bool:
    """Whether a study is audited: as it says, else when it is large; never in float64."""
    asked = study.solver.audit
    large = study.population.patients >= LARGE
    return study.solver.dtype == "float32" and (large if asked is None else asked)


def sample(seed: int, count: int) -> NDArray[np.int64]:
    """The patients that are marched again: those with the smallest hash of seed and identity.

    Args:
        seed: Seed of the study.
        count: Patients in all.

    Returns:
        Identities, increasing.
    """
    size = min(count, MOST, max(FEWEST, round(SHARE * count)))
    ranks = _mixed(_mixed(np.array([seed], np.uint64)) + np.arange(count, dtype=np.uint64))
    return np.sort(np.argpartition(ranks, size - 1)[:size])


def drawn(recipe: Recipe, patients: NDArray[np.int64]) -> Population:
    """Draw patients who may lie far apart.

    Args:
        recipe: Who is drawn.
        patients: Identities, increasing.

    Returns:
        The population. A Sobol sequence, which is made from its first patient to its last, is drawn
        a part at a time.
    """
    part = patients // SOBOL_LENGTH if recipe.design == "sobol" else np.zeros_like(patients)
    parts = [draw(recipe, patients[part == k]) for k in np.unique(part)]
    parameters = jax.tree.map(
        lambda *leaves: np.concatenate(leaves) if np.ndim(leaves[0]) else leaves[0],
        *(population.parameters for population in parts),
    )
    return Population(patients, parameters, parts[0].varying)


def distances(single: Solution, double: Solution) -> dict[str, float]:
    """How far two solutions of the same patients lie apart.

    Args:
        single: In float32.
        double: In float64.

    Returns:
        By readout of the model: the largest distance over arms, regions, times and patients, in
        units of the readout's scale [1]. Patients that failed in either do not count, nor do
        observations, which round what the march gives.
    """
    alive = (single.status == 0) & (double.status == 0)
    apart = {}
    for name in (name for name in single.readouts if name in READOUTS):
        values = single.readouts[name]
        gap = np.abs(values.astype(np.float64) - double.readouts[name])
        gap = np.where(np.expand_dims(alive, tuple(range(1, gap.ndim - 1))), gap, 0.0)
        apart[name] = float(gap.max()) / scale_of(name)
    return apart


def scale_of(name: str) -> float:
    """Size of a readout against which errors are counted, in its unit."""
    return READOUTS[name].scale


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: a bijection of 64-bit numbers whose values look random."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
