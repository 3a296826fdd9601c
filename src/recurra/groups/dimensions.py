"""Neurons on a grid."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from recurra.errors import OptionError, ShapeError
from recurra.groups.behavior import Behavior
from recurra.groups.objects import check_count


class NeuronDimension(Behavior):
    """Place neurons on a grid; give it to a group as its size.

    The group gets `size`, `width`, `height`, `depth`, `shape` (this grid) and the positions `x`, `y`, `z`, each
    `(neurons,)` with distance 1 between neighbours; x runs fastest.

    Arguments:
        width, height, depth: neurons along x, y and z.
        centered: whether the middle of the grid is at 0.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> group = NeuronGroup(GroupNetwork(), NeuronDimension(width=3, height=2))
    >>> group.size, group.x.tolist(), group.y.tolist()
    (6, [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0], [-0.5, -0.5, -0.5, 0.5, 0.5, 0.5])
    """

    initialize_on_init: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("width", "height", "depth", "centered")

    def initialize(self, neurons: Any) -> None:
        """Set the size of the group and the positions of its neurons."""
        sides = [check_count(self.parameter(side, 1), f"NeuronDimension: {side}") for side in self.positional[:3]]
        self.width, self.height, self.depth = sides
        centered = self.parameter("centered", True)
        neurons.size = self.width * self.height * self.depth
        neurons.id = np.arange(neurons.size)
        neurons.width, neurons.height, neurons.depth = sides
        neurons.shape = self
        self.neurons = neurons
        places = np.unravel_index(neurons.id, sides[::-1])[::-1]
        for axis, place, side in zip("xyz", places, sides, strict=True):
            middle = (side - 1) / 2 if centered else 0.0
            setattr(neurons, axis, (place - middle).astype(neurons.def_dtype))

    def set_positions(self, x: Any = None, y: Any = None, z: Any = None) -> None:
        """Set the positions: each `(neurons,)`, a number, or `None` to keep it."""
        for axis, values in zip("xyz", (x, y, z), strict=True):
            if values is not None:
                getattr(self.neurons, axis)[...] = values

    def get_area_mask(
        self,
        xmin: float = -math.inf,
        xmax: float = math.inf,
        ymin: float = -math.inf,
        ymax: float = math.inf,
        zmin: float = -math.inf,
        zmax: float = math.inf,
    ) -> np.ndarray:
        """Return which neurons lie in a box, its faces included: `(neurons,)`."""
        group = self.neurons
        inside = (group.x >= xmin) & (group.x <= xmax) & (group.y >= ymin) & (group.y <= ymax)
        return inside & (group.z >= zmin) & (group.z <= zmax)

    def move(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NeuronDimension:
        """Shift all neurons."""
        for axis, by in zip("xyz", (x, y, z), strict=True):
            getattr(self.neurons, axis)[...] += by
        return self

    def scale(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> NeuronDimension:
        """Stretch the positions about 0."""
        for axis, by in zip("xyz", (x, y, z), strict=True):
            getattr(self.neurons, axis)[...] *= by
        return self

    def noise(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, centered: bool = True) -> NeuronDimension:
        """Shift each neuron at random: by up to half of x to either side, or from 0 to x if not centered."""
        for axis, width in zip("xyz", (x, y, z), strict=True):
            drawn = self.neurons.vector("uniform(0, 1)") - (0.5 if centered else 0.0)
            getattr(self.neurons, axis)[...] += drawn * width
        return self

    def rotate(self, axis: str, theta: float) -> NeuronDimension:
        """Turn all neurons about an axis through 0.

        Arguments:
            axis: `"x"`, `"y"` or `"z"`.
            theta: the angle in radians; a positive one turns y towards z, z towards x, or x towards y.

        Raises:
            OptionError: there is no such axis.
        """
        if axis not in ("x", "y", "z"):
            raise OptionError(f"NeuronDimension.rotate: the axis must be 'x', 'y' or 'z', got {axis!r}.")
        first, second = {"x": "yz", "y": "zx", "z": "xy"}[axis]
        a, b = getattr(self.neurons, first), getattr(self.neurons, second)
        turned = a * math.cos(theta) - b * math.sin(theta), a * math.sin(theta) + b * math.cos(theta)
        a[...], b[...] = turned
        return self

    def stretch_to_equal_size(self, target: Any) -> NeuronDimension:
        """Stretch the grid so that it is as wide, high and deep as that of another group."""
        for axis in "xyz":
            own, other = getattr(self.neurons, axis), getattr(target, axis)
            if np.ptp(own) > 0:
                own[...] *= np.ptp(other) / np.ptp(own)
        return self


def get_squared_dim(n: int, depth: int = 1) -> NeuronDimension:
    """Return a grid of `n` neurons that is as square as it can be without a gap.

    Arguments:
        n: number of neurons.
        depth: layers of the grid; `n` is a multiple of it.

    Returns:
        The grid, for `NeuronGroup(size=)`.

    Raises:
        ShapeError: `n` is no whole number > 0, or no multiple of `depth`.

    >>> get_squared_dim(12)
    NeuronDimension(width=3, height=4, depth=1)
    """
    check_count(n, "get_squared_dim: n")
    check_count(depth, "get_squared_dim: depth")
    if n % depth:
        raise ShapeError(f"get_squared_dim: {n} neurons do not fill {depth} layers; choose a multiple of {depth}.")
    layer = n // depth
    width = next(side for side in range(math.isqrt(layer), 0, -1) if layer % side == 0)
    return NeuronDimension(width=width, height=layer // width, depth=depth)


def positions(group: Any, what: str) -> np.ndarray:
    """Return the positions of a group's neurons, `(neurons, 3)`, or say that it has none."""
    if not all(hasattr(group, axis) for axis in "xyz"):
        raise ShapeError(f"{what}: {group.tag!r} has no positions; give it size=NeuronDimension(width, height).")
    return np.stack([np.asarray(getattr(group, axis), np.float64) for axis in "xyz"], axis=1)


def block_masks(group: Any, counts: tuple[int, int, int], where: str) -> list[np.ndarray]:
    """Split a group into boxes of about equal width.

    Arguments:
        group: the group, with positions.
        counts: number of boxes along x, y and z.
        where: for messages.

    Returns:
        For each box with a neuron in it, which neurons these are: `(neurons,)` truth values.
    """
    places = positions(group, where)
    low, width = places.min(axis=0), np.ptp(places, axis=0)
    box = np.minimum((places - low) * counts / np.where(width > 0, width, 1), np.array(counts) - 1).astype(int)
    number = np.ravel_multi_index(tuple(box.T), counts)
    return [number == one for one in np.unique(number)]
