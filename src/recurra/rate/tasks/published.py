"""The task classes of the `rate.tasks` module that document 2 names: a dict of settings in, one trial at a time out.

Settings count in steps: `T` of a trial, `stim_on`, `stim_dur`, for XOR `delay`; `DeltaT` belongs to the model and is
not used. New code takes `GoNoGo`, `XOR` and `Mante`, which make whole batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError, ShapeError, TimeError, unknown
from recurra.rate.tasks.base import Task
from recurra.rate.tasks.kim import XOR, GoNoGo, KimTask, Mante
from recurra.rate.tasks.one_by_one import OneByOne
from recurra.rate.tasks.trials import Trials

STEP = 5.0  # ms
Label = int | str


class AbstractTask(ABC):
    """Give the trials of a task one by one, in the layout of `FR_RNN_dale.forward`; subclass it for a task of your own.

    A subclass needs `validate_settings`, `generate_stimulus` and `generate_target`. `batched()` makes a task of it that
    `train`, `evaluate` and the others take; these call it themselves.

    Arguments:
        settings: name -> value; what is in there is up to the subclass.

    >>> class Copy(AbstractTask):
    ...     def validate_settings(self):
    ...         if "T" not in self.settings:
    ...             raise ValueError("Copy: settings need 'T', in steps.")
    ...     def generate_stimulus(self, trial_type=None, seed=False):
    ...         sign = int(np.random.choice([1, -1]))
    ...         return sign * np.ones((1, self.settings["T"])), sign
    ...     def generate_target(self, label, seed=False):
    ...         return label * np.ones(self.settings["T"] - 1)
    >>> u, z, label = Copy({"T": 20}).simulate_trial()
    >>> u.shape, z.shape, bool(u[0, 0] == z[0] == label)
    ((1, 20), (19,), True)
    >>> trials = Copy({"T": 20}).batched().trials(50, seed=1)
    >>> trials.inputs.shape, np.unique(trials.targets).tolist()
    ((50, 20, 1), [-1.0, 1.0])
    """

    def __init__(self, settings: Mapping[str, Any]):
        self.settings = dict(settings)
        self.validate_settings()

    @abstractmethod
    def validate_settings(self) -> None:
        """Raise an error if the settings make no task."""

    @abstractmethod
    def generate_stimulus(self, trial_type: Any = None, seed: int | bool = False) -> tuple[np.ndarray, Any]:
        """Return the inputs of a trial, `(input_dim, T)`, and its label.

        Arguments:
            trial_type: which kind; `None` draws it.
            seed: of the trial; `False` draws a new one.
        """

    @abstractmethod
    def generate_target(self, label: Any, seed: int | bool = False) -> np.ndarray:
        """Return the targets of a trial, `(T - 1,)`, or `(T - 1, outputs)`.

        Arguments:
            label: of the trial.
            seed: of the trial.
        """

    def simulate_trial(self, trial_type: Any = None, seed: int | bool = False) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return inputs `(input_dim, T)`, targets `(T - 1,)` and label of a trial; see `generate_stimulus`.

        Raises:
            ShapeError: a subclass gives something of another shape.
        """
        u, label = self.generate_stimulus(trial_type, seed)
        z = np.asarray(self.generate_target(label, seed))
        name, u = type(self).__name__, np.asarray(u)
        if u.ndim != 2 or u.dtype.kind not in "biuf":
            raise ShapeError(f"{name}.generate_stimulus: expected numbers (inputs, T), got shape {u.shape}, {u.dtype}.")
        if z.ndim not in (1, 2) or len(z) != u.shape[1] - 1 or z.dtype.kind not in "biuf":
            raise ShapeError(
                f"{name}.generate_target: expected numbers (T - 1,) or (T - 1, outputs) with T - 1 = {u.shape[1] - 1},"
                f" got shape {z.shape}, {z.dtype}."
            )
        return u, z, label

    def is_correct(self, outputs: np.ndarray, label: Any) -> bool | None:
        """Return whether a trial was answered rightly; override it, or a mean distance of 0.2 from the targets counts.

        Arguments:
            outputs: what a network gave, `(T - 1,)`, or `(T - 1, outputs)`.
            label: of the trial.
        """
        return None

    def batched(self) -> Task:
        """Return the same task as one that makes batches: for `train`, `evaluate` and whatever takes a task."""
        return OneByOne(source=self)


