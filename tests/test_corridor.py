"""From a study to a store: the corridor, end to end, on a study of kinetics alone (few states)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketjax
from ketjax import audit, corridor, preparation, simulate
from ketjax.dataset import disagreement, verify
from ketjax.errors import StoreError, StudyError
from ketjax.model.parameters import leaf
from ketjax.model.readouts import READOUTS
from ketjax.population import Recipe, draw
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
        patch.setattr(preparation, "BLOCK", 64)
        patch.setattr(preparation, "SHARD_BYTES", 1)
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


def test_tolerance_that_the_steps_kept_is_told(store: Path) -> None:
    dataset = ketjax.open_store(store)
    worst = dataset["solver_error"].max("arm").to_numpy()
    assert dataset.attrs["within_tolerance"] == pytest.approx(np.mean(worst <= 1))
    assert dataset.attrs["largest_solver_error"] == pytest.approx(worst.max())
    assert 0 < dataset.attrs["largest_solver_error"] <= simulate.ACCEPT


def test_public_names_stay_what_they_are_after_use() -> None:
    """A module of the same name would take the place of a function once it is imported."""
    for name in ketjax._HOMES:
        assert callable(getattr(ketjax, name)) and callable(getattr(ketjax, name)), name
    assert not {*ketjax._HOMES} & {path.stem for path in Path(ketjax.__file__).parent.iterdir()}


def test_shard_that_cannot_be_written_ends_the_run(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, path = corridor.store.write_shard, tmp_path / "full.zarr"

    def fail_at_the_second(place: Path, index: int, arrays: dict, **more: Any) -> dict:
        if index == 1:
            raise OSError("no space left on device")
        return write(place, index, arrays, **more)

    with monkeypatch.context() as patch:
        patch.setattr(corridor.store, "write_shard", fail_at_the_second)
        with pytest.raises(OSError, match="no space"):
            corridor.run(study, path)
    assert corridor.store.finished_shards(path, study.digest()) == {0}
    corridor.run(study, path, resume=True)
    assert verify(path) == []


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
        if done > 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corridor.run(study, out, progress=interrupt)
    with pytest.raises(StoreError, match="incomplete"):
        ketjax.open_store(out)
    with pytest.raises(StoreError):
        corridor.run(study.replace(seed=6), out, resume=True)
    seen: list[int] = []
    corridor.run(study, out, resume=True, progress=lambda done, _: seen.append(done))
    assert seen == sorted(seen) and (seen[0], seen[-1]) == (64, 130)
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


def test_audit_is_the_distance_from_a_run_in_double_precision(
    study: Study, store: Path, tmp_path: Path
) -> None:
    """By hand from a whole run in float64, for a run that was interrupted and resumed."""

    def interrupt(done: int, _: int) -> None:
        if done > 64:
            raise KeyboardInterrupt

    asked, out = study.replace(audit=True), tmp_path / "single.zarr"
    with pytest.raises(KeyboardInterrupt):
        corridor.run(asked, out, progress=interrupt)
    with pytest.raises(StoreError, match="another configuration"):
        corridor.run(asked.replace(dtype="float64"), out, resume=True)
    single = ketjax.open_store(corridor.run(asked, out, resume=True))
    exact = ketjax.open_store(
        corridor.run(study.replace(dtype="float64"), tmp_path / "double.zarr")
    )
    chosen = audit.sample(5, 130)
    assert single.attrs["audited_patients"] == 32 == len(chosen)
    assert single.attrs["audit_status_differs"] == 0
    by_hand = {}
    for name in study.readouts:
        gap = (single[name].astype("float64") - exact[name]).isel(patient=chosen)
        by_hand[name] = float(abs(gap).max()) / READOUTS[name].scale
        assert 0 < by_hand[name] < 1e-4
        assert single[name].attrs["float64_disagreement"] == by_hand[name], name
        assert "float64_disagreement" not in exact[name].attrs
    worst = max(by_hand, key=by_hand.__getitem__)
    assert disagreement(single) == (worst, by_hand[worst]) and disagreement(exact) is None
    assert hashes(out) == hashes(store)


def test_an_audit_that_was_interrupted_is_made_up_for(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    asked, out = study.replace(audit=True, patients=40), tmp_path / "x.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(corridor, "audit_of", interrupt)
        with pytest.raises(KeyboardInterrupt):
            corridor.run(asked, out)
    seen: list[int] = []
    corridor.run(asked, out, resume=True, progress=lambda done, _: seen.append(done))
    assert seen == [40]  # no patient of the study is marched again
    facts = ketjax.open_store(out).attrs
    assert facts["audited_patients"] == 32
    assert facts["steps"] > 0 and 0 < facts["within_tolerance"] <= 1


def test_who_is_audited() -> None:
    for count, size in ((10, 10), (130, 32), (10_000, 100), (1_000_000, 4096)):
        chosen = audit.sample(5, count)
        assert len(set(chosen.tolist())) == size and 0 <= chosen.min() and chosen.max() < count
        assert np.array_equal(chosen, audit.sample(5, count))
    # Spread evenly: the mean of 4096 uniform numbers lies within five standard errors.
    assert abs(chosen.mean() / 1e6 - 0.5) < 5 * 12**-0.5 / 64
    assert not np.array_equal(chosen, audit.sample(6, 1_000_000))


def test_when_to_audit(study: Study) -> None:
    assert not audit.wanted(study) and audit.wanted(study.replace(patients=100_000))
    assert audit.wanted(study.replace(audit=True))
    assert not audit.wanted(study.replace(audit=False, patients=100_000))
    assert not audit.wanted(study.replace(audit=True, dtype="float64"))
    assert study.digest() != study.replace(audit=True).digest()
    assert "audit" not in study.to_dict()["solver"]


@pytest.mark.parametrize("design", ["random", "sobol"])
def test_audited_patients_are_those_of_the_study(design: str, monkeypatch) -> None:
    monkeypatch.setattr(audit, "SOBOL_LENGTH", 16)
    recipe = Recipe(seed=3, design=design)
    few, all_ = audit.drawn(recipe, np.array([2, 17, 30, 63])), draw(recipe, np.arange(64))
    for path in all_.varying:
        assert np.array_equal(leaf(few.parameters, path), leaf(all_.parameters, path)[few.patient])
