"""Run a small model of every front-end once, so that all that is compiled for them lies in JAX's cache on disk."""

from __future__ import annotations

import numpy as np

from recurra import (
    Behavior,
    CircuitTemplate,
    EdgeTemplate,
    Network,
    NeuronGroup,
    NodeTemplate,
    OperatorTemplate,
    Recorder,
    SynapseGroup,
    simulate,
    sweep,
)
from recurra.engine import Edge, Graph, Node, Operator, Rule, Variable, lower
from recurra.equations import parse_equation
from recurra.glm import PopulationGLM
from recurra.glm.basis import RaisedCosineLogConv
from recurra.rate.model import FR_RNN_dale
from recurra.spiking import convert

RNG = np.random.default_rng(0)


def circuit() -> None:
    """Run delays, kernels, noise, operators on edges, merged nodes and functions over units."""
    one = OperatorTemplate(
        "op", ["x' = (a*tanh(u) + b*y - x)/tau + sigma*xi + rho*xi_two", "y' = x*c - y*d + past(x, lag)"],
        {"x": "output(0.1)", "y": "variable(0.0)", "u": "input", "a": 1.0, "b": 0.5, "c": 0.2, "d": 1.0, "tau": 2.0,
         "sigma": 0.1, "rho": 0.1, "lag": 0.3},
    )  # fmt: skip
    two = OperatorTemplate("mix", "z' = mean(u) + sum(z) - softmax(z)*z", {"z": "output(0.1)", "u": "input"})
    between = EdgeTemplate("edge", OperatorTemplate("e", "m = k*sin(x_s - x_t)", {
        "m": "output", "k": 0.4, "x_s": "input", "x_t": "input"}))  # fmt: skip
    nodes = {f"n{i}": NodeTemplate("n", one) for i in range(4)} | {"s": NodeTemplate("s", two)}
    edges = [
        ("n0/op/x", "n1/op/u", None, {"weight": 0.5, "delay": 0.2}),
        ("n1/op/x", "n2/op/u", None, {"weight": 0.5, "delay": 0.4, "spread": 0.2}),
        ("n2/op/x", "s/mix/u", None, {"weight": 1.0}),
        ("s/mix/z", "n3/op/u", None, {"weight": 1.0, "delay": 0.3}),
        ("n3/op/x", "n0/op/u", between, {"weight": 1.0, "x_s": "source", "x_t": "n0/op/x"}),
    ]
    model = CircuitTemplate("c", nodes=nodes, edges=edges)
    simulate(model, 1.0, dt=0.1, record=["n0/op/x", "s/mix/z"], progress=False)
    sweep(model, {"n0/op/a": [1.0, 2.0]}, 1.0, dt=0.1, record=["n1/op/x"], progress=False)


def rules() -> None:
    """Run a rule of five arrays, whose names have no order of their own, beside equations."""

    def count(state, params, inputs, clock):
        return {name: value + 1 for name, value in state.items()}, {}

    cell = Operator((parse_equation("v' = u - v"),), {"v": Variable("state", 1.0), "u": Variable("input")})
    counts = {name: np.arange(2 + i, dtype=np.int32) for i, name in enumerate("abcde")}
    edge = Edge("r/a", "c/op/u", np.eye(2), delay=0.5)
    simulate(lower(Graph({"r": Rule(count, counts), "c": Node({"op": cell}, 2)}, (edge,))), 2.0, dt=0.5, progress=False)


def network() -> None:
    """Run spikes, a filter and a delay, and train."""
    net = Network(dt=0.1, seed=0)
    spiking = "neuron_model_templates.spiking_neurons.lif.lif"
    net.add_diffeq_node("a", spiking, weights=RNG.normal(size=(3, 3)), source_var="s", target_var="s_in",
                        input_var="I_ext", output_var="s", spike_var="spike", reset_var="v",
                        op="lif_op", train_params=["weights"])  # fmt: skip
    net.add_diffeq_node("b", "y' = -y + w", variables={"y": "output", "w": "input"}, N=2)
    net.add_edge("a", "b", weights=RNG.normal(size=(2, 3)), delays=2, filter_weights=0.5)
    net.run(np.ones((20, 3)), progress=False)
    net.fit_bptt(np.ones((20, 3)), np.zeros((20, 2)), epochs=1, progress=False)


class Leak(Behavior):
    """Leak, remember, and take in what spikes."""

    def initialize(self, neurons):
        self.rate = self.parameter("rate", 0.9)
        neurons.v, neurons.u, neurons.w = (neurons.vector("uniform") for _ in range(3))
        neurons.spike = neurons.v > 1

    def iteration(self, neurons):
        neurons.v *= self.rate
        neurons.u += 0.1 * neurons.v
        neurons.w[neurons.spike] -= 0.2
        neurons.v += neurons.vector("uniform") * neurons.w
        for synapses in neurons.synapses("afferent", "All"):
            neurons.v += synapses.W @ synapses.src.spike
        neurons.spike = neurons.v > 1
        neurons.v[neurons.spike] = 0


class Weights(Behavior):
    """Let the weights of who spikes decay."""

    def initialize(self, synapses):
        synapses.W = synapses.matrix("uniform")

    def iteration(self, synapses):
        synapses.W[synapses.dst.spike] *= 0.99


def groups() -> None:
    """Run behaviors, which are traced."""
    net = Network(dt=1.0)
    cells = NeuronGroup(net=net, tag="cells", size=6, behavior={1: Leak(), 3: Recorder(["v", "np.mean(u)"])})
    others = NeuronGroup(net=net, tag="others", size=4, behavior={1: Leak()})
    SynapseGroup(net=net, src=cells, dst=others, tag="S", behavior={2: Weights()})
    net.initialize()
    net.simulate_iterations(20, progress=False)


def glm() -> None:
    """Run a GLM with a past of its own."""
    model = PopulationGLM().fit_spikes(RNG.poisson(0.5, (60, 2)), RaisedCosineLogConv(3, window_size=10))
    simulate(model, 5.0, dt=1.0, progress=False)


def rate() -> None:
    """Run a rate network, and its spiking twin."""
    dale = FR_RNN_dale(6, 0.2, 0.5, RNG.normal(size=(6, 1)), 0, "gaus", 1.5, True, RNG.normal(size=(1, 6)))
    simulate(dale, 50.0, dt=1.0, progress=False)
    convert(dale, 40.0).simulate(np.ones((1, 4)))


if __name__ == "__main__":
    for run in (circuit, rules, network, groups, glm, rate):
        run()
