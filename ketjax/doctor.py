"""What this machine has: versions, devices, compiler flags, the cache of compiled programs.

A small solve against its closed form shows that jax compiles and computes here.
"""

import os
import re
import sys
from importlib import metadata
from typing import Any

from ketjax import backend

LIBRARIES = ("ketjax", "jax", "jaxlib", "numpy", "scipy", "xarray", "zarr")
LARGEST_ERROR = 1e-4


def examine() -> tuple[dict[str, Any], list[str]]:
    """Look at this machine.

    Returns:
        What was found, by name, as JSON would hold it; and what keeps a study from running here.
    """
    start = backend.prepared()
    flags = os.environ.get("XLA_FLAGS", "")
    width = re.search(rf"{backend.WIDTH}=(\d+)", flags)
    found: dict[str, Any] = {
        "python": sys.version.split()[0],
        **{name: _version(name) for name in LIBRARIES},
        "processor": backend.processor()[0],
        "usable cores": backend.usable_cores(),
        "flags added by ketjax": list(start.flags_added),
        "flags set before": list(start.flags_found),
        "multi-output fusion": backend.FUSION in flags,
        "vector width [bits]": int(width[1]) if width else "default",
        "jax started first": start.late or start.started,
        "cache": start.cache_state,
        "cache folder": str(start.cache or ""),
    }
    if start.cache and start.cache.is_dir():
        programs, size = backend.size(start.cache)
        found |= {"cached programs": programs, "cache size [MB]": round(size / 1e6, 1)}
    try:
        devices, error = _try_out()
    except Exception as trouble:  # whatever is wrong with an installation ends up here
        return found, [f"jax does not run here: {trouble}"]
    found |= {"devices": devices, "decay to its closed form": f"error {error:.1e}"}
    if error <= LARGEST_ERROR:
        return found, []
    return found, [f"a decay is wrong by {error:.1e}: do not trust this installation"]


def _try_out() -> tuple[list[str], float]:
    """Devices, and the error of a small solve against its closed form."""
    import jax
    import numpy as np

    from ketjax.solve import integrate

    start, rate = np.ones(4, np.float32), np.float32(2)
    solution = integrate(lambda t, y, p: (-p * y[0],), (start,), (0.0, 1.0), rate, rtol=1e-5)
    error = float(np.max(np.abs(solution.states[-1] - np.exp(-2.0))))
    return [f"{device.platform} ({device.device_kind})" for device in jax.devices()], error


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
