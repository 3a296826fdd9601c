"""More networks as people write them: see `foreign_networks.py`."""
# ruff: noqa: NPY002, UP031

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from foreign_networks import LIF, Basic, SineCurrent
from foreign_networks import NETWORKS as FIRST
from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup, afferent

# -- Hodgkin and Huxley, with functions of the module for the rates --------------------------------------------------


def alpha_n(v):
    return 0.01 * (v + 55) / (1 - np.exp(-(v + 55) / 10))


def alpha_m(v):
    return 0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10))


RATES = {"n": (alpha_n, lambda v: 0.125 * np.exp(-(v + 65) / 80)), "m": (alpha_m, lambda v: 4 * np.exp(-(v + 65) / 18)),
         "h": (lambda v: 0.07 * np.exp(-(v + 65) / 20), lambda v: 1 / (1 + np.exp(-(v + 35) / 10)))}  # fmt: skip


class HodgkinHuxley(Behavior):
    def initialize(self, neurons):
        neurons.v, neurons.n, neurons.m, neurons.h = (neurons.vector(x) for x in (-64.3, 0.32, 0.05, 0.6))

    def iteration(self, neurons):
        dt = 0.01
        current = 10.0 if 5 < neurons.iteration < 25 else 0.0
        for gate, (alpha, beta) in RATES.items():
            x = getattr(neurons, gate)
            setattr(neurons, gate, x + dt * (alpha(neurons.v) * (1 - x) - beta(neurons.v) * x))
        sodium = 120 * neurons.m**3 * neurons.h * (neurons.v - 50)
        potassium = 36 * neurons.n**4 * (neurons.v + 77)
        neurons.v = neurons.v + dt * (current - sodium - potassium - 0.3 * (neurons.v + 54.4))


def hodgkin_huxley():
    net = Network(seed=11)
    NeuronGroup(net=net, size=3, tag="cells", behavior={1: HodgkinHuxley(), 9: Recorder(["v", "n", "m", "h"])})
    return net


# -- a Hopfield network, asynchronous and with patterns in a list ----------------------------------------------------


class Hopfield(Behavior):
    def initialize(self, n):
        self.patterns = [np.sign(np.random.randn(n.size)) for _ in range(2)]
        self.W = sum(np.outer(p, p) for p in self.patterns) / n.size
        np.fill_diagonal(self.W, 0)
        n.s, n.energy, n.overlap = np.sign(np.random.randn(n.size)), 0.0, np.zeros(2)

    def iteration(self, n):
        i = n.iteration % n.size
        n.s[i] = 1.0 if self.W[i] @ n.s >= 0 else -1.0
        n.energy = -0.5 * n.s @ self.W @ n.s
        n.overlap = np.array([p @ n.s / n.size for p in self.patterns])


def hopfield():
    net = Network(seed=12)
    NeuronGroup(net=net, size=16, tag="cells", behavior={1: Hopfield(), 9: Recorder(["s", "energy", "overlap"])})
    return net


# -- reward: an actor in a small world, with counters and a dopamine trace -------------------------------------------


@dataclass
class World:
    position: int = 0
    goal: int = 6
    rewards: int = 0

    def move(self, right):
        self.position = min(max(self.position + (1 if right else -1), 0), 9)
        if self.position == self.goal:
            self.rewards += 1
            self.position = 0
            return 1.0
        return 0.0


class Actor(Behavior):
    def initialize(self, n):
        self.world, n.w, n.trace, n.dopamine = World(), n.vector("uniform"), n.vector(), 0.0

    def iteration(self, n):
        here = np.exp(-0.5 * (np.arange(n.size) - self.world.position) ** 2)
        right = (n.w * here).sum() + 0.3 * np.random.randn() > 0.5
        reward = self.world.move(right)
        n.dopamine = 0.8 * n.dopamine + reward
        n.trace = 0.9 * n.trace + here
        n.w += 0.05 * n.dopamine * n.trace


def actor():
    net = Network(seed=13)
    NeuronGroup(net=net, size=10, tag="cells", behavior={1: Actor(), 9: Recorder(["w", "dopamine"])})
    return net


# -- rates in groups that excite and inhibit each other, with noise and a pulse --------------------------------------


class WilsonCowan(Behavior):
    def initialize(self, n):
        n.r, self.tau = n.vector(0.1), self.parameter("tau", 10.0)

    def iteration(self, n):
        drive = n.vector(1.5 if 10 <= n.iteration < 15 else 0.2)
        for s in n.synapses(afferent):
            drive += s.weight * s.src.r.mean() * (-1 if "INH" in s.src.tags else 1)
        n.r += (-n.r + 1 / (1 + np.exp(-4 * (drive - 0.5)))) / self.tau + 0.01 * np.random.normal(0, 1, n.size)


class Weight(Behavior):
    def initialize(self, s):
        s.weight = self.parameter("value", 1.0)


