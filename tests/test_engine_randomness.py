"""Noise in float32: the cipher's test vectors, moments, and independence of units, steps and streams."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine.randomness import normal_at, threefry

# Salmon et al. 2011, the known answers that come with their library: counter, key, result.
ONES = 0xFFFFFFFF
VECTORS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((ONES, ONES), (ONES, ONES), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_the_cipher_gives_the_known_answers(counter, key, expected):
    found = threefry(jnp.array(key, jnp.uint32), *(jnp.array([word], jnp.uint32) for word in counter))
    assert tuple(int(word[0]) for word in found) == expected


def draws(steps: int, size: int, seed: int = 0) -> np.ndarray:
    key = jax.random.key(seed)
    return np.asarray(jax.vmap(lambda k: normal_at(key, k, size, jnp.float32))(jnp.arange(steps)))


def test_moments_are_those_of_a_normal_distribution():
    rows = draws(2000, 101)
    assert rows.shape == (2000, 101) and np.all(np.isfinite(rows))
    error = 1 / np.sqrt(rows.size)
    assert abs(rows.mean()) < 4 * error
    assert abs(rows.var() - 1) < 4 * np.sqrt(2) * error
    assert abs((rows**3).mean()) < 4 * np.sqrt(15) * error
    assert abs((rows**4).mean() - 3) < 4 * np.sqrt(96) * error
    assert 4 < np.abs(rows).max() < 6


def test_units_steps_and_streams_are_independent():
    rows, other = draws(4000, 20), draws(4000, 20, seed=1)
    limit = 5 / np.sqrt(4000)
    assert np.abs(np.corrcoef(rows.T) - np.eye(20)).max() < limit
    assert np.abs((rows[1:] * rows[:-1]).mean(axis=0)).max() < limit
    assert np.abs((rows * other).mean(axis=0)).max() < limit


