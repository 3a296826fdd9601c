"""Programs and results in files: NumPy archives and JSON, never pickle; written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from recurra.engine.graph import Edge, Graph, Node, Operator, Rule, Sparse, Spike, Variable
from recurra.engine.locks import try_lock, unlock
from recurra.equations import Equation, parse_equation, to_text
from recurra.errors import StoreError
from recurra.files import check_count, path_of, read_arrays, refusing

if TYPE_CHECKING:
    from recurra.engine.program import Program

FORMAT = 1
PART = ".part"
SPIKE_NUMBERS = ("threshold", "reset", "refractory", "slope", "scale")


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write to a file beside `path` and move it there when it is complete; what killed saves have left is removed.

    Raises:
        StoreError: the folder does not exist, the disk is full or the like.
    """
    path = path_of(path)
    handle, name = _make_part(path)
    try:
        with os.fdopen(handle, "w+b", closefd=False) as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        if os.name == "nt":  # there, an open file cannot be moved
            unlock(handle)
            handle = -1
        os.replace(name, path)
    except BaseException as error:
        if os.path.exists(name):
            os.unlink(name)
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(f"{path}: cannot write there ({error.strerror or error}).") from None
        raise
    finally:
        unlock(handle)
    _remove_parts(path)


def _make_part(path: Path) -> tuple[int, str]:
    """Make a file beside a path, locked, so that others know that it is being written."""
    while True:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        except OSError as error:
            raise StoreError(f"{path}: cannot write there ({error.strerror}).") from None
        try_lock(handle)
        if os.path.exists(name):  # else somebody has removed it before it was locked
            return handle, name
        unlock(handle)


def _remove_parts(path: Path) -> None:
    """Remove the files of former saves to a path that nobody writes any more."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}{re.escape(PART)}")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in [e for e in entries if pattern.fullmatch(e.name)]:
            with contextlib.suppress(OSError):
                handle = os.open(entry.path, os.O_RDWR)
                try:
                    if try_lock(handle):
                        os.unlink(entry.path)
                finally:
                    unlock(handle)


def save(program: Program, path: str | Path) -> None:
    """Write a program: its graph as text, its numbers as arrays; see :meth:`Program.save`."""
    arrays: dict[str, Any] = {}
    meta = {
        "kind": "recurra.Program",
        "format": FORMAT,
        "solver": program.solver,
        "graph": graph_to_dict(program.graph, arrays),
    }
    for store in ("params", "state"):
        arrays |= {f"{store}:{key}": value for key, value in getattr(program, store).items()}
    text = json.dumps(meta)
    check_count(path, arrays)
    write_atomically(path, lambda file: np.savez(file, meta=np.array(text), **arrays))


def load(path: str | Path) -> Program:
    """Read a program that `Program.save` wrote.

    Arguments:
        path: the file.

    Returns:
        The program, with all its numbers.

    Raises:
        StoreError: the file is missing, damaged, or of another kind.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     vdp.program.save(Path(folder) / "vdp.npz")
    ...     load(Path(folder) / "vdp.npz").get("p/vdp_op/mu")
    array([1.])
    """
    from dataclasses import replace

    from recurra.engine.lowering import lower
    from recurra.engine.solvers import choose_solver

    meta, arrays = read_arrays(path, "recurra.Program")
    if meta.get("format") != FORMAT:
        raise StoreError(f"{path}: format {meta.get('format')!r} is not known; this version reads format {FORMAT}.")
    with refusing(path, "the network in it cannot be rebuilt"):
        check_sizes(meta["graph"], arrays)
        program = lower(graph_from_dict(meta["graph"], arrays))
        solver = None if meta["solver"] is None else choose_solver(str(meta["solver"]), program.system)
    numbers = {}
    for store in ("params", "state"):
        own: Mapping[str, np.ndarray] = getattr(program, store)
        read = {k.removeprefix(f"{store}:"): v for k, v in arrays.items() if k.startswith(f"{store}:")}
        if {k: (v.shape, v.dtype) for k, v in own.items()} != {k: (v.shape, v.dtype) for k, v in read.items()}:
            raise StoreError(f"{path}: its {store} do not fit its network.")
        numbers[store] = read
    return replace(program, solver=solver, **numbers)


def check_sizes(graph: dict, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse sizes that the arrays of the file do not bear out, before memory is asked for."""
    largest = max((v.size for v in arrays.values()), default=0)
    sizes = {label: int(node["size"]) for label, node in graph["nodes"].items()}
    for edge in graph["edges"]:
        if edge["node"] is not None:
            pairs = [sizes.get(edge[end].rsplit("/", 2)[0], 1) for end in ("source", "target")]
            sizes[edge["label"] or f"{edge['source']}->{edge['target']}"] = pairs[0] * pairs[1]
    for label, size in sizes.items():
        if size > max(largest, 1):
            raise StoreError(f"{label} has {size} units, but no array of the file has as many numbers")


