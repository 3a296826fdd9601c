"""From a fit of coupled neurons back to activity: simulate it, judge its stability, put it into a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from recurra.engine import Emission, Graph, Rule
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm.coupled import Coupled
from recurra.glm.simulation import COUNT_LIMIT, VALUE_LIMIT, simulate_recurrent
from recurra.glm.stability import StabilityReport, analyse_stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUPLING, INPUTS = "coupling", "inputs"


class CoupledMixin:
    """What a population can do whose features are its own filtered past; see :class:`PopulationGLM`."""

    coef_: Any
    intercept_: np.ndarray
    scale_: np.ndarray
    null_rate_: np.ndarray
    coupling_basis_: np.ndarray

    def fit_spikes(self, counts: ArrayLike, basis: Any, inputs: ArrayLike | None = None, **fit: Any) -> Any:
        """Fit the population to its own past, and to inputs: the counts alone are enough.

        Arguments:
            counts: `(time, neurons)`, such as a recording of spikes in a network.
            basis: a basis for convolution, of which every pair of neurons gets a filter, such as
                `basis.RaisedCosineLogConv(8, window_size=80)`; the first `window_size` bins do not count.
            inputs: features `(time, inputs)` that drive the neurons, as they are.
            fit: passed to `fit`, such as `sample_weight`.

        Returns:
            The estimator itself; X was `{"coupling": ..., "inputs": ...}`, and `coupling_basis_` keeps the filters.

        Raises:
            RecurraError: something given does not fit.
        """
        y = np.asarray(counts, float)
        if y.ndim != 2:
            raise ShapeError(f"counts: expected (time, neurons), got shape {y.shape}.")
        if not hasattr(basis, "kernel_"):
            raise OptionError(
                f"basis: expected one for convolution, such as RaisedCosineLogConv(8, window_size=80); got {basis!r}."
            )
        with jax.enable_x64(True):
            features = {COUPLING: np.asarray(basis.compute_features(y), float).reshape(len(y), -1)}
            kernel = np.asarray(basis.kernel_, float)
        if inputs is not None:
            features[INPUTS] = np.asarray(inputs, float)
        self.fit(features, y, **fit)  # type: ignore[attr-defined]
        self.coupling_basis_ = kernel
        return self

    def coupling(self) -> np.ndarray:
        """Return the coefficients of the filters between neurons, `(receiver, sender, functions)`."""
        check_is_fitted(self)  # type: ignore[arg-type]
        if not hasattr(self, "coupling_basis_"):
            raise CapabilityError(
                "the model does not know which features are its own past: fit it with fit_spikes(counts, basis)."
            )
        neurons, functions = len(self.intercept_), self.coupling_basis_.shape[1]
        return self.coef_[COUPLING].T.reshape(neurons, neurons, functions)

    def coupling_filters(self) -> np.ndarray:
        """Return what a spike adds to the linear predictor at each lag, `(lags, receiver, sender)`; row 0 is lag 1."""
        return np.einsum("lm,ijm->lij", self.coupling_basis_, self.coupling())

    def coupling_weights(self) -> np.ndarray:
        """Return the sum of each filter over its lags, `W[receiver, sender]`."""
        return self.coupling_filters().sum(axis=0)

    def plot_coupling(self, ax: Axes | None = None) -> Any:
        """Draw the matrix of the summed filters, red for more and blue for fewer spikes.

        Arguments:
            ax: the axes to draw on; `None` makes a figure.

        Returns:
            The axes.
        """
        import matplotlib.pyplot as plt

        weights = self.coupling_weights()
        if ax is None:
            ax = plt.subplots(figsize=(5.0, 4.2), layout="constrained")[1]
        limit = float(np.abs(weights).max()) or 1.0
        picture = ax.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set(xlabel="from neuron", ylabel="to neuron")
        ax.figure.colorbar(picture, ax=ax, label="summed filter")
        return ax

    def simulate(
        self,
        steps: int,
        *,
        inputs: ArrayLike | None = None,
        history: ArrayLike | None = None,
        trials: int | None = None,
        seed: int = 0,
        on_runaway: str = "warn",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let the fitted neurons run, each hearing the others and itself through the fitted filters.

        Arguments:
            steps: number of bins.
            inputs: features `(steps, inputs)`, if the fit had some.
            history: what was observed before, `(window, neurons)`, oldest row first; silence if `None`.
            trials: number of independent trials; adds a first axis.
            seed: of the draws.
            on_runaway: `"warn"`, `"raise"` or `"ignore"` if activity runs away.

        Returns:
            Counts and rates, each `(steps, neurons)`.

        Raises:
            RecurraError: something given does not fit.
        """
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise OptionError(f"steps: expected a whole number of bins of at least 1, got {steps!r}.")
        coupling, neurons = self.coupling(), len(self.intercept_)
        family = self._plan().family  # type: ignore[attr-defined]
        weights = self.coef_.get(INPUTS)
        if (weights is None) != (inputs is None):
            raise OptionError(f"inputs: the fit had {'none' if weights is None else 'some'}; give simulate the same.")
        drive, wide = None, None
        if weights is not None:
            given = np.asarray(inputs, float)
            if given.shape != (steps, len(weights)):
                expected = f"(steps, inputs) = ({steps}, {len(weights)})"
                raise ShapeError(f"inputs: got shape {given.shape}, expected {expected}.")
            # One input for each neuron: its linear predictor, so that nothing of (time, neurons, inputs) is made.
            drive, wide = (given @ weights)[:, :, None], np.ones((neurons, 1))
        past = np.zeros((len(self.coupling_basis_), neurons)) if history is None else np.asarray(history, float)
        with jax.enable_x64(True):
            y, rate = simulate_recurrent(
                coupling,
                wide,
                self.intercept_,
                jax.random.key(seed),
                drive,
                self.coupling_basis_,
                past,
                family.link,
                observation_model=family.observation,
                scale=self.scale_,
                n_time_bins=int(steps) if drive is None else None,
                trials=trials,
                on_runaway=on_runaway,
            )
            return np.asarray(y), np.asarray(rate)

    def stability(self) -> StabilityReport:
        """Say whether the coupled neurons stay quiet; see :func:`analyse_stability`. Inputs are left out."""
        link = self._plan().family.link  # type: ignore[attr-defined]
        return analyse_stability(
            self.coupling(), self.coupling_basis_, self.intercept_, link, rates=self.null_rate_
        )

    def to_graph(self) -> Graph:
        """Return the population as a graph of the engine: one rule, with input `drive` and state `spikes`.

        What arrives at `drive` adds to the linear predictors, `(neurons,)`; `spikes` is what was observed last, and
        `rate` the mean, both to be recorded. One step is one bin.
        """
        family = self._plan().family  # type: ignore[attr-defined]
        neurons = len(self.intercept_)
        limit = COUNT_LIMIT if Coupled(family.link, family.observation, 0.0).counts else VALUE_LIMIT
        way = Coupled(family.link, family.observation, limit)
        with jax.enable_x64(True):
            arrays = (jnp.asarray(a) for a in (self.coupling(), self.coupling_basis_, self.intercept_, self.scale_))
            coupling, kernel, intercept, scale = arrays
            params = {k: np.asarray(v) for k, v in way.parameters(coupling, kernel, intercept, scale).items()}
            begin = way.start(coupling, kernel, jnp.zeros((len(kernel), neurons)))
            state = {k: np.asarray(v) for k, v in begin.items()} | {"spikes": np.zeros(neurons)}
        emits = {"rate": Emission((neurons,), np.dtype("float64"))}
        rule = Rule(
            _Step(way), state, params, {"drive": np.zeros(neurons)}, emits, f"coupled GLM of {neurons} neurons"
        )
        return Graph({"glm": rule})

    def to_node(self, net: Any, label: str) -> Any:
        """Add the population to a Network as a node that receives at `drive` and sends `spikes`.

        Arguments:
            net: a :class:`recurra.Network` whose dt is the length of a bin.
            label: the name of the node.

        Returns:
            The node.
        """
        return net.add_node(label, self.to_graph())


class _Step:
    """Call a step of coupled neurons; equal for equal neurons, so that equal networks share compiled code."""

    def __init__(self, way: Coupled):
        self.way = way

    def __call__(self, state: Any, params: Any, inputs: Any, clock: Any) -> tuple[dict, dict]:
        after, told = self.way.step(state, params, inputs, clock)
        return after, {"rate": told["rate"]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Step) and other.way == self.way

    def __hash__(self) -> int:
        return hash(self.way)
