"""From bounds to a store of plausible patients, on a study of kinetics alone (few states)."""

import json

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from ketjax import open_store, simulate, weighting
from ketjax.cli import app
from ketjax.dataset import verify
from ketjax.errors import StoreError, StudyError
from ketjax.model.parameters import leaf
from ketjax.plausible import Plausible
from ketjax.population import draw
from ketjax.preparation import recipe_of, simulation_of
from ketjax.repair import mend, patients_of
from ketjax.repair.bounded import Bounded, measured
from ketjax.repair.effects import Drawn
from ketjax.repair.run import box_of
from ketjax.study import Study

STUDY = """
name = "kinetics"
[population]
patients = 48
seed = 5
[solver]
dtype = "float64"
[output]
horizon = "6 h"
times = ["0 h", "40 min", "2 h", "6 h"]
readouts = ["plasma_ketamine", "plasma_norketamine"]
[arms.infusion]
[[arms.infusion.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
duration = "40 min"
time = "0 h"
"""
# The second parameter correlates with the first, and a volume shares the random effect of that.
BOUNDS = """
[[plausible]]
arm = "infusion"
readout = "plasma_ketamine"
time = "2 h"
low = "45 ng/mL"
high = "55 ng/mL"
[[plausible]]
arm = "infusion"
readout = "plasma_norketamine"
time = "2 h"
measure = "change"
high = "90 ng/mL"
[repair]
parameters = [
    "pharmacokinetics.central_volume", "pharmacokinetics.hepatic_intrinsic_clearance",
    "metabolites.norketamine_clearance", "demography.weight",
]
"""


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Small blocks; readouts are observed at several outputs at once, which promotes ranks."""
    with pytest.MonkeyPatch.context() as patch, jax.numpy_rank_promotion("allow"):
        patch.setattr(simulate, "BLOCK", 64)
        yield


@pytest.fixture(scope="module")
def study():
    return Study.parse(STUDY)


@pytest.fixture(scope="module")
def asked(study):
    return Plausible.parse(BOUNDS, study)


@pytest.fixture(scope="module")
def found(study, asked, tmp_path_factory):
    path = tmp_path_factory.mktemp("mended") / "plausible.zarr"
    return mend(study, asked, path, rejection=64), path


def test_slopes_are_those_of_differences(study, asked):
    recipe = recipe_of(study)
    drawn = Drawn.of(recipe, asked.movable, np.arange(48))
    bounded = Bounded(asked.plausible, simulation_of(asked.narrow(study), recipe), drawn)
    places = np.arange(48)
    values, slopes = bounded(drawn.start, places)
    for k in range(len(asked.movable)):
        step = np.zeros((len(asked.movable), 1))
        step[k] = 1e-4
        high, low = (bounded(drawn.start + d * step, places)[0] for d in (1, -1))
        scale = np.abs(values).max()
        np.testing.assert_allclose(slopes[:, k], (high - low) / 2e-4, atol=1e-5 * scale)


def test_effects_as_drawn_give_the_patients_as_drawn(study, asked):
    recipe = recipe_of(study)
    drawn = Drawn.of(recipe, asked.movable, np.arange(8))
    assert "pharmacokinetics.fast_peripheral_volume" in drawn.depends
    again, plain = drawn.moved(drawn.start, np.arange(8)), draw(recipe, np.arange(8))
    for path in recipe.varying():
        np.testing.assert_array_equal(leaf(again.parameters, path), leaf(plain.parameters, path))


def test_most_are_repaired_and_stay_when_marched_again(study, asked, found):
    report, path = found
    costs = report.costs
    assert costs.repaired > 0.8 * (costs.drawn - costs.plausible)
    simulation = simulation_of(study, recipe_of(study))
    patients = patients_of(path, recipe_of(study))
    assert patients.patient.size == costs.plausible + costs.repaired - report.dropped
    solution = simulation.solve(patients)
    assert box_of(asked).holds(measured(asked.plausible, simulation, solution, patients)).all()
    with open_store(path) as dataset:
        kept = dataset["plasma_ketamine"].to_numpy()
    np.testing.assert_array_equal(solution.readouts["plasma_ketamine"], kept)


def test_plausible_patients_are_kept_as_drawn(study, found):
    _, path = found
    verify(path)
    with open_store(path) as dataset:
        own = dataset.load()
    as_drawn = own.isel(patient=own["repaired"].to_numpy() == 0)
    plain = draw(recipe_of(study), as_drawn["drawn_patient"].to_numpy())
    for name in recipe_of(study).varying():
        np.testing.assert_array_equal(as_drawn[name], leaf(plain.parameters, name))
    assert (as_drawn["distance_moved"] == 0).all()
    assert (own["distance_moved"].to_numpy()[own["repaired"].to_numpy() == 1] > 0).all()


def test_repaired_patients_can_be_weighted(found, tmp_path):
    path = tmp_path / "targets.toml"
    path.write_text(
        '[[targets]]\nname = "mean"\narm = "infusion"\nreadout = "plasma_ketamine"\n'
        'time = "2 h"\nstatistic = "mean"\nvalue = "50 ng/mL"\n'
    )
    report = weighting.weigh(path, found[1], write=False)
    assert report.rows[0].weighted == pytest.approx(50.0, abs=1e-6)
    assert report.effective > 10


def test_report_is_whole(found):
    report, _ = found
    record = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert record["repaired"] == report.costs.repaired
    head, lines = report.table()
    assert all(len(line) == len(head) for line in lines)
    assert "not repairable" in report.closing()


def test_store_that_is_there_is_not_replaced(study, asked, found):
    with pytest.raises(StoreError, match="exists"):
        mend(study, asked, found[1])


def test_mistakes_are_told_together_and_without_a_traceback(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "bounds.toml").write_text(
        '[[plausible]]\narm = "infusio"\nreadout = "madrs_rated"\ntime = "3 h"\n'
        '[[plausible]]\narm = "infusion"\nreadout = "plasma_ketamine"\ntime = "2 h"\n'
        'low = "60 ng/mL"\nhigh = "50 ng/mL"\n[repair]\nsteps = 0\n'
    )
    arguments = ["repair", str(tmp_path / "study.toml"), str(tmp_path / "bounds.toml")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    for part in ("infusio", "madrs_rated", "3 h", "nothing is bounded", "lies between", "steps"):
        assert part in result.output, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('parameters = ["demography.wait"]', "demography.weight"),
        ('parameters = ["pharmacokinetics.fast_peripheral_volume"]', "random effect of its own"),
        ('parameters = ["demography.female"]', "random effect of its own"),
        ('parameters = ["demography.age", "demography.age"]', "given twice"),
    ],
)
def test_what_cannot_move_is_refused(study, lines, said):
    text = BOUNDS.partition("parameters")[0] + lines
    with pytest.raises(StudyError) as caught:
        Plausible.parse(text, study)
    assert said in str(caught.value)


def test_posterior_draws_and_typical_patients_are_refused():
    typical = Study.parse(STUDY.replace("seed = 5", "seed = 5\ntypical = true"))
    with pytest.raises(StudyError, match="nobody varies"):
        Plausible.parse(BOUNDS, typical)
