"""Run a circuit on the engine and lay out what comes back as a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import errors
from recurra.circuits.circuit import CircuitTemplate
from recurra.circuits.templates import expect_mapping

if TYPE_CHECKING:
    import pandas

    from recurra.engine import Program, Result

BACKENDS = ("default", "jax", "numpy", "scipy")
_REPLACED = {
    "vectorize": "nodes with equal equations are always computed together; leave it out",
    "verbose": "use progress=False",
    "clear": "nothing is kept between runs; leave it out",
    "in_place": "a template never changes; leave it out",
    "float_precision": "use precision='float64' or precision='float32'",
    "decorator": "everything is compiled already; leave it out",
    "file_name": "no file is written; leave it out",
    "to_file": "no file is written; leave it out",
    "adaptive": "use solver='scipy', 'tsit5', 'dopri8' or 'kvaerno5'",
    "matrix_sparseness": "sparse or dense is chosen by the number of edges; leave it out",
    "apply_kwargs": "use update_var before the run",
}
_UNIT = re.compile(r"(.*)\[(\d+)\]")


def run(
    circuit: CircuitTemplate,
    simulation_time: float,
    step_size: float,
    inputs: Mapping[str, object] | None,
    outputs: Mapping[str, str] | Sequence[str] | str | None,
    sampling_step_size: float | None,
    cutoff: float,
    solver: str | None,
    backend: str | None,
    initial: Mapping[str, object] | None = None,
    **options: Any,
) -> pandas.DataFrame:
    """Run a circuit; see :meth:`CircuitTemplate.run`."""
    from recurra.engine import simulate
    from recurra.engine.reference import simulate as simulate_in_numpy

    backend, solver, options = check_options(backend, solver, options)
    common: dict[str, Any] = {
        "dt": step_size,
        "solver": solver,
        "inputs": inputs,
        "record": outputs,
        "every": rows_apart(sampling_step_size, step_size),
        "cutoff": cutoff,
    }
    if backend == "numpy":
        _check_numpy(options)
        started = circuit.update_var(node_vars=_states(circuit.program, initial, circuit.name))
        result = simulate_in_numpy(started.to_graph(), simulation_time, **common, **options)
    else:
        program = circuit.program.update(_states(circuit.program, initial, circuit.name))
        result = simulate(program, simulation_time, **common, **options)
    return to_table(result)


def integrate(circuit: CircuitTemplate | str, **options: Any) -> pandas.DataFrame:
    """Load a circuit if a path is given, and run it.

    Arguments:
        circuit: a circuit, or the path of one.
        **options: as for :meth:`CircuitTemplate.run`.

    Returns:
        The table that `run` returns.

    >>> integrate("model_templates.oscillators.vanderpol.vdp", simulation_time=1.0, step_size=0.1).shape
    (10, 2)
    """
    if isinstance(circuit, str):
        circuit = CircuitTemplate.from_yaml(circuit)
    return circuit.run(**options)


def check_options(
    backend: str | None, solver: str | None, options: Mapping[str, Any]
) -> tuple[str, str | None, dict[str, Any]]:
    """Refuse old keywords and unknown back-ends; return back-end, solver and options to use."""
    for key in options:
        if key in _REPLACED:
            raise errors.OptionError(f"{key!r} is no option here: {_REPLACED[key]}.")
    backend = "default" if backend is None else backend
    if backend not in BACKENDS:
        raise errors.OptionError(errors.unknown("backend", backend, BACKENDS))
    if backend == "scipy":
        if solver not in (None, "scipy"):
            raise errors.OptionError(
                f"backend 'scipy' has the solver 'scipy' only, got {solver!r}; choose its `method`."
            )
        return "default", "scipy", dict(options)
    return backend, solver, dict(options)


def rows_apart(sampling_step_size: float | None, step_size: float) -> int:
    """Return how many steps there are from row to row."""
    from recurra.engine.grid import count_steps

    return 1 if sampling_step_size is None else count_steps(sampling_step_size, step_size, "sampling_step_size")


def _check_numpy(options: dict[str, Any]) -> None:
    options.pop("progress", None)
    if options.pop("precision", "float64") != "float64":
        raise errors.OptionError("backend 'numpy' computes in float64 only; leave precision out.")
    for key in options:
        if key not in ("seed", "history", "params"):
            known = ("seed", "history", "params", "initial")
            raise errors.OptionError(errors.unknown("option", key, known, "backend 'numpy'"))


def _states(program: Program, initial: Mapping[str, object] | None, where: str) -> Mapping[str, object]:
    """Check that what is to be set at the start are states."""
    values = expect_mapping(initial, f"{where}, initial", "{'node/op/v': 0.0}")
    for path in values:
        for target in program.layout.resolve(path):
            if target.kind != "state":
                raise errors.PathError(
                    f"{where}, initial: {path!r} is of kind {target.kind}, only a state has an initial value. "
                    + errors.unknown("state", path, program.layout.names(("state",)))
                )
    return values


def split_label(label: str) -> tuple[object, ...]:
    """Split the label of a unit for the columns of a table.

    >>> split_label("c/p/op/r"), split_label("p/op/r[3]")
    (('c', 'p', 'op/r'), ('p', 'op/r', 3))
    """
    match = _UNIT.fullmatch(label)
    path, unit = (match[1], (int(match[2]),)) if match else (label, ())
    parts = path.split("/")
    # The label of an edge holds the paths of its two ends; it stays in one piece.
    node = ["/".join(parts[:-2])] if "->" in path else parts[:-2]
    return (*node, "/".join(parts[-2:]), *unit)


def make_columns(tuples: Sequence[tuple[object, ...]]) -> pandas.Index:
    """Return column labels: flat if every tuple has one entry, else of several levels, short ones filled up."""
    import pandas

    depth = max((len(entry) for entry in tuples), default=1)
    if depth == 1:
        return pandas.Index([entry[0] for entry in tuples])
    return pandas.MultiIndex.from_tuples([(*entry, *[""] * (depth - len(entry))) for entry in tuples])


def to_table(result: Result) -> pandas.DataFrame:
    """Lay out the recordings of one run, a column for each unit."""
    import pandas

    tuples: list[tuple[object, ...]] = []
    for name in result:
        labels = result.labels[name]
        parts = [split_label(label) for label in labels]
        if len(parts) == 1:
            tuples.append((name,))
        elif len({part[:-1] for part in parts}) == 1 and isinstance(parts[0][-1], int):
            tuples += [(name, part[-1]) for part in parts]
        else:
            tuples += [(name, *part) for part in parts]
    index = pandas.Index(result.time, name="time")
    columns = make_columns(tuples)
    arrays = [np.asarray(result[name]) for name in result]
    if len({array.dtype for array in arrays}) == 1:
        table = pandas.DataFrame(np.concatenate(arrays, axis=1), index=index, columns=columns)
    else:
        table = pandas.concat([pandas.DataFrame(array, index=index) for array in arrays], axis=1)
        table.columns = columns
    table.attrs.update(result.marks)
    return table
