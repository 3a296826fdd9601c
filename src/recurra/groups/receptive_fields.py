"""Which synapses exist: by the distance of the neurons, and none from a neuron to itself."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from recurra.errors import ShapeError
from recurra.groups.behavior import Behavior
from recurra.groups.dimensions import positions


class Receptive_Fields(Behavior):
    """Restrict the synapses of a group: override :meth:`get_enabled_mat`.

    The result is joined with the group's `enabled`, which becomes a matrix of truth values in the shape of the weights.

    Arguments:
        remove_autapses: whether synapses of a neuron with itself are removed.

    Raises:
        ShapeError: `get_enabled_mat` gives another shape than `(dst, src)`.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> class Forward(Receptive_Fields):
    ...     def get_enabled_mat(self, synapses):
    ...         return synapses.dst.id[:, None] >= synapses.src.id[None, :]
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 3)
    >>> synapses = SynapseGroup(net, cells, cells, behavior={0: Forward(remove_autapses=True)})
    >>> net.initialize()
    >>> synapses.enabled.astype(int).tolist()  # [dst][src]
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """

    initialize_on_init: ClassVar[bool] = True

    def initialize(self, synapses: Any) -> None:
        """Restrict the synapses."""
        shape = (synapses.dst.size, synapses.src.size)
        mask = np.asarray(self.get_enabled_mat(synapses))
        if mask.shape != shape:
            raise ShapeError(
                f"{type(self).__name__} of {synapses.tag!r}: get_enabled_mat must give the shape (dst, src) = {shape},"
                f" got {mask.shape}."
            )
        if self.parameter("remove_autapses", False):
            mask = mask & ~_same_neuron(synapses)
        # The view is (dst, src) for either order of the weights, so the mask is never turned round.
        enabled = np.array(np.broadcast_to(synapses.enabled, synapses.matrix_dim()), bool)
        synapses.ignore_transpose_mode(enabled)[...] &= mask.astype(bool)
        synapses.enabled = enabled

    def get_enabled_mat(self, synapses: Any) -> Any:
        """Return which synapses may exist: `(dst, src)`, truth values."""
        return np.ones((synapses.dst.size, synapses.src.size), bool)


class Remove_Autapses(Receptive_Fields):
    """Remove the synapses of each neuron with itself.

    Arguments:
        tag, behavior_enabled: as for :class:`recurra.groups.Behavior`.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2)
    >>> synapses = SynapseGroup(net, cells, cells, behavior={0: Remove_Autapses()})
    >>> net.initialize()
    >>> synapses.enabled.tolist()
    [[False, True], [True, False]]
    """

    def get_enabled_mat(self, synapses: Any) -> Any:
        """Return all synapses but those."""
        return ~_same_neuron(synapses)


class Box_Receptive_Fields(Receptive_Fields):
    """Keep the synapses between neurons that differ by at most `range` along x, y and z.

    Arguments:
        range: a number, or one for each of x, y and z.
        remove_autapses: whether synapses of a neuron with itself are removed.

    Raises:
        ShapeError: the reach is neither a number >= 0 nor three of them.

    >>> from recurra.groups import GroupNetwork, NeuronDimension, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, NeuronDimension(width=5, height=5))
    >>> synapses = SynapseGroup(net, cells, cells, behavior={0: Box_Receptive_Fields(range=1)})
    >>> net.initialize()
    >>> synapses.enabled[12].reshape(5, 5).astype(int)  # the sources of the neuron in the middle
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """

    positional: ClassVar[tuple[str, ...]] = ("range", "remove_autapses")

    def get_enabled_mat(self, synapses: Any) -> Any:
        """Return the synapses in the box."""
        reach = _reach(self.parameter("range", required=True), f"Box_Receptive_Fields of {synapses.tag!r}, range")
        return np.all(np.abs(_offsets(synapses)) <= reach, axis=2)


class Circle_Receptive_Fields(Receptive_Fields):
    """Keep the synapses between neurons whose distance is at most `radius`.

    Arguments:
        radius: a number, or one for each of x, y and z (an ellipsoid).
        remove_autapses: whether synapses of a neuron with itself are removed.

    Raises:
        ShapeError: the reach is neither a number >= 0 nor three of them.

    >>> from recurra.groups import GroupNetwork, NeuronDimension, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, NeuronDimension(width=5, height=5))
    >>> synapses = SynapseGroup(net, cells, cells, behavior={0: Circle_Receptive_Fields(radius=2)})
    >>> net.initialize()
    >>> synapses.enabled[12].reshape(5, 5).astype(int)  # the sources of the neuron in the middle
    array([[0, 0, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 1, 0],
           [0, 0, 1, 0, 0]])
    """

    positional: ClassVar[tuple[str, ...]] = ("radius", "remove_autapses")

    def get_enabled_mat(self, synapses: Any) -> Any:
        """Return the synapses in the circle."""
        reach = _reach(self.parameter("radius", required=True), f"Circle_Receptive_Fields of {synapses.tag!r}, radius")
        offsets = _offsets(synapses)
        near = np.divide(offsets, reach, out=np.where(offsets == 0, 0.0, np.inf), where=reach > 0)
        return np.sum(near**2, axis=2) <= 1 + 1e-12


def reach_of(synapses: Any) -> np.ndarray | None:
    """Return how far the receptive fields of a synapse group reach along x, y and z; `None` without any."""
    found = [
        _reach(behavior.parameter(key), f"{behavior!r}, {key}")
        for behavior in synapses.behavior.values()
        for kind, key in ((Box_Receptive_Fields, "range"), (Circle_Receptive_Fields, "radius"))
        if isinstance(behavior, kind) and key in behavior.init_kwargs
    ]
    return np.min(found, axis=0) if found else None


def _reach(value: Any, where: str) -> np.ndarray:
    found = np.asarray(value, float) if np.asarray(value).dtype.kind in "if" else np.array(np.nan)
    if found.shape not in ((), (3,)) or not np.all(found >= 0):
        raise ShapeError(f"{where}: expected a number >= 0, or three of them for x, y and z, got {value!r}.")
    return np.broadcast_to(found, (3,)).astype(float)


def _offsets(synapses: Any) -> np.ndarray:
    what = f"receptive fields of {synapses.tag!r}"
    return positions(synapses.dst, what)[:, None, :] - positions(synapses.src, what)[None, :, :]


def _same_neuron(synapses: Any) -> np.ndarray:
    src, dst = synapses.src, synapses.dst
    if src.BaseNeuronGroup is not dst.BaseNeuronGroup:
        return np.zeros((dst.size, src.size), bool)
    return dst.id[:, None] == src.id[None, :]
