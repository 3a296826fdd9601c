"""Phase planes and branches of resting states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recurra.plotting.axes import COLOURS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recurra.analysis import Branch, PhasePlane

ARROWS = 20


def plot_phase_plane(plane: PhasePlane, *, arrows: bool = True, ax: Axes | None = None) -> Axes:
    """Draw the nullclines of a plane, and arrows for the direction of the flow.

    Arguments:
        plane: what :func:`recurra.analysis.phase_plane` returns.
        arrows: draw arrows, all of one length.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    >>> import matplotlib; matplotlib.use("agg")
    >>> from recurra import CircuitTemplate
    >>> from recurra.analysis import phase_plane
    >>> plane = phase_plane(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp"),
    ...     "p/vdp_op/x", "p/vdp_op/z", x_range=(-3, 3), y_range=(-3, 3))
    >>> plot_phase_plane(plane).get_xlabel()
    'p/vdp_op/x'
    """
    ax = axes_or_new(ax, (5.5, 4.5))
    for name, lines, colour in zip(plane.names, plane.nullclines(), COLOURS, strict=False):
        for i, line in enumerate(lines):
            label = f"{name.rsplit('/', 1)[-1]} does not change" if i == 0 else None
            ax.plot(line[:, 0], line[:, 1], color=colour, label=label)
    if arrows:
        every = (slice(None, None, max(1, len(plane.y) // ARROWS)), slice(None, None, max(1, len(plane.x) // ARROWS)))
        # On the paper both axes have the same length, whatever they measure.
        across = plane.dx[every] / np.ptp(plane.x)
        up = plane.dy[every] / np.ptp(plane.y)
        length = np.hypot(across, up)
        length[length == 0] = 1.0
        ax.quiver(
            plane.x[every[1]], plane.y[every[0]], across / length, up / length,
            color="0.6", angles="uv", pivot="mid", scale=30, width=0.003,
        )  # fmt: skip
    ax.set(xlabel=plane.names[0], ylabel=plane.names[1])
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right")
    return ax


def plot_branch(branch: Branch, state: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw a state of a branch over its parameter: solid where stable, dashed where not, bifurcations marked.

    A cross marks where the branch could not be followed on, a grey band where crossings are unresolved.

    Arguments:
        branch: what :func:`recurra.analysis.continuation` returns.
        state: the path of a state; the first if `None`.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        PathError: no such state.

    >>> import matplotlib; matplotlib.use("agg")
    >>> from recurra import CircuitTemplate
    >>> from recurra.analysis import continuation
    >>> branch = continuation(
    ...     CircuitTemplate.from_yaml("model_templates.neural_mass_models.qif.qif"), "p/qif_op/eta", (-10.0, 0.0))
    >>> plot_branch(branch).get_ylabel()
    'p/qif_op/r'
    """
    from recurra.errors import PathError, unknown

    name = branch.names[0] if state is None else state
    if name not in branch.names:
        raise PathError(unknown("state", name, branch.names))
    column = branch.names.index(name)
    ax = axes_or_new(ax, (5.5, 4.0))
    changes = np.flatnonzero(np.diff(branch.stable.astype(int))) + 1
    for start, end in zip([0, *changes], [*changes, len(branch.values)], strict=True):
        piece = slice(max(start - 1, 0), end)  # pieces touch
        style = "-" if branch.stable[start] else "--"
        ax.plot(branch.values[piece], branch.states[piece, column], style, color=COLOURS[0])
    for i, kind in enumerate(dict.fromkeys(b.kind for b in branch.bifurcations)):
        found = [b for b in branch.bifurcations if b.kind == kind]
        ax.plot(
            [b.value for b in found], [b.state[column] for b in found],
            "osD"[i], color=COLOURS[i + 1], label=kind, zorder=3,
        )  # fmt: skip
    if not branch.complete:
        ax.plot(branch.values[-1], branch.states[-1, column], "x", color="k", label="not followed on", zorder=3)
    for i, (low, high, _) in enumerate(branch.unresolved):
        ax.axvspan(low, high, color="0.7", zorder=0, label="unresolved" if i == 0 else None)
    ax.set(xlabel=branch.parameter, ylabel=name)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
    return ax
