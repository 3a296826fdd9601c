"""Addressed randomness: every draw has a key made of (seed, path of the stream, step).

Chunking, resuming, batching, merging nodes or adding a recording therefore never changes a number.
"""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32


def stream_seed(path: str) -> int:
    """Return the number of the random stream of a path; the same on every machine and in every process.

    >>> stream_seed("e/rate_op/xi@r") == stream_seed("e/rate_op/xi@r")
    True
    """
    return int.from_bytes(hashlib.blake2s(path.encode(), digest_size=4).digest(), "little")


def seed_key(seed: object) -> Array:
    """Make a key from an integer seed, or take a key as it is."""
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    return jax.random.key(seed)  # type: ignore[arg-type]


def stream_keys(key: Array, seeds: UInt32[Array, " streams"]) -> Array:
    """Make one key for each stream."""
    return jax.vmap(lambda seed: jax.random.fold_in(key, seed))(seeds)


def draw_normal(keys: Array, step: Array, size: int, dtype: object) -> Float[Array, " units"]:
    """Draw standard normal numbers for one step: `size` units of each stream, one after the other."""
    draw = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, step), (size,), dtype))  # type: ignore
    return draw(keys).reshape(-1)
