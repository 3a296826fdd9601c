"""Matrices of weights by the distance of neurons, or with a fixed number of synapses for each neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import OptionError
from recurra.groups.dimensions import positions
from recurra.groups.objects import check_count

if TYPE_CHECKING:
    from recurra.groups.synapses import SynapseGroup


def distances(synapses: SynapseGroup) -> np.ndarray:
    """Return how far each target is from each source, `(dst, src)`, in the unit of `x`, `y` and `z`.

    Raises:
        ShapeError: one of the groups has no positions.
    """
    what = f"distances of {synapses.tag!r}"
    offsets = positions(synapses.dst, what)[:, None, :] - positions(synapses.src, what)[None, :, :]
    return np.sqrt(np.sum(offsets**2, axis=2))


def near(synapses: SynapseGroup, radius: Any) -> np.ndarray:
    """Return weights that fall in straight lines from 1 to 0 at a radius: see `SynapseGroup.get_distance_mat`."""
    reach = _positive(radius, synapses, "get_distance_mat: radius")
    return _as_weights(synapses, np.maximum(1.0 - distances(synapses) / reach, 0.0))


def ring(synapses: SynapseGroup, radius: Any, inner_exp: Any) -> np.ndarray:
    """Return weights that rise to 1 at a radius and are 0 behind it: see `SynapseGroup.get_ring_mat`."""
    reach = _positive(radius, synapses, "get_ring_mat: radius")
    exponent = _positive(inner_exp, synapses, "get_ring_mat: inner_exp")
    apart = distances(synapses) / reach
    return _as_weights(synapses, np.where(apart <= 1.0, apart**exponent, 0.0))


def fixed_number(synapses: SynapseGroup, count: Any) -> np.ndarray:
    """Return random weights of `count` sources for each target: see `SynapseGroup.get_random_synapse_mat_fixed`."""
    where = f"{synapses!r}.get_random_synapse_mat_fixed: n"
    if check_count(count, where) > synapses.src.size:
        raise OptionError(f"{where} must be at most {synapses.src.size}, the number of sources, got {count}.")
    order, weights = (synapses.ignore_transpose_mode(synapses.matrix("uniform")) for _ in range(2))
    chosen = np.argsort(order, axis=1)[:, :count]
    made = np.zeros_like(weights)
    np.put_along_axis(made, chosen, np.take_along_axis(weights, chosen, axis=1), axis=1)
    return _turned(synapses, made)


def _as_weights(synapses: SynapseGroup, weights: np.ndarray) -> np.ndarray:
    """Scale so that the largest weight of each target is 1."""
    largest = weights.max(axis=1, keepdims=True)
    scaled = np.divide(weights, largest, out=np.zeros_like(weights), where=largest > 0)
    return _turned(synapses, scaled.astype(synapses.network.def_dtype))


def _turned(synapses: SynapseGroup, weights: np.ndarray) -> np.ndarray:
    return np.array(synapses.ignore_transpose_mode(weights))


def _positive(value: Any, synapses: SynapseGroup, what: str) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 < value < np.inf:
        raise OptionError(f"{synapses!r}.{what} must be a finite number > 0, got {value!r}.")
    return float(value)
