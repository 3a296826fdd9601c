"""Random behaviors: texts put together from a grammar of statements, with globals, closures, masks, branches, shared state.

A text is a module of its own, with some behaviors that work on the same variables, so it can be made twice: one copy
runs compiled, the other in NumPy, and everything that both hold is compared. `python tests/behavior_grammar.py 0 1000`
tries the seeds from 0 to 1000, prints those whose outcome differs, and counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

SIZE = 4
HEAD = '''import collections, itertools, math, random
import numpy as np
from recurra import Behavior, afferent
G, LEARN, COUNT, MODE = 0.7, True, 0, "on"
TABLE, LIST, ARRAY, DEQUE = {"a": 0.53, "b": 1.27}, [0.51, 1.03, 1.57], np.array([0.31, 0.77, -0.47, 1.11]), collections.deque([0.41, 0.87])
COUNTER, NAMES = collections.Counter(), set()
class Space:
    gain = 0.57
    def __init__(self): self.level = 0.33
class Slotted:
    __slots__ = ("gain", "items")
    def __init__(self): self.gain, self.items = 0.61, [0.2, 0.4]
SPACE, SLOTTED = Space(), Slotted()
TICKS, RNG = itertools.count(1), np.random.default_rng(3)
def squash(x): return x / (1 + np.abs(x))
def scaled(x): return x * scaled.factor
scaled.factor = 0.93
def shift(x, by=[0.11]): return x + by[0]
def bump(x): x += 0.13
def fill(x, to): x[:] = to
def closed():
    held, many = 0.29, [0.37]
    def read(x): return x * held + many[0]
    def change(to): nonlocal held; held = to; return held
    def push(to): many[0] = to
    return read, change, push
read, change, push = closed()
class State(Behavior):
    def initialize(self, n):
        n.v, n.u, n.w = np.array([0.21, -0.43, 0.87, 0.05]), np.array([0.71, 0.13, -0.29, 0.55]), np.array([-0.17, 0.39, 0.61, -0.83])
        n.k, n.b, n.z, n.c, n.flag = np.array([3, 1, 4, 2]), np.array([True, False, True, False]), 0.47, 2, False
        n.pair, n.label = [0.19, np.array([0.3, 0.1, 0.6, 0.2])], "on"
'''
BODY_HEAD = '''        self.a, self.i, self.x, self.items, self.mode, self.on = 0.83, 1, np.array([0.4, -0.2, 0.9, 0.1]), [0.2, 0.5], "on", True
        self.book, self.words = {"p": 0.45, "q": np.array([0.1, 0.2, 0.3, 0.4])}, []
'''  # fmt: skip


@dataclass
class Writer:
    """Write the text of random behaviors.

    Arguments:
        seed: which text.
        wild: how likely statements are that change what belongs to no object.
    """

    seed: int
    wild: float = 0.02
    locals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.bodies = self.random.choice([5, 6, 7, 8, 9, 10])
        self.synapses = self.random.random() < 0.25

    def pick(self, options: list) -> str:
        """Take one of some texts, or of functions that make one."""
        found = self.random.choice(options)
        return found() if callable(found) else found

    def number(self) -> str:
        """Write a number without an exact binary form, so that no comparison is a tie."""
        return f"{self.random.choice([-1, 1, 1]) * self.random.randint(1, 199) / 101:.4f}"

    def place(self) -> str:
        return str(self.random.randint(-SIZE, SIZE - 1))

    # -- expressions --------------------------------------------------------------------------------------------

    def floats(self, depth: int = 2) -> str:
        """Write a vector of floats."""
        names = ["n.v", "n.u", "n.w", "n.v", "n.u", "self.x", "ARRAY", 'self.book["q"]', "n.pair[1]", *self.locals]
        if depth <= 0:
            return self.pick(names)
        d = depth - 1
        return self.pick([
            *names,
            lambda: f"np.tanh({self.floats(d)})",
            lambda: f"np.clip({self.floats(d)}, -1.03, 1.07)",
            lambda: f"({self.floats(d)} {self.pick(['+', '-', '*'])} {self.floats(d)})",
            lambda: f"({self.floats(d)} {self.pick(['+', '-', '*'])} {self.float(d)})",
            lambda: f"{self.number()} * {self.floats(d)}",
            lambda: f"np.where({self.truths(d)}, {self.floats(d)}, {self.floats(d)})",
            lambda: f"np.where({self.truths(d)}, {self.floats(d)}, {self.float(d)})",
            lambda: f"{self.floats(0)}[::-1]",
            lambda: f"np.roll({self.floats(d)}, {self.random.randint(1, 3)})",
            lambda: f"({self.wholes(d)} * 0.1)",
            lambda: f"({self.truths(d)} * {self.float(d)})",
            lambda: f"np.sort({self.floats(d)})",
            lambda: f"np.abs({self.floats(d)})",
            lambda: f"np.maximum({self.floats(d)}, {self.floats(d)})",
            lambda: f"np.array([{', '.join(self.float(0) for _ in range(SIZE))}])",
            lambda: f"{self.floats(0)}.copy()",
            lambda: f"np.full({SIZE}, {self.float(d)})",
            lambda: f"np.random.uniform(-1, 1, {SIZE})",
            lambda: f"squash({self.floats(d)})",
            lambda: f"scaled({self.floats(d)})",
            lambda: f"shift({self.floats(d)})",
            lambda: f"read({self.floats(d)})",
            lambda: f"(lambda y: y + {self.float(0)})({self.floats(d)})",
            lambda: f"np.cumsum({self.floats(d)}) * 0.3",
            lambda: f"{self.floats(0)}[{self.wholes(0)} % {SIZE}]",
            lambda: f"{self.floats(0)}[np.argsort({self.floats(0)})]",
            lambda: f"sum([{self.floats(0)}, {self.floats(0)}])",
            lambda: "n.synapses(afferent)[0].W.dot(n.b)" if self.synapses else "n.v",
            lambda: f"np.tanh(n.synapses(afferent)[0].W @ {self.floats(0)})" if self.synapses else "n.u",
        ])  # fmt: skip

    def truths(self, depth: int = 2) -> str:
        """Write a vector of truth values."""
        d = depth - 1
        if depth <= 0:
            return self.pick(["n.b", lambda: f"({self.floats(0)} > {self.number()})"])
        return self.pick([
            "n.b",
            lambda: f"({self.floats(d)} {self.pick(['>', '<'])} {self.number()})",
            lambda: f"({self.floats(d)} {self.pick(['>', '<='])} {self.float(d)})",
            lambda: f"({self.truths(d)} {self.pick(['&', '|', '^'])} {self.truths(d)})",
            lambda: f"~{self.truths(0)}",
            lambda: f"({self.wholes(d)} % 3 == {self.random.randint(0, 2)})",
            lambda: f"np.logical_or({self.truths(0)}, {self.truths(0)})",
        ])  # fmt: skip

    def wholes(self, depth: int = 2) -> str:
        """Write a vector of whole numbers."""
        d = depth - 1
        if depth <= 0:
            return "n.k"
        return self.pick([
            "n.k",
            lambda: f"({self.wholes(d)} + {self.random.randint(1, 5)})",
            lambda: f"({self.wholes(d)} {self.pick(['%', '//'])} {self.random.randint(2, 6)})",
            lambda: f"(np.clip({self.floats(d)}, -9.0, 9.0) * 3.3).astype(int)",
            lambda: f"np.where({self.truths(d)}, {self.wholes(d)}, {self.random.randint(-3, 3)})",
            lambda: f"np.argsort({self.floats(d)})",
            lambda: f"({self.truths(d)} + n.k)",
            lambda: f"(n.k {self.pick(['+', '-'])} {self.whole(d)} % 7)",
        ])  # fmt: skip

    def float(self, depth: int = 2) -> str:
        """Write one float."""
        d = depth - 1
        plain = ["n.z", "self.a", "G", self.number, self.number, 'TABLE["a"]', "LIST[1]", "SPACE.level", "Space.gain",
                 "SLOTTED.gain", "type(self).rate", "self.items[0]", 'self.book["p"]', "n.pair[0]", "DEQUE[-1]",
                 "self.rate"]  # fmt: skip
        if depth <= 0:
            return self.pick(plain)
        return self.pick([
            *plain,
            lambda: f"{self.floats(d)}.{self.pick(['mean', 'max', 'min', 'sum'])}()",
            lambda: f"{self.floats(0)}[{self.place()}]",
            lambda: f"({self.float(d)} {self.pick(['+', '-', '*'])} {self.float(d)})",
            lambda: f"abs({self.float(d)})",
            lambda: f"{self.pick(['max', 'min'])}({self.float(d)}, {self.float(d)})",
            lambda: f"({self.float(d)} if {self.truth(d)} else {self.float(d)})",
            lambda: f"0.1 * {self.whole(d)}",
            lambda: f"math.tanh({self.float(0)})",
            lambda: f"math.sin({self.float(0)} * n.iteration)",
            lambda: f"np.cos(0.7 * n.iteration) * {self.float(0)}",
            lambda: f"LIST[n.iteration % 3] * {self.float(0)}",
            lambda: f"squash({self.float(d)})",
            lambda: f"np.median({self.floats(d)})",
            lambda: "sum(x * 0.5 for x in self.items)",
        ])  # fmt: skip

    def whole(self, depth: int = 2) -> str:
        """Write one whole number."""
        d = depth - 1
        plain = ["n.c", "self.i", "n.iteration", lambda: str(self.random.randint(0, 6)), "COUNT", "len(self.items)"]
        if depth <= 0:
            return self.pick(plain)
        return self.pick([
            *plain,
            lambda: f"({self.whole(d)} + {self.random.randint(1, 4)})",
            lambda: f"({self.whole(d)} % {self.random.randint(2, 7)})",
            lambda: f"({self.whole(d)} // {self.random.randint(2, 7)})",
            lambda: f"int({self.truth(d)})",
            lambda: f"np.count_nonzero({self.truths(d)})",
            lambda: f"n.k[{self.place()}]",
            lambda: f"np.argmax({self.floats(d)})",
        ])  # fmt: skip

    def truth(self, depth: int = 2) -> str:
        """Write one truth value."""
        d = depth - 1
        plain = ["n.flag", "LEARN", 'self.mode == "on"', "self.on", 'MODE == "on"', "n.b[1]"]
        if depth <= 0:
            return self.pick(plain)
        return self.pick([
            *plain,
            lambda: f"{self.float(d)} {self.pick(['>', '<'])} {self.number()}",
            lambda: f"{self.whole(d)} % {self.random.randint(2, 4)} == {self.random.randint(0, 1)}",
            lambda: f"n.iteration {self.pick(['>', '==', '<'])} {self.random.randint(2, 14)}",
            lambda: f"n.iteration % {self.random.randint(2, 5)} == 0",
            lambda: f"{self.truths(d)}.{self.pick(['any', 'all'])}()",
            lambda: f"not {self.truth(0)}",
            lambda: f"({self.truth(d)} {self.pick(['and', 'or'])} {self.truth(d)})",
        ])  # fmt: skip

    # -- statements ---------------------------------------------------------------------------------------------

    def statement(self, depth: int = 2) -> list[str]:
        """Write a statement, as lines."""
        if self.random.random() < self.wild:
            return [self.pick(self.wild_statements())]
        if depth > 0 and self.random.random() < 0.3:
            return self.random.choice([self.branch, self.branch, self.loop, self.alias, self.guarded])(depth)
        return [self.pick(self.plain_statements())]

    def vector(self) -> str:
        return self.pick(["n.v", "n.u", "n.w", "n.v", "n.u", "self.x"])

    def plain_statements(self) -> list[Callable[[], str]]:
        f = self.floats
        return [
            lambda: f"{self.vector()} = np.clip({f()}, -3.07, 3.03)",
            lambda: f"{self.vector()} = np.tanh({f()})",
            lambda: f"{self.vector()} {self.pick(['+=', '-=', '*='])} {self.pick([lambda: f'np.tanh({f()})', self.number])}",
            lambda: f"{self.vector()}[{self.truths()}] = {self.float()}",
            lambda: f"n.b = {self.truths()}; {self.vector()}[n.b] = {self.number()}",
            lambda: f"{self.vector()}[{self.truths()}] {self.pick(['+=', '*='])} {self.number()}",
            lambda: f"{self.vector()}[n.b] = ({f(1)})[n.b]",
            lambda: f"{self.vector()}[:] = np.clip({f()}, -2.03, 2.03)",
            lambda: f"{self.vector()}[1:3] = ({f(1)})[:2]",
            lambda: f"{self.vector()}[{self.place()}] {self.pick(['=', '+='])} {self.float(1)}",
            lambda: f"{self.vector()}[{self.wholes(1)} % {SIZE}] = {self.pick([self.number, lambda: f(1)])}",
            lambda: f"n.k = {self.wholes()} % 11",
            lambda: f"n.k {self.pick(['+=', '-='])} {self.pick([lambda: self.whole(1), lambda: self.truths(1)])}",
            lambda: f"n.k[{self.truths(1)}] = {self.random.randint(0, 5)}",
            lambda: f"n.b = {self.truths()}",
            lambda: f"n.b {self.pick(['&=', '|=', '^='])} {self.truths(1)}",
            lambda: f"n.z = float(np.clip({self.float()}, -4.01, 4.01))" if self.random.random() < 0.1 else
                    f"n.z = 0.5 * n.z + {self.number()} * {self.number()}",
            lambda: f"n.z {self.pick(['+=', '*='])} {self.number()}",
            lambda: f"self.a = {self.pick([lambda: f'0.7 * self.a + {self.number()}', self.number])}",
            lambda: f"n.c {self.pick(['+=', '-='])} {self.whole(1)} % 5",
            lambda: f"n.c = {self.whole(1)} % 9",
            lambda: f"self.i = (self.i + {self.whole(1)}) % 13",
            lambda: f"n.flag = {self.pick(['not n.flag', lambda: f'bool({self.truth(1)})'])}",
            lambda: f"self.items[{self.random.randint(0, 1)}] = {self.pick([self.number, 'self.items[0] * 0.9'])}",
            lambda: f'self.book["q"] = np.tanh({f(1)})',
            lambda: f'self.book["q"] += {self.number()}',
            lambda: f'self.book["p"] = {self.pick([self.number, "self.a * 0.5"])}',
            lambda: f"n.pair[1] *= {self.number()}",
            lambda: f"n.pair[0] = {self.pick([self.number, 'n.z * 0.3'])}",
            lambda: f"{self.vector()}.fill({self.float(1)})",
            lambda: f"np.copyto({self.vector()}, {f(1)})",
            lambda: f"np.add({f(1)}, {f(1)}, out={self.vector()}); n.v *= 0.37; n.u *= 0.41; n.w *= 0.39; self.x *= 0.43",
            lambda: f"np.add.at({self.vector()}, n.k % {SIZE}, {self.number()})",
            lambda: f"bump({self.vector()})",
            lambda: f"fill({self.vector()}, {self.float(1)})",
            lambda: f"self.poke(n, {self.float(1)})",
            lambda: "n.v, n.u = n.u, n.v * 0.5",
            lambda: f"{self.vector()}.sort()",
            lambda: f"np.fill_diagonal(n.synapses(afferent)[0].W, {self.number()})" if self.synapses else "n.v *= 0.9",
            lambda: f"n.synapses(afferent)[0].W *= {self.number()}" if self.synapses else "n.u *= 0.9",
            lambda: "n.synapses(afferent)[0].W += 0.03 * n.b[:, None] * np.tanh(n.v)[None, :]" if self.synapses else "n.w *= 0.9",
            lambda: f"for s in n.synapses(afferent): s.W[:, n.b] *= {self.number()}" if self.synapses else "n.w += 0.1",
            lambda: f"np.random.shuffle({self.vector()})" if self.random.random() < 0.2 else "n.v += 0.07",
            lambda: f"np.clip({self.vector()}, -1.01, 1.01, out={self.vector()})",
            lambda: f"np.putmask({self.vector()}, {self.truths(1)}, {self.number()})" if self.random.random() < 0.3 else "n.u += 0.03",
            lambda: f"n.label = {self.pick(['n.label', repr('on')])}",
            lambda: f"setattr(n, 'v', np.tanh({f(1)}))",
            lambda: f"n.v.flat[{self.random.randint(0, 3)}] = {self.number()}" if self.random.random() < 0.3 else "n.w += 0.03",
        ]  # fmt: skip

    def wild_statements(self) -> list[Callable[[], str]]:
        """Change or use what belongs to no object of the model, or what cannot be compiled."""
        return [
            lambda: f"SPACE.level = {self.number()}",
            lambda: "SPACE.level *= 0.9",
            lambda: f"Space.gain = {self.number()}",
            lambda: "SLOTTED.gain += 0.1",
            lambda: f"SLOTTED.items[1] = {self.number()}",
            lambda: f'TABLE["a"] = {self.number()}',
            lambda: 'TABLE["b"] += 0.2; n.v *= TABLE["b"]',
            lambda: "LIST[1] *= 0.9",
            lambda: f"LIST[1] = {self.pick(['float(n.v[0])', self.number])}",
            lambda: f"ARRAY[{self.place()}] = {self.number()}",
            lambda: "DEQUE.append(DEQUE.popleft())",
            lambda: "COUNTER['x'] += 1; n.z = 0.1 * COUNTER['x']",
            lambda: "NAMES.add(n.iteration); n.c = len(NAMES)",
            lambda: "n.z = next(TICKS) * 0.01",
            lambda: f"n.v = RNG.random({SIZE})",
            lambda: "n.z = random.random()",
            lambda: "globals().__setitem__('G', G * 0.95)",
            lambda: "count(); n.c = COUNT % 5",
            lambda: "scaled.factor *= 0.97",
            lambda: f"change({self.number()})",
            lambda: f"push({self.number()})",
            lambda: "shift.__defaults__[0][0] += 0.02",
            lambda: "type(self).rate = type(self).rate * 0.96",
            lambda: f"type(self).rate = {self.number()}",
            lambda: f"n.z = float({self.floats(1)}[0])",
            lambda: f"n.c = int(abs({self.floats(1)}[0]) * 5)",
            lambda: f"n.z = math.exp(-abs({self.floats(0)}.sum()))",
            lambda: f"self.words.append({self.pick(['n.iteration', repr('x'), 'n.v.mean()'])})",
            lambda: "self.items.append(0.1) if len(self.items) < 4 else self.items.pop()",
            lambda: f"n.extra = {self.floats(1)}",
            lambda: "self.mode = 'off' if self.mode == 'on' else 'on'",
            lambda: "n.label = 'off'" ,
            lambda: f"np.sort({self.floats(0)}).tolist()",
            lambda: "f'{n.v[0]:.3f}'",
            lambda: f"n.v = np.array([float(x) for x in {self.floats(0)}])",
            lambda: "exec('n.v *= 0.9')",
            lambda: "getattr(n, 'u')[:] = 0.21",
            lambda: "vars(n)['z'] = 0.37",
            lambda: "n.__dict__['v'] *= 0.77",
            lambda: "self.tick = getattr(self, 'tick', 0) + 1; n.c = self.tick",
        ]  # fmt: skip

    def block(self, depth: int) -> list[str]:
        kept = list(self.locals)
        lines = [line for _ in range(self.random.randint(1, 2)) for line in self.statement(depth - 1)]
        self.locals = kept
        return ["    " + line for line in lines]

    def branch(self, depth: int) -> list[str]:
        lines = [f"if {self.truth()}:", *self.block(depth)]
        if self.random.random() < 0.3:
            lines += [f"elif {self.truth(1)}:", *self.block(depth)]
        return lines + (["else:", *self.block(depth)] if self.random.random() < 0.5 else [])

    def loop(self, depth: int) -> list[str]:
        heads = [f"for j in range({self.random.randint(1, 3)}):", "for j in (0.2, -0.3):", "for j in self.items[:2]:"]
        lines = [self.pick(heads), *self.block(depth)]
        lines += [f"    {self.vector()} += 0.1 * j"]
        return lines + ([f"    if {self.truth(1)}: {self.pick(['break', 'continue'])}"] if self.random.random() < 0.3 else [])

    def alias(self, depth: int) -> list[str]:
        name = f"x{len(self.locals)}"
        kinds = [self.vector(), f"np.tanh({self.floats(1)})", f"{self.vector()}.copy()"]
        source = self.pick([*kinds, self.vector()])
        self.locals.append(name)
        after = self.pick([f"{name} += 0.09", f"{name}[n.b] = {self.number()}", f"{name}[1:] *= 0.5", f"n.w = {name}",
                           f"bump({name})", "n.v *= 0.8", f"{name} = {name} * 0.5"])  # fmt: skip
        return [f"{name} = {source}", after]

    def guarded(self, depth: int) -> list[str]:
        kinds = self.pick(["AttributeError", "KeyError", "Exception", "(IndexError, ZeroDivisionError)"])
        return ["try:", *self.block(depth), f"except {kinds}:", *self.block(depth)]

    def write(self) -> str:
        """Return the whole text."""
        text = HEAD + "def count():\n    global COUNT\n    COUNT += 1\n"
        for i in range(self.bodies):
            self.locals = []
            lines = [line for _ in range(self.random.randint(1, 4)) for line in self.statement()]
            text += f"class B{i}(Behavior):\n    rate = 0.{self.random.randint(11, 97)}\n    def initialize(self, n):\n"
            text += BODY_HEAD + f"    def poke(self, n, to): n.{self.pick(['v', 'u'])}[{self.place()}] = to\n"
            text += "    def iteration(self, n):\n" + "".join(f"        {line}\n" for line in lines)
        return text

    def changes(self) -> list[str]:
        """Write what is changed from outside between two runs; `M` is the module, `g` the group."""
        if self.random.random() < 0.55:
            return []
        return self.random.sample([
            f"M.G = {self.number()}", "M.LEARN = not M.LEARN", "M.MODE = 'off'", f"M.TABLE['a'] = {self.number()}",
            f"M.LIST[1] = {self.number()}", f"M.ARRAY[0] = {self.number()}", f"M.SPACE.level = {self.number()}",
            f"M.Space.gain = {self.number()}", f"M.SLOTTED.gain = {self.number()}", f"M.scaled.factor = {self.number()}",
            f"M.change({self.number()})", f"M.push({self.number()})", "M.shift.__defaults__[0][0] = 0.31", "M.COUNT = 3",
            f"M.B0.rate = {self.number()}", f"g.behavior[1].rate = {self.number()}", f"g.behavior[1].a = {self.number()}",
            "g.behavior[1].on = False", "g.behavior[1].mode = 'off'", f"g.v[:] = {self.number()}", "g.c = 4", "g.flag = True",
            f"g.z = {self.number()}", f"M.DEQUE[-1] = {self.number()}", "g.behavior[1].items.append(0.9)",
            f"M.SLOTTED.items[0] = {self.number()}", "M.squash = lambda x: x * 0.7", "M.fill = lambda x, to: None",
            "g.k = g.k + 1", "g.behavior[1].book['q'][2] = 0.77",
        ], self.random.randint(1, 2))  # fmt: skip
