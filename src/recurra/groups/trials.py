"""Try a behavior out in a network of its own."""

from __future__ import annotations

from typing import Any

from recurra.errors import OptionError
from recurra.groups.behavior import Behavior
from recurra.groups.network import GroupNetwork
from recurra.groups.neurons import NeuronGroup
from recurra.groups.objects import check_count


def behavior_test_environment(
    behavior: Behavior, size: Any = 1, initialize: bool = True, iteration: int = 0
) -> NeuronGroup:
    """Put a behavior into a group of a network of its own, and execute it some times in NumPy.

    Arguments:
        behavior: the behavior.
        size: number of neurons, or a grid.
        initialize: whether the network is initialized.
        iteration: how many steps are executed then.

    Returns:
        The group.

    Raises:
        OptionError: steps are wanted of a network that is not initialized.

    >>> class Decay(Behavior):
    ...     def initialize(self, neurons):
    ...         neurons.v = neurons.vector("ones")
    ...     def iteration(self, neurons):
    ...         neurons.v *= 0.5
    >>> behavior_test_environment(Decay(), size=2, iteration=3).v.tolist()
    [0.125, 0.125]
    """
    check_count(iteration, "behavior_test_environment: iteration", 0)
    if iteration and not initialize:
        raise OptionError("behavior_test_environment: steps need initialize=True.")
    net = GroupNetwork()
    group = NeuronGroup(net, size, behavior={1: behavior})
    if initialize:
        net.initialize()
        net.simulate_iterations(iteration, compile=False, progress=False)
    return group
