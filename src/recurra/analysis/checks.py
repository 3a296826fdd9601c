"""Checks of numbers that analyses are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.errors import OptionError


def positive(value: object, what: str, least: int | None = None) -> Any:
    """Return a number that must be positive, or a whole number of at least `least`.

    Raises:
        OptionError: it is not.
    """
    if least is not None:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise OptionError(f"{what}: expected a whole number of at least {least}, got {value!r}.")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < float(value) < np.inf:
        raise OptionError(f"{what}: expected a number > 0, got {value!r}.")
    return float(value)