class KnownTask(AbstractTask):
    """Hold what the three tasks of the publication share: settings in steps, and a task that makes batches.

    Arguments:
        settings: in steps: `T` of a trial, `stim_on`, `stim_dur`, and for XOR `delay`; `DeltaT` is not used.

    Attributes:
        task: the same task, for batches.

    Raises:
        OptionError: a setting is missing or unknown.
        TimeError: a setting is no whole number of steps, or the stimulus does not end before the trial does.

    >>> task = TaskFactory.create_task("xor", {"T": 300, "stim_on": 50, "stim_dur": 50, "delay": 10})
    >>> u, label = task.generate_stimulus("+-")
    >>> u[:, [0, 75, 135]].tolist(), label  # before, during the first pulse, during the second
    ([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]], 'diff')
    >>> z = task.generate_target(label)
    >>> z.shape, z[[135, 200]].tolist()
    ((299,), [0.0, -1.0])
    """

    KEYS: tuple[str, ...] = ("T", "stim_on", "stim_dur")
    TYPES: Mapping[str, Mapping[str, float]] = {}

    def __init__(self, settings: Mapping[str, Any]):
        super().__init__(settings)
        self.task: KimTask = self._make(*(int(self.settings[key]) for key in self.KEYS))
        self._next = 0

    def validate_settings(self) -> None:
        """Check the settings."""
        name = type(self).__name__
        for key in self.settings:
            if key not in (*self.KEYS, "DeltaT", "task", "delay"):
                raise OptionError(unknown("setting", key, [*self.KEYS, "DeltaT"], where=name))
        for key in self.KEYS:
            if key not in self.settings:
                raise OptionError(f"{name}: settings need {key!r}, in steps; got {sorted(self.settings)}.")
            value = self.settings[key]
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < 0:
                raise TimeError(f"{name}: setting {key!r} must be a whole number of steps >= 0, got {value!r}.")
        end = self._stimulus_end()
        if end >= self.settings["T"]:
            raise TimeError(
                f"{name}: the stimulus ends at step {end}, but the trial has {self.settings['T']}; make T larger than"
                f" {end}."
            )

    def generate_stimulus(self, trial_type: str | None = None, seed: int | bool = False) -> tuple[np.ndarray, Label]:
        """Return the inputs of a trial, `(input_dim, T)`, and its label.

        Arguments:
            trial_type: which kind; `None` draws it.
            seed: of the trial; `False` takes the next trial of seed 0, `True` is seed 42.

        Raises:
            OptionError: an unknown kind.
        """
        if trial_type is not None and trial_type not in self.TYPES:
            raise OptionError(unknown("trial type", trial_type, self.TYPES, where=type(self).__name__))
        conditions: Mapping[str, ArrayLike] | None = None if trial_type is None else self.TYPES[trial_type]
        if seed is False:
            trials = self.task.trials(1, start=self._next, conditions=conditions)
            self._next += 1
        else:
            trials = self.task.trials(1, 42 if seed is True else seed, conditions=conditions)
        return trials.stimulus(), self._label(trials)

    def batched(self) -> Task:
        """Return the same task for batches; one of a subclass that changes its trials goes through them one by one."""
        mine = type(self)
        kind = next((base for base in mine.__mro__ if base in (GoNogoTask, XORTask, ManteTask)), KnownTask)
        changed = [n for n in ("generate_stimulus", "generate_target", "simulate_trial", "is_correct")
                   if getattr(mine, n) is not getattr(kind, n)]  # fmt: skip
        return super().batched() if changed else self.task

    @abstractmethod
    def _make(self, *steps: int) -> KimTask: ...

    @abstractmethod
    def _label(self, trials: Trials) -> Label: ...

    def _stimulus_end(self) -> int:
        return self.settings["stim_on"] + self.settings["stim_dur"]

    def _check_label(self, label: Label, known: tuple[Label, ...]) -> None:
        if label not in known:
            raise OptionError(unknown("label", label, known, where=type(self).__name__))


