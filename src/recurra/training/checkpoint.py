"""A training in a file, so that one that was killed goes on as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.engine.identity import Identity, differences, listed
from recurra.engine.store import write_atomically
from recurra.errors import StoreError
from recurra.files import read_arrays, refusing
from recurra.training.history import History

KIND = "recurra.Training"
TREES = ("free", "momenta", "good", "best")
NUMBERS = ("epoch", "updates", "best_epoch", "stopped")


@dataclass(frozen=True)
class Checkpoint:
    """Write and read the state of a training between two epochs.

    Arguments:
        path: the file.
        identity: what the training is, so that no other one goes on from the file.
        resume: whether to go on from the file if it exists.
    """

    path: Path
    identity: Identity
    resume: bool

    def write(self, fit: Any) -> None:
        """Write everything that changes from epoch to epoch; whole or not at all."""
        arrays = {"losses": np.array(fit.history.losses)}
        for name in TREES:
            leaves = jax.tree.leaves(getattr(fit, name))
            arrays |= {f"{name}:{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        arrays |= {f"column:{name}": fit.history[name] for name in fit.history}
        meta = {"kind": KIND, "identity": dict(self.identity)} | {name: getattr(fit, name) for name in NUMBERS}
        write_atomically(self.path, lambda file: np.savez(file, meta=np.array(json.dumps(meta)), **arrays))  # type: ignore

    def read(self, fit: Any) -> None:
        """Put the state of the file into a fresh training, if it is to be resumed and there is one.

        Raises:
            StoreError: the file is of another training, or damaged.
        """
        if not self.resume or not self.path.exists():
            return
        try:
            meta, arrays = read_arrays(self.path, KIND)
        except StoreError as error:
            raise StoreError(f"{error} Delete it to train from the beginning, or take another path.") from None
        found = meta.get("identity")
        if found != self.identity:
            before = {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
            raise StoreError(
                f"{self.path}: it is the checkpoint of another training; what differs:"
                f" {listed(differences(before, self.identity))}. Resume with the same settings, or take another path."
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
