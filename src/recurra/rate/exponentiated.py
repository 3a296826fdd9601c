"""Exponentiated gradient: a weight is multiplied instead of added to, so none changes its sign or dies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from recurra.errors import OptionError
from recurra.training.optimizers import import_optax

MULTIPLIED = ("w", "w_out", "w_in")


def exponentiated_gradient(lr: float, others: Any = None) -> Any:
    """Return an optimiser that multiplies weights by exp(-lr sign(w) gradient) (Kivinen & Warmuth 1997).

    A weight of 0 stays 0. Numbers that are no weights are given to another optimiser, since theirs may be 0.

    Arguments:
        lr: learning rate.
        others: optimiser of `b_out` and `taus_gaus`; Adam with the same rate if `None`.

    Returns:
        An optax.GradientTransformation for the free numbers of a rate network.

    Raises:
        OptionError: the rate is no number > 0.
    """
    if not isinstance(lr, (int, float)) or isinstance(lr, bool) or not lr > 0:
        raise OptionError(f"lr: exponentiated gradient needs a number > 0, got {lr!r}.")
    optax = import_optax()
    rules = {"multiply": multiply(lr), "other": optax.adam(lr) if others is None else others}
    return optax.multi_transform(rules, lambda free: {n: "multiply" if n in MULTIPLIED else "other" for n in free})


def multiply(lr: float) -> Any:
    """Return the rule for weights alone.

    >>> rule = multiply(1.0)
    >>> change, _ = rule.update({"w": jnp.array([1.0, 0.5])}, rule.init(None), {"w": jnp.array([2.0, 0.0])})
    >>> [abs(round(float(v), 4)) for v in change["w"]]
    [1.2642, 0.0]
    """
    optax = import_optax()

    def change(gradient: Any, weight: Any) -> Any:
        return weight * jnp.expm1(-lr * jnp.sign(weight) * gradient)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(change, gradients, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
