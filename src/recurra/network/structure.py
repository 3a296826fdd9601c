"""What a network is made of: its nodes and edges by label, and how names of the user lead to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from recurra.circuits.templates import check_name
from recurra.engine import Graph, Node, Rule
from recurra.errors import PathError, TemplateError, unknown
from recurra.network.edges import Bundle, NetworkEdge
from recurra.network.nodes import READABLE, NetworkNode, prefixed

if TYPE_CHECKING:
    from recurra.network.builder import Builder

WEIGHTS = ("weights", "weight")


@dataclass
class Structure:
    """Hold the nodes and edges of a network, and find them.

    Arguments:
        nodes, edges: by label, in the order in which they were added; recurrent edges belong to their nodes.
    """

    nodes: dict[str, NetworkNode] = field(default_factory=dict)
    edges: dict[str, NetworkEdge] = field(default_factory=dict)

    # Labels

    def free(self, label: object) -> str:
        """Return a label for a new node, or say why it cannot be one."""
        name = check_name(label, "node of a network")
        if name in self.nodes:
            raise TemplateError(f"there is a node {name!r} already; remove it with pop_node, or choose another label.")
        return name

    def edge_label(self, label: str | None, source: str, target: str) -> str:
        """Return a label for a new edge, made of its ends if none is given."""
        taken = self.all_edges()
        if label is not None:
            if label in taken or label in self.nodes:
                raise TemplateError(f"there is a node or an edge called {label!r} already; choose another label.")
            if not isinstance(label, str) or not label or set("[]#") & set(label):
                raise TemplateError(f"the label of an edge must be a text without any of [ ] #, got {label!r}.")
            return label
        stem, count = f"{source}->{target}", 0
        while (name := f"{stem}#{count}" if count else stem) in taken:
            count += 1
        return name

    # Looking up

    def all_edges(self) -> dict[str, NetworkEdge]:
        """Map labels to all edges, those of nodes to themselves included."""
        own = [e for node in self.nodes.values() for e in (node.recurrent, *node.inner) if e is not None]
        return {edge.label: edge for edge in (*own, *self.edges.values())}

    def node(self, label: object) -> NetworkNode:
        """Return a node by its label."""
        if label not in self.nodes:
            raise PathError(unknown("node", label, self.nodes))
        return self.nodes[str(label)]

    def owner(self, path: object) -> NetworkNode:
        """Return the node that a path begins with."""
        return self.node(str(path).split("/")[0])

    def edge(self, source: str, target: str | None) -> NetworkEdge:
        """Return an edge by its label, or by the labels of the nodes at its ends."""
        if target is None:
            if source not in self.edges:
                raise PathError(unknown("edge", source, self.edges))
            return self.edges[source]
        found = [e for e in self.edges.values() if (_home(e.source), _home(e.target)) == (source, target)]
        if not found:
            raise PathError(unknown("edge", f"{source}->{target}", self.edges))
        if len(found) > 1:
            several = ", ".join(e.label for e in found)
            raise PathError(f"there are {len(found)} edges from {source!r} to {target!r}; name one: {several}.")
        return found[0]

    def end(self, name: object, role: str) -> Bundle:
        """Return what is meant by a node, or by the path of a variable, at one end of an edge.

        Arguments:
            name: the label of a node, or `"node/operator/variable"`.
            role: `"input_var"` or `"output_var"`.
        """
        node = self.owner(name)
        if name == node.label:
            found = node.input if role == "input_var" else node.output
            if found is None:
                raise node.unclear(role)
            return found
        return node.find(name, ("input",) if role == "input_var" else READABLE, role)

    def loose(self, role: str) -> list[str]:
        """List the nodes that no edge feeds (`"input_var"`) or reads (`"output_var"`), feedback aside."""
        forward = [e for e in self.edges.values() if not e.feedback]
        used = {_home(e.target if role == "input_var" else e.source) for e in forward}
        return [label for label in self.nodes if label not in used]

    def port(self, role: str) -> Bundle | None:
        """Return the ends of all loose nodes side by side, as far as they are clear."""
        nodes = [self.node(label) for label in self.loose(role)]
        ends = [end for n in nodes if (end := n.input if role == "input_var" else n.output) is not None]
        if not ends:
            return None
        return Bundle(tuple(p for e in ends for p in e.paths), tuple(s for e in ends for s in e.sizes))

    def required(self, role: str) -> Bundle:
        """Return the ends of all loose nodes side by side, or say which one is missing."""
        loose = self.loose(role)
        if not loose and self.nodes:
            what, how = ("feeds", "give inputs={'node': values}")
            if role == "output_var":
                what, how = "reads", "run with record_output=False and record_vars"
            raise PathError(f"every node of the network is on a circle, so there is none that no edge {what}; {how}.")
        for label in loose:
            self.end(label, role)
        found = self.port(role)
        if found is None:
            raise TemplateError("the network has no node: add one with add_diffeq_node, add_func_node or add_node.")
        return found

    def place(self, node: str, var: str | None) -> tuple[NetworkEdge | None, Bundle]:
        """Find the edge, or the variables, that a pair or a whole path means."""
        nothing, edges = Bundle((), ()), self.all_edges()
        head, _, last = str(node).rpartition("/")
        if var is None and last in WEIGHTS:
            node, var = head, last
        if var in WEIGHTS and node in edges:
            return edges[node], nothing
        if node in edges and node not in self.nodes:
            raise PathError(unknown("number of an edge", var, ("weights", "delay"), f"edge {node}"))
        owner = self.owner(node)
        if var in WEIGHTS and node == owner.label:
            if owner.recurrent is None:
                raise PathError(f"node {node!r} has no recurrent weights; those of an edge are under the edge's label.")
            return owner.recurrent, nothing
        return None, owner.find(node if var is None else var if node == owner.label else f"{node}/{var}")

    def delayed(self, node: str, var: str | None) -> NetworkEdge | None:
        """Return the edge whose delay a pair or a whole path means, `None` if it means something else."""
        label, _, last = (str(node) if var is None else f"{node}/{var}").rpartition("/")
        if last != "delay":
            return None
        edges, owner = self.all_edges(), self.nodes.get(label)
        if owner is not None and owner.recurrent is not None:
            return owner.recurrent
        return edges.get(label)

    def trained(self, way: str | None) -> list[str]:
        """List the paths of what is trained in one way."""
        found = [f"{edge.label}/weight" for edge in self.all_edges().values() if edge.train == way]
        for node in self.nodes.values() if way == "gd" else ():
            for name in node.train:
                if name in WEIGHTS and node.recurrent is not None:
                    found.append(f"{node.recurrent.label}/weight")
                else:
                    found += node.find(name).paths
        return found

    # Changing

    def pop_node(self, label: str) -> NetworkNode:
        """Remove a node and the edges that touch it."""
        node = self.node(label)
        self.edges = {n: e for n, e in self.edges.items() if label not in (_home(e.source), _home(e.target))}
        del self.nodes[label]
        return node

    def replace_edge(self, edge: NetworkEdge) -> None:
        """Put an edge in the place of that with the same label."""
        if edge.label in self.edges:
            self.edges[edge.label] = edge
            return
        owner = self.node(_home(edge.source))
        if owner.recurrent is not None and owner.recurrent.label == edge.label:
            owner = replace(owner, recurrent=edge)
        else:
            owner = replace(owner, inner=tuple(edge if e.label == edge.label else e for e in owner.inner))
        self.nodes[owner.label] = owner

    # Lowering

    def as_node(self, label: str) -> NetworkNode:
        """Return all of it as one node: labels are preceded by the node's, what is trained and recorded stays so."""
        parts, rules, edges, inner, train, record = {}, {}, [], [], [], []
        for node in self.nodes.values():
            parts |= {f"{label}/{name}": part for name, part in node.parts.items()}
            rules |= {f"{label}/{name}": rule for name, rule in node.rules.items()}
            edges += [prefixed(edge, label) for edge in node.edges]
            inner += [edge.within(label) for edge in node.inner]
            if node.recurrent is not None:
                way = "gd" if set(WEIGHTS) & set(node.train) else node.recurrent.train
                inner.append(replace(node.recurrent, train=way).within(label))
            train += [path for name in node.train if name not in WEIGHTS for path in node.find(name).paths]
            record += [path for name in node.record for path in node.find(name).paths]
        inner += [edge.within(label) for edge in self.edges.values()]
        found = NetworkNode(
            label, parts, tuple(edges), inner=tuple(inner), train=tuple(train), record=tuple(record), rules=rules,
            dt=self.dt,
        )  # fmt: skip
        ends = [self.port("input_var"), self.port("output_var")]
        bundles = [end and Bundle(tuple(f"{label}/{path}" for path in end.paths), end.sizes) for end in ends]
        return replace(found, input=bundles[0], output=bundles[1])

    @property
    def dt(self) -> float | None:
        """Give the step that one of the nodes is written for; `None` if any will do."""
        return next((node.dt for node in self.nodes.values() if node.dt is not None), None)

    def to_graph(self, dt: float, name: str) -> Graph:
        """Return the graph that the engine understands."""
        nodes: dict[str, Node | Rule] = {}
        for node in self.nodes.values():
            nodes |= {**node.parts, **node.rules}
        edges = [edge for node in self.nodes.values() for edge in node.edges]
        for edge in self.all_edges().values():
            nodes |= edge.graph_nodes()
            edges += edge.graph_edges(dt)
        return Graph(nodes, tuple(edges), name, dt=self.dt)

    def describe(self) -> list[str]:
        """Return lines for people: nodes, then edges."""
        lines = ["Nodes:"]
        for node in self.nodes.values():
            lines.append(f"  {node.describe()}")
            own = (node.recurrent, *node.inner)
            lines += [f"    weights {edge.describe()}" for edge in own if edge is not None]
        if self.edges:
            lines += ["", "Edges:", *(f"  {edge.describe()}" for edge in self.edges.values())]
        return lines


