"""Whole networks: several groups, sub-groups, synapses that learn, behaviors everywhere; compiled as in NumPy."""
# ruff: noqa: NPY002

from __future__ import annotations

import numpy as np
import pytest

from corpus import agree
from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, afferent, efferent


class Random(Behavior):
    """Give synapses random weights."""

    def initialize(self, s):
        s.W = s.matrix(self.parameter("mode", "uniform"), density=self.parameter("density", 0.5))
        s.W *= self.parameter("scale", 1.0)


class Leaky(Behavior):
    def initialize(self, n):
        n.v = n.vector("uniform")
        n.spike = n.v > 2
        n.old = n.v > 2
        n.threshold = n.vector() + 0.5

    def iteration(self, n):
        n.old = n.spike
        n.spike = n.v > n.threshold
        n.v[n.spike] = 0.0
        n.v *= 0.9
        n.v += n.vector("uniform", density=0.3) * 0.6


class Input(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            n.v += s.W.dot(s.src.spike) * 0.05 * (-1 if "INH" in s.tags else 1)


class Rule(Behavior):
    """Learn at the synapses themselves: spike-timing dependent plasticity."""

    def iteration(self, s):
        s.W += 0.01 * s.dst.spike[:, None] * s.src.old[None, :]
        s.W -= 0.01 * s.dst.old[:, None] * s.src.spike[None, :]
        np.clip(s.W, 0.0, 1.0, out=s.W)


class SparseRule(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            s.W[np.ix_(s.dst.spike, s.src.old)] += 0.01
            s.W[np.ix_(s.dst.old, s.src.spike)] -= 0.01
            s.W[s.W < 0.0] = 0.0


class Homeostasis(Behavior):
    def initialize(self, n):
        self.target, self.rate = self.parameter("target", 0.1), self.parameter("rate", 0.01)
        n.average = n.vector() + self.target

    def iteration(self, n):
        n.average += 0.1 * (n.spike - n.average)
        n.threshold += self.rate * np.clip(n.average - self.target, -0.5, 0.5)


class Normalize(Behavior):
    def initialize(self, n):
        self.every = self.parameter("every", 1)

    def iteration(self, n):
        if n.iteration % self.every:
            return
        total = n.vector()
        for s in n.synapses(afferent):
            total += np.sum(s.W, axis=1)
        total[total == 0] = 1.0
        for s in n.synapses(afferent):
            s.W /= total[:, None]


class Note(Behavior):
    """Write its number into what the whole network shares: shows the order of execution."""

    def iteration(self, obj):
        net = obj.network if hasattr(obj, "network") else obj
        net.log[net.at] = self.parameter("number", 0)
        net.at += 1


class Log(Behavior):
    def initialize(self, net):
        net.log, net.at = np.zeros(8, np.int64), 0
        net.history = np.zeros((3, 8))

    def iteration(self, net):
        net.history[:-1] = net.history[1:]
        net.history[-1] = net.log * 1.5
        net.at = 0


def plastic() -> Network:
    net = Network(seed=2)
    behaviors = {
        1: Leaky(),
        2: Input(),
        3: Homeostasis(),
        5: Normalize(every=4),
        9: Recorder(["np.mean(v)", "threshold"]),
    }
    cells = NeuronGroup(net=net, size=10, tag="cells", behavior=behaviors | {10: EventRecorder("spike")})
    SynapseGroup(net=net, src=cells, dst=cells, tag="EXC", behavior={0: Random(), 4: Rule()})
    return net


def excitation_and_inhibition() -> Network:
    net = Network(seed=3)
    e = NeuronGroup(
        net=net, size=9, tag="e", behavior={1: Leaky(), 2: Input(), 4: SparseRule(), 9: Recorder("v", gapwidth=3)}
    )
    i = NeuronGroup(net=net, size=4, tag="i", behavior={1: Leaky(), 2: Input(), 9: EventRecorder("spike")})
    for src, dst, tag in ((e, e, "EXC,ee"), (e, i, "EXC,ie"), (i, e, "INH,ei"), (i, i, "INH,ii")):
        SynapseGroup(net=net, src=src, dst=dst, tag=tag, behavior={0: Random(density=0.8)})
    return net


class Izhikevich(Behavior):
    def initialize(self, n):
        n.a, n.b = n.vector("uniform(0.02, 0.1)"), n.vector("uniform(0.2, 0.25)")
        n.v = n.vector() - 65.0
        n.u = n.v * n.b
        n.current = n.vector()
        n.spike = n.v > 0

    def iteration(self, n):
        n.spike = n.v >= 30.0
        if np.sum(n.spike) > 0:
            n.v[n.spike] = -65.0
            n.u[n.spike] += 8.0
        n.current = n.vector("normal(6, 2)")
        for s in n.synapses(afferent):
            n.current += np.sum(s.W[:, s.src.spike], axis=1)
        for _ in range(2):
            n.v += 0.5 * (0.04 * n.v**2 + 5 * n.v + 140 - n.u + n.current)
        n.u += n.a * (n.b * n.v - n.u)


def izhikevich() -> Network:
    net = Network(seed=1, dtype=np.float64)
    groups = [
        NeuronGroup(net=net, size=size, tag=tag, behavior={1: Izhikevich(), 9: Recorder(["v", "u"])})
        for tag, size in (("e", 8), ("i", 3))
    ]
    for src in groups:
        for dst in groups:
            SynapseGroup(
                net=net,
                src=src,
                dst=dst,
                tag=f"{src.tag}{dst.tag}",
                behavior={0: Random(scale=5.0 if src.tag == "e" else -9.0)},
            )
    return net


def keys_across_groups() -> Network:
    net = Network(seed=1, behavior={-5: Log(), 2: Note(number=1)})
    a = NeuronGroup(net=net, size=3, tag="a", behavior={1: Note(number=2), 2: Note(number=3), 0.5: Note(number=4)})
    b = NeuronGroup(net=net, size=3, tag="b", behavior={-1: Note(number=5), 1: Note(number=6), 7: Note(number=7)})
    SynapseGroup(net=net, src=a, dst=b, tag="s", behavior={1: Note(number=8)})
    return net


class Doubling(Behavior):
    def initialize(self, n):
        n.x = n.vector() + 1.0

    def iteration(self, n):
        n.x += sum(s.src.x.mean() for s in n.synapses(afferent)) - 0.5 * n.x


def seen_at_once() -> Network:
    """Within one number, a later group sees what an earlier one has just written."""
    net = Network()
    a = NeuronGroup(net=net, size=2, tag="a", behavior={1: Doubling(), 2: Recorder("x")})
    b = NeuronGroup(net=net, size=3, tag="b", behavior={1: Doubling(), 2: Recorder("x")})
    SynapseGroup(net=net, src=a, dst=b, tag="ab")
    SynapseGroup(net=net, src=b, dst=a, tag="ba")
    return net


class Parts(Behavior):
    """Work on sub-groups: what is written there is written into the whole."""

    def initialize(self, n):
        n.v, n.m = n.vector("uniform"), np.arange(2.0 * n.size).reshape(2, n.size)
        self.even = n.subGroup(np.arange(n.size) % 2 == 0)
        self.rest = n.subGroup(np.arange(n.size) > 4)

    def iteration(self, n):
        self.even.v += 0.1
        self.even.v *= 0.9
        self.rest.v = self.rest.v[::-1].copy()
        self.rest.v[0] = 0.5
        self.even.m[0] *= 0.5
        n.v[n.v > 0.8] = 0.0
        self.sizes = self.even.size + self.rest.size
        n.sum = self.even.v.sum() + np.mean(self.rest.v)


def sub_groups() -> Network:
    net = Network(seed=6)
    NeuronGroup(net=net, size=9, tag="cells", behavior={1: Parts(), 3: Recorder(["v", "sum"])})
    return net


class Partial(Behavior):
    def iteration(self, s):
        s.dst.v += 0.05 * s.W.dot(s.src.spike)
        s.W *= 1 - 0.01 * s.dst.spike[:, None]


def synapses_of_sub_groups() -> Network:
    net = Network(seed=6)
    cells = NeuronGroup(net=net, size=8, tag="cells", behavior={1: Leaky(), 3: Recorder("v")})
    first, second = cells.subGroup(np.arange(8) < 4), cells.subGroup(np.arange(8) >= 3)
    SynapseGroup(net=net, src=first, dst=second, tag="s", behavior={0: Random(), 2: Partial()})
    return net


class Hopfield(Behavior):
    def initialize(self, n):
        patterns = np.sign(n.network.random.normal(size=(2, n.size)))
        n.state = np.where(np.arange(n.size) < 3, -1, 1) * patterns[0]
        for s in n.synapses(afferent):
            s.W = (patterns.T @ patterns / n.size).astype(n.def_dtype)
            np.fill_diagonal(s.W, 0)

    def iteration(self, n):
        i = np.random.randint(n.size)
        for s in n.synapses(afferent):
            h = s.W[i] @ n.state
            if h > 0:
                n.state[i] = 1.0
            elif h < 0:
                n.state[i] = -1.0
        n.energy = -0.5 * n.state @ (n.synapses(afferent)[0].W @ n.state)


def hopfield() -> Network:
    net = Network(seed=8)
    cells = NeuronGroup(net=net, size=12, tag="cells", behavior={1: Hopfield(), 2: Recorder(["state", "energy"])})
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU")
    return net


class Axon(Behavior):
    def initialize(self, n):
        n.v, n.h = n.vector() - 65.0, n.vector() + 0.6
        n.drive = n.vector()
        n.drive[0] = 20.0
        self.dt = 0.02

    def iteration(self, n):
        rate = 1.0 / (1.0 + np.exp(-(n.v + 35.0) / 10.0))
        left, right = np.roll(n.v, 1), np.roll(n.v, -1)
        left[0], right[-1] = n.v[0], n.v[-1]
        n.h += self.dt * (rate * (1.0 - n.h) - 0.1 * n.h)
        n.v += self.dt * (n.drive + 5.0 * (left + right - 2.0 * n.v) - 0.3 * (n.v + 54.0) * n.h)
        n.v[1:-1] += 0.01 * (n.v[2:] - n.v[:-2])


def axon() -> Network:
    net = Network()
    NeuronGroup(net=net, size=7, tag="axon", behavior={1: Axon(), 2: Recorder("v")})
    return net


class Reservoir(Behavior):
    """SORN: a binary network with k winners, structural growth and normalised weights."""

    def initialize(self, n):
        n.x = n.vector() > 1
        n.t = n.vector("uniform(0, 0.5)")

    def iteration(self, n):
        drive = -n.t
        for s in n.synapses(afferent):
            drive = drive + s.W @ n.x
        drive += np.random.normal(0, 0.1, n.size)
        before = n.x.copy()
        n.x = np.zeros(n.size, bool)
        n.x[np.argsort(drive)[-3:]] = True
        n.t += 0.01 * (n.x - 0.2)
        for s in n.synapses(afferent):
            s.W[np.ix_(n.x, before)] += 0.05
            s.W[np.ix_(before, n.x)] -= 0.05
            s.W.clip(0, 1, out=s.W) if False else np.maximum(s.W, 0.0, out=s.W)
            s.W /= s.W.sum(axis=1)[:, None] + 1e-6


def sorn() -> Network:
    net = Network(seed=9, dtype=np.float64)
    cells = NeuronGroup(
        net=net, size=11, tag="cells", behavior={1: Reservoir(), 2: Recorder("x"), 3: EventRecorder("x")}
    )
    SynapseGroup(net=net, src=cells, dst=cells, tag="EE", behavior={0: Random()})
    return net


class Delayed(Behavior):
    """Axonal delays with a buffer at the synapses, short-term depression, an exponential synapse."""

    def initialize(self, s):
        s.past = s.src.vector_buffer(3)
        s.resource = np.ones(s.src.size)
        s.current = np.zeros(s.dst.size, np.float32)
        self.delay = self.parameter("delay", 2)

    def iteration(self, s):
        s.buffer_roll(s.past, s.src.spike)
        arriving = s.past[self.delay]
        s.resource += (1 - s.resource) / 10.0
        s.resource[arriving > 0] *= 0.6
        s.current *= 0.8
        s.current += s.W @ (arriving * s.resource)
        s.dst.v += 0.05 * s.current


def delays() -> Network:
    net = Network(seed=4)
    a = NeuronGroup(net=net, size=6, tag="a", behavior={1: Leaky(), 9: Recorder("v", max_length=5)})
    b = NeuronGroup(net=net, size=5, tag="b", behavior={1: Leaky(), 9: EventRecorder("spike", max_length=7)})
    SynapseGroup(
        net=net, src=a, dst=b, tag="s", behavior={0: Random(), 3: Delayed(), 8: Recorder(["resource", "np.sum(W)"])}
    )
    SynapseGroup(net=net, src=b, dst=a, tag="t", behavior={0: Random(), 3: Delayed(delay=0)})
    return net


class Lookup(Behavior):
    """Find others by tag inside of a step."""

    def iteration(self, n):
        n.v += 0.1 * n.network["other", 0].v.mean() + n["Leaky", 0].gain
        n.network.other.v *= 0.99
        for group in n.network.NeuronGroups:
            group.v -= 0.001
        n.seen = len(n.network["ng"]) + n.network["s", 0].W.sum()


class Gain(Leaky):
    gain = 0.01

    def initialize(self, n):
        super().initialize(n)
        self.add_tag("Leaky")
        self.gain = 0.02


def lookups() -> Network:
    net = Network(seed=4)
    a = NeuronGroup(net=net, size=6, tag="a", behavior={1: Gain(), 2: Lookup(), 9: Recorder(["v", "seen"])})
    b = NeuronGroup(net=net, size=4, tag="other", behavior={1: Leaky(), 9: Recorder("v")})
    SynapseGroup(net=net, src=a, dst=b, tag="s", behavior={0: Random()})
    return net


class Shared(Behavior):
    """One behavior in two groups: what is on `self` is common to both."""

    def initialize(self, n):
        n.x = n.vector("uniform")
        self.total = 0.0

    def iteration(self, n):
        self.total = 0.9 * self.total + n.x.sum()
        n.x = 0.5 * n.x + 0.01 * self.total


def shared_behavior() -> Network:
    net, both = Network(seed=1), Shared()
    for tag, size in (("a", 3), ("b", 5)):
        NeuronGroup(net=net, size=size, tag=tag, behavior={1: both, 2: Recorder("x")})
    return net


class Grid(Behavior):
    def initialize(self, n):
        n.v = n.vector("uniform")
        n.inside = (n.x > -1) & (n.y > 0)

    def iteration(self, n):
        picture = n.v.reshape(n.height, n.width)
        picture[1] += 0.1
        n.v += 0.05 * (np.roll(picture, 1, axis=0) + np.roll(picture, 1, axis=1)).ravel()
        n.v[n.inside] *= 0.5
        n.v *= 0.9 + 0.01 * np.cos(n.x)
        n.map = np.mean(picture, axis=0)


def grid() -> Network:
    from recurra import NeuronDimension

    net = Network(seed=2)
    NeuronGroup(
        net=net, size=NeuronDimension(width=4, height=3), tag="g", behavior={1: Grid(), 2: Recorder(["v", "map"])}
    )
    return net


class Reward(Behavior):
    """A behavior of the network that looks at its groups and switches something in the synapses."""

    def initialize(self, net):
        net.reward, self.trials = 0.0, 0

    def iteration(self, net):
        rate = np.mean([g.spike.mean() for g in net.NeuronGroups])
        net.reward += 0.1 * ((1.0 if rate < 0.3 else -1.0) - net.reward)
        if net.iteration % 6 == 0:
            self.trials += 1
            for s in net.SynapseGroups:
                s.W += 0.01 * net.reward * s.eligible
                s.eligible *= 0.0


class Eligible(Behavior):
    def initialize(self, s):
        s.eligible = s.matrix()

    def iteration(self, s):
        s.eligible += np.outer(s.dst.spike, s.src.old) - 0.1 * s.eligible


def reward() -> Network:
    net = Network(seed=7, behavior={6: Reward()})
    cells = NeuronGroup(net=net, size=7, tag="cells", behavior={1: Leaky(), 2: Input(), 9: Recorder("v")})
    SynapseGroup(
        net=net, src=cells, dst=cells, tag="EXC", behavior={0: Random(), 3: Eligible(), 8: Recorder("np.mean(W)")}
    )
    return net


class Competition(Behavior):
    """Oja's rule with winners, weights from a fixed set of inputs."""

    def initialize(self, s):
        self.inputs = np.eye(s.src.size)[:3] + 0.1
        s.W = s.matrix("uniform(0, 0.5)")

    def iteration(self, s):
        x = self.inputs[s.iteration % 3]
        y = s.W @ x
        winner = np.argmax(y)
        s.W[winner] += 0.1 * y[winner] * (x - y[winner] * s.W[winner])
        s.W += 0.01 * (np.outer(y, x) - (y**2)[:, None] * s.W)
        s.dst.v = y.astype(np.float32)


def competition() -> Network:
    net = Network(seed=1)
    a, b = (NeuronGroup(net=net, size=size, tag=tag, behavior={1: Leaky()}) for tag, size in (("a", 6), ("b", 4)))
    SynapseGroup(net=net, src=a, dst=b, tag="s", behavior={2: Competition(), 3: Recorder("W")})
    return net


class Refractory(Behavior):
    def initialize(self, n):
        n.wait = np.zeros(n.size, np.int32)
        n.last = np.full(n.size, -np.inf)

    def iteration(self, n):
        ready = n.wait == 0
        n.wait[~ready] -= 1
        n.spike &= ready
        n.wait[n.spike] = 3
        n.last[n.spike] = n.iteration
        n.v[~ready] = 0.0
        n.interval = np.where(np.isinf(n.last), 0.0, n.iteration - n.last)


def refractory() -> Network:
    net = Network(seed=11)
    behaviors = {1: Leaky(), 2: Refractory(), 9: Recorder(["wait", "interval"]), 10: EventRecorder("spike")}
    NeuronGroup(net=net, size=9, tag="cells", behavior=behaviors)
    return net


class Both(Behavior):
    def iteration(self, n):
        for s in n.synapses(efferent):
            s.dst.v += 0.01 * s.W.sum(axis=1)
            s.W *= 0.99
        total = sum(s.W.dot(s.src.v) for s in n.afferent_synapses["All"])
        n.v = n.v * 0.9 + 0.01 * total


def chain() -> Network:
    net, groups = Network(seed=5), []
    for k in range(4):
        groups.append(
            NeuronGroup(net=net, size=3 + k, tag=f"layer,l{k}", behavior={1: Leaky(), 2: Both(), 9: Recorder("v")})
        )
    for src, dst in zip(groups, [*groups[1:], groups[0]], strict=True):
        SynapseGroup(net=net, src=src, dst=dst, tag="link", behavior={0: Random()})
    return net


NETWORKS = [
    plastic, excitation_and_inhibition, izhikevich, keys_across_groups, seen_at_once, sub_groups,
    synapses_of_sub_groups, hopfield, axon, sorn, delays, lookups, shared_behavior, grid, reward, competition,
    refractory, chain,
]  # fmt: skip


def built(build) -> Network:
    net = build()
    net.initialize(info=False)
    return net


@pytest.mark.parametrize("build", NETWORKS)
def test_compiled_it_does_what_numpy_does(build) -> None:
    agree(lambda: built(build), steps=30)


def test_the_order_is_that_of_the_numbers() -> None:
    net = built(keys_across_groups)
    net.simulate_iterations(20, compile=True)
    assert net.history[-1].tolist() == [7.5, 6.0, 3.0, 9.0, 12.0, 1.5, 4.5, 10.5]


def test_behaviors_are_switched_off_and_on() -> None:
    def switched() -> Network:
        net = built(plastic)
        net.deactivate_behaviors("Rule")
        return net

    net = agree(switched)
    before = net["EXC", 0].W.copy()
    net.activate_behaviors("Rule")
    net.simulate_iterations(12, compile=True)
    assert np.abs(net["EXC", 0].W - before).max() > 1e-3
