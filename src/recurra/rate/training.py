"""Train rate networks on tasks until they meet a criterion (Kim, Li & Sejnowski 2019), one or many at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.courtesy import guard, warn
from recurra.engine.devices import Placement
from recurra.engine.identity import Identity, identify, versions
from recurra.engine.interrupts import check, interruptible, take
from recurra.engine.progress import Progress
from recurra.errors import OptionError, ShapeError, TrainingError, unknown
from recurra.files import path_of
from recurra.rate.evaluation import trial_losses, weight_of
from recurra.rate.exponentiated import exponentiated_gradient
from recurra.rate.lowering import NOISES, PATHS, check_step
from recurra.rate.model import KIM_NOISE, LOSSES, FR_RNN_dale, trial_loss
from recurra.rate.running import (
    FREE,
    RECORDS,
    TRAINED,
    batch_function,
    check_fits,
    constrained,
    fixed_numbers,
    free_numbers,
    steps_of,
    trial_keys,
    values,
    with_free,
)
from recurra.rate.streams import seed_for
from recurra.rate.tasks import AbstractTask, Task, Trials
from recurra.rate.tasks.base import as_task
from recurra.training.checkpoint import Checkpoint
from recurra.training.constraints import Constraint
from recurra.training.history import History
from recurra.training.optimizers import OPTIMIZERS, find_optimizer, import_optax, plain_number
from recurra.training.parameters import Penalties, make_penalties

COMMON = ("epoch", "updates", "trials", "stage", "lr", "seconds")
OWN = ("loss", "gradient_norm", "evaluation_loss", "accuracy")
EVALUATION = 1 << 31  # folded into the keys of noise
BLOCK_BYTES = 64e6
UNDER_WAY = 4  # updates that are computed while others are prepared


@dataclass(frozen=True)
class Criterion:
    """Say when a network has learned a task.

    The defaults are those of Kim, Li & Sejnowski (2019); for Go-NoGo they also asked for more than 1,500 trials.

    Arguments:
        loss: the mean loss must be smaller.
        accuracy: the part of right answers must be larger.
        trials: how many trials are looked at.
        after: number of updates before which it is not met.

    Raises:
        OptionError: a number is out of range.

    >>> Criterion(loss=5.0, accuracy=0.9).met(np.array([4.0, 6.0]), np.array([0.95, 0.95]), updates=10).tolist()
    [True, False]
    """

    loss: float = 7.0
    accuracy: float = 0.95
    trials: int = 100
    after: int = 0

    def __post_init__(self) -> None:
        if not self.loss > 0 or not 0 <= self.accuracy < 1:
            raise OptionError(f"criterion: needs a loss > 0 and an accuracy from 0 to below 1, got {self}.")
        whole_number(self.trials, "criterion.trials", 1)
        whole_number(self.after, "criterion.after", 0)

    def met(self, loss: np.ndarray, accuracy: np.ndarray, updates: int) -> np.ndarray:
        """Return whether each network meets it."""
        return (loss < self.loss) & (accuracy > self.accuracy) & (updates >= self.after)


@dataclass(frozen=True, eq=False)
class Trained:
    """Hold what came of a training.

    Arguments:
        net: the trained network, a copy.
        history: a row for each evaluation: updates, trials, stage of the curriculum, mean loss and norm of the gradient
            since the last one, loss and accuracy on new trials, learning rate, seconds; and the loss of every update.
        reached: whether the criterion of the last task was met.
        updates: number of updates up to then.
        stopped: why the training ended.

    >>> from recurra.rate.tasks import GoNoGo
    >>> net = FR_RNN_dale(10, 0.2, 0.5, np.ones((10, 1)), 0, "gaus", 1.5, True, np.zeros((1, 10)))
    >>> short = GoNoGo(fixation=25.0, stimulus=25.0, response=50.0)
    >>> found = train(net, short, updates=2, evaluate_every=2, criterion=Criterion(trials=4), progress=False)
    >>> found.reached, found.history["updates"].tolist(), len(found.history.losses)
    (False, [2.0], 2)
    """

    net: FR_RNN_dale
    history: History
    reached: bool
    updates: int
    stopped: str

    def __repr__(self) -> str:
        accuracy = self.history["accuracy"]
        last = f", accuracy {accuracy[-1]:.3f}" if len(accuracy) else ""
        return f"Trained({self.stopped} after {self.updates} updates{last})"


def train(
    net: FR_RNN_dale | Sequence[FR_RNN_dale],
    task: Task | AbstractTask | Sequence[Task | AbstractTask],
    *,
    updates: int = 6000,
    batch: int = 1,
    loss_fn: str = "l2",
    optimizer: object = "adam",
    lr: float = 0.01,
    clip: float | None = None,
    noise: str = "kim",
    level: float = KIM_NOISE,
    criterion: Criterion | None = None,
    evaluate_every: int = 100,
    trained: Sequence[str] = TRAINED,
    fixed: Sequence[str] = (),
    constraints: Mapping[str, Constraint] | None = None,
    penalties: Mapping[str, Mapping[str, float]] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    optimizer_id: str | None = None,
    on_evaluation: Callable[[Mapping[str, float]], object] | None = None,
    seed: int = 0,
    precision: str = "float32",
    progress: bool = True,
) -> Any:
    """Train rate networks by gradients through time until they have learned a task.

    Every trial is new. Dale's principle and the masks hold at every update, since what is trained are the free numbers
    behind the weights; the time constants are trained too, if they have a range. Recurrent weights of 0 are absent
    synapses and stay absent, with Dale's principle and without; entries of `w_in` and `w_out` that are to stay 0 need
    a `Mask`.

    Arguments:
        net: a network, or several of the same size that are trained side by side, network i with seed + i.
        task: what is learned, or a curriculum: the next task begins when the criterion is met.
        updates: how many at most.
        batch: trials of an update.
        loss_fn: `"l2"` or `"l1"`, see :func:`recurra.rate.model.loss_op`; the mean over the trials.
        optimizer: `"eg"` for exponentiated gradient, the name of another, or one of optax's.
        lr: learning rate, or an optax schedule over updates.
        clip: largest norm of the gradient.
        noise, level: as for `FR_RNN_dale.to_graph`.
        criterion: when to stop; :class:`Criterion` by default.
        evaluate_every: updates between evaluations.
        trained: what is, of `"w"`, `"w_out"`, `"b_out"`, `"taus_gaus"` and `"w_in"`.
        fixed: what of these is not.
        constraints: name -> one of :mod:`recurra.training`'s constraints for what is trained, as
            `{"w": Mask(present), "w_in": Fixed(entries), "w_out": Bounds(0.0)}`; of `w` they hold for the free numbers,
            before Dale's principle.
        penalties: what is added to the loss, kind -> name -> coefficient: `"l1"` (sum of absolute values) and `"l2"`
            (sum of squares) of what is trained, of `w` the weights that act; `"rate"` (mean over trials of the
            mean square over rows and units) of `"r"`, `"x"` or `"o"`.
        checkpoint: path of a file that is written at every evaluation.
        resume: go on from that file if it exists; the outcome is that of an undisturbed training.
        optimizer_id: for a checkpoint, a text that stands for an optimiser and its rate in place of their code; change
            it whenever these change.
        on_evaluation: a function that is shown the new row of the history.
        seed: of trials and noise.
        precision: `"float32"` or `"float64"`.
        progress: show a bar on anything longer than a second.

    Returns:
        A :class:`Trained`, or a list of them for several networks.

    Raises:
        RecurraError: something given does not fit.
        TimeError: a step of a task is longer than a time constant.
        TrainingError: the loss stopped being finite.

    >>> from recurra.rate.tasks import GoNoGo
    >>> net = FR_RNN_dale(10, 0.2, 0.5, np.ones((10, 1)), 0, "gaus", 1.5, True, np.zeros((1, 10)))
    >>> short = GoNoGo(fixation=25.0, stimulus=25.0, response=50.0)
    >>> before = net.w.copy()
    >>> found = train(net, short, updates=2, evaluate_every=2, criterion=Criterion(trials=4), progress=False)
    >>> found.updates, bool(np.all(net.w == before)), bool(np.all(found.net.w == before))  # what is trained is a copy
    (2, True, False)
    """
    nets = [net] if isinstance(net, FR_RNN_dale) else list(net)
    single = isinstance(task, (Task, AbstractTask, str, type))
    tasks = [as_task(one, "train") for one in ([task] if single else task)]  # type: ignore[union-attr]
    check_nets(nets, tasks)
    for name, value, low in (("updates", updates, 1), ("batch", batch, 1), ("evaluate_every", evaluate_every, 1),
                             ("seed", seed, 0)):  # fmt: skip
        whole_number(value, name, low)
    seed_for("training", seed + len(nets) - 1)
    for name, value, known in (("loss_fn", loss_fn, LOSSES), ("noise", noise, NOISES),
                               ("precision", precision, ("float32", "float64"))):  # fmt: skip
        if value not in known:
            raise OptionError(unknown(name, value, known))
    still, costs = check_free(trained, fixed, constraints or {}, penalties)
    if criterion is not None and not isinstance(criterion, Criterion):
        raise OptionError(f"criterion: expected a Criterion, got {type(criterion).__name__}.")
    transform, rate = choose_optimizer(optimizer, lr, clip)
    rules = Rules(
        loss_fn, noise, level, batch, evaluate_every, seed, precision, still, dict(constraints or {}), costs
    )  # fmt: skip
    for one in tasks:
        check_tau(nets, one, still)
    limits = (updates, criterion or Criterion(), progress, on_evaluation)
    with jax.enable_x64(precision == "float64"):
        loop = Loop(nets, tasks, rules, transform, rate, *limits)
        if checkpoint is not None:
            told = (optimizer, lr) if optimizer_id is None else (optimizer_id, None)
            loop.file = Checkpoint(path_of(checkpoint), identity_of(loop, *told, clip), resume)
            loop.file.read(loop)
            if loop.stopped != "criterion met":
                loop.stopped = ""  # more updates may be allowed now
        loop.go()
        found = loop.results()
    return found[0] if isinstance(net, FR_RNN_dale) else found


@dataclass(frozen=True)
class Rules:
    """Hold what stays the same during a training."""

    loss_fn: str
    noise: str
    level: float
    batch: int
    every: int
    seed: int
    precision: str
    fixed: tuple[str, ...]
    constraints: Mapping[str, Constraint]
    penalties: Penalties


@dataclass
class Loop:
    """Go through updates, evaluations and tasks; its attributes are what a checkpoint keeps."""

    nets: list[FR_RNN_dale]
    tasks: list[Task]
    rules: Rules
    transform: Any
    rate: Callable[[int], float]
    most: int
    criterion: Criterion
    progress: bool
    watch: Callable[[Mapping[str, float]], object] | None
    file: Checkpoint | None = None
    epoch: int = 0
    updates: int = 0
    best_epoch: int = 0  # here: the stage of the curriculum
    stopped: str = ""
    best: Any = ()
    compiled: dict[int, tuple[Callable, Callable]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        told = (self.rules.precision, self.rules.constraints)
        stacked = lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves])  # noqa: E731
        self.free = jax.tree.map(stacked, *[free_numbers(net, *told) for net in self.nets])
        self.fixed = jax.tree.map(stacked, *[fixed_numbers(net, *told) for net in self.nets])
        self.momenta = jax.vmap(self.transform.init)(self.free)
        #: Update at which each network met the criterion of the present task, -1 before.
        self.good = jnp.full(len(self.nets), -1, jnp.int32)
        columns = [*COMMON, *(f"{name}/{i}" for name in OWN for i in range(len(self.nets)))]
        self.history = History({name: [] for name in columns})

    @property
    def stage(self) -> int:
        return self.best_epoch

    def go(self) -> None:
        """Train until the criterion of the last task is met, the updates are used up, or someone interrupts."""
        bar, begun = Progress(self.most - self.updates, self.progress), self.updates
        if begun:
            self._decide()  # what goes on from a checkpoint may be at its end already
        with interruptible() as partly, contextlib.closing(bar):
            try:
                while not self.stopped:
                    done = self.updates
                    self._block()
                    bar.update(self.updates - done)
            except KeyboardInterrupt:
                if not partly or self.updates == begun:
                    raise
                take()
                self.stopped = "interrupted"
                warn(f"interrupted after {self.updates} updates.", RuntimeWarning)

    def _block(self) -> None:
        """Make the updates up to the next evaluation, evaluate, and decide what comes next."""
        begun = time.perf_counter()
        count = min(self.rules.every, self.most - self.updates)
        told: list[tuple[Array, Array]] = []
        for trials in self._parts(count):
            told += self._learn(trials)
        losses, norms = (np.array([np.asarray(pair[i]) for pair in told]) for i in range(2))
        if not np.all(np.isfinite(losses[:, self._active])):
            at = self.updates - count + int(np.argmin(np.isfinite(losses[:, self._active]).all(axis=1)))
            self.stopped = f"the loss is not finite at update {at}"
            raise TrainingError(f"{self.stopped}. Try a smaller lr or clip=1.0.", at, self.results())
        loss, accuracy = self._evaluate()
        self._note(count, losses, norms, loss, accuracy, time.perf_counter() - begun)
        met = self.criterion.met(loss, accuracy, self.updates)
        self.good = jnp.where(jnp.asarray(met) & (self.good < 0), self.updates, self.good)
        self._decide()
        if self.file is not None:
            self.file.write(self)

    @property
    def _active(self) -> np.ndarray:
        return np.asarray(self.good) < 0

    def _decide(self) -> None:
        if not self._active.any():
            if self.stage + 1 < len(self.tasks):
                self.best_epoch += 1
                self.good = jnp.full(len(self.nets), -1, jnp.int32)
            else:
                self.stopped = "criterion met"
        if not self.stopped and self.updates >= self.most:
            self.stopped = "updates used up"

    def _parts(self, count: int) -> Iterator[list[Trials]]:
        """Yield the trials of the next updates, for each network, so many at a time that they fit into memory."""
        task, batch = self.tasks[self.stage], self.rules.batch
        width = len(task.channels) + 2 * len(task.outputs)
        size = max(1, int(BLOCK_BYTES / (8 * width * task.steps * batch * len(self.nets))))
        first = self.updates
        for start in range(first, first + count, size):
            some = min(size, first + count - start)
            yield [task.trials(some * batch, self.rules.seed + i, start=start * batch) for i in range(len(self.nets))]

    def _learn(self, trials: list[Trials]) -> list[tuple[Array, Array]]:
        """Make one update after the other; a few are under way at a time."""
        update, _ = self._functions()
        batch = self.rules.batch
        data = self._stacked(trials)
        told = []
        for start in range(0, len(trials[0]), batch):
            check(f"interrupted after {self.updates} updates")
            if len(told) >= UNDER_WAY:  # or Ctrl-C would find a long queue
                jax.block_until_ready(told[-UNDER_WAY])
            self.free, self.momenta, loss, norm = update(
                self.free, self.momenta, self.fixed, self.good < 0, data, start, self.updates
            )
            told.append((loss, norm))
            self.updates += 1
        return told

    def _stacked(self, trials: list[Trials]) -> tuple[Array, ...]:
        """Put inputs, targets and weights of errors on the device, `(networks, trials, rows, units)`, and lengths."""
        kind, rows = self.rules.loss_fn, trials[0].steps - 1
        weights = [weight_of(t.mask[:, :rows], kind) for t in trials]
        arrays = ([t.inputs for t in trials], [t.targets[:, :rows] for t in trials], weights)
        lengths = jnp.asarray(np.stack([np.minimum(t.lengths, rows) for t in trials]), jnp.int32)
        return *(jnp.asarray(np.stack(group).astype(self.rules.precision)) for group in arrays), lengths

    def _evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Return loss and accuracy of each network on trials that no one has seen."""
        task, count = self.tasks[self.stage], self.criterion.trials
        number = self.epoch * count
        trials = [task.trials(count, EVALUATION + self.rules.seed + i, start=number) for i in range(len(self.nets))]
        _, answer = self._functions()
        inputs = jnp.asarray(np.stack([t.inputs for t in trials]).astype(self.rules.precision))
        outputs = np.asarray(answer(self.free, self.fixed, inputs, number), float)
        pairs = list(zip(outputs, trials, strict=True))
        loss = np.array([trial_losses(o, t, self.rules.loss_fn).mean() for o, t in pairs])
        return loss, np.array([task.accuracy(o, t).mean() for o, t in pairs])

    def _note(
        self, count: int, losses: np.ndarray, norms: np.ndarray, loss: np.ndarray, right: np.ndarray, seconds: float
    ) -> None:
        row: dict[str, float] = {
            "epoch": self.epoch,
            "updates": self.updates,
            "trials": self.updates * self.rules.batch,
            "stage": self.stage,
            "lr": self.rate(self.updates - 1),
            "seconds": seconds,
        }
        for name, found in zip(OWN, (losses.mean(axis=0), norms.mean(axis=0), loss, right), strict=True):
            row |= {f"{name}/{i}": float(value) for i, value in enumerate(found)}
        self.history.add(row, losses.ravel())
        self.epoch += 1
        if self.watch is not None:
            short = {name.removesuffix("/0"): value for name, value in row.items()} if len(self.nets) == 1 else row
            self.watch(short)

    def _functions(self) -> tuple[Callable, Callable]:
        """Return the compiled update and the compiled answer for the present task."""
        if self.stage not in self.compiled:
            self.compiled[self.stage] = make_functions(self.nets, self.tasks[self.stage], self.rules, self.transform)
        return self.compiled[self.stage]

    def results(self) -> list[Trained]:
        """Return what came of every network."""
        found = []
        at = np.asarray(self.good)
        losses = np.array(self.history.losses).reshape(-1, len(self.nets))
        for i, net in enumerate(self.nets):
            free = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), self.free)
            columns = {name: self.history.columns[name] for name in COMMON}
            columns |= {name: self.history.columns[f"{name}/{i}"] for name in OWN}
            reached = bool(at[i] >= 0) and self.stage == len(self.tasks) - 1
            stopped = "criterion met" if reached else self.stopped
            updates = int(at[i]) if reached else self.updates
            history = History(columns, losses[:, i].tolist())
            made = with_free(net, free, self.rules.fixed, self.rules.constraints)
            found.append(Trained(made, history, reached, updates, stopped))
        return found


