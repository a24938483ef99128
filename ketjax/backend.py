"""How jax is started: flags of the XLA compiler, CPU devices, and the cache of compiled programs.

`prepare` runs when ketjax is imported. Everything here acts only before the backend of jax starts,
through the environment and the configuration of jax; what the user has set stays as it is.

The cache is trusted: who can write to it can run code here. So it lives in a folder of this user
alone, or nowhere. Programs are compiled for one kind of processor, so each has a folder of its own.
"""

import hashlib
import importlib.util
import os
import stat
import sys
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

# Without it the CPU compiler computes shared terms again for each of their readers, which costs
# minutes of compilation and a multiple of the run time.
FUSION = "xla_cpu_use_multi_output_fusion"
EXTRA = "--xla_backend_extra_options"
# Loops that carry no more bytes than this become one kernel. The threshold of newer compilers takes
# in the loop over time, whose kernel takes the better part of a minute to compile.
SMALL_LOOP = "xla_cpu_small_while_loop_byte_threshold"
SMALL_LOOP_BYTES = 1024
# Sixteen numbers of 32 bits at a time where the processor can: the default is eight.
WIDTH = "--xla_cpu_prefer_vector_width"
DEVICES = "--xla_force_host_platform_device_count"
# Many programs take 40 ms to compile and 1 ms to read: all are kept.
SHORTEST = ("jax_persistent_cache_min_compile_time_secs", 0.0, 1.0)
SMALLEST = ("jax_persistent_cache_min_entry_size_bytes", -1, 0)
LARGEST_CACHE = 2**30  # bytes
MOST_ENTRIES = 8192
LATE = (
    "jax started before ketjax, without the compiler flags that the model needs: it runs several "
    "times more slowly. Import ketjax before the first use of jax, or set XLA_FLAGS={flags!r}."
)


@dataclass(frozen=True)
class Backend:
    """What ketjax found and set when it was imported.

    Attributes:
        flags_found: Flags of XLA that were set already.
        flags_added: Flags of XLA that ketjax added.
        cpu_devices: CPU devices that ketjax asked for; None if that was not its choice.
        cache: Folder of compiled programs; None without a cache.
        cache_state: Why there is such a cache, or none.
        started: Whether jax had started before.
        late: What follows from that; empty if nothing does.
    """

    flags_found: tuple[str, ...] = ()
    flags_added: tuple[str, ...] = ()
    cpu_devices: int | None = None
    cache: Path | None = None
    cache_state: str = "off: jax is not installed"
    started: bool = False
    late: str = ""


_prepared = Backend()


def prepare() -> Backend:
    """Set what ketjax wants of jax, unless the user has set it or jax has started.

    Returns:
        What was found and set; `prepared` gives it again.
    """
    global _prepared
    if importlib.util.find_spec("jax") is None:
        return _prepared
    text = os.environ.get("XLA_FLAGS", "")
    added = missing_flags(text, processor()[1])
    devices, late, started = None, "", _started()
    if started:
        if any(FUSION in flag for flag in added) and sys.modules["jax"].default_backend() == "cpu":
            late = LATE.format(flags=" ".join(added))
            warnings.warn(late, RuntimeWarning, stacklevel=3)
        added = ()
    else:
        if added:
            os.environ["XLA_FLAGS"] = " ".join([text, *added]).strip()
        cores = usable_cores()
        if DEVICES not in text and _set("jax_num_cpu_devices", cores, -1):
            devices = cores
    cache, state = _start_cache()
    _prepared = Backend(tuple(text.split()), added, devices, cache, state, started, late)
    return _prepared


def prepared() -> Backend:
    """What `prepare` found and set when ketjax was imported."""
    return _prepared


def missing_flags(text: str, features: str) -> tuple[str, ...]:
    """The flags that ketjax would add to those of the user.

    Args:
        text: `XLA_FLAGS` as the user set it.
        features: What the processor can do, as `/proc/cpuinfo` lists it.

    Returns:
        Flags. XLA takes its extra options together from all places where they stand, so that one
        more place changes none of the others.
    """
    if text.strip() and not text.strip().startswith("-"):
        return ()  # the name of a file with flags
    wanted = []
    if FUSION not in text:
        wanted.append(f"{EXTRA}={FUSION}=true")
    if SMALL_LOOP not in text:
        wanted.append(f"{EXTRA}={SMALL_LOOP}={SMALL_LOOP_BYTES}")
    if WIDTH not in text and "avx512f" in features.split():
        wanted.append(f"{WIDTH}=512")
    return tuple(wanted)


