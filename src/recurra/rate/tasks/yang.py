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

LOW = 0.05
FIXATION = {"code": 0.8, "paper": 0.85}
GRACE = 100.0  # ms after the cue to respond that the mask leaves out; of the generator also at the start of a trial
READ = 100.0  # ms at the end in which an answer is read by the words of the paper
WITHIN = 36.0  # degrees

DELAYS, SHOWN = Choice((200, 400, 800, 1600)), Choice((200, 400, 600))
SHORT, MIDDLE, LONG = Uniform(200, 600), Uniform(300, 700), Uniform(500, 1500)
# timing -> family -> period -> duration in ms, where the user gives none
PERIODS: dict[str, dict[str, dict[str, Quantity]]] = {
    "code": {
        "go": {"fixation": MIDDLE, "stimulus": LONG, "response": 500},
        "reaction": {"fixation": Uniform(500, 2500), "response": 500},
        "memory": {"fixation": Choice((300, 500, 700)), "stimulus": SHOWN, "delay": DELAYS, "response": 500},
        "decision": {"fixation": Uniform(100, 400), "stimulus": Choice((400, 800, 1600)), "response": 500},
        "comparison": {
            "fixation": SHOWN, "first": SHOWN, "delay": DELAYS, "second": SHOWN, "wait": Uniform(100, 300),
            "response": 500,
        },
        "match": {"fixation": SHOWN, "sample": SHOWN, "delay": DELAYS, "response": 500},
        "category": {"fixation": SHOWN, "sample": SHOWN, "delay": DELAYS, "response": SHOWN},
    },
    "paper": {
        "go": {"fixation": MIDDLE, "stimulus": LONG, "response": 500},
        "reaction": {"fixation": LONG, "response": 500},
        "memory": {"fixation": MIDDLE, "stimulus": LONG, "delay": DELAYS, "response": 500},
        "decision": {"fixation": SHORT, "stimulus": Choice((400, 800, 1600)), "response": 500},
        "comparison": {"fixation": SHORT, "first": 300, "delay": DELAYS, "second": 300, "wait": 0, "response": 500},
        "match": {"fixation": SHORT, "sample": Uniform(400, 600), "delay": DELAYS, "response": 500},
        "category": {"fixation": SHORT, "sample": Uniform(400, 600), "delay": DELAYS, "response": 500},
    },
}  # fmt: skip
FINE = Choice((-0.08, -0.04, -0.02, -0.01, 0.01, 0.02, 0.04, 0.08))
COARSE = Choice((-0.32, -0.16, -0.08, 0.08, 0.16, 0.32))
DIFFERENCE = {"code": Uniform(20, 340), "paper": Uniform(10, 350)}
HALF = (18, 54, 90, 126, 162)  # directions of one category; 180 more for those of the other


