"""Build a network: collect nodes and edges, look at them, change numbers, and lower it all to a Program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recurra.circuits import CircuitTemplate, EdgeTemplate, NodeTemplate
from recurra.courtesy import warn
from recurra.engine import Graph, Program, Snapshot, lower
from recurra.engine.carrying import carry_over
from recurra.engine.grid import check_step
from recurra.engine.origin import Origin
from recurra.engine.randomness import stream_address
from recurra.errors import OptionError, PathError, TemplateError
from recurra.network import running
from recurra.network.edges import (
    Bundle,
    NetworkEdge,
    Weights,
    check_train,
    read_delays,
    read_filter,
    read_mask,
    read_weights,
)
from recurra.network.equation_nodes import Spiking, initial_values, recurrent_node, spiking_node, spread
from recurra.network.nodes import NetworkNode, function_node, read_node
from recurra.network.structure import WEIGHTS, NodeView, Structure


class Builder:
    """Hold the nodes, edges and numbers of a network; the half of :class:`recurra.Network` that does not run."""

    chosen_precision: str | None
    precision: str

    def __init__(
        self,
        device: object = "cpu",
        seed: int = 0,
        name: str = "",
    ):
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise OptionError(f"seed must be a whole number >= 0, got {seed!r}.")
        self.device, self.seed, self.name = device, int(seed), name
        self._parts = Structure()
        self._start: dict[str, object] = {}
        self._kept: Snapshot | None = None
        # The program that the kept state is of, while that has not been carried over to the present structure.
        self._former: Program | None = None
        self._program: Program | None = None

    @property
    def dt(self) -> float:
        """Give the step."""
        raise NotImplementedError

    # Building

    def add_diffeq_node(
        self,
        label: str,
        node: str | Sequence[str] | NodeTemplate | CircuitTemplate | Any,
        input_var: str | None = None,
        output_var: str | None = None,
        weights: Any = None,
        source_var: str | None = None,
        target_var: str | None = None,
        spike_var: str | Iterable[str] | None = None,
        reset_var: str | Iterable[str] | None = None,
        reset: bool = True,
        op: str | None = None,
        train_params: Iterable[str] | None = None,
        record_vars: Iterable[str] | None = None,
        *,
        N: int | None = None,
        variables: Mapping[str, Any] | None = None,
        node_vars: Mapping[str, object] | None = None,
        edge_attr: Mapping[str, Any] | None = None,
        edge_template: EdgeTemplate | str | None = None,
        spike_threshold: float | None = None,
        spike_reset: float | None = None,
        refractory: float = 0.0,
        surrogate: str = "fast_sigmoid",
        spike_slope: float | None = None,
        spike_scale: float = 1.0,
    ) -> NodeView:
        """Add units with equations of their own, and weights among them.

        A variable is named `"operator/variable"`, or by itself where only one has the name. `input_var`, `output_var`,
        `source_var` and `target_var` may be left out where only one variable can be meant.

        Arguments:
            label: the name of the node.
            node: the path of a template, a template, or equations: a text with `=` in it or a list of texts.
            input_var: what edges to this node, and inputs of the user, feed.
            output_var: what edges from this node read, and what is recorded as the output; any variable.
            weights: `W[target unit, source unit]`, dense or of `scipy.sparse`, or one number for all pairs.
            source_var, target_var: the weights lead from one to the other.
            spike_var: input (or inputs) that gets 1/dt in the step of a spike; equations may do without it.
            reset_var: state that spikes where it has reached `spike_threshold`, and is set to `spike_reset` then.
            reset: whether it is set. If not, a unit spikes when it comes to be above the threshold, and not again
                before it was below: an action potential is one spike.
            op: the operator in which variables without one are looked for first; the operator's name for equations.
            train_params: what gradients change: `"weights"`, or names of parameters.
            record_vars: names of variables that every run records.
            N: number of units, where no weights tell it; 1 by default.
            variables: declarations for equations, as :class:`recurra.OperatorTemplate` takes them.
            node_vars: name of a parameter, input or state -> a number, or one for each unit.
            edge_attr: of the recurrent edge: `delay` and `spread` (times), and what its template takes.
            edge_template: what recurrent signals pass on their way, one for each pair of units.
            spike_threshold, spike_reset: 100 and -100 by default.
            refractory: time since a spike until which a unit is held at `spike_reset` and does not spike again; no
                more than a step is as none.
            surrogate: the derivative that stands in for that of the spike, one of `recurra.engine.SURROGATES`.
            spike_slope: how steep it is per unit of the variable, that is how fast it falls with the distance to the
                threshold; 100/|threshold - reset| by default.
            spike_scale: the derivative at the threshold, where it is highest.

        Returns:
            The node, to look at: `node["weights"]`, `node["li_op/tau"]`.

        Raises:
            RecurraError: something does not fit; the message says what, and which names there are.

        >>> from recurra import Network
        >>> net = Network(dt=0.1)
        >>> cell = net.add_diffeq_node("cell", "v' = -v/tau + u", variables={"v": "output", "tau": 2.0, "u": "input"})
        >>> net.run(np.ones((3, 1)))["out"].ravel().tolist()
        [0.0, 0.1, 0.195]
        """
        spiking = Spiking(
            spike_var, reset_var, reset, spike_threshold, spike_reset, refractory, surrogate, spike_slope, spike_scale
        )
        built = read_node(self._parts.free(label), node, N, variables, op or "", kept=spiking.inputs)
        built = spiking_node(built, spiking)
        built = replace(built, input=None if input_var is None else built.end("input_var", input_var))
        built = recurrent_node(built, weights, source_var, target_var, edge_attr, edge_template)
        built = initial_values(built, node_vars)
        built = replace(built, input=built.end("input_var", input_var), output=built.end("output_var", output_var))
        built = replace(built, train=_names(train_params, "train_params"), record=_names(record_vars, "record_vars"))
        for name in built.record:
            built.find(name, what="record_vars")
        for name in built.train:
            if name in WEIGHTS and built.recurrent is None:
                raise PathError(f"node {label!r}: train_params names the weights, but the node has none.")
            if name not in WEIGHTS:
                built.find(name, ("parameter", "state", "input"), "train_params")
        return self._add(built)

    def add_func_node(self, label: str, n: int, activation_function: str) -> NodeView:
        """Add units that apply a function to their input, at once.

        Arguments:
            label: the name of the node.
            n: number of units.
            activation_function: `"tanh"`, `"sigmoid"`, `"relu"`, `"softplus"`, `"identity"`, `"softmax"`, `"softmin"`,
                `"log_softmax"` or another function of one argument that equations know.

        Returns:
            The node; its variables are `func/x` and `func/y`.

        Raises:
            OptionError: there is no such function.

        >>> from recurra import Network
        >>> net = Network()
        >>> node = net.add_func_node("readout", 2, "softmax")
        >>> net.run(np.array([[0.0, 0.0]]))["out"].tolist()
        [[0.5, 0.5]]
        """
        return self._add(function_node(self._parts.free(label), n, activation_function))

    def add_node(self, label: str, node: Any, input_var: str | None = None, output_var: str | None = None) -> NodeView:
        """Add anything that becomes a graph: a template, a circuit, a fitted population, another Network.

        Random numbers are addressed by seed and path: what is drawn inside is what a graph of the engine draws whose
        nodes are called `"<label>/<their name>"`.

        Arguments:
            label: the name of the node; the nodes inside are called `"<label>/<their name>"`.
            node: anything with `to_graph()` or `to_node()`, or a `Graph` or `Node` of the engine: a template, a
                :class:`recurra.glm.PopulationGLM`, an :class:`recurra.rate.model.FR_RNN_dale`, a
                :class:`recurra.spiking.SpikingNetwork`. One step of the network is one step of it, and its numbers are
                in the unit of time of the network's `dt`; `net.add_node(label, thing.to_graph(...))` takes its options.
            input_var, output_var: as in :meth:`add_diffeq_node`; those of a Network are its own by default, and what
                becomes a graph may say them.

        Returns:
            The node.

        Raises:
            TemplateError: if it cannot be made into a graph, or is a Network with another step or with groups.
            TimeError: if it is written for another step: a GLM for its bins, a spiking network for its own dt, a Dale
                network with the noise of Kim et al. for the step of that.
        """
        name = self._parts.free(label)
        if isinstance(node, Builder):
            if getattr(node, "schedule", None) or getattr(node, "NeuronGroups", None):
                raise TemplateError(f"node {name!r}: the inner network has groups, which cannot be a node yet.")
            if node.dt != self.dt:
                raise TemplateError(f"node {name!r}: the inner network has dt={node.dt:g}, this one {self.dt:g}.")
            built = node._parts.as_node(name)
        else:
            built = read_node(name, node, None, None, "")
        if input_var is not None or built.input is None:
            built = replace(built, input=built.end("input_var", input_var))
        if output_var is not None or built.output is None:
            built = replace(built, output=built.end("output_var", output_var))
        return self._add(built)

    def add_edge(
        self,
        source: str,
        target: str,
        weights: Any = None,
        train: str | None = None,
        mask: Any = None,
        delays: Any = None,
        filter_weights: Any = None,
        feedback: bool = False,
        *,
        label: str | None = None,
        seed: int | None = None,
    ) -> NetworkEdge:
        """Join two nodes; several edges into a node add.

        Arguments:
            source: the label of a node (its `output_var` is read), or `"node/operator/variable"`.
            target: the label of a node (its `input_var` is fed), or `"node/operator/variable"`.
            weights: `W[target unit, source unit]`, dense or of `scipy.sparse`, or one number for all pairs; standard
                normal numbers if `None`.
            train: `"gd"` if gradients change the weights, `"rls"` if recursive least squares does.
            mask: matrix of 0 and 1; where it is 0 there is no weight, also after training.
            delays: in steps: a number, one for each source unit, or a matrix.
            filter_weights: F in y <- F y + source, at every step; the weights then read y. A number, one for each
                source unit, or a matrix.
            feedback: let the target see the source one step later (`delays` count from 1), so that a circle of nodes
                that act at once can be closed.
            label: the name of the edge; `"source->target"` by default, `"source->target#1"` for a second one.
            seed: seed of weights that are not given; made of the network's seed and the label if `None`.

        Returns:
            The edge; `net.get_var(edge.label, "weights")` is what it has now.

        Raises:
            RecurraError: something does not fit.
        """
        from_, to = self._parts.end(source, "output_var"), self._parts.end(target, "input_var")
        name = self._parts.edge_label(label, source, target)
        where, shape = f"edge {name}", (to.size, from_.size)
        if weights is None:
            own = [self.seed, *stream_address(name, "weights").tolist()] if seed is None else seed
            weights = np.random.default_rng(own).standard_normal(shape)
        read = read_weights(weights, shape, where)
        kept = None
        if mask is not None:
            kept, read = read_mask(mask, read, shape, where)
        return self._join(
            name,
            from_,
            to,
            read,
            delay=read_delays(delays, feedback, shape, self.dt, where),
            mask=kept,
            filter=None if filter_weights is None else read_filter(filter_weights, from_.size, where),
            train=check_train(train, where),
            feedback=bool(feedback),
        )

    def pop_node(self, label: str) -> NetworkNode:
        """Remove a node and the edges that touch it, and return it."""
        node = self._parts.pop_node(label)
        self._start = {p: v for p, v in self._start.items() if p.split("/")[0] != node.label}
        self._changed()
        return node

    def pop_edge(self, source: str, target: str | None = None) -> NetworkEdge:
        """Remove an edge, given by its ends or by its label, and return it."""
        edge = self.get_edge(source, target)
        del self._parts.edges[edge.label]
        self._changed()
        return edge

    # Looking

    @property
    def nodes(self) -> dict[str, NodeView]:
        """Map labels to nodes, in the order in which they were added."""
        return {label: NodeView(self, label) for label in self._parts.nodes}

    @property
    def edges(self) -> dict[str, NetworkEdge]:
        """Map labels to edges, in the order in which they were added."""
        return dict(self._parts.edges)

    @property
    def sources(self) -> list[str]:
        """List the nodes that no edge feeds (feedback aside): where inputs of the user go."""
        return self._parts.loose("input_var")

    @property
    def sinks(self) -> list[str]:
        """List the nodes that no edge reads (feedback aside): where the output comes from."""
        return self._parts.loose("output_var")

    @property
    def n_in(self) -> int:
        """Count the units that inputs of the user feed."""
        return self._parts.required("input_var").size

    @property
    def n_out(self) -> int:
        """Count the units of the output."""
        return self._parts.required("output_var").size

    def get_node(self, label: str) -> NodeView:
        """Return a node by its label."""
        return NodeView(self, self._parts.node(label).label)

    def get_edge(self, source: str, target: str | None = None) -> NetworkEdge:
        """Return an edge by its label, or by the nodes at its ends.

        Raises:
            PathError: there is no such edge, or several.
        """
        return self._parts.edge(source, target)

    def __getitem__(self, label: str) -> NodeView:
        return self.get_node(label)

    def __contains__(self, label: object) -> bool:
        return label in self._parts.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts.nodes)

    def __len__(self) -> int:
        return len(self._parts.nodes)

    def __repr__(self) -> str:
        parts = f"{len(self._parts.nodes)} node(s), {len(self._parts.edges)} edge(s)"
        return f"Network({self.name!r}, dt={self.dt:g}, {parts})"

    def explain(self) -> str:
        """Say in words what the network is and what one step of it does."""
        heading = f"Network {self.name or '(unnamed)'}, dt = {self.dt:g}, {self.precision}"
        return "\n".join([heading, "", *self._parts.describe(), "", self.program.explain(self.dt)])

    # Numbers

    def get_var(self, node: str, var: str | None = None) -> np.ndarray:
        """Return a parameter, an input's default, a state, weights or delays.

        Arguments:
            node: the label of a node or edge, or a whole path `"node/operator/variable"`.
            var: `"operator/variable"`, `"weights"`, or `"delay"` (a time, not a number of steps); `None` if `node` is a
                whole path.

        Returns:
            A number, or an array with one for each unit; weights as `W[target unit, source unit]`, or one number for
            each entry of a sparse matrix. States are where they stand: see :attr:`state`.

        Raises:
            PathError: there is no such variable, or it is computed by an equation.
        """
        delayed = self._parts.delayed(node, var)
        if delayed is not None:
            return delayed.delays
        edge, bundle = self._parts.place(node, var)
        if edge is not None:
            return edge.numbers()
        parts = [self._number(path) for path in bundle.paths]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def set_var(self, node: str, var: str | None, val: object) -> None:
        """Change a parameter, an input's default, a state, weights or delays; nothing is compiled again.

        Arguments:
            node, var: as in :meth:`get_var`.
            val: a number, or one for each unit. A state is set where it stands; :meth:`reset` undoes that.

        Raises:
            PathError: there is no such variable, or it is computed by an equation.
            ShapeError: `val` has the wrong shape.
        """
        delayed = self._parts.delayed(node, var)
        if delayed is not None:
            self._put_delays(delayed, delayed.with_delays(val, self.dt, f"edge {delayed.label}"))
            return
        edge, bundle = self._parts.place(node, var)
        if edge is not None:
            self._put_edge(edge.with_weights(val, f"edge {edge.label}"))
            return
        owner = self._parts.owner(bundle.paths[0])
        values = spread(owner, bundle, val, "/".join(filter(None, (node, var))))
        program = self.program_of_nodes
        states = {p: v for p, v in values.items() if program.layout.one(p).kind == "state"}
        self._update(values)
        if states and self._snapshot is not None:
            self._snapshot = running.with_states(program, self._snapshot, states)
        self._start.update(states)
        plain = {p: v for p, v in values.items() if p not in states}
        if plain:
            self._parts.nodes[owner.label] = owner.with_values(plain)

    def parameters(self, train: str | None = "gd") -> dict[str, np.ndarray]:
        """Return what training changes, by path.

        Arguments:
            train: `"gd"` for what gradients change, `"rls"` for what recursive least squares does.
        """
        check_train(train, "parameters")
        return {path: self.get_var(path) for path in self._parts.trained(train)}

    @property
    def _snapshot(self) -> Snapshot | None:
        """The state that was set, carried over if the structure has changed since; `None` for the initial one."""
        if self._kept is not None and self._former is not None:
            former, self._former = self._former, None
            self._kept, lost = carry_over(self._kept, former, self.program_of_nodes)
            if lost:
                warn(
                    f"the state was kept where nodes and edges were changed, but nothing is known of the past of"
                    f" {', '.join(lost[:5])}{' ...' if len(lost) > 5 else ''}: an edge that is delayed now sees nothing"
                    " of it at first. Add delayed edges before the run whose final state is taken.",
                    RuntimeWarning,
                )
        return self._kept

    @_snapshot.setter
    def _snapshot(self, snapshot: Snapshot | None) -> None:
        self._kept, self._former = snapshot, None

    @property
    def state(self) -> Snapshot:
        """Give the state that runs start from: the initial one, unless it was set to an earlier `obs.final`.

        It is kept when nodes and edges are added or removed: new nodes begin at their initial values.
        """
        if self._snapshot is not None:
            return self._snapshot
        program = self.program_of_nodes
        return Snapshot(program.init(self.dt), 0, 0.0, self.dt, Origin(program.system))

    @state.setter
    def state(self, snapshot: Snapshot) -> None:
        self._snapshot = running.check_state(self.program, snapshot, self.dt)

    def reset(self) -> None:
        """Let runs start from the initial values of the templates (and `node_vars`) again."""
        self._snapshot = None
        if self._start:
            self._start = {}
            self._relower()

    # Lowering

    def to_graph(self) -> Graph:
        """Return the network that the engine understands, with the numbers it has now."""
        return replace(self._parts.to_graph(self.dt, self.name), precision=self.chosen_precision)

    @property
    def program(self) -> Program:
        """Give the program of the network, lowered when it is first needed after a change of its structure."""
        return self.program_of_nodes

    @property
    def program_of_nodes(self) -> Program:
        """Give the program of the nodes and edges alone, without groups of neurons."""
        if self._program is None:
            self._program = lower(self.to_graph()).update(self._start)
        return self._program

    # Inside

    def _add(self, node: NetworkNode) -> NodeView:
        if node.dt is not None:
            check_step(node.dt, self.dt, f"node {node.label!r}")
        self._parts.nodes[node.label] = node
        self._changed()
        return NodeView(self, node.label)

    def _join(self, label: str, source: Bundle, target: Bundle, weights: Weights, **options: Any) -> NetworkEdge:
        edge = self._parts.edges[label] = NetworkEdge(label, source, target, weights, **options)
        self._changed()
        return edge

    def _changed(self) -> None:
        """Forget what belongs to the former structure, but for the state."""
        self._relower()
        if self._former is None:
            self._snapshot = None

    def _relower(self) -> None:
        """Forget all programs: there is something in them that cannot be updated."""
        if self._kept is not None and self._former is None:
            self._former = self._program
        self._program = None

    def _update(self, values: Mapping[str, object]) -> None:
        """Put other numbers, by path, into all programs."""
        self._program = self.program_of_nodes.update(values)

    def _number(self, path: str) -> np.ndarray:
        if self._snapshot is not None:
            target = self.program_of_nodes.layout.one(path)
            if target.kind == "state":
                return np.asarray(self._snapshot.state[target.key][target.index])  # pyright: ignore
        return self.program_of_nodes.get(path)

    def _put_edge(self, edge: NetworkEdge) -> None:
        """Replace an edge by one that differs in numbers only."""
        self._parts.replace_edge(edge)
        if edge.is_plain and edge.through is None:
            self._update({edge.paths[0]: edge.numbers()})
        else:
            self._relower()

    def _put_delays(self, old: NetworkEdge, edge: NetworkEdge) -> None:
        """Replace an edge by one with other delays; where there were none and are some the structure changes."""
        self._parts.replace_edge(edge)
        same = np.array_equal(old.delays > 0, edge.delays > 0) and old.delays.shape == edge.delays.shape
        if same and isinstance(edge.weights, float | np.ndarray) and edge.is_plain and edge.through is None:
            if edge.delay is not None:
                self._update({f"{edge.label}/delay": edge.delay})
        else:
            self._relower()


def _names(given: Iterable[str] | None, what: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise OptionError(f"{what} must be a list of names, got the text {given!r}; write [{given!r}].")
    return tuple(given or ())
