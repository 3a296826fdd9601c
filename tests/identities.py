"""Things of every kind that have an identity; run as a script it prints these, for a comparison between processes."""

from __future__ import annotations

import functools
import json

import numpy as np

from recurra.engine import lower

SCALE = {"first": 1.0, "second": 2.0}
WORDS = {"alpha", "beta", "gamma", "delta"}


def helper(x, words=frozenset(WORDS)):
    return len(words) * x if x in {"one", "two", "three"} else x + SCALE["first"]


def measure(run, q=0.5):
    return {"m": helper(np.quantile(run["x"], q))}


class Drift:
    """A callable with numbers."""

    def __init__(self, rate):
        self.rate, self.names = rate, {"x", "y", "z"}

    def __call__(self, run):
        return self.rate * measure(run)["m"]


def equations():
    """Return a network of equations with noise, a delay and sparse weights."""
    from scipy.sparse import csr_matrix

    from recurra import Network

    net = Network(dt=0.1)
    net.add_diffeq_node(
        "n", ["x' = (-x + s + u)/tau + 0.1*xi", "r = tanh(x)"], N=200, output_var="x", input_var="u",
        variables={"x": "variable(0.1)", "r": "output", "s": "input(0.0)", "u": "input(0.0)", "tau": 2.0},
    )  # fmt: skip
    weights = csr_matrix((np.full(200, 0.5), (np.arange(200), (np.arange(200) + 1) % 200)), shape=(200, 200))
    net.add_edge("n/op/r", "n/op/s", weights, label="rec", delays=3)
    return net


def behaviors(step=0.5):
    """Return a network of a group of behaviors."""
    from recurra import Behavior, Network, NeuronGroup

    class Leak(Behavior):
        def initialize(self, n):
            n.v, self.step = n.vector("uniform"), step

        def iteration(self, n):
            n.v[n.v > 1.0] = 0.0
            n.v += self.step * n.vector("uniform")
            n.last = np.where(n.v > 0.5, n.v, SCALE["second"])

    net = Network(dt=0.1, seed=1, dtype=np.float64)
    NeuronGroup(net=net, size=4, tag="cells", behavior={1: Leak()})
    net.initialize()
    net.simulate_iterations(1)
    return net


def rules(observation="Bernoulli", unit="lif"):
    """Return the programs of a fitted GLM, of a rate network and of a spiking network."""
    from recurra.glm import PopulationGLM, basis
    from recurra.rate.model import FR_RNN_dale
    from recurra.spiking import convert

    counts = np.random.default_rng(1).random((300, 2)) < 0.3
    model = PopulationGLM(observation).fit_spikes(counts, basis.RaisedCosineLogConv(3, window_size=10))
    rate = FR_RNN_dale(8, 0.3, 0.4, np.ones((8, 1)), 0, "gaus", 1.5, True, np.ones((1, 8)), seed=1)
    spiking = convert(rate, scale=20.0)
    return {"glm": lower(model.to_graph()), "rate": rate.to_program(), "spiking": spiking.to_program()}


def captured(a):
    return lambda run: a * run["x"].max()


def everything():
    """Return name -> identity."""
    import optax

    from recurra.engine.identity import digest, identify
    from recurra.engine.origin import Origin, parts_of
    from recurra.training import Bounds, Compose, Dale, Mask

    found = {
        "function": digest(measure),
        "partial": digest(functools.partial(measure, q=0.1)),
        "captured": digest(captured(2.0)),
        "object": digest(Drift(0.5)),
        "sets": digest([WORDS, frozenset(WORDS), {"a": WORDS, "b": {1, 2.0, None}}]),
        "optimizer": digest(
            optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 9)))
        ),
        "constraint": digest(Compose(Dale([1, -1]), Mask(np.eye(2)), Bounds(0, 1))),
        "dataclass": digest(Bounds),
        "generator": digest(np.random.default_rng(3)),
    }
    for name, net in (("equations", equations()), ("behaviors", behaviors())):
        found[name] = identify(parts_of(net.program))
        found[f"{name}: origin"] = Origin(net.program.system).parts
    for name, program in rules().items():
        # What is fitted may differ in the last bit between processes, what it is may not.
        found[name] = {k: v for k, v in identify(parts_of(program)).items() if not k.startswith("params")}
        found[f"{name}: origin"] = Origin(program.system).parts
    return found


if __name__ == "__main__":
    print(json.dumps(everything(), sort_keys=True))