def make_functions(nets: list[FR_RNN_dale], task: Task, rules: Rules, transform: Any) -> tuple[Callable, Callable]:
    """Compile an update of all networks, and their answers to trials."""
    net, step, many = nets[0], steps_of(task.dt), len(nets) > 1
    program = net.to_program(noise=rules.noise, level=rules.level, step=step)
    costs = rules.penalties
    run = batch_function(
        program, task.steps, step, rules.precision, tuple(dict.fromkeys(("o", *costs.recorded))),
        noisy=rules.noise != "none", batch=rules.batch * len(nets),
    )  # fmt: skip

    def respond_to(free: Any, fixed: Any, inputs: Array, keys: Array) -> tuple[dict[str, Any], dict[str, Array]]:
        numbers = constrained(free, fixed, rules.constraints)
        found = values(numbers, fixed, net.taus, net.apply_dale)
        return {**numbers, "w": found[PATHS["w"]]}, run(found, inputs, keys)

    def loss_of(moving: Any, still: Any, fixed: Any, data: tuple, keys: Array) -> tuple[Array, Array]:
        inputs, targets, weights, lengths = data
        numbers, rows = respond_to({**moving, **still}, fixed, inputs, keys)
        errors = (rows["o"] - targets) * weights
        loss = jnp.mean(jax.vmap(lambda error: trial_loss(error, rules.loss_fn))(errors))
        activity = jnp.mean(costs.of_activity(rows, lengths, loss.dtype))
        return loss + costs.of_values(numbers) + activity, loss

    def update_one(free: Any, momenta: Any, fixed: Any, active: Array, data: tuple, keys: Array) -> tuple:
        still = {name: free[name] for name in rules.fixed}
        moving = {name: value for name, value in free.items() if name not in still}
        (_, loss), gradient = jax.value_and_grad(loss_of, has_aux=True)(moving, still, fixed, data, keys)
        gradient = gradient | jax.tree.map(jnp.zeros_like, still)
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        change, after = transform.update(gradient, momenta, free)
        moved = import_optax().apply_updates(free, change)
        moved = {name: free[name] if name in rules.fixed else value for name, value in moved.items()}
        keep = lambda new, old: jnp.where(active, new, old)  # noqa: E731
        return jax.tree.map(keep, moved, free), jax.tree.map(keep, after, momenta), loss, norm

    def seeds(first: int | Array) -> Array:
        return jnp.arange(len(nets), dtype=jnp.int32) + first

    def update(free: Any, momenta: Any, fixed: Any, active: Array, data: tuple, start: Array, done: Array) -> tuple:
        part = tuple(jax.lax.dynamic_slice_in_dim(array, start, rules.batch, axis=1) for array in data)
        keys = jax.vmap(lambda s: trial_keys(s, done * rules.batch, rules.batch))(seeds(rules.seed))
        return each(update_one, many)(free, momenta, fixed, active, part, keys)

    def answer(free: Any, fixed: Any, inputs: Array, number: Array) -> Array:
        stream = jax.vmap(lambda s: trial_keys(s, number, inputs.shape[1]))(seeds(rules.seed))
        # Another stream than that of the updates, for the same seed.
        keys = jax.vmap(jax.vmap(lambda key: jax.random.fold_in(key, EVALUATION)))(stream)
        return each(lambda *given: respond_to(*given)[1]["o"], many)(free, fixed, inputs, keys)

    return jax.jit(update, donate_argnums=(0, 1)), jax.jit(answer)


