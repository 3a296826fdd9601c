"""Figures of spiking networks; each takes ax=None and returns the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import ShapeError
from recurra.rate.pictures import EXCITATORY, INHIBITORY, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recurra.spiking.network import SpikingNetwork
    from recurra.spiking.search import ScalingSearch


def plot_raster(
    network: SpikingNetwork, spikes: ArrayLike, *, start: float = 0.0, every: int = 1, ax: Axes | None = None
) -> Axes:
    """Draw every spike, excitatory units below and inhibitory ones above.

    Arguments:
        network: the network.
        spikes: `(steps, N)`.
        start: time of the first row, in ms.
        every: steps between rows.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        ShapeError: another number of units.
    """
    found = np.asarray(spikes)
    if found.ndim != 2 or found.shape[1] != network.N:
        raise ShapeError(f"spikes: got shape {found.shape}, expected (steps, {network.N}).")
    ax, dt = new_axes(ax), network.parameters.dt * every
    inhibitory = network.inh[:, 0]
    place = np.empty(network.N)
    place[np.argsort(inhibitory, kind="stable")] = np.arange(network.N)
    rows, units = np.nonzero(found)
    for name, members, colour in (("excitatory", ~inhibitory, EXCITATORY), ("inhibitory", inhibitory, INHIBITORY)):
        own = members[units]
        ax.plot(
            start + dt * (rows[own] + 1), place[units[own]], ".", ms=1.5, color=colour, label=name, rasterized=True
        )
    ax.set(xlabel="time (ms)", ylabel="unit", xlim=(start, start + dt * len(found)), ylim=(-1, network.N))
    return ax


def plot_search(search: ScalingSearch, ax: Axes | None = None) -> Axes:
    """Draw accuracy over the scaling factor, with standard errors, the best factor and the guess.

    Arguments:
        search: the outcome of a search.
        ax: the axes to draw on; `None` makes a figure.
    """
    ax = new_axes(ax, 4.5)
    table: Any = search.to_dataframe()
    ax.errorbar(table.index, table["accuracy"], table["error"], marker="o", capsize=2, color=INHIBITORY)
    ax.axvline(search.best, color=EXCITATORY, lw=0.8, label=f"best: {search.best:g}")
    ax.axvline(search.guess, color="grey", lw=0.8, ls=":", label=f"from f-I curves: {search.guess:.0f}")
    ax.set(xlabel="scaling factor 1/λ (Hz)", ylabel="accuracy", ylim=(-0.03, 1.05))
    ax.legend(frameon=False, fontsize=8)
    return ax
