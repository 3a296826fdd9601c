"""Trials given as a list, of equal or unequal length: laid into one array, with the length of each beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recurra.errors import ShapeError

Aligned = Callable[[Any, str, int | None], Any]


def as_list(value: object) -> list[Any] | None:
    """Return the trials of a list, a tuple or an array of objects; `None` for anything else.

    >>> as_list(np.zeros(3)) is None, len(as_list((np.zeros(2), np.zeros(3))))
    (True, 2)
    """
    if isinstance(value, np.ndarray):
        return list(value) if value.dtype == object and value.ndim == 1 and len(value) else None
    return list(value) if isinstance(value, list | tuple) and len(value) else None


def trial_arrays(value: object, where: str, units: int | None, read: Callable[[Any, str, int], Any]) -> list | None:
    """Return the trials of a list as arrays; `None` if it is not a list of trials.

    A list of rows of numbers, as NumPy reads it, is one trial. A list holds trials if they have two axes, if they are
    of unequal length, or if they are series of a variable that has one unit only.

    Arguments:
        value: what the user gave.
        where: what messages start with.
        units: number of units of the variable; `None` if it is not known.
        read: a function of (item, where, its number) that aligns what has a time axis.

    Raises:
        ShapeError: an item is no array of numbers, or items have different numbers of axes or units.
    """
    items = as_list(value)
    if items is None:
        return None
    found = []
    for i, item in enumerate(items):
        at = f"{where}, trial {i}"
        try:
            found.append(np.asarray(read(item, at, i)))
        except ValueError as error:
            if isinstance(error, ShapeError):
                raise
            raise ShapeError(f"{at}: rows of different lengths; expected (steps,) or (steps, units).") from None
    axes = sorted({item.ndim for item in found})
    lengths = {len(item) for item in found if item.ndim}
    if axes == [0] or (axes == [1] and len(lengths) == 1 and not (units == 1 and lengths != {1})):
        return None
    if len(axes) > 1 or axes[0] > 2 or any(item.dtype.kind not in "biufc" for item in found):
        kinds = ", ".join(f"{item.dtype} {item.shape}" for item in found[:4])
        raise ShapeError(f"{where}: a list holds one array of numbers for each trial, (steps,) or (steps, units); got"
                         f" {kinds}{' ...' if len(found) > 4 else ''}.")  # fmt: skip
    if 0 in lengths:
        raise ShapeError(f"{where}: trial {[len(item) for item in found].index(0)} has no steps.")
    if len({item.shape[1:] for item in found}) > 1:
        widths = sorted({item.shape[1] for item in found})
        raise ShapeError(f"{where}: all trials have the same units, got trials with {', '.join(map(str, widths))}.")
    return found


def stacked(items: Sequence[np.ndarray], fill: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lay trials side by side, `(trials, longest, ...)`, and return the length of each.

    Arguments:
        items: the trials, `(steps, ...)` each.
        fill: what comes after the end of a trial; its last row if `None`.

    >>> stacked([np.array([1.0, 2.0]), np.array([3.0])])
    (array([[1., 2.],
           [3., 3.]]), array([2, 1]))
    """
    lengths = np.array([len(item) for item in items])
    rows = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
    found = np.stack([item[row] for item, row in zip(items, rows, strict=True)])
    if fill is not None:
        found[np.arange(lengths.max()) >= lengths[:, None]] = fill
    return found, lengths


def trials_as_given(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return values `(trials, longest, ...)` with no number after the end of a trial."""
    beyond = np.arange(values.shape[1]) >= lengths[:, None]
    if not beyond.any():
        return values
    found = np.array(values, float)
    found[beyond] = np.nan
    return found
