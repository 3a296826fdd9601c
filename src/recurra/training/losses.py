"""Losses by name: the error of every row and unit, and its mean under a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.errors import OptionError, ShapeError, unknown

Loss = Callable[[Array, Array], Array]


def _of_class(log_p: Array, targets: Array) -> Array:
    """Minus the log-probability of each row's class, or of a distribution over classes; `(rows, 1)`."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return -jnp.take_along_axis(log_p, targets[:, None], axis=-1)
    return -_expected(targets, log_p)


def _divergence(log_p: Array, targets: Array) -> Array:
    # Kullback & Leibler 1951; 0 log 0 is 0.
    entropy = jnp.sum(jax.scipy.special.xlogy(targets, targets), axis=-1, keepdims=True)
    return entropy - _expected(targets, log_p)


def _expected(targets: Array, log_p: Array) -> Array:
    """Return the mean of log-probabilities under a distribution; what never happens counts nothing, even log 0."""
    happens = targets != 0
    return jnp.sum(jnp.where(happens, targets * jnp.where(happens, log_p, 0), 0), axis=-1, keepdims=True)


# Each is a function of outputs (rows, units) and targets that returns (rows, units), or (rows, 1) where the units
# belong together.
LOSSES: Mapping[str, Loss] = {
    "mse": lambda outputs, targets: (outputs - targets) ** 2,
    "l1": lambda outputs, targets: jnp.abs(outputs - targets),
    # Outputs are log-probabilities, targets class numbers or probabilities.
    "nll": _of_class,
    # Outputs are logits.
    "ce": lambda outputs, targets: _of_class(jax.nn.log_softmax(outputs, axis=-1), targets),
    # Outputs are log-probabilities, targets probabilities.
    "kld": _divergence,
    # Targets are -1 or 1 (Cortes & Vapnik 1995).
    "hinge": lambda outputs, targets: jax.nn.relu(1.0 - targets * outputs),
}
CLASSES = ("nll", "ce")


def _is_right(outputs: Array, targets: Array) -> Array:
    """Say for each row whether the largest output is that of its class."""
    wanted = targets if jnp.issubdtype(targets.dtype, jnp.integer) else jnp.argmax(targets, axis=-1)
    return (jnp.argmax(outputs, axis=-1) == wanted)[:, None].astype(outputs.dtype)


# What is told and not minimised; any loss is a metric too.
METRICS: Mapping[str, Loss] = {**LOSSES, "accuracy": _is_right}


def find_metrics(metrics: object) -> dict[str, Loss]:
    """Return name -> function of metrics: names, or a dict of name -> function of outputs and targets, as of a loss.

    Raises:
        OptionError: there is no metric of a name, or a name is that of a column of the history.
    """
    if isinstance(metrics, str):
        metrics = [metrics]
    given = metrics if isinstance(metrics, Mapping) else {name: name for name in metrics or ()}  # type: ignore
    found = {}
    for name, what in given.items():
        if not isinstance(name, str) or (not callable(what) and what not in METRICS):
            raise OptionError(unknown("metric", what, METRICS) + " A dict of name -> function is taken too.")
        found[name] = what if callable(what) else METRICS[what]  # type: ignore[index]
    return found


def find_loss(loss: object) -> tuple[str, Loss]:
    """Return name and function of a loss; a callable is taken as it is.

    Raises:
        OptionError: there is no loss of this name.
    """
    if callable(loss):
        return getattr(loss, "__name__", type(loss).__name__), loss  # type: ignore[return-value]
    if not isinstance(loss, str) or loss not in LOSSES:
        raise OptionError(unknown("loss", loss, LOSSES) + " A function of outputs and targets is taken too.")
    return loss, LOSSES[loss]


def trial_loss(loss: Loss, outputs: Array, targets: Array, mask: Array) -> tuple[Array, Array]:
    """Return the loss of one trial: the mean of the errors where the mask is not 0, and the mask's weight.

    Arguments:
        loss: errors of outputs and targets, `(rows, units)`, `(rows, 1)`, `(rows,)` or one number; it is shown zeros in
            place of outputs that do not count.
        outputs: `(rows, units)`.
        targets: `(rows, units)`, or `(rows,)` class numbers.
        mask: `(rows, units)` or `(rows, 1)`.

    Returns:
        The mean, 0 where nothing is counted, and the sum of the mask over the rows.
    """
    # What is masked may be infinite; it must reach neither the sum nor its derivative.
    errors = jnp.asarray(loss(jnp.where(mask > 0, outputs, 0), targets))
    if errors.ndim == 0:
        return errors, jnp.sum(mask)
    errors = errors[:, None] if errors.ndim == 1 else errors
    if errors.ndim != 2 or errors.shape[0] != mask.shape[0] or (mask.shape[1] != 1 and mask.shape != errors.shape):
        raise ShapeError(
            f"loss: it returned shape {errors.shape} for outputs {outputs.shape} and a mask {mask.shape}; expected one"
            " number per row, or per row and unit like the mask."
        )
    weights = jnp.broadcast_to(mask, errors.shape)
    total = jnp.sum(jnp.where(weights > 0, errors, 0) * weights)
    weight = jnp.sum(weights)
    return total / jnp.where(weight > 0, weight, 1), weight


def mean_loss(losses: Array, weights: Array) -> Array:
    """Return the mean over those trials that count at all."""
    counted = (weights > 0).astype(losses.dtype)
    return jnp.sum(jnp.where(weights > 0, losses, 0)) / jnp.maximum(jnp.sum(counted), 1)
