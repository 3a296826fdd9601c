"""Circuits: equations put into operators, operators into nodes, nodes into circuits; from Python or YAML."""

from recurra.circuits.circuit import CircuitTemplate
from recurra.circuits.edges import CircuitEdge, Connectivity
from recurra.circuits.grid import grid_search
from recurra.circuits.nodes import EdgeTemplate, NodeTemplate, PopulationTemplate
from recurra.circuits.operators import OperatorTemplate
from recurra.circuits.projects import ProjectReport, read_project
from recurra.circuits.running import integrate
from recurra.circuits.values import Declaration
from recurra.circuits.yaml_files import circuit_from_yaml, from_yaml
from recurra.courtesy import guard

__all__ = [
    "CircuitEdge",
    "CircuitTemplate",
    "Connectivity",
    "Declaration",
    "EdgeTemplate",
    "NodeTemplate",
    "OperatorTemplate",
    "PopulationTemplate",
    "ProjectReport",
    "circuit_from_yaml",
    "from_yaml",
    "grid_search",
    "integrate",
    "read_project",
]

guard(globals(), __all__)
