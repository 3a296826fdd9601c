"""Equations and behaviors in one network: nodes among the groups, and the rule of the groups among the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurra.engine import Clock, Edge, Emission, Graph, Program, Rule, Snapshot, Sparse, lower
from recurra.engine.precision import as_precision
from recurra.errors import CapabilityError, TimeError
from recurra.groups.nodes import NodeGroup
from recurra.network.rules import units_of

if TYPE_CHECKING:
    from recurra.network.network import Network

SEEN = "seen:"


def make_node_group(network: Network, label: str) -> NodeGroup:
    """Make the group that stands for a node.

    Raises:
        CapabilityError: the node has several parts.
    """
    node = network._parts.node(label)
    if len(node.parts) + len(node.rules) != 1:
        raise CapabilityError(
            f"node {label!r} has {len(node.parts) + len(node.rules)} parts; join one of a single part: add its parts as"
            " nodes of their own, or a node between (add_func_node) that an edge joins to it."
        )
    if node.rules:
        return _group_of_rule(network, label, *next(iter(node.rules.items())))
    ((name, part),) = node.parts.items()
    kinds = {"state": "reads", "algebraic": "reads", "input": "inputs", "parameter": "numbers"}
    found: dict[str, dict[str, str]] = {"reads": {}, "inputs": {}, "numbers": {}}
    names = [v for operator in part.operators.values() for v in operator.variables]
    for operator_name, operator in part.operators.items():
        for variable, declared in operator.variables.items():
            if declared.kind in kinds:
                short = variable if names.count(variable) == 1 else f"{operator_name}_{variable}"
                found[kinds[declared.kind]][short] = f"{name}/{operator_name}/{variable}"
    return NodeGroup(network, label, part.size, found["reads"], found["inputs"], numbers=found["numbers"])


def _group_of_rule(network: Network, label: str, name: str, rule: Rule) -> NodeGroup:
    """Make the group that stands for a rule: behaviors read the vectors of its state, and feed its inputs."""
    vectors = {short: len(value) for short, value in rule.state.items() if np.ndim(value) == 1}
    widths = vectors | {short: len(value) for short, value in rule.inputs.items()}
    reads, inputs = ({short: f"{name}/{short}" for short in store} for store in (vectors, rule.inputs))
    numbers = {short: f"{name}/{short}" for short in (*rule.state, *rule.params) if short not in vectors}
    return NodeGroup(network, label, units_of(rule), reads, inputs, widths, numbers)


class Bridge:
    """Tell the runner of groups about the equations of a network; see :class:`recurra.groups.nodes.Nodes`."""

    def __init__(self, network: Network):
        self.network = network
        self.program: Program | None = None  # that of the equations; `None` until it is needed
        self._advance: Any = None
        self._joined: tuple = ()

    @property
    def dt(self) -> float:
        """Give the step."""
        return self.network.dt

    def graph(self, rule: Rule | None) -> Graph:
        """Return all nodes and edges, with a rule among them that is joined to the node groups."""
        graph = self.network.to_graph()
        if rule is None:
            return graph
        edges = list(graph.edges)
        for group in self.network.node_groups:
            ones: dict[str, Any] = {n: 1.0 if width == 1 else _identity(width) for n, width in group.widths.items()}
            edges += [Edge(path, f"{group.tag}/{name}", ones[name]) for name, path in group.reads.items()]
            edges += [Edge(f"{group.tag}/{name}", group.inputs[name], ones[name]) for name in group.fed]
        return replace(graph, nodes={**graph.nodes, "": rule}, edges=tuple(edges), dt=self.network.dt)

    def state(self) -> dict[str, Any]:
        """Return the state of the equations, by storage key."""
        snapshot = self.network._snapshot
        if snapshot is None:
            return self._initial()
        if snapshot.step != self.network.iteration:
            raise TimeError(
                f"the nodes stand at step {snapshot.step}, the groups at {self.network.iteration}; simulate_iterations"
                " advances both. Call reset() on a new network, or set the state before the first step."
            )
        return dict(snapshot.state)

    def put_state(self, state: Mapping[str, Any]) -> None:
        """Set the state of the equations, of the network's present step; other keys are ignored."""
        found = {key: np.asarray(state[key]) for key in self._initial()}
        self.network._snapshot = Snapshot(found, self.network.iteration, 0.0, self.dt)

    def step(self) -> None:
        """Advance the equations by one step, and show the node groups what has become of them."""
        program, advance = self._equations()
        k, groups = self.network.iteration, self.network.node_groups
        fed = {f"{g.tag}/{name}": np.asarray(getattr(g, name), float) for g in groups for name in g.fed}
        now = np.asarray(k * self.dt, self.network.precision)
        with jax.enable_x64(True):
            params, seed = self._narrow(program.params), self.network.seed
            state, seen = advance({**self.state(), **fed}, params, np.int32(k), now, seed)
        found = {key: np.asarray(v) for key, v in state.items() if key not in fed}
        self.network._snapshot = Snapshot(found, k + 1, 0.0, self.dt)
        for group in groups:
            group.show({name: seen[f"{SEEN}{group.tag}/{name}"] for name in group.reads})

    def update(self, values: Mapping[str, object]) -> None:
        """Put other numbers of nodes and edges, by path, into what was compiled."""
        if self.program is not None:
            self.program = self.program.update(values)

    def forget(self) -> None:
        """Forget what was compiled."""
        self.program = None

    def _initial(self) -> dict[str, Any]:
        program, probe = self._equations()[0], self._probe()
        return self._narrow({key: value for key, value in program.init(self.dt).items() if key not in probe.state})

    def _narrow(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Return numbers of equations in the precision of the network; arrays of rules have types of their own."""
        own = self._equations()[0].system.rule_keys
        return {k: v if k in own else as_precision(np.asarray(v), self.network.precision) for k, v in numbers.items()}

    def _probe(self) -> Rule:
        """Make a rule in the place of that of the groups, which holds what they feed and tells what they read.

        So the step in NumPy sees the equations at the same moment as the compiled one.
        """
        groups = self.network.node_groups
        held = {f"{g.tag}/{name}": np.zeros(g.widths[name]) for g in groups for name in g.fed}
        seen = {f"{g.tag}/{name}": np.zeros(g.widths[name]) for g in groups for name in g.reads}
        emits = {f"{SEEN}{name}": Emission(value.shape, value.dtype) for name, value in seen.items()}

        def update(state: dict, params: dict, inputs: dict, clock: Clock) -> tuple[dict, dict]:
            return state, {f"{SEEN}{name}": value for name, value in inputs.items()}

        return Rule(update, held, {}, seen, emits, "what behaviors see")

    def _equations(self) -> tuple[Program, Any]:
        """Return the program of the equations alone, and its compiled step."""
        joined = tuple((group.tag, group.fed) for group in self.network.node_groups)
        if self.program is None or self._joined != joined:
            probe = self._probe()
            program = lower(self.graph(probe if probe.inputs else None)).update(self.network._start)

            @jax.jit
            def advance(state: dict, params: dict, k: Any, now: Any, seed: Any) -> tuple[dict, dict]:
                clock = Clock(k, now, np.asarray(self.dt, now.dtype), seed)
                new, values = program.step(state, params, {}, clock)
                return new, {name: values[name] for name in probe.emits}

            self.program, self._advance, self._joined = program, advance, joined
        return self.program, self._advance


def _identity(size: int) -> Sparse:
    every = np.arange(size)
    return Sparse(every, every, np.ones(size), (size, size))


