"""Run a network: names of nodes become paths of the engine, recordings get the names that the user asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine import Program, Result, Snapshot, simulate
from recurra.engine.checks import refuse_masked
from recurra.engine.results import time_of
from recurra.engine.run import starting_point
from recurra.engine.series import rows_of, time_axis
from recurra.errors import OptionError, PathError, ShapeError, TimeError
from recurra.network.structure import Structure

if TYPE_CHECKING:
    from recurra.network.network import Network


@dataclass(frozen=True)
class Recorded:
    """Say what a run records, and when; see :meth:`recurra.network.Network.run`."""

    record_vars: Any = None
    record_output: bool = True
    sampling_steps: int = 1
    cutoff: int = 0


def run(
    network: Network, recorded: Recorded, inputs: Any, steps: int | None, **options: Any
) -> Result:
    """Run a network; see :meth:`recurra.network.Network.run`."""
    parts, dt = network._parts, network.dt
    feeds, count = read_inputs(parts, inputs, steps, dt, time_of(options["state"]), options["trials"] is not None)
    every = whole_number(recorded.sampling_steps, "sampling_steps", 1)
    cutoff = whole_number(recorded.cutoff, "cutoff", 0)
    if count % every:
        low = count - count % every
        raise TimeError(
            f"{count} steps are not a whole number of rows of sampling_steps={every}: run {low or every} or"
            f" {low + every} steps."
        )
    if cutoff >= count:
        raise TimeError(f"cutoff={cutoff} leaves nothing of {count} steps; it is a number of steps.")
    names, means = recordings(network, recorded.record_vars, recorded.record_output)
    program = network.program
    result = simulate(
        program, count * dt, dt=dt, inputs=feeds, record=names, every=every, cutoff=cutoff * dt, **options
    )
    return _averaged(result, means)


def read_inputs(
    parts: Structure, inputs: Any, steps: int | None, dt: float, begin: float, trials: bool = False
) -> tuple[dict[str, np.ndarray], int]:
    """Turn inputs by node into inputs by path, and count the steps.

    Arguments:
        parts: the nodes and edges.
        inputs: an array for the only source, or a dict of node or path -> array or number.
        steps: the number of steps, if no array tells it.
        dt, begin: step and beginning of the run, with which series that have a time axis are aligned.
        trials: whether an array may have an axis of trials before that of steps.

    Raises:
        PathError: it is not clear which variable is fed.
        ShapeError: an array has the wrong shape, or no array tells the number of steps.
        TimeError: the time axis of a series does not fit the steps.
    """

    values = list(inputs.values()) if isinstance(inputs, Mapping) else [] if inputs is None else [inputs]
    arrays = [v for v in values if time_axis(v, "inputs") is None and (isinstance(v, list | tuple) or np.ndim(v))]
    plain = [_steps(v) for v in arrays]
    known = plain[0] if steps is None and plain else steps

    def aligned(value: Any, where: str) -> tuple[Any, int | None]:
        rows = rows_of(value, dt, begin, known, where)
        # A series may hold one row more, the one at the end of the run.
        return rows, None if rows is value else known if known is not None else len(rows)

    found, lengths = by_path(parts, inputs, (0, 2, 3) if trials else (0, 2), aligned)
    return found, _count(lengths, steps)


def _steps(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple) or np.ndim(value) < 3 else np.shape(value)[1]


def by_path(
    parts: Structure, inputs: Any, axes: tuple[int, ...], aligned: Callable[[Any, str], tuple[Any, int | None]]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Return path -> values, and how many steps each of the user's arrays has."""
    given = named(parts, inputs)
    found: dict[str, np.ndarray] = {}
    lengths: dict[str, int] = {}
    for name, value in given.items():
        bundle = parts.end(name, "input_var")
        own, count = aligned(value, f"inputs of {name!r}")
        rows = _rows(name, own, bundle.size, axes)
        if rows.ndim:
            lengths[str(name)] = rows.shape[-2] if count is None else count
        for path, start, stop in bundle.spans():
            if path in found:
                raise PathError(f"inputs: {path!r} is fed twice.")
            found[path] = rows if rows.ndim == 0 or rows.shape[-1] == 1 else rows[..., start:stop]
    return found, lengths


def named(parts: Structure, inputs: Any) -> Mapping[Any, Any]:
    """Return inputs by the name of a node or variable: an array is that of the only source."""
    if inputs is None or isinstance(inputs, Mapping):
        return inputs or {}
    sources = parts.loose("input_var")
    if len(sources) > 1:
        raise PathError(
            f"inputs: the network has {len(sources)} sources, {', '.join(sources)}; give a dict such as"
            f" {{{sources[0]!r}: values}}."
        )
    parts.required("input_var")
    return {sources[0]: inputs}


def _rows(name: object, value: Any, size: int, axes: tuple[int, ...]) -> np.ndarray:
    refuse_masked(value, f"inputs of {name!r}")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(
            f"inputs of {name!r} are arrays of different lengths. A run is one trial; trials of unequal length are"
            " taken, as a list, where there are targets."
        ) from None
    if array.dtype.kind not in "biufc":
        raise ShapeError(f"inputs of {name!r} must be numbers, got {type(value).__name__}.")
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim not in axes or (array.ndim and array.shape[-1] not in (1, size)):
        trials = f", (trials, steps, {size})" if 3 in axes else ""
        hint = f" For {len(array)} trials at once say trials={len(array)}." if array.ndim == 3 and not trials else ""
        raise ShapeError(
            f"inputs of {name!r} have shape {np.shape(value)}, expected (steps, {size}){trials}, or 1 in place of"
            f" {size} for all units alike.{hint}"
        )
    return array


