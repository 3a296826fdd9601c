"""Behaviors that keep activity and weights within bounds; behaviors of neuron groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.behaviors.conventions import (
    begin,
    check_sums,
    decay,
    keep,
    keep_wide,
    positive,
    time_step,
    weights,
    whole_number,
)
from recurra.errors import OptionError
from recurra.groups import Behavior
from recurra.groups.behavior import check_length
from recurra.groups.expressions import read_expression


class IntrinsicHomeostasis(Behavior):
    """Move the threshold of each neuron until it fires at a rate of its own.

    `threshold += learning_rate (spike - rate dt)` in each step. Source: Desai, Rutherford and Turrigiano (1999); the
    rule is that of Lazar, Pipa and Triesch (2009).

    Arguments:
        rate: wanted, in Hz; a text gives each neuron its own.
        learning_rate: by how much a spike moves the threshold (unit of the threshold).
        variable: what is moved; `"threshold"` by default.
        dt: step (ms).

    >>> from recurra.behaviors import BinaryUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> rule = IntrinsicHomeostasis(rate=100.0, learning_rate=0.5)
    >>> cells = NeuronGroup(net, 1, behavior={1: BinaryUnits(I_ext=2.0), 2: rule})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> cells.threshold.round(3).tolist()
    [0.95]
    """

    def initialize(self, neurons: Any) -> None:
        """Read what is wanted."""
        dt = time_step(self, neurons)
        self.expected = positive(self, "rate", self.parameter("rate", 5.0, neurons)) * (dt / 1000)
        self.learning_rate = self.parameter("learning_rate", 0.01, neurons)
        self.variable = self.parameter("variable", "threshold")
        begin(neurons, self.variable)
        keep_wide(neurons, self.variable)

    def iteration(self, neurons: Any) -> None:
        """Raise the threshold of those that fire, lower that of those that do not."""
        value = getattr(neurons, self.variable)
        value += self.learning_rate * (neurons.spike - self.expected)


class AdaptiveThreshold(Behavior):
    """Raise the threshold at each spike, and let it decay to where it was.

    `threshold = base + theta`, `tau dtheta/dt = -theta`, `theta = theta + increase` at a spike. Source: Diehl and Cook
    (2015).

    Arguments:
        increase: by how much a spike raises the threshold (unit of the threshold).
        tau: time constant of the decay (ms).
        dt: step (ms).

    Give it a number behind the model of the neuron, whose `threshold` is the base.

    Variables: `theta`, `threshold`.

    Raises:
        OptionError: the neurons have no threshold yet.

    >>> from recurra.behaviors import BinaryUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> cells = NeuronGroup(net, 1, behavior={1: BinaryUnits(I_ext=2.0), 2: AdaptiveThreshold(increase=0.5, tau=1e9)})
    >>> net.initialize()
    >>> net.simulate_iterations(3)
    >>> cells.threshold.round(3).tolist()
    [2.0]
    """

    def initialize(self, neurons: Any) -> None:
        """Take the present threshold as the base."""
        if "threshold" not in vars(neurons):
            raise OptionError(
                f"AdaptiveThreshold: {neurons!r} has no threshold yet; give the model of the neuron a smaller number."
            )
        self.increase = self.parameter("increase", 0.05, neurons)
        self.decay = decay(self, "tau", self.parameter("tau", 1e7, neurons), time_step(self, neurons))
        self.base = neurons.threshold.copy()
        neurons.theta = neurons.vector()
        keep_wide(neurons, "theta", "threshold")

    def iteration(self, neurons: Any) -> None:
        """Decay, add the spikes."""
        neurons.theta *= self.decay
        neurons.theta += self.increase * neurons.spike
        neurons.threshold[:] = self.base + neurons.theta


class SynapticNormalization(Behavior):
    """Scale the weights that lead to each neuron so that they add up to a number.

    Arguments:
        syn_type: tag of the synapses; all of a tag are scaled together. All that lead to the group by default.
        norm_factor: what they add up to.
        clip_max: bound that no weight exceeds before the scaling; none by default.
        interval: in every which step it is done; 1 by default.

    Source: Lazar, Pipa and Triesch (2009); von der Malsburg (1973).

    >>> from recurra.behaviors import CreateWeights
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, behavior={2: SynapticNormalization(norm_factor=4.0)})
    >>> start = CreateWeights(distribution=np.array([[1.0, 3.0], [1.0, 1.0]]), normalize=False)
    >>> synapses = SynapseGroup(net, cells, cells, behavior={1: start})
    >>> net.initialize()
    >>> synapses.W.tolist()
    [[1.0, 3.0], [2.0, 2.0]]
    """

    usual_type = "All"

    def initialize(self, neurons: Any) -> None:
        """Read what the sums are to be, and bring them there if there are weights."""
        self.syn_type = self.parameter("syn_type", self.usual_type)
        self.norm_factor = self.parameter("norm_factor", 1.0)
        self.clip_max = self.parameter("clip_max", None)
        self.interval = whole_number(self, "interval", self.parameter("interval", 1), 1)
        groups = neurons.synapses("afferent", self.syn_type)
        if groups and all("W" in vars(synapses) for synapses in groups):
            total, sizes = neurons.vector(), neurons.vector()
            for synapses in groups:
                total[_targets(synapses)] += np.sum(weights(synapses), axis=1)
                sizes[_targets(synapses)] += np.sum(np.abs(weights(synapses)), axis=1)
            check_sums(self, total, sizes, self.norm_factor)
            self.normalize(neurons)

    def iteration(self, neurons: Any) -> None:
        """Scale the weights."""
        if self.interval == 1 or neurons.iteration % self.interval == 0:
            self.normalize(neurons)

    def normalize(self, neurons: Any) -> None:
        """Scale the weights now."""
        total = neurons.vector()
        for synapses in neurons.synapses("afferent", self.syn_type):
            W = weights(synapses)
            if self.clip_max is not None:
                W[:] = np.minimum(W, self.clip_max)
            total[_targets(synapses)] += np.sum(W, axis=1)
        # Whoever gets nothing has nothing to scale.
        scale = np.where(total != 0, self.norm_factor / np.where(total != 0, total, 1), 1).astype(total.dtype)
        for synapses in neurons.synapses("afferent", self.syn_type):
            W = weights(synapses)
            W *= scale[_targets(synapses)][:, None]


class Synaptic_Normalization(SynapticNormalization):
    """Do as :class:`SynapticNormalization` under the name and with the usual tag, `"GLU"`, that PymoNNto has for it.

    Arguments:
        syn_type, norm_factor, clip_max, interval: as for :class:`SynapticNormalization`.

    >>> from recurra.behaviors import CreateWeights
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, behavior={2: Synaptic_Normalization(norm_factor=1.0)})
    >>> start = np.array([[1.0, 3.0], [1.0, 1.0]])
    >>> for tag in ("GLU", "GABA"):
    ...     weights = CreateWeights(distribution=start, normalize=False)
    ...     synapses = SynapseGroup(net, cells, cells, tag=tag, behavior={1: weights})
    >>> net.initialize()
    >>> net["GLU", 0].W.tolist(), net["GABA", 0].W.tolist()
    ([[0.25, 0.75], [0.5, 0.5]], [[1.0, 3.0], [1.0, 1.0]])
    """

    usual_type = "GLU"


class SynapticScaling(Behavior):
    """Scale the weights that lead to each neuron up where it fires too little, and down where it fires too much.

    `W *= 1 + dt (rate - activity) / (rate tau)`, with the activity (Hz) averaged over `tau_activity` from 0 on.
    Source: Turrigiano et al. (1998); van Rossum, Bi and Turrigiano (2000).

    Arguments:
        rate: wanted, in Hz; a text gives each neuron its own.
        tau: time in which the weights of a silent neuron grow by the factor e (ms).
        tau_activity: time constant of the average (ms).
        synapse_tag: of the synapses that are scaled; all that lead to the group by default.
        dt: step (ms).

    Variables: `activity` (Hz).

    >>> from recurra.behaviors import BinaryUnits, CreateWeights
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> rule = SynapticScaling(rate=5.0, tau=1000.0, tau_activity=0.01)
    >>> silent = NeuronGroup(net, 1, behavior={1: BinaryUnits(I_ext=0.0), 3: rule})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, silent, silent, behavior={2: start})
    >>> net.initialize()
    >>> net.simulate_iterations(1000)  # one tau later the weight has grown by (1 + dt / tau)^1000, about e
    >>> float(synapses.W[0, 0].round(4)), round(0.5 * 1.001**1000, 4)
    (1.3585, 1.3585)
    """

    def initialize(self, neurons: Any) -> None:
        """Read what is wanted; nothing has fired yet."""
        self.dt = time_step(self, neurons)
        self.rate = positive(self, "rate", self.parameter("rate", 5.0, neurons))
        self.tau = positive(self, "tau", self.parameter("tau", 1e5))
        self.decay = decay(self, "tau_activity", self.parameter("tau_activity", 1000.0), self.dt)
        self.synapse_tag = self.parameter("synapse_tag", "All")
        neurons.activity = neurons.vector()
        keep_wide(neurons, "activity")
        for synapses in neurons.synapses("afferent", self.synapse_tag):
            keep(synapses, self.dt / np.asarray(self.tau), "W")

    def iteration(self, neurons: Any) -> None:
        """Average the activity, and scale."""
        neurons.activity *= self.decay
        neurons.activity += (1 - self.decay) * 1000 / self.dt * neurons.spike
        factor = 1 + self.dt / self.tau * (self.rate - neurons.activity) / self.rate
        for synapses in neurons.synapses("afferent", self.synapse_tag):
            W = weights(synapses)
            W *= factor[_targets(synapses)][:, None]


class InstantHomeostasis(Behavior):
    """Move a variable up where a measured one is too low, and down where it is too high.

    Below `min_th`, `adjustment_param += adj_strength inc (min_th - measured)`; above `max_th`,
    `adjustment_param -= adj_strength dec (measured - max_th)`; nothing in between.

    Arguments:
        measurement_param: what is measured, an expression such as `"n.spike"` or `"np.mean(v)"`, see
            :class:`recurra.groups.Recorder`.
        adjustment_param: the name of the variable that is moved.
        min_th, max_th: the bounds of what is wanted; or both by
        threshold, gap_percent: their middle, and how far they are from it in percent of it.
        inc, dec: by how much it is moved.
        adj_strength: multiplies both; negative, if the variable lowers what is measured.
        distance_sensitive: whether it is moved by more, the further the measured value is away.
        measurement_min, measurement_max: bounds to which the measured value is cut; none by default.
        target_clip_min, target_clip_max: bounds of the variable; none by default.

    Raises:
        OptionError: none of `threshold`, `min_th` and `max_th` is given.

    >>> from recurra.behaviors import RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> rule = InstantHomeostasis(measurement_param="rate", adjustment_param="gain", min_th=3.0, max_th=5.0, inc=0.1)
    >>> rates = RateUnits(I_ext=np.array([2.0, 4.0, 8.0]))
    >>> cells = NeuronGroup(net, 3, behavior={1: rates, 2: rule})
    >>> net.initialize()
    >>> net.simulate_iterations(1)  # 1 too low: up by 0.1 * 1; as wanted; 3 too high: down by 1 * 3
    >>> cells.gain.round(6).tolist()
    [0.1, 0.0, -3.0]
    """

    def initialize(self, neurons: Any) -> None:
        """Read the bounds."""
        where = type(self).__name__
        self.expression = read_expression(self.parameter("measurement_param", "spike"), where)
        self.adjusted = self.parameter("adjustment_param", "threshold")
        middle, gap = self.parameter("threshold", None, neurons), self.parameter("gap_percent", 0.0)
        check_length(middle, neurons, f"{type(self).__name__}, parameter 'threshold'")
        low = None if middle is None else middle * (1 - gap / 100)
        high = None if middle is None else middle * (1 + gap / 100)
        self.min_th = self.parameter("min_th", low, neurons)
        self.max_th = self.parameter("max_th", high, neurons)
        if self.min_th is None and self.max_th is None:
            raise OptionError(f"{where}: give threshold, or min_th, or max_th, or both of these.")
        self.distance_sensitive = bool(self.parameter("distance_sensitive", True))
        strength = self.parameter("adj_strength", 1.0)
        self.up = strength * self.parameter("inc", 1.0)
        self.down = strength * self.parameter("dec", 1.0)
        self.measured_bounds = (self.parameter("measurement_min", None), self.parameter("measurement_max", None))
        self.bounds = (self.parameter("target_clip_min", None), self.parameter("target_clip_max", None))
        begin(neurons, self.adjusted)
        keep_wide(neurons, self.adjusted)

    def iteration(self, neurons: Any) -> None:
        """Measure, and move the variable."""
        self.adjust(neurons, self.measure(neurons))

    def measure(self, neurons: Any) -> Any:
        """Return what is measured, cut to its bounds."""
        measured = 1.0 * self.expression.value(neurons)
        return measured if self.measured_bounds == (None, None) else np.clip(measured, *self.measured_bounds)

    def adjust(self, neurons: Any, measured: Any) -> None:
        """Move the variable by what a measured value says."""
        value = getattr(neurons, self.adjusted)
        if self.min_th is not None:
            missing = self.min_th - measured
            value += self.up * np.where(missing > 0, missing if self.distance_sensitive else 1.0, 0.0)
        if self.max_th is not None:
            beyond = measured - self.max_th
            value -= self.down * np.where(beyond > 0, beyond if self.distance_sensitive else 1.0, 0.0)
        if self.bounds != (None, None):
            value[:] = np.clip(value, *self.bounds)


class TimeIntegrationHomeostasis(InstantHomeostasis):
    """Do as :class:`InstantHomeostasis`, with an average of what is measured over the last steps.

    `average = (average integration_length + measured) / (integration_length + 1)` in each step.

    Arguments:
        integration_length: over how many steps about it is averaged.
        init_avg: the average at the beginning; the middle of the bounds by default.
        others: those of :class:`InstantHomeostasis`.

    The behavior's `average` is the average.

    Raises:
        OptionError: `integration_length` is below 0, or there are no bounds.

    >>> from recurra.behaviors import RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> rule = TimeIntegrationHomeostasis(measurement_param="rate", adjustment_param="gain", min_th=4.0, max_th=5.0,
    ...                                   integration_length=1, init_avg=6.0)
    >>> cells = NeuronGroup(net, 1, behavior={1: RateUnits(I_ext=2.0), 2: rule})
    >>> net.initialize()
    >>> net.simulate_iterations(1)  # the average (6 + 2) / 2 is still within the bounds
    >>> rule.average.tolist(), cells.gain.tolist()
    ([4.0], [0.0])
    >>> net.simulate_iterations(1)  # now it is (4 + 2) / 2, 1 below them
    >>> rule.average.tolist(), cells.gain.tolist()
    ([3.0], [1.0])
    """

    def initialize(self, neurons: Any) -> None:
        """Read the bounds; the average begins at what is wanted."""
        super().initialize(neurons)
        length = self.parameter("integration_length", 1.0)
        if not length >= 0:
            raise OptionError(f"TimeIntegrationHomeostasis: integration_length must be >= 0, got {length!r}.")
        self.share = 1 / (length + 1)
        wanted = [bound for bound in (self.min_th, self.max_th) if bound is not None]
        average = neurons.vector(self.parameter("init_avg", sum(wanted) / len(wanted), neurons))
        self.average = average.astype(np.promote_types(average.dtype, np.float64))

    def iteration(self, neurons: Any) -> None:
        """Measure, average, and move the variable."""
        self.average += self.share * (self.measure(neurons) - self.average)
        self.adjust(neurons, self.average)


def _targets(synapses: Any) -> Any:
    """Return the indices in the whole group of the neurons that synapses lead to."""
    return synapses.dst.id
