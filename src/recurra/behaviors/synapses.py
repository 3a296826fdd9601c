"""Weights, and how spikes pass through them: at once, delayed, as currents, with short-term plasticity."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.behaviors.conventions import (
    add,
    arriving,
    begin,
    check_sums,
    conduct,
    decay,
    keep,
    mean_of_decay,
    not_negative,
    positive,
    received,
    steps_of,
    time_step,
    values,
    weights,
)
from recurra.courtesy import warn
from recurra.errors import OptionError, UnusedWeights
from recurra.groups import Behavior, Recorder
from recurra.groups.behavior import check_length
from recurra.groups.foresight import names_in


class CreateWeights(Behavior):
    """Give a group of synapses its weights; a behavior of synapse groups.

    Arguments:
        distribution: a text such as `"uniform(0, 1)"`, a number, or an array in the network's order.
        density: probability that a synapse exists, or one for each row.
        normalize: whether columns and rows are normalised in turn, ten times, until each neuron's incoming weights
            add up to `norm_factor` and all neurons send out about equally much (Sinkhorn 1964).
        norm_factor (or nomr_fac): what the weights that enter a neuron add up to.
        autapses: whether a neuron may excite itself, where the synapses lead back to their own group.
        scale: what the weights are multiplied with at last; -1 makes inhibition of them.

    Variables: `W`; and `enabled`, where not all synapses exist.

    Raises:
        OptionError: `autapses=False` for synapses between two groups.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 4)
    >>> synapses = SynapseGroup(net, cells, cells, behavior={1: CreateWeights(autapses=False)})
    >>> net.initialize()
    >>> synapses.W.sum(axis=1).round(5).tolist(), synapses.W.diagonal().tolist()
    ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    """

    def initialize(self, synapses: Any) -> None:
        """Draw, prune and normalise the weights."""
        distribution = self.parameter("distribution", "uniform(0.0, 1.0)", do_not_diversify=True)
        density = self.parameter("density", 1)
        autapses = self.parameter("autapses", True)
        synapses.W = synapses.matrix(distribution)
        exists = np.ones(synapses.W.shape, dtype=bool)
        if np.ndim(density) or density != 1:
            exists = synapses.matrix("ones", density=density) > 0
        if not autapses:
            if synapses.src is not synapses.dst:
                raise OptionError("CreateWeights: autapses=False is for synapses that lead back to their own group.")
            exists &= ~np.eye(len(exists), dtype=bool)
        if not np.all(exists):
            synapses.enabled = exists
            synapses.W *= exists
        misspelt = self.parameter("nomr_fac", 1.0)
        norm_factor = self.parameter("norm_factor", misspelt)
        if self.parameter("normalize", True):
            _balance(self, weights(synapses), float(norm_factor))
        synapses.W *= self.parameter("scale", 1.0)
        self.told = False

    def check_run(self, synapses: Any, end: Any = None) -> None:
        """Warn, once, if the network has nothing that reads the weights."""
        if self.told or end is not None:
            return
        self.told = True
        if not is_read(synapses):
            warn(
                f"the weights of {synapses.tag!r} are read by nothing, so they have no effect: give"
                f" {synapses.dst.tag!r} a SpikeInput(), {synapses.tag!r} an ExponentialSynapse(), or a behavior of your"
                " own that reads W.",
                UnusedWeights,
            )


def _balance(behavior: Behavior, W: np.ndarray, norm_factor: float) -> None:
    """Normalise columns and rows in turn; the rows at last."""
    for _ in range(10):
        for axis, total in ((0, norm_factor * W.shape[0] / W.shape[1]), (1, norm_factor)):
            sums = W.sum(axis=axis, keepdims=True)
            check_sums(behavior, sums, np.abs(W).sum(axis=axis, keepdims=True), norm_factor)
            W *= np.where(sums != 0, total / np.where(sums != 0, sums, 1), 1)


def is_read(synapses: Any) -> bool:
    """Tell whether anything in the network may read the weights of some synapses."""
    if any(isinstance(behavior, SynapticCurrent | Recorder) for behavior in synapses.behavior.values()):
        return True
    for behavior in synapses.network.all_behaviors():
        own = isinstance(behavior, SpikeInput) and behavior.covers(synapses)
        if own or (not type(behavior).__module__.startswith("recurra.") and _may_read(behavior)):
            return True
    return False


def _may_read(behavior: Behavior) -> bool:
    return bool(names_in([behavior]) & {"W", "synapses", "afferent", "efferent", "afferent_synapses"})


class SpikeInput(Behavior):
    """Add the weights of the spikes that arrive to a variable of the neurons: `I += W.dot(spike)`.

    Arguments:
        synapse_tag: of the synapses that count; all that lead to the group by default.
        target: what it is added to: `"I"`, or `"v"` for a jump of the potential.
        variable: what the sources send: `"spike"`, or for instance `"rate"`.
        strength: what the sum is multiplied with; -1 makes inhibition of positive weights.

    Synapses that send a current themselves (:class:`ExponentialSynapse`, :class:`AlphaSynapse`) do not count.

    Raises:
        OptionError: the tag is that of synapses that send a current themselves, or another `SpikeInput` of the group
            adds the same spikes of the same synapses.

    >>> from recurra.behaviors import RateUnits, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> source = NeuronGroup(net, 1, tag="source", behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> target = NeuronGroup(net, 1, behavior={3: SpikeInput(), 4: RateUnits()})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, source, target, behavior={2: start})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> target.rate.tolist()
    [0.5]
    """

    def initialize(self, neurons: Any) -> None:
        """Read what is added to what."""
        self.synapse_tag = self.parameter("synapse_tag", "All")
        self.target = self.parameter("target", "I")
        self.variable = self.parameter("variable", "spike")
        self.strength = self.parameter("strength", 1.0)
        begin(neurons, self.target)
        for synapses in neurons.synapses("afferent", self.synapse_tag):
            self._check_alone(synapses, neurons)

    def _check_alone(self, synapses: Any, neurons: Any) -> None:
        current = [type(b).__name__ for b in synapses.behavior.values() if isinstance(b, SynapticCurrent)]
        if self.synapse_tag != "All" and current and self.variable == "spike":
            raise OptionError(
                f"SpikeInput: synapses {synapses.tag!r} send their spikes by {current[0]} already, so that they would"
                " count twice. Leave one of the two out, or give the second a synapse group of its own."
            )
        for other in neurons.behavior.values():
            same = isinstance(other, SpikeInput) and other is not self and other.behavior_enabled
            if same and other.init_kwargs.get("variable", "spike") == self.variable and other.covers(synapses):
                raise OptionError(
                    f"SpikeInput: two of them add what arrives by synapses {synapses.tag!r}, which would count twice."
                    " Give each the synapse_tag= of synapses of its own."
                )

    def covers(self, synapses: Any) -> bool:
        """Tell whether it adds what arrives by some synapses."""
        tag = self.init_kwargs.get("synapse_tag", "All")
        group = synapses.dst.BaseNeuronGroup
        if not any(b is self for b in group.behavior.values()):
            return False
        if tag == "All" and _sends_current(synapses) and self.init_kwargs.get("variable", "spike") == "spike":
            return False
        return any(each is synapses for each in group.synapses("afferent", tag))

    def iteration(self, neurons: Any) -> None:
        """Add what arrives."""
        for synapses in neurons.synapses("afferent", self.synapse_tag):
            if self.variable == "spike" and _sends_current(synapses):
                continue
            add(synapses.dst, self.target, self.strength * received(synapses, self.variable))


def _sends_current(synapses: Any) -> bool:
    return any(isinstance(behavior, SynapticCurrent) for behavior in synapses.behavior.values())


class SynapticDelay(Behavior):
    """Let spikes arrive later; a behavior of synapse groups.

    What the sources fire when the behavior is executed arrives the delay later, at what has a larger number. Before
    the beginning nothing is on its way.

    Arguments:
        delay: in ms: one number, which must be a multiple of the step, or one for each source neuron: an array, or a
            text such as `"uniform(1, 5)"`, rounded to steps.
        dt: step (ms).

    Variables: `synapses.spike`, `(src,)`, which the behaviors of this package read instead of `synapses.src.spike`.

    >>> from recurra.behaviors import SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder, SynapseGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, behavior={1: SpikeGenerator(times=[0, 0], indices=[0, 1])})
    >>> delay = SynapticDelay(delay=np.array([1.0, 3.0]))
    >>> synapses = SynapseGroup(net, cells, cells, behavior={2: delay, 3: Recorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(5)
    >>> net["spike", 0].astype(int).T.tolist()
    [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    """

    def initialize(self, synapses: Any) -> None:
        """Make the ring in which spikes wait."""
        dt = time_step(self, synapses)
        delay = self.parameter("delay", 1.0, do_not_diversify=True)
        if not isinstance(delay, int | float):
            delay = synapses.src.vector(delay)
        size = synapses.src.size
        self.steps = np.broadcast_to(steps_of(self, "delay", delay, dt), (size,)).astype(np.int64)
        self.waiting = np.zeros((int(self.steps.max()) + 1, size), dtype=bool)
        self.columns = np.arange(size)
        synapses.spike = np.zeros(size, dtype=bool)

    def iteration(self, synapses: Any) -> None:
        """Put the new spikes into the ring, and take out those whose time has come."""
        step, length = synapses.iteration, len(self.waiting)
        self.waiting[step % length] = values(synapses.src, "spike")
        synapses.spike = self.waiting[(step - self.steps) % length, self.columns]


class SynapticCurrent(Behavior):
    """Turn spikes into a conductance or a current of each target neuron; what the shapes share."""

    def initialize(self, synapses: Any) -> None:
        """Let nothing flow."""
        self.dt = time_step(self, synapses)
        self.reversal = self.parameter("reversal", None, synapses.dst)
        check_length(self.reversal, synapses.dst, f"{type(self).__name__}, parameter 'reversal'")
        self.strength = self.parameter("strength", 1.0, synapses.dst)
        others = [b for b in synapses.behavior.values() if isinstance(b, SynapticCurrent) and b is not self]
        if others:
            raise OptionError(
                f"{type(self).__name__}: synapses {synapses.tag!r} have two currents, this and a"
                f" {type(others[0]).__name__}, and spikes would count twice; give each a synapse group of its own."
            )
        begin(synapses.dst, "I")
        if self.reversal is not None:
            begin(synapses.dst, "conductance")
            begin(synapses.dst, "conductance_v")
        synapses.g = synapses.dst.vector()

    def send(self, synapses: Any, mean: Any) -> None:
        """Add the current to the input of the target neurons: its mean over the step, so that no charge is lost."""
        if self.reversal is None:
            add(synapses.dst, "I", mean)
        else:
            conduct(synapses.dst, mean, self.reversal)


class ExponentialSynapse(SynapticCurrent):
    """Let each spike cause a current that jumps and decays; a behavior of synapse groups.

    `tau dg/dt = -g`, `g = g + W.dot(spike)` at spikes; the target gets `g`, or `g (reversal - v)` (Destexhe, Mainen and
    Sejnowski 1994). The decay is exact, and what a step delivers is the mean over it, so that a spike brings the charge
    `w tau` whatever the step. Models of this package let the current of a conductance change with `v` within the step,
    so that no conductance, however large, drives `v` beyond its reversal potential.

    Arguments:
        tau: time constant of the decay (ms).
        reversal: reversal potential (mV); then g is a conductance. None by default.
        strength: what the weights are multiplied with; -1 makes inhibition of positive ones.
        dt: step (ms).

    Variables: `synapses.g`, `(dst,)`.

    >>> from recurra.behaviors import RateUnits, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> source = NeuronGroup(net, 1, tag="source", behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> target = NeuronGroup(net, 1, behavior={4: RateUnits()})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, source, target, behavior={2: start, 3: ExponentialSynapse(tau=5.0)})
    >>> net.initialize()
    >>> net.simulate_iterations(6)
    >>> bool(np.isclose(synapses.g[0], 0.5 * np.exp(-1)))
    True
    """

    def initialize(self, synapses: Any) -> None:
        """Let nothing flow."""
        super().initialize(synapses)
        tau = positive(self, "tau", self.parameter("tau", 5.0, synapses.dst))
        self.decay, self.mean = decay(self, "tau", tau, self.dt), mean_of_decay(tau, self.dt)
        keep(synapses, 1 - self.decay, "g")

    def iteration(self, synapses: Any) -> None:
        """Decay, add what arrives, send."""
        synapses.g *= self.decay
        synapses.g += self.strength * received(synapses)
        self.send(synapses, self.mean * synapses.g)


class AlphaSynapse(SynapticCurrent):
    """Let each spike cause a current that rises and falls; a behavior of synapse groups.

    A spike of weight w at time 0 gives `g(t) = w (t / tau) exp(1 - t / tau)`, whose peak w is at `tau` (Rall 1967);
    the step is exact. The target gets the mean of `g` over the step, or that times `reversal - v`; a spike brings the
    charge `e w tau` whatever the step.

    Arguments:
        tau: time of the peak (ms).
        reversal: reversal potential (mV); then g is a conductance. None by default.
        strength: what the weights are multiplied with; -1 makes inhibition of positive ones.
        dt: step (ms).

    Variables: `synapses.g` and `synapses.g_rise`, `(dst,)`.

    >>> from recurra.behaviors import RateUnits, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> source = NeuronGroup(net, 1, tag="source", behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> target = NeuronGroup(net, 1, behavior={4: RateUnits()})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, source, target, behavior={2: start, 3: AlphaSynapse(tau=5.0)})
    >>> net.initialize()
    >>> net.simulate_iterations(6)
    >>> bool(np.isclose(synapses.g[0], 0.5))
    True
    """

    def initialize(self, synapses: Any) -> None:
        """Let nothing flow."""
        super().initialize(synapses)
        tau = float(positive(self, "tau", self.parameter("tau", 2.0)))
        self.decay = decay(self, "tau", tau, self.dt)
        self.growth = self.dt / tau * self.decay
        self.mean = mean_of_decay(tau, self.dt)
        self.rising = self.mean - self.decay  # the mean over a step of (t / tau) exp(-t / tau)
        self.peak = float(np.e)
        synapses.g_rise = synapses.dst.vector()
        keep(synapses, 1 - self.decay, "g", "g_rise")

    def iteration(self, synapses: Any) -> None:
        """Advance by one step, add what arrives, send."""
        synapses.g[:] = self.decay * synapses.g + self.growth * synapses.g_rise
        synapses.g_rise *= self.decay
        synapses.g_rise += self.peak * self.strength * received(synapses)
        self.send(synapses, self.mean * synapses.g + self.rising * synapses.g_rise)


class ShortTermPlasticity(Behavior):
    """Let synapses tire and be facilitated by use; a behavior of synapse groups.

    Between spikes `dx/dt = (1 - x) / tau_rec` and `du/dt = -u / tau_facil`; at a spike first `u = u + U (1 - u)`, then
    `u x` is released and `x = x - u x`. With `tau_facil = 0`, u is U at each spike and there is depression only.
    Source: Tsodyks and Markram (1997), with facilitation as in Markram, Wang and Tsodyks (1998). The decays are exact.

    Arguments (texts such as `"normal(0.5, 0.1)"` give each source neuron its own):
        U: share that a spike of a rested synapse releases.
        tau_rec: time constant of the recovery (ms).
        tau_facil: time constant of the facilitation (ms).
        dt: step (ms).

    Variables: `synapses.x`, `synapses.u`, `synapses.release`, all `(src,)`; the last multiplies the weights.

    Raises:
        OptionError: `U` is not between 0 and 1, or a time constant is not above 0 (`tau_facil`: below 0).

    >>> from recurra.behaviors import SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder, SynapseGroup
    >>> net = GroupNetwork()
    >>> source = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[0, 1, 2], indices=[0, 0, 0])})
    >>> tiring = ShortTermPlasticity(U=0.5, tau_rec=1e9)
    >>> synapses = SynapseGroup(net, source, source, behavior={2: tiring, 3: Recorder("release")})
    >>> net.initialize()
    >>> net.simulate_iterations(3)
    >>> net["release", 0].reshape(-1).round(6).tolist()
    [0.5, 0.25, 0.125]
    """

    def initialize(self, synapses: Any) -> None:
        """Let the synapses be rested."""
        dt, source = time_step(self, synapses), synapses.src
        self.U = not_negative(self, "U", _per_source(self, "U", 0.5, source))
        if np.any(np.asarray(self.U) > 1):
            raise OptionError(f"ShortTermPlasticity: U must be a share from 0 to 1, got {self.U!r}.")
        self.recovery = decay(self, "tau_rec", _per_source(self, "tau_rec", 800.0, source), dt)
        tau = _per_source(self, "tau_facil", 0.0, source)
        self.facilitation = 0.0 if np.ndim(tau) == 0 and tau == 0 else decay(self, "tau_facil", tau, dt)
        synapses.x = source.vector("ones")
        synapses.u = source.vector()
        synapses.release = source.vector()
        keep(synapses, 1 - np.asarray(self.recovery), "x")
        keep(synapses, 1 - np.asarray(self.facilitation), "u")

    def iteration(self, synapses: Any) -> None:
        """Recover, then release where a spike arrives."""
        spike = arriving(synapses)
        synapses.x[:] = 1 - (1 - synapses.x) * self.recovery
        synapses.u *= self.facilitation
        synapses.u += self.U * (1 - synapses.u) * spike
        synapses.release[:] = synapses.u * synapses.x * spike
        synapses.x -= synapses.release


def _per_source(behavior: Behavior, name: str, default: float, source: Any) -> Any:
    value = behavior.parameter(name, default, do_not_diversify=True)
    return source.vector(value) if isinstance(value, str) or np.ndim(value) else value
