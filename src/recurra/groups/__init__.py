"""Groups of neurons and synapses whose behaviors are written in Python, in the manner of NumPy."""

from recurra.groups.behavior import Behavior
from recurra.groups.network import DxS, GroupNetwork, SxD
from recurra.groups.neurons import NeuronGroup, afferent, efferent
from recurra.groups.schedule import Entry, Schedule, run_step
from recurra.groups.synapses import SynapseGroup

__all__ = [
    "Behavior",
    "DxS",
    "Entry",
    "GroupNetwork",
    "NeuronGroup",
    "Schedule",
    "SxD",
    "SynapseGroup",
    "afferent",
    "efferent",
    "run_step",
]
