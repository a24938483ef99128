"""Datasets on disk: what a store holds, how it is written, and how it is opened."""

from ketjax.dataset.additions import (
    GROUPS,
    check_weight,
    group_fault,
    is_sealed,
    scratch,
    sealed,
    write_weight,
)
from ketjax.dataset.exports import export
from ketjax.dataset.inspection import Fault, verify
from ketjax.dataset.journal import agree, check_again, entries, entry_of, failures, lock, strike
from ketjax.dataset.reading import (
    check_place,
    disagreement,
    open_store,
    read_attributes,
    read_shards,
    shards,
)
from ketjax.dataset.room import check_room
from ketjax.dataset.schema import (
    DRAW,
    SOLVER_ERROR,
    STATUS,
    STATUS_FLAGS,
    WEIGHT,
    Coordinates,
    Variable,
    outcome,
    readout,
    trait,
)
from ketjax.dataset.store import (
    create,
    drop_shard,
    finish,
    finished_shards,
    write_shard,
)

__all__ = [
    "DRAW",
    "GROUPS",
    "SOLVER_ERROR",
    "STATUS",
    "STATUS_FLAGS",
    "WEIGHT",
    "agree",
    "Coordinates",
    "Fault",
    "Variable",
    "check_again",
    "check_place",
    "check_room",
    "check_weight",
    "create",
    "disagreement",
    "drop_shard",
    "entries",
    "entry_of",
    "export",
    "failures",
    "finish",
    "finished_shards",
    "group_fault",
    "is_sealed",
    "lock",
    "open_store",
    "outcome",
    "read_attributes",
    "read_shards",
    "readout",
    "scratch",
    "sealed",
    "shards",
    "strike",
    "trait",
    "verify",
    "write_shard",
    "write_weight",
]
