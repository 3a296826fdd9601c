"""Identities: what differs is told apart and named, what is the same stays the same, in every process."""

from __future__ import annotations

import collections
import functools
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import types
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

import identities
from recurra.engine.identity import differences, digest, identify
from recurra.errors import CapabilityError
from recurra.training import Bounds, Compose, Dale, Mask

HERE = Path(__file__).parent


def made(text: str, **outside) -> types.FunctionType:
    """Return the function f of a text, as if it stood in a module of the user's."""
    space = {"__name__": "theirs", "np": np, **outside}
    exec(compile(textwrap.dedent(text), "theirs.py", "exec"), space)  # noqa: S102
    return space["f"]


def module(**names) -> types.ModuleType:
    """Return a module of the user's."""
    found = types.ModuleType("theirs_too")
    vars(found).update(names)
    return found


def scaled(a):
    def f(run):
        return a * run

    return f


class Base:
    gain = 1.0

    def __init__(self, n):
        self.n = n

    def of(self, x):
        return self.gain * x


def class_with(**members) -> type:
    return type("Made", (Base,), {"__module__": "theirs", **members})


@dataclass(frozen=True)
class Settings:
    a: int = 1
    b: list = field(default_factory=list)


class Settled(dict):
    """A dict of the user's."""

    def __getattr__(self, name):
        return self[name]


def derived(base, k):
    """Return a class with a method, made from a common one."""
    return type("Derived", (base,), {"__module__": "theirs", "of": made(f"def f(self): return {k}")})


def enumeration(k):
    """Return an enumeration with a method."""
    return made(f"import enum\nclass f(enum.Enum):\n    A = 1\n    def of(self): return {k}")


def with_attribute(base, k):
    """Return an object of a class that is made from a common one, with an attribute."""
    found = type("Derived", (base,), {"__module__": "theirs"})()
    found.k = k
    return found


