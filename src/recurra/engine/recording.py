"""Choose what is recorded: any variable, by path, with a name of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recurra.engine.layout import Target
from recurra.engine.program import Program
from recurra.errors import OptionError

RECORDABLE = ("state", "algebraic", "input", "parameter")


@dataclass(frozen=True)
class Channel:
    """Record one name: pieces of storage arrays, laid side by side.

    Arguments:
        name: the name under which the user finds it.
        keys: storage keys of the pieces.
        whole: for each piece, whether it is all units in order, so that nothing is picked.
        is_complex: whether the result is complex.
    """

    name: str
    keys: tuple[str, ...]
    whole: tuple[bool, ...]
    is_complex: bool


@dataclass(frozen=True)
class Recording:
    """Hold the channels, which units each piece picks, and the labels of the units."""

    channels: tuple[Channel, ...]
    picks: dict[str, list[np.ndarray]]
    labels: dict[str, list[str]]


def make_recording(program: Program, record: object) -> Recording:
    """Read what the user wants recorded.

    Arguments:
        record: `None` for every state variable, a path, a list of paths, or a dict of name -> path or list of paths.

    Raises:
        PathError: a path matches nothing.
        OptionError: `record` is of another kind, or a name is used twice.
    """
    channels, picks, labels = [], {}, {}
    for name, paths in _wanted(program, record).items():
        targets = [t for path in paths for t in program.layout.resolve(path)]
        for target in targets:
            if target.kind not in RECORDABLE:
                raise OptionError(f"record: {target.path!r} is of kind {target.kind} and does not change with time.")
        pieces: list[tuple[str, np.ndarray]] = []
        for target in targets:
            units = np.arange(program.system.shape_of[target.key][0])[target.index]  # type: ignore[index]
            if pieces and pieces[-1][0] == target.key:
                pieces[-1] = (target.key, np.concatenate([pieces[-1][1], units]))
            else:
                pieces.append((target.key, units))
        whole = tuple(
            np.array_equal(units, np.arange(program.system.shape_of[key][0])) for key, units in pieces
        )
        keys = tuple(key for key, _ in pieces)
        channels.append(Channel(name, keys, whole, any(k in program.system.complex_keys for k in keys)))
        picks[name] = [units.astype(np.int32) for _, units in pieces]
        labels[name] = [label for target in targets for label in unit_labels(target)]
    return Recording(tuple(channels), picks, labels)


def _wanted(program: Program, record: object) -> dict[str, list[str]]:
    if record is None:
        nodes = [t.path for t in program.layout.targets(("state",)) if "->" not in t.path]
        return {path: [path] for path in nodes or program.layout.names(("state", "algebraic"))}
    if isinstance(record, str):
        return {record: [record]}
    if isinstance(record, Mapping):
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