class GoNogoTask(KnownTask):
    """Give Go-NoGo trials; labels are 1 (go) and 0, trial types `"go"` and `"nogo"`.

    Arguments:
        settings: in steps; see the module.

    >>> u, z, label = GoNogoTask({"T": 200, "stim_on": 50, "stim_dur": 25}).simulate_trial("go")
    >>> u.shape, z.shape, label, z[74:76]
    ((1, 200), (199,), 1, array([0., 1.]))
    """

    TYPES = {"go": {"go": 1}, "nogo": {"go": 0}}  # noqa: RUF012

    def generate_target(self, label: Label, seed: int | bool = False) -> np.ndarray:
        self._check_label(label, (0, 1))
        return self.task.trials(1, conditions={"go": int(label)}).target()

    def _make(self, *steps: int) -> KimTask:
        total, on, duration = steps
        return GoNoGo(fixation=on * STEP, stimulus=duration * STEP, response=(total - on - duration) * STEP)

    def _label(self, trials: Trials) -> Label:
        return int(trials.conditions["go"][0])


class XORTask(KnownTask):
    """Give XOR trials; labels are `"same"` and `"diff"`, trial types `"++"`, `"+-"`, `"-+"` and `"--"`.

    Arguments:
        settings: in steps; see the module.

    >>> task = XORTask({"T": 300, "stim_on": 50, "stim_dur": 50, "delay": 10})
    >>> u, z, label = task.simulate_trial("+-")
    >>> u.shape, label, z[169:171], z[269:271]
    ((2, 300), 'diff', array([ 0., -1.]), array([-1.,  0.]))
    """

    KEYS = ("T", "stim_on", "stim_dur", "delay")
    TYPES = {  # noqa: RUF012
        "++": {"sign 1": 1, "sign 2": 1},
        "+-": {"sign 1": 1, "sign 2": -1},
        "-+": {"sign 1": -1, "sign 2": 1},
        "--": {"sign 1": -1, "sign 2": -1},
    }

    def generate_target(self, label: Label, seed: int | bool = False) -> np.ndarray:
        self._check_label(label, ("same", "diff"))
        return self.task.trials(1, conditions=self.TYPES["++" if label == "same" else "+-"]).target()

    def _make(self, *steps: int) -> KimTask:
        total, on, duration, delay = steps
        after = total - on - 2 * duration - delay
        wait = min(10, after)
        response = min(100, after - wait)
        return XOR(
            fixation=on * STEP,
            stimulus=duration * STEP,
            delay=delay * STEP,
            wait=wait * STEP,
            response=response * STEP,
            rest=(after - wait - response) * STEP,
        )

    def _label(self, trials: Trials) -> Label:
        return "same" if trials.conditions["choice"][0] > 0 else "diff"

    def _stimulus_end(self) -> int:
        return self.settings["stim_on"] + 2 * self.settings["stim_dur"] + self.settings["delay"]