def _home(bundle: Bundle) -> str:
    return bundle.paths[0].split("/")[0]


@dataclass(frozen=True, eq=False)
class NodeView:
    """Look at one node of a network: its variables and numbers as they are now.

    Arguments:
        network: the network.
        label: the name of the node.

    >>> from recurra import Network
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("a", "v' = -k*v + u", variables={"v": "output", "k": 2.0, "u": "input"}, N=3)
    >>> node.variable_names, node.parameter_names, node.n_in, node.n_out
    (['op/v', 'op/u'], ['op/k'], 3, 3)
    >>> node["k"] = [1.0, 2.0, 3.0]
    >>> node["k"]
    array([1., 2., 3.])
    """

    network: Builder
    label: str

    def __getitem__(self, var: str) -> np.ndarray:
        """Return a parameter, a state, or `"weights"`; see :meth:`Network.get_var`."""
        return self.network.get_var(self.label, var)

    def __setitem__(self, var: str, value: object) -> None:
        """Change a parameter, a state, or `"weights"`; see :meth:`Network.set_var`."""
        self.network.set_var(self.label, var, value)

    def __repr__(self) -> str:
        return f"NodeView({self.node.describe()})"

    @property
    def node(self) -> NetworkNode:
        """Give the description of the node."""
        return self.network._parts.node(self.label)

    @property
    def n_in(self) -> int:
        """Count the units that edges to the node feed."""
        return self.network._parts.end(self.label, "input_var").size

    @property
    def n_out(self) -> int:
        """Count the units that edges from the node read."""
        return self.network._parts.end(self.label, "output_var").size

    @property
    def variable_names(self) -> list[str]:
        """List the variables that change with time."""
        return self.node.variables(("state", "algebraic", "input", "emitted"))

    @property
    def parameter_names(self) -> list[str]:
        """List the parameters."""
        return self.node.variables(("parameter",))

    @property
    def train_params(self) -> tuple[str, ...]:
        """List what gradients change."""
        return self.node.train
