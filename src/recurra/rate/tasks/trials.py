"""A batch of trials: what goes in, what should come out, where it counts, and what each trial was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recurra.courtesy import brief, returns_changed
from recurra.errors import PathError, ShapeError, unknown


@dataclass(frozen=True, eq=False)
class Trials:
    """Hold a batch of trials.

    Row k of `targets` belongs to row k of `inputs`: it is what should come out of the network once it has seen that
    row. Trials shorter than the longest end in rows of zeros, which the mask leaves out.

    Arguments:
        inputs: `(batch, time, channels)`.
        targets: `(batch, time, outputs)`.
        mask: `(batch, time, outputs)`, how much a target counts; 0 where it does not.
        conditions: name -> `(batch,)`, what was drawn for each trial and what is right in it; durations in ms.
        periods: name -> `(batch, 2)`, first step of the period and first step after it.
        lengths: `(batch,)`, number of steps of each trial.
        channels: names of the inputs.
        outputs: names of the outputs.
        dt: duration of a step, in ms.

    >>> from recurra.rate.tasks import GoNoGo
    >>> trials = GoNoGo().trials(3, conditions={"go": [1, 0, 1]})
    >>> trials.inputs.shape, trials.channels, trials.conditions["go"].tolist()
    ((3, 200, 1), ('stimulus',), [1.0, 0.0, 1.0])
    >>> {name: steps[0].tolist() for name, steps in trials.periods.items()}
    {'fixation': [0, 50], 'stimulus': [50, 75], 'response': [75, 200]}
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    conditions: dict[str, np.ndarray]
    periods: dict[str, np.ndarray]
    lengths: np.ndarray
    channels: tuple[str, ...]
    outputs: tuple[str, ...]
    dt: float

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def steps(self) -> int:
        """Number of steps of the longest trial the task can draw; the same in every batch."""
        return self.inputs.shape[1]

    def during(self, *names: str) -> np.ndarray:
        """Return where at least one of the periods is, `(batch, time)` booleans.

        Arguments:
            names: names of periods.

        Raises:
            PathError: a period does not exist.

        >>> from recurra.rate.tasks import GoNoGo
        >>> int(GoNoGo().trials(1).during("stimulus").sum())
        25
        """
        time = np.arange(self.steps)
        found = np.zeros(self.inputs.shape[:2], bool)
        for name in names:
            if name not in self.periods:
                raise PathError(unknown("period", name, self.periods))
            start, stop = self.periods[name].T
            found |= (time >= start[:, None]) & (time < stop[:, None])
        return found

    def channel(self, name: str) -> int:
        """Return the position of an input.

        Arguments:
            name: name of the input.

        Raises:
            PathError: there is no such input.
        """
        if name not in self.channels:
            raise PathError(unknown("channel", name, self.channels))
        return self.channels.index(name)

    def condition(self, name: str) -> np.ndarray:
        """Return the values of a condition, `(batch,)`.

        Arguments:
            name: name of the condition.

        Raises:
            PathError: there is no such condition.
        """
        if name not in self.conditions:
            raise PathError(unknown("condition", name, self.conditions))
        return self.conditions[name]

    def stimulus(self, trial: int = 0) -> np.ndarray:
        """Return the inputs of one trial as `FR_RNN_dale.forward` takes them, `(input_dim, T)`.

        Arguments:
            trial: which trial.

        >>> from recurra.rate.tasks import GoNoGo
        >>> GoNoGo().trials(3).stimulus().shape
        (1, 200)
        """
        return self.inputs[trial].T.copy()

    def target(self, trial: int = 0) -> np.ndarray:
        """Return the targets of one trial as `loss_op` takes them, `(T - 1,)` (or `(T - 1, outputs)` if several).

        The network has no output at its first row, so its T - 1 outputs pair with all but the last target.

        Arguments:
            trial: which trial.

        >>> from recurra.rate.tasks import GoNoGo
        >>> GoNoGo().trials(3).target().shape
        (199,)
        """
        found = self.targets[trial, :-1].copy()
        return found[:, 0] if found.shape[1] == 1 else found

    @returns_changed
    def take(self, which: object) -> Trials:
        """Return some of the trials.

        Arguments:
            which: numbers of trials, a slice, or a boolean for each trial.

        >>> from recurra.rate.tasks import GoNoGo
        >>> trials = GoNoGo().trials(20)
        >>> set(trials.take(trials.conditions["go"] == 1).conditions["go"].tolist())
        {1.0}
        """
        rows = np.arange(len(self))[which]  # type: ignore[call-overload]
        rows = np.atleast_1d(rows)

        def some(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array[rows] for name, array in arrays.items()}

        return Trials(
            self.inputs[rows],
            self.targets[rows],
            self.mask[rows],
            some(self.conditions),
            some(self.periods),
            self.lengths[rows],
            self.channels,
            self.outputs,
            self.dt,
        )

    def check_outputs(self, outputs: object) -> np.ndarray:
        """Return what a network answered as `(batch, rows, outputs)` floats, with `steps` or `steps - 1` rows.

        Arguments:
            outputs: the answers; an axis for a single output may be missing.

        Raises:
            ShapeError: they do not fit these trials.
        """
        found = np.asarray(outputs)
        shape = found.shape
        if found.ndim == 2 and len(self.outputs) == 1:
            found = found[..., None]
        batch, steps, width = self.targets.shape
        fits = found.ndim == 3 and found.shape[0] == batch and found.shape[2] == width
        if found.dtype.kind not in "biuf" or not fits or found.shape[1] not in (steps, steps - 1):
            raise ShapeError(
                f"outputs: got shape {shape} of type {found.dtype}, expected ({batch}, {steps}, {width}), or"
                f" {steps - 1} rows from a network that has no output at its first row."
            )
        return found.astype(float)
