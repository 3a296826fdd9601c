"""The engine: one Program, one time loop, and everything that is done with them."""

from recurra.courtesy import guard
from recurra.engine.adaptive import VectorField, vector_field
from recurra.engine.gradients import as_function
from recurra.engine.graph import Edge, Emission, Graph, Node, Operator, Rule, Sparse, Spike, Variable
from recurra.engine.loop import trace_count
from recurra.engine.lowering import as_program, lower
from recurra.engine.online import Moment, as_online
from recurra.engine.program import Clock, Port, Program
from recurra.engine.results import Result, Snapshot
from recurra.engine.run import simulate
from recurra.engine.series import resample
from recurra.engine.solvers import SOLVERS
from recurra.engine.spiking import SURROGATES
from recurra.engine.store import load

__all__ = [
    "SOLVERS",
    "SURROGATES",
    "Clock",
    "Edge",
    "Emission",
    "Graph",
    "Moment",
    "Node",
    "Operator",
    "Port",
    "Program",
    "Result",
    "Rule",
    "Snapshot",
    "Sparse",
    "Spike",
    "Variable",
    "VectorField",
    "as_function",
    "as_online",
    "as_program",
    "load",
    "lower",
    "resample",
    "simulate",
    "trace_count",
    "vector_field",
]

guard(globals(), __all__)
