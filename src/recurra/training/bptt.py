"""Backpropagation through time on any Program (Werbos 1990), whole or truncated (Williams & Peng 1990).

The layer of this package stands above the engine and below the front-ends: it works on any `engine.Program`, and
imports the engine, the equations and the errors only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from recurra.engine.identity import Identity, identify
from recurra.engine.precision import needs_wide
from recurra.engine.refit import with_spreads
from recurra.engine.run import Run, parts_of_run
from recurra.errors import OptionError
from recurra.files import path_of
from recurra.training.checkpoint import Checkpoint
from recurra.training.diagnosis import explain_gradient, explain_loss
from recurra.training.fitting import Fit, Settings, read_callbacks
from recurra.training.going_on import MadeOf, go_on
from recurra.training.history import COLUMNS, Training
from recurra.training.losses import Loss, find_loss, find_metrics, trial_loss
from recurra.training.objective import Batch, Objective, Told, cut, gather, norm_of, on_device, training_precision
from recurra.training.optimizers import DEFAULT_RATE, find_optimizer, import_optax, plain_number
from recurra.training.parameters import Parameters, make_parameters, make_penalties, name_silenced
from recurra.training.sources import Item, Source, find_source, gone_through, read_item
from recurra.training.trials import Trials, count_units, make_trials


def fit_bptt(
    program: Program,
    inputs: Any,
    targets: Any,
    *,
    output: object,
    train: object,
    dt: float,
    loss: object = "mse",
    optimizer: object = "adam",
    lr: object = DEFAULT_RATE,
    epochs: int | None = None,
    batch_size: int | None = None,
    truncate: int | None = None,
    mask: ArrayLike | None = None,
    penalties: Mapping[str, Mapping[str, float]] | None = None,
    clip: float | None = None,
    validation: object = None,
    patience: int | None = None,
    metrics: object = None,
    callbacks: object = None,
    after: Training | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    loss_id: str | None = None,
    optimizer_id: str | None = None,
    data_id: str | None = None,
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
        inputs: path of an input -> `(steps, units)` or `(trials, steps, units)`; or a list of trials `(steps, units)`,
            of unequal length if need be.
        targets: `(steps, units)` or `(trials, steps, units)`, or a list of trials; for `nll` and `ce` whole numbers
            `(steps,)` or `(trials, steps)` are class numbers. With `None`, inputs make batches of (inputs, targets) or
            (inputs, targets, mask), each seen once: a function of the number of the epoch; an iterator, each item of
            which is an epoch, until it ends; anything else that can be gone through, all of it in each epoch; or a
            task, `batch_size` new trials in each epoch (32 by default).
        output: path of a variable, or a list of paths that are laid side by side.
        train: paths of parameters, weights, delays or initial states; or a dict path -> constraint or `None`.
        dt: the step.
        loss: `mse`, `l1`, `nll`, `ce`, `kld`, `hinge`, or a function of outputs `(steps, units)` and targets in JAX.
        optimizer: `sgd`, `adam`, `adamw`, `adagrad`, `adadelta`, `adamax`, `rmsprop`, `rprop`, or one of optax's.
        lr: learning rate, or an optax schedule over updates.
        epochs: how often every trial is seen; 100 by default, and for an iterator until it ends.
        batch_size: trials of an update; all of them if `None`. Trials are shuffled in every epoch.
        truncate: steps after which the parameters are updated, and beyond which no gradient goes back; the state goes
            on. The whole trial if `None`.
        mask: how much each step (of a trial, of a unit) counts; 0 for not at all. The loss of a trial is the mean over
            what counts in it, and the loss of an epoch the mean over the trials, whatever the batches are.
        penalties: kind (`l1`, `l2`, `rate`) -> path -> coefficient, see :func:`make_penalties`.
        clip: largest norm of the gradient.
        validation: inputs, targets and (if wanted) mask of trials that are not learned from; the parameters of the
            epoch with the smallest loss on them are returned.
        patience: stop after so many epochs without a smaller (validation) loss.
        metrics: what else is told about every epoch, on the trials of the validation or else on those learned from:
            names (`accuracy`, or a loss), or a dict of name -> function as for `loss`. Columns of the history.
        callbacks: a function, or several, that is shown each :class:`Epoch`; if it returns True the training ends.
        after: an earlier training, which this one goes on from with its optimiser, its compiled step and its history;
            `epochs` more. Parameters that were changed since then begin where they are now.
        checkpoint: path of a file that is written every `checkpoint_every` epochs and at the end.
        resume: go on from the file at `checkpoint` if it exists; the outcome is that of an undisturbed training.
        loss_id, optimizer_id, data_id: for a checkpoint, a text that stands for a loss, for an optimiser and its rate,
            or for what makes batches: it tells them apart in place of their code and what they read. Change it
            whenever these change.
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
    _check_texts(loss_id=loss_id, optimizer_id=optimizer_id, data_id=data_id)
    name, function = find_loss(loss)
    paths, units = count_units(program, output)
    precision = training_precision(program, precision)
    parameters = make_parameters(program, train, dt)
    cost = make_penalties(penalties, parameters.origin)
    _, transform, rate = find_optimizer(optimizer, lr, clip)
    extra = _metrics(metrics)
    source = find_source(inputs, targets, mask, batch_size, seed)
    most = epochs if epochs is not None or (source is not None and not source.endless) else EPOCHS
    settings = Settings(most, batch_size, truncate, patience, checkpoint_every, seed, progress)

    def read(item: Item) -> Trials:
        return make_trials(program, item.inputs, item.targets, units, name, item.mask, dt=dt, state=state)

    data = read(Item(inputs, targets, mask)) if source is None else None
    held = None if validation is None else read(read_item(validation, "validation"))
    objective = Objective(parameters, cost, paths, function, dt, solver, precision, state, history)
    if data is not None:  # solver, precision, state: complain before anything is computed
        objective.run(settings.windows(data.steps)[0][1])
    options = {
        "loss": loss if loss_id is None else loss_id,
        "optimizer": optimizer if optimizer_id is None else optimizer_id,
        "lr": plain_number(lr) if optimizer_id is None else "", "clip": plain_number(clip),
        "penalties": cost.terms, "output": paths,
        "train": {path: "free" if c is None else c for path, c in parameters.constraints.items()},
    }  # fmt: skip
    file = None
    if checkpoint is not None:
        if after is not None:
            raise OptionError("checkpoint: a training that goes on after another is kept by that one's checkpoint.")
        told = {**options, **_identity_of_data(data, source, data_id), "metrics": extra,
                "validation": {} if held is None else held.__identity__()}  # fmt: skip
        run = objective.prepared(1 if data is None else data.steps)
        file = Checkpoint(path_of(checkpoint), _identity(run, settings, told), resume)
    with jax.enable_x64(needs_wide(program, precision)):
        free = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), parameters.free())
        fit = Fit(
            settings,
            _epochs_of(data, source, read, precision),
            None if held is None else on_device(held, precision),
            file,
            free,
            transform.init(free),
            lambda steps: partial(_update, objective, transform, steps),
            jax.jit(partial(judge, objective, extra)) if extra or held is not None else None,
            partial(finish, parameters),
            rate,
            partial(_explain, objective),
            read_callbacks(callbacks),
            tuple(extra),
        )
        go_on(fit, after, MadeOf(objective, options))
        found = fit.go()
    name_silenced(parameters, found.params)
    return found


EPOCHS = 100
NAMED = {"loss": "loss_id", "optimizer": "optimizer_id", "lr": "optimizer_id", "data": "data_id"}


def _epochs_of(
    data: Trials | None, source: Source | None, read: Callable[[Item], Trials], precision: str
) -> Callable[[int], Iterable[Batch]]:
    """Return the function of an epoch that gives its sets of trials, on the device."""
    if source is not None:
        return lambda epoch: (on_device(read(item), precision) for item in gone_through(source, epoch))
    fixed = on_device(data, precision)  # type: ignore[arg-type]
    return lambda _: [fixed]


def _check_texts(**texts: object) -> None:
    for what, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise OptionError(f"{what}: expected a text that stands for it, got {text!r}.")


def _identity(run: Run, settings: Settings, told: Mapping[str, Any]) -> Identity:
    numbers = {name: getattr(settings, name) for name in ("batch_size", "truncate", "patience", "seed")}
    return identify({**parts_of_run(run, Placement(None).platform), **numbers, **told}, NAMED)


def _metrics(metrics: object) -> dict[str, Loss]:
    found = find_metrics(metrics)
    if taken := sorted(found.keys() & set(COLUMNS)):
        raise OptionError(f"metrics: {taken[0]!r} is a column of the history already; choose another name.")
    return found


def _identity_of_data(data: Trials | None, source: Source | None, data_id: str | None) -> dict[str, Any]:
    if data_id is not None:
        return {"data": data_id}
    if data is not None:
        return data.__identity__()
    if source is not None and not source.endless:
        raise OptionError(
            "checkpoint: an iterator cannot be gone back, so a training from it cannot be resumed; give a function of"
            " the number of the epoch."
        )
    return {"data": source.known}  # type: ignore[union-attr]


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
) -> tuple[Any, Any, tuple[Told, Array], Any]:
    """Go through one window of a batch, forth and back, and move the free numbers."""
    batch = cut(gather(data, chosen, key), start, steps)
    (_, (told, last)), gradient = jax.value_and_grad(objective, has_aux=True)(
        free, batch, steps, state, objective.first + start
    )
    change, momenta = transform.update(gradient, momenta, free)
    free = import_optax().apply_updates(free, change)
    return free, momenta, (told, norm_of(gradient)), last


def _explain(
    objective: Objective, data: Batch, what: str, free: Any, chosen: np.ndarray, key: Array, state: Any, start: Any,
    steps: int,
) -> str:  # fmt: skip
    """Say why loss or gradient is not finite."""
    if what == "the loss":
        return explain_loss(objective, finish(objective.parameters, free)[0], data, chosen, key)
    batch = cut(gather(data, jnp.asarray(chosen), key), start, steps)
    return explain_gradient(objective, free, batch, steps, state, objective.first + start)


def judge(
    objective: Objective, metrics: Mapping[str, Loss], free: Any, data: Batch, chosen: Array, key: Array
) -> dict[str, Array]:
    """Return the loss of some trials, without penalties, and metrics; name -> `(trials,)`."""
    batch = gather(data, chosen, key)
    recorded, _ = objective.outputs(objective.parameters.values(free), batch, data.targets.shape[1])
    return {
        name: jax.vmap(lambda *one, f=function: trial_loss(f, *one)[0])(recorded["output"], batch.targets, batch.mask)
        for name, function in {"loss": objective.loss, **metrics}.items()
    }


def finish(parameters: Parameters, free: Any) -> tuple[Program, dict[str, np.ndarray]]:
    """Return the trained program and its parameters."""
    values = parameters.final(free)
    program = parameters.program.update(with_spreads(parameters.program, values))
    return program, values
