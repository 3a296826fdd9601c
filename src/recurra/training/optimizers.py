"""Optimisers by name, through optax."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import MissingPackageError, OptionError, unknown

if TYPE_CHECKING:
    import optax

OPTIMIZERS = ("sgd", "adam", "adamw", "adagrad", "adadelta", "adamax", "rmsprop", "rprop")
DEFAULT_RATE = 1e-3


def import_optax() -> Any:
    """Return the module optax.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import optax
    except ImportError:
        raise MissingPackageError(
            "training by gradients needs the package optax: install it with `pip install recurra[training]`."
            " fit_ridge and fit_rls do without it."
        ) from None
    return optax


def find_optimizer(
    optimizer: object, lr: object = DEFAULT_RATE, clip: float | None = None
) -> tuple[str, optax.GradientTransformation, Callable[[int], float]]:
    """Return name, optimiser and learning rate by update.

    Arguments:
        optimizer: one of `OPTIMIZERS` with optax's defaults, or any optax.GradientTransformation.
        lr: a number, or a function of the update's number (an optax schedule).
        clip: largest norm of the gradient over all parameters (Pascanu, Mikolov & Bengio 2013).

    Raises:
        OptionError: there is no optimiser of this name, or a rate or norm is not a number > 0.
    """
    optax = import_optax()
    if clip is not None and not (isinstance(clip, (int, float)) and clip > 0):
        raise OptionError(f"clip is the largest norm of the gradient, a number > 0; got {clip!r}.")
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise OptionError(
                unknown("optimizer", optimizer, OPTIMIZERS) + " An optax.GradientTransformation is taken too."
            )
        if not callable(lr) and not (isinstance(lr, (int, float, np.floating)) and lr >= 0):
            raise OptionError(f"lr must be a number >= 0 or an optax schedule, got {lr!r}.")
        # rprop keeps its steps in its state and takes a number only.
        if optimizer == "rprop" and callable(lr):
            raise OptionError("optimizer 'rprop' adapts its steps itself and takes no schedule: give lr a number.")
        name, found = optimizer, getattr(optax, optimizer)(lr)
        rate = (lambda k: float(lr(k))) if callable(lr) else (lambda k: float(lr))  # type: ignore[arg-type]
    elif hasattr(optimizer, "init") and hasattr(optimizer, "update"):
        if lr != DEFAULT_RATE:
            raise OptionError("lr: the optimiser given as an object has its own learning rate; set it there.")
        name, found, rate = type(optimizer).__name__, optimizer, lambda k: float("nan")
    else:
        raise OptionError(unknown("optimizer", optimizer, OPTIMIZERS))
    if clip is not None:
        found = optax.chain(optax.clip_by_global_norm(clip), found)
    return name, found, rate  # type: ignore[return-value]


def plain_number(value: Any) -> Any:
    """Return a number as a float, so that 1 and 1.0 have one identity; anything else as it is."""
    return float(value) if isinstance(value, int | float | np.number) else value
