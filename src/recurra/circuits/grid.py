"""Run a circuit for many sets of parameters at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import errors
from recurra.circuits.circuit import CircuitTemplate
from recurra.circuits.running import check_options, make_columns, rows_apart, split_label
from recurra.circuits.templates import as_template, expect_mapping, listed, short
from recurra.circuits.values import as_value

if TYPE_CHECKING:
    import pandas

_PARTS = ("vars", "nodes", "edges")


def grid_search(
    circuit_template: CircuitTemplate | str,
    param_grid: Mapping[str, Sequence[float]] | pandas.DataFrame,
    param_map: Mapping[str, Mapping[str, Any]],
    step_size: float,
    simulation_time: float,
    outputs: Mapping[str, str] | Sequence[str] | None,
    inputs: Mapping[str, object] | None = None,
    sampling_step_size: float | None = None,
    permute_grid: bool = False,
    **run_kwargs: Any,
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Run a circuit once for each set of parameters, all sets at the same time.

    Arguments:
        circuit_template: a circuit, or the path of one.
        param_grid: name -> values, or a table with a column for each name.
        param_map: name -> what it changes: `{"vars": ["op/var"], "nodes": ["p"]}`, or
            `{"vars": ["weight"], "edges": [(source, target)]}` with a third entry for the index of a parallel edge.
        step_size: the step, in the model's unit of time.
        simulation_time: how long, in the same unit.
        outputs: name -> path, or a list of paths.
        inputs: as for :meth:`CircuitTemplate.run`, the same for all sets.
        sampling_step_size: time between rows; the step if `None`.
        permute_grid: combine every value with every other; otherwise the first values make the first set, and so on.
        **run_kwargs: `solver`, `cutoff`, `seed`, `precision`, `device` and more, as for :meth:`CircuitTemplate.run`.

    Returns:
        `(results, map)`: a table with columns `(output, "<circuit>_<i>", node..., "op/var")` and a table of the sets
        with the index `"<circuit>_<i>"`. Nothing that was given is changed.

    Raises:
        PathError: if a node, edge or variable does not exist.
        ShapeError: if there are not as many values for each name.
        OptionError: if an option is unknown.
        KeyboardInterrupt: someone interrupted; nothing is returned. :func:`recurra.sweep` keeps whole points.

    >>> found, sets = grid_search(
    ...     "model_templates.oscillators.vanderpol.vdp", {"mu": [0.5, 1.0]},
    ...     {"mu": {"vars": ["vdp_op/mu"], "nodes": ["p"]}}, 0.1, 1.0, {"x": "p/vdp_op/x"})
    >>> found.columns.tolist()
    [('x', 'vdp_0', 'p', 'vdp_op/x'), ('x', 'vdp_1', 'p', 'vdp_op/x')]
    """
    import pandas

    from recurra.engine import simulate
    from recurra.engine.interrupts import interruptible

    circuit = as_template(circuit_template, CircuitTemplate, "grid_search")
    backend, solver, options = check_options(
        run_kwargs.pop("backend", None), run_kwargs.pop("solver", None), run_kwargs
    )
    if backend == "numpy":
        raise errors.OptionError("backend 'numpy' runs one set at a time; use 'default' for a grid.")
    sets = _list_sets(param_grid, permute_grid)
    names = [f"{circuit.name}_{i}" for i in range(len(next(iter(sets.values()))))]
    with interruptible():  # a part of every run would be a table that looks whole
        result = simulate(
            circuit.program,
            simulation_time,
            dt=step_size,
            solver=solver,
            inputs=inputs,
            record=outputs,
            every=rows_apart(sampling_step_size, step_size),
            batch=_addresses(circuit, sets, param_map),
            **options,
        )
    tuples, blocks = [], []
    for name in result:
        data = np.asarray(result[name])
        tuples += [(name, one, *split_label(label)) for one in names for label in result.labels[name]]
        blocks.append(np.moveaxis(data, 0, 1).reshape(data.shape[1], -1))
    table = pandas.DataFrame(
        np.concatenate(blocks, axis=1), index=pandas.Index(result.time, name="time"), columns=make_columns(tuples)
    )
    return table, pandas.DataFrame(sets, index=pandas.Index(names))


