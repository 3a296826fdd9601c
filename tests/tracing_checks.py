"""Hold a traced step against the same Python code run by NumPy."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import jax
import numpy as np

from recurra.tracing import Addressed, Body, trace

STEPS = 5


class Thing:
    """An object with attributes; `Thing(v=...)`."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def as_bodies(rules, things):
    rules = rules if isinstance(rules, list) else [rules]
    return [Body(f"{i}_{rule.__name__}", lambda rule=rule: rule(*things)) for i, rule in enumerate(rules)]


def compile_rule(rules, *things, **options):
    roots = {f"o{i}" if i else "n": thing for i, thing in enumerate(things)}
    return trace(as_bodies(rules, things), roots, **options)


def run_compiled(traced, steps, seed=0, start=0):
    with jax.enable_x64(True):
        update = jax.jit(traced.update)
        state, params, history = traced.state, traced.derive(traced.params), []
        for k in range(start, start + steps):
            state, emitted = update(state, params, {}, k, jax.random.key(seed))
            history.append(jax.tree.map(np.asarray, emitted))
    return jax.tree.map(np.asarray, state), history


def check(rules, *things, steps=STEPS, tolerance=1e-6, warm=0, writes=None):
    """Run both ways and compare every slot: type, shape, value. Returns the traced step.

    Arguments:
        rules: functions of the things, or one.
        writes: the names that must be in the state, if given.
    """
    addressed = Addressed(0)
    for k in range(warm):
        for body in as_bodies(rules, things):
            with addressed.at(body.name, k):
                body.run()
    before = copy.deepcopy(things)
    traced = compile_rule(rules, *things)
    same(things, before)
    eager = copy.deepcopy(things)
    for k in range(warm, warm + steps):
        for body in as_bodies(rules, eager):
            with addressed.at(body.name, k):
                body.run()
    state, _ = run_compiled(traced, steps, start=warm)
    same(things, before)
    traced.write_back(state)
    same(things, eager, tolerance)
    if writes is not None:
        assert {p.split("/", 1)[1] for p in traced.state} == set(writes)
    return traced


def same(got, expected, tolerance=0.0, where=""):
    """Compare nested objects: types of Python exactly, arrays by type, shape and greatest difference."""
    assert type(got) is type(expected), f"{where}: {type(got)} instead of {type(expected)}"
    if isinstance(got, np.ndarray | np.generic):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape), f"{where}: {got.dtype} {got.shape}"
        if got.dtype.kind in "fc":
            scale = max(1.0, float(np.max(np.abs(expected[np.isfinite(expected)]), initial=0)))
            np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale, err_msg=where)
        else:
            np.testing.assert_array_equal(got, expected, err_msg=where)
    elif isinstance(got, float):
        assert got == expected or abs(got - expected) <= tolerance * max(1, abs(expected)) or got != got, where
    elif isinstance(got, list | tuple):
        assert len(got) == len(expected), where
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            same(a, b, tolerance, f"{where}/{i}")
    elif isinstance(got, dict):
        assert list(got) == list(expected), where
        for key in got:
            same(got[key], expected[key], tolerance, f"{where}/{key}")
    elif isinstance(got, Thing | SimpleNamespace):
        same(vars(got), vars(expected), tolerance, where)
    elif isinstance(got, int | str | bool | None):
        assert got == expected, where
