"""Networks as people write them who know the library from its tutorial, papers and scripts: one function for each.

They were written for these tests, in the style of scripts for PymoNNto and of NumPy loops for Brian's and Nengo's
examples, without a look at what can be compiled.
"""
# ruff: noqa: NPY002

from __future__ import annotations

import math
import random
from enum import Enum

import numpy as np
import scipy.sparse as sp

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, afferent, efferent

# -- the tutorial: noise, threshold, input, learning in three factors ------------------------------------------------


class Basic(Behavior):
    def initialize(self, n):
        n.voltage, self.leak, self.threshold = n.vector(), self.parameter("leak", 0.9), self.parameter("threshold", 0.5)
        n.spike, n.spike_old = n.vector(bool), n.vector(bool)

    def iteration(self, n):
        n.spike_old = n.spike.copy()
        n.spike = n.voltage > self.threshold
        n.voltage[n.spike] = 0.0
        n.voltage *= self.leak
        n.voltage += n.vector("uniform", density=0.1)


class SynapticInput(Behavior):
    def initialize(self, n):
        for s in n.synapses(afferent):
            s.W = s.matrix("uniform", density=0.3)
            s.W /= np.sum(s.W, axis=1)[:, None] + 0.1

    def iteration(self, n):
        for s in n.synapses(afferent):
            n.voltage += s.W.dot(s.src.spike) * self.parameter("strength", 0.3)


class STDP(Behavior):
    def initialize(self, n):
        self.speed = self.parameter("speed", 0.01)

    def iteration(self, n):
        for s in n.synapses(afferent):
            add = s.dst.spike[:, None] * s.src.spike_old[None, :] * self.speed
            s.W += add
            s.W -= s.dst.spike_old[:, None] * s.src.spike[None, :] * self.speed * 0.5
            s.W = np.clip(s.W, 0.0, 1.0)


class Normalization(Behavior):
    def iteration(self, n):
        if n.iteration % 5 == 0:
            n.weight_sum = n.vector()
            for s in n.synapses(afferent):
                n.weight_sum += np.sum(s.W, axis=1)
            n.weight_sum[n.weight_sum == 0] = 1
            for s in n.synapses(afferent):
                s.W /= n.weight_sum[:, None]


class Homeostasis(Behavior):
    def initialize(self, n):
        target = self.parameter("target", 0.05)
        self.max, self.min, self.step = target + 0.02, target - 0.02, 0.005
        n.exhaustion = n.vector()

    def iteration(self, n):
        n.exhaustion += ((n.spike > self.max) * 1.0 - (n.spike < self.min) * 1.0) * self.step
        n.voltage -= n.exhaustion


def tutorial():
    net = Network(seed=1)
    cells = NeuronGroup(net=net, size=20, tag="cells", behavior={
        1: Basic(), 2: SynapticInput(), 3: STDP(), 4: Normalization(), 5: Homeostasis(),
        9: Recorder(["voltage", "np.mean(voltage)"]), 10: EventRecorder("spike")})  # fmt: skip
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU")
    return net


# -- leaky integrate and fire with a current by the step, and progress on the screen ---------------------------------


class LIF(Behavior):
    def initialize(self, n):
        self.tau, self.rest, self.reset, self.threshold, self.dt = 10.0, -65.0, -70.0, -52.0, 1.0
        n.v = n.vector(f"uniform({self.rest}, {self.threshold})")
        n.I, n.spike = n.vector(), n.vector(bool)

    def iteration(self, n):
        n.v += self.dt / self.tau * (self.rest - n.v + n.I)
        n.spike = n.v >= self.threshold
        n.v[n.spike] = self.reset


class SineCurrent(Behavior):
    def initialize(self, n):
        self.amplitude, self.frequency = 12.0, 0.02

    def iteration(self, n):
        n.I = n.I * 0.0 + 8 + self.amplitude * math.sin(2 * math.pi * self.frequency * n.iteration)


class Progress(Behavior):
    def iteration(self, n):
        if n.iteration % 10 == 0:
            print(f"iteration {n.iteration}: {int(n.spike.sum())} spikes, v = {n.v.mean():.2f}")


def lif_with_progress():
    net = Network(seed=2)
    NeuronGroup(net=net, size=15, tag="cells", behavior={1: SineCurrent(), 2: LIF(), 3: Progress(), 9: Recorder("v")})
    return net


# -- Izhikevich's network of 2003, with thalamic noise ---------------------------------------------------------------