class ManteTask(KnownTask):
    """Give trials of the context task in its constant coding; labels are 1 and -1, trial types the contexts.

    Arguments:
        settings: in steps; see the module.

    >>> u, z, label = ManteTask({"T": 500, "stim_on": 50, "stim_dur": 200}).simulate_trial("motion")
    >>> u.shape, float(u[0, 100]), bool(label == np.sign(u[2, 100])), bool(z[-1] == label)
    ((4, 500), -1.0, True, True)
    """

    TYPES = {"color": {"context": 1}, "motion": {"context": -1}}  # noqa: RUF012

    def generate_target(self, label: Label, seed: int | bool = False) -> np.ndarray:
        self._check_label(label, (1, -1))
        return self.task.trials(1, conditions={"context": 1, "color": int(label)}).target()

    def _make(self, *steps: int) -> KimTask:
        total, on, duration = steps
        after = (total - on - duration) * STEP
        return Mante(coding="constant", fixation=on * STEP, stimulus=duration * STEP, response=after)

    def _label(self, trials: Trials) -> Label:
        return int(trials.conditions["choice"][0])


KINDS: dict[str, type[KnownTask]] = {"go_nogo": GoNogoTask, "xor": XORTask, "mante": ManteTask}


class TaskFactory:
    """Make these tasks by name.

    >>> TaskFactory.list_available_tasks()[:3]
    ['go_nogo', 'xor', 'mante']
    >>> u, z, label = TaskFactory.create_task("go_nogo", {"T": 200, "stim_on": 50, "stim_dur": 25}).simulate_trial("go")
    >>> u[0, [49, 50, 74, 75]].tolist(), label
    ([0.0, 1.0, 1.0, 0.0], 1)
    """

    _registered: ClassVar[dict[str, type[AbstractTask]]] = {}

    @classmethod
    def create_task(cls, name: str | type[AbstractTask], settings: Mapping[str, Any]) -> AbstractTask:
        """Return a task.

        Arguments:
            name: `"go_nogo"`, `"xor"` or `"mante"`, a name that was registered, or a class; `-` is taken as `_`.
            settings: of the task.

        Raises:
            OptionError: an unknown name.

        >>> TaskFactory.create_task("go-nogo", {"T": 200, "stim_on": 50, "stim_dur": 25}).task.steps
        200
        """
        if isinstance(name, type) and issubclass(name, AbstractTask):
            return name(settings)
        kinds, key = {**KINDS, **cls._registered}, _key(name)
        if key not in kinds:
            raise OptionError(unknown("task", name, kinds))
        return kinds[key](settings)

    @classmethod
    def register_task(cls, name: str, task_class: type[AbstractTask]) -> None:
        """Give a class of your own a name for `create_task`, in this process.

        A name stands for one class, so that no later call can change what an earlier one means: it is refused for a
        task of this library and for a class other than the one that has it.

        Arguments:
            name: the name; `-` and capitals are taken as `_` and small letters.
            task_class: a subclass of `AbstractTask`.

        Raises:
            OptionError: this is no such class, or the name is taken.

        >>> class Longer(GoNogoTask):
        ...     pass
        >>> TaskFactory.register_task("longer", Longer)
        >>> type(TaskFactory.create_task("longer", {"T": 200, "stim_on": 50, "stim_dur": 25})).__name__
        'Longer'
        """
        key = _key(name)
        if not key:
            raise OptionError(f"register_task: the name must be a text, got {name!r}.")
        if not isinstance(task_class, type) or not issubclass(task_class, AbstractTask):
            raise OptionError(
                f"register_task: expected a subclass of AbstractTask, got {task_class!r}. Tasks that make batches"
                " (PeriodTask) need no name: give them to train, evaluate or get as they are."
            )
        known = {**KINDS, **cls._registered}.get(key, task_class)
        # The same class again, as from a cell of a notebook that is run twice, may take its own place.
        same = (known.__module__, known.__qualname__) == (task_class.__module__, task_class.__qualname__)
        if key in KINDS or not same:
            raise OptionError(f"register_task: {name!r} is the name of {known.__qualname__}; choose another one.")
        cls._registered[key] = task_class

    @classmethod
    def list_available_tasks(cls) -> list[str]:
        """Return the names."""
        return [*KINDS, *cls._registered]


def _key(name: object) -> str:
    return name.lower().replace("-", "_") if isinstance(name, str) else ""
