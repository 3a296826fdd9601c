"""Models of neurons with one compartment and a reset, and units that have a rate or are on or off."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from recurra.behaviors.conventions import (
    begin,
    close_channels,
    decay,
    keep,
    not_negative,
    one_of,
    open_channels,
    positive,
    refractory_steps,
    steps_of,
    take_conductance,
    time_step,
    whole_number,
)
from recurra.groups import Behavior
from recurra.groups.behavior import check_length


class LeakyIntegrateAndFire(Behavior):
    """Integrate the input with a leak, and fire at a threshold.

    `tau dv/dt = v_rest - v + resistance * (I + I_ext)`; at `v >= threshold` a spike, and `v = v_reset` until the time
    `refractory` since the spike is over. Source: Lapicque (1907); the step is exact for an input, and for a
    conductance, that is constant within it (Rotter and Diesmann 1999).

    Arguments (texts such as `"normal(20, 2)"` give each neuron its own):
        tau: time constant of the membrane (ms).
        v_rest: potential without input (mV).
        v_reset: potential after a spike (mV).
        threshold: where a spike begins (mV); becomes `neurons.threshold`.
        resistance: of the membrane: 1 for an input in mV, or MOhm for one in nA.
        refractory: time since a spike until which `v` stays at `v_reset` (ms), as in Brian2; one step is as none.
        I_ext: constant input, added to `neurons.I`.
        v_init: potential at the beginning (mV); `v_rest` by default.
        dt: step (ms).

    Variables: `v`, `spike`, `I`, `threshold`, `excess` (v less the threshold, before the reset).

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork()
    >>> cell = NeuronGroup(net, 1, behavior={1: LeakyIntegrateAndFire(I_ext=20, refractory=2.0), 2: Recorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(100)
    >>> (np.flatnonzero(net["spike", 0]) + 1).tolist()
    [28, 57, 86]
    """

    def initialize(self, neurons: Any) -> None:
        """Set the membrane to its beginning."""
        dt = time_step(self, neurons)
        self.v_rest = self.parameter("v_rest", -65.0, neurons)
        self.v_reset = self.parameter("v_reset", -65.0, neurons)
        self.resistance = self.parameter("resistance", 1.0, neurons)
        self.I_ext = self.parameter("I_ext", 0.0, neurons)
        self.decay = decay(self, "tau", self.parameter("tau", 20.0, neurons), dt)
        self.refractory_steps = refractory_steps(self, "refractory", self.parameter("refractory", 0.0, neurons), dt)
        take_conductance(neurons)
        neurons.threshold = neurons.vector(self.parameter("threshold", -50.0, neurons))
        neurons.v = neurons.vector(self.parameter("v_init", self.v_rest, neurons))
        neurons.excess = neurons.v - neurons.threshold
        neurons.spike = neurons.vector(bool)
        neurons.I = neurons.vector()
        self.waiting = np.zeros(neurons.size, dtype=np.int64)
        keep(neurons, 1 - self.decay, "v")

    def iteration(self, neurons: Any) -> None:
        """Integrate, fire, reset."""
        goal = self.v_rest + self.resistance * (neurons.I + self.I_ext)
        kept = self.decay
        if open_channels(neurons):
            total = 1 + self.resistance * neurons.conductance
            goal = (goal + self.resistance * neurons.conductance_v) / total
            kept = kept**total
            close_channels(neurons)
        neurons.v[:] = np.where(self.waiting > 0, self.v_reset, goal + (neurons.v - goal) * kept)
        neurons.excess = neurons.v - neurons.threshold
        neurons.spike = (neurons.excess >= 0) & (self.waiting <= 0)
        neurons.v[:] = np.where(neurons.spike, self.v_reset, neurons.v)
        self.waiting = np.where(neurons.spike, self.refractory_steps, np.maximum(self.waiting - 1, 0))
        neurons.I.fill(0)


class Izhikevich(Behavior):
    """Fire in one of the patterns of cortical neurons.

    `dv/dt = 0.04 v^2 + 5 v + 140 - u + I`, `du/dt = a (b v - u)`; at `v >= 30` a spike, `v = c` and `u = u + d`.
    Source: Izhikevich (2003), with the order of its published script: who stands at the peak fires and is reset, then
    `v` is advanced in two halves of the step and `u` after it. Conductances of synapses are taken implicitly.

    Arguments (texts such as `"uniform(0.02, 0.1)"` give each neuron its own):
        kind: the pattern that sets a, b, c and d: `"regular spiking"`, `"intrinsically bursting"`, `"chattering"`,
            `"fast spiking"`, `"thalamo-cortical"`, `"resonator"`, `"low-threshold spiking"`.
        a: rate of recovery (1/ms).
        b: sensitivity of the recovery to `v`.
        c: potential after a spike (mV).
        d: what a spike adds to the recovery.
        peak: where a spike ends (mV).
        I_ext: constant input, added to `neurons.I`.
        v_init: potential at the beginning (mV).
        dt: step (ms); the model was published for 1 ms.

    Variables: `v`, `u`, `spike`, `I`.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork()
    >>> cell = NeuronGroup(net, 1, behavior={1: Izhikevich(kind="chattering", I_ext=10.0), 2: Recorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(60)
    >>> np.flatnonzero(net["spike", 0]).tolist()
    [4, 7, 10, 14]
    """

    KINDS: ClassVar[dict[str, tuple[float, float, float, float]]] = {
        "regular spiking": (0.02, 0.2, -65.0, 8.0),
        "intrinsically bursting": (0.02, 0.2, -55.0, 4.0),
        "chattering": (0.02, 0.2, -50.0, 2.0),
        "fast spiking": (0.1, 0.2, -65.0, 2.0),
        "thalamo-cortical": (0.02, 0.25, -65.0, 0.05),
        "resonator": (0.1, 0.26, -65.0, 2.0),
        "low-threshold spiking": (0.02, 0.25, -65.0, 2.0),
    }

    def initialize(self, neurons: Any) -> None:
        """Set the neurons to their beginning."""
        self.dt = time_step(self, neurons)
        kind = one_of(self, "kind", self.parameter("kind", "regular spiking"), self.KINDS)
        a, b, c, d = self.KINDS[kind]
        self.a = self.parameter("a", a, neurons)
        self.b = self.parameter("b", b, neurons)
        self.c = self.parameter("c", c, neurons)
        self.d = self.parameter("d", d, neurons)
        self.peak = self.parameter("peak", 30.0, neurons)
        self.I_ext = self.parameter("I_ext", 0.0, neurons)
        neurons.v = neurons.vector(self.parameter("v_init", -65.0, neurons))
        take_conductance(neurons)
        neurons.u = neurons.vector(self.b * neurons.v)
        keep(neurons, self.dt * np.asarray(self.a), "u")
        neurons.spike = neurons.vector(bool)
        neurons.I = neurons.vector()

    def iteration(self, neurons: Any) -> None:
        """Fire, reset, integrate."""
        neurons.spike = neurons.v >= self.peak
        neurons.v[:] = np.where(neurons.spike, self.c, neurons.v)
        neurons.u += self.d * neurons.spike
        drive = 140 - neurons.u + neurons.I + self.I_ext
        if open_channels(neurons):
            drive = drive + neurons.conductance_v
            total = 1 + 0.5 * self.dt * neurons.conductance
            for _ in range(2):
                slope = 0.04 * neurons.v**2 + 5 * neurons.v + drive - neurons.conductance * neurons.v
                neurons.v += 0.5 * self.dt * slope / total
            close_channels(neurons)
        else:
            for _ in range(2):
                neurons.v += 0.5 * self.dt * (0.04 * neurons.v**2 + 5 * neurons.v + drive)
        neurons.u += self.dt * self.a * (self.b * neurons.v - neurons.u)
        neurons.I.fill(0)


class AdaptiveExponential(Behavior):
    """Integrate with an exponential upstroke and an adaptation (AdEx).

    `C dv/dt = -g_L (v - E_L) + g_L Delta_T exp((v - V_T) / Delta_T) - w + I`, `tau_w dw/dt = a (v - E_L) - w`; at
    `v >= v_peak` a spike, `v = v_reset` and `w = w + b`. Source: Brette and Gerstner (2005); Euler's method, with the
    conductances of synapses taken implicitly.

    Arguments (texts such as `"normal(281, 20)"` give each neuron its own):
        C: capacitance (pF).
        g_L: leak conductance (nS).
        E_L: leak reversal potential (mV).
        V_T: threshold of the upstroke (mV).
        Delta_T: its sharpness (mV).
        tau_w: time constant of the adaptation (ms).
        a: adaptation below the threshold (nS).
        b: adaptation by a spike (pA).
        v_reset: potential after a spike (mV).
        v_peak: where a spike ends (mV).
        I_ext: constant input (pA), added to `neurons.I`.
        v_init: potential at the beginning (mV); `E_L` by default.
        dt: step (ms); 0.1 or less is advisable.

    Variables: `v`, `w`, `spike`, `I` (pA).

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork()
    >>> cell = NeuronGroup(net, 1, behavior={1: AdEx(I_ext=1000.0, dt=0.1), 2: Recorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(1000)
    >>> intervals = np.diff(np.flatnonzero(net["spike", 0]))
    >>> bool(np.all(np.diff(intervals) > 0))  # they grow: it adapts
    True
    """

    def initialize(self, neurons: Any) -> None:
        """Set the membrane to its beginning."""
        self.dt = time_step(self, neurons)
        self.C = positive(self, "C", self.parameter("C", 281.0, neurons))
        self.g_L = positive(self, "g_L", self.parameter("g_L", 30.0, neurons))
        self.E_L = self.parameter("E_L", -70.6, neurons)
        self.V_T = self.parameter("V_T", -50.4, neurons)
        self.Delta_T = positive(self, "Delta_T", self.parameter("Delta_T", 2.0, neurons))
        self.tau_w = positive(self, "tau_w", self.parameter("tau_w", 144.0, neurons))
        self.a = self.parameter("a", 4.0, neurons)
        self.b = self.parameter("b", 80.5, neurons)
        self.v_reset = self.parameter("v_reset", -70.6, neurons)
        self.v_peak = self.parameter("v_peak", 20.0, neurons)
        self.I_ext = self.parameter("I_ext", 0.0, neurons)
        take_conductance(neurons)
        neurons.v = neurons.vector(self.parameter("v_init", self.E_L, neurons))
        neurons.w = neurons.vector()
        keep(neurons, self.dt / np.asarray(self.tau_w), "w")
        neurons.spike = neurons.vector(bool)
        neurons.I = neurons.vector()

    def iteration(self, neurons: Any) -> None:
        """Integrate, fire, reset."""
        above = neurons.v - self.E_L
        # At 50 the upstroke passes the peak within any step; without the bound float32 overflows.
        upstroke = self.Delta_T * np.exp(np.minimum((neurons.v - self.V_T) / self.Delta_T, 50))
        current = self.g_L * (upstroke - above) - neurons.w + neurons.I + self.I_ext
        neurons.w += self.dt / self.tau_w * (self.a * above - neurons.w)
        if open_channels(neurons):
            current = current + neurons.conductance_v - neurons.conductance * neurons.v
            neurons.v += self.dt / self.C * current / (1 + self.dt / self.C * neurons.conductance)
            close_channels(neurons)
        else:
            neurons.v += self.dt / self.C * current
        neurons.spike = neurons.v >= self.v_peak
        neurons.v[:] = np.where(neurons.spike, self.v_reset, neurons.v)
        neurons.w += self.b * neurons.spike
        neurons.I.fill(0)


AdEx = AdaptiveExponential


class Refractoriness(Behavior):
    """Keep neurons of any model from firing for a while after a spike; give it a number behind the model's.

    Until the time `period` since a spike is over, a variable is held at the value that the reset gave it, and
    `neurons.spike` is false: with a period of three steps every third step can have a spike.

    Arguments:
        period: how long (ms); a text such as `"uniform(1, 3)"` gives each neuron its own.
        variable: what is held; `"v"` by default.
        dt: step (ms).

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork(dtype=np.float64)
    >>> model = LeakyIntegrateAndFire(I_ext=1000.0)
    >>> cells = NeuronGroup(net, 1, behavior={1: model, 2: Refractoriness(period=3.0), 3: Recorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(8)
    >>> net["spike", 0].ravel().tolist()
    [True, False, False, True, False, False, True, False]
    """

    def initialize(self, neurons: Any) -> None:
        """Let all neurons be ready."""
        dt = time_step(self, neurons)
        self.steps = refractory_steps(self, "period", self.parameter("period", 2.0, neurons), dt)
        self.variable = self.parameter("variable", "v")
        self.left = np.zeros(neurons.size, dtype=np.int64)
        self.held = neurons.vector()

    def iteration(self, neurons: Any) -> None:
        """Hold those that fired not long ago."""
        value = getattr(neurons, self.variable)
        refractory = self.left > 0
        value[refractory] = self.held[refractory]
        neurons.spike[refractory] = False
        self.held = np.where(neurons.spike, value, self.held)
        self.left = np.where(neurons.spike, self.steps, np.maximum(self.left - 1, 0))


class RateUnits(Behavior):
    """Answer the input with a rate instead of spikes.

    `tau d rate/dt = -rate + f(I + I_ext)`, exact for an input that is constant within a step; without `tau`,
    `rate = f(I + I_ext)` at once.

    Arguments:
        activation: f: `"linear"`, `"relu"`, `"tanh"`, `"sigmoid"` or `"sign"` (1 at 0).
        tau: time constant (ms); none by default.
        I_ext: constant input, added to `neurons.I`.
        rate_init: rate at the beginning, such as `"uniform(0, 1)"`.
        dt: step (ms).

    Variables: `rate`, `I`.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> cells = NeuronGroup(net, 4, behavior={1: RateUnits(activation="tanh", I_ext="uniform(-3, 3)")})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> bool(np.abs(cells.rate).max() < 1)
    True
    """

    ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "sign")

    def initialize(self, neurons: Any) -> None:
        """Set the rates to their beginning."""
        self.activation = one_of(self, "activation", self.parameter("activation", "linear"), self.ACTIVATIONS)
        tau = self.parameter("tau", None, neurons)
        check_length(tau, neurons, f"{type(self).__name__}, parameter 'tau'")
        self.decay = 0.0 if tau is None else decay(self, "tau", tau, time_step(self, neurons))
        self.I_ext = self.parameter("I_ext", 0.0, neurons)
        neurons.rate = neurons.vector(self.parameter("rate_init", 0.0, neurons))
        keep(neurons, 1 - self.decay, "rate")
        neurons.I = neurons.vector()

    def iteration(self, neurons: Any) -> None:
        """Let the rate follow the input."""
        drive = neurons.I + self.I_ext
        if self.activation == "relu":
            drive = np.where(drive > 0, drive, 0)
        elif self.activation == "tanh":
            drive = np.tanh(drive)
        elif self.activation == "sigmoid":
            drive = 0.5 + 0.5 * np.tanh(0.5 * drive)
        elif self.activation == "sign":
            drive = np.where(drive >= 0, 1, -1)
        neurons.rate[:] = drive + (neurons.rate - drive) * self.decay
        neurons.I.fill(0)


class BinaryUnits(Behavior):
    """Be on where the input exceeds a threshold (McCulloch and Pitts 1943): `spike = I + I_ext > threshold`.

    Arguments:
        threshold: where a unit turns on; becomes `neurons.threshold`. A text gives each unit its own.
        I_ext: constant input, added to `neurons.I`.
        density: probability that a unit is on at the beginning.

    Variables: `spike`, `threshold`, `I`, `excess` (the summed input less the threshold).

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> cells = NeuronGroup(net, 1, behavior={1: BinaryUnits(threshold=0.5, I_ext=1.0)})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> cells.spike.tolist()
    [True]
    """

    def initialize(self, neurons: Any) -> None:
        """Set the units to their beginning."""
        self.I_ext = self.parameter("I_ext", 0.0, neurons)
        neurons.threshold = neurons.vector(self.parameter("threshold", 0.5, neurons))
        neurons.spike = neurons.vector("ones", density=self.parameter("density", 0.0)) > 0
        neurons.excess = neurons.vector()
        neurons.I = neurons.vector()

    def iteration(self, neurons: Any) -> None:
        """Compare the input with the threshold."""
        neurons.excess = neurons.I + self.I_ext - neurons.threshold
        neurons.spike = neurons.excess > 0
        neurons.I.fill(0)


class KWinnersTakeAll(Behavior):
    """Leave the k largest of a variable, and set the others to 0 (or False); give it a number behind the model's.

    Of equal values the first win. Source: Majani, Erlanson and Abu-Mostafa (1988).

    Arguments:
        k: how many may win.
        variable: what is left or set to 0: `"spike"` by default, of which only those that fired can win.
        by: whose values are compared: `"excess"` by default, by which the threshold was passed.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> cells = NeuronGroup(net, 10, behavior={1: BinaryUnits(I_ext="uniform(1, 2)"), 2: KWinnersTakeAll(k=3)})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> int(cells.spike.sum())
    3
    """

    def initialize(self, neurons: Any) -> None:
        """Read how many win."""
        self.k = whole_number(self, "k", self.parameter("k", 1), 1)
        self.variable = self.parameter("variable", "spike")
        self.by = self.parameter("by", "excess")
        begin(neurons, self.variable, "bool" if self.variable == "spike" else "zeros()")

    def iteration(self, neurons: Any) -> None:
        """Let the losers be silent."""
        value = getattr(neurons, self.variable)
        compared = getattr(neurons, self.by)
        if self.variable == "spike":
            compared = np.where(value, compared, -np.inf)
        order = np.argsort(-compared, kind="stable")
        winners = np.argsort(order, kind="stable") < self.k
        value[~winners] = 0


class NoiseInput(Behavior):
    """Add normally distributed noise to the input, anew in each step.

    Arguments:
        std: standard deviation in a step; a text gives each neuron its own.
        mean: its mean.
        white: whether `std` is that of white noise, in the unit of the variable times sqrt(ms): then it is divided by
            sqrt(dt), and the variance that a leaky neuron collects does not depend on the step.
        target: what it is added to; `"I"` by default.
        dt: step (ms); used with `white`.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> cells = NeuronGroup(net, 1000, behavior={1: NoiseInput(std=2.0), 2: RateUnits(activation="linear")})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> bool(1.8 < cells.rate.std() < 2.2)
    True
    """

    def initialize(self, neurons: Any) -> None:
        """Read how strong it is."""
        self.mean = self.parameter("mean", 0.0, neurons)
        self.std = not_negative(self, "std", self.parameter("std", 1.0, neurons))
        if self.parameter("white", False):
            self.std = self.std / time_step(self, neurons) ** 0.5
        self.target = self.parameter("target", "I")
        begin(neurons, self.target)

    def iteration(self, neurons: Any) -> None:
        """Add the noise of the step."""
        value = getattr(neurons, self.target)
        value += self.mean + self.std * neurons.vector("normal(0, 1)")


class CurrentInput(Behavior):
    """Add a constant input between two times.

    Arguments:
        current: the input; a text gives each neuron its own.
        start: when it begins (ms).
        stop: when it ends (ms); never by default.
        dt: step (ms).

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork(dtype=np.float64)
    >>> current = CurrentInput(current=2.0, start=3.0)
    >>> cells = NeuronGroup(net, 1, behavior={1: current, 2: RateUnits(), 3: Recorder("rate")})
    >>> net.initialize()
    >>> net.simulate_iterations(5)
    >>> net["rate", 0].ravel().tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0]
    """

    def initialize(self, neurons: Any) -> None:
        """Read when it is on."""
        self.current = self.parameter("current", 1.0, neurons)
        start, stop = self.parameter("start", 0.0), self.parameter("stop", None)
        dt = time_step(self, neurons) if start or stop is not None else 1.0  # else it is on at any time
        self.first = steps_of(self, "start", start, dt)
        self.last = np.iinfo(np.int64).max if stop is None else steps_of(self, "stop", stop, dt)
        begin(neurons, "I")

    def iteration(self, neurons: Any) -> None:
        """Add it while it is on."""
        step = neurons.iteration - 1
        on = (step >= self.first) & (step < self.last)
        neurons.I += self.current * on
