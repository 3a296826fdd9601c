"""Split a synapse group into blocks of near neurons, so that far pairs take no memory."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from recurra.errors import OptionError, ShapeError
from recurra.groups.behavior import Behavior
from recurra.groups.dimensions import block_masks, positions
from recurra.groups.receptive_fields import reach_of
from recurra.groups.subgroups import NeuronSubGroup
from recurra.groups.synapses import SynapseGroup


class Partition(Behavior):
    """Replace a synapse group by blocks: one for each box of target neurons, from the sources in its reach.

    The blocks have the tags of the group, and each has the part of `enabled` (and of any matrix that the group has
    already) that belongs to it; the group itself leaves the network. Behaviors that write `s.dst.v += s.W.dot(s.src.v)`
    give the same with and without it. Give it after the receptive fields, in the same dict, with a larger number.

    Arguments:
        split_size: neurons of a block along x, y and z, as `[x, y, z]`; `"auto"` takes about 7.

    Raises:
        OptionError: the group has other behaviors, which would be lost, or `split_size` is none of these.

    >>> from recurra.groups import Box_Receptive_Fields, GroupNetwork, NeuronDimension, NeuronGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, NeuronDimension(width=100))
    >>> near = {0: Box_Receptive_Fields(range=2), 1: Partition(split_size=[20, 1, 1])}
    >>> synapses = SynapseGroup(net, cells, cells, tag="near", behavior=near)
    >>> net.initialize()
    >>> blocks = net["near"]
    >>> [block.enabled.shape for block in blocks]
    [(20, 22), (20, 24), (20, 24), (20, 24), (20, 22)]
    >>> sum(block.enabled.size for block in blocks), 100 * 100  # what is kept, of all pairs
    (2320, 10000)
    """

    initialize_on_init: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("split_size",)

    def initialize(self, synapses: Any) -> None:
        """Replace the group by blocks."""
        where = f"Partition of {synapses.tag!r}"
        others = [b for b in synapses.behavior.values() if b is not self and not b.initialize_on_init]
        if others:
            raise OptionError(f"{where}: {others[0]!r} would be lost with the group; give it to the neurons instead.")
        boxes = block_masks(synapses.dst, _split(self.parameter("split_size", "auto"), synapses.dst, where), where)
        reach, source = reach_of(synapses), positions(synapses.src, where)
        for box in boxes:
            target = positions(synapses.dst, where)[box]
            kept = np.ones(len(source), bool)
            if reach is not None:
                low, high = target.min(axis=0) - reach, target.max(axis=0) + reach
                kept = np.all((source >= low - 1e-6) & (source <= high + 1e-6), axis=1)
            if kept.any():
                _block(synapses, kept, box)
        synapses.network.discard(synapses)


def get_sub_synapse_group(synapses: SynapseGroup, src_mask: Any, dst_mask: Any) -> SynapseGroup:
    """Make a synapse group of some sources and targets of another one, with its share of every matrix.

    Arguments:
        synapses: the group; it stays as it is.
        src_mask, dst_mask: `(src.size,)` and `(dst.size,)` truth values.

    Returns:
        The new group; its ends are sub-groups.
    """
    return _block(synapses, np.asarray(src_mask), np.asarray(dst_mask))


def get_partitioned_synapse_matrix(neurons: Any, synapse_tag: str, synapse_var: str) -> np.ndarray:
    """Put a matrix of all synapse groups that lead from a group to others of one size together.

    Arguments:
        neurons: the group to which the synapses lead.
        synapse_tag: their tag; all of them start from parts of one group.
        synapse_var: the name of the matrix, such as `"W"`.

    Returns:
        `(dst, src)`; 0 where no block is.

    Raises:
        OptionError: there are no such synapses, or they come from several groups.

    >>> from recurra.groups import Box_Receptive_Fields, GroupNetwork, NeuronDimension, NeuronGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, NeuronDimension(width=4))
    >>> near = {0: Box_Receptive_Fields(range=1), 1: Partition(split_size=[2, 1, 1])}
    >>> synapses = SynapseGroup(net, cells, cells, tag="near", behavior=near)
    >>> net.initialize()
    >>> get_partitioned_synapse_matrix(cells, "near", "enabled").astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 1, 0],
           [0, 1, 1, 1],
           [0, 0, 1, 1]])
    """
    blocks = _blocks(neurons, synapse_tag)
    first = getattr(blocks[0], synapse_var)
    whole = np.zeros((neurons.size, blocks[0].src.BaseNeuronGroup.size), np.asarray(first).dtype)
    for block in blocks:
        whole[np.ix_(block.dst.id, block.src.id)] = block.ignore_transpose_mode(getattr(block, synapse_var))
    return whole


def set_partitioned_synapse_matrix(neurons: Any, synapse_tag: str, synapse_var: str, values: Any) -> None:
    """Give each synapse group that leads to a group its share of a matrix `(dst, src)`.

    Arguments:
        neurons, synapse_tag, synapse_var: as for :func:`get_partitioned_synapse_matrix`.
        values: `(dst, src)`.

    Raises:
        ShapeError: the matrix has another shape.
        OptionError: there are no such synapses, or they come from several groups.

    >>> from recurra.groups import Box_Receptive_Fields, GroupNetwork, NeuronDimension, NeuronGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, NeuronDimension(width=4))
    >>> near = {0: Box_Receptive_Fields(range=1), 1: Partition(split_size=[2, 1, 1])}
    >>> synapses = SynapseGroup(net, cells, cells, tag="near", behavior=near)
    >>> net.initialize()
    >>> set_partitioned_synapse_matrix(cells, "near", "W", np.arange(16.0).reshape(4, 4))
    >>> net["near", 1].dst.id.tolist(), net["near", 1].src.id.tolist(), net["near", 1].W.tolist()
    ([2, 3], [1, 2, 3], [[9.0, 10.0, 11.0], [13.0, 14.0, 15.0]])
    """
    values = np.asarray(values)
    for block in _blocks(neurons, synapse_tag):
        shape = (neurons.size, block.src.BaseNeuronGroup.size)
        if values.shape != shape:
            raise ShapeError(f"{synapse_tag!r}: {synapse_var} must have the shape {shape}, got {values.shape}.")
        share = values[np.ix_(block.dst.id, block.src.id)]
        setattr(block, synapse_var, np.array(block.ignore_transpose_mode(share)))


def _blocks(neurons: Any, tag: str) -> list[SynapseGroup]:
    found = neurons.synapses("afferent", tag)
    if not found or len({id(block.src.BaseNeuronGroup) for block in found}) > 1:
        raise OptionError(f"{neurons!r}: the synapses {tag!r} must come from parts of one group; got {found!r}.")
    return found


def _block(synapses: SynapseGroup, src_mask: np.ndarray, dst_mask: np.ndarray) -> SynapseGroup:
    src, dst = _part(synapses.src, src_mask), _part(synapses.dst, dst_mask)
    block = SynapseGroup(synapses.network, src, dst, tag=list(synapses.tags))
    rows, columns = (dst_mask, src_mask) if synapses.network.transposed_synapse_matrix_mode else (src_mask, dst_mask)
    for name, value in vars(synapses).items():
        if isinstance(value, np.ndarray) and value.shape == synapses.matrix_dim():
            setattr(block, name, value[np.ix_(rows, columns)])
    block.group_weighting = synapses.group_weighting
    return block


def _part(group: Any, mask: np.ndarray) -> NeuronSubGroup:
    return group.subGroup(mask)


def _split(size: Any, group: Any, where: str) -> tuple[int, int, int]:
    """Return the number of boxes along x, y and z for boxes of a size."""
    wanted = [7, 7, 7] if isinstance(size, str) and size == "auto" else size
    if not isinstance(wanted, list | tuple) or len(wanted) != 3:
        raise OptionError(f"{where}: split_size must be 'auto' or [x, y, z], neurons of a block, got {size!r}.")
    if any(isinstance(w, bool) or not isinstance(w, int | np.integer) or w < 1 for w in wanted):
        raise OptionError(f"{where}: split_size must hold whole numbers >= 1, got {size!r}.")
    sides = [len(np.unique(column)) for column in positions(group, where).T]
    x, y, z = (math.ceil(side / int(w)) for side, w in zip(sides, wanted, strict=True))
    return x, y, z