@dataclass(frozen=True)
class Rule:
    """Say what a rule asks for.

    Arguments:
        family: name of the periods.
        anti: respond opposite to the stimulus.
        shown: rings that show something in a decision.
        counts: rings that count in it.
        nonmatch: respond where the two do not match.
    """

    family: str
    anti: bool = False
    shown: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    nonmatch: bool = False


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
    "dmc": Rule("category"),
    "dnmc": Rule("category", nonmatch=True),
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

    Everything is as in the generator that the authors published, `task.py` of their repository `multitask`
    (`timing="code"`), or as the paper describes it (`timing="paper"`) where the two differ:

    | | code | paper |
    |---|---|---|
    | durations | `PERIODS["code"]`, cut to whole steps | `PERIODS["paper"]`, of the size of its own |
    | fixation output while fixating | 0.8 | 0.85 |
    | mask of the first 100 ms of a trial | 0 | 1 |
    | directions that do not match differ by | 20 to 340 degrees | 10 to 350 degrees |
    | an answer is judged by | the last step | the mean of the last 100 ms, and fixation kept before |

    Targets: the fixation output is high until a response is due, then 0.05 (it stays if none is); the ring is 0.05,
    plus a bump of 0.8 at the direction of the response. The mask is 1 before the response, 0 in its first 100 ms, then
    5; twice that for fixation. Right at the end is a fixation output of 0.5 or less with the ring's population vector
    within 36 degrees, or a fixation output above 0.5 where no response is due. Both rings have strengths of their
    own; where they count together, each direction is split between them by 10 to 40% of its strength. Every trial
    draws its own durations and rings, where the published generator draws them for a batch.

    Arguments:
        rule: one of `RULES`.
        dt: duration of a step, in ms.
        noise: standard deviation of the white noise in every input, before it is scaled by sqrt(2 * 100 / dt) as
            published; see `PeriodTask.white_noise`.
        units: number of units of each ring.
        timing: `"code"` or `"paper"`; a dict of durations is taken as `periods`.
        periods: period -> duration in ms, in place of those of the family.

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
    timing: str | Mapping[str, Quantity] = "code"
    periods: Mapping[str, Quantity] | tuple[tuple[str, Quantity], ...] = ()

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
        given = self.periods if isinstance(self.periods, Mapping) else dict(self.periods)
        if isinstance(self.timing, Mapping):
            self.require(not given, "durations were given twice, as timing and as periods; give them as periods.")
            given = self.timing
            object.__setattr__(self, "timing", "code")
        fine = isinstance(self.timing, str) and self.timing in PERIODS
        self.require(fine, unknown("timing", self.timing, PERIODS))
        known = PERIODS[str(self.timing)][RULES[self.rule].family]
        for name in given:
            self.require(name in known, unknown("period", name, known))
        object.__setattr__(self, "periods", tuple(given.items()))  # a dict would make the task unhashable

    def durations(self) -> dict[str, Quantity]:
        found = PERIODS[str(self.timing)][RULES[self.rule].family]
        if self.timing == "code":
            found = {name: self._rounded_down(duration) for name, duration in found.items()}
        return found | dict(self.periods)

    def _rounded_down(self, duration: Quantity) -> Quantity:
        """Return a duration as the generator draws it, which cuts off what is no whole step: never the longest."""
        return Uniform(duration.low, duration.high - self.dt) if isinstance(duration, Uniform) else duration

    def drawn(self) -> dict[str, Quantity]:
        rule, around, rings = RULES[self.rule], Uniform(0, 360), Choice((1, 2))
        if rule.family in ("go", "reaction", "memory"):
            return {"direction": around, "ring": rings}
        if rule.family in ("match", "category"):
            found: dict[str, Quantity] = {"match": Choice((0, 1)), "sample ring": rings, "test ring": rings}
            if rule.family == "match":
                return {"direction": around, **found, "difference": DIFFERENCE[str(self.timing)]}
            return {"direction": Choice((*HALF, *(180 + place for place in HALF))), **found, "place": Choice(HALF)}
        contrast, mean = FINE if rule.family == "decision" else COARSE, Uniform(0.8, 1.2)
        found = {"direction": around, "separation": Uniform(90, 270)}
        if len(rule.counts) == 2:
            # Both rings together decide; how a direction's strength is split between them tells nothing.
            splits = {f"split size {label}": Uniform(0.1, 0.4) for label in "12"}
            return {**found, "strength": mean, "contrast": contrast, **splits} | {
                f"split side {label}": Choice((1, -1)) for label in "12"
            }
        return found | {
            f"{what} {r}": how for r in rule.shown for what, how in (("strength", mean), ("contrast", contrast))
        }

    def fill(self, trials: Trials, draws: Draws) -> None:
        rule = RULES[self.rule]
        if rule.family in ("match", "category"):
            self._matching(trials, rule)
        elif rule.shown:
            self._decision(trials, rule)
        else:
            self._reach(trials, rule)
        kept = rule.family in ("reaction", "match", "category")  # the cue never goes off
        trials.inputs[..., 0] = np.ones(trials.inputs.shape[:2]) if kept else ~trials.during("response")
        trials.inputs[..., 1 + 2 * self.units + list(RULES).index(self.rule)] = 1.0
        trials.inputs[...] += self.white_noise(trials, draws, self.noise, len(self.channels))
        self._respond(trials)

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        direction = trials.conditions["response"]
        final = self._final(outputs, trials)
        off = np.degrees(angle_between(ring_direction(final[:, 1:]), np.radians(np.nan_to_num(direction))))
        stayed = final[:, 0] > 0.5
        right = np.where(np.isnan(direction), stayed, ~stayed & (off < WITHIN))
        if self.timing == "paper":
            early = np.arange(trials.steps) < trials.periods["response"][:, :1]
            right &= np.all((outputs[..., 0] > 0.5) | ~early, axis=1)
        return right

    def answers(self, outputs: np.ndarray, trials: Trials, output: int = 0) -> np.ndarray:
        """Return whether the first of two directions was chosen (`output` 1: the second), nan where none was.

        A direction is chosen if the response is nearer to it than to the other one. With the rules that do not compare
        strengths, it is whether there was a response.
        """
        final = self._final(outputs, trials)
        went = final[:, 0] <= 0.5
        if not RULES[self.rule].shown:
            self.require(output == 0, f"answers are responses or none, so that output must be 0, got {output!r}.")
            return went.astype(float)
        self.require(output in (0, 1), f"output must be 0, the first direction, or 1, the second, got {output!r}.")
        first, other = np.radians(trials.conditions["direction"]), np.radians(trials.conditions["other direction"])
        found = ring_direction(final[:, 1:])
        chosen = (angle_between(found, first) < angle_between(found, other)) == (output == 0)
        return np.where(went & np.isfinite(found), chosen.astype(float), np.nan)

    def _final(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        """Return the outputs at the end, `(batch, outputs)`: of the last step, or the mean of the last 100 ms."""
        steps = max(1, round(READ / self.dt)) if self.timing == "paper" else 1
        time = np.arange(trials.steps)
        late = (time >= (trials.lengths - steps)[:, None]) & (time < trials.lengths[:, None])
        late = (late & trials.during("response"))[..., None]
        return np.sum(np.where(late, outputs, 0.0), axis=1) / np.maximum(late.sum(axis=1), 1)

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
        found, both = trials.conditions, len(rule.counts) == 2
        one = found["direction"]
        other = (one + found["separation"]) % 360
        periods = ("stimulus", "stimulus") if rule.family == "decision" else ("first", "second")
        for ring in rule.shown:
            mean, contrast = (found[name if both else f"{name} {ring}"] for name in ("strength", "contrast"))
            for direction, period, sign, label in zip((one, other), periods, (1, -1), "12", strict=True):
                strength = mean + sign * contrast
                if both:
                    share = found[f"split side {label}"] * found[f"split size {label}"]
                    strength = strength * (1 + (3 - 2 * ring) * share)
                self._show(trials, ring, (period,), direction, strength)
        found["other direction"] = other
        found["evidence"] = found["contrast" if both else f"contrast {rule.counts[0]}"].copy()
        found["response"] = np.where(found["evidence"] > 0, one, other)

    def _matching(self, trials: Trials, rule: Rule) -> None:
        found = trials.conditions
        sample, match = found["direction"], found["match"] == 1
        if rule.family == "category":
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
        trials.targets[..., :1] = np.where(going, LOW, FIXATION[str(self.timing)])
        np.multiply(going, bump, out=trials.targets[..., 1:])
        trials.targets[..., 1:] += LOW
        grace, time = int(GRACE / self.dt), np.arange(trials.steps)
        since = time - trials.periods["response"][:, :1]
        weight = np.where(due, np.where(since >= grace, 5.0, 0.0), 1.0)
        if self.timing == "code":
            weight[~due & (time < grace)] = 0.0
        trials.mask[:] = weight[..., None]
        trials.mask[..., :1] *= 2
