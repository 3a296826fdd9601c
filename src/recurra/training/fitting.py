"""Epochs, batches, windows, early stopping: what is the same for every rule that learns by updates."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from recurra.courtesy import warn
from recurra.engine import Program
from recurra.engine.interrupts import check, interruptible, take
from recurra.engine.progress import Progress
from recurra.engine.randomness import seed_key
from recurra.errors import OptionError, TrainingError
from recurra.training.checkpoint import Checkpoint
from recurra.training.history import History, Training
from recurra.training.objective import Batch, batches


@dataclass(frozen=True)
class Settings:
    """Hold the whole numbers of a training, checked."""

    epochs: int
    batch_size: int | None
    truncate: int | None
    patience: int | None
    checkpoint_every: int
    seed: int
    progress: bool

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "truncate", "patience", "checkpoint_every"):
            value = getattr(self, name)
            optional = name in ("batch_size", "truncate", "patience")
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1
            if not whole and not (value is None and optional):
                raise OptionError(f"{name} must be a whole number >= 1{' or None' if optional else ''}, got {value!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise OptionError(f"seed must be a whole number >= 0, got {self.seed!r}.")

    def windows(self, steps: int) -> list[tuple[int, int]]:
        """Return first step and length of every window of a trial."""
        size = min(self.truncate or steps, steps)
        return [(start, min(size, steps - start)) for start in range(0, steps, size)]

    def order(self, epoch: int, count: int) -> list[np.ndarray]:
        """Return the batches of an epoch: a shuffle that depends on seed and epoch only."""
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(count)
        # One batch is not shuffled: the order would change nothing but the rounding.
        return [np.arange(count)] if not self.batch_size or self.batch_size >= count else [
            np.sort(shuffled[chosen]) for chosen in batches(count, self.batch_size)
        ]


@dataclass
class Fit:
    """Go through epochs and updates.

    Arguments:
        settings: whole numbers.
        data: the trials.
        held: trials for validation.
        file: where to keep the state between epochs.
        free: what is learned.
        momenta: state of the optimiser.
        update: number of steps -> function of (free, momenta, data, chosen trials, key, state, first step) that returns
            free, momenta, a report of numbers, and the state to go on from.
        held_loss: function of (free, data, chosen trials, key) that returns the loss on those trials.
        finish: free -> trained program and its parameters.
        rate: number of the update -> learning rate.
        explain: function of (what is not finite, free, chosen trials, key, state, first step, steps) that says why.
    """

    settings: Settings
    data: Batch
    held: Batch | None
    file: Checkpoint | None
    free: Any
    momenta: Any
    update: Callable[[int], Callable]
    held_loss: Callable
    finish: Callable[[Any], tuple[Program, dict[str, np.ndarray]]]
    rate: Callable[[int], float]
    explain: Callable[..., str] | None = None
    good: Any = None
    best: Any = None
    best_epoch: int = -1
    epoch: int = 0
    updates: int = 0
    stopped: str = ""
    history: History = field(default_factory=History)
    compiled: dict[int, Any] = field(default_factory=dict)
    last: Fit | None = None  # how it stood after the last epoch, where the file does not hold that yet

    def go(self) -> Training:
        """Train, from the checkpoint on if there is one, and return the outcome."""
        self.good = self.best = self.free
        if self.file is not None:
            self.file.read(self)
        count = self.data.targets.shape[0]
        steps = self.data.targets.shape[1]
        bar = Progress((self.settings.epochs - self.epoch) * count * steps, self.settings.progress)
        begun = self.updates
        with interruptible() as partly, contextlib.closing(bar):
            try:
                while self.epoch < self.settings.epochs and not self.stopped:
                    self._one_epoch()
                    bar.update(count * steps)
                    self._keep()
            except KeyboardInterrupt:
                self._keep_last()
                if not partly or self.updates == begun:
                    raise
                take()
                self.stopped = "interrupted"
                told = f"interrupted in epoch {self.epoch} of {self.settings.epochs}."
                warn(told, RuntimeWarning)
        return self._result()

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

    def _one_epoch(self) -> None:
        begun = time.perf_counter()
        found = []
        windows = self.settings.windows(self.data.targets.shape[1])
        for chosen in self.settings.order(self.epoch, self.data.targets.shape[0]):
            state = None
            for start, steps in windows:
                report, state = self._one_update(chosen, start, steps, state)
                if report["weight"] > 0:
                    found.append(report)
        rows = {key: np.array([report[key] for report in found]) for key in found[0]}
        held = self._validate()
        self.history.add(
            {
                "epoch": self.epoch,
                "updates": self.updates,
                "loss": float(np.average(rows["loss"], weights=rows["weight"])),
                "penalty": float(np.mean(rows["penalty"])),
                "validation_loss": held,
                "gradient_norm": float(np.mean(rows["gradient_norm"])),
                "lr": float(rows["lr"][-1]),
                "seconds": time.perf_counter() - begun,
            },
            rows["loss"],
        )
        self.epoch += 1
        self._early_stop()

    def _early_stop(self) -> None:
        column = self.history["loss" if self.held is None else "validation_loss"]
        at = int(np.argmin(column))
        if at == len(column) - 1:
            self.best_epoch = at
            self.best = self.free
        if self.settings.patience is not None and len(column) - 1 - at >= self.settings.patience:
            self.stopped = f"no smaller loss in {self.settings.patience} epochs"

    def _one_update(self, chosen: np.ndarray, start: int, steps: int, state: Any) -> tuple[dict, Any]:
        check(f"interrupted in epoch {self.epoch} of {self.settings.epochs}")
        key = jax.random.fold_in(seed_key(self.settings.seed), self.epoch)
        if steps not in self.compiled:
            self.compiled[steps] = jax.jit(self.update(steps))
        free, momenta, told, last = self.compiled[steps](
            self.free, self.momenta, self.data, chosen, key, state, np.int32(start)
        )
        report = {name: float(value) for name, value in jax.device_get(told).items()} | {"lr": self.rate(self.updates)}
        for what, number, good in (
            ("the loss", report["loss"] + report["penalty"], self.good),
            ("the gradient", report["gradient_norm"], self.free),
        ):
            if not np.isfinite(number):
                why = self.explain(what, self.free, chosen, key, state, start, steps) if self.explain else ""
                self._fail(what, good, why)
        if report["weight"] > 0:
            self.good, self.free, self.momenta = self.free, free, momenta
            self.updates += 1
        return report, last

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

    def _validate(self) -> float:
        if self.held is None:
            return float("nan")
        key = seed_key(self.settings.seed)
        count = self.held.targets.shape[0]
        losses = [
            (len(chosen), float(self.held_loss(self.free, self.held, chosen, key)))
            for chosen in batches(count, self.settings.batch_size)
        ]
        return sum(n * loss for n, loss in losses) / count

    def _result(self) -> Training:
        program, values = self.finish(self.free if self.held is None else self.best)
        return Training(program, values, self.history, self.best_epoch, self.updates, self.stopped)