def each(function: Callable, many: bool) -> Callable:
    """Let a function work on every network; one alone is not vmapped, which would make its products slower."""
    if many:
        return jax.vmap(function)

    def alone(*arguments: Any) -> Any:
        found = function(*jax.tree.map(lambda leaf: leaf[0], arguments))
        return jax.tree.map(lambda leaf: leaf[None], found)

    return alone


def choose_optimizer(optimizer: object, lr: Any, clip: float | None) -> tuple[Any, Callable[[int], float]]:
    """Return optimiser and learning rate by update; `"eg"` beside those that the other trainings know."""
    if optimizer == "eg":
        rule = exponentiated_gradient(lr)
        chain = import_optax().chain
        return rule if clip is None else chain(find_optimizer("sgd", 1.0, clip)[1], _flip(), rule), lambda k: lr
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise OptionError(unknown("optimizer", optimizer, ("eg", *OPTIMIZERS)))
    given = lr if isinstance(optimizer, str) else 1e-3
    return find_optimizer(optimizer, given, clip)[1:]


def _flip() -> Any:
    """Return minus what comes: plain descent gives minus the clipped gradient."""
    return import_optax().scale(-1.0)


def check_nets(nets: list[Any], tasks: list[Any]) -> None:
    """Refuse what is no network or no task, networks that differ in size, and tasks they cannot do."""
    if not nets or not all(isinstance(net, FR_RNN_dale) for net in nets):
        raise OptionError("train: expected a FR_RNN_dale, or a list of them.")
    if not tasks:
        raise OptionError("train: expected a task, or a list of them, got an empty list.")

    def structure(net: FR_RNN_dale) -> tuple:
        return (net.N, net.w_in.shape, net.w_out.shape, net.taus, net.activation, net.apply_dale)

    other = [i for i, net in enumerate(nets) if structure(net) != structure(nets[0])]
    if other:
        raise ShapeError(
            f"train: network {other[0]} differs from network 0 in size, taus, activation or apply_dale; those that are"
            " trained side by side must not."
        )
    for task in tasks:
        check_fits(nets[0], task.trials(1))


