"""Rate networks of excitatory and inhibitory units with time constants of their own (Kim, Li & Sejnowski 2019)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import guard
from recurra.engine import Graph, Program, Result, lower, simulate
from recurra.engine.interrupts import interruptible
from recurra.engine.series import rows_of
from recurra.errors import OptionError, ShapeError, unknown
from recurra.rate.connectivity import (
    DISTRIBUTIONS,
    choose_lesions,
    draw_inhibitory,
    draw_weights,
    fraction,
    generator,
    somatostatin_mask,
)
from recurra.rate.lowering import (
    ACTIVATIONS,
    KIM_NOISE,
    OUTPUT,
    PATHS,
    PERTURBATION,
    STIMULUS,
    check_noise,
    check_step,
    check_taus,
    effective_weights,
    rate_graph,
    time_constants,
)

START_NOISE = 0.01
Forward = tuple[
    np.ndarray, list[np.ndarray], list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray, np.ndarray, np.ndarray,
    np.ndarray, float | np.ndarray, np.ndarray,
]  # fmt: skip


class FR_RNN_dale:
    """Hold a network of rate units that are excitatory or inhibitory.

    x_t = (1 - dt/tau) x_{t-1} + (dt/tau) (W r_{t-1} + W_in u_{t-1}) + noise, r = phi(x), o = W_out r + b_out, with
    W = relu(w) D * M: the sign D belongs to the presynaptic unit, M is `som_mask` (Kim, Li & Sejnowski 2019). What is
    trained is `w`, `w_out`, `b_out` and the time constants, through `taus_gaus`.

    Arguments:
        N: number of units.
        P_inh: probability that a unit is inhibitory.
        P_rec: probability of each connection, those of a unit with itself included.
        w_in: `(N, inputs)`; not trained.
        som_N: how many of the inhibitory units get no input from inhibitory units.
        w_dist: `"gaus"` or `"gamma"`.
        gain: scale of Gaussian weights.
        apply_dale: whether each unit has one sign; without, no unit is inhibitory and weights have any sign.
        w_out: `(outputs, N)`.
        device: where to compute, as for :func:`recurra.engine.simulate`.
        seed: of everything that is drawn here.
        taus: one time constant, or lowest and highest, in steps of 5 ms.
        activation: `"sigmoid"`, `"softplus"` or `"clipped_relu"`.

    Raises:
        OptionError: a number or a name is out of range.
        ShapeError: `w_in` or `w_out` do not fit N.

    >>> net = FR_RNN_dale(20, 0.2, 0.5, np.ones((20, 1)), 0, "gaus", 1.5, True, np.ones((1, 20)), seed=1)
    >>> bool(np.all(net.effective_w[:, net.inh[:, 0]] <= 0) and np.all(net.effective_w[:, net.exc[:, 0]] >= 0))
    True
    """

    def __init__(
        self,
        N: int,
        P_inh: float,
        P_rec: float,
        w_in: ArrayLike,
        som_N: int,
        w_dist: str,
        gain: float,
        apply_dale: bool,
        w_out: ArrayLike,
        device: object = None,
        *,
        seed: int = 0,
        taus: ArrayLike = (4.0, 20.0),
        activation: str = "sigmoid",
    ):
        for name, value, lowest in (("N", N, 1), ("som_N", som_N, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
                raise OptionError(f"{name} must be a whole number >= {lowest}, got {value!r}.")
        self.N, self.som_N, self.apply_dale, self.device, self.seed = int(N), int(som_N), bool(apply_dale), device, seed
        self.P_inh, self.P_rec = fraction(P_inh, "P_inh"), fraction(P_rec, "P_rec")
        self.w_dist = w_dist.lower() if isinstance(w_dist, str) else w_dist
        if self.w_dist not in DISTRIBUTIONS:
            raise OptionError(unknown("w_dist", w_dist, DISTRIBUTIONS))
        if not isinstance(gain, (int, float, np.number)) or isinstance(gain, bool) or not 0 < gain < np.inf:
            raise OptionError(f"gain must be a number > 0, got {gain!r}.")
        self.gain = float(gain)
        self.w_in = matrix(w_in, "w_in", (self.N, None))
        self.w_out = matrix(w_out, "w_out", (None, self.N))
        self.b_out: float | np.ndarray = 0.0 if len(self.w_out) == 1 else np.zeros(len(self.w_out))
        self.taus = check_taus(taus)
        if activation not in ACTIVATIONS:
            raise OptionError(unknown("activation", activation, ACTIVATIONS))
        self.activation = activation
        self.taus_gaus = generator(seed, "time constants").normal(size=(self.N, 1))
        self.inh, self.exc, self.NI, self.NE, self.som_inh = self.assign_exc_inh()
        self.w, self.mask, self.som_mask = self.initialize_W()
        self.w0, self.taus_gaus0 = self.w.copy(), self.taus_gaus.copy()

    def assign_exc_inh(self) -> tuple[np.ndarray, np.ndarray, int, int, np.ndarray | int]:
        """Draw which units are inhibitory; the same again for the same seed.

        Returns:
            `inh` and `exc` `(N, 1)` booleans, their numbers, and the units without inhibitory input (0 if none).

        Raises:
            OptionError: `som_N` is more than there are inhibitory units.
        """
        inh = draw_inhibitory(self.N, self.P_inh if self.apply_dale else 0.0, self.seed)
        somatostatin_mask(inh, self.som_N)
        som = np.flatnonzero(inh)[: self.som_N] if self.som_N else 0
        return inh, ~inh, int(inh.sum()), int((~inh).sum()), som

    def initialize_W(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw the weights; the same again for the same seed.

        Returns:
            `w` `(N, N)`, all positive under Dale's principle; `mask` `(N, N)`, the diagonal D of signs; and
            `som_mask` `(N, N)`. The weights that act are `(w @ mask) * som_mask`.
        """
        w = draw_weights(self.N, self.P_rec, self.w_dist, self.gain, self.seed)
        mask = np.diag(np.where(self.inh[:, 0], -1.0, 1.0))
        return np.abs(w) if self.apply_dale else w, mask, somatostatin_mask(self.inh, self.som_N)

    @property
    def signs(self) -> np.ndarray:
        """Return +1 or -1 for each unit, `(N,)`."""
        return np.diag(self.mask).copy()

    @property
    def effective_w(self) -> np.ndarray:
        """Return the weights that act, `W[post, pre]`: rectified, signed and masked."""
        return effective_weights(self.w, self.signs, self.som_mask, self.apply_dale)

    @property
    def tau(self) -> np.ndarray:
        """Return the time constant of every unit, `(N,)`, in steps of 5 ms."""
        return time_constants(self.taus, self.taus_gaus)

    def copy(self) -> FR_RNN_dale:
        """Return an independent copy."""
        return copy.deepcopy(self)

    def to_graph(
        self,
        *,
        noise: str = "kim",
        level: float = KIM_NOISE,
        step: float = 1.0,
        taus: ArrayLike | None = None,
        activation: str | None = None,
        x0: ArrayLike | None = None,
    ) -> Graph:
        """Describe the network to the engine; time is in steps of 5 ms.

        Arguments:
            noise: `"kim"`: `level` is the standard deviation added in each step; `"ou"`: `level` is the standard
                deviation of x that the noise alone keeps up, at this step exactly; `"none"`.
            level: how strong the noise is.
            step: the step it will be run with, which the scale of noise depends on: with noise, the graph refuses
                other steps.
            taus, activation: in place of the network's own.
            x0: where x starts, `(N,)`; 0 if not given.

        Returns:
            The graph: `input/op/u` is driven, `units/op/x`, `units/op/r` and `output/op/o` can be recorded.

        Raises:
            TimeError: with noise, a step longer than a time constant.
            OptionError: an unknown name, or a level or step that is out of range or has no effect.
        """
        tau = self.tau if taus is None else time_constants(taus, self.taus_gaus)
        check_noise(noise, level, step)
        if noise != "none":
            check_step(step, float(np.min(tau)), "FR_RNN_dale")
        numbers = {
            "w": self.effective_w,
            "w_in": self.w_in,
            "w_out": self.w_out,
            "b_out": np.broadcast_to(np.asarray(self.b_out, float).reshape(-1), (len(self.w_out),)).copy(),
            "tau": tau,
            "sigma": np.full(self.N, level / np.sqrt(step) if noise == "kim" else level),
            "step": np.asarray(float(step)),
            "x": np.zeros(self.N) if x0 is None else np.asarray(x0, float).reshape(-1),
        }
        dt = None if noise == "none" else float(step)
        return rate_graph(numbers, activation or self.activation, noise, "FR_RNN_dale", dt)

    def to_program(self, **options: Any) -> Program:
        """Lower the network; the options are those of `to_graph`."""
        return lower(self.to_graph(**options))

    def simulate(
        self,
        stim: ArrayLike,
        *,
        T: int | None = None,
        step: float = 1.0,
        taus: ArrayLike | None = None,
        activation: str | None = None,
        noise: str | ArrayLike = "kim",
        x0: ArrayLike | None = None,
        seed: int = 0,
        precision: str = "float64",
    ) -> Result:
        """Run one trial.

        Arguments:
            stim: `(inputs, T)`, or `(inputs, T - 1)`: the last column has no effect. A series with a time axis (in
                units of 5 ms) is `(T, inputs)`, and aligned by it.
            T: number of rows; as many as the stimulus has columns if `None`.
            step: duration of a step in units of 5 ms.
            taus, activation: in place of the network's own.
            noise: as for `to_graph`, or standard normal numbers `(T - 1, N)`, of which a tenth is added at each step.
            x0: where x starts, `(N,)`; drawn with standard deviation 0.01 if not given.
            seed: of the noise and the start.
            precision: `"float64"` or `"float32"`.

        Returns:
            `x` and `r` `(T, N)`, `o` `(T, outputs)`: row 0 is the start.

        Raises:
            ShapeError: a wrong shape, or a stimulus shorter than the trial.
            TimeError: a step longer than a time constant.
        """
        stimulus, rows = self._stimulus(stim, T, step)
        tau = self.tau if taus is None else time_constants(taus, self.taus_gaus)
        check_step(step, float(np.min(tau)), "FR_RNN_dale")
        kind = noise if isinstance(noise, str) else "none"
        inputs: dict[str, np.ndarray] = {STIMULUS: stimulus}
        if not isinstance(noise, str):
            given = matrix(noise, "noise", (rows - 1, self.N))
            inputs[PERTURBATION] = np.concatenate([given, given[-1:]]) * (KIM_NOISE / step)
        if x0 is None:
            x0 = START_NOISE * generator(seed, "start").normal(size=self.N) if kind != "none" else np.zeros(self.N)
        start = matrix(np.reshape(x0, (-1, 1)), "x0", (self.N, 1))[:, 0]
        program = self.to_program(noise=kind, step=step, taus=taus, activation=activation, x0=start)
        record = {"x": PATHS["x"], "r": "units/op/r", "o": OUTPUT}
        return simulate(
            program, rows * step, dt=step, inputs=inputs, record=record, seed=seed, precision=precision,
            device=self.device, progress=False,
        )  # fmt: skip

    def _stimulus(self, stim: ArrayLike, T: int | None, step: float) -> tuple[np.ndarray, int]:
        """Return the stimulus as `(T, inputs)`, and T."""
        series = rows_of(stim, step, 0.0, T, "stim")
        stim = stim if series is stim else np.atleast_2d(series.T)
        found = matrix(stim, "stim", (self.w_in.shape[1], None)).T
        rows = len(found) if T is None else T
        if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 2:
            raise OptionError(f"T must be a whole number of rows >= 2, got {rows!r}.")
        if len(found) < rows - 1:
            raise ShapeError(
                f"stim has {len(found)} columns, shorter than the trial: T = {rows} needs {rows} (or {rows - 1})."
            )
        if len(found) < rows:
            found = np.concatenate([found, found[-1:]])
        return found[:rows], int(rows)

    def forward(
        self,
        stim: ArrayLike,
        taus: ArrayLike,
        training_params: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        seed: int = 0,
        noise: str | ArrayLike = "kim",
        x0: ArrayLike | None = None,
    ) -> Forward:
        """Run one trial and return everything in the order of the publication.

        Arguments:
            stim: `(inputs, T)`.
            taus: one time constant, or lowest and highest, in steps of 5 ms.
            training_params: with the name of the `activation`.
            settings: with the number of rows `T` and the step `DeltaT`.
            seed, noise, x0: as for `simulate`.

        Returns:
            `stim`; `x` and `r`, lists of T arrays `(N, 1)`; `o`, a list of T - 1 arrays `(outputs, 1)`, the first one
            after the first step; `w`, `w_in`, `mask`, `som_mask`, `w_out`, `b_out`, `taus_gaus`.

        Raises:
            OptionError: a setting is missing, or a name is unknown.

        >>> net = FR_RNN_dale(5, 0.2, 0.5, np.ones((5, 1)), 0, "gaus", 1.5, True, np.ones((1, 5)))
        >>> found = net.forward(np.ones((1, 10)), [4, 20], {"activation": "sigmoid"}, {"T": 10, "DeltaT": 1})
        >>> len(found), len(found[1]), len(found[3])
        (11, 10, 9)
        """
        with interruptible():  # lists of rows cannot say that they are a part
            result = self.simulate(
                stim,
                T=setting(settings, "T", "settings"),
                step=float(setting(settings, "DeltaT", "settings")),
                taus=taus,
                activation=setting(training_params, "activation", "training_params"),
                noise=noise,
                x0=x0,
                seed=seed,
            )
        x, r, o = ([row[:, None] for row in result[name]] for name in ("x", "r", "o"))
        return (
            np.asarray(stim), x, r, o[1:], self.w, self.w_in, self.mask, self.som_mask, self.w_out, self.b_out,
            self.taus_gaus,
        )  # fmt: skip

    def lesion_w(
        self, lesion_percentage: float, lesion_scale: float = 0.0, *, exclude_self: bool = False, seed: int = 0
    ) -> None:
        """Weaken a random part of the connections that act, in place; `copy()` first to keep the network.

        Arguments:
            lesion_percentage: which part, from 0 to 1.
            lesion_scale: what their weights are multiplied by, from 0 to 1.
            exclude_self: spare what a unit sends to itself.
            seed: of the choice.

        Raises:
            OptionError: a number is out of range.

        >>> net = FR_RNN_dale(10, 0.2, 1.0, np.ones((10, 1)), 0, "gaus", 1.5, True, np.ones((1, 10)))
        >>> net.lesion_w(0.25)
        >>> int((net.effective_w == 0).sum())
        25
        """
        self._lesion(lesion_percentage, lesion_scale, False, exclude_self, seed)

    def lesion_w_by_type(
        self, lesion_percentage: float, lesion_scale: float = 0.0, *, exclude_self: bool = False, seed: int = 0
    ) -> None:
        """Weaken the same random part of the connections E to E, I to E, E to I and I to I, in place.

        Arguments:
            lesion_percentage, lesion_scale, exclude_self, seed: as for `lesion_w`.

        Raises:
            OptionError: a number is out of range.
        """
        self._lesion(lesion_percentage, lesion_scale, True, exclude_self, seed)

    def _lesion(self, part: float, scale: float, by_type: bool, exclude_self: bool, seed: int) -> None:
        part, scale = fraction(part, "lesion_percentage"), fraction(scale, "lesion_scale")
        chosen = choose_lesions(self.effective_w, self.inh, part, by_type, exclude_self, seed)
        self.w = np.where(chosen, self.w * scale, self.w)

    def load_net(self, model_dir: str | Path) -> FR_RNN_dale:
        """Take over a network from a file, a `.mat` of the published code or an `.npz` of `save`.

        Arguments:
            model_dir: path of the file.

        Returns:
            This network, changed.

        Raises:
            StoreError: the file is missing, damaged or not of such a network.
        """
        from recurra.rate.files import load_net

        self.__dict__.update(load_net(model_dir).__dict__ | {"device": self.device})
        return self

    def save(self, path: str | Path) -> None:
        """Write the network to an `.npz` file, without pickle, or to a `.mat` file if the path ends in that."""
        from recurra.rate.files import save_net

        save_net(self, path)

    def display(self) -> None:
        """Print how many units and connections of each sign there are."""
        print(self)

    def __repr__(self) -> str:
        w = self.effective_w
        zero, positive, negative = (100 * float(np.mean(part)) for part in (w == 0, w > 0, w < 0))
        return (
            f"FR_RNN_dale(N={self.N}, {self.NE} excitatory, {self.NI} inhibitory, {self.w_in.shape[1]} inputs,"
            f" {len(self.w_out)} outputs; weights: {zero:.1f}% 0, {positive:.1f}% > 0, {negative:.1f}% < 0)"
        )


