"""Cognitive tasks: what goes into a network, what should come out, and what counts as right.

A task is a small frozen dataclass of parameters; `task.trials(n, seed)` makes a batch, `task.accuracy(outputs, trials)`
judges answers. `get("go_nogo")` finds a task by name, `TASKS` holds them all.
"""

from __future__ import annotations

from typing import Any

from recurra.errors import OptionError, unknown
from recurra.rate.tasks.base import Task
from recurra.rate.tasks.kim import XOR, GoNoGo, Mante
from recurra.rate.tasks.sampling import Choice, Exponential, Uniform
from recurra.rate.tasks.trials import Trials

TASKS: dict[str, type[Task]] = {
    "go_nogo": GoNoGo,
    "xor": XOR,
    "mante": Mante,
}


def get(name: str, **parameters: Any) -> Task:
    """Make a task by its name.

    Arguments:
        name: one of `TASKS`; `-` and capitals are taken as `_` and small letters.
        parameters: of the task, in place of its defaults.

    Raises:
        OptionError: an unknown name or parameter.

    >>> get("go_nogo", dt=2.5).steps
    400
    >>> get("go_nogoo")
    Traceback (most recent call last):
    ...
    recurra.errors.OptionError: unknown task 'go_nogoo'. Did you mean 'go_nogo'? Known: go_nogo, xor, mante.
    """
    key = name.lower().replace("-", "_") if isinstance(name, str) else name
    if key not in TASKS:
        raise OptionError(unknown("task", name, TASKS))
    kind = TASKS[key]
    known = list(kind.__dataclass_fields__)
    for parameter in parameters:
        if parameter not in known:
            raise OptionError(unknown("parameter", parameter, known, where=kind.__name__))
    return kind(**parameters)


__all__ = [
    "TASKS",
    "XOR",
    "Choice",
    "Exponential",
    "GoNoGo",
    "Mante",
    "Task",
    "Trials",
    "Uniform",
    "get",
]