def check_free(
    trained: Sequence[str], fixed: Sequence[str], constraints: Mapping[str, Constraint], penalties: Any
) -> tuple[tuple[str, ...], Penalties]:
    """Return what stays as it is, and the penalties; refuse names and constraints that mean nothing."""
    if isinstance(trained, str) or isinstance(fixed, str):
        raise OptionError("trained, fixed: give a list of names, as trained=['w', 'w_in'].")
    for where, names in (("trained", trained), ("fixed", fixed)):
        for name in names:
            if name not in FREE:
                raise OptionError(f"{where}: {unknown('part', name, FREE)}")
    still = tuple(name for name in FREE if name in fixed or name not in trained)
    moving = [name for name in FREE if name not in still]
    for name, constraint in constraints.items():
        if name not in moving:
            raise OptionError(f"constraints: of what is not trained. {unknown('part', name, moving)}")
        if not isinstance(constraint, Constraint):
            raise OptionError(
                f"constraints: {name!r} needs one of recurra.training's Mask, Fixed, Bounds, LowRank, Compose, ..., got"
                f" {type(constraint).__name__}."
            )
    costs = make_penalties(penalties, dict.fromkeys(moving))
    for name in costs.recorded:
        if name not in RECORDS:
            raise OptionError(f"penalties: 'rate' {unknown('of', name, RECORDS)}")
    return still, costs


