"""Which parameter sets a sweep visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.courtesy import brief
from recurra.engine.checks import refuse_masked
from recurra.errors import OptionError, ShapeError, unknown

MODES = ("grid", "zip", "random", "lhs")


@dataclass(frozen=True, eq=False)
class Points:
    """Hold the parameter sets of a sweep.

    Arguments:
        numbers: path -> `(points,)` or `(points, units)`.
        axes: for a grid, path -> its values in the order of the dimensions; empty otherwise.
    """

    numbers: Mapping[str, np.ndarray]
    axes: Mapping[str, np.ndarray]

    __repr__ = brief

    def __len__(self) -> int:
        return len(next(iter(self.numbers.values())))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the lengths of the dimensions that points are laid out along."""
        return tuple(len(axis) for axis in self.axes.values()) or (len(self),)


def make_points(values: Mapping[str, Any], mode: str, samples: int | None, seed: int) -> Points:
    """Lay out the points of a sweep; the arguments are those of :func:`recurra.sweep`.

    Raises:
        OptionError: the mode is unknown, a range is empty, or `samples` does not fit the mode.
        ShapeError: values have the wrong shape, or not as many for each path.

    >>> points = make_points({"a": [1, 2], "b": [10, 20, 30]}, "grid", None, 0)
    >>> points.shape, points.numbers["b"]
    ((2, 3), array([10., 20., 30., 10., 20., 30.]))
    """
    if mode not in MODES:
        raise OptionError(unknown("mode", mode, MODES))
    if not isinstance(values, Mapping) or not values:
        raise OptionError(f"values: expected path -> values, at least one, got {values!r}.")
    drawn = mode in ("random", "lhs")
    if drawn != (samples is not None):
        wanted = "needs samples=, the number of points" if drawn else "visits what is given; leave samples= out"
        raise OptionError(f"samples: mode {mode!r} {wanted}.")
    if drawn:
        return _draw(values, mode, samples, seed)
    arrays = {path: _array(path, value, 1 if mode == "grid" else 2) for path, value in values.items()}
    if mode == "grid":
        meshes = np.meshgrid(*arrays.values(), indexing="ij")
        return Points({path: mesh.ravel() for path, mesh in zip(arrays, meshes, strict=True)}, arrays)
    lengths = {path: len(array) for path, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"values: mode 'zip' needs as many values for every path, got {lengths}.")
    return Points(arrays, {})


def _array(path: str, value: Any, most: int) -> np.ndarray:
    refuse_masked(value, f"values: {path}")
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise ShapeError(f"values: {path}: expected numbers, got {value!r}.") from None
    if not 1 <= array.ndim <= most or array.size == 0:
        shapes = "(points,)" if most == 1 else "(points,) or (points, units)"
        raise ShapeError(f"values: {path}: got shape {array.shape}, expected {shapes}.")
    if not np.isfinite(array).all():
        raise ShapeError(f"values: {path}: not all values are finite.")
    return array


def _draw(values: Mapping[str, Any], mode: str, samples: Any, seed: int) -> Points:
    from scipy.stats import qmc

    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise OptionError(f"samples: expected a whole number of at least 1, got {samples!r}.")
    low, high = [], []
    for path, value in values.items():
        ends = _array(path, value, 1)
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise OptionError(f"values: {path}: mode {mode!r} needs a range (low, high), got {value!r}.")
        low.append(ends[0])
        high.append(ends[1])
    rng = np.random.default_rng(seed)
    hypercube = qmc.LatinHypercube(len(low), rng=rng)
    unit = rng.random((samples, len(low))) if mode == "random" else hypercube.random(samples)
    scaled = np.array(low) + unit * (np.array(high) - low)
    return Points({path: scaled[:, i] for i, path in enumerate(values)}, {})
