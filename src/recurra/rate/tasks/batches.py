"""Batches for training loops written elsewhere: a sequence of NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recurra.errors import OptionError
from recurra.rate.tasks.base import Task, as_task


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Give batches of a task as a sequence of (inputs, targets, mask).

    A plain sequence is what PyTorch calls a map-style data set: `DataLoader(batches, batch_size=None)` gives tensors,
    with workers if wanted. Batch i is the same whenever it is asked for, and no two batches share a trial.

    Arguments:
        task: the task.
        size: trials in a batch.
        count: number of batches.
        seed: which trials.
        start: number of the first trial, to go on where others ended.
        precision: `"float32"` or `"float64"`.

    Raises:
        OptionError: a number is out of range.

    >>> from recurra.rate.tasks import GoNoGo
    >>> batches = Batches(task=GoNoGo(), size=8, count=3)
    >>> [inputs.shape for inputs, targets, mask in batches]
    [(8, 200, 1), (8, 200, 1), (8, 200, 1)]
    """

    task: Task
    size: int = 64
    count: int = 1000
    seed: int = 0
    start: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", as_task(self.task, "Batches"))
        for name in ("size", "count"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"Batches: {name} must be a whole number >= 1, got {value!r}.")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return batch `number`; negative numbers count from the end."""
        if not -self.count <= number < self.count:
            raise IndexError(f"batch {number} of {self.count}")
        start = self.start + number % self.count * self.size
        found = self.task.trials(self.size, self.seed, start=start, precision=self.precision)
        return found.inputs, found.targets, found.mask

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return (self[number] for number in range(self.count))
