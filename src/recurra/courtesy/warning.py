"""Warnings that point at the line of the user."""

from __future__ import annotations

import sys
import warnings


def warn(message: str, category: type[Warning]) -> None:
    """Warn, and name the line outside of the library that led there, however deep inside the reason was found.

    Arguments:
        message: what is the matter.
        category: the kind of warning.

    >>> with warnings.catch_warnings(record=True) as told:
    ...     warn("it is late", UserWarning)
    >>> str(told[0].message)
    'it is late'
    """
    level, frame = 1, sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("recurra."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level if frame is not None else 2)
