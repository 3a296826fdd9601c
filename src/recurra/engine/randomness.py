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
    return jax.vmap(lambda key: normal_at(key, step, size, dtype))(keys).reshape(-1)


def normal_at(key: Array, step: Array, size: int, dtype: object) -> Float[Array, " units"]:
    """Draw `size` standard normal numbers for one step of a stream.

    In float32 every call of the cipher gives two numbers, for two units, with the step as its counter; `jax.random`
    makes a new key for the step and one number of each call, which takes more than twice as long.

    Arguments:
        key: of the stream.
        step: number of the step.
        size: how many.
        dtype: `float32` or `float64`.

    >>> draws = normal_at(jax.random.key(0), jnp.int32(3), 20_000, jnp.float32)
    >>> bool(abs(draws.mean()) < 0.03) and bool(abs(draws.std() - 1) < 0.02)
    True
    """
    words = jax.random.key_data(key)
    if jnp.dtype(dtype) != jnp.float32 or words.shape != (2,):  # type: ignore
        return jax.random.normal(jax.random.fold_in(key, step), (size,), dtype)  # type: ignore[arg-type]
    units = jnp.arange((size + 1) // 2, dtype=jnp.uint32)
    first, second = threefry(words, units, jnp.broadcast_to(jnp.asarray(step).astype(jnp.uint32), units.shape))
    # 24 bits in the middle of their intervals: between -1 and 1, neither of them reached.
    uniform = (jnp.concatenate([first, second])[:size] >> 8).astype(jnp.float32) * 2.0**-23 + (2.0**-24 - 1.0)
    return jnp.sqrt(jnp.float32(2.0)) * jax.lax.erf_inv(uniform)


ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Encrypt pairs of 32-bit words with Threefry-2x32 of 20 rounds (Salmon, Moraes, Dror & Shaw 2011).

    Arguments:
        key: two words.
        first, second: the words, of any equal shape.

    The test vector of the authors:

    >>> zero = jnp.zeros(1, jnp.uint32)
    >>> [hex(int(word[0])) for word in threefry(jnp.zeros(2, jnp.uint32), zero, zero)]
    ['0x6b200159', '0x99ba4efe']
    """
    words = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    a, b = first + words[0], second + words[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            a = a + b
            b = ((b << rotation) | (b >> (32 - rotation))) ^ a
        a, b = a + words[(group + 1) % 3], b + words[(group + 2) % 3] + jnp.uint32(group + 1)
    return a, b
