"""Networks: nodes and edges that can be run, trained and saved."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.courtesy import warn
from recurra.engine import Program, Result, Snapshot
from recurra.errors import CapabilityError, PathError, TimeError
from recurra.groups import GroupNetwork
from recurra.groups.gate import NUMBERS
from recurra.groups.nodes import NodeGroup, Nodes
from recurra.groups.objects import Behaviors
from recurra.groups.roster import check_end
from recurra.network import running
from recurra.network.bridge import Bridge, make_node_group
from recurra.network.builder import Builder

if TYPE_CHECKING:
    from jaxtyping import Array

    from recurra.training import Training
    from recurra.training.readout import Readout
    from recurra.training.rls import OnlineReadout


class Network(Builder, GroupNetwork):
    """Join nodes by edges, and groups of neurons by groups of synapses, into a network that can be run.

    Nodes have equations (:meth:`add_diffeq_node`), or are whatever becomes a graph (:meth:`add_node`): circuits, fitted
    GLMs, Dale networks, other networks. Groups (:class:`recurra.NeuronGroup`) have behaviors written in Python. All of
    it is run, trained and saved together by :meth:`run`, `fit_*` and :meth:`save`; :meth:`simulate_iterations` advances
    the network itself, recorders included. `net["label"]` is a node, or lists what has this tag.

    Arguments:
        dt: the step of everything, in the unit of time of the nodes' equations, and in ms for the ready behaviors
            (:mod:`recurra.behaviors`). By default 1e-3 in a network of nodes and 1, an iteration, in one of groups; a
            network of both must be given it.
        device: `"cpu"`, `"gpu"`, `"gpu:1"` or a `jax.Device`.
        precision: `"float64"` or `"float32"`, for all that the network does: runs, groups and trainings. By default
            runs and groups are in float64, and trainings in float32.
        seed: seed of noise, of weights that are not given, and of what behaviors draw.
        name: the name of the network, for people.
        tag, behavior, settings, dtype: of the groups, see :class:`recurra.groups.GroupNetwork`; a `dtype` of float32 or
            float64 says the `precision`.

    Raises:
        TimeError: `dt` is no finite number > 0.
        OptionError: another argument is not what it should be.

    A hundred rate neurons with random weights (Sompolinsky, Crisanti and Sommers 1988):

    >>> import numpy as np
    >>> net = Network(dt=1e-3)
    >>> J = np.random.default_rng(0).standard_normal((100, 100))
    >>> node = net.add_diffeq_node("tanh", "neuron_model_templates.rate_neurons.leaky_integrator.tanh", weights=J,
    ...     source_var="tanh_op/r", target_var="li_op/r_in", input_var="li_op/I_ext", output_var="li_op/v")
    >>> obs = net.run(inputs=np.ones((1000, 100)))
    >>> obs["out"].shape
    (1000, 100)
    """

    def __init__(
        self,
        dt: float | None = None,
        device: object = "cpu",
        precision: str | None = None,
        seed: int = 0,
        name: str = "",
        *,
        tag: Any = None,
        behavior: Behaviors = None,
        settings: Mapping[str, Any] | None = None,
        dtype: Any = None,
    ):
        Builder.__init__(self, device, seed, name)
        GroupNetwork.__init__(
            self, tag=tag, behavior=behavior, settings=settings, seed=seed, dtype=dtype, dt=dt, precision=precision
        )
        self._bridge: Bridge | None = None

    # Looking: nodes by their labels, groups, behaviors and recordings by their tags

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return GroupNetwork.__getitem__(self, key)
        nodes, found = self._nodes(key), GroupNetwork._matches(self, key)
        if nodes and found:
            raise PathError(
                f"both a node and {found[0]!r} are called {key!r}; write net.get_node({key!r}), or net[{key!r}, 1] for"
                " what has the tag."
            )
        if nodes:
            return nodes[0]
        if not found and not self.NeuronGroups and not self.schedule:
            return self.get_node(key)
        return GroupNetwork.__getitem__(self, key)

    def _nodes(self, key: object) -> list[Any]:
        return [self.get_node(key)] if isinstance(key, str) and key in self._parts.nodes else []

    def _matches(self, key: object) -> list[Any]:
        return [*self._nodes(key), *GroupNetwork._matches(self, key)]

    def _missing(self, key: object) -> tuple[str, str, list[str]]:
        what, name, known = GroupNetwork._missing(self, key)
        return what, name, [*self._parts.nodes, *known]

    def __contains__(self, key: object) -> bool:
        return GroupNetwork.__contains__(self, key)

    def __iter__(self) -> Iterator[str]:
        yield from self._parts.nodes
        yield from GroupNetwork.__iter__(self)

    def __len__(self) -> int:
        return len(self._parts.nodes) + len(self.NeuronGroups)

    def __copy__(self) -> Network:
        """Copy the whole network: one that shared nodes and edges with another would change it half."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        if not self.NeuronGroups:
            return Builder.__repr__(self)
        groups = f"{len(self.NeuronGroups)} group(s), {len(self.SynapseGroups)} synapse group(s)"
        nodes = f"{len(self._parts.nodes)} node(s), {len(self._parts.edges)} edge(s), " if self._parts.nodes else ""
        step = "" if self.pace.given is None else f"dt={self.pace.given:g}, "
        return f"Network({self.name!r}, {step}{nodes}{groups})"

    def __str__(self) -> str:
        return GroupNetwork.__str__(self) if self.NeuronGroups else repr(self)

    def explain(self) -> str:
        """Say in words what the network is and what one step of it does."""
        if not self.has_groups:
            return Builder.explain(self)
        nodes = self._parts.describe() if self._parts.nodes else []
        return "\n".join([repr(self), "", *nodes, *([""] if nodes else []), GroupNetwork.explain(self)])

    # Nodes and groups together

    @property
    def program(self) -> Program:
        """Give the program of everything: nodes, and the behaviors of groups as a rule among them.

        Raises:
            CapabilityError: a behavior cannot be compiled.
        """
        if not self.has_groups:
            return self.program_of_nodes
        return self.runner.compiled.program_now()

    @property
    def snapshot(self) -> Snapshot:
        """Give where nodes and groups stand.

        `simulate(net.program, ..., dt=net.dt, state=net.snapshot)` goes on from it.
        """
        self.looking.check(NUMBERS)
        if not self.has_groups:
            return Builder.state.fget(self)  # type: ignore[misc]
        return self.runner.compiled.snapshot()

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self.looking.check(NUMBERS)
        if not self.has_groups:
            Builder.state.fset(self, snapshot)  # type: ignore[misc]
            return
        compiled = self.runner.compiled
        checked = running.check_state(self.program, snapshot, compiled.snapshot().dt)
        self.iteration = checked.step
        compiled.put(checked)

    @property
    def state(self) -> Snapshot:
        """Give the state that runs start from: the initial one, unless it was set to an earlier `obs.final`.

        With groups it is where these stand: :attr:`snapshot`.
        """
        return self.snapshot

    @state.setter
    def state(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @property
    def has_groups(self) -> bool:
        """Tell whether there are groups or behaviors, beside nodes or without."""
        return bool(self.NeuronGroups or len(self.schedule))

    @property
    def has_code(self) -> bool:
        """Tell whether anything in the network is a function instead of equations: a rule, or a behavior."""
        return self.has_groups or any(node.rules for node in self._parts.nodes.values())

    @property
    def dt(self) -> float:
        """Give the step, which nodes, groups and ready behaviors share.

        Raises:
            TimeError: there are nodes and groups, and nobody has said how long a step of both is.
        """
        if self.pace.given is not None:
            return self.pace.given
        if not self.has_groups:
            return 1e-3
        if self._parts.nodes:
            raise TimeError(
                "the network has nodes of equations and groups of behaviors, and must be told how long a step of both"
                " is: Network(dt=...), in the unit of time of the equations, and in ms for ready behaviors."
            )
        return self.pace.dt

    def get_var(self, node: str, var: str | None = None) -> np.ndarray:
        """Return a parameter, a state or weights of a node or edge, or a number of a group or behavior.

        Arguments:
            node: the label of a node or edge, or a whole path: `"node/operator/variable"`, `"cells/voltage"`,
                `"cells/Behavior/threshold"`, `"SYN/W"`.
            var: the rest of the path; `None` if `node` is all of it.

        Returns:
            A number, or an array with one for each unit; see :meth:`recurra.network.builder.Builder.get_var`.

        Raises:
            PathError: there is no such variable, or it is computed by an equation.
        """
        self.looking.check(NUMBERS)
        path = node if var is None else f"{node}/{var}"
        if not self.is_of_groups(path):
            return Builder.get_var(self, node, var)
        return self.program.get(path)

    def set_var(self, node: str, var: str | None, val: object) -> None:
        """Change a parameter, an input's default, a state or weights; nothing is compiled again.

        Arguments:
            node, var: as in :meth:`get_var`.
            val: a number, or one for each unit. A state is set where it stands; for nodes :meth:`reset` undoes that.

        Raises:
            PathError: there is no such variable, or it is computed by an equation.
            ShapeError: `val` has the wrong shape.
        """
        self.looking.check(NUMBERS)
        path = node if var is None else f"{node}/{var}"
        if self.is_of_groups(path):
            self.runner.compiled.put_numbers({path: val})
        else:
            Builder.set_var(self, node, var, val)

    def is_of_groups(self, path: str) -> bool:
        """Tell whether a path must belong to a group or a behavior."""
        if not self.has_groups or not isinstance(path, str):
            return False
        labels = (*self._parts.nodes, *self._parts.all_edges())
        return not any(path == label or path.startswith(f"{label}/") for label in labels)

    def _update(self, values: Mapping[str, object]) -> None:
        Builder._update(self, values)
        if self._runner is not None:
            self._runner.update_nodes(values)
        if self._bridge is not None:
            self._bridge.update(values)

    def _changed(self) -> None:
        old = self._program or (self._bridge and self._bridge.program)
        snapshot = self._snapshot if self.has_groups else None
        Builder._changed(self)
        if not self.has_groups:
            return
        self._snapshot = None
        if snapshot is not None and old:
            if old.system.rings and self.iteration:
                warn("nodes or edges were changed between two steps: what delayed edges remembered is lost.",
                     RuntimeWarning)  # fmt: skip
            # Groups go on from where they are, and so do the nodes that stay; delays begin anew.
            for target in old.layout.targets(("state",)):
                if target.path.split("/")[0] in self._parts.nodes and target.key in snapshot.state:
                    self._start[target.path] = np.array(snapshot.state[target.key][target.index])

    def _relower(self) -> None:
        Builder._relower(self)
        if self._runner is not None:
            self._runner.forget()
        if self._bridge is not None:
            self._bridge.forget()

    def group_of_node(self, label: str) -> NodeGroup | None:
        """Return the group that stands for a node of equations; `None` if there is no such node."""
        if label not in self._parts.nodes:
            return None
        known = [group for group in self.node_groups if group.tag == label]
        if not known:
            self.node_groups.append(make_node_group(self, label))
        return (known or self.node_groups)[-1]

    def nodes_among_groups(self) -> Nodes | None:
        """Return the equations that behaviors are joined to, if there are any."""
        if not self._parts.nodes:
            return None
        if self._bridge is None:
            self._bridge = Bridge(self)
        return self._bridge

    def _check_no_groups(self, what: str) -> None:
        if self.has_groups:
            raise CapabilityError(
                f"{what}() learns from equations step by step, and cannot look into behaviors; with groups use fit_bptt"
                " or fit_ridge."
            )

    # Running

    def run(
        self,
        inputs: Any = None,
        sampling_steps: int = 1,
        cutoff: int = 0,
        record_vars: Any = None,
        record_output: bool = True,
        solver: str | None = None,
        seed: int | Array | None = None,
        state: Snapshot | None = None,
        progress: bool = True,
        precision: str | None = None,
        history: Mapping[str, object] | None = None,
        steps: int | None = None,
        trials: int | None = None,
    ) -> Result:
        """Simulate the network from :attr:`state` on; the network itself stays as it is.

        Arguments:
            inputs: `(steps, units)` for a network with one source; or a dict of node or path -> `(steps, units)`,
                `(steps, 1)` for all units alike, or a number. Row k is felt during step k.
                Groups have no inputs but through nodes.
            sampling_steps: steps from one recorded row to the next.
            cutoff: steps at the beginning that are not recorded.
            record_vars: what else is recorded: `(node, variable)`, `(node, variable, True)` for the mean over the
                units, paths, or a dict of name -> path; `"cells/voltage"` is a variable of a group.
            record_output: whether the output is recorded, as `"out"`: the `output_var` of the node that no edge reads;
                of several such nodes side by side, and each by its label too. What a Recorder of a group records is
                output too, as `"cells/voltage"`: row k is what it would read before step k, as everything in a Result.
            solver: one of `recurra.engine.SOLVERS` with a fixed step; Euler by default.
            seed: seed of the noise; the network's if `None`.
            state: where to start, the `final` of an earlier run; :attr:`state` if `None`.
            progress: show a bar if the run takes longer than a second.
            precision: `"float64"` or `"float32"`; the network's if `None`.
            history: path of a delayed variable -> what it was before the start.
            steps: number of steps, for a run without time series.
            trials: that many runs at once with independent noise, from the same state; inputs may be `(trials, steps,
                units)` then, and recordings are `(trials, rows, units)`. See :func:`recurra.simulate`.

        Returns:
            What was recorded: row k is the value before step k. Its `final` is the state after the last step.

        Raises:
            RecurraError: something does not fit.
            DivergenceError: a variable stopped being finite.
        """
        start = state if state is not None else self.snapshot if self.has_groups else self._snapshot
        if state is None and history is not None:
            if self.has_groups and self.iteration:
                raise TimeError(f"history is what was before the start; the network stands at step {self.iteration}.")
            start = None
        if self.has_groups:
            self.schedule.check_run()
        result = running.run(
            self,
            running.Recorded(record_vars, record_output, sampling_steps, cutoff),
            inputs,
            steps,
            solver=solver,
            seed=self.seed if seed is None else seed,
            state=start,
            progress=progress,
            precision=precision or self.precision,
            history=history,
            device=self.device,
            trials=trials,
        )
        if self.has_groups:
            for trial in range(trials or 1):
                check_end(self, {k: v[trial] if trials else v for k, v in result.final.state.items()})
        return result

    # Training

    def fit_bptt(
        self,
        inputs: Any,
        targets: Any,
        *,
        train: Any = None,
        output: Any = None,
        surrogate: str | None = None,
        slope: float = 25.0,
        scale: float = 1.0,
        **options: Any,
    ) -> Training:
        """Train the network by gradients through time; it has the trained numbers afterwards.

        Arguments:
            inputs: `(steps, units)` or `(trials, steps, units)`, or a dict of node or path -> such arrays.
            targets: `(steps, units)` or `(trials, steps, units)` of the output; class numbers for `nll` and `ce`.
            train: what is trained, as `"node/weights"`, `"node/operator/variable"`, `"source->target/weights"` or, of a
                group, `"SYN/W"`: a list, or a dict name -> constraint; if `None`, the `train_params` of nodes and the
                edges with `train="gd"`. Masks of edges hold in any case.
            output: a node or variable (or several) that is compared with the targets; the network's if `None`.
            surrogate, slope, scale: the derivative through the spikes of behaviors, see :meth:`program_with`; none if
                `surrogate` is `None`.
                Nodes of equations have their own, see :meth:`add_diffeq_node`.
            **options: `loss`, `optimizer`, `lr`, `epochs`, `batch_size`, `truncate`, `mask`, `penalties`, `clip`,
                `validation`, `patience`, `checkpoint` and others, see :func:`recurra.training.fit_bptt`.

        Returns:
            The trained program, its parameters and the history of the training.

        Raises:
            RecurraError: something does not fit.
            TrainingError: the loss stopped being finite; the network has the last good parameters.
        """
        from recurra.network.fitting import by_bptt

        return by_bptt(self, inputs, targets, train, output, (surrogate, slope, scale), options)

    def fit_eprop(
        self, inputs: Any, targets: Any, *, train: Any = None, edge: str | None = None, **options: Any
    ) -> Training:
        """Train weights and a linear readout by e-prop (Bellec et al. 2020), forwards in time.

        The network has the trained weights afterwards.

        Arguments:
            inputs, targets, train: as for :meth:`fit_bptt`; only weights without delay can be trained.
            edge: the label of the edge that reads out, into a node that passes on what it gets
                (`add_func_node(label, k, "identity")`); the only edge into the network's output if `None`.
            **options: `loss`, `optimizer`, `lr`, `epochs`, `feedback` and others, see
                :func:`recurra.training.fit_eprop`.

        Returns:
            As :meth:`fit_bptt`; `params` holds `"readout"` and `"feedback"` too.
        """
        from recurra.network.fitting import by_eprop

        self._check_no_groups("fit_eprop")
        return by_eprop(self, inputs, targets, train, edge, options)

    def fit_ridge(
        self,
        inputs: Any,
        targets: Any,
        sampling_steps: int = 1,
        alpha: float | Sequence[float] = 1e-4,
        add_readout_node: bool = True,
        *,
        label: str = "readout",
        output: Any = None,
        **options: Any,
    ) -> Readout:
        """Fit a linear readout of the output by ridge regression (Hoerl and Kennard 1970).

        Arguments:
            inputs: as for :meth:`fit_bptt`.
            targets: `(rows, k)` or `(trials, rows, k)`.
            sampling_steps: steps between the rows that are read out.
            alpha: strength of the penalty, or several to choose from by cross-validation.
            add_readout_node: whether the readout becomes a node of the network, which is its output then.
            label: the name of that node.
            output: a node or variable (or several) that is read out; the network's output if `None`.
            **options: `intercept`, `folds`, `mask` and others, see :func:`recurra.training.fit_ridge`.

        Returns:
            The readout: weights `(k, units)`, score, and errors of the cross-validation.
        """
        from recurra.network.fitting import by_ridge

        name = label if add_readout_node else None
        return by_ridge(self, inputs, targets, output, name, sampling_steps, {"alpha": alpha, **options})

    def fit_rls(self, inputs: Any, targets: Any, *, edge: str | None = None, **options: Any) -> OnlineReadout:
        """Learn the weights of an edge by recursive least squares while the network runs.

        What the edge carries is brought to the targets. If its target feeds back into the network this is FORCE
        learning (Sussillo and Abbott 2009). The network has the learned weights afterwards.

        Arguments:
            inputs: as for :meth:`fit_bptt`; trials are learned one after the other.
            targets: `(steps, units)` or `(trials, steps, units)`, or a list of trials, of what the edge feeds.
            edge: the label of the edge; the only one with `train="rls"` if `None`. It may be masked, sparse, delayed or
                feedback: units that not all sources reach have an inverse correlation each, and what is absent stays
                absent.
            **options: `alpha`, `forgetting`, `every`, `mask` and others, see :func:`recurra.training.fit_rls`. With
                `compare` the targets are those of a node or variable: innate training (Laje and Buonomano 2013) of a
                recurrent edge compares the rates of its own units, and `mask` `(steps, units)` says which units learn,
                and when.

        Returns:
            The weights, the inverse correlation, and the output at every step.
        """
        from recurra.network.force import by_rls

        self._check_no_groups("fit_rls")
        return by_rls(self, inputs, targets, edge, options)

    def test(self, inputs: Any, targets: Any, *, output: Any = None, **options: Any) -> tuple[Result, float]:
        """Compare the output with targets, without learning.

        Arguments:
            inputs, targets, output: as for :meth:`fit_bptt`.
            **options: `loss`, `mask`, `batch_size` and others, see :func:`recurra.training.evaluate`.

        Returns:
            The output as `"out"`, and the mean loss. The `final` of the result is where the trials start.
        """
        from recurra.network.fitting import test

        return test(self, inputs, targets, output, options)

    def __identity__(self) -> tuple:
        """Return what tells this network from others."""
        return self.program, dict(self.snapshot.state)

    def save(self, path: str | Path) -> None:
        """Write the network, its numbers and its state to one `.npz` file, without pickle.

        A network of equations is written whole: :meth:`load` makes it again. Behaviors and rules (a GLM, a spiking
        network) are code, which a file does not hold: of a network with any of them all numbers are written, by path,
        and :meth:`load_values` puts them into the network that a script has built again.

        Arguments:
            path: the file.

        Raises:
            StoreError: it cannot be written.
            CapabilityError: a behavior cannot be compiled, so that nobody knows what its numbers are.
        """
        from recurra.network.archive import save, save_values

        (save_values if self.has_code else save)(self, path)

    def load_values(self, path: str | Path, check: bool = True) -> None:
        """Take all numbers, and the state, from a file that :meth:`save` wrote of a network with behaviors or rules.

        The network has to be built as that one was; if its behaviors make variables in their first step, it must have
        done that step.

        Arguments:
            path: the file.
            check: whether the equations and the code of behaviors and rules must be what they were; without, the
                numbers are taken wherever paths and shapes fit.

        Raises:
            StoreError: there is no such file, or the network in it was another one. Then nothing has changed.
        """
        from recurra.network.archive import load_values

        load_values(self, path, check)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a network that `save` wrote.

        Raises:
            StoreError: there is no such file, or it is no network.
        """
        from recurra.network.archive import load

        return load(path)
