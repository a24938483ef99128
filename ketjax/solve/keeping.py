"""Compiled programs and meshes kept on disk from one process to the next.

The cache of jax spares the compilation of a program, but it knows the program by what it lowers to,
and tracing and lowering a large system takes seconds. Here an entry is known by what it was made
of: the identity that its maker gives, the source of ketjax, versions, flags, and the kinds of its
arguments. Entries lie beside those of jax, in the folder that jax was given for its own; without
one nothing is kept.

An entry holds machine code, so whoever can write to the folder can run code here, as with the cache
of jax itself.
"""

import functools
import hashlib
import io
import os
import pickle
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

import jax
import numpy as np
from jax.core import Tracer
from jax.experimental.serialize_executable import deserialize_and_load, serialize

ENDING = "-kept"
CHECKSUM = 32  # bytes of the digest before the content


class KeptProgram:
    """A function compiled once for each kind of arguments, and once for all processes.

    Within another transformation the function itself is called.
    """

    def __init__(
        self, function: Callable[..., tuple], options: Mapping[str, Any], identity: str
    ) -> None:
        """Nothing is compiled yet.

        Args:
            function: function of pytrees of arrays that returns a tuple of arrays.
            options: options of the compiler.
            identity: what tells the function from others, together with the source of the
                solver.
        """
        self._function, self._options = function, dict(options)
        self._identity = (identity, *sorted(self._options.items()))
        self._plain = jax.jit(function)
        self._ready: dict[Any, Callable[..., tuple]] = {}

    def __call__(self, *arguments: Any) -> tuple:
        """The function, compiled."""
        leaves, tree = jax.tree.flatten(arguments)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self._plain(*arguments)
        kinds = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if (tree, kinds) not in self._ready:
            self._ready[tree, kinds] = self._made(leaves, tree, kinds)
        return self._ready[tree, kinds](*leaves)

    def _made(self, leaves: list, tree: Any, kinds: tuple) -> Callable[..., tuple]:
        """The program for one kind of arguments: read, or else compiled and written."""
        name = digest("program", *self._identity, str(tree), str(kinds))
        entry = read(name)
        if entry is not None:
            try:
                return _loaded(entry)
            except Exception:  # a program that cannot be read is compiled again
                pass

        def kept(*leaves: Any) -> tuple:
            return self._function(*jax.tree.unflatten(tree, leaves))

        if folder() is None:
            return jax.jit(kept, compiler_options=self._options).lower(*leaves).compile()
        # What jax reads from its own cache cannot be written again: this is not kept there, and
        # has a name of its own, so that nothing that was kept elsewhere is taken for it.
        kept.__name__ = f"kept_{name}"
        with _no_cache():
            program = jax.jit(kept, compiler_options=self._options).lower(*leaves).compile()
        try:
            entry = pickle.dumps((*serialize(program), _devices(leaves)))
            jax.block_until_ready(_loaded(entry)(*leaves))
            write(name, entry)
        except Exception:  # what cannot be kept can still be used
            pass
        return program


def digest(*parts: Any) -> str:
    """Name of an entry.

    Args:
        parts: what the entry is made of: texts, arrays and numbers.

    Returns:
        A digest of the parts, of the source of the solver, and of what compiles and runs it.
    """
    together = hashlib.sha256()
    for part in (*_surroundings(), *parts):
        if isinstance(part, np.ndarray):
            head, content = f"{part.dtype} {part.shape}", np.ascontiguousarray(part).tobytes()
        else:
            head, content = type(part).__name__, str(part).encode()
        together.update(f"{head} {len(content)} ".encode())
        together.update(content)
    return together.hexdigest()


@functools.cache
def source_of(*places: Path) -> str:
    """Digest of Python source: of files, and of all files below folders."""
    together = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            together.update(f"{file.relative_to(place.parent)} ".encode())
            together.update(file.read_bytes())
    return together.hexdigest()


def read(name: str) -> bytes | None:
    """Content of an entry; None if there is none, or none that was written whole."""
    place = folder()
    if place is None:
        return None
    try:
        entry = (place / f"{name}{ENDING}").read_bytes()
    except OSError:
        return None
    checksum, content = entry[:CHECKSUM], entry[CHECKSUM:]
    return content if hashlib.sha256(content).digest() == checksum else None


def write(name: str, content: bytes) -> None:
    """Keep an entry, if there is a folder that takes it."""
    place = folder()
    if place is None:
        return
    partial = place / f".{uuid4().hex}.partial"
    try:
        partial.write_bytes(hashlib.sha256(content).digest() + content)
        partial.replace(place / f"{name}{ENDING}")
    except OSError:
        partial.unlink(missing_ok=True)


def write_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays by name."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write(name, buffer.getvalue())


def read_arrays(name: str) -> dict[str, np.ndarray] | None:
    """Arrays by name; None if there is no such entry."""
    content = read(name)
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError):
        return None


def folder() -> Path | None:
    """Where entries are: the folder of jax's own cache, on a CPU; None if nothing is kept."""
    place = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if not place or "://" in place or jax.default_backend() != "cpu":
        return None
    return Path(place)


def _loaded(entry: bytes) -> Callable[..., tuple]:
    """A program from its entry."""
    content, inputs, outputs, devices = pickle.loads(entry)
    return deserialize_and_load(content, inputs, outputs, execution_devices=jax.devices()[:devices])


def _devices(leaves: list) -> int:
    """Devices that hold the arguments of a program."""
    placed = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
    return max((len(leaf.sharding.device_set) for leaf in placed), default=1)


@contextmanager
def _no_cache() -> Iterator[None]:
    """Compile without writing to the cache of jax."""
    option = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, option)
    jax.config.update(option, float("inf"))
    try:
        yield
    finally:
        jax.config.update(option, before)


def _surroundings() -> tuple[str, ...]:
    """Source, versions, flags and devices that decide what a program does."""
    wide = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    return (
        source_of(Path(__file__).parent),
        jax.__version__,
        metadata.version("jaxlib"),
        np.__version__,
        os.environ.get("XLA_FLAGS", ""),
        f"{jax.default_backend()} {jax.device_count()} {wide}",
        _processor(),
    )


@functools.cache
def _processor() -> str:
    """What the processor is and can do: the folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(
        line for line in lines if line.startswith(("model", "flags", "Features", "CPU"))
    )
