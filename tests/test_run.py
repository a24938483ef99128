"""From a study to a store: the corridor, end to end, on a study of kinetics alone (few states)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import ketjax
from ketjax import run as corridor
from ketjax import simulate
from ketjax.dataset import verify
from ketjax.errors import StoreError, StudyError
from ketjax.study import Study

MANIFEST = """
name = "kinetics"
[population]
patients = 130
seed = 5
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
[arms.inhibited]
interaction = "grapefruit"
[[arms.inhibited.doses]]
drug = "ketamine"
route = "oral"
amount = "50 mg"
time = "0 h"
"""


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Blocks of 64 patients, one block a shard: three shards for 130 patients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "BLOCK", 64)
        patch.setattr(corridor, "BLOCK", 64)
        patch.setattr(corridor, "SHARD_BYTES", 1)
        yield


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.parse(MANIFEST)


@pytest.fixture(scope="module")
def store(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corridor.run(study, tmp_path_factory.mktemp("run") / "kinetics.zarr")


def hashes(store: Path) -> dict[str, str]:
    """Hash of every file of the arrays."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("c/**/*"))
        if path.is_file()
    }


def test_dataset(store: Path, study: Study) -> None:
    dataset = ketjax.open_store(store)
    assert dict(dataset.sizes) == {"arm": 2, "time": 4, "patient": 130}
    assert dataset["arm"].values.tolist() == ["infusion", "inhibited"]
    np.testing.assert_array_equal(dataset["time"], study.times)
    assert dataset["plasma_ketamine"].dims == ("arm", "time", "patient")
    assert dataset["plasma_ketamine"].attrs["units"] == "ng/mL"
    for name, variable in dataset.data_vars.items():
        assert variable.attrs.get("units") is not None or "flag_meanings" in variable.attrs, name
        assert variable.attrs["long_name"], name
    assert np.all(dataset["status"] == 0)
    assert "demography.weight" in dataset and "receptors.kd_interneuron" in dataset
    peak = dataset["plasma_ketamine"].sel(arm="infusion").isel(time=1).mean()
    assert 180 < peak < 210  # 196 ng/mL in the document's 500 virtual subjects
    assert verify(store) == []


def test_provenance_makes_the_run_again(store: Path, tmp_path: Path) -> None:
    provenance = json.loads(ketjax.open_store(store).attrs["ketjax_provenance"])
    again = corridor.run(Study.parse(provenance["study"]), tmp_path / "again.zarr")
    assert hashes(again) == hashes(store)


def test_interrupt_and_resume_give_the_same_bytes(
    study: Study, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "broken.zarr"

    def interrupt(done: int, total: int) -> None:
        assert total == 130
        if done >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corridor.run(study, out, progress=interrupt)
    with pytest.raises(StoreError, match="incomplete"):
        ketjax.open_store(out)
    with pytest.raises(StoreError):
        corridor.run(study.replace(seed=6), out, resume=True)
    seen: list[int] = []
    corridor.run(study, out, resume=True, progress=lambda done, _: seen.append(done))
    assert seen == [64, 128, 130]
    assert hashes(out) == hashes(store)


def test_a_population_of_another_size_holds_the_same_patients(
    study: Study, store: Path, tmp_path: Path
) -> None:
    few = ketjax.open_store(corridor.run(study.replace(patients=10), tmp_path / "few.zarr"))
    many = ketjax.open_store(store).isel(patient=slice(10))
    for name in ("plasma_ketamine", "plasma_norketamine", "demography.weight", "solver_error"):
        assert few[name].values.tobytes() == many[name].values.tobytes(), name


def test_existing_output_is_refused(study: Study, store: Path) -> None:
    before = hashes(store)
    with pytest.raises(StoreError, match="exists"):
        corridor.run(study, store)
    assert hashes(store) == before


def test_seed_of_a_study_without_one_stands_in_the_store(store: Path) -> None:
    assert ketjax.open_store(store).attrs["seed"] == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entry": {"weight": ["60 kg", "70 kg"]}, "species": "rat"}, "does not vary"),
        (
            {"correlations": {"potentiation.mtor_share ~ bdnf.release_gain": 0.5}},
            "no random effect of its own",
        ),
    ],
)
def test_settings_without_effect_are_refused(
    study: Study, tmp_path: Path, changes: dict, said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        corridor.run(study.replace(**changes), tmp_path / "x.zarr")


def test_limits_that_leave_nobody(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="nothing lies between"):
        corridor.run(study.replace(entry={"age": ["90 year", "95 year"]}), tmp_path / "x.zarr")
    assert not (tmp_path / "x.zarr").exists()
