"""A store with plausible courses, made from formulas and a seed: no solver, no model, no jax."""

from pathlib import Path
from typing import Any

import numpy as np

from ketjax import dataset as ds

ARMS = ("ketamine", "midazolam", "saline")
REGIONS = ("prefrontal", "hippocampus")
TIMES = tuple(
    float(hour)
    for hour in np.unique(
        np.concatenate(
            [
                [0.0, 1 / 6, 1 / 3, 2 / 3, 1.0, 1.5, 2.0, 3.0, 4.0, 24.0, 72.0, 168.0, 336.0],
                np.round(np.geomspace(0.5, 300.0, 28), 2),
            ]
        )
    )
)
DIGEST = "0" * 64
VARIABLES = (
    ds.readout("plasma_ketamine", "ng/mL", "racemic ketamine in plasma"),
    ds.readout("interneuron_block", "1", "NMDA receptors blocked on interneurons", regional=True),
    ds.readout("interneuron_rate", "1", "firing rate of interneurons", regional=True),
    ds.readout("glutamate", "1", "extracellular glutamate", regional=True),
    ds.readout("bdnf", "1", "released BDNF", regional=True),
    ds.readout("mtorc1", "1", "activity of mTORC1", regional=True),
    ds.readout("synapse_density", "1", "density of synapses", regional=True),
    ds.readout("madrs", "points", "depression score, MADRS"),
    ds.readout("madrs_rated", "points", "depression score as a rater gives it"),
    ds.trait("baseline_madrs", "points", "depression score at entry", dtype="float64"),
    ds.trait("receptors.kd_interneuron", "uM", "dissociation constant", dtype="float64"),
    ds.trait("female", "1", "sex is female", dtype="int8"),
    ds.SOLVER_ERROR,
)


def coordinates(patients: int = 500) -> ds.Coordinates:
    """Three arms, two regions, about forty times."""
    return ds.Coordinates(ARMS, REGIONS, TIMES, patients)


def courses(start: int, stop: int, seed: int = 1) -> dict[str, np.ndarray]:
    """All arrays of the patients `start` to `stop`; every 97th patient of arm 0 failed."""
    number = stop - start
    random = np.random.default_rng([seed, start])
    time = np.asarray(TIMES)[:, None]
    dose = np.array([1.0, 0.0, 0.0])[:, None, None]
    clearance = np.exp(0.25 * random.standard_normal(number))
    gain = np.exp(0.3 * random.standard_normal(number))
    kd = 0.4 * np.exp(0.3 * random.standard_normal(number))

    infusion = np.clip(time / (2 / 3), 0.0, 1.0)
    since = np.maximum(time - 2 / 3, 0.0) * clearance
    plasma = dose * 200.0 * infusion * (0.7 * np.exp(-2.0 * since) + 0.3 * np.exp(-0.25 * since))
    block = plasma / 238.0 / (plasma / 238.0 + kd)
    rate = 1.0 - 0.7 * block
    glutamate = 1.0 + 1.4 * gain * block
    bdnf = 1.0 + dose * gain * 1.6 * (np.exp(-time / 8.0) - np.exp(-time / 0.7))
    mtorc1 = 0.2 + dose * gain * 0.7 * (np.exp(-time / 2.5) - np.exp(-time / 0.3))
    density = 1.0 + dose * gain * 0.25 * (np.exp(-time / 150.0) - np.exp(-time / 9.0))

    entry = random.uniform(26.0, 40.0, number)
    placebo = np.array([0.2, 0.22, 0.12])[:, None, None]
    fall = (1.0 - np.exp(-time / 3.0)) * np.exp(-time / 500.0)
    course = placebo * fall + 1.8 * (density - 1.0)
    madrs = entry * np.clip(1.0 - course * gain, 0.05, 1.2)
    noise = random.normal(0.0, 2.0, madrs.shape)

    regional = {
        "interneuron_block": block,
        "interneuron_rate": rate,
        "glutamate": glutamate,
        "bdnf": bdnf,
        "mtorc1": mtorc1,
        "synapse_density": density,
    }
    outcome = np.zeros((len(ARMS), number), np.int8)
    outcome[0, np.arange(start, stop) % 97 == 13] = 2
    arrays = {
        "plasma_ketamine": plasma,
        "madrs": madrs,
        "madrs_rated": np.clip(np.round(madrs + noise), 0.0, 60.0),
        **{name: np.stack([c, 0.8 * c + 0.2 * c[:, :1]], 1) for name, c in regional.items()},
    }
    for array in arrays.values():
        for arm in range(len(ARMS)):
            array[arm][..., outcome[arm] != 0] = np.nan
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return {
        **arrays,
        "baseline_madrs": entry,
        "receptors.kd_interneuron": kd,
        "female": random.integers(0, 2, number).astype(np.int8),
        "solver_error": random.uniform(0.0, 1.0, outcome.shape).astype(np.float32),
        "status": outcome,
    }


def template(path: Path, patients: int = 500, shard: int = 200, **options: Any) -> Path:
    """Create an empty store."""
    return ds.create(
        path,
        VARIABLES,
        coordinates(patients),
        shard=shard,
        digest=DIGEST,
        attributes={"study": "s01_single_infusion", "seed": 1, "ketjax_version": "0.1.0"},
        provenance={"note": "made from formulas"},
        **options,
    )


def mock_store(path: Path, patients: int = 500, shard: int = 200) -> Path:
    """A complete store."""
    template(path, patients, shard)
    for index, start in enumerate(range(0, patients, shard)):
        ds.write_shard(path, index, courses(start, min(start + shard, patients)))
    ds.finish(path)
    return path
