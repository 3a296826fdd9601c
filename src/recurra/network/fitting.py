"""Train a network: names of nodes become paths, `recurra.training` does the work, the network takes the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurra import training
from recurra.circuits import NodeTemplate, OperatorTemplate
from recurra.courtesy import warn
from recurra.engine import Result
from recurra.engine.devices import find_device
from recurra.engine.interrupts import interruptible
from recurra.engine.results import time_of
from recurra.errors import CapabilityError, OptionError, TrainingError
from recurra.network.edges import Bundle, NetworkEdge
from recurra.network.names import Named, by_paths, called
from recurra.network.trials import read_goal, read_trials
from recurra.training.composition import present_only
from recurra.training.fitting import read_callbacks
from recurra.training.readout import Readout, fit_ridge
from recurra.training.sources import Item, Source, find_source, read_item

if TYPE_CHECKING:
    from recurra.network.network import Network
    from recurra.training import Training


def by_bptt(
    network: Network,
    inputs: Any,
    targets: Any,
    train: Any,
    output: Any,
    through_spikes: tuple[str | None, float, float],
    options: Mapping[str, Any],
) -> Training:
    """Train by gradients through time; see `Network.fit_bptt`."""
    surrogate, slope, scale = through_spikes
    if surrogate is not None and not network.has_groups:
        raise OptionError(
            "surrogate: it is for the spikes of behaviors, and the network has no group; nodes of equations are given"
            " theirs by add_diffeq_node(surrogate=)."
        )
    constraints, names = _trained(network, train)
    bundle = _output(network, output)
    own = [options.get("mask"), options.get("batch_size"), options.get("seed", network.seed)]
    source = find_source(inputs, targets, *own)
    if source is None:
        data = _trials(network, inputs, targets, bundle.size)
    else:
        data = _source(network, source, bundle.size), None
    old = {path: network.get_var(path) for path in constraints if _is_of_rule(network, path)}
    with _on(network):
        try:
            found = training.fit_bptt(
                network.program if surrogate is None else network.program_with(surrogate, slope, scale),
                *data,
                output=list(bundle.paths),
                train=constraints,
                dt=network.dt,
                **_defaults(network, _translated(network, options, names, bundle.size)),
            )
        except TrainingError as error:
            # Only a training that has begun has anything to give back.
            if isinstance(error.result, training.Training):
                _take(network, error.result.params)
                error.result = called(error.result, names)
            raise
        except ValueError as error:
            if "Reverse-mode differentiation does not work" not in str(error):
                raise
            raise CapabilityError(_no_gradient(network, constraints)) from None
    same = [path for path, value in old.items() if np.array_equal(value, found.params[path])]
    _take(network, found.params)
    if same:
        warn(
            f"fit_bptt: nothing was learned about {', '.join(same)}: no gradient came back to it. What a rule draws at"
            " random (the spikes of a GLM) is held fixed, and so passes none; nor do spikes of behaviors without a"
            " `surrogate`.",
            RuntimeWarning,
        )
    return called(found, names)


def _is_of_rule(network: Network, path: str) -> bool:
    target = network.program.layout.one(path)
    return target.key in network.program.system.rule_keys


def _no_gradient(network: Network, train: Mapping[str, Any]) -> str:
    """Say why a network has no gradient."""
    names = ", ".join(rule.label or "the behaviors" for rule in network.program.system.rules)
    return (
        f"fit_bptt: the error cannot be traced back to {', '.join(train)}, because a rule on the way ({names}) has a"
        " loop whose length depends on its numbers. For behaviors give a `surrogate`; else train what lies behind it,"
        " choose an output in front of it, or read it out with fit_ridge; a GLM's own numbers are found by its fit()."
    )


def by_eprop(
    network: Network, inputs: Any, targets: Any, train: Any, edge: str | None, options: Mapping[str, Any]
) -> Training:
    """Train weights and a readout by e-prop; see `Network.fit_eprop`."""
    if network.has_code:
        raise CapabilityError(
            "fit_eprop is for nodes of equations, whose traces it derives; with a rule among the nodes use fit_bptt."
        )
    readout = _readout_edge(network, edge)
    constraints, names = _trained(network, train, but=readout.label)
    if network._snapshot is not None:
        raise CapabilityError("fit_eprop starts every trial from the initial values; call reset() before it.")
    with _on(network):
        found = training.fit_eprop(
            network.program,
            *_trials(network, inputs, targets, readout.shape[0]),
            output=list(readout.signal.paths),
            train=constraints,
            dt=network.dt,
            readout=np.asarray(readout.weights),
            **{"seed": network.seed, **options},
        )
    _take(network, {path: found.params[path] for path in constraints})
    network.set_var(readout.label, "weights", found.params["readout"])
    return called(found, names)


def _readout_edge(network: Network, label: str | None) -> NetworkEdge:
    sinks = network.sinks
    into = [e for e in network.edges.values() if e.target.paths[0].split("/")[0] in sinks]
    if label is not None:
        into = [network.get_edge(label)]
    if len(into) != 1:
        names = ", ".join(e.label for e in into) or "none"
        raise OptionError(f"fit_eprop: needs one edge that reads out; there are {len(into)} ({names}). Name it: edge=.")
    edge = into[0]
    _check_learnable(edge, "fit_eprop")
    node = network._parts.owner(edge.target.paths[0])
    texts = [e.text for part in node.parts.values() for o in part.operators.values() for e in o.equations]
    if texts not in (["y = identity(x)"], ["y = no_op(x)"]):
        raise CapabilityError(
            f"fit_eprop: the readout is linear, so the edge {edge.label} must lead to a node that passes on what it"
            f" gets: add_func_node({node.label!r}, {edge.shape[0]}, 'identity')."
        )
    return edge


def _check_learnable(edge: NetworkEdge, where: str) -> None:
    where = f"{where}: edge {edge.label}"
    if edge.delay is not None or edge.mask is not None or not isinstance(edge.weights, np.ndarray):
        raise CapabilityError(f"{where} must have a whole matrix of weights, and neither mask nor delay (or feedback).")
    if len(edge.target.paths) > 1:
        raise CapabilityError(f"{where} must end at one variable; it ends at {', '.join(edge.target.paths)}.")


def by_ridge(
    network: Network, inputs: Any, targets: Any, output: Any, label: str | None, every: int, options: Mapping[str, Any]
) -> Readout:
    """Fit a readout of the network's output and, if it has a label, add it as a node; see `Network.fit_ridge`."""
    source = _output(network, output)
    if label is not None:
        network._parts.free(label)
        inside = [path for path in source.paths if network.is_of_groups(path)]
        if inside:
            raise CapabilityError(
                f"fit_ridge: {inside[0]!r} belongs to a group, which no edge to a readout node can start from; fit with"
                " add_readout_node=False, and take the weights that are returned."
            )
    stands = network._snapshot
    with _on(network):
        found = fit_ridge(
            network.program,
            *_trials(network, inputs, targets, None, every),
            output=list(source.paths),
            dt=network.dt,
            every=every,
            **_defaults(network, options),
        )
    if label is not None:
        _add_readout(network, label, source, found)
        if network.has_groups:
            network._snapshot = stands  # a readout has no state, and groups go on from where they are
    return found


