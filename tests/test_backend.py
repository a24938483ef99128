"""Flags, devices and the cache of programs: what the user set stays, nothing stops a run."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ketjax import backend

OURS = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"
SMALL = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1024"
WIDE = "--xla_cpu_prefer_vector_width=512"
OTHERS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=77"
NARROW = "--xla_cpu_prefer_vector_width=128"
REFUSED = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=false"
SETTINGS = ("XLA_FLAGS", "KETJAX_CACHE", "XDG_CACHE_HOME")


def fresh(script: str, cache: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter that begins without any setting of ketjax or jax."""
    kept = {k: v for k, v in os.environ.items() if k not in SETTINGS and not k.startswith("JAX_")}
    root = str(Path(backend.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, "PYTHONPATH": root, "XDG_CACHE_HOME": str(cache), **settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("text", "features", "added"),
    [
        ("", "fpu avx2 avx512f", (OURS, SMALL, WIDE)),
        ("", "fpu avx2", (OURS, SMALL)),
        (OTHERS, "avx512f", (OURS, WIDE)),
        (f"{REFUSED} {NARROW}", "avx512f", (SMALL,)),
        (f"{REFUSED} {OTHERS} {NARROW}", "avx512f", ()),
        ("/etc/flags_of_xla", "avx512f", ()),
    ],
)
def test_flags_of_the_user_are_never_overridden(text: str, features: str, added: tuple) -> None:
    assert backend.missing_flags(text, features) == added


COMPILER_OPTIONS = """
import ketjax, jax
from jax._src.lib import xla_client
text = xla_client.CompileOptions().SerializeAsString()
for name in (b"xla_cpu_use_multi_output_fusion", b"xla_cpu_small_while_loop_byte_threshold"):
    print(text.partition(name)[2][2:6])
print(len(jax.devices()))
"""


def test_xla_takes_extra_options_from_both_places(tmp_path: Path) -> None:
    said = fresh(COMPILER_OPTIONS, tmp_path, XLA_FLAGS=OTHERS).stdout.split("\n")
    assert "true" in said[0] and "77" in said[1]
    assert int(said[2]) == backend.usable_cores()


def test_devices_of_the_user_stay(tmp_path: Path) -> None:
    script = "import ketjax, jax; print(len(jax.devices()), ketjax.backend.prepared().cpu_devices)"
    force = "--xla_force_host_platform_device_count=3"
    assert fresh(script, tmp_path, XLA_FLAGS=force).stdout.split() == ["3", "None"]
    assert fresh(script, tmp_path, JAX_NUM_CPU_DEVICES="3").stdout.split() == ["3", "None"]


def test_jax_that_is_only_imported_is_in_time(tmp_path: Path) -> None:
    script = "import jax, ketjax; print(len(jax.devices()), ketjax.backend.prepared())"
    done = fresh(script, tmp_path, KETJAX_CACHE="off")
    assert done.stdout.startswith(f"{backend.usable_cores()} ") and not done.stderr
    assert "off: KETJAX_CACHE" in done.stdout and OURS in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_jax_that_started_before_is_told(tmp_path: Path) -> None:
    script = "import jax; jax.devices(); import ketjax, os; print(os.environ.get('XLA_FLAGS'))"
    done = fresh(script, tmp_path)
    assert done.stdout == "None\n"  # compilation looks there for what is in effect
    assert "jax started before ketjax" in done.stderr and OURS in done.stderr
    assert not fresh(script, tmp_path, XLA_FLAGS=f"{OURS} {WIDE}").stderr


SQUARE = """
import ketjax, jax
print(jax.jit(lambda x: x * x + 1)(3.0), ketjax.backend.prepared().cache)
"""


def test_programs_are_kept_and_a_damaged_cache_stops_nothing(tmp_path: Path) -> None:
    number, folder = fresh(SQUARE, tmp_path).stdout.split()
    assert number == "10.0"
    kept = Path(folder)
    assert kept.is_relative_to(tmp_path) and kept.stat().st_mode & 0o777 == 0o700
    (entry,) = kept.glob("jit__lambda*-cache")
    whole = entry.read_bytes()
    again = fresh(SQUARE, tmp_path)
    assert not again.stderr and entry.read_bytes() == whole
    entry.write_bytes(whole[: len(whole) // 2])
    damaged = fresh(SQUARE, tmp_path)
    assert damaged.stdout.startswith("10.0") and "Error reading persistent" in damaged.stderr
    backend.tidy(kept)
    assert not entry.exists()
    mended = fresh(SQUARE, tmp_path)
    assert not mended.stderr and entry.exists()


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "ketjax").write_text("a file where the folder should be")
    assert fresh(SQUARE, tmp_path).stdout == "10.0 None\n"
    nowhere = fresh(SQUARE, tmp_path, JAX_COMPILATION_CACHE_DIR="/proc/nowhere")
    assert nowhere.stdout == "10.0 /proc/nowhere\n"


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "ketjax" / "compiled" / "abc"
    backend._make_private(folder)
    assert [part.stat().st_mode & 0o777 for part in (folder, *folder.parents[:2])] == [0o700] * 3
    folder.parent.chmod(0o770)
    with pytest.raises(OSError, match="others may write"):
        backend._make_private(folder)
    folder.parent.chmod(0o700)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="no folder of this user"):
        backend._make_private(folder)


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert backend.cache_folder().is_relative_to(tmp_path / ".cache" / "ketjax" / "compiled")


def test_each_processor_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = backend.cache_folder()
    monkeypatch.setattr(backend, "processor", lambda: ("Other 9000", "fpu sse2"))
    assert backend.cache_folder() != here and backend.cache_folder().parent == here.parent


def test_a_cache_stays_within_bounds(tmp_path: Path) -> None:
    entries = [tmp_path / f"program{number}-cache" for number in range(4)]
    for number, entry in enumerate(entries):
        entry.write_bytes(zlib.compress(os.urandom(1000)))
        os.utime(entry, (1e9 + number, 1e9 + number))
    backend.tidy(tmp_path, largest=2500)
    assert [entry.exists() for entry in entries] == [False, False, True, True]
    assert backend.size(tmp_path)[0] == 2
    backend.tidy(tmp_path, most=1)
    assert [entry.exists() for entry in entries] == [False, False, False, True]


def test_without_jax_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_prepared", backend.Backend())
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    before = dict(os.environ)
    assert backend.prepare().cache_state == "off: jax is not installed"
    assert dict(os.environ) == before
