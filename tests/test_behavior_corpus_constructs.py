"""Behaviors as users write them, one for each construct of Python and NumPy: compiled, they do what NumPy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import agree, one_group
from recurra import Behavior, afferent, efferent

GAIN = 0.25


def twice(x):
    return 2 * x


class State(Behavior):
    """Variables for the others to work on."""

    def initialize(self, n):
        n.v = n.vector("uniform")
        n.u = n.vector("uniform(-1, 1)")
        n.count = np.zeros(n.size, np.int64)
        n.spike = n.v > 0.7
        n.trace = n.vector()


class Noise(Behavior):
    """Keep v moving between 0 and 1."""

    def iteration(self, n):
        n.v *= 0.8
        n.v += n.vector("uniform") * 0.4
        n.spike = n.v > 0.6


class Weights(Behavior):
    """Give every synapse group weights."""

    def initialize(self, n):
        for i, s in enumerate(n.synapses(afferent)):
            s.W = s.matrix("uniform", density=0.6) * (1 - 2 * i)


class InPlace(Behavior):
    def iteration(self, n):
        n.v += 0.5
        n.v *= n.u
        n.u -= n.v
        n.u /= 1.5
        n.v **= 2
        n.v %= 1.0
        n.u[:] = n.u - np.floor(n.u)
        n.count += 3
        n.count //= 2
        n.count ^= 5
        n.spike |= n.v > 0.4
        n.spike &= n.u > 0.1


class Rebind(Behavior):
    def iteration(self, n):
        n.old = n.spike
        n.spike = n.v > 0.5
        n.trace = 0.9 * n.trace + n.spike
        n.v = np.where(n.old & ~n.spike, n.v * 1.1, n.v * 0.7) + 0.2
        n.u, n.v = n.v, n.u + 0.1


class Loops(Behavior):
    def iteration(self, n):
        drive = n.vector()
        for s in n.synapses(afferent, "GLU"):
            drive += s.W.dot(s.src.spike)
        for s in n.afferent_synapses["GABA"]:
            drive += s.W @ s.src.v
        for i, s in enumerate(n.synapses(efferent)):
            drive -= 0.01 * i * s.W.sum(axis=0)
        for s, w in zip(n.synapses(afferent), (0.1, 0.2), strict=True):
            s.W *= 1 - 0.01 * w
        n.u = 0.5 * n.u + 0.1 * drive
        n.drives = [float(k) for k in range(3)]


class Parent(Behavior):
    rate = 0.5

    def __init__(self, **options):
        super().__init__(**options)
        self.gain = 0.3

    def iteration(self, n):
        n.v *= self.rate

    def push(self, n, amount=0.1):
        n.v += amount
        return n.v.mean()


class Helpers(Parent):
    @property
    def double(self):
        return 2 * self.gain

    @staticmethod
    def squash(x):
        return x / (1 + np.abs(x))

    @classmethod
    def half(cls, x):
        return x * cls.rate

    def iteration(self, n):
        super().iteration(n)
        self.level = self.push(n, amount=self.double)
        n.u = self.squash(n.u + twice(n.v)) + self.half(n.u) + GAIN * (lambda y: y + 0.1)(n.v)
        self.gain = self.gain * 0.99


class Indices(Behavior):
    def initialize(self, n):
        self.chosen = np.array([0, 2, 5])
        self.fixed = np.arange(n.size) % 3 == 0

    def iteration(self, n):
        n.v[n.spike] = 0.1
        n.v[~n.spike & (n.u > 0)] += 0.05
        n.u[2:5] = n.v[4:7]
        n.u[::2] *= 0.9
        n.v[self.chosen] = n.u[self.chosen] + 0.2
        n.v[[1, 3]] -= 0.1
        n.v[-1] = n.v[0]
        n.v[self.fixed] *= 0.8
        n.count[n.v > 0.3] += 1
        n.u[n.count > 4], n.count[n.count > 9] = 0.5, 0
        n.u[(n.v > 0.2) & self.fixed] = n.v[(n.v > 0.2) & self.fixed] * 2


class Masks(Behavior):
    def iteration(self, n):
        s = n.synapses(afferent, "GLU")[0]
        loud = n.v > 0.3
        n.mean = np.mean(n.v[loud])
        n.some = n.v[loud].sum() + n.u[~loud].sum() - np.std(n.v[n.spike | loud])
        n.v[loud] = n.u[loud] + 0.3
        n.u *= 0.5
        n.u += 0.1 * np.sum(s.W[:, n.spike], axis=1)
        n.u -= 0.1 * np.sum(s.W[n.spike], axis=0)
        s.W[:, n.spike] *= 0.99
        s.W[n.spike] += 0.001
        n.number = np.sum(loud) + n.v[loud].size


class Functions(Behavior):
    def iteration(self, n):
        v, u = n.v, n.u
        n.a = np.clip(v - u, -0.5, 0.5) + np.abs(u) + np.sqrt(np.abs(v)) + np.sign(u)
        n.b = np.outer(v, u)[2] + np.roll(v, 2) + np.tile(v[:3], 3) + np.hstack([u[:4], v[4:]])
        n.c = np.max(v) + np.min(u) + np.mean(v) + np.var(u) + np.median(v) + np.linalg.norm(u) + np.dot(v, u)
        n.d = np.argmax(v) + np.argmin(u) + np.count_nonzero(v > 0.5)
        n.e = np.cumsum(v) + np.sort(u) + np.exp(-v) * np.tanh(u) + np.log1p(v) + np.maximum(v, u) * np.minimum(v, 0.3)
        n.f = np.diff(v) + np.concatenate((v[:4], u[:4])) + np.interp(v[1:], [0.0, 1.0], [2.0, 3.0])
        n.g = np.argsort(v) + np.digitize(u, [-0.5, 0.0, 0.5]) + np.repeat(np.arange(3), 3)
        n.h = np.stack([v, u]).reshape(3, 6).T.sum(axis=1) + np.einsum("i,j->i", v[:6], u)
        n.v = np.nan_to_num(v / (u > 0)) % 1 if n.size < 0 else np.where(u > 0, v, 1 - v)
        n.u = np.roll(u, 1) * 0.95


class Casts(Behavior):
    def iteration(self, n):
        copied = n.v.copy()
        copied[0] = 9.0
        n.half = n.v.astype(np.float16)
        n.whole = (n.v * 10).astype(int)
        n.byte = (n.whole * 30).astype(np.uint8)
        n.truth = n.whole.astype(bool)
        n.double = n.v.astype(np.float64) * n.u
        n.mixed = n.whole * n.v
        n.small = np.int8(3) * n.truth + np.float32(0.5)
        n.trace.fill(0.5)
        n.trace += copied
        n.u = n.u * np.float32(0.5) + n.half * 0.1
        n.total = n.byte.sum() + n.half.sum()
        n.v[:] = n.double


class Broadcast(Behavior):
    def iteration(self, n):
        s = n.synapses(afferent, "GLU")[0]
        s.W += 0.01 * n.spike[:, None] * n.trace[None, :]
        s.W -= 0.01 * n.v[:, np.newaxis] * s.src.spike
        s.W /= s.W.sum(axis=1, keepdims=True) + 1.0
        s.W[s.W < 0] = 0.0
        np.fill_diagonal(s.W, 0.0)
        n.trace = 0.5 * n.trace + n.spike
        n.outer = (n.v[:, None] - n.v[None, :]) ** 2


class Named(Behavior):
    def initialize(self, n):
        self.target = self.parameter("target", "v")
        self.amount = self.parameter("amount", 0.1)

    def iteration(self, n):
        setattr(n, self.target, getattr(n, self.target) + self.amount)
        if hasattr(n, "u") and not hasattr(n, "nothing"):
            n.u *= 0.5
        n.__dict__["trace"][0] += 1


class Config(Behavior):
    def initialize(self, n):
        self.mode = self.parameter("mode", "soft")
        self.steps = self.parameter("steps", 3)
        self.learning = True
        self.scale = None

    def iteration(self, n):
        if self.mode == "soft" and self.learning:
            for k in range(self.steps):
                n.v *= 1 - 0.1 * k
        elif self.mode == "hard":
            n.v = n.v * 0
        if self.scale is None:
            n.v += {"soft": 0.1, "hard": 0.2}[self.mode]
        n.u = n.u * 0.9 if n.size > 3 else n.u
        assert n.v.shape == (n.size,)


class DataIf(Behavior):
    def iteration(self, n):
        if np.sum(n.spike) > 3:
            n.v[n.spike] *= 0.5
            n.count += 1
        elif n.v.max() > 0.9 and n.u[0] > n.u[1]:
            n.u = n.u[::-1].copy()
        else:
            n.v += 0.05
        if not np.any(n.spike):
            return
        n.trace = n.trace + 1 if n.spike[0] else n.trace * 0.5


class Counter(Behavior):
    def initialize(self, n):
        self.k, self.t, self.on = 0, 0.0, True

    def iteration(self, n):
        self.k += 1
        self.t += 0.1
        if self.k % 4 == 0:
            n.v[:] = 0.1
            self.on = not self.on
        if n.iteration % 5 == 2 or n.network.iteration == 7:
            n.u *= -1
        if self.on and self.t < 1.5:
            n.trace[self.k % n.size] += self.t
        n.v += 0.1 * np.sin(self.t)


class Ix(Behavior):
    def iteration(self, n):
        s = n.synapses(afferent, "GLU")[0]
        post, pre = n.spike, s.src.v > 0.5
        s.W[np.ix_(post, pre)] += 0.01
        s.W[np.ix_(pre, post)] -= 0.02 * s.W[np.ix_(pre, post)]
        s.W[np.ix_(post, post)] = np.clip(s.W[np.ix_(post, post)], 0.0, 0.8)
        rows = np.where(post)[0]
        s.W[rows[:, None], np.where(pre)[0]] *= 1.01
        n.trace[rows] = 1.0
        n.chosen = s.W[np.ix_(post, pre)].sum()


class Winners(Behavior):
    def iteration(self, n):
        best = np.argsort(n.v)[-3:]
        n.trace *= 0.5
        n.trace[best] = 1.0
        n.u[np.argmax(n.v)] += 0.5
        n.won = np.zeros(n.size, bool)
        n.won[np.argpartition(n.u, -2)[-2:]] = True
        limit = np.sort(n.v)[-4]
        n.v[n.v < limit] *= 0.5


class Lists(Behavior):
    def initialize(self, n):
        self.buffers = [n.vector("uniform") for _ in range(3)]
        self.table = {"slow": n.vector(), "fast": n.vector()}
        self.rates = {"slow": 0.9, "fast": 0.5}

    def iteration(self, n):
        for i, buffer in enumerate(self.buffers):
            buffer *= 0.5 + 0.1 * i
            buffer += n.v
        for name, rate in self.rates.items():
            self.table[name] = self.table[name] * rate + n.spike
        n.u = sum(self.buffers) - self.table["slow"] * self.table["fast"]
        self.buffers = [self.buffers[-1], *self.buffers[:-1]]
        self.buffers[0][:] = n.v[::-1]


class Buffers(Behavior):
    def initialize(self, n):
        n.past = n.vector_buffer(4)
        self.ring = np.zeros((5, n.size), np.float32)
        self.at = 0

    def iteration(self, n):
        n.buffer_roll(n.past, n.v)
        n.u = n.past[3] * 0.5 + n.past.mean(axis=0)
        self.ring[self.at] = n.v
        self.at = (self.at + 1) % 5
        n.delayed = self.ring[self.at].copy()
        n.trace = n.delayed * 2


class Strings(Behavior):
    def initialize(self, n):
        self.rule = "n.v * 0.5 + np.mean(n.u)"
        self.code = "n.u *= 0.9; n.u += 0.01 * n.v"

    def iteration(self, n):
        n.v = eval(self.rule)  # noqa: S307
        exec(self.code)  # noqa: S102


class Views(Behavior):
    def initialize(self, n):
        n.m = np.arange(3.0 * n.size).reshape(3, n.size)
        n.low = n.m[0]

    def iteration(self, n):
        row = n.m[1]
        row *= 0.5
        column = n.m[:, 2]
        column += 1.0
        turned = n.m.T
        turned[0] -= 0.1
        flat = n.m.reshape(-1)
        flat[3] = 7.0
        half = n.m[1:, ::2]
        half[half > 5] = 1.0
        part = n.m[0][2:5]
        part[:] = part[::-1]
        n.low += 0.25
        n.u = n.low * 0.1


class Outputs(Behavior):
    def iteration(self, n):
        np.add(n.v, n.u, out=n.v)
        np.multiply(n.v, 0.5, out=n.trace, where=n.spike)
        np.clip(n.v, -1, 1, out=n.v)
        np.copyto(n.u, n.v, where=n.spike)
        np.maximum.at(n.trace, [0, 0, 1], 0.7)
        np.add.at(n.trace, np.array([2, 2, 3]), 0.1)
        n.u = np.sum([n.u, n.v], axis=0) * 0.3 + np.multiply.outer(n.v, n.u).sum(axis=0) * 0.01


class Shadow(Behavior):
    """Local arrays that are filled with traced values, comprehensions, unpacking, keywords."""

    def iteration(self, n):
        local = np.zeros((2, n.size))
        local[0], local[1, ::2] = n.v, 1.0
        first, *rest = (n.v * k for k in (1, 2, 3))
        total = np.sum([r.sum() for r in rest])
        n.v = 0.5 * first + 0.01 * np.array([total] * n.size) + 0.1 * local.sum(axis=0)
        n.u = np.asarray([float(i) for i in range(n.size)]) * 0.1 + n.u * 0.5
        n.pair = tuple(np.divmod(n.v * 3, 2))
        n.size_of = np.zeros_like(n.v) + len(n.v)


class Numbers(Behavior):
    """Python numbers and NumPy scalars as attributes."""

    def initialize(self, n):
        self.f, self.i, self.b, self.g = 0.5, 3, True, np.float32(0.1)
        self.z = 1 + 1j

    def iteration(self, n):
        self.f = self.f * 0.9 + self.i
        self.i = (self.i * 7 + 1) % 11
        self.b = self.i > 4 and not self.b
        self.g += np.float32(0.1)
        self.z *= 0.9j
        n.v = n.v * self.g + self.f * self.b + abs(self.z)
        n.level = round(self.f, 2) + max(self.f, self.i) + divmod(self.i, 3)[1] + (-self.i) // 4
        n.v /= n.v.max()


NETWORKS = {
    "in place": lambda: one_group(State(), InPlace(), record=("v", "u", "count")),
    "rebind": lambda: one_group(State(), Rebind(), record=("v", "trace")),
    "loops over synapses": lambda: one_group(State(), Weights(), Noise(), Loops(), synapses=2, record=("u",)),
    "helpers": lambda: one_group(State(), Helpers()),
    "indices": lambda: one_group(State(), Noise(), Indices(), record=("v", "u")),
    "masks": lambda: one_group(State(), Weights(), Noise(), Masks(), synapses=1, record=("v", "mean")),
    "functions": lambda: one_group(State(), Noise(), Functions(), record=("a", "b", "e")),
    "casts": lambda: one_group(State(), Noise(), Casts(), record=("half", "byte", "mixed")),
    "broadcasting": lambda: one_group(State(), Weights(), Noise(), Broadcast(), synapses=1, record=("trace",)),
    "computed names": lambda: one_group(State(), Named(target="u", amount=0.2), Named()),
    "configuration": lambda: one_group(State(), Config(), Config(mode="hard", steps=1)),
    "branches on data": lambda: one_group(State(), Noise(), DataIf(), events="spike"),
    "counters": lambda: one_group(State(), Counter(), record=("v", "iteration")),
    "ix": lambda: one_group(State(), Weights(), Noise(), Ix(), synapses=1, record=("chosen",)),
    "winners": lambda: one_group(State(), Noise(), Winners(), events="won"),
    "lists and dicts": lambda: one_group(State(), Noise(), Lists(), record=("u",)),
    "buffers": lambda: one_group(State(), Noise(), Buffers(), record=("delayed",)),
    "stored text": lambda: one_group(State(), Strings()),
    "views": lambda: one_group(State(), Views(), record=("m", "low")),
    "out": lambda: one_group(State(), Noise(), Outputs(), record=("v", "trace")),
    "local arrays": lambda: one_group(State(), Shadow()),
    "numbers": lambda: one_group(State(), Numbers(), record=("v", "level")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_it_does_what_numpy_does(name: str) -> None:
    agree(NETWORKS[name])


def test_other_types() -> None:
    agree(lambda: one_group(State(), Noise(), Rebind(), dtype=np.float64))
    agree(lambda: one_group(State(), Weights(), Noise(), Loops(), synapses=2, settings={"syn_dim": "SxD"}, record=()))


@settings(max_examples=2, deadline=None, derandomize=True)
@given(size=st.integers(9, 40), steps=st.integers(8, 50), seed=st.integers(0, 99))
@pytest.mark.parametrize("behavior", [Indices, DataIf])
def test_any_size_and_length(behavior, size: int, steps: int, seed: int) -> None:
    agree(lambda: one_group(State(), Noise(), behavior(), size=size, seed=seed, events="spike"), steps)
