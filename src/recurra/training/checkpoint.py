"""A training in a file, so that one that was killed goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.engine import Program
from recurra.engine.store import write_atomically
from recurra.errors import StoreError
from recurra.files import read_arrays, refusing
from recurra.training.history import History
from recurra.training.parameters import Parameters
from recurra.training.trials import Trials

KIND = "recurra.Training"
TREES = ("free", "momenta", "good", "best")
NUMBERS = ("epoch", "updates", "best_epoch", "stopped")


def describe(
    settings: Mapping[str, object], program: Program, parameters: Parameters, data: tuple[Trials | None, ...]
) -> dict[str, str]:
    """Say in words and digests what a training is, so that another one is not taken for it."""
    told = {name: str(value) for name, value in settings.items()}
    told["train"] = str({p: type(c).__name__ if c else None for p, c in parameters.constraints.items()})
    told["program"] = _digest([*program.params.items(), *program.state.items()])
    arrays = [item for trials in data if trials is not None for item in _arrays(trials)]
    return told | {"data": _digest(arrays)}


def _arrays(trials: Trials) -> list[tuple[str, np.ndarray]]:
    return [*trials.inputs.items(), ("targets", trials.targets), ("mask", trials.mask)]


def _digest(items: list[tuple[str, np.ndarray]]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name, array in items:
        found.update(f"{name} {np.shape(array)} {np.asarray(array).dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """Write and read the state of a training between two epochs.

    Arguments:
        path: the file.
        told: what the training is.
        resume: whether to go on from the file if it exists.
    """

    path: Path
    told: Mapping[str, str]
    resume: bool

    def write(self, fit: Any) -> None:
        """Write everything that changes from epoch to epoch; whole or not at all."""
        arrays = {"losses": np.array(fit.history.losses)}
        for name in TREES:
            leaves = jax.tree.leaves(getattr(fit, name))
            arrays |= {f"{name}:{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        arrays |= {f"column:{name}": fit.history[name] for name in fit.history}
        meta = {"kind": KIND, "told": dict(self.told)} | {name: getattr(fit, name) for name in NUMBERS}
        write_atomically(self.path, lambda file: np.savez(file, meta=np.array(json.dumps(meta)), **arrays))  # type: ignore

    def read(self, fit: Any) -> None:
        """Put the state of the file into a fresh training, if it is to be resumed and there is one.

        Raises:
            StoreError: the file is of another training, or damaged.
        """
        if not self.resume or not self.path.exists():
            return
        meta, arrays = read_arrays(self.path, KIND)
        found = meta.get("told")
        if not isinstance(found, dict):
            raise StoreError(f"{self.path}: not a complete checkpoint.")
        other = [name for name in self.told if found.get(name) != self.told[name]]
        if other:
            name, also = other[0], f" (also {', '.join(other[1:])})" if other[1:] else ""
            raise StoreError(
                f"{self.path}: it is the checkpoint of another training: {name} was {found.get(name)}, now it is"
                f" {self.told[name]}{also}. Resume with the same"
                " settings, or take another path."
            )
        with refusing(self.path, "not a complete checkpoint"):
            for name in TREES:
                leaves, tree = jax.tree.flatten(getattr(fit, name))
                read = [jnp.asarray(arrays[f"{name}:{i}"], leaf.dtype) for i, leaf in enumerate(leaves)]
                if [r.shape for r in read] != [leaf.shape for leaf in leaves]:
                    raise StoreError(f"{self.path}: the shapes of {name} do not fit this training.")
                setattr(fit, name, jax.tree.unflatten(tree, read))
            fit.history = History(
                {name: arrays[f"column:{name}"].tolist() for name in fit.history}, arrays["losses"].tolist()
            )
            for name in NUMBERS:
                setattr(fit, name, meta[name])
