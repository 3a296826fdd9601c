"""From a fit of coupled neurons back to activity: simulate it, judge its stability, put it into a network."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from recurra.engine import Emission, Graph, Rule
from recurra.engine.grid import count_steps
from recurra.engine.series import align, time_axis
from recurra.errors import CapabilityError, MissingPackageError, OptionError, ShapeError, unknown
from recurra.glm.chunks import ChunkedData, spike_chunks
from recurra.glm.coupled import Coupled
from recurra.glm.design import _is_tree
from recurra.glm.pynapple_series import aligned, as_given, epoch_starts, like, values_of
from recurra.glm.recording import (
    Past,
    Recording,
    agreed,
    column_labels,
    past_options,
    read_bin_size,
    read_inputs,
    read_recording,
)
from recurra.glm.simulation import COUNT_LIMIT, VALUE_LIMIT, simulate_recurrent
from recurra.glm.stabilising import read_bound, stabilise_fit
from recurra.glm.stability import StabilityReport, analyse_stability
from recurra.glm.whole import whole_fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from networkx import DiGraph  # pyright: ignore[reportMissingImports]
    from xarray import Dataset

COUPLING, INPUTS = "coupling", "inputs"


class CoupledMixin:
    """What a population can do whose features are its own filtered past; see :class:`PopulationGLM`."""

    coef_: Any
    intercept_: np.ndarray
    scale_: np.ndarray
    null_rate_: np.ndarray
    coupling_basis_: np.ndarray
    coupling_options_: dict[str, int]
    neuron_labels_: np.ndarray
    input_labels_: np.ndarray
    bin_size_: float | None
    stabilised_: float

    def fit_spikes(
        self,
        counts: ArrayLike,
        basis: Any,
        inputs: ArrayLike | None = None,
        *,
        bin_size: float | None = None,
        rows: int | None = None,
        stabilise: bool | float = False,
        **fit: Any,
    ) -> Any:
        """Fit the population to its own past, and to inputs: the counts alone are enough.

        Arguments:
            counts: `(time, neurons)`, such as a recording of spikes in a network; a DataFrame or a TsdFrame of pynapple
                gives the neurons its names, and the latter its bin size.
            basis: a basis for convolution, of which every pair of neurons gets a filter, such as
                `basis.RaisedCosineLogConv(8, window_size=80)`; the first `window_size` bins (of each epoch) do not
                count.
            inputs: features `(time, inputs)` that drive the neurons, as they are.
            bin_size: length of a bin in seconds, for `simulate(duration=)`.
            rows: make the features of so many bins at a time and never all of them, by `fit_chunks`: for recordings
                whose features are larger than memory. `None` makes all of them at once.
            stabilise: weaken the coupling after the fit as far as the spectral radius of `stability()` is above this
                bound; `True` is 0.99. See :func:`recurra.glm.stabilising.stabilise`.
            fit: passed to `fit`, such as `sample_weight` and `offset`; with `rows` these two only.

        Returns:
            The estimator itself; X was `{"coupling": ..., "inputs": ...}` (see :meth:`features`). It keeps the filters,
            the names of neurons and inputs, and the length of a bin: `predict`, `score` and all else that takes
            features takes such a recording as well, with `inputs=`.

        Raises:
            RecurraError: something given does not fit.
        """
        bound = read_bound(stabilise)
        if not hasattr(basis, "kernel_"):
            raise OptionError(
                f"basis: expected one for convolution, such as RaisedCosineLogConv(8, window_size=80); got {basis!r}."
            )
        with jax.enable_x64(True):
            past = Past(np.asarray(basis.kernel_, float), past_options(basis))
        with whole_fit(self):
            self._fit_recording(read_recording(counts, bin_size), inputs, past, rows, bound, fit)
        return self

    def fit_spikes_as(self, model: Any, counts: ArrayLike, inputs: ArrayLike | None = None, **fit: Any) -> Any:
        """Fit the population to a recording with the filters of a model that :meth:`fit_spikes` has fitted.

        Arguments:
            model: the other model; it is not changed.
            counts, inputs, fit: as for :meth:`fit_spikes`.

        Returns:
            The estimator itself.
        """
        model.coupling()
        past = Past(model.coupling_basis_, model.coupling_options_)
        with whole_fit(self):
            self._fit_recording(read_recording(counts, model.bin_size_), inputs, past, None, None, fit)
        return self

    def _fit_recording(
        self, recording: Recording, inputs: Any, past: Past, rows: int | None, bound: float | None, fit: dict
    ) -> None:
        aligned(recording.given, inputs, *fit.values(), where="counts and inputs")
        given = None if inputs is None else read_inputs(inputs, len(recording.counts))
        chunks: Any
        if rows is None:
            y = np.asarray(recording.counts, float)
            features = past.features(recording, None)
            if given is not None:
                features[INPUTS] = given
            self.fit(features, y, **fit)  # type: ignore[attr-defined]
            chunks = [(features, y, fit.get("sample_weight"), fit.get("offset"))]
        else:
            chunks = self._in_chunks(recording, past, given, rows, fit)
            self.fit_chunks(chunks)  # type: ignore[attr-defined]
        self.coupling_basis_, self.coupling_options_ = past.kernel, dict(past.options)
        self.neuron_labels_, self.bin_size_ = recording.labels, recording.bin_size
        names = [f"coupling[{j}, {m}]" for j in recording.labels for m in range(past.kernel.shape[1])]
        if given is not None:
            self.input_labels_ = column_labels(inputs, given.shape[1])
            names += [f"inputs[{k}]" for k in self.input_labels_]
        if bound is not None:
            stabilise_fit(self, chunks, bound)  # type: ignore[arg-type]
        self.feature_labels_ = np.array(names, str)

    def _in_chunks(
        self, recording: Recording, past: Past, inputs: np.ndarray | None, rows: int, fit: dict
    ) -> ChunkedData:
        for name in fit:
            if name not in ("sample_weight", "offset"):
                raise OptionError(unknown("option of a fit in chunks", name, ["sample_weight", "offset"], "fit_spikes"))
        return spike_chunks(
            recording.counts,
            past.kernel,
            inputs,
            rows,
            values_of(fit.get("sample_weight")),
            self.precision,  # type: ignore[attr-defined]
            values_of(fit.get("offset")),
            epoch_starts(recording.series),
        )

    def features(self, counts: ArrayLike, inputs: ArrayLike | None = None) -> dict[str, Any]:
        """Return the features of a recording that the fit had: the filtered past of all neurons, and inputs.

        No filter reaches from one epoch of a series of pynapple into the next.

        Arguments:
            counts: `(time, neurons)`, as for :meth:`fit_spikes`.
            inputs: `(time, inputs)`, if the fit had some.

        Returns:
            `{"coupling": (time, neurons * functions), "inputs": (time, inputs)}`; TsdFrames if counts is one.

        Raises:
            CapabilityError: the model was not fitted by `fit_spikes`.
            RecurraError: something given does not fit.
        """
        self.coupling()
        recording = read_recording(counts, None)
        series = aligned(counts, inputs, where="counts and inputs")
        neurons = len(self.intercept_)
        if recording.counts.shape[1] != neurons:
            raise ShapeError(f"counts: it has {recording.counts.shape[1]} neurons, but the fit had {neurons}.")
        named = hasattr(counts, "columns") and recording.labels.dtype.kind == self.neuron_labels_.dtype.kind
        if named and not np.array_equal(recording.labels, self.neuron_labels_):
            raise OptionError(
                f"counts: its neurons are {recording.labels.tolist()}, but those of the fit were"
                f" {self.neuron_labels_.tolist()}, in this order."
            )
        weights = self.coef_.get(INPUTS)
        if (weights is None) != (inputs is None):
            raise OptionError(f"inputs: the fit had {'none' if weights is None else 'some'}; give the same here.")
        found = Past(self.coupling_basis_, self.coupling_options_).features(recording, series)
        if weights is not None:
            given = read_inputs(inputs, len(recording.counts), len(weights))
            found[INPUTS] = given if series is None else like(series, given)  # type: ignore[arg-type]
        return found

    def _given(self, X: Any, y: Any, inputs: Any) -> tuple[Any, Any]:
        if hasattr(self, "coupling_basis_") and not _is_tree(X):
            return self.features(X, inputs), X if y is None else y
        if inputs is not None:
            raise OptionError("inputs: they go with a recording, for a model that fit_spikes has fitted; X has features"
                              " already.")  # fmt: skip
        return X, y

    def coupling(self) -> np.ndarray:
        """Return the coefficients of the filters between neurons, `(receiver, sender, functions)`."""
        check_is_fitted(self)  # type: ignore[arg-type]
        known = hasattr(self, "coupling_basis_") and isinstance(self.coef_, dict) and COUPLING in self.coef_
        if not known:
            raise CapabilityError(
                "the model does not know which features are its own past: fit it with fit_spikes(counts, basis)."
            )
        neurons, functions = len(self.intercept_), self.coupling_basis_.shape[1]
        return self.coef_[COUPLING].T.reshape(neurons, neurons, functions)

    def coupling_filters(self) -> np.ndarray:
        """Return what a spike adds to the linear predictor at each lag, `(lags, receiver, sender)`; row 0 is lag 1."""
        coupling = self.coupling()
        return np.einsum("lm,ijm->lij", self.coupling_basis_, coupling)

    def coupling_weights(self) -> np.ndarray:
        """Return the sum of each filter over its lags, `W[receiver, sender]`."""
        return self.coupling_filters().sum(axis=0)

    def coupling_xarray(self) -> Dataset:
        """Return the coupling with its labels, as a Dataset of xarray.

        Returns:
            `weights` (receiver, sender), `filters` (lag, receiver, sender), `intercept` and `rate` (receiver). Lags are
            in seconds if the size of a bin is known, in bins otherwise.
        """
        import xarray

        filters, bin_size = self.coupling_filters(), self.bin_size_
        lags = np.arange(1, len(filters) + 1) * (1 if bin_size is None else bin_size)
        found = xarray.Dataset(
            {
                "weights": (("receiver", "sender"), filters.sum(axis=0)),
                "filters": (("lag", "receiver", "sender"), filters),
                "intercept": ("receiver", np.asarray(self.intercept_)),
                "rate": ("receiver", np.asarray(self.null_rate_)),
            },
            {"lag": lags, "receiver": self.neuron_labels_, "sender": self.neuron_labels_},
        )
        found["lag"].attrs["units"] = "bins" if bin_size is None else "s"
        return found

    def coupling_graph(self, threshold: float = 0.0) -> DiGraph:
        """Return the coupling as a directed graph of networkx, from sender to receiver.

        Arguments:
            threshold: edges with a summed filter of at most this size are left out; so are those of 0 in any case.

        Returns:
            The graph; nodes have their names and a `rate`, edges a `weight` (the summed filter) and a `filter`,
            `(lags,)`.

        Raises:
            MissingPackageError: networkx is not installed.
        """
        try:
            import networkx  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise MissingPackageError(
                "coupling_graph: networkx is not installed; pip install recurra[graphs], or take coupling_weights()."
            ) from None
        filters, names = self.coupling_filters(), self.neuron_labels_.tolist()
        weights = filters.sum(axis=0)
        graph = networkx.DiGraph()
        for name, rate in zip(names, self.null_rate_.tolist(), strict=True):
            graph.add_node(name, rate=rate)
        for i, j in np.argwhere((np.abs(weights) > threshold) & filters.any(axis=0)):
            graph.add_edge(names[j], names[i], weight=float(weights[i, j]), filter=filters[:, i, j].copy())
        return graph

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
        steps: int | None = None,
        *,
        duration: float | None = None,
        bin_size: float | None = None,
        inputs: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        history: ArrayLike | None = None,
        trials: int | None = None,
        seed: int = 0,
        on_runaway: str = "warn",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let the fitted neurons run, each hearing the others and itself through the fitted filters.

        Arguments:
            steps: number of bins; or give a duration, or leave both out if inputs say it.
            duration: in seconds, instead of steps; a whole number of bins.
            bin_size: length of a bin in seconds, if `fit_spikes` was not told.
            inputs: features `(steps, inputs)`, if the fit had some; with a series of pynapple the results are such, and
                each of its epochs begins anew, from the history.
            offset: added to the linear predictors, a number, `(steps,)` or `(steps, neurons)`, if the fit had one.
            history: what was observed before, `(window, neurons)`, oldest row first; silence if `None`.
            trials: number of independent trials; adds a first axis.
            seed: of the draws.
            on_runaway: `"warn"`, `"raise"` or `"ignore"` if activity runs away.

        Returns:
            Counts and rates, each `(steps, neurons)`.

        Raises:
            RecurraError: something given does not fit.
        """
        self.coupling()
        series, size = aligned(inputs, offset, where="inputs and offset"), agreed(self.bin_size_, bin_size)
        steps = self._steps(steps, duration, size, inputs if inputs is not None else offset)
        neurons = len(self.intercept_)
        weights = self.coef_.get(INPUTS)
        if (weights is None) != (inputs is None):
            raise OptionError(f"inputs: the fit had {'none' if weights is None else 'some'}; give simulate the same.")
        drive = None if weights is None else read_inputs(inputs, steps, len(weights), "(steps, inputs)") @ weights
        added = self._offset(offset, steps, neurons, False)  # type: ignore[attr-defined]
        if added is not None:
            drive = np.broadcast_to(added[..., 0], (steps, neurons)) + (0 if drive is None else drive)
        before = None if history is None else time_axis(history, "history")
        if before is not None and before[0] is not None and size is not None:
            align(*before, size, float(before[0][0]), None, "history")
        past = np.zeros((len(self.coupling_basis_), neurons)) if history is None else np.asarray(history, float)
        starts, key = epoch_starts(series), jax.random.key(seed)
        ends = [0, *np.flatnonzero(starts)[1:], steps] if starts is not None else [0, steps]
        _check_bins(inputs, size, ends, "inputs")
        _check_bins(offset, size, ends, "offset")
        found = []
        for k, (start, end) in enumerate(itertools.pairwise(ends)):
            part = int(end - start) if drive is None else drive[start:end]
            found.append(self._run(part, key if k == 0 else jax.random.fold_in(key, k), past, trials, on_runaway))
        y, rate = (np.concatenate(parts, axis=-2) for parts in zip(*found, strict=True))
        return (y, rate) if trials is not None else (as_given(series, y), as_given(series, rate))

    def _run(
        self, drive: np.ndarray | int, key: Any, history: np.ndarray, trials: int | None, on_runaway: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Simulate one epoch: with what is added to the linear predictors, `(steps, neurons)`, or so many bins."""
        family = self._plan().family  # type: ignore[attr-defined]
        free = isinstance(drive, int)
        with jax.enable_x64(True):
            y, rate = simulate_recurrent(
                self.coupling(),
                # One input for each neuron: its linear predictor, so that nothing of (time, neurons, inputs) is made.
                None if free else np.ones((len(self.intercept_), 1)),
                self.intercept_,
                key,
                None if free else drive[:, :, None],
                self.coupling_basis_,
                history,
                family.link,
                observation_model=family.observation,
                scale=self.scale_,
                n_time_bins=drive if free else None,
                trials=trials,
                on_runaway=on_runaway,
            )
        return np.asarray(y), np.asarray(rate)

    def _steps(self, steps: Any, duration: float | None, bin_size: float | None, inputs: Any) -> int:
        if steps is not None and duration is not None:
            raise OptionError("simulate: give either steps or a duration, not both.")
        if duration is not None:
            if bin_size is None:
                raise OptionError("duration: the length of a bin is not known; give bin_size= here or to fit_spikes.")
            return count_steps(duration, bin_size)
        if steps is None and np.ndim(values_of(inputs)) > 0:
            return len(values_of(inputs))
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise OptionError(f"steps: expected a whole number of bins of at least 1, got {steps!r}.")
        return int(steps)

    def stability(self) -> StabilityReport:
        """Say whether the coupled neurons stay quiet; see :func:`analyse_stability`. Inputs are left out."""
        link = self._plan().family.link  # type: ignore[attr-defined]
        around = {"drive": self.mean_offset(), "rates": self.null_rate_}
        return analyse_stability(self.coupling(), self.coupling_basis_, self.intercept_, link, **around)

    def mean_offset(self) -> np.ndarray:
        """Return the mean of the offset of the fit, `(neurons,)`; 0 if it had none."""
        return getattr(self, "mean_offset_", np.zeros(len(self.intercept_)))

    def to_graph(self, *, bin_size: float | None = None) -> Graph:
        """Return the population as a graph of the engine: one rule, with input `drive` and state `spikes`.

        What arrives at `drive` adds to the linear predictors, `(neurons,)`, as an offset does. If the fit had inputs
        there is an input `inputs`, `(inputs,)`, as well, which acts through the fitted weights and is what is fed where
        nobody says otherwise. `spikes` is what was observed last, and `rate` the mean, both to be recorded. One step is
        one bin.

        Arguments:
            bin_size: length of a bin in the unit of time of whatever runs the graph, which then refuses other steps;
                by default that of the fit, in seconds, and if it is not known, any step is a bin.
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
        emits = {"rate": Emission((neurons,), np.dtype("float64"), early=True)}
        inputs, weights = {"drive": np.zeros(neurons)}, self.coef_.get(INPUTS)
        if weights is not None:
            params["input_weights"] = np.asarray(weights, float)
            inputs["inputs"] = np.zeros(len(weights))
        rule = Rule(_Step(way), state, params, inputs, emits, f"coupled GLM of {neurons} neurons")
        size = getattr(self, "bin_size_", None) if bin_size is None else read_bin_size(bin_size)
        fed = "glm/drive" if weights is None else "glm/inputs"
        return Graph({"glm": rule}, name="GLM", input=fed, output="glm/spikes", dt=size)

    def to_node(self, net: Any, label: str, *, bin_size: float | None = None) -> Any:
        """Add the population to a Network as a node that receives at `drive` and sends `spikes`.

        Arguments:
            net: a :class:`recurra.Network` whose dt is the length of a bin.
            label: the name of the node.
            bin_size: length of a bin in the network's unit of time, see :meth:`to_graph`.

        Returns:
            The node; what the network is fed goes to the inputs of the fit, if it had some, through the fitted weights.

        Raises:
            TimeError: the network has another step.
        """
        return net.add_node(label, self.to_graph(bin_size=bin_size))


def _check_bins(series: Any, size: float | None, ends: list[int], where: str) -> None:
    """Refuse a series whose samples are not a bin apart; epochs begin anywhere, but have bins of one length."""
    found = time_axis(series, where)
    if found is None or size is None:
        return
    times, values = found
    if times is None or len(times) != ends[-1]:
        return
    for start, end in itertools.pairwise(ends):
        align(times[start:end], values[start:end], size, float(times[start]), int(end - start), where)


class _Step:
    """Call a step of coupled neurons; equal for equal neurons, so that equal networks share compiled code."""

    def __init__(self, way: Coupled):
        self.way = way

    def __call__(self, state: Any, params: Any, inputs: Any, clock: Any) -> tuple[dict, dict]:
        drive = inputs["drive"]
        if "input_weights" in params:
            drive = drive + inputs["inputs"] @ params["input_weights"]
        after, told = self.way.step(state, params, {"drive": drive}, clock)
        return after, {"rate": told["rate"]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Step) and other.way == self.way

    def __hash__(self) -> int:
        return hash(self.way)