def matrix(value: ArrayLike, name: str, shape: tuple[int | None, int | None]) -> np.ndarray:
    """Return a matrix of finite floats of this shape; `None` stands for any length.

    Raises:
        ShapeError: it is something else.
    """
    found = np.asarray(value)
    fits = found.ndim == 2 and all(want in (None, got) for want, got in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in "biuf" or found.size == 0:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ShapeError(f"{name}: got shape {found.shape} and type {found.dtype}, expected numbers ({wanted}).")
    if not np.all(np.isfinite(found)):
        raise ShapeError(f"{name} holds values that are not finite.")
    return np.array(found, float)


def setting(settings: Mapping[str, Any], name: str, where: str) -> Any:
    """Return one of the settings.

    Raises:
        OptionError: it is missing.
    """
    if name not in settings:
        raise OptionError(f"{where} has no {name!r}. It holds: {', '.join(map(str, settings)) or 'nothing'}.")
    return settings[name]


LOSSES = ("l1", "l2")


def loss_op(o: Sequence[Any] | Any, z: Any, training_params: Mapping[str, Any]) -> Any:
    """Return the loss of one trial: `l1` is the sum of |o - z| over time, `l2` the root of the sum of (o - z)^2.

    Neither is a mean (Kim, Li & Sejnowski 2019, their code). Arrays that JAX traces are taken too.

    Arguments:
        o: T - 1 outputs, each `(outputs, 1)`, or an array `(T - 1,)` or `(T - 1, outputs)`.
        z: T - 1 targets; if there is one more, the last is left out.
        training_params: with the name `loss_fn`.

    Returns:
        A number.

    Raises:
        OptionError: an unknown loss.
        ShapeError: fewer targets than outputs.

    >>> float(loss_op([np.ones((1, 1))] * 4, np.zeros(4), {"loss_fn": "l2"}))
    2.0
    """
    name = setting(training_params, "loss_fn", "training_params")
    kind = name.lower() if isinstance(name, str) else name
    if kind not in LOSSES:
        raise OptionError(unknown("loss_fn", name, LOSSES))
    parts = list(o) if isinstance(o, (list, tuple)) else o
    own: Any = np if all(isinstance(part, (np.ndarray, float)) for part in [*parts[:1], z]) else jnp
    outputs = own.asarray(parts)
    outputs = outputs.reshape(outputs.shape[0], -1)
    targets = own.asarray(z)
    targets = targets.reshape(-1, 1) if outputs.shape[1] == 1 else targets
    if targets.ndim != 2 or targets.shape[1] != outputs.shape[1] or len(targets) not in (len(parts), len(parts) + 1):
        raise ShapeError(f"z: got shape {np.shape(z)} for {len(parts)} outputs of {outputs.shape[1]} units.")
    return trial_loss(outputs - targets[: len(parts)], kind, own)


def trial_loss(error: Any, kind: str, own: Any = jnp) -> Any:
    """Return the loss of one trial from its errors `(rows, outputs)`.

    Arguments:
        error: outputs less targets, `(rows, outputs)`.
        kind: `"l1"` or `"l2"`.
        own: `jax.numpy` or `numpy`.

    Returns:
        Sum of absolute errors, or root of the sum of squares.

    >>> float(trial_loss(np.array([[3.0], [4.0]]), "l2", np))
    5.0
    """
    if kind == "l1":
        return own.sum(own.abs(error))
    total = own.sum(error**2)
    if own is np:
        return np.sqrt(total)
    # The root has no derivative at 0, where nothing is left to learn.
    return jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1.0)), 0.0)


