"""Many processes: numbers of shards go out through a Dask scheduler, small counts come back.

Each worker is a process that was spawned with the environment of jax already set. It reads the
study from the store, solves whole shards and writes them itself; nothing else passes the scheduler.
A worker that dies is replaced and its shard is tried again. A shard that ends every worker that
tries it, the last times alone, is given up.
"""

import ipaddress
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ketjax.backend import usable_cores
from ketjax.errors import EnvironmentFault, Problem, StudyError
from ketjax.shards import solve_shard

if TYPE_CHECKING:
    from distributed import Client

DEATHS = 3  # of workers that a shard survives before it is tried alone, and again then
DEVICES = "JAX_NUM_CPU_DEVICES"
# An interrupt of the terminal is for the process that started the workers.
PRELOAD = """
import signal

def dask_setup(worker):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
"""
TLS = "DASK_DISTRIBUTED__COMM__TLS__"


@dataclass(frozen=True)
class Workers:
    """Who solves the shards: processes of this machine, or those of a cluster.

    Attributes:
        count: Processes to start here; 0 for those of a scheduler.
        scheduler: Address of a Dask scheduler, such as `tls://10.0.0.5:8786`.
        insecure: Whether another machine may be spoken to without encryption. Whoever reaches such
            a scheduler can run code on all its machines.
    """

    count: int = 0
    scheduler: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, or is not safe."""
        if bool(self.count) == bool(self.scheduler) or self.count < 0:
            raise _wrong("workers", "give a number of workers or an address", str(self.count))
        if not self.scheduler:
            return
        address = urlsplit(self.scheduler)
        if address.scheme not in ("tcp", "tls") or not address.hostname:
            allowed = "tls://HOST:PORT, or tcp://HOST:PORT on this machine"
            raise _wrong("scheduler", "this is no address", self.scheduler, allowed)
        if address.scheme == "tcp" and not self.insecure and not _is_here(address.hostname):
            hint = "use TLS, or allow it in a network of your own (--insecure)"
            what = "another machine, without encryption: whoever reaches it can run code there"
            raise _wrong("scheduler", what, self.scheduler, "tls://HOST:PORT", hint)


def solve_on(
    workers: Workers,
    path: Path,
    missing: Sequence[int],
    tell: Callable[[float], None],
    work: Callable[[str, int], dict[str, Any]] = solve_shard,
) -> dict[int, str]:
    """Let workers solve and write shards, in any order.

    Args:
        workers: Who.
        path: The store, in a folder that all of them see.
        missing: Numbers of the shards.
        tell: Called with the patients of each shard that is done.
        work: What a worker does with the path and a number.

    Returns:
        Reason by shard, of those that ended every worker.

    Raises:
        KetjaxError: What a worker found wrong; the shards that others solve meanwhile count.
        EnvironmentFault: The scheduler cannot be reached, or was lost; workers do not start.
    """
    from distributed import KilledWorker, as_completed

    place, given_up = str(path.resolve()), {}
    if not missing:
        return given_up
    with _client(workers, len(missing)) as client:

        def outcomes(numbers: Sequence[int]) -> Iterator[int]:
            """Shards that ended their workers."""
            futures = client.map(work, [place] * len(numbers), numbers, pure=False, retries=0)
            shard_of = {future.key: k for future, k in zip(futures, numbers, strict=True)}
            try:
                for future in as_completed(futures, loop=client.loop):
                    if future.status == "finished":
                        tell(future.result()["patients"])
                        future.release()  # else it is done again when its worker dies
                        continue
                    error = future.exception() if future.status == "error" else None
                    if not isinstance(error, KilledWorker):
                        raise error or _lost(workers)
                    yield shard_of[future.key]
            finally:
                client.cancel(futures)

        # Dask blames every shard that waited at a worker that died: a trial alone decides.
        for k in list(outcomes(missing)):
            for guilty in outcomes([k]):
                given_up[guilty] = "it ended every worker that tried it, the last of them alone"
    return given_up


@contextmanager
def _client(workers: Workers, shards: int) -> Iterator["Client"]:
    """A client of the scheduler, with workers of this machine where they are asked for."""
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # what matters is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with ExitStack() as held:
        cluster: Any = workers.scheduler
        if workers.count:
            try:
                cluster = held.enter_context(_local(min(workers.count, shards)))
            except RuntimeError as error:  # one was killed before it was there, say
                raise EnvironmentFault(f"the workers could not be started ({error})") from None
        try:
            secure = _security() if workers.scheduler.startswith("tls:") else None
            client = held.enter_context(Client(cluster, security=secure, set_as_default=False))
        except (OSError, TimeoutError) as error:
            raise EnvironmentFault(
                f"{workers.scheduler}: no Dask scheduler answers there ({error})"
            ) from None
        yield client


@contextmanager
def _local(count: int) -> Iterator[Any]:
    """A scheduler and workers of this machine, which nobody outside of it can reach."""
    import dask.config
    from distributed import LocalCluster, Security

    spawned = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    # Without this each worker would take all cores.
    share = {DEVICES: str(max(1, usable_cores() // count))}
    settings = {
        "distributed.nanny.pre-spawn-environ": {**spawned, **share},
        "distributed.worker.multiprocessing-method": "spawn",  # a fork of jax may hang
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.scheduler.worker-saturation": 1.0,  # a worker holds no shard that waits
    }
    # Other users of this machine reach its ports too.
    secure = Security.temporary() if find_spec("cryptography") else None
    no_dashboards: Any = {"dashboard_address": None, "worker_dashboard_address": None}
    # Dask serves a few pages all the same, and two runs at once would quarrel over its usual port.
    no_dashboards |= {"scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    before = dict(os.environ)
    with dask.config.set(settings), tempfile.TemporaryDirectory(prefix="ketjax-") as folder:
        try:
            with LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                memory_limit=0,  # memory of jax cannot be spilled
                local_directory=folder,
                silence_logs=logging.CRITICAL,
                security=secure,
                preload=PRELOAD,
                **no_dashboards,
            ) as cluster:
                yield cluster
        finally:  # Dask sets in this process what it spawns others with
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ.update(before)


def _security() -> Any:
    """Certificates, as the configuration of Dask names them.

    Raises:
        EnvironmentFault: It names none.
    """
    from distributed import Security

    found = Security(require_encryption=True)
    if not (found.tls_ca_file and found.tls_client_cert and found.tls_client_key):
        names = (TLS + name for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"))
        raise EnvironmentFault(
            f"tls:// needs certificates; name their files in {', '.join(names)}, or in the "
            "configuration of Dask"
        )
    return found


def _lost(workers: Workers) -> EnvironmentFault:
    return EnvironmentFault(
        f"the scheduler {workers.scheduler} was lost; what was written is whole: go on with "
        "--resume"
    )


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(place: str, what: str, given: str, allowed: str = "", hint: str = "") -> StudyError:
    return StudyError(Problem(place, what, given, allowed, hint, "workers"))
