"""The generator written out gives JAX's numbers: the same bits, scaled up to rounding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.engine.randomness import fold_in, normal, uniform


@given(seed=st.integers(-(2**63), 2**63 - 1), data=st.integers(0, 2**32 - 1))
def test_fold_in_is_that_of_jax(seed: int, data: int) -> None:
    key = jax.random.key(seed)
    expected = jax.random.key_data(jax.random.fold_in(key, jnp.uint32(data)))
    assert np.array_equal(jax.random.key_data(fold_in(key, jnp.uint32(data))), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (128,), (3, 5), (2, 3, 4), (0,)])
def test_draws_are_those_of_jax(shape: tuple[int, ...], dtype) -> None:
    for seed in range(3):
        key = jax.random.fold_in(jax.random.key(seed), 5)
        assert np.array_equal(uniform(key, shape, dtype), jax.random.uniform(key, shape, dtype))
        few = 8 * jnp.finfo(dtype).eps
        pairs = (
            (uniform(key, shape, dtype, -2.0, 3.5), jax.random.uniform(key, shape, dtype, -2.0, 3.5)),
            (normal(key, shape, dtype), jax.random.normal(key, shape, dtype)),
        )
        for ours, theirs in pairs:
            assert np.allclose(ours, theirs, rtol=few, atol=few)
        assert uniform(key, shape, dtype).dtype == dtype


def test_draws_under_jit_and_vmap_are_those_of_jax() -> None:
    keys = jax.random.split(jax.random.key(1), 4)
    ours = jax.jit(jax.vmap(lambda key: normal(fold_in(key, 3), (9,), jnp.float64)))(keys)
    theirs = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 3), (9,), jnp.float64))(keys)
    assert np.abs(ours - theirs).max() < 1e-15  # fused, the compiler may contract a product and a sum


def test_another_generator_is_left_to_jax() -> None:
    key = jax.random.key(0, impl="rbg")
    assert np.array_equal(normal(fold_in(key, 2), (5,)), jax.random.normal(jax.random.fold_in(key, 2), (5,)))
