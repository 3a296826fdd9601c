"""The nodes of NIR that are exactly nodes of equations here, and the names of their numbers on both sides.

Equations: Pedersen, J. E. et al. (2024), Neuromorphic intermediate representation, Nature Communications 15, 8122, and
the documentation of the package `nir`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from recurra.engine import Node, Operator, Spike, Variable
from recurra.equations import Equation, parse_equations
from recurra.errors import MissingPackageError, OptionError, ShapeError


@dataclass(frozen=True)
class Kind:
    """Describe one kind of node.

    Arguments:
        name: what NIR calls it; `"identity"` is what stands for its inputs and outputs.
        equations: its equations; `z = spike/rate` is 1 during the step of a spike, since `rate` is 1/dt.
        states: state -> the field that it starts from, or `""` for 0.
        fields: parameter -> field of NIR's node.
        input, output: what its edges feed and read.
        spiking: whether it has a threshold and a reset.
    """

    name: str
    equations: tuple[str, ...]
    states: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    input: str = "x"
    output: str = "y"
    spiking: bool = False

    @cached_property
    def parsed(self) -> tuple[Equation, ...]:
        """Give the equations as trees."""
        return parse_equations(list(self.equations), self.name)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """Give the declarations of an operator of this kind."""
        found = {name: Variable("state") for name in self.states}
        found |= {name: Variable("parameter", 1.0) for name in self.fields}
        found[self.input] = Variable("input")
        if self.spiking:
            found |= {"spike": Variable("input"), "rate": Variable("parameter", 1.0)}
        found.setdefault(self.output, Variable("algebraic"))
        return found


_LEAK = {"tau": "tau", "r": "r", "v_leak": "v_leak"}
_CUBA = {"tau_syn": "tau_syn", "tau_mem": "tau_mem", "r": "r", "v_leak": "v_leak", "w_in": "w_in"}
_CUBA_EQUATIONS = ("i' = (w_in*s - i)/tau_syn", "v' = ((v_leak - v) + r*i)/tau_mem")
_SPIKE = "z = spike/rate"

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("identity", ("y = identity(x)",)),
        Kind("Affine", ("y = x + bias",), fields={"bias": "bias"}),
        Kind("Scale", ("y = scale*x",), fields={"scale": "scale"}),
        Kind("Threshold", ("z = where(x > threshold, 1, 0)",), fields={"threshold": "threshold"}, output="z"),
        Kind("I", ("v' = r*i",), {"v": ""}, {"r": "r"}, "i", "v"),
        Kind("IF", ("v' = r*i", _SPIKE), {"v": ""}, {"r": "r"}, "i", "z", True),
        Kind("LI", ("v' = ((v_leak - v) + r*i)/tau",), {"v": "v_leak"}, _LEAK, "i", "v"),
        Kind("LIF", ("v' = ((v_leak - v) + r*i)/tau", _SPIKE), {"v": "v_leak"}, _LEAK, "i", "z", True),
        Kind("CubaLI", _CUBA_EQUATIONS, {"i": "", "v": "v_leak"}, _CUBA, "s", "v"),
        Kind("CubaLIF", (*_CUBA_EQUATIONS, _SPIKE), {"i": "", "v": "v_leak"}, _CUBA, "s", "z", True),
    )
}
#: What a graph of NIR may hold.
SUPPORTED = ("Input", "Output", "Linear", "Delay", "Flatten", *(name for name in KINDS if name != "identity"))
_POSITIVE = ("tau", "tau_syn", "tau_mem")


def import_nir() -> Any:
    """Import the package `nir`, or say how to install it."""
    try:
        import nir
    except ImportError:
        raise MissingPackageError("files and graphs of NIR need the package nir: pip install 'recurra[nir]'.") from None
    return nir


def numbers(node: Any, name: str, label: str) -> np.ndarray:
    """Return one field of a node of NIR as finite numbers in double precision."""
    value = np.asarray(getattr(node, name, None))
    where = f"NIR node {label!r}, {name}"
    if value.dtype.kind not in "biuf":
        raise ShapeError(f"{where}: expected an array of real numbers, got {type(getattr(node, name, None)).__name__}.")
    value = value.astype(float)
    if not np.isfinite(value).all():
        raise ShapeError(f"{where}: expected finite numbers.")
    if name in _POSITIVE and not (value > 0).all():
        raise OptionError(f"{where}: a time constant must be > 0, got {value.min():g}.")
    return value


def make_node(
    kind: Kind, size: int, values: Mapping[str, np.ndarray], dt: float, operator: str, spike: Mapping[str, Any]
) -> Node:
    """Make a node of the engine.

    Arguments:
        kind: which equations.
        size: number of units.
        values: parameter or state -> one number per unit; `threshold` and `reset` too if it spikes.
        dt: the step, of which spikes have the height 1.
        operator: how its operator is called.
        spike: `surrogate`, `slope`, `scale` and `prompt` of the spikes, if they are not the usual ones.
    """
    own = {f"{operator}/{name}": value for name, value in values.items() if name in kind.variables}
    rules = ()
    if kind.spiking:
        own[f"{operator}/rate"] = np.full(size, 1.0 / dt)
        # The engine's units spike at v >= threshold, those of NIR at v > threshold: the next number up is the same.
        threshold, reset = np.nextafter(values["v_threshold"], np.inf), values["v_reset"]
        rules = (Spike(f"{operator}/v", f"{operator}/spike", threshold, reset, **spike),)
    return Node({operator: Operator(kind.parsed, kind.variables, kind.output)}, size, own, rules)


def kind_of(operator: Operator, spiking: bool) -> Kind | None:
    """Return the kind whose equations an operator has, or None."""
    declared = {name: variable.kind for name, variable in operator.variables.items()}
    for kind in KINDS.values():
        same = set(kind.parsed) == set(operator.equations) and len(kind.parsed) == len(operator.equations)
        if same and kind.spiking == spiking and declared == {n: v.kind for n, v in kind.variables.items()}:
            return kind
    return None
