"""What a task is: conditions to draw, periods in time, inputs and targets to fill in, and what counts as right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError, TimeError, unknown
from recurra.rate.tasks.sampling import (
    Distribution,
    Draws,
    Duration,
    Quantity,
    distribution,
    given_values,
    is_number,
    make_draws,
    to_steps,
)
from recurra.rate.tasks.trials import Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE_TIME = 100.0  # ms


class Task(ABC):
    """Make trials and judge answers; `PeriodTask` is the way to write one down.

    A task needs no name and no registration: `train`, `evaluate`, `get` and the others take it as it is.

    A task has `channels` and `outputs` (their names), `dt` (ms) and `steps` (rows of every batch).

    >>> from recurra.rate.tasks import GoNoGo
    >>> task: Task = GoNoGo()
    >>> task.channels, task.outputs, task.dt, task.steps
    (('stimulus',), ('output',), 5.0, 200)
    >>> trials = task.trials(4, conditions={"go": [1, 0, 1, 0]})
    >>> task.accuracy(np.zeros((4, task.steps, 1)), trials)  # who never answers is right where nothing is to be done
    array([False,  True, False,  True])
    """

    dt: float

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """Names of the inputs."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of steps of the longest trial; every batch has as many rows."""

    @abstractmethod
    def generate(self, draws: Draws, conditions: Mapping[str, ArrayLike]) -> Trials:
        """Make the trials of some draws.

        Arguments:
            draws: where their random numbers come from.
            conditions: what is not to be drawn, name -> value or `(batch,)`.
        """

    @abstractmethod
    def correct(self, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        """Return which trials were answered rightly, `(batch,)` booleans.

        Arguments:
            outputs: `(batch, rows, outputs)` with as many rows as the trials.
            trials: the trials.
        """

    def trials(
        self,
        n: int,
        seed: int = 0,
        *,
        start: int = 0,
        precision: str = "float64",
        conditions: Mapping[str, ArrayLike] | None = None,
    ) -> Trials:
        """Make a batch of trials.

        Arguments:
            n: how many trials.
            seed: which trials; trial i of a seed is always the same, whatever `n` and `start`.
            start: number of the first trial.
            precision: `"float64"` or `"float32"`, of inputs, targets and mask.
            conditions: name -> one value, or one for each trial, instead of drawing it; durations in ms.

        Returns:
            The trials.

        Raises:
            OptionError: numbers out of range, a condition that is not drawn by this task, a value it never has.
            ShapeError: values for another number of trials.

        >>> from recurra.rate.tasks import GoNoGo
        >>> trials = GoNoGo().trials(4, seed=1)
        >>> trials.inputs.shape, trials.targets.shape
        ((4, 200, 1), (4, 200, 1))
        >>> GoNoGo().trials(3, conditions={"go": [1, 0, 1]}).targets[:, -1, 0]
        array([1., 0., 1.])
        """
        if conditions is not None and not isinstance(conditions, Mapping):
            raise OptionError(f"conditions: expected a dict of name -> values, got {type(conditions).__name__}.")
        return self.generate(make_draws(seed, start, n, precision), conditions or {})

    def accuracy(self, outputs: ArrayLike, trials: Trials) -> np.ndarray:
        """Return which trials were answered rightly, `(batch,)` booleans.

        Arguments:
            outputs: what a network gave, `(batch, time, outputs)`; the last row may be missing (see `Trials.target`),
                and the last axis where there is one output only.
            trials: the trials it was given.

        Raises:
            ShapeError: the outputs do not fit the trials.

        >>> from recurra.rate.tasks import GoNoGo
        >>> trials = GoNoGo().trials(4)
        >>> GoNoGo().accuracy(trials.targets, trials)
        array([ True,  True,  True,  True])
        """
        found = full_length(outputs, trials)
        return self.correct(found, trials) & np.all(np.isfinite(found), axis=(1, 2))

    def answers(self, outputs: np.ndarray, trials: Trials, output: int = 0) -> np.ndarray:
        """Return whether the answer was yes in each trial: 1, 0, or nan where there was none, `(batch,)`.

        What a psychometric curve counts. It reads the period `response` (`decision` where that is missing, else the
        last period). Of several outputs yes means that `output` has the largest mean there, of a single one that its
        mean is above the middle between the lowest and the highest target. Override it where an answer is another
        thing.

        Arguments:
            outputs: `(batch, rows, outputs)` with as many rows as the trials.
            trials: the trials.
            output: which answer is yes.

        Raises:
            OptionError: there is no such output.

        >>> from recurra.rate.tasks import PerceptualDiscrimination
        >>> task = PerceptualDiscrimination()
        >>> trials = task.trials(3, conditions={"side": [1, -1, 1]})
        >>> task.answers(trials.targets, trials), task.answers(trials.targets, trials, output=1)
        (array([1., 0., 1.]), array([0., 1., 0.]))
        """
        check_output(output, self.outputs)
        means = mean_at(trials, outputs, response_window(trials))
        if len(self.outputs) > 1:
            return (means.argmax(axis=1) == output).astype(float)
        counted = trials.targets[trials.mask > 0] if np.any(trials.mask > 0) else trials.targets
        return (means[:, 0] > (counted.min() + counted.max()) / 2).astype(float)

    def plot(self, trials: Trials, trial: int = 0, outputs: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
        """Draw one trial: inputs, targets, and answers if there are any.

        Arguments:
            trials: the trials.
            trial: which one.
            outputs: what a network gave for all of them.
            ax: the axes to draw on; `None` makes a figure.

        Returns:
            The axes.
        """
        from recurra.rate.tasks.plots import plot_trial

        return plot_trial(trials, trial, outputs, ax)


@dataclass(frozen=True, kw_only=True)
class PeriodTask(Task):
    """Describe a task by its periods; subclass it as a frozen dataclass of parameters.

    A subclass names its `channels` and `outputs`, says what is drawn (`drawn`) and how long the periods are
    (`durations`), fills inputs and targets (`fill`) and judges answers (`correct`). All of it works on whole batches.

    Arguments:
        dt: duration of a step, in ms.

    Raises:
        TimeError: a duration is negative or no whole number of steps.
        OptionError: another parameter is out of range.

    >>> from recurra.rate.tasks import Choice
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Echo(PeriodTask):
    ...     delay: Quantity = 100.0
    ...     channels = ("cue",)
    ...     outputs = ("echo",)
    ...     def drawn(self): return {"sign": Choice((1, -1))}
    ...     def durations(self): return {"cue": 50, "delay": self.delay, "response": 50}
    ...     def fill(self, trials, draws):
    ...         sign = trials.conditions["sign"][:, None]
    ...         trials.inputs[..., 0] = trials.during("cue") * sign
    ...         trials.targets[..., 0] = trials.during("response") * sign
    ...     def correct(self, outputs, trials):
    ...         return mean_during(trials, outputs, "response")[:, 0] * trials.conditions["sign"] > 0.5
    >>> task = Echo(delay=Choice((100, 200)))
    >>> trials = task.trials(64)
    >>> trials.inputs.shape, sorted(set(trials.lengths.tolist())), bool(task.accuracy(trials.targets, trials).all())
    ((64, 30, 1), [20, 30], True)
    """

    dt: float = 10.0

    def __post_init__(self) -> None:
        self.check()
        self._plan()

    @abstractmethod
    def durations(self) -> dict[str, Quantity]:
        """Return how long each period takes, in ms, in the order of a trial."""

    @abstractmethod
    def fill(self, trials: Trials, draws: Draws) -> None:
        """Write inputs, targets, mask and what is right in each trial into trials that hold zeros (the mask: ones).

        Arguments:
            trials: with periods and drawn conditions; changed in place.
            draws: for noise.
        """

    def drawn(self) -> dict[str, Quantity]:
        """Return what is drawn for each trial besides durations."""
        return {}

    def schedule(self, conditions: Mapping[str, ArrayLike], durations: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
        """Return the duration of each period of these trials, in ms; override it where one follows from another.

        Arguments:
            conditions: name -> value of each trial.
            durations: period -> value of each trial, as drawn.
        """
        return dict(durations)

    def check(self) -> None:
        """Check the parameters; override it where there is more to check than durations, and call this one too."""
        if not is_number(self.dt) or self.dt <= 0:
            raise TimeError(f"{self._name}: dt must be a number > 0 in ms, got {self.dt!r}.")

    def require(self, fine: bool, message: str) -> None:
        """Raise an OptionError that names the task unless `fine`."""
        if not fine:
            raise OptionError(f"{self._name}: {message}")

    @property
    def steps(self) -> int:
        return self._plan()[2]

    def generate(self, draws: Draws, conditions: Mapping[str, ArrayLike]) -> Trials:
        """Draw conditions and durations, lay out the periods, and fill the trials."""
        choices, times, steps = self._plan()
        values = self._values(draws, {**choices, **times}, conditions)
        n = draws.count
        schedule = self.schedule(values, {name: values[name] for name in times})
        lengths = [np.broadcast_to(np.round(np.asarray(ms) / self.dt).astype(int), (n,)) for ms in schedule.values()]
        stops = np.cumsum(lengths, axis=0)
        if stops[-1].max() > steps:
            raise TimeError(
                f"{self._name}: a trial has {stops[-1].max()} steps, more than the {steps} of the longest durations;"
                " its `schedule` must give the longest trial for the highest values."
            )
        periods = {
            name: np.stack([stop - length, stop], axis=1)
            for name, length, stop in zip(schedule, lengths, stops, strict=True)
        }
        fixed = {name for name, time in times.items() if time.low == time.high}
        trials = Trials(
            np.zeros((n, steps, len(self.channels)), draws.precision),
            np.zeros((n, steps, len(self.outputs)), draws.precision),
            np.ones((n, steps, len(self.outputs)), draws.precision),
            {name: value for name, value in values.items() if name not in fixed},
            periods,
            stops[-1],
            self.channels,
            self.outputs,
            self.dt,
        )
        self.fill(trials, draws)
        if stops[-1].min() < steps:
            for array in (trials.inputs, trials.targets, trials.mask):
                array[np.arange(steps) >= trials.lengths[:, None]] = 0.0
        return trials

    def white_noise(self, trials: Trials, draws: Draws, noise: float, channels: int) -> np.ndarray:
        """Return white noise for inputs, `(batch, time, channels)`.

        Arguments:
            trials: what it is for.
            draws: where it comes from.
            noise: its strength. Samples have the standard deviation `noise * sqrt(2 * 100 / dt)`, as published (Song,
                Yang and Wang 2016), so that the effect does hardly depend on dt: a leak x + dt/tau (input - x) with
                tau = 100 ms leaves `noise / sqrt(1 - dt / (2 tau))`, which is `noise` for small dt and 5% more at 20
                ms.
            channels: number of inputs.
        """
        shape = (self.steps, channels)
        if noise == 0:
            return np.zeros((draws.count, *shape), draws.precision)
        found = draws.normal("noise", shape, trials.lengths)
        found *= noise * float(np.sqrt(2 * NOISE_TIME / self.dt))
        return found

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _plan(self) -> tuple[dict[str, Distribution], dict[str, Duration], int]:
        """Return what is drawn, how long periods are, and the number of steps of the longest trial."""
        choices = {name: distribution(value, f"{self._name}: {name}") for name, value in self.drawn().items()}
        times = {}
        for name, value in self.durations().items():
            self.require(name not in choices, f"{name!r} is both drawn and a duration; give one of them another name.")
            where = f"{self._name}: {name}"
            times[name] = Duration(distribution(value, where), self.dt, where)
        longest = self.schedule({n: v.high for n, v in choices.items()}, {n: v.high for n, v in times.items()})
        steps = sum(to_steps(float(ms), self.dt, f"{self._name}: {name}") for name, ms in longest.items())  # type: ignore[arg-type]
        if steps < 2:
            raise TimeError(f"{self._name}: a trial has {steps} steps of {self.dt:g} ms; it needs at least 2.")
        return choices, times, steps

    def _values(
        self, draws: Draws, known: Mapping[str, Distribution | Duration], given: Mapping[str, ArrayLike]
    ) -> dict[str, np.ndarray]:
        for name in given:
            if name not in known:
                raise OptionError(f"conditions: {unknown('condition', name, known, where=self._name)}")
        return {
            name: given_values(given[name], draws.count, allowed, name)
            if name in given
            else allowed.at(draws.uniform(name))
            for name, allowed in known.items()
        }


def as_task(given: object, where: str) -> Task:
    """Return a task as it is, and the batches of one that gives its trials one by one (`AbstractTask`).

    Raises:
        OptionError: it is no task.
    """
    if isinstance(given, Task):
        return given
    if isinstance(given, type):
        raise OptionError(f"{where}: expected a task, got the class {given.__name__}; make one: {given.__name__}(...).")
    batched = getattr(given, "batched", None)
    found = batched() if callable(batched) else None
    if not isinstance(found, Task):
        named = f" {given!r}; get({given!r}) finds one by name" if isinstance(given, str) else ""
        raise OptionError(
            f"{where}: expected a task of recurra.rate.tasks or of your own (PeriodTask, AbstractTask), got"
            f" {type(given).__name__}{named}."
        )
    return found


def full_length(outputs: ArrayLike, trials: Trials) -> np.ndarray:
    """Return what a network gave as `(batch, steps, outputs)`: a last row that is missing is that before it.

    Raises:
        ShapeError: the outputs do not fit the trials.
    """
    found = trials.check_outputs(outputs)
    return found if found.shape[1] == trials.steps else np.concatenate([found, found[:, -1:]], axis=1)


def check_output(output: object, outputs: tuple[str, ...]) -> None:
    """Refuse what is no number of an output."""
    if isinstance(output, bool) or not isinstance(output, int | np.integer) or not 0 <= output < len(outputs):
        raise OptionError(
            f"output must be a whole number from 0 to {len(outputs) - 1} ({', '.join(outputs[:6])}"
            f"{', ...' if len(outputs) > 6 else ''}), got {output!r}."
        )


def response_window(trials: Trials) -> np.ndarray:
    """Return where answers are read, `(batch, time)`: in the response, the decision, or else the last period."""
    for name in ("response", "decision"):
        if name in trials.periods:
            return trials.during(name)
    inside = np.arange(trials.steps) < trials.lengths[:, None]
    if not trials.periods:
        return inside
    starts = np.max([np.where(b > a, a, 0) for a, b in (steps.T for steps in trials.periods.values())], axis=0)
    return inside & (np.arange(trials.steps) >= starts[:, None])


def mean_at(trials: Trials, values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the mean of values over the steps that are inside, `(batch, outputs)`.

    Arguments:
        trials: the trials.
        values: `(batch, time, outputs)`.
        inside: `(batch, time)` booleans.
    """
    where = inside[..., None]
    return np.sum(np.where(where, values, 0.0), axis=1) / np.maximum(where.sum(axis=1), 1)


def mean_during(trials: Trials, values: np.ndarray, *periods: str) -> np.ndarray:
    """Return the mean over the steps of some periods, `(batch, outputs)`.

    Arguments:
        trials: the trials.
        values: `(batch, time, outputs)`.
        periods: names of periods, together at least one step long.
    """
    return mean_at(trials, values, trials.during(*periods))