def _list_sets(param_grid: Any, permute: bool) -> dict[str, np.ndarray]:
    """Return name -> one value for each set."""
    if not isinstance(param_grid, Mapping) and hasattr(param_grid, "columns"):
        param_grid = {column: param_grid[column].to_numpy() for column in param_grid.columns}
    grid = expect_mapping(param_grid, "param_grid", "{'tau': [1.0, 2.0]}")
    values = {}
    for key, raw in grid.items():
        column = np.atleast_1d(np.asarray(as_value(list(raw) if np.ndim(raw) else raw, f"param_grid, {key}")))
        if column.ndim != 1:
            raise errors.ShapeError(f"param_grid, {key}: expected a list of numbers, got shape {column.shape}.")
        values[str(key)] = column
    if not values:
        raise errors.ShapeError("param_grid: is empty; give at least one parameter and its values.")
    if permute:
        rows = list(itertools.product(*values.values()))
        return {key: np.array([row[i] for row in rows]) for i, key in enumerate(values)}
    lengths = {key: len(column) for key, column in values.items()}
    if len(set(lengths.values())) > 1:
        raise errors.ShapeError(
            f"param_grid: all lists must have the same length, got {lengths}; permute_grid=True combines every value "
            "with every other."
        )
    return values


def _addresses(
    circuit: CircuitTemplate, sets: Mapping[str, np.ndarray], param_map: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Return engine path -> one value for each set."""
    targets = expect_mapping(param_map, "param_map", "{'tau': {'vars': ['op/tau'], 'nodes': ['p']}}")
    for key in targets:
        if key not in sets:
            raise errors.OptionError(errors.unknown("parameter", key, sets, "param_map"))
    found: dict[str, np.ndarray] = {}
    for key, column in sets.items():
        if key not in targets:
            raise errors.OptionError(errors.unknown("parameter", key, targets, "param_grid, not in param_map"))
        for path in _paths(circuit, key, targets[key]):
            if path in found:
                raise errors.OptionError(f"param_map, {key}: {path!r} is changed by another parameter, too.")
            found[path] = column
    return found


def _paths(circuit: CircuitTemplate, key: str, entry: Any) -> list[str]:
    where = f"param_map, {key}"
    entry = expect_mapping(entry, where, "{'vars': ['op/tau'], 'nodes': ['p']}")
    for part in entry:
        if part not in _PARTS:
            raise errors.OptionError(errors.unknown("part", part, _PARTS, where))
    variables = listed(entry.get("vars"), where, "vars")
    nodes = listed(entry.get("nodes"), where, "nodes")
    edges = listed(entry.get("edges"), where, "edges")
    if not variables or not (nodes or edges):
        raise errors.OptionError(f"{where}: needs `vars`, and `nodes` or `edges`; got {short(entry)}.")
    found = [f"{node}/{variable}" for node in nodes for variable in variables]
    if edges:
        labels = _edge_labels(circuit)
        found += [f"{_edge_label(labels, edge, where)}/{variable}" for edge in edges for variable in variables]
    return found


def _edge_labels(circuit: CircuitTemplate) -> dict[str, int]:
    """Count the parallel edges; the engine tells them apart by `#1`, `#2` and so on."""
    counts: dict[str, int] = {}
    for edge in circuit.to_graph().edges:
        stem = f"{edge.source}->{edge.target}"
        counts[stem] = counts.get(stem, 0) + 1
    return counts


def _edge_label(labels: Mapping[str, int], edge: Any, where: str) -> str:
    if not isinstance(edge, list | tuple) or len(edge) not in (2, 3):
        raise errors.OptionError(f"{where}: an edge is (source, target) or (source, target, index), got {short(edge)}.")
    stem = f"{edge[0]}->{edge[1]}"
    if stem not in labels:
        raise errors.PathError(errors.unknown("edge", stem, labels, where))
    count = labels[stem]
    if len(edge) == 2 and count > 1:
        raise errors.PathError(f"{where}: there are {count} edges {stem}; say which by an index from 0 to {count - 1}.")
    index = edge[2] if len(edge) == 3 else 0
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise errors.PathError(f"{where}: there is no edge {stem} of index {index!r}; there are {count}, from 0 on.")
    return f"{stem}#{index}" if index else stem
