"""Epochs, batches, windows, early stopping: what is the same for every rule that learns by updates."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from recurra.courtesy import warn
from recurra.engine import Program
from recurra.engine.interrupts import check, interruptible, take
from recurra.engine.progress import Progress
from recurra.engine.randomness import seed_key
from recurra.errors import OptionError, PathError, TrainingError, unknown
from recurra.training.checkpoint import Checkpoint
from recurra.training.history import History, Training
from recurra.training.objective import Batch
from recurra.training.sources import in_batches, order_of


@dataclass(frozen=True)
class Settings:
    """Hold the whole numbers of a training, checked."""

    epochs: int | None
    batch_size: int | None
    truncate: int | None
    patience: int | None
    checkpoint_every: int
    seed: int
    progress: bool

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "truncate", "patience", "checkpoint_every"):
            value = getattr(self, name)
            optional = name in ("epochs", "batch_size", "truncate", "patience")
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1
            if not whole and not (value is None and optional):
                raise OptionError(f"{name} must be a whole number >= 1{' or None' if optional else ''}, got {value!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise OptionError(f"seed must be a whole number >= 0, got {self.seed!r}.")

    def windows(self, steps: int) -> list[tuple[int, int]]:
        """Return first step and length of every window of a trial."""
        size = min(self.truncate or steps, steps)
        return [(start, min(size, steps - start)) for start in range(0, steps, size)]


@dataclass(frozen=True, eq=False)
class Epoch:
    """Show a callback where a training stands after an epoch.

    Arguments:
        row: the new row of the history, name -> number.
        finish: makes the program and its parameters, when they are asked for.

    >>> Epoch({"epoch": 0, "loss": 0.5}, lambda: (None, {"n/op/k": 1.0})).params["n/op/k"]
    1.0
    """

    row: Mapping[str, float]
    finish: Callable[[], tuple[Program, dict[str, np.ndarray]]] = field(repr=False)

    def __getitem__(self, name: str) -> float:
        """Return a number of the row."""
        if name not in self.row:
            raise PathError(unknown("column", name, self.row))
        return self.row[name]

    @property
    def program(self) -> Program:
        """The program with the parameters as they are now."""
        return self.finish()[0]

    @property
    def params(self) -> dict[str, np.ndarray]:
        """The parameters as they are now, by path."""
        return self.finish()[1]


Callback = Callable[[Epoch], object]


def read_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """Return callbacks as a tuple: none, one, or several.

    Raises:
        OptionError: one cannot be called.
    """
    found = (callbacks,) if callable(callbacks) else tuple(callbacks or ())  # type: ignore[call-overload]
    for each in found:
        if not callable(each):
            raise OptionError(f"callbacks: expected functions of an epoch, got {type(each).__name__}.")
    return found


@dataclass(frozen=True, eq=False)
class Standing:
    """Hold what a training needs to go on after it has returned.

    Arguments:
        free, momenta: what is learned, and the state of the optimiser.
        epoch, updates: how many there were.
        history: a row for each epoch.
        compiled: number of steps -> compiled update.
        made_of: what the compiled updates depend on.
    """

    free: Any
    momenta: Any
    epoch: int
    updates: int
    history: History
    compiled: dict[int, Any]
    made_of: Any


@dataclass
class Fit:
    """Go through epochs and updates.

    Arguments:
        settings: whole numbers.
        source: number of an epoch -> the sets of trials that are learned from in it, one after the other.
        held: trials for validation.
        file: where to keep the state between epochs.
        free: what is learned.
        momenta: state of the optimiser.
        update: number of steps -> function of (free, momenta, data, chosen trials, key, state, first step) that returns
            free, momenta, what the trials gave and the norm of the gradient, and the state to go on from.
        judge: function of (free, data, chosen trials, key) -> name -> a number for each of those trials.
        finish: free -> trained program and its parameters.
        rate: number of the update -> learning rate.
        explain: function of (data, what is not finite, free, chosen trials, key, state, first step, steps) that says
            why.
        callbacks: are shown every epoch; one that returns True ends the training.
        metrics: the names that `judge` gives beside `"loss"`.
        made_of: what the compiled updates depend on.
    """

    settings: Settings
    source: Callable[[int], Iterable[Batch]]
    held: Batch | None
    file: Checkpoint | None
    free: Any
    momenta: Any
    update: Callable[[int], Callable]
    judge: Callable | None
    finish: Callable[[Any], tuple[Program, dict[str, np.ndarray]]]
    rate: Callable[[int], float]
    explain: Callable[..., str] | None = None
    callbacks: tuple[Callback, ...] = ()
    metrics: tuple[str, ...] = ()
    made_of: Any = None
    good: Any = None
    best: Any = None
    best_epoch: int = -1
    epoch: int = 0
    updates: int = 0
    stopped: str = ""
    history: History = field(default_factory=History)
    compiled: dict[int, Any] = field(default_factory=dict)
    last: Fit | None = None  # how it stood after the last epoch, where the file does not hold that yet
    first: int = 0  # the number of the first epoch of this training

    def go(self) -> Training:
        """Train, from the checkpoint on if there is one, and return the outcome."""
        self.good = self.best = self.free
        for name in self.metrics:
            self.history.columns.setdefault(name, [float("nan")] * len(self.history))
        if self.file is not None:
            self.file.read(self)
        most = self.settings.epochs
        bar = Progress(1 if most is None else most - self.epoch, self.settings.progress and most is not None, "epoch")
        begun = self.updates
        with interruptible() as partly, contextlib.closing(bar):
            try:
                while (most is None or self.epoch < most) and not self.stopped:
                    if not self._one_epoch():
                        break
                    bar.update(1)
                    self._keep()
            except KeyboardInterrupt:
                self._keep_last()
                if not partly or self.updates == begun:
                    raise
                take()
                self.stopped = "interrupted"
                warn(f"interrupted in {self._place}.", RuntimeWarning)
        return self._result()

    @property
    def _place(self) -> str:
        most = self.settings.epochs
        return f"epoch {self.epoch}{'' if most is None else f' of {most}'}"

    def _keep_last(self) -> None:
        """Write the checkpoint of the last whole epoch, from which an interrupted training goes on."""
        last = self.last
        if self.file is not None and last is not None and len(last.history) == last.epoch:
            self.file.write(last)

    def _keep(self) -> None:
        """Write the checkpoint if it is due."""
        due = self.epoch % self.settings.checkpoint_every == 0
        if self.file is not None and (due or self.stopped or self.epoch == self.settings.epochs):
            self.file.write(self)
            self.last = None
        elif self.file is not None:
            self.last = copy.copy(self)

    def _one_epoch(self) -> bool:
        """Learn from all sets of trials of an epoch; say whether there was any."""
        begun = time.perf_counter()
        sums, data, key = Sums(), None, None
        epoch_key = jax.random.fold_in(seed_key(self.settings.seed), self.epoch)
        for i, data in enumerate(self.source(self.epoch)):
            # Trials of another set have other numbers, and so other noise.
            key = epoch_key if i == 0 else jax.random.fold_in(epoch_key, np.uint32(2**32 - i))
            self._learn(data, key, sums)
        if data is None:
            return False
        row = {"epoch": self.epoch, "updates": self.updates, **sums.row()}
        row |= {"lr": self.rate(self.updates - 1), **self._judge(data)}
        row["seconds"] = time.perf_counter() - begun
        self.history.add(row, np.array(sums.updates))
        self.epoch += 1
        self._early_stop()
        shown = Epoch({name: self.history.columns[name][-1] for name in self.history}, lambda: self.finish(self.free))
        if [each for each in self.callbacks if each(shown) is True]:
            self.stopped = self.stopped or "a callback ended it"
        return True

    def _learn(self, data: Batch, key: Any, sums: Sums) -> None:
        """Make the updates from one set of trials."""
        count, length = data.targets.shape[:2]
        settings = self.settings
        for chosen in order_of(count, settings.batch_size, settings.seed, self.epoch):
            state = None
            for start, steps in settings.windows(length):
                told, state = self._one_update(data, chosen, key, (start, steps), state)
                sums.add(told, sums.trials + chosen)
        sums.trials += count

    def _early_stop(self) -> None:
        column = self.history["loss" if self.held is None else "validation_loss"][self.first :]
        at = int(np.argmin(column))
        if at == len(column) - 1:
            self.best_epoch = self.first + at
            self.best = self.free
        if self.settings.patience is not None and len(column) - 1 - at >= self.settings.patience:
            self.stopped = f"no smaller loss in {self.settings.patience} epochs"

    def _one_update(
        self, data: Batch, chosen: np.ndarray, key: Any, window: tuple[int, int], state: Any
    ) -> tuple[dict[str, Any], Any]:
        check(f"interrupted in {self._place}")
        start, steps = window
        if steps not in self.compiled:
            self.compiled[steps] = jax.jit(self.update(steps))
        free, momenta, told, last = self.compiled[steps](
            self.free, self.momenta, data, chosen, key, state, np.int32(start)
        )
        told, norm = jax.device_get(told)
        for what, number, good in (
            ("the loss", told.loss + told.penalty, self.good),
            ("the gradient", norm, self.free),
        ):
            if not np.isfinite(number):
                why = self.explain(data, what, self.free, chosen, key, state, start, steps) if self.explain else ""
                self._fail(what, good, why)
        if told.weights.sum() > 0:
            self.good, self.free, self.momenta = self.free, free, momenta
            self.updates += 1
        return {"told": told, "norm": float(norm)}, last

    def _fail(self, what: str, good: Any, why: str) -> None:
        self.free = self.best = good
        self.stopped = f"{what} is not finite at update {self.updates}"
        raise TrainingError(
            f"{what} is not finite at update {self.updates} (epoch {self.epoch}). {why}{' ' if why else ''}Try a"
            " smaller lr, clip=1.0, a smaller dt or precision='float64'; `error.result` holds the last good"
            " parameters.",
            self.updates,
            self._result(),
        )

    def _judge(self, data: Batch) -> dict[str, float]:
        """Return the loss on the trials of the validation, and metrics on them or on what was learned from last."""
        if self.judge is None or (self.held is None and not self.metrics):
            return {}
        judged, key = (data if self.held is None else self.held), seed_key(self.settings.seed)
        count = judged.targets.shape[0]
        parts = [
            jax.device_get(self.judge(self.free, judged, chosen, key))
            for chosen in in_batches(count, self.settings.batch_size)
        ]
        found = {name: float(np.mean(np.concatenate([part[name] for part in parts]))) for name in parts[0]}
        loss = found.pop("loss")
        return found if self.held is None else found | {"validation_loss": loss}

    def _result(self) -> Training:
        program, values = self.finish(self.free if self.held is None else self.best)
        standing = Standing(
            self.free, self.momenta, self.epoch, self.updates, self.history, self.compiled, self.made_of
        )
        return Training(program, values, self.history, self.best_epoch, self.updates, self.stopped, standing)


@dataclass
class Sums:
    """Add up what the trials of an epoch gave: each trial counts once, in however many pieces it came."""

    trials: int = 0
    updates: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    pieces: list[tuple[np.ndarray, Any]] = field(default_factory=list)

    def add(self, report: Mapping[str, Any], numbers: np.ndarray) -> None:
        """Take what one update told about the trials with these numbers."""
        told = report["told"]
        self.pieces.append((numbers, told))
        if told.weights.sum() > 0:
            self.updates.append(float(told.loss))
            self.norms.append(report["norm"])

    def row(self) -> dict[str, float]:
        """Return loss and penalty of the epoch, and the mean norm of its gradients."""
        return {
            "loss": self._mean("losses", "weights"),
            "penalty": self._mean("costs", "rows"),
            "gradient_norm": float(np.mean(self.norms)),
        }

    def _mean(self, name: str, by: str) -> float:
        total, weight = np.zeros((2, self.trials))
        for numbers, told in self.pieces:
            share = np.asarray(getattr(told, by), float)
            total[numbers] += np.where(share > 0, getattr(told, name), 0.0) * share
            weight[numbers] += share
        return float(np.mean(total / np.where(weight > 0, weight, 1)))