def _add_readout(network: Network, label: str, source: Bundle, found: Readout) -> None:
    """Put a readout into the network: a node, and an edge to it from every node that it reads."""
    size = len(found.weights)
    if found.intercept.any():
        operator = OperatorTemplate("func", "y = x + b", {"y": "output", "x": "input", "b": 0.0})
        network.add_diffeq_node(label, NodeTemplate(label, operator), N=size, node_vars={"func/b": found.intercept})
    else:
        network.add_func_node(label, size, "identity")
    spans: dict[str, list[tuple[str, int, int]]] = {}
    for path, start, stop in source.spans():
        spans.setdefault(path.split("/")[0], []).append((path, start, stop))
    for node, parts in spans.items():
        columns = np.concatenate([np.arange(start, stop) for _, start, stop in parts])
        bundle = Bundle(tuple(p for p, _, _ in parts), tuple(stop - start for _, start, stop in parts))
        network._join(f"{node}->{label}", bundle, network._parts.end(label, "input_var"), found.weights[:, columns])


def test(
    network: Network, inputs: Any, targets: Any, output: Any, options: Mapping[str, Any]
) -> tuple[Result, float]:
    """Compare the output with targets; see `Network.test`."""
    bundle = _output(network, output)
    options = {"precision": network.precision, **options}
    with _on(network):
        found = training.evaluate(
            network.program,
            *_trials(network, inputs, targets, bundle.size),
            output=list(bundle.paths),
            dt=network.dt,
            **_defaults(network, options),
        )
    rows = found.outputs.shape[-2]
    start = network.state
    time = start.t0 + (start.step + np.arange(rows)) * start.dt
    labels = [f"{path}[{i}]" if size > 1 else path for path, size in _sizes(bundle) for i in range(size)]
    meta = {"dt": start.dt, "every": 1, "loss": found.loss, "losses": found.losses.tolist(), **options}
    return Result(time, {"out": found.outputs}, {"out": labels}, start, meta), found.loss


def _sizes(bundle: Bundle) -> Iterable[tuple[str, int]]:
    return zip(bundle.paths, bundle.sizes, strict=True)


def _on(network: Network) -> AbstractContextManager:
    return jax.default_device(find_device(network.device))


def _defaults(network: Network, options: Mapping[str, Any]) -> dict[str, Any]:
    state = network.snapshot if network.has_groups else network._snapshot
    return {"seed": network.seed, "state": state, **options}