Point = collections.namedtuple("Point", "x y")
ESCAPES = {
    "by its name": "def f(x): return getattr(m, 'k')*x",
    "in vars": "def f(x): return vars(m)['k']*x",
    "in its dict": "def f(x): return m.__dict__['k']*x",
    "handed on": "def g(q): return q.k\ndef f(x): return g(m)*x",
    "in a dict": "d = {'m': m}\ndef f(x): return d['m'].k*x",
    "as a default": "def f(x, q=m): return q.k*x",
    "captured": "def g(q): return lambda x: q.k*x\nf = g(m)",
}
SAME = {
    "a lambda on another line": (lambda x: x + 1.0, lambda x: x + 1.0),
    "comments, docstrings, blank lines": (
        made("def f(x):\n    y = x + 1\n    return y"),
        made('def f(x):\n    "It adds."\n\n    # one\n    y = x + 1  # more\n\n    return y'),
    ),
    "annotations": (made("def f(x, q=2): return x"), made("def f(x: float, q: int = 2) -> 'float': return x")),
    "the name": (made("def f(x): return x + 1"), made("def g(x): return x + 1\nf = g")),
    "equal captured values": (scaled(2.0), scaled(2.0)),
    "equal arrays": (np.arange(3.0), np.arange(3.0)),
    "rows in memory in another order": (np.asfortranarray(np.eye(3) + 1), np.eye(3) + 1),
    "an array of JAX": (jnp.ones(3, "float32"), np.ones(3, "float32")),
    "a dict in another order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "sets": ({"x", "y", "z"}, {"z", "y", "x"}),
    "sparse formats": (csr_array(np.eye(3)), coo_array(np.eye(3))),
    "a jitted function": (jax.jit(lambda x: 2 * x), jax.jit(lambda x: 2 * x)),
    "an optimiser": (optax.adam(1e-3), optax.adam(1e-3)),
    "whole numbers as bounds": (Bounds(0, 1), Bounds(0.0, 1.0)),
    "signs as a list": (Dale([1, -1]), Dale(np.array([1.0, -1.0]))),
    "two calls of a maker of classes": (class_with(k=1), class_with(k=1)),
    "objects with equal state": (Base(3), Base(3)),
    "generators in the same state": (np.random.default_rng(1), np.random.default_rng(1)),
    "a cached property that was used": tuple(
        [cached := type("C", (), {"__module__": "theirs", "p": functools.cached_property(lambda self: 1)})]
        and [cached(), cached()]
    ),
    "a loop, with and without a docstring": (
        made("def f(x):\n    for i in range(3):\n        x += i if i else 2\n    return x"),
        made('def f(x):\n    "doc"\n    for i in range(3):\n        x += i if i else 2\n    return x'),
    ),
    "partials": (functools.partial(scaled, a=1), functools.partial(scaled, a=1)),
    "points": (Point(1.0, 2.0), Point(1.0, 2.0)),
    "default dicts": (collections.defaultdict(list, a=[1]), collections.defaultdict(list, a=[1])),
    "unused globals": (made("def f(x): return x", k=1), made("def f(x): return x", k=2)),
}
cached_one = SAME["a cached property that was used"][0]
cached_one.p
DIFFERENT = {
    "code": (lambda r: r.mean(), lambda r: r.max()),
    "constants": (lambda r: r + 1, lambda r: r + 2),
    "whole numbers and floats": (lambda r: r + 1, lambda r: r + 1.0),
    "zeros of either sign": (lambda r: 0.0, lambda r: -0.0),
    "nested constants": (lambda r: (lambda q: q + 1)(r), lambda r: (lambda q: q + 2)(r)),
    "captured": (scaled(1.0), scaled(100.0)),
    "captured arrays": (scaled(np.zeros(3)), scaled(np.ones(3))),
    "defaults": (made("def f(x, q=1): return x"), made("def f(x, q=2): return x")),
    "keyword defaults": (made("def f(x, *, q=1): return x"), made("def f(x, *, q=2): return x")),
    "arguments": (made("def f(x, y): return 1"), made("def f(x, *y): return 1")),
    "the end of a try": (
        made("def f(x):\n    x.a()\n    try:\n        x.b()\n    except ValueError:\n        x.c()"),
        made("def f(x):\n    try:\n        x.a()\n        x.b()\n    except ValueError:\n        x.c()"),
    ),
    "globals": (made("def f(x): return k*x", k=1.0), made("def f(x): return k*x", k=2.0)),
    "globals of functions that are called": tuple(
        made("def f(x): return g(x)\ndef g(x): return k*x", k=k) for k in (1.0, 2.0)
    ),
    "globals in nested code": tuple(made("def f(x): return [k for i in x]", k=k) for k in (1.0, 2.0)),
    "modules of the user's": tuple(made("def f(x): return m.k*x", m=module(k=k)) for k in (1.0, 2.0)),
    "partial arguments": (functools.partial(scaled, a=1), functools.partial(scaled, a=2)),
    "methods of other objects": (Base(1).of, Base(2).of),
    "state of objects": (Base(1), Base(2)),
    "data of classes": (class_with(gain=1.0), class_with(gain=2.0)),
    "methods": (class_with(of=lambda self, x: x), class_with(of=lambda self, x: -x)),
    "data of bases": tuple(type("A", (class_with(k=k),), {"__module__": "theirs"}) for k in (1, 2)),
    "data of the class of an object": (class_with(gain=1.0)(1), class_with(gain=2.0)(1)),
    "dataclasses": (Settings(1), Settings(2)),
    "dtypes": (np.zeros(2), np.zeros(2, "float32")),
    "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
    "places of entries": (csr_array(np.eye(3)), csr_array(np.eye(3)[::-1])),
    "texts and bytes": ("a", b"a"),
    "lists and tuples": ([1], (1,)),
    "nesting": ([[1], 2], [1, [2]]),
    "jitted": (jax.jit(lambda x: 2 * x), jax.jit(lambda x: 3 * x)),
    "vmapped": (jax.vmap(scaled(1.0)), jax.vmap(scaled(2.0))),
    "jaxprs": (jax.make_jaxpr(jnp.sin)(1.0), jax.make_jaxpr(jnp.cos)(1.0)),
    "constants of jaxprs": tuple(jax.make_jaxpr(lambda x, c=c: x * c)(1.0) for c in (np.ones(3), np.zeros(3))),
    "rates of optimisers": (optax.adam(1e-3), optax.adam(2e-3)),
    "other numbers of optimisers": (optax.adam(1e-3), optax.adam(1e-3, b1=0.8)),
    "schedules": (optax.cosine_decay_schedule(0.1, 9), optax.cosine_decay_schedule(0.1, 10)),
    "bounds": (Bounds(0, 1), Bounds(0, 100)),
    "signs": (Dale([1, -1]), Dale([-1, 1])),
    "parts of constraints": (Compose(Dale([1, -1]), Mask(np.eye(2))), Compose(Dale([1, -1]), Mask(np.ones((2, 2))))),
    "ufuncs": (np.sin, np.cos),
    "generators": (np.random.default_rng(1), np.random.default_rng(2)),
    "methods of C": ([1].append, [2].append),
    "recursion": (
        made("def f(x): return 1 if x == 0 else f(x - 1)"), made("def f(x): return 2 if x == 0 else f(x - 1)")
    ),
    "names of keywords": (lambda r: r.std(axis=1), lambda r: r.std(ddof=1)),
    "dicts with methods": tuple(derived(dict, k)(a=1) for k in (1, 2)),
    "lists with methods": tuple(derived(list, k)([1]) for k in (1, 2)),
    "numbers with methods": tuple(derived(float, k)(1.0) for k in (1, 2)),
    "arrays with methods": tuple(np.zeros(2).view(derived(np.ndarray, k)) for k in (1, 2)),
    "dicts with attributes": tuple(with_attribute(dict, k) for k in (1, 2)),
    "dicts and kinds of dicts": ({"a": 1}, Settled(a=1)),
    "matrices and arrays": (np.matrix(np.eye(2)), np.eye(2)),
    "makers of defaults": tuple(collections.defaultdict(f, a=1.0) for f in (lambda: 2.0, lambda: 3.0)),
    "orders that are kept": (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
    "lengths of deques": (collections.deque([1], 1), collections.deque([1], 2)),
    "methods of enumerations": (enumeration(1), enumeration(2)),
    "members of enumerations with methods": (enumeration(1).A, enumeration(2).A),
    "methods of metaclasses": tuple(derived(type, k)("C", (), {"__module__": "theirs"}) for k in (1, 2)),
    "methods of dataclasses": tuple(
        dataclass(type("C", (), {"__module__": __name__, "of": made(f"def f(self): return {k}")})) for k in (1, 2)
    ),
    "globals by name": tuple(made("def f(x): return globals()['k']*x", k=k) for k in (1, 2)),
    **{
        f"a module {name}": tuple(made(text, m=module(k=k)) for k in (1, 2)) for name, text in ESCAPES.items()
    },
    "times": (pandas.Timestamp("2020"), pandas.Timestamp("2021")),
    "counters": (collections.Counter("aab"), collections.Counter("abb")),
    "vectorized": (np.vectorize(lambda x: x), np.vectorize(lambda x: -x)),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_is_the_same_has_one_identity(case):
    one, two = SAME[case]
    assert digest(one) == digest(two)


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_has_another_identity(case):
    one, two = DIFFERENT[case]
    assert digest(one) != digest(two) and differences(identify({"it": one}), identify({"it": two}))
    assert digest(one) == digest(one) and not differences(identify({"it": one}), identify({"it": one}))


def test_differences_are_named():
    pairs = {
        "it: its code": DIFFERENT["code"], "it: its constants": DIFFERENT["constants"],
        "it: its defaults": DIFFERENT["defaults"], "it: the captured 'a'": (scaled(np.ones(2)), scaled(np.zeros(2))),
        "it: the captured 'a' was 1.0, now it is 2.0": (scaled(1.0), scaled(2.0)),
        "it: the global 'k' was 1.0, now it is 2.0": DIFFERENT["globals"],
        "it: its arguments": DIFFERENT["partial arguments"], "it was 1, now it is 2": (1, 2),
        "it: b": ({"a": 1, "b": np.ones(2)}, {"a": 1, "b": np.zeros(2)}), "it: b (new)": ({"a": 1}, {"a": 1, "b": 2}),
    }  # fmt: skip
    for told, (one, two) in pairs.items():
        assert differences(identify({"it": one}), identify({"it": two})) == [told]


def test_functions_that_call_each_other_end():
    text = "def f(n): return n == 0 or g(n - 1)\ndef g(n): return n != 0 and f(n - 1){}"
    assert digest(made(text.format(""))) == digest(made(text.format("")))
    assert digest(made(text.format(""))) != digest(made(text.format(" and k"), k=1))


def test_equal_and_shared_parts_are_the_same():
    part = [1.0, {"a": np.ones(3)}]
    assert digest([part, part]) == digest([[1.0, {"a": np.ones(3)}], [1.0, {"a": np.ones(3)}]])


def test_a_module_that_is_imported_while_a_function_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    function = made("def f(x):\n    import of_the_user\n    return of_the_user.g(x)")
    (tmp_path / "of_the_user.py").write_text("def g(x):\n    return x\n")
    first = digest(function)
    (tmp_path / "of_the_user.py").write_text('"""More."""\n# a comment\ndef g(x):\n    return x\n')
    assert digest(function) == first
    (tmp_path / "of_the_user.py").write_text("def g(x):\n    return 2*x\n")
    assert digest(function) != first


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (made("def f(x): return file.read()", file=open(os.devnull)), "the global 'file' is of type _io.TextIOWrapper"),  # noqa: SIM115
        (scaled(threading.Lock()), "the captured 'a' is of type _thread.lock"),
        ((i for i in range(3)), "of type builtins.generator"),
        (functools.partial(scaled, a=memoryview(b"a")), "of type builtins.memoryview"),
        (np.frompyfunc(lambda x: x, 1, 1), "of type numpy.ufunc"),
    ],
)
def test_what_cannot_be_identified_says_how_to_name_it(value, told):
    with pytest.raises(CapabilityError, match=f"the measure cannot be identified.*{told}.*Name it: measure_id='...'"):
        identify({"the measure": value}, {"the measure": "measure_id"})
    with pytest.raises(CapabilityError, match="a method __identity__"):
        identify({"the measure": value})


