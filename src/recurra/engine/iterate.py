"""Loops over something else than time: until a condition holds, and over the items of an axis.

They stand here because all loops of JAX stand in this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from jax import lax
from jaxtyping import Array

Carry = TypeVar("Carry")


def iterate_while(going: Callable[[Carry], Array], body: Callable[[Carry], Carry], carry: Carry) -> Carry:
    """Apply `body` to `carry` as long as `going(carry)` holds.

    Arguments:
        going: carry -> a boolean of no axes.
        body: carry -> the next carry, of the same shapes and types.
        carry: where to begin.

    Returns:
        The first carry for which `going` does not hold.

    >>> int(iterate_while(lambda x: x < 100, lambda x: 2 * x, 3))
    192
    """
    return lax.while_loop(going, body, carry)


def map_items(function: Callable[[Any], Any], items: Any) -> Any:
    """Apply `function` to one item of the first axis after the other, so that memory is needed for one at a time.

    Arguments:
        function: item -> anything of arrays.
        items: arrays with a common first axis.

    Returns:
        What the function returned, along a new first axis.

    >>> import jax.numpy as jnp
    >>> map_items(lambda x: x**2, jnp.arange(3)).tolist()
    [0, 1, 4]
    """
    return lax.map(function, items)
