"""The loss of a batch of trials as a pure function of free numbers: what BPTT differentiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.engine import Program, Snapshot, as_function
from recurra.engine.precision import read_precision
from recurra.engine.run import Run, prepare
from recurra.training.losses import Loss, mean_loss, trial_loss
from recurra.training.parameters import Parameters, Penalties
from recurra.training.trials import Trials


@dataclass(frozen=True, eq=False)
class Batch:
    """Hold trials on the device, and the numbers that make their noise.

    Arguments:
        inputs, targets, mask: as in :class:`Trials`, for the trials of the batch.
        keys: one random key for each trial.
        lengths: `(trials,)`, how many of the rows belong to each trial.
    """

    inputs: Mapping[str, Array]
    targets: Array
    mask: Array
    keys: Array
    lengths: Array


jax.tree_util.register_dataclass(Batch)


def gather(trials: Batch, chosen: Array, key: Array) -> Batch:
    """Pick trials, each with a key of its own number, so that the order of trials changes no noise."""
    keys = jax.vmap(lambda trial: jax.random.fold_in(key, trial))(chosen)
    pick = {path: value[chosen] for path, value in trials.inputs.items()}
    return Batch(pick, trials.targets[chosen], trials.mask[chosen], keys, trials.lengths[chosen])


def cut(batch: Batch, start: Array, steps: int) -> Batch:
    """Return `steps` steps of a batch from step `start` on, with one more row of the inputs."""

    def part(value: Array, length: int) -> Array:
        return jax.lax.dynamic_slice_in_dim(value, start, length, axis=1)

    inputs = {path: part(value, steps + 1) for path, value in batch.inputs.items()}
    lengths = jnp.clip(batch.lengths - start, 0, steps)
    return Batch(inputs, part(batch.targets, steps), part(batch.mask, steps), batch.keys, lengths)


def norm_of(gradient: Any) -> Array:
    """Return the norm of a gradient over all parameters."""
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))


def training_precision(program: Program, precision: str | None) -> str:
    """Return the precision of a training: what was asked for, else what the program was made for, else float32.

    Rules compute in types of their own, so with them it is float64.
    """
    return read_precision(program, precision, "float64" if program.system.rules else "float32")


def on_device(trials: Trials, precision: str) -> Batch:
    """Put trials on the device, in the precision of the training."""
    cast = trials.cast(precision)
    inputs = {path: jnp.asarray(value) for path, value in cast.inputs.items()}
    lengths = jnp.asarray(trials.lengths, jnp.int32)
    return Batch(inputs, jnp.asarray(cast.targets), jnp.asarray(cast.mask), jnp.zeros((trials.count,)), lengths)


@dataclass(frozen=True, eq=False)
class Told:
    """Hold what a window of a batch gave, trial by trial, so that an epoch can be added up whatever its batches are.

    Arguments:
        loss: the loss of the batch: the mean over the trials that count in the window.
        penalty: what is added to it.
        losses, weights: `(trials,)`, mean error of each and how much it counts.
        costs, rows: `(trials,)`, penalties of each and the number of its rows.
    """

    loss: Array
    penalty: Array
    losses: Array
    weights: Array
    costs: Array
    rows: Array


jax.tree_util.register_dataclass(Told)


@dataclass(frozen=True, eq=False)
class Objective:
    """Compute the loss of a window of a batch.

    Arguments:
        parameters: what is trained, with the program.
        penalties: what is added to the loss.
        output: paths of the output, side by side.
        loss: errors of outputs and targets.
        dt, solver, precision, history: as for :func:`recurra.engine.simulate`.
        state: where every trial starts; `None` for the program's initial state.
    """

    parameters: Parameters
    penalties: Penalties
    output: list[str]
    loss: Loss
    dt: float
    solver: str | None
    precision: str
    state: Snapshot | None = None
    history: Mapping[str, object] | None = None
    _runs: dict[int, Callable] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The number of the first step of every trial."""
        return 0 if self.state is None else self.state.step

    def run(self, steps: int) -> Callable:
        """Return the run of `steps` steps as a function."""
        if steps not in self._runs:
            record: dict[str, object] = {"output": self.output}
            record |= {f"rate:{path}": path for path in self.penalties.recorded}
            self._runs[steps] = as_function(
                self.parameters.program,
                steps * self.dt,
                dt=self.dt,
                solver=self.solver,
                record=record,
                state=self.state,
                history=self.history,
                precision=self.precision,
                final=True,
            )
        return self._runs[steps]

    def prepared(self, steps: int) -> Run:
        """Return a run of `steps` steps without inputs, checked, for its identity."""
        record = {"output": self.output, **{f"rate:{path}": path for path in self.penalties.recorded}}
        options = {"solver": self.solver, "record": record, "state": self.state, "history": self.history}
        return prepare(self.parameters.program, steps * self.dt, self.dt, precision=self.precision, **options)

    def outputs(
        self, values: Mapping[str, Array], batch: Batch, steps: int, state: Mapping | None = None, step: Any = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run a batch of trials; `state` and `step` go on from where an earlier window ended.

        Returns:
            Name -> `(trials, steps, units)`, and the last states with a first axis of trials.
        """
        run = self.run(steps)
        if state is not None:
            values = {path: value for path, value in values.items() if path not in self.parameters.states}
            return jax.vmap(lambda inputs, key, start: run(values, inputs, state=start, step=step, seed=key))(
                batch.inputs, batch.keys, state
            )
        return jax.vmap(lambda inputs, key: run(values, inputs, seed=key))(batch.inputs, batch.keys)

    def __call__(
        self, free: Mapping[str, Any], batch: Batch, steps: int, state: Mapping | None = None, step: Any = None
    ) -> tuple[Array, tuple[Told, dict[str, Array]]]:
        """Return loss and penalties; and what each trial gave, and the last states."""
        values = self.parameters.values(free)
        recorded, last = self.outputs(values, batch, steps, state, step)
        losses, weights = jax.vmap(lambda *one: trial_loss(self.loss, *one))(
            recorded["output"], batch.targets, batch.mask
        )
        loss = mean_loss(losses, weights)
        rates = {path: recorded[f"rate:{path}"] for path in self.penalties.recorded}
        own = self.penalties.of_activity(rates, batch.lengths, losses.dtype)
        fixed = self.penalties.of_values(values)
        penalty = fixed + mean_loss(own, batch.lengths)
        return loss + penalty, (Told(loss, penalty, losses, weights, fixed + own, batch.lengths), last)


def untrained(program: Program) -> Parameters:
    """Return parameters of which none is trained."""
    return Parameters(program, {}, {}, frozenset())
