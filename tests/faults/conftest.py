"""An undisturbed run, made once by the command line: what every disturbed one is compared with."""

from pathlib import Path

import pytest
from fault_study import SHARD, STUDY, call


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as a file."""
    file = tmp_path_factory.mktemp("faults") / "kinetics.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="session")
def undisturbed(study: Path) -> Path:
    """Its store."""
    store = study.with_name("undisturbed.zarr")
    code, said = call("run", study, "--out", store, "--shard", SHARD)
    assert code == 0, said
    return store
