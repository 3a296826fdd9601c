"""What tasks share in which one of a few outputs is to be chosen, and how directions lie on a ring of units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.rate.tasks.base import PeriodTask, mean_during
from recurra.rate.tasks.sampling import Draws, is_number
from recurra.rate.tasks.trials import Trials

LOW, HIGH = 0.2, 1.0


@dataclass(frozen=True, kw_only=True)
class ChoiceTask(PeriodTask):
    """Hold what these tasks share: one output for each choice, a period `response`, noisy inputs.

    All targets are 0.2; that of the right choice is 1 during the response (as in PsychRNN). The mask leaves out what
    comes between the end of `fixation` and the response. An answer is right if the output of the right choice has
    the largest mean during the response; of equal ones, the first output is the answer.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input; see `PeriodTask.white_noise`.

    >>> from recurra.rate.tasks import Choice
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Pointing(ChoiceTask):
    ...     channels = ("left", "right")
    ...     outputs = ("go left", "go right")
    ...     def drawn(self): return {"side": Choice((0, 1))}
    ...     def durations(self): return {"fixation": 50, "cue": 50, "response": 50}
    ...     def fill(self, trials, draws):
    ...         side = trials.conditions["side"].astype(int)
    ...         trials.inputs[...] = trials.during("cue")[..., None] * np.eye(2)[side][:, None]
    ...         trials.inputs[...] += self.input_noise(trials, draws)
    ...         self.answer(trials, side)
    >>> trials = Pointing(dt=25.0).trials(2, conditions={"side": [0, 1]})
    >>> trials.targets[1, [0, -1]].tolist(), trials.mask[1, :, 0].tolist()
    ([[0.2, 0.2], [0.2, 1.0]], [1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    """

    noise: float = 0.1

    def check(self) -> None:
        super().check()
        self.require(is_number(self.noise) and self.noise >= 0, f"noise must be a number >= 0, got {self.noise!r}.")

    def input_noise(self, trials: Trials, draws: Draws, channels: int | None = None) -> np.ndarray:
        """Return noise for the first `channels` inputs, or for all, `(batch, time, channels)`."""
        return self.white_noise(trials, draws, self.noise, len(self.channels) if channels is None else channels)

    def answer(self, trials: Trials, choice: np.ndarray) -> None:
        """Write down the right choice, `(batch,)` numbers of outputs."""
        trials.conditions["choice"] = choice
        due = trials.during("response")[..., None]
        right = np.arange(len(self.outputs)) == choice[:, None]
        trials.targets[:] = np.where(due & right[:, None], HIGH, LOW)
        trials.mask[:] = due | trials.during("fixation")[..., None]

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        return mean_during(trials, outputs, "response").argmax(axis=1) == trials.conditions["choice"]


def ring_names(prefix: str, units: int) -> tuple[str, ...]:
    """Return the names of the units of a ring.

    >>> ring_names("sample", 4)
    ('sample at 0', 'sample at 90', 'sample at 180', 'sample at 270')
    """
    return tuple(f"{prefix} at {360 * unit / units:g}" for unit in range(units))


def ring_angles(units: int) -> np.ndarray:
    """Return the preferred directions of the units of a ring, in radians, `(units,)`."""
    return 2 * np.pi * np.arange(units) / units


def angle_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the angle between directions, from 0 to pi.

    >>> round(float(angle_between(np.array(0.1), np.array(2 * np.pi - 0.1))), 6)
    0.2
    """
    return np.abs((one - other + np.pi) % (2 * np.pi) - np.pi)


def ring_bump(direction: np.ndarray, units: int) -> np.ndarray:
    """Return the activity of a ring that shows directions, `(*direction.shape, units)`.

    `0.8 exp(-(8 d / pi)^2 / 2)`, where d is the angle between the direction and the preferred one of the unit (Yang,
    Joglekar, Song, Newsome and Wang 2019).

    Arguments:
        direction: in radians.
        units: number of units.

    >>> ring_bump(np.array(0.0), 8).round(3)
    array([0.8  , 0.108, 0.   , 0.   , 0.   , 0.   , 0.   , 0.108])
    """
    distance = angle_between(np.asarray(direction)[..., None], ring_angles(units))
    return 0.8 * np.exp(-0.5 * (8 * distance / np.pi) ** 2)


def ring_direction(activity: np.ndarray) -> np.ndarray:
    """Return the direction that a ring shows, by its population vector.

    Arguments:
        activity: `(..., units)`.

    Returns:
        Directions in radians from 0 to 2 pi, `(...)`; nan where there is no activity at all.

    >>> round(float(ring_direction(ring_bump(np.array(2.0), 32))), 3)
    2.0
    """
    angles = ring_angles(activity.shape[-1])
    up, right = activity @ np.sin(angles), activity @ np.cos(angles)
    return np.where((up == 0) & (right == 0), np.nan, np.arctan2(up, right) % (2 * np.pi))
