"""What individual fits found: one dataset, tables, and a summary for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ketjax.fit.free import table
from ketjax.fit.individual_data import OBSERVABLE, Observation
from ketjax.fit.individual_effects import RandomEffects
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan, covariate_name
from ketjax.fit.individual_solve import CONVERGED, FAILED, LIMIT, STALLED, Modes
from ketjax.tables import formatted

WIDE = 1.959964  # standard errors on either side of a 95 % interval
STEP = 1e-4  # of a random effect, for the slope of its law
SHOWN = 12  # patients in the figure
CURVE_TIMES = 60  # on each of their courses
FIRST_TIME = 1 / 60  # of the logarithmic part of a course [h]


def results_of(
    plan: IndividualPlan, march: IndividualMarch, modes: Modes, identity: Mapping[str, Any]
) -> xr.Dataset:
    """Everything about every patient and every observation.

    Args:
        plan: What was asked.
        march: With which it was fitted.
        modes: What was found.
        identity: What made it, as attributes.

    Returns:
        Dimensions patient, parameter and observation. `effect` is the random effect of a
        parameter with its correlations, in SDs of the population; its interval becomes that of the
        value by the law, so that it stays inside what the parameter can be.
    """
    effects, observed = march.effects, plan.observations
    well = modes.status != FAILED
    effect, error = _effects(effects, modes)
    value, value_se, low, high = _values(effects, effect, error)
    local_error = np.full(well.shape, np.nan)
    if well.any():
        some = np.flatnonzero(well)
        local_error[some] = march.predict(modes.eta[some], some, slopes=False).error
    lines = [one for some in observed.values() for one in some]
    seen = np.concatenate([np.arange(len(some)) for some in observed.values()])
    whose = np.repeat(np.arange(len(observed)), [len(some) for some in observed.values()])
    predicted, sd = modes.values[whose, seen], modes.spread[whose, seen]
    values = np.array([one.value for one in lines])
    by_patient, by_both, by_line = ("patient",), ("patient", "parameter"), ("observation",)
    shrinkage = 1 - np.var(effect[well], axis=0) if well.any() else np.full(effect.shape[1], np.nan)
    variables = {
        "arm": (by_patient, march.arms),
        "observations": (by_patient, np.array([len(some) for some in observed.values()])),
        "status": (by_patient, modes.status),
        "iterations": (by_patient, modes.iterations),
        "objective": (by_patient, modes.objective),
        "gradient": (by_patient, modes.gradient),
        "solver_error": (by_patient, local_error),
        "effect": (by_both, effect),
        "effect_se": (by_both, error),
        "value": (by_both, value),
        "value_se": (by_both, value_se),
        "low": (by_both, low),
        "high": (by_both, high),
        "shrinkage": (("parameter",), shrinkage),
        "unit": (("parameter",), np.array([table()[path].unit for path in plan.free])),
        "observed_patient": (by_line, np.array([one.patient for one in lines])),
        "observed_arm": (by_line, np.array([one.arm for one in lines])),
        "quantity": (by_line, np.array([one.quantity for one in lines])),
        "time": (by_line, np.array([one.time for one in lines])),
        "observed_unit": (by_line, np.array([one.unit for one in lines])),
        "observed": (by_line, values),
        "population_prediction": (by_line, modes.first[whose, seen]),
        "individual_prediction": (by_line, predicted),
        "residual_sd": (by_line, sd),
        "weighted_residual": (by_line, (values - predicted) / sd),
    }
    known = {covariate_name(path): (by_patient, some) for path, some in effects.known.items()}
    return xr.Dataset(
        {**variables, **known},
        coords={"patient": list(observed), "parameter": list(plan.free)},
        attrs={**identity, "comment": "research model, not for clinical use"},
    )


def curves_of(plan: IndividualPlan, march: IndividualMarch, results: xr.Dataset) -> xr.Dataset:
    """Courses of some patients at many times, from those met best to those met worst.

    Returns:
        `individual` and `population` over patient, quantity and time [unit of the quantity]; a
        quantity that was not observed of a patient is there all the same.
    """
    size = np.square(results["weighted_residual"].to_numpy())
    names = results["observed_patient"].to_numpy()
    well = [
        k for k, status in enumerate(results["status"].to_numpy()) if status in (CONVERGED, LIMIT)
    ]
    patients = results["patient"].to_numpy()
    misfit = {k: float(np.mean(size[names == patients[k]])) for k in well}
    ranked = sorted(well, key=misfit.__getitem__)
    places = np.linspace(0, len(ranked) - 1, min(SHOWN, len(ranked))).round().astype(int)
    chosen = [ranked[place] for place in places]
    quantities = [name for name in OBSERVABLE if name in set(results["quantity"].to_numpy())]
    last = float(results["time"].max()) or 1.0
    times = np.concatenate([[0.0], np.geomspace(min(FIRST_TIME, last), last, CURVE_TIMES)])
    dense = tuple(
        Observation(str(patients[k]), str(march.arms[k]), name, float(time), 0.0, 1.0)
        for k in chosen
        for time in times
        for name in sorted(quantities)
    )
    names_chosen = {str(patients[k]) for k in chosen}
    known = tuple(one for one in plan.known if one.patient in names_chosen)
    document = plan.to_dict()
    document.pop("covariates", None)
    shown = IndividualPlan.parse(document, observations=dense, covariates=known)
    courses = IndividualMarch(shown, march.dtype.name, like=march)
    everyone = np.arange(len(chosen))
    shape = (len(chosen), times.size, len(quantities))
    own = _eta_of(march, results)[chosen]
    found = {
        name: courses.predict(eta, everyone, slopes=False).values.reshape(shape)
        for name, eta in (("individual", own), ("population", np.zeros_like(own)))
    }
    return xr.Dataset(
        {name: (("patient", "time", "quantity"), values) for name, values in found.items()},
        coords={"patient": patients[chosen], "time": times, "quantity": sorted(quantities)},
    )


def patient_table(results: xr.Dataset) -> str:
    """One line a patient and parameter as CSV: value, error, interval, and what came of the fit."""
    extra = [
        str(name)
        for name, values in results.items()
        if values.dims == ("patient",) and name not in ("objective", "observations", "iterations")
    ]
    frames = []
    for k, patient in enumerate(results["patient"].to_numpy()):
        for j, path in enumerate(results["parameter"].to_numpy()):
            row = {"patient": patient, "parameter": path, "unit": results["unit"].to_numpy()[j]}
            for name in ("value", "value_se", "low", "high", "effect", "effect_se"):
                row[name] = results[name].to_numpy()[k, j]
            frames.append(row | {name: results[name].to_numpy()[k] for name in extra})
    return _csv(frames)


def observation_table(results: xr.Dataset) -> str:
    """One line an observation as CSV, with what population and patient predict."""
    names = {
        "patient": "observed_patient",
        "arm": "observed_arm",
        "quantity": "quantity",
        "time_h": "time",
        "unit": "observed_unit",
        **{name: name for name in ("observed", "population_prediction")},
        **{name: name for name in ("individual_prediction", "residual_sd", "weighted_residual")},
    }
    columns = {name: results[own].to_numpy() for name, own in names.items()}
    return _csv(
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )


def summary_of(results: xr.Dataset) -> dict[str, Any]:
    """What came of it, in few numbers."""
    status = results["status"].to_numpy()
    residual = results["weighted_residual"].to_numpy()
    quantity = results["quantity"].to_numpy()
    return {
        "patients": int(status.size),
        "observations": int(residual.size),
        **{name: int((status == name).sum()) for name in (CONVERGED, LIMIT, STALLED, FAILED)},
        "parameters": [
            _parameter(results.isel(parameter=k)) for k in range(results.sizes["parameter"])
        ],
        "quantities": [
            {
                "quantity": str(name),
                "observations": int((quantity == name).sum()),
                "rms_weighted_residual": float(
                    np.sqrt(np.nanmean(residual[quantity == name] ** 2))
                ),
                "outside_3_sd": int((np.abs(residual[quantity == name]) > 3).sum()),
            }
            for name in dict.fromkeys(quantity)
        ],
    }


def summary_text(results: xr.Dataset) -> str:
    """The same as a person reads it."""
    found = summary_of(results)
    counts = ", ".join(f"{found[name]} {name}" for name in (CONVERGED, LIMIT, STALLED, FAILED))
    return "".join(
        [
            f"{found['patients']} patients, {found['observations']} observations: {counts}\n\n",
            _text(found["parameters"]),
            "\nShrinkage near 1: the observations say little, the values stay at the median.\n\n",
            _text(found["quantities"]),
        ]
    )


def _parameter(one: xr.Dataset) -> dict[str, Any]:
    return {
        "parameter": str(one["parameter"].item()),
        "unit": str(one["unit"].item()),
        "median": float(one["value"].median()),
        "lowest": float(one["value"].min()),
        "highest": float(one["value"].max()),
        "effect_se": float(one["effect_se"].mean()),
        "shrinkage": float(one["shrinkage"]),
    }


def _effects(effects: RandomEffects, modes: Modes) -> tuple[np.ndarray, np.ndarray]:
    """Random effects with their correlations, and standard errors, (patient, parameter)."""
    mixing = np.array([effects.mixing[path] for path in effects.paths])
    variance = np.einsum("ai,pij,aj->pa", mixing, modes.covariance, mixing)
    return modes.eta @ mixing.T, np.sqrt(variance)


def _values(
    effects: RandomEffects, effect: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Values in units, standard errors and ends of 95 % intervals, (patient, parameter)."""

    def at(moved: np.ndarray) -> np.ndarray:
        pairs = zip(effects.paths, moved.T, strict=True)
        return np.stack([effects.value(path, z) for path, z in pairs], axis=1)

    slope = (at(effect + STEP) - at(effect - STEP)) / (2 * STEP)
    return at(effect), slope * error, at(effect - WIDE * error), at(effect + WIDE * error)


def _eta_of(march: IndividualMarch, results: xr.Dataset) -> np.ndarray:
    """Independent random effects behind those of the parameters, (patient, free)."""
    effects = march.effects
    mixing = np.array([effects.mixing[path] for path in effects.paths])
    return np.linalg.solve(mixing, results["effect"].to_numpy().T).T


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal keys; numbers in full."""
    cells = [
        [repr(v.item()) if isinstance(v, np.floating) else str(v) for v in row.values()]
        for row in rows
    ]
    return formatted(list(rows[0]), cells, "csv")


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()]
        for row in rows
    ]
    return formatted([name.replace("_", " ") for name in rows[0]], cells, "text")
