"""Nodes of equations: units of one template, with weights among each other, and thresholds if they spike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recurra.circuits import Connectivity, EdgeTemplate
from recurra.engine.checks import refuse_masked
from recurra.engine.graph import Edge, Sparse, Spike
from recurra.engine.spiking import check_surrogate
from recurra.errors import CapabilityError, OptionError, ShapeError, TemplateError, TimeError, unknown
from recurra.network.edges import Bundle, NetworkEdge, read_weights
from recurra.network.nodes import NetworkNode, with_size
from recurra.network.rules import array_of, read_array

THRESHOLD, RESET = 100.0, -100.0


@dataclass(frozen=True)
class Spiking:
    """Say when the units of a node spike, as :meth:`recurra.network.Network.add_diffeq_node` takes it."""

    spike_var: str | Iterable[str] | None = None
    reset_var: str | Iterable[str] | None = None
    reset: bool = True
    spike_threshold: float | None = None
    spike_reset: float | None = None
    refractory: float = 0.0
    surrogate: str = "fast_sigmoid"
    spike_slope: float | None = None
    spike_scale: float = 1.0

    @property
    def wanted(self) -> bool:
        """Say whether anything of it was given."""
        return self != Spiking(reset=self.reset)

    @property
    def inputs(self) -> list[str]:
        """List the inputs that feel the spikes."""
        return _names(self.spike_var)


def recurrent_node(
    node: NetworkNode,
    weights: Any,
    source_var: str | None,
    target_var: str | None,
    edge_attr: Mapping[str, Any] | None,
    edge_template: EdgeTemplate | str | None,
) -> NetworkNode:
    """Join the units of a node among each other.

    Arguments:
        node: the node.
        weights: `W[target unit, source unit]`; `None` for a node without recurrent weights.
        source_var, target_var: what is joined to what.
        edge_attr: `delay`, `spread` (times), and what the template takes.
        edge_template: what a signal passes on its way.

    Raises:
        RecurraError: something does not fit.
    """
    where = f"node {node.label!r}"
    if weights is None:
        named = (source_var, target_var, edge_attr, edge_template)
        for name, value in zip(("source_var", "target_var", "edge_attr", "edge_template"), named, strict=True):
            if value is not None:
                raise OptionError(f"{where}: {name} is given, but no weights; the node has no recurrent edge without.")
        return node
    shape = np.shape(weights)
    if len(shape) == 2 and shape[0] != shape[1]:
        raise ShapeError(f"{where}: weights have shape {shape}, expected a square matrix W[target unit, source unit].")
    node = with_size(node, shape[0]) if len(shape) == 2 else node
    # What the user feeds is another variable, if there is another.
    taken = node.input.paths if node.input else ()
    source, target = node.end("source_var", source_var), node.end("target_var", target_var, taken)
    for role, end in (("source_var", source), ("target_var", target)):
        if end is None:
            raise node.unclear(role)
    read = read_weights(weights, (target.size, source.size), where)  # pyright: ignore[reportOptionalMemberAccess]
    attributes = dict(edge_attr or {})
    delay = _times(attributes.pop("delay", None), read, f"{where}, edge_attr")
    spread = attributes.pop("spread", None)
    if edge_template is None and attributes:
        raise OptionError(unknown("edge attribute", next(iter(attributes)), ("delay", "spread"), where))
    edge = NetworkEdge(f"{node.label}->{node.label}", source, target, read, delay, spread)  # pyright: ignore[reportArgumentType]
    if edge_template is not None:
        edge = replace(edge, through=_through(node, edge, edge_template, attributes))
    return replace(node, recurrent=edge)


def _times(delay: Any, weights: Any, where: str) -> Any:
    if delay is None:
        return None
    try:
        times = np.asarray(delay, float)
    except (TypeError, ValueError):
        raise TimeError(f"{where}: delay must be a time or a matrix of times, got {delay!r}.") from None
    if times.shape not in ((), np.shape(weights)):
        raise ShapeError(f"{where}: delay has shape {times.shape}, expected a number or {np.shape(weights)}.")
    if not np.isfinite(times).all() or (times < 0).any():
        raise TimeError(f"{where}: a delay must be a finite time >= 0.")
    return times.item() if times.ndim == 0 else times


def _through(node: NetworkNode, edge: NetworkEdge, template: EdgeTemplate | str, attributes: Mapping[str, Any]) -> Edge:
    """Make an edge of the engine that carries the operators of a template."""
    where = f"node {node.label!r}, edge_template"
    if isinstance(template, str):
        template = EdgeTemplate.from_yaml(template)
    if not isinstance(template, EdgeTemplate):
        raise TemplateError(f"{where}: expected an EdgeTemplate or the path of one, got {template!r}.")
    ends = [*edge.source.paths, *edge.target.paths]
    if len(ends) > 2:
        raise TemplateError(f"{where}: joins one node of equations to itself; {node.label!r} is a circuit.")
    wiring, values = {}, {}
    for key, value in attributes.items():
        if isinstance(value, str):
            wiring[key] = value if value == "source" else node.find(value, what="edge_attr").paths[0]
        else:
            operator, _, variable = key.removeprefix(f"{template.name}/").partition("/")
            values[operator, variable] = value
    template = template.with_values(values) if values else template
    return Connectivity(ends[0], ends[1], 1.0, template, wiring).to_graph_edge()


def spiking_node(node: NetworkNode, spiking: Spiking) -> NetworkNode:
    """Give a node its thresholds.

    Raises:
        RecurraError: what spikes, or what is reset, is missing or of the wrong kind.
    """
    where = f"node {node.label!r}"
    if not spiking.wanted:
        return node
    if node.rules:
        raise CapabilityError(f"{where}: spike_var and reset_var are for equations; a rule says itself when it spikes.")
    inputs, variables = _names(spiking.spike_var), _names(spiking.reset_var)
    if not variables:
        states = node.variables(("state",))
        raise TemplateError(
            f"{where}: a spiking node needs reset_var, the variable that is compared with spike_threshold and set to"
            f" spike_reset. Its states: {', '.join(states) or 'none'}."
        )
    if not inputs:
        raise TemplateError(
            f"{where}: a spiking node needs spike_var, the input that gets 1/dt in the step of a spike. Its inputs:"
            f" {', '.join(node.candidates('input')) or 'none'}."
        )
    variables = variables * len(inputs) if len(variables) == 1 else variables
    if len(inputs) != len(variables):
        raise TemplateError(
            f"{where}: {len(inputs)} spike_var and {len(variables)} reset_var are given; give one reset_var, or as"
            " many."
        )
    threshold = _number(spiking.spike_threshold, THRESHOLD, f"{where}, spike_threshold")
    reset = _number(spiking.spike_reset, RESET, f"{where}, spike_reset") if spiking.reset else None
    if reset is not None and reset >= threshold:
        raise OptionError(
            f"{where}: spike_reset {reset:g} must be below spike_threshold {threshold:g}, or the unit spikes at every"
            " step."
        )
    refractory = _number(spiking.refractory, 0.0, f"{where}, refractory")
    if refractory < 0:
        raise TimeError(f"{where}: refractory must be a time >= 0, got {refractory:g}.")
    distance = abs(threshold - reset) if reset is not None else 100.0
    slope = _number(spiking.spike_slope, 100.0 / distance, f"{where}, spike_slope")
    scale = _number(spiking.spike_scale, 1.0, f"{where}, spike_scale")
    parts = dict(node.parts)
    for name, variable in zip(inputs, variables, strict=True):
        felt = node.find(name, ("input",), "spike_var").paths
        moved = node.find(variable, ("state",), "reset_var").paths
        for path in moved:
            label = path.rsplit("/", 2)[0]
            own = [p for p in felt if p.rsplit("/", 2)[0] == label]
            if own:
                ends = _within(path), _within(own[0])
                rule = Spike(*ends, threshold, reset, refractory, spiking.surrogate, slope, scale)
                parts[label] = replace(parts[label], spikes=(*parts[label].spikes, rule))
    check_surrogate(spiking.surrogate)
    return replace(node, parts=parts)


def _within(path: str) -> str:
    return "/".join(path.rsplit("/", 2)[1:])


def _names(given: str | Iterable[str] | None) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _number(value: object, default: float, where: str) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise OptionError(f"{where}: expected a finite number, got {value!r}.")
    return float(value)


def initial_values(node: NetworkNode, values: Mapping[str, object] | None) -> NetworkNode:
    """Give a node other parameters and initial values.

    Arguments:
        node: the node.
        values: name of a parameter, an input or a state -> a number, or one for each unit.

    Raises:
        PathError: there is no such variable, or it is computed.
        ShapeError: a value has the wrong number of entries.
    """
    found: dict[str, object] = {}
    for name, value in (values or {}).items():
        bundle = node.find(name, ("parameter", "state", "input"), "node_vars")
        found.update(spread(node, bundle, value, f"node {node.label!r}, {name}"))
    return node.with_values(found)


def spread(node: NetworkNode, bundle: Bundle, value: object, where: str) -> dict[str, object]:
    """Give each of several variables its part of a value: a number, one per variable, or one per unit."""
    paths, sizes = bundle.paths, bundle.sizes
    if len(paths) == 1 and (own := array_of(node.rules, paths[0])) is not None:
        return {paths[0]: read_array(*own, value, where)}
    refuse_masked(value, where)
    array = value.values if isinstance(value, Sparse) else np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise ShapeError(f"{where}: expected numbers, got {value!r}.")
    if not np.isfinite(array).all():
        raise ShapeError(f"{where}: expected finite numbers.")
    if array.ndim == 0 or (len(paths) == 1 and (sizes[0] == 1 or array.shape == sizes)):
        return dict.fromkeys(paths, array.item() if array.ndim == 0 else array)
    if array.shape == (len(paths),):
        return dict(zip(paths, array.tolist(), strict=True))
    if array.shape == (sum(sizes),):
        return dict(zip(paths, np.split(array, np.cumsum(sizes)[:-1]), strict=True))
    raise ShapeError(f"{where}: got shape {array.shape}, expected a number or {(sum(sizes),)}, one for each unit.")
