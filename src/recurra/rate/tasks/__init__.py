"""Cognitive tasks: what goes into a network, what should come out, and what counts as right.

A task is a small frozen dataclass of parameters; `task.trials(n, seed)` makes a batch, `task.accuracy(outputs, trials)`
judges answers. `get("go_nogo")` finds a task by name, `TASKS` holds them all.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from recurra.courtesy import guard
from recurra.errors import OptionError, unknown
from recurra.rate.tasks.base import PeriodTask, Task
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


def get(name: str, **parameters: Any) -> PeriodTask | Mixture:
    """Return a task by its name.

    Arguments:
        name: one of `TASKS`; `-` and capitals are taken as `_` and small letters.
        parameters: of the task, in place of its defaults.

    Returns:
        The task.

    Raises:
        OptionError: an unknown name or parameter, or a value out of range.
        TimeError: a duration off the grid.

    >>> get("go-nogo", dt=2.5).steps
    400
    >>> get("reddy_set_go")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    recurra.errors.OptionError: unknown task 'reddy_set_go'. Did you mean 'ready_set_go'? Known: go_nogo, ...
    """
    key = name.lower().replace("-", "_") if isinstance(name, str) else name
    if key not in TASKS:
        raise OptionError(unknown("task", name, TASKS))
    task = TASKS[key]
    known = [field.name for field in fields(task)]
    for parameter in parameters:
        if parameter not in known:
            raise OptionError(unknown("parameter", parameter, known, where=type(task).__name__))
    return replace(task, **parameters)


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
