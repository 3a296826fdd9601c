"""Networks of nodes: equations, functions and whole networks, joined by edges into one Program."""

from recurra.engine import Result as Observer
from recurra.network.edges import NetworkEdge
from recurra.network.network import Network
from recurra.network.nodes import NetworkNode
from recurra.network.structure import NodeView

__all__ = ["Network", "NetworkEdge", "NetworkNode", "NodeView", "Observer"]
