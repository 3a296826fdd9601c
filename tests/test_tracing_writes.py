"""What code may write is read from its bytecode: every way of writing, in whatever branch, and no way of reading."""

from __future__ import annotations

import collections
import itertools
import math  # noqa: F401 - the bodies ask for it

import numpy as np
import pytest

from recurra.tracing.copies import copied, is_same, restored
from recurra.tracing.writes import Analysis

LIST, TABLE, COUNT = [1.0], {"a": 1.0}, 0
TICKS, RNG = itertools.count(), np.random.default_rng(1)


class Space:
    gain = 1.0


SPACE = Space()


def bump(x):
    x += 1.0


def same(x):
    return x


def later(x, done=None):
    y = same(x)
    bump(y)


def with_memory(x, memory=[0]):  # noqa: B006
    memory[0] += 1
    return x + memory[0]


def closing():
    held, many = 1.0, [1.0]

    def read(n):
        n.v = n.u * held + many[0]

    def write(n):
        nonlocal held
        held = 2.0

    def push(n):
        many.append(n.u)

    return read, write, push


READ, WRITE, PUSH = closing()


class Helpers:
    def poke(self, n, to):
        n.v[0] = to

    def look(self, n):
        return n.v.sum()

    @staticmethod
    def fill(x):
        x[:] = 0


def names(*lines: str) -> set[str]:
    """Return what a body of these lines may write."""
    text = "def body(self, n):\n" + "".join(f"    {line}\n" for line in lines)
    space = dict(globals())
    exec(compile(text, "body.py", "exec"), space)  # noqa: S102
    return found(space["body"])


def found(function) -> set[str]:
    def named(name):
        value = vars(Helpers).get(name)
        return [value] if value is not None else []

    effects = Analysis(named, {"v", "u", "w", "k", "b", "z"}).of(function)
    return {name for name in effects.written if name[0] != "#"}


WRITES = {
    "an attribute": (["n.v = n.u * 2"], {"v"}),
    "an entry": (["n.v[2] = n.u[1]"], {"v"}),
    "a mask": (["n.b = n.u > 1", "n.v[n.b] = 0.0"], {"v", "b"}),
    "a slice of a slice": (["n.v[1:][2] = 1"], {"v"}),
    "in place": (["n.v += n.u"], {"v"}),
    "in place through a local": (["x = n.v", "x += n.u"], {"v"}),
    "in place through a view": (["x = n.v.reshape(2, 2)", "x[0] *= 2"], {"v"}),
    "one branch": (
        ["if n.k > 3:", "    n.v[0] = 1", "elif n.k > 2:", "    n.u[0] = 1", "else: n.w = n.w"], {"v", "u", "w"}
    ),
    "a loop": (["for x in (n.v, n.u):", "    x *= 2"], {"v", "u"}),
    "a pair": (["n.v, n.u = n.u, n.v"], {"v", "u"}),
    "a handler": (["try: n.v.sum()", "except ValueError: n.u[:] = 0", "finally: n.w[0] = 1"], {"u", "w"}),
    "with": (["with np.errstate(all='ignore'): n.v /= n.u"], {"v"}),
    "a method": (["n.v.fill(0)", "n.u.sort()"], {"v", "u"}),
    "a list": (["self.items.append(n.v.mean())", "self.items.pop(0)"], {"items"}),
    "a dict": (
        ["self.book['p'] = 1", "self.other.update(a=1)", "self.third.setdefault('x', 2)"], {"book", "other", "third"}
    ),
    "copyto": (["np.copyto(n.v, n.u)", "np.putmask(n.w, n.b, 1)"], {"v", "w"}),
    "out": (["np.add(n.v, n.u, out=n.w)", "np.clip(n.v, 0, 1, out=n.z)"], {"w", "z"}),
    "out by position": (["np.multiply(n.v, n.u, n.w)"], {"w"}),
    "at": (["np.add.at(n.v, n.k, 1)"], {"v"}),
    "a diagonal": (["np.fill_diagonal(n.W, 0)"], {"W"}),
    "shuffled": (["np.random.shuffle(n.v)"], {"v"}),
    "a function": (["bump(n.v)"], {"v"}),
    "a function of a function": (["later(n.v)"], {"v"}),
    "a function that is handed over": (["list(map(bump, [n.v, n.u]))"], {"v", "u"}),
    "a method of the object": (["self.poke(n, n.u[0])"], {"v"}),
    "a static method": (["self.fill(n.u)"], {"u"}),
    "an inner function": (["def change(): n.v[0] = n.u[0]", "change()"], {"v"}),
    "a comprehension": (["[bump(x) for x in (n.v, n.w)]"], {"v", "w"}),
    "setattr": (["setattr(n, 'v', n.u)"], {"v"}),
    "setattr of anything": (["setattr(n, self.name, n.u)"], {"*"}),
    "vars": (["vars(n)['v'] = n.u"], {"*"}),
    "exec": (["exec('n.v = 1')"], {"*"}),
    "getattr": (["getattr(n, 'v')[:] = 1"], {"v"}),
    "unpacked": (["first, *rest = self.arrays", "rest[0] += 1"], {"arrays"}),
    "deleted": (["del self.items[0]", "del n.v"], {"items", "v"}),
    "a walrus": (["if (x := n.v) is not None: x[0] = 1"], {"v"}),
    "a chain": (["(n.v if n.k else n.u)[0] = 1"], {"v", "u"}),
    "an unknown method": (["n.table.assign(n.v)"], {"table", "v"}),
    "spread": (["bump(*[n.v])"], {"v"}),
    "by keyword": (["bump(x=n.v)"], {"v"}),
    "an entry of a global": (["LIST[0] = n.v[0]"], {"@LIST"}),
    "a global": (["global COUNT", "COUNT += 1"], {"@COUNT"}),
    "a global object": (["SPACE.gain = n.v[0]"], {"@SPACE", "gain"}),
    "a class": (["Space.gain *= 2"], {"@gain", "gain"}),
    "an iterator": (["n.v = n.u * next(TICKS)"], {"@TICKS", "v"}),
    "a generator": (["n.v = RNG.random(3)"], {"@RNG", "v"}),
    "defaults": (["n.v = with_memory(n.u)"], {"@with_memory", "v"}),
    "attributes of a function": (["with_memory.count = 3"], {"@count", "count"}),
}  # fmt: skip
READS = {
    "arithmetic": ["x = n.v * 2 + n.u", "x += 1"],
    "functions": ["x = np.where(n.v > 1, n.u, 0) + np.tanh(n.w)", "x[0] = 1"],
    "a copy": ["x = n.v.copy()", "x += 1", "x[0] = 2", "x.sort()"],
    "a sum": ["total = 0.0", "for x in n.v: total += x", "y = math.sin(total)"],
    "texts": ["x = f'{n.v[0]:.2f}'.strip()"],
    "a method that looks": ["x = self.look(n)"],
    "numbers": ["x = int(n.v[0]) + len(n.u) + float(n.z)", "x += 3"],
    "comparisons": ["x = n.v in [1, 2] or n.u is None or not n.b.any()"],
    "a list of numbers": ["x = [float(y) for y in n.v]", "x = sorted(n.u.tolist())"],
}


