"""e-prop (Bellec et al. 2020): gradients of recurrent networks without going back through time.

The gradient of a weight is a sum over time of a learning signal of the postsynaptic unit times an eligibility trace of
the synapse (their eq. 1). Traces are computed forwards, from the derivatives of each unit's own equations; what goes
through other units is left out, so that the gradient is exact where no path leads from a unit back to itself through
others, and an approximation where one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.engine import Moment, Program, as_online
from recurra.engine.system import Projection
from recurra.errors import CapabilityError, OptionError, ShapeError, unknown
from recurra.training.fitting import Fit, Settings
from recurra.training.history import Training
from recurra.training.losses import Loss, find_loss, trial_loss
from recurra.training.objective import Batch, Told, gather, norm_of, on_device, training_precision
from recurra.training.optimizers import DEFAULT_RATE, find_optimizer, import_optax
from recurra.training.parameters import Parameters, make_parameters
from recurra.training.trials import count_units, make_trials

FEEDBACK = ("symmetric", "random", "adaptive")


@dataclass(frozen=True, eq=False)
class Synapses:
    """Say which units the entries of a trained projection join, and which outputs feel them.

    Arguments:
        index: number of the projection.
        source: storage key of the source variable.
        states: storage keys of the states of the target units.
        rows, columns: target and source unit of each entry; `None` for a whole matrix.
        features, units: numbers of the outputs that belong to target units, and these units.
        pairs: for a list of entries, the outputs (as positions in `features`) and entries that meet in a unit.
        shape: shape of the weights.
    """

    index: int
    source: str
    states: tuple[str, ...]
    rows: np.ndarray | None
    columns: np.ndarray | None
    features: np.ndarray
    units: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]
    shape: tuple[int, ...]

    def post(self, value: Array) -> Array:
        """Spread a number of each target unit over its entries."""
        return value[:, None] if self.rows is None else value[self.rows]

    def pre(self, value: Array) -> Array:
        """Spread a number of each source unit over its entries."""
        return value[None, :] if self.columns is None else value[self.columns]

    def meet(self, entries: Array) -> Array:
        """Pick for each output the entries of its unit."""
        entries = jnp.broadcast_to(entries, self.shape)
        return entries[self.units] if self.rows is None else entries[self.pairs[1]]

    def of_output(self, value: Array) -> Array:
        """Spread a number of each output over the entries of its unit."""
        chosen = value[self.features]
        return chosen[:, None] if self.rows is None else chosen[self.pairs[0]]

    def back(self, met: Array) -> Array:
        """Sum over outputs: from what `meet` gives to one number for each entry."""
        at = self.units if self.rows is None else self.pairs[1]
        return jnp.zeros(self.shape, met.dtype).at[at].add(met)

    def zeros(self, dtype: str) -> tuple[Array, Array, Array]:
        """Return traces, filtered traces of outputs, and gradient, all 0."""
        count = (len(self.units), self.shape[1]) if self.rows is None else (len(self.pairs[0]),)
        traces = jnp.zeros((len(self.states), *self.shape), dtype)
        return traces, jnp.zeros(count, dtype), jnp.zeros(count, dtype)


@dataclass(frozen=True, eq=False)
class Eprop:
    """Compute the gradients of e-prop for a batch of trials.

    Arguments:
        parameters: what is trained in the program.
        synapses: number of a projection with trained weights -> its synapses.
        place: path of a trained weight -> the number of its projection.
        output: paths that are read out.
        loss: errors of readouts and targets.
        dt: the step.
        decay: factor by which the readout forgets in a step (kappa in Bellec et al.).
        solver, precision: as for :func:`recurra.engine.simulate`.
    """

    parameters: Parameters
    synapses: Mapping[int, Synapses]
    place: Mapping[str, int]
    output: list[str]
    loss: Loss
    dt: float
    decay: float
    solver: str | None
    precision: str

    def trial(
        self, values: Mapping[str, Array], readout: Array, feedback: Array, batch: Batch
    ) -> tuple[tuple[Array, Array], dict[int, Array], Array]:
        """Run one trial; return its loss and its weight, the gradient of each projection, and that of the readout."""
        goal, mask = batch.targets, batch.mask
        steps = len(goal)
        empty = jnp.zeros((steps, readout.shape[0]), self.precision)
        weight = trial_loss(self.loss, empty, goal, mask)[1]

        def error(y: Array, j: Array) -> Array:
            loss, counted = trial_loss(self.loss, y[None], goal[j][None], mask[j][None])
            return loss * counted / weight

        def observe(carry: tuple, moment: Moment) -> tuple[tuple, dict, Array]:
            traces, y, seen, gradient = carry
            features = moment.recorded["output"]
            y = self.decay * y + readout @ features
            seen = self.decay * seen + features
            slope = jax.grad(error)(y, moment.row)
            traces = {
                index: self._advance(self.synapses[index], moment, trace, feedback @ slope)
                for index, trace in traces.items()
            }
            return (traces, y, seen, gradient + jnp.outer(slope, seen)), {}, y

        run = as_online(
            self.parameters.program,
            steps * self.dt,
            observe,
            dt=self.dt,
            solver=self.solver,
            record={"output": self.output},
            precision=self.precision,
        )
        traces = {index: synapses.zeros(self.precision) for index, synapses in self.synapses.items()}
        start = (traces, jnp.zeros_like(empty[0]), jnp.zeros_like(readout[0]), jnp.zeros_like(readout))
        (traces, _, _, gradient), _, y = run(start, values, batch.inputs, seed=batch.keys)
        found = {index: self.synapses[index].back(trace[2]) for index, trace in traces.items()}
        return trial_loss(self.loss, y, goal, mask), found, gradient

    def _advance(self, synapses: Synapses, moment: Moment, trace: tuple, signal: Array) -> tuple:
        """Add learning signal times trace to the gradient, and carry the traces over the step."""
        vectors, filtered, gradient = trace
        source = moment.values[synapses.source]

        def local(own: Mapping[str, Array], arriving: Array) -> tuple[list[Array], Array]:
            after, recorded = moment.local({**moment.own, **own}, {**moment.incoming, synapses.index: arriving})
            return [after[key] for key in synapses.states], recorded["output"]

        own = {key: moment.own[key] for key in synapses.states}
        arriving = moment.incoming[synapses.index]
        still = {key: jnp.zeros_like(value) for key, value in own.items()}
        # Units do not touch each other here, so one tangent of ones gives the derivative of every unit.
        by_input, seen = jax.jvp(local, (own, arriving), (still, jnp.ones_like(arriving)))[1]
        eligible = synapses.of_output(seen) * synapses.meet(synapses.pre(source))
        moved = [synapses.post(slope) * synapses.pre(source) for slope in by_input]
        for key, vector in zip(synapses.states, vectors, strict=True):
            tangent = ({**still, key: jnp.ones_like(own[key])}, jnp.zeros_like(arriving))
            by_state, seen = jax.jvp(local, (own, arriving), tangent)[1]
            eligible = eligible + synapses.of_output(seen) * synapses.meet(vector)
            moved = [m + synapses.post(slope) * vector for m, slope in zip(moved, by_state, strict=True)]
        filtered = self.decay * filtered + eligible
        gradient = gradient + synapses.of_output(signal) * filtered
        return jnp.stack(moved) if moved else vectors, filtered, gradient

    def gradient(
        self, values: Mapping[str, Array], readout: Array, feedback: Array, batch: Batch
    ) -> tuple[Told, dict[str, Array], Array]:
        """Return the losses and the gradients of a batch: means over its trials."""
        (losses, weights), found, outer = jax.vmap(lambda one: self.trial(values, readout, feedback, one))(batch)
        means = {index: jnp.mean(gradient, axis=0) for index, gradient in found.items()}
        chosen = {}
        for path, index in self.place.items():
            target = self.parameters.program.layout.one(path)
            chosen[path] = means[index][target.index].reshape(values[path].shape)  # type: ignore[index]
        none, rows = jnp.zeros_like(losses), jnp.ones_like(losses)
        told = Told(jnp.mean(losses), jnp.zeros_like(losses[0]), losses, weights, none, rows)
        return told, chosen, jnp.mean(outer, axis=0)


def make_rule(
    parameters: Parameters, output: list[str], loss: Loss, dt: float, decay: float, solver: str | None, precision: str
) -> Eprop:
    """Return the rule for what is trained; each projection is traced once, however many of its weights are."""
    place = {path: find_projection(parameters.program, path) for path in parameters.origin}
    synapses: dict[int, Synapses] = {}
    for path, index in place.items():
        if index not in synapses:
            synapses[index] = find_synapses(parameters.program, index, path, output)
    return Eprop(parameters, synapses, place, output, loss, dt, decay, solver, precision)


def find_projection(program: Program, path: str) -> int:
    """Return the number of the projection whose weight a path is.

    Raises:
        CapabilityError: the path is no weight, or its edge is delayed.
    """
    target = program.layout.one(path)
    found = [i for i, p in enumerate(program.system.projections) if p.weights == target.key]
    if not found:
        raise CapabilityError(f"train: e-prop learns the weights of edges; {path!r} is of kind {target.kind}.")
    projection = program.system.projections[found[0]]
    chains = {chain.output for chain in program.system.chains}
    if projection.ring >= 0 or projection.source in chains:
        raise CapabilityError(f"train: e-prop has no traces for the delayed edge {path!r}; use fit_bptt.")
    return found[0]


def find_synapses(program: Program, index: int, path: str, output: list[str]) -> Synapses:
    """Find what a projection with trained weights joins.

    Raises:
        CapabilityError: it has no weight for each pair of units, or no output belongs to its targets.
    """
    projection = program.system.projections[index]
    shape = np.shape(program.params[projection.weights])
    rows, columns = _entries(program, projection, path)
    group = projection.target.rsplit("/", 2)[0]
    states = tuple(key for key in program.state if key.rsplit("/", 2)[0] == group)
    features, units, position = [], [], 0
    for place in (t for name in output for t in program.layout.resolve(name)):
        if place.key.rsplit("/", 2)[0] == group:
            size = program.system.shape_of[place.key][0]
            units.append(np.arange(size)[place.index])  # type: ignore[index]
            features.append(position + np.arange(place.size))
        position += place.size
    if not units:
        raise CapabilityError(
            f"train: no unit of the output {output} receives {path!r}, so that e-prop has no learning signal for it."
            " Read those units out too, or use fit_bptt."
        )
    unit = np.concatenate(units)
    pairs = (np.zeros(0, int), np.zeros(0, int)) if rows is None else np.nonzero(unit[:, None] == rows[None, :])
    return Synapses(
        index, projection.source, states, rows, columns, np.concatenate(features), unit, pairs, shape  # type: ignore
    )


def _entries(program: Program, projection: Projection, path: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    count = projection.shape[0]
    if projection.delivery == "dense":
        return None, None
    if projection.delivery == "sparse":
        return program.tables[projection.rows], program.tables[projection.columns]
    if projection.delivery == "gather":
        return np.arange(count), program.tables[projection.columns]
    if projection.delivery == "one_to_one":
        return np.arange(count), np.arange(count)
    raise CapabilityError(
        f"train: {path!r} is delivered as {projection.delivery}; e-prop needs a weight for each pair of units."
        " Give the edge a matrix."
    )


def fit_eprop(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    *,
    output: object,
    train: object,
    dt: float,
    readout: ArrayLike | None = None,
    feedback: object = "symmetric",
    decay: float = 0.0,
    weight_decay: float = 1e-2,
    loss: object = "mse",
    optimizer: object = "adam",
    lr: object = DEFAULT_RATE,
    epochs: int = 100,
    batch_size: int | None = None,
    mask: ArrayLike | None = None,
    clip: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    precision: str | None = None,
    solver: str | None = None,
    progress: bool = True,
) -> Training:
    """Train weights and a linear readout by e-prop (Bellec et al. 2020).

    The readout is y_k = decay * y_(k-1) + readout @ output_k. Errors reach a unit directly through a feedback matrix:
    the readout transposed, a random one (Lillicrap et al. 2016), or one that learns as the readout does (Kolen &
    Pollack 1994).

    Arguments:
        program, inputs, train, dt, loss, optimizer, lr, epochs, batch_size, mask, clip, patience, seed, precision,
            progress: as for :func:`fit_bptt`; only weights of edges without delay can be trained.
        targets: `(steps, k)` or `(trials, steps, k)`, or a list of trials; for `nll` and `ce` class numbers need a
            `readout` that says k.
        output: path of the variable that is read out, or a list; the targets of the trained edges must be among its
            units.
        readout: `(k, units)` to start from; random with variance 1/units if `None`.
        feedback: `"symmetric"`, `"random"`, `"adaptive"`, or a matrix `(units, k)`.
        decay: how much of the readout is left after a step, 0 <= decay < 1.
        weight_decay: for adaptive feedback, how strongly readout and feedback both decay.
        solver: `"euler"` or `"euler_maruyama"`.

    Returns:
        The training; `params` holds the trained weights, and `readout` and `feedback`.

    Raises:
        RecurraError: something given does not fit.
        TrainingError: loss or gradient stopped being finite.

    >>> from recurra import Network
    >>> rng = np.random.default_rng(0)
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node(
    ...     "p", "v' = -v + tanh(r) + I", variables={"v": "output", "r": "input", "I": "input"}, N=10,
    ...     weights=rng.standard_normal((10, 10)) / 3, source_var="v", target_var="r", input_var="I")
    >>> drive = {"p/op/I": rng.standard_normal((50, 10))}
    >>> wave = np.sin(np.arange(50) / 8)[:, None]
    >>> fit = fit_eprop(net.program, drive, wave, output="p/op/v", train=["p->p/weight"], dt=0.1, lr=0.02)
    >>> bool(fit.history["loss"][-1] < 0.05 * fit.history["loss"][0]), fit.params["readout"].shape
    (True, (1, 10))
    """
    settings = Settings(epochs, batch_size, None, patience, 1, seed, progress)
    name, function = find_loss(loss)
    paths, size = count_units(program, output)
    precision = training_precision(program, precision)
    if not 0 <= decay < 1:
        raise OptionError(f"decay must be a number >= 0 and < 1, got {decay!r}.")
    if (solver or program.solver or "euler") not in ("euler", "euler_maruyama"):
        raise CapabilityError(f"e-prop's traces are those of Euler steps; got solver {solver or program.solver!r}.")
    parameters = make_parameters(program, train, dt)
    rule = make_rule(parameters, paths, function, dt, decay, solver, precision)
    _, transform, rate = find_optimizer(optimizer, lr, clip)
    classes = None if readout is None else len(np.asarray(readout))
    data = make_trials(program, inputs, targets, classes, name, mask, dt=dt)
    if readout is None and data.targets.ndim == 2:
        raise ShapeError("targets are class numbers: give a readout (classes, units) to start from.")
    count = data.targets.shape[2] if readout is None else len(np.asarray(readout))
    rng = np.random.default_rng([seed, size])
    first = rng.standard_normal((count, size)) / np.sqrt(size) if readout is None else np.asarray(readout, float)
    if first.shape != (count, size):
        raise ShapeError(f"readout: got shape {first.shape}, expected {(count, size)}.")
    back = _feedback(feedback, first, rng)
    adaptive, symmetric = (isinstance(feedback, str) and feedback == kind for kind in ("adaptive", "symmetric"))
    with jax.enable_x64(precision == "float64"):
        free = {"train": parameters.free(), "readout": first} | ({"feedback": back} if adaptive else {})
        free = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), free)
        fixed = None if symmetric or adaptive else jnp.asarray(back, precision)
        update = partial(_update, rule, transform, fixed, weight_decay)
        ending = partial(_finish, parameters, None if fixed is None else np.asarray(fixed))
        trials = on_device(data, precision)
        return Fit(
            settings,
            lambda _: [trials],
            None,
            None,
            free,
            transform.init(free),
            lambda steps: update,
            None,
            ending,
            rate,
        ).go()


def _feedback(feedback: object, readout: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shape = readout.shape[::-1]
    if isinstance(feedback, str):
        if feedback not in FEEDBACK:
            raise OptionError(unknown("feedback", feedback, FEEDBACK) + " A matrix (units, k) is taken too.")
        return readout.T if feedback == "symmetric" else rng.standard_normal(shape) / np.sqrt(shape[0])
    found = np.asarray(feedback, float)
    if found.shape != shape:
        raise ShapeError(f"feedback: got shape {found.shape}, expected (units, k) = {shape}.")
    return found


def _update(
    rule: Eprop,
    transform: Any,
    fixed: Array | None,
    weight_decay: float,
    free: Any,
    momenta: Any,
    data: Batch,
    chosen: Array,
    key: Array,
    state: None,
    start: Array,
) -> tuple[Any, Any, tuple[Told, Array], None]:
    """Run a batch once, forwards, and move the free numbers."""
    batch = gather(data, chosen, key)
    readout = free["readout"]
    feedback = free.get("feedback", readout.T if fixed is None else fixed)
    values, pull = jax.vjp(rule.parameters.values, free["train"])
    told, found, outer = rule.gradient(values, readout, feedback, batch)
    gradient = {"train": pull(found)[0], "readout": outer}
    if "feedback" in free:
        gradient["readout"] = outer + weight_decay * readout
        gradient["feedback"] = outer.T + weight_decay * feedback
    change, momenta = transform.update(gradient, momenta, free)
    return import_optax().apply_updates(free, change), momenta, (told, norm_of(gradient)), None


def _finish(parameters: Parameters, fixed: np.ndarray | None, free: Any) -> tuple[Program, dict[str, np.ndarray]]:
    values = parameters.final(free["train"])
    readout = np.asarray(free["readout"], float)
    feedback = np.asarray(free.get("feedback", readout.T if fixed is None else fixed), float)
    return parameters.program.update(values), {**values, "readout": readout, "feedback": feedback}
