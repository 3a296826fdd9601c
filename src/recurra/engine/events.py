"""Sparse events: draw counts of which most are zero, and visit those that are not.

Cost follows the number of events. The loops cannot be differentiated in reverse mode; callers give gradients of their
own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

ROUNDS = 2
FEW = 10.0  # mean counts from here on are drawn by rejection, as jax.random.poisson does


def for_each_event(counts: Array, carry: Any, body: Callable[[Any, Array, Array], Any]) -> Any:
    """Call `body(carry, index, count)` for every entry of `counts` that is above zero, in order.

    Arguments:
        counts: `(units,)`.
        carry: what goes from call to call.
        body: returns the next carry.

    Returns:
        The last carry.

    >>> int(for_each_event(jnp.asarray([0, 3, 0, 1]), 0, lambda c, i, n: c + 10 * i + n))
    44
    """

    def visit(state: tuple) -> tuple:
        carry, left = state
        index = jnp.argmax(left > 0).astype(jnp.int32)
        return body(carry, index, left[index]), left.at[index].set(0)

    return lax.while_loop(lambda state: jnp.any(state[1] > 0), visit, (carry, counts))[0]


def prepare_poisson(keys: Array, size: int) -> tuple[Array, Array]:
    """Draw beforehand, for many steps at once, the random numbers that most Poisson counts need.

    A Poisson count is how often one can multiply uniform numbers before the product falls below exp(-mean) (Knuth
    1969). Nearly all small counts need one or two numbers, and these do not depend on the mean.

    Arguments:
        keys: `(steps,)`, one key for each step.
        size: number of units.

    Returns:
        For each step its key, and the logarithms of the products of the first numbers, `(steps, rounds, units)`.
    """

    def one(key: Array) -> tuple[Array, Array]:
        def again(carry: tuple, _: None) -> tuple:
            rest, log = carry
            rest, now = jax.random.split(rest)
            log = log + jnp.log(jax.random.uniform(now, (size,), jnp.float32))
            return (rest, log), log

        start = (key, jnp.zeros((size,), jnp.float32))
        return key, lax.scan(again, start, None, length=ROUNDS)[1]  # a loop compiles in half the time of its copies

    return jax.vmap(one)(keys)


def draw_poisson(prepared: tuple[Array, Array], mean: Array) -> Array:
    """Draw one step's Poisson counts: the numbers that `jax.random.poisson(key, mean)` gives for the key of the step.

    Arguments:
        prepared: one step of what :func:`prepare_poisson` returned.
        mean: `(units,)`, zero or above.

    Returns:
        `(units,)`, whole numbers.
    """
    key, logs = prepared
    whole = jnp.result_type(int)
    mean = mean.astype(jnp.float32)
    enough = jnp.all((logs[-1] <= -mean) & (mean < FEW))
    return lax.cond(
        enough,
        lambda: jnp.sum(logs > -mean[None, :], axis=0, dtype=whole),
        lambda: jax.random.poisson(key, mean, dtype=whole),
    )