def wilson_cowan():
    net = Network(seed=14)
    e = NeuronGroup(net=net, size=8, tag="EXC", behavior={1: WilsonCowan(), 9: Recorder("r")})
    i = NeuronGroup(net=net, size=4, tag="INH", behavior={1: WilsonCowan(tau=20.0), 9: Recorder("r")})
    for src, dst, value in ((e, e, 1.2), (e, i, 1.0), (i, e, 1.0)):
        SynapseGroup(net=net, src=src, dst=dst, tag="S", behavior={0: Weight(value=value)})
    return net


# -- spikes kept in a deque, bursts counted, early stopping by an error ----------------------------------------------


class Window(Behavior):
    def initialize(self, n):
        self.window = deque([0.0] * 5, maxlen=5)
        n.rate, n.bursts = 0.0, 0

    def iteration(self, n):
        self.window.append(n.spike.mean())
        n.rate = sum(self.window) / len(self.window)
        if n.rate > 0.2:
            n.bursts += 1
        if np.isnan(n.v).any():
            raise ValueError(f"nan in iteration {n.iteration}")


def window_of_rates():
    net = Network(seed=15)
    NeuronGroup(net=net, size=15, tag="cells", behavior={1: SineCurrent(), 2: LIF(), 3: Window(),
                                                         9: Recorder(["rate", "bursts"])})  # fmt: skip
    return net


# -- short-term plasticity and a Poisson source with rates in a table ------------------------------------------------


class PoissonRates(Behavior):
    def initialize(self, n):
        self.table = {"low": 0.05, "high": 0.3}
        self.order = ["low", "high", "low", "low"]
        n.spike = n.vector(bool)

    def iteration(self, n):
        rate = self.table[self.order[n.iteration // 8 % 4]]
        n.spike = np.random.rand(n.size) < rate


class TsodyksMarkram(Behavior):
    def initialize(self, n):
        n.v = n.vector()
        for s in n.synapses(afferent):
            s.x, s.u, s.W = np.ones(s.src.size), np.full(s.src.size, 0.2), s.matrix("uniform")

    def iteration(self, n):
        for s in n.synapses(afferent):
            s.u += (0.2 - s.u) / 50.0
            s.x += (1.0 - s.x) / 20.0
            pre = s.src.spike
            s.u[pre] += 0.2 * (1 - s.u[pre])
            released = np.zeros(s.src.size)
            released[pre] = s.u[pre] * s.x[pre]
            s.x[pre] -= released[pre]
            n.v = 0.9 * n.v + s.W @ released


def short_term_plasticity():
    net = Network(seed=16)
    source = NeuronGroup(net=net, size=10, tag="source", behavior={1: PoissonRates()})
    cells = NeuronGroup(net=net, size=4, tag="cells", behavior={2: TsodyksMarkram(), 9: Recorder("v")})
    SynapseGroup(net=net, src=source, dst=cells, tag="FF")
    return net


# -- a self-organising map on a grid ---------------------------------------------------------------------------------

SAMPLES = np.random.RandomState(17).rand(200, 3)


class Kohonen(Behavior):
    def initialize(self, n):
        self.x, self.y = np.meshgrid(np.arange(4), np.arange(4))
        n.w, n.winner = np.random.rand(16, 3), 0

    def iteration(self, n):
        sample = SAMPLES[np.random.randint(len(SAMPLES))]
        distance = ((n.w - sample) ** 2).sum(axis=1)
        n.winner = np.argmin(distance)
        radius = max(0.5, 2.0 * (1 - n.iteration / 100))
        i, j = n.winner // 4, n.winner % 4
        near = np.exp(-((self.x.ravel() - j) ** 2 + (self.y.ravel() - i) ** 2) / (2 * radius**2))
        n.w += 0.1 * near[:, None] * (sample - n.w)


def kohonen():
    net = Network(seed=17)
    NeuronGroup(net=net, size=16, tag="cells", behavior={1: Kohonen(), 9: Recorder(["w", "winner"])})
    return net


# -- a network whose activity is written to a log and changes its own parameters by name -----------------------------


class Logged(Behavior):
    def initialize(self, n):
        self.log = []

    def iteration(self, n):
        self.log.append("%d: %.3f" % (n.iteration, n.voltage.mean()))


class Adaptive(Behavior):
    def initialize(self, n):
        self.gains = {"up": 1.01, "down": 0.98}
        n.gain = n.vector(1.0)

    def iteration(self, n):
        key = "up" if n.spike.mean() < 0.1 else "down"
        n.gain *= self.gains[key]
        n.voltage *= n.gain


def logged():
    net = Network(seed=18)
    NeuronGroup(net=net, size=12, tag="cells", behavior={1: Basic(), 2: Adaptive(), 3: Logged(),
                                                         9: Recorder(["voltage", "gain"])})  # fmt: skip
    return net


NETWORKS = FIRST | {function.__name__: function for function in (
    hodgkin_huxley, hopfield, actor, wilson_cowan, window_of_rates, short_term_plasticity, kohonen,
    logged)}  # fmt: skip
