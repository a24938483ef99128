"""Individual fits of plasma concentrations, from the march to the folder."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import least_squares
from typer.testing import CliRunner

from ketjax.cli import app
from ketjax.fit import individual_run
from ketjax.fit.individual_data import Covariate, Observation
from ketjax.fit.individual_march import IndividualMarch
from ketjax.fit.individual_plan import IndividualPlan
from ketjax.fit.individual_results import summary_of, summary_text
from ketjax.fit.individual_scatter import Scatter
from ketjax.fit.individual_simulation import simulate
from ketjax.fit.individual_solve import CONVERGED

PATIENTS = 32
TIMES = (0.4, 2 / 3, 1.5, 4.0)  # [h]
TEXT = """
name = "plasma"
data = "table.csv"
free = ["pharmacokinetics.central_volume", "pharmacokinetics.hepatic_intrinsic_clearance"]
solver.dtype = "float64"
search.tolerance = 1e-12
error.plasma_ketamine = { additive = "1 ng/mL", proportional = 0.05 }

[[arms.low.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
time = "0 h"
duration = "40 min"

[[arms.high.doses]]
drug = "ketamine"
route = "intravenous"
amount = "1 mg/kg"
time = "0 h"
duration = "40 min"
"""
EMPTY = tuple(
    Observation(f"p{k:02}", "high" if k % 3 else "low", "plasma_ketamine", time, 0.0)
    for k in range(PATIENTS)
    for time in TIMES[: 4 - (k == 1)]  # one has fewer
)
KNOWN = tuple(Covariate(f"p{k:02}", "demography.weight", 60.0 + k) for k in range(PATIENTS - 1))
TRUTH = np.random.default_rng(3).standard_normal((PATIENTS, 2))
EVERYBODY = np.arange(PATIENTS)


def plan_of(observations: tuple[Observation, ...]) -> IndividualPlan:
    return IndividualPlan.parse(TEXT, ".", observations, KNOWN)


@pytest.fixture(scope="module")
def march() -> IndividualMarch:
    return IndividualMarch(plan_of(EMPTY), block=16)


@pytest.fixture(scope="module")
def plan(march) -> IndividualPlan:
    return plan_of(simulate(march.plan, march, TRUTH, 4))


@pytest.fixture(scope="module")
def modes(plan, march):
    return individual_run.solve(plan, march)


def test_random_effects_are_those_of_the_population(march):
    effects = march.effects
    volume, clearance = (effects.mixing[path] for path in effects.paths)
    assert volume @ clearance == pytest.approx(0.48)
    assert volume @ volume == pytest.approx(1) and clearance @ clearance == pytest.approx(1)
    # Two volumes share an effect; where there is none everybody is at the median.
    assert effects.moved[2] == "pharmacokinetics.fast_peripheral_volume"
    np.testing.assert_array_equal(effects.mixing[effects.moved[2]], volume)
    laws = march.plan.recipe.laws()
    moved = effects.values(np.ones((2, 1)))
    for path in effects.moved:
        value, law = laws[path]
        expected = value * np.exp(law.spread * effects.mixing[path].sum())
        assert float(moved[path][0]) == pytest.approx(expected)
    weight = effects.known["demography.weight"]
    assert weight[4] == 64.0 and weight[-1] == pytest.approx(
        laws["demography.weight"][1].centre, rel=0.01
    )


def test_slopes_are_those_of_differences(march):
    found = march.predict(TRUTH, EVERYBODY)
    seen = march.column >= 0
    step = 1e-4
    for k in range(2):
        move = step * np.eye(2)[k]
        ends = [march.predict(TRUTH + s * move, EVERYBODY, slopes=False).values for s in (1, -1)]
        difference = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(
            found.slopes[..., k][seen], difference[seen], rtol=1e-6, atol=1e-6
        )
    assert found.error.max() < 10


def test_a_patient_has_the_same_bits_whoever_is_beside(march):
    together = march.predict(TRUTH, EVERYBODY)
    some = np.array([17, 2, 30])
    alone = march.predict(TRUTH[some], some)
    np.testing.assert_array_equal(alone.values, together.values[some])
    np.testing.assert_array_equal(alone.slopes, together.slopes[some])


def test_modes_are_those_of_another_optimiser(march, plan):
    lines = [one for some in plan.observations.values() for one in some]
    fixed = plan_of(tuple(dataclasses.replace(one, sd=0.1 * one.value) for one in lines))
    found = individual_run.solve(fixed, march)
    values = Scatter(fixed, march.effects.base).values
    assert (found.status == CONVERGED).all()
    for k in (0, 1, 5):
        seen = np.isfinite(values[k])

        def residuals(eta, k=k, seen=seen):
            f = march.predict(eta[None], np.array([k]), slopes=False).values[0]
            return np.concatenate([(f[seen] / values[k][seen] - 1) / 0.1, eta])

        other = least_squares(
            residuals, np.zeros(2), jac="3-point", ftol=1e-15, xtol=1e-12, gtol=1e-10
        )
        np.testing.assert_allclose(found.eta[k], other.x, atol=1e-6)
        np.testing.assert_allclose(
            np.linalg.inv(found.covariance[k]), other.jac.T @ other.jac, rtol=1e-5
        )


def test_what_was_put_in_is_found(modes):
    assert (modes.status == CONVERGED).all()
    for k in range(2):
        assert np.corrcoef(modes.eta[:, k], TRUTH[:, k])[0, 1] > 0.85
    error = np.sqrt(np.einsum("pii->pi", modes.covariance))
    inside = np.abs(modes.eta - TRUTH) < 1.96 * error
    # Of 64 intervals that hold 95 %, fewer than 55 are right once in three thousand times.
    assert 55 <= inside.sum() <= 64


def test_an_impossible_patient_changes_no_bit_of_the_others(march, plan, modes):
    lines = [one for some in plan.observations.values() for one in some]
    wrong = [dataclasses.replace(o, value=1e12) if o.patient == "p07" else o for o in lines]
    found = individual_run.solve(plan_of(tuple(wrong)), march)
    others = EVERYBODY != 7
    np.testing.assert_array_equal(found.eta[others], modes.eta[others])
    np.testing.assert_array_equal(found.covariance[others], modes.covariance[others])


def test_folder_holds_what_was_found(march, plan, modes, tmp_path, monkeypatch):
    folder = tmp_path / "plasma"
    monkeypatch.setattr(individual_run, "IndividualMarch", lambda p: IndividualMarch(p, like=march))
    results = individual_run.run(plan, folder)
    with xr.open_zarr(folder / "individuals.zarr", consolidated=False) as kept:
        np.testing.assert_array_equal(kept["value"], results["value"])
        assert kept["observed_patient"].values.tolist() == [o.patient for o in EMPTY]
    mixing = np.array([march.effects.mixing[path] for path in march.effects.paths])
    np.testing.assert_allclose(results["effect"], modes.eta @ mixing.T, atol=1e-12)
    value, low, high = (results[name].to_numpy() for name in ("value", "low", "high"))
    assert (low < value).all() and (value < high).all()
    # A log-normal law: the interval is symmetric in the logarithm.
    np.testing.assert_allclose(value**2, low * high, rtol=1e-9)
    own = results["individual_prediction"].to_numpy()
    sd = np.hypot(np.hypot(1.0, 0.1), 0.05 * own)  # with the least SD of the readout
    np.testing.assert_allclose(results["residual_sd"], sd)
    weighted = (results["observed"].to_numpy() - own) / sd
    np.testing.assert_allclose(results["weighted_residual"], weighted)
    usual = march.predict(np.zeros((PATIENTS, 2)), EVERYBODY, slopes=False).values
    np.testing.assert_array_equal(results["population_prediction"], usual[march.column >= 0])
    with (folder / "patients.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * PATIENTS and float(rows[2]["weight"]) == 61.0
    assert float(rows[3]["value"]) == value[1, 1]
    with (folder / "observations.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == len(EMPTY)
    assert (folder / "individual_fits.png").stat().st_size > 20_000
    text = summary_text(results)
    assert text.startswith(f"{PATIENTS} patients, {len(EMPTY)} observations: {PATIENTS} converged")
    assert summary_of(results)["parameters"][0]["shrinkage"] < 0.4


def test_command(march, plan, tmp_path, monkeypatch):
    rows = [
        (o.patient, o.arm, o.quantity, f"{o.time!r} h", repr(o.value), o.unit)
        for some in plan.observations.values()
        for o in some
    ]
    with (tmp_path / "table.csv").open("w") as handle:
        head = ("patient", "arm", "quantity", "time", "value", "unit")
        csv.writer(handle).writerows([head, *rows])
    with (tmp_path / "people.csv").open("w") as handle:
        lines = [(one.patient, f"{one.value} kg") for one in KNOWN]
        csv.writer(handle).writerows([("patient", "weight"), *lines])
    (tmp_path / "fit.toml").write_text('covariates = "people.csv"\n' + TEXT)
    monkeypatch.setattr(individual_run, "IndividualMarch", lambda p: IndividualMarch(p, like=march))
    command = ["individual", str(tmp_path / "fit.toml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["converged"] == PATIENTS
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 4 and "--overwrite" in again.stderr
    done = CliRunner().invoke(app, [*command, "--overwrite"])
    assert done.exit_code == 0 and "Shrinkage" in done.stdout
    (tmp_path / "table.csv").write_text("patient\n")
    wrong = CliRunner().invoke(app, command)
    assert wrong.exit_code == 2 and "a column is missing" in wrong.stderr