def eval_rnn(
    net: FR_RNN_dale, settings: Mapping[str, Any], u: ArrayLike, device: object = None, *, seed: int = 0,
    noise: str | ArrayLike = "kim",
) -> tuple[list[float], list[np.ndarray], list[np.ndarray]]:  # fmt: skip
    """Run a trained network on one trial, with its own time constants and activation.

    Arguments:
        net: the network.
        settings: with the number of rows `T` and the step `DeltaT`.
        u: the stimulus, `(inputs, T)`.
        device: where to compute; the network's own if `None`.
        seed, noise: as for `FR_RNN_dale.simulate`.

    Returns:
        T - 1 outputs (numbers, or arrays if there are several), and T arrays `(N, 1)` of rates and of currents.

    Raises:
        OptionError: `net` is no FR_RNN_dale.

    >>> net = FR_RNN_dale(5, 0.2, 0.5, np.ones((5, 1)), 0, "gaus", 1.5, True, np.ones((1, 5)))
    >>> o, r, x = eval_rnn(net, {"T": 10, "DeltaT": 1}, np.zeros((1, 10)))
    >>> len(o), r[0].shape
    (9, (5, 1))
    """
    if not isinstance(net, FR_RNN_dale):
        raise OptionError(f"eval_rnn: expected a FR_RNN_dale, got {type(net).__name__}.")
    placed = copy.copy(net)
    placed.device = net.device if device is None else device
    params = {"activation": net.activation}
    _, x, r, o, *_ = placed.forward(u, net.taus, params, settings, seed=seed, noise=noise)
    flat = [float(row[0, 0]) if row.size == 1 else row[:, 0] for row in o]
    return flat, r, x  # type: ignore[return-value]


guard(globals(), ["FR_RNN_dale", "eval_rnn", "loss_op"])
