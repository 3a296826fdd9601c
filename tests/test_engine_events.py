"""Sparse events: the draws are those of JAX, and every event is visited once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine.events import draw_poisson, for_each_event, prepare_poisson

MEANS = {
    "small": np.full(40, 0.02),
    "mixed": np.geomspace(1e-4, 9.9, 40),
    "about one": np.full(40, 1.0),
    "by rejection": np.geomspace(0.5, 1e5, 40),
    "at the border": np.array([10.0, np.nextafter(np.float32(10), np.float32(0)), 0.0, 1e-30]),
}


@pytest.mark.parametrize("name", MEANS)
def test_poisson_counts_are_those_of_jax(name):
    mean = jnp.asarray(MEANS[name])
    keys = jax.random.split(jax.random.key(3), 300)
    ours = jax.jit(lambda keys: jax.lax.map(lambda p: draw_poisson(p, mean), prepare_poisson(keys, mean.size)))(keys)
    theirs = jax.vmap(lambda key: jax.random.poisson(key, mean))(keys)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)
    assert int(jnp.sum(ours)) > 0


@pytest.mark.parametrize("counts", [[0, 0, 0], [1, 0, 0], [0, 2, 5], [3, 3, 3], [0]])
def test_every_event_is_visited_once_in_order(counts):
    def body(seen, index, count):
        rows, place = seen
        return rows.at[place].set(jnp.stack([index, count.astype(index.dtype)])), place + 1

    seen, number = for_each_event(jnp.asarray(counts), (jnp.full((4, 2), -1, jnp.int32), 0), body)
    wanted = [[i, n] for i, n in enumerate(counts) if n]
    assert seen[: int(number)].tolist() == wanted
