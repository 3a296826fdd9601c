"""Inverse link functions: from the linear predictor to the mean count (or value) of a bin."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.errors import OptionError, unknown

InverseLink = Callable[[Array], Array]


def one_over_x(x: Array) -> Array:
    """Return `1 / x`, the inverse of the canonical link of the Gamma family.

    >>> float(one_over_x(jnp.asarray(4.0)))
    0.25
    """
    return 1 / x


def identity(x: Array) -> Array:
    """Return `x` itself.

    >>> identity(2.0)
    2.0
    """
    return x


INVERSE_LINKS: dict[str, InverseLink] = {
    "exp": jnp.exp,
    "softplus": jax.nn.softplus,
    "logistic": jax.nn.sigmoid,
    "norm_cdf": jax.scipy.stats.norm.cdf,
    "one_over_x": one_over_x,
    "identity": identity,
    "log_softmax": jax.nn.log_softmax,
}
OTHER_NAMES = {
    "expit": "logistic",
    "sigmoid": "logistic",
    "jax.numpy.exp": "exp",
    "jax.nn.softplus": "softplus",
    "jax.nn.sigmoid": "logistic",
    "jax.scipy.special.expit": "logistic",
    "jax.scipy.stats.norm.cdf": "norm_cdf",
    "jax.nn.log_softmax": "log_softmax",
}


def find_inverse_link(link: str | InverseLink) -> InverseLink:
    """Return an inverse link function by its name, or check one that is given.

    Arguments:
        link: `"exp"`, `"softplus"`, `"logistic"` (or `"expit"`), `"norm_cdf"`, `"one_over_x"`, `"identity"`,
            `"log_softmax"`, or a function of JAX that keeps the shape of an array.

    Returns:
        The function.

    Raises:
        OptionError: the name is unknown, or the function cannot be traced or differentiated by JAX.
        TypeError: neither a name nor a function is given.

    >>> float(find_inverse_link("exp")(jnp.zeros(())))
    1.0
    """
    if isinstance(link, str):
        name = OTHER_NAMES.get(link, link)
        if name not in INVERSE_LINKS:
            raise OptionError(unknown("inverse link function", link, [*INVERSE_LINKS, *OTHER_NAMES]))
        return INVERSE_LINKS[name]
    if not callable(link):
        raise TypeError(
            f"inverse_link_function: expected a name ({', '.join(INVERSE_LINKS)}) or a function of JAX, got "
            f"{type(link).__name__}."
        )
    if link not in INVERSE_LINKS.values():
        _check(link)
    return link


def _check(link: InverseLink) -> None:
    name = getattr(link, "__name__", repr(link))
    try:
        made = jax.eval_shape(link, jnp.ones((2, 3)))
        jax.eval_shape(jax.grad(lambda x: jnp.sum(link(x))), jnp.ones((2, 3)))
    except Exception as problem:
        raise OptionError(
            f"inverse_link_function: {name} cannot be traced and differentiated by JAX "
            f"({type(problem).__name__}). Write it with jax.numpy (jnp.exp, not np.exp)."
        ) from problem
    if np.shape(made) != (2, 3):
        raise OptionError(f"inverse_link_function: {name} must keep the shape; it made {np.shape(made)} of (2, 3).")
