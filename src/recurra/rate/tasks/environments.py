"""Any environment of NeuroGym that knows its right answers, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import CapabilityError, MissingPackageError, OptionError
from recurra.rate.tasks.base import Task
from recurra.rate.tasks.randomness import Pristine, global_seed, trial_seed
from recurra.rate.tasks.sampling import Draws
from recurra.rate.tasks.trials import Trials

PROBED = 500  # trials that are looked at for the longest
SPARE = 1.25


@dataclass(frozen=True, kw_only=True)
class NeuroGymTask(Task):
    """Make batches of trials of a NeuroGym environment; use `from_neurogym`.

    Observations are the inputs. Actions that are numbers become one output each, and the target of a step is 1 for the
    right action; continuous actions are the targets as they are. Each trial is made by a copy of the environment as it
    was given here, seeded anew, so trials are independent and trial i of a seed is always the same: what an environment
    or a wrapper remembers of earlier trials has no effect.

    A trial is right if in each stretch of steps that asks for the same action (other than 0, to do nothing) the mean
    output of that action is the largest. Where action 0 is right all the time, that has to hold in the period
    `decision`, or else in the last one. With continuous actions, the mean distance from the targets must be at most
    `tolerance`.

    Arguments:
        env: the environment.
        dt: duration of a step, in ms.
        channels: names of the observations.
        outputs: names of the actions.
        steps: rows of every batch.
        discrete: whether actions are numbers.
        tolerance: for continuous actions.

    >>> from types import SimpleNamespace
    >>> class Report:  # what an environment of NeuroGym has, without the package
    ...     dt = 100
    ...     observation_space = SimpleNamespace(name={"cue": [0, 1]}, seed=lambda seed: None)
    ...     action_space = SimpleNamespace(name={"wait": 0, "report": [1, 2]}, n=3, seed=lambda seed: None)
    ...     def seed(self, seed):
    ...         self.random = np.random.default_rng(seed)
    ...     def new_trial(self, side=None):
    ...         side = int(self.random.integers(2)) if side is None else side
    ...         self.ob, self.gt = np.zeros((4, 2)), np.array([0, 0, 1 + side, 1 + side])
    ...         self.ob[:2, side] = 1.0
    ...         self.start_ind, self.end_ind = {"cue": 0, "decision": 2}, {"cue": 2, "decision": 4}
    ...         return {"side": side}
    >>> task = from_neurogym(Report())
    >>> task.channels, task.outputs, task.steps
    (('cue 0', 'cue 1'), ('wait', 'report 0', 'report 1'), 4)
    >>> trials = task.trials(2, conditions={"side": [0, 1]})
    >>> trials.targets[1]
    array([[1., 0., 0.],
           [1., 0., 0.],
           [0., 0., 1.],
           [0., 0., 1.]])
    >>> answers = np.tile(trials.targets[:1], (2, 1, 1))  # always report 0
    >>> task.accuracy(answers, trials)
    array([ True, False])
    """

    env: Any
    dt: float
    channels: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    steps: int = 0
    discrete: bool = True
    tolerance: float = 0.2

    def __post_init__(self) -> None:
        # A copy, so that what its owner does with it later changes no trial.
        object.__setattr__(self, "_pristine", Pristine(self.env, type(self.env).__name__))
        object.__setattr__(self, "env", self._pristine.source)  # type: ignore[attr-defined]

    def __identity__(self) -> object:
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def generate(self, draws: Draws, conditions: Mapping[str, ArrayLike]) -> Trials:
        """Make the trials one by one, as the environment does; conditions are passed to its `new_trial`."""
        n, width = draws.count, len(self.outputs)
        found = Trials(
            np.zeros((n, self.steps, len(self.channels)), draws.precision),
            np.zeros((n, self.steps, width), draws.precision),
            np.zeros((n, self.steps, width), draws.precision),
            {},
            {},
            np.zeros(n, int),
            self.channels,
            self.outputs,
            self.dt,
        )
        given = {name: np.broadcast_to(np.asarray(value), (n,)) for name, value in conditions.items()}
        for row, number in enumerate(draws.numbers):
            fixed = {name: value[row].item() for name, value in given.items()}
            _write(found, row, _trial(self._pristine, draws.seed, int(number), fixed), self.discrete)
        return found

    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        if not self.discrete:
            inside = trials.mask > 0
            distance = np.sum(np.where(inside, np.abs(outputs - trials.targets), 0.0), axis=(1, 2))
            return distance <= self.tolerance * inside.sum(axis=(1, 2))
        return np.array([self._answered(outputs[row], trials, row) for row in range(len(trials))])

    def _answered(self, outputs: np.ndarray, trials: Trials, row: int) -> bool:
        """Return whether one trial was answered rightly, every stretch of it."""
        right = trials.targets[row, : int(trials.lengths[row])].argmax(axis=1)
        ends = np.flatnonzero(np.diff(right, append=-1)) + 1
        stretches = [(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True) if right[a] != 0]
        if not stretches:
            periods = {name: steps[row] for name, steps in trials.periods.items() if steps[row, 1] > steps[row, 0]}
            last = list(periods.values())[-1] if periods else (0, len(right))
            stretches = [periods.get("decision", last)]
        return all(outputs[a:b].mean(axis=0).argmax() == right[a] for a, b in stretches)


def from_neurogym(env: Any, *, steps: int | None = None, tolerance: float = 0.2, **settings: Any) -> NeuroGymTask:
    """Make a task of a NeuroGym environment (the extra `neurogym`).

    Arguments:
        env: an environment, or its id for `neurogym.make`, as `"PerceptualDecisionMaking-v0"`.
        steps: rows of every batch; `None` takes a quarter more than the longest of 500 trials.
        tolerance: see `NeuroGymTask`; for continuous actions.
        settings: of the environment, with an id.

    Returns:
        The task; its conditions are what the environment says about a trial, where that is a number.

    Raises:
        CapabilityError: NeuroGym is not installed, or the environment gives rewards but no right answers.
        OptionError: this is no environment, or there are settings but no id.

    >>> from types import SimpleNamespace
    >>> class Wait:  # stands for an environment of the package; its trials last 2 to 5 steps
    ...     dt, gt, ob = 100, None, None
    ...     observation_space = action_space = SimpleNamespace(n=2, seed=lambda seed: None)
    ...     def seed(self, seed):
    ...         self.random = np.random.default_rng(seed)
    ...     def new_trial(self):
    ...         length = int(self.random.integers(2, 6))
    ...         self.ob, self.gt = np.ones((length, 1)), np.arange(length) // (length - 1)
    ...         self.start_ind, self.end_ind = {"wait": 0}, {"wait": length}
    >>> task = from_neurogym(Wait())
    >>> task.dt, task.steps  # a quarter more than the longest
    (100.0, 7)
    >>> trials = task.trials(5)
    >>> trials.lengths.tolist(), trials.mask[:, :, 0].sum(axis=1).tolist()
    ([4, 4, 4, 4, 2], [4.0, 4.0, 4.0, 4.0, 2.0])
    """
    if isinstance(env, str):
        env = _make(env, settings)
    elif settings:
        raise OptionError(f"from_neurogym: settings {sorted(settings)} go with an id, not with an environment.")
    core = getattr(env, "unwrapped", env)
    if not all(hasattr(core, name) for name in ("new_trial", "seed", "dt", "action_space", "observation_space")):
        raise OptionError(f"from_neurogym: expected an environment of NeuroGym or its id, got {type(env).__name__}.")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 2):
        raise OptionError(f"from_neurogym: steps must be a whole number >= 2, got {steps!r}.")
    pristine = Pristine(env, type(env).__name__)
    probed = _trial(pristine, 0, 0, {})
    if steps is None:
        longest = max(len(_trial(pristine, 0, number, {}).targets) for number in range(PROBED))
        steps = max(2, int(np.ceil(SPARE * longest)) if longest > len(probed.targets) else longest)
    discrete = hasattr(env.action_space, "n")
    actions = int(env.action_space.n) if discrete else int(np.prod(env.action_space.shape))
    return NeuroGymTask(
        env=env,
        dt=float(core.dt),
        channels=_names(env.observation_space, probed.inputs.shape[1], "observation"),
        outputs=_names(env.action_space, actions, "action"),
        steps=steps,
        discrete=discrete,
        tolerance=tolerance,
    )


@dataclass(frozen=True)
class _Trial:
    inputs: np.ndarray
    targets: np.ndarray
    info: dict[str, float]
    periods: dict[str, tuple[int, int]]


def _make(name: str, settings: dict[str, Any]) -> Any:
    try:
        import neurogym  # type: ignore[import-not-found]
    except ImportError as problem:
        raise MissingPackageError(
            f"from_neurogym: NeuroGym cannot be imported ({problem}); install recurra[neurogym]."
        ) from problem
    try:
        return neurogym.make(name, **settings)
    except Exception as problem:
        raise OptionError(f"from_neurogym: NeuroGym cannot make {name!r}: {problem}") from problem


def _trial(pristine: Pristine, seed: int, number: int, fixed: dict[str, float]) -> _Trial:
    """Seed a copy of the environment for one trial and read what it makes.

    A copy, since an environment may remember earlier trials (blocks, counts of rewards): so each trial is the first.
    """
    address = trial_seed(seed, number)
    with global_seed(address):
        env = pristine.copy(address)
        core = getattr(env, "unwrapped", env)
        core.seed(address)
        for space in (env.action_space, env.observation_space):
            space.seed(address)
        new_trial = env.get_wrapper_attr("new_trial") if hasattr(env, "get_wrapper_attr") else env.new_trial
        info = new_trial(**fixed)
    right = getattr(core, "gt", None)
    if right is None or getattr(core, "ob", None) is None:
        raise CapabilityError(
            f"from_neurogym: {type(core).__name__} has no right answers for the steps of a trial, so it can be learned"
            " from rewards only."
        )
    right = np.array(right)
    actions = getattr(env.action_space, "n", None)
    if actions is not None:
        whole = right.ndim == 1 and np.all(right == np.round(right)) and np.all((right >= 0) & (right < actions))
        if not whole:
            raise CapabilityError(
                f"from_neurogym: the right answers of {type(core).__name__} are not among its {actions} actions."
            )
        right = right.astype(int)
    start, stop = core.start_ind, core.end_ind
    periods = {name: (int(start[name]), int(stop[name])) for name in start if name in stop}
    numbers = {
        name: float(value)
        for name, value in (info or {}).items()
        if isinstance(value, int | float | bool | np.number | np.bool_)
    }
    return _Trial(np.array(core.ob, float), right, numbers, periods)


def _write(found: Trials, row: int, trial: _Trial, discrete: bool) -> None:
    length = len(trial.targets)
    if length > found.steps:
        raise OptionError(
            f"from_neurogym: a trial has {length} steps, more than the {found.steps} of every batch; say steps={length}"
            " or more."
        )
    found.inputs[row, :length] = trial.inputs
    found.mask[row, :length] = 1.0
    found.lengths[row] = length
    for name, (start, stop) in trial.periods.items():
        found.periods.setdefault(name, np.zeros((len(found), 2), int))[row] = start, stop
    for name, value in trial.info.items():
        found.conditions.setdefault(name, np.full(len(found), np.nan))[row] = value
    if discrete:
        found.targets[row, np.arange(length), trial.targets] = 1.0
    else:
        found.targets[row, :length] = trial.targets.reshape(length, -1)


def _names(space: Any, count: int, what: str) -> tuple[str, ...]:
    """Return a name for each entry of a space: those that NeuroGym has, or numbers."""
    names = [f"{what} {position}" for position in range(count)]
    known = getattr(space, "name", None)
    for name, where in known.items() if isinstance(known, dict) else ():
        places = [where] if isinstance(where, int | np.integer) else list(where)
        for position, place in enumerate(places):
            if 0 <= int(place) < count:
                names[int(place)] = name if len(places) == 1 else f"{name} {position}"
    return tuple(names)