def processor() -> tuple[str, str]:
    """Name of the processor, and its features as far as programs compiled for it need them."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return " ".join(os.uname()[3:]) if hasattr(os, "uname") else sys.platform, ""
    fields = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    names = ("model name", "cpu family", "model", "CPU implementer", "CPU part")
    name = " ".join(fields[key] for key in names if key in fields)
    return name, fields.get("flags", fields.get("Features", ""))


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder() -> Path:
    """Where compiled programs are kept for this processor, unless the user says otherwise.

    Raises:
        OSError: This user has no home.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~/.cache"))
    if not root.is_absolute():
        raise OSError("no home folder")
    kind = hashlib.sha256(" ".join(processor()).encode()).hexdigest()[:12]
    return root / "ketjax" / "compiled" / kind


def tidy(folder: Path, largest: int = LARGEST_CACHE, most: int = MOST_ENTRIES) -> None:
    """Keep a cache within bounds, and free of entries that were not written whole.

    jax reads such an entry in vain every time and never replaces it. Entries are looked at once:
    those that are newer than the mark of the last time.

    Args:
        folder: Folder of the cache.
        largest: Most bytes in all.
        most: Most entries; those used longest ago go first.
    """
    mark = folder / ".checked"
    try:
        before = mark.stat().st_mtime if mark.exists() else 0.0
        mark.touch()
        entries = [(file, file.stat()) for file in _entries_of(folder)]
        for file, status in entries:
            if status.st_mtime < before:
                continue
            if not _whole(file.read_bytes()):
                file.unlink()
            else:  # to be looked through is not to be used
                os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        entries.sort(key=lambda entry: max(entry[1].st_atime, entry[1].st_mtime), reverse=True)
        total = 0
        for number, (file, status) in enumerate(entries, start=1):
            total += status.st_size
            if total > largest or number > most:
                file.unlink(missing_ok=True)
    except OSError:
        return  # a cache that cannot be tidied is still of use


def size(folder: Path) -> tuple[int, int]:
    """Programs in a cache and their bytes together."""
    sizes = [file.stat().st_size for file in _entries_of(folder)]
    return len(sizes), sum(sizes)


def _entries_of(folder: Path) -> list[Path]:
    """Programs that jax keeps, and programs and meshes that the solver keeps."""
    return [*folder.glob("*-cache"), *folder.glob("*-kept")]


def _started() -> bool:
    """Whether the backend of jax runs already."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    try:
        return bridge is not None and bridge.backends_are_initialized()
    except AttributeError:
        return False


def _set(name: str, value: object, default: object) -> bool:
    """Set an option of jax, imported or not, that the user has left alone; whether it was set."""
    if name.upper() in os.environ:
        return False
    if "jax" not in sys.modules:
        os.environ[name.upper()] = str(value)
        return True
    configuration = sys.modules["jax"].config
    if getattr(configuration, name, value) != default:
        return False
    configuration.update(name, value)
    return True


def _start_cache() -> tuple[Path | None, str]:
    """Switch the cache of compiled programs on; its folder and why it is there, or is not."""
    if os.environ.get("KETJAX_CACHE", "").lower() in ("off", "0", "false", "no"):
        return None, "off: KETJAX_CACHE"
    for setting in (SHORTEST, SMALLEST):
        _set(*setting)
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(chosen), "on: JAX_COMPILATION_CACHE_DIR"
    try:
        folder = cache_folder()
        _make_private(folder)
    except OSError as error:
        return None, f"off: {error}"
    if _set("jax_compilation_cache_dir", str(folder), None):
        return folder, "on"
    return None, "chosen by jax_compilation_cache_dir"


def _make_private(folder: Path) -> None:
    """Make a folder and the two above it for this user alone.

    Raises:
        OSError: One of them cannot be made, or is not this user's own.
    """
    if not hasattr(os, "geteuid"):
        raise OSError("this system does not say who owns a folder")
    folder.parents[2].mkdir(parents=True, exist_ok=True)
    for part in (folder.parents[1], folder.parents[0], folder):
        part.mkdir(mode=0o700, exist_ok=True)
        status = part.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise OSError(f"{part} is no folder of this user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(f"others may write to {part}; close it with: chmod go-w {part}")
    if not os.access(folder, os.W_OK):
        raise OSError(f"{folder} is not writable")


def _whole(entry: bytes) -> bool:
    """Whether an entry was written to its end, as far as it can be seen."""
    if entry[:1] != b"\x78":
        return bool(entry)  # not of zlib
    try:
        zlib.decompress(entry)
    except zlib.error:
        return False
    return True
