"""Numbers of 64 bits as words of 32: what JAX hands to Python, and back, is narrowed to 32 bits in some threads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def words_shape(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    """Return shape and type of numbers as words."""
    kind = np.dtype(dtype)
    wide = kind.itemsize // 4 if kind.itemsize > 4 else 0
    return jax.ShapeDtypeStruct((*shape, wide), np.dtype(np.uint32)) if wide else jax.ShapeDtypeStruct(shape, kind)


def to_words(value: Any) -> Any:
    """Return a traced value as words; types of up to 32 bits stay what they are.

    >>> with jax.enable_x64(True):
    ...     from_words_now(np.asarray(to_words(jnp.asarray(0.1))), (), np.dtype(float)).item()
    0.1
    """
    value = jnp.asarray(value)
    if value.dtype.itemsize <= 4:
        return value
    if value.dtype.kind == "c":
        parts = to_words(jnp.stack([value.real, value.imag], axis=-1))
        return parts.reshape(*value.shape, -1)
    return lax.bitcast_convert_type(value, np.uint32)


def from_words(words: Any, dtype: Any) -> Any:
    """Return the traced value that words stand for."""
    kind = np.dtype(dtype)
    if kind.itemsize <= 4:
        return words
    if kind.kind == "c":
        parts = from_words(words.reshape(*words.shape[:-1], 2, -1), np.float64)
        return lax.complex(parts[..., 0], parts[..., 1])
    return lax.bitcast_convert_type(words, kind)


def to_words_now(value: np.ndarray) -> np.ndarray:
    """Return an array as words."""
    value = np.ascontiguousarray(value).reshape(np.shape(value))
    shape = words_shape(value.shape, value.dtype)
    return value if shape.dtype == value.dtype else value.reshape(-1).view(np.uint32).reshape(shape.shape)


def from_words_now(words: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return the array that words stand for, in memory of its own."""
    kind = np.dtype(dtype)
    found = np.array(words)
    return found if kind.itemsize <= 4 else np.ascontiguousarray(found).reshape(-1).view(kind).reshape(shape)