class Izhikevich(Behavior):
    def initialize(self, n):
        n.a, n.b, n.c, n.d = 0.02, 0.2, -65.0, 8.0
        n.v, n.u = n.vector() + n.c, n.vector() + n.c * n.b
        n.I, n.fired = n.vector(), n.vector(bool)

    def iteration(self, n):
        n.I = 5 * np.random.randn(n.size)
        for s in n.synapses(afferent, "SYN"):
            n.I += np.sum(s.W[:, s.src.fired], axis=1)
        n.fired = n.v >= 30
        if np.sum(n.fired) > 0:
            n.v[n.fired] = n.c
            n.u[n.fired] += n.d
        for _ in range(2):
            n.v += 0.5 * (0.04 * n.v**2 + 5 * n.v + 140 - n.u + n.I)
        n.u += n.a * (n.b * n.v - n.u)


class FixedWeights(Behavior):
    def initialize(self, s):
        s.W = s.matrix("uniform") * 0.5


def izhikevich():
    net = Network(seed=3)
    cells = NeuronGroup(net=net, size=30, tag="cells", behavior={1: Izhikevich(), 9: Recorder(["v", "u"])})
    SynapseGroup(net=net, src=cells, dst=cells, tag="SYN", behavior={0: FixedWeights()})
    return net


# -- SORN: binary units, k winners, a text that is shown letter by letter --------------------------------------------

SENTENCES = ["the fox eats meat. ", "the boy drinks juice. ", "the penguin likes ice. "]
CHARACTERS = sorted(set("".join(SENTENCES)))


class TextInput(Behavior):
    def initialize(self, n):
        n.input = n.vector()
        self.text = "".join(SENTENCES)
        self.W = np.zeros((n.size, len(CHARACTERS)))
        for i in range(len(CHARACTERS)):
            self.W[np.random.choice(n.size, 3, replace=False), i] = 1.0

    def iteration(self, n):
        character = self.text[n.iteration % len(self.text)]
        n.input = self.W[:, CHARACTERS.index(character)]


class SORN(Behavior):
    def initialize(self, n):
        n.x, n.x_old, n.T = n.vector(), n.vector(), n.vector("uniform") * 0.5
        for s in n.synapses(afferent, "GLU"):
            s.W = s.matrix("uniform", density=0.2)
            s.W /= s.W.sum(axis=1)[:, None] + 1e-9

    def iteration(self, n):
        n.x_old = n.x.copy()
        drive = n.input - n.T
        for s in n.synapses(afferent, "GLU"):
            drive = drive + s.W @ s.src.x_old
        n.x = (drive > 0).astype(float)
        n.T += 0.01 * (n.x - 0.1)
        for s in n.synapses(afferent, "GLU"):
            s.W += 0.001 * (np.outer(n.x, n.x_old) - np.outer(n.x_old, n.x)) * (s.W > 0)
            s.W[s.W < 0] = 0.0


def sorn_with_text():
    net = Network(seed=4)
    cells = NeuronGroup(net=net, size=40, tag="cells", behavior={1: TextInput(), 2: SORN(), 9: Recorder(["x", "T"])})
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU")
    return net


# -- a text that is put together while the network runs --------------------------------------------------------------


class TextGenerator(Behavior):
    """Choose sentences at random and say them letter by letter, as generators of grammars do."""

    def initialize(self, n):
        self.text, self.position, self.history = "", 0, ""
        n.input = n.vector()

    def iteration(self, n):
        if self.position >= len(self.text):
            self.text, self.position = random.Random(len(self.history)).choice(SENTENCES), 0
        character = self.text[self.position]
        self.position += 1
        self.history += character
        n.input = n.vector()
        n.input[CHARACTERS.index(character)] = 1.0


def sorn_with_generator():
    net = Network(seed=5)
    cells = NeuronGroup(net=net, size=40, tag="cells", behavior={1: TextGenerator(), 2: SORN(), 9: Recorder("x")})
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU")
    return net


# -- images from a list, changed every few steps; winner takes all; Oja's rule ---------------------------------------

IMAGES = [np.outer(np.sin(np.arange(4) + i), np.cos(np.arange(4) * i)) for i in range(5)]


