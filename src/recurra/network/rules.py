"""Rules in the nodes of a network: functions in the place of equations, whose arrays are addressed like variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recurra.engine.graph import Rule
from recurra.errors import ShapeError

_STORES = {"state": "state", "parameter": "params", "input": "inputs", "emitted": "emits"}


def arrays_of(rule: Rule) -> dict[str, str]:
    """Map the name of every array of a rule to its kind: `"state"`, `"parameter"`, `"input"` or `"emitted"`."""
    return {name: kind for kind, store in _STORES.items() for name in getattr(rule, store)}


def shape_of(rule: Rule, name: str) -> tuple[int, ...]:
    """Return the shape of an array of a rule."""
    store = getattr(rule, _STORES[arrays_of(rule)[name]])
    return tuple(np.shape(store[name])) if store is not rule.emits else tuple(rule.emits[name].shape)


def units_of(rule: Rule) -> int:
    """Count the units of a rule: the numbers of the first vector among its states."""
    return next((len(value) for value in rule.state.values() if np.ndim(value) == 1), 0)


def array_of(rules: Mapping[str, Rule], path: str) -> tuple[Rule, str] | None:
    """Return the rule that has the array of a full path, and the array's name; `None` if the path is no rule's."""
    for label, rule in rules.items():
        name = path.removeprefix(f"{label}/")
        if name != path and name in arrays_of(rule):
            return rule, name
    return None


def read_array(rule: Rule, name: str, value: object, where: str) -> np.ndarray:
    """Return a value in the shape and the type of an array of a rule.

    Arguments:
        rule, name: which array; not one that is put out.
        value: a number, or an array of the same shape.
        where: what is set, for errors.

    Raises:
        ShapeError: not such a value.
    """
    own = np.asarray(getattr(rule, _STORES[arrays_of(rule)[name]])[name])
    given = np.asarray(value)
    if given.dtype.kind not in "biufc" or (given.dtype.kind == "c" and own.dtype.kind != "c"):
        raise ShapeError(f"{where}: expected real numbers, got {value!r}.")
    if given.ndim and given.shape != own.shape:
        raise ShapeError(f"{where}: got shape {given.shape}, expected a number or shape {own.shape}.")
    if np.isnan(given).any():  # infinity may stand for "never"
        raise ShapeError(f"{where}: a number is NaN; give it a value.")
    return np.broadcast_to(given, own.shape).astype(own.dtype)


def with_array(rules: Mapping[str, Rule], path: str, value: object) -> dict[str, Rule]:
    """Return rules of which one has another number, or other numbers, in a state, a parameter or an input's default."""
    changed = {}
    for label, rule in rules.items():
        found = array_of({label: rule}, path)
        if found is not None:
            name = found[1]
            store = _STORES[arrays_of(rule)[name]]
            own = {**getattr(rule, store), name: read_array(rule, name, value, path)}
            changed[label] = replace(rule, **{store: own})
    return {**rules, **changed}
