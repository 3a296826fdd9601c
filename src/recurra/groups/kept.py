"""Keep parameters where the engine computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from recurra.groups.agreement import identical
from recurra.tracing import Traced


class KeptParams:
    """Keep parameters, and what is derived from them, where the engine computes, from run to run.

    Arguments:
        traced: what has the parameters.
    """

    def __init__(self, traced: Traced):
        self.traced = traced
        self._known: dict[str, np.ndarray] = {}
        self._entries: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # of matrices that are mostly 0: places and bits
        self._kept: dict[str, Any] = {}
        self._derived: dict[str, Any] = {}
        self._compared: dict[str, np.ndarray] = {}  # the same as before, as was just found

    def _changed(self, params: Mapping[str, np.ndarray]) -> list[str]:
        compared, self._compared = self._compared, {}
        rest = {p: v for p, v in params.items() if compared.get(p) is not v}
        return [p for p, v in rest.items() if p not in self._known or not self._same(p, v)]

    def _same(self, path: str, value: np.ndarray) -> bool:
        entries, known = self._entries.get(path), self._known[path]
        if entries is None or value.shape != known.shape or value.dtype != known.dtype or not value.flags.c_contiguous:
            return identical(value, known)
        # If as many entries as before are not 0, and those that were not are what they were, nothing has changed; this
        # reads one matrix instead of two.
        bits, (places, found) = value.reshape(-1).view(f"i{value.dtype.itemsize}"), entries
        return np.count_nonzero(bits) == len(places) and np.array_equal(bits[places], found)

    def fits(self, params: Mapping[str, np.ndarray]) -> bool:
        """Tell whether the lists of entries are long enough for these parameters."""
        if not self._changed({p: params[p] for p in self.traced.widths}):
            self._compared = {p: params[p] for p in self.traced.widths}
            return True
        return self.traced.fits(params)

    def on_device(self, params: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return the parameters as arrays of JAX; those that have not changed are the same as before."""
        changed = self._changed(params)
        with jax.enable_x64(True):
            for path in changed:
                # A copy, since JAX may look at this memory for as long as it is used.
                self._known[path] = params[path].copy(order="C")
                self._kept[path] = jax.device_put(self._known[path])
                if path in self.traced.widths:
                    bits = self._known[path].reshape(-1).view(f"i{params[path].dtype.itemsize}")
                    places = np.flatnonzero(bits)
                    self._entries[path] = places, bits[places]
            if changed or not self._derived:
                self._derived = {k: jax.device_put(v) for k, v in self.traced.derive(self._kept).items()}
        return {**self._kept, "derived:": self._derived}
