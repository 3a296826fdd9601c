"""Batches of a task that gives its trials one by one, with random numbers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError, ShapeError
from recurra.rate.tasks.base import Task
from recurra.rate.tasks.randomness import Pristine, global_seed, trial_seed
from recurra.rate.tasks.sampling import Draws
from recurra.rate.tasks.trials import Trials

TOLERANCE = 0.2
STEP = 5.0  # ms


@dataclass(frozen=True, kw_only=True)
class OneByOne(Task):
    """Make batches of an `AbstractTask`.

    Trial i of a seed is always the same: a copy of the task makes it, with the global random numbers of NumPy and
    Python, and the generators that the task holds as attributes, seeded for this trial. All trials have the length, the
    inputs and the outputs of the first.

    Arguments:
        source: the task.
        dt: duration of a step, in ms.

    Raises:
        CapabilityError: the task cannot be copied.
    """

    source: Any
    dt: float = STEP

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pristine", Pristine(self.source, type(self.source).__name__))
        object.__setattr__(self, "source", self._pristine.source)  # type: ignore[attr-defined]
        u, z, _ = self._trial(0, 0, None)
        object.__setattr__(self, "_shape", (*u.shape, 1 if z.ndim == 1 else z.shape[1]))

    def __identity__(self) -> object:
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(f"input {number}" for number in range(self._shape[0]))  # type: ignore[attr-defined]

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"output {number}" for number in range(self._shape[2]))  # type: ignore[attr-defined]

    @property
    def steps(self) -> int:
        return self._shape[1]  # type: ignore[attr-defined]

    def generate(self, draws: Draws, conditions: Mapping[str, ArrayLike]) -> Trials:
        """Make the trials one by one; the only condition is `label`, which is drawn."""
        if conditions:
            raise OptionError(
                f"conditions: a {type(self.source).__name__} draws its trials itself, got {sorted(conditions)}."
            )
        n, (inputs, steps, outputs) = draws.count, self._shape  # type: ignore[attr-defined]
        given = np.zeros((n, steps, inputs), draws.precision)
        right, mask = (np.zeros((n, steps, outputs), draws.precision) for _ in range(2))
        labels = np.empty(n, object)
        for row, number in enumerate(draws.numbers):
            u, z, labels[row] = self._trial(draws.seed, int(number), None)
            if (*u.shape, 1 if z.ndim == 1 else z.shape[1]) != self._shape:  # type: ignore[attr-defined]
                raise ShapeError(
                    f"{type(self.source).__name__}: trial {number} has inputs {u.shape} and targets {z.shape}, the"
                    f" first had inputs {(inputs, steps)} and {outputs} outputs; all must be alike."
                )
            given[row], right[row, :-1], mask[row, :-1] = u.T, z.reshape(steps - 1, -1), 1.0
            right[row, -1] = right[row, -2]
        label = labels if any(isinstance(one, str) for one in labels) else np.array(labels.tolist())
        lengths = np.full(n, steps)
        return Trials(given, right, mask, {"label": label}, {}, lengths, self.channels, self.outputs, self.dt)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        found = np.empty(len(trials), bool)
        for row, label in enumerate(trials.conditions["label"]):
            rows = outputs[row, :-1, 0] if outputs.shape[2] == 1 else outputs[row, :-1]
            said = self.source.is_correct(rows, label.item() if isinstance(label, np.generic) else label)
            distance = np.abs(outputs[row, :-1] - trials.targets[row, :-1]).mean()
            found[row] = distance <= TOLERANCE if said is None else bool(said)
        return found

    def _trial(self, seed: int, number: int, trial_type: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        address = trial_seed(seed, number)
        with global_seed(address):
            return self._pristine.copy(address).simulate_trial(trial_type, False)  # type: ignore[attr-defined]
