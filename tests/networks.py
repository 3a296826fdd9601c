"""Small networks that the tests of the engine share, built from operators without any front-end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from recurra.engine import Edge, Graph, Node, Operator, Program, Variable, lower
from recurra.equations import parse_equations


def operator(
    equations: str,
    states: dict | None = None,
    params: dict | None = None,
    inputs: dict | None = None,
    algebraic: dict | None = None,
    output: str | None = None,
) -> Operator:
    """Make an operator from its equations and the values of its variables by kind."""
    kinds = {"state": states, "parameter": params, "input": inputs, "algebraic": algebraic}
    variables = {
        name: Variable(kind, value)  # type: ignore[arg-type]
        for kind, values in kinds.items()
        for name, value in (values or {}).items()
    }
    return Operator(parse_equations(equations), variables, output)


def single(op: Operator, size: int = 1, **values: object) -> Graph:
    """Make a network of one node `n` with one operator `op`."""
    return Graph({"n": Node({"op": op}, size, {f"op/{k}": v for k, v in values.items()})})


def decay(inputs: float = 0.0) -> Operator:
    """x' = -x/tau + u: the smallest thing that can be driven."""
    return operator("x' = -x/tau + u", {"x": 1.0}, {"tau": 1.0}, {"u": inputs})


def tanh_unit() -> Operator:
    """A leaky unit with an algebraic output, a second state and everything nonlinear."""
    return operator(
        "x' = -x/tau + tanh(r_in) + 0.3*past(x, d) + sin(t)\nm = x*x",
        {"x": 0.1}, {"tau": 2.0, "d": 0.3}, {"r_in": 0.2}, {"m": 0.0}, "m",
    )


def follower() -> Operator:
    """Reads the output of `tanh_unit` in the same node."""
    return operator("y' = -y + m", {"y": 0.0}, {}, {"m": 0.5}, output="y")


def link() -> Operator:
    """An edge's operator with a state of its own, reading source and target."""
    return operator(
        "s' = (u - s)*g\nz = s + 0.1*w", {"s": 0.0}, {"g": 1.5}, {"u": 0.0, "w": 0.0}, {"z": 0.0}
    )


def product() -> Operator:
    """An algebraic operator of an edge."""
    return operator("z = sin(u - w)", {}, {}, {"u": 0.0, "w": 0.0}, {"z": 0.0})


def everything(seed: int = 0) -> Graph:
    """A network that uses every way to join nodes: see the comments beside the edges."""
    rng = np.random.default_rng(seed)
    unit, second, on_edge, plain = tanh_unit(), follower(), link(), product()
    nodes = {
        f"n{i}": Node(
            # The names of operators differ between nodes that merge.
            {f"op{i % 2}": unit, "q": second}, 1, {f"op{i % 2}/tau": 1 + 0.1 * i, f"op{i % 2}/x": rng.normal()}
        )
        for i in range(4)
    }
    nodes["p"] = Node({"op": unit}, 3, {"op/x": np.array([0.1, 0.2, 0.3]), "op/d": np.array([0.3, 0.0, 0.17])})
    nodes["r"] = Node({"op": unit}, 2)
    read = {"source": {"e/u": "source"}}
    edges = [
        Edge("n0/op0/m", "n1/op1/r_in", 0.5),  # two parallel edges
        Edge("n0/op0/m", "n1/op1/r_in", 0.25),
        Edge("n1/q/y", "n2/op0/r_in", 1.5, delay=0.25),  # off the grid
        Edge("n2/op0/x", "n0/op0/r_in", -1.0, delay=0.4),  # heterogeneous delays
        Edge("n2/op0/x", "n3/op1/r_in", -1.0, delay=0.43),
        Edge("n3/op1/m", "p/op/r_in", rng.normal(size=(3, 1)), delay=0.5, spread=0.2),  # gamma chain of a matrix
        Edge("p/op/x", "r/op/r_in", rng.normal(size=(2, 3)), delay=rng.integers(0, 5, (2, 3)) * 0.1),
        Edge("p/op/x", "p/op/r_in", 0.3),  # all to all
        Edge("r/op/m", "p/op/r_in", 0.3, delay=0.2),
        Edge("n0/op0/x", "n2/op0/r_in", 0.7, node=Node({"e": on_edge}),
             inputs={"e/u": "source", "e/w": "n2/q/y"}, output="e/z"),
        Edge("n1/op1/x", "n0/op0/r_in", 0.6, delay=0.3, node=Node({"e": on_edge}),
             inputs={"e/u": "source", "e/w": "n0/q/y"}, output="e/z"),
        Edge("p/op/x", "r/op/r_in", rng.normal(size=(2, 3)), node=Node({"e": plain}),
             inputs={"e/u": "source", "e/w": "r/op/x"}, output="e/z"),
        Edge("n1/op1/x", "n1/op1/r_in", 0.4, node=Node({"e": on_edge}), inputs=read["source"], output="e/z",
             delay=0.4, spread=0.21),  # edge operators, then a gamma chain
        Edge("n0/op0/x", "n3/op1/r_in", 0.7, delay=0.5, spread=0.2),
        Edge("n1/op1/x", "n3/op1/r_in", 0.7, delay=0.3, spread=0.15),
    ]
    return Graph(nodes, tuple(edges), "everything")


EVERYTHING = ["all/op/x", "all/op0/x", "all/op1/m", "all/op/m", "all/op/r_in", "all/op0/r_in", "all/q/y"]


def noisy(size: int = 1, x: float = 0.0) -> Operator:
    """An Ornstein-Uhlenbeck process with an input."""
    return operator("v' = -v/tau + s*xi + u", {"v": x}, {"tau": 1.0, "s": 0.5}, {"u": 0.0})


def noisy_network() -> Graph:
    """Noise, a ring-buffer delay, a gamma chain, two merged nodes and a population."""
    op = noisy()
    edges = (
        Edge("a/op/v", "b/o2/u", 0.3, delay=0.05),
        Edge("b/o2/v", "p/op/u", np.array([[0.5], [-0.5], [0.2]]), delay=0.3, spread=0.12),
        Edge("p/op/v", "a/op/u", np.array([[0.1, 0.2, 0.3]])),
    )
    return Graph({"a": Node({"op": op}), "b": Node({"o2": op}), "p": Node({"op": op}, 3)}, edges, "noisy")


NOISY = ["a/op/v", "b/o2/v", "p/op/v"]


def program(graph: Graph | Operator) -> Program:
    """Lower a graph, or an operator in a node of its own."""
    return lower(single(graph) if isinstance(graph, Operator) else graph)


def largest_difference(a, b) -> float:
    """Return the largest difference of two results with the same recordings, element by element."""
    assert list(a) == list(b)
    for name in a:
        assert a[name].shape == b[name].shape, (name, a[name].shape, b[name].shape)
        assert np.isfinite(a[name]).all()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


@contextmanager
def changed(module: object, **values: object) -> Iterator[None]:
    """Set constants of a module for a while."""
    old = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in old.items():
            setattr(module, name, value)
