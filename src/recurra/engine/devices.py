"""Where a run computes: one device, or several that share its work."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recurra.errors import OptionError, ShapeError, unknown

AXIS = "device"


class Placement:
    """Put the numbers of a run where they are computed with.

    Over several devices the runs of a batch are spread, or else the rows `W[post]` of every weight matrix that can be
    cut into equal parts; XLA then exchanges what the parts need of each other in every step.

    Arguments:
        device: what the user gave: one device or a list.

    Raises:
        OptionError: there is no such device here.
    """

    def __init__(self, device: Any):
        several = list(device) if isinstance(device, list | tuple) else [device]
        self._devices = [find_device(each) for each in several]
        if isinstance(device, list | tuple) and (None in several or len(set(self._devices)) < max(len(several), 1)):
            raise OptionError(f"device: expected a list of different devices, such as jax.devices(), got {device!r}.")
        self._mesh = Mesh(np.array(self._devices), (AXIS,)) if len(self._devices) > 1 else None

    @property
    def platform(self) -> str:
        """Say on what a run computes, which decides the last digits."""
        first = self._devices[0] or (jax.config.jax_default_device or jax.devices()[0])  # pyright: ignore
        name = first if isinstance(first, str) else first.platform
        return name if self._mesh is None else f"{len(self._devices)} of {name}"

    def default(self) -> contextlib.AbstractContextManager:
        """Return the context in which arrays come to the device; of several, XLA chooses."""
        return contextlib.nullcontext() if self._mesh else jax.default_device(self._devices[0])

    def spread(
        self, params: dict[str, Any], state: Mapping[str, Any], batched: frozenset[str] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return parameters and state, cut over the devices.

        Arguments:
            params, state: by storage key.
            batched: what has a leading axis of runs, as all states have then; `None` outside of a batch.

        Raises:
            ShapeError: the runs cannot be cut into equal parts.
        """
        mesh, count = self._mesh, len(self._devices)
        if mesh is None:
            return params, dict(state)

        def put(value: Any, cut: bool) -> Any:
            sharding = NamedSharding(mesh, PartitionSpec(AXIS) if cut else PartitionSpec())
            return jax.tree.map(lambda each: jax.device_put(each, sharding), value)

        if batched is None:
            rows = {k for k, v in params.items() if np.ndim(v) == 2 and np.shape(v)[0] % count == 0}
            return {k: put(v, k in rows) for k, v in params.items()}, {k: put(v, False) for k, v in state.items()}
        runs = next(len(v) for v in state.values())
        if runs % count:
            raise ShapeError(f"batch: {runs} runs cannot be spread over {count} devices; make it a multiple.")
        return {k: put(v, k in batched) for k, v in params.items()}, {k: put(v, True) for k, v in state.items()}

    def gather(self, values: Any) -> Any:
        """Return arrays as this process can read them, wherever their parts lie."""
        return values if self._mesh is None else jax.tree.map(_whole, values)


def _whole(value: jax.Array) -> Any:
    if value.is_fully_addressable:
        return value
    if value.is_fully_replicated:
        return np.asarray(value.addressable_data(0))
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(value, tiled=True)


def find_device(device: Any) -> Any:
    """Return the device that a user names, `None` for JAX's own choice.

    Raises:
        OptionError: there is no such device here.
    """
    if device is None or isinstance(device, jax.Device):
        return device
    kind, _, number = str(device).partition(":")
    try:
        return {str(i): found for i, found in enumerate(jax.devices(kind))}[number or "0"]
    except (RuntimeError, KeyError):
        names = [f"{d.platform}:{d.id}" for d in jax.devices()]
        raise OptionError(unknown("device", device, names)) from None
