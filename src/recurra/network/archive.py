"""Networks in files: descriptions as text, numbers as arrays, in one archive without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine import Graph, Snapshot
from recurra.engine.rules import split_rules
from recurra.engine.store import (
    check_sizes,
    graph_from_dict,
    graph_to_dict,
    value_from_dict,
    value_to_dict,
    write_atomically,
)
from recurra.errors import StoreError
from recurra.files import check_count, read_arrays, refusing
from recurra.network.edges import Bundle, NetworkEdge
from recurra.network.nodes import NetworkNode
from recurra.network.running import check_state

if TYPE_CHECKING:
    from recurra.network.network import Network

KIND, VALUES, FORMAT = "recurra.Network", "recurra.Network.values", 1
Arrays = dict[str, np.ndarray]


def save(network: Network, path: str | Path) -> None:
    """Write a network; see :meth:`recurra.network.Network.save`."""
    arrays: Arrays = {}
    parts, snapshot = network._parts, network._snapshot
    meta: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "settings": {
            "dt": network.dt,
            "device": str(network.device),
            "precision": network.chosen_precision,
            "seed": network.seed,
            "name": network.name,
        },
        "nodes": [_node_to_dict(node, arrays) for node in parts.nodes.values()],
        "edges": [_edge_to_dict(edge, arrays) for edge in parts.edges.values()],
        "start": {name: value_to_dict(value, arrays) for name, value in network._start.items()},
        "state": None,
    }
    if snapshot is not None:
        meta["state"] = snapshot.about
        arrays |= {f"state:{key}": np.asarray(value) for key, value in snapshot.state.items()}
    # Their sizes bear out those of the nodes when the file is read.
    for node in parts.nodes.values():
        arrays |= {f"units:{label}": np.zeros(part.size, np.uint8) for label, part in node.parts.items()}
    check_count(path, arrays)
    text = json.dumps(meta)
    write_atomically(path, lambda file: np.savez(file, meta=np.array(text), **arrays))  # pyright: ignore


def load(path: str | Path) -> Network:
    """Read a network; see :meth:`recurra.network.Network.load`."""
    from recurra.network.network import Network

    try:
        meta, arrays = read_arrays(path, KIND)
    except StoreError as error:
        if repr(VALUES) in str(error):
            raise StoreError(
                f"{path}: it holds the numbers of a network with behaviors or rules, which are code: build the network"
                " again, and call its load_values(path)."
            ) from None
        raise
    if meta.get("format") != FORMAT:
        raise StoreError(f"{path}: format {meta.get('format')!r} is not known; this version reads format {FORMAT}.")
    with refusing(path, "the network in it cannot be rebuilt"):
        network = Network(**meta["settings"])
        nodes = [_node_from_dict(item, arrays) for item in meta["nodes"]]
        edges = [_edge_from_dict(item, arrays) for item in meta["edges"]]
        network._parts.nodes.update({node.label: node for node in nodes})
        network._parts.edges.update({edge.label: edge for edge in edges})
        network._start.update({name: value_from_dict(item, arrays) for name, item in meta["start"].items()})
        if meta["state"] is not None:
            state = {key.removeprefix("state:"): v for key, v in arrays.items() if key.startswith("state:")}
            network.state = replace(Snapshot.of_file(state, meta["state"]), origin=None)  # the model is in the file
        else:
            network.to_graph()
    return network


def save_values(network: Network, path: str | Path) -> None:
    """Write the numbers of a network; see :meth:`recurra.network.Network.save`."""
    snapshot = network.snapshot
    meta = {
        "kind": VALUES,
        "format": FORMAT,
        "state": snapshot.about,
    }
    arrays = {f"value:{name}": value for name, value in _values(network).items()}
    arrays |= {f"start:{name}": np.asarray(value) for name, value in network._start.items()}
    arrays |= {f"state:{key}": np.asarray(value) for key, value in snapshot.state.items()}
    text = json.dumps(meta)
    write_atomically(path, lambda file: np.savez(file, meta=np.array(text), **arrays))  # pyright: ignore


def load_values(network: Network, path: str | Path, check: bool) -> None:
    """Read the numbers of a network; see :meth:`recurra.network.Network.load_values`."""
    meta, arrays = read_arrays(path, VALUES)
    parts = {
        prefix: {key.removeprefix(prefix): v for key, v in arrays.items() if key.startswith(prefix)}
        for prefix in ("value:", "start:", "state:")
    }
    own, read = _values(network), parts["value:"]
    _check_alike(path, own, read)
    with refusing(path, "its state does not fit the network"):
        if meta["format"] != FORMAT:
            raise StoreError(f"format {meta['format']!r} is not known; this version reads format {FORMAT}")
        snapshot = Snapshot.of_file(parts["state:"], meta["state"])
        snapshot = snapshot if check else replace(snapshot, origin=None)
        snapshot = check_state(network.program, snapshot, network.dt)
    changed = {name: value for name, value in read.items() if not np.array_equal(value, own[name])}
    for name, value in {**parts["start:"], **changed}.items():
        network.set_var(name, None, value)
    network.snapshot = snapshot


def _values(network: Network) -> dict[str, np.ndarray]:
    """Return all numbers but states, by path."""
    parts = network._parts
    found = {
        path: network.get_var(path)
        for node in parts.nodes.values()
        for path in node.paths(("parameter", "input"))
    }
    found |= {f"{label}/weights": edge.numbers() for label, edge in parts.all_edges().items()}
    return found | (network.runner.compiled.traced.current()[1] if network.has_groups else {})


def _check_alike(path: str | Path, own: Arrays, read: Arrays) -> None:
    """Refuse the numbers of another network, before any of them is taken."""
    odd = sorted(set(own) ^ set(read))
    if odd:
        where = "the file" if odd[0] in own else "the network"
        raise StoreError(f"{path}: it is of another network: {where} has no {odd[0]!r}.")
    for name, value in own.items():
        if np.shape(value) != read[name].shape or read[name].dtype.kind not in "biufc":
            raise StoreError(
                f"{path}: it is of another network: {name!r} has shape {read[name].shape} there, {np.shape(value)}"
                " here."
            )


def _node_to_dict(node: NetworkNode, arrays: Arrays) -> dict[str, Any]:
    return {
        "label": node.label,
        "graph": graph_to_dict(Graph(node.parts, node.edges, dt=node.dt), arrays),
        "op": node.op,
        "recurrent": None if node.recurrent is None else _edge_to_dict(node.recurrent, arrays),
        "inner": [_edge_to_dict(edge, arrays) for edge in node.inner],
        "input": _bundle_to_dict(node.input),
        "output": _bundle_to_dict(node.output),
        "train": list(node.train),
        "record": list(node.record),
    }


def _node_from_dict(item: Mapping[str, Any], arrays: Arrays) -> NetworkNode:
    check_sizes(item["graph"], arrays)
    graph = graph_from_dict(item["graph"], arrays)
    return NetworkNode(
        item["label"],
        split_rules(graph.nodes)[0],
        graph.edges,
        item["op"],
        None if item["recurrent"] is None else _edge_from_dict(item["recurrent"], arrays),
        tuple(_edge_from_dict(edge, arrays) for edge in item["inner"]),
        _bundle_from_dict(item["input"]),
        _bundle_from_dict(item["output"]),
        tuple(item["train"]),
        tuple(item["record"]),
        dt=graph.dt,
    )


def _edge_to_dict(edge: NetworkEdge, arrays: Arrays) -> dict[str, Any]:
    through = None
    if edge.through is not None:
        # An edge of the engine is part of a graph; a graph of nothing else carries it.
        through = graph_to_dict(Graph({}, (edge.through,)), arrays)
    return {
        "label": edge.label,
        "source": _bundle_to_dict(edge.source),
        "target": _bundle_to_dict(edge.target),
        **{name: value_to_dict(getattr(edge, name), arrays) for name in ("weights", "delay", "mask", "filter")},
        "spread": edge.spread,
        "train": edge.train,
        "feedback": edge.feedback,
        "through": through,
    }


def _edge_from_dict(item: Mapping[str, Any], arrays: Arrays) -> NetworkEdge:
    values = {name: value_from_dict(item[name], arrays) for name in ("weights", "delay", "mask", "filter")}
    through = None if item["through"] is None else graph_from_dict(item["through"], arrays).edges[0]
    source, target = _bundle_from_dict(item["source"]), _bundle_from_dict(item["target"])
    edge = NetworkEdge(item["label"], source, target, **values)  # pyright: ignore[reportArgumentType]
    return replace(
        edge, spread=item["spread"], train=item["train"], feedback=bool(item["feedback"]), through=through
    )


def _bundle_to_dict(bundle: Bundle | None) -> dict[str, Any] | None:
    return None if bundle is None else {"paths": list(bundle.paths), "sizes": list(bundle.sizes)}


def _bundle_from_dict(item: Mapping[str, Any] | None) -> Bundle | None:
    return None if item is None else Bundle(tuple(item["paths"]), tuple(int(size) for size in item["sizes"]))
