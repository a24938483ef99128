"""ketjax: how ketamine works, from a dose to a depression score, over a whole population.

    import ketjax
    study = ketjax.Study.read("studies/s01_single_infusion.toml")
    store = ketjax.run(study, out="out/s01.zarr")
    dataset = ketjax.open_store(store)

Names are loaded when first used, so that a machine without jax still opens a store. A research
model, not for clinical use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ketjax import backend

if TYPE_CHECKING:
    from ketjax.analysis import summarise as summarise
    from ketjax.corridor import run as run
    from ketjax.dataset import open_store as open_store
    from ketjax.study import Study as Study

__version__ = "0.2.0"

backend.prepare()

_HOMES = {
    "Study": "ketjax.study",
    "run": "ketjax.corridor",
    "open_store": "ketjax.dataset",
    "summarise": "ketjax.analysis",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its room."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    try:
        return importlib.import_module(f"ketjax.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"ketjax.{name}":
            raise
    raise AttributeError(f"module 'ketjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names."""
    return sorted({*globals(), *_HOMES})