@pytest.mark.parametrize("case", WRITES)
def test_every_way_of_writing_is_found(case):
    lines, expected = WRITES[case]
    written = names(*lines)
    assert written >= expected or "*" in expected
    assert not (written - expected) & {"v", "u", "w", "k", "b", "z"}, written


@pytest.mark.parametrize("case", READS)
def test_what_only_reads_writes_nothing(case):
    assert names(*READS[case]) == set()


def test_what_closures_hold_lies_beside_the_objects():
    assert found(READ) == {"v"} and found(WRITE) == {"@held"} and found(PUSH) == {"@many"}


def test_names_that_come_to_hold_the_same_are_found():
    def body(n):
        n.w = n.v[1:]
        n.z = n.v * 2

    aliases = Analysis(lambda name: (), {"v", "w", "z"}).of(body).aliases
    assert ("w", "v") in aliases and not {pair for pair in aliases if "z" in pair}


class Slotted:
    __slots__ = ("items",)

    def __init__(self):
        self.items = [1.0, {"a": np.zeros(2)}]


def changed_attribute(value):
    value.items[1]["a"][0] = 3.0


VALUES = {
    "slots": (Slotted, changed_attribute),
    "a counter": (lambda: collections.Counter(a=2), lambda value: value.update("b")),
    "a deque": (lambda: collections.deque([1.0, [2.0]]), lambda value: value[1].append(1)),
    "a generator": (lambda: np.random.default_rng(3), lambda value: value.random()),
    "an old generator": (lambda: np.random.RandomState(3), lambda value: value.rand()),
    "a set": (lambda: {1, 2}, lambda value: value.add(3)),
    "an ordered dict": (lambda: collections.OrderedDict(a=1, b=2), lambda value: value.move_to_end("a")),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_copy_tells_what_has_changed_and_puts_it_back(case):
    make, change = VALUES[case]
    value, untouched = make(), make()
    before = copied(value, set())
    assert is_same(value, before)
    change(value)
    assert not is_same(value, before)
    assert restored(before) is value and is_same(value, before)
    if isinstance(value, np.random.Generator):
        assert value.random() == untouched.random()


