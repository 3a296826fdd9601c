"""Cognitive tasks: what goes into a network, what should come out, and what counts as right.

A task is a small frozen dataclass of parameters; `task.trials(n, seed)` makes a batch, `task.accuracy(outputs, trials)`
judges answers. `get("go_nogo")` finds a task by name, `TASKS` holds them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from recurra.courtesy import guard
from recurra.errors import OptionError, unknown
from recurra.rate.tasks.base import PeriodTask, Task, as_task
from recurra.rate.tasks.batches import Batches
from recurra.rate.tasks.choosing import ChoiceTask
from recurra.rate.tasks.decisions import (
    ContextDecision,
    DelayedDiscrimination,
    MultisensoryIntegration,
    PerceptualDiscrimination,
)
from recurra.rate.tasks.environments import NeuroGymTask, from_neurogym
from recurra.rate.tasks.kim import XOR, GoNoGo, Mante
from recurra.rate.tasks.matching import DelayedMatchToSample, MatchToCategory
from recurra.rate.tasks.mixture import Mixture
from recurra.rate.tasks.published import AbstractTask, GoNogoTask, ManteTask, TaskFactory, XORTask
from recurra.rate.tasks.sampling import Choice, Exponential, Uniform
from recurra.rate.tasks.timing import ReadySetGo
from recurra.rate.tasks.trials import Trials
from recurra.rate.tasks.yang import RULES, Yang

YANG = {f"yang_{rule}": Yang(rule=rule) for rule in RULES}
TASKS: dict[str, PeriodTask | Mixture] = {
    "go_nogo": GoNoGo(),
    "xor": XOR(),
    "mante": Mante(),
    "perceptual_discrimination": PerceptualDiscrimination(),
    "delayed_discrimination": DelayedDiscrimination(),
    "multisensory_integration": MultisensoryIntegration(),
    "context_decision": ContextDecision(),
    "match_to_category": MatchToCategory(),
    "delayed_match_to_sample": DelayedMatchToSample(),
    "ready_set_go": ReadySetGo(),
    **YANG,
    "yang19": Mixture(tasks=tuple(YANG.values())),
}


def get(name: str | Task | AbstractTask | type, **parameters: Any) -> Any:
    """Return a task by its name.

    Arguments:
        name: one of `TASKS`; `-` and capitals are taken as `_` and small letters. Or a task of your own, or its class.
        parameters: of the task, in place of its defaults.

    Returns:
        The task.

    Raises:
        OptionError: an unknown name or parameter, or a value out of range.
        TimeError: a duration off the grid.

    >>> get("go-nogo", dt=2.5).steps
    400
    >>> get(GoNoGo, dt=2.5) == get("go_nogo", dt=2.5)
    True
    >>> get("reddy_set_go")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    recurra.errors.OptionError: unknown task 'reddy_set_go'. Did you mean 'ready_set_go'? Known: go_nogo, ...
    """
    if isinstance(name, type) and issubclass(name, AbstractTask):
        return name(parameters).batched()
    if isinstance(name, type) and issubclass(name, Task):
        _check_parameters(name, parameters)
        return name(**parameters)
    if not isinstance(name, (Task, AbstractTask)):
        key = name.lower().replace("-", "_") if isinstance(name, str) else ""
        if key not in TASKS:
            raise OptionError(unknown("task", name, TASKS))
        name = TASKS[key]
    task: Any = as_task(name, "get")
    _check_parameters(type(task), parameters)
    return replace(task, **parameters) if parameters else task


def _check_parameters(kind: type, parameters: Mapping[str, object]) -> None:
    known = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    for parameter in parameters:
        if parameter not in known:
            raise OptionError(unknown("parameter", parameter, known, where=kind.__name__))


__all__ = [
    "TASKS",
    "XOR",
    "AbstractTask",
    "Batches",
    "Choice",
    "ChoiceTask",
    "ContextDecision",
    "DelayedDiscrimination",
    "DelayedMatchToSample",
    "Exponential",
    "GoNoGo",
    "GoNogoTask",
    "Mante",
    "ManteTask",
    "MatchToCategory",
    "Mixture",
    "MultisensoryIntegration",
    "NeuroGymTask",
    "PerceptualDiscrimination",
    "PeriodTask",
    "ReadySetGo",
    "Task",
    "TaskFactory",
    "Trials",
    "Uniform",
    "XORTask",
    "Yang",
    "from_neurogym",
    "get",
]

guard(globals(), __all__)