def _translated(
    network: Network, options: Mapping[str, Any], names: Mapping[str, tuple[str, ...]], units: int
) -> dict[str, Any]:
    """Return the options of a training with names of nodes made paths: in the validation, penalties and callbacks."""
    found = dict(options)
    given = options.get("validation")
    if given is not None:
        item = read_item(given, "validation")
        found["validation"] = (*_trials(network, item.inputs, item.targets, units), item.mask)
    if isinstance(options.get("penalties"), Mapping):
        found["penalties"] = {
            kind: by_paths(network, kind, paths, names) for kind, paths in options["penalties"].items()
        }
    if options.get("callbacks") is not None:
        found["callbacks"] = [
            partial(_show, each, names) for each in read_callbacks(options["callbacks"])
        ]
    return found


def _show(callback: Any, names: Mapping[str, tuple[str, ...]], epoch: training.Epoch) -> object:
    """Show a callback an epoch whose parameters have the names that the user gave them."""

    def finish() -> tuple[Any, Any]:
        program, params = epoch.finish()
        return program, Named(params, names)

    return callback(replace(epoch, finish=finish))


def _source(network: Network, source: Source, units: int) -> Source:
    """Return a source of batches whose inputs are by path."""

    def change(item: Item) -> Item:
        return Item(*_trials(network, item.inputs, item.targets, units), item.mask)

    return source.map(change)


def _output(network: Network, output: Any) -> Bundle:
    """Return what is compared with the targets: the network's output, a node's, or variables."""
    parts = network._parts
    if output is None:
        return parts.required("output_var")
    names = [output] if isinstance(output, str) else list(output)
    ends = [_variable(network, n) if network.is_of_groups(n) else parts.end(n, "output_var") for n in names]
    return Bundle(tuple(p for e in ends for p in e.paths), tuple(s for e in ends for s in e.sizes))


def _variable(network: Network, path: str) -> Bundle:
    """Return a variable of a group, by its path in the program."""
    targets = network.program.layout.resolve(path)
    return Bundle(tuple(t.path for t in targets), tuple(t.size for t in targets))


def _trials(
    network: Network, inputs: Any, targets: Any, units: int | None, every: int = 1
) -> tuple[dict[str, Any], Any]:
    """Return inputs by path, and targets; what has a time axis begins where the network stands."""
    begin = time_of(network._snapshot)
    goal, rows = read_goal(targets, units, network.dt * every, begin)
    steps = rows * every if isinstance(rows, int) else [n * every for n in rows]
    return read_trials(network._parts, inputs, steps, network.dt, begin), goal


def _trained(network: Network, train: Any, but: str = "") -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Return path -> constraint of what is to be trained, and name -> paths; masks of edges are constraints."""
    names: Mapping[str, Any] = train if isinstance(train, Mapping) else dict.fromkeys(_listed(network, train, but))
    found: dict[str, Any] = {}
    known: dict[str, tuple[str, ...]] = {}
    for name, constraint in names.items():
        own = _constrained(network, str(name), constraint)
        if twice := sorted(found.keys() & own.keys()):
            raise OptionError(f"train: {name!r} is named twice: {twice[0]!r} is among what was named before.")
        found |= own
        known[str(name)] = tuple(own)
    return found, known


def _constrained(network: Network, name: str, constraint: Any) -> dict[str, Any]:
    """Return path -> constraint of what one name means."""
    parts = network._parts
    if network.is_of_groups(name):
        return dict.fromkeys(_variable(network, name).paths, constraint)
    delayed = parts.delayed(name, None)
    if delayed is not None:
        if not delayed.is_plain or delayed.delay is None:
            why = "it joins several variables; split it" if delayed.delay is not None else "it has none"
            raise CapabilityError(f"edge {delayed.label}: its delay cannot be trained, since {why}.")
        return {f"{delayed.label}/delay": constraint}
    edge, bundle = parts.place(name, None)
    if edge is None:
        return dict.fromkeys(bundle.paths, constraint)
    if not edge.is_plain:
        raise CapabilityError(
            f"edge {edge.label}: its weights cannot be trained, since it joins several variables; split it."
        )
    if edge.mask is not None:
        constraint = present_only(constraint, edge.mask)
    return {edge.paths[0]: constraint}


def _listed(network: Network, train: Any, but: str) -> Iterable[str]:
    if train is not None:
        return [train] if isinstance(train, str) else list(train)
    found = [path for path in network._parts.trained("gd") if path != f"{but}/weight"]
    if not found:
        raise OptionError(
            "nothing is there to be trained: say train_params=['weights'] where a node is added, train='gd' where an"
            " edge is added, or train=['node/weights'] here."
        )
    return found


def _take(network: Network, params: Mapping[str, Any]) -> None:
    with interruptible():  # all of them or none
        for path, value in params.items():
            network.set_var(path, None, value)
