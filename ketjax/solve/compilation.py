"""How the programs of the solver are compiled.

On the CPU a step runs several times faster with XLA's multi-output fusion, which can be switched on
only through the environment, before the first computation. Importing ketjax does so
(`ketjax.backend`), unless jax has started by then:

    XLA_FLAGS=--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true

Without it the CPU compiler copies shared subexpressions into each of their many readers, which
takes minutes for a large system; then it is better not to fuse at all.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer

from ketjax.solve.keeping import KeptProgram


def compile_program(function: Callable[..., Any], identity: str = "") -> Callable[..., Any]:
    """A compiled version of a function that holds a step.

    Args:
        function: function of pytrees of arrays.
        identity: what tells the function from others, so that it is kept for later processes; then
            it returns a tuple of arrays. Empty: it is not kept.

    Returns:
        The compiled function; it can be differentiated and called from other compiled functions.
    """
    plain = jax.jit(function)
    if jax.default_backend() != "cpu":
        return plain
    # What is worth computing once is hoisted by hand (``structure.hoist``), so these passes are not
    # needed; with them the march takes as long (``python -m benchmarks --only compiler``).
    passes = "while-loop-invariant-code-motion,while-loop-fusible-sinking"
    # XLA goes by the name of this option, whatever its value.
    if "xla_cpu_use_multi_output_fusion" not in os.environ.get("XLA_FLAGS", ""):
        passes += ",fusion"
    options = {"xla_disable_hlo_passes": passes}
    if identity:
        return KeptProgram(function, options, identity)
    tuned = jax.jit(function, compiler_options=options)

    def call(*arguments: Any) -> Any:
        # Compiler options are refused inside another transformation.
        inside = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments))
        return (plain if inside else tuned)(*arguments)

    return call
