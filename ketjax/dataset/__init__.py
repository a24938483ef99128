"""Datasets on disk: what a store holds, how it is written, and how it is opened."""

from ketjax.dataset.additions import check_weight, scratch, write_weight
from ketjax.dataset.journal import lock
from ketjax.dataset.reading import (
    check_place,
    disagreement,
    open_store,
    read_attributes,
    read_shards,
    shards,
)
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
from ketjax.dataset.store import create, finish, finished_shards, verify, write_shard

__all__ = [
    "DRAW",
    "SOLVER_ERROR",
    "STATUS",
    "STATUS_FLAGS",
    "WEIGHT",
    "Coordinates",
    "Variable",
    "check_place",
    "check_weight",
    "create",
    "disagreement",
    "finish",
    "finished_shards",
    "lock",
    "open_store",
    "outcome",
    "read_attributes",
    "read_shards",
    "readout",
    "scratch",
    "shards",
    "trait",
    "verify",
    "write_shard",
    "write_weight",
]
