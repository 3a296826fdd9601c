"""Equations and behaviors in one network: nodes among the groups, and the rule of the groups among the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurra.engine import Clock, Edge, Graph, Program, Rule, Snapshot, Sparse, lower
from recurra.errors import CapabilityError, TimeError
from recurra.groups.nodes import NodeGroup

if TYPE_CHECKING:
    from recurra.network.network import Network


def make_node_group(network: Network, label: str) -> NodeGroup:
    """Make the group that stands for a node.

    Raises:
        CapabilityError: the node has several parts.
    """
    node = network._parts.node(label)
    if len(node.parts) != 1:
        raise CapabilityError(
            f"node {label!r} has {len(node.parts)} parts; join one of equations: add its parts as nodes of their own."
        )
    ((name, part),) = node.parts.items()
    kinds = {"state": "reads", "algebraic": "reads", "input": "inputs"}
    found: dict[str, dict[str, str]] = {"reads": {}, "inputs": {}}
    names = [v for operator in part.operators.values() for v in operator.variables]
    for operator_name, operator in part.operators.items():
        for variable, declared in operator.variables.items():
            if declared.kind in kinds:
                short = variable if names.count(variable) == 1 else f"{operator_name}_{variable}"
                found[kinds[declared.kind]][short] = f"{name}/{operator_name}/{variable}"
    return NodeGroup(network, label, part.size, found["reads"], found["inputs"])


class Bridge:
    """Tell the runner of groups about the equations of a network; see :class:`recurra.groups.nodes.Nodes`."""

    def __init__(self, network: Network):
        self.network = network
        self._program: tuple[Any, Program, Any] | None = None

    @property
    def dt(self) -> float:
        """Give the step."""
        return self.network.dt

    def graph(self, rule: Rule | None) -> Graph:
        """Return all nodes and edges, with a rule among them that is joined to the node groups."""
        graph = self.network._parts.to_graph(self.network.dt, self.network.name)
        if rule is None:
            return graph
        edges = list(graph.edges)
        for group in self.network.node_groups:
            one: Any = 1.0 if group.size == 1 else _identity(group.size)
            edges += [Edge(path, f"{group.tag}/{name}", one) for name, path in group.reads.items()]
            edges += [Edge(f"{group.tag}/{name}", group.inputs[name], one) for name in group.fed]
        return Graph({**graph.nodes, "": rule}, tuple(edges), graph.name)

    def state(self) -> dict[str, Any]:
        """Return the state of the equations, by storage key."""
        snapshot = self.network._snapshot
        if snapshot is None:
            return dict(self._equations()[0].init(self.dt))
        if snapshot.step != self.network.iteration:
            raise TimeError(
                f"the nodes stand at step {snapshot.step}, the groups at {self.network.iteration}; simulate_iterations"
                " advances both. Call reset() on a new network, or set the state before the first step."
            )
        return dict(snapshot.state)

    def put_state(self, state: Mapping[str, Any]) -> None:
        """Set the state of the equations, of the network's present step; other keys are ignored."""
        own = self._equations()[0].init(self.dt)
        found = {key: np.asarray(state[key]) for key in own}
        self.network._snapshot = Snapshot(found, self.network.iteration, 0.0, self.dt)

    def step(self) -> None:
        """Advance the equations by one step, and show the node groups what has become of them."""
        program, advance = self._equations()
        k, groups = self.network.iteration, self.network.node_groups
        state = self.state()
        fed = {group.inputs[name]: np.asarray(getattr(group, name)) for group in groups for name in group.fed}
        with jax.enable_x64(True):
            new, values = advance(state, dict(program.params), fed, np.int32(k), self.network.seed)
        self.network._snapshot = Snapshot({key: np.asarray(v) for key, v in new.items()}, k + 1, 0.0, self.dt)
        for group in groups:
            for name, path in group.reads.items():
                target = program.layout.one(path)
                setattr(group, name, np.array(values[target.key][target.index]))

    def _equations(self) -> tuple[Program, Any]:
        """Return the program of the equations alone, and its compiled step."""
        parts = self.network._parts
        mark = (tuple(map(id, parts.nodes.values())), tuple(map(id, parts.edges.values())))
        if self._program is None or self._program[0] != mark:
            program = lower(self.graph(None)).update(self.network._start)

            @jax.jit
            def advance(state: dict, params: dict, fed: dict, k: Any, seed: Any) -> tuple[dict, dict]:
                clock = Clock(k, k * self.dt, np.float64(self.dt), seed)
                new, _ = program.step(state, params, fed, clock)
                _, values = program.step(new, params, fed, clock._replace(k=k + 1, t=(k + 1) * self.dt))
                return new, values

            self._program = (mark, program, advance)
        return self._program[1], self._program[2]


def _identity(size: int) -> Sparse:
    every = np.arange(size)
    return Sparse(every, every, np.ones(size), (size, size))


