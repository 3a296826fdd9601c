"""Find the scaling factor with which a spiking network does what its rate network does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.engine import simulate
from recurra.engine.interrupts import interruptible
from recurra.errors import OptionError
from recurra.rate.model import FR_RNN_dale
from recurra.rate.streams import seed_for
from recurra.rate.tasks import AbstractTask, Task
from recurra.rate.tasks.base import as_task
from recurra.spiking.network import LABEL, SpikingNetwork, convert
from recurra.spiking.parameters import SpikingParameters, Stimulation

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

FACTORS = tuple(range(20, 80, 5))  # Kim, Li & Sejnowski 2019: 20, 25, ..., 75
DRIVES = np.linspace(-6.0, 6.0, 25)


@dataclass(frozen=True, eq=False)
class ScalingSearch:
    """Hold the accuracy at every scaling factor.

    Arguments:
        factors: `(factors,)`.
        right: which trials were answered rightly, `(factors, trials)`.
        guess: the factor that f-I curves predict.
        network: the spiking network with the best factor.

    >>> right = np.array([[True, False], [True, True], [False, False]])
    >>> ScalingSearch(np.array([20.0, 40.0, 60.0]), right, 38.0, None).accuracy.tolist()
    [0.5, 1.0, 0.0]
    """

    factors: np.ndarray
    right: np.ndarray
    guess: float
    network: SpikingNetwork

    @property
    def accuracy(self) -> np.ndarray:
        """Part of right answers at each factor, `(factors,)`."""
        return self.right.mean(axis=1)

    @property
    def best(self) -> float:
        """The factor with the most right answers; among equals the one in their middle."""
        return float(self.factors[best_of(self.accuracy)])

    def to_dataframe(self) -> pandas.DataFrame:
        """Return accuracy and its standard error by factor."""
        import pandas

        error = np.sqrt(self.accuracy * (1 - self.accuracy) / self.right.shape[1])
        return pandas.DataFrame(
            {"accuracy": self.accuracy, "error": error}, index=pandas.Index(self.factors, name="factor")
        )

    def to_mat(self) -> dict[str, Any]:
        """Return the arrays that the published code adds to a `.mat` file; see :func:`recurra.rate.files.save_net`."""
        return {"opt_scaling_factor": self.best, "all_perfs": self.accuracy, "scaling_factors": self.factors}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw accuracy over the scaling factor.

        Arguments:
            ax: the axes to draw on; `None` makes a figure.
        """
        from recurra.spiking.pictures import plot_search

        return plot_search(self, ax)

    def __repr__(self) -> str:
        return f"ScalingSearch(best {self.best:g} with {self.accuracy.max():.3f}, guess {self.guess:.3g})"


def best_of(accuracy: np.ndarray) -> int:
    """Return the position of the largest number; among equals the one in their middle.

    >>> best_of(np.array([0.5, 1.0, 1.0, 1.0, 0.7]))
    2
    """
    equal = np.flatnonzero(accuracy == accuracy.max())
    return int(equal[len(equal) // 2])


def scaling_search(
    net: FR_RNN_dale,
    task: Task | AbstractTask,
    *,
    factors: ArrayLike = FACTORS,
    trials: int = 100,
    parameters: SpikingParameters | None = None,
    stimulation: Stimulation | None = None,
    use_initial_weights: bool = False,
    batch: int = 20,
    seed: int = 0,
    precision: str = "float32",
) -> ScalingSearch:
    """Try scaling factors on the same trials with the same noise, in one compiled call.

    Arguments:
        net: the rate network.
        task: what it was trained on; answers are judged by `SpikingNetwork.judge`.
        factors: which to try.
        trials: how many trials at each.
        parameters, use_initial_weights: as for :func:`convert`.
        stimulation: light.
        batch: trials that run at once, at all factors.
        seed: of trials and noise: others than those of a training or an evaluation with the same seed.
        precision: `"float32"` or `"float64"`.

    Returns:
        The whole curve, and the network with the best factor.

    Raises:
        OptionError: factors that are not positive.
        ShapeError: the task does not fit the network.

    >>> from recurra.rate.model import FR_RNN_dale
    >>> net = FR_RNN_dale(20, 0.2, 0.5, np.ones((20, 1)), 0, "gaus", 1.5, True, np.ones((1, 20)), seed=1)
    >>> from recurra.rate.tasks import GoNoGo
    >>> scaling_search(net, GoNoGo(), factors=[20, 40], trials=2).accuracy.shape
    (2,)
    """
    scales = np.asarray(factors, float).reshape(-1)
    if scales.size == 0 or not np.all((scales > 0) & np.isfinite(scales)):
        raise OptionError(f"factors: expected numbers > 0, got {factors!r}.")
    network = convert(net, scales[0], parameters, use_initial_weights=use_initial_weights)
    task, address = as_task(task, "scaling_search"), seed_for("search", seed)
    given = task.trials(trials, address)
    outputs = network.respond_scaled(given, scales, address, stimulation, batch, precision)
    right = np.stack([network.judge(task, one, given) for one in outputs])
    best = float(scales[best_of(right.mean(axis=1))])
    return ScalingSearch(scales, right, guess_scale(network.parameters), network.with_scale(best))


@dataclass(frozen=True, eq=False)
class RateCurve:
    """Hold how often a single unit fires at constant drives.

    Arguments:
        drives: `(drives,)`, in mV above the bias.
        rates: `(drives,)`, in Hz.
    """

    drives: np.ndarray = field(repr=False)
    rates: np.ndarray = field(repr=False)


def rate_curve(
    parameters: SpikingParameters | None = None, drives: ArrayLike = DRIVES, *, duration: float = 4000.0, seed: int = 0
) -> RateCurve:
    """Measure the f-I curve of an isolated unit with its noise.

    Arguments:
        parameters: of the unit.
        drives: constant drives, in mV above the bias.
        duration: of the measurement, in ms.
        seed: of the noise.

    Returns:
        Drives and the rates they cause, in Hz.

    >>> curve = rate_curve(drives=[-5.0, 5.0], duration=500.0)
    >>> bool(curve.rates[0] < 5 < curve.rates[1])
    True
    """
    p, steady = parameters or SpikingParameters(), np.asarray(drives, float).reshape(-1)
    size = steady.size
    zeros = np.zeros((size, size))
    kinds = np.zeros((size, 1), bool)
    alone = SpikingNetwork(zeros, np.zeros((size, 1)), zeros[:1], np.full(size, 10.0), kinds, 1.0, p)
    program = alone.to_program()
    steps = round(duration / p.dt)
    with interruptible():  # a part of the run is no measurement
        result = simulate(
            program, steps * p.dt, dt=p.dt, inputs={f"{LABEL}/current": np.tile(steady, (steps, 1))}, seed=seed,
            record={"spikes": f"{LABEL}/spikes"}, progress=False,
        )  # fmt: skip
    return RateCurve(steady, result["spikes"].sum(axis=0) / (duration / 1000.0))


def guess_scale(parameters: SpikingParameters | None = None, *, seed: int = 0) -> float:
    """Return the scaling factor that makes the f-I curve most like a logistic function.

    Least squares for f(x) = s sigmoid(x) over drives from -6 to 6 mV: where a unit of rate stands for s spikes per
    second, a spiking unit answers its drive as the rate unit does.

    Arguments:
        parameters: of the units.
        seed: of the noise in the measurement.

    Returns:
        The factor.

    >>> 30 < guess_scale() < 60
    True
    """
    curve = rate_curve(parameters, seed=seed)
    logistic = 1 / (1 + np.exp(-curve.drives))
    return float(curve.rates @ logistic / (logistic @ logistic))
