"""Numbers as tables hold them: columns of objects, and the many ways to say that one is missing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from recurra.errors import ShapeError
from recurra.glm.pynapple_series import values_of


def absent(values: np.ndarray) -> np.ndarray:
    """Return where a number or an object is missing: NaN, NaT, None, or the NA of pandas.

    >>> absent(np.array(["a", None, np.nan], dtype=object)).tolist()
    [False, True, True]
    """
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(values.shape, bool)
    # Only who has pandas at hand can have its NA.
    nothing = getattr(sys.modules.get("pandas"), "NA", None)
    found = [v is None or v is nothing or (isinstance(v, float | np.floating) and v != v) for v in values.ravel()]
    return np.array(found, bool).reshape(values.shape)


def as_numbers(values: Any, what: str) -> np.ndarray:
    """Return real numbers as an array of numbers, objects that are numbers too; what is missing or masked becomes NaN.

    Arguments:
        values: anything that becomes an array.
        what: named in errors.

    Raises:
        ShapeError: some of them are no real numbers.
        TypeError: they are objects of another kind.

    >>> as_numbers(np.array([1, None, True], dtype=object), "X").tolist()
    [1.0, nan, 1.0]
    """
    found = np.asarray(values_of(values))
    if found.dtype.kind in "biuf":
        return found
    if found.dtype.kind == "c":
        raise ShapeError(f"{what}: Complex data not supported; expected real numbers.")
    if found.dtype.kind == "O":
        missing = absent(found)
        try:
            return np.where(missing, np.nan, found).astype(float)
        except TypeError as error:
            raise TypeError(f"{what}: expected numbers, got an array of type {found.dtype}: {error}.") from None
        except ValueError:
            pass
    raise ShapeError(f"{what}: expected numbers, got an array of type {found.dtype}.")


def as_mask(values: np.ndarray, size: int) -> np.ndarray | None:
    """Return truth values of a size, which may be written as 0 and 1; `None` for anything else, such as places.

    >>> as_mask(np.array([0, 1, 1]), 3).tolist(), as_mask(np.array([0, 2, 1]), 3), as_mask(np.array([0, 1]), 3)
    ([False, True, True], None, None)
    """
    if values.shape != (size,) or values.dtype.kind not in "biuf":
        return None
    # Places do not repeat, so more than two zeros and ones are no places.
    twice = len(np.unique(values)) < size
    return values == 1 if values.dtype == bool or (twice and np.all((values == 0) | (values == 1))) else None
