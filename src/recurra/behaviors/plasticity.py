"""Rules by which weights learn from spikes and rates; behaviors of synapse groups.

A rule reads the spikes of its step, so give it a number behind the models of both groups (and behind the delay, if
there is one: then a spike of the source counts when it arrives). Weights must exist before: give
:class:`CreateWeights` a smaller number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.behaviors.conventions import arriving, decay, keep, one_of, positive, time_step, values, weights
from recurra.errors import OptionError
from recurra.groups import Behavior


class _Plasticity(Behavior):
    """Keep weights within bounds and absent synapses absent; what all rules share."""

    BOUNDS = ("hard", "soft")

    def start(self, synapses: Any, w_min: float | None = 0.0, w_max: float | None = 1.0) -> None:
        """Read the bounds, and check that there are weights."""
        if "W" not in vars(synapses):
            raise OptionError(
                f"{type(self).__name__}: {synapses!r} has no weights W yet; give it CreateWeights, or another behavior"
                " that makes them, with a smaller number."
            )
        low, high = self.parameter("w_min", w_min), self.parameter("w_max", w_max)
        self.w_min = -np.inf if low is None else float(low)
        self.w_max = np.inf if high is None else float(high)
        if not self.w_min < self.w_max:
            raise OptionError(f"{type(self).__name__}: w_min={low!r} must be less than w_max={high!r}.")
        self.sparse = np.ndim(synapses.enabled) == 2

    def read_bounds(self) -> bool:
        """Tell whether changes shrink towards the bounds."""
        soft = one_of(self, "bounds", self.parameter("bounds", "hard"), self.BOUNDS) == "soft"
        if soft and not np.isfinite(self.w_max - self.w_min):
            raise OptionError(f"{type(self).__name__}: bounds='soft' needs w_min and w_max.")
        return soft

    def keep_weights(self, synapses: Any, *sizes: float, soft: bool = False) -> None:
        """Keep the weights in double precision if the largest changes are small beside them.

        Arguments:
            sizes: of the changes; with `soft` bounds they are shares of what is left to a bound.
        """
        largest = float(np.abs(weights(synapses)).max(initial=0.0))
        scale = 1.0 if soft else self.w_max if np.isfinite(self.w_max) else largest
        keep(synapses, np.asarray(sizes) / (abs(scale) or 1.0), "W")

    def change(self, synapses: Any, amount: Any) -> None:
        """Add something to all weights: `(dst, src)`."""
        W = weights(synapses)
        new = np.clip(W + amount, self.w_min, self.w_max)
        W[:] = np.where(synapses.ignore_transpose_mode(synapses.enabled), new, W) if self.sparse else new

    def change_rows(self, synapses: Any, post: Any, amount: Any) -> None:
        """Add something, `(src,)`, to the weights that lead to the neurons of a mask."""
        W = weights(synapses)
        if self.soft:
            amount = amount * (self.w_max - W[post])
        new = np.clip(W[post] + amount, self.w_min, self.w_max)
        if self.sparse:
            new = np.where(synapses.ignore_transpose_mode(synapses.enabled)[post], new, W[post])
        W[post] = new

    def change_columns(self, synapses: Any, pre: Any, amount: Any) -> None:
        """Take something, `(dst,)`, from the weights that start from the neurons of a mask."""
        W = weights(synapses)
        amount = amount[:, None]
        if self.soft:
            amount = amount * (W[:, pre] - self.w_min)
        new = np.clip(W[:, pre] - amount, self.w_min, self.w_max)
        if self.sparse:
            new = np.where(synapses.ignore_transpose_mode(synapses.enabled)[:, pre], new, W[:, pre])
        W[:, pre] = new


class STDP(_Plasticity):
    """Strengthen synapses whose source fires before the target, and weaken them the other way round.

    A pair of spikes with `t = t_post - t_pre` changes the weight by `A_plus exp(-t / tau_plus)` if t > 0, and by
    `-A_minus exp(t / tau_minus)` if t < 0; spikes of the same step make no pair. Source: Gerstner, Kempter, van Hemmen
    and Wagner (1996), Bi and Poo (1998), Song, Miller and Abbott (2000).

    Arguments:
        A_plus, A_minus: largest change by one pair (unit of the weight; as a share, with soft bounds).
        tau_plus, tau_minus: time constants (ms).
        pairing: `"all"` (all pairs add up) or `"nearest"` (the last spike of each only).
        w_min, w_max: bounds of the weight; `None` for none.
        bounds: `"hard"` (the weight is cut off) or `"soft"` (`A_plus (w_max - w)`, `A_minus (w - w_min)`; van Rossum,
            Bi and Turrigiano 2000).
        dt: step (ms).

    Variables: `synapses.pre_trace` `(src,)`, `synapses.post_trace` `(dst,)`, `synapses.W`.

    Raises:
        OptionError: there are no weights yet, or soft bounds without two bounds.

    >>> from recurra.behaviors import CreateWeights, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> early = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> late = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[20], indices=[0])})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, early, late, behavior={2: start, 3: STDP(A_plus=0.01, tau_plus=20.0)})
    >>> net.initialize()
    >>> net.simulate_iterations(30)
    >>> float(synapses.W[0, 0].round(6)), float((0.5 + 0.01 * np.exp(-1)).round(6))
    (0.503679, 0.503679)
    """

    def initialize(self, synapses: Any) -> None:
        """Read the window, and set the traces to 0."""
        self.start(synapses)
        self.soft = self.read_bounds()
        dt = time_step(self, synapses)
        self.A_plus = self.parameter("A_plus", 0.01)
        self.A_minus = self.parameter("A_minus", 0.0105)
        self.decay_plus = decay(self, "tau_plus", self.parameter("tau_plus", 20.0), dt)
        self.decay_minus = decay(self, "tau_minus", self.parameter("tau_minus", 20.0), dt)
        self.nearest = one_of(self, "pairing", self.parameter("pairing", "all"), ("all", "nearest")) == "nearest"
        synapses.pre_trace = synapses.src.vector()
        synapses.post_trace = synapses.dst.vector()
        keep(synapses, 1 - self.decay_plus, "pre_trace")
        keep(synapses, 1 - self.decay_minus, "post_trace")
        self.keep_weights(synapses, self.A_plus, self.A_minus, soft=self.soft)

    def iteration(self, synapses: Any) -> None:
        """Let the traces decay, change weights where there are spikes, then add these to the traces."""
        pre, post = arriving(synapses), values(synapses.dst, "spike")
        synapses.pre_trace *= self.decay_plus
        synapses.post_trace *= self.decay_minus
        self.change_rows(synapses, post, self.A_plus * synapses.pre_trace)
        self.change_columns(synapses, pre, self.A_minus * synapses.post_trace)
        self.add(synapses.pre_trace, pre)
        self.add(synapses.post_trace, post)

    def add(self, trace: Any, spike: Any) -> None:
        """Add spikes to a trace."""
        if self.nearest:
            trace[spike] = 1
        else:
            trace += spike


class TripletSTDP(_Plasticity):
    """Learn from pairs and triplets of spikes, as the visual cortex and the hippocampus do.

    A spike of the source changes the weight by `-o1 (A2_minus + A3_minus r2)`, one of the target by
    `r1 (A2_plus + A3_plus o2)`; the traces r1, r2 of the source and o1, o2 of the target decay with tau_plus, tau_x,
    tau_minus, tau_y, and count all spikes before this one. Source: Pfister and Gerstner (2006), eqs. 3 and 4; the
    defaults are those for the visual cortex with all pairs.

    Arguments:
        A2_plus, A2_minus: changes by pairs.
        A3_plus, A3_minus: changes by triplets.
        tau_plus, tau_minus, tau_x, tau_y: time constants (ms).
        w_min, w_max, bounds: as for :class:`STDP`.
        dt: step (ms).

    Variables: `synapses.r1`, `r2` `(src,)`, `o1`, `o2` `(dst,)`, `W`.

    Raises:
        OptionError: there are no weights yet, or soft bounds without two bounds.

    >>> from recurra.behaviors import CreateWeights, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> early = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> late = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[10, 20], indices=[0, 0])})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, early, late, behavior={2: start, 3: TripletSTDP()})
    >>> net.initialize()
    >>> net.simulate_iterations(15)  # a pair alone hardly counts
    >>> float(synapses.W[0, 0].round(6))
    0.5
    >>> net.simulate_iterations(15)  # the second spike of the target makes a triplet
    >>> float(synapses.W[0, 0].round(6)), float((0.5 + 6.2e-3 * np.exp(-20 / 16.8) * np.exp(-10 / 125)).round(6))
    (0.50174, 0.50174)
    """

    def initialize(self, synapses: Any) -> None:
        """Read the constants, and set the traces to 0."""
        self.start(synapses)
        self.soft = self.read_bounds()
        dt = time_step(self, synapses)
        self.A2_plus = self.parameter("A2_plus", 5e-10)
        self.A2_minus = self.parameter("A2_minus", 7e-3)
        self.A3_plus = self.parameter("A3_plus", 6.2e-3)
        self.A3_minus = self.parameter("A3_minus", 2.3e-4)
        self.decay_plus = decay(self, "tau_plus", self.parameter("tau_plus", 16.8), dt)
        self.decay_minus = decay(self, "tau_minus", self.parameter("tau_minus", 33.7), dt)
        self.decay_x = decay(self, "tau_x", self.parameter("tau_x", 101.0), dt)
        self.decay_y = decay(self, "tau_y", self.parameter("tau_y", 125.0), dt)
        decays = {"r1": self.decay_plus, "r2": self.decay_x, "o1": self.decay_minus, "o2": self.decay_y}
        for name, factor in decays.items():
            setattr(synapses, name, (synapses.src if name in ("r1", "r2") else synapses.dst).vector())
            keep(synapses, 1 - factor, name)
        gains, losses = (self.A2_plus, self.A3_plus), (self.A2_minus, self.A3_minus)
        self.keep_weights(synapses, max(gains, key=abs), max(losses, key=abs), soft=self.soft)

    def iteration(self, synapses: Any) -> None:
        """Let the traces decay, change weights where there are spikes, then add these to the traces."""
        pre, post = arriving(synapses), values(synapses.dst, "spike")
        synapses.r1 *= self.decay_plus
        synapses.r2 *= self.decay_x
        synapses.o1 *= self.decay_minus
        synapses.o2 *= self.decay_y
        self._change(synapses, pre, post)
        synapses.r1 += pre
        synapses.r2 += pre
        synapses.o1 += post
        synapses.o2 += post

    def _change(self, synapses: Any, pre: Any, post: Any) -> None:
        # Both changes depend on a trace of either side, so that they are of all weights at once.
        W = weights(synapses)
        gain = np.outer(post * (self.A2_plus + self.A3_plus * synapses.o2), synapses.r1)
        loss = np.outer(synapses.o1, pre * (self.A2_minus + self.A3_minus * synapses.r2))
        if self.soft:
            gain, loss = gain * (self.w_max - W), loss * (W - self.w_min)
        self.change(synapses, gain - loss)


class TraceSTDP(_Plasticity):
    """Learn at spikes of the target only, from a trace of the source.

    At a spike of the target, the weight changes by `learning_rate (trace - trace_target) (w_max - w)^mu`; the trace
    jumps to 1 at a spike of the source and decays. Sources that have been silent lose. Source: Diehl and Cook (2015).

    Arguments:
        learning_rate: size of a change.
        trace_target: value of the trace above which weights grow.
        tau: time constant of the trace (ms).
        mu: how a change depends on the weight; 0 for not at all.
        w_min, w_max: bounds of the weight.
        dt: step (ms).

    Variables: `synapses.pre_trace` `(src,)`, `synapses.W`.

    Raises:
        OptionError: there are no weights yet, or `mu` without `w_max`.

    >>> from recurra.behaviors import CreateWeights, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> sources = NeuronGroup(net, 2, behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> target = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[20], indices=[0])})
    >>> start = CreateWeights(distribution=np.full((1, 2), 0.5), normalize=False)
    >>> rule = TraceSTDP(learning_rate=0.1, trace_target=0.2, tau=20.0, mu=0)
    >>> synapses = SynapseGroup(net, sources, target, behavior={2: start, 3: rule})
    >>> net.initialize()
    >>> net.simulate_iterations(30)  # the first source spoke 20 ms before the target, the second was silent
    >>> synapses.W.round(6).tolist(), float((0.5 + 0.1 * (np.exp(-1) - 0.2)).round(6))
    ([[0.516788, 0.48]], 0.516788)
    """

    def initialize(self, synapses: Any) -> None:
        """Read the constants, and set the trace to 0."""
        self.start(synapses)
        self.soft = False
        self.learning_rate = self.parameter("learning_rate", 0.01)
        self.trace_target = self.parameter("trace_target", 0.4)
        self.mu = self.parameter("mu", 0.2)
        if self.mu and not np.isfinite(self.w_max):
            raise OptionError("TraceSTDP: mu needs w_max; set mu=0 for weights without an upper bound.")
        self.decay = decay(self, "tau", self.parameter("tau", 20.0), time_step(self, synapses))
        synapses.pre_trace = synapses.src.vector()
        keep(synapses, 1 - self.decay, "pre_trace")
        self.keep_weights(synapses, self.learning_rate)

    def iteration(self, synapses: Any) -> None:
        """Advance the trace, and change the weights to targets that fire."""
        pre, post = arriving(synapses), values(synapses.dst, "spike")
        synapses.pre_trace *= self.decay
        synapses.pre_trace[pre] = 1
        amount = self.learning_rate * (synapses.pre_trace - self.trace_target)
        if self.mu:
            amount = amount * (self.w_max - weights(synapses)[post]) ** self.mu
        self.change_rows(synapses, post, amount)


class RewardModulatedSTDP(STDP):
    """Let a reward decide later whether what STDP proposes becomes real.

    What :class:`STDP` would change the weight by goes into an eligibility `c`, `dc/dt = -c / tau_eligibility`; the
    weight follows `dw/dt = c d`, with the dopamine `dd/dt = -d / tau_dopamine + reward`. Source: Izhikevich (2007).

    Arguments:
        A_plus, A_minus, tau_plus, tau_minus, pairing: of the proposed change, see :class:`STDP`.
        tau_eligibility: time constant of the eligibility (ms).
        tau_dopamine: time constant of the dopamine (ms).
        w_min, w_max: bounds of the weight.
        dt: step (ms).

    The reward of a step is `network.reward`, which another behavior sets (0 at the beginning): by so much the dopamine
    jumps.

    Variables: `synapses.eligibility` (in the order of W), `synapses.dopamine`, `pre_trace`, `post_trace`, `W`.

    Raises:
        OptionError: there are no weights yet, or soft bounds.

    >>> from recurra.behaviors import CreateWeights, SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> early = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[0], indices=[0])})
    >>> late = NeuronGroup(net, 1, behavior={1: SpikeGenerator(times=[20], indices=[0])})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> rule = RewardModulatedSTDP(A_plus=0.01, tau_plus=20.0, tau_eligibility=1000.0)
    >>> synapses = SynapseGroup(net, early, late, behavior={2: start, 3: rule})
    >>> net.initialize()
    >>> net.simulate_iterations(120)  # the pair is long gone, and the weight is as it was
    >>> float(synapses.W[0, 0])
    0.5
    >>> net.reward = 1.0
    >>> net.simulate_iterations(1)  # what is left of the eligibility 0.01 exp(-1) after 100 ms
    >>> float(synapses.W[0, 0].round(6)), float((0.5 + 0.01 * np.exp(-1) * np.exp(-0.1)).round(6))
    (0.503329, 0.503329)
    """

    def initialize(self, synapses: Any) -> None:
        """Read the constants; nothing is eligible yet."""
        super().initialize(synapses)
        if self.soft:
            raise OptionError("RewardModulatedSTDP: bounds must be 'hard'.")
        self.dt = time_step(self, synapses)
        tau = positive(self, "tau_eligibility", self.parameter("tau_eligibility", 1000.0))
        self.eligibility_decay = decay(self, "tau_eligibility", tau, self.dt)
        self.dopamine_decay = decay(self, "tau_dopamine", self.parameter("tau_dopamine", 200.0), self.dt)
        synapses.eligibility = synapses.matrix()
        keep(synapses, 1 - self.eligibility_decay, "eligibility")
        self.keep_weights(synapses, self.dt * self.A_plus, self.dt * self.A_minus)
        synapses.dopamine = 0.0
        if "reward" not in vars(synapses.network):
            synapses.network.reward = 0.0

    def iteration(self, synapses: Any) -> None:
        """Propose changes, and realise them as far as there is dopamine."""
        pre, post = arriving(synapses), values(synapses.dst, "spike")
        synapses.pre_trace *= self.decay_plus
        synapses.post_trace *= self.decay_minus
        synapses.dopamine = synapses.dopamine * self.dopamine_decay + synapses.network.reward
        synapses.eligibility *= self.eligibility_decay
        eligibility = synapses.ignore_transpose_mode(synapses.eligibility)
        eligibility[post] += self.A_plus * synapses.pre_trace
        eligibility[:, pre] -= self.A_minus * synapses.post_trace[:, None]
        self.change(synapses, self.dt * synapses.dopamine * eligibility)
        self.add(synapses.pre_trace, pre)
        self.add(synapses.post_trace, post)


class _RateRule(_Plasticity):
    """Read the activities of both sides; what the rules for rates share."""

    def read(self, synapses: Any, w_min: float | None, w_max: float | None) -> None:
        """Read bounds, learning rate and variable."""
        self.start(synapses, w_min, w_max)
        self.learning_rate = self.parameter("learning_rate", 0.01)
        self.variable = self.parameter("variable", "rate")
        self.keep_weights(synapses, self.learning_rate)

    def activities(self, synapses: Any) -> tuple[Any, Any]:
        """Return the activities `(src,)` and `(dst,)`."""
        return arriving(synapses, self.variable), values(synapses.dst, self.variable)


class Hebbian(_RateRule):
    """Strengthen what is active together: `W += learning_rate y x` (Hebb 1949).

    Arguments:
        learning_rate: size of a change in one step.
        variable: the activity, `"rate"` by default.
        w_min, w_max: bounds of the weight; none by default.

    Raises:
        OptionError: there are no weights yet, or `w_min` is not below `w_max`.

    >>> from recurra.behaviors import CreateWeights, RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> source = NeuronGroup(net, 1, behavior={1: RateUnits(I_ext=2.0)})
    >>> target = NeuronGroup(net, 1, behavior={3: RateUnits(I_ext=3.0)})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, source, target, behavior={2: start, 5: Hebbian(learning_rate=0.1)})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> float(synapses.W[0, 0].round(6))
    1.1
    """

    def initialize(self, synapses: Any) -> None:
        """Read the constants."""
        self.read(synapses, None, None)

    def iteration(self, synapses: Any) -> None:
        """Change the weights."""
        x, y = self.activities(synapses)
        self.change(synapses, self.learning_rate * np.outer(y, x))


class Oja(_RateRule):
    """Learn the first principal component of the input: `W += learning_rate y (x - y W)` (Oja 1982).

    Arguments:
        learning_rate: size of a change in one step.
        variable: the activity, `"rate"` by default.
        w_min, w_max: bounds of the weight; none by default.

    Raises:
        OptionError: there are no weights yet, or `w_min` is not below `w_max`.

    >>> from recurra.behaviors import CreateWeights, RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> source = NeuronGroup(net, 1, behavior={1: RateUnits(I_ext=2.0)})
    >>> target = NeuronGroup(net, 1, behavior={3: RateUnits(I_ext=3.0)})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> synapses = SynapseGroup(net, source, target, behavior={2: start, 5: Oja(learning_rate=0.1)})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> float(synapses.W[0, 0].round(6))
    0.65
    """

    def initialize(self, synapses: Any) -> None:
        """Read the constants."""
        self.read(synapses, None, None)

    def iteration(self, synapses: Any) -> None:
        """Change the weights."""
        x, y = self.activities(synapses)
        decrease = (y**2)[:, None] * weights(synapses)
        self.change(synapses, self.learning_rate * (np.outer(y, x) - decrease))


class BCM(_RateRule):
    """Let a sliding threshold decide between strengthening and weakening.

    `W += learning_rate y (y - theta) x`, `tau dtheta/dt = y^2 / y0 - theta` for each target. Source: Bienenstock,
    Cooper and Munro (1982), with the threshold of Intrator and Cooper (1992).

    Arguments:
        learning_rate: size of a change in one step.
        tau: time constant of the threshold (ms).
        y0: activity at which the threshold equals the activity.
        theta_init: threshold at the beginning.
        variable: the activity, `"rate"` by default.
        w_min, w_max: bounds of the weight; at least 0 by default.
        dt: step (ms).

    Variables: `synapses.theta` `(dst,)`, `W`.

    Raises:
        OptionError: there are no weights yet, or `w_min` is not below `w_max`.

    >>> from recurra.behaviors import CreateWeights, RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup, SynapseGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> source = NeuronGroup(net, 1, behavior={1: RateUnits(I_ext=2.0)})
    >>> target = NeuronGroup(net, 1, behavior={3: RateUnits(I_ext=3.0)})
    >>> start = CreateWeights(distribution=0.5, normalize=False)
    >>> rule = BCM(learning_rate=0.1, theta_init=1.0, tau=100.0)
    >>> synapses = SynapseGroup(net, source, target, behavior={2: start, 5: rule})
    >>> net.initialize()
    >>> net.simulate_iterations(1)  # y = 3 is above the threshold 1: W = 0.5 + 0.1 * 3 * (3 - 1) * 2
    >>> float(synapses.W[0, 0].round(6))
    1.7
    >>> net.simulate_iterations(2000)  # the threshold goes to y^2 / y0 = 9, and the weight to its bound
    >>> float(synapses.theta[0].round(6)), float(synapses.W[0, 0])
    (9.0, 0.0)
    """

    def initialize(self, synapses: Any) -> None:
        """Read the constants."""
        self.read(synapses, 0.0, None)
        self.decay = decay(self, "tau", self.parameter("tau", 100.0), time_step(self, synapses))
        self.y0 = positive(self, "y0", self.parameter("y0", 1.0))
        synapses.theta = synapses.dst.vector(self.parameter("theta_init", 0.0))
        keep(synapses, 1 - self.decay, "theta")

    def iteration(self, synapses: Any) -> None:
        """Change the weights, then the threshold."""
        x, y = self.activities(synapses)
        self.change(synapses, self.learning_rate * np.outer(y * (y - synapses.theta), x))
        goal = y**2 / self.y0
        synapses.theta[:] = goal + (synapses.theta - goal) * self.decay
