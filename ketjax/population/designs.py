"""Designs of sampling: where patient i lies in the unit cube, by named stream.

A random patient is `fold_in(fold_in(key, stream), i)`, a quasi-random one is the i-th point of a
scrambled Sobol sequence. Either way patient i is the same person in a population of any size.
"""

import warnings
import zlib

import jax
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]
PAIRS = 2**14  # of a stream and a patient at once: one program, whatever the population
SOBOL_BITS = 32  # SciPy cannot move on in a sequence of more


def stream_tag(name: str) -> int:
    """Number of a named stream; it depends on the name alone, so that new streams move no other."""
    return zlib.crc32(name.encode())


def random_normals(seed: int, streams: tuple[str, ...], patients: NDArray[np.int64]) -> Array:
    """Standard normal numbers of named streams.

    Args:
        seed: Seed of the study.
        streams: Names of streams.
        patients: Identities, shape (patient,), below 2**32.

    Returns:
        Numbers, shape (stream, patient).
    """
    tags = np.array([stream_tag(name) for name in streams], dtype=np.uint32)
    pairs = np.zeros((2, -(-tags.size * patients.size // PAIRS), PAIRS), np.uint32)
    pairs[0].flat[: tags.size * patients.size] = np.repeat(tags, patients.size)
    pairs[1].flat[: tags.size * patients.size] = np.tile(patients.astype(np.uint32), tags.size)
    key = _key(seed)
    words = np.concatenate([_bits(key, *some) for some in zip(*pairs, strict=True)])
    high, low = words[: tags.size * patients.size].astype(np.float64).T
    # 53 random bits, moved by half a step so that neither 0 nor 1 occurs.
    uniform = (np.floor(high / 2**5) * 2.0**26 + np.floor(low / 2**6) + 0.5) / 2.0**53
    return ndtri(uniform).reshape(tags.size, patients.size)


def sobol_normals(seed: int, streams: tuple[str, ...], patients: NDArray[np.int64]) -> Array:
    """Standard normal numbers from a scrambled Sobol sequence, one dimension a stream.

    Args:
        seed: Seed of the scrambling.
        streams: Names of streams; their order is the order of dimensions.
        patients: Identities, shape (patient,): positions in the sequence.

    Returns:
        Numbers, shape (stream, patient).
    """
    # Half a second to load, which only this design needs.
    from scipy.stats import qmc

    first, last = int(patients.min()), int(patients.max())
    sequence = qmc.Sobol(len(streams), scramble=True, bits=SOBOL_BITS, rng=seed)
    if first:
        sequence.fast_forward(first)
    with warnings.catch_warnings():
        # A block of the sequence need not hold a power of two of points.
        warnings.simplefilter("ignore", UserWarning)
        points = sequence.random(last - first + 1)[patients - first]
    half_step = 2.0 ** -(SOBOL_BITS + 1)
    return ndtri(np.ascontiguousarray(points.T) + half_step)


def _key(seed: int) -> jax.Array:
    """Key of a seed of up to 63 bits, the same whether 64-bit numbers are on or off."""
    key = jax.random.key(seed & 0x7FFFFFFF, impl="threefry2x32")
    return jax.random.fold_in(key, np.uint32(seed >> 31))


@jax.jit
def _bits(key: jax.Array, tags: jax.Array, patients: jax.Array) -> jax.Array:
    """Two random words for each pair of a stream and a patient."""

    def of_pair(tag: jax.Array, patient: jax.Array) -> jax.Array:
        stream = jax.random.fold_in(key, tag)
        return jax.random.bits(jax.random.fold_in(stream, patient), (2,), np.uint32)

    return jax.vmap(of_pair)(tags, patients)
