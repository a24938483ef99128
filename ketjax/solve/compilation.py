"""How the programs of the solver are compiled."""

import os

import jax

MULTI_OUTPUT_FUSION = "xla_cpu_use_multi_output_fusion=true"
"""Setting of XLA that makes a step several times faster on the CPU.

It acts only through the environment, before the first computation:
``XLA_FLAGS=--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true``
"""


def compiler_options() -> dict[str, str] | None:
    """How to compile a step.

    Without multi-output fusion the CPU compiler copies shared subexpressions into each of their
    many readers, which takes minutes for a large system; then it is better not to fuse at all.
    """
    if jax.default_backend() != "cpu" or MULTI_OUTPUT_FUSION in os.environ.get("XLA_FLAGS", ""):
        return None
    return {"xla_disable_hlo_passes": "fusion"}
