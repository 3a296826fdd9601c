"""The twenty tasks of Yang, Joglekar, Song, Newsome and Wang (2019), which one network can learn together.

All have the same inputs (a fixation cue, two rings of directions, one input for each rule) and outputs (fixation, a
ring of directions), and the rule input tells which is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recurra.errors import unknown
from recurra.rate.tasks.base import PeriodTask
from recurra.rate.tasks.choosing import angle_between, ring_bump, ring_direction, ring_names
from recurra.rate.tasks.sampling import Choice, Draws, Quantity, Uniform, is_number
from recurra.rate.tasks.trials import Trials

FIXATION_LOW, FIXATION_HIGH = 0.05, 0.85
GRACE = 100.0  # ms after the cue to respond that the mask leaves out
READ = 100.0  # ms at the end in which an answer is read
WITHIN = 36.0  # degrees

DELAYS = Choice((200, 400, 800, 1600))
SHORT, MIDDLE, LONG = Uniform(200, 600), Uniform(300, 700), Uniform(500, 1500)
# family -> period -> duration in ms, where the user gives none
PERIODS: dict[str, dict[str, Quantity]] = {
    "go": {"fixation": MIDDLE, "stimulus": LONG, "response": 500},
    "reaction": {"fixation": LONG, "response": 500},
    "memory": {"fixation": MIDDLE, "stimulus": LONG, "delay": DELAYS, "response": 500},
    "decision": {"fixation": SHORT, "stimulus": Choice((400, 800, 1600)), "response": 500},
    "comparison": {"fixation": SHORT, "first": 300, "delay": DELAYS, "second": 300, "response": 500},
    "match": {"fixation": SHORT, "sample": Uniform(400, 600), "delay": DELAYS, "response": 500},
}
FINE = Choice((-0.08, -0.04, -0.02, -0.01, 0.01, 0.02, 0.04, 0.08))
COARSE = Choice((-0.32, -0.16, -0.08, 0.08, 0.16, 0.32))


@dataclass(frozen=True)
class Rule:
    """Say what a rule asks for.

    Arguments:
        family: name of the periods.
        anti: respond opposite to the stimulus.
        shown: rings that show something in a decision.
        counts: rings that count in it.
        nonmatch: respond where the two do not match.
        category: compare halves of the circle, not directions.
    """

    family: str
    anti: bool = False
    shown: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    nonmatch: bool = False
    category: bool = False


RULES: dict[str, Rule] = {
    "go": Rule("go"),
    "rtgo": Rule("reaction"),
    "dlygo": Rule("memory"),
    "anti": Rule("go", anti=True),
    "rtanti": Rule("reaction", anti=True),
    "dlyanti": Rule("memory", anti=True),
    "dm1": Rule("decision", shown=(1,), counts=(1,)),
    "dm2": Rule("decision", shown=(2,), counts=(2,)),
    "ctxdm1": Rule("decision", shown=(1, 2), counts=(1,)),
    "ctxdm2": Rule("decision", shown=(1, 2), counts=(2,)),
    "multidm": Rule("decision", shown=(1, 2), counts=(1, 2)),
    "dlydm1": Rule("comparison", shown=(1,), counts=(1,)),
    "dlydm2": Rule("comparison", shown=(2,), counts=(2,)),
    "ctxdlydm1": Rule("comparison", shown=(1, 2), counts=(1,)),
    "ctxdlydm2": Rule("comparison", shown=(1, 2), counts=(2,)),
    "multidlydm": Rule("comparison", shown=(1, 2), counts=(1, 2)),
    "dms": Rule("match"),
    "dnms": Rule("match", nonmatch=True),
    "dmc": Rule("match", category=True),
    "dnmc": Rule("match", nonmatch=True, category=True),
}


@dataclass(frozen=True, kw_only=True)
class Yang(PeriodTask):
    """Do one of the twenty tasks of Yang et al. (2019).

    The families of rules:

    - `go`, `rtgo`, `dlygo` (and `anti`, ...): respond towards a direction (or opposite), when the fixation cue goes
      off, as soon as the direction shows, or when the cue goes off after a delay without it.
    - `dm1`, `dm2`, `ctxdm1`, `ctxdm2`, `multidm`: of two directions shown together, respond towards the stronger, in
      ring 1, in ring 2, in the one of both that the rule names, or in their sum. `dlydm1`, ...: the two in turn.
    - `dms`, `dnms`, `dmc`, `dnmc`: respond towards a second direction if it is the same as the first (not the same,
      of the same half of the circle, of the other half), else keep fixating.

    Targets: the fixation output is 0.85 until a response is due, then 0.05 (it stays if none is); the ring is 0.05,
    plus a bump of 0.8 at the direction of the response. The mask is 1 before the response, 0 in its first 100 ms, then
    5; twice that for fixation. An answer is right if the fixation output stays above 0.5 until a response is due, and
    at the end (the last 100 ms) is below 0.5 with the ring's population vector within 36 degrees, or still above 0.5
    where no response was due. The default durations are of the size of those in the paper.

    Arguments:
        rule: one of `RULES`.
        dt: duration of a step, in ms.
        noise: strength of the white noise in every input but the rule.
        units: number of units of each ring.
        timing: period -> duration in ms, in place of the family's defaults (`PERIODS`).

    Raises:
        TimeError: a duration is negative or off the grid.
        OptionError: a rule, a period or a number is unknown or out of range.

    >>> task = Yang(rule="anti")
    >>> trials = task.trials(3, conditions={"direction": 90})
    >>> trials.inputs.shape[-1], trials.targets.shape[-1], trials.conditions["response"].tolist()
    (85, 33, [270.0, 270.0, 270.0])
    """

    rule: str
    dt: float = 20.0
    noise: float = 0.01
    units: int = 32
    timing: Mapping[str, Quantity] | tuple[tuple[str, Quantity], ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        rings = ring_names("ring 1", self.units) + ring_names("ring 2", self.units)
        return ("fixation", *rings, *(f"rule {rule}" for rule in RULES))

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("fixation", *ring_names("response", self.units))

    def check(self) -> None:
        super().check()
        self.require(self.rule in RULES, unknown("rule", self.rule, RULES))
        self.require(is_number(self.noise) and self.noise >= 0, f"noise must be a number >= 0, got {self.noise!r}.")
        fine = isinstance(self.units, int) and not isinstance(self.units, bool) and self.units >= 4
        self.require(fine, f"units must be a whole number >= 4, got {self.units!r}.")
        known = PERIODS[RULES[self.rule].family]
        given = self.timing if isinstance(self.timing, Mapping) else dict(self.timing)
        for name in given:
            self.require(name in known, unknown("period", name, known))
        object.__setattr__(self, "timing", tuple(given.items()))  # a dict would make the task unhashable

    def durations(self) -> dict[str, Quantity]:
        return PERIODS[RULES[self.rule].family] | dict(self.timing)

    def drawn(self) -> dict[str, Quantity]:
        rule = RULES[self.rule]
        found: dict[str, Quantity]
        around, rings = Uniform(0, 360), Choice((1, 2))
        if rule.family in ("go", "reaction", "memory"):
            return {"direction": around, "ring": rings}
        if rule.family == "match":
            found = {"direction": around, "match": Choice((0, 1)), "sample ring": rings, "test ring": rings}
            return found | ({"place": Uniform(0, 180)} if rule.category else {"difference": Uniform(10, 350)})
        contrast = FINE if rule.family == "decision" else COARSE
        found = {
            "direction": around,
            "separation": Uniform(90, 270),
            "strength": Uniform(0.8, 1.2),
        }
        if len(rule.counts) == 2:
            # Both rings together decide; how a direction's strength is split between them tells nothing.
            return {**found, "contrast": contrast, "split 1": Uniform(-0.4, 0.4), "split 2": Uniform(-0.4, 0.4)}
        return found | {f"contrast {ring}": contrast for ring in rule.shown}

    def fill(self, trials: Trials, draws: Draws) -> None:
        rule = RULES[self.rule]
        if rule.family == "match":
            self._matching(trials, rule)
        elif rule.shown:
            self._decision(trials, rule)
        else:
            self._reach(trials, rule)
        cue = np.ones(trials.inputs.shape[:2]) if rule.family == "reaction" else ~trials.during("response")
        trials.inputs[..., 0] = cue
        sensed = 1 + 2 * self.units
        trials.inputs[..., :sensed] += self.white_noise(trials, draws, self.noise, sensed)
        trials.inputs[..., sensed + list(RULES).index(self.rule)] = 1.0
        self._respond(trials)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        fixation, direction = outputs[..., 0], trials.conditions["response"]
        time = np.arange(trials.steps)
        waited = np.all((fixation > 0.5) | (time >= trials.periods["response"][:, :1]), axis=1)
        late = time >= (trials.lengths - max(1, round(READ / self.dt)))[:, None]
        late = (late & trials.during("response"))[..., None]
        final = np.sum(np.where(late, outputs, 0.0), axis=1) / np.maximum(late.sum(axis=1), 1)
        off = np.degrees(angle_between(ring_direction(final[:, 1:]), np.radians(np.nan_to_num(direction))))
        went = (final[:, 0] < 0.5) & (off < WITHIN)
        return waited & np.where(np.isnan(direction), final[:, 0] > 0.5, went)

    def _show(
        self, trials: Trials, ring: int, periods: tuple[str, ...], direction: np.ndarray, strength: np.ndarray
    ) -> None:
        """Add a direction (degrees) to a ring, from the start of the first period to the end of the last."""
        first = 1 + (ring - 1) * self.units
        bump = (strength[:, None] * ring_bump(np.radians(direction), self.units)).astype(trials.inputs.dtype)
        starts, stops = trials.periods[periods[0]][:, 0], trials.periods[periods[-1]][:, 1]
        # Most of a batch shows nothing here: a slice of each trial is quicker than a product with a mask.
        for row in np.flatnonzero(strength):
            trials.inputs[row, starts[row] : stops[row], first : first + self.units] += bump[row]

    def _reach(self, trials: Trials, rule: Rule) -> None:
        direction = trials.conditions["direction"]
        shown = {"go": ("stimulus", "response"), "reaction": ("response",), "memory": ("stimulus",)}[rule.family]
        for ring in (1, 2):
            here = (trials.conditions["ring"] == ring).astype(float)
            self._show(trials, ring, shown, direction, here)
        trials.conditions["response"] = (direction + 180 * rule.anti) % 360

    def _decision(self, trials: Trials, rule: Rule) -> None:
        found = trials.conditions
        one = found["direction"]
        other = (one + found["separation"]) % 360
        periods = ("stimulus", "stimulus") if rule.family == "decision" else ("first", "second")
        for ring in rule.shown:
            contrast = found["contrast"] if len(rule.counts) == 2 else found[f"contrast {ring}"]
            for direction, period, sign, label in zip((one, other), periods, (1, -1), "12", strict=True):
                strength = found["strength"] + sign * contrast
                if len(rule.counts) == 2:
                    strength = strength * (1 + (3 - 2 * ring) * found[f"split {label}"])
                self._show(trials, ring, (period,), direction, strength)
        evidence = found["contrast"] if len(rule.counts) == 2 else found[f"contrast {rule.counts[0]}"]
        found["evidence"] = evidence
        found["response"] = np.where(evidence > 0, one, other)

    def _matching(self, trials: Trials, rule: Rule) -> None:
        found = trials.conditions
        sample, match = found["direction"], found["match"] == 1
        if rule.category:
            test = found["place"] + 180 * ((sample >= 180) == match)
        else:
            test = (sample + np.where(match, 0.0, found["difference"])) % 360
        for period, direction, where in (("sample", sample, "sample ring"), ("response", test, "test ring")):
            for ring in (1, 2):
                self._show(trials, ring, (period,), direction, (found[where] == ring).astype(float))
        found["test direction"] = test
        found["response"] = np.where(match != rule.nonmatch, test, np.nan)

    def _respond(self, trials: Trials) -> None:
        """Write targets and mask for the condition `response`, degrees, nan for none."""
        direction = trials.conditions["response"]
        due = trials.during("response")
        going = (due & ~np.isnan(direction)[:, None])[..., None]
        bump = ring_bump(np.radians(np.nan_to_num(direction)), self.units)[:, None].astype(trials.targets.dtype)
        trials.targets[..., :1] = np.where(going, FIXATION_LOW, FIXATION_HIGH)
        np.multiply(going, bump, out=trials.targets[..., 1:])
        trials.targets[..., 1:] += FIXATION_LOW
        since = (np.arange(trials.steps) - trials.periods["response"][:, :1]) * self.dt
        weight = np.where(due, np.where(since >= GRACE, 5.0, 0.0), 1.0)[..., None]
        trials.mask[:] = weight
        trials.mask[..., :1] = 2 * weight
