"""Networks of integrate-and-fire units that do what a rate network does (Kim, Li & Sejnowski 2019)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import returns_changed
from recurra.engine import Emission, Graph, Program, Result, Rule, as_function, lower, simulate
from recurra.engine.interrupts import check, interruptible
from recurra.engine.run import windows
from recurra.engine.series import rows_of
from recurra.engine.store import write_atomically
from recurra.errors import OptionError, ShapeError, TimeError, unknown
from recurra.files import read_arrays, refusing
from recurra.rate.connectivity import choose_lesions, fraction
from recurra.rate.lowering import STEP_MS, effective_weights, time_constants
from recurra.rate.model import FR_RNN_dale, matrix
from recurra.rate.running import check_fits, trial_keys
from recurra.rate.tasks import Task, Trials
from recurra.spiking.parameters import SpikingParameters, Stimulation
from recurra.spiking.step import SpikingStep, start

KIND = "recurra.SpikingNetwork"
LABEL = "cells"
ARRAYS = ("w", "w_in", "w_out", "fall", "inh")
RECORDS = ("o", "spikes", "voltage", "r", "i")


@dataclass(frozen=True, eq=False)
class SpikingNetwork:
    """Hold a network of spiking units; it never changes.

    Arguments:
        w: `(N, N)` weights that act, `W[post, pre]`, before they are divided by `scale`.
        w_in: `(N, inputs)`.
        w_out: `(outputs, N)`, before it is divided by `scale`.
        fall: `(N,)`, decay time of the synapses of each unit, in ms.
        inh: `(N, 1)`, which units are inhibitory.
        scale: the scaling factor 1/lambda: how many spikes per second stand for a rate of 1.
        parameters: of the units.

    >>> weights, read = np.zeros((2, 2)), np.zeros((1, 2))
    >>> cells = SpikingNetwork(weights, np.array([[0.0], [1.0]]), read, np.full(2, 50.0), np.zeros((2, 1), bool), 40.0)
    """

    w: np.ndarray
    w_in: np.ndarray
    w_out: np.ndarray
    fall: np.ndarray
    inh: np.ndarray
    scale: float
    parameters: SpikingParameters = field(default_factory=SpikingParameters)

    def __post_init__(self) -> None:
        number = isinstance(self.scale, (int, float, np.number)) and not isinstance(self.scale, bool)
        if not number or not 0 < self.scale < np.inf:
            raise OptionError(f"scale, the scaling factor, must be a number > 0, got {self.scale!r}.")

    @property
    def N(self) -> int:
        """Number of units."""
        return len(self.w)

    @returns_changed
    def with_scale(self, scale: float) -> SpikingNetwork:
        """Return the network with another scaling factor."""
        return replace(self, scale=scale)

    @returns_changed
    def lesioned(
        self, percentage: float, scale: float = 0.0, *, by_type: bool = False, exclude_self: bool = True, seed: int = 0
    ) -> SpikingNetwork:
        """Return a network in which a random part of the connections is weakened.

        Arguments:
            percentage: which part, from 0 to 1.
            scale: what their weights are multiplied by, from 0 to 1.
            by_type: the same part of each of the four pairings of types.
            exclude_self: spare what a unit sends to itself.
            seed: of the choice.

        Raises:
            OptionError: a number is out of range.
        """
        part, kept = fraction(percentage, "percentage"), fraction(scale, "scale")
        chosen = choose_lesions(self.w, self.inh, part, by_type, exclude_self, seed)
        return replace(self, w=np.where(chosen, self.w * kept, self.w))

    def to_graph(
        self,
        *,
        stimulation: Stimulation | None = None,
        given: bool = False,
        clock: bool = False,
        precision: str = "float32",
    ) -> Graph:
        """Describe the network to the engine as a rule called `cells`; time is in ms, and a step is `parameters.dt`.

        Its inputs are `cells/u` and `cells/current` (mV), its states `cells/v`, `cells/r` and others; it puts out
        `cells/o`, `cells/spikes` and `cells/voltage`. As a node of a :class:`recurra.Network` it receives at `u` and
        sends `r`, the filtered spikes (Hz); `w_out / scale` makes its output of them.

        Arguments:
            stimulation: light.
            given: take noise and coins from `cells/noise` and `cells/coin` instead of drawing them.
            clock: end the refractory time by floating-point times, as the published code does: mostly after 41 steps,
                sometimes after 40.
            precision: of all arrays.
        """
        if precision not in ("float32", "float64"):
            raise OptionError(unknown("precision", precision, ("float32", "float64")))
        p, size = self.parameters, self.N
        step = SpikingStep(p.unit, p.rise == 0, given, stimulation is not None, clock, precision)
        numbers: dict[str, Any] = {
            "w": self.w, "w_in": self.w_in, "w_out": self.w_out, "fall": self.fall, "scale": self.scale, "tm": p.tm,
            "tref": p.tref, "reset": p.reset, "threshold": p.threshold, "peak": p.peak, "bias": p.bias, "rise": p.rise,
            "noise_sd": p.noise,
        }  # fmt: skip
        inputs = {"u": np.zeros(self.w_in.shape[1]), "current": np.zeros(size)}
        if given:
            inputs |= {"noise": np.zeros(size), "coin": np.ones(1)}
        if stimulation is not None:
            window = [np.round(stimulation.start / p.dt), np.round(stimulation.stop / p.dt), stimulation.probability]
            numbers |= {"push": stimulation.push(size), "light": np.array(window)}
        if clock:
            numbers["step_s"] = p.dt / 1000.0
        # Times of the clock are those of the published code, which compares them in float64.
        kinds: dict[str, str] = {"step_s": "float64", "tref": "float64"} if clock else {}
        params = {name: np.asarray(value, kinds.get(name, precision)) for name, value in numbers.items()}
        emits = {
            "o": Emission((len(self.w_out),), np.dtype(precision)),
            "spikes": Emission((size,), np.dtype(bool)),
            "voltage": Emission((size,), np.dtype(precision)),
        }
        state = start(size, step, round(p.tref / p.dt), np.full(size, p.reset))
        text = f"{size} {p.unit} units, scaling factor {self.scale:g}"
        rule = Rule(step, state, params, inputs, emits, text, precision=precision)
        return Graph({LABEL: rule}, (), "SpikingNetwork", f"{LABEL}/u", f"{LABEL}/r", p.dt)

    def to_program(self, **options: Any) -> Program:
        """Lower the network; the options are those of `to_graph`."""
        return lower(self.to_graph(**options))

    def rows_to_steps(self, milliseconds: float) -> int:
        """Return how many steps are in one row of a stimulus.

        Raises:
            TimeError: it is no whole number.
        """
        steps = round(milliseconds / self.parameters.dt)
        if steps < 1 or abs(steps * self.parameters.dt - milliseconds) > 1e-9 * milliseconds:
            raise TimeError(
                f"a row of {milliseconds:g} ms is no whole number of steps of {self.parameters.dt:g} ms; use a dt of"
                f" {milliseconds / max(1, steps):g} ms."
            )
        return steps

    def simulate(
        self,
        stim: ArrayLike,
        *,
        row: float = STEP_MS,
        duration: float | None = None,
        stimulation: Stimulation | None = None,
        record: tuple[str, ...] = ("o", "spikes"),
        every: int = 1,
        noise: ArrayLike | None = None,
        coins: ArrayLike | None = None,
        v0: ArrayLike | None = None,
        clock: bool = False,
        seed: int = 0,
        precision: str = "float64",
    ) -> Result:
        """Run one trial.

        Arguments:
            stim: `(inputs, rows)`; a row holds until the middle between it and the next. A series with a time axis (in
                ms) is `(rows, inputs)`, and aligned by it.
            row: duration of a row, in ms.
            duration: in ms; all rows if `None`.
            stimulation: light.
            record: of `"o"`, `"spikes"`, `"voltage"`, `"r"`, `"i"`: outputs, spikes, potentials (mV), filtered spikes
                (Hz), synaptic currents.
            every: steps between recorded rows; row k holds what the step before its end put out.
            noise: `(steps, N)` standard normal numbers, drawn if `None`.
            coins: `(steps,)` numbers from 0 to 1 that decide about pushes, where noise is given.
            v0: `(N,)`, where v starts; drawn from `reset` to `peak` if `None`.
            clock, precision: as for `to_graph`.
            seed: of whatever is drawn.

        Returns:
            The recordings by these names, `(rows, units)`; r and i are as before a step, the others as after it.

        Raises:
            ShapeError: a wrong shape.
        """
        for name in record:
            if name not in RECORDS:
                raise OptionError(unknown("recording", name, RECORDS))
        series = rows_of(stim, row, 0.0, None, "stim")
        stim = stim if series is stim else np.atleast_2d(series.T)
        stimulus = matrix(stim, "stim", (self.w_in.shape[1], None))
        per_row, dt = self.rows_to_steps(row), self.parameters.dt
        total = stimulus.shape[1] * per_row if duration is None else round(duration / dt)
        held = np.minimum((np.arange(total) / per_row + 0.5).astype(int), stimulus.shape[1] - 1)
        inputs: dict[str, Any] = {f"{LABEL}/u": stimulus[:, held].T}
        if noise is not None:
            inputs[f"{LABEL}/noise"] = matrix(noise, "noise", (total, self.N))
            if coins is not None:
                inputs[f"{LABEL}/coin"] = np.asarray(coins, float).reshape(-1, 1)
        p = self.parameters
        drawn = np.random.default_rng([seed, 6]).random(self.N) if v0 is None else None
        first = np.asarray(v0, float) if drawn is None else p.reset + drawn * (p.peak - p.reset)
        if first.shape != (self.N,):
            raise ShapeError(f"v0: got shape {first.shape}, expected ({self.N},).")
        program = self.to_program(stimulation=stimulation, given=noise is not None, clock=clock, precision=precision)
        return simulate(
            program, total * dt, dt=dt, inputs=inputs, params={f"{LABEL}/v": first}, every=every, seed=seed,
            record={name: f"{LABEL}/{name}" for name in record}, progress=False,
        )  # fmt: skip

    def respond(
        self,
        trials: Trials,
        *,
        seed: int = 0,
        stimulation: Stimulation | None = None,
        batch: int = 50,
        precision: str = "float32",
    ) -> np.ndarray:
        """Run a batch of trials.

        Arguments:
            trials: what the network is given.
            seed: of noise and starts; trial i has the same whatever the batch.
            stimulation: light.
            batch: how many trials run at once.
            precision: `"float32"` or `"float64"`.

        Returns:
            Outputs at the ends of the trials' rows but the last: `(trials, T - 1, outputs)`.

        Raises:
            ShapeError: the trials have other inputs or outputs than the network.
        """
        scales = np.array([self.scale])
        return self.respond_scaled(trials, scales, seed, stimulation, batch, precision)[0]

    def respond_scaled(
        self,
        trials: Trials,
        scales: np.ndarray,
        seed: int = 0,
        stimulation: Stimulation | None = None,
        batch: int = 50,
        precision: str = "float32",
    ) -> np.ndarray:
        """Run a batch of trials with several scaling factors at once, all with the same noise.

        Returns:
            `(scales, trials, T - 1, outputs)`.
        """
        check_fits(self, trials)
        per_row, p = self.rows_to_steps(trials.dt), self.parameters
        program = self.to_program(stimulation=stimulation, precision=precision)
        total = trials.steps * per_row
        parts = windows(program, trials.steps, per_row, scales.size * min(batch, len(trials)))
        runs = {
            n: as_function(
                program, n * per_row * p.dt, dt=p.dt, record={"o": f"{LABEL}/o"}, every=per_row, segment=0, final=True
            )
            for n in sorted({n for _, n in parts})
        }
        held = np.minimum((np.arange(total) / per_row + 0.5).astype(int), trials.steps - 1)

        def one(rows: int, at: Any, scale: Any, inputs: Any, key: Any, last: Any) -> Any:
            start_key, noise = jax.random.split(key)
            numbers = {f"{LABEL}/scale": scale}
            if last is None:
                numbers[f"{LABEL}/v"] = p.reset + jax.random.uniform(start_key, (self.N,), precision) * (
                    p.peak - p.reset
                )
            return runs[rows](numbers, {f"{LABEL}/u": inputs}, seed=noise, state=last, step=at)

        @partial(jax.jit, static_argnums=0)
        def window(rows: int, at: Any, scales: Any, inputs: Any, keys: Any, last: Any) -> Any:
            # The inner axis is that of the scales: what does not depend on them, as the noise, is made only once.
            inner = jax.vmap(partial(one, rows, at), (0, None, None, 0))
            return jax.vmap(inner, (None, 0, 0, 1), 1)(scales, inputs, keys, last)

        found = []
        with interruptible(), jax.enable_x64(True):
            for begin in range(0, len(trials), batch):
                part = trials.inputs[begin : begin + batch]
                keys, last, rows = trial_keys(seed, begin, len(part)), None, []
                for start, count in parts:
                    check()
                    inputs = jnp.asarray(part[:, held[start * per_row : (start + count) * per_row]])
                    at = np.int32(start * per_row)
                    out, last = window(count, at, jnp.asarray(scales, precision), inputs, keys, last)
                    rows.append(np.asarray(out["o"], float))
                found.append(np.concatenate(rows, axis=2))
        return np.concatenate(found, axis=1)[:, :, :-1]

    def judge(self, task: Task, outputs: np.ndarray, trials: Trials) -> np.ndarray:
        """Return which trials were answered rightly, `(trials,)`.

        Where a task has no negative targets, an output below 0 counts as 0, as in the published code: without the
        readout's bias a silent network rests anywhere below 0.

        Arguments:
            task: the task.
            outputs: `(trials, T - 1, outputs)`.
            trials: what the network was given.
        """
        return task.accuracy(outputs if np.any(trials.targets < 0) else np.maximum(outputs, 0.0), trials)

    def save(self, path: str | Path) -> None:
        """Write the network to an `.npz` file, without pickle; `SpikingNetwork.load` reads it."""
        meta = {"kind": KIND, "scale": float(self.scale), "parameters": asdict(self.parameters)}
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS} | {"meta": np.array(json.dumps(meta))}
        write_atomically(path, lambda file: np.savez(file, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> SpikingNetwork:
        """Read a network that `save` wrote.

        Raises:
            StoreError: the file is missing, damaged, or holds something else.
        """
        meta, arrays = read_arrays(path, KIND)
        with refusing(path, "not a complete network"):
            size = len(arrays["w"])
            shapes = {"w": (size, size), "w_in": (size, None), "w_out": (None, size), "inh": (size, 1)}
            parts: dict[str, Any] = {name: matrix(arrays[name], name, shape) for name, shape in shapes.items()}
            parts["inh"] = parts["inh"].astype(bool)
            parts["fall"] = matrix(arrays["fall"][:, None], "fall", (size, 1))[:, 0]
            return cls(**parts, scale=meta["scale"], parameters=SpikingParameters(**meta["parameters"]))

    def __repr__(self) -> str:
        return (
            f"SpikingNetwork({self.N} {self.parameters.unit} units, {int(self.inh.sum())} inhibitory, scaling factor"
            f" {self.scale:g})"
        )


def convert(
    net: FR_RNN_dale,
    scale: float,
    parameters: SpikingParameters | None = None,
    *,
    use_initial_weights: bool = False,
) -> SpikingNetwork:
    """Turn a rate network into a spiking one (Kim, Li & Sejnowski 2019).

    Weights that act and the readout are divided by the scaling factor when the network runs, inputs are not, and the
    readout's bias is left out; the time constants of the units become the decay times of their synapses.

    Arguments:
        net: the rate network.
        scale: the scaling factor, 1/lambda; see :func:`scaling_search`.
        parameters: of the units; those of leaky units if `None`, see :func:`quadratic` for others.
        use_initial_weights: take the weights from before the training.

    Returns:
        The spiking network.

    Raises:
        OptionError: this is no rate network, or the factor is not positive.

    >>> from recurra.rate.model import FR_RNN_dale
    >>> net = FR_RNN_dale(20, 0.2, 0.5, np.ones((20, 1)), 0, "gaus", 1.5, True, np.ones((1, 20)), seed=1)
    >>> convert(net, 40.0).scale
    40.0
    """
    if not isinstance(net, FR_RNN_dale):
        raise OptionError(f"convert: expected a FR_RNN_dale, got {type(net).__name__}.")
    w = effective_weights(net.w0 if use_initial_weights else net.w, net.signs, net.som_mask, net.apply_dale)
    fall = time_constants(net.taus, net.taus_gaus) * STEP_MS
    return SpikingNetwork(w, net.w_in, net.w_out, fall, net.inh, scale, parameters or SpikingParameters())


def firing_rates(spikes: np.ndarray, dt: float, skip: int = 10) -> np.ndarray:
    """Return the firing rate of every unit in Hz, `(N,)`.

    The first steps are skipped in counting, not in the duration: most units start above the threshold and fire at once.

    Arguments:
        spikes: `(steps, N)`.
        dt: step, in ms.
        skip: steps that do not count.

    Returns:
        Rates in Hz, `(N,)`.

    >>> firing_rates(np.eye(20)[:, 15:17], 50.0)
    array([1., 1.])
    """
    return np.asarray(spikes)[skip:].sum(axis=0) / (len(spikes) * dt / 1000.0)


def spike_times(spikes: np.ndarray, dt: float) -> list[np.ndarray]:
    """Return the times of the spikes of every unit, in ms.

    Arguments:
        spikes: `(steps, N)`.
        dt: step, in ms.

    Returns:
        An array for each unit, in ms.

    >>> spike_times(np.eye(3)[:, :2], 0.05)
    [array([0.05]), array([0.1])]
    """
    return [dt * (np.flatnonzero(unit) + 1) for unit in np.asarray(spikes).T]


def parameters_of(options: Mapping[str, Any]) -> SpikingParameters:
    """Return parameters from a dict, unknown names refused.

    Raises:
        OptionError: an unknown name.
    """
    known = list(SpikingParameters.__dataclass_fields__)
    for name in options:
        if name not in known:
            raise OptionError(unknown("parameter", name, known))
    return SpikingParameters(**options)
