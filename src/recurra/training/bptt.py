"""Backpropagation through time on any Program (Werbos 1990), whole or truncated (Williams & Peng 1990).

The layer of this package stands above the engine and below the front-ends: it works on any `engine.Program`, and
imports the engine, the equations and the errors only.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine import Program, Snapshot
from recurra.engine.progress import Progress
from recurra.errors import OptionError, TrainingError
from recurra.training.checkpoint import Checkpoint, describe
from recurra.training.history import History, Training
from recurra.training.losses import find_loss
from recurra.training.objective import Batch, Objective, batches, cut, gather, on_device
from recurra.training.optimizers import DEFAULT_RATE, find_optimizer, import_optax
from recurra.training.parameters import make_parameters, make_penalties
from recurra.training.trials import count_units, make_trials


def fit_bptt(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: object,
    *,
    output: object,
    train: object,
    dt: float,
    loss: object = "mse",
    optimizer: object = "adam",
    lr: object = DEFAULT_RATE,
    epochs: int = 100,
    batch_size: int | None = None,
    truncate: int | None = None,
    mask: object = None,
    penalties: Mapping[str, Mapping[str, float]] | None = None,
    clip: float | None = None,
    validation: tuple | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    seed: int = 0,
    precision: str = "float32",
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
    progress: bool = True,
) -> Training:
    """Train parameters of a program by gradients through time.

    Row k of an output is compared with row k of the targets: it is the output at `k*dt`, before step k, so it does not
    know `inputs` of step k yet unless the output is an algebraic function of them.

    Arguments:
        program: what is trained; it is not changed.
        inputs: path of an input -> `(steps, units)` or `(trials, steps, units)`.
        targets: `(steps, units)` or `(trials, steps, units)`; for `nll` and `ce` also class numbers.
        output: path of a variable, or a list of paths that are laid side by side.
        train: paths of parameters, weights, delays or initial states; or a dict path -> constraint or `None`.
        dt: the step.
        loss: `mse`, `l1`, `nll`, `ce`, `kld`, `hinge`, or a function of outputs `(steps, units)` and targets in JAX.
        optimizer: `sgd`, `adam`, `adamw`, `adagrad`, `adadelta`, `adamax`, `rmsprop`, `rprop`, or one of optax's.
        lr: learning rate, or an optax schedule over updates.
        epochs: how often every trial is seen.
        batch_size: trials of an update; all of them if `None`. Trials are shuffled in every epoch.
        truncate: steps after which the parameters are updated, and beyond which no gradient goes back; the state goes
            on. The whole trial if `None`.
        mask: how much each step (of a trial, of a unit) counts; 0 for not at all.
        penalties: kind (`l1`, `l2`, `rate`) -> path -> coefficient, see :func:`make_penalties`.
        clip: largest norm of the gradient.
        validation: inputs, targets and (if wanted) mask of trials that are not learned from; the parameters of the
            epoch with the smallest loss on them are returned.
        patience: stop after so many epochs without a smaller (validation) loss.
        checkpoint: path of a file that is written every `checkpoint_every` epochs and at the end.
        resume: go on from the file at `checkpoint` if it exists; the outcome is that of an undisturbed training.
        seed: of the order of trials, and of noise in the program.
        precision: `"float32"` or `"float64"`.
        solver, state, history: as for :func:`recurra.engine.simulate`; `state` is where each trial starts.
        progress: show a bar on anything longer than a second.

    Returns:
        The trained program, its parameters, and what the training went through.

    Raises:
        RecurraError: something given does not fit.
        TrainingError: loss or gradient stopped being finite; `error.result` holds the last good parameters.

    A neuron's time constant, from a trace of its voltage:

    >>> import numpy as np
    >>> from recurra.engine import Edge, Graph, Node, Operator, Variable, lower, simulate
    >>> from recurra.equations import parse_equation
    >>> kinds = {"v": Variable("state"), "tau": Variable("parameter", 5.0), "I": Variable("input")}
    >>> cell = Operator((parse_equation("v' = -v/tau + I"),), kinds)
    >>> program = lower(Graph({"n": Node({"op": cell})}))
    >>> drive = {"n/op/I": np.ones((50, 1))}
    >>> trace = simulate(program, 5.0, dt=0.1, inputs=drive, params={"n/op/tau": 2.0})["n/op/v"]
    >>> fit = fit_bptt(program, drive, trace, output="n/op/v", train=["n/op/tau"], dt=0.1, lr=0.2, epochs=200)
    >>> round(float(fit.params["n/op/tau"][0]), 2)
    2.0
    """
    settings = Settings(epochs, batch_size, truncate, patience, checkpoint_every, seed, progress)
    name, function = find_loss(loss)
    paths, units = count_units(program, output)
    parameters = make_parameters(program, train, dt)
    cost = make_penalties(penalties, parameters.origin)
    kind, transform, rate = find_optimizer(optimizer, lr, clip)
    data = make_trials(program, inputs, targets, units, name, mask)
    held = None if validation is None else make_trials(program, *_validation(validation, units, name))
    objective = Objective(parameters, cost, paths, function, dt, solver, precision, state, history)
    objective.run(settings.windows(data.steps)[0][1])  # solver, precision, state: complain before anything is computed
    file = None
    if checkpoint is not None:
        told = {"loss": name, "optimizer": kind, "lr": "schedule" if callable(lr) else lr, "clip": clip,
                "batch_size": batch_size, "truncate": truncate, "seed": seed, "precision": precision, "dt": dt,
                "solver": solver, "output": paths, "penalties": cost.terms, "patience": patience}
        file = Checkpoint(Path(checkpoint), describe(told, program, parameters, (data, held)), resume)
    with jax.enable_x64(precision == "float64"):
        training = _Fit(
            objective,
            transform,
            rate,
            settings,
            on_device(data, precision),
            None if held is None else on_device(held, precision),
            file,
        )
        return training.go()


def _validation(validation: object, units: int, loss: str) -> tuple:
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        raise OptionError("validation: expected (inputs, targets) or (inputs, targets, mask).")
    inputs, targets, *mask = validation
    return (inputs, targets, units, loss, mask[0] if mask else None)


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
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not (value is None and optional) and not (whole and value >= 1):
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
class _Fit:
    """Go through epochs and updates. The numbers between two epochs are all in `progress`: see `Checkpoint`."""

    objective: Objective
    transform: Any
    rate: Any
    settings: Settings
    data: Batch
    held: Batch | None
    file: Checkpoint | None
    free: Any = None
    momenta: Any = None
    good: Any = None
    best: Any = None
    best_epoch: int = -1
    epoch: int = 0
    update: int = 0
    stopped: str = ""
    history: History = field(default_factory=History)
    compiled: dict[int, Any] = field(default_factory=dict)
    held_loss: Any = None

    def go(self) -> Training:
        precision = self.objective.precision
        self.free = jax.tree.map(lambda a: jnp.asarray(a, precision), self.objective.parameters.free())
        self.momenta = self.transform.init(self.free)
        self.held_loss = jax.jit(partial(_loss, self.objective))
        self.good = self.best = self.free
        if self.file is not None:
            self.file.read(self)
        count = self.data.targets.shape[0]
        steps = self.data.targets.shape[1]
        bar = Progress((self.settings.epochs - self.epoch) * count * steps, self.settings.progress)
        try:
            while self.epoch < self.settings.epochs and not self.stopped:
                self._one_epoch()
                bar.update(count * steps)
                self._keep()
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            warnings.warn(f"interrupted in epoch {self.epoch} of {self.settings.epochs}.", RuntimeWarning, stacklevel=3)
        finally:
            bar.close()
        return self._result()

    def _keep(self) -> None:
        """Write the checkpoint if it is due."""
        due = self.epoch % self.settings.checkpoint_every == 0
        if self.file is not None and (due or self.stopped or self.epoch == self.settings.epochs):
            self.file.write(self)

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
                "updates": self.update,
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
        key = jax.random.fold_in(jax.random.key(self.settings.seed), self.epoch)
        if steps not in self.compiled:
            self.compiled[steps] = jax.jit(partial(_update, self.objective, self.transform, steps))
        free, momenta, told, last = self.compiled[steps](
            self.free, self.momenta, self.data, chosen, key, state, np.int32(start)
        )
        report = {name: float(value) for name, value in jax.device_get(told).items()} | {"lr": self.rate(self.update)}
        if not np.isfinite(report["loss"] + report["penalty"]):
            self._fail("the loss", self.good)
        if not np.isfinite(report["gradient_norm"]):
            self._fail("the gradient", self.free)
        if report["weight"] > 0:
            self.good, self.free, self.momenta = self.free, free, momenta
            self.update += 1
        return report, last

    def _fail(self, what: str, good: Any) -> None:
        self.free = self.best = good
        self.stopped = f"{what} is not finite at update {self.update}"
        raise TrainingError(
            f"{what} is not finite at update {self.update} (epoch {self.epoch}). Try a smaller lr, clip=1.0 or a"
            " smaller dt; `error.result` holds the last good parameters.",
            self.update,
            self._result(),
        )

    def _validate(self) -> float:
        if self.held is None:
            return float("nan")
        key = jax.random.key(self.settings.seed)
        count = self.held.targets.shape[0]
        losses = [
            (len(chosen), float(self.held_loss(self.free, self.held, chosen, key)))
            for chosen in batches(count, self.settings.batch_size)
        ]
        return sum(n * loss for n, loss in losses) / count

    def _result(self) -> Training:
        values = self.objective.parameters.final(self.free if self.held is None else self.best)
        program = self.objective.parameters.program
        return Training(program.update(values), values, self.history, self.best_epoch, self.update, self.stopped)


def _update(
    objective: Objective,
    transform: Any,
    steps: int,
    free: Any,
    momenta: Any,
    data: Batch,
    chosen: Array,
    key: Array,
    state: Any,
    start: Array,
) -> tuple[Any, Any, dict[str, Array], Any]:
    """Go through one window of a batch, forth and back, and move the free numbers."""
    batch = cut(gather(data, chosen, key), start, steps)
    (total, (loss, weight, last)), gradient = jax.value_and_grad(objective, has_aux=True)(
        free, batch, steps, state, objective.first + start
    )
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    change, momenta = transform.update(gradient, momenta, free)
    free = import_optax().apply_updates(free, change)
    return free, momenta, {"loss": loss, "penalty": total - loss, "gradient_norm": norm, "weight": weight}, last


def _loss(objective: Objective, free: Any, data: Batch, chosen: Array, key: Array) -> Array:
    return objective(free, gather(data, chosen, key), data.targets.shape[1])[1][0]
