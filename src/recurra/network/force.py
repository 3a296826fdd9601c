"""Learn the weights of an edge while the network runs: masked, sparse and delayed edges, and edges that feed back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurra.engine import Edge, Node, Operator, Program, Snapshot, Sparse, Variable, lower
from recurra.engine.carrying import carry_over
from recurra.engine.devices import find_device
from recurra.engine.results import time_of
from recurra.equations import parse_equations
from recurra.errors import CapabilityError, OptionError, TimeError
from recurra.network.edges import NetworkEdge
from recurra.network.trials import read_goal, read_trials
from recurra.training.rls import OnlineReadout, fit_rls

if TYPE_CHECKING:
    from recurra.network.network import Network

LATE = Operator(parse_equations(["y = x"], "late"), {"y": Variable("algebraic"), "x": Variable("input")}, "y")


@dataclass(frozen=True, eq=False)
class Taught:
    """Hold a network in which an edge is silent, while the readout that is learned takes its place.

    Arguments:
        program: the network, with nodes that pass on what the edge reads, as late as it does.
        state: where it starts.
        output: paths of what the weights read, side by side: the source, once for each delay.
        connections: `(targets, features)`, which feature reaches which target.
        weights: `(targets, features)`, what the edge has now.
    """

    program: Program
    state: Snapshot | None
    output: list[str]
    connections: np.ndarray
    weights: np.ndarray


def by_rls(network: Network, inputs: Any, targets: Any, edge: str | None, options: Mapping[str, Any]) -> OnlineReadout:
    """Learn the weights of an edge while the network runs; see `Network.fit_rls`."""
    chosen = _edge(network, edge)
    taught = make_taught(network, chosen, options.get("state", network._snapshot))
    begin = time_of(network._snapshot)
    goal, rows = read_goal(targets, chosen.shape[0], network.dt, begin)
    own = {"seed": network.seed, **options, "state": taught.state}
    if own.get("compare") is not None:
        names = [own["compare"]] if isinstance(own["compare"], str) else list(own["compare"])
        own["compare"] = [path for name in names for path in network._parts.end(name, "output_var").paths]
    if own.get("weights") is None:
        own["weights"] = taught.weights
    if not taught.connections.all():
        own["connections"] = taught.connections
    with jax.default_device(find_device(network.device)):
        found = fit_rls(
            taught.program,
            read_trials(network._parts, inputs, rows, network.dt, begin),
            goal,
            output=taught.output,
            dt=network.dt,
            feedback=chosen.target.paths[0],
            **own,
        )
    matrix = _joined(chosen, found.weights, taught)
    network.set_var(chosen.label, "weights", _entries(chosen, matrix))
    if taught.output == list(chosen.signal.paths):
        return found
    final, _ = carry_over(found.final, taught.program, network.program)  # type: ignore[arg-type]
    return replace(found, weights=matrix, final=final)


def _edge(network: Network, label: str | None) -> NetworkEdge:
    edges = [e for e in network._parts.all_edges().values() if e.train == "rls"]
    if label is not None:
        own = network._parts.nodes.get(label)
        edges = [own.recurrent if own is not None and own.recurrent is not None else network.get_edge(label)]
    if len(edges) != 1:
        names = ", ".join(e.label for e in edges)
        raise OptionError(
            f"fit_rls: {len(edges)} edges are there to be learned ({names}); name one with edge=."
            if edges
            else "fit_rls: no edge is there to be learned; add one with add_edge(..., train='rls')."
        )
    edge = edges[0]
    where = f"fit_rls: edge {edge.label}"
    if not isinstance(edge.weights, np.ndarray | Sparse):
        raise CapabilityError(f"{where} has one number for all pairs; give it a matrix of weights.")
    if len(edge.target.paths) > 1:
        raise CapabilityError(f"{where} must end at one variable; it ends at {', '.join(edge.target.paths)}.")
    if edge.through is not None or edge.spread is not None:
        raise CapabilityError(f"{where} has operators or a spread of delays on its way, which fit_rls cannot teach.")
    return edge


def make_taught(network: Network, edge: NetworkEdge, state: Snapshot | None) -> Taught:
    """Return the network in which a readout can take the place of an edge.

    Raises:
        TimeError: a delay is no whole number of steps.
    """
    there = _there(edge)
    steps = np.broadcast_to(np.asarray(edge.delays) / network.dt, edge.shape)
    if (np.abs(steps - np.round(steps)) > 1e-6).any():
        raise TimeError(f"fit_rls: edge {edge.label} has delays between whole steps of {network.dt:g}; round them.")
    kinds = sorted(set(np.round(steps[there]).astype(int).tolist())) or [0]
    late = np.where(there, np.round(steps).astype(int), -1)
    matrix, silent = _matrix(edge), dict.fromkeys(edge.paths, 0.0)
    connections = np.concatenate([late == kind for kind in kinds], axis=1)
    weights = np.concatenate([np.where(late == kind, matrix, 0.0) for kind in kinds], axis=1)
    program = network.program
    if kinds == [0]:
        return Taught(program.update(silent), state, list(edge.signal.paths), connections, weights)
    graph, nodes, edges, output = network.to_graph(), {}, [], []
    for kind in kinds:
        if kind == 0:
            output += edge.signal.paths
            continue
        label = f"{edge.label}/late{kind}"
        nodes[label] = Node({"late": LATE}, edge.signal.size)
        output.append(f"{label}/late/y")
        for i, (path, start, stop) in enumerate(edge.signal.spans()):
            units = np.arange(stop - start)
            ones = Sparse(units + start, units, np.ones(len(units)), (edge.signal.size, len(units)))
            edges.append(Edge(path, f"{label}/late/x", ones, delay=kind * network.dt, label=f"{label}/from{i}"))
    graph = replace(graph, nodes={**graph.nodes, **nodes}, edges=(*graph.edges, *edges))
    late_program = lower(graph).update(network._start).update(silent)
    if state is not None:
        state, _ = carry_over(state, program, late_program)
    return Taught(late_program, state, output, connections, weights)


def _there(edge: NetworkEdge) -> np.ndarray:
    """Return which weights an edge has."""
    if isinstance(edge.weights, Sparse):
        found = np.zeros(edge.shape, bool)
        found[edge.weights.rows, edge.weights.columns] = True
        return found
    return np.ones(edge.shape, bool) if edge.mask is None else edge.mask


def _matrix(edge: NetworkEdge) -> np.ndarray:
    if isinstance(edge.weights, Sparse):
        found = np.zeros(edge.shape)
        np.add.at(found, (edge.weights.rows, edge.weights.columns), edge.weights.values)
        return found
    return np.asarray(edge.weights)


def _joined(edge: NetworkEdge, weights: np.ndarray, taught: Taught) -> np.ndarray:
    """Return the weights of all delays as one matrix; each pair of units has one delay."""
    kinds = taught.connections.shape[1] // edge.shape[1]
    parts = weights.reshape(edge.shape[0], kinds, edge.shape[1])
    there = taught.connections.reshape(parts.shape)
    return np.sum(np.where(there, parts, 0.0), axis=1)


def _entries(edge: NetworkEdge, matrix: np.ndarray) -> np.ndarray:
    if not isinstance(edge.weights, Sparse):
        return matrix
    rows, columns = edge.weights.rows, edge.weights.columns
    pairs = rows.astype(np.int64) * edge.shape[1] + columns
    if len(np.unique(pairs)) < len(pairs):
        raise CapabilityError(f"fit_rls: edge {edge.label} has several weights for one pair of units; add them up.")
    return matrix[rows, columns]
