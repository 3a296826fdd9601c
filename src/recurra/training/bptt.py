"""Backpropagation through time on any Program (Werbos 1990), whole or truncated (Williams & Peng 1990).

The layer of this package stands above the engine and below the front-ends: it works on any `engine.Program`, and
imports the engine, the equations and the errors only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.engine import Program, Snapshot
from recurra.engine.devices import Placement
from recurra.engine.identity import identify
from recurra.engine.precision import needs_wide
from recurra.engine.refit import with_spreads
from recurra.engine.run import parts_of_run
from recurra.errors import OptionError
from recurra.files import path_of
from recurra.training.checkpoint import Checkpoint
from recurra.training.diagnosis import explain_gradient, explain_loss
from recurra.training.fitting import Fit, Settings
from recurra.training.history import Training
from recurra.training.losses import find_loss
from recurra.training.objective import Batch, Objective, cut, gather, on_device, training_precision
from recurra.training.optimizers import DEFAULT_RATE, find_optimizer, import_optax, plain_number
from recurra.training.parameters import Parameters, make_parameters, make_penalties
from recurra.training.trials import count_units, make_trials, on_steps


def fit_bptt(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
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
    mask: ArrayLike | None = None,
    penalties: Mapping[str, Mapping[str, float]] | None = None,
    clip: float | None = None,
    validation: tuple | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    loss_id: str | None = None,
    optimizer_id: str | None = None,
    seed: int = 0,
    precision: str | None = None,
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
    progress: bool = True,
) -> Training:
    """Train parameters of a program by gradients through time (Werbos 1990).

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
        loss_id, optimizer_id: for a checkpoint, a text that stands for a loss, or for an optimiser and its rate: it
            tells them apart in place of their code and what they read. Change it whenever these change.
        seed: of the order of trials, and of noise in the program.
        precision: `"float32"` or `"float64"`; by default what the program was made for, else float32.
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
    for what, text in (("loss_id", loss_id), ("optimizer_id", optimizer_id)):
        if text is not None and not isinstance(text, str):
            raise OptionError(f"{what}: expected a text that stands for it, got {text!r}.")
    name, function = find_loss(loss)
    paths, units = count_units(program, output)
    precision = training_precision(program, precision)
    parameters = make_parameters(program, train, dt)
    cost = make_penalties(penalties, parameters.origin)
    _, transform, rate = find_optimizer(optimizer, lr, clip)
    data = make_trials(program, *on_steps(inputs, targets, dt, state), units, name, mask)
    held = None if validation is None else make_trials(program, *_validation(validation, units, name, dt, state))
    objective = Objective(parameters, cost, paths, function, dt, solver, precision, state, history)
    objective.run(settings.windows(data.steps)[0][1])  # solver, precision, state: complain before anything is computed
    file = None
    if checkpoint is not None:
        run = objective.prepared(data.steps)
        told = {
            "loss": loss if loss_id is None else loss_id,
            "optimizer": optimizer if optimizer_id is None else optimizer_id,
            "lr": plain_number(lr) if optimizer_id is None else "", "clip": plain_number(clip),
            "batch_size": batch_size, "truncate": truncate, "patience": patience, "seed": seed,
            "penalties": cost.terms, "output": paths,
            "train": {path: "free" if c is None else c for path, c in parameters.constraints.items()},
            "inputs": data.inputs, "targets": data.targets, "mask": data.mask,
            "validation": {} if held is None else {"inputs": held.inputs, "targets": held.targets, "mask": held.mask},
        }  # fmt: skip
        names = {"loss": "loss_id", "optimizer": "optimizer_id", "lr": "optimizer_id"}
        identity = identify({**parts_of_run(run, Placement(None).platform), **told}, names)
        file = Checkpoint(path_of(checkpoint), identity, resume)
    with jax.enable_x64(needs_wide(program, precision)):
        free = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), parameters.free())
        return Fit(
            settings,
            on_device(data, precision),
            None if held is None else on_device(held, precision),
            file,
            free,
            transform.init(free),
            lambda steps: partial(_update, objective, transform, steps),
            jax.jit(partial(held_loss, objective)),
            partial(finish, parameters),
            rate,
            partial(_explain, objective, on_device(data, precision)),
        ).go()


def _validation(validation: object, units: int, loss: str, dt: float, state: Snapshot | None) -> tuple:
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        raise OptionError("validation: expected (inputs, targets) or (inputs, targets, mask).")
    inputs, targets, *mask = validation
    return (*on_steps(inputs, targets, dt, state), units, loss, mask[0] if mask else None)


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


def _explain(
    objective: Objective, data: Batch, what: str, free: Any, chosen: np.ndarray, key: Array, state: Any, start: Any,
    steps: int,
) -> str:  # fmt: skip
    """Say why loss or gradient is not finite."""
    if what == "the loss":
        return explain_loss(objective, finish(objective.parameters, free)[0], data, chosen, key)
    batch = cut(gather(data, jnp.asarray(chosen), key), start, steps)
    return explain_gradient(objective, free, batch, steps, state, objective.first + start)


def held_loss(objective: Objective, free: Any, data: Batch, chosen: Array, key: Array) -> Array:
    """Return the loss of some trials, without penalties."""
    return objective(free, gather(data, chosen, key), data.targets.shape[1])[1][0]


def finish(parameters: Parameters, free: Any) -> tuple[Program, dict[str, np.ndarray]]:
    """Return the trained program and its parameters."""
    values = parameters.final(free)
    program = parameters.program.update(with_spreads(parameters.program, values))
    return program, values