def test_an_object_may_say_what_it_is():
    class Reader:
        def __init__(self, name):
            self.name, self.lock = name, threading.Lock()

        def __identity__(self):
            return self.name

    assert digest(Reader("a")) == digest(Reader("a")) != digest(Reader("b"))


def test_identities_are_the_same_in_every_process():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    run = [
        subprocess.Popen(
            [sys.executable, str(HERE / "identities.py")], env={**environment, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("1",)
    ]  # fmt: skip
    here = json.loads(json.dumps(identities.everything()))
    for found in (json.loads(process.communicate()[0]) for process in run):
        assert found == here


def test_a_file_of_the_user_with_the_name_of_a_module_of_python(monkeypatch, tmp_path):
    found = []
    for k in (1, 2):
        there = types.ModuleType("code")
        there.__file__ = str(tmp_path / "code.py")
        vars(there).update(__name__="code", k=k)
        there.f = types.FunctionType(made("def f(x): return k*x").__code__, vars(there))
        monkeypatch.setitem(sys.modules, "code", there)
        found.append(digest(there.f))
    assert found[0] != found[1]


def test_a_script_that_another_program_runs_is_the_users_own(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/usr/lib/site-packages/pytest/__main__.py", raising=False)
    one, two = (made("def f(x): return k*x", k=k) for k in (1, 2))
    one.__module__ = two.__module__ = "__main__"
    assert digest(one) != digest(two)


def test_random_numbers_without_a_seed_are_the_same_after_some_were_drawn():
    function = made("def f(x): return rand() + gauss(0, 1)", rand=np.random.rand, gauss=random.gauss)
    before = digest(function)
    function(0)
    assert digest(function) == before


def test_only_the_code_counts_where_numbers_may_change():
    def code(value):
        return identify({"rule": value}, lasting=True)

    assert code(scaled(1.0)) == code(scaled(2.0)) and code(Base) == code(Base)
    for name in ("globals", "defaults", "data of classes"):
        one, two = DIFFERENT[name]
        assert code(one) == code(two), name
    for name in ("code", "constants", "methods", "recursion"):
        one, two = DIFFERENT[name]
        assert code(one) != code(two), name


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.frozensets(LEAVES, max_size=4)
    ),
    max_leaves=12,
)


def shown(value) -> str:
    """Write a value down in one way."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{shown(k)}:{shown(v)}" for k, v in value.items())) + "}"
    if isinstance(value, frozenset):
        return "set(" + ",".join(sorted(map(shown, value))) + ")"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}(" + ",".join(map(shown, value)) + ")"
    return f"{type(value).__name__} {value!r}"


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES)
def test_digests_are_equal_where_values_are(one, two):
    assert (digest(one) == digest(two)) == (shown(one) == shown(two))


def test_what_holds_too_much_to_be_read_is_not_read_on():
    many = {"it": [[k] for k in range(2000)]}
    assert identify(many)
    with pytest.raises(CapabilityError, match="it holds too many things"):
        identify(many, most=1000)
