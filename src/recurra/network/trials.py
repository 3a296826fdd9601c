"""Trials of a network: names of nodes become paths, lists of trials stay lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.engine.series import rows_of
from recurra.errors import PathError
from recurra.network.running import by_path, named
from recurra.network.structure import Structure
from recurra.training.stacking import trial_arrays


def read_trials(parts: Structure, inputs: Any, lengths: int | Sequence[int], dt: float, begin: float) -> dict[str, Any]:
    """Do what :func:`recurra.network.running.read_inputs` does, for inputs of several trials.

    Arguments:
        parts, inputs, dt, begin: as there; an input may have a first axis of trials, or be a list of trials.
        lengths: number of steps of all trials, or of each.

    Returns:
        Path -> array or number, or a list of arrays where a list was given.
    """
    whole = lengths if isinstance(lengths, int) else max(lengths)

    def read(item: Any, where: str, i: int = -1) -> Any:
        own = whole if isinstance(lengths, int) or i < 0 else lengths[min(i, len(lengths) - 1)]
        rows = rows_of(item, dt, begin, own, where)
        return rows if rows is item else rows[:own]

    found: dict[str, Any] = {}
    own: dict[str, Any]
    for name, value in named(parts, inputs).items():
        trials = trial_arrays(value, f"inputs of {name!r}", parts.end(name, "input_var").size, read)
        if trials is None:
            own = by_path(parts, {name: value}, (0, 2, 3), lambda value, where: (read(value, where), None))[0]
        else:
            each = [by_path(parts, {name: item}, (2,), lambda item, _: (item, None))[0] for item in trials]
            own = {path: [one[path] for one in each] for path in each[0]}
        if twice := sorted(found.keys() & own.keys()):
            raise PathError(f"inputs: {twice[0]!r} is fed twice.")
        found |= own
    return found


def read_goal(targets: Any, units: int | None, dt: float, begin: float) -> tuple[Any, int | list[int]]:
    """Return targets, aligned by their time axis if they have one, and the number of rows: of all trials, or of each.

    Arguments:
        targets: an array, or a list of trials, which stays one.
        units: number of units of what they are compared with; `None` if it is not known.
        dt, begin: the time between rows, and the time at which trials begin.
    """
    items = trial_arrays(targets, "targets", units, lambda item, at, _: rows_of(item, dt, begin, None, at))
    if items is not None:
        return items, [len(item) for item in items]
    goal = np.asarray(rows_of(targets, dt, begin, None, "targets"))
    classes = goal.ndim == 2 and goal.dtype.kind in "biu" and units not in (None, goal.shape[1])
    return goal, goal.shape[1] if goal.ndim == 3 or classes else goal.shape[0] if goal.ndim else 1
