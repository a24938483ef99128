"""Settings of every test: 64 bits, strict shapes and dtypes."""

import jax

import ketjax  # noqa: F401  sets the compiler's flags before jax starts

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