def check_tau(nets: list[FR_RNN_dale], task: Task, still: tuple[str, ...]) -> None:
    """Refuse a task whose steps are longer than a time constant is, or may become."""
    trained = "taus_gaus" not in still
    shortest = min(net.taus[0] if trained else float(np.min(net.tau)) for net in nets)
    check_step(steps_of(task.dt), shortest, "train")


def identity_of(loop: Loop, optimizer: object, lr: Any, clip: Any) -> Identity:
    """Return what a training is, so that another one is not taken for it."""
    kept = {f"network {i}": {k: v for k, v in vars(net).items() if k != "device"} for i, net in enumerate(loop.nets)}
    rules = {**vars(loop.rules), "level": plain_number(loop.rules.level), "fixed": sorted(loop.rules.fixed)}
    rules |= {"penalties": sorted(loop.rules.penalties.terms)}
    criterion = vars(loop.criterion) | {name: float(getattr(loop.criterion, name)) for name in ("loss", "accuracy")}
    return identify(
        {
            **kept, **rules, "optimizer": optimizer, "lr": plain_number(lr), "clip": plain_number(clip),
            "criterion": criterion,
            "task": {f"number {i}": task for i, task in enumerate(loop.tasks)}, "device": Placement(None).platform,
            "version": versions(),
        },
        {"optimizer": "optimizer_id", "lr": "optimizer_id"},
    )  # fmt: skip


def whole_number(value: object, name: str, lowest: int) -> None:
    """Refuse what is no whole number from `lowest` on."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
        raise OptionError(f"{name} must be a whole number >= {lowest}, got {value!r}.")


guard(globals(), ["train"])
