"""Choose what is recorded: any variable, by path, with a name of the user's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType

import jax.numpy as jnp
import numpy as np

from recurra.engine.layout import Target
from recurra.engine.program import Program
from recurra.errors import OptionError

RECORDABLE = ("state", "algebraic", "input", "parameter", "emitted")


@dataclass(frozen=True)
class Track:
    """Record units of one storage array; the static half of a recording, so it knows nothing of names.

    Arguments:
        key: storage key of the array.
        whole: whether all units are recorded, in order, so that nothing is picked.
        is_complex: whether the values are complex.
        emitted: whether it is what a rule puts out during a step.
        early: whether a row of several steps has that of the first; else that of the last.
        dtype: type of the values, if it is not that of the run.
    """

    key: str
    whole: bool
    is_complex: bool
    emitted: bool = False
    dtype: str = ""
    early: bool = False


@dataclass(frozen=True)
class Recording:
    """Say which units of which arrays are recorded, and under which names the user finds them.

    Arguments:
        tracks: what the loop records.
        units: for each track, the units it records.
        pieces: name -> for each piece its track and the columns there, laid side by side; `...` for all of them.
        labels: name -> the path of every unit.
    """

    tracks: tuple[Track, ...]
    units: tuple[np.ndarray, ...]
    pieces: Mapping[str, list[tuple[int, np.ndarray | EllipsisType]]]
    labels: Mapping[str, list[str]]

    def named(self, tracks: Sequence) -> dict:
        """Sort what the tracks recorded, `(..., rows, units)`, NumPy or JAX, by the user's names."""
        found = {}
        for name, pieces in self.pieces.items():
            parts = [tracks[i] if columns is ... else tracks[i][..., columns] for i, columns in pieces]
            join = np.concatenate if isinstance(parts[0], np.ndarray) else jnp.concatenate
            found[name] = parts[0] if len(parts) == 1 else join(parts, axis=-1)
        return found


def make_recording(program: Program, record: object) -> Recording:
    """Read what the user wants recorded.

    Arguments:
        record: `None` for every state variable, a path, a list of paths, or a dict of name -> path or list of paths.

    Raises:
        PathError: a path matches nothing.
        OptionError: `record` is of another kind, or a name is used twice.
    """
    wanted: dict[str, list[tuple[str, np.ndarray]]] = {}
    labels: dict[str, list[str]] = {}
    asked: dict[str, list[np.ndarray]] = {}
    shape_of = program.system.shape_of

    def size_of(key: str) -> int:
        return math.prod(shape_of[key])

    for name, paths in _wanted(program, record).items():
        targets = [t for path in paths for t in program.layout.resolve(path)]
        for target in targets:
            constant = target.kind == "parameter" and len(shape_of[target.key]) > 1
            if target.kind not in RECORDABLE or constant:
                what = "a matrix" if constant else f"of kind {target.kind}"
                raise OptionError(f"record: {target.path!r} is {what} and does not change with time.")
            units = np.arange(size_of(target.key))
            units = units if target.index is ... else units[target.index]
            wanted.setdefault(name, []).append((target.key, units))
            asked.setdefault(target.key, []).append(units)
        labels[name] = [label for target in targets for label in unit_labels(target)]
    keys = list(asked)
    units_of = [_in_order(asked[key]) for key in keys]
    emitted = {key: (dtype, early) for rule in program.system.rules for _, key, dtype, early in rule.emits}
    complex_keys, plain = program.system.complex_keys, ("", False)
    tracks = tuple(
        Track(key, len(units) == size_of(key), key in complex_keys, key in emitted, *emitted.get(key, plain))
        for key, units in zip(keys, units_of, strict=True)
    )
    place = {key: i for i, key in enumerate(keys)}
    pieces = {
        name: [(place[key], _columns(units_of[place[key]], units)) for key, units in _joined(parts)]
        for name, parts in wanted.items()
    }
    return Recording(tracks, tuple(u.astype(np.int32) for u in units_of), pieces, labels)


def _in_order(pieces: list[np.ndarray]) -> np.ndarray:
    """Return every unit once; the pieces of neighbours, as a rule, are in order already."""
    units = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return units if (units[1:] > units[:-1]).all() else np.unique(units)


def _columns(track: np.ndarray, units: np.ndarray) -> np.ndarray | EllipsisType:
    """Say where units stand in a track."""
    return ... if units is track or np.array_equal(units, track) else np.searchsorted(track, units)


def _joined(parts: list[tuple[str, np.ndarray]]) -> list[tuple[str, np.ndarray]]:
    """Join neighbouring pieces of the same array."""
    found = []
    for key, group in itertools.groupby(parts, key=lambda part: part[0]):
        pieces = [units for _, units in group]
        found.append((key, pieces[0] if len(pieces) == 1 else np.concatenate(pieces)))
    return found


def _wanted(program: Program, record: object) -> dict[str, list[str]]:
    if record is None:
        nodes = [t.path for t in program.layout.targets(("state",)) if "->" not in t.path and t.index is not ...]
        return {path: [path] for path in nodes or program.layout.names(("state", "algebraic"))}
    if isinstance(record, str):
        return {record: [record]}
    if isinstance(record, Mapping):
        for name, paths in record.items():
            if not paths or not isinstance(paths, Sequence):
                raise OptionError(f"record: {name!r} must name a path or a list of paths, got {paths!r}.")
        return {str(name): [p] if isinstance(p, str) else list(p) for name, p in record.items()}
    if isinstance(record, Sequence):
        if len(set(map(str, record))) < len(record):
            raise OptionError(f"record: a path is given twice in {list(record)}.")
        return {str(path): [path] for path in record}  # type: ignore[misc]
    raise OptionError(
        f"record: expected None, a path, a list of paths or a dict of name -> path, got {type(record).__name__}."
    )


def unit_labels(target: Target) -> list[str]:
    """Name every unit of a place: the path alone for one unit, with a number in brackets for several."""
    if target.size == 1:
        return [target.path]
    return [f"{target.path}[{i}]" for i in range(target.size)]
