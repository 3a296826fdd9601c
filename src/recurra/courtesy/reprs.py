"""Reprs for a prompt: a line or two, however large what an object holds is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

FEW, LONG, LONGEST = 6, 80, 1000  # entries that are written out; characters of a value; characters in all


def brief(self: Any) -> str:
    """Write a dataclass in short: fields that are not at their defaults, large ones by their size only.

    A class takes it as its `__repr__`.

    Arguments:
        self: an object of a dataclass.

    Returns:
        `Name(field=value, ...)`, of at most some 1,000 characters.

    >>> import numpy as np
    >>> from recurra.engine import Edge
    >>> Edge("a/op/x", "b/op/u", np.zeros((20, 20)), delay=1.0)
    Edge(source='a/op/x', target='b/op/u', weight=<float64 (20, 20)>, delay=1.0)
    """
    parts = []
    for field in dataclasses.fields(self):
        value = getattr(self, field.name)
        if field.repr and not _is_default(field, value):
            parts.append(f"{field.name}={_short(value)}")
    return _cut(f"{type(self).__name__}({', '.join(parts)})", LONGEST)


def _is_default(field: dataclasses.Field, value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return hasattr(value, "__len__") and not len(value)
    return value is field.default or (isinstance(value, str | float | int) and value == field.default)


def _short(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        few = value.ndim == 0 or value.size <= FEW
        return _flat(str(value.tolist())) if few else f"<{value.dtype} {tuple(value.shape)}>"
    if isinstance(value, Mapping):
        shown = [f"{key!r}: {_short(entry)}" for key, entry in list(value.items())[:FEW]]
        return _listed(shown, len(value), "{}")
    if isinstance(value, tuple | list | set | frozenset):
        texts = [_short(entry) for entry in list(value)[:FEW]] if not isinstance(value, set | frozenset) else []
        return _listed(texts, len(value), "[]" if isinstance(value, list) else "()")
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and type(value).__repr__ is brief:
        return _flat(brief(value))
    return _flat(repr(value))


def _listed(shown: list[str], count: int, brackets: str) -> str:
    text = f"{brackets[0]}{', '.join(shown)}{',' if count == 1 and brackets == '()' else ''}{brackets[1]}"
    if len(shown) == count and len(text) <= 2 * LONG:
        return text
    return f"<{count} {'entry' if count == 1 else 'entries'}>"


def _flat(text: str) -> str:
    return _cut(" ".join(text.split()), LONG)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 4] + " ..."
