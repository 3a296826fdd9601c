"""What must not matter, for every way in which signals are delivered and every solver.

Parallel edges add; weight 0 is no edge, delay 0 no delay; batches and sweeps are single runs; two halves are a whole.
"""

from __future__ import annotations

import numpy as np
import pytest

import networks as nets
from recurra import sweep
from recurra.engine import Edge, Graph, Node, Sparse, lower, simulate

DT, STEPS, N = 0.1, 16, 3
CELL = nets.operator("x' = -x + tanh(u)\nm = x^2", {"x": 0.4}, inputs={"u": 0.0}, algebraic={"m": 0.0})
RNG = np.random.default_rng(7)
W = RNG.normal(size=(N, N))
X0, DRIVE = RNG.normal(size=N), RNG.normal(size=(STEPS, N))
NEAR, FAR = RNG.uniform(0.1, 0.9, (N, N)), RNG.uniform(0.1, 0.9, (N, N))
MIXED = NEAR * (1 - np.eye(N))
ENTRIES = (np.array([0, 1, 1, 2]), np.array([1, 0, 2, 2]))


def sparse(scale=1.0):
    return Sparse(*ENTRIES, scale * W[ENTRIES], (N, N))


# name -> weights (times a number), delay, spread, source
KINDS = {
    "dense, some without": (lambda c: c * W, MIXED, None, "x"),
    "sparse": (sparse, NEAR, None, "x"),
    "all to all": (lambda c: 0.2 * c, 0.37, None, "x"),
    "one to one": (lambda c: c * np.diag([0.5, -0.3, 0.8]), 0.25, None, "x"),
    "algebraic": (lambda c: c * W, NEAR, None, "m"),
    "chain": (lambda c: c * W, 0.6, 0.3, "x"),
}
EVERY = [(kind, "heun") for kind in KINDS]
EVERY += [("dense, some without", solver) for solver in ("euler", "rk4", "exponential_euler")]


def graph(kind, *scales, delay=None):
    weights, own, spread, source = KINDS[kind]
    node = Node({"op": CELL}, N, {"op/x": X0})
    time = own if delay is None else delay
    ends = f"a/op/{source}", "b/op/u"
    edges = [Edge(*ends, weights(c), time, spread, label=f"e{i}") for i, c in enumerate(scales)]
    return Graph({"a": node, "b": node}, tuple(edges))


def run(program, solver, steps=STEPS, drive=DRIVE, **options):
    return simulate(program, steps * DT, dt=DT, solver=solver, inputs={"a/op/u": drive}, progress=False, **options)


def close(one, other, tolerance=1e-13):
    for name in ("a/op/x", "b/op/x"):
        assert np.abs(one[name] - other[name]).max() <= tolerance


@pytest.mark.parametrize(("kind", "solver"), EVERY)
def test_what_does_not_matter(kind, solver):
    program = lower(graph(kind, 1.0))
    whole = run(program, solver)
    close(run(lower(graph(kind, 0.3, 0.9, -0.2)), solver), whole)
    nothing = run(lower(graph(kind, 0.0)), solver)
    close(run(lower(graph(kind)), solver), nothing, 1e-16)
    half = run(program, solver, 5, DRIVE[:5])
    rest = run(program, solver, STEPS - 5, DRIVE[5:], state=half.final)
    for name in whole:
        assert np.array_equal(np.concatenate([half[name], rest[name]]), whole[name])
    factors = np.array([0.0, 1.0, 1.7])
    weights = np.stack([factor * program.get("e0/weight") for factor in factors])
    batch = run(program, solver, batch={"e0/weight": weights})
    for i, alone in ((0, nothing), (1, whole)):
        for name in ("a/op/x", "b/op/x"):
            assert np.abs(batch[name][i] - alone[name]).max() < 1e-13
    times = [0.0, 0.45] if KINDS[kind][2] is None else [0.9, 0.5]
    swept = sweep(program, {"e0/delay": times}, STEPS * DT, dt=DT, solver=solver, inputs={"a/op/u": DRIVE},
                  record={"b": "b/op/x"}, progress=False)["b"].values  # fmt: skip
    for row, time in zip(swept, times, strict=True):
        alone = run(lower(graph(kind, 1.0, delay=time)), solver)
        assert np.abs(row - alone["b/op/x"]).max() < 1e-13
