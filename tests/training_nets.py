"""Small networks for the tests of training."""

from __future__ import annotations

import numpy as np

from recurra.engine import Edge, Graph, Node, Operator, Program, Spike, Variable, lower
from recurra.equations import parse_equation
from recurra.training import fit_bptt


def operator(equations: list[str], output: str | None = None, **variables: Variable) -> Operator:
    return Operator(tuple(parse_equation(text) for text in equations), variables, output)


RATE = operator(
    ["v' = -v/tau + r_in + I", "r = tanh(v)"],
    v=Variable("state", 0.1),
    r=Variable("algebraic"),
    tau=Variable("parameter", 1.5),
    r_in=Variable("input"),
    I=Variable("input"),
)
READ = operator(["y = x"], y=Variable("algebraic"), x=Variable("input"))


def rate_net(n: int, seed: int = 0, delay: object = None, outputs: int = 0, gain: float = 1.0) -> Program:
    """Leaky tanh units `p/op` with recurrent edge `w`; with `outputs` a linear readout `o/op/y`, edge `out`, too."""
    rng = np.random.default_rng(seed)
    weights = gain * rng.standard_normal((n, n)) / np.sqrt(n)
    nodes, edges = {"p": Node({"op": RATE}, n)}, [Edge("p/op/r", "p/op/r_in", weights, delay=delay, label="w")]
    if outputs:
        nodes["o"] = Node({"op": READ}, outputs)
        edges.append(Edge("p/op/r", "o/op/x", rng.standard_normal((outputs, n)) / n, label="out"))
    return lower(Graph(nodes, tuple(edges)))


LIF = operator(
    ["v' = -v/tau + s_in + I", "s' = -s/tau_s + spike"],
    v=Variable("state"),
    s=Variable("state"),
    tau=Variable("parameter", 10.0),
    tau_s=Variable("parameter", 5.0),
    s_in=Variable("input"),
    I=Variable("input"),
    spike=Variable("input"),
)


def lif_net(n: int, inputs: int, seed: int = 0, recurrent: float = 0.0, slope: float = 2.0) -> Program:
    """Leaky integrate-and-fire units `p/op` that read `x/op/y` through the edge `in`, and each other through `w`."""
    rng = np.random.default_rng(seed)
    spikes = (Spike("op/v", "op/spike", 1.0, 0.0, surrogate="fast_sigmoid", slope=slope),)
    nodes = {"x": Node({"op": READ}, inputs), "p": Node({"op": LIF}, n, spikes=spikes)}
    edges = [Edge("x/op/y", "p/op/I", 0.3 * rng.standard_normal((n, inputs)) / np.sqrt(inputs) + 0.05, label="in")]
    if recurrent:
        weights = recurrent * rng.standard_normal((n, n)) / np.sqrt(n)
        np.fill_diagonal(weights, 0.0)
        edges.append(Edge("p/op/s", "p/op/s_in", weights, label="w"))
    return lower(Graph(nodes, tuple(edges)))


DT = 0.1
_rng = np.random.default_rng(0)
DRIVE, GOAL = {"p/op/I": _rng.standard_normal((6, 15, 3))}, _rng.standard_normal((6, 15, 3))
OPTIONS = {"output": "p/op/r", "train": ["w/weight"], "dt": DT, "epochs": 4, "lr": 0.05}


def fit(program=None, drive=DRIVE, goal=GOAL, **options):
    """Train three rate units on noise, for a few epochs."""
    return fit_bptt(rate_net(3) if program is None else program, drive, goal, **(OPTIONS | options))
