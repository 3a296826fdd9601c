"""Groups of synapses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import TemplateError, UnknownTag, unknown
from recurra.groups import geometry
from recurra.groups.network import GroupNetwork
from recurra.groups.neurons import NeuronGroup, check_network
from recurra.groups.objects import Behaviors, NetworkObject, object_tags, read_behaviors

if TYPE_CHECKING:
    from recurra.groups.subgroups import NeuronSubGroup


class SynapseGroup(NetworkObject):
    """Join two groups of neurons; behaviors give it weights and use them.

    Arguments:
        net: the network.
        src, dst: where it starts and where it leads: groups, sub-groups, or the tag of one group, which may be made
            later.
        tag: one tag or several, separated by commas; `"SynapseGroup"`, `"syn"` and `"<src>_to_<dst>"` are tags too.
        behavior: number -> :class:`Behavior`.

    Raises:
        RecurraError: something does not fit.

    Attributes of its own: `src`, `dst`, `enabled` (True), `group_weighting` (1), `network`, `tags`, `behavior`.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork()
    >>> a, b = NeuronGroup(net, 2, tag="a"), NeuronGroup(net, 3, tag="b")
    >>> SynapseGroup(net, src="a", dst=b, tag="GLU").matrix("ones").shape
    (3, 2)
    """

    def __init__(
        self,
        net: GroupNetwork,
        src: NeuronGroup | NeuronSubGroup | str,
        dst: NeuronGroup | NeuronSubGroup | str,
        tag: Any = None,
        behavior: Behaviors = None,
    ):
        check_network(net, "SynapseGroup")
        ends = [end if isinstance(end, str) else getattr(end, "tag", end) for end in (src, dst)]
        pair = f"{ends[0]}_to_{ends[1]}"
        tags = object_tags(tag, ("SynapseGroup", "syn", pair), f"SynapseGroup_{len(net.SynapseGroups) + 1}", pair)
        self._set_up(net, tags)
        self._src, self._dst = src, dst
        for end, role in ((src, "src"), (dst, "dst")):
            if not isinstance(end, str):
                self._check_end(end, role)
        self.enabled: Any = True
        self.group_weighting = 1
        net.SynapseGroups.append(self)
        try:
            self._add_own(read_behaviors(behavior, repr(self)))
        except Exception:
            net.discard(self)
            raise

    def __repr__(self) -> str:
        return f"SynapseGroup({self.tag!r})"

    @property
    def src(self) -> Any:
        """Give the group where the synapses start."""
        if isinstance(self._src, str):
            self._src = self._end(self._src, "src")
        return self._src

    @property
    def dst(self) -> Any:
        """Give the group to which the synapses lead."""
        if isinstance(self._dst, str):
            self._dst = self._end(self._dst, "dst")
        return self._dst

    def find_ends(self) -> None:
        """Look up the ends that were given by tag.

        Raises:
            UnknownTag: no group has the tag, or several have it.
        """
        self._src, self._dst = self.src, self.dst

    def _end(self, tag: str, role: str) -> NeuronGroup:
        groups = self.network.NeuronGroups
        found = [group for group in groups if tag in group.tags]
        node = self.network.group_of_node(tag) if not found else None
        if node is not None:
            return node
        if not found:
            known = [t for group in groups for t in group.tags]
            raise UnknownTag(unknown("group", tag, known, f"{self!r}, {role}"))
        if len(found) > 1:
            raise UnknownTag(
                f"{self!r}, {role}: {len(found)} groups have the tag {tag!r}; give the group itself, or a tag of one"
                f" of them: {', '.join(group.tag for group in found)}."
            )
        return found[0]

    def _check_end(self, end: Any, role: str) -> None:
        base = getattr(end, "BaseNeuronGroup", None)
        if not isinstance(base, NeuronGroup):
            raise TemplateError(f"{self!r}: {role} must be a NeuronGroup, a sub-group or the tag of one, got {end!r}.")
        if base.network is not self.network:
            raise TemplateError(f"{self!r}: {role} {base.tag!r} belongs to another network.")

    # Arrays

    def matrix_dim(self) -> tuple[int, int]:
        """Return the shape of the weights: `(dst, src)`, or `(src, dst)` in a network with `syn_dim` SxD."""
        shape = (self.dst.size, self.src.size)
        return shape if self.network.transposed_synapse_matrix_mode else shape[::-1]

    def matrix(self, mode: Any = "zeros()", scale: Any = None, density: Any = None, plot: bool = False) -> Any:
        """Make a matrix with one number for each pair of neurons.

        Arguments:
            mode, scale, density, plot: as for :meth:`NeuronGroup.vector`; `density` may be one number for each row.

        Returns:
            `W[dst, src]`, or `W[src, dst]` in a network with `syn_dim` SxD.
        """
        return self.make_array(mode, self.matrix_dim(), scale, density, plot)

    get_synapse_mat = mat = matrix

    def array_of(self, mode: Any, *, plot: bool = False, where: str = "") -> Any:
        """Make a matrix as :meth:`matrix` does; `where` is for messages."""
        return self.make_array(mode, self.matrix_dim(), plot=plot, where=where)

    def get_distance_mat(self, radius: float) -> np.ndarray:
        """Make weights that fall with the distance of two neurons, in straight lines to 0 at a radius.

        Arguments:
            radius: in the unit of the positions.

        Returns:
            `max(0, 1 - distance / radius)`, scaled so that the largest weight of each target is 1, in the shape of
            :meth:`matrix`.

        Raises:
            ShapeError: one of the groups has no positions.
            OptionError: `radius` is no finite number > 0.

        >>> from recurra.groups import GroupNetwork, NeuronDimension, NeuronGroup
        >>> cells = NeuronGroup(GroupNetwork(), NeuronDimension(width=3))
        >>> SynapseGroup(cells.network, src=cells, dst=cells).get_distance_mat(2.0).tolist()
        [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]
        """
        return geometry.near(self, radius)

    def get_ring_mat(self, radius: float, inner_exp: float = 1.0) -> np.ndarray:
        """Make weights that grow with the distance of two neurons up to a radius; there are none behind it.

        Arguments:
            radius: in the unit of the positions.
            inner_exp: how quickly they fall towards the middle of the ring.

        Returns:
            `(distance / radius) ** inner_exp` up to the radius, scaled so that the largest weight of each target is 1,
            in the shape of :meth:`matrix`.

        Raises:
            ShapeError: one of the groups has no positions.
            OptionError: a number is not finite, or not > 0.
        """
        return geometry.ring(self, radius, inner_exp)

    def get_random_synapse_mat_fixed(self, n: int) -> np.ndarray:
        """Make weights that are uniform between 0 and 1 for `n` random sources of each target, and 0 for the others.

        Arguments:
            n: number of synapses of each target.

        Returns:
            In the shape of :meth:`matrix`.

        Raises:
            OptionError: there are fewer sources.
        """
        return geometry.fixed_number(self, n)

    def ignore_transpose_mode(self, W: np.ndarray) -> np.ndarray:
        """Return a matrix of the group as `(dst, src)`, whatever `syn_dim` is."""
        return W if self.network.transposed_synapse_matrix_mode else W.T

    def set_var(self, key: str, value: Any) -> SynapseGroup:
        """Set an attribute, and return the group."""
        setattr(self, key, value)
        return self
