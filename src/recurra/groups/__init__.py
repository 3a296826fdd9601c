"""Groups of neurons and synapses whose behaviors are written in Python, in the manner of NumPy."""

from recurra.courtesy import guard
from recurra.groups.behavior import Behavior
from recurra.groups.dimensions import NeuronDimension, get_squared_dim
from recurra.groups.network import DxS, GroupNetwork, SxD
from recurra.groups.neurons import NeuronGroup, afferent, efferent
from recurra.groups.partition import Partition, get_partitioned_synapse_matrix, set_partitioned_synapse_matrix
from recurra.groups.receptive_fields import (
    Box_Receptive_Fields,
    Circle_Receptive_Fields,
    Receptive_Fields,
    Remove_Autapses,
)
from recurra.groups.recorders import EventRecorder, Recorder
from recurra.groups.schedule import Entry, Schedule, run_step
from recurra.groups.subgroups import NeuronSubGroup
from recurra.groups.synapses import SynapseGroup
from recurra.groups.trials import behavior_test_environment

__all__ = [
    "Behavior",
    "Box_Receptive_Fields",
    "Circle_Receptive_Fields",
    "DxS",
    "Entry",
    "EventRecorder",
    "GroupNetwork",
    "NeuronDimension",
    "NeuronGroup",
    "NeuronSubGroup",
    "Partition",
    "Receptive_Fields",
    "Recorder",
    "Remove_Autapses",
    "Schedule",
    "SxD",
    "SynapseGroup",
    "afferent",
    "behavior_test_environment",
    "efferent",
    "get_partitioned_synapse_matrix",
    "get_squared_dim",
    "run_step",
    "set_partitioned_synapse_matrix",
]

guard(globals(), __all__)
