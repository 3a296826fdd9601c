"""Decisions about noisy evidence: one stimulus, two in turn, two senses, and which of two counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.rate.tasks.choosing import ChoiceTask
from recurra.rate.tasks.sampling import Choice, Draws, Exponential, Quantity, distribution
from recurra.rate.tasks.trials import Trials

COHERENCES = Choice((0.032, 0.064, 0.128, 0.256, 0.512))
CONTEXT_COHERENCES = Choice((0.05, 0.15, 0.5))
EVENT_RATES = Choice((9, 10, 11, 12, 13, 14, 15, 16))
WAIT = Exponential(300, 300, 1500)
# Romo et al. (1999), in Hz.
PAIRS = ((18.0, 10.0), (22.0, 14.0), (26.0, 18.0), (30.0, 22.0), (34.0, 26.0))


@dataclass(frozen=True, kw_only=True)
class PerceptualDiscrimination(ChoiceTask):
    """Say which of two noisy inputs is the stronger (Britten et al. 1992; Roitman and Shadlen 2002).

    During the stimulus the inputs are `(1 + c) / 2` and `(1 - c) / 2` plus noise, where c is the coherence, positive
    for the left. The condition `evidence` is the signed coherence, for psychometric curves.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input.
        coherence: how clear the evidence is, from 0 to 1.
        fixation: time before the stimulus, in ms.
        stimulus: duration of the stimulus, in ms.
        delay: time from the stimulus to the response, in ms.
        response: duration of the response, in ms.

    >>> task = PerceptualDiscrimination(noise=0.0)
    >>> trials = task.trials(2, conditions={"coherence": 0.512, "side": [1, -1]})
    >>> trials.inputs[:, 40].round(3).tolist(), trials.conditions["choice"].tolist()
    ([[0.756, 0.244], [0.244, 0.756]], [0, 1])
    """

    coherence: Quantity = COHERENCES
    fixation: Quantity = 200.0
    stimulus: Quantity = 800.0
    delay: Quantity = 0.0
    response: Quantity = 300.0

    @property
    def channels(self) -> tuple[str, ...]:
        return ("left", "right")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("left", "right")

    def check(self) -> None:
        super().check()
        c = distribution(self.coherence, "PerceptualDiscrimination: coherence")
        self.require(c.low >= 0 and c.high <= 1, f"coherence must be from 0 to 1, got {self.coherence}.")

    def durations(self) -> dict[str, Quantity]:
        return {
            "fixation": self.fixation,
            "stimulus": self.stimulus,
            "delay": self.delay,
            "response": self.response,
        }

    def drawn(self) -> dict[str, Quantity]:
        return {"side": Choice((1, -1)), "coherence": self.coherence}

    def fill(self, trials: Trials, draws: Draws) -> None:
        evidence = trials.conditions["side"] * trials.conditions["coherence"]
        trials.conditions["evidence"] = evidence
        shown = trials.during("stimulus")[..., None]
        drive = np.stack([1 + evidence, 1 - evidence], axis=1)[:, None] / 2
        trials.inputs[:] = shown * drive + self.input_noise(trials, draws)
        self.answer(trials, np.where(trials.conditions["side"] > 0, 0, 1))


@dataclass(frozen=True, kw_only=True)
class DelayedDiscrimination(ChoiceTask):
    """Say which of two vibrations, shown one after the other, was the faster (Romo et al. 1999).

    One input rises with the frequency and one falls: `0.5 +- 0.4 (f - 22 Hz) / 12 Hz` during each vibration. The
    condition `evidence` is the first frequency minus the second, in Hz.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input.
        fixation: time before the first vibration, in ms.
        stimulus: duration of each vibration, in ms.
        delay: time between them, in ms.
        response: duration of the response, in ms.

    >>> trials = DelayedDiscrimination(noise=0.0).trials(1, conditions={"pair": 0, "faster": 1})
    >>> trials.conditions["f1"].tolist(), trials.conditions["f2"].tolist(), trials.conditions["choice"].tolist()
    ([18.0], [10.0], [0])
    """

    fixation: Quantity = 250.0
    stimulus: float = 250.0
    delay: Quantity = 1000.0
    response: Quantity = 300.0

    @property
    def channels(self) -> tuple[str, ...]:
        return ("rising", "falling")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("first", "second")

    def durations(self) -> dict[str, Quantity]:
        return {
            "fixation": self.fixation,
            "first": self.stimulus,
            "delay": self.delay,
            "second": self.stimulus,
            "response": self.response,
        }

    def drawn(self) -> dict[str, Quantity]:
        return {"pair": Choice(tuple(range(len(PAIRS)))), "faster": Choice((1, 2))}

    def fill(self, trials: Trials, draws: Draws) -> None:
        fast, slow = np.array(PAIRS)[trials.conditions["pair"].astype(int)].T
        first = trials.conditions["faster"] == 1
        f1, f2 = np.where(first, fast, slow), np.where(first, slow, fast)
        trials.conditions.update(f1=f1, f2=f2, evidence=f1 - f2)
        frequency = trials.during("first") * (f1[:, None] - 22) + trials.during("second") * (f2[:, None] - 22)
        tuned = frequency[..., None] / 12 * np.array([0.4, -0.4])
        trials.inputs[:] = trials.during("first", "second")[..., None] * 0.5 + tuned + self.input_noise(trials, draws)
        self.answer(trials, np.where(first, 0, 1))


@dataclass(frozen=True, kw_only=True)
class MultisensoryIntegration(ChoiceTask):
    """Say whether events come faster than 12.5 a second, seen, heard, or both (Raposo et al. 2014).

    Each sense has an input that rises with the rate and one that falls, as in Song, Yang and Wang (2016):
    `0.5 +- 0.4 (rate - 12.5) / 3.5` during the stimulus, and 0 in a sense that is not used. With independent noise in
    the senses, using both is better than either.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input.
        rate: events a second; 12.5 itself has no right answer.
        fixation: time before the stimulus, in ms.
        stimulus: duration of the stimulus, in ms.
        response: duration of the response, in ms.

    >>> task = MultisensoryIntegration(noise=0.0)
    >>> task.trials(3, conditions={"rate": 16, "modality": [0, 1, 2]}).inputs[:, 60].round(3)
    array([[0.9, 0.1, 0. , 0. ],
           [0. , 0. , 0.9, 0.1],
           [0.9, 0.1, 0.9, 0.1]])
    """

    noise: float = 0.3
    rate: Quantity = EVENT_RATES
    fixation: Quantity = 200.0
    stimulus: Quantity = 1000.0
    response: Quantity = 300.0

    @property
    def channels(self) -> tuple[str, ...]:
        return ("visual rising", "visual falling", "auditory rising", "auditory falling")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("high", "low")

    def durations(self) -> dict[str, Quantity]:
        return {"fixation": self.fixation, "stimulus": self.stimulus, "response": self.response}

    def drawn(self) -> dict[str, Quantity]:
        return {"modality": Choice((0, 1, 2)), "rate": self.rate}

    def fill(self, trials: Trials, draws: Draws) -> None:
        modality, rate = trials.conditions["modality"], trials.conditions["rate"]
        slope = 0.4 * (rate[:, None] - 12.5) / 3.5
        used = np.stack([modality != 1, modality != 1, modality != 0, modality != 0], axis=1)
        drive = used * (0.5 + slope * np.array([1, -1, 1, -1]))
        trials.inputs[:] = trials.during("stimulus")[..., None] * drive[:, None] + self.input_noise(trials, draws)
        trials.conditions["evidence"] = rate - 12.5
        self.answer(trials, np.where(rate > 12.5, 0, 1))


@dataclass(frozen=True, kw_only=True)
class ContextDecision(ChoiceTask):
    """Decide by motion or by color, as a cue says, about a stimulus that has both (Mante et al. 2013).

    Each feature has an input for the left and one for the right, `(1 +- c) / 2` during the stimulus, where c is its
    signed coherence (Song, Yang and Wang 2016). Two inputs tell, during the whole trial, which feature counts; the
    condition `evidence` is its coherence.

    Arguments:
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input but the cues.
        coherence: how clear each feature is, from 0 to 1.
        fixation: time before the stimulus, in ms.
        stimulus: duration of the stimulus, in ms.
        delay: time from the stimulus to the response, in ms.
        response: duration of the response, in ms.

    >>> sides = {"motion side": 1, "color side": -1, "context": [0, 1]}
    >>> ContextDecision().trials(2, conditions=sides).conditions["choice"]
    array([0, 1])
    """

    coherence: Quantity = CONTEXT_COHERENCES
    fixation: Quantity = 300.0
    stimulus: Quantity = 750.0
    delay: Quantity = WAIT
    response: Quantity = 300.0

    @property
    def channels(self) -> tuple[str, ...]:
        return ("motion left", "motion right", "color left", "color right", "attend motion", "attend color")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("left", "right")

    def check(self) -> None:
        super().check()
        c = distribution(self.coherence, "ContextDecision: coherence")
        self.require(c.low >= 0 and c.high <= 1, f"coherence must be from 0 to 1, got {self.coherence}.")

    def durations(self) -> dict[str, Quantity]:
        return {
            "fixation": self.fixation,
            "stimulus": self.stimulus,
            "delay": self.delay,
            "response": self.response,
        }

    def drawn(self) -> dict[str, Quantity]:
        return {
            "context": Choice((0, 1)),
            "motion side": Choice((1, -1)),
            "color side": Choice((1, -1)),
            "motion coherence": self.coherence,
            "color coherence": self.coherence,
        }

    def fill(self, trials: Trials, draws: Draws) -> None:
        found = trials.conditions
        motion = found["motion side"] * found["motion coherence"]
        color = found["color side"] * found["color coherence"]
        found.update({"motion evidence": motion, "color evidence": color})
        drive = np.stack([1 + motion, 1 - motion, 1 + color, 1 - color], axis=1)[:, None] / 2
        trials.inputs[..., :4] = trials.during("stimulus")[..., None] * drive + self.input_noise(trials, draws, 4)
        context = found["context"][:, None]
        trials.inputs[..., 4:] = np.concatenate([context == 0, context == 1], axis=1)[:, None]
        found["evidence"] = np.where(found["context"] == 0, motion, color)
        side = np.where(found["context"] == 0, found["motion side"], found["color side"])
        self.answer(trials, np.where(side > 0, 0, 1))
