"""Tasks with directions on a ring: sort one into a category, compare two across a delay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.rate.tasks.choosing import ChoiceTask, ring_bump, ring_names
from recurra.rate.tasks.sampling import Choice, Draws, Quantity, is_number
from recurra.rate.tasks.trials import Trials


@dataclass(frozen=True, kw_only=True)
class RingTask(ChoiceTask):
    """Hold what these tasks share: a ring of inputs, whose units stand for directions.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input.
        units: number of inputs on the ring; the directions shown are those that they prefer.
    """

    units: int = 16

    @property
    def channels(self) -> tuple[str, ...]:
        return ring_names("direction", self.units)

    def check(self) -> None:
        super().check()
        fine = isinstance(self.units, int) and not isinstance(self.units, bool) and self.units >= 2
        self.require(fine, f"units must be a whole number >= 2, got {self.units!r}.")

    def bump(self, index: np.ndarray) -> np.ndarray:
        """Return the inputs that show directions given by number, `(batch, 1, units)`."""
        return ring_bump(2 * np.pi * index / self.units, self.units)[:, None]


@dataclass(frozen=True, kw_only=True)
class MatchToCategory(RingTask):
    """Say in which sector of the circle a direction lies (as in PsychRNN, after Engel et al. 2015).

    The circle is cut into equal sectors, the first from direction 0 on.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input.
        units: number of inputs on the ring and of directions.
        categories: number of sectors; `units` must be a multiple of it.
        fixation: time before the stimulus, in ms.
        stimulus: duration of the stimulus, in ms.
        response: duration of the response, in ms.

    >>> MatchToCategory(categories=4).trials(4, conditions={"direction": [0, 3, 4, 15]}).conditions["choice"]
    array([0, 0, 1, 3])
    """

    categories: int = 2
    fixation: Quantity = 200.0
    stimulus: Quantity = 1000.0
    response: Quantity = 800.0

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"category {number}" for number in range(self.categories))

    def check(self) -> None:
        super().check()
        whole = isinstance(self.categories, int) and not isinstance(self.categories, bool)
        self.require(
            whole and self.categories >= 2 and self.units % self.categories == 0,
            f"categories must be a whole number >= 2 that divides the {self.units} units, got {self.categories!r}.",
        )

    def durations(self) -> dict[str, Quantity]:
        return {"fixation": self.fixation, "stimulus": self.stimulus, "response": self.response}

    def drawn(self) -> dict[str, Quantity]:
        return {"direction": Choice(tuple(range(self.units)))}

    def fill(self, trials: Trials, draws: Draws) -> None:
        direction = trials.conditions["direction"]
        shown = trials.during("stimulus")[..., None] * self.bump(direction)
        trials.inputs[:] = shown + self.input_noise(trials, draws)
        self.answer(trials, (direction * self.categories // self.units).astype(int))


@dataclass(frozen=True, kw_only=True)
class DelayedMatchToSample(RingTask):
    """Say whether a second direction is the same as the first, seen before a delay (Miller et al. 1996).

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input.
        units: number of inputs on the ring and of directions.
        match_probability: how often the test is the sample; any other direction is equally likely.
        fixation: time before the sample, in ms.
        sample: duration of the sample, in ms.
        delay: time between sample and test, in ms.
        test: duration of the test, in ms.
        response: time after the test, in ms.

    >>> given = {"sample direction": 3, "match": [1, 0], "difference": 1}
    >>> trials = DelayedMatchToSample(units=4).trials(2, conditions=given)
    >>> trials.conditions["test direction"], trials.conditions["choice"]
    (array([3., 0.]), array([0, 1]))
    """

    units: int = 8
    match_probability: float = 0.5
    fixation: Quantity = 300.0
    sample: Quantity = 500.0
    delay: Quantity = 1000.0
    test: Quantity = 500.0
    response: Quantity = 300.0

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("match", "nonmatch")

    def check(self) -> None:
        super().check()
        p = self.match_probability
        self.require(is_number(p) and 0 <= p <= 1, f"match_probability must be from 0 to 1, got {p!r}.")

    def durations(self) -> dict[str, Quantity]:
        return {
            "fixation": self.fixation,
            "sample": self.sample,
            "delay": self.delay,
            "test": self.test,
            "response": self.response,
        }

    def drawn(self) -> dict[str, Quantity]:
        directions = tuple(range(self.units))
        return {
            "sample direction": Choice(directions),
            "match": Choice((0, 1), (1 - self.match_probability, self.match_probability)),
            "difference": Choice(directions[1:]),
        }

    def fill(self, trials: Trials, draws: Draws) -> None:
        sample, match = trials.conditions["sample direction"], trials.conditions["match"] == 1
        difference = np.where(match, 0.0, trials.conditions["difference"])
        test = (sample + difference) % self.units
        trials.conditions.update({"difference": difference, "test direction": test})
        shown = trials.during("sample")[..., None] * self.bump(sample)
        shown = shown + trials.during("test")[..., None] * self.bump(test)
        trials.inputs[:] = shown + self.input_noise(trials, draws)
        self.answer(trials, np.where(match, 0, 1))
