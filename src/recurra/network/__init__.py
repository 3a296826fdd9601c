"""Networks of nodes: equations, functions and whole networks, joined by edges into one Program."""

from recurra.courtesy import guard
from recurra.engine import Result as Observer
from recurra.network.connectivity import (
    block,
    circular_connectivity,
    distance_dependent,
    input_connections,
    line_connectivity,
    low_rank,
    normalize,
    random_connectivity,
    small_world,
    wta_score,
)
from recurra.network.edges import NetworkEdge
from recurra.network.network import Network
from recurra.network.nodes import NetworkNode
from recurra.network.structure import NodeView

__all__ = [
    "Network",
    "NetworkEdge",
    "NetworkNode",
    "NodeView",
    "Observer",
    "block",
    "circular_connectivity",
    "distance_dependent",
    "input_connections",
    "line_connectivity",
    "low_rank",
    "normalize",
    "random_connectivity",
    "small_world",
    "wta_score",
]

guard(globals(), __all__)
