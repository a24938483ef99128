"""What a worker does in a test instead of solving: it writes numbers of a formula, or dies."""

import os
import signal
import time
from typing import Any

import psutil
from mock_store import courses

from ketjax.dataset import read_attributes, write_shard

DEADLY = 3


def write_or_die(path: str, k: int) -> dict[str, Any]:
    """Write a shard of a mock store; one shard ends its worker, after a part was written."""
    strangers = [
        place
        for process in (psutil.Process(), psutil.Process().parent())
        for connection in (process.net_connections() if process else [])
        if connection.status == psutil.CONN_LISTEN
        and (place := connection.laddr.ip) not in ("127.0.0.1", "::1")
    ]
    assert not strangers, f"others can reach {strangers}"
    held = read_attributes(path)
    start = k * held["shard"]
    arrays = courses(start, min(start + held["shard"], held["patients"]))
    if k == DEADLY:
        write_shard(path, k, arrays)
        os.kill(os.getpid(), signal.SIGKILL)
    write_shard(path, k, arrays)
    return {"shard": k, "patients": held["shard"], "status": {}}


def take_a_while(path: str, k: int) -> dict[str, int]:
    """A shard of one patient that writes nothing."""
    del path, k
    time.sleep(0.3)
    return {"patients": 1}


def write_slowly(path: str, k: int) -> dict[str, Any]:
    """Write a shard of a mock store, as if half a second of marching had gone before."""
    time.sleep(0.5)
    held = read_attributes(path)
    start, stop = k * held["shard"], (k + 1) * held["shard"]
    write_shard(path, k, courses(start, stop))
    return {"shard": k, "patients": held["shard"], "status": {}}
