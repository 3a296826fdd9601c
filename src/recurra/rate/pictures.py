"""Figures of rate networks and of how they do; each takes ax=None and returns the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError, PathError, unknown
from recurra.rate.lowering import STEP_MS
from recurra.rate.model import FR_RNN_dale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recurra.rate.evaluation import Assessment

EXCITATORY, INHIBITORY = "#c0392b", "#2c5f9e"
MANY = 60


def new_axes(ax: Axes | None, width: float = 6.0, height: float = 3.2) -> Axes:
    """Return the axes, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def plot_outputs(found: Assessment, by: str | None = None, output: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the output over time in every trial (60 at most), coloured by a condition; wrong answers are dashed.

    Arguments:
        found: how a network did.
        by: name of a condition; the first one if `None`.
        output: which output.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        PathError: there is no such condition.
    """
    import matplotlib as mpl

    ax, known = new_axes(ax), found.trials.conditions
    name = by if by is not None else next(iter(known), None)
    if name is not None and name not in known:
        raise PathError(unknown("condition", name, known))
    if not 0 <= output < found.outputs.shape[2]:
        raise OptionError(f"output must be from 0 to {found.outputs.shape[2] - 1}, got {output}.")
    values = np.zeros(len(found.right)) if name is None else known[name]
    levels = np.unique(values)
    colours = mpl.colormaps["coolwarm"](np.linspace(0, 1, len(levels)) if len(levels) > 1 else [0.0])
    time = found.trials.dt * np.arange(1, found.outputs.shape[1] + 1)
    seen = set()
    for rows, right, value in zip(found.outputs[:MANY, :, output], found.right, values, strict=False):
        level = int(np.searchsorted(levels, value))
        label = None if level in seen or name is None or len(levels) > 6 else f"{name} = {value:g}"
        seen.add(level)
        ax.plot(time, rows, color=colours[level], ls="-" if right else "--", lw=0.8, alpha=0.7, label=label)
    ax.set(xlabel="time (ms)", ylabel="output")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8)
    return ax


def plot_psychometric(found: Assessment, condition: str, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw how often the answer was yes along a condition, with standard errors.

    Arguments:
        found: how a network did.
        condition: along which.
        ax: the axes to draw on; `None` makes a figure.
        options: of `Assessment.psychometric`.
    """
    table, ax = found.psychometric(condition, **options), new_axes(ax, 4.0)
    ax.errorbar(table.index, table["yes"], table["error"], marker="o", capsize=2, color=INHIBITORY)
    ax.set(xlabel=condition, ylabel="part of yes", ylim=(-0.05, 1.05))
    return ax


def plot_time_constants(net: FR_RNN_dale, ax: Axes | None = None, bins: int | ArrayLike = 20) -> Axes:
    """Draw histograms of the time constants of excitatory and inhibitory units, in ms.

    Arguments:
        net: the network.
        ax: the axes to draw on; `None` makes a figure.
        bins: number of bins, or their edges in ms.
    """
    ax, tau = new_axes(ax, 4.0), net.tau * STEP_MS
    edges = np.histogram_bin_edges(tau, bins)  # type: ignore[arg-type]
    for name, members, colour in (("excitatory", net.exc, EXCITATORY), ("inhibitory", net.inh, INHIBITORY)):
        if members.any():
            ax.hist(tau[members[:, 0]], list(edges), color=colour, alpha=0.6, label=name)
    ax.set(xlabel="time constant (ms)", ylabel="units")
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_weights(net: FR_RNN_dale, ax: Axes | None = None) -> Axes:
    """Draw the weights that act, excitatory units first; rows are targets.

    Arguments:
        net: the network.
        ax: the axes to draw on; `None` makes a figure.
    """
    ax, order = new_axes(ax, 4.4, 3.8), order_by_type(net)
    w = net.effective_w[np.ix_(order, order)]
    # The largest few weights would leave the rest pale.
    limit = float(np.quantile(np.abs(w[w != 0]), 0.99)) if np.any(w) else 1.0
    image = ax.imshow(w, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    for line in (ax.axhline, ax.axvline):
        line(net.NE - 0.5, color="black", lw=0.5)
    ax.set(xlabel="from unit (excitatory first)", ylabel="to unit")
    ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    return ax


def order_by_type(net: FR_RNN_dale) -> np.ndarray:
    """Return the numbers of the units, excitatory ones first, those without inhibitory input last.

    >>> net = FR_RNN_dale(20, 0.3, 0.5, np.ones((20, 1)), 1, "gaus", 1.5, True, np.ones((1, 20)), seed=1)
    >>> bool(np.all(np.diff(net.inh[order_by_type(net), 0].astype(int)) >= 0))
    True
    """
    rank = net.inh[:, 0].astype(int)
    rank[np.atleast_1d(net.som_inh)[: net.som_N]] += 1
    return np.argsort(rank, kind="stable")
