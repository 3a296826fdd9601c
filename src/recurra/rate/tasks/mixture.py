"""Several tasks as one: every trial is of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError
from recurra.rate.tasks.base import Task, as_task
from recurra.rate.tasks.sampling import Choice, Draws, given_values
from recurra.rate.tasks.trials import Trials


@dataclass(frozen=True, kw_only=True)
class Mixture(Task):
    """Mix tasks that have the same channels, outputs and dt.

    The condition `task` is the number of each trial's task. Conditions that a trial's task does not have are nan, such
    periods are empty.

    Arguments:
        tasks: the tasks.
        weights: how often each comes, relative to the others; equally often without.

    Raises:
        OptionError: there is no task, they do not fit together, or weights are wrong.

    >>> from recurra.rate.tasks import Yang
    >>> both = Mixture(tasks=(Yang(rule="go"), Yang(rule="anti")))
    >>> trials = both.trials(3, conditions={"task": [0, 1, 1]})
    >>> trials.inputs[:, 0, trials.channel("rule anti")] > 0.5
    array([False,  True,  True])
    """

    tasks: tuple[Task, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        tasks = tuple(self.tasks) if isinstance(self.tasks, tuple | list) else ()
        if not tasks:
            raise OptionError(f"Mixture: tasks must be a tuple of at least one task, got {self.tasks!r}.")
        tasks = tuple(as_task(task, "Mixture") for task in tasks)
        object.__setattr__(self, "tasks", tasks)
        for number, task in enumerate(tasks):
            for what in ("channels", "outputs", "dt"):
                mine, first = getattr(task, what), getattr(tasks[0], what)
                if mine != first:
                    raise OptionError(f"Mixture: task {number} has {what} {mine}, the first has {first}.")
        object.__setattr__(self, "dt", tasks[0].dt)
        self._which()

    @property
    def channels(self) -> tuple[str, ...]:
        return self.tasks[0].channels

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.tasks[0].outputs

    @property
    def steps(self) -> int:
        return max(task.steps for task in self.tasks)

    def generate(self, draws: Draws, conditions: Mapping[str, ArrayLike]) -> Trials:
        """Draw a task for each trial, and let each task make its own trials."""
        for name in conditions:
            if name != "task":
                raise OptionError(f"conditions: of a mixture only 'task' can be given, got {name!r}.")
        which = self._which()
        if "task" in conditions:
            chosen = given_values(conditions["task"], draws.count, which, "task")
        else:
            chosen = which.at(draws.uniform("task of the mixture"))
        n, steps = draws.count, self.steps
        found = Trials(
            np.zeros((n, steps, len(self.channels)), draws.precision),
            np.zeros((n, steps, len(self.outputs)), draws.precision),
            np.zeros((n, steps, len(self.outputs)), draws.precision),
            {"task": chosen},
            {},
            np.zeros(n, int),
            self.channels,
            self.outputs,
            self.dt,
        )
        for number, task in enumerate(self.tasks):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                _merge(found, rows, task.generate(draws.take(rows), {}))
        return found

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        right = np.zeros(len(trials), bool)
        for number, task in enumerate(self.tasks):
            rows = np.flatnonzero(trials.conditions["task"] == number)
            if len(rows):
                right[rows] = task.correct(outputs[rows], trials.take(rows))
        return right

    def answers(self, outputs: np.ndarray, trials: Trials, output: int = 0) -> np.ndarray:
        """Return whether the answer was yes, by what each trial's task calls an answer."""
        found = np.full(len(trials), np.nan)
        for number, task in enumerate(self.tasks):
            rows = np.flatnonzero(trials.conditions["task"] == number)
            if len(rows):
                found[rows] = task.answers(outputs[rows], trials.take(rows), output)
        return found

    def _which(self) -> Choice:
        return Choice(tuple(range(len(self.tasks))), self.weights)


def _merge(found: Trials, rows: np.ndarray, part: Trials) -> None:
    """Put the trials of one task where they belong."""
    for mine, other in ((found.inputs, part.inputs), (found.targets, part.targets), (found.mask, part.mask)):
        mine[rows, : part.steps] = other
    found.lengths[rows] = part.lengths
    for name, values in part.conditions.items():
        found.conditions.setdefault(name, np.full(len(found), np.nan))[rows] = values
    for name, values in part.periods.items():
        found.periods.setdefault(name, np.zeros((len(found), 2), int))[rows] = values
