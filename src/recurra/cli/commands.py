"""What each command does."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.cli.waveforms import waveform
from recurra.errors import MissingPackageError, OptionError, PathError, TimeError, unknown

if TYPE_CHECKING:
    from recurra.circuits import CircuitTemplate
    from recurra.engine import Result

PLOTS = (".png", ".pdf", ".svg")
INTERRUPTED = 130
TABLES = (".nc", ".npz", ".csv")


def templates(options: argparse.Namespace) -> int:
    """Print one line for each template of the library: path, kind, and what it is."""
    from recurra.cli.listing import library

    entries = [e for e in library() if options.search.lower() in " ".join(e).lower()]
    if not entries:
        words = {part for entry in library() for part in entry[0].split(".")}
        raise PathError(unknown("template", options.search, sorted(words)))
    width = max(len(path) for path, _, _ in entries)
    for path, kind, line in entries:
        print(f"{path:<{width}}  {kind:<9} {line}".rstrip())
    return 0


def describe(options: argparse.Namespace) -> int:
    """Print what a template holds."""
    from recurra.circuits import from_yaml

    print(from_yaml(options.path).describe())
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print what one step computes."""
    from recurra.engine import lower

    print(lower(load(options.path).to_graph()).explain(options.dt))
    return 0


def run(options: argparse.Namespace) -> int:
    """Simulate, print a summary, and write what was asked."""
    every = rows_every(options)
    plot = writable(options.plot, PLOTS, "--plot")
    save = writable(options.save, TABLES, "--save")
    circuit, inputs = model_of(options)

    from recurra.engine import lower, simulate

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        result = simulate(
            lower(circuit.to_graph()),
            options.duration,
            inputs=inputs,
            every=every,
            **run_options(options),
        )
    for warning in said:
        print(f"recurra: warning: {warning.message}", file=sys.stderr)
    summary(result)
    if save is not None:
        if result.interrupted and save.suffix == ".csv":  # which has no place for a mark
            save = save.with_suffix(".interrupted.csv")
        result.save(save)
        print(f"saved {save}")
    if plot is not None:
        draw(result, plot, options.path)
        print(f"drew {plot}")
    return INTERRUPTED if result.interrupted else 0


def model_of(options: argparse.Namespace) -> tuple[CircuitTemplate, dict[str, np.ndarray]]:
    """Return the circuit with the numbers that were given, and what it is driven with."""
    circuit = load(options.path).update_var(node_vars=dict(value_of(word) for word in options.values))
    inputs = {}
    for word in options.input:
        path, text = split(word, "--input", "PATH=WAVE")
        inputs[path] = waveform(text, options.duration, options.dt, where=path)
    return circuit, inputs


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a run and a sweep hand on in the same way."""
    return {
        "dt": options.dt,
        "solver": options.solver,
        "record": recorded(options.record),
        "seed": options.seed,
        "precision": options.precision,
        "progress": not options.no_progress,
    }


def load(path: str) -> CircuitTemplate:
    """Load a circuit; a node is made into a circuit of that one node, called `node`."""
    from recurra.circuits import CircuitTemplate, NodeTemplate, from_yaml

    template = from_yaml(path)
    if isinstance(template, NodeTemplate):
        return CircuitTemplate(template.name, nodes={"node": template})
    if not isinstance(template, CircuitTemplate):
        kind = type(template).__name__
        raise OptionError(f"{path}: a {kind} cannot be run by itself; give a circuit or a node.")
    return template


def rows_every(options: argparse.Namespace) -> int:
    """Return how many steps lie between recorded rows."""
    if options.every is not None:
        if options.every < 1:
            raise OptionError(f"--every: expected at least 1, got {options.every}.")
        return options.every
    if options.sampling is None:
        return 1
    ratio = options.sampling / options.dt if options.dt else math.nan
    if not (math.isfinite(ratio) and ratio > 0 and options.sampling > 0):
        given = f"{options.sampling} and {options.dt}"
        raise TimeError(f"--sampling and --dt: expected positive times, got {given}.")
    every = round(ratio)
    if every < 1 or abs(ratio - every) > 1e-6 * ratio:
        near = sorted({max(1, math.floor(ratio)), math.ceil(ratio)})
        times = " or ".join(f"{n * options.dt:g}" for n in near)
        given = f"{options.sampling:g} is no multiple of dt = {options.dt:g}"
        raise TimeError(f"--sampling: {given}; near are {times}.")
    return every


def split(word: str, option: str, form: str) -> tuple[str, str]:
    """Split `left=right`, both of which must be there."""
    left, sign, right = word.partition("=")
    if not (left and sign and right):
        raise OptionError(f"{option}: expected {form}, got {word!r}.")
    return left, right


def value_of(word: str) -> tuple[str, float | complex | np.ndarray]:
    """Read `path=value` with a number, a complex number, or one number for each unit."""
    path, text = split(word, "--set", "PATH=VALUE")
    found: list[Any] = []
    for part in text.split(","):
        kinds: tuple[Callable[[str], Any], ...] = (float, complex)
        for kind in kinds:
            with contextlib.suppress(ValueError):
                found.append(kind(part))
                break
        else:
            raise OptionError(f"--set {path}: expected a number, got {part!r}.")
    return path, found[0] if len(found) == 1 else np.array(found)


def recorded(words: list[str]) -> dict[str, str] | None:
    """Read `name=path` or `path`; a bare path is its own name."""
    names: dict[str, str] = {}
    for word in words:
        name, path = split(word, "--record", "[NAME=]PATH") if "=" in word else (word, word)
        if name in names:
            raise OptionError(f"--record: the name {name!r} is given twice.")
        names[name] = path
    return names or None


def writable(name: str | None, suffixes: tuple[str, ...], option: str) -> Path | None:
    """Check before the run, not after it, that the file can be written."""
    if name is None:
        return None
    path = Path(name)
    if path.suffix not in suffixes:
        raise OptionError(f"{option}: {name!r} must end in one of {', '.join(suffixes)}.")
    if path.is_dir():
        raise OptionError(f"{option}: {name!r} is a folder.")
    if not path.parent.is_dir():
        raise PathError(f"{option}: there is no folder {str(path.parent)!r}; make it first.")
    if not os.access(path.parent, os.W_OK):
        raise PathError(f"{option}: the folder {str(path.parent)!r} cannot be written to.")
    if path.suffix == ".nc":
        try:
            import h5netcdf  # noqa: F401 # pyright: ignore[reportMissingImports]
            import h5py  # noqa: F401 # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingPackageError(f"{option}: .nc needs {error.name}: pip install 'recurra[netcdf]'") from None
    return path


def draw(result: Result, path: Path, title: str) -> None:
    """Draw the recorded variables into a file, without a display; no half-drawn file is ever seen at `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from recurra.plotting import plot_traces

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    plot_traces(result, ax=axes)
    axes.set_title(title.rpartition("/")[2])
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(beside, dpi=150)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def summary(result: Result) -> None:
    """Print one line for each recorded variable."""
    frame = result.to_dataframe()
    names = ["/".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in frame.columns]
    width = max(map(len, [*names, "variable"]))
    print(f"{'variable':<{width}}  {'first':>12}  {'last':>12}  {'lowest':>12}  {'highest':>12}")
    for position, name in enumerate(names):
        values = np.real(frame.iloc[:, position].to_numpy())
        numbers = (values[0], values[-1], values.min(), values.max())
        print(f"{name:<{width}}  " + "  ".join(f"{n:12.6g}" for n in numbers))
    print(f"{len(frame)} rows from {frame.index[0]:g} to {frame.index[-1]:g}")
