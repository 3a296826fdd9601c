"""Simulate, train, fit and explain recurrent neural networks on one compiled engine.

The names below are loaded when they are first used, so that ``import recurra`` is quick and changes nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "CircuitTemplate": "recurra.circuits",
    "Connectivity": "recurra.circuits",
    "EdgeTemplate": "recurra.circuits",
    "NodeTemplate": "recurra.circuits",
    "OperatorTemplate": "recurra.circuits",
    "PopulationTemplate": "recurra.circuits",
    "circuit_from_yaml": "recurra.circuits",
    "grid_search": "recurra.circuits",
    "Behavior": "recurra.groups",
    "DxS": "recurra.groups",
    "EventRecorder": "recurra.groups",
    "NeuronDimension": "recurra.groups",
    "NeuronGroup": "recurra.groups",
    "Recorder": "recurra.groups",
    "SxD": "recurra.groups",
    "SynapseGroup": "recurra.groups",
    "afferent": "recurra.groups",
    "efferent": "recurra.groups",
    "get_squared_dim": "recurra.groups",
    "Network": "recurra.network",
    "Observer": "recurra.network",
    "Program": "recurra.engine",
    "Result": "recurra.engine",
    "lower": "recurra.engine",
    "resample": "recurra.engine",
    "simulate": "recurra.engine",
    "sweep": "recurra.sweeping",
}
_PACKAGES = (
    "analysis",
    "behaviors",
    "circuits",
    "engine",
    "equations",
    "errors",
    "glm",
    "groups",
    "interchange",
    "network",
    "plotting",
    "rate",
    "spiking",
    "sweeping",
)

if TYPE_CHECKING:
    from recurra.circuits import (
        CircuitTemplate,
        Connectivity,
        EdgeTemplate,
        NodeTemplate,
        OperatorTemplate,
        PopulationTemplate,
        circuit_from_yaml,
        grid_search,
    )
    from recurra.engine import Program, Result, lower, resample, simulate
    from recurra.groups import (
        Behavior,
        DxS,
        EventRecorder,
        NeuronDimension,
        NeuronGroup,
        Recorder,
        SxD,
        SynapseGroup,
        afferent,
        efferent,
        get_squared_dim,
    )
    from recurra.network import Network, Observer
    from recurra.sweeping import sweep

__all__ = [
    "Behavior",
    "CircuitTemplate",
    "Connectivity",
    "DxS",
    "EdgeTemplate",
    "EventRecorder",
    "Network",
    "NeuronDimension",
    "NeuronGroup",
    "NodeTemplate",
    "Observer",
    "OperatorTemplate",
    "PopulationTemplate",
    "Program",
    "Recorder",
    "Result",
    "SxD",
    "SynapseGroup",
    "afferent",
    "circuit_from_yaml",
    "efferent",
    "get_squared_dim",
    "grid_search",
    "lower",
    "resample",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _PACKAGES:
        return import_module(f"recurra.{name}")
    if name.startswith("__"):
        raise AttributeError(f"module 'recurra' has no attribute {name!r}")
    from recurra.errors import unknown

    raise AttributeError("module 'recurra': " + unknown("name", name, [*_HOME, *_PACKAGES]))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
