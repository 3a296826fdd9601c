"""Draw results: traces, heat maps, weights, phase portraits and branches.

Every function draws on the axes it is given, or on a new figure of its own, and returns the axes; none calls
``show()`` or changes the settings of matplotlib. Matplotlib is loaded when the first figure is drawn.
"""

from recurra.courtesy import guard
from recurra.plotting.dynamics import plot_branch, plot_phase_plane
from recurra.plotting.matrices import plot_heatmap, plot_weights
from recurra.plotting.traces import plot_phase, plot_traces

__all__ = ["plot_branch", "plot_heatmap", "plot_phase", "plot_phase_plane", "plot_traces", "plot_weights"]

guard(globals(), __all__)