def graph_to_dict(graph: Graph, arrays: dict[str, Any]) -> dict:
    """Describe a graph in what JSON can hold; its arrays are put into `arrays`."""
    return {
        "name": graph.name,
        "input": graph.input,
        "output": graph.output,
        "dt": graph.dt,
        "precision": graph.precision,
        "nodes": {label: _node_to_dict(node, arrays) for label, node in graph.nodes.items()},
        "edges": [
            {
                "source": e.source,
                "target": e.target,
                "weight": value_to_dict(e.weight, arrays),
                "delay": value_to_dict(e.delay, arrays),
                "spread": value_to_dict(e.spread, arrays),
                "node": None if e.node is None else _node_to_dict(e.node, arrays),
                "inputs": dict(e.inputs),
                "output": e.output,
                "label": e.label,
            }
            for e in graph.edges
        ],
    }


def _node_to_dict(node: Node | Rule, arrays: dict[str, np.ndarray]) -> dict:
    if isinstance(node, Rule):
        raise StoreError(
            f"a rule ({node.text or 'a function'}) is code, which a file does not hold. Save the final state of a run"
            " (`result.final.save(path)`), build the network again, and go on from there."
        )
    return {
        "size": int(node.size),
        "values": {path: value_to_dict(value, arrays) for path, value in node.values.items()},
        "spikes": [_spike_to_dict(rule, arrays) for rule in node.spikes],
        "operators": {
            name: {
                "equations": [_text(e) for e in operator.equations],
                "variables": {
                    v: {"kind": d.kind, "value": value_to_dict(d.value, arrays), "unit": d.unit}
                    for v, d in operator.variables.items()
                },
                "output": operator.output,
            }
            for name, operator in node.operators.items()
        },
    }


def _text(equation: Equation) -> str:
    """Return the text of an equation, which may have been made without one."""
    sign = "' =" if equation.derivative else " ="
    return equation.text or f"{equation.target}{sign} {to_text(equation.expression)}"


def _spike_to_dict(rule: Spike, arrays: dict[str, np.ndarray]) -> dict:
    numbers = {name: value_to_dict(getattr(rule, name), arrays) for name in SPIKE_NUMBERS}
    ends = {"variable": rule.variable, "input": rule.input, "surrogate": rule.surrogate, "prompt": rule.prompt}
    return {**ends, **numbers}


def _spike(item: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Spike:
    # Files of earlier versions know no scale and no prompt reset.
    known = [name for name in SPIKE_NUMBERS if name in item]
    numbers: dict[str, Any] = {name: value_from_dict(item[name], arrays) for name in known}
    return Spike(**{**item, **numbers})


def value_to_dict(value: Any, arrays: dict[str, np.ndarray]) -> object:
    """Keep numbers as text that reads back bit for bit, and arrays in the archive."""
    if value is None:
        return None
    if isinstance(value, Sparse):
        keys = [f"array:{len(arrays) + i}" for i in range(3)]
        arrays.update(zip(keys, (value.rows, value.columns, value.values), strict=True))
        return {"sparse": keys, "shape": list(value.shape)}
    if np.ndim(value):
        key = f"array:{len(arrays)}"
        arrays[key] = np.asarray(value)
        return {"array": key}
    if np.iscomplexobj(value):
        return {"real": float(np.real(value)), "imag": float(np.imag(value))}  # type: ignore[arg-type]
    return float(value)  # type: ignore[arg-type]


def value_from_dict(item: object, arrays: Mapping[str, np.ndarray]) -> object:
    """Return what `value_to_dict` described."""
    if not isinstance(item, dict):
        return item
    if "sparse" in item:
        rows, columns, values = (arrays[key] for key in item["sparse"])
        return Sparse(rows, columns, values, (int(item["shape"][0]), int(item["shape"][1])))
    return arrays[item["array"]] if "array" in item else complex(item["real"], item["imag"])


def graph_from_dict(data: dict, arrays: Mapping[str, np.ndarray]) -> Graph:
    """Return the graph that `graph_to_dict` described.

    Raises:
        KeyError: a part or an array is missing.
        RecurraError: an equation cannot be understood.
    """

    def value(item: object) -> object:
        return value_from_dict(item, arrays)

    def node(item: dict) -> Node:
        operators = {
            name: Operator(
                tuple(parse_equation(text, where=name) for text in o["equations"]),
                {n: Variable(v["kind"], value(v["value"]), v["unit"]) for n, v in o["variables"].items()},  # type: ignore
                o["output"],
            )
            for name, o in item["operators"].items()
        }
        values = {path: value(v) for path, v in item["values"].items()}
        return Node(operators, int(item["size"]), values, tuple(_spike(rule, arrays) for rule in item["spikes"]))

    edges = tuple(
        Edge(
            e["source"],
            e["target"],
            value(e["weight"]),  # type: ignore[arg-type]
            value(e["delay"]),  # type: ignore[arg-type]
            value(e["spread"]),  # type: ignore[arg-type]
            None if e["node"] is None else node(e["node"]),
            e["inputs"],
            e["output"],
            e["label"],
        )
        for e in data["edges"]
    )
    nodes = {label: node(item) for label, item in data["nodes"].items()}
    dt = data.get("dt")
    precision = data.get("precision")
    return Graph(
        nodes, edges, data["name"], data.get("input", ""), data.get("output", ""),
        None if dt is None else float(dt), None if precision is None else str(precision),
    )  # fmt: skip
