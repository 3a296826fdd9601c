"""What the tests of the ready behaviors share: small networks, and runs with or without the compiler."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.behaviors import SpikeGenerator
from recurra.groups import Behavior, GroupNetwork, NeuronGroup, Recorder, SynapseGroup


class Feed(Behavior):
    """Set a variable to the rows of an array, one in each step."""

    def initialize(self, neurons):
        self.name = self.parameter("name", "I")
        self.rows = np.asarray(self.parameter("rows"))

    def iteration(self, neurons):
        setattr(neurons, self.name, self.rows[neurons.iteration - 1].copy())


def run(net: Any, steps: int, compile: bool, initialize: bool = True) -> None:
    """Initialise and simulate; `compile` says whether the compiler must take part."""
    if initialize:
        net.initialize()
    net.simulate_iterations(steps, progress=False, compile=compile)


def one_group(size: int, behavior: dict, record: list[str], **kwargs: Any) -> tuple[Any, NeuronGroup]:
    """Return a network in float64 with one group, and a recorder at number 90."""
    net = GroupNetwork(dtype=kwargs.pop("dtype", np.float64), **kwargs)
    return net, NeuronGroup(net, size, tag="cells", behavior={**behavior, 90: Recorder(record)})


def generator(spikes: np.ndarray, **kwargs: Any) -> SpikeGenerator:
    """Return a source whose spikes are the rows of an array of truth values `(steps, neurons)`."""
    steps, neurons = np.nonzero(spikes)
    return SpikeGenerator(times=steps * kwargs.get("dt", 1.0), indices=neurons, **kwargs)


def driven_pair(
    pre: np.ndarray, post: np.ndarray, behavior: dict, record: list[str], settings: dict | None = None,
    dt: float = 1.0,
) -> tuple[Any, Any]:
    """Return a network of two groups with given spikes, and the synapses from the first to the second."""
    net = GroupNetwork(dtype=np.float64, settings=settings, dt=dt)
    source = NeuronGroup(net, pre.shape[1], tag="source", behavior={1: generator(pre, dt=dt)})
    target = NeuronGroup(net, post.shape[1], tag="target", behavior={1: generator(post, dt=dt)})
    return net, SynapseGroup(net, source, target, tag="syn", behavior={**behavior, 90: Recorder(record)})


def random_spikes(seed: int, steps: int, neurons: int, density: float = 0.1) -> np.ndarray:
    """Return spikes `(steps, neurons)`."""
    return np.random.default_rng(seed).random((steps, neurons)) < density