def _count(lengths: Mapping[str, int], steps: int | None) -> int:
    counts = set(lengths.values())
    if steps is not None:
        counts.add(whole_number(steps, "steps", 1))
    if not counts:
        raise ShapeError("nothing tells the number of steps: give inputs of shape (steps, units), or steps=1000.")
    if len(counts) > 1 or 0 in counts:
        each = ", ".join(f"{name!r} has {n}" for name, n in lengths.items())
        also = f"; steps={steps}" if steps is not None else ""
        raise ShapeError(f"inputs must all have the same number of steps >= 1: {each}{also}.")
    return counts.pop()


def recordings(
    network: Network, record_vars: Any, record_output: bool = True
) -> tuple[dict[str, list[str]], set[str]]:
    """Say what is recorded: name -> paths, and of which names the mean over the units is wanted."""
    parts = network._parts
    names: dict[str, list[str]] = {}
    means: set[str] = set()
    if record_output and network.has_groups:
        names |= {name: [path] for name, path in network.runner.compiled.watched().items()}
    if record_output and (parts.nodes or not network.has_groups):
        names["out"] = list(parts.required("output_var").paths)
        sinks = parts.loose("output_var")
        if len(sinks) > 1:
            each = {label: list(parts.end(label, "output_var").paths) for label in sinks}
            names |= each | {"out": names["out"]}
    for label, node in parts.nodes.items():
        names |= {f"{label}/{name}": list(node.find(name).paths) for name in node.record}
    for name, what in _wanted(record_vars):
        path, mean = _path(what)
        names[name] = _find(network, path)
        if mean:
            means.add(name)
    if not names:
        how = ", give a group a Recorder" if network.has_groups else ""
        raise OptionError(f"nothing is recorded: give record_vars{how}, or leave record_output as it is.")
    return names, means


def _wanted(record_vars: Any) -> Iterable[tuple[str, Any]]:
    if record_vars is None:
        return []
    if isinstance(record_vars, Mapping):
        return [(str(name), what) for name, what in record_vars.items()]
    if isinstance(record_vars, str) or not isinstance(record_vars, Iterable):
        raise OptionError(
            f"record_vars: expected a list such as [('node', 'operator/variable')] or a dict of name -> path, got"
            f" {record_vars!r}."
        )
    return [(_path(what)[0], what) for what in record_vars]


def _path(what: Any) -> tuple[str, bool]:
    """Read one entry of `record_vars`: a path, `(node, variable)` or `(node, variable, mean)`."""
    if isinstance(what, str):
        return what, False
    parts = list(what) if isinstance(what, tuple | list) else []
    if len(parts) in (2, 3) and all(isinstance(p, str) for p in parts[:2]) and all(p in (0, 1) for p in parts[2:]):
        return f"{parts[0]}/{parts[1]}", len(parts) == 3 and bool(parts[2])
    raise OptionError(
        f"record_vars: expected ('node', 'operator/variable'), ('node', 'operator/variable', True) for the mean over"
        f" the units, or a path, got {what!r}."
    )


def _find(network: Network, path: str) -> list[str]:
    parts = network._parts
    if network.is_of_groups(path):
        return [target.path for target in network.program.layout.resolve(path)]
    if any(path.startswith(f"{label}/") for label in parts.all_edges()):
        return [path]  # a variable on the way of an edge, which the engine knows by the same path
    return list(parts.owner(path).find(path, what="record_vars").paths)


def _averaged(result: Result, means: set[str]) -> Result:
    if not means:
        return result
    data = {k: v.mean(axis=-1, keepdims=True) if k in means else v for k, v in result.data.items()}
    labels = {k: [f"mean of {k}"] if k in means else v for k, v in result.labels.items()}
    return replace(result, data=data, labels=labels)


def whole_number(value: object, what: str, least: int) -> int:
    """Return a whole number that is at least `least`, or say what was got."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise TimeError(f"{what} must be a whole number of steps >= {least}, got {value!r}.")
    return int(value)


def check_state(program: Program, snapshot: object, dt: float) -> Snapshot:
    """Return a state if it belongs to the program, or say why not."""
    if not isinstance(snapshot, Snapshot):
        raise OptionError(f"state: expected the `final` of an earlier run, got {type(snapshot).__name__}.")
    return starting_point(program, snapshot, dt, None, {})


def with_states(program: Program, snapshot: Snapshot, values: Mapping[str, object]) -> Snapshot:
    """Return a state with some variables changed, path -> number or one per unit."""
    state = dict(snapshot.state)
    for path, value in values.items():
        for target, part in program.split(path, value):
            state[target.key] = np.array(state[target.key])
            state[target.key][target.index] = part  # pyright: ignore[reportArgumentType]
    return replace(snapshot, state=state, end=None)  # the last row is not to be computed again