class Images(Behavior):
    def initialize(self, n):
        n.pixels, self.duration = n.vector(), 4

    def iteration(self, n):
        picture = IMAGES[(n.iteration // self.duration) % len(IMAGES)]
        n.pixels = np.maximum(picture.flatten(), 0.0)


class WinnerTakesAll(Behavior):
    def initialize(self, n):
        n.y = n.vector()

    def iteration(self, n):
        total = n.vector()
        for s in n.synapses(afferent, "FF"):
            total += s.W @ s.src.pixels
        winner = np.argmax(total)
        n.y *= 0.0
        n.y[winner] = 1.0
        for s in n.synapses(afferent, "FF"):
            s.W[winner] += 0.1 * (s.src.pixels - s.W[winner])


def images_and_winners():
    net = Network(seed=6)
    eye = NeuronGroup(net=net, size=16, tag="eye", behavior={1: Images()})
    cells = NeuronGroup(net=net, size=5, tag="cells", behavior={2: WinnerTakesAll(), 9: Recorder("y")})
    SynapseGroup(net=net, src=eye, dst=cells, tag="FF", behavior={0: FixedWeights()})
    return net


# -- an echo state network with a readout learnt by recursive least squares ------------------------------------------


class Reservoir(Behavior):
    def initialize(self, n):
        w = np.random.randn(n.size, n.size) * (np.random.rand(n.size, n.size) < 0.2)
        self.W, self.W_in = 0.9 * w / np.abs(np.linalg.eigvals(w)).max(), np.random.randn(n.size)
        n.r = n.vector()

    def iteration(self, n):
        u = math.sin(n.iteration / 5.0) + 0.5 * math.cos(n.iteration / 11.0)
        n.r = 0.7 * n.r + 0.3 * np.tanh(self.W @ n.r + self.W_in * u)


class Readout(Behavior):
    def initialize(self, n):
        n.w, n.P, n.error = n.vector(), np.eye(n.size), 0.0

    def iteration(self, n):
        target = math.sin((n.iteration + 1) / 5.0)
        k = n.P @ n.r
        c = 1.0 / (1.0 + n.r @ k)
        n.error = float(target) - n.w @ n.r
        n.w = n.w + c * n.error * k
        n.P = n.P - c * np.outer(k, k)


def reservoir():
    net = Network(seed=7)
    NeuronGroup(net=net, size=20, tag="cells", behavior={1: Reservoir(), 2: Readout(), 9: Recorder(["r", "error"])})
    return net


# -- sparse weights --------------------------------------------------------------------------------------------------


class SparseWeights(Behavior):
    def initialize(self, s):
        s.W = sp.random(s.dst.size, s.src.size, 0.2, "csr", random_state=8)


class SparseInput(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            n.voltage += 0.5 * s.W.dot(s.src.spike)
        for s in n.synapses(efferent):
            n.back = s.W.T @ s.dst.spike.astype(float)


def sparse():
    net = Network(seed=8)
    cells = NeuronGroup(net=net, size=25, tag="cells", behavior={1: Basic(), 2: SparseInput(), 9: Recorder("voltage")})
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU", behavior={0: SparseWeights()})
    return net


# -- schedules: a dict of parameters by step, phases of training and test --------------------------------------------

LEARNING_RATE = {1: 0.1, 10: 0.05, 20: 0.01}


class Phase(Enum):
    TRAIN = "train"
    TEST = "test"


class Scheduled(Behavior):
    def initialize(self, n):
        n.x, n.w, self.rate = n.vector("uniform"), n.vector(), 0.0

    def phase(self, step):
        return Phase.TRAIN if step % 12 < 8 else Phase.TEST

    def iteration(self, n):
        if n.iteration in LEARNING_RATE:
            self.rate = LEARNING_RATE[n.iteration]
        if self.phase(n.iteration) is Phase.TRAIN:
            n.w += self.rate * (n.x - n.w)
        n.x = np.roll(n.x, 1)


def schedules():
    net = Network(seed=9)
    NeuronGroup(net=net, size=10, tag="cells", behavior={1: Scheduled(), 9: Recorder("w")})
    return net


# -- a stimulus that is played back, with a refractory counter and a delay line --------------------------------------

SPIKES = np.random.RandomState(10).rand(60, 12) < 0.2


class Playback(Behavior):
    def initialize(self, n):
        self.pattern = self.parameter("pattern")
        n.spike = n.vector(bool)

    def iteration(self, n):
        n.spike = self.pattern[n.iteration - 1]


class Delayed(Behavior):
    def initialize(self, n):
        n.v, n.refractory, n.spike = n.vector(), n.vector("int"), n.vector(bool)
        self.buffer = [np.zeros(n.size) for _ in range(4)]
        for s in n.synapses(afferent):
            s.W = s.matrix("uniform", density=0.5)

    def iteration(self, n):
        slot = n.iteration % len(self.buffer)
        arriving = self.buffer[slot].copy()
        total = n.vector()
        for s in n.synapses(afferent):
            total += s.W @ s.src.spike
        self.buffer[slot] = total
        free = n.refractory <= 0
        n.v = np.where(free, 0.9 * n.v + arriving, 0.0)
        n.spike = free & (n.v > 1.0)
        n.refractory[n.spike] = 3
        n.refractory -= 1


def playback_and_delays():
    net = Network(seed=10)
    source = NeuronGroup(net=net, size=12, tag="source", behavior={1: Playback(pattern=SPIKES)})
    cells = NeuronGroup(net=net, size=8, tag="cells", behavior={2: Delayed(), 9: Recorder(["v", "refractory"])})
    SynapseGroup(net=net, src=source, dst=cells, tag="FF")
    return net


NETWORKS = {function.__name__: function for function in (
    tutorial, lif_with_progress, izhikevich, sorn_with_text, sorn_with_generator, images_and_winners, reservoir, sparse,
    schedules, playback_and_delays)}  # fmt: skip
