"""Measure an interval and produce it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recurra.rate.tasks.base import PeriodTask
from recurra.rate.tasks.sampling import Choice, Draws, Quantity, distribution, is_number
from recurra.rate.tasks.trials import Trials

INTERVALS = Choice((500, 600, 700, 800, 900, 1000))


@dataclass(frozen=True, kw_only=True)
class ReadySetGo(PeriodTask):
    """Measure the time between two pulses, then go when the same time has passed again (Jazayeri and Shadlen 2010).

    Ready and set are pulses in two inputs; their onsets are one interval apart. The target is a ramp that starts at 0
    with the onset of set, reaches 1 when it is time to go, and stays there. The produced interval is the time from
    the onset of set until the output first reaches `threshold`, divided by `threshold`, as on a ramp. It is right if
    it differs from the right one by no more than a share, `tolerance`, of it.

    Arguments:
        dt: duration of a step, in ms.
        fixation: time before ready, in ms.
        interval: from ready to set, in ms.
        pulse: duration of each pulse, in ms, not longer than the shortest interval.
        gain: what the interval is to be multiplied with; the time to produce is rounded to the grid.
        after: time after the right moment to go, in ms.
        threshold: of the output, above 0 and below 1.
        tolerance: share of the right interval.

    Raises:
        TimeError: a duration is negative or off the grid.
        OptionError: a number is out of range.

    >>> trials = ReadySetGo().trials(1, conditions={"interval": 600})
    >>> [(name, int(steps[0, 0])) for name, steps in trials.periods.items()]
    [('fixation', 0), ('ready', 20), ('measure', 30), ('set', 80), ('produce', 90), ('go', 140)]
    """

    fixation: Quantity = 200.0
    interval: Quantity = INTERVALS
    pulse: float = 100.0
    gain: float = 1.0
    after: float = 500.0
    threshold: float = 0.8
    tolerance: float = 0.2

    @property
    def channels(self) -> tuple[str, ...]:
        return ("ready", "set")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("ramp",)

    def check(self) -> None:
        super().check()
        for name, low, high in (("gain", 0, np.inf), ("threshold", 0, 1), ("tolerance", 0, 1)):
            value = getattr(self, name)
            self.require(
                is_number(value) and low < value < high, f"{name} must be above {low} and below {high}, got {value!r}."
            )
        shortest = distribution(self.interval, "ReadySetGo: interval").low
        shortest = min(shortest, float(self._due(np.array(shortest))))
        self.require(
            is_number(self.pulse) and 0 < self.pulse <= shortest,
            f"pulse must be above 0 and no longer than the shortest interval, {shortest:g} ms, got {self.pulse!r}.",
        )

    def durations(self) -> dict[str, Quantity]:
        return {"fixation": self.fixation, "interval": self.interval, "pulse": self.pulse, "after": self.after}

    def schedule(self, conditions: Mapping[str, ArrayLike], durations: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
        interval, pulse = np.asarray(durations["interval"]), durations["pulse"]
        return {
            "fixation": durations["fixation"],
            "ready": pulse,
            "measure": interval - pulse,
            "set": pulse,
            "produce": self._due(interval) - pulse,
            "go": durations["after"],
        }

    def fill(self, trials: Trials, draws: Draws) -> None:
        trials.inputs[..., 0] = trials.during("ready")
        trials.inputs[..., 1] = trials.during("set")
        interval = (trials.periods["measure"][:, 1] - trials.periods["ready"][:, 0]) * self.dt
        due = self._due(interval)
        trials.conditions.update(interval=interval, produce=due)
        since = (np.arange(self.steps) - trials.periods["set"][:, :1]) * self.dt
        trials.targets[..., 0] = np.clip(since / due[:, None], 0.0, 1.0)

    def produced(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        """Return the produced intervals, in ms, `(batch,)`; nan where the output never reaches the threshold.

        Arguments:
            outputs: `(batch, time, 1)`.
            trials: the trials.
        """
        late = np.arange(self.steps) >= trials.periods["set"][:, :1]
        reached = late & (outputs[..., 0] >= self.threshold) & trials.during("set", "produce", "go")
        first = reached.argmax(axis=1) - trials.periods["set"][:, 0]
        return np.where(reached.any(axis=1), first * self.dt / self.threshold, np.nan)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        due = trials.conditions["produce"]
        return np.abs(self.produced(outputs, trials) - due) <= self.tolerance * due

    def _due(self, interval: np.ndarray) -> np.ndarray:
        return self.dt * np.round(self.gain * interval / self.dt)
