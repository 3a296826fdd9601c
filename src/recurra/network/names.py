"""One name for what is trained: in `train`, in `penalties`, in the parameters of the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import PathError, unknown
from recurra.network.structure import WEIGHTS

if TYPE_CHECKING:
    from recurra.network.network import Network
    from recurra.training import Training



class Named(Mapping[str, np.ndarray]):
    """Map the names that a user gave to values; the paths of the engine lead to them as well.

    Arguments:
        values: path -> value.
        names: name -> the paths that it stands for.

    >>> found = Named({"n->n/weight": np.ones((2, 2))}, {"n/weights": ("n->n/weight",)})
    >>> list(found), found["n/weights"] is found["n->n/weight"]
    (['n/weights'], True)
    """

    def __init__(self, values: Mapping[str, np.ndarray], names: Mapping[str, tuple[str, ...]]):
        self.values_by_path = dict(values)
        self.names = {name: paths for name, paths in names.items() if all(path in values for path in paths)}
        meant = {path for paths in self.names.values() for path in paths}
        # What has no name of the user's is called by its path: the readout of e-prop.
        self.names |= {path: (path,) for path in values if path not in meant}

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self.names:
            parts = [self.values_by_path[path] for path in self.names[name]]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        if name in self.values_by_path:
            return self.values_by_path[name]
        head, _, last = str(name).rpartition("/")
        for label in (head, f"{head}->{head}") if last in WEIGHTS else ():  # of an edge, or of a node to itself
            if f"{label}/weight" in self.values_by_path:
                return self.values_by_path[f"{label}/weight"]
        raise PathError(unknown("parameter", name, [*self.names, *self.values_by_path]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return repr(dict(self))


def called(found: Training, names: Mapping[str, tuple[str, ...]]) -> Training:
    """Return the outcome of a training with its parameters under the names that the user gave them."""
    return replace(found, params=Named(found.params, names))


def by_paths(network: Network, kind: str, coefficients: Any, names: Mapping[str, tuple[str, ...]]) -> Any:
    """Return the coefficients of a kind of penalty by path; they may be given by any name that leads there.

    Arguments:
        network: the network.
        kind: of the penalty.
        coefficients: name -> number.
        names: the names under which parameters are trained.
    """
    if not isinstance(coefficients, Mapping):
        return coefficients
    found: dict[str, Any] = {}
    for name, coefficient in coefficients.items():
        paths = names.get(name) or _paths(network, str(name))
        if twice := sorted(found.keys() & set(paths)):
            raise PathError(f"penalties: {kind!r} of {name!r} is given twice, since it is {twice[0]!r} as well.")
        found |= dict.fromkeys(paths, coefficient)
    return found


def _paths(network: Network, name: str) -> tuple[str, ...]:
    """Return the paths of the engine that a name leads to."""
    if network.is_of_groups(name):
        return tuple(target.path for target in network.program.layout.resolve(name))
    parts = network._parts
    if parts.delayed(name, None) is not None:
        return (name,)
    if name in parts.nodes:
        return parts.end(name, "output_var").paths
    edge, bundle = parts.place(name, None)
    return tuple(bundle.paths) if edge is None else tuple(edge.paths)
