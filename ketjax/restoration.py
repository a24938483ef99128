"""Restoration: a damaged store is made whole, and only what is damaged is computed again."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ketjax import condense
from ketjax import dataset as store
from ketjax.corridor import Progress, finish, shard_progress, solve_here
from ketjax.dataset import condensed, headers, journal
from ketjax.errors import StoreError
from ketjax.preparation import create, recipe_of, shard_length, simulation_of
from ketjax.sensitivity import report as analyses
from ketjax.sensitivity import run as analysis
from ketjax.shards import ShardWork, study_of
from ketjax.study import Study


@dataclass(frozen=True)
class Restored:
    """What was done to a store.

    Attributes:
        files: Headers and coordinates that were written again.
        shards: Numbers of the shards that were computed again.
        left: What is still wrong.
    """

    files: tuple[str, ...]
    shards: tuple[int, ...]
    left: tuple[store.Fault, ...]


def restore(
    path: str | Path, study: Study | None = None, progress: Progress | None = None
) -> Restored:
    """Make a damaged store whole.

    Headers come from their copy in the journal. Where that is damaged too, they are made of the
    study. Shards that are missing, were given up or differ from the journal are computed again;
    what comes out must equal what the journal says of them. So are the indices of a sensitivity
    analysis.

    Args:
        path: The store.
        study: What was asked; as the store says if None.
        progress: Called with patients done and patients in all.

    Returns:
        What was done.

    Raises:
        StoreError: There is no store, it cannot be restored, or a shard comes out differently.
    """
    path = Path(path)
    if not (path / journal.FOLDER).is_dir():
        store.read_attributes(path)
        (path / journal.FOLDER).mkdir()
    with store.lock(path):
        lost = headers.kept(path) is None
        files = _remake_headers(path, study) if lost else headers.restore(path)
        faults = store.verify(path)
        numbers = sorted({fault.shard for fault in faults if fault.shard is not None})
        complete = store.read_attributes(path)["complete"]
        unfinished = not complete or bool(journal.failures(path))
        unmerged = any(fault.where.startswith(condensed.FOLDER) for fault in faults)
        analysed = analyses.holds_analysis(path)
        if not analysed and (numbers or unfinished or unmerged):
            study = study or study_of(path)
            recipe = recipe_of(study)
            simulation = simulation_of(study, recipe)
            work = ShardWork(study, recipe, simulation, path)
            before = store.entries(path)
            solve_here(work, numbers, shard_progress(path, numbers, progress))
            store.check_again(path, before, numbers)
            if unfinished:
                finish(study, recipe, path, simulation, {})
            else:
                condense.finish(study, path)
    if analysed and (faults or unfinished):  # which holds its store itself
        tell = None if progress is None else lambda done, total, _: progress(done, total)
        analysis.run(analyses.study_of(path), path, resume=True, damaged=numbers, tell=tell)
    return Restored(tuple(files), tuple(numbers), tuple(store.verify(path)))


def _remake_headers(path: Path, study: Study | None) -> list[str]:
    """Headers and coordinates from the study, where their copy is lost.

    Args:
        path: The store.
        study: What was asked; as the header says if None.

    Returns:
        What was written.

    Raises:
        StoreError: The study is not known, or not that of the store.
    """
    if analyses.holds_analysis(path):
        again = "begin again: ketjax sensitivity STUDY.toml --overwrite"
        raise StoreError(f"{path}: headers of an analysis are lost with their copy; {again}")
    if study is None:
        try:
            study = study_of(path)
        except StoreError as error:
            hint = "name the study that the store was made of (--study)"
            raise StoreError(f"{error}; its headers cannot be made again: {hint}") from None
    entries = store.entries(path)
    made_of = {entry["configuration"] for entry in entries.values() if "configuration" in entry}
    if made_of - {study.digest()}:
        raise StoreError(
            f"{path}: its shards were computed for another study ({made_of.pop()[:12]}, this is "
            f"{study.digest()[:12]}); patients, seed, dtype and audit must be as in that run"
        )
    count = study.population.patients
    length = shard_length(study, count)
    for k, entry in entries.items():
        start, stop = entry["patients"]
        length = start // k if k else stop
    fresh = path.with_name(f".{path.name}.headers.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        create(study, recipe_of(study), fresh, shard=length)
        texts, names = headers.found_on_disk(fresh), store.read_attributes(fresh)["variables"]
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if any(entry["sha256"].keys() != {*names} for entry in entries.values()):
        raise StoreError(f"{path}: holds other variables than `ketjax run` writes for this study")
    weight = path / store.WEIGHT.name / headers.HEADER
    known = {str(weight.relative_to(path)): weight.read_text("utf-8")} if weight.exists() else {}
    headers.keep(path, texts | known, study.times)
    return [headers.FILE, *headers.restore(path)]
