"""Groups of neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import OptionError, ShapeError, TemplateError, UnknownTag, unknown
from recurra.groups.behavior import Behavior
from recurra.groups.network import GroupNetwork
from recurra.groups.objects import Behaviors, NetworkObject, check_count, object_tags, read_behaviors

if TYPE_CHECKING:
    from recurra.groups.subgroups import NeuronSubGroup
    from recurra.groups.synapses import SynapseGroup

afferent = 0
"""The synapses that lead to a group."""
efferent = 1
"""The synapses that start from a group."""
_SIDES = {
    afferent: afferent, "afferent": afferent, "pre": afferent, "dendrite": afferent,
    efferent: efferent, "efferent": efferent, "post": efferent, "axon": efferent,
}  # fmt: skip


class NeuronGroup(NetworkObject):
    """Hold neurons; what they are and do is said by behaviors, which set attributes of the group.

    Arguments:
        net: the network.
        size: number of neurons, or a grid: :class:`NeuronDimension`, :func:`get_squared_dim`.
        behavior: number -> :class:`Behavior`; smaller numbers are executed first, over all groups.
        tag: one tag or several, separated by commas; `"NeuronGroup"` and `"ng"` are tags too.
        color: for pictures.

    Raises:
        RecurraError: something does not fit.

    Attributes of its own: `size`, `id` (0, 1, ...), `network`, `tags`, `behavior`, `recording`, `iteration`.

    >>> from recurra.groups import GroupNetwork
    >>> net = GroupNetwork(seed=1)
    >>> group = NeuronGroup(net, 3, tag="cells")
    >>> group.vector("uniform(0, 1)").round(3).tolist()
    [0.417, 0.72, 0.0]
    """

    def __init__(
        self, net: GroupNetwork, size: int | Behavior, behavior: Behaviors = None, tag: Any = None, color: Any = None
    ):
        check_network(net, "NeuronGroup")
        tags = object_tags(tag, ("NeuronGroup", "ng"), f"NeuronGroup_{len(net.NeuronGroups) + 1}", "NeuronGroup")
        self._set_up(net, tags)
        self.BaseNeuronGroup, self.mask, self.color = self, True, color
        behaviors = read_behaviors(behavior, repr(self))
        if isinstance(size, Behavior):
            if 0 in behaviors:
                raise OptionError(f"{self!r}: number 0 is that of the grid; give {behaviors[0]!r} another one.")
            behaviors = {0: size, **behaviors}
            self.size = 0
        else:
            self.size = check_count(size, f"{self!r}: size")
        self.id = np.arange(self.size)
        net.NeuronGroups.append(self)
        try:
            self._add_own(behaviors)
            if self.size == 0:
                raise ShapeError(f"{self!r}: size={size!r} has not set the size of the group; use NeuronDimension.")
        except Exception:
            net.discard(self)
            raise

    def __repr__(self) -> str:
        size = f", {self.size} neurons" if self.__dict__.get("size") else ""
        return f"NeuronGroup({self.tag!r}{size})"

    # Arrays

    def vector(self, mode: Any = "zeros()", scale: Any = None, density: Any = None, plot: bool = False) -> Any:
        """Make an array with one number for each neuron.

        Arguments:
            mode: a number, an array, or a text: `"uniform(0, 1)"`, `"normal(0.3, 0.1)"`, `"5*ones()"`, `"0.5"`, or any
                other distribution of `numpy.random`; `"bool"` and `"int"` for zeros of this type.
            scale: what it is multiplied with.
            density: probability that an entry is kept; the others are 0.
            plot: draw a histogram.

        Returns:
            `(size,)`, in the network's type.

        Raises:
            EquationError: the text cannot be read.
        """
        return self.make_array(mode, (self.size,), scale, density, plot)

    get_neuron_vec = vec = vector

    def array_of(self, mode: Any, *, plot: bool = False, where: str = "") -> Any:
        """Make an array with one number for each neuron, as :meth:`vector` does; `where` is for messages."""
        return self.make_array(mode, (self.size,), plot=plot, where=where)

    def vector_buffer(self, size: int) -> np.ndarray:
        """Return zeros for the last `size` values of each neuron: `(size, neurons)`; see :meth:`buffer_roll`."""
        return self.get_buffer_mat((self.size,), size)

    # Synapses

    def synapses(self, mode: int | str, tag: str = "All") -> list[SynapseGroup]:
        """List the synapse groups that lead to the group, or start from it.

        Arguments:
            mode: :data:`afferent` or :data:`efferent`.
            tag: which; all of them by default.

        Returns:
            The synapse groups in the order in which they were made, those at sub-groups included.

        Raises:
            UnknownTag: no synapse group of the network has the tag.
        """
        side = _side(mode, self)
        found = [s for s in self.network.SynapseGroups if tag == "All" or tag in s.tags]
        if not found and tag != "All" and tag not in self.network.synapse_tags:
            known = [t for s in self.network.SynapseGroups for t in s.tags]
            raise UnknownTag(unknown("tag of synapses", tag, [*known, "All"], repr(self)))
        return [s for s in found if (s.dst if side == afferent else s.src).BaseNeuronGroup is self]

    def require_synapses(self, name: str, afferent: bool = True, efferent: bool = True, warning: bool = False) -> None:
        """Let :meth:`synapses` give an empty list for a tag that no synapse group has.

        Arguments:
            name: the tag.
            afferent, efferent, warning: kept for code that passes them; a tag is declared for both sides.
        """
        self.network.synapse_tags.add(name)

    @property
    def afferent_synapses(self) -> dict[str, list[SynapseGroup]]:
        """Map each tag of synapses in the network, and `"All"`, to those that lead to the group."""
        return self._by_tag(afferent)

    @property
    def efferent_synapses(self) -> dict[str, list[SynapseGroup]]:
        """Map each tag of synapses in the network, and `"All"`, to those that start from the group."""
        return self._by_tag(efferent)

    def _by_tag(self, side: int) -> dict[str, list[SynapseGroup]]:
        tags = ["All", *self.network.synapse_tags, *(t for s in self.network.SynapseGroups for t in s.tags)]
        return _SynapsesByTag({tag: self.synapses(side, tag) for tag in dict.fromkeys(tags)})

    # Parts

    def subGroup(self, mask: Any = None) -> NeuronSubGroup:
        """Return some of the neurons, as a group that reads and writes the attributes of this one.

        Arguments:
            mask: `(size,)`, true for those that belong to it; all if `None`.
        """
        from recurra.groups.subgroups import NeuronSubGroup

        return NeuronSubGroup(self, np.ones(self.size, bool) if mask is None else mask)

    def group_without_subGroup(self, sub: NeuronSubGroup) -> NeuronSubGroup:
        """Return the neurons that are not in a sub-group of this group.

        Raises:
            TemplateError: it is no sub-group of this group.
        """
        if getattr(sub, "BaseNeuronGroup", None) is not self:
            raise TemplateError(f"{self!r}.group_without_subGroup: expected a sub-group of it, got {sub!r}.")
        return self.subGroup(np.isin(self.id, sub.id, invert=True))

    def partition_masks(self, steps: Sequence[int]) -> list[np.ndarray]:
        """Split the neurons into boxes by their positions.

        Arguments:
            steps: number of boxes along x, y and z.

        Returns:
            For each box with a neuron in it, which neurons these are: `(size,)` truth values.

        Raises:
            ShapeError: the group has no positions, or `steps` is not three numbers.
        """
        from recurra.groups.dimensions import block_masks

        where = f"{self!r}.partition_masks"
        if not isinstance(steps, list | tuple) or len(steps) != 3:
            raise ShapeError(f"{where}: steps must be [x, y, z], numbers of boxes, got {steps!r}.")
        x, y, z = (check_count(step, f"{where}: each step") for step in steps)
        return block_masks(self, (x, y, z), where)

    def split_grid_into_sub_group_blocks(self, steps: Sequence[int]) -> list[NeuronSubGroup]:
        """Split the group into sub-groups by position; `steps` as for :meth:`partition_masks`."""
        return [self.subGroup(mask) for mask in self.partition_masks(steps)]


class _SynapsesByTag(dict[str, "list[SynapseGroup]"]):
    """Say which tags there are when one is missing."""

    def __missing__(self, tag: str) -> list[SynapseGroup]:
        raise UnknownTag(unknown("tag of synapses", tag, self))


def _side(mode: Any, where: object) -> int:
    if isinstance(mode, bool) or not isinstance(mode, int | str) or mode not in _SIDES:
        raise OptionError(f"{where!r}: write synapses(afferent, ...) or synapses(efferent, ...), got {mode!r}.")
    return _SIDES[mode]


def check_network(net: object, what: str) -> None:
    """Complain if something is no network."""
    if not isinstance(net, GroupNetwork):
        raise TemplateError(f"{what}: net must be a Network, got {net!r}; write {what}(net=network, ...).")
