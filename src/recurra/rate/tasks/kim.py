"""The three tasks of Kim, Li and Sejnowski (2019): Go-NoGo, delayed XOR, and context (after Mante et al. 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.errors import unknown
from recurra.rate.tasks.base import PeriodTask, check_output, mean_during
from recurra.rate.tasks.sampling import Choice, Draws, Quantity, Uniform, is_number
from recurra.rate.tasks.trials import Trials

CODINGS = ("noisy", "constant")


@dataclass(frozen=True, kw_only=True)
class KimTask(PeriodTask):
    """Hold what the three tasks share: one output, judged by the heights it reaches while an answer is due.

    Arguments:
        dt: duration of a step, in ms.
        threshold: height that an answer must pass, on its side of zero. The paper uses 0.7, the later training
            scripts 0.3.
    """

    dt: float = 5.0
    threshold: float = 0.7

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("output",)

    def check(self) -> None:
        super().check()
        fine = is_number(self.threshold) and self.threshold > 0
        self.require(fine, f"threshold must be a number > 0, got {self.threshold!r}.")

    def answers(self, outputs: np.ndarray, trials: Trials, output: int = 0) -> np.ndarray:
        """Return whether the mean output of the response is above zero."""
        check_output(output, self.outputs)
        return (mean_during(trials, outputs, "response")[:, 0] > 0).astype(float)


def passes(outputs: np.ndarray, trials: Trials, side: np.ndarray, threshold: float, strict: bool) -> np.ndarray:
    """Return where the output passes the threshold on the given side (+1 or -1) while an answer is due.

    Arguments:
        outputs: `(batch, time, 1)`.
        trials: the trials.
        side: `(batch,)`, the right side.
        threshold: height to pass.
        strict: whether it must also never pass it on the other side.
    """
    height = np.where(trials.during("response"), outputs[..., 0] * side[:, None], 0.0)
    right = height.max(axis=1) > threshold
    return right & (height.min(axis=1) >= -threshold) if strict else right


@dataclass(frozen=True, kw_only=True)
class GoNoGo(KimTask):
    """Answer a pulse, stay silent without one (Kim, Li and Sejnowski 2019).

    One input, 1 during the stimulus of a Go trial, otherwise 0. The target is 1 from the end of the stimulus in a Go
    trial, otherwise 0. A Go trial is right if the output passes `threshold` after the stimulus, a NoGo trial if it
    stays between plus and minus `silence`.

    Arguments:
        dt: duration of a step, in ms.
        threshold: height that the answer of a Go trial must pass.
        silence: height that the output of a NoGo trial must not reach.
        fixation: time before the stimulus, in ms.
        stimulus: duration of the stimulus, in ms.
        response: time after the stimulus, in ms.
        go_probability: how often a trial is a Go trial.

    Raises:
        TimeError: a duration is negative or off the grid.
        OptionError: a number is out of range.

    >>> trials = GoNoGo().trials(2, conditions={"go": [1, 0]})
    >>> trials.inputs.sum(axis=(1, 2)), trials.targets.sum(axis=(1, 2))
    (array([25.,  0.]), array([125.,   0.]))
    """

    silence: float = 0.3
    fixation: Quantity = 250.0
    stimulus: Quantity = 125.0
    response: Quantity = 625.0
    go_probability: float = 0.5

    @property
    def channels(self) -> tuple[str, ...]:
        return ("stimulus",)

    def check(self) -> None:
        super().check()
        self.require(is_number(self.silence) and self.silence > 0, f"silence must be > 0, got {self.silence!r}.")
        p = self.go_probability
        self.require(is_number(p) and 0 <= p <= 1, f"go_probability must be from 0 to 1, got {p!r}.")

    def durations(self) -> dict[str, Quantity]:
        return {"fixation": self.fixation, "stimulus": self.stimulus, "response": self.response}

    def drawn(self) -> dict[str, Quantity]:
        return {"go": Choice((0, 1), (1 - self.go_probability, self.go_probability))}

    def fill(self, trials: Trials, draws: Draws) -> None:
        go = trials.conditions["go"][:, None]
        trials.inputs[..., 0] = trials.during("stimulus") * go
        trials.targets[..., 0] = trials.during("response") * go

    def answers(self, outputs: np.ndarray, trials: Trials, output: int = 0) -> np.ndarray:
        """Return whether the output passes the threshold of a Go trial."""
        check_output(output, self.outputs)
        return (np.where(trials.during("response"), outputs[..., 0], 0.0).max(axis=1) > self.threshold).astype(float)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        answer = np.where(trials.during("response"), outputs[..., 0], 0.0)
        went = answer.max(axis=1) > self.threshold
        silent = np.abs(answer).max(axis=1) < self.silence
        return np.where(trials.conditions["go"] == 1, went, silent)


@dataclass(frozen=True, kw_only=True)
class XOR(KimTask):
    """Say whether two pulses had the same sign (Kim, Li and Sejnowski 2019).

    Two inputs, each with one pulse of +1 or -1, the second after a delay. The target is +1 (same) or -1 (different)
    during the response, otherwise 0.

    Arguments:
        dt: duration of a step, in ms.
        threshold: height that the answer must pass on its side of zero, at any time of the response.
        strict: whether it must also never pass it on the other side; the paper does not ask for it.
        fixation: time before the first pulse, in ms.
        stimulus: duration of each pulse, in ms.
        delay: time between the pulses, in ms.
        wait: time from the second pulse to the response, in ms.
        response: duration of the response, in ms.
        rest: time after the response, in ms.

    Raises:
        TimeError: a duration is negative or off the grid.
        OptionError: a number is out of range.

    >>> trials = XOR().trials(2, conditions={"sign 1": [1, 1], "sign 2": [1, -1]})
    >>> trials.targets[:, 200, 0]
    array([ 1., -1.])
    """

    strict: bool = False
    fixation: Quantity = 250.0
    stimulus: float = 250.0
    delay: Quantity = 50.0
    wait: Quantity = 50.0
    response: Quantity = 500.0
    rest: Quantity = 150.0

    @property
    def channels(self) -> tuple[str, ...]:
        return ("first", "second")

    def durations(self) -> dict[str, Quantity]:
        return {
            "fixation": self.fixation,
            "first": self.stimulus,
            "delay": self.delay,
            "second": self.stimulus,
            "wait": self.wait,
            "response": self.response,
            "rest": self.rest,
        }

    def drawn(self) -> dict[str, Quantity]:
        return {"sign 1": Choice((1, -1)), "sign 2": Choice((1, -1))}

    def fill(self, trials: Trials, draws: Draws) -> None:
        first, second = trials.conditions["sign 1"], trials.conditions["sign 2"]
        trials.inputs[..., 0] = np.where(trials.during("first"), first[:, None], 0.0)
        trials.inputs[..., 1] = np.where(trials.during("second"), second[:, None], 0.0)
        trials.conditions["choice"] = first * second
        trials.targets[..., 0] = np.where(trials.during("response"), trials.conditions["choice"][:, None], 0.0)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        return passes(outputs, trials, trials.conditions["choice"], self.threshold, self.strict)


@dataclass(frozen=True, kw_only=True)
class Mante(KimTask):
    """Say the sign of the one of two stimuli that the context names (Mante et al. 2013; Kim et al. 2019).

    Four inputs, in one of two codings:

    - `"noisy"`, of the paper: color and motion are white noise of standard deviation 1 around +-`offset` during the
      stimulus; two context inputs, one of them 1, during the whole trial.
    - `"constant"`, of the later training scripts: one context input, +1 for color and -1 for motion, and color and
      motion constant between -1.25 and 1.25, all during the stimulus; the fourth input stays 0.

    The target is the sign of the attended stimulus after the stimulus, otherwise 0.

    Arguments:
        dt: duration of a step, in ms.
        threshold: height that the answer must pass on its side of zero, at any time of the response.
        strict: whether it must also never pass it on the other side; the paper does not ask for it.
        coding: `"noisy"` or `"constant"`.
        offset: mean of the noisy stimuli.
        noise: standard deviation of each sample of the noisy stimuli.
        fixation: time before the stimulus, in ms.
        stimulus: duration of the stimulus, in ms.
        response: time after the stimulus, in ms.

    Raises:
        TimeError: a duration is negative or off the grid.
        OptionError: a number or the coding is unknown or out of range.

    >>> Mante().trials(2).channels
    ('color', 'motion', 'attend color', 'attend motion')
    >>> trials = Mante(coding="constant").trials(2, conditions={"context": [1, -1], "color": 1, "motion": -0.5})
    >>> trials.inputs[:, 60, :3].tolist(), trials.targets[:, -1, 0].tolist()
    ([[1.0, 1.0, -0.5], [-1.0, 1.0, -0.5]], [1.0, -1.0])
    """

    strict: bool = False
    coding: str = "noisy"
    offset: float = 0.5
    noise: float = 1.0
    fixation: Quantity = 250.0
    stimulus: Quantity = 1000.0
    response: Quantity = 1250.0

    @property
    def channels(self) -> tuple[str, ...]:
        if self.coding == "constant":
            return ("context", "color", "motion", "unused")
        return ("color", "motion", "attend color", "attend motion")

    def check(self) -> None:
        super().check()
        self.require(self.coding in CODINGS, unknown("coding", self.coding, CODINGS))
        self.require(is_number(self.offset) and self.offset > 0, f"offset must be > 0, got {self.offset!r}.")
        self.require(is_number(self.noise) and self.noise >= 0, f"noise must be >= 0, got {self.noise!r}.")

    def durations(self) -> dict[str, Quantity]:
        return {"fixation": self.fixation, "stimulus": self.stimulus, "response": self.response}

    def drawn(self) -> dict[str, Quantity]:
        values = Uniform(-1.25, 1.25) if self.coding == "constant" else Choice((self.offset, -self.offset))
        return {"context": Choice((1, -1)), "color": values, "motion": values}

    def fill(self, trials: Trials, draws: Draws) -> None:
        context, color, motion = (trials.conditions[name] for name in ("context", "color", "motion"))
        shown = trials.during("stimulus")[..., None]
        evidence = np.stack([color, motion], axis=1)[:, None]
        if self.coding == "constant":
            trials.inputs[..., 0] = np.where(shown[..., 0], context[:, None], 0.0)
            trials.inputs[..., 1:3] = np.where(shown, evidence, 0.0)
        else:
            noise = self.noise * draws.normal("noise", (self.steps, 2), trials.lengths) if self.noise > 0 else 0.0
            trials.inputs[..., :2] = np.where(shown, evidence + noise, 0.0)
            trials.inputs[..., 2:] = np.stack([context == 1, context == -1], axis=1)[:, None]
        attended = np.where(context == 1, color, motion)
        trials.conditions["evidence"] = attended
        trials.conditions["choice"] = np.where(attended >= 0, 1.0, -1.0)
        trials.targets[..., 0] = np.where(trials.during("response"), trials.conditions["choice"][:, None], 0.0)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        return passes(outputs, trials, trials.conditions["choice"], self.threshold, self.strict)
